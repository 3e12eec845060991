"""Runs that are killed, and what they leave on the server for the next one."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.support.process import children_of
from tests.support.proxy import Action

fault = pytest.mark.fault
# A lease and a heartbeat that a test can wait for.
SHORT = {"migrate.postgres.guard.HEARTBEAT_S": 1.0, "migrate.postgres.guard.LEASE_S": 3}


def kill(running):
    running.signal(signal.SIGKILL)
    return running.finish()


def steps(case):
    return case.database.rows("SELECT revision, status FROM migrate.step ORDER BY step_id")


@fault(
    "kill -9 of the runner during a statement",
    "SIGKILL to the parent alone, in pg_sleep()",
    -9,
    "child and backend end within seconds; the next run closes run and step as abandoned and goes on",
)
def test_runner_killed_in_a_statement(case):
    case.history()
    running = case.in_trouble()
    case.ends(kill(running))
    assert steps(case) == [
        ("r0001", "finished"),
        ("r0002", "abandoned"),
        ("r0002", "finished"),
        ("r0003", "finished"),
    ]
    runs = case.database.rows("SELECT outcome FROM migrate.run ORDER BY started_at")
    assert runs == [("abandoned",), ("applied",)]


@fault(
    "kill -9 of the runner while a revision computes in Python",
    "SIGKILL to the parent alone, in time.sleep()",
    -9,
    "the kernel ends the child with its parent; nothing is applied twice",
)
def test_runner_killed_in_python(case):
    case.history()
    running = case.in_trouble(trouble="time.sleep(60)")
    case.ends(kill(running))
    assert ("r0002", "abandoned") in steps(case)


@fault(
    "kill -9 of the runner and the next run at once",
    "SIGKILL, and `migrate up` at once; the revision has switched client_connection_check_interval off",
    -9,
    "the next run waits for the orphan worker, then goes on",
)
def test_the_next_run_waits_for_the_orphan(case):
    case.history()
    # the revision's own setting stands in for a server that notices late
    trouble = "op.execute(\"SET LOCAL client_connection_check_interval = 0\"); op.execute('SELECT pg_sleep(4)')"
    running = case.in_trouble(trouble=trouble)
    killed = kill(running)
    second = case.up().finish()
    second.check_clean()
    assert second.exit_code == 0
    assert second.named("orphan.waiting")
    assert second.named("run.abandoned")[0]["revision"] == "r0002"
    case.ends(killed)


@fault(
    "kill -9 of the child during a statement",
    "SIGKILL to the process that runs the revisions, as the kernel does when memory is short",
    24,
    "the parent says so, and that memory may have run out; the backend ends, the revision is rolled back",
)
def test_child_killed(case):
    case.history()
    running = case.in_trouble()
    for child in children_of(running.pid):
        os.kill(child, signal.SIGKILL)
    result = case.ends(running)
    assert result.finished["problem"] == "no-resources"
    assert "SIGKILL, as when memory has run out" in result.finished["why"]
    assert result.finished["fix"].startswith("give the job more memory")


@fault(
    "kill -9 of the runner in an autocommit block",
    "SIGKILL while CREATE INDEX CONCURRENTLY waits for another transaction",
    -9,
    "the next run refuses with 15 and names the INVALID index and the revision",
)
def test_runner_killed_in_cic(case):
    case.history(concurrently=True)
    case.at("r0001")
    case.hold("LOCK TABLE items IN ROW EXCLUSIVE MODE")
    running = case.up()
    running.wait_for("revision.started", revision="r0002")
    case.until_blocked()
    killed = kill(running)
    case.until_gone()  # only then may the other transaction end
    result = case.ends(killed, then=15, fresh=False)
    assert result.exit_code == -9
    assert [row for row in steps(case) if row[0] == "r0002"] == [("r0002", "started")]
    assert "index items_name" in case.again.finished["why"]
    assert "r0002" in case.again.finished["why"]


@fault(
    "a node vanishes without a FIN",
    "the proxy falls silent for all connections, then kill -9; the lease is 3 s in this test (60 s otherwise)",
    -9,
    "the server frees the guard within the lease, the next run ends the worker's backend that waits for nobody",
)
def test_node_lost(case):
    case.history()
    running = case.in_trouble(trouble="time.sleep(60)", proxied=True, constants=SHORT)
    case.proxy.each(lambda link: link.silence())
    killed = kill(running)
    second = case.up(constants=SHORT)
    result = second.finish()
    result.check_clean()
    assert result.exit_code == 0
    assert result.named("guard.waiting") or result.named("orphan.waiting")
    case.ends(killed)


@fault(
    "the runner is stopped for longer than its lease",
    "SIGSTOP for 6 s with a lease of 3 s, then SIGCONT; meanwhile another run goes to the head",
    41,
    "the stopped run's worker was ended by the other run and cannot commit",
)
def test_runner_stopped(case):
    case.history()
    running = case.in_trouble(trouble="time.sleep(30)", constants=SHORT)
    running.signal(signal.SIGSTOP)
    time.sleep(6)  # longer than its lease
    second = case.up(constants=SHORT).finish()
    assert second.exit_code == 0, second.stdout
    running.signal(signal.SIGCONT)
    result = case.ends(running)
    assert result.finished["problem"] == "guard-lost"


@fault(
    "the runner is stopped between a revision's end and its commit",
    "the revision's last act is SIGSTOP to its parent; SIGCONT after 6 s, with a lease of 3 s",
    41,
    "the fence, which is the last thing before the commit, refuses",
)
def test_fence_before_the_commit(case):
    case.history()
    running = case.in_trouble(trouble="os.kill(os.getppid(), 19)", constants=SHORT)
    time.sleep(6)  # longer than its lease
    running.signal(signal.SIGCONT)
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["applied"]) == ("guard-lost", ["r0001"])


@fault(
    "a run that adopts is stopped for longer than its lease",
    "SIGSTOP when it is about to write the version row, SIGCONT after 6 s, with a lease of 3 s; meanwhile another run"
    " adopts and goes to the head",
    41,
    "the fence is asked when nobody else can write any more: the newer row stays",
)
def test_stopped_in_adoption(case):
    case.history()
    case.at("r0001")
    case.database.execute("DROP TABLE alembic_version")
    stopped, goes_on = threading.Event(), threading.Event()
    running = None

    def stop():
        running.signal(signal.SIGSTOP)
        stopped.set()
        goes_on.wait(60)  # its statement is on its way until then

    case.proxy.on(Action.PASS, b'CREATE TABLE IF NOT EXISTS "public"', role="control", then=stop)
    constants = {"migrate.postgres.guard.LEASE_S": 3}
    running = case.up("--adopt", "exact", proxied=True, constants=constants)
    assert stopped.wait(30)
    second = case.up("--adopt", "exact", "--guard-timeout", "60s").finish()
    assert second.exit_code == 0, second.stdout.decode()
    goes_on.set()
    running.signal(signal.SIGCONT)
    result = case.ends(running)
    assert result.finished["problem"] == "guard-lost"
    assert case.versions() == ("r0003",)


@fault(
    "four runners at once, and the one that works is killed",
    "four `migrate up`, SIGKILL to the one that holds the guard in its second revision",
    -9,
    "one of the others goes on; every revision took effect once",
)
def test_killed_among_four(case):
    case.history()
    started = [case.up(trouble="op.execute('SELECT pg_sleep(30)')")]
    started[0].wait_for("revision.started", revision="r0002")
    started += [case.up() for _ in range(3)]
    started[1].wait_for("guard.waiting")
    killed = kill(started[0])
    results = [running.finish() for running in started[1:]]
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert sorted(result.finished["outcome"] for result in results) == ["applied", "noop", "noop"]
    case.ends(killed)
