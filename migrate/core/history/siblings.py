"""Revisions that build on siblings, of which no `depends_on` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from migrate.core.history.graph import Graph

After = Mapping[str, tuple[str, ...]]
"""For revisions that build on siblings without `depends_on`: those."""


def with_siblings(graph: Graph, after: After) -> Graph:
    """The history as it would be if `depends_on` named what revisions build on without saying so."""
    if not after:
        return graph
    return Graph(replace(one, depends_on=(*one.depends_on, *after.get(one.id, ()))) for one in graph.revisions)
