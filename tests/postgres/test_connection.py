"""Transactions of our own connections, which begin with their first statement and in one message with it."""

from __future__ import annotations

from contextlib import closing, suppress

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS

from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.connection import connect


@pytest.fixture
def connection(database):
    target = Target(DatabaseUrl.parse(database.url), "DATABASE_URL")
    with closing(connect(target, application_name="test", interruption=None)) as made:
        yield made


def status(connection):
    return connection.get_transaction_status()


def test_it_begins_with_its_first_statement_and_has_its_settings(connection):
    with connection.transaction("REPEATABLE READ READ ONLY", lock_timeout_s=1.5):
        assert status(connection) == TRANSACTION_STATUS_IDLE
        settings = "current_setting('lock_timeout'), current_setting('transaction_isolation')"
        assert connection.row(f"SELECT {settings}, %(text)s", {"text": "10 %"}) == ("1500ms", "repeatable read", "10 %")
        assert status(connection) == TRANSACTION_STATUS_INTRANS
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            connection.run("CREATE TABLE made ()")
        connection.run("ROLLBACK")
    assert status(connection) == TRANSACTION_STATUS_IDLE


def test_the_mark_is_evaluated_and_may_have_a_per_cent_sign(connection):
    mark = "set_config('app.mark', '5 %', true)"
    with connection.transaction(lock_timeout_s=1, mark=mark):
        assert connection.row("SELECT current_setting('app.mark'), %(n)s", {"n": 1}) == ("5 %", 1)
    with connection.transaction(lock_timeout_s=1, mark=mark):
        assert connection.row("SELECT current_setting('app.mark')") == ("5 %",)


@pytest.mark.parametrize("ask", [sql.SQL("SELECT txid_current()"), "SELECT txid_current()"], ids=["composed", "text"])
def test_a_statement_by_a_cursor_is_in_it(connection, ask):
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(ask)
        first = cursor.fetchone()
        cursor.execute(ask)
        assert cursor.fetchone() == first


def test_one_that_does_nothing_sends_nothing(database, connection):
    connection.run("SELECT 'the last statement'")
    with connection.transaction():
        pass
    with pytest.raises(LookupError), connection.transaction():
        raise LookupError
    last = f"SELECT query FROM pg_stat_activity WHERE pid = {connection.info.backend_pid}"
    assert database.as_superuser.rows(last) == [("SELECT 'the last statement'",)]
    assert connection.row("SELECT 1") == (1,)
    assert status(connection) == TRANSACTION_STATUS_IDLE


def test_one_whose_first_statement_fails_is_rolled_back(connection):
    with pytest.raises(psycopg2.errors.UndefinedTable), connection.transaction():
        connection.rows("SELECT FROM nowhere")
    assert status(connection) == TRANSACTION_STATUS_IDLE
    assert connection.row("SELECT 1") == (1,)


def test_what_is_to_go_ahead_goes_in_its_order(connection):
    connection.run("CREATE TEMP TABLE noted (n int)")
    with connection.transaction():
        connection.go_ahead("INSERT INTO noted VALUES (1)")
        connection.go_ahead("SAVEPOINT before")
        connection.run("INSERT INTO noted VALUES (2)")
        connection.run("ROLLBACK TO SAVEPOINT before")
    assert connection.rows("SELECT n FROM noted") == [(1,)]


def test_many_at_once_are_in_it_as_well(connection):
    connection.run("CREATE TEMP TABLE noted (n int)")
    with suppress(LookupError), connection.transaction(), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO noted VALUES (%s)", [(1,), (2,)])
        raise LookupError
    assert connection.rows("SELECT n FROM noted") == []


def test_patience_does_not_swallow_that_it_has_not_begun(database, connection):
    database.as_superuser.rows(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
    with pytest.raises(psycopg2.OperationalError), connection.transaction(), connection.patient(lambda: None):
        raise AssertionError


def test_a_value_that_cannot_be_sent_does_not_let_the_rest_commit_by_itself(connection):
    connection.run("CREATE TEMP TABLE noted (t text)")
    with suppress(LookupError), connection.transaction():
        with pytest.raises(UnicodeEncodeError):
            connection.run("INSERT INTO noted VALUES (%(text)s)", {"text": "\ud800"})
        connection.run("INSERT INTO noted VALUES ('second')")
        raise LookupError
    assert connection.rows("SELECT t FROM noted") == []
