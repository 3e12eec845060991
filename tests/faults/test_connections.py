"""Connections that are cut, silenced, refused or ended by the server."""

from __future__ import annotations

import signal
import threading
from datetime import datetime

import pytest

from migrate.steps.watch import LOST_S
from tests.faults.conftest import SLEEP
from tests.support.proxy import Action
from tests.support.waiting import until

fault = pytest.mark.fault
COMMIT = b"COMMIT\0"  # in a command's completion, from the server


@fault(
    "the worker's connection is reset in a statement",
    "the proxy resets it when it has passed on pg_sleep()",
    23,
    "the revision is rolled back, the one before it stays",
)
def test_worker_reset(case):
    case.history()
    rule = case.proxy.on(Action.CUT_AFTER, b"pg_sleep", role="worker")
    running = case.up(trouble=SLEEP, proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["applied"], result.finished["problem"]) == (["r0001"], "connection-lost")


@fault(
    "the worker's connection is closed in a statement",
    "the proxy ends it with FIN when it has passed on pg_sleep()",
    23,
    "the revision is rolled back, the one before it stays",
)
def test_worker_closed(case):
    case.history()
    running = case.in_trouble(proxied=True)
    case.proxy.each(lambda link: link.close(), "worker")
    result = case.ends(running)
    assert (result.finished["applied"], result.finished["problem"]) == (["r0001"], "connection-lost")


@fault(
    "the worker's connection is reset before COMMIT arrives",
    "the proxy drops the second revision's COMMIT and resets",
    23,
    "the version row is read again: it has not moved",
)
def test_cut_before_commit(case):
    case.history()
    case.at("r0001")
    rule = case.proxy.on(Action.CUT, b"COMMIT", role="worker")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["applied"], result.finished["problem"]) == ([], "connection-lost")


@fault(
    "the worker's connection is reset just after COMMIT, revisions are left",
    "the proxy drops the server's answer to the second revision's COMMIT and resets",
    23,
    "the version row is read again: the revision counts as applied, the next is not started",
)
def test_cut_after_commit(case):
    case.history()
    case.at("r0001")
    rule = case.proxy.on(Action.CUT, COMMIT, role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["applied"], result.finished["pending"]) == (["r0002"], ["r0003"])


@fault(
    "the worker's connection is reset just after the last COMMIT",
    "the proxy drops the server's answer to the last revision's COMMIT and resets",
    0,
    "the version row is read again and the run proves itself at the head",
)
def test_cut_after_the_last_commit(case):
    case.history()
    case.at("r0002")
    rule = case.proxy.on(Action.CUT, COMMIT, role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["applied"], result.finished["outcome"]) == (["r0003"], "applied")


