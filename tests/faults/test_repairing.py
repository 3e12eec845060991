"""`migrate repair --yes` under faults: whatever ends a rebuild, no INVALID index is lost track of."""

from __future__ import annotations

import signal
import time
from contextlib import closing

import psycopg2
import pytest

fault = pytest.mark.fault
ENDS_IN_SECONDS = 2.0
LEFT = "INVALID index public.items_name_ccnew on items"  # what an ended REINDEX CONCURRENTLY leaves beside the index


def residue(case):
    """Leave the second revision's index INVALID, as a concurrent drop that was cancelled does; the third is pending."""
    case.history(concurrently=True)
    case.at("r0002")
    writer = writing(case)
    dropping = case.database.connect()
    dropping.autocommit = True
    dropping.cursor().execute("SET statement_timeout = '300ms'")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        dropping.cursor().execute("DROP INDEX CONCURRENTLY items_name")
    dropping.close()
    writer.close()
    assert invalid(case) == ["items_name"]


def writing(case):
    """Open a transaction for which a concurrent build and a concurrent drop wait."""
    return case.hold("LOCK TABLE items IN ROW EXCLUSIVE MODE")


def invalid(case):
    return [
        row[0]
        for row in case.database.rows("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1")
    ]


def repair(case, *flags, **how):
    return case.up("--yes", *flags, verb="repair", **how)


def steps(case):
    return [
        row[0] for row in case.database.rows("SELECT status FROM migrate.step WHERE kind = 'repair' ORDER BY step_id")
    ]


def converges(case):
    """Assert that a clean repair and a clean release put everything right."""
    done = repair(case).finish()
    done.check_clean()
    assert (done.exit_code, done.finished["outcome"]) == (0, "repaired"), done.stdout.decode()
    assert invalid(case) == []
    assert "started" not in steps(case)
    released = case.up().finish()
    released.check_clean()
    assert (released.exit_code, released.finished["applied"]) == (0, ["r0003"]), released.stdout.decode()
    assert case.version_and_schema_agree() == ("r0003",)


def leaves_a_part(case, running):
    """Check the end of a run whose rebuild was ended in its middle."""
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["residue"]) == ("partly-committed", [LEFT])
    assert invalid(case) == ["items_name", "items_name_ccnew"]
    assert steps(case) == ["failed"]
    converges(case)
    return result


@fault(
    "the worker's connection is reset in the rebuild of an index",
    "`migrate repair --yes`; the proxy resets it while REINDEX CONCURRENTLY waits for another transaction",
    31,
    "its backend is ended, what it left is named; the next repair drops that and rebuilds",
)
def test_worker_reset(case):
    residue(case)
    writing(case)
    running = repair(case, proxied=True)
    running.wait_for("statement.blocked")
    case.proxy.each(lambda link: link.cut(), "worker")
    result = leaves_a_part(case, running)
    assert "connection" in result.finished["why"]


@fault(
    "everything falls silent in the rebuild of an index",
    "the proxy passes nothing on any more for all three connections and answers no new one; a heartbeat that has no answer"
    " for 3 s is lost in this test (15 s otherwise); --connect-timeout 3s",
    41,
    "bounded; the server ends what is left when the lease is over",
)
def test_all_silent(case):
    residue(case)
    writer = writing(case)
    constants = {"migrate.postgres.guard.HEARTBEAT_S": 1.0, "migrate.postgres.guard.HEARTBEAT_ANSWER_S": 3.0}
    running = repair(case, "--connect-timeout", "3s", proxied=True, constants=constants)
    running.wait_for("statement.blocked")
    case.proxy.accepts = False
    case.proxy.each(lambda link: link.silence())
    result = running.finish()
    writer.rollback()
    assert case.ends(result, fresh=False).finished["problem"] == "guard-lost"


@fault(
    "the answer to the rebuild of an index is swallowed",
    "the proxy passes nothing on any more for it while REINDEX CONCURRENTLY waits; the other transaction ends then",
    0,
    "the watchdog sees a backend that is done, and the index is seen to be valid",
)
def test_answer_swallowed(case):
    residue(case)
    writer = writing(case)
    running = repair(case, proxied=True)
    running.wait_for("statement.blocked")
    case.proxy.each(lambda link: link.silence(), "worker")
    writer.rollback()
    result = case.ends(running)
    assert result.finished["outcome"] == "repaired"


@fault(
    "the guard's connection is reset in the rebuild of an index",
    "the proxy resets it while REINDEX CONCURRENTLY waits for another transaction",
    31,
    "cancelled on the server; what it left is named, and why it was ended",
)
def test_guard_cut(case):
    residue(case)
    writing(case)
    running = repair(case, proxied=True)
    running.wait_for("statement.blocked")
    case.proxy.each(lambda link: link.cut(), "guard")
    result = leaves_a_part(case, running)
    assert "the job lock was lost" in result.finished["why"]


@fault(
    "the guard's connection is reset while an index is dropped",
    "the proxy resets it while DROP INDEX CONCURRENTLY of what a rebuild left waits for another transaction",
    41,
    "cancelled on the server; nothing new is left, and the next repair begins with it again",
)
def test_guard_cut_in_a_drop(case):
    residue(case)
    writer = writing(case)
    first = repair(case)
    first.wait_for("statement.blocked")
    first.signal(signal.SIGTERM)
    assert first.finish().exit_code == 31
    writer.rollback()
    case.database.execute("REINDEX INDEX items_name")
    writing(case)
    running = repair(case, proxied=True)
    running.wait_for("statement.blocked", revision="items_name_ccnew")
    case.proxy.each(lambda link: link.cut(), "guard")
    result = case.ends(running, then=15, fresh=False)
    assert result.finished["problem"] == "guard-lost"
    assert invalid(case) == ["items_name_ccnew"]
    converges(case)


