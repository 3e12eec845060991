"""The process that runs revisions imports Alembic while the database is looked at again; and only where it is needed."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest

from migrate.postgres.guard import GuardKey
from tests.support.waiting import until

_WAITING = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'"


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture
def one_pending(project, database, run_migrate):
    project.revision("r1", upgrade="op.execute('CREATE TABLE noted (id serial)')")
    project.revision("r2", down="r1", upgrade="op.execute('CREATE TABLE more (id int)')")
    assert run_migrate("manifest").exit_code == 0
    assert run_migrate("up", "--target", "r1", database=database).exit_code == 0
    return database


def test_it_begins_when_the_guard_is_held_and_before_the_second_look_is_done(one_pending, start_migrate):
    database = one_pending
    with closing(database.connect()) as holder, holder.cursor() as held, closing(database.connect()) as locker:
        held.execute("SELECT pg_advisory_xact_lock(%s)", [GuardKey.of("public", "alembic_version").value])
        running = start_migrate("up", "--lock-timeout", "30s", database=database)
        until(lambda: running.so_far.named("guard.waiting"))
        assert not children(running.pid)  # of many runs that begin together one needs a child
        locker.cursor().execute("LOCK TABLE noted IN ACCESS EXCLUSIVE MODE")
        holder.rollback()
        until(lambda: database.as_superuser.rows(_WAITING))
        assert len(until(lambda: children(running.pid))) == 1
        locker.rollback()
    result = running.finish()
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["r2"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_at_its_second_look_leaves_no_child(one_pending, start_migrate, number, code):
    database = one_pending
    with closing(database.connect()) as holder, holder.cursor() as held, closing(database.connect()) as locker:
        held.execute("SELECT pg_advisory_xact_lock(%s)", [GuardKey.of("public", "alembic_version").value])
        running = start_migrate("up", "--lock-timeout", "30s", database=database)
        until(lambda: running.so_far.named("guard.waiting"))
        locker.cursor().execute("LOCK TABLE noted IN ACCESS EXCLUSIVE MODE")
        holder.rollback()
        until(lambda: database.as_superuser.rows(_WAITING))
        (child,) = until(lambda: children(running.pid))
        running.signal(number)
        result = running.finish()
    assert result.exit_code == code
    until(lambda: not Path(f"/proc/{child}").exists())
    assert database.rows("SELECT version_num FROM alembic_version") == [("r1",)]


def test_it_ends_with_a_run_for_which_another_one_has_left_nothing_to_do(one_pending, start_migrate, run_migrate):
    database = one_pending
    with closing(database.connect()) as holder, holder.cursor() as held:
        held.execute("SELECT pg_advisory_xact_lock(%s)", [GuardKey.of("public", "alembic_version").value])
        running = start_migrate("up", database=database)
        until(lambda: running.so_far.named("guard.waiting"))
        held.execute("CREATE TABLE more (id int); UPDATE alembic_version SET version_num = 'r2'")
        holder.commit()
    result = running.finish()
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop")