@fault(
    "env.py's connection is taken, and nothing is ever said to it",
    "the proxy does so from the moment at which env.py is about to connect; --connect-timeout 3s",
    23,
    "the child is ended after the connect timeout",
)
def test_env_cannot_connect(case):
    case.history()
    env = case.project.env
    env.write_text(
        env.read_text().replace("def migrate_on", "print('about to connect'); time.sleep(1)\ndef migrate_on", 1)
    )
    env.write_text("import time\n" + env.read_text())
    running = case.up("--connect-timeout", "3s", proxied=True)
    running.wait_for("revision.output")
    case.proxy.accepts = False
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "the answer to the last COMMIT is swallowed",
    "the proxy passes nothing on any more from that answer on, and ends nothing",
    0,
    "the watchdog sees a backend that is done and a child that waits, and reads the version row again",
)
def test_commit_answer_swallowed(case):
    case.history()
    case.at("r0002")
    rule = case.proxy.on(Action.SILENCE, COMMIT, role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert result.finished["applied"] == ["r0003"]


@fault(
    "the answer to a statement is swallowed",
    "the proxy passes nothing on any more once it has passed on the revision's last statement",
    23,
    "the watchdog ends child and backend; the server has rolled back",
)
def test_answer_swallowed(case):
    case.history()
    case.at("r0001")
    rule = case.proxy.on(Action.SILENCE, b"ALTER TABLE\0", role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    result = case.ends(running)
    assert result.finished["problem"] == "connection-lost"
    assert result.finished["applied"] == []


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(
            {"driver": name} if name == "psycopg" else {"engine": "async"},
            marks=fault(
                f"the answer to a statement is swallowed, with {name}",
                f"the same, with an env.py that uses {name}",
                23,
                "the watchdog sees where the child waits whatever the driver",
            ),
            id=name,
        )
        for name in ("psycopg", "asyncpg")
    ],
)
def test_answer_swallowed_by_driver(case, driver):
    case.history(**driver)
    case.at("r0001")
    rule = case.proxy.on(Action.SILENCE, b"ALTER TABLE\0", role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "a revision waits for another program",
    "subprocess.run(['sleep', '8']) in a revision, while its connection is idle in its transaction",
    0,
    "no answer is missing: the watchdog keeps still",
)
def test_watchdog_keeps_still(case):
    case.history()
    case.ends(case.up(trouble="import subprocess; subprocess.run(['sleep', '8'], capture_output=True)"))


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(
            {"driver": name} if name == "psycopg" else {"engine": "async"},
            marks=fault(
                f"the worker's connection is reset, with {name}",
                f"the proxy resets it in pg_sleep(), with an env.py that uses {name}",
                23,
                "recognised whatever the driver; rolled back",
            ),
            id=name,
        )
        for name in ("psycopg", "asyncpg")
    ],
)
def test_worker_reset_by_driver(case, driver):
    case.history(**driver)
    running = case.in_trouble(proxied=True)
    case.proxy.each(lambda link: link.cut(), "worker")
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "the answer to a statement is swallowed, and the control connection is reset",
    "the proxy passes nothing on any more once it has passed on the revision's last statement, and resets the other",
    23,
    "the watchdog connects again: it is not blind from then on",
)
def test_answer_swallowed_and_control_cut(case):
    case.history()
    case.at("r0002")
    case.proxy.on(
        Action.SILENCE,
        b"INSERT 0 1",
        role="worker",
        side="server",
        then=lambda: case.proxy.each(lambda link: link.cut(), "control"),
    )
    assert case.ends(case.up(proxied=True)).finished["problem"] == "connection-lost"


@fault(
    "a statement is swallowed on its way to the server",
    "the proxy drops the revision's ALTER TABLE and passes nothing on any more",
    23,
    "the watchdog ends child and backend; the server has rolled back",
)
def test_statement_swallowed(case):
    case.history()
    case.at("r0001")
    rule = case.proxy.on(Action.SILENCE, b"ALTER TABLE items", role="worker")
    running = case.up(proxied=True)
    rule.wait()
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "a question of ours is swallowed before a revision",
    "the proxy drops what the worker asks at the beginning of its transaction, and passes nothing on any more",
    23,
    "the watchdog looks between revisions, too",
)
def test_question_swallowed_between_revisions(case):
    # right after a long statement: one wait after another must not be taken for none
    case.history()
    case.at("r0001")
    case.proxy.on(
        Action.PASS,
        b"pg_sleep(2.5)",
        role="worker",
        then=lambda: case.proxy.on(Action.SILENCE, b"txid_current", role="worker"),
    )
    result = case.ends(case.up(trouble="op.execute('SELECT pg_sleep(2.5)')", proxied=True))
    assert (result.finished["problem"], result.finished["applied"]) == ("connection-lost", ["r0002"])
    assert not [begun for begun in result.named("revision.started") if begun["revision"] == "r0003"]


@fault(
    "the question whether env.py is at the right database is swallowed",
    "the proxy drops the worker's first question, and passes nothing on any more; --connect-timeout 3s",
    23,
    "the child waits and the server does nothing for its role: it is ended after the connect timeout",
)
def test_first_question_swallowed(case):
    case.history()
    case.at("r0001")
    rule = case.proxy.on(Action.SILENCE, b"pg_locks", role="worker")
    running = case.up("--connect-timeout", "3s", proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["applied"]) == ("connection-lost", [])


