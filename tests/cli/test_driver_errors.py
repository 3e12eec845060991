"""A release that fails means the same with every driver, however a revision wraps the error, and shows no user's data."""

from __future__ import annotations

import json

import psycopg2
import pytest

MAIL = "jane.doe@customer.invalid"
DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000")
# How programs pass an error on.
WRAPPERS = {
    "bare": "raise",
    "from": "raise RuntimeError(f'the step failed: {error!r}') from error",
    "in the handler": "raise RuntimeError(str(error))",
    "twice": """try:
        raise ValueError(f"inner {error}") from error
    except ValueError:
        raise KeyError("outer") from None""",
}


def guarded(body: str, wrapper: str) -> str:
    return f"""\
import logging, traceback
try:
    {body}
except Exception as error:
    logging.getLogger("app").exception("cannot go on: %r", error)
    print(error)
    traceback.print_exc()
    {WRAPPERS[wrapper]}
"""


@pytest.fixture(params=DRIVERS)
def driver(request, project):
    project.write_env(engine="async" if request.param == "asyncpg" else "sync", driver=request.param)
    project.revision("one", upgrade='op.execute("CREATE TABLE people (id int, mail text)")')
    return request.param


def up(run_migrate, database, *arguments):
    result = run_migrate("up", *arguments, database=database)
    assert result.stderr == b""
    assert MAIL.encode() not in result.stdout, result.stdout.decode()
    with psycopg2.connect(database.url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(r)::text FROM migrate.run r UNION ALL SELECT to_jsonb(s)::text FROM migrate.step s"
        )
        assert MAIL not in json.dumps(cursor.fetchall())
    return result


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_no_row_of_a_users_is_in_a_line_or_in_the_ledger(project, database, run_migrate, driver, wrapper):
    # not as a whole in the text, which tracebacks show and the ledger keeps
    mail = " || ".join(f"'{part}'" for part in MAIL.partition("@"))
    insert = f'op.execute("INSERT INTO people SELECT n, {mail} FROM generate_series(1, 2) n")'
    index = 'op.execute("CREATE UNIQUE INDEX uq ON people (mail)")'
    project.revision("two", down="one", upgrade=guarded(f"{insert}; {index}", wrapper))
    result = up(run_migrate, database)
    assert (result.exit_code, result.finished["sqlstate"]) == (30, "23505")
    assert "could not create unique index" in result.finished["why"]


@pytest.mark.parametrize("wrapper", ["bare", "twice"])
def test_a_missing_privilege_is_one(project, database, run_migrate, driver, wrapper, server):
    project.revision("two", down="one", upgrade=guarded('op.execute("SELECT * FROM pg_authid")', wrapper))
    result = up(run_migrate, database)
    assert (result.exit_code, result.finished["problem"], result.finished["sqlstate"]) == (
        14,
        "missing-privilege",
        "42501",
    )


@pytest.mark.parametrize("wrapper", ["bare", "in the handler"])
def test_a_lock_that_is_not_granted_is_waited_for_again(project, database, run_migrate, driver, wrapper):
    assert up(run_migrate, database).exit_code == 0
    project.revision("two", down="one", upgrade=guarded('op.execute("ALTER TABLE people ADD COLUMN x int")', wrapper))
    with psycopg2.connect(database.url) as holder:
        holder.cursor().execute("LOCK TABLE people IN ACCESS SHARE MODE")
        result = up(run_migrate, database, "--lock-timeout", "100ms", "--lock-tries", "2")
    assert (result.exit_code, result.finished["problem"], result.finished["sqlstate"]) == (22, "blocked", "55P03")
    assert up(run_migrate, database).exit_code == 0


def test_a_server_without_memory_is_one(project, database, run_migrate, driver):
    raised = "op.execute(\"DO $$ BEGIN RAISE 'out of memory' USING ERRCODE = '53200'; END $$\")"
    project.revision("two", down="one", upgrade=guarded(raised, "from"))
    result = up(run_migrate, database)
    assert (result.exit_code, result.finished["problem"], result.finished["sqlstate"]) == (24, "no-resources", "53200")


def test_pg8000_connects_through_its_socket(project, database, run_migrate):
    project.write_env(driver="pg8000")
    project.linear(2)
    ((folder, port),) = database.as_superuser.rows(
        "SELECT current_setting('unix_socket_directories'), current_setting('port')"
    )
    user = database.url.partition("://")[2].rpartition("@")[0]
    url = f"postgresql+pg8000://{user}@/{database.name}?unix_sock={folder}/.s.PGSQL.{port}"
    for expected in ("applied", "noop"):
        result = run_migrate("up", env={"DATABASE_URL": url})
        assert (result.exit_code, result.finished["outcome"]) == (0, expected)
        assert result.finished["server_address"] is None