@fault(
    "SIGTERM in the rebuild of an index",
    "while REINDEX CONCURRENTLY waits for another transaction; then SIGINT",
    31,
    "cancelled in 2 s; what it left is named",
)
def test_sigterm(case):
    residue(case)
    writing(case)
    running = repair(case)
    running.wait_for("statement.blocked")
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    time.sleep(0.2)
    running.signal(signal.SIGINT)
    result = running.finish()
    assert time.monotonic() - began < ENDS_IN_SECONDS
    leaves_a_part(case, result)


@fault(
    "the deadline comes in the rebuild of an index",
    "MIGRATE_DEADLINE=3s, while REINDEX CONCURRENTLY waits for another transaction",
    31,
    "cancelled on the server; what it left is named, and why it was ended",
)
def test_deadline(case):
    residue(case)
    writing(case)
    result = leaves_a_part(case, repair(case, env={"MIGRATE_DEADLINE": "3"}))
    assert "the deadline of 3 s" in result.finished["why"]


@fault(
    "kill -9 of the runner in the rebuild of an index",
    "SIGKILL while REINDEX CONCURRENTLY waits for another transaction",
    -9,
    "its backend ends; the next repair drops what it left, rebuilds, and closes the step of the dead run",
)
def test_killed(case):
    residue(case)
    writing(case)
    running = repair(case)
    running.wait_for("statement.blocked")
    running.signal(signal.SIGKILL)
    killed = running.finish()
    case.until_gone()  # only then may the other transaction end
    case.ends(killed, then=15, fresh=False)
    assert invalid(case) == ["items_name", "items_name_ccnew"]
    converges(case)
    assert steps(case) == ["abandoned", "finished", "finished"]


@fault(
    "kill -9 of the runner in the rebuild of an index, and the next repair at once",
    "SIGKILL while REINDEX CONCURRENTLY waits for another transaction, and `migrate repair --yes` at once",
    -9,
    "the next repair waits for what the dead run left at work, then puts everything right",
)
def test_killed_and_repaired_at_once(case):
    residue(case)
    writer = writing(case)
    running = repair(case)
    running.wait_for("statement.blocked")
    running.signal(signal.SIGKILL)
    killed = running.finish()
    second = repair(case)
    time.sleep(1.5)  # for the server to end the dead run's backend, or for the second to meet it at work
    writer.rollback()
    result = second.finish()
    result.check_clean()
    assert (result.exit_code, invalid(case)) == (0, []), result.stdout.decode()
    case.ends(killed)


@fault(
    "two repairs at once",
    "the second `migrate repair --yes` starts while the first one's REINDEX CONCURRENTLY waits",
    0,
    "the second waits for the guard and finds nothing left to do; the index is built once",
)
def test_two_at_once(case):
    residue(case)
    writer = writing(case)
    first = repair(case)
    first.wait_for("statement.blocked")
    second = repair(case)
    second.wait_for("guard.waiting")
    writer.rollback()
    result = case.ends(first)
    other = second.finish()
    other.check_clean()
    assert (other.exit_code, other.finished["outcome"]) == (0, "noop"), other.stdout.decode()
    assert result.finished["outcome"] == "repaired"
    assert steps(case) == ["finished"]


@fault(
    "four repairs begin at once",
    "four `migrate repair --yes`, none of which has seen another",
    0,
    "one builds the index, the others find nothing left to do",
)
def test_four_begin_at_once(case):
    residue(case)
    started = [repair(case) for _ in range(4)]
    results = [running.finish() for running in started]
    for result in results:
        result.check_clean()
    assert [result.exit_code for result in results] == [0] * 4
    assert sorted(result.finished["outcome"] for result in results) == ["noop", "noop", "noop", "repaired"]
    assert steps(case) == ["finished"]
    case.ends(results[0])


def slow_to_count(case):
    """Leave an INVALID unique index, and a table in which each key takes its time to be computed."""
    case.history()
    case.at("r0002")
    function = "CREATE OR REPLACE FUNCTION slow(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS 'BEGIN {} END'"
    with closing(case.database.connect()) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(function.format("RETURN $1;"))
        cursor.execute("CREATE TABLE big AS SELECT 1 AS id FROM generate_series(1, 2)")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY big_id ON big (slow(id))")
        cursor.execute("DELETE FROM big")
        cursor.execute("INSERT INTO big SELECT generate_series(1, 200)")
        cursor.execute(function.format("PERFORM pg_sleep(0.1); RETURN $1;"))
    assert invalid(case) == ["big_id"]


@fault(
    "the deadline comes while the keys of an INVALID unique index are counted",
    "`migrate up --heal --deadline 2s`; to compute a key takes 0.1 s",
    25,
    "the counting is ended on the server, and no rebuild begins after the deadline",
)
def test_deadline_while_counting(case):
    slow_to_count(case)
    result = case.ends(case.up("--heal", "--deadline", "2s"), fresh=False, then=15)
    assert result.finished["problem"] == "deadline"
    assert not result.named("repair.action")
    assert invalid(case) == ["big_id"]


@fault(
    "SIGTERM while the keys of an INVALID unique index are counted",
    "`migrate up --heal`; to compute a key takes 0.1 s",
    143,
    "the counting is ended on the server, the ledger is closed",
)
def test_sigterm_while_counting(case):
    slow_to_count(case)
    running = case.up("--heal")
    running.wait_for("step.started")
    time.sleep(0.7)  # into the counting
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    result = running.finish()
    assert time.monotonic() - began < ENDS_IN_SECONDS
    case.ends(result, fresh=False, then=15)
