"""What pending revisions take from the release that is still running, and how far they may go before it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from migrate.core.history.graph import Graph, Revision
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.manifest.match import Rows
    from migrate.core.schema.compatibility import Break


def released_at(manifest: Manifest, graph: Graph, rows: Rows, released: Rows, applied: Collection[str]) -> Rows:
    """The version rows of the schema that the running release was written for, where the database has `rows`.

    They are `released`, where the runs since have `applied` all that is between them and the release is served still:
    revisions that were held, or that a failed run left, do not make the release another one.
    """
    from migrate.core.schema.compatibility import serves

    if not released or graph.unknown(released) or manifest.lacking(released):
        return rows
    since = graph.ancestors(rows) - graph.ancestors(released)
    if graph.ancestors(released) - graph.ancestors(rows) or not since <= set(applied):
        return rows
    broken = serves(manifest.schema_at(released), manifest.schema_at(rows), manifest.spellings)
    return rows if broken else released


def taken_from(
    manifest: Manifest, graph: Graph, released: Rows, start: Rows, pending: Sequence[Revision]
) -> tuple[tuple[tuple[Break, Revision], ...], tuple[Revision, ...]]:
    """What a release written for `released` loses by the pending revisions, and those before the first that breaks it.

    A break that a later revision heals is none, but for a rule that was new, goes again, and leaves its table with another
    break (a CHECK before a NOT NULL); what comes before the first break never ends in the midst of one.
    """
    from migrate.core.schema.compatibility import first_breaking, serves

    running = manifest.schema_at(released)
    way = _way(graph, start, pending)
    last = serves(running, manifest.schema_at(way[-1]), manifest.spellings)
    if not last:
        return (), tuple(pending)
    between = _between(graph, released, start)
    steps = manifest.steps(released, (*between, *(revision.id for revision in pending)))
    first = first_breaking(running, steps, last, manifest.spellings)
    # what is there serves the release, so that none of the breaks that stay begins before the first pending revision
    by = {broken: max(at - len(between), 0) for broken, at in first.items()}
    safe = min(by[broken] for broken in last)
    while safe and serves(running, manifest.schema_at(way[safe]), manifest.spellings):
        safe -= 1
    replaced = [
        broken for broken, at in by.items() if at >= safe and broken not in last and broken.identity not in running
    ]
    return tuple((broken, pending[by[broken]]) for broken in (*last, *replaced)), tuple(pending[:safe])


def _way(graph: Graph, start: Iterable[str], pending: Sequence[Revision]) -> list[Rows]:
    """The version rows before the first pending revision, and after each."""
    reached = frozenset(start)
    way = [tuple(reached)]
    for revision in pending:
        reached = graph.rows_after(reached, revision.id)
        way.append(tuple(reached))
    return way


def _between(graph: Graph, released: Rows, start: Rows) -> tuple[str, ...]:
    """The revisions that were applied since, each after what it builds on."""
    since = graph.ancestors(start) - graph.ancestors(released)
    return tuple(revision.id for revision in graph.revisions if revision.id in since)