@fault(
    "the guard's connection is reset during a statement",
    "the proxy resets it while the worker sleeps in pg_sleep()",
    41,
    "noticed at once; the statement is cancelled and rolled back, no later revision starts",
)
def test_guard_cut_in_a_statement(case):
    case.history()
    running = case.in_trouble(proxied=True)
    case.proxy.each(lambda link: link.cut(), "guard")
    result = case.ends(running)
    assert result.finished["problem"] == "guard-lost"
    assert result.finished["applied"] == ["r0001"]
    assert [event["revision"] for event in result.named("revision.started")] == ["r0001", "r0002"]


@fault(
    "the guard's connection is ended while a revision computes in Python",
    "pg_terminate_backend() of the guard's backend by an administrator",
    41,
    "the worker's backend and child are ended, the revision is rolled back",
)
def test_guard_terminated_in_python(case):
    case.history()
    running = case.up(trouble="time.sleep(60)")
    running.wait_for("revision.started", revision="r0002")
    case.database.as_superuser.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrate:guard:%'"
        " AND datname = current_database()"
    )
    assert case.ends(running).finished["problem"] == "guard-lost"


@fault(
    "the guard's backend is ended by the revision itself",
    "pg_terminate_backend() in a revision, which then goes on to its end",
    41,
    "noticed at once, or by the fence before the commit: nothing of the revision is in the database",
)
def test_guard_ended_by_the_revision(case):
    case.history()
    end = (
        'op.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity'
        " WHERE application_name LIKE 'migrate:guard:%' AND datname = current_database()\")"
    )
    running = case.up(trouble=end)
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["applied"]) == ("guard-lost", ["r0001"])


@fault(
    "the guard's connection goes silent",
    "the proxy passes nothing on any more for it; the heartbeat has no answer",
    41,
    "the revision is cancelled and rolled back; the server frees the guard within its lease",
)
def test_guard_silent(case):
    case.history()
    running = case.in_trouble(
        proxied=True,
        constants={
            "migrate.postgres.guard.HEARTBEAT_S": 1.0,
            "migrate.postgres.guard.HEARTBEAT_ANSWER_S": 2.0,
            "migrate.postgres.guard.LEASE_S": 4,
        },
    )
    case.proxy.each(lambda link: link.silence(), "guard")
    result = case.ends(running)
    assert result.finished["problem"] == "guard-lost"


@fault(
    "the control connection is reset during a statement",
    "the proxy resets it while the worker sleeps",
    0,
    "a new one is made; the ledger and the proof are whole",
)
def test_control_cut(case):
    case.history()
    running = case.in_trouble(trouble="op.execute('SELECT pg_sleep(3)')", proxied=True)
    case.proxy.each(lambda link: link.cut(), "control")
    result = case.ends(running)
    assert result.finished["applied"] == ["r0001", "r0002", "r0003"]
    assert case.database.rows("SELECT status FROM migrate.step ORDER BY step_id") == [("finished",)] * 3


@fault(
    "the control connection is reset while it makes the ledger",
    "the proxy resets it when the ledger is looked for, at CREATE SCHEMA migrate and at the answer to a COMMIT",
    0,
    "a new connection writes what was not committed, and nothing twice",
)
def test_control_cut_at_the_ledger(case):
    case.history()
    case.proxy.on(Action.CUT, b"2000ms", role="control")  # the lock timeout of every transaction of the ledger
    first = case.proxy.on(Action.CUT, b"CREATE SCHEMA migrate", role="control")
    second = case.proxy.on(
        Action.PASS,
        b"INTO migrate.step",
        role="control",
        then=lambda: case.proxy.on(Action.CUT, COMMIT, role="control", side="server"),
    )
    running = case.up("--lock-timeout", "3s", proxied=True)
    first.wait()
    second.wait()
    result = case.ends(running)
    assert result.named("ledger.warning") == []
    assert case.database.rows("SELECT verb, outcome FROM migrate.run") == [("up", "applied")]
    steps = case.database.rows("SELECT revision, status FROM migrate.step ORDER BY step_id")
    assert steps == [(revision, "finished") for revision in case.ids]


