"""What the manifest, and a database where one was asked, tell a reviewer of pending revisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrate.core.decide.review import Concern, marks, reviewed
from migrate.core.foresee.effects import read as effect
from migrate.core.foresee.live import Against, LiveEffect, LiveNeed, Met, Outlook, TableSize
from migrate.core.foresee.needs import read as need
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build

ONE = Revision("one", (), (), (), "makes t", "one.py", "a")
TWO = Revision("two", ("one",), (), (), "drops a", "two.py", "a")
GRAPH = Graph([ONE, TWO])
MANIFEST = build(17, GRAPH, {"one": {"table t": "", "column t.a": "integer"}, "two": {"table t": ""}})
BUILT = "blocks writes of t: builds index ix"
FULL = "no NULL in t.a"


def manifest(effects=(), needs=()):
    return replace(
        MANIFEST, revisions=tuple(replace(each, effects=effects, needs=needs) for each in MANIFEST.revisions)
    )


def of_two(effects=(), needs=(), outlook=None):
    (two,) = reviewed(manifest(effects, needs), GRAPH, ("one",), (TWO,), outlook)
    return two


def test_the_safe_way_to_what_blocks_for_long_is_told_with_the_revision():
    effects = ("blocks writes of t: builds index ix", "blocks writes of t: rewrite", "writes rows of t")
    entries = {entry.revision.id: entry for entry in MANIFEST.revisions}
    more = replace(MANIFEST, revisions=(entries["one"], replace(entries["two"], effects=effects)))
    (two,) = reviewed(more, GRAPH, ("one",), (TWO,))
    (way,) = two.safer
    assert "new column" in way.sentence
    assert two.to_json()["safer"] == [{"sentence": way.sentence, "revisions": []}]


def test_what_a_pending_revision_changes_and_breaks_is_told():
    (two,) = reviewed(MANIFEST, GRAPH, ("one",), (TWO,))
    assert (two.revision, two.changes, two.effects_said, two.needs_said) == (
        TWO,
        ("- column t.a: integer",),
        None,
        None,
    )
    assert two.breaks
    assert "t.a" in two.breaks[0]
    assert two.to_json() == {
        "revision": "two", "changes": ["- column t.a: integer"], "effects": None, "needs": None, "breaks": list(two.breaks),
        "safer": [],
    }  # fmt: skip


def test_without_a_database_effects_and_needs_are_the_manifests_lines_and_on_an_empty_one_nothing_breaks():
    one, two = reviewed(manifest(("writes rows of t",), (FULL,)), GRAPH, (), (ONE, TWO))
    assert (one.effects_said, one.needs_said, two.effects_said) == (
        ("writes rows of t",),
        (FULL,),
        ("writes rows of t",),
    )
    assert (one.breaks, two.breaks) == ((), ())
    assert one.to_json()["needs"] == [FULL]


def test_with_a_database_they_have_its_sizes_and_answers():
    size = LiveEffect(TWO, effect(BUILT), TableSize(1 << 30))
    answer = LiveNeed(TWO, need(FULL), Against(11, "SELECT 1"))
    two = of_two((BUILT,), (FULL,), Outlook((size,), (answer,)))
    assert two.effects_said == ("blocks writes of t, 1 GB: builds index ix",)
    assert two.needs_said == (f"{FULL}: 11 rows break it",)
    assert of_two((BUILT,), (), Outlook()).effects_said == (BUILT,), "nothing was asked of it"


@pytest.mark.parametrize(
    ("line", "is_marked"),
    [
        (BUILT, True),
        ("blocks reads and writes of t: rewrite", True),
        ("blocks reads and writes of t through 3 more statements", True),
        ("blocks reads and writes of t: brief", False),
        ("concurrent build of index ix on t", False),
        ("writes rows of t", False),
    ],
)
def test_what_blocks_for_as_long_as_the_rows_take_is_marked(line, is_marked):
    found = [mark for mark in marks([of_two((line,))]) if mark.rule is Concern.BLOCKS]
    assert [(mark.text, mark.is_error) for mark in found] == [(line, False)] * is_marked


@pytest.mark.parametrize(
    ("answer", "rule"), [(None, Concern.NEEDS), (Met(), None), (Against(2, "SELECT x"), Concern.AGAINST)]
)
def test_needs_are_marked_unless_they_are_met_and_rows_against_one_are_an_error(answer, rule):
    two = of_two((), (FULL,), Outlook((), (LiveNeed(TWO, need(FULL), answer),)))
    found = [mark for mark in marks([two]) if mark.rule is not Concern.BREAKS]
    assert [mark.rule for mark in found] == ([rule] if rule else [])
    assert [mark.is_error for mark in found] == ([rule is Concern.AGAINST] if rule else [])
    assert all(mark.subject == FULL and mark.names == ("a", "t") for mark in found)
    assert all(("SELECT x" in mark.text) is (rule is Concern.AGAINST) for mark in found)


def test_what_breaks_the_running_release_is_marked_and_an_index_is_looked_for_before_its_table():
    first, *rest = marks([of_two((BUILT,))])
    assert (first.rule, first.names) == (Concern.BREAKS, ())
    assert [mark.names for mark in rest] == [("ix", "t")]
    assert list(marks(reviewed(MANIFEST, GRAPH, (), (ONE,)))) == []
