"""`migrate down` under faults: a downgrade is as whole as an upgrade."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.conftest import SLEEP
from tests.support.proxy import Action

fault = pytest.mark.fault
COMMIT = b"COMMIT\0"  # in a command's completion, from the server
ENDS_IN_SECONDS = 2.0


def history(case, *, concurrently=False):
    """Write three revisions with their ways back; TROUBLE is what the second one's downgrade does at its end.

    A downgrade that ran twice would fail: there is nothing left to drop, and no row left to take back.
    """
    case.project.write_env()

    def taken_back(revision):
        return (
            f"op.execute(\"DO $$ BEGIN DELETE FROM journal WHERE revision = '{revision}';"
            " IF NOT FOUND THEN RAISE 'taken back twice'; END IF; END $$\")"
        )

    case.project.revision(
        "r0001",
        message="first",
        upgrade="op.execute('CREATE TABLE journal (revision text)')\n"
        "op.execute('CREATE TABLE items (id integer, name text)')\n"
        "op.execute(\"INSERT INTO items SELECT n, 'name ' || n FROM generate_series(1, 500) n\")\n"
        "op.execute(\"INSERT INTO journal VALUES ('r0001')\")",
        downgrade="op.execute('DROP TABLE items')\nop.execute('DROP TABLE journal')",
    )
    up, down = (
        "op.execute('ALTER TABLE items ADD COLUMN note text')",
        "op.execute('ALTER TABLE items DROP COLUMN note')",
    )
    if concurrently:
        block = "with op.get_context().autocommit_block():\n    "
        up = f"{block}op.execute('CREATE INDEX CONCURRENTLY items_name ON items (name)')"
        down = f"{block}op.execute('DROP INDEX CONCURRENTLY items_name')"
    case.project.revision(
        "r0002",
        down="r0001",
        message="second",
        upgrade=f"{up}\nop.execute(\"INSERT INTO journal VALUES ('r0002')\")",
        downgrade=f"import os, sys, time\n{down}\n{taken_back('r0002')}\nexec(os.environ.get('TROUBLE', ''))",
    )
    case.project.revision(
        "r0003",
        down="r0002",
        message="third",
        upgrade="op.execute('CREATE TABLE after (id integer)')\nop.execute(\"INSERT INTO journal VALUES ('r0003')\")",
        downgrade=f"op.execute('DROP TABLE after')\n{taken_back('r0003')}",
    )
    case.at("r0003")


def go_back(case, *flags, to="r0001", start=None, **how):
    """Each downgrade commits by itself where rows may go; the journal's do."""
    return (start or case.up)("--to", to, "--allow-data-loss", *flags, verb="down", **how)


def steps(case):
    return case.database.rows(
        "SELECT revision, status FROM migrate.step WHERE kind = 'downgrade' AND revision IS NOT NULL ORDER BY step_id"
    )


def clean(running):
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 0, result.stdout.decode()
    return result


@fault(
    "the worker's connection is reset in a downgrade",
    "`migrate down`; the proxy resets it when it has passed on pg_sleep()",
    23,
    "the downgrade is rolled back, the one before it stays done",
)
def test_worker_reset(case):
    history(case)
    rule = case.proxy.on(Action.CUT_AFTER, b"pg_sleep", role="worker")
    running = go_back(case, trouble=SLEEP, proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["reverted"]) == ("connection-lost", ["r0003"])
    assert result.finished["to_revision"] == ["r0002"]
    assert result.finished["fix"] == "migrate down --to r0001 --allow-data-loss   # once the server is back"
    assert result.named("revision.failed")[0]["fix"] == result.finished["fix"]


