"""A look is a snapshot, but the server tells some things as they are by then: a mixture of both refuses nothing."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

from migrate.core.problems import Stop, stop
from migrate.job import look as looking
from tests.support.server import waits_for_a_table
from tests.support.waiting import until

_BASE = """
op.execute("CREATE TABLE noted (id serial, name text DEFAULT lower('A'), CONSTRAINT named CHECK (name <> ''))")
op.execute("CREATE INDEX by_name ON noted (name)")
"""
_MORE = ("ALTER TABLE noted RENAME COLUMN name TO called",)


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
    until(lambda: waits_for_a_table(database), otherwise="it does not wait")
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


def test_another_run_that_commits_during_an_adoption_leaves_what_can_be_adopted(two_revisions, start_migrate):
    database = two_revisions
    database.execute("DROP TABLE alembic_version")
    with at_work(database, "migrate:worker:another", "noted") as (connection, cursor):
        for sql in _MORE:
            cursor.execute(sql)
        result = looked_at_while_it_commits(database, start_migrate, ("adopt",), connection)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "adopted"), result.finished
    assert database.rows("SELECT version_num FROM alembic_version") == [("r2",)]


@pytest.mark.parametrize("verb", [("up",), ("plan",)], ids=lambda verb: verb[0])
def test_another_run_that_ends_during_the_look_has_left_no_residue(two_revisions, start_migrate, verb):
    database = two_revisions
    started = """
        INSERT INTO migrate.step (run_id, target, kind, revision, parents, details)
        SELECT run_id, target, 'upgrade', 'r2', '{r1}', '{"autocommit": true}' FROM migrate.run
    """
    database.execute(started)
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
    for sql in _MORE:
        two_revisions.execute(sql)
    result = run_migrate("up", database=two_revisions)
    assert (result.exit_code, result.finished["problem"]) == (17, "drift")
    assert len(result.named("state.observed")) == 1


@pytest.mark.parametrize("looks", [["mixed", "whole"], ["mixed", "mixed"]], ids=" then ".join)
def test_a_refusal_that_is_raised_is_believed_when_two_looks_have_led_to_it(monkeypatch, looks):
    """As `verify` refuses a position; the looks are made up: which they were is all that counts."""
    left = list(looks)
    monkeypatch.setattr(looking, "look", lambda *_order, **_named: left.pop(0))

    def judged(seen):
        if seen == "mixed":
            raise stop("drift", "a mixture")
        return seen

    def settled():
        return looking.settled(None, None, judged, lambda _seen: False)

    if "whole" in looks:
        assert settled() == ("whole", "whole")
    else:
        with pytest.raises(Stop):
            settled()
    assert not left
