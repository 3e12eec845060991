"""What the manifest tells a reviewer of pending revisions."""

from __future__ import annotations

from dataclasses import replace

from migrate.core.decide.review import reviewed
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build

ONE = Revision("one", (), (), (), "makes t", "one.py", "a")
TWO = Revision("two", ("one",), (), (), "drops a", "two.py", "a")
GRAPH = Graph([ONE, TWO])
MANIFEST = build(17, GRAPH, {"one": {"table t": "", "column t.a": "integer"}, "two": {"table t": ""}})


def test_what_a_pending_revision_changes_and_breaks_is_told():
    (two,) = reviewed(MANIFEST, GRAPH, ("one",), (TWO,))
    assert (two.revision, two.changes, two.effects, two.needs) == (TWO, ("- column t.a: integer",), None, None)
    assert two.breaks
    assert "t.a" in two.breaks[0]


def test_effects_and_needs_are_the_manifests_lines_and_on_an_empty_database_nothing_breaks():
    entries = tuple(replace(each, effects=("writes rows of t",), needs=()) for each in MANIFEST.revisions)
    one, two = reviewed(replace(MANIFEST, revisions=entries), GRAPH, (), (ONE, TWO))
    assert (one.effects, one.needs, two.effects) == (("writes rows of t",), (), ("writes rows of t",))
    assert (one.breaks, two.breaks) == ((), ())
