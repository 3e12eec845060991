"""How far pending revisions may go before they break the release that is still running, and which release that is."""

from __future__ import annotations

import pytest

from migrate.core.decide.observation import AppliedRevision, Observation, Server
from migrate.core.decide.running import released_at, taken_from
from migrate.core.decide.state import Breaking, Split, classify
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build

SERVER = Server(170000, "17.0", None, "app", "app", "UTF8", False, False, False, "public", True, True)
AT = {
    "a": {"table t": "", "column t.old": "text", "column t.x": "text not null default 'new'::text"},
    "b": {"table t": "", "column t.old": "text", "column t.x": "text default 'new'::text"},
    "c": {"table t": "", "column t.old": "text", "column t.x": "text"},
    "d": {"table t": "", "column t.x": "text"},
}


def revision(id_: str, *down: str) -> Revision:
    return Revision(id_, down, (), (), "", f"{id_}.py", "a")


LINE = Graph([revision("a"), revision("b", "a"), revision("c", "b"), revision("d", "c")])
MANIFEST = build(17, LINE, AT)
B, C, D = LINE.revisions[1:]


def taken(manifest, graph, released, start, pending):
    breaks, before = taken_from(manifest, graph, released, start, pending)
    return [(broken.identity, by.id) for broken, by in breaks], [each.id for each in before]


def test_it_goes_as_far_as_the_first_revision_that_breaks_the_release():
    assert taken(MANIFEST, LINE, ("a",), ("a",), (B, C, D)) == ([("column t.old", "d"), ("column t.x", "c")], ["b"])
    assert taken(MANIFEST, LINE, ("b",), ("b",), (C,)) == ([], ["c"]), "a program that reads NULL needs no default"
    assert taken(MANIFEST, LINE, ("a",), ("b",), (C,)) == ([("column t.x", "c")], []), "the one that runs does"


def test_it_never_ends_in_the_midst_of_a_break_that_a_later_revision_heals():
    graph = Graph([revision("a"), revision("b", "a"), revision("c", "b"), revision("d", "c")])
    whole = {"table t": "", "column t.x": "text", "column t.y": "text"}
    without = {"table t": "", "column t.y": "text"}
    manifest = build(
        17, graph, {"a": whole, "b": without, "c": {"table t": ""}, "d": {"table t": "", "column t.x": "text"}}
    )
    pending = tuple(graph.get(each) for each in "bcd")
    assert taken(manifest, graph, ("a",), ("a",), pending) == ([("column t.y", "c")], [])


def test_what_a_later_revision_puts_another_break_in_the_place_of_is_named_too():
    graph = Graph([revision("a"), revision("b", "a"), revision("c", "b"), revision("d", "c"), revision("e", "d")])
    nullable = {"table t": "", "column t.x": "text", "column t.y": "text"}
    checked = nullable | {"constraint t.c": "CHECK ((x IS NOT NULL)) NOT VALID"}
    required = checked | {"column t.x": "text not null"}
    manifest = build(
        17,
        graph,
        {
            "a": nullable,
            "b": checked,
            "c": required,
            "d": {k: v for k, v in required.items() if k != "constraint t.c"},
            "e": {"table t": "", "column t.x": "character varying(9) not null", "column t.y": "text"},
        },
    )
    pending = tuple(graph.get(each) for each in "bcd")
    assert taken(manifest, graph, ("a",), ("a",), pending) == ([("column t.x", "c"), ("constraint t.c", "b")], [])
    later = tuple(graph.get(each) for each in "bcde")
    breaks, _ = taken(manifest, graph, ("a",), ("a",), later)
    assert ("constraint t.c", "b") in breaks
    assert ("column t.x", "c") in breaks, "what it looks like at the end begins where it was made"


@pytest.mark.parametrize(
    ("rows", "released", "applied", "found"),
    [
        ("b", "a", "b", "a"),
        ("b", "", "b", "b"),
        ("b", "z", "b", "b"),
        ("a", "b", "b", "a"),
        ("b", "a", "", "b"),
        ("d", "a", "bcd", "d"),
    ],
    ids=["held", "no run", "not of this image", "gone back", "by nobody that is known", "broken already"],
)
def test_the_release_that_runs_is_of_where_the_first_unfinished_run_began(rows, released, applied, found):
    assert released_at(MANIFEST, LINE, (rows,), tuple(released), tuple(applied)) == (found,)


def test_what_is_found_tells_how_far_a_run_may_go_and_whether_the_new_program_runs_meanwhile():
    image = Image(LINE, manifest=MANIFEST)
    ledger = {"b": AppliedRevision("b", ("a",), "b.py", "a")}
    held = Observation(SERVER, rows=("b",), schema=AT["b"], ledger=ledger, released=("a",))
    (found,) = classify(image, held, "head").findings
    assert isinstance(found, Breaking)
    assert (found.before, found.serves_image) == ((), True)
    at_b = Observation(SERVER, rows=("b",), schema=AT["b"])
    (found,) = classify(image, at_b, "head").findings
    assert isinstance(found, Breaking)
    assert (found.before, found.serves_image) == ((C,), False), "something is to be applied yet"


def test_what_would_be_broken_from_the_rows_that_are_kept_is_found_too():
    twice = Observation(SERVER, rows=("b", "b"), schema={**AT["b"], "column t.odd": "text"})
    state = classify(Image(LINE, manifest=MANIFEST), twice, "head")
    assert isinstance(state.position, Split)
    assert state.position.proven == ("b",)
    assert [type(finding) for finding in state.findings] == [Breaking]
