"""The passes of a replay: from which database each starts, how far Alembic goes in it, and where its schema is read.

What is wanted is the schema of a database that was upgraded from nothing to exactly one revision, for every revision. A
database has been at exactly a revision when all that it has applied are the revision's ancestors, so that a line of
revisions takes one pass, and every branch starts from a copy of the database at the revision where it left.

A revision may need what a sibling makes without saying so in `depends_on`: Alembic's order of the branches is all that
makes it work. What it is applied `after` then counts as if `depends_on` named it, everywhere but in Alembic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.decide.plan import Upgrade
from migrate.core.history.closures import closures_of, covers
from migrate.core.history.faults import HistoryFault
from migrate.core.history.siblings import with_siblings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from migrate.core.history.graph import Graph, Revision
    from migrate.core.history.siblings import After
    from migrate.core.schema.differences import Schema

# As many revisions take as long as one more database, with its connections and its run of env.py.
ANEW: Final = 8


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of Alembic on one database.

    ``start`` is the revision at which the database is that is copied, None for one that has nothing applied; ``target``
    is for `alembic upgrade` (`steps` where siblings build on each other); ``reads`` are the revisions after which the schema is read, in their order. ``joined`` are
    the version rows that the database has when several branches have met in it, and before anything else is applied:
    the place to see whether they bear being applied one after the other.
    """

    start: str | None
    target: str
    reads: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()


def steps(graph: Graph, after: After, start: str | None, target: str) -> tuple[Upgrade, ...]:
    """The runs of Alembic that lead from `start` to `target` (see `Pass`): one, where siblings leave each other alone."""
    pending = _pending(with_siblings(graph, after), start, target)
    if not after:
        return (Upgrade(target, pending),)
    return lines(pending)


def lines(revisions: Iterable[Revision]) -> tuple[Upgrade, ...]:
    """Runs of Alembic that apply these in just this order, whatever its own would be."""
    found: list[list[Revision]] = []
    for revision in revisions:
        if found and revision.down == (found[-1][-1].id,):
            found[-1].append(revision)
        else:
            found.append([revision])
    return tuple(Upgrade(line[-1].id, tuple(line)) for line in found)


def changes(before: Schema, after: Schema) -> dict[str, str | None]:
    """What was made or changed, by identity, and None for what was dropped."""
    found: dict[str, str | None] = dict.fromkeys(before.keys() - after.keys())
    found |= {identity: text for identity, text in after.items() if before.get(identity) != text}
    return found


def changed(schema: Schema, by: Mapping[str, str | None]) -> dict[str, str]:
    """The schema once these changes were made."""
    whole = {**schema, **by}
    return {identity: text for identity, text in whole.items() if text is not None}


def applied_in_order(graph: Graph) -> tuple[Revision, ...]:
    """What Alembic applies to an empty database, in its order. `graph` has no faults."""
    order = graph.pending((), "heads")
    assert not isinstance(order, HistoryFault)
    return order


def missed(candidates: Sequence[str], works: Callable[[Sequence[str]], bool]) -> str | None:
    """The candidate, in their order, with which it begins to work; None where all of them are not enough.

    `works` says so of the first ones of them; of none it is known that it does not.
    """
    if not candidates or not works(candidates):
        return None
    fails, enough = 0, len(candidates)
    while enough - fails > 1:
        middle = (fails + enough) // 2
        if works(candidates[:middle]):
            enough = middle
        else:
            fails = middle
    return candidates[enough - 1]


def passes(graph: Graph, unproven: Collection[str], after: After = MappingProxyType({})) -> tuple[Pass, ...]:
    """The fewest passes that read the schema at every unproven revision, in an order in which each finds its start.

    With a revision is unproven whatever builds on it. Where an unproven one builds on a proven one, the latter is read
    too: so the caller sees whether the old proof still holds. `graph` has no faults. What revisions are applied `after`
    is among what they build on.
    """
    declared = graph
    graph = with_siblings(declared, after)
    order = applied_in_order(graph)
    history = _History(graph, order)
    needed: set[str] = set(unproven)
    reads = needed | {below for id_ in unproven if (below := history.below[id_]) is not None}
    found: list[Pass] = []
    rows = history.tips()
    if len(rows) > 1 and unproven:
        start = history.largest(rows)
        needed.add(start)
        found.append(Pass(start, "heads", joined=rows))
    # From the last one down, so that a pass is known to be needed before its own start is asked for.
    for line in reversed(history.lines()):
        if needed.isdisjoint(line):
            continue
        below = history.below[line[0]]
        if below is not None:
            needed.add(below)
        joined = history.joined[line[0]] if line[0] in unproven else ()
        found.append(Pass(below, line[-1], tuple(id_ for id_ in line if id_ in reads), joined))
    if after:
        found = [replace(each, joined=_rows(declared, graph, each.joined)) for each in found]
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Leg:
    """A pass in a database where others were run before: what leads to its start, and what it applies then."""

    each: Pass
    way: tuple[Revision, ...]
    pending: tuple[Revision, ...]

    @property
    def meeting(self) -> str | None:
        """The revision after which the branches have met, and before anything else is applied."""
        if not self.each.joined:
            return None
        ids = [revision.id for revision in self.pending]
        return ids[ids.index(self.each.reads[0]) - 1] if self.each.reads else ids[-1]


