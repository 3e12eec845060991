"""Revisions that share a transaction, in a database that was empty."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.test_frozen import LEASE_S, SHORT
from tests.support.process import children_of
from tests.support.proxy import Action
from tests.support.waiting import until

fault = pytest.mark.fault
KEY = 5129
WAITING = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {KEY} AND NOT granted"
PATIENT = {"MIGRATE_LOCK_TIMEOUT": "120s"}  # of the statement that waits for the test
IN_WORKER = (
    "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrate:worker:%'"
)
WHERE = "the third of three revisions that share a transaction"


def history(case, third=""):
    """Three revisions of which nothing shows that they would leave their transaction."""
    case.history()
    done = "op.execute(\"INSERT INTO journal VALUES ('{}')\")"
    case.project.revision(
        "r0002",
        down="r0001",
        message="second",
        upgrade=f"op.execute('ALTER TABLE items ADD COLUMN note text')\n{done.format('r0002')}",
    )
    case.project.revision(
        "r0003",
        down="r0002",
        message="third",
        upgrade=f"op.execute('CREATE TABLE after (id integer)')\n{done.format('r0003')}\n{third}",
    )


def waiting(case, **how):
    """A run whose third revision waits until the test closes the connection that it gets, too."""
    history(case, f"op.execute('SELECT pg_advisory_lock_shared({KEY}), pg_advisory_unlock_shared({KEY})')")
    assert case.manifest
    held = case.hold(f"SELECT pg_advisory_lock({KEY})")
    running = case.up(env=PATIENT, **how)
    until(lambda: case.database.as_superuser.rows(WAITING), seconds=60, otherwise=lambda: running.so_far.stdout)
    running.wait_for("revision.started", revision="r0003")
    return running, held


def steps(case):
    return case.database.rows("SELECT revision, status FROM migrate.step ORDER BY step_id")


@fault(
    "kill -9 of the runner in a transaction that several revisions share",
    f"SIGKILL to the parent alone, in {WHERE}",
    -9,
    "nothing of any of them stays; the next run applies all",
)
def test_runner_killed(case):
    running, _ = waiting(case)
    running.signal(signal.SIGKILL)
    result = running.finish()
    until(lambda: not case.database.as_superuser.rows(IN_WORKER))
    assert case.versions() == ()
    case.ends(result)
    assert steps(case) == [("r0001", "finished"), ("r0002", "finished"), ("r0003", "finished")]


@fault(
    "kill -9 of the child in a transaction that several revisions share",
    f"SIGKILL to the process that runs the revisions, in {WHERE}",
    24,
    "the last line says which revision was at work, and that none is applied",
)
def test_child_killed(case):
    running, _ = waiting(case)
    for child in children_of(running.pid):
        os.kill(child, signal.SIGKILL)
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["failed"]) == ("no-resources", "r0003")
    assert (result.finished["applied"], result.finished["to_revision"]) == ([], [])


@fault(
    "SIGTERM in a transaction that several revisions share",
    f"SIGTERM in {WHERE}",
    143,
    "all are rolled back, and the last line says so",
)
def test_sigterm(case):
    running, _ = waiting(case)
    running.signal(signal.SIGTERM)
    result = case.ends(running)
    assert (result.finished["outcome"], result.finished["applied"]) == ("interrupted", [])
    assert result.finished["pending"] == ["r0001", "r0002", "r0003"]


@fault(
    "a revision fails in a transaction that several share",
    f"{WHERE} divides by zero",
    30,
    "all are rolled back and run again, each by itself: those before it stay",
)
def test_a_revision_fails(case):
    report = "SELECT 1 / (1 - count(*)) FROM pg_stat_activity WHERE application_name = 'a report' AND datname = current_database()"
    history(case, f'op.execute("{report}")')
    assert case.manifest
    case.hold("SELECT 1")
    result = case.ends(case.up())
    assert (result.finished["applied"], result.finished["failed"]) == (["r0001", "r0002"], "r0003")
    (retry,) = result.named("revision.retry")
    assert retry["message"].startswith("revision r0003 shared a transaction with 2 others, which was rolled back")
    assert steps(case) == [
        ("r0001", "finished"),
        ("r0002", "finished"),
        ("r0003", "failed"),
        ("r0003", "finished"),
    ]


@fault(
    "the worker's connection is reset before the COMMIT that several revisions share",
    "the proxy drops the COMMIT and resets",
    23,
    "the version table is read: nothing of any of them is there",
)
def test_cut_before_the_commit(case):
    history(case)
    rule = case.proxy.on(Action.CUT, b"COMMIT", role="worker")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["applied"], result.finished["problem"]) == ([], "connection-lost")


@fault(
    "the worker's connection is reset just after the COMMIT that several revisions share",
    "the proxy drops the server's answer and resets",
    0,
    "the version rows are read again: all are applied, and the run proves itself",
)
def test_cut_after_the_commit(case):
    history(case)
    rule = case.proxy.on(Action.CUT, b"COMMIT\0", role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert result.finished["applied"] == ["r0001", "r0002", "r0003"]
    assert {status for _, status in steps(case)} == {"finished"}


def frozen(case, running, held):
    """Freeze the parent in the third revision, and let the child come to its question before the commit."""
    running.signal(signal.SIGSTOP)
    held.close()
    until(lambda: case.database.as_superuser.rows(IN_WORKER) == [("idle in transaction",)], seconds=60)


@fault(
    "the parent is frozen before the commit that several revisions share, and another run comes",
    f"SIGSTOP, and SIGCONT when the other run has come to the head; the lease is {LEASE_S} s in this test (60 s otherwise)",
    41,
    "the other run ends the worker's connection: of the frozen one nothing is committed",
)
def test_frozen_and_another_run_comes(case):
    running, held = waiting(case, constants=SHORT)
    frozen(case, running, held)
    second = case.up(constants=SHORT).finish()
    second.check_clean()
    assert (second.exit_code, second.finished["applied"]) == (0, ["r0001", "r0002", "r0003"])
    running.signal(signal.SIGCONT)
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["applied"]) == ("guard-lost", [])


@fault(
    "the parent is frozen before the commit that several revisions share",
    f"SIGSTOP, and SIGCONT after the lease, which is {LEASE_S} s in this test (60 s otherwise)",
    41,
    "nothing is committed before the parent has answered, and then the fence refuses",
)
def test_frozen_before_the_commit(case):
    running, held = waiting(case, constants=SHORT)
    frozen(case, running, held)
    time.sleep(1.5 * LEASE_S)
    running.signal(signal.SIGCONT)
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["applied"]) == ("guard-lost", [])
