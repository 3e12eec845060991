"""What is put right, and what only a person can decide: one row per case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrate.core.decide.observation import InvalidIndex, Observation, Server, Unfinished
from migrate.core.decide.repair import (
    CloseStep,
    Closing,
    DropIndex,
    KeepRows,
    Left,
    RebuildIndex,
    Repairs,
    plan_repairs,
    rows_proven,
    said,
)
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build

SERVER = Server(170000, "17.0", None, "app", "app", "UTF8", False, False, False, "public", True, True)


def revision(id_: str, *down: str) -> Revision:
    return Revision(id_, down, (), (), "", f"{id_}.py", "a")


T = {"table t": "table", "column t.a": "integer"}
ONE_SCHEMA = {**T, "index t.ix": "btree (a)"}
TWO_SCHEMA = {**ONE_SCHEMA, "index t.late": "btree (a)"}
GRAPH = Graph([revision("one"), revision("two", "one")])
IMAGE = Image(GRAPH)
KNOWING = Image(GRAPH, manifest=build(17, GRAPH, {"one": ONE_SCHEMA, "two": TWO_SCHEMA}))

IX = InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON t (a)")
LATE = InvalidIndex("public", "t", "late", "CREATE INDEX late ON t (a)")
CCNEW = InvalidIndex("public", "t", "ix_ccnew1", "")
UNIQUE = InvalidIndex("public", "t", "uq", "", None, True)
KEY = InvalidIndex("public", "t", "t_pkey", "", "t_pkey", True)
EXCLUSION = InvalidIndex("public", "t", "ex", "", "ex", False, True)
ODD = InvalidIndex("Other", '"T"', '"a ""b"""', "")


def seen(*rows: str, schema=None, unfinished=(), indexes=()) -> Observation:
    return Observation(SERVER, rows, schema=schema, unfinished=tuple(unfinished), invalid_indexes=tuple(indexes))


def step(revision: str | None, *, committed: bool = True, kind: str = "upgrade") -> Unfinished:
    return Unfinished("dead", 7, kind, revision, committed=committed)


@pytest.mark.parametrize(
    ("image", "index", "sources", "expected"),
    [
        (KNOWING, IX, {}, RebuildIndex),  # the manifest has it at the recorded revision
        (KNOWING, LATE, {}, DropIndex),  # a pending revision makes it
        (KNOWING, UNIQUE, {}, RebuildIndex),  # nobody knows it: somebody wanted it
        (KNOWING, ODD, {}, RebuildIndex),
        (KNOWING, CCNEW, {}, DropIndex),
        (KNOWING, EXCLUSION, {}, Left),
        (KNOWING, KEY, {}, RebuildIndex),
        (IMAGE, LATE, {"two": "op.create_index('late', 't', ['a'])"}, DropIndex),
        (IMAGE, LATE, {"two": "op.create_index('later', 't', ['a'])"}, RebuildIndex),
        (IMAGE, LATE, {"two": "op.drop_index('late')"}, RebuildIndex),
        (IMAGE, LATE, {"two": "pass\ndef downgrade():\n    op.create_index('late')"}, RebuildIndex),
        (IMAGE, KEY, {"two": "t_pkey"}, RebuildIndex),
    ],
)
def test_an_invalid_index(image, index, sources, expected):
    found = plan_repairs(image, seen("one", indexes=[index]), sources=sources)
    (each,) = (*found.actions, *found.left)
    assert isinstance(each, expected)


def test_an_index_where_the_rows_say_nothing_is_rebuilt():
    for rows in (("new",), ("one", "two")):
        found = plan_repairs(KNOWING, seen(*rows, schema=ONE_SCHEMA, indexes=[LATE]))
        assert found.on_indexes == (RebuildIndex(LATE),)


@pytest.mark.parametrize(("count", "words"), [(1, "1 key occurs"), (3, "3 keys occur")])
def test_a_unique_index_with_duplicates_is_left(count, words):
    found = plan_repairs(IMAGE, seen("one", indexes=[UNIQUE]), duplicates={UNIQUE: count})
    assert words in found.left[0].what
    assert not found.actions


@pytest.mark.parametrize(
    ("image", "rows", "schema", "kept"),
    [
        (IMAGE, ("two", "two"), None, ("two",)),
        (IMAGE, ("new", "new"), None, ("new",)),
        (IMAGE, ("one", "two"), None, None),
        (KNOWING, ("one", "two"), None, None),
        (KNOWING, ("one", "two"), TWO_SCHEMA, ("two",)),
        (KNOWING, ("one", "two", "two"), ONE_SCHEMA, ("one",)),
        (KNOWING, ("one", "two"), T, None),
        (KNOWING, ("one", "two", "new"), TWO_SCHEMA, None),
    ],
)
def test_the_rows_of_a_split_table(image, rows, schema, kept):
    assert rows_proven(GRAPH, image.manifest, rows, schema, major=17) == kept
    found = plan_repairs(image, seen(*rows, schema=schema))
    if kept is None:
        assert found.left[0].what.startswith("the version table holds")
    else:
        (action,) = found.actions
        assert isinstance(action, KeepRows)
        assert (action.rows, action.replaced) == (kept, rows)