@fault(
    "the guard's connection is reset in a downgrade",
    "`migrate down --to base`; the proxy resets it while the worker sleeps in pg_sleep()",
    41,
    "cancelled and rolled back, no later revision is reverted",
)
def test_guard_cut(case):
    history(case)
    running = go_back(case, to="base", trouble=SLEEP, proxied=True, start=case.in_trouble)
    case.proxy.each(lambda link: link.cut(), "guard")
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["reverted"]) == ("guard-lost", ["r0003"])
    assert "then run migrate down --to base --allow-data-loss again" in result.finished["fix"]
    assert [event["revision"] for event in result.named("revision.started")] == ["r0003", "r0002"]
    assert result.finished["duration_ms"] < 30_000, "not cancelled: the fence alone refused the commit"


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(
            verb,
            marks=fault(
                f"kill -9 of the runner in a downgrade, and `migrate {verb}` at once",
                "SIGKILL to the parent alone; the downgrade has switched client_connection_check_interval off",
                -9,
                "the next run waits for the orphan worker and closes the step as abandoned; nothing is reverted twice",
            ),
        )
        for verb in ("down", "up")
    ],
)
def test_killed(case, verb):
    history(case)
    # the downgrade's own setting stands in for a server that notices late
    trouble = "op.execute(\"SET LOCAL client_connection_check_interval = 0\"); op.execute('SELECT pg_sleep(4)')"
    running = go_back(case, trouble=trouble, start=case.in_trouble)
    running.signal(signal.SIGKILL)
    killed = running.finish()
    second = clean(go_back(case) if verb == "down" else case.up())
    assert second.named("orphan.waiting")
    assert [event["revision"] for event in second.named("run.abandoned")] == ["r0002"]
    assert second.finished["reverted" if verb == "down" else "applied"] == (["r0002"] if verb == "down" else ["r0003"])
    case.ends(killed)
    assert steps(case) == [
        ("r0003", "finished"),
        ("r0002", "abandoned"),
        *([("r0002", "finished")] if verb == "down" else []),
    ]


@fault(
    "kill -9 of the runner while a downgrade drops an index concurrently",
    "SIGKILL while DROP INDEX CONCURRENTLY waits for another transaction",
    -9,
    "the next run refuses with 15 and names the INVALID index; `migrate repair --yes` rebuilds it and closes the step",
)
def test_killed_in_a_concurrent_drop(case):
    history(case, concurrently=True)
    case.hold("LOCK TABLE items IN ROW EXCLUSIVE MODE")
    running = go_back(case)
    running.wait_for("statement.blocked")
    running.signal(signal.SIGKILL)
    killed = running.finish()
    case.until_gone()  # only then may the other transaction end
    case.ends(killed, then=15, fresh=False)
    assert "index items_name" in case.again.finished["why"]
    repaired(case)


@fault(
    "SIGTERM in a downgrade",
    "in pg_sleep(); then SIGINT",
    143,
    "cancelled on the server, rolled back in 2 s",
)
def test_sigterm(case):
    history(case)
    running = go_back(case, trouble=SLEEP, start=case.in_trouble)
    result = stopped(running)
    case.ends(result)
    assert (result.finished["outcome"], result.finished["reverted"]) == ("interrupted", ["r0003"])
    assert result.finished["fix"].startswith("migrate down --to r0001 --allow-data-loss   # when it can run to its end")
    assert steps(case) == [("r0003", "finished"), ("r0002", "abandoned")]


@fault(
    "SIGTERM while a downgrade drops an index concurrently",
    "while DROP INDEX CONCURRENTLY waits for another transaction; then SIGINT",
    31,
    "cancelled in 2 s; the INVALID index is named, `migrate repair --yes` rebuilds it and closes the step",
)
def test_sigterm_in_a_concurrent_drop(case):
    history(case, concurrently=True)
    case.hold("LOCK TABLE items IN ROW EXCLUSIVE MODE")
    running = go_back(case)
    running.wait_for("statement.blocked")
    result = case.ends(stopped(running))
    assert result.finished["problem"] == "partly-committed"
    assert "INVALID index public.items_name on items" in result.finished["residue"]
    repaired(case)


def stopped(running):
    """Send two signals; return how it ended, within two seconds."""
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    time.sleep(0.2)
    running.signal(signal.SIGINT)
    result = running.finish()
    assert time.monotonic() - began < ENDS_IN_SECONDS
    return result


