"""What every step of one run is handed: the target, the image, the connections, and where to say things."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from migrate.core.decide.observation import Observation
    from migrate.core.decide.policy import Limits, Policy
    from migrate.core.events import Emit
    from migrate.core.history.graph import Revision
    from migrate.core.history.image import Image
    from migrate.core.interruption import Interruption
    from migrate.core.problems import Stop
    from migrate.core.target import Target
    from migrate.core.url import DatabaseUrl
    from migrate.postgres.connection import Connection
    from migrate.postgres.guard import Held
    from migrate.postgres.ledger import Ledger
    from migrate.steps.attempt import Attempt


@dataclass(frozen=True, slots=True)
class Project:
    """Where the user's Alembic project is, for the child process that runs it."""

    cwd: Path
    config: str | None
    toml: str | None
    section: str
    env_py: str
    folders: tuple[str, ...]
    flask_app: str | None = None  # the setting; FLASK_APP is in the environment
    x: tuple[str, ...] = ()  # what env.py gets as the -x arguments of Alembic's command line


@dataclass(frozen=True, slots=True)
class BackupPlace:
    """Where a backup goes: a folder for dumps, a program and its arguments, or both."""

    folder: Path | None
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fence:
    """To which servers env.py and the revisions may connect: that of ``url``, and the ``allowed`` (HOST or HOST:PORT)."""

    url: DatabaseUrl
    allowed: Sequence[str]


@dataclass(slots=True)
class Run:
    """One run under the guard. ``control`` is for the ledger, watching and cancelling; never for a migration."""

    run_id: str
    project: Project
    target: Target
    image: Image
    policy: Policy
    limits: Limits
    environ: Mapping[str, str]
    interruption: Interruption
    emit: Emit
    beat: Callable[[], None]  # as the order's
    redact: Callable[[str], str]
    source_of: Callable[[Revision], str]
    control: Connection
    held: Held
    ledger: Ledger
    before: Observation
    started_s: float  # monotonic
    log_queries: bool = False
    looks_first: bool = False  # at where env.py goes, before it may commit anything
    fence: Fence | None = None  # of a shadow's run
    explained: Callable[[Stop], Stop] | None = None  # what a failure means in a shadow
    attempt: Attempt | None = None  # of the upgrade, while it is at work
    applied: list[str] = field(default_factory=list)
    backup: Mapping[str, object] | None = None  # the way back, for the last line
    stamping: bool = False  # the COMMIT of version rows of ours is under way
    # told why all revisions are committed together, before the first; without it that is a warning
    on_together: Callable[[str], None] | None = None
    on_commit: Callable[[Sequence[str]], None] | None = (
        None  # told which revisions a commit has brought, before the next
    )

    @property
    def time_left_s(self) -> float:
        """The seconds until the deadline; infinite without one."""
        return self.limits.deadline_at(self.started_s) - time.monotonic()

    @property
    def must_end(self) -> bool:
        """Whether a signal came, the guard is gone or the time is up."""
        return self.interruption.signum is not None or self.held.lost is not None or self.time_left_s <= 0
