"""What going back to a revision reverts, where it leads, and which objects it drops."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.manifest.holding import taken
from migrate.core.problems import migrate, shell
from migrate.core.quoting import word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.history.graph import Graph, Revision
    from migrate.core.history.siblings import After
    from migrate.core.manifest.holding import Taken
    from migrate.core.manifest.manifest import Manifest

BASE: Final = "base"
# Alembic's marks of a relative or a branch's target, which no revision id can hold.
_MARKS: Final = frozenset("+-@")


def is_relative(target: str) -> bool:
    """Whether the target is no name of one revision: it would mean another one the next time."""
    return bool(_MARKS & set(target)) or target in {"head", "heads", "current"}


def reverting(
    graph: Graph, rows: Iterable[str], target: str, after: After = MappingProxyType({})
) -> tuple[Revision, ...] | HistoryFault:
    """The applied revisions whose downgrades lead to ``target``, in the order in which Alembic runs them.

    These are the ones that build on it, through `down` first and from there through `depends_on` too; other branches
    stay (alembic.script.revision, `_collect_downgrade_revisions`). ``target`` is "base" for all of them, or a revision;
    ``rows`` are known to the graph. A sibling that would stay, though it comes ``after`` one that goes, is a fault.
    """
    applied = graph.ancestors(rows)
    if target == BASE:
        gone = applied
    elif target not in graph:
        return _fault(f"{target} is not a revision of this image (ids are written in full)")
    elif target not in applied:
        return _fault(f"{target} is not applied here: down leads only to where the database has been")
    else:
        gone = applied & graph.descendants(each.id for each in graph.revisions if target in each.down)
    for follower, siblings in after.items():
        if follower in applied and follower not in gone and not gone.isdisjoint(siblings):
            revision = graph.get(follower)
            assert revision is not None
            below = word(revision.down[0]) if revision.down else BASE
            missing = " and ".join(one for one in siblings if one in gone)
            return HistoryFault(
                FaultKind.UNKNOWN_TARGET,
                f"revision {follower} of another branch follows revision {missing}, and would stay without it",
                shell(migrate("down", f"--to {below}"), note=f"takes {follower} back first"),
            )
    everything = graph.pending((), "heads")
    if isinstance(everything, HistoryFault):
        return everything
    return tuple(revision for revision in reversed(everything) if revision.id in gone)


def rows_below(graph: Graph, rows: Iterable[str], reverted: Iterable[str]) -> tuple[str, ...]:
    """The version rows once these revisions are gone: what is left and implied by nothing else that is left."""
    return tuple(sorted(graph.tips(graph.ancestors(rows).difference(reverted))))


def taken_by_reverting(manifest: Manifest, graph: Graph, rows: Iterable[str], reverted: Sequence[Revision]) -> Taken:
    """What the downgrades take, each for itself, of the tables and columns that are there at ``rows``."""
    way = []
    reached = tuple(rows)
    for revision in reverted:
        reached = rows_below(graph, reached, [revision.id])
        way.append(reached)
    return taken(manifest, rows, way)


def _fault(why: str) -> HistoryFault:
    return HistoryFault(FaultKind.UNKNOWN_TARGET, why, shell(migrate("history"), note="shows what was applied"))