def repaired(case):
    """Assert that a repair closes the step, and that releases and ways back go on."""
    done = clean(case.up("--yes", verb="repair"))
    assert done.finished["outcome"] == "repaired"
    assert ("r0002", "abandoned") in steps(case)
    clean(case.up())
    assert case.version_and_schema_agree() == ("r0003",)
    clean(go_back(case))
    assert case.version_and_schema_agree() == ("r0001",)


@fault(
    "a lock that a downgrade never gets",
    "another transaction has read the table and stays open; --lock-timeout 300ms, --lock-tries 3",
    22,
    "tried again, then the blocker is named; the downgrade before it stays done",
)
def test_blocked_for_good(case):
    history(case)
    pid = case.hold().info.backend_pid
    result = case.ends(go_back(case, "--lock-timeout", "300ms", "--lock-tries", "3"))
    assert (result.finished["problem"], result.finished["reverted"]) == ("blocked", ["r0003"])
    assert [event["attempt"] for event in result.named("revision.retry")] == [1, 2]
    (said,) = result.finished["blockers"]
    assert said.startswith(f"backend {pid} (a report, idle in transaction")
    assert steps(case)[1:] == [("r0002", "failed")] * 3


@fault(
    "a lock that a downgrade gets after some tries",
    "the other transaction ends after the first; --lock-timeout 300ms",
    0,
    "rolled back and tried again, and reverted once",
)
def test_blocked_for_a_while(case):
    history(case)
    blocker = case.hold()
    running = go_back(case, "--lock-timeout", "300ms")
    running.wait_for("revision.retry")
    blocker.rollback()
    result = case.ends(running)
    assert (result.finished["outcome"], result.finished["reverted"]) == ("downgraded", ["r0003", "r0002"])


@fault(
    "a downgrade fails after an autocommit block",
    "it drops an index concurrently, then raises",
    31,
    "the index is named; `up` and `down` refuse with the repair until the index is there again",
)
def test_after_an_autocommit_block(case):
    history(case, concurrently=True)
    result = case.ends(go_back(case, trouble="raise RuntimeError('no luck')"))
    assert result.finished["problem"] == "partly-committed"
    assert [line for line in result.finished["residue"] if line.startswith("- index") and "items_name" in line]
    assert steps(case) == [("r0003", "finished"), ("r0002", "partial")]
    again = go_back(case).finish()
    again.check_clean()
    assert (again.exit_code, again.finished["problem"]) == (15, "residue")
    assert "migrate repair" in again.finished["fix"]
    case.database.execute("CREATE INDEX items_name ON items (name)")
    repaired(case)


@fault(
    "the worker's connection is reset just after a downgrade's COMMIT, others are left",
    "the proxy drops the server's answer to the first downgrade's COMMIT and resets",
    23,
    "the version row is read again: the revision counts as reverted, the next downgrade is not started",
)
def test_cut_after_commit(case):
    history(case)
    rule = case.proxy.on(Action.CUT, COMMIT, role="worker", side="server")
    running = go_back(case, proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["reverted"], result.finished["to_revision"]) == (["r0003"], ["r0002"])
    assert [event["revision"] for event in result.named("revision.started")] == ["r0003"]


@fault(
    "the worker's connection is reset just after the last downgrade's COMMIT",
    "the proxy drops the server's answer to it and resets",
    0,
    "the version row is read again and the run proves itself at the target",
)
def test_cut_after_the_last_commit(case):
    history(case)
    rule = case.proxy.on(Action.CUT, COMMIT, role="worker", side="server")
    running = go_back(case, to="r0002", proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["outcome"], result.finished["reverted"]) == ("downgraded", ["r0003"])


@fault(
    "the worker's connection is reset before a downgrade's COMMIT arrives",
    "the proxy drops the COMMIT and resets",
    23,
    "the version row is read again: it has not moved",
)
def test_cut_before_commit(case):
    history(case)
    rule = case.proxy.on(Action.CUT, b"COMMIT", role="worker")
    running = go_back(case, proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["to_revision"]) == ("connection-lost", ["r0003"])
