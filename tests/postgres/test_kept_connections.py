"""Connections that stay for the next run: the same backend under another name, and nothing of the run before in it."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace

import pytest

from migrate.context import Context
from migrate.core.decide.policy import Limits
from migrate.core.interruption import Interruption
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.backend_names import CONTROL_NAME, GUARD_NAME
from migrate.postgres.kept_connections import KeptConnections, keep
from tests.support.waiting import until


@pytest.fixture
def kept():
    with closing(KeptConnections()) as connections:
        yield connections


@pytest.fixture
def context():
    read, write = os.pipe()
    yield Context(
        verb="up",
        run_id="one",
        limits=Limits(),
        started_s=time.monotonic(),
        interruption=Interruption(read),
        emit=lambda _event: None,
        beat=lambda: None,
        bind=lambda **_: None,
        redact=str,
    )
    os.close(read)
    os.close(write)


@pytest.fixture
def target(database):
    return Target(DatabaseUrl.parse(database.url), "DATABASE_URL")


def lend(kept, target, context, run_id, role=CONTROL_NAME):
    found = kept.lend(target, replace(context, run_id=run_id), role)
    if not found.is_proven:
        keep(found, is_pooled=False)
        found.is_proven = True
    return found


def test_the_next_run_has_the_same_backend_by_its_own_name(kept, target, context):
    first = lend(kept, target, context, "one")
    pid = first.info.backend_pid
    first.let_go()
    second = lend(kept, target, context, "two")
    assert second.info.backend_pid == pid
    assert second.row("SHOW application_name") == ("migrate:control:two",)
    assert lend(kept, target, context, "two", role=GUARD_NAME).info.backend_pid != pid


def test_one_in_a_transaction_is_not_kept(kept, target, context):
    first = lend(kept, target, context, "one")
    first.run("BEGIN")
    first.let_go()
    assert first.closed
    assert lend(kept, target, context, "two") is not first


@pytest.mark.parametrize("role", [CONTROL_NAME, GUARD_NAME])
def test_one_that_the_server_has_ended_is_made_anew(kept, target, context, database, role):
    first = lend(kept, target, context, "one", role)
    pid = first.info.backend_pid
    first.let_go()
    database.as_superuser.execute(f"SELECT pg_terminate_backend({pid})")
    until(lambda: not database.as_superuser.rows(f"SELECT FROM pg_stat_activity WHERE pid = {pid}"))
    assert lend(kept, target, context, "two", role).info.backend_pid != pid


def test_one_of_a_pooler_is_not_kept(kept, target, context):
    first = kept.lend(target, replace(context, run_id="one"), CONTROL_NAME)
    keep(first, is_pooled=True)
    first.let_go()
    assert first.closed


def test_another_database_has_another_one(kept, target, context):
    first = lend(kept, target, context, "one")
    first.let_go()
    other = replace(target, url=target.url.with_database("postgres"))
    second = lend(kept, other, context, "two")
    assert first.closed
    assert second.row("SELECT current_database()") == ("postgres",)


def test_what_is_asked_again_is_planned_once(kept, target, context):
    connection = lend(kept, target, context, "one")
    question = "SELECT relname LIKE 'pg%%' FROM pg_class WHERE relname = %(name)s AND relkind = ANY (%(kinds)s)"
    for name in ("pg_class", "pg_type"):
        assert connection.planned(question, {"name": name, "kinds": ["r"]}) == [(True,)]
        assert connection.planned("SELECT 1", {}) == [(1,)]
    assert connection.row("SELECT count(*) FROM pg_prepared_statements") == (2,)
