"""Signals and deadlines in every phase of a run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from migrate.postgres.guard import GuardKey
from tests.support.process import children_of
from tests.support.proxy import Action

fault = pytest.mark.fault
# What a platform gives between SIGTERM and SIGKILL is no more than this in the worst case.
ENDS_IN_SECONDS = 2.0


def stop(case, running, number=signal.SIGTERM, **checks):
    """Send the signal and a second one; the run ends within two seconds, as the first one says."""
    began = time.monotonic()
    running.signal(number)
    time.sleep(0.2)
    running.signal(signal.SIGINT if number == signal.SIGTERM else signal.SIGTERM)
    result = running.finish()
    took = time.monotonic() - began
    result = case.ends(result, **checks)
    assert took < ENDS_IN_SECONDS, took
    outcome = "failed" if result.exit_code == 31 else "interrupted"
    assert result.finished["outcome"] == outcome
    if result.named("step.started"):  # the ledger is closed: the run ended in good order, not by the last resort
        runs = case.database.rows("SELECT outcome FROM migrate.run ORDER BY started_at")
        assert runs[0] == (outcome,)
    return result


@fault("SIGTERM during a statement", "in pg_sleep(); then SIGINT", 143, "cancelled on the server, rolled back in 2 s")
def test_in_a_statement(case):
    case.history()
    running = case.in_trouble()
    result = stop(case, running)
    assert result.finished["applied"] == ["r0001"]
    last = result.finished
    assert (last["failed"], last["revision"], last["not_started"]) == ("r0002", "r0002", last["pending"][1:])
    assert result.named("run.interrupted")


@fault(
    "SIGTERM to every process of the run, to the child first",
    "as systemd (KillMode=control-group) and supervisord do, 20 ms apart; in pg_sleep()",
    143,
    "that the child ended is no failure of the revision",
)
def test_group(case):
    case.history()
    running = case.in_trouble()
    (child,) = children_of(running.pid)
    os.kill(child, signal.SIGTERM)
    time.sleep(0.02)
    running.signal(signal.SIGTERM)
    assert case.ends(running).finished["outcome"] == "interrupted"


def unreachable(case):
    """Let the control connection fall silent, and take no other."""
    case.proxy.accepts = False
    case.proxy.each(lambda link: link.silence(), "control")


@fault(
    "SIGTERM after an autocommit block, when nobody can be asked any more",
    "the control connection falls silent, new ones are not answered; the revision has built an index and sleeps",
    31,
    "said when the signal's grace is over: what is committed counts for more than the signal",
)
def test_nobody_to_ask_after_autocommit(case):
    case.history(concurrently=True)
    running = case.in_trouble(trouble="op.execute('SELECT pg_sleep(60)')", proxied=True)
    unreachable(case)
    running.signal(signal.SIGTERM)
    result = running.finish()
    assert result.finished["problem"] == "partly-committed"
    assert result.finished["applied"] == ["r0001"]
    case.ends(result)


@fault(
    "SIGTERM while the last COMMIT is in doubt and nobody can be asked",
    "its answer is swallowed, the control connection falls silent, new ones are not answered",
    40,
    "said when the signal's grace is over; the next run finds out",
)
def test_nobody_to_ask_about_a_commit(case):
    case.history()
    case.at("r0002")
    case.proxy.on(
        Action.PASS,
        b"CREATE TABLE after",
        role="worker",
        then=lambda: case.proxy.on(
            Action.SILENCE, b"COMMIT\0", role="worker", side="server", then=lambda: unreachable(case)
        ),
    )
    running = case.up(proxied=True)
    running.wait_for("revision.started", revision="r0003")
    time.sleep(1)
    running.signal(signal.SIGTERM)
    assert case.ends(running).finished["problem"] == "commit-unknown"


@fault("SIGINT during a statement", "in pg_sleep(); then SIGTERM", 130, "cancelled on the server, rolled back in 2 s")
def test_sigint(case):
    case.history()
    running = case.in_trouble()
    stop(case, running, signal.SIGINT)


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(
            {"driver": name} if name == "psycopg" else {"engine": "async"},
            marks=fault(
                f"SIGTERM during a statement, with {name}",
                f"in pg_sleep(), with an env.py that uses {name}; then SIGINT",
                143,
                "the cancel comes from the control connection, whatever the driver",
            ),
            id=name,
        )
        for name in ("psycopg", "asyncpg")
    ],
)
def test_in_a_statement_by_driver(case, driver):
    case.history(**driver)
    running = case.in_trouble()
    assert stop(case, running).finished["applied"] == ["r0001"]


@fault(
    "SIGTERM while a revision computes in Python",
    "in time.sleep(60)",
    143,
    "backend and child are ended after 0.6 s; rolled back in 2 s",
)
def test_in_python(case):
    case.history()
    running = case.in_trouble(trouble="time.sleep(60)")
    stop(case, running)


@fault(
    "SIGTERM while a revision refuses to be interrupted",
    "the revision catches every exception, in a loop of pg_sleep(1)",
    143,
    "backend and child are ended after 0.6 s; rolled back in 2 s",
)
def test_in_a_stubborn_revision(case):
    case.history()
    trouble = "while True:\n    try:\n        op.execute('SELECT pg_sleep(1)')\n    except BaseException:\n        time.sleep(0.01)"
    running = case.in_trouble(trouble=trouble)
    stop(case, running)


@fault(
    "SIGTERM while connecting to a server that says nothing",
    "the proxy takes the connection and never answers",
    143,
    "at once; nothing was changed",
)
def test_while_connecting(case):
    case.history()
    case.proxy.accepts = False
    running = case.up(proxied=True)
    running.wait_for("image.loaded")
    time.sleep(0.5)  # into connecting, of which nothing is to be seen
    stop(case, running)


@fault(
    "SIGTERM between two tries to connect",
    "the proxy resets every connection",
    143,
    "at once; nothing was changed",
)
def test_between_connects(case):
    case.history()
    case.proxy.refuse()
    running = case.up(proxied=True)
    running.wait_for("connect.retry")
    stop(case, running)


@fault(
    "SIGTERM while env.py has not connected yet",
    "env.py sleeps before it connects",
    143,
    "the child is ended; nothing was changed",
)
def test_while_the_worker_connects(case):
    case.history(head="import time\ntime.sleep(float(os.environ.get('SLOW', '0')))\n")
    running = case.up(env={"SLOW": "60"})
    running.wait_for("step.started")
    time.sleep(1.5)  # into env.py, which has not connected
    stop(case, running)


@fault(
    "SIGTERM while waiting for the guard",
    "another run sleeps in a revision",
    143,
    "at once; the other run goes on to its end",
)
def test_while_waiting_for_the_guard(case):
    case.history()
    first = case.up(trouble="op.execute('SELECT pg_sleep(5)')")
    first.wait_for("revision.started", revision="r0002")
    running = case.up()
    running.wait_for("guard.waiting")
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    result = running.finish()
    assert time.monotonic() - began < ENDS_IN_SECONDS
    assert first.finish().exit_code == 0
    case.ends(result)


@fault(
    "SIGTERM during the back-off between two tries",
    "a lock is not granted; the signal comes while the run waits",
    143,
    "at once; the revision was rolled back before",
)
def test_in_the_back_off(case):
    case.history()
    case.at("r0001")
    case.hold()
    running = case.up("--lock-timeout", "200ms")
    for attempt in (1, 2, 3):
        running.wait_for("revision.retry", attempt=attempt)
    time.sleep(0.3)  # into the wait before the next attempt, or the attempt
    stop(case, running)


@fault(
    "SIGTERM while a statement waits for a lock",
    "another transaction holds the table; --lock-timeout 60s",
    143,
    "cancelled on the server, rolled back in 2 s",
)
def test_in_a_lock_wait(case):
    case.history()
    case.at("r0001")
    case.hold()
    running = case.up("--lock-timeout", "60")
    running.wait_for("statement.blocked")
    stop(case, running)


@fault(
    "SIGTERM between two revisions",
    "when the fifth of 39 quick ones is committed",
    143,
    "no further revision starts; what was applied is listed",
)
def test_between_revisions(case):
    case.history()
    for number in range(4, 40):
        case.project.revision(
            f"r{number:04}",
            down=f"r{number - 1:04}",
            message="quick",
            upgrade=f"op.execute(\"INSERT INTO journal VALUES ('r{number:04}')\")\n"
            "import time, os\ntime.sleep(float(os.environ.get('SLOW', '0')))",
        )
    case.ids = tuple(f"r{number:04}" for number in range(1, 40))
    running = case.up(env={"SLOW": "0.1"})
    running.wait_for("revision.finished", revision="r0005")
    result = stop(case, running)
    applied = result.finished["applied"]
    assert 5 <= len(applied) < 39
    assert case.database.scalar("SELECT count(*) FROM migrate.run WHERE outcome = 'interrupted'") == 1


@fault(
    "SIGTERM during CREATE INDEX CONCURRENTLY",
    "while it waits for a transaction that has written to the table",
    31,
    "cancelled in 2 s; the INVALID index is named, the next run refuses with the repair",
)
def test_in_cic(case):
    case.history(concurrently=True)
    case.at("r0001")
    case.hold("LOCK TABLE items IN ROW EXCLUSIVE MODE")
    running = case.up()
    running.wait_for("statement.blocked")
    result = stop(case, running)
    assert "INVALID index public.items_name on items" in result.finished["residue"]
    assert result.finished["problem"] == "partly-committed"


@fault(
    "SIGTERM to the run as PID 1",
    "`unshare --pid --fork`, as in a container without an init; in pg_sleep()",
    143,
    "the handlers are ours: the kernel does not ignore the signal",
)
def test_as_pid_1(case):
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--pid", "--fork", "true"], check=False).returncode != 0:
        pytest.skip("unshare --pid is not allowed here")
    case.history()
    running = case.in_trouble(prefix=(unshare, "--pid", "--fork"))
    (child,) = children_of(running.pid)
    subprocess.run(["kill", "-TERM", str(child)], check=True)
    result = case.ends(running)
    assert result.finished["outcome"] == "interrupted"


@fault(
    "the deadline comes during a statement",
    "--deadline 3s, and the second revision sleeps in pg_sleep(60)",
    25,
    "it is cancelled and rolled back before the platform would kill it, no further one starts",
)
def test_deadline(case):
    case.history()
    running = case.up("--deadline", "3", trouble="op.execute('SELECT pg_sleep(60)')")
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["applied"]) == ("deadline", ["r0001"])


@fault(
    "the deadline comes during the back-off",
    "a lock is not granted; --deadline 2s",
    25,
    "no further try",
)
def test_deadline_in_the_back_off(case):
    case.history()
    case.at("r0001")
    case.hold()
    result = case.ends(case.up("--deadline", "2", "--lock-timeout", "200ms"))
    assert result.finished["problem"] == "deadline"


@fault(
    "the deadline comes while the run waits for the guard",
    "another run holds the guard for 8 s; --deadline 4s",
    25,
    "the holder is named; the other run goes on to its end",
)
def test_deadline_while_waiting_for_the_guard(case):
    case.history()
    other = case.up(trouble="time.sleep(8)")
    other.wait_for("revision.started", revision="r0002")
    result = case.up("--deadline", "4").finish()
    assert result.named("guard.waiting")
    assert (result.finished["problem"], result.finished["applied"]) == ("deadline", [])
    held = other.finish()
    assert held.exit_code == 0
    assert held.finished["run_id"] in result.finished["why"]
    case.ends(result)


@fault(
    "the deadline comes while the run waits for what a dead run left",
    "a backend has the mark of a run that is no more, and stays in its transaction; --deadline 2s",
    25,
    "the backend is named; nothing was changed, and the guard is free again",
)
def test_deadline_while_waiting_for_an_orphan(case):
    case.history()
    orphan = case.database.connect(application_name="migrate:worker:0123456789ab")
    mark = GuardKey.of("public", "alembic_version").mark.value
    orphan.cursor().execute("SELECT pg_try_advisory_xact_lock_shared(%s)", [mark])
    result = case.up("--deadline", "2").finish()
    assert result.named("orphan.waiting")
    assert (result.finished["problem"], result.finished["applied"]) == ("deadline", [])
    assert str(orphan.info.backend_pid) in result.finished["why"]
    orphan.close()
    case.ends(result)


@fault(
    "SIGTERM after the last line",
    "as soon as `run.finished` is read, again and again until the process has ended",
    0,
    "the exit code stays the one that the last line says",
)
def test_after_the_last_line(case):
    case.history()
    running = case.up()
    running.wait_for("run.finished")
    result = None
    while result is None:
        running.signal(signal.SIGTERM)
        try:
            result = running.finish(0.001)
        except AssertionError:
            continue
    case.ends(result)


@fault(
    "SIGTERM while somebody keeps readers of the catalog out",
    "in pg_sleep() of a revision whose text speaks of a commit; another transaction has locked another table",
    143,
    "what the server said of the transaction counts, what only the catalog would tell is left untold",
)
def test_sigterm_while_the_catalog_is_locked(case):
    case.history()
    path = case.project.versions / "r0002_second.py"
    path.write_text(path.read_text() + "\n# commits nothing early\n")
    case.at("r0001")
    case.database.execute("CREATE TABLE other (id integer CHECK (id > 0))")
    running = case.in_trouble()
    case.hold("LOCK TABLE other IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    result = running.finish()
    assert time.monotonic() - began < ENDS_IN_SECONDS
    case.blocked.pop().close()
    case.database.execute("DROP TABLE other")
    assert case.database.rows("SELECT outcome FROM migrate.run") == [("interrupted",)]
    case.ends(result)


@fault(
    "SIGTERM while Alembic loads a history that computes its ids",
    "a revision file sleeps as it is imported",
    143,
    "the child is ended",
)
def test_sigterm_while_a_computed_history_is_loaded(case):
    case.history()
    assert case.manifest
    path = case.project.versions / "r0003_third.py"
    text = path.read_text()
    slow = text.replace("revision = 'r0003'", "import time; time.sleep(60); revision = ''.join(['r00', '03'])")
    assert slow != text
    path.write_text(slow)
    running = case.up()
    running.wait_for("run.started")
    time.sleep(1.5)  # into the file, which says nothing
    running.signal(signal.SIGTERM)
    result = running.finish()
    path.write_text(text)
    case.ends(result)


@fault(
    "SIGHUP to a run under nohup",
    "SIGHUP is ignored when it starts, and arrives in a statement",
    0,
    "it stays ignored, as whoever started it asked for",
)
def test_hangup_that_is_ignored(case):
    case.history()
    running = case.in_trouble(
        trouble="op.execute('SELECT pg_sleep(2)')", prefix=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    )
    running.signal(signal.SIGHUP)
    assert case.ends(running).finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "SIGHUP: the terminal is gone",
    "in pg_sleep()",
    143,
    "ended as by SIGTERM",
)
def test_hangup(case):
    case.history()
    # whatever the suite itself was started by: what is ignored at the start of a process stays ignored
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    running = case.in_trouble(prefix=(sys.executable, "-c", heeding))
    running.signal(signal.SIGHUP)
    assert case.ends(running).finished["outcome"] == "interrupted"
