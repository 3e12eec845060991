"""What a verb asks for: everything that its run is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from migrate.child.protocol import Servers
    from migrate.context import Context
    from migrate.core.decide.policy import Policy
    from migrate.core.history.faults import HistoryFault
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.target import Target
    from migrate.postgres.kept_connections import KeptConnections
    from migrate.steps.gauge import Gauge
    from migrate.steps.kept_child import KeptChild


class Project(Value):
    """Where the user's Alembic project is, for the child process that runs it."""

    cwd: Path
    config: str | None
    toml: str | None
    section: str
    env_py: str
    folders: tuple[str, ...]
    flask_app: str | None = None  # the setting; FLASK_APP is in the environment
    x: tuple[str, ...] = ()  # what env.py gets as the -x arguments of Alembic's command line


class BackupPlace(Value):
    """Where a backup goes: a folder for dumps, a program and its arguments, or both."""

    folder: Path | None
    command: tuple[str, ...]


class Order(Value):
    """Bring this target to where this image says, as far as policy allows."""

    context: Context
    target: Target
    image: Image
    project: Project
    policy: Policy
    environ: Mapping[str, str]
    source_of: Callable[[Revision], str]
    faults_in: Callable[[Sequence[Revision]], Sequence[HistoryFault]]  # files that Python would refuse
    log_queries: bool = False
    backup: BackupPlace | None = None
    child: KeptChild | None = None  # for several runs; without it a run has a child of its own
    connections: KeptConnections | None = None  # as the child
    is_behind: bool = False  # as a question to all tenants has told: it is looked at under the guard only
    holds_guard: bool = False  # whoever looks now is the one run that may touch the target
    servers: Servers | None = None  # the only ones that env.py may connect to, where the target is a clone
    gauge: Gauge | None = None  # measures the revisions
