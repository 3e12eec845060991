"""PgBouncer in transaction mode between us and the server."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

fault = pytest.mark.fault


@fault(
    "a transaction pooler is on the URL",
    "PgBouncer with pool_mode=transaction",
    0,
    "detected; the guard, the timeouts and the ledger hold",
)
def test_pooled(case, pooler):
    case.history()
    result = case.ends(case.up(url=pooler))
    assert result.finished["applied"] == ["r0001", "r0002", "r0003"]
    assert not result.named("ledger.warning")
    steps = case.database.rows("SELECT revision, status FROM migrate.step ORDER BY step_id")
    assert steps == [(revision, "finished") for revision in case.ids]


@fault(
    "four runners through a transaction pooler",
    "PgBouncer with pool_mode=transaction",
    0,
    "one applies, the others find nothing left to do",
)
def test_pooled_runners(case, pooler):
    case.history()
    started = [case.up(url=pooler, trouble="time.sleep(1)") for _ in range(4)]
    results = [running.finish() for running in started]
    assert sorted(result.finished["outcome"] for result in results) == ["applied", "noop", "noop", "noop"]
    case.ends(next(result for result in results if result.finished["outcome"] == "applied"))


@fault(
    "a transaction pooler and an autocommit block in the plan",
    "PgBouncer with pool_mode=transaction; a revision builds an index concurrently",
    13,
    "refused before the guard, with the fix; `migrate plan` says the same, `migrate wait` waits for who may",
)
def test_pooled_autocommit(case, pooler):
    case.history(concurrently=True)
    planned = case.up(url=pooler, verb="plan").finish()
    waited = case.up("--timeout", "0", url=pooler, verb="wait").finish()
    assert (waited.exit_code, waited.finished["problem"]) == (25, "not-ready")
    result = case.ends(case.up(url=pooler))
    assert (result.finished["problem"], result.finished["applied"]) == ("pooler-session", [])
    assert "DATABASE_UNPOOLED_URL" in result.finished["fix"]
    assert not result.named("guard.acquired")
    same = ("exit_code", "problem", "why", "fix", "pending")
    assert [planned.finished[field] for field in same] == [result.finished[field] for field in same]


@fault(
    "a transaction pooler and an autocommit block in a downgrade",
    "PgBouncer with pool_mode=transaction; `migrate down` of a revision that leaves its transaction",
    13,
    "refused before the guard; nothing is reverted",
)
def test_pooled_down(case, pooler):
    case.history(concurrently=True)
    case.at("r0003")
    result = case.up("--to", "r0001", "--allow-data-loss", url=pooler, verb="down").finish()
    assert case.versions() == ("r0003",)
    assert case.ends(result).finished["problem"] == "pooler-session"
    assert not result.named("guard.acquired")


@fault(
    "a transaction pooler, and a COMMIT within a revision",
    "PgBouncer with pool_mode=transaction; statements of every kind follow the COMMIT, one of them swallowed as it fails",
    0,
    "each gets a transaction of its own; neither a setting nor the mark stays on a connection that others use",
)
def test_pooled_commit(case, pooler):
    case.history()
    trouble = """
op.execute("COMMIT")
op.execute("CREATE TABLE apart (id integer); INSERT INTO apart VALUES (1)")
try:
    op.execute("SELECT 1/0")
except Exception:
    pass
op.execute("DO $$ BEGIN INSERT INTO apart VALUES (2); COMMIT; END $$")
op.execute("CREATE " + "index concurrent".upper() + "LY apart_id ON apart (id)")
op.get_bind().exec_driver_sql("INSERT INTO apart VALUES (%s), (%s)", (3, 4))
op.execute("DROP TABLE apart")
"""
    result = case.up(url=pooler, trouble=trouble).finish()
    with closing(psycopg2.connect(pooler)) as other, other.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
        assert cursor.fetchall() == [("0",)]
    assert case.ends(result).finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "a transaction pooler, and a failure after a COMMIT within a revision",
    "PgBouncer with pool_mode=transaction; a statement after the COMMIT has succeeded, the next one fails",
    31,
    "what is committed is named",
)
def test_pooled_partial(case, pooler):
    case.history()
    trouble = 'op.execute("COMMIT"); op.execute("CREATE TABLE apart (id integer)"); op.execute("SELECT 1/0")'
    result = case.ends(case.up(url=pooler, trouble=trouble))
    assert "table apart" in result.finished["why"]


@fault(
    "a transaction pooler, and a direct URL beside it",
    "DATABASE_URL leads to PgBouncer, DATABASE_UNPOOLED_URL to the server; a revision builds an index concurrently",
    0,
    "the direct URL is taken, for env.py too",
)
def test_direct_url(case, pooler):
    case.history(concurrently=True)
    result = case.ends(case.up(url=pooler, env={"DATABASE_UNPOOLED_URL": case.database.url}))
    assert result.finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "SIGTERM through a transaction pooler",
    "PgBouncer with pool_mode=transaction; in pg_sleep()",
    143,
    "the cancel names the backend and its run, so that it cannot hit another client",
)
def test_pooled_signal(case, pooler):
    import signal

    case.history()
    running = case.in_trouble(url=pooler, trouble="op.execute('SELECT pg_sleep(60)')")
    running.signal(signal.SIGTERM)
    assert case.ends(running).finished["applied"] == ["r0001"]


@fault(
    "a statement pooler is on the URL",
    "PgBouncer with pool_mode=statement",
    13,
    "it forbids transactions: refused at once, with the fix",
)
@pytest.mark.parametrize("pooler", ["statement"], indirect=True)
def test_statement_pooler(case, pooler):
    case.history()
    result = case.ends(case.up(url=pooler))
    assert result.finished["problem"] == "pooler-session"
    assert "DATABASE_UNPOOLED_URL" in result.finished["fix"]