@fault(
    "the control connection is reset in the proof",
    "the proxy resets it when the catalog is read for the last time",
    0,
    "read again on a new one: everything is applied, and that is what is said",
)
def test_control_cut_in_the_proof(case):
    case.history()
    case.at("r0002")
    reads = b"REPEATABLE READ READ ONLY"
    rule = case.proxy.on(
        Action.PASS,
        b"CREATE TABLE after",
        role="worker",
        then=lambda: case.proxy.on(Action.CUT, reads, role="control", then=cut.set),
    )
    cut = threading.Event()
    running = case.up(proxied=True)
    rule.wait()
    assert cut.wait(30)
    assert case.ends(running).finished["applied"] == ["r0003"]


@fault(
    "control and worker are reset together just after COMMIT",
    "the proxy drops the answer to the last COMMIT and resets both",
    0,
    "the version row is read again on a new connection",
)
def test_control_and_worker_cut_after_commit(case):
    case.history()
    case.at("r0002")
    rule = case.proxy.on(Action.CUT, COMMIT, role="worker", side="server")
    running = case.up(proxied=True)
    rule.wait()
    case.proxy.each(lambda link: link.cut(), "control")
    assert case.ends(running).finished["applied"] == ["r0003"]


@fault(
    "everything is gone at the COMMIT and does not come back",
    "the proxy drops the answer to the last COMMIT, resets everything and refuses new connections",
    40,
    "nobody can be asked: the run says that it does not know; the next run finds it applied",
)
def test_commit_unknown(case):
    case.history()
    case.at("r0002")
    case.proxy.on(Action.CUT, COMMIT, role="worker", side="server", then=case.proxy.refuse)
    running = case.up("--connect-timeout", "3", proxied=True)
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["outcome"]) == ("commit-unknown", "unknown")


@fault(
    "everything is gone in the middle of a revision and does not come back",
    "the proxy resets everything during pg_sleep() and refuses new connections",
    23,
    "no COMMIT was sent, so that there is no doubt: the server rolls back",
)
def test_network_gone(case):
    case.history()
    running = case.in_trouble("--connect-timeout", "3", proxied=True)
    case.proxy.refuse()
    result = case.ends(running)
    assert result.finished["problem"] == "connection-lost"


@fault(
    "the server accepts connections and says nothing",
    "the proxy takes the connection and never answers; --connect-timeout 3s",
    20,
    "bounded, and a heartbeat meanwhile; nothing was changed",
)
def test_silent_server(case):
    case.history()
    case.proxy.accepts = False
    running = case.up("--connect-timeout", "3", proxied=True, constants={"migrate.output.heartbeat.SILENCE_S": 1.0})
    result = case.ends(running)
    assert result.finished["problem"] == "unreachable"
    assert result.named("heartbeat")


@fault(
    "the deadline comes while the server says nothing",
    "the proxy takes the connection and never answers; --deadline 2s, --connect-timeout 60s",
    25,
    "the platform's time is kept in this phase, too",
)
def test_deadline_while_connecting(case):
    case.history()
    case.proxy.accepts = False
    result = case.ends(case.up("--deadline", "2", proxied=True))
    assert result.finished["problem"] == "deadline"


@fault("nobody listens", "the URL names a closed port; --connect-timeout 2s", 20, "bounded; nothing was changed")
def test_nobody_listens(case):
    case.history()
    url = case.proxy.url(case.database.url)
    case.proxy.__exit__()
    running = case.up("--connect-timeout", "2", url=url)
    result = case.ends(running)
    assert result.finished["problem"] == "unreachable"
    assert result.named("connect.retry")


