"""Reading the target beside others who change it."""

from __future__ import annotations

from contextlib import closing

import pytest

from migrate.core.decide.policy import Limits
from migrate.core.problems import Stop
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres import ledger
from migrate.postgres import observe as reading
from migrate.postgres.connection import connect
from migrate.postgres.kept_connections import keep


def test_a_catalog_in_which_something_is_dropped_at_every_read_is_blocked(database, monkeypatch):
    reads = []

    def dropped(connection, *_args, **_named):
        reads.append(1)
        connection.row("SELECT pg_catalog.pg_get_viewdef(4294967295::oid), 'gone'::regclass")

    monkeypatch.setattr(reading, "_observe", dropped)
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as connection:
        with pytest.raises(Stop) as stopped:
            reading.observe(connection, target, Limits(), hashes={}, with_schema=True)
        assert connection.row("SELECT 1") == (1,)
    found = stopped.value.problem
    assert (found.kind.code, found.exit_code.retryable, found.facts["sqlstate"]) == ("blocked", True, "42P01")
    assert len(reads) == 3


def test_a_transaction_that_ends_after_the_snapshot_has_left_nothing_in_it(database):
    """txid_status() tells what is so now: a run that was at work in the snapshot, and has come to its end meanwhile."""
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as reader:
        reader.run(f"CREATE SCHEMA migrate; {ledger._TABLES}")
        reader.run("INSERT INTO migrate.run (run_id, target, verb, version) VALUES ('another', 'public.v', 'up', '1')")
        with closing(database.connect()) as worker, worker.cursor() as cursor:
            cursor.execute("SELECT txid_current()")
            (xid,) = cursor.fetchone()
            reader.run(
                "INSERT INTO migrate.step (run_id, target, kind, revision, xid) VALUES"
                " ('another', 'public.v', 'upgrade', 'r1', %(xid)s)",
                {"xid": xid},
            )
            with reader.transaction("REPEATABLE READ READ ONLY"):
                reader.row("SELECT 1")
                worker.commit()
                seen = ledger.read(reader, key="public.v", rows=(), hashes={}, with_meant=False)
        later = ledger.read(reader, key="public.v", rows=(), hashes={}, with_meant=False)
    assert [(step.revision, step.committed) for step in seen.unfinished] == [("r1", False)]
    assert [(step.revision, step.committed) for step in later.unfinished] == [("r1", True)]


def test_an_index_whose_build_ends_after_the_snapshot_is_not_invalid(database, monkeypatch):
    """Who builds one is told as it is now; that it is INVALID, as it was."""
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as reader:
        reader.run("CREATE TABLE noted (id int); CREATE INDEX built ON noted (id); CREATE INDEX broken ON noted (id)")
        database.as_superuser.execute("UPDATE pg_index SET indisvalid = false WHERE indrelid = 'noted'::regclass")
        ask = reading.invalid_indexes

        def ends_meanwhile(connection, schemas):
            connection.row("SELECT 1")
            found = ask(connection, schemas)
            monkeypatch.setattr(reading, "invalid_indexes", ask)
            database.as_superuser.execute("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'built'::regclass")
            return found

        monkeypatch.setattr(reading, "invalid_indexes", ends_meanwhile)
        found = reading.observe(reader, target, Limits(), hashes={}, with_schema=False)
    assert [index.name for index in found.invalid_indexes] == ["broken"]


def test_an_index_is_of_the_schema_that_it_is_in(database):
    """A table may name another schema, and depends on it then as well."""
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as reader:
        reader.run("CREATE SCHEMA mine; CREATE SCHEMA others")
        for key in ("'others'", "'mine'"):
            name = f"of_{key.strip(chr(39))}"
            reader.run(
                f"CREATE TABLE mine.{name} (n regnamespace, i int) PARTITION BY LIST ((n = {key}::regnamespace));"
                f"CREATE INDEX {name}_i ON ONLY mine.{name} (i);"
                f"CREATE TABLE mine.{name}_part PARTITION OF mine.{name} FOR VALUES IN (true)"
            )
        database.as_superuser.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indrelid::regclass::text LIKE 'mine.%'"
        )
        found = {schema: reading.invalid_indexes(reader, [schema]) for schema in ("mine", "others")}
    assert [index.name for index in found["mine"]] == [
        "of_mine_i",
        "of_mine_part_i_idx",
        "of_others_i",
        "of_others_part_i_idx",
    ]
    assert found["others"] == ()


def test_a_right_to_the_ledger_that_is_taken_away_is_asked_for_anew(database):
    """A connection that is kept knows that there is a ledger, and does not ask each time."""
    role = database.rows("SELECT current_user::text")[0][0]
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as reader:
        keep(reader, is_pooled=False)
        database.as_superuser.execute(f"CREATE SCHEMA migrate; {ledger._TABLES}")
        database.as_superuser.execute(f"GRANT USAGE ON SCHEMA migrate TO {role}")
        database.as_superuser.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA migrate TO {role}")
        begun = "INSERT INTO migrate.run (run_id, target, verb, version) VALUES ('another', 'public.alembic_version', 'up', '1')"
        database.as_superuser.execute(begun)

        def is_open():
            return reading.observe(reader, target, Limits(), hashes={}, with_schema=False).is_open

        assert [is_open(), is_open()] == [True, True]
        database.as_superuser.execute(f"REVOKE SELECT ON migrate.run FROM {role}")
        assert [is_open(), is_open()] == [False, False]
        database.as_superuser.execute("DROP SCHEMA migrate CASCADE")
        assert not is_open()


def test_a_right_that_is_missing_elsewhere_is_asked_for_no_more_than_thrice(database, monkeypatch):
    """Also where the ledger was read each time before it was missed."""
    reads = []

    def denied(connection, *_args, **_named):
        reads.append(1)
        connection.has_ledger = True
        assert len(reads) < 9, "it would go on for ever"
        connection.run("DO 'BEGIN RAISE insufficient_privilege; END'")

    monkeypatch.setattr(reading, "_observe", denied)
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as reader:
        reader.has_ledger = True
        with pytest.raises(Stop) as stopped:
            reading.observe(reader, target, Limits(), hashes={}, with_schema=False)
    assert stopped.value.problem.kind.code == "missing-privilege"
    assert len(reads) == 3
