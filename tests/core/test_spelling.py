"""One definition that is printed in two ways is one definition, and a real difference is still seen."""

from __future__ import annotations

import pytest

from migrate.core.decide.observation import Observation, Server
from migrate.core.decide.state import Unknown, classify
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.core.manifest.entries import Baseline, MalformedManifest
from migrate.core.manifest.manifest import Manifest
from migrate.core.manifest.match import Exact, Nearest, Several
from migrate.core.schema.compatibility import serves
from migrate.core.schema.differences import (
    ChangeError,
    Renamed,
    changes,
    compare,
    is_spelling,
    read_change,
    read_spelling,
)
from migrate.core.schema.spelling import AS_PRINTED, Spellings, carried_over, may_be_respelled
from tests.support.changes import apply

TABLE = {"table t": "table", "column t.status": "character varying(9)"}
MADE = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))"
RESTORED = "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))"
MORE = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying, 'c'::text])::text[])))"
MORE_RESTORED = RESTORED.replace("])", ", ('c'::character varying)::text])")
OTHER = RESTORED.replace("'b'", "'x'")
CHECK = "constraint t.known"
SPELLED = Spellings([(CHECK, (MADE, RESTORED))])


def revision(id_: str, *down: str) -> Revision:
    return Revision(id_, down, (), (), id_, f"{id_}.py", f"sha of {id_}")


def manifest(*schemas: dict[str, str], baseline: Baseline | None = None) -> Manifest:
    """One revision after another, of which the checks that were made are known in both spellings."""
    ids = [f"r{number}" for number in range(len(schemas))]
    revisions = [revision(id_, *ids[max(at - 1, 0) : at]) for at, id_ in enumerate(ids)]
    known = {(CHECK, MADE): (RESTORED,), (CHECK, MORE): (MORE_RESTORED,)}
    return build(17, Graph(revisions), dict(zip(ids, schemas, strict=True)), baseline, spellings=known)


# The lines


def test_another_spelling_stands_below_the_definition_and_changes_nothing() -> None:
    known = {(CHECK, MADE): (RESTORED,)}
    added = changes(TABLE, TABLE | {CHECK: MADE}, known)
    assert added == [f"+ {CHECK}: {MADE}", f"= {CHECK}: {RESTORED}"]
    assert changes({CHECK: MORE}, {CHECK: MADE}, known) == [f"~ {CHECK}: {MORE} -> {MADE}", added[1]]
    assert changes({CHECK: MADE}, {CHECK: MADE}, known) == []
    assert changes({CHECK: MADE}, {}, known) == [f"- {CHECK}: {MADE}"]
    assert apply(TABLE, added) == TABLE | {CHECK: MADE}
    assert [is_spelling(line) for line in added] == [False, True]
    assert read_spelling(added[1]) == (CHECK, RESTORED)
    with pytest.raises(ChangeError):
        read_change(added[1])


def test_a_manifest_keeps_both_spellings_and_the_schema_has_the_first() -> None:
    made = manifest(TABLE, TABLE | {CHECK: MADE})
    again = Manifest.parse(made.serialise())
    assert again == made
    assert again.schema_at(["r1"]) == TABLE | {CHECK: MADE}
    assert again.spellings.of(CHECK, MADE) == (MADE, RESTORED)
    assert again.known_spellings(["r1"]) == {(CHECK, MADE): (RESTORED,)}
    assert again.known_spellings([]) == {}
    assert not manifest(TABLE).spellings


@pytest.mark.parametrize("before", ["", '"- constraint t.known: x",', '"+ constraint t.other: x",'])
def test_a_spelling_of_nothing_is_malformed(before: str) -> None:
    lines = f'"changes": [{before}"= {CHECK}: y"]'
    text = manifest(TABLE).serialise().replace('"changes": [\n', f"{lines[:-1]},\n", 1)
    with pytest.raises(MalformedManifest, match="not below the definition"):
        Manifest.parse(text).schema_at(["r0"])


def test_a_baseline_keeps_both_spellings() -> None:
    base = Baseline.of("b.sql", "sha", TABLE | {CHECK: MADE}, {(CHECK, MADE): (RESTORED,)})
    made = manifest(TABLE | {CHECK: MADE}, baseline=base)
    assert made.compare((), TABLE | {CHECK: RESTORED}, major=17).sentences() == []
    assert made.known_spellings(["r0"])[CHECK, MADE] == (RESTORED,)
    assert made.known_spellings(["r0"])["table t", "table"] == ()


# What is equal


