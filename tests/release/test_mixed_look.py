"""A look is a snapshot, but the server tells some things as they are by then: a mixture of both refuses nothing."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

from tests.support.waiting import until

_BASE = """
op.execute("CREATE TABLE noted (id serial, name text DEFAULT lower('A'), CONSTRAINT named CHECK (name <> ''))")
op.execute("CREATE INDEX by_name ON noted (name)")
"""
_MORE = ("ALTER TABLE noted RENAME COLUMN name TO called",)
_WAITING = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'"


@pytest.fixture
def two_revisions(project, database, run_migrate):
    """A project whose second revision renames what definitions name; the database is at the first."""
    project.revision("r1", upgrade=_BASE)
    project.revision("r2", down="r1", upgrade="\n".join(f'op.execute("{sql}")' for sql in _MORE))
    assert run_migrate("manifest").exit_code == 0
    assert run_migrate("up", "--target", "r1", database=database).exit_code == 0
    return database


@contextmanager
def at_work(database, name, locked):
    """A connection of a run that is to be found at work; what looks must wait for the table."""
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET application_name = '{name}'")
        connection.commit()
        cursor.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")
        yield connection, cursor


def looked_at_while_it_commits(database, start_migrate, verb, connection):
    """The run of a verb that has its snapshot from before the commit, and reads on after it."""
    looking = start_migrate(*verb, "--lock-timeout", "30s", database=database)
    until(lambda: database.as_superuser.rows(_WAITING), otherwise="it does not wait")
    connection.commit()
    connection.close()
    return looking.finish()


@pytest.mark.parametrize("verb", [("up",), ("plan",), ("verify",)], ids=lambda verb: verb[0])
def test_another_run_that_commits_a_revision_during_the_look_is_no_drift(two_revisions, start_migrate, verb):
    database = two_revisions
    with at_work(database, "migrate:worker:another", "noted") as (connection, cursor):
        for sql in _MORE:
            cursor.execute(sql)
        cursor.execute("UPDATE alembic_version SET version_num = 'r2'")
        result = looked_at_while_it_commits(database, start_migrate, verb, connection)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop"), result.finished


@pytest.mark.parametrize("verb", [("up",), ("plan",)], ids=lambda verb: verb[0])
def test_another_run_that_ends_during_the_look_has_left_no_residue(two_revisions, start_migrate, verb):
    database = two_revisions
    started = """
        INSERT INTO migrate.step (run_id, target, kind, revision, parents, details)
        SELECT run_id, target, 'upgrade', 'r2', '{r1}', '{"autocommit": true}' FROM migrate.run
    """
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(started)
        connection.commit()
    (run_id,) = database.rows("SELECT run_id FROM migrate.run")[0]
    with at_work(database, f"migrate:worker:{run_id}", "migrate.step") as (connection, cursor):
        for sql in _MORE:
            cursor.execute(sql)
        cursor.execute("UPDATE alembic_version SET version_num = 'r2'")
        cursor.execute("UPDATE migrate.step SET status = 'finished' WHERE revision = 'r2'")
        result = looked_at_while_it_commits(database, start_migrate, verb, connection)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop"), result.finished


def test_what_is_there_at_both_looks_is_refused(two_revisions, run_migrate):
    """The second look is no way round: a difference that stays is drift, said once."""
    with closing(two_revisions.connect()) as connection, connection.cursor() as cursor:
        for sql in _MORE:
            cursor.execute(sql)
        connection.commit()
    result = run_migrate("up", database=two_revisions)
    assert (result.exit_code, result.finished["problem"]) == (17, "drift")
    assert len(result.named("state.observed")) == 1
