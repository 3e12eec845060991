"""What builds on what, in one step or more; sets of it are the bits of integers, fast and small for long histories."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

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


def reach(edges: Mapping[str, Sequence[str]], start: Iterable[str]) -> set[str]:
    """Return all that can be reached from `start` in one step or more."""
    found: set[str] = set()
    todo = list(start)
    while todo:
        for next_ in edges[todo.pop()]:
            if next_ not in found:
                found.add(next_)
                todo.append(next_)
    return found


def turned(parents: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return what directly builds on each one."""
    children: dict[str, list[str]] = {id_: [] for id_ in parents}
    for id_, above in parents.items():
        for parent in above:
            children[parent].append(id_)
    return children


def topological(parents: Mapping[str, tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the ids, parents first, and the cycles; a cycle found counts as done, so that the rest is ordered too."""
    children = turned(parents)
    waiting = {id_: len(above) for id_, above in parents.items() if above}
    ready = deque(id_ for id_, above in parents.items() if not above)
    order: list[str] = []
    cycles: list[tuple[str, ...]] = []
    while True:
        while ready:
            order.append(ready.popleft())
            for child in children[order[-1]]:
                if child in waiting:
                    waiting[child] -= 1
                    if not waiting[child]:
                        del waiting[child]
                        ready.append(child)
        if not waiting:
            return order, cycles
        cycles.append(_one_cycle(parents, waiting))
        for id_ in cycles[-1]:
            del waiting[id_]
        ready.extend(cycles[-1])


def _one_cycle(parents: Mapping[str, tuple[str, ...]], waiting: Collection[str]) -> tuple[str, ...]:
    """Go from parent to parent until that comes round: all that still waits has a parent that still waits."""
    path: list[str] = []
    walked: set[str] = set()
    at = next(iter(waiting))
    while at not in walked:
        path.append(at)
        walked.add(at)
        at = next(parent for parent in parents[at] if parent in waiting)
    return tuple(path[path.index(at) :])
