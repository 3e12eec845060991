"""The questions by which a connection learns whether the run that it works for still has the guard."""

from __future__ import annotations

from typing import NamedTuple


class Fence(NamedTuple):
    """Expressions of SQL by which any connection, whatever its driver, asks whether it may still change anything.

    No parameters, and no `::` to be taken for one. The mark comes before the question, in a CASE, which keeps the order:
    who has the mark and then sees the guard is seen by whoever takes the guard after it.
    """

    is_held: str
    mark_transaction: str  # takes the mark until the transaction ends
    mark_session: str  # takes the mark until it is given back or the session ends
    may_write: str  # outside a transaction: takes the mark for the session, unless it has it, then asks for the guard
    unmark_session: str