def test_either_spelling_is_equal_and_another_check_is_not() -> None:
    made = manifest(TABLE, TABLE | {CHECK: MADE})
    for spelling in (MADE, RESTORED):
        assert not made.compare(("r1",), TABLE | {CHECK: spelling}, major=17)
    for other in (OTHER, MORE, MORE_RESTORED, f"{RESTORED} NOT VALID"):
        (difference,) = made.compare(("r1",), TABLE | {CHECK: other}, major=17).changed
        assert (difference.expected, difference.actual) == (MADE, other)


def test_a_spelling_is_that_of_its_own_object_alone() -> None:
    live = TABLE | {"table u": "table", "constraint u.known": RESTORED}
    expected = TABLE | {"table u": "table", "constraint u.known": MADE}
    assert compare(expected, live, same_major=True, canonical=SPELLED.canonical).changed
    assert SPELLED.of("constraint u.known", MADE) == (MADE,)


def test_the_same_check_under_another_name_is_found_in_either_spelling() -> None:
    found = manifest(TABLE | {CHECK: MADE}).compare(("r0",), TABLE | {"constraint t.odd": RESTORED}, major=17)
    assert found.renamed == (Renamed(CHECK, "constraint t.odd"),)
    assert len(found) == 1


def test_spellings_of_several_revisions_are_one_group() -> None:
    found = Spellings([(CHECK, ("a", "b")), (CHECK, ("c", "b")), ("view v", ("a", "d"))])
    assert set(found.of(CHECK, "a")) == {"a", "b", "c"}
    assert found.canonical(CHECK, "b") == found.canonical(CHECK, "c")
    assert found.of("view v", "d") == ("a", "d")
    assert found.of_schema({CHECK: "c", "view v": "x"}) == {CHECK: found.canonical(CHECK, "a"), "view v": "x"}


def test_a_schema_is_spelled_as_another_one_where_they_are_equal() -> None:
    expected, live = {CHECK: MADE, "view v": "x"}, {CHECK: RESTORED, "view v": "y"}
    assert SPELLED.as_in(expected, live) == {CHECK: RESTORED, "view v": "x"}
    assert SPELLED.as_in(expected, {}) == expected
    assert AS_PRINTED.as_in(expected, live) == expected


# Everything that compares


def test_a_restored_database_is_recognised() -> None:
    made = manifest(TABLE, TABLE | {CHECK: MADE}, TABLE | {CHECK: MORE})
    assert made.identify(TABLE | {CHECK: MADE}, major=17) == Exact(("r1",))
    assert made.identify(TABLE | {CHECK: RESTORED}, major=17) == Exact(("r1",))
    assert made.identify(TABLE | {CHECK: MORE_RESTORED}, major=17) == Exact(("r2",))
    found = made.identify(TABLE | {CHECK: RESTORED, "table u": "table"}, major=17)
    assert isinstance(found, Nearest)
    assert (found.rows, len(found.differences)) == (("r1",), 1)


def test_a_revision_that_only_writes_a_check_in_its_other_spelling_cannot_be_told_apart() -> None:
    made = manifest(TABLE | {CHECK: MADE}, TABLE | {CHECK: RESTORED})
    assert made.identify(TABLE | {CHECK: RESTORED}, major=17) == Several((("r0",), ("r1",)))


def test_branches_that_leave_one_check_in_two_spellings_both_fit() -> None:
    graph = Graph([revision("root"), revision("a", "root"), revision("b", "root")])
    schemas = {"root": TABLE, "a": TABLE | {CHECK: MADE}, "b": TABLE | {CHECK: MORE}}
    made = build(17, graph, schemas, spellings={(CHECK, MADE): (RESTORED,)})
    for fits in (MADE, RESTORED, MORE):
        assert not made.compare(("a", "b"), TABLE | {CHECK: fits}, major=17), fits
    assert made.compare(("a", "b"), TABLE | {CHECK: OTHER}, major=17)


def test_a_rollback_on_a_restored_database_is_served() -> None:
    # The newer release allowed one value more; this image knows neither of its spellings.
    for live in (RESTORED, MORE_RESTORED, MORE):
        assert serves(TABLE | {CHECK: MADE}, TABLE | {CHECK: live}, SPELLED) == (), live
        assert serves(TABLE | {CHECK: RESTORED}, TABLE | {CHECK: live}, SPELLED) == (), live
    (broken,) = serves(TABLE | {CHECK: MADE}, TABLE | {CHECK: OTHER}, SPELLED)
    assert broken.rule == "constraint-changed"
    assert "'x'" in broken.why
    # two lists of values are compared as such, though nothing is known of their spellings
    assert serves(TABLE | {CHECK: MADE}, TABLE | {CHECK: MORE_RESTORED}) == ()


