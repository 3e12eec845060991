"""What PostgreSQL's expressions come to where some columns are known: each text is as the server prints it."""

from __future__ import annotations

import pytest

from migrate.core.schema.expressions import (
    ANY,
    NULL,
    SOME,
    Items,
    Value,
    evaluate,
    evaluate_first,
    inside,
    parts,
    truth,
)

T, F, N = True, False, None
COLUMNS: dict[str, Value] = {
    "a": NULL,
    "b": NULL,
    "order": NULL,
    '"Odd Name"': NULL,
    "some": SOME,
    "one": frozenset({1}),
    "word": frozenset({"x"}),
    "yes": frozenset({True}),
}

CONDITIONS: list[tuple[str, set[bool | None]]] = [
    # comparisons and what is strict
    ("(a > 0)", {N}),
    ("(x > 0)", {T, F, N}),
    ("(some > 0)", {T, F}),
    ("(a > x)", {N}),
    ("(- a) < 3", {N}),
    ('("Odd Name" = x)', {N}),
    ('("order" = x)', {N}),
    ("((a)::text ~~ 'x%'::text)", {N}),
    ("((a COLLATE \"C\") = 'x'::text)", {N}),
    ("((a AT TIME ZONE 'utc'::text) > '2020-01-01 00:00:00'::timestamp without time zone)", {N}),
    ("(EXTRACT(year FROM a) = (2)::numeric)", {N}),
    ("(length(TRIM(BOTH FROM a)) > 0)", {N}),
    ("(pg_catalog.lower((a)::text) = 'x'::text)", {N}),
    ("(lower(x) = 'x'::text)", {T, F, N}),
    ("(own(a) = 1)", {T, F, N}),
    ("(a[1] = 2)", {N}),
    ("(x[1] = 2)", {T, F, N}),
    ("((a || 'x'::text) = word)", {T, F, N}),
    ("(a = CURRENT_USER)", {N}),
    ("(x = CURRENT_USER)", {T, F, N}),
    ("(a = E'\\\\x'::text)", {N}),
    # constants
    ("(one = 1)", {T}),
    ("(one = '-1'::integer)", {F}),
    ("((one + 1) >= 2)", {T}),
    ("((one - 1) < 0)", {F}),
    ("((one * 2) = 2)", {T, F, N}),
    ("(one <> 1)", {F}),
    ("(one <= 1) AND (one > 0)", {T}),
    ("(one = (2)::numeric)", {F}),
    ("(one = 1.5)", {T, F}),
    ("((one)::real > 0)", {T, F}),
    ("((a)::real > 0)", {N}),
    ("((x)::real > 0)", {T, F, N}),
    ("((some)::real > 0)", {T, F}),
    ("((word)::text = 'x'::text)", {T}),
    ("((word)::character varying <> 'x'::character varying)", {F}),
    ("(word > 'a'::text)", {T, F}),
    ("((one)::text = '1'::text)", {T, F}),
    ("(word = 1)", {T, F}),
    ("(yes = true)", {T}),
    ("((word)::integer = 1)", {T, F, N}),
    ("((word)::numeric = 1)", {T, F}),
    ("((NULL::text) IS NULL)", {T}),
    ("(COALESCE(CASE WHEN x THEN NULL::integer ELSE 1 END, one) = 1)", {T, F}),
    # three values
    ("((a IS NULL) OR (x > 0))", {T}),
    ("((a IS NOT NULL) AND (x > 0))", {F}),
    ("((a > 0) AND (x > 0))", {F, N}),
    ("((a > 0) OR (x > 0))", {T, N}),
    ("(NOT (a > 0))", {N}),
    ("(NOT yes)", {F}),
    ("(x IS NULL)", {T, F}),
    ("(some IS NULL)", {F}),
    ("(a IS TRUE)", {F}),
    ("(a IS NOT TRUE)", {T}),
    ("(yes IS FALSE)", {F}),
    ("(a IS UNKNOWN)", {T}),
    ("((a IS NULL) = (b IS NULL))", {T}),
    ("((((a IS NOT NULL))::integer + ((b IS NOT NULL))::integer) = 1)", {F}),
    ("(a IS DISTINCT FROM b)", {F}),
    ("(a IS DISTINCT FROM 1)", {T}),
    ("(one IS NOT DISTINCT FROM a)", {F}),
    ("(some IS DISTINCT FROM a)", {T}),
    ("(a IS DISTINCT FROM x)", {T, F}),
    ("(one IS DISTINCT FROM 1)", {T, F}),
    # lists
    ("(a = ANY (ARRAY['p'::text, 'q'::text]))", {N}),
    ("((a)::text = ANY ((ARRAY['p'::character varying])::text[]))", {N}),
    ("(one = ANY (ARRAY[1, 2]))", {T}),
    ("(one = ANY (ARRAY[2, 3]))", {F}),
    ("(one <> ALL (ARRAY[2, 3]))", {T}),
    ("(one <> ALL (ARRAY[1, x]))", {F}),
    ("(one = ANY (ARRAY[2, a]))", {N}),
    ("(a = ANY ('{p,q}'::text[]))", {N, F}),
    ("(a <> ALL (x))", {N, T}),
    ("((a = ANY (x)) = true)", {N, F}),
    ("(x = ANY (a))", {N}),
    ("(x = ANY (y))", {T, F, N}),
    ("(a = ANY (ARRAY[]::integer[]))", {N, F}),
    ("(x = ARRAY[1, 2])", {T, F, N}),
    ("(x = ARRAY[ARRAY[1], ARRAY[2]])", {T, F, N}),
    ("(ARRAY[1] IS NULL)", {F}),
    # functions that are not strict
    ("(COALESCE(a, 0) > 0)", {F}),
    ("(COALESCE(a, b) > 0)", {N}),
    ("(COALESCE(x, 0) > 0)", {T, F}),
    ("(COALESCE(a, x) > 0)", {T, F, N}),
    ("(NULLIF(a, ''::text) IS NULL)", {T}),
    ("(NULLIF(x, ''::text) IS NULL)", {T, F}),
    ("(GREATEST(a, b) > 0)", {N}),
    ("(LEAST(a, 0) > 0)", {T, F, N}),
    ("(num_nonnulls(a, b) = 1)", {F}),
    ("(num_nonnulls(a, some) = 1)", {T}),
    ("(num_nulls(a, b) = 2)", {T}),
    ("(num_nulls(a, x) = 2)", {T, F}),
    ("CASE WHEN (x > 0) THEN CASE WHEN y THEN a END ELSE true END", {T, F, N}),
    # what is no expression that is known here
    ("(a", {T, F, N}),
    ("a b", {T, F, N}),
    ("(a IS OF (text))", {T, F, N}),
    ("(, a)", {T, F, N}),
    ("a §", {T, F, N}),
    ("num_nulls(a b)", {T, F, N}),
    ("lower(a", {T, F, N}),
    ("(a = ANY (b c))", {T, F, N}),
    ("", {T, F, N}),
]