def chains(graph: Graph, ways: Sequence[Pass]) -> tuple[tuple[Leg, ...], ...] | None:
    """The same passes, one after the other in as few databases as there are branches beside each other; None if that is more work.

    Where two branches meet again, a database that has only one of them is led on by what it has not: it is where the
    other one is, too, and nothing has to be copied. `ways` are those of `passes`, where siblings leave each other alone.
    """
    order = applied_in_order(graph)
    closures = closures_of((revision.id, graph.parents(revision.id)) for revision in order)
    found: list[list[Leg]] = []
    tips: list[str | None] = []  # of each; None where it is at the end of all branches
    repeated = 0
    for each in ways:
        below = closures[each.start] if each.start is not None else 0
        free = [at for at, tip in enumerate(tips) if tip is not None and covers(below, closures[tip])]
        at = max(free, key=lambda at: closures[tips[at] or ""].bit_count(), default=len(found))
        if at == len(found):
            found.append([])
            tips.append(None)
        way = _pending(graph, tips[at], each.start) if each.start is not None else ()
        repeated += len(way)
        found[at].append(Leg(each, way, _pending(graph, each.start, each.target)))
        tips[at] = each.target if each.target in closures else None
    saved = len(ways) - len(found)
    return tuple(map(tuple, found)) if repeated < saved * ANEW else None


def _pending(graph: Graph, start: str | None, target: str) -> tuple[Revision, ...]:
    pending = graph.pending(() if start is None else (start,), target)
    assert not isinstance(pending, HistoryFault)
    return pending


def _rows(declared: Graph, graph: Graph, rows: tuple[str, ...]) -> tuple[str, ...]:
    """The version rows that Alembic keeps: that a sibling builds on it without saying so takes no row away."""
    return rows and tuple(sorted(declared.tips(graph.ancestors(rows)), reverse=True))


class _History:
    """For each revision what its pass starts from."""

    def __init__(self, graph: Graph, order: tuple[Revision, ...]) -> None:
        self.order = [revision.id for revision in order]
        self.closures = closures_of((id_, graph.parents(id_)) for id_ in self.order)
        self.below: dict[str, str | None] = {}
        self.joined: dict[str, tuple[str, ...]] = {}
        self.followers: dict[str, int] = dict.fromkeys(self.order, 0)
        self._above: set[str] = set()
        for id_ in self.order:
            parents = graph.parents(id_)
            self._above.update(parents)
            rows = tuple(
                one
                for one in parents
                if not any(covers(self.closures[other], self.closures[one]) for other in parents if other != one)
            )
            self.joined[id_] = rows if len(rows) > 1 else ()
            below = self.below[id_] = self.largest(rows) if rows else None
            if below is not None:
                self.followers[below] += 1

    def lines(self) -> list[tuple[str, ...]]:
        """The history cut into lines that one pass can run: at every place where one ends, others start or nothing does.

        A merge begins a line: before it Alembic applies what its other branches bring, in an order of its own.
        """
        lines: dict[str, list[str]] = {}
        line_of: dict[str, list[str]] = {}
        for id_ in self.order:
            below = self.below[id_]
            if below is None or self.joined[id_] or self.followers[below] > 1:
                line_of[id_] = lines[id_] = [id_]
            else:
                line_of[id_] = line_of[below]
                line_of[id_].append(id_)
        return [tuple(line) for line in lines.values()]

    def tips(self) -> tuple[str, ...]:
        """The version rows of a fully upgraded database."""
        return tuple(id_ for id_ in self.order if id_ not in self._above)

    def largest(self, ids: tuple[str, ...]) -> str:
        """The one with the most ancestors: from there the least is left to do. The last such one: it is just at hand."""
        return max(ids, key=lambda id_: (self.closures[id_].bit_count(), self.closures[id_]))
