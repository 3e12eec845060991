"""Every kind of need as a question to a real server: rows that are against it, rows that are not, and what is not known."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from migrate.core.decide.policy import Limits
from migrate.core.foresee import needs
from migrate.core.foresee.live import COUNTED, Against, Met, NotKnown
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.connection import connect
from migrate.postgres.questions import Asking, answer

LIMITS = Limits()


@pytest.fixture
def ask(database, server):
    """Ask the database for a line of needs; `default` is the schema that names are relative to."""
    target = Target(DatabaseUrl.parse(database.url), "a test")
    major = database.scalar("SELECT current_setting('server_version_num')::int / 10000")

    def put(line, *, default="public", limits=LIMITS, of=database, go_on=lambda: None, major=major):
        asking = Asking(of.user, major, default, (), limits, go_on)
        to = replace(target, url=DatabaseUrl.parse(of.url))
        with closing(connect(to, application_name="test", interruption=None)) as connection:
            found = answer(connection, needs.read(line).condition, asking)
            if not connection.closed:
                assert connection.row("SELECT current_setting('transaction_read_only')") == ("off",)
            return found

    return put


KINDS = [
    # need, tables, rows that are not against it, rows that are, how many
    ("no NULL in t.a", "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (NULL), (NULL)", 2),
    (
        'no NULL in "T 1"."a ""b"',
        'CREATE TABLE "T 1" ("a ""b" int)',
        'INSERT INTO "T 1" VALUES (1)',
        'INSERT INTO "T 1" VALUES (NULL)',
        1,
    ),
    (
        'no NULL in audit."Log".select',
        'CREATE SCHEMA audit; CREATE TABLE audit."Log" ("select" int)',
        'INSERT INTO audit."Log" VALUES (1)',
        'INSERT INTO audit."Log" VALUES (NULL)',
        1,
    ),
    (
        "no NULL in t.a",
        "CREATE TABLE t (k int, a int) PARTITION BY LIST (k); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
        "INSERT INTO t VALUES (1, 1)",
        "INSERT INTO t VALUES (1, NULL)",
        1,
    ),
    (
        "no row in t (b is not null and has no default)",
        "CREATE TABLE t (a int)",
        "SELECT",
        "INSERT INTO t SELECT generate_series(1, 3)",
        3,
    ),
    (
        "no duplicates of t (a, b)",
        "CREATE TABLE t (a int, b text)",
        "INSERT INTO t VALUES (1, 'x'), (1, 'y'), (2, NULL), (2, NULL)",
        "INSERT INTO t VALUES (1, 'x')",
        1,
    ),
    (
        "no duplicates of t (a) nulls not distinct",
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1), (NULL)",
        "INSERT INTO t VALUES (NULL)",
        1,
    ),
    (
        "no duplicates of t (lower(email)) where (NOT gone)",
        "CREATE TABLE t (email text, gone bool)",
        "INSERT INTO t VALUES ('A', false), ('a', true), ('b', false)",
        "INSERT INTO t VALUES ('a', false)",
        1,
    ),
    (
        "no duplicates of t (((a + b)), twice)",
        "CREATE TABLE t (a int, b int, twice int GENERATED ALWAYS AS (a * 2) STORED)",
        "INSERT INTO t VALUES (1, 2), (2, 1)",
        "INSERT INTO t VALUES (1, 2)",
        1,
    ),
    (
        "every row of t fulfils CHECK ((a > 0))",
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1), (NULL)",
        "INSERT INTO t VALUES (0), (-1)",
        2,
    ),
    (
        "every row of t fulfils CHECK (((state)::text = ANY ((ARRAY['new'::character varying, '50%'::character varying])::text[])))",
        "CREATE TABLE t (state varchar)",
        "INSERT INTO t VALUES ('new'), ('50%')",
        "INSERT INTO t VALUES ('old')",
        1,
    ),
    (
        "every value of t.a fulfils CHECK ((VALUE ~ 'VALUE'::text))",
        "CREATE DOMAIN d AS text; CREATE TABLE t (a d)",
        "INSERT INTO t VALUES ('VALUE'), (NULL)",
        "INSERT INTO t VALUES ('other')",
        1,
    ),
    (
        "every t (a, b) has its parent in p (x, y)",
        "CREATE TABLE p (x int, y int); CREATE TABLE t (a int, b int); INSERT INTO p VALUES (1, 1)",
        "INSERT INTO t VALUES (1, 1), (2, NULL)",
        "INSERT INTO t VALUES (1, 2)",
        1,
    ),
    (
        "no overlap in t for EXCLUDE USING gist (during WITH &&)",
        "CREATE TABLE t (during int4range)",
        "INSERT INTO t VALUES ('[1,3)'), ('[3,5)')",
        "INSERT INTO t VALUES ('[4,9)')",
        2,
    ),
    (
        "every value of t.a fits integer",
        "CREATE TABLE t (a text)",
        "INSERT INTO t VALUES ('1'), (NULL)",
        "INSERT INTO t VALUES ('12x'), ('99999999999')",
        2,
    ),
    (
        "every value of t.a fits character varying(3)",
        "CREATE TABLE t (a text)",
        "INSERT INTO t VALUES ('abc'), ('ab   ')",
        "INSERT INTO t VALUES ('abcd')",
        1,
    ),
    (
        "every value of t.a fits date",
        "CREATE TABLE t (a text)",
        "INSERT INTO t VALUES ('2026-11-27')",
        "INSERT INTO t VALUES ('never')",
        1,
    ),
    (
        "every value of t.a fits mood: 'sad', 'glad'",
        "CREATE TABLE t (a text)",
        "INSERT INTO t VALUES ('sad'), (NULL)",
        "INSERT INTO t VALUES ('mad')",
        1,
    ),
    (
        "no row of t.a uses enum label 'it''s'",
        "CREATE TYPE mood AS ENUM ('sad', 'it''s'); CREATE TABLE t (a mood)",
        "INSERT INTO t VALUES ('sad')",
        "INSERT INTO t VALUES ('it''s')",
        1,
    ),
]


@pytest.mark.parametrize(("need", "tables", "right", "wrong", "number"), KINDS)
def test_every_kind_of_need_is_asked(database, ask, need, tables, right, wrong, number):
    if need.endswith("fits date") and database.scalar("SELECT current_setting('server_version_num')::int") < 160000:
        pytest.skip("before PostgreSQL 16 nobody tells what a type takes without raising")
    database.execute(tables)
    database.execute(right)
    assert ask(need) == Met()
    database.execute(wrong)
    found = ask(need)
    assert isinstance(found, Against), found
    assert found.rows == number
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(found.select)
        assert cursor.rowcount == number


def test_names_are_relative_to_the_tenants_schema(database, ask):
    for tenant in ("one", "Two"):
        database.execute(f'CREATE SCHEMA "{tenant}"')
        database.execute(f'CREATE TABLE "{tenant}".t (a int)')
        database.execute(
            f"CREATE FUNCTION \"{tenant}\".is_good(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > {1 if tenant == 'one' else 2}'"
        )
        database.execute(f'INSERT INTO "{tenant}".t VALUES (2)')
    line = "every row of t fulfils CHECK (is_good(a))"
    assert ask(line, default="one") == Met()
    assert isinstance(ask(line, default="Two"), Against)
    assert isinstance(ask(line), NotKnown)


def test_of_many_rows_no_more_than_a_bound_is_counted(database, ask):
    database.execute("CREATE TABLE t AS SELECT NULL::int AS a FROM generate_series(1, 3000)")
    found = ask("no NULL in t.a")
    assert found == Against(COUNTED, "SELECT * FROM public.t WHERE a IS NULL")
    assert found.sentence() == "at least 1,000 rows break it"


def test_a_question_that_takes_longer_than_its_budget_is_given_up(database, ask):
    database.execute("CREATE TABLE t (a int)")
    database.execute("INSERT INTO t VALUES (1)")
    database.execute(
        "CREATE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN true; END'"
    )
    found = ask("every row of t fulfils CHECK (slow(a))", limits=Limits(data_s=0.2))
    assert found == NotKnown("there was no answer within 0.2 s")


def test_where_there_is_no_time_to_count_one_row_is_known(database, ask):
    database.execute("CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 2) g")
    slow = "IF $1 = 2 THEN PERFORM pg_sleep(60); END IF; RETURN false;"
    database.execute(f"CREATE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN {slow} END'")
    found = ask("every row of t fulfils CHECK (slow(a))", limits=Limits(data_s=0.5))
    assert isinstance(found, Against)
    assert found.sentence() == "at least 1 row breaks it"


def test_a_table_that_is_locked_is_not_waited_for(database, ask):
    database.execute("CREATE TABLE t (a int)")
    with closing(database.connect()) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        assert ask("no NULL in t.a", limits=Limits(lock_s=0.1)) == NotKnown("t was locked for 0.1 s")


def test_whoever_may_not_see_all_rows_does_not_know(database, ask, make_role):
    role = make_role()
    reader = database.as_role(role)
    database.as_superuser.execute("CREATE TABLE t (a int)")
    assert ask("no NULL in t.a", of=reader) == NotKnown(f"role {role.name} may not read t")
    database.as_superuser.execute("GRANT SELECT ON t TO PUBLIC")
    database.as_superuser.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    assert ask("no NULL in t.a", of=reader) == NotKnown(f"role {role.name} does not see all rows of t")


def test_what_cannot_be_asked_is_not_known_and_no_value_is_told(database, ask):
    database.execute("CREATE TABLE t (a text)")
    database.execute("INSERT INTO t VALUES ('secret')")
    found = ask("every row of t fulfils CHECK ((((a)::integer) > 0))")
    assert found == NotKnown("the question failed with SQLSTATE 22P02")
    assert ask("no NULL in gone.a") == NotKnown("the question failed with SQLSTATE 42P01")
    assert ask("every value of t.a fits date", major=15) == NotKnown("PostgreSQL 15 cannot be asked what a type takes")


def test_a_lost_connection_is_no_answer(database, ask):
    database.execute("CREATE TABLE t (a int)")
    database.execute("INSERT INTO t VALUES (1)")
    database.execute(
        "CREATE FUNCTION die(int) RETURNS bool LANGUAGE sql AS 'SELECT pg_terminate_backend(pg_backend_pid())'"
    )
    with pytest.raises(psycopg2.Error):
        ask("every row of t fulfils CHECK (die(a))")


def test_whoever_does_not_wait_any_more_gets_no_answer(database, ask):
    class GoneError(Exception):
        pass

    def go_on():
        raise GoneError

    database.execute("CREATE TABLE t AS SELECT 1 AS a")
    database.execute(
        "CREATE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN true; END'"
    )
    with pytest.raises(GoneError):
        ask("every row of t fulfils CHECK (slow(a))", go_on=go_on)
