"""How far env.py and its revisions have come, for everything that looks at them; and the ways in which they are ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from migrate.child.protocol import Autocommitting, Began

if TYPE_CHECKING:
    from migrate.child.channel import Channel
    from migrate.child.protocol import Phase, Task
    from migrate.postgres.suspect import Suspect


COMMITS: Final = "it commits by itself"


class Refused(Exception):  # noqa: N818 - a refusal is no error of the code
    """The child found that it must not go on; carries the code of the catalogue and the names for its fix."""

    def __init__(self, code: str, why: str, **names: object) -> None:
        super().__init__(why)
        self.code = code
        self.names = names
        self.facts: dict[str, object] = {}


class Unsure(Exception):  # noqa: N818 - it asks for another try
    """A revision did something to these tables of which only the rows can tell whether it lost any."""

    def __init__(self, suspects: list[Suspect]) -> None:
        super().__init__("a revision is to be tried once more")
        self.suspects = suspects


class Apart(Exception):  # noqa: N818 - it asks for another try
    """A revision that shares a transaction does what would end it: all of them are to be run again, each by itself."""


@dataclass(slots=True)
class Course:
    """The course of one task; written by the seam, read by every observer."""

    task: Task
    channel: Channel
    phase: Phase = "env"
    current: str | None = None  # the revision at work
    xid: int | None = None  # of the transaction that is open
    autocommit_told: bool = False
    is_between: bool = False  # one revision is being committed, and the next begins at once
    is_shared: bool = False  # the transaction is that of several revisions
    is_traced: bool = False  # a transaction of the revision at work is known to the parent, and to the ledger

    def tell_began(self, xid: int, backend_pid: int) -> None:
        """Say that a transaction was begun. The first one of a revision goes on when it stands in the ledger."""
        self.xid = xid
        is_first = self.current is not None and not self.is_traced
        began = Began(xid, backend_pid, is_asked=is_first)
        if is_first:
            self.is_traced = True
            self.channel.call(began)
        elif self.is_between:
            self.channel.tell_with_next(began)
        else:
            self.channel.tell(began)

    def tell_autocommit(self) -> None:
        """Say, once for each revision, that its next statement commits by itself. Raises Stopped, and Apart."""
        if self.is_shared:
            raise Apart(COMMITS)
        if self.current is not None and not self.autocommit_told:
            self.channel.call(Autocommitting())
            self.autocommit_told = True
