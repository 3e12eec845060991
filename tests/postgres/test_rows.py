"""Synthetic rows: every table that can take one gets some, and the others are named with the server's reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2.sql
import pytest

from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.connection import connect
from migrate.trial.rows import count, fill
from migrate.trial.tables import Scope

if TYPE_CHECKING:
    from migrate.postgres.connection import Connection
    from tests.support.server import Database

pytestmark = pytest.mark.deep

SCOPE = Scope(("public",), ("public", "alembic_version"))


@pytest.fixture
def connection(database: Database) -> Connection:
    return connect(
        Target(DatabaseUrl.parse(database.as_superuser.url), "a test"),
        application_name="test",
        interruption=None,
        timeout_s=30,
    )


def make(connection: Connection, statements: str) -> None:
    connection.run(statements)


def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return connection.rows(query)


def test_equal_where_they_may_be_and_null_where_they_may_be(connection: Connection) -> None:
    make(connection, "CREATE TABLE t (id serial PRIMARY KEY, name varchar(20) NOT NULL, note text, code text UNIQUE)")
    found = fill(connection, SCOPE)
    assert (found.rows, found.unfilled) == ({"t": 3}, {})
    first, second, third = rows(connection, "SELECT name, note, code FROM t ORDER BY id")
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    assert third[1:] == (None, None)
    assert len(str(first[0])) == 20
    assert len(str(first[1])) > 255


TYPES = [
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "numeric(10,2)",
    "numeric(3,3)",
    "numeric(2)",
    "real",
    "double@precision",
    "money",
    "boolean",
    "text",
    "varchar",
    "varchar(1)",
    "varchar(5000)",
    "char",
    "char(3)",
    "name",
    '"char"',
    "bytea",
    "date",
    "timestamp",
    "timestamptz",
    "timestamp(3)",
    "time",
    "timetz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "xml",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "bit",
    "bit(5)",
    "varbit",
    "varbit(7)",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "tsvector",
    "tsquery",
    "oid",
    "xid",
    "pg_lsn",
    "regclass",
    "int4range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int8range",
    "int4multirange",
    "datemultirange",
    "integer[]",
    "text[][]",
    "varchar(3)[]",
    "jsonb[]",
    "mood",
    "mood[]",
    "posint",
    "posint[]",
    "pair",
    "pair[]",
    "shouting",
    "int4range[]",
    "txid_snapshot",
]


def test_every_type_has_values_and_they_fill_it(connection: Connection) -> None:
    make(
        connection,
        """
        CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
        CREATE DOMAIN posint AS integer CHECK (VALUE BETWEEN 1 AND 9);
        CREATE DOMAIN shouting AS text NOT NULL CHECK (VALUE = upper(VALUE) AND length(VALUE) = 4);
        CREATE TYPE pair AS (a integer, b varchar(5), c mood[]);
        """,
    )
    columns = ", ".join(f"c{at} {type_.replace('@', ' ')} NOT NULL" for at, type_ in enumerate(TYPES))
    make(connection, f"CREATE TABLE t ({columns})")
    found = fill(connection, SCOPE)
    assert found.rows == {"t": 3}, found.unfilled
    make(connection, "CREATE TABLE u (x integer); ALTER TABLE t ALTER c1 TYPE bigint")
    for column, narrower in (
        ("c2", "integer"),
        ("c11", "varchar(255)"),
        ("c4", "numeric(8,2)"),
        ("c14", "varchar(4000)"),
    ):
        with pytest.raises(psycopg2.DataError):
            connection.run(f"ALTER TABLE t ALTER COLUMN {column} TYPE {narrower}")


@pytest.mark.parametrize(
    "type_", [t for t in TYPES if t not in {"json", "xml", "txid_snapshot", "regclass", "shouting"}]
)
def test_a_unique_column_of_any_type_has_different_values(connection: Connection, type_: str) -> None:
    if type_ in {"xid", "point", "line", "lseg", "path", "polygon", "circle", "box", "shouting"}:
        pytest.skip("PostgreSQL has no unique index for this type")
    make(
        connection,
        """
        CREATE TYPE mood AS ENUM ('sad', 'ok', 'fine');
        CREATE DOMAIN posint AS integer CHECK (VALUE BETWEEN 1 AND 9);
        CREATE TYPE pair AS (a integer, b varchar(5), c mood[]);
        """,
    )
    make(connection, f"CREATE TABLE t (c {type_.replace('@', ' ')} PRIMARY KEY)")
    found = fill(connection, SCOPE)
    assert found.rows["t"] == (2 if type_ in {"bit", "boolean"} else 3), found.unfilled


CHECKED = {
    "one of": "status text NOT NULL CHECK (status IN ('new', 'done'))",
    "a range of numbers": "percent integer NOT NULL CHECK (percent >= 0 AND percent <= 100)",
    "a small decimal": "rate numeric(5,4) NOT NULL CHECK (rate > 0 AND rate < 1)",
    "a length": "code varchar(40) NOT NULL CHECK (char_length(code) = 3)",
    "an e-mail": "mail text NOT NULL CHECK (mail ~* '^[^@]+@[^@]+\\.[a-z]+$')",
    "a pattern": "code text NOT NULL CHECK (code ~ '^[A-Z]{3}$')",
    "upper case": "code char(2) NOT NULL CHECK (code = upper(code))",
    "upper case, and a key": "code char(2) PRIMARY KEY CHECK (code = upper(code))",
    "upper case of a length": "code text NOT NULL CHECK (length(code) = 3 AND code = upper(code))",
    "digits": "code text NOT NULL CHECK (code ~ '^[0-9]{4}$')",
    "digits in a pattern of classes": r"code text NOT NULL CHECK (code ~ '^\d{7}$')",
    "a prefix": "code text NOT NULL CHECK (code LIKE 'ord-%')",
    "trimmed": "code text NOT NULL CHECK (code = btrim(code) AND char_length(code) <= 5)",
    "an address in a domain": "mail address NOT NULL",
    "two times in order": "a timestamptz NOT NULL, b timestamptz NOT NULL, CHECK (a < b)",
    "two numbers in order": "least integer, most integer, CHECK (least < most)",
    "lower case": "code text NOT NULL CHECK (code = lower(code) AND code <> '')",
    "two dates in order": "ends date NOT NULL, starts date NOT NULL, CHECK (ends > starts)",
    "a date before": "born date NOT NULL CHECK (born < '1990-05-01')",
    "one of two": "a integer, b integer, CHECK (num_nonnulls(a, b) = 1)",
    "both or none": "a integer, b integer, CHECK ((a IS NULL) = (b IS NULL))",
    "a json object": "doc jsonb NOT NULL CHECK (jsonb_typeof(doc) = 'object')",
    "an array with something in it": "tags text[] NOT NULL CHECK (cardinality(tags) > 0)",
    "not without a default": "x integer NOT NULL DEFAULT 5 CHECK (x % 5 = 0)",
    "a table of one row": "id boolean PRIMARY KEY DEFAULT true CHECK (id)",
    "an exclusion": "during tstzrange NOT NULL, EXCLUDE USING gist (during WITH &&)",
    "a partial unique index": "kind text NOT NULL, gone timestamptz",
    "a generated column": "a integer NOT NULL, twice integer GENERATED ALWAYS AS (a + a) STORED UNIQUE",
    "an identity": "id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer NOT NULL",
    "nothing": "",
}


@pytest.mark.parametrize("body", CHECKED.values(), ids=CHECKED)
def test_a_rule_is_obeyed(connection: Connection, body: str) -> None:
    make(connection, "CREATE DOMAIN address AS text CHECK (position('@' IN VALUE) > 1 AND VALUE = lower(VALUE))")
    make(connection, f"CREATE TABLE t ({body})")
    if "gone" in body:
        make(connection, "CREATE UNIQUE INDEX one ON t (lower(kind)) WHERE gone IS NULL")
    found = fill(connection, SCOPE)
    assert found.unfilled == {}
    assert found.rows["t"] == (1 if "boolean" in body else 3)


REFERRING = {
    "a tree": "CREATE TABLE t (id serial PRIMARY KEY, parent integer REFERENCES t)",
    "a tree whose root is its own parent": "CREATE TABLE t (id serial PRIMARY KEY, parent integer NOT NULL REFERENCES t)",
    "identity that refers to itself": (
        "CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent integer NOT NULL REFERENCES t)"
    ),
    "a composite key": (
        "CREATE TABLE a (x integer, y uuid, PRIMARY KEY (x, y));"
        "CREATE TABLE t (x integer NOT NULL, y uuid NOT NULL, FOREIGN KEY (x, y) REFERENCES a)"
    ),
    "two keys that share a column": (
        "CREATE TABLE tenant (id serial PRIMARY KEY);"
        "CREATE TABLE a (tenant integer NOT NULL REFERENCES tenant, id serial, PRIMARY KEY (tenant, id));"
        "CREATE TABLE b (tenant integer NOT NULL REFERENCES tenant, id serial, PRIMARY KEY (tenant, id));"
        "CREATE TABLE t (tenant integer NOT NULL, a integer NOT NULL, b integer, PRIMARY KEY (tenant, a),"
        " FOREIGN KEY (tenant, a) REFERENCES a, FOREIGN KEY (tenant, b) REFERENCES b)"
    ),
    "a link table": (
        "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY);"
        "CREATE TABLE t (a integer REFERENCES a, b integer REFERENCES b, PRIMARY KEY (a, b))"
    ),
    "one to one": "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE t (id integer PRIMARY KEY REFERENCES a)",
    "a circle with a nullable key": (
        "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE t (id serial PRIMARY KEY, a integer NOT NULL REFERENCES a);"
        "ALTER TABLE a ADD t integer REFERENCES t"
    ),
    "a circle with a deferrable key": (
        "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE t (id uuid PRIMARY KEY, a integer NOT NULL REFERENCES a);"
        "ALTER TABLE a ADD t uuid NOT NULL REFERENCES t DEFERRABLE"
    ),
    "a key to a unique column": (
        "CREATE TABLE a (code text UNIQUE NOT NULL); CREATE TABLE t (code text NOT NULL REFERENCES a (code))"
    ),
    "partitions": (
        "CREATE TABLE t (id integer NOT NULL, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')"
    ),
}


@pytest.mark.parametrize("statements", REFERRING.values(), ids=REFERRING)
def test_references_are_kept(connection: Connection, statements: str) -> None:
    make(connection, statements)
    found = fill(connection, SCOPE)
    assert found.unfilled == {}
    assert found.rows["t"] >= 2
    assert all(number > 0 for number in found.rows.values())


def test_a_nullable_circle_is_closed_in_the_end(connection: Connection) -> None:
    make(connection, REFERRING["a circle with a nullable key"])
    fill(connection, SCOPE)
    assert rows(connection, "SELECT count(*) > 0 FROM a WHERE t IS NOT NULL") == [(True,)]


UNFILLABLE = {
    "a check that nothing fulfils": (
        "CREATE TABLE t (a integer NOT NULL CHECK (a + a = 1763999999))",
        'violates check constraint "t_a_check"',
    ),
    "a trigger": (
        (
            "CREATE TABLE t (a integer); CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE 'not by hand'; END$$; CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()"
        ),
        "not by hand",
    ),
    "a trigger that swallows": (
        (
            "CREATE TABLE t (a integer); CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RETURN NULL; END$$; CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()"
        ),
        "throws the rows away",
    ),
    "no partition": ("CREATE TABLE t (a integer) PARTITION BY LIST (a)", "no partition"),
    "a circle of hard keys": (
        (
            "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE t (id serial PRIMARY KEY, a integer NOT NULL REFERENCES a);"
            "ALTER TABLE a ADD t integer NOT NULL REFERENCES t"
        ),
        "each need a row of the other first",
    ),
}


@pytest.mark.parametrize(("statements", "why"), UNFILLABLE.values(), ids=UNFILLABLE)
def test_a_table_that_takes_no_row_is_named_with_the_reason(connection: Connection, statements: str, why: str) -> None:
    make(connection, f"{statements}; CREATE TABLE fine (x integer)")
    found = fill(connection, SCOPE)
    assert why in found.unfilled["t"]
    assert found.rows["fine"] == 3


def test_what_needs_a_row_of_an_unfilled_table_is_named_too(connection: Connection) -> None:
    make(
        connection,
        "CREATE TABLE a (id integer PRIMARY KEY CHECK (id + id = 1763999999));"
        "CREATE TABLE t (a integer NOT NULL REFERENCES a)",
    )
    found = fill(connection, SCOPE)
    assert found.unfilled["t"] == "it needs a row of a, which has none"


def test_rows_that_are_there_serve_as_parents(connection: Connection) -> None:
    make(
        connection,
        "CREATE TABLE a (id integer PRIMARY KEY); INSERT INTO a VALUES (42000);"
        "ALTER TABLE a ADD CHECK (id + id = 1763999999) NOT VALID; CREATE TABLE t (a integer NOT NULL REFERENCES a)",
    )
    found = fill(connection, SCOPE)
    assert found.rows["t"] == 3
    assert [(one.name, one.rows) for one in count(connection, SCOPE)] == [("a", 1), ("t", 3)]
