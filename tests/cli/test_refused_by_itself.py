"""A statement that would have committed by itself, and that the server refuses, leaves nothing behind: no part is committed."""

from __future__ import annotations

import psycopg2
import pytest

AUTOCOMMIT = "with op.get_context().autocommit_block():\n"
TABLE = 'op.execute("CREATE TABLE t (id int, n int)")'


def block(*statements: str) -> str:
    return AUTOCOMMIT + "\n".join(f"    op.execute({statement!r})" for statement in statements)


@pytest.fixture
def at_one(project, database, run_migrate):
    project.revision("one", upgrade=TABLE)
    assert run_migrate("up", database=database).exit_code == 0
    return project


def steps(database):
    return [status for (status,) in database.rows("SELECT status FROM migrate.step WHERE revision = 'two'")]


REFUSED = {
    "a table that is not there": (block("CREATE INDEX CONCURRENTLY ix ON nowhere (id)"), 30, "42P01"),
    "a name that is taken": (block("CREATE TABLE t (id int)"), 30, "42P07"),
    "no SQL": (block("CREATE INDEX CONCURRENTLI ix"), 30, "42601"),
    "a privilege": (block("ALTER SYSTEM SET work_mem = '64kB'"), 14, "42501"),
    "an error of its own": (block("UPDATE t SET n = 1 / 0"), 30, "22012"),
    "after a setting and a question": (
        block("SET lock_timeout = '5s'", "SELECT count(*) FROM pg_catalog.pg_class", "CREATE TABLE t (id int)"),
        30,
        "42P07",
    ),
    "an error of Python's": (AUTOCOMMIT + "    raise RuntimeError('no luck')", 30, None),
    "after an embedded COMMIT": ("op.execute('COMMIT')\nop.execute('VACUUM nowhere')", 30, "42P01"),
    "a question before the block": (
        "op.get_bind().execute(sa.text('SELECT count(*) FROM t')).scalar()\n" + block("VACUUM nowhere"),
        30,
        "42P01",
    ),
    # and what is a part of a revision
    "after a statement that succeeded": (block("VACUUM t", "VACUUM nowhere"), 31, "42P01"),
    "after a row before the block": ("op.execute('INSERT INTO t VALUES (1)')\n" + block("VACUUM nowhere"), 31, "42P01"),
    "after a function that writes": (
        block("SELECT set_config('a.b', 'c', false), lo_create(4711)", "VACUUM nowhere"),
        31,
        "42P01",
    ),
    "in a program that commits in between": (
        block("DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; PERFORM 1 / 0; END $$"),
        31,
        "22012",
    ),
    "an INVALID index": (
        "op.execute('SET client_min_messages = error')\n" + block("CREATE UNIQUE INDEX CONCURRENTLY ix ON t (n)"),
        31,
        "23505",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_part_is_committed_only_where_something_succeeded(at_one, database, run_migrate, kind):
    upgrade, code, sqlstate = REFUSED[kind]
    if code == 31 and sqlstate == "23505":
        database.execute("INSERT INTO t VALUES (1, 1), (2, 1)")
    path = at_one.revision("two", down="one", upgrade=upgrade)
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished.get("sqlstate")) == (code, sqlstate), result.finished["why"]
    assert steps(database) == ["partial" if code == 31 else "failed"]
    path.unlink()
    at_one.revision("two", down="one", upgrade=block("VACUUM t"))
    again = run_migrate("up", database=database)
    assert again.exit_code == (15 if code == 31 else 0), again.finished.get("why")


def test_a_lock_that_is_not_granted_is_waited_for_again(at_one, database, run_migrate):
    at_one.revision("two", down="one", upgrade=block("ALTER TABLE t ADD COLUMN more int"))
    with psycopg2.connect(database.url) as holder:
        holder.cursor().execute("LOCK TABLE t IN ACCESS SHARE MODE")
        result = run_migrate("up", "--lock-timeout", "100ms", "--lock-tries", "3", database=database)
    assert (result.exit_code, result.finished["problem"]) == (22, "blocked")
    assert len([event for event in result.events if event["event"] == "revision.retry"]) == 2
    assert run_migrate("up", database=database).exit_code == 0


def test_with_an_async_driver_too(at_one, database, run_migrate):
    at_one.write_env(engine="async")
    at_one.revision("two", down="one", upgrade=block("CREATE INDEX CONCURRENTLY ix ON nowhere (id)"))
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["sqlstate"]) == (30, "42P01")


def test_the_first_revision_of_an_empty_database(project, database, run_migrate):
    path = project.revision("one", upgrade=block("VACUUM nowhere"))
    assert run_migrate("up", database=database).exit_code == 30
    path.write_text(path.read_text().replace("nowhere", "pg_class"))
    assert run_migrate("up", database=database).exit_code == 0
