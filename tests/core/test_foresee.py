"""What a revision does to tables and needs of their rows: every line parses back, and needs become questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.foresee import effects, needs
from migrate.core.foresee.candidates import candidates
from migrate.core.foresee.effects import (
    Blocks,
    Brief,
    Effect,
    EffectError,
    ForeignKey,
    Held,
    IndexBuild,
    Raised,
    Rewrite,
    RowsWritten,
    Scan,
)
from migrate.core.foresee.live import (
    Against,
    Answer,
    Earlier,
    Later,
    LiveEffect,
    LiveNeed,
    Met,
    NotKnown,
    Outlook,
    TableSize,
    in_words,
)
from migrate.core.foresee.needs import (
    Condition,
    Fits,
    Fulfils,
    HasParent,
    Need,
    NeedError,
    NoDuplicates,
    NoLabel,
    NoNull,
    NoOverlap,
    NoRow,
)
from migrate.core.foresee.observed import Observed, effects_of, writes
from migrate.core.foresee.proving import is_refused_by, may_be_mistaken
from migrate.core.foresee.watched import Lock, Relation, Trace
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build, candidates_of, with_needs
from migrate.core.manifest.entries import Foreseen, MalformedManifest
from migrate.core.manifest.manifest import Manifest
from migrate.core.schema.differences import name

REVISION = Revision("r0", (), (), (), "", "r0.py", "0")

EFFECTS: list[tuple[str, Effect]] = [
    ("blocks reads and writes of orders: rewrite", Rewrite("orders", Blocks.ALL)),
    ("blocks reads and writes of orders: scan", Scan("orders", Blocks.ALL)),
    (
        "blocks reads and writes of customers: scan (email is made not null)",
        Scan("customers", Blocks.ALL, "email is made not null"),
    ),
    ("concurrent scan of orders (ck is validated)", Scan("orders", Blocks.NOTHING, "ck is validated")),
    (
        "blocks writes of orders: builds index ix_orders_state",
        IndexBuild("orders", Blocks.WRITES, "ix_orders_state"),
    ),
    ('concurrent build of index "Ix" on audit.log', IndexBuild("audit.log", Blocks.NOTHING, '"Ix"')),
    (
        "blocks writes of orders: foreign key fk to customers",
        ForeignKey("orders", Blocks.WRITES, "fk", "customers"),
    ),
    (
        "blocks writes of customers: foreign key fk of orders",
        ForeignKey("customers", Blocks.WRITES, "fk", "orders", is_parent=True),
    ),
    ("blocks reads and writes of orders: brief", Brief("orders", Blocks.ALL)),
    (
        "blocks reads and writes of orders: brief (drops index ix)",
        Brief("orders", Blocks.ALL, "drops index ix"),
    ),
    ("blocks writes of orders through 1 more statement", Held("orders", Blocks.WRITES, 1)),
    ("blocks reads and writes of orders through 3 more statements", Held("orders", Blocks.ALL, 3)),
    ("writes rows of customers", RowsWritten("customers")),
    ("writes rows of customers (all are removed)", RowsWritten("customers", all_removed=True)),
    ("raises lock_timeout to 1min", Raised("lock_timeout", "1min")),
]


@pytest.mark.parametrize(("text", "effect"), EFFECTS)
def test_an_effect_is_one_readable_line(text: str, effect: Effect) -> None:
    assert effects.line(effect) == text
    assert effects.read(text) == effect


@pytest.mark.parametrize(
    "text",
    [
        "",
        "blocks nothing of orders: rewrite",
        "blocks reads of orders: rewrite",
        "blocks writes of orders: magic",
        "blocks writes of orders through 0 more statements",
        "blocks writes of Orders: rewrite",
        "writes rows of",
        "Writes rows of orders",
    ],
)
def test_what_is_no_effect_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(EffectError, match="not a line of effects: "):
        effects.read(text)


def test_effects_stand_by_table_each_once_and_what_is_of_the_session_last() -> None:
    given_ = [effect for _, effect in EFFECTS]
    ordered = effects.canonical([*reversed(given_), *given_])
    assert [effects.table_of(effect) for effect in ordered] == sorted(
        (effects.table_of(effect) for effect in given_), key=lambda table: (table is None, table)
    )
    assert effects.canonical(ordered) == ordered
    assert len(ordered) == len(given_)


def test_heavy_is_what_blocks_for_as_long_as_the_table_is_large() -> None:
    heavy = [text for text, effect in EFFECTS if effects.is_heavy(effect)]
    assert heavy == [EFFECTS[at][0] for at in (0, 1, 2, 4, 6, 7)]
    assert [each.rank for each in Blocks] == [0, 1, 2]


names = st.one_of(st.sampled_from(["orders", "order", "Größe", 'a"b', "a.b", "x (y)"]), st.text(min_size=1)).map(name)
tables = st.lists(names, min_size=1, max_size=2).map(".".join)
blocking = st.sampled_from([Blocks.WRITES, Blocks.ALL])
anything = st.text(min_size=1)
any_effect = st.one_of(
    st.builds(Rewrite, tables, blocking),
    st.builds(Scan, tables, st.sampled_from(Blocks), st.one_of(st.just(""), anything)),
    st.builds(IndexBuild, tables, st.sampled_from(Blocks), names),
    st.builds(ForeignKey, tables, blocking, names, tables, st.booleans()),
    st.builds(Brief, tables, blocking, st.one_of(st.just(""), anything)),
    st.builds(Held, tables, blocking, st.integers(1, 999)),
    st.builds(RowsWritten, tables, st.booleans()),
    st.builds(Raised, st.sampled_from(["lock_timeout", "statement_timeout"]), anything),
)


@pytest.mark.hypothesis
@given(any_effect)
def test_the_line_of_every_effect_parses_back(effect: Effect) -> None:
    assert effects.read(effects.line(effect)) == effect


NEEDS: list[tuple[str, Condition, str | None]] = [
    ("no NULL in customers.email", NoNull("customers", "email"), "FROM app.customers WHERE email IS NULL"),
    ('no NULL in audit."Log"."At"', NoNull('audit."Log"', '"At"'), 'FROM audit."Log" WHERE "At" IS NULL'),
    ("no row in orders (state is not null and has no default)", NoRow("orders", "state"), "FROM app.orders"),
    (
        "no duplicates of orders (number)",
        NoDuplicates("orders", "number"),
        "FROM app.orders WHERE number IS NOT NULL GROUP BY number HAVING count(*) > 1",
    ),
    (
        'no duplicates of orders (lower((mail)::text) text_pattern_ops, "Nr" DESC, name COLLATE "C") where (gone IS NULL)',
        NoDuplicates("orders", 'lower((mail)::text) text_pattern_ops, "Nr" DESC, name COLLATE "C"', "(gone IS NULL)"),
        (
            'FROM app.orders WHERE (gone IS NULL) AND lower((mail)::text) IS NOT NULL AND "Nr" IS NOT NULL'
            ' AND name COLLATE "C" IS NOT NULL GROUP BY lower((mail)::text), "Nr", name COLLATE "C" HAVING count(*) > 1'
        ),
    ),
    (
        "no duplicates of orders (number) nulls not distinct",
        NoDuplicates("orders", "number", nulls_are_equal=True),
        "FROM app.orders GROUP BY number HAVING count(*) > 1",
    ),
    (
        "every row of orders fulfils CHECK ((amount > 0))",
        Fulfils("orders", "((amount > 0))"),
        "FROM app.orders WHERE NOT ((amount > 0))",
    ),
    (
        "every value of orders.state fulfils CHECK ((VALUE <> 'VALUE'::text))",
        Fulfils("orders", "((VALUE <> 'VALUE'::text))", "state"),
        "FROM app.orders WHERE NOT ((state <> 'VALUE'::text))",
    ),
    (
        "every orders (customer_id, kind) has its parent in crm.customers (id, kind)",
        HasParent("orders", "customer_id, kind", "crm.customers", "id, kind"),
        (
            "FROM app.orders AS child WHERE child.customer_id IS NOT NULL AND child.kind IS NOT NULL AND NOT EXISTS"
            " (SELECT FROM crm.customers AS parent WHERE parent.id = child.customer_id AND parent.kind = child.kind)"
        ),
    ),
    (
        "no overlap in stays for EXCLUDE USING gist (room WITH =, during WITH &&) WHERE ((NOT gone))",
        NoOverlap("stays", "USING gist (room WITH =, during WITH &&) WHERE ((NOT gone))"),
        (
            "FROM (SELECT (tableoid, ctid)::text AS place, room AS part0, during AS part1 FROM app.stays WHERE ((NOT gone)))"
            " AS one, (SELECT (tableoid, ctid)::text AS place, room AS part0, during AS part1 FROM app.stays"
            " WHERE ((NOT gone))) AS other"
            " WHERE one.place <> other.place AND one.part0 = other.part0 AND one.part1 && other.part1"
        ),
    ),
    (
        "every value of orders.number fits character varying(10)",
        Fits("orders", "number", "character varying(10)"),
        "FROM app.orders WHERE length(rtrim(number::text, ' ')) > 10",
    ),
    (
        "every value of orders.state fits order_state: 'new', 'it''s'",
        Fits("orders", "state", "order_state", ("new", "it's")),
        "FROM app.orders WHERE state::text NOT IN ('new', 'it''s')",
    ),
    ("every value of orders.at fits date", Fits("orders", "at", "date"), None),
    (
        "no row of orders.state uses enum label 'it''s old'",
        NoLabel("orders", "state", "it's old"),
        "FROM app.orders WHERE state::text = 'it''s old'",
    ),
]


@pytest.mark.parametrize(("text", "condition", "rows"), NEEDS)
def test_a_need_is_one_readable_line_and_says_whether_it_is_proven(
    text: str, condition: Condition, rows: str | None
) -> None:
    del rows
    assert needs.line(Need(condition, proven=True)) == text
    assert needs.read(text) == Need(condition, proven=True)
    assert needs.line(Need(condition, proven=False)) == f"not proven: {text}"
    assert needs.read(f"not proven: {text}") == Need(condition, proven=False)


@pytest.mark.parametrize(("text", "condition", "rows"), NEEDS)
def test_a_need_is_asked_with_limit_1_counted_up_to_a_bound_and_shown(
    text: str, condition: Condition, rows: str | None
) -> None:
    del text
    question = needs.question(condition, schema="app", postgres=15)
    counted = needs.count(condition, schema="app", postgres=15, up_to=100)
    showing = needs.showing(condition, schema="app", postgres=15)
    if rows is None:
        assert (question, counted, showing) == (None, None, None)
        return
    assert question == f"SELECT 1 {rows} LIMIT 1"
    assert counted == f"SELECT count(*) FROM (SELECT 1 {rows} LIMIT 100) AS found"
    assert showing is not None
    assert showing.startswith("SELECT ")
    assert showing.endswith(f" {rows}")


def test_duplicates_are_shown_by_key_and_names_are_quoted() -> None:
    shown = needs.showing(NoDuplicates("order", "user"), schema="My App", postgres=17)
    expected = (
        'SELECT "user", count(*) FROM "My App"."order" WHERE "user" IS NOT NULL GROUP BY "user" HAVING count(*) > 1'
    )
    assert shown == expected
    overlaps = needs.showing(NoOverlap("t", "USING gist (r WITH &&)"), schema="s", postgres=17)
    assert overlaps is not None
    assert overlaps.startswith("SELECT one.place AS one, other.place AS other FROM (")


def test_what_fits_a_type_is_asked_of_the_server_where_it_can_say_so() -> None:
    asked = needs.question(Fits("t", "c", "uuid"), schema="s", postgres=16)
    assert asked == "SELECT 1 FROM s.t WHERE NOT pg_catalog.pg_input_is_valid(c::text, 'uuid') LIMIT 1"
    number = needs.question(Fits("t", "c", "integer"), schema="s", postgres=17)
    assert number is not None
    assert "NOT BETWEEN -2147483648 AND 2147483647" in number
    sized = needs.question(Fits("t", "c", "numeric(6,2)"), schema="s", postgres=15)
    assert sized is not None
    assert "abs(round(c::text::numeric, 2)) >= 1e4::numeric" in sized
    whole = needs.question(Fits("t", "c", "numeric(3)"), schema="s", postgres=15)
    assert whole is not None
    assert "abs(round(c::text::numeric, 0)) >= 1e3::numeric" in whole


@pytest.mark.parametrize(
    "text", ["", "no NULL in email", "not proven: ", "every row of t fulfils", "no duplicates of t"]
)
def test_what_is_no_need_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(NeedError, match="not a line of needs: "):
        needs.read(text)


@pytest.mark.parametrize(
    "line",
    [
        "every row of t fulfils CHECK (true); COMMIT; DROP TABLE victim; SELECT (1)",
        "every row of t fulfils CHECK (a) OR pg_sleep(100) IS NOT NULL OR (b)",
        "every row of t fulfils CHECK (true) ORDER BY (a)",
        "every row of t fulfils CHECK (a -- )",
        "every row of t fulfils CHECK (a /* )",
        "every row of t fulfils CHECK (a = 'x\\''); DROP TABLE t; --')",
        "every row of t fulfils CHECK (a = E'x\\''); DROP TABLE t; --')",
        "every row of t fulfils CHECK (a = $$x$$)",
        "every row of t fulfils CHECK (a = ARRAY[1)])",
        "every row of t fulfils CHECK ()",
        "every value of t.a fulfils CHECK (VALUE) OR (true)",
        "no overlap in t for EXCLUDE (a WITH = 1 OR true OR 1=)",
        "no overlap in t for EXCLUDE x",
        "every value of t.a fits integer)",
        "every value of t.a fits (integer",
        "no overlap in t for EXCLUDE USING gist (a WITH =) WHERE (a) OR (b)",
        "no duplicates of t (a) garbage)",
        "no duplicates of t (a))",
        "no duplicates of t (a) (b)",
        "no duplicates of t ((a)",
        "no duplicates of t (a,, b)",
        "no duplicates of t (a) where (a); SELECT (1)",
        "every t (a, id) has its parent in par (id)",
        "every value of t.a fits " + '"a"' * 40 + ":",
    ],
)
def test_a_line_that_was_edited_by_hand_is_refused_unless_it_is_whole(line: str) -> None:
    with pytest.raises(needs.NeedError):
        needs.read(line)


@pytest.mark.parametrize(
    "line",
    [
        f"blocks writes of t through {'9' * 5000} more statements",
        "blocks writes of t through 1 more statements",
        "blocks writes of t through 2 more statement",
    ],
)
def test_an_effect_is_written_in_one_way(line: str) -> None:
    with pytest.raises(effects.EffectError):
        effects.read(line)


def test_a_key_is_about_the_rows_of_its_own_table_where_others_inherit_from_it() -> None:
    parents = HasParent("t", "a", "p", "id")
    asked = needs.question(parents, schema="s", postgres=17, only={"t", "p"})
    assert asked is not None
    assert "FROM ONLY s.t AS child" in asked
    assert "FROM ONLY s.p AS parent" in asked
    for each in (NoDuplicates("t", "a"), NoOverlap("t", "USING gist (a WITH &&)")):
        assert "FROM ONLY s.t" in str(needs.question(each, schema="s", postgres=17, only=["t"]))
    assert "ONLY" not in str(needs.question(NoNull("t", "a"), schema="s", postgres=17, only=["t"]))


def test_needs_stand_by_table_each_condition_once_and_proven_where_either_is() -> None:
    proven, doubtful = (Need(NoNull("b", "c"), proven=each) for each in (True, False))
    other = Need(NoRow("a", "c"), proven=False)
    assert needs.canonical([doubtful, proven, other]) == (other, proven)
    assert needs.canonical([proven, doubtful]) == (proven,)


printed_parts = st.sampled_from(["a", "(b || 'x)'::text)", "lower(c)", '"D, e"', "f DESC"])
printed = st.lists(printed_parts, min_size=1).map(", ".join)
condition = st.one_of(
    anything.filter(lambda text: "\\" not in text).map(lambda text: f"((a = {needs._literal(text)}))"),
    st.just("(a IS NULL)"),
)
any_condition = st.one_of(
    st.builds(NoNull, tables, names),
    st.builds(NoRow, tables, names),
    st.builds(NoDuplicates, tables, printed, st.one_of(st.just(""), condition), st.booleans()),
    st.builds(Fulfils, tables, condition, st.one_of(st.just(""), names)),
    st.builds(HasParent, tables, names, tables, names),
    st.builds(HasParent, tables, st.just("a, b"), tables, st.just('c, "D"')),
    st.builds(
        NoOverlap,
        tables,
        st.lists(printed_parts, min_size=1).map(
            lambda each: f"USING gist ({', '.join(f'{one} WITH =' for one in each)})"
        ),
    ),
    st.builds(Fits, tables, names, st.sampled_from(["integer", 'audit."T: x"', "numeric(6,2)"])),
    st.builds(Fits, tables, names, names, st.lists(anything, min_size=1).map(tuple)),
    st.builds(NoLabel, tables, names, anything),
)


@pytest.mark.hypothesis
@given(st.builds(Need, any_condition, st.booleans()))
def test_the_line_of_every_need_parses_back(need: Need) -> None:
    assert needs.read(needs.line(need)) == need


TABLES = {
    "table t": "table",
    "column t.a": "integer",
    "column t.b": "character varying(20)",
    "column t.Odd": "text",
    "table p": "table",
    "column p.id": "integer not null",
    "enum state": "'new', 'old'",
    "column t.s": "state not null",
    "domain positive": "integer",
    "column t.d": "positive",
}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {"column t.a": "integer not null"}, [NoNull("t", "a")]),
        ({}, {"column t.a": "integer not null not valid"}, []),
        ({"column t.a": "integer not null not valid"}, {"column t.a": "integer not null"}, [NoNull("t", "a")]),
        ({"constraint t.has": "CHECK ((a IS NOT NULL))"}, {"column t.a": "integer not null"}, []),
        (
            {"constraint t.has": "CHECK ((a IS NOT NULL)) NOT VALID"},
            {"column t.a": "integer not null"},
            [NoNull("t", "a")],
        ),
        ({}, {"column t.x": "integer not null"}, [NoRow("t", "x")]),
        ({}, {"column t.x": "integer not null default 0"}, []),
        ({}, {"column t.x": "integer not null generated always as identity"}, []),
        ({}, {"column t.x": "integer"}, []),
        ({}, {"table new": "table", "column new.x": "integer not null", "constraint new.k": "UNIQUE (x)"}, []),
        ({}, {"constraint t.k": "UNIQUE (a, b)"}, [NoDuplicates("t", "a, b")]),
        ({}, {"constraint t.k": "UNIQUE NULLS NOT DISTINCT (a)"}, [NoDuplicates("t", "a", nulls_are_equal=True)]),
        ({}, {"constraint t.k": "UNIQUE (a) invalid"}, []),
        ({"constraint t.old": "UNIQUE (a)"}, {"constraint t.k": "UNIQUE (a)"}, []),
        (
            {},
            {"constraint t.k": "PRIMARY KEY (a)", "column t.a": "integer not null"},
            [NoNull("t", "a"), NoDuplicates("t", "a")],
        ),
        (
            {},
            {"index t.i": "unique btree (lower(b)) INCLUDE (a) WHERE (a IS NOT NULL)"},
            [NoDuplicates("t", "lower(b)", "(a IS NOT NULL)")],
        ),
        ({}, {"index t.i": "btree (a)"}, []),
        ({}, {"column t.x": "text", "index t.i": "unique btree (x)"}, []),
        ({}, {"constraint t.c": "CHECK ((a > 0))"}, [Fulfils("t", "((a > 0))")]),
        ({}, {"constraint t.c": "CHECK ((a > 0)) NOT VALID"}, []),
        ({}, {"constraint t.c": "CHECK ((a > 0)) NOT ENFORCED"}, []),
        (
            {"constraint t.c": "CHECK ((a > 0)) NOT VALID"},
            {"constraint t.c": "CHECK ((a > 0))"},
            [Fulfils("t", "((a > 0))")],
        ),
        ({}, {"column t.x": "text", "constraint t.c": "CHECK ((x = 'a'::text))"}, []),
        ({}, {"constraint t.c": "CHECK ((\"Odd\" = 'a'::text))"}, [Fulfils("t", "((\"Odd\" = 'a'::text))")]),
        (
            {},
            {"constraint t.f": "FOREIGN KEY (a) REFERENCES p(id) ON DELETE CASCADE"},
            [HasParent("t", "a", "p", "id")],
        ),
        ({}, {"constraint t.f": "FOREIGN KEY (a) REFERENCES p(id) NOT VALID"}, []),
        ({}, {"constraint t.f": "FOREIGN KEY (a, PERIOD b) REFERENCES p(id, PERIOD b)"}, []),
        ({}, {"constraint t.f": "FOREIGN KEY (a)"}, []),
        (
            {},
            {"constraint t.x": "EXCLUDE USING gist (b WITH &&) WHERE ((a > 0)) DEFERRABLE"},
            [NoOverlap("t", "USING gist (b WITH &&) WHERE ((a > 0))")],
        ),
        ({}, {"constraint t.n": "SOMETHING (a)"}, []),
        ({}, {"column t.b": "character varying(10)"}, [Fits("t", "b", "character varying(10)")]),
        ({}, {"column t.b": "character varying(30)"}, []),
        ({}, {"column t.b": "text"}, []),
        ({}, {"column t.b": "integer"}, [Fits("t", "b", "integer")]),
        ({}, {"column t.a": "bigint"}, []),
        ({}, {"column t.a": "smallint"}, [Fits("t", "a", "smallint")]),
        ({}, {"column t.a": "numeric"}, []),
        ({}, {"column t.a": "date"}, [Fits("t", "a", "date")]),
        ({"column t.a": "timestamp(3) without time zone"}, {"column t.a": "date"}, []),
        ({}, {"column t.b": "state"}, [Fits("t", "b", "state", ("new", "old"))]),
        (
            {},
            {"enum other": "'new', 'next'", "column t.s": "other not null"},
            [NoLabel("t", "s", "old")],
        ),
        ({}, {"enum state": "'new', 'next'"}, [NoLabel("t", "s", "old")]),
        ({}, {"enum fresh": "'x'"}, []),
        ({}, {"domain positive": "integer not null"}, [NoNull("t", "d")]),
        ({}, {"domain positive": "integer default 1"}, []),
        (
            {},
            {"constraint positive.is": "CHECK ((VALUE > 0))"},
            [Fulfils("t", "((VALUE > 0))", "d")],
        ),
        ({}, {"constraint positive.is": "CHECK ((VALUE > 0)) NOT VALID"}, []),
        ({}, {"function f()": "…"}, []),
    ],
)
def test_candidates_are_what_the_schema_asks_anew_of_rows_that_are_there(
    before: dict[str, str], after: dict[str, str], found: list[Condition]
) -> None:
    assert candidates(TABLES | before, TABLES | before | after) == tuple(found)


@pytest.mark.parametrize(
    ("gone", "after", "found"),
    [
        (["a"], {"column t.n": "integer not null"}, [NoRow("t", "n"), NoNull("t", "a")]),
        (["a"], {"column t.n": "integer not null default 1"}, [NoNull("t", "a")]),
        (["a"], {"column t.n": "integer"}, []),
        (["a"], {"column t.n": "bigint not null"}, [NoRow("t", "n")]),
        (["a"], {"column t.m": "integer", "column t.n": "integer not null"}, [NoRow("t", "n")]),
        (["Odd"], {'column t."New"': "text", "constraint t.u": 'UNIQUE ("New", d)'}, [NoDuplicates("t", "Odd, d")]),
        (["a"], {"column t.n": "integer", "constraint t.c": "CHECK (((n > 0) AND (b <> 'n'::text)))"},
         [Fulfils("t", "(((a > 0) AND (b <> 'n'::text)))")]),
        (["a"], {"column t.n": "integer", "constraint t.f": "FOREIGN KEY (n) REFERENCES p(id)"}, [HasParent("t", "a", "p", "id")]),
    ],
)  # fmt: skip
def test_a_column_that_has_another_name_is_asked_by_the_one_that_its_rows_know(
    gone: list[str], after: dict[str, str], found: list[Condition]
) -> None:
    kept = {
        identity: text for identity, text in TABLES.items() if identity not in {f"column t.{each}" for each in gone}
    }
    assert candidates(TABLES, kept | after) == tuple(found)


def test_a_column_that_was_switched_for_another_is_asked_by_both_names() -> None:
    before = TABLES | {"column t.a_new": "integer"}
    after = TABLES | {"column t.a": "integer not null"}
    assert candidates(before, after) == (NoNull("t", "a"), NoNull("t", "a_new"))
    assert candidates(before | {"column t.a_new": "integer not null"}, after) == (NoNull("t", "a"),)


def test_a_key_that_was_there_under_the_old_name_asks_nothing() -> None:
    before = TABLES | {"constraint t.u": "UNIQUE (a)"}
    after = {k: v for k, v in before.items() if k != "column t.a"} | {
        "column t.n": "integer",
        "constraint t.u": "UNIQUE (n)",
    }
    assert candidates(before, after) == ()


@pytest.mark.parametrize("key", ["UNIQUE (a, b)", "PRIMARY KEY (a, b)", "UNIQUE (a) INCLUDE (b)"])
def test_a_key_of_which_there_is_a_unique_index_asks_nothing(key: str) -> None:
    before = TABLES | {"index t.i": f"unique btree ({key.partition(' (')[2]}"}
    assert candidates(before, TABLES | {"constraint t.i": key}) == ()
    invalid = TABLES | {"index t.i": before["index t.i"] + " invalid"}
    assert [type(each) for each in candidates(invalid, TABLES | {"constraint t.i": key})] == [NoDuplicates]


# The manifest's keys


def manifest(foreseen: dict[str, Foreseen]) -> Manifest:
    revisions = [Revision("r0", (), (), (), "", "r0.py", "0"), Revision("r1", ("r0",), (), (), "", "r1.py", "1")]
    schemas = {"r0": {"table t": "table"}, "r1": {"table t": "table", "column t.a": "integer"}}
    return build(17, Graph(revisions), schemas, foreseen=foreseen)


SEEN = Foreseen(("blocks reads and writes of t: brief", "writes rows of t"), ("not proven: no NULL in t.a",))


def test_the_manifest_keeps_effects_and_needs_one_line_each_beside_the_changes() -> None:
    made = manifest({"r0": Foreseen((), ()), "r1": SEEN})
    text = made.serialise()
    assert '   "effects": [\n    "blocks reads and writes of t: brief",\n    "writes rows of t"\n   ],' in text
    assert '   "needs": [\n    "not proven: no NULL in t.a"\n   ],' in text
    again = Manifest.parse(text)
    assert again == made
    assert again.serialise() == text
    assert again.effects_of("r1") == (Brief("t", Blocks.ALL), RowsWritten("t"))
    assert again.needs_of("r1") == (Need(NoNull("t", "a"), proven=False),)
    assert (again.effects_of("r0"), again.needs_of("r0")) == ((), ())


def test_a_manifest_without_them_is_older_and_what_it_would_say_is_not_known() -> None:
    older = manifest({})
    assert "effects" not in older.serialise()
    read = Manifest.parse(older.serialise())
    assert (read.effects_of("r1"), read.needs_of("r1")) == (None, None)


def test_revisions_that_are_not_read_again_keep_their_lines() -> None:
    known = manifest({"r1": SEEN})
    graph = Graph(entry.revision for entry in known.revisions)
    assert build(17, graph, {}, previous=known) == known


@pytest.mark.parametrize(("key", "line"), [("effects", "writes rows of t"), ("needs", "not proven: no NULL in t.a")])
def test_a_malformed_line_is_named_with_its_number(key: str, line: str) -> None:
    text = manifest({"r1": SEEN}).serialise().replace(line, "Something else")
    number = next(at for at, each in enumerate(text.splitlines(), 1) if "Something else" in each)
    read = Manifest.parse(text)
    with pytest.raises(MalformedManifest, match=f"line {number}: not a line of {key}: Something else"):
        read.effects_of("r1") if key == "effects" else read.needs_of("r1")


def test_keys_of_another_shape_are_malformed() -> None:
    text = manifest({"r1": SEEN}).serialise().replace('"writes rows of t"', "7")
    with pytest.raises(MalformedManifest, match="effects is not a list of strings"):
        Manifest.parse(text)


# What was observed


RELATIONS = {
    relation.oid: relation
    for relation in (
        Relation(1, "public", "orders", "r", 11),
        Relation(2, "public", "ix", "i", 12, 1),
        Relation(3, "crm", "customers", "r", 13, written=7),
        Relation(4, "public", "sums", "m", 14),
        Relation(5, "public", "alembic_version", "r", 15),
    )
}
VERSIONS = "public", "alembic_version"
ORDERS = {"table orders": "table", "column orders.a": "integer", "index orders.ix": "btree (a)"}
AT_ALL, SHARED, SRE, ROWS = "AccessExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "RowExclusiveLock"


def said(*messages: str, locks: list[Lock] | None = None, limit: int = 2000, **how: bool) -> Trace:
    return Trace(messages, tuple(locks or ()), limit, **how)


def on(relation: int, mode: str, written: int = 0, file: int | None = None) -> Lock:
    known = RELATIONS.get(relation)
    return Lock(relation, mode, written, file if file is not None else known.file if known else 99)


VERSION_ROW = said(locks=[on(5, ROWS, 1)])


def test_values_of_a_domain_that_is_asked_for_more_are_read():
    before = {**ORDERS, "column orders.c": "code", "domain code": "text", "domain other": "text"}
    after = {**before, "domain code": "text not null", "constraint code.short": "CHECK ((VALUE <> ''))"}
    after |= {"constraint other.x": "CHECK ((VALUE <> ''))", "constraint orders.x": "CHECK ((a > 0)) NOT VALID"}
    seen = Observed(RELATIONS, (said(locks=[on(1, SHARED)]),), "public", VERSIONS, 2000)
    assert [effects.line(each) for each in effects_of(seen, before, after)] == [
        "blocks writes of orders: scan (code is asked for more)"
    ]
    seen = Observed(RELATIONS, (said(locks=[on(1, SHARED)]),), "public", VERSIONS, 2000)
    assert [effects.line(each) for each in effects_of(seen, ORDERS, ORDERS)] == ["blocks writes of orders: brief"]


@pytest.mark.parametrize(
    ("statements", "after", "lines"),
    [
        ([said("something else", locks=[on(99, AT_ALL)])], {}, []),
        ([said(locks=[on(1, AT_ALL)]), VERSION_ROW], {}, ["blocks reads and writes of orders: brief"]),
        ([said(locks=[on(1, AT_ALL, file=0)])], {}, ["blocks reads and writes of orders: brief"]),
        (
            [said(locks=[on(1, SHARED)]), said(locks=[on(1, SHARED), on(1, AT_ALL)]), said(locks=[on(1, AT_ALL)])],
            {},
            [
                "blocks reads and writes of orders: brief",
                "blocks reads and writes of orders through 1 more statement",
                "blocks writes of orders through 2 more statements",
            ],
        ),
        (
            [said(locks=[on(1, SHARED)]), said(locks=[on(1, SHARED)]), *[said(commits=True)]]
            + [said(locks=[on(1, AT_ALL)]) for _ in range(3)],
            {},
            [
                "blocks reads and writes of orders: brief",
                "blocks reads and writes of orders through 2 more statements",
            ],
        ),
        (
            [
                said(
                    'rewriting table "orders"',
                    'building index "ix" on table "orders" serially',
                    locks=[on(1, AT_ALL, file=20)],
                )
            ],
            {},
            ["blocks reads and writes of orders: rewrite"],
        ),
        (
            [said('building index "i2" on table "orders" with request for 2 parallel workers', locks=[on(1, SHARED)])],
            {},
            ["blocks writes of orders: builds index i2"],
        ),
        (
            [said('building index "i2" on table "orders" serially', commits=True, concurrently=True)],
            {},
            ["concurrent build of index i2 on orders"],
        ),
        ([said('building index "i2" on table "pg_toast_7" serially')], {}, []),
        (
            [said('building index "ix" on table "orders" serially', commits=True)],
            {},
            ["blocks reads and writes of orders: builds index ix"],
        ),
        (
            [said('building index "ix_ccnew" on table "orders" serially', commits=True, concurrently=True)],
            {},
            ["concurrent build of index ix on orders"],
        ),
        (
            [said(locks=[on(1, AT_ALL, file=20)._replace(is_clustered=True)])],
            {},
            ["blocks reads and writes of orders: rewrite"],
        ),
        (
            [said('verifying table "orders"', commits=True)],
            {"column orders.a": "integer not null"},
            ["blocks reads and writes of orders: scan (a is made not null)"],
        ),
        (
            [said('validating foreign key constraint "fk"', commits=True)],
            {"constraint orders.fk": "FOREIGN KEY (a) REFERENCES crm.customers(id)"},
            [
                "blocks writes of crm.customers: foreign key fk of orders",
                "blocks writes of orders: foreign key fk to crm.customers",
            ],
        ),
        (
            [said('verifying table "orders"', locks=[on(1, AT_ALL)])],
            {"column orders.a": "integer not null", "constraint orders.c": "CHECK ((a > 0))"},
            ["blocks reads and writes of orders: scan (a is made not null, c is added)"],
        ),
        (
            [
                said(
                    'existing constraints on column "orders.a" are sufficient to prove that it does not contain nulls'
                ),
                said('verifying table "orders"', locks=[on(1, "ShareUpdateExclusiveLock")]),
            ],
            {
                "column orders.a": "integer not null",
                "column orders.b": "text",
                "table orders": "table partition of p FOR VALUES IN (1)",
                "table other": "table",
                "function f()": "x",
                "constraint orders.n": "CHECK ((a > 0)) NOT VALID",
            },
            ["concurrent scan of orders (it becomes a partition)"],
        ),
        (
            [said('validating foreign key constraint "fk"', locks=[on(1, SRE), on(3, SRE)])],
            {
                "constraint orders.fk": "FOREIGN KEY (a) REFERENCES crm.customers(id)",
                "constraint orders.c": "CHECK ((a > 0))",
                "constraint other.fk": "CHECK ((a > 0))",
            },
            [
                "blocks writes of crm.customers: foreign key fk of orders",
                "blocks writes of orders: foreign key fk to crm.customers",
            ],
        ),
        (
            [said('validating foreign key constraint "fk"')],
            {"constraint orders.fk": "FOREIGN KEY (a) REFERENCES crm.customers(id)"},
            ["concurrent scan of orders (foreign key fk is validated)"],
        ),
        (
            [said('validating foreign key constraint "fk"', locks=[on(3, SRE)])],
            {"constraint made.fk": "FOREIGN KEY (a) REFERENCES crm.customers(id)"},
            ["blocks writes of crm.customers: foreign key fk of made"],
        ),
        ([said(locks=[on(1, ROWS, 3)]), said(locks=[on(1, ROWS, 3)])], {}, ["writes rows of orders"]),
        ([said(locks=[on(3, ROWS, 0)])], {}, ["writes rows of crm.customers"]),
        (
            [said('building index "ix" on table "orders" serially', locks=[on(1, AT_ALL, file=20)])],
            {},
            ["blocks reads and writes of orders: brief", "writes rows of orders (all are removed)"],
        ),
        (
            [said(locks=[on(1, AT_ALL, file=20)])],
            {},
            ["blocks reads and writes of orders: brief", "writes rows of orders (all are removed)"],
        ),
        ([said(locks=[on(4, AT_ALL, file=20)])], {}, ["blocks reads and writes of sums: rewrite"]),
        ([said(locks=[on(4, "ExclusiveLock")])], {}, []),
        (
            [said('verifying table "orders"', locks=[on(1, AT_ALL)])],
            {"column orders.n": "integer not null", "column orders.m": "integer default 1 not null"},
            ["blocks reads and writes of orders: scan (n is new and not null)"],
        ),
        ([said(locks=[on(2, AT_ALL)])], {}, ["blocks reads and writes of orders: brief"]),
        ([said(limit=60000), said(limit=1500)], {}, ["raises lock_timeout to 60s"]),
        ([said(limit=2500)], {}, ["raises lock_timeout to 2500ms"]),
        ([said(limit=0)], {}, ["raises lock_timeout to 0 (no limit)"]),
    ],
)
def test_effects_come_from_what_the_server_says_and_locks(
    statements: list[Trace], after: dict[str, str], lines: list[str]
) -> None:
    seen = Observed(RELATIONS, tuple(statements), "public", VERSIONS, 2000)
    assert [effects.line(effect) for effect in effects_of(seen, ORDERS, ORDERS | after)] == lines


def test_an_index_that_goes_is_named_and_one_that_goes_with_its_table_is_not() -> None:
    seen = Observed(RELATIONS, (said(locks=[on(1, AT_ALL)]),), "public", VERSIONS, 2000)
    kept = {identity: text for identity, text in ORDERS.items() if not identity.startswith("index")}
    assert effects_of(seen, ORDERS, kept) == (Brief("orders", Blocks.ALL, "drops index ix"),)
    assert effects_of(seen, ORDERS, {}) == (Brief("orders", Blocks.ALL),)


def test_the_manifest_has_what_a_replay_has_seen() -> None:
    revisions = [Revision("r0", (), (), (), "", "r0.py", "0")]
    seen = Observed({}, (said(limit=0),), "public", VERSIONS, 2000)
    made = build(17, Graph(revisions), {"r0": ORDERS}, observed={"r0": seen})
    assert made.effects_of("r0") == (Raised("lock_timeout", "0 (no limit)"),)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (TableSize(41 << 30, writes_a_minute=1200), "41 GB, 1,200 writes a minute"),
        (
            TableSize(41 << 30, 9000, None, 17),
            "41 GB (about 9,000 rows), 17 rows written since its statistics were reset",
        ),
        (TableSize(8192), "8 kB"),
    ],
)
def test_what_a_table_is_like(size: TableSize, said: str) -> None:
    assert size.sentence() == said


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (Rewrite("orders", Blocks.ALL), "blocks reads and writes of orders, 41 GB: rewrite"),
        (IndexBuild('"a: b"', Blocks.WRITES, "ix"), 'blocks writes of "a: b", 41 GB: builds index ix'),
        (IndexBuild("orders", Blocks.NOTHING, "ix"), "concurrent build of index ix on orders, 41 GB"),
        (RowsWritten("orders"), "writes rows of orders, 41 GB"),
        (Held("orders", Blocks.ALL, 2), "blocks reads and writes of orders through 2 more statements"),
        (Raised("lock_timeout", "1min"), "raises lock_timeout to 1min"),
    ],
)
def test_an_effect_with_the_size_of_its_table(effect: Effect, said: str) -> None:
    assert LiveEffect(REVISION, effect, TableSize(41 << 30)).sentence() == said
    assert LiveEffect(REVISION, effect).sentence() == effects.line(effect)
    assert LiveEffect(REVISION, effect).fields() == {"effect": effects.line(effect), "sentence": effects.line(effect)}
    live = LiveEffect(REVISION, effect, TableSize(41 << 30))
    assert live.fields()["table_bytes"] == 41 << 30
    assert Outlook((live,)).fields() == [{"revision": "r0", "effects": [live.fields()], "needs": []}]
    kept = {"table": effects.table_of(effect), "effect": type(effect).__name__.lower(), "bytes": 41 << 30}
    assert Outlook((live,)).heavy_of("r0") == (kept if effects.is_heavy(effect) else {})
    assert Outlook((live, live)).heavy_of("r0") == {}, "of two, nobody knows how long each took"


def test_an_effect_with_what_the_last_one_of_its_kind_took_here() -> None:
    live = LiveEffect(REVISION, Rewrite("orders", Blocks.ALL), TableSize(41 << 30), Earlier("a1b2", 12 << 30, 92_500))
    assert live.sentence() == (
        "blocks reads and writes of orders, 41 GB: rewrite; revision a1b2 took 1 min 32 s for 12 GB of it"
    )
    told = live.fields()
    assert (told["earlier_revision"], told["earlier_bytes"], told["earlier_ms"]) == ("a1b2", 12 << 30, 92_500)


def test_what_the_manifest_does_not_say_is_null() -> None:
    told = Outlook(unknown_effects=(REVISION,), unknown_needs=(REVISION,)).fields()
    assert told == [{"revision": "r0", "effects": None, "needs": None}]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "not asked"),
        (Met(), "met"),
        (Against(11, "SELECT"), "11 rows break it"),
        (Later(), "asked just before its revision"),
        (NotKnown("no answer within 10 s"), "not known, no answer within 10 s"),
    ],
)
def test_a_need_with_its_answer(answer: Answer | None, said: str) -> None:
    need = LiveNeed(REVISION, Need(NoNull("t", "a"), proven=True), answer)
    assert need.sentence() == f"no NULL in t.a: {said}"
    outlook = Outlook(needs=(need,))
    assert (outlook.needs_of("r0"), outlook.needs_of("r1")) == ((need,), ())
    (told,) = outlook.fields()
    assert (told["revision"], told["effects"]) == ("r0", [])
    assert told["needs"] == [need.fields()]
    assert (need.fields()["need"], need.fields()["sentence"]) == ("no NULL in t.a", need.sentence())
    assert ("select" in need.fields()) is isinstance(answer, Against)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([Met(), None], "1 need of pending revisions checked in 7 ms: all met"),
        (
            [Against(11, "SELECT"), Later()],
            "1 need of pending revisions checked in 7 ms: 1 not met; 1 to be asked just before",
        ),
        (
            [NotKnown("no"), Against(1, "SELECT")],
            "2 needs of pending revisions checked in 7 ms: 1 not met, 1 not known",
        ),
    ],
)
def test_that_the_rows_were_asked(answers: list[Answer | None], said: str) -> None:
    need = Need(NoNull("t", "a"), proven=True)
    sentence, fields = in_words([LiveNeed(REVISION, need, answer) for answer in answers], 7)
    assert sentence.startswith(said)
    assert fields["duration_ms"] == 7


@pytest.mark.parametrize(
    ("condition", "sqlstate", "expected"),
    [
        (NoNull("t", "a"), "23502", True),
        (NoNull("t", "a"), "23505", False),
        (Fits("t", "a", "integer"), "22P02", True),
        (NoDuplicates("t", "a"), None, False),
    ],
)
def test_a_failure_is_of_a_need_where_postgresql_says_so(
    condition: Condition, sqlstate: str | None, expected: bool
) -> None:
    assert is_refused_by(condition, sqlstate) is expected


def test_a_failure_for_one_need_may_look_like_one_for_another() -> None:
    assert may_be_mistaken(NoNull("t", "a"), NoRow("u", "b"))
    assert may_be_mistaken(Fits("t", "a", "integer"), NoLabel("t", "b", "x"))
    assert not may_be_mistaken(NoNull("t", "a"), NoDuplicates("t", "a"))


def test_whoever_locks_a_table_as_a_writer_does_may_write_its_rows() -> None:
    relations = {1: Relation(1, "public", "t", "r", 1), 2: Relation(2, "other", "u", "r", 2)}
    traces = (Trace((), (Lock(2, "RowExclusiveLock", 0, 2), Lock(1, "ShareLock", 0, 1)), 0),)
    seen = Observed(relations, traces, "public", ("public", "alembic_version"), 0)
    assert writes(seen, {"other.u"})
    assert not writes(seen, {"t"})


def test_needs_stand_at_what_was_tried_and_stay_where_the_file_is_the_same() -> None:
    table, column = {"table t": "heap"}, {"column t.a": "text"}
    before, after = table | column, table | {"column t.a": "text not null"}
    first, second = REVISION, Revision("r1", ("r0",), (), (), "", "r1.py", "1")
    graph = Graph([first, second])
    schemas = {"r0": before, "r1": after}
    built = build(17, graph, schemas)
    condition = NoNull("t", "a")
    assert candidates_of(built, graph, schemas, {"r0", "r1"}) == {"r1": (condition,)}
    assert candidates_of(built, graph, {"r1": after}, {"r1"}) == {"r1": (condition,)}
    tried = with_needs(built, {"r1": [Need(condition, proven=True)]}, {"r0", "r1"}, None)
    assert [entry.needs for entry in tried.revisions] == [(), ("no NULL in t.a",)]
    assert with_needs(built, {}, (), tried) == tried
    assert [entry.needs for entry in with_needs(built, {}, (), None).revisions] == [None, None]


def test_a_partial_key_over_a_bare_condition_keeps_it() -> None:
    before = {"table t": "heap", "column t.a": "text", "column t.b": "boolean"}
    for printed, where in (("b", "(b)"), ("f(a)", "(f(a))"), ("(a > b)", "(a > b)")):
        after = before | {"index t.ix": f"unique btree (a) WHERE {printed}"}
        assert candidates(before, after) == (NoDuplicates("t", "a", where),)
