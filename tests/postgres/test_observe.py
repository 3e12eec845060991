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
