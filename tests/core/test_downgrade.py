"""Where going back leads: which revisions are reverted, what stays, and what is lost."""

from __future__ import annotations

import pytest

from migrate.core.decide.downgrade import is_relative, reverting, rows_below, taken_by_reverting
from migrate.core.history.faults import HistoryFault
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build
from migrate.core.manifest.holding import Place, Taken, place_of


def revision(id_: str, *down: str, depends_on: tuple[str, ...] = ()) -> Revision:
    return Revision(id_, down, depends_on, (), "", f"{id_}.py", "a")


# one - two - left - last (depends on right)
#          \- right
GRAPH = Graph(
    [
        revision("one"),
        revision("two", "one"),
        revision("left", "two"),
        revision("right", "two"),
        revision("last", "left", depends_on=("right",)),
    ]
)


@pytest.mark.parametrize(
    ("target", "relative"),
    [
        ("-1", True),
        ("+2", True),
        ("ab-1", True),
        ("x@base", True),
        ("head", True),
        ("heads", True),
        ("base", False),
        ("e8f921b5c3d1", False),
        ("0001", False),
    ],
)
def test_a_relative_target(target, relative):
    assert is_relative(target) is relative


@pytest.mark.parametrize(
    ("rows", "target", "gone", "below"),
    [
        (("last",), "base", {"one", "two", "left", "right", "last"}, ()),
        (("last",), "left", {"last"}, ("left", "right")),
        (("last",), "right", set(), ("last",)),  # nothing builds on it through down
        (("last",), "one", {"two", "left", "right", "last"}, ("one",)),
        (("left",), "one", {"two", "left"}, ("one",)),
        (("two",), "two", set(), ("two",)),
        ((), "base", set(), ()),
    ],
)
def test_what_is_reverted(rows, target, gone, below):
    found = reverting(GRAPH, rows, target)
    assert isinstance(found, tuple)
    assert {each.id for each in found} == gone
    assert rows_below(GRAPH, rows, gone) == below


def test_the_newest_goes_first():
    found = reverting(GRAPH, ("last",), "one")
    assert isinstance(found, tuple)
    order = [each.id for each in found]
    assert order[0] == "last"
    assert order[-1] == "two"


@pytest.mark.parametrize(("target", "why"), [("on", "not a revision"), ("last", "not applied here")])
def test_what_is_no_way_back(target, why):
    found = reverting(GRAPH, ("left",), target)
    assert isinstance(found, HistoryFault)
    assert why in found.why


def test_a_history_with_a_cycle_has_no_order():
    graph = Graph([revision("a", "b"), revision("b", "a")])
    assert isinstance(reverting(graph, (), "base"), HistoryFault)


def test_what_is_lost_holds_data():
    line = [revision("one"), revision("two", "one")]
    graph = Graph(line)
    one = {"table t": "table", "column t.a": "integer"}
    two = {
        **one,
        "column t.b": "text",
        "index t.ix": "btree (b)",
        "table audit.log": "table",
        "column audit.log.at": "date",
        "view v": "select",
    }
    manifest = build(17, graph, {"one": one, "two": two})
    assert taken_by_reverting(manifest, graph, ("two",), [line[1]]) == Taken(("column t.b", "table audit.log"))


def test_each_downgrade_is_judged_and_not_the_ends():
    line = [revision("one"), revision("two", "one"), revision("three", "two")]
    graph = Graph(line)
    t = {"table t": "table", "column t.a": "integer", "column t.g": "integer generated always as ((a * 2)) stored"}
    u = {"table u": "table", "column u.a": "integer", "view v": "select", "column v.a": "integer"}
    manifest = build(
        17, graph, {"one": {**t, **u}, "two": {"table u": "table", "column u.a": "bigint"}, "three": {**t, **u}}
    )
    found = taken_by_reverting(manifest, graph, ("three",), [line[2], line[1]])
    assert found == Taken(("table t",), ("column u.a",))


def test_where_a_table_or_a_column_is():
    assert place_of("table t", "public") == Place("public", "t", None)
    assert place_of('column audit."L og".at', "public") == Place("audit", "L og", "at")


def test_a_sibling_that_would_stay_without_what_it_follows_goes_first():
    graph = Graph([revision("root"), revision("a", "root"), revision("z", "root"), revision("other")])
    found = reverting(graph, ("a", "z", "other"), "base", {"a": ("z",)})
    assert isinstance(found, tuple)
    assert [one.id for one in found].index("a") < [one.id for one in found].index("z")
    chain = Graph([revision("z1"), revision("z2", "z1"), revision("a1"), revision("a2", "a1")])
    for after, fix in (({"a2": ("z2",)}, "migrate down --to a1 "), ({"a1": ("z2",)}, "migrate down --to base ")):
        refused = reverting(chain, ("a2", "z2"), "z1", after)
        assert isinstance(refused, HistoryFault)
        assert "would stay without it" in refused.why
        assert str(refused.fix).startswith(fix)
    assert isinstance(reverting(chain, ("a1", "z2"), "z1", {"a2": ("z2",)}), tuple)
    assert isinstance(reverting(chain, ("a2", "z2"), "a1", {"a2": ("z2",)}), tuple)