@fault(
    "the server comes only after some seconds",
    "the proxy resets every connection for 2 s",
    0,
    "tried again until it is there",
)
def test_late_server(case):
    case.history()
    case.proxy.refuse()
    running = case.up(proxied=True)
    running.wait_for("connect.retry")
    until(lambda: len(running.so_far.named("connect.retry")) > 1)
    case.proxy.refuse(refuses=False)
    assert case.ends(running).finished["outcome"] == "applied"


@fault(
    "a slow network",
    "the proxy delays every packet by 20 ms, each way",
    0,
    "slower, and nothing else",
)
def test_slow_network(case):
    case.history()
    case.proxy.delay_s = 0.02
    assert case.ends(case.up(proxied=True)).finished["outcome"] == "applied"


@fault(
    "the worker's backend is ended by an administrator",
    "pg_terminate_backend() during pg_sleep()",
    23,
    "57P01; the revision is rolled back",
)
def test_worker_terminated(case):
    case.history()
    running = case.in_trouble()
    case.database.as_superuser.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrate:worker:%'"
        " AND datname = current_database()"
    )
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "the worker's backend is ended while the revision computes in Python",
    "pg_terminate_backend() during time.sleep(600)",
    23,
    "ended within seconds, not when Python comes back: what is rolled back cannot be committed any more",
)
def test_worker_terminated_in_python(case):
    case.history()
    running = case.in_trouble(trouble="time.sleep(600)")
    case.database.as_superuser.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrate:worker:%'"
        " AND datname = current_database()"
    )
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "the worker's statement is cancelled by an administrator",
    "pg_cancel_backend() during pg_sleep()",
    30,
    "57014 without a wish of ours is the revision's failure, rolled back",
)
def test_worker_cancelled(case):
    case.history()
    running = case.in_trouble()
    case.database.as_superuser.rows(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrate:worker:%'"
        " AND datname = current_database()"
    )
    assert case.ends(running).finished["problem"] == "revision-failed"


@fault(
    "the server is restarted during a statement",
    "a fast shutdown and a start",
    23,
    "guard, control and worker end together; read again after the start: rolled back",
)
def test_restart(crashing, server_of_its_own):
    stop_and_start(crashing, server_of_its_own, "fast")


@fault(
    "the server crashes during a statement",
    "an immediate shutdown and a start, which recovers",
    23,
    "read again after the recovery: rolled back",
)
def test_crash(crashing, server_of_its_own):
    stop_and_start(crashing, server_of_its_own, "immediate")


def stop_and_start(case, server, mode):
    case.history()
    running = case.in_trouble()
    server.stop(mode)
    server.start()
    result = case.ends(running)
    assert result.finished["problem"] == "connection-lost"
    assert result.finished["applied"] == ["r0001"]


@fault(
    "the server is stopped while the run waits for the guard",
    "a fast shutdown and a start while another run holds the guard",
    23,
    "nothing was changed",
)
def test_restart_while_waiting(crashing, server_of_its_own):
    case = crashing
    case.history()
    first = case.up(trouble=SLEEP)
    first.wait_for("revision.started", revision="r0002")
    running = case.up()
    running.wait_for("guard.waiting")
    server_of_its_own.stop("fast")
    server_of_its_own.start()
    first.finish()
    assert case.ends(running).finished["problem"] == "connection-lost"


@fault(
    "the role has every idle and statement timeout",
    "ALTER ROLE … SET idle_session_timeout, idle_in_transaction_session_timeout, statement_timeout, lock_timeout,"
    " transaction_timeout = '1s'; a revision computes for 3 s and a statement takes 2 s",
    0,
    "the run's transactions set their own; the timeouts are the service's",
)
def test_role_timeouts(case):
    case.history()
    names = ["idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"]
    version = case.database.server.version
    names += ["idle_session_timeout"] * (version >= 14) + ["transaction_timeout"] * (version >= 17)
    for name in names:
        case.database.as_superuser.execute(f"ALTER ROLE \"{case.database.user}\" SET {name} = '1s'")
    running = case.up(trouble="time.sleep(3); op.execute('SELECT pg_sleep(2)')")
    assert case.ends(running).finished["applied"] == ["r0001", "r0002", "r0003"]


