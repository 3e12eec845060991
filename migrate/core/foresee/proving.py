"""Whether a revision that failed on a row has failed for the need that the row breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.foresee.needs import (
    Fits,
    Fulfils,
    HasParent,
    NoDuplicates,
    NoLabel,
    NoNull,
    NoOverlap,
    NoRow,
)

if TYPE_CHECKING:
    from migrate.core.foresee.needs import Condition

# By kind of need, the SQLSTATEs with which PostgreSQL refuses; of two characters, the class.
_REFUSALS: Final[dict[type[Condition], tuple[str, ...]]] = {
    NoNull: ("23502",),
    NoRow: ("23502",),
    NoDuplicates: ("23505",),
    Fulfils: ("23514",),
    HasParent: ("23503",),
    NoOverlap: ("23P01",),
    Fits: ("22", "23514", "23502"),  # a domain's rules are of the last two
    NoLabel: ("22",),
}


def is_refused_by(condition: Condition, sqlstate: str | None) -> bool:
    """Whether PostgreSQL fails with this SQLSTATE where rows are not as the condition says."""
    return sqlstate is not None and sqlstate.startswith(_REFUSALS[type(condition)])


def may_be_mistaken(condition: Condition, other: Condition) -> bool:
    """Whether a failure for the one may look like a failure for the other."""
    return any(
        one.startswith(another) or another.startswith(one)
        for one in _REFUSALS[type(condition)]
        for another in _REFUSALS[type(other)]
    )
