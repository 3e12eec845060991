"""What texts are read as: the type is in the error, the column in the revision."""

from __future__ import annotations

import pytest

from migrate.trial.readings import readable, readings, unread
from migrate.trial.values import Shape, Type


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('invalid input syntax for type integer: "aaa"', "integer"),
        ('DatatypeError: invalid input syntax for type timestamp with time zone: "aaa"', "timestamp with time zone"),
        ("invalid input syntax for type json", "json"),
        ("invalid input syntax for type json (at line 1)", "json"),
        ('invalid input value for enum mood: "aaa"', "mood"),
        ('value "70000" is out of range for type smallint', "smallint"),
        ('malformed array literal: "aaa"', "array"),
        ('invalid value "aaaa" for "YYYY"', "date"),
        ('date/time field value out of range: "2026-99-99"', "date"),
        ("ValueError: invalid literal for int() with base 10: 'aaa'", "integer"),
        ("could not convert string to float: 'aaa'", "numeric"),
        ("JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "json"),
        ("badly formed hexadecimal UUID string", "uuid"),
        ("smallint out of range", None),
        ('column "a" contains null values', None),
    ],
)
def test_the_type_that_could_not_read_a_text(said: str, name: str | None) -> None:
    assert unread(said, {"enum other": "'bbb'"}) == name


def test_a_text_that_the_schema_names_is_none_of_ours() -> None:
    said = 'invalid input value for enum mood: "happy"'
    assert unread(said, {"enum old_mood": "'ok', 'happy'"}) is None
    assert unread(said, {"constraint t.c": "CHECK ((mood = ANY (ARRAY['ok'::text, 'happy'::text])))"}) is None
    assert unread(said, {"enum old_mood": "'ok', 'unhappy'"}) == "mood"


def test_a_column_is_what_the_revision_makes_of_it() -> None:
    source = """
    op.alter_column("m", "year", type_=sa.Integer, postgresql_using="year::integer")
    op.execute("ALTER TABLE m ALTER opts TYPE jsonb USING opts::jsonb, ALTER st TYPE mood USING (st)::mood")
    op.execute('UPDATE m SET n = CAST("Uid" AS uuid), said = said::text, other = 1')
    """
    columns = ("year", "opts", "st", "Uid", "said", "other", "elsewhere")
    assert readings(source, columns, "boolean", {"mood": ("ok",)}) == {
        "year": Type("integer"),
        "opts": Type("json"),
        "st": Type("mood", Shape.ENUM, labels=("ok",)),
        "Uid": Type("uuid"),
        "other": Type("boolean"),
    }
    assert readings("for name in names: ...", ("a", "b"), "int4", {}) == {"a": Type("integer"), "b": Type("integer")}


@pytest.mark.parametrize("name", ["integer", "json", "boolean", "date", "uuid"])
def test_as_many_texts_as_rows(name: str) -> None:
    assert len(set(readable(Type(name), 4))) >= 3


def test_texts_of_an_enum_an_array_and_a_type_that_nobody_knows() -> None:
    assert readable(Type("mood", Shape.ENUM, labels=("ok", "sad")), 0) == ("ok", "sad")
    assert readable(Type("array"), 0) == ("{}",)
    assert readable(Type("isbn13"), 0) == ()
