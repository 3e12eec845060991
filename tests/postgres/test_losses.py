"""What a transaction lost: asked of the server, whatever the schema looks like at its ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
import pytest

from migrate.postgres.losses import Keeping, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrate.postgres.suspect import Suspect
    from tests.support.server import Database

VERSIONS = ("public", "alembic_version")
NOTHING: list[str] = []
T = "CREATE TABLE t (id int PRIMARY KEY, body text, made timestamptz, n numeric(10,4));"
TEN = f"{T} INSERT INTO t SELECT g, 'body ' || g, '2026-01-01 10:00+00', g + 0.25 FROM generate_series(1, 10) g;"
PARTED = (
    "CREATE TABLE p (id int, at date) PARTITION BY RANGE (at);"
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');"
    "CREATE TABLE rest PARTITION OF p DEFAULT;"
    "INSERT INTO p SELECT g, '2026-01-01'::date + g FROM generate_series(0, 39) g;"
)


@pytest.fixture
def cursor(database: Database) -> Iterator[psycopg2.extensions.cursor]:
    with psycopg2.connect(database.url) as connection, connection.cursor() as cursor:
        yield cursor
    connection.close()


def lost(cursor: psycopg2.extensions.cursor, setup: str, does: str) -> tuple[list[str], int]:
    """What the statements lose, as the child finds it out, and how many tries that takes."""

    def ask(sql: str) -> Sequence[Sequence[object]]:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []

    cursor.execute(setup or "SELECT")
    cursor.connection.commit()
    watched: list[Suspect] = []
    for tries in range(1, 4):
        keeping = Keeping.begin(ask, VERSIONS, watched)
        for statement in does.split(";;"):
            cursor.execute(statement)
        suspects = keeping.suspects()
        unsure = [suspect for suspect in suspects if not keeping.covers(suspect)]
        if not unsure:
            found = keeping.lost(suspects)
            return [
                f"{each.schema}.{each.table}{f'.{each.column}' if each.column else ''} {each.number}/{each.of}"
                for each in found
            ], tries
        watched += unsure
        cursor.connection.rollback()
    raise AssertionError(watched)


@pytest.mark.parametrize(
    ("setup", "does", "expected"),
    [
        pytest.param(TEN, "DROP TABLE t", ["public.t 10/10"], id="dropped"),
        pytest.param(TEN, f"DROP TABLE t; {T}", ["public.t 10/10"], id="made-again"),
        pytest.param(
            TEN,
            "CREATE TABLE u AS SELECT * FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t",
            NOTHING,
            id="rebuilt-with-its-rows",
        ),
        pytest.param(
            TEN,
            f"ALTER TABLE t RENAME TO u; {T.replace('PRIMARY KEY', '')} INSERT INTO t SELECT * FROM u WHERE id < 8; DROP TABLE u",
            ["public.t 3/10"],
            id="rebuilt-with-some-of-its-rows",
        ),
        pytest.param(f"{TEN} DELETE FROM t", f"DROP TABLE t; {T}", NOTHING, id="emptied-before"),
        pytest.param(TEN, "DELETE FROM t WHERE id > 4", ["public.t 6/10"], id="deleted"),
        pytest.param(TEN, "DELETE FROM t WHERE id > 400", NOTHING, id="nothing-to-delete"),
        pytest.param(TEN, "SAVEPOINT s; DELETE FROM t; ROLLBACK TO s", NOTHING, id="deleted-and-taken-back"),
        pytest.param(TEN, "TRUNCATE t", ["public.t 10/10"], id="truncated"),
        pytest.param(
            TEN,
            "CREATE TEMP TABLE k AS SELECT * FROM t; TRUNCATE t; INSERT INTO t SELECT * FROM k",
            NOTHING,
            id="reloaded",
        ),
        pytest.param(
            f"{TEN} CREATE TABLE u (t int REFERENCES t ON DELETE CASCADE); INSERT INTO u SELECT 1 FROM generate_series(1, 7)",
            "DELETE FROM t WHERE id = 1",
            ["public.t 1/10", "public.u 7/7"],
            id="deleted-by-a-foreign-key",
        ),
        pytest.param(TEN, "ALTER TABLE t DROP COLUMN body", ["public.t.body 10/10"], id="column-dropped"),
        pytest.param(f"{TEN} UPDATE t SET body = NULL", "ALTER TABLE t DROP COLUMN body", NOTHING, id="empty-column"),
        pytest.param(
            TEN,
            "ALTER TABLE t DROP COLUMN body; ALTER TABLE t ADD COLUMN body text",
            ["public.t.body 10/10"],
            id="column-made-again",
        ),
        pytest.param(
            TEN,
            "ALTER TABLE t ALTER COLUMN body TYPE varchar(6) USING left(body, 6)",
            ["public.t.body 1/10"],
            id="cut-by-using",
        ),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN body TYPE varchar(7)", NOTHING, id="narrowed-and-all-fit"),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN n TYPE numeric(10,1)", ["public.t.n 10/10"], id="rounded"),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN n TYPE numeric(10,2)", NOTHING, id="rounded-where-nothing-is"),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN id TYPE bigint", NOTHING, id="widened"),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN id TYPE text", NOTHING, id="as-text"),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN made TYPE date", ["public.t.made 10/10"], id="without-the-time"),
        pytest.param(TEN, "ALTER TABLE t ALTER COLUMN made TYPE timestamp", NOTHING, id="by-the-session's-zone"),
        pytest.param(
            TEN, "ALTER TABLE t ALTER COLUMN made TYPE timestamp USING made AT TIME ZONE 'UTC'", NOTHING, id="by-utc"
        ),
        pytest.param(
            "CREATE TYPE mood AS ENUM ('a', 'b', 'c'); CREATE TABLE m (m mood); INSERT INTO m VALUES ('a'), ('b')",
            "CREATE TYPE mood2 AS ENUM ('a', 'b'); ALTER TABLE m ALTER COLUMN m TYPE mood2 USING m::text::mood2;"
            " DROP TYPE mood; ALTER TYPE mood2 RENAME TO mood",
            NOTHING,
            id="another-enum",
        ),
        pytest.param(
            "CREATE TABLE j (j json); INSERT INTO j VALUES ('{\"a\":1}')",
            "ALTER TABLE j ALTER COLUMN j TYPE jsonb",
            NOTHING,
            id="json-to-jsonb",
        ),
        pytest.param(TEN, "UPDATE t SET body = NULL WHERE id < 3", ["public.t.body 2/10"], id="overwritten"),
        pytest.param(
            TEN, "ALTER TABLE t ADD COLUMN was text; UPDATE t SET was = body", NOTHING, id="a-new-column-is-filled"
        ),
        pytest.param(
            f"{TEN} UPDATE t SET body = NULL WHERE id < 3",
            "UPDATE t SET body = 'none ' || id WHERE body IS NULL;; ALTER TABLE t ALTER COLUMN body SET NOT NULL",
            NOTHING,
            id="only-nulls-are-filled",
        ),
        pytest.param(
            f"{T} ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (id * 2) STORED; INSERT INTO t VALUES (1)",
            "ALTER TABLE t DROP COLUMN g; ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (id * 3) STORED",
            NOTHING,
            id="generated",
        ),
        pytest.param(
            f"{TEN} CREATE VIEW v AS SELECT 1/(id - 1) AS x FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t",
            "DROP VIEW v; DROP MATERIALIZED VIEW m",
            NOTHING,
            id="views",
        ),
        pytest.param(
            'CREATE SCHEMA "Odd % one"; CREATE TABLE "Odd % one"."t""%s" ("a %" int); INSERT INTO "Odd % one"."t""%s" VALUES (1)',
            'DROP SCHEMA "Odd % one" CASCADE',
            ['Odd % one.t"%s 1/1'],
            id="another-schema-with-odd-names",
        ),
        pytest.param(PARTED, "DROP TABLE p1", ["public.p 31/40"], id="a-partition"),
        pytest.param(PARTED, "DROP TABLE p", ["public.p 40/40"], id="a-partitioned-table"),
        pytest.param(PARTED, "ALTER TABLE p DROP COLUMN id", ["public.p.id 40/40"], id="a-column-of-partitions"),
        pytest.param(
            PARTED,
            "ALTER TABLE p DETACH PARTITION p1; INSERT INTO p SELECT * FROM p1; DROP TABLE p1",
            NOTHING,
            id="a-partition-whose-rows-are-moved",
        ),
        pytest.param(TEN, "CREATE TABLE n (a int); INSERT INTO n VALUES (1); DROP TABLE n", NOTHING, id="its-own"),
        pytest.param(
            TEN,
            "CREATE INDEX ON t (body); ALTER TABLE t RENAME TO u; COMMENT ON TABLE u IS 'x'",
            NOTHING,
            id="harmless",
        ),
        pytest.param(TEN, "ALTER TABLE t SET UNLOGGED", NOTHING, id="written-anew"),
        pytest.param(TEN, "SET LOCAL timezone = 'Asia/Tokyo'; UPDATE t SET n = n", NOTHING, id="nothing-but-settings"),
    ],
)
def test_what_is_lost(cursor, setup, does, expected):
    cursor.execute("SET timezone = 'Europe/Berlin'")
    found, tries = lost(cursor, setup, does)
    assert (sorted(found), tries <= 2) == (expected, True)


def test_what_does_nothing_to_rows_is_not_tried_twice(cursor):
    assert lost(cursor, TEN, "CREATE INDEX ON t (body); ALTER TABLE t ADD COLUMN x int DEFAULT 1") == ([], 1)


def test_rows_that_policies_hide_are_no_fewer(cursor, database):
    cursor.execute(f"{TEN} ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
    cursor.connection.commit()
    with pytest.raises(Unread) as unread:
        lost(cursor, "", "DROP TABLE t")
    assert "row-level security" in str(unread.value)
    cursor.execute("SELECT current_setting('row_security')")
    assert cursor.fetchone() == ("on",)


def test_a_server_that_does_not_count_is_asked_for_locks(database):
    database.as_superuser.execute(f"ALTER ROLE {database.user} SET track_counts = off")
    with psycopg2.connect(database.url) as connection, connection.cursor() as cursor:
        assert lost(cursor, TEN, "DELETE FROM t WHERE id = 1") == (["public.t 1/10"], 2)
    connection.close()


def test_statistics_of_earlier_transactions_do_not_count(cursor):
    cursor.execute(TEN)
    cursor.connection.commit()
    cursor.execute("DELETE FROM t WHERE id = 1")
    cursor.connection.commit()
    assert lost(cursor, "", "CREATE INDEX ON t (body)") == ([], 1)