@pytest.mark.parametrize(("text", "expected"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_a_condition_is_what_sql_says(text: str, expected: set[bool | None]) -> None:
    assert truth(evaluate(text, COLUMNS)) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("a", NULL),
        ("a text_pattern_ops", NULL),
        ('lower(a) COLLATE "C"', NULL),
        ("((a + 1))", NULL),
        ("x", ANY),
        ("some", SOME),
        ("a WITH =", NULL),
        ("", ANY),
        ("ARRAY[1]", Items((frozenset({1}),))),
    ],
)
def test_a_part_of_an_index_ends_where_its_expression_does(part: str, expected: Value) -> None:
    assert evaluate_first(part, COLUMNS) == expected


def test_what_stands_in_parentheses() -> None:
    assert inside("unique btree (a, f(b, ')'), \"(\") WHERE (x)") == ("a, f(b, ')'), \"(\"", " WHERE (x)")
    assert inside("nothing") == ("", "")
    assert inside("(open") == ("", "")
    assert inside("'quoted' )") == ("", "")


def test_parts_are_divided_at_commas_that_are_not_within_something() -> None:
    assert parts("a, f(b, c), ARRAY[1, 2], ',', \"x,y\"") == ["a", "f(b, c)", "ARRAY[1, 2]", "','", '"x,y"']
    assert parts("a") == ["a"]