def adopting(case, side, action=Action.CUT, then=None):
    """A run that adopts, whose connection is reset at the COMMIT of the version rows, or at the answer to it."""
    case.history()
    case.at("r0001")
    case.database.execute("DROP TABLE alembic_version")
    pattern = b"COMMIT\0" if side == "server" else b"COMMIT"
    case.proxy.on(
        Action.PASS,
        b'INSERT INTO "public"."alembic_version"',
        role="control",
        then=lambda: case.proxy.on(action, pattern, role="control", side=side, then=then),
    )
    return case.up("--adopt", "exact", "--connect-timeout", "3", proxied=True)


def adoptions(case):
    return [
        row[0] for row in case.database.rows("SELECT status FROM migrate.step WHERE kind = 'adopt' ORDER BY step_id")
    ]


@fault(
    "the connection is reset just after the COMMIT of an adoption",
    "the proxy drops the server's answer to it and resets",
    0,
    "the server is asked what became of the transaction: it counts as adopted, and the revisions after it run",
)
def test_cut_after_the_commit_of_an_adoption(case):
    result = case.ends(adopting(case, "server"))
    assert result.finished["applied"] == ["r0002", "r0003"]
    assert adoptions(case) == ["finished"]


@fault(
    "the connection is reset before the COMMIT of an adoption arrives",
    "the proxy drops the COMMIT and resets",
    23,
    "the server is asked what became of the transaction: nothing is written, and the next run adopts",
)
def test_cut_before_the_commit_of_an_adoption(case):
    result = adopting(case, "client").finish()
    assert (result.finished["problem"], result.finished["to_revision"]) == ("connection-lost", [])
    assert (case.versions(), adoptions(case)) == ((), ["failed"])
    again = case.up("--adopt", "exact").finish()
    assert again.exit_code == 0, again.stdout.decode()
    case.ends(result)


@fault(
    "a long statement over a slow line",
    "32 MB in one statement, of which the proxy passes on 64 KiB in 20 ms",
    0,
    "the server has nothing to do for 5 s and more, but what is being sent still arrives: nobody calls it lost",
)
def test_slow_line(case):
    case.history()
    case.proxy.delay_s = 0.02
    running = case.up(trouble="op.execute('SELECT length(\\'' + 'x' * 32_000_000 + '\\')')", proxied=True)
    result = case.ends(running)
    started, finished = (
        next(datetime.fromisoformat(event["timestamp"]) for event in result.named(name) if event["revision"] == "r0002")
        for name in ("revision.started", "revision.finished")
    )
    assert (finished - started).total_seconds() > 2 * LOST_S, "not slow enough to show anything"


@fault(
    "the COMMIT of an adoption is not answered, and no server can be reached any more",
    "the proxy drops the server's answer to it and refuses connections; --connect-timeout 3",
    40,
    "nobody knows; the ledger's row was committed with the version rows, so that the next run does not call it abandoned",
)
def test_adoption_in_doubt(case):
    result = adopting(case, "server", then=case.proxy.refuse).finish()
    assert result.finished["problem"] == "commit-unknown"
    assert (case.versions(), adoptions(case)) == (("r0001",), ["finished"])
    again = case.ends(result)
    assert not again.named("run.abandoned")


@fault(
    "SIGTERM while the COMMIT of an adoption is not answered",
    "the proxy falls silent at the server's answer to it",
    40,
    "not an empty 143: the version rows may have been written",
)
def test_sigterm_in_the_commit_of_an_adoption(case):
    running = adopting(case, "server", action=Action.SILENCE)
    until(case.versions)
    running.signal(signal.SIGTERM)
    assert case.ends(running).finished["problem"] == "commit-unknown"
    assert adoptions(case) == ["finished"]
