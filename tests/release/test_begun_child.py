"""The process that runs revisions imports Alembic while the database is looked at again; and only where it is needed."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from migrate.core.decide.plan import Upgrade
from migrate.job import up
from migrate.postgres.guard import GuardKey
from migrate.steps import kept_child
from tests.support.process import children_of
from tests.support.server import waits_for_a_table
from tests.support.waiting import until


@pytest.fixture
def one_pending(project, database, run_migrate):
    project.revision("r1", upgrade="op.execute('CREATE TABLE noted (id serial)')")
    project.revision("r2", down="r1", upgrade="op.execute('CREATE TABLE more (id int)')")
    assert run_migrate("manifest").exit_code == 0
    assert run_migrate("up", "--target", "r1", database=database).exit_code == 0
    return database


@contextmanager
def kept_from_the_guard(database, start_migrate, *arguments):
    """A run that has looked, and waits for the guard until the connection that has it ends its transaction."""
    with closing(database.connect()) as holder, holder.cursor() as held:
        held.execute("SELECT pg_advisory_xact_lock(%s)", [GuardKey.of("public", "alembic_version").value])
        running = start_migrate("up", *arguments, database=database)
        until(lambda: running.so_far.named("guard.waiting"))
        yield running, holder


@contextmanager
def at_its_second_look(database, start_migrate):
    """A run that has the guard, and waits for a table before it knows what is there."""
    with (
        kept_from_the_guard(database, start_migrate, "--lock-timeout", "30s") as (running, holder),
        closing(database.connect()) as locker,
    ):
        assert not children_of(running.pid)  # of many runs that begin together one needs a child
        locker.cursor().execute("LOCK TABLE noted IN ACCESS EXCLUSIVE MODE")
        holder.rollback()
        until(lambda: waits_for_a_table(database))
        yield running


def test_it_begins_when_the_guard_is_held_and_before_the_second_look_is_done(one_pending, start_migrate):
    with at_its_second_look(one_pending, start_migrate) as running:
        assert len(until(lambda: children_of(running.pid))) == 1
    result = running.finish()
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["r2"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_at_its_second_look_leaves_no_child(one_pending, start_migrate, number, code):
    with at_its_second_look(one_pending, start_migrate) as running:
        (child,) = until(lambda: children_of(running.pid))
        running.signal(number)
        result = running.finish()
    assert result.exit_code == code
    until(lambda: not Path(f"/proc/{child}").exists())
    assert one_pending.rows("SELECT version_num FROM alembic_version") == [("r1",)]


def test_it_ends_with_a_run_for_which_another_one_has_left_nothing_to_do(one_pending, start_migrate):
    with kept_from_the_guard(one_pending, start_migrate) as (running, holder):
        holder.cursor().execute("CREATE TABLE more (id int); UPDATE alembic_version SET version_num = 'r2'")
        holder.commit()
    result = running.finish()
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop")


def test_a_terminals_interrupt_while_it_imports_is_the_parents_to_answer(one_pending, start_migrate):
    with at_its_second_look(one_pending, start_migrate) as running:
        (child,) = until(lambda: children_of(running.pid))
        until(lambda: "sqlalchemy" in Path(f"/proc/{child}/maps").read_text(), otherwise="it does not import")
        os.kill(child, signal.SIGINT)
    result = running.finish()
    assert (result.exit_code, result.finished["applied"]) == (0, ["r2"])
    assert not result.named("revision.output")


def test_a_process_that_is_not_to_be_had_ends_no_run_before_one_is_needed(one_pending, monkeypatch):
    """As where a container's pids are used up; whether one is needed is known after the second look."""

    def process(**_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(kept_child, "Worker", process)
    monkeypatch.setattr(up, "stepwise", lambda _seen: SimpleNamespace(steps=[Upgrade((), ())]))
    monkeypatch.setattr("migrate.steps.environment.child_environment", lambda _order: {})
    context = SimpleNamespace(emit=None)
    order = SimpleNamespace(child=None, project=SimpleNamespace(cwd=None), context=context)
    with up.begun_child(order, object()) as begun:
        assert begun is not None
        assert not begun.is_begun
