"""The decision as values: the ordered steps of a plan, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.decide.outcome import Result
from migrate.core.value import Value

if TYPE_CHECKING:
    from migrate.core.decide.repair import Closing
    from migrate.core.history.graph import Revision
    from migrate.core.manifest.holding import Taken
    from migrate.core.problems import Problem
    from migrate.core.schema.differences import Fact


class Adopt(Value):
    """Write ``rows`` into the version table in place of ``replaced``, because the schema proves them."""

    rows: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    reason: str = "the live schema equals the manifest at this revision"
    evidence: tuple[str, ...] = ()  # the differences that were tolerated, as sentences
    is_proven: bool = True  # False where only the operator's word says that the database is there
    accepted: tuple[Fact, ...] | None = None  # the differences that count no more from now on; None: as before


class Repair(Value):
    """Put right what an earlier run left (`migrate.core.decide.repair` says how); ``items`` are for people."""

    items: tuple[str, ...]
    closing: Closing | None = None


class Upgrade(Value):
    """Run the pending revisions, in this order, through the user's env.py."""

    target: str
    pending: tuple[Revision, ...]
    held: tuple[Revision, ...] = ()  # on the way to the target, and left to a later run

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """Those that run, in their order."""
        return self.pending


class Downgrade(Value):
    """Run the downgrades of ``reverting``, in this order, through the user's env.py."""

    target: str  # a revision, or "base"
    reverting: tuple[Revision, ...]
    may_lose: bool  # rows and values, because the operator allows it
    taken: Taken  # what the manifest says that they take, and where nothing may be lost, is empty

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """Those that run, in their order."""
        return self.reverting


class Backup(Value):
    """Keep the database as it is before the first change."""

    reason: str


Step = Adopt | Repair | Backup | Upgrade | Downgrade


class HeldRevision(Value):
    """A pending revision that is left to a later run, and what it takes from the running release, as sentences."""

    revision: Revision
    breaks: tuple[str, ...] = ()


class Plan(Value):
    """What will be done, in order; no steps means that nothing is to be done and ``result`` says why."""

    steps: tuple[Step, ...] = ()
    result: Result = Result.NOOP
    warnings: tuple[str, ...] = ()
    held: tuple[HeldRevision, ...] = ()


class Refusal(Value):
    """Why nothing will be done."""

    problem: Problem


Decision = Plan | Refusal