def test_rows_with_one_schema_prove_nothing():
    manifest = build(17, GRAPH, {"one": T, "two": T})
    assert rows_proven(GRAPH, manifest, ("one", "two"), T, major=17) is None


def test_branches_are_kept_beside_each_other():
    graph = Graph([revision("one"), revision("left", "one"), revision("right", "one")])
    left, right = {**T, "table l": "table"}, {**T, "table r": "table"}
    manifest = build(17, graph, {"one": T, "left": left, "right": right})
    both = {**left, **right}
    assert rows_proven(graph, manifest, ("left", "one", "right"), both, major=17) == ("left", "right")
    assert rows_proven(graph, manifest, ("left", "one", "right"), T, major=17) == ("one",)
    assert rows_proven(graph, manifest, ("left", "one", "right"), left, major=17) is None


def test_too_many_rows_are_not_tried():
    line = [revision("r0"), *(revision(f"r{n}", f"r{n - 1}") for n in range(1, 12))]
    graph = Graph(line)
    manifest = build(17, graph, {each.id: {f"table {each.id}": "table"} for each in line})
    rows = tuple(each.id for each in line)
    assert rows_proven(graph, manifest, rows, {"table r3": "table"}, major=17) is None


@pytest.mark.parametrize(
    ("image", "rows", "schema", "open_step", "closing", "status"),
    [
        (IMAGE, ("one",), None, step("two", committed=False), None, "abandoned"),
        (IMAGE, ("one",), None, step(None, committed=False, kind="adopt"), None, "abandoned"),
        (IMAGE, ("two",), None, step("one"), None, "finished"),
        (IMAGE, ("new",), None, step("new"), None, "finished"),
        (IMAGE, ("one",), None, step("two", kind="downgrade"), None, "finished"),
        (IMAGE, ("two",), None, step("two", kind="downgrade"), None, None),
        (IMAGE, ("one",), None, step("two"), None, None),
        (IMAGE, ("one",), None, step("two"), Closing("two", "by hand"), "abandoned"),
        (IMAGE, ("one",), None, step("two"), Closing("one", "by hand"), None),
        (KNOWING, ("one",), ONE_SCHEMA, step("two"), None, "abandoned"),
        (KNOWING, ("one",), ONE_SCHEMA, step(None, kind="repair"), None, "abandoned"),
        (KNOWING, ("one",), TWO_SCHEMA, step("two"), None, None),
        (KNOWING, ("new",), ONE_SCHEMA, step("two"), None, None),
    ],
)
def test_a_row_of_the_ledger(image, rows, schema, open_step, closing, status):
    found = plan_repairs(image, seen(*rows, schema=schema, unfinished=[open_step]), closing=closing)
    if status is None:
        assert "--close two" in str(found.left[0].fix)
    else:
        (action,) = found.actions
        assert isinstance(action, CloseStep)
        assert action.status == status


def test_rows_of_a_split_table_prove_no_ledger_row():
    found = plan_repairs(KNOWING, seen("one", "two", schema=T, unfinished=[step("three")]))
    assert len(found.left) == 2


def test_every_action_is_a_sentence():
    found = plan_repairs(
        KNOWING, seen("one", "one", schema=ONE_SCHEMA, indexes=[ODD, CCNEW], unfinished=[step(None, committed=False)])
    )
    assert [said(action) for action in found.actions] == [
        'rebuild index "a ""b""" on "T": REINDEX INDEX CONCURRENTLY "Other"."a ""b"""',
        'drop index ix_ccnew1 on t, which an interrupted REINDEX CONCURRENTLY left: DROP INDEX CONCURRENTLY IF EXISTS "public".ix_ccnew1',
        "let the version table hold one instead of one, one: a row was there twice",
        "close step upgrade of run dead as abandoned: its run died and left nothing of it",
    ]
    named = said(CloseStep(step("two"), "finished", "why"))
    assert named == "close step upgrade of revision two of run dead as finished: why"


def test_nothing_is_nothing():
    assert not plan_repairs(KNOWING, seen("one", schema=ONE_SCHEMA))
    assert Repairs(left=(Left("what", "fix"),))


def part(*left: str) -> Unfinished:
    return replace(step("two"), left=left)


INDEX_LEFT = "+ index t.late: btree (a)"
WORD = "migrate repair --yes --close two --reason 'WHY'"


