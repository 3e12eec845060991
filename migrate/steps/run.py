"""One run under the guard, as its steps are handed it: the order, the connections, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrate.child.protocol import Servers
    from migrate.context import Context
    from migrate.core.decide.observation import Observation
    from migrate.core.foresee.live import Outlook
    from migrate.core.problems import Stop
    from migrate.postgres.connection import Connection
    from migrate.postgres.guard import Guard
    from migrate.postgres.ledger import Ledger
    from migrate.steps.at_work import AtWork
    from migrate.steps.kept_child import KeptChild
    from migrate.steps.order import Order


class Underway(Protocol):
    """What the last line asks of the attempt that is at work: what it has done, and what of it may be committed."""

    @property
    def current(self) -> AtWork | None:
        """The revision that runs."""

    @property
    def uncommitted(self) -> Sequence[AtWork]:
        """Those that are applied in a transaction which is still open."""

    @property
    def is_rolled_back(self) -> bool:
        """Whether all that is not applied is known to be gone."""

    def left_in_part(self) -> AtWork | None:
        """The revision that may have left a part."""


@dataclass(slots=True)
class Run:
    """One run under the guard. ``control`` is for the ledger, watching and cancelling; never for a migration."""

    order: Order
    control: Connection
    guard: Guard
    ledger: Ledger
    before: Observation
    begun: KeptChild | None = None  # a child that is at its imports already
    is_empty: bool = False  # nothing was there when it was decided: nobody reads or writes what this run makes
    looks_first: bool = False  # at where env.py goes, before it may commit anything
    outlook: Outlook | None = None  # what was expected of the revisions before the first ran
    stale: tuple[str, ...] | None = None  # the version rows whose schema is there, where the table names others
    servers: Servers | None = None  # of a shadow's run
    explained: Callable[[Stop], Stop] | None = None  # what a failure means in a shadow
    attempt: Underway | None = None  # of the upgrade, while it is at work
    failed_after: Stop | None = None  # what env.py ended with, once all was applied and committed
    applied: list[str] = field(default_factory=list)
    backup: Mapping[str, object] | None = None  # the way back, for the last line
    stamping: bool = False  # the COMMIT of version rows of ours is under way
    # told why all revisions are committed together, before the first; without it that is a warning
    on_together: Callable[[str], None] | None = None
    # told which revisions a commit has brought, before the next
    on_commit: Callable[[Sequence[str]], None] | None = None

    @property
    def context(self) -> Context:
        """Whose run it is."""
        return self.order.context

    @property
    def must_end(self) -> bool:
        """Whether a signal came, the guard is gone or the time is up."""
        context = self.context
        return context.interruption.signum is not None or self.guard.lost is not None or context.time_left_s <= 0
