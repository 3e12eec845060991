"""Which position of a history a live schema has, and what it differs in from one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.history.closures import bits
from migrate.core.history.graph import Graph
from migrate.core.manifest.conflicts import conflicts
from migrate.core.manifest.folding import HOSTS, Folding
from migrate.core.manifest.match import Exact, Match, Nearest, Rows, Several
from migrate.core.schema.differences import Differences, Schema, fingerprint
from migrate.core.schema.differences import compare as compare_schemas
from migrate.core.schema.distance import Distance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_BRANCH: Final = 200  # revisions of an unmerged branch at which a database may stand


def compare(history: Folding, rows: Rows, live: Schema, *, major: int, ignore: Sequence[str] = ()) -> Differences:
    """What the live schema, printed by a server of version `major`, differs in from that of these rows.

    `ignore`: see `migrate.core.schema.differences.compare`. An object in conflict may be as any of the branches leaves it.
    """
    live = _without_foreign(history, live)
    if len(rows) == 1 and history.revisions[history.position_of[rows[0]]].schema == fingerprint(live):
        return Differences()
    expected = history.schema_at(rows)
    canonical = history.spellings.canonical
    for conflict in conflicts(history, rows):
        identity, definition = conflict.identity, live.get(conflict.identity)
        left = {each and canonical(identity, each) for _, each in conflict.definitions}
        if (definition and canonical(identity, definition)) not in left:
            continue
        if definition is None:
            expected.pop(identity, None)
        else:
            expected[identity] = definition
    return compare_schemas(expected, live, same_major=major == history.postgres, ignore=ignore, canonical=canonical)


def identify(history: Folding, live: Schema, *, major: int, ignore: Sequence[str] = ()) -> Match:
    """Which position has the live schema, printed by a server of version `major`; else the one that differs least.

    Candidates are the base, each revision, and all heads at once where there are several. Of several that differ
    equally little the latest in the manifest is the nearest, and the others are named beside it. Without a baseline
    the base is nearest only where nothing of the history is there, and all that is there is somebody else's.
    """
    live = _without_foreign(history, live)
    exact: list[Rows] = []
    if major == history.postgres and not ignore and not history.spellings:
        printed = fingerprint(live)
        exact = [rows for rows, recorded in _recorded(history) if recorded == printed]
        if history.all_heads and not compare(history, history.all_heads, live, major=major):
            exact = list(dict.fromkeys((*exact, history.all_heads)))
    if not exact:
        distances = distances_of(history, live, major=major, ignore=ignore)
        exact = [rows for rows, distance in distances.items() if not distance]
    if len(exact) > 1:
        return Several(tuple(exact))
    if exact:
        return Exact(exact[0])
    if history.baseline is None and history.revisions and _has_something(history, live):
        del distances[()]
    least = min(distances.values())
    *ties, nearest = [rows for rows, distance in distances.items() if distance == least]
    differences = compare(history, nearest, live, major=major, ignore=ignore)
    return Nearest(nearest, differences, tuple(ties))


def _without_foreign(history: Folding, live: Schema) -> Schema:
    """The live schema without the extensions and the schemas that no revision ever made or dropped.

    Providers put extensions into every database (pg_stat_statements, for one), and a schema may have been there
    before the history: they say nothing of it.
    """
    foreign = {identity for identity in live if identity.startswith(HOSTS)} - history.hosts
    return {identity: live[identity] for identity in live.keys() - foreign} if foreign else live


def _has_something(history: Folding, live: Schema) -> bool:
    """Whether anything in the live schema is what some revision makes; what others provide does not count."""
    return any(identity in history.identities for identity in live if not identity.startswith(HOSTS))


def _recorded(history: Folding) -> Iterator[tuple[Rows, str]]:
    yield (), fingerprint({}) if history.baseline is None else history.baseline.schema
    for at, entry in enumerate(history.revisions):
        yield history.place(at), entry.schema


def distances_of(history: Folding, live: Schema, *, major: int, ignore: Sequence[str]) -> dict[Rows, int]:
    """How many differences each candidate has, as `len(compare(…))` counts them."""
    spelled = history.spellings
    distance = Distance(spelled.of_schema(live), same_major=major == history.postgres, ignore=ignore)
    distance.put_all(0, spelled.of_schema(history.base).items())
    distances: dict[Rows, int] = {(): distance.total}
    found = _visit(history, distance)
    for at, total in enumerate(found):
        distances[history.place(at)] = total
    if history.all_heads:
        distances[history.all_heads] = len(compare(history, history.all_heads, live, major=major, ignore=ignore))
        if all(distances.values()):
            distances |= _between_heads(history, live, major=major, ignore=ignore)
    return distances


def _between_heads(history: Folding, live: Schema, *, major: int, ignore: Sequence[str]) -> dict[Rows, int]:
    """How many differences there are where several branches have gone as far as each has.

    Branches that make different objects do not show in each other's distance, so that each is tried by itself, while
    the others stand where they were best: their number counts, not that of all combinations.
    """
    graph = Graph(entry.revision for entry in history.revisions)
    order = {entry.revision.id: number for number, entry in enumerate(history.revisions)}
    at: dict[str, str | None] = {head: head for head in history.all_heads}
    found: dict[Rows, int] = {}
    for head in history.all_heads:
        own = graph.ancestors([head]) - graph.ancestors(other for other in history.all_heads if other != head)
        tried: list[tuple[int, str | None]] = []
        for each in (*sorted(own, key=order.__getitem__, reverse=True)[:LONGEST_BRANCH], None):
            at[head] = each
            tips = graph.tips(graph.ancestors(row for row in at.values() if row is not None))
            rows = tuple(sorted(tips, key=order.__getitem__))
            # each revision alone is a candidate already
            if len(rows) > 1 and not history.lacking(rows):
                if rows not in found:
                    found[rows] = len(compare(history, rows, live, major=major, ignore=ignore))
                tried.append((found[rows], each))
        at[head] = min(tried, key=lambda one: one[0])[1]
    return dict(reversed(found.items()))


def _visit(history: Folding, distance: Distance) -> list[int]:
    """Lead the distance, which is at the base, to every revision; return its distance at each.

    The way leads down from parent to child and back by undoing, so that each line of changes counts once and a merge
    adds only what its other branches bring.
    """
    canonical = history.spellings.canonical
    put = [
        [(identity, left and canonical(identity, left)) for identity, left in assignments]
        for assignments in history.assignments
    ]
    children: list[list[int]] = [[] for _ in history.revisions]
    roots: list[int] = []
    for at, parents in enumerate(history.parents):
        (children[max(parents)] if parents else roots).append(at)
    distances = [0] * len(history.revisions)
    open_ = roots
    while open_:
        at = open_.pop()
        if at < 0:
            distance.undo()
            continue
        open_.append(~at)
        open_.extend(children[at])
        distance.mark()
        parents = history.parents[at]
        if len(parents) > 1:
            brought = history.closures[at] & ~history.closures[max(parents)] & ~(1 << at)
            for other in bits(brought):
                distance.put_all(other + 1, put[other])
        distance.put_all(at + 1, put[at])
        distances[at] = distance.total
    return distances
