"""What a failed attempt means, as the server says what became of its transactions."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import pytest

from migrate.child.protocol import Declined, Error, Failed
from migrate.core.interruption import Interrupted
from migrate.core.problems.catalogue import Stop
from migrate.steps.at_work import AtWork
from migrate.steps.attempt import Attempt
from migrate.steps.failure import cancelled, ended_early, facts, go_on, judge, refused
from tests.steps.conftest import revision

ERROR = Error("ProgrammingError", "no such table", sqlstate="42P01", file="/app/versions/a1.py", line=7)


def xid_of(database, end):
    """A transaction of another backend, which has ended."""
    with closing(database.connect()) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SELECT txid_current()")
        found = cursor.fetchone()[0]
        getattr(connection, end)()
        return found


def attempted(run, database, end="rollback", **known):
    attempt = Attempt(run, 1)
    attempt.begin(AtWork("a1", revision("a1"), 1, None, time.monotonic(), [xid_of(database, end)], **known))
    return attempt


def stopped_by(attempt, error=ERROR):
    with pytest.raises(Stop) as stopped:
        judge(attempt, Failed("revision", error), blocking=())
    return stopped.value.problem


def test_what_was_rolled_back_has_failed_and_left_nothing(run, database, said):
    attempt = attempted(run, database)
    problem = stopped_by(attempt)
    assert problem.kind.code == "revision-failed"
    assert problem.why == "revision a1 (versions/a1.py, line 7): no such table"
    assert problem.facts["line"] == 7
    assert attempt.is_rolled_back
    assert said[-1].name == "revision.failed"


def test_what_has_committed_a_part_is_partly_committed_whatever_the_error(run, database):
    attempt = attempted(run, database, "commit")
    assert stopped_by(attempt).kind.code == "partly-committed"
    assert not attempt.is_rolled_back


def test_a_lock_that_was_not_to_be_had_may_be_tried_again(run, database):
    blocked = judge(attempted(run, database), Failed("revision", ERROR._replace(sqlstate="55P03")), blocking=())
    assert blocked.problem.kind.code == "blocked"
    assert blocked.problem.facts["revision"] == "a1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Error("SystemExit", "it ended", has_exited=True), "revision-exited"),
        (Error("MemoryError", "", is_out_of_memory=True), "no-resources"),
        (Error("OperationalError", "it is gone", is_disconnect=True), "connection-lost"),
        (Error("ValueError", "no"), "revision-failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.type,
)
def test_what_is_no_answer_of_the_servers_is_told_apart(run, database, error, code):
    assert stopped_by(attempted(run, database), error).kind.code == code


def test_a_commit_whose_answer_was_lost_is_no_failure_where_the_rows_show_it(run, database):
    database.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    database.execute("INSERT INTO alembic_version VALUES ('a1')")
    attempt = attempted(run, database, "commit")
    attempt.applied()
    lost = Failed("commit", Error("OperationalError", "it is gone", is_disconnect=True))
    assert judge(attempt, lost, blocking=()) is None
    assert run.applied == ["a1"]


def test_a_signal_counts_for_more_than_the_error_that_its_cancel_makes(run, database):
    attempt = attempted(run, database)
    attempt.cancelled_at = time.monotonic()
    run.context.interruption.signum = 15
    with pytest.raises(Interrupted):
        judge(attempt, Failed("revision", ERROR), blocking=())
    assert isinstance(cancelled(attempt), Interrupted)
    with pytest.raises(Interrupted):
        go_on(run)


def test_a_refusal_leaves_what_the_transaction_says(run, database):
    refusal = Declined("data-loss", "it loses rows", {"target": "base"}, {"loses": ["table t: 1"]})
    problem = refused(attempted(run, database), refusal).problem
    assert (problem.kind.code, problem.why, problem.facts["loses"]) == ("data-loss", "it loses rows", ["table t: 1"])
    problem = refused(attempted(run, database, "commit"), refusal).problem
    assert (problem.kind.code, problem.why.partition(";")[0]) == ("partly-committed", "revision a1: it loses rows")


def test_a_run_ends_early_for_the_time_that_is_up(run):
    go_on(run)
    context = run.context
    late = replace(context, limits=replace(context.limits, deadline_s=3.0), started_s=context.started_s - 60)
    run.order = replace(run.order, context=late)
    assert ended_early(run).problem.kind.code == "deadline"
    with pytest.raises(Stop, match="deadline of 3 s"):
        go_on(run)


def test_a_line_is_named_only_of_the_revisions_own_file():
    at = AtWork("a1", revision("a1"), 1, None, 0.0)
    assert facts(at, ERROR)["line"] == 7
    assert "line" not in facts(at, ERROR._replace(file="/app/shared.py"))
    assert "line" not in facts(at, ERROR._replace(file=None, line=None))
    assert facts(AtWork("gone", None, None, None, 0.0)) == {"revision": "gone", "file": None}
    assert facts(None) == {}
