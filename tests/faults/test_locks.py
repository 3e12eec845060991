"""Locks that others hold: waiting is short, repeated and said."""

from __future__ import annotations

import re
import threading
import time
from datetime import datetime
from itertools import pairwise

import pytest

from tests.faults.conftest import GONE_SECONDS
from tests.support.waiting import until

fault = pytest.mark.fault


@fault(
    "a lock that is never given up",
    "another transaction has read the table and stays open; --lock-timeout 500ms, --lock-tries 3",
    22,
    "the blocker is named with pid, state, age, application_name and relation; no query text",
)
def test_blocked_for_good(case):
    case.history()
    case.at("r0001")
    pid = case.hold("SELECT 'a literal of the report' FROM items").info.backend_pid
    result = case.ends(case.up("--lock-timeout", "500ms", "--lock-tries", "3"))
    last = result.finished
    assert (last["problem"], last["sqlstate"], last["applied"]) == ("blocked", "55P03", [])
    (said,) = last["blockers"]
    assert re.fullmatch(rf"backend {pid} \(a report, idle in transaction, \d+ s\) on items", said)
    assert len(result.named("revision.retry")) == 2
    assert len(result.named("revision.started")) == 3
    assert b"literal of the report" not in result.stdout
    before_try = [e for e in result.named("statement.blocked") if "will have to wait" in e["message"]]
    assert before_try, "before another try, the old transaction on the learned table is said"


@fault(
    "a lock that is given up after some tries",
    "the other transaction ends after 3 s; --lock-timeout 500ms",
    0,
    "the revision is rolled back and tried again, and applied once",
)
def test_blocked_for_a_while(case):
    case.history()
    case.at("r0001")
    blocker = case.hold()
    running = case.up("--lock-timeout", "500ms")
    running.wait_for("revision.retry")
    blocker.rollback()
    result = case.ends(running)
    assert result.finished["applied"] == ["r0002", "r0003"]
    failed = case.database.rows("SELECT status FROM migrate.step WHERE revision = 'r0002' ORDER BY step_id")
    assert failed[0] == ("failed",)
    assert failed[-1] == ("finished",)


@fault(
    "the lock budget is spent",
    "another transaction stays open; --lock-timeout 500ms --lock-budget 2s",
    22,
    "fewer tries than allowed, because the time is up",
)
def test_lock_budget(case):
    case.history()
    case.at("r0001")
    case.hold()
    result = case.ends(case.up("--lock-timeout", "500ms", "--lock-budget", "2", "--lock-tries", "50"))
    assert result.finished["problem"] == "blocked"
    assert 1 <= len(result.named("revision.retry")) <= 3


@fault(
    "the query of a blocker is asked for",
    "the same with --log-queries",
    22,
    "the text of the blocker's query is shown, only then",
)
def test_log_queries(case):
    case.history()
    case.at("r0001")
    case.hold("SELECT 'a literal of the report' FROM items")
    result = case.ends(case.up("--lock-timeout", "300ms", "--lock-tries", "1", "--log-queries"))
    assert result.finished["blockers"][0].endswith(": SELECT 'a literal of the report' FROM items")


@fault(
    "a deadlock",
    "the other transaction holds the second table and wants the first, which the revision holds",
    0,
    "40P01 is rolled back and tried again",
)
def test_deadlock(case):
    case.history()
    case.at("r0001")
    case.database.execute("CREATE TABLE other (id integer)")
    admin = case.database.as_superuser.connect(application_name="a report")
    admin.cursor().execute("SET deadlock_timeout = '60s'")  # so that the run's own check finds it
    admin.cursor().execute("LOCK TABLE other IN ACCESS EXCLUSIVE MODE")
    trouble = "op.execute('SELECT pg_sleep(1.5)'); op.execute('LOCK TABLE other IN ACCESS EXCLUSIVE MODE')"
    running = case.in_trouble("--lock-timeout", "20s", trouble=trouble)

    def want_the_first():
        admin.cursor().execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        admin.close()

    thread = threading.Thread(target=want_the_first)
    thread.start()
    result = running.finish()
    thread.join()
    case.database.execute("DROP TABLE other")
    case.ends(result)
    assert result.finished["applied"] == ["r0002", "r0003"]
    assert [retry["sqlstate"] for retry in result.named("revision.retry")] == ["40P01"]


