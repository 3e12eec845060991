"""A CHECK that refuses nothing more than others did, and those of which that cannot be said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.schema.compatibility import serves
from migrate.core.schema.implication import implies

IMPLIED = {
    "a lower bound": (["n >= 0"], "(n >= '-10'::integer)", "integer"),
    "strictly more than less": (["(n > 5)"], "(n >= 5)", "integer"),
    "a range in a wider one": (["((n >= 0) AND (n <= 10))"], "((n >= '-1'::integer) AND (n <= 20))", "bigint"),
    "two checks together": (["(n >= 0)", "(n <= 10)"], "((n >= 0) AND (n <= 11))", "integer"),
    "one value of a list": (["(n = 1)"], "(n = ANY (ARRAY[1, 2]))", "smallint"),
    "anything but what is out of the range": (["(n > 0)"], "(n <> 0)", "integer"),
    "a number with a fraction": (["(n >= (0)::numeric)"], "(n >= '-0.5'::numeric)", "numeric"),
    "floating": (["(n > (1)::double precision)"], "(n > (0.5)::double precision)", "double precision"),
    "a value more": (["(n = ANY (ARRAY['a'::text, 'b'::text]))"], "(n = ANY (ARRAY['a'::text, 'c'::text, 'b'::text]))", "text"),
    "varchar as it is printed": (
        ["((n)::text = ANY ((ARRAY['a'::character varying])::text[]))"],
        "((n)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text]))",
        "character varying",
    ),
    "one of two texts": (["(n = 'it''s'::text)"], "((n = 'x'::text) OR (n = 'it''s'::text))", "text"),
    "what is given beside it is not understood": (["(length(n) > 3)", "(n >= 3)"], "(n >= 2)", "integer"),
    "NULL passes": (["(n >= 3)"], "((n IS NULL) OR (n >= 2))", "integer"),
}  # fmt: skip
NOT_IMPLIED = {
    "a narrower range": (["(n >= 0)"], "(n >= 1)", "integer"),
    "nothing given": ([], "(n >= 0)", "integer"),
    "NULL is refused": (["(n >= 3)"], "((n IS NOT NULL) AND (n >= 2))", "integer"),
    "a value less": (["(n = ANY (ARRAY['a'::text, 'b'::text]))"], "(n = 'a'::text)", "text"),
    "arithmetic": (["(n >= 0)"], "((n - 5) >= '-5'::integer)", "integer"),
    "a function": (["(n >= 0)"], "(abs(n) >= 0)", "integer"),
    "another column": (["(n >= 0)"], "(m >= 0)", "integer"),
    "the order of texts": (["(n >= 'b'::text)"], "(n >= 'a'::text)", "text"),
    "a number as text": (["(n > 5)"], "((n)::text > '5'::text)", "integer"),
    "a number as another text": (["(n = 1)"], "((n)::text = '01'::text)", "integer"),
    "less precise": (["(n <= '0.1'::real)"], "(n <= '0.1'::double precision)", "real"),
    "a date": (["(n >= '2020-01-01'::date)"], "(n >= '2019-01-01'::date)", "date"),
    "a number in a text": (["(n = '1'::text)"], "(n = 1)", "text"),
    "another type's text": (["(n = 'a'::text)"], "(n = 'a'::text)", "integer"),
    "between two numbers": (["(n > (0)::numeric)"], "((n <= (0)::numeric) OR (n >= (1)::numeric))", "numeric"),
    "a text as a number's text": (["(n = ANY (ARRAY[1, 2]))"], "(n = '1'::text)", "integer"),
    "two values at once of a type whose values may be equal": (["((n = 'A'::citext) AND (n = 'a'::citext))"], "(n = 'b'::citext)", "citext"),
    "two checks of a type whose values may be equal": (["(n = 'A'::citext)", "(n = 'a'::citext)"], "(n = 'b'::citext)", "citext"),
    "anything but a value that may be equal": (["(n = 'A'::citext)"], "(n <> 'a'::citext)", "citext"),
    "a value of a list less": (["(n = ANY (ARRAY['a'::status, 'b'::status]))"], "(n = ANY (ARRAY['a'::status]))", "status"),
    "a quoted column of another name": (['("N" > 1)'], '("N" > 0)', "integer"),
    "rounded on the way": (["(n > 1)"], "((n)::smallint > 0)", "integer"),
}  # fmt: skip
OF_ANY_TYPE = {
    "an enum": ("(n = ANY (ARRAY['a'::status, 'b'::status]))", "(n = ANY (ARRAY['a'::status, 'c'::status, 'b'::status]))", "status"),
    "an enum of a schema": ("(n = 'a'::other.\"Status\")", "(n = ANY (ARRAY['a'::other.\"Status\", 'b'::other.\"Status\"]))", 'other."Status"'),
    "an enum as text": ("((n)::text = ANY (ARRAY['a'::text]))", "((n)::text = ANY (ARRAY['a'::text, 'b'::text]))", "status"),
    "days": ("(n = '2020-01-01'::date)", "(n = ANY (ARRAY['2020-01-01'::date, '2020-01-02'::date]))", "date"),
    "moments": ("(n = '2020-01-01 00:00:00+00'::timestamp with time zone)", "((n IS NULL) OR (n = '2020-01-01 00:00:00+00'::timestamp with time zone))", "timestamp with time zone"),
    "characters": ("(n = ANY (ARRAY['a'::bpchar, 'b'::bpchar]))", "(n = ANY (ARRAY['b'::bpchar, 'a'::bpchar]))", "character"),
    "citext": ("(n = 'a'::citext)", "((n = 'b'::citext) OR (n = 'a'::citext))", "citext"),
    "booleans as text": ("((n)::text = 'true'::text)", "((n)::text = ANY (ARRAY['true'::text, 'false'::text]))", "boolean"),
    "texts under a collation": ("(n = 'a'::text)", "(n = ANY (ARRAY['a'::text, 'b'::text]))", "collated"),
    "less precise numbers": ("(n = ANY (ARRAY['0.1'::real]))", "(n = ANY (ARRAY['0.1'::real, '0.2'::real]))", "real"),
}  # fmt: skip
NAMED = {
    "in capitals": ('("Status" = 1)', '("Status" = ANY (ARRAY[1, 2]))', '"Status"'),
    "a word of SQL's": ('("order" > 1)', '("order" > 0)', "order"),
    "with a quotation mark": ('("a""b" > 1)', '("a""b" > 0)', '"a""b"'),
    "quoted and cast": ("((\"Status\")::text = 'a'::text)", "((\"Status\")::text = ANY (ARRAY['a'::text, 'b'::text]))", '"Status"'),
    "with a dollar": ("(a$b > 1)", "(a$b > 0)", '"a$b"'),
    "a domain's value": ("(VALUE > 1)", "(VALUE > 0)", "VALUE"),
}  # fmt: skip


@pytest.mark.parametrize(("known", "wanted", "type_"), OF_ANY_TYPE.values(), ids=OF_ANY_TYPE)
def test_a_list_that_has_all_values_of_another_is_implied_for_any_type(known, wanted, type_):
    assert implies([known], wanted, "n", type_)
    assert not implies([wanted], known, "n", type_) or known.count("'") == wanted.count("'")


@pytest.mark.parametrize(("known", "wanted", "column"), NAMED.values(), ids=NAMED)
def test_a_column_is_known_by_whatever_name(known, wanted, column):
    type_ = "text" if "text" in known else "integer"
    assert implies([known], wanted, column, type_)
    assert not implies([wanted], known, column, type_)
    assert not implies([known], wanted, "another", type_)


@pytest.mark.parametrize(("known", "wanted", "type_"), IMPLIED.values(), ids=IMPLIED)
def test_what_refuses_nothing_more_is_implied(known, wanted, type_):
    assert implies(known, wanted, "n", type_)


@pytest.mark.parametrize(("known", "wanted", "type_"), NOT_IMPLIED.values(), ids=NOT_IMPLIED)
def test_what_may_refuse_more_is_not_implied(known, wanted, type_):
    assert not implies(known, wanted, "n", type_)


COMPARED = st.tuples(st.sampled_from(["=", "<>", "<", ">", "<=", ">="]), st.integers(-4, 4))
SAID = {"=": "__eq__", "<>": "__ne__", "<": "__lt__", ">": "__gt__", "<=": "__le__", ">=": "__ge__"}


@given(st.lists(COMPARED, min_size=1, max_size=3), st.lists(COMPARED, min_size=1, max_size=3))
def test_what_is_called_implied_holds_for_every_number(known, wanted):
    def passes(conditions, value):
        return all(getattr(value, SAID[operator])(bound) for operator, bound in conditions)

    def text(conditions):
        return " AND ".join(f"(n {operator} '{bound}'::integer)" for operator, bound in conditions)

    values = [half / 2 for half in range(-12, 13)]
    holds = all(passes(wanted, value) for value in values if passes(known, value))
    assert implies([text(known)], text(wanted), "n", "numeric") is holds


TABLE = {
    "table t": "",
    "column t.n": "integer",
    "column t.s": 'text collate "und-x-icu"',
    'column t."O"': "status",
    "column t.d": "positive",
    "domain positive": "integer",
    "column t.v": "label",
    "domain label": "character varying(20)",
}


@pytest.mark.parametrize(
    ("before", "after", "is_served"),
    [
        pytest.param({"constraint t.c": "CHECK ((n >= 0))"}, {"constraint t.c": "CHECK ((n >= '-10'::integer))"}, True, id="wider"),
        pytest.param({"constraint t.c": "CHECK ((n >= 0))"}, {"constraint t.d": "CHECK ((n >= '-10'::integer))"}, True, id="renamed"),
        pytest.param({"constraint t.c": "CHECK ((n >= 0))"}, {"constraint t.c": "CHECK ((n >= 1))"}, False, id="narrower"),
        pytest.param({"constraint t.c": "CHECK ((n >= 0)) NOT ENFORCED"}, {"constraint t.d": "CHECK ((n >= 0))"}, False, id="unenforced"),
        pytest.param({"constraint t.c": "CHECK ((n >= 0))"}, {"constraint t.d": "CHECK ((s <> 'a'::text))"}, False, id="another"),
        pytest.param({"constraint t.c": "CHECK ((s = 'a'::text))"}, {"constraint t.d": "CHECK ((s <> 'A'::text))"}, False, id="collated"),
        pytest.param({"constraint t.c": "CHECK ((n >= 0))"}, {"constraint t.d": "CHECK (((n > 0) OR (s <> 'A'::text)))"}, False, id="two"),
        pytest.param({"constraint t.c": "CHECK ((s = 'a'::text))"}, {"constraint t.c": "CHECK ((s = ANY (ARRAY['a'::text, 'b'::text])))"}, True, id="a collated list longer"),
        pytest.param({"constraint t.c": "CHECK ((\"O\" = 'a'::status))"}, {"constraint t.d": "CHECK ((\"O\" = ANY (ARRAY['a'::status, 'b'::status])))"}, True, id="quoted, of an enum"),
        pytest.param({"constraint t.c": "CHECK ((\"O\" = 'a'::status))"}, {"constraint t.d": "CHECK ((\"O\" = 'b'::status))"}, False, id="quoted, another value"),
        pytest.param({"constraint t.c": "CHECK (((d)::integer > 5))"}, {"constraint t.d": "CHECK (((d)::integer >= 5))"}, True, id="of a domain, wider"),
        pytest.param({"constraint t.c": "CHECK (((d)::integer > 5))"}, {"constraint t.d": "CHECK (((d)::integer >= 7))"}, False, id="of a domain, narrower"),
        pytest.param({"constraint t.c": "CHECK (((v)::text = 'a'::text))"}, {"constraint t.c": "CHECK (((v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))"}, True, id="of a domain, a list"),
        pytest.param({"constraint positive.c": "CHECK ((VALUE > 5))"}, {"constraint positive.c": "CHECK ((VALUE > 0)) NOT VALID"}, True, id="a domain's, wider"),
        pytest.param({"constraint positive.c": "CHECK ((VALUE > 5))"}, {"constraint positive.d": "CHECK ((VALUE > 0))"}, True, id="a domain's, renamed"),
        pytest.param({"constraint positive.c": "CHECK ((VALUE > 5))"}, {"constraint positive.c": "CHECK ((VALUE > 9))"}, False, id="a domain's, narrower"),
        pytest.param({"constraint label.c": "CHECK (((VALUE)::text = 'a'::text))"}, {"constraint label.c": "CHECK (((VALUE)::text = ANY (ARRAY['a'::text, 'b'::text])))"}, True, id="a domain's, a list"),
    ],
)  # fmt: skip
def test_a_check_that_lets_pass_what_it_did_serves(before, after, is_served):
    assert (serves({**TABLE, **before}, {**TABLE, **after}) == ()) is is_served