@pytest.mark.parametrize(
    ("image", "schema", "left", "named", "fix"),
    [
        # recorded: only that is asked for, with a manifest or without
        (KNOWING, {**TWO_SCHEMA, "index t.hand": "btree (a)"}, (INDEX_LEFT,), "there still is: index t.late", True),
        (IMAGE, TWO_SCHEMA, (INDEX_LEFT, "INVALID index public.late on t"), "there still is: index t.late", True),
        (
            IMAGE,
            {**T, "table n": "table", "column n.a": "integer"},
            ("+ table n: table",),
            "there still is: table n",
            False,
        ),
        # not recorded: what the manifest says of the rows
        (KNOWING, TWO_SCHEMA, (), "does not match one: index t.late is not in the manifest", True),
        (KNOWING, T, (), "does not match one: index t.ix is missing in the database", True),
        (KNOWING, {}, (), "does not match one: ", False),
        # nothing tells what it left, or whether it is there
        (IMAGE, TWO_SCHEMA, (), "what it left is not recorded", None),
        (IMAGE, TWO_SCHEMA, ("- column t.b: integer",), "it left: - column t.b: integer", None),
        (IMAGE, TWO_SCHEMA, (INDEX_LEFT,) * 20, "it left: + index t.late", None),
        (IMAGE, None, (INDEX_LEFT,), "it left: + index t.late", None),
    ],
)
def test_what_a_part_left_is_named_with_the_way_out(image, schema, left, named, fix):
    (found,) = plan_repairs(image, seen("one", schema=schema, unfinished=[part(*left)])).left
    assert named in found.what
    assert str(found.fix).endswith(WORD) is (fix is not None)
    assert str(found.fix).startswith('psql "$DATABASE_URL" -c ') is (fix is True)
    assert (
        " && migrate repair --yes   #" in str(found.fix) if fix else str(found.fix).startswith("migrate repair --yes ")
    )


def test_statements_name_the_schema_that_is_not_everybodys():
    observation = seen("one", schema=TWO_SCHEMA, unfinished=[part(INDEX_LEFT)])
    tenants = replace(observation, server=replace(SERVER, schema="Tenant"))
    (found,) = plan_repairs(IMAGE, tenants, url='"$OURS"').left
    tenants_own = """psql "$OURS" -c 'SET search_path TO "Tenant";' -c 'DROP INDEX CONCURRENTLY late;'"""
    assert str(found.fix).startswith(f"{tenants_own} && ")


def test_many_differences_are_counted():
    many = {**ONE_SCHEMA, **{f"index t.i{n}": "btree (a)" for n in range(7)}}
    (found,) = plan_repairs(KNOWING, seen("one", schema=many, unfinished=[step("two")])).left
    assert found.what.endswith("; and 2 more")


def test_a_part_of_which_nothing_is_there_any_more_is_closed():
    hand = {**ONE_SCHEMA, "index t.hand": "btree (a)"}
    for image in (IMAGE, KNOWING):
        (action,) = plan_repairs(image, seen("one", schema=hand, unfinished=[part(INDEX_LEFT)])).actions
        assert isinstance(action, CloseStep)
        assert (action.status, action.reason) == ("abandoned", "nothing of what it left is there any more")


@pytest.mark.parametrize(
    ("index", "schema"),
    [
        (LATE, {**ONE_SCHEMA, "index t.late": "btree (a) invalid"}),  # to be dropped
        (IX, {**T, "index t.ix": "btree (a) invalid"}),  # to be rebuilt
        (CCNEW, ONE_SCHEMA),
        (UNIQUE, ONE_SCHEMA),
    ],
)
def test_what_is_foreseen_counts_with_the_end_of_the_indexes(index, schema):
    observation = seen("one", schema=schema, unfinished=[step("two")], indexes=[index])
    foreseen = plan_repairs(KNOWING, observation, foresees=True)
    assert (len(foreseen.actions), foreseen.left) == (2, ())
    now = plan_repairs(KNOWING, observation)
    assert bool(now.left) is (schema is not ONE_SCHEMA)


def test_nothing_is_foreseen_of_a_schema_that_was_not_read():
    found = plan_repairs(IMAGE, seen("one", unfinished=[step("two")], indexes=[IX]), foresees=True)
    assert (len(found.actions), len(found.left)) == (1, 1)


def test_a_partitioned_index_gets_its_parts_from_a_person_or_goes_where_a_pending_revision_makes_it():
    parts = "CREATE INDEX CONCURRENTLY t1_ix ON t1 USING btree (a); ALTER INDEX ix ATTACH PARTITION t1_ix;"
    (left,) = plan_repairs(KNOWING, seen("two", indexes=(replace(IX, parts_sql=parts),))).left
    assert str(left.fix) == parts
    (left,) = plan_repairs(KNOWING, seen("one", indexes=(replace(LATE, parts_sql=parts),))).left
    assert str(left.fix) == 'DROP INDEX "public".late;'
