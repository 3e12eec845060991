"""What is seen of the backend that runs a revision, and when it is not waited for any longer."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress

import psycopg2
import pytest

from migrate.steps import watch as module
from migrate.steps.watch import Watch
from tests.support.waiting import until


@pytest.fixture
def table(database):
    database.execute("CREATE TABLE shop (id int)")


def pid_of(connection):
    return connection.info.backend_pid


@pytest.fixture
def blocked(database, table):
    """The process ids of a backend that waits for a lock, and of the one that holds it."""
    with closing(database.connect()) as holder, closing(database.connect()) as waiter:
        holder.autocommit = waiter.autocommit = False
        holder.cursor().execute("LOCK TABLE shop")

        def wait():
            with suppress(psycopg2.Error):
                waiter.cursor().execute("LOCK TABLE shop")

        waiting = threading.Thread(target=wait)
        waiting.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"
        until(lambda: database.scalar(waits, pid_of(waiter)), seconds=20)
        yield pid_of(waiter), pid_of(holder)
        holder.rollback()
        waiting.join()


def test_who_holds_the_lock_is_said_once_for_some_seconds(run, said, blocked):
    waiter, holder = blocked
    watch = Watch(run)
    for _ in range(3):
        assert watch.look(waiter, "a1", None) is None
    assert [event.name for event in said] == ["statement.blocked"]
    assert said[0].message.startswith(f"revision a1 waits for backend {holder} (")
    assert [each["pid"] for each in watch.blocking] == [holder]
    watch.forget()
    assert watch.blocking == []


def test_a_backend_that_still_waits_is_waited_for(run, blocked):
    assert Watch(run).look(blocked[0], "a1", time.monotonic() - 60) is None


def test_before_another_try_the_transactions_that_are_in_the_way_are_said(run, said, blocked, monkeypatch):
    monkeypatch.setattr(module, "OLD_S", 0.0)
    watch = Watch(run)
    watch.say_who_would_block("a1")
    assert said == []  # nothing has blocked it yet
    watch.look(blocked[0], "a1", None)
    watch.say_who_would_block("a1")
    assert said[-1].message.startswith(f"revision a1 will have to wait for backend {blocked[1]} (")


def until_gone(database, pid):
    """Return once the server has ended the backend of a client that has gone."""
    there = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    until(lambda: not database.scalar(there, pid), seconds=20)


def test_an_answer_is_lost_where_the_child_waits_and_its_backend_is_gone(run, database):
    with closing(database.connect()) as connection:
        pid = pid_of(connection)
    until_gone(database, pid)
    watch = Watch(run)
    assert watch.look(pid, "a1", None) is None
    assert watch.look(pid, "a1", time.monotonic()) is None  # only just
    assert "its answer did not reach" in watch.look(pid, "a1", time.monotonic() - 60)


def test_a_transaction_that_the_server_has_rolled_back_is_not_waited_for(run, database, monkeypatch):
    with closing(database.connect()) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SELECT txid_current()")
        pid, xid = pid_of(connection), cursor.fetchone()[0]
        assert Watch(run).look(pid, "a1", None, xid) is None
    until_gone(database, pid)
    watch = Watch(run)
    assert watch.look(pid, "a1", None, xid) is None  # it may be only just gone
    monkeypatch.setattr(module, "LOST_S", 0.0)
    assert "rolled its transaction back" in watch.look(pid, "a1", None, xid)
