"""How large and how busy tables are: partitions, toast and indexes included, and read where somebody keeps readers out."""

from __future__ import annotations

from contextlib import closing

import pytest

from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.connection import connect
from migrate.postgres.sizes import table_sizes
from tests.support.waiting import until


@pytest.fixture
def sizes(database):
    target = Target(DatabaseUrl.parse(database.url), "a test")

    def read(*tables, default="public"):
        with closing(connect(target, application_name="test", interruption=None)) as connection:
            return table_sizes(connection, tables, default=default, lock_timeout_s=0.1)

    return read


def test_a_table_is_as_large_as_postgresql_says_with_all_that_belongs_to_it(database, sizes):
    database.execute("CREATE TABLE t (id serial PRIMARY KEY, body text)")
    database.execute("ALTER TABLE t ALTER body SET STORAGE EXTERNAL")
    database.execute("INSERT INTO t (body) SELECT repeat('x', 9000) FROM generate_series(1, 200)")
    database.execute("ANALYZE t")
    found = sizes("t", "gone", 'audit."No"')
    assert list(found) == ["t"]
    assert found["t"].bytes == database.scalar("SELECT pg_total_relation_size('t')")
    assert found["t"].rows == 200


def test_partitions_and_children_count_and_other_schemas_are_found(database, sizes):
    database.execute("CREATE SCHEMA audit")
    database.execute('CREATE TABLE audit."Log" (k int) PARTITION BY LIST (k)')
    for key in (1, 2):
        database.execute(f'CREATE TABLE audit.p{key} PARTITION OF audit."Log" FOR VALUES IN ({key})')
        database.execute(f"INSERT INTO audit.p{key} SELECT {key} FROM generate_series(1, 50)")
    database.execute("ANALYZE")
    both = database.scalar("SELECT pg_total_relation_size('audit.p1') + pg_total_relation_size('audit.p2')")
    for found in (sizes('audit."Log"')['audit."Log"'], sizes('"Log"', default="audit")['"Log"']):
        assert (found.bytes, found.rows) == (both, 100)


def test_statistics_tell_where_somebody_keeps_readers_out(database, sizes):
    database.execute("CREATE TABLE t AS SELECT generate_series(1, 5000) AS a")
    database.execute("VACUUM ANALYZE t")
    with closing(database.connect()) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        found = sizes("t")["t"]
    assert found.rows == 5000
    assert found.bytes == database.scalar("SELECT relpages * 8192 FROM pg_class WHERE relname = 't'")


def test_a_table_that_only_its_statistics_make_large_is_large(database, sizes):
    database.execute("CREATE TABLE t (a int)")
    database.as_superuser.execute("UPDATE pg_class SET relpages = 1310720, reltuples = 50000000 WHERE relname = 't'")
    found = sizes("t")["t"]
    assert found.sentence().startswith("10 GB (about 50,000,000 rows)")


def test_how_busy_a_table_is_counts_since_the_statistics_were_reset(database, sizes):
    database.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS a")
    superuser = database.as_superuser
    superuser.execute("SELECT pg_stat_reset()")
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t SELECT generate_series(1, 120)")
        connection.commit()
    found = sizes("t")["t"]
    assert found.writes_a_minute == 120  # of less than a minute it is not known what the rest of it will be like
    assert found.sentence().endswith(", 120 writes a minute")


def test_where_nobody_has_reset_the_statistics_there_is_a_number_and_no_rate(database, sizes):
    if database.scalar("SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()") is not None:
        pytest.skip("this version of PostgreSQL says when statistics began that nobody reset")
    database.execute("CREATE TABLE t (a int)")
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t SELECT generate_series(1, 120)")
        connection.commit()
    until(lambda: sizes("t")["t"].written == 120)
    found = sizes("t")["t"]
    assert found.writes_a_minute is None
    assert found.sentence().endswith(", 120 rows written since its statistics were reset")


def test_nothing_is_read_where_nothing_is_asked(sizes):
    assert sizes() == {}
