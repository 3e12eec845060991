"""The table of rules: for each row what breaks a program, and what it is served by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from migrate.core.schema.compatibility import serves, words
from migrate.core.schema.differences import KINDS
from migrate.core.schema.rules import RULES
from migrate.core.schema.widening import is_served_by

if TYPE_CHECKING:
    from collections.abc import Mapping

Change = dict[str, str | None]

BASE = {
    "table articles": "table",
    "column articles.id": "integer not null default nextval('articles_id_seq'::regclass)",
    "column articles.title": "character varying(50) not null",
    "column articles.status": "status",
    "constraint articles.articles_pkey": "PRIMARY KEY (id)",
    "view latest": "SELECT id FROM articles",
    "column latest.id": "integer",
    "domain positive": "integer",
    "enum status": "'draft', 'published'",
}
SECURED: Change = {
    "row security articles": "enabled",
    "policy articles.own": "as permissive for all to public using ((owner = CURRENT_USER))",
}
CHECK_IN = "CHECK (((status)::text = ANY ((ARRAY[{}])::text[])))"

KEY = "FOREIGN KEY (n, status) REFERENCES s(a, b)"


def _with(change: Mapping[str, str | None]) -> dict[str, str]:
    return {identity: d for identity, d in {**BASE, **change}.items() if d is not None}


def _broken(program: Change, database: Change) -> list[tuple[str, str]]:
    return [(broken.rule, broken.identity) for broken in serves(_with(program), _with({**program, **database}))]


# What the program's schema has beside BASE, what the database has otherwise, the rule and the object that it names.
BREAKS: list[tuple[Change, Change, str, str]] = [
    # A default does not help a program that knows the column and writes its NULL explicitly.
    (
        {},
        {"column articles.status": "status not null default 'draft'::status"},
        "not-null-added",
        "column articles.status",
    ),
    ({}, {"table articles": None, "column articles.id": None}, "relation-dropped", "table articles"),
    ({}, {"view latest": None, "column latest.id": None}, "relation-dropped", "view latest"),
    ({"foreign table f": "table server s"}, {"foreign table f": None}, "relation-dropped", "foreign table f"),
    ({"materialized view m": "SELECT 1"}, {"materialized view m": None}, "relation-dropped", "materialized view m"),
    # A table renamed, and a view in its place.
    ({}, {"table articles": None, "view articles": "SELECT 1"}, "relation-dropped", "table articles"),
    ({}, {"column articles.title": None}, "column-dropped", "column articles.title"),
    ({}, {"column latest.id": None}, "column-dropped", "column latest.id"),
    (
        {},
        # PRIMARY KEY is more than UNIQUE: GROUP BY id, and everything else may be selected
        {"constraint articles.articles_pkey": None, "constraint articles.pk": "UNIQUE (id)"},
        "unique-key-dropped",
        "constraint articles.articles_pkey",
    ),
    *(
        ({"constraint articles.u": "UNIQUE (id, title)"}, change, "unique-key-dropped", "constraint articles.u")
        for change in [
            {"constraint articles.u": None},
            {"constraint articles.u": None, "constraint articles.n": "UNIQUE (id, title) DEFERRABLE"},
            {"constraint articles.u": None, "index articles.n": "unique btree (id, lower(title))"},
            {"constraint articles.u": None, "index articles.n": "unique btree (id, title) WHERE (id > 0)"},
            {"constraint articles.u": None, "index articles.n": "unique btree (id, title) invalid"},
        ]
    ),
    (
        {"index articles.u": "unique btree (title)"},
        {"index articles.u": None},
        "unique-key-dropped",
        "index articles.u",
    ),
    ({}, {"enum status": None}, "type-dropped", "enum status"),
    ({}, {"domain positive": None}, "type-dropped", "domain positive"),
    ({"type pair": "as (a integer)"}, {"type pair": None}, "type-dropped", "type pair"),
    ({"range span": "subtype = date"}, {"range span": None}, "type-dropped", "range span"),
    ({"collation c": "provider = icu"}, {"collation c": None}, "type-dropped", "collation c"),
    ({"function f()": "()"}, {"function f()": None}, "routine-dropped", "function f()"),
    ({"procedure p()": "()"}, {"procedure p()": None}, "routine-dropped", "procedure p()"),
    ({"aggregate a(text)": "sfunc = f"}, {"aggregate a(text)": None}, "routine-dropped", "aggregate a(text)"),
    ({"sequence s": "bigint"}, {"sequence s": None}, "sequence-dropped", "sequence s"),
    ({"extension citext": "installed"}, {"extension citext": None}, "extension-dropped", "extension citext"),
    ({"trigger articles.t": "BEFORE …"}, {"trigger articles.t": None}, "trigger-dropped", "trigger articles.t"),
    ({"rule articles.r": "on insert …"}, {"rule articles.r": None}, "trigger-dropped", "rule articles.r"),
    (SECURED, {"policy articles.own": None}, "policy-dropped", "policy articles.own"),
    ({}, {"table articles": "table partition by LIST (status)"}, "table-changed", "table articles"),
    ({}, {"enum status": "'draft', 'live'"}, "label-dropped", "enum status"),
    ({}, {"enum status": "'published', 'draft'"}, "label-dropped", "enum status"),
    ({}, {"column articles.title": "character varying(20) not null"}, "type-changed", "column articles.title"),
    ({}, {"column latest.id": "text"}, "type-changed", "column latest.id"),
    ({}, {"domain positive": "text"}, "type-changed", "domain positive"),
    (
        {},
        {"column articles.title": 'character varying(50) collate "C" not null'},
        "collation-changed",
        "column articles.title",
    ),
    ({"type pair": "as (a integer)"}, {"type pair": "as (b integer)"}, "definition-changed", "type pair"),
    ({"range span": "subtype = date"}, {"range span": "subtype = integer"}, "definition-changed", "range span"),
    (
        {"collation c": "provider = icu, locale = und"},
        {"collation c": "provider = icu, locale = und, deterministic = false"},
        "definition-changed",
        "collation c",
    ),
    ({}, {"column articles.status": "status not null"}, "not-null-added", "column articles.status"),
    ({}, {"domain positive": "integer not null"}, "not-null-added", "domain positive"),
    ({}, {"column articles.id": "integer not null"}, "default-dropped", "column articles.id"),
    (
        {"column articles.n": "integer not null generated by default as identity"},
        {"column articles.n": "integer not null"},
        "default-dropped",
        "column articles.n",
    ),
    (
        {"column articles.n": "integer"},
        {"column articles.n": "integer generated always as ((id * 2)) stored"},
        "value-refused",
        "column articles.n",
    ),
    (
        {},
        {"column articles.id": "integer not null generated always as identity"},
        "value-refused",
        "column articles.id",
    ),
    (
        {"column articles.n": "integer generated always as ((id * 2)) stored"},
        {"column articles.n": "integer"},
        "no-longer-computed",
        "column articles.n",
    ),
    (
        {"function f(integer)": "(a integer)\n RETURNS integer\n LANGUAGE sql\nAS $function$select 1$function$"},
        {"function f(integer)": "(a integer)\n RETURNS text\n LANGUAGE sql\nAS $function$select 1$function$"},
        "routine-changed",
        "function f(integer)",
    ),
    (
        {"aggregate a(text)": "sfunc = f, stype = text"},
        {"aggregate a(text)": "sfunc = g, stype = text"},
        "aggregate-changed",
        "aggregate a(text)",
    ),
    ({"sequence s": "bigint"}, {"sequence s": "bigint increment by 50"}, "sequence-changed", "sequence s"),
    (
        {},
        {"constraint articles.articles_pkey": "PRIMARY KEY (id, title)"},
        "unique-key-changed",
        "constraint articles.articles_pkey",
    ),
    (
        {"index articles.u": "unique btree (title)"},
        {"index articles.u": "btree (title)"},
        "unique-key-changed",
        "index articles.u",
    ),
    (
        {"constraint articles.c": "CHECK ((id > 0))"},
        {"constraint articles.c": "CHECK ((id > 1))"},
        "constraint-changed",
        "constraint articles.c",
    ),
    (
        {"constraint articles.f": "FOREIGN KEY (status) REFERENCES s(id) DEFERRABLE"},
        {"constraint articles.f": "FOREIGN KEY (status) REFERENCES s(id)"},
        "constraint-changed",
        "constraint articles.f",
    ),
    *(
        (
            {"column articles.n": "integer not null", "constraint articles.f": f"{KEY}{before}"},
            {"constraint articles.f": f"{KEY}{after}"},
            "constraint-changed",
            "constraint articles.f",
        )
        for before, after in [
            (" ON DELETE CASCADE", ""),
            (" ON DELETE CASCADE", " ON DELETE RESTRICT"),
            (" ON DELETE CASCADE", " ON DELETE SET NULL"),
            (" ON DELETE SET NULL", " ON DELETE CASCADE"),
            (" ON UPDATE CASCADE ON DELETE CASCADE", " ON DELETE CASCADE"),
            ("", " ON DELETE RESTRICT"),
            ("", " ON DELETE SET NULL"),
            ("", " ON DELETE SET NULL (n)"),
            (" DEFERRABLE", " ON DELETE CASCADE DEFERRABLE"),
        ]
    ),
    (
        {"constraint articles.f": f"{KEY} ON DELETE CASCADE"},
        {"constraint articles.f": None, "constraint articles.g": KEY},
        "foreign-key-added",
        "constraint articles.g",
    ),
    (
        {"constraint articles.c": CHECK_IN.format("'a'::text, 'b'::text")},
        {"constraint articles.c": CHECK_IN.format("'a'::text, 'c'::text")},
        "constraint-changed",
        "constraint articles.c",
    ),
    # More values in a list that is negated: fewer rows.
    (
        {"constraint articles.c": "CHECK ((NOT (id = ANY (ARRAY[1, 2]))))"},
        {"constraint articles.c": "CHECK ((NOT (id = ANY (ARRAY[1, 2, 3]))))"},
        "constraint-changed",
        "constraint articles.c",
    ),
    ({"trigger articles.t": "BEFORE …"}, {"trigger articles.t": "AFTER …"}, "trigger-changed", "trigger articles.t"),
    (
        SECURED,
        {"policy articles.own": "as permissive for all to public using (false)"},
        "policy-changed",
        "policy articles.own",
    ),
    ({}, {"column articles.slug": "text not null"}, "required-column-added", "column articles.slug"),
    ({}, {"constraint articles.u": "UNIQUE (title)"}, "unique-key-added", "constraint articles.u"),
    ({}, {"index articles.u": "unique btree (lower((title)::text))"}, "unique-key-added", "index articles.u"),
    (
        {"index articles.i": "btree (title)"},
        {"index articles.i": "unique btree (title)"},
        "unique-key-added",
        "index articles.i",
    ),
    # A new column in the key, but one in which the program's rows are not NULL, or where NULL counts as a value.
    (
        {},
        {"column articles.slug": "text default ''::text", "constraint articles.u": "UNIQUE (slug)"},
        "unique-key-added",
        "constraint articles.u",
    ),
    (
        {},
        {"column articles.slug": "text", "constraint articles.u": "UNIQUE NULLS NOT DISTINCT (slug)"},
        "unique-key-added",
        "constraint articles.u",
    ),
    (
        {},
        {"column articles.slug": "text", "index articles.u": "unique btree (COALESCE(slug, ''::text))"},
        "unique-key-added",
        "index articles.u",
    ),
    ({}, {"constraint articles.c": "CHECK ((length(title) > 3))"}, "check-added", "constraint articles.c"),
    (
        {},
        {"column articles.slug": "text", "constraint articles.c": "CHECK (((slug IS NULL) AND (title <> ''::text)))"},
        "check-added",
        "constraint articles.c",
    ),
    # About none but new columns, and false where they are NULL.
    *(
        (
            {},
            {"column articles.a": "text", "column articles.b": definition, "constraint articles.c": check},
            "check-added",
            "constraint articles.c",
        )
        for definition, check in [
            ("text", "CHECK ((num_nonnulls(a, b) = 1))"),
            ("text", "CHECK ((a IS NOT NULL))"),
            ("integer not null default 0", "CHECK ((b > 0))"),
            ("text default 'no'::text", "CHECK ((b = ANY (ARRAY['yes'::text, 'perhaps'::text]))) NOT VALID"),
        ]
    ),
    *(
        (
            {"column articles.n": "integer", **more},
            {"column articles.slug": "text", **change},
            "unique-key-added",
            "index articles.u",
        )
        for more, change in [
            ({}, {"index articles.u": "unique btree (title) WHERE (slug IS NULL)"}),
            ({}, {"index articles.u": "unique btree (lower(slug)) NULLS NOT DISTINCT"}),
            # a key of fewer parts that does not say enough
            (
                {"index articles.k": "unique btree (title) WHERE (n > 0)"},
                {"index articles.u": "unique btree (title, n)"},
            ),
            ({"constraint articles.k": "UNIQUE (title) DEFERRABLE"}, {"index articles.u": "unique btree (title, n)"}),
            ({"index articles.k": "unique btree (title) invalid"}, {"index articles.u": "unique btree (title, n)"}),
            ({"index articles.k": "unique btree (lower(title))"}, {"index articles.u": "unique btree (title, n)"}),
            (
                {"index articles.k": "unique btree (n)"},
                {"index articles.u": "unique btree (n, title) NULLS NOT DISTINCT"},
            ),
            (
                {"constraint articles.k": "UNIQUE (n, title WITHOUT OVERLAPS)"},
                {"index articles.u": "unique btree (n, title)"},
            ),
        ]
    ),
    ({}, {"constraint articles.u": "UNIQUE (id, title WITHOUT OVERLAPS)"}, "unique-key-added", "constraint articles.u"),
    (
        {},
        {"column articles.o": "text", "constraint articles.f": "FOREIGN KEY (o, title) REFERENCES t(a, b) MATCH FULL"},
        "foreign-key-added",
        "constraint articles.f",
    ),
    (
        {},
        {"constraint articles.x": "EXCLUDE USING gist (id WITH &&, title WITH =)"},
        "exclusion-added",
        "constraint articles.x",
    ),
    ({}, {"constraint positive.c": "CHECK ((VALUE > 0))"}, "check-added", "constraint positive.c"),
    (
        {},
        {"constraint articles.f": "FOREIGN KEY (title) REFERENCES t(id)"},
        "foreign-key-added",
        "constraint articles.f",
    ),
    (
        {},
        {
            "column articles.tag": "integer",
            "constraint articles.f": "FOREIGN KEY (id, tag) REFERENCES t(a, b) MATCH FULL",
        },
        "foreign-key-added",
        "constraint articles.f",
    ),
    (
        {},
        {"constraint articles.x": "EXCLUDE USING gist (title WITH =)"},
        "exclusion-added",
        "constraint articles.x",
    ),
    ({}, {"trigger articles.t": "BEFORE INSERT ON articles …"}, "trigger-added", "trigger articles.t"),
    ({}, {"rule articles.r": "on delete DO INSTEAD NOTHING;"}, "trigger-added", "rule articles.r"),
    ({}, {"row security articles": "enabled"}, "row-security-added", "row security articles"),
    (SECURED, {"row security articles": "enabled, forced"}, "row-security-added", "row security articles"),
    (
        SECURED,
        {"policy articles.p": "as restrictive for all to public using (false)"},
        "policy-added",
        "policy articles.p",
    ),
]


@pytest.mark.parametrize(("program", "database", "rule", "identity"), BREAKS, ids=[f"{b[2]}-{b[3]}" for b in BREAKS])
def test_a_break(program: Change, database: Change, rule: str, identity: str) -> None:
    assert _broken(program, database) == [(rule, identity)]


def _renamed(old: str, definition: str) -> tuple[Change, Change]:
    before: Change = {f"constraint articles.{old}": definition}
    return before, {f"constraint articles.{old}": None, "constraint articles.n": definition}


SERVED: list[tuple[Change, Change]] = [
    ({}, {}),
    # Relaxed.
    ({}, {"column articles.title": "character varying(50)"}),
    ({"constraint articles.c": "CHECK ((id > 0))"}, {"constraint articles.c": None}),
    ({"constraint articles.f": "FOREIGN KEY (title) REFERENCES t(id)"}, {"constraint articles.f": None}),
    ({"constraint articles.x": "EXCLUDE USING gist (id WITH =)"}, {"constraint articles.x": None}),
    ({"index articles.i": "btree (title)"}, {"index articles.i": None}),
    ({"index articles.i": "btree (title)"}, {"index articles.i": "btree (title, id) invalid"}),
    ({"constraint articles.c": "CHECK ((id > 0))"}, {"constraint articles.c": "CHECK ((id > 0)) NOT VALID"}),
    ({"constraint articles.c": "CHECK ((id > 0)) NOT VALID"}, {"constraint articles.c": "CHECK ((id > 0))"}),
    ({"constraint articles.c": "CHECK ((id > 0))"}, {"constraint articles.c": "CHECK ((id > 9)) NOT ENFORCED"}),
    (
        {"constraint articles.f": "FOREIGN KEY (status) REFERENCES s(id)"},
        {"constraint articles.f": "FOREIGN KEY (status) REFERENCES s(id) DEFERRABLE INITIALLY DEFERRED"},
    ),
    *(
        ({"column articles.n": "integer", "constraint articles.f": f"{KEY}{before}"}, after)
        for before, after in [
            ("", {"constraint articles.f": f"{KEY} ON DELETE CASCADE"}),
            ("", {"constraint articles.f": f"{KEY} ON UPDATE CASCADE ON DELETE SET DEFAULT NOT VALID"}),
            ("", {"constraint articles.f": f"{KEY} ON DELETE SET NULL"}),
            ("", {"constraint articles.f": f"{KEY} ON DELETE SET NULL (status) DEFERRABLE"}),
            (" ON UPDATE RESTRICT ON DELETE RESTRICT", {"constraint articles.f": f"{KEY} ON DELETE CASCADE"}),
            (" ON DELETE RESTRICT", {"constraint articles.f": KEY}),
            ("", {"constraint articles.f": None, "constraint articles.g": f"{KEY} ON DELETE CASCADE"}),
        ]
    ),
    # ON CONFLICT (…) finds a key by its columns, whatever it is called and whatever it is.
    ({}, {"constraint articles.articles_pkey": None, "constraint articles.pk": "PRIMARY KEY (id)"}),
    (
        {"index articles.u": "unique btree (title)"},
        {"index articles.u": None, "index articles.n": "unique btree (title)"},
    ),
    (
        {"index articles.u": "unique btree (title)"},
        {"index articles.u": None, "constraint articles.n": "UNIQUE (title)"},
    ),
    (
        {"constraint articles.u": "UNIQUE (title, status)"},
        {"constraint articles.u": None, "index articles.n": "unique btree (status DESC, title)"},
    ),
    (
        {"constraint articles.u": "UNIQUE (title, status)"},
        {"constraint articles.u": "UNIQUE (status, title) INCLUDE (id)"},
    ),
    (
        {"constraint articles.c": CHECK_IN.format("'a'::text, 'b, c'::text")},
        {"constraint articles.c": CHECK_IN.format("'b, c'::text, 'd'::text, 'a'::text")},
    ),
    (
        {"constraint articles.c": "CHECK ((id = ANY (ARRAY[1, 2])))"},
        {"constraint articles.c": "CHECK ((id = ANY (ARRAY[1, 2, 3])))"},
    ),
    ({}, {"column articles.title": "text not null"}),
    ({}, {"domain positive": "bigint"}),
    (SECURED, {"row security articles": None}),
    ({**SECURED, "row security articles": "enabled, forced"}, {"row security articles": "enabled"}),
    (
        {**SECURED, "policy articles.r": "as restrictive for all to public using (true)"},
        {"policy articles.r": None},
    ),
    ({}, {"row security articles": "forced"}),
    # Added.
    ({}, {"enum status": "'draft', 'review', 'published', 'gone'"}),
    ({}, {"column articles.slug": "text"}),
    ({}, {"column articles.slug": "text not null default ''::text"}),
    ({}, {"column articles.n": "integer not null generated always as identity"}),
    ({}, {"index articles.i": "btree (title)"}),
    (
        {},
        {
            "table tags": "table",
            "column tags.id": "integer not null",
            "constraint tags.pk": "PRIMARY KEY (id)",
            "constraint tags.f": "FOREIGN KEY (id) REFERENCES articles(id)",
            "trigger tags.t": "BEFORE …",
            "row security tags": "enabled",
            "policy tags.p": "as restrictive for all to public using (false)",
        },
    ),
    ({}, {"enum mood": "'ok'", "function f()": "()", "sequence s": "bigint", "extension citext": "installed"}),
    ({}, {"view other": "SELECT 1", "column other.a": "integer"}),
    (SECURED, {"policy articles.p": "as permissive for all to public using (true)"}),
    ({}, {"policy articles.p": "as restrictive for all to public using (false)"}),
    ({}, {"trigger articles.t": "BEFORE … disabled"}),
    # On a column that the program does not know, and leaves NULL.
    (
        {},
        {
            "column articles.author": "integer",
            "column articles.Slug": "text",
            "constraint articles.f": "FOREIGN KEY (author) REFERENCES authors(id)",
            'column articles."Slug"': "text",
            "constraint articles.u": 'UNIQUE (title, "Slug")',
            "constraint articles.c": "CHECK ((author > 0))",
            "index articles.u2": "unique btree (author DESC)",
        },
    ),
    (
        {},
        {
            "column articles.slug": "text",
            "column articles.other": "text",
            "column articles.size": "integer not null default 1",
            "column articles.at": "timestamp with time zone not null default now()",
            "constraint articles.c1": "CHECK ((slug <> title))",
            "constraint articles.c2": "CHECK (((slug IS NULL) OR (id > 7)))",
            "constraint articles.c3": "CHECK ((size > 0))",
            "constraint articles.c4": "CHECK (own_function(slug))",
            "constraint articles.c5": "CHECK ((title IS NOT NULL))",
            "constraint articles.c6": "CHECK ((at IS NOT NULL)) NOT VALID",
            "index articles.u1": "unique btree (title) WHERE (slug IS NOT NULL)",
            "index articles.u2": "unique btree (lower(slug), status)",
            "index articles.u3": "unique btree (status, title) WHERE ((slug = 'x'::text) AND (id > 7))",
            "constraint articles.f": "FOREIGN KEY (slug, other) REFERENCES t(a, b) MATCH FULL",
            "constraint articles.x1": "EXCLUDE USING gist (title WITH =, slug WITH =)",
            "constraint articles.x2": "EXCLUDE USING gist (title WITH =) WHERE ((slug IS NOT NULL)) DEFERRABLE",
        },
    ),
    # What a key that both have refuses first.
    (
        {},
        {
            "constraint articles.u": "UNIQUE (id, status)",
            "index articles.u2": "unique btree (status, id DESC) WHERE (id > 7)",
        },
    ),
    ({}, {"index articles.u": "unique btree (id, status) NULLS NOT DISTINCT"}),
    ({}, {"constraint articles.x": "EXCLUDE USING gist (id WITH =, status WITH &&)"}),
    ({"constraint articles.k": "UNIQUE (status)"}, {"constraint articles.u": "UNIQUE (status, title)"}),
    (
        {"constraint articles.k": "UNIQUE (status) DEFERRABLE"},
        {"constraint articles.u": "UNIQUE (status, title) DEFERRABLE"},
    ),
    (
        {"index articles.k": "unique btree (lower(title)) WHERE (id > 7)"},
        {"index articles.u": "unique btree (lower(title), status) WHERE (id > 7)"},
    ),
    ({"column articles.n": "json"}, {"column articles.n": "jsonb"}),
    ({}, {"constraint articles.f": "FOREIGN KEY (title) REFERENCES t(id) NOT ENFORCED"}),
    ({}, {"constraint articles.c": "CHECK ((id > 9)) NOT ENFORCED"}),
    # The same under another name.
    *(
        _renamed(old, check)
        for old, check in [
            ("c", "CHECK ((id > 0))"),
            ("f", "FOREIGN KEY (id) REFERENCES t(id)"),
            ("x", "EXCLUDE USING gist (id WITH =)"),
        ]
    ),
    ({}, {"constraint articles.twice": "PRIMARY KEY (id)"}),
    # Other, but good for the program.
    ({}, {"column articles.id": "integer not null default nextval('other'::regclass)"}),
    ({}, {"column articles.id": "integer not null generated by default as identity"}),
    (
        {"column articles.n": "integer not null generated always as identity"},
        {"column articles.n": "integer not null generated always as identity (start with 9)"},
    ),
    (
        {"column articles.n": "integer generated always as ((id * 2)) stored"},
        {"column articles.n": "integer generated always as ((id * 3)) stored"},
    ),
    ({"column articles.n": "integer default 1"}, {"column articles.n": "integer"}),
    ({}, {"view latest": "SELECT id FROM articles WHERE id > 1"}),
    (
        {"function f()": "()\n RETURNS text\n LANGUAGE sql\n…"},
        {"function f()": "()\n RETURNS text\n LANGUAGE plpgsql\n…"},
    ),
    ({"sequence s": "integer"}, {"sequence s": "bigint start with 7"}),
    ({"statistics s": "(mcv) on id from articles"}, {"statistics s": None}),
    ({}, {"options articles": "fillfactor=70", "replica identity articles": "full"}),
]


@pytest.mark.parametrize(("program", "database"), SERVED, ids=[str(change) for _, change in SERVED])
def test_served(program: Change, database: Change) -> None:
    assert _broken(program, database) == []


def test_every_rule_has_a_test_and_a_sentence_with_the_name() -> None:
    assert {rule for _, _, rule, _ in BREAKS} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert {kind for rule in RULES for kind in rule.kinds} <= set(KINDS)
    for program, database, _, identity in BREAKS:
        (broken,) = serves(_with(program), _with({**program, **database}))
        assert broken.why.startswith(f"{identity} ")


def test_every_break_is_told_by_table() -> None:
    database = {"column articles.title": None, "column articles.status": "text not null", "enum status": None}
    assert _broken({}, {**database, "column articles.slug": "text not null"}) == [
        ("required-column-added", "column articles.slug"),
        ("type-changed", "column articles.status"),
        ("not-null-added", "column articles.status"),
        ("column-dropped", "column articles.title"),
        ("type-dropped", "enum status"),
    ]


def test_the_sentence_says_what_was_and_what_is() -> None:
    (broken,) = serves(_with({}), _with({"column articles.title": "character varying(20) not null"}))
    assert broken.why == (
        "column articles.title is character varying(20) not null, which cannot hold every character varying(50) not null"
    )


def test_a_sentence_is_one_line() -> None:
    policy = "as restrictive for all to public using ((EXISTS ( SELECT 1\n   FROM t)))"
    (broken,) = serves(_with(SECURED), _with({**SECURED, "policy articles.p": policy}))
    assert broken.why.endswith("using ((EXISTS ( SELECT 1 FROM t)))")


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("character varying(50)", "character varying(255)"),
        ("character varying(50)", "character varying"),
        ("character varying(50)", "text"),
        ("character varying(50)[]", "text[]"),
        ("bit varying(3)", "bit varying(5)"),
        ("smallint", "integer"),
        ("smallint", "bigint"),
        ("integer", "bigint"),
        ("integer[]", "bigint[]"),
        ("real", "double precision"),
        ("numeric(10,2)", "numeric(12,2)"),
        ("numeric(10,2)", "numeric(12,4)"),
        ("numeric(10,2)", "numeric"),
        ("timestamp(0) without time zone", "timestamp without time zone"),
        ("timestamp(0) with time zone", "timestamp(3) with time zone"),
        ("interval(0)", "interval"),
    ],
)
def test_a_wider_type_serves_the_narrower_and_not_the_other_way_round(narrow: str, wide: str) -> None:
    assert is_served_by(narrow, wide)
    assert not is_served_by(wide, narrow)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("integer", "text"),
        ("integer", "integer[]"),
        ("integer", "numeric"),
        ("numeric(10,2)", "numeric(10,4)"),
        ("numeric(10,2)", "numeric(9,3)"),
        ("character(5)", "character(6)"),
        ("character(5)", "text"),
        ("timestamp without time zone", "timestamp with time zone"),
        ("timestamp(3) without time zone", "timestamp(3) with time zone"),
        ("cidr", "inet"),
        ("character varying(50)", "citext"),
        ("status", "text"),
        ('"My(Type)"', "text"),
        ("text", '"My(Type)"'),
    ],
)
def test_another_type_serves_neither_way(one: str, other: str) -> None:
    assert not is_served_by(one, other)
    assert not is_served_by(other, one)


def test_text_and_varchar_without_limit_are_the_same() -> None:
    assert is_served_by("text", "character varying")
    assert is_served_by("character varying[]", "text[]")
    assert is_served_by("text", "text")


def test_a_unique_key_of_another_name_is_worth_a_word():
    before = _with({"constraint articles.u": "UNIQUE (title)", "index articles.i": "unique btree (status)"})
    after = _with({"constraint articles.n": "UNIQUE (title)", "index articles.j": "unique btree (status)"})
    (said,) = words(before, after)
    assert said == (
        "constraint articles.u (UNIQUE (title)) has another name there: ON CONFLICT finds it by its columns, not by ON CONSTRAINT u"
    )
    assert words(after, after) == ()
    assert words(before, _with({})) == ()  # a break says more
    assert words(before, {}) == ()
