"""Sets of what builds on each other, as the bits of integers: fast and small for long histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

_K = TypeVar("_K")


def closures_of(parents: Iterable[tuple[_K, Iterable[_K]]]) -> dict[_K, int]:
    """All that each one builds on, and itself, which is the highest bit. `parents` are in an order that has parents first."""
    closures: dict[_K, int] = {}
    for at, (one, above) in enumerate(parents):
        closure = 1 << at
        for parent in above:
            closure |= closures[parent]
        closures[one] = closure
    return closures


def covers(upper: int, lower: int) -> bool:
    """Whether what has the one closure builds on what has the other, or is it."""
    return bool(upper >> (lower.bit_length() - 1) & 1)


def bits(closure: int) -> list[int]:
    """The positions of the bits that are set, the lowest first."""
    found = []
    while closure:
        found.append((closure & -closure).bit_length() - 1)
        closure &= closure - 1
    return found
