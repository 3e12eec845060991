"""Each observation is exactly one position; findings stand beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrate.core.decide.observation import (
    Accepted,
    AppliedRevision,
    InvalidIndex,
    Observation,
    Server,
    Unfinished,
    UnprovenRun,
)
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Empty,
    Incomparable,
    Lacking,
    Residue,
    Split,
    Unknown,
    Unproven,
    Untracked,
    classify,
    descends,
    name,
    same_program,
)
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.core.manifest.match import Exact
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl

SERVER = Server(170000, "17.0", None, "app", "app", "UTF8", False, False, False, "public", True, True)


def revision(id_: str, *down: str, sha256: str = "a") -> Revision:
    return Revision(id_, down, (), (), "", f"{id_}.py", sha256)


ONE, TWO = revision("one"), revision("two", "one")
IMAGE = Image(Graph([ONE, TWO]))


def seen(*rows: str, **facts) -> Observation:
    return Observation(SERVER, rows=rows, **facts)


def ledger(*entries: AppliedRevision) -> dict[str, AppliedRevision]:
    return {entry.revision: entry for entry in entries}


NEW = AppliedRevision("new", ("two",), "new.py", "n")


@pytest.mark.parametrize(
    ("observation", "position"),
    [
        (seen(), Empty((ONE, TWO))),
        (seen("two"), AtHead(("two",))),
        (seen("one"), Behind(("one",), (TWO,))),
        (seen(objects=("table t",)), Untracked(("table t",))),
        (seen("new"), Unknown(("new",), ("new",))),
        (seen("new", ledger=ledger(NEW)), Ahead(("new",), ("new",))),
        (seen("newer", ledger=ledger(NEW, AppliedRevision("newer", ("new",), "", ""))), Ahead(("newer",), ("newer",))),
        (seen("new", ledger=ledger(AppliedRevision("new", ("one",), "", ""))), Unknown(("new",), ("new",))),
        (seen("two", "two"), Split(("two", "two"), ("two",), None, ("two",))),
        (seen("one", "two"), Split(("one", "two"), ("one",))),
    ],
)
def test_position(observation, position):
    assert classify(IMAGE, observation, "head").position == position


def test_a_target_that_the_database_has_passed_leaves_nothing_to_do():
    assert classify(IMAGE, seen("two"), "one").position == AtHead(("two",))


def test_names():
    assert name(AtHead(())) == "at-head"
    assert name(Empty(())) == "empty"


def test_a_history_that_goes_in_circles_in_the_ledger_ends():
    parents = {"new": ("newer",), "newer": ("new",)}
    assert not descends(("new",), ("two",), IMAGE.graph, parents)


def test_nothing_descends_from_no_head():
    assert not descends(("new",), (), Graph([]), {})


def test_residue_is_found():
    index = InvalidIndex("public", "t", "ix", "CREATE INDEX")
    part = Unfinished("r", 1, "upgrade", "two", committed=True)
    died = Unfinished("r", 2, "upgrade", "two", committed=False)
    state = classify(IMAGE, seen("one", invalid_indexes=(index,), unfinished=(part, died)), "head")
    assert state.findings == (Residue((index,), (part,)),)


def test_a_revision_beyond_which_the_rows_have_moved_left_nothing():
    whole = Unfinished("r", 1, "upgrade", "one", committed=True)
    reverting = Unfinished("r", 2, "downgrade", "one", committed=True)
    state = classify(IMAGE, seen("two", unfinished=(whole, reverting)), "head")
    assert state.findings == (Residue((), (reverting,)),)


@pytest.mark.parametrize(
    ("kept", "now", "edited"),
    [
        ("x = 1\n", "x = 2\n", True),
        ("x = 1\n", "x  =  1  # formatted\n", False),
        ("x = 1\n", "x = (\n", True),
    ],
)
def test_an_edit_is_another_program(kept, now, edited):
    image = Image(IMAGE.graph, sources={"one": now})
    applied = AppliedRevision("one", (), "one.py", "another hash", kept)
    state = classify(image, seen("one", ledger=ledger(applied)), "head")
    assert state.findings == ((Edited((ONE,)),) if edited else ())


def test_equal_bytes_and_revisions_of_other_images_are_no_edit():
    entries = ledger(AppliedRevision("one", (), "one.py", "a", "old"), NEW)
    image = Image(IMAGE.graph, sources={"one": "new"})
    assert classify(image, seen("one", ledger=entries), "head").findings == ()


def test_a_source_that_was_not_kept_cannot_be_judged():
    entries = ledger(AppliedRevision("one", (), "one.py", "b", None))
    assert classify(IMAGE, seen("one", ledger=entries), "head").findings == ()


def test_null_bytes_are_no_program():
    assert not same_program("x = 1", "x = 1\0")


def test_an_unresolvable_target_is_a_bug_of_the_caller():
    with pytest.raises(TypeError, match="nothing"):
        classify(IMAGE, seen("one"), "nothing")


def manifest():
    """One: a table with a column. Two: the column is gone, another came."""
    base = {"table t": "", "column t.a": "integer"}
    return build(17, IMAGE.graph, {"one": base, "two": {"table t": "", "column t.b": "integer"}})


PROVEN = Image(IMAGE.graph, manifest=manifest())
AT_ONE = {"table t": "", "column t.a": "integer"}
AT_TWO = {"table t": "", "column t.b": "integer"}


def test_what_was_accepted_is_no_drift_and_is_told():
    (found,) = classify(PROVEN, seen("two", schema=AT_ONE), "head").findings
    meant = frozenset(found.differences.facts())
    state = classify(PROVEN, seen("two", schema=AT_ONE, meant=meant), "head")
    assert state.findings == ()
    assert state.accepted == tuple(found.differences.sentences())


def test_the_schema_is_held_against_the_manifest():
    assert classify(PROVEN, seen("two", schema=AT_TWO), "head").findings == ()
    (found,) = classify(PROVEN, seen("two", schema=AT_ONE), "head").findings
    assert isinstance(found, Drifted)
    assert (len(found.differences), found.exact) == (2, ("one",))
    (found,) = classify(PROVEN, seen("two", schema={"table t": ""}), "head").findings
    assert isinstance(found, Drifted)
    assert found.exact is None


def test_what_is_extra_and_refuses_the_programs_rows_is_told_apart():
    live = {**AT_TWO, "column t.c": "integer not null", "column t.d": "integer"}
    (found,) = classify(PROVEN, seen("two", schema=live), "head").findings
    assert isinstance(found, Drifted)
    assert [each.identity for each in found.breaks] == ["column t.c"]


def test_what_is_ignored_is_no_drift():
    live = {**AT_TWO, "table other": ""}
    assert classify(PROVEN, seen("two", schema=live), "head", ("table other",)).findings == ()


def test_an_untracked_schema_is_identified():
    position = classify(PROVEN, seen(objects=("table t",), schema=AT_ONE), "head").position
    assert position == Untracked(("table t",), Exact(("one",)))


def test_a_newer_schema_is_asked_whether_it_serves():
    newer = {**AT_TWO, "column t.c": "text"}
    served = classify(PROVEN, seen("new", ledger=ledger(NEW), schema=newer), "head").position
    assert served == Ahead(("new",), ("new",), ())
    broken = classify(PROVEN, seen("new", ledger=ledger(NEW), schema={"table t": ""}), "head").position
    assert isinstance(broken, Ahead)
    assert [each.identity for each in broken.breaks or ()] == ["column t.b"]


def test_a_pending_revision_that_takes_something_from_the_running_release_is_named():
    (found,) = classify(PROVEN, seen("one", schema=AT_ONE), "head").findings
    assert isinstance(found, Breaking)
    assert [(broken.identity, by.id) for broken, by in found.breaks] == [("column t.a", "two")]


def test_what_an_adoption_would_go_on_to_break_is_named_too():
    state = classify(PROVEN, seen(objects=("table t",), schema=AT_ONE), "head")
    (found,) = state.findings
    assert isinstance(found, Breaking)
    unknown = classify(PROVEN, seen("gone", schema=AT_ONE), "head")
    assert [type(finding) for finding in unknown.findings] == [Breaking]


def test_pending_revisions_that_only_add_break_nothing():
    grown = build(17, IMAGE.graph, {"one": AT_ONE, "two": {**AT_ONE, "column t.b": "integer"}})
    assert classify(Image(IMAGE.graph, manifest=grown), seen("one", schema=AT_ONE), "head").findings == ()


def test_what_the_last_line_says_of_a_server():
    assert SERVER.context == {
        "server_address": None,
        "db_name": "app",
        "db_user": "app",
        "db_server_version": "17.0",
    }


@pytest.fixture
def elsewhere():
    graph = Graph([ONE])
    made = {"schema audit": "schema", "table audit.log": "table", "column audit.log.x": "integer"}
    return Image(graph, manifest=build(17, graph, {"one": made}, used=["audit"]))


def test_what_the_history_makes_in_other_schemas_is_there_too(elsewhere):
    live = {"table audit.log": "table", "column audit.log.x": "integer"}
    position = classify(elsewhere, seen(schema=live), "head").position
    assert isinstance(position, Untracked)
    assert position.objects == ("table audit.log",)


def test_what_others_have_there_is_no_object_of_the_history_and_was_there_before(elsewhere):
    live = {"schema audit": "schema", "table audit.theirs": "table"}
    state = classify(elsewhere, seen(schema=live), "head")
    assert state.position == Empty((ONE,))
    (finding,) = state.findings
    assert isinstance(finding, Drifted)
    assert finding.differences.sentences() == [
        "schema audit is not in the manifest",
        "table audit.theirs is not in the manifest",
    ]
    assert classify(elsewhere, seen(schema={}), "head").findings == ()
    assert classify(elsewhere, seen(), "head").position == Empty((ONE,))


def test_an_image_is_aimed_where_its_manifest_makes_something(elsewhere):
    target = Target(DatabaseUrl.parse("postgresql://u@h/d"), "DATABASE_URL")
    assert elsewhere.aim(target).schemas_beside("public") == ("public", "audit")
    assert IMAGE.aim(target) == target


@pytest.mark.parametrize("rows", [("one",), ()])
def test_what_the_role_cannot_compare_is_no_drift_and_no_match(rows):
    blind = Incomparable("app", ("extensions",))
    odd = {"table t": "", "column t.a": "extensions.citext"}
    objects = () if rows else ("table t",)
    state = classify(PROVEN, seen(*rows, objects=objects, schema=odd, unnamed=("extensions",)), "head")
    assert [finding for finding in state.findings if not isinstance(finding, Breaking)] == [blind]
    state = classify(PROVEN, seen(*rows, objects=objects, schema=AT_ONE, unnamed=("extensions",)), "head")
    assert [finding for finding in state.findings if not isinstance(finding, Breaking)] == []


# What earlier runs left to be proven

KNOWING = replace(IMAGE, manifest=build(17, IMAGE.graph, {"one": {"enum e": "'a'"}, "two": {"enum e": "'a', 'b'"}}))


def test_a_run_without_a_proof_is_a_finding():
    run = UnprovenRun("run9", None)
    assert classify(IMAGE, seen("two", unproven=run), "head").findings == (Unproven(run),)


@pytest.mark.parametrize(
    ("wrong", "identity", "is_named"),
    [
        ("table t is not in the manifest", "table t", True),
        ("table tt is not in the manifest", "table t", False),
        ("+ table t: table", "table t", True),
        ("~ enum e: 'a' -> 'b'", "enum e", True),
        ("table t", "table t", True),
    ],
)
def test_what_a_run_named(wrong, identity, is_named):
    assert UnprovenRun("run9", 32, (wrong,)).names(identity) is is_named


def test_what_an_operator_lets_stay_is_apart_from_what_differs():
    live = {"enum e": "'a', 'x'", "table t": "table"}
    left = Accepted("two", ("~ enum e: 'a' -> 'a', 'x'", "INVALID index public.i on t"))
    (found,) = classify(KNOWING, seen("one", schema=live, accepted=(left,)), "head").findings
    assert isinstance(found, Drifted)
    assert found.accepted is not None
    assert [each.identity for each in found.accepted.changed] == ["enum e"]
    assert [each.identity for each in found.differences.extra] == ["table t"]
    assert not found.differences.changed


def test_what_has_become_something_else_since_is_not_what_may_stay():
    left = Accepted("two", ("~ enum e: 'a' -> 'a', 'x'",))
    live = {"enum e": "'a', 'y'"}
    (found,) = classify(KNOWING, seen("one", schema=live, accepted=(left,)), "head").findings
    assert isinstance(found, Drifted)
    assert found.differences.changed


PARTED = InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON ONLY t USING btree (a)", parts_sql="ALTER INDEX ix …;")


@pytest.mark.parametrize(
    ("image", "rows", "is_residue"),
    [
        (IMAGE, ("two",), True),
        (IMAGE, ("one",), False),  # without a manifest nobody knows whether a later revision attaches the parts
        (PROVEN, ("two",), True),
        (PROVEN, ("one",), True),
    ],
)
def test_a_partitioned_index_is_residue_unless_it_is_meant_to_be_invalid(image, rows, is_residue):
    found = classify(image, seen(*rows, invalid_indexes=(PARTED,)), "head").findings
    assert any(isinstance(finding, Residue) for finding in found) is is_residue


def test_a_partitioned_index_that_the_manifest_has_invalid_is_meant():
    made = {"table t": "", "index t.ix": "btree (a) invalid"}
    graph = Graph([ONE])
    image = Image(graph, manifest=build(17, graph, {"one": made}))
    assert classify(image, seen("one", schema=made, invalid_indexes=(PARTED,)), "head").findings == ()


def test_a_unique_constraint_of_another_name_in_a_newer_schema_serves_with_a_word():
    proven = build(17, IMAGE.graph, {"one": AT_ONE, "two": {**AT_TWO, "constraint t.u": "UNIQUE (b)"}})
    newer = {**AT_TWO, "constraint t.n": "UNIQUE (b)"}
    position = classify(
        Image(IMAGE.graph, manifest=proven), seen("new", ledger=ledger(NEW), schema=newer), "head"
    ).position
    assert isinstance(position, Ahead)
    assert position.breaks == ()
    assert "ON CONSTRAINT u" in position.words[0]


def test_without_a_sibling_that_a_revision_follows_nothing_is_compared():
    z, a = Revision("z", (), (), (), "", "z.py", "z"), Revision("a", (), (), (), "", "a.py", "a")
    graph = Graph([a, z])
    manifest = build(
        17, graph, {"z": {"table z": ""}, "a": {"table z": "", "column z.a": "integer"}}, after={"a": ("z",)}
    )
    image = replace(IMAGE, graph=graph, manifest=manifest, sources={})
    state = classify(image, seen("a", schema={}), "heads")
    assert state.position == Behind(("a",), (z,))
    assert state.findings == (Lacking((("a", "z"),)),)
    assert classify(image, seen("a", "z", schema=manifest.schema_at(["a", "z"])), "heads").findings == ()