def test_the_state_of_a_restored_database_ahead_of_its_image() -> None:
    made = manifest(TABLE | {CHECK: MADE})
    image = Image(Graph([revision("r0")]), manifest=made)
    server = Server(
        170000,
        "17.0",
        None,
        "db",
        "user",
        "UTF8",
        in_recovery=False,
        read_only=False,
        pooled=False,
        schema="public",
        may_create=True,
        may_write_versions=True,
    )
    position = classify(image, Observation(server, ("newer",), schema=TABLE | {CHECK: RESTORED}), "heads").position
    assert isinstance(position, Unknown)
    assert (position.breaks, position.match) == ((), Exact(("r0",)))


# What is worth trying


@pytest.mark.parametrize(
    ("identity", "definition", "expected"),
    [
        ("column t.a", "integer not null", False),
        ("column t.a", "integer not null default nextval('t_a_seq'::regclass)", False),
        ("column t.a", "character varying(5) default 'it''s'::character varying(5)", False),
        ("column t.a", "timestamp with time zone default now()", False),
        ("column t.a", "timestamp with time zone default CURRENT_TIMESTAMP", False),
        ("column t.a", "numeric(5,2)[] default '{}'::numeric(5,2)[]", False),
        ("column t.a", "integer default '-1'::integer", False),
        ("column t.a", "bigint generated always as identity (start with 5)", False),
        ("column t.a", "boolean default ('a'::text = 'b'::text)", True),
        ("column t.a", "integer generated always as ((b + 1)) stored", True),
        ("domain d", "integer", False),
        ("domain d", "integer default (1 + 1)", True),
        ("view v", "SELECT 1", True),
        ("materialized view v", "SELECT 1", True),
        ("rule t.r", "on delete DO INSTEAD NOTHING;", True),
        ("policy t.p", "as permissive for all to public using (true)", True),
        ("constraint t.c", "CHECK ((a > 0))", True),
        ("constraint t.c", "EXCLUDE USING gist (a WITH =)", True),
        ("constraint t.c", "FOREIGN KEY (a) REFERENCES t(id)", False),
        ("index t.i", "btree (a)", False),
        ("index t.i", "btree (a) WHERE (a > 0)", True),
        ("index t.i", "btree (a) WHERE (a > 0) invalid", False),
        ("trigger t.g", "BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()", False),
        ("trigger t.g", "BEFORE UPDATE ON t FOR EACH ROW WHEN (new.a > 0) EXECUTE FUNCTION f()", True),
        ("function f()", "()\n RETURNS integer\n LANGUAGE sql\nAS $function$SELECT 1$function$", False),
        ("function f()", "()\n RETURNS integer\n LANGUAGE sql\nBEGIN ATOMIC\n SELECT 1;\nEND", True),
        ("function f()", "()\n RETURNS integer\n LANGUAGE sql\nRETURN 1", True),
        ("procedure f(integer)", "(IN a integer DEFAULT (1 + 1))\n LANGUAGE sql\nAS $procedure$$procedure$", True),
        ("statistics s", "(ndistinct) on a, b from t", False),
        ("statistics s", "() on (a + b) from t", True),
        ("table t", "table partition by RANGE (a)", False),
        ("table t", "table partition by RANGE (lower(a))", True),
        ("sequence s", "bigint", False),
    ],
)
def test_what_holds_an_expression_is_tried(identity: str, definition: str, expected: bool) -> None:
    assert may_be_respelled(identity, definition) is expected


@pytest.mark.parametrize(
    ("before", "spelling", "after", "expected"),
    [
        (RESTORED, MADE, RESTORED, MADE),
        (RESTORED, MADE, RESTORED.replace("status", "state"), MADE.replace("status", "state")),
        (RESTORED, MADE, RESTORED.replace("status", '"the state"'), MADE.replace("status", '"the state"')),
        (RESTORED, MADE, f"{RESTORED} NOT VALID", f"{MADE} NOT VALID"),
        (f"{RESTORED} NOT VALID", f"{MADE} NOT VALID", RESTORED, MADE),
        (
            "SELECT t.a, (b AND c) AND d",
            "SELECT t.a, b AND c AND d",
            "SELECT t.x AS a, (b AND c) AND d",
            "SELECT t.x AS a, b AND c AND d",
        ),
        ("SELECT a, (b) FROM t", "SELECT a, b FROM t", "SELECT x AS a, (b) FROM t", "SELECT x AS a, b FROM t"),
        ("a = (b)", "a = b", "a = (c)", "a = c"),
        ("a = (b OR c)", "a = d", "a = (b OR e)", None),
        ("a + (b)", "a + b", "a + b", None),
    ],
)
def test_a_change_is_carried_over_to_the_other_spelling(
    before: str, spelling: str, after: str, expected: str | None
) -> None:
    assert carried_over(spelling, before, after) == expected