@fault(
    "readers queue behind a waiting ALTER TABLE",
    "a transaction holds the table, the revision waits for it with --lock-timeout 1s, readers come meanwhile",
    22,
    "no reader waits longer than the lock timeout and half a second",
)
def test_readers(case):
    case.history()
    case.at("r0001")
    case.hold()
    waits = []
    ended = threading.Event()

    def read():
        connection = case.database.connect(application_name="a reader")
        connection.autocommit = True
        while not ended.is_set():
            began = time.monotonic()
            connection.cursor().execute("SELECT count(*) FROM items")
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    result = case.up("--lock-timeout", "1", "--lock-tries", "3").finish()
    ended.set()
    reader.join()
    case.ends(result)
    assert max(waits) > 0.3, "the reader did queue behind us"
    assert max(waits) < 1.5, max(waits)


@fault(
    "the version table is locked",
    "another transaction holds alembic_version in ACCESS EXCLUSIVE mode; --lock-timeout 300ms --lock-tries 2",
    22,
    "before the guard: reading it is bounded like everything else, and the blocker is named",
)
def test_version_table_locked(case):
    case.history()
    case.at("r0001")
    case.hold("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
    result = case.ends(case.up("--lock-timeout", "300ms", "--lock-tries", "2"))
    assert result.finished["problem"] == "blocked"
    assert len(result.named("statement.blocked")) == 1
    (blocker,) = result.finished["blockers"]
    assert "a report" in blocker
    assert "alembic_version" in blocker


@fault(
    "the version table is locked for a while",
    "the same, and the other transaction ends after the first look",
    0,
    "the run looks again, as its revisions would try again",
)
def test_version_table_locked_for_a_while(case):
    case.history()
    case.at("r0001")
    other = case.hold("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
    running = case.up("--lock-timeout", "300ms")
    running.wait_for("statement.blocked")
    other.rollback()
    assert case.ends(running).finished["applied"] == ["r0002", "r0003"]


@fault(
    "the ledger is locked, and nothing is pending",
    "another transaction holds migrate.step in ACCESS EXCLUSIVE mode",
    0,
    "done without, and said once: a release does not depend on the ledger",
)
def test_ledger_locked(case):
    case.history()
    assert case.up().finish().exit_code == 0
    case.hold("LOCK TABLE migrate.step IN ACCESS EXCLUSIVE MODE")
    assert case.up("--lock-timeout", "300ms", verb="wait").finish().exit_code == 0
    result = case.ends(case.up("--lock-timeout", "300ms"))
    assert result.finished["outcome"] == "noop"
    assert len(result.named("ledger.warning")) == 1
    assert not result.named("statement.blocked")


@fault(
    "the ledger is locked, and a revision is pending",
    "the same, with --lock-tries 2",
    22,
    "what the ledger proves is needed: the run looks again, and names the blocker",
)
def test_ledger_locked_with_something_pending(case):
    case.history()
    assert case.up("--target", "r0002").finish().exit_code == 0
    case.hold("LOCK TABLE migrate.step IN ACCESS EXCLUSIVE MODE")
    result = case.ends(case.up("--lock-timeout", "300ms", "--lock-tries", "2"))
    assert result.finished["problem"] == "blocked"
    assert "migrate.step" in result.finished["blockers"][0]


@fault(
    "the version table is locked while a revision runs",
    "another transaction takes ACCESS EXCLUSIVE on alembic_version and keeps it; --lock-timeout 500ms --lock-tries 2",
    22,
    "rolled back and tried again; no question about its end waits without limit, none piles up on the server",
)
def test_version_table_locked_meanwhile(case):
    case.history()
    running = case.up("--lock-timeout", "500ms", "--lock-tries", "2", "--connect-timeout", "3", trouble="time.sleep(2)")
    running.wait_for("revision.started", revision="r0002")
    case.hold("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
    result = running.finish()
    waiting = (
        "SELECT query FROM pg_stat_activity WHERE application_name LIKE 'migrate:%' AND datname = current_database()"
    )
    until(
        lambda: not case.database.as_superuser.rows(waiting), seconds=GONE_SECONDS, otherwise="queued behind the lock"
    )
    assert case.ends(result).finished["problem"] == "blocked"


@fault(
    "a second run while the first is inside ALTER TABLE",
    "the first run's revision has altered a table and computes on; --lock-timeout 300ms --lock-tries 1",
    0,
    "the second cannot even read the catalog: it waits for the guard, not for a lock, and finds nothing left to do",
)
def test_second_run_inside_alter_table(case):
    case.history()
    first = case.in_trouble(trouble="time.sleep(4)")
    looked = case.up("--lock-timeout", "300ms", verb="status").finish()
    assert (looked.exit_code, looked.finished["problem"]) == (22, "blocked")
    assert looked.finished["fix"].startswith("migrate wait")
    second = case.up("--lock-timeout", "300ms", "--lock-tries", "1").finish()
    second.check_clean()
    assert (second.exit_code, second.finished["outcome"]) == (0, "noop")
    assert [said["holder"] for said in second.named("guard.waiting")] == [first.so_far.events[0]["run_id"]]
    assert not second.named("statement.blocked")
    assert case.ends(first).finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "a lock is not granted after an autocommit block",
    "the revision builds an index concurrently, then runs into a lock; --lock-timeout 300ms",
    31,
    "never tried again: a part is committed and named",
)
def test_no_retry_after_autocommit(case):
    case.history(concurrently=True)
    case.at("r0001")
    case.database.execute("CREATE TABLE other (id integer)")
    case.hold("LOCK TABLE other IN ACCESS EXCLUSIVE MODE")
    result = case.ends(
        case.up("--lock-timeout", "300ms", trouble="op.execute('ALTER TABLE other ADD COLUMN x integer')"),
    )
    assert not result.named("revision.retry")
    assert any("items_name" in line for line in result.finished["residue"])


@fault(
    "a long statement",
    "a revision sleeps 12 s in the server",
    0,
    "statement.progress with the elapsed time; never 10 s without a line",
)
def test_long_statement(case):
    case.history()
    result = case.ends(case.up(trouble="op.execute('SELECT pg_sleep(12)')"))
    assert result.named("statement.progress")[-1]["elapsed_ms"] > 8000
    assert quietest(result) < 10


@fault(
    "an index takes long to build",
    "CREATE INDEX on an expression that sleeps for each row, about 10 s",
    0,
    "statement.progress with the phase and the per cent that the server tells",
)
def test_progress_of_an_index(case):
    case.history()
    trouble = """
op.execute('CREATE TABLE slow AS SELECT n, repeat(chr(65), 1000) AS filler FROM generate_series(1, 500) n')
op.execute('CREATE FUNCTION slow(i integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql'
           ' AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN i; END $$')
op.execute('CREATE INDEX slowly ON slow (slow(n))')
op.execute('DROP TABLE slow'); op.execute('DROP FUNCTION slow')
"""
    result = case.ends(case.up(trouble=trouble))
    said = result.named("statement.progress")
    assert said[0]["statement"] == "CREATE INDEX"
    assert said[0]["phase"].startswith("building index")
    assert 0 < said[-1]["percent"] <= 100


@fault(
    "a revision that computes for long",
    "a revision sleeps 12 s in Python",
    0,
    "a heartbeat; never 10 s without a line",
)
def test_long_python(case):
    case.history()
    result = case.ends(case.up(trouble="time.sleep(12)"))
    assert result.named("heartbeat")
    assert quietest(result) < 10


def quietest(result):
    times = [datetime.fromisoformat(event["timestamp"]) for event in result.events]
    return max((b - a).total_seconds() for a, b in pairwise(times))


@fault(
    "CREATE INDEX CONCURRENTLY waits for an old transaction",
    "a transaction that has written to the table stays open for 7 s",
    0,
    "no timeout ends it (that would leave an INVALID index); the other session is named meanwhile",
)
def test_cic_waits(case):
    case.history(concurrently=True)
    case.at("r0001")
    blocker = case.hold("LOCK TABLE items IN ROW EXCLUSIVE MODE")
    running = case.up("--lock-timeout", "300ms", "--statement-timeout", "1")
    running.wait_for("statement.blocked")
    time.sleep(6)  # longer than either timeout
    blocker.rollback()
    result = case.ends(running)
    assert result.finished["applied"] == ["r0002", "r0003"]


@fault(
    "a statement takes longer than --statement-timeout",
    "pg_sleep(60) with --statement-timeout 1s",
    30,
    "57014 is the revision's failure, rolled back",
)
def test_statement_timeout(case):
    case.history()
    result = case.ends(case.up("--statement-timeout", "1", trouble="op.execute('SELECT pg_sleep(60)')"))
    assert (result.finished["problem"], result.finished["sqlstate"]) == ("revision-failed", "57014")


@fault(
    "another run holds the guard for too long",
    "a first run sleeps in a revision; --guard-timeout 1s",
    21,
    "the holder is named; nothing was changed by this run",
)
def test_guard_busy(case):
    case.history()
    first = case.up(trouble="op.execute('SELECT pg_sleep(9)')")
    first.wait_for("revision.started", revision="r0002")
    second = case.up("--guard-timeout", "1").finish()
    holder = first.finish()
    assert holder.exit_code == 0
    case.ends(second)
    assert (second.finished["problem"], second.finished["holder"]) == ("guard-busy", holder.finished["run_id"])
