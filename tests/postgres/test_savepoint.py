"""A part of a transaction fails by itself."""

from __future__ import annotations

from contextlib import closing, suppress

import psycopg2
import pytest

from migrate.postgres.savepoint import savepoint


def test_what_fails_inside_is_taken_back_and_the_transaction_goes_on(make_database):
    with closing(psycopg2.connect(make_database().url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        with savepoint(connection):
            cursor.execute("INSERT INTO t VALUES (1)")
            with suppress(psycopg2.Error), savepoint(connection):
                cursor.execute("INSERT INTO t VALUES (2)")
                cursor.execute("SELECT 1 / 0")
        with pytest.raises(psycopg2.errors.UndefinedTable), savepoint(connection):
            cursor.execute("SELECT FROM missing")
        cursor.execute("SELECT a FROM t")
        assert cursor.fetchall() == [(1,)]


def test_the_error_that_is_told_is_the_one_that_cost_the_connection(make_database):
    database = make_database()
    with closing(psycopg2.connect(database.url)) as connection, closing(psycopg2.connect(database.url)) as other:

        def lose() -> None:
            with savepoint(connection):
                other.cursor().execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
                connection.cursor().execute("SELECT 1")

        with pytest.raises(psycopg2.OperationalError):
            lose()
