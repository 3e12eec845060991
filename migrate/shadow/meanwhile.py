"""Looks at what one revision has committed while the next one is at work: nobody else sees what that does before its commit.

The child waits before each commit until the parent answers, and the parent looks before it answers. So what is read is
what the revision before has left, as long as nothing was committed meanwhile: that is asked at the end. What the look would
have to wait for, or must not do beside a revision, ends it: all is then looked at anew, and this by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from migrate.child.protocol import Watched
from migrate.core.decide.pooling import leaves_transaction
from migrate.steps.upgrade import Upgrading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from migrate.child.protocol import Sent, Wanted
    from migrate.core.decide.plan import Downgrade, Upgrade
    from migrate.steps.run import Run

# What is printed from an expression is executed once more, and no revision may be in the way of that.
_EXPRESSIONS: Final = re.compile(
    r"default|check|computed|generated\s+always|where|view|rule|policy|trigger|\bfunc\.|(?-i:\btext\()|function|procedure"
    r"|routine|aggregate|exclud|create_constraint|domain|create_all|rename|new_column_name|lower\(|fillfactor|_with=",
    re.IGNORECASE,
)
# What may commit without an answer of the parent's.
_OWN_COMMITS: Final = re.compile(r"commit|rollback|engine|connect\(|thread|subprocess|dblink", re.IGNORECASE)
WRONG: Final = 3  # guesses, before no look is taken beside a revision
_WORD: Final = re.compile(r"\w+")


class Overtaken(Exception):  # noqa: N818 - a finding
    """What a revision has left cannot be looked at while the next one is at work."""

    def __init__(self, *, is_lost: bool) -> None:
        """``is_lost``: something was committed meanwhile, by whoever does not wait for an answer."""
        super().__init__()
        self.is_lost = is_lost
        self.revision = ""


class Guesses:
    """Which looks are taken while the next revision runs: a guess from the programs, of which a wrong one costs time alone."""

    def __init__(self, source_of: Callable[[str], str]) -> None:
        self._source_of = source_of
        self._not: set[str] = set()
        self._is_off = False

    def note(self, overtaken: Overtaken) -> None:
        """Take this look by itself from now on, and all of them where guesses go wrong too often."""
        self._not.add(overtaken.revision)
        self._is_off = self._is_off or overtaken.is_lost or len(self._not) > WRONG

    def holds(self, id_: str, following: str, told: Sent | Watched | None) -> bool:
        """Whether to look at what a revision has left while the ``following`` one runs; ``told`` is what was last seen."""
        if self._is_off or id_ in self._not or not isinstance(told, Watched) or told.revision != id_:
            return False
        after = self._source_of(following)
        if _EXPRESSIONS.search(self._source_of(id_)) or _OWN_COMMITS.search(after) or leaves_transaction(after):
            return False
        locked = {lock.name for trace in told.traces for lock in trace.locks if lock.name}
        return locked.isdisjoint(_WORD.findall(after))


class Looks(NamedTuple):
    """Who is told of each commit; and which of the revisions may be looked at while the next one runs already."""

    on_commit: Callable[[Sequence[str]], None]
    beside: Guesses | None = None
    reads: Collection[str] = ()


class AtHand(Protocol):
    """The database at hand, of which a look is taken."""

    settable: dict[str, str] | None  # as the server was found to be
    ends_sessions: bool  # of whichever role, before the database is dropped

    def begin_look(self) -> None:
        """Take the snapshot that is seen next."""

    def end_look(self) -> None:
        """The opposite."""


class Looking(Upgrading):
    """One run of env.py in the child that stays for the next one, with looks at what it commits."""

    def __init__(
        self, at_hand: AtHand, run: Run, plan: Upgrade | Downgrade, wanted: Wanted | None, looks: Looks | None
    ) -> None:
        super().__init__(run, plan, wanted)
        self._at_hand = at_hand
        self._looks = looks
        self._left: Sequence[str] = ()  # committed, and not looked at
        if looks is not None:
            run.on_commit = self._committed

    def settable(self) -> dict[str, str]:
        """The settings that the server allows, asked for once: every database is of one server, and of one role."""
        if self._at_hand.settable is None:
            self._at_hand.settable = super().settable()
        return self._at_hand.settable

    @property
    def keeps_session(self) -> bool:
        """As in a fleet, where nobody's session can be in the way of a database that is dropped, or renamed."""
        return self._at_hand.ends_sessions and super().keeps_session

    def _committed(self, ids: Sequence[str]) -> None:
        self.look()
        self._left = ids

    def look(self) -> None:
        """Look at what was committed, if that was not done."""
        if self._looks is not None and self._left:
            ids, self._left = self._left, ()
            self._looks.on_commit(ids)

    def starting(self, revision: str) -> None:
        """Look now, or take the snapshot in which to look once the revision was told to start."""
        if self._looks is None or not self._left:
            return
        _, beside, reads = self._looks
        told = self.seen[-1] if self.seen else None
        is_one = len(self._left) == 1 and self._left[0] in reads
        if is_one and beside is not None and beside.holds(self._left[0], revision, told):
            self._at_hand.begin_look()
        else:
            self.look()

    def started(self) -> None:
        """Look at the snapshot that was taken."""
        for revision in self._left:
            try:
                self.look()
            except Overtaken as overtaken:
                overtaken.revision = revision
                raise
            finally:
                self._at_hand.end_look()
