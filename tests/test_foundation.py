"""What every other test leans on: isolation, the projects that plain Alembic accepts, and checks that can fail."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg2
import pytest
import sqlalchemy

from tests.support.process import Result, Running, alembic, assert_absent, minimal_environment
from tests.support.server import HOSTILE, Role, create_database, create_role, drop_database, drop_role

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase, RunMigrate, StartMigrate
    from tests.support.project import Project
    from tests.support.server import Database, Server


def test_our_environment_is_scrubbed() -> None:
    leaked = [name for name in os.environ if name.startswith(("DATABASE_URL", "MIGRATE_", "PGHOST", "RAILWAY_"))]
    assert leaked == []
    assert set(minimal_environment()) <= {"PATH", "LANG"} | {name for name in os.environ if "COVERAGE" in name}


def test_a_database_is_empty_and_its_owner_is_no_superuser(database: Database) -> None:
    assert database.scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert database.scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert database.as_superuser.scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
    assert database.scalar("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == (
        database.user
    )
    assert database.password.startswith(HOSTILE)
    database.execute("CREATE TABLE t (id int)")
    database.execute("INSERT INTO t VALUES (%s), (%s)", 1, 2)
    assert database.rows("SELECT id FROM t WHERE id % 2 = 0") == [(2,)]


def test_databases_are_apart(database: Database, make_database: MakeDatabase) -> None:
    database.execute("CREATE TABLE t (id int)")
    copy = make_database(template=database)
    other = make_database('odd "name%', encoding="SQL_ASCII")
    assert copy.scalar("SELECT to_regclass('t') IS NOT NULL")
    assert other.scalar("SELECT to_regclass('t') IS NULL")
    assert other.scalar("SHOW server_encoding") == "SQL_ASCII"
    assert other.scalar("SELECT current_database()") == 'odd "name%'
    with pytest.raises(psycopg2.OperationalError):
        other.as_role(Role("nobody", "nothing")).connect()


def test_what_is_dropped_is_gone_whoever_is_connected(server: Server, database: Database) -> None:
    role = create_role(server, name=None, password=None, options="CREATEDB")
    dropped = create_database(server, name=None, owner=role, encoding="UTF8", template="template0")
    ours = dropped.connect(application_name="ours")
    with closing(psycopg2.connect(dropped.url)) as stray:
        drop_database(dropped)
        drop_role(server, role)
        assert ours.closed
        with pytest.raises(psycopg2.OperationalError):
            stray.cursor().execute("SELECT 1")
    assert database.rows("SELECT 1 FROM pg_database WHERE datname = %s", dropped.name) == []
    assert database.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", role.name) == []
    assert server.version >= 14


STYLES: list[dict[str, Any]] = [
    {},
    {"url": "ini"},
    {"url": "settings"},
    {"engine": "async"},
    {"engine": "async", "driver": "psycopg"},
    {"engine": "begin"},
    {"driver": "psycopg"},
    {"fileconfig": True},
    {"version_table": "versions", "version_table_schema": "own"},
    {"transaction_per_migration": True},
]


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_plain_alembic_takes_the_project(style: dict[str, Any], project: Project, database: Database) -> None:
    driver = style.get("driver")
    if driver is not None and (find_spec(driver) is None or sqlalchemy.__version__.startswith("1.")):
        pytest.skip(f"{driver} needs SQLAlchemy 2")
    database.execute("CREATE SCHEMA own")
    project.write_env(**style)
    assert project.linear(3) == ["r0001", "r0002", "r0003"]
    project.revision("side", down="r0002", labels="aside", depends_on="r0001", upgrade='op.execute("SELECT 1")\npass')
    project.revision("end", down=("r0003", "side"))
    upgraded = alembic(project, database, "upgrade", "head")
    schema, table = style.get("version_table_schema", "public"), style.get("version_table", "alembic_version")
    assert database.rows(f"SELECT version_num FROM {schema}.{table}") == [("end",)]
    assert database.scalar("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'r000_'") == 3
    assert ("Running upgrade" in upgraded.stderr) is style.get("fileconfig", False)
    assert "Warning" not in upgraded.stderr
    alembic(project, database, "downgrade", "base")
    assert database.scalar("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'r000_'") == 0


GOOD = b'{"event": "run.started"}\n{"event": "run.finished", "exit_code": 0}\n'


def test_clean_output_passes() -> None:
    result = Result(0, GOOD, b"", password="pass/word%40")
    result.check_clean()
    assert result.finished == {"event": "run.finished", "exit_code": 0}
    assert result.named("run.started") == [{"event": "run.started"}]
    assert Result(0, b"text\n", b"").finished is None


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        (b"", b""),
        (GOOD, b"a warning\n"),
        (b"text\n" + GOOD, b""),
        (b"[1]\n" + GOOD, b""),
        (b"\n" + GOOD, b""),
        (GOOD + GOOD, b""),
        (GOOD + b'{"event": "late"}\n', b""),
        (GOOD.rstrip(b"\n"), b""),
        (GOOD.replace(b"0", b"1"), b""),
        (b'{"event": "run.started"}\n', b""),
    ],
)
def test_unclean_output_is_found(stdout: bytes, stderr: bytes) -> None:
    with pytest.raises(AssertionError):
        Result(0, stdout, stderr).check_clean()


@pytest.mark.parametrize(
    "encode", [str, quote, lambda s: quote(s, safe=""), json.dumps, repr, str.upper, lambda s: s[6:15]]
)
def test_a_secret_in_any_encoding_is_found(encode: Any) -> None:
    secret = HOSTILE + "0123456789abcdef"
    with pytest.raises(AssertionError, match="a part of the secret"):
        assert_absent(secret, b"connection to " + encode(secret).encode() + b" failed")
    assert_absent(secret, b"connection to server failed: 0123456, p%40/w")
    with pytest.raises(AssertionError):
        Result(
            0, GOOD.replace(b"run.started", encode(secret).encode("unicode_escape")), b"", password=secret
        ).check_clean()


SCRIPT = """
import json, signal, sys, time
def say(**fields): print(json.dumps(fields), flush=True)
signal.signal(signal.SIGTERM, lambda *_: (say(event="run.finished", exit_code=143), sys.exit(143)))
say(event="step", revision="a"); say(event="step", revision="b")
print("aside", file=sys.stderr)
time.sleep(60)
"""


def test_a_running_process_is_followed(tmp_path: Path) -> None:
    process = Running([sys.executable, "-c", SCRIPT], cwd=tmp_path, env=minimal_environment())
    assert process.wait_for("step")["revision"] == "a"
    assert process.wait_for("step", revision="b")["revision"] == "b"
    with pytest.raises(AssertionError, match="no step in time"):
        process.wait_for("step", timeout_seconds=0.1, revision="c")
    process.signal(signal.SIGTERM)
    with pytest.raises(AssertionError, match="ended without other"):
        process.wait_for("other")
    result = process.finish()
    assert (result.exit_code, result.stderr) == (143, b"aside\n")
    assert [event["event"] for event in result.events] == ["step", "step", "run.finished"]


def test_a_process_that_never_ends_fails_the_test(tmp_path: Path) -> None:
    process = Running([sys.executable, "-c", SCRIPT], cwd=tmp_path, env=minimal_environment())
    process.wait_for("step", revision="b")
    with pytest.raises(AssertionError, match="still running"):
        process.finish(timeout_seconds=0.1)
    process.kill()
    assert process.finish().exit_code == -9


def test_migrate_runs_in_the_project_with_nothing_but_what_it_is_given(
    project: Project, database: Database, run_migrate: RunMigrate, start_migrate: StartMigrate
) -> None:
    project.linear(1)
    # Stands before the installed one, because a process started with -m looks into its folder first.
    (project.path / "migrate.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps({'event': 'run.finished', 'exit_code': 0, 'args': sys.argv[1:], 'cwd': os.getcwd(),"
        " 'env': {n: v for n, v in os.environ.items() if n.isupper() and 'COVERAGE' not in n},"
        " 'stdin': sys.stdin.read()}))\n",
        encoding="utf-8",
    )
    result = run_migrate("up", "--x", database=database, env={"MIGRATE_X": "1"})
    assert result.finished is not None
    assert result.finished["args"] == ["up", "--x"]
    assert result.finished["cwd"] == str(project.path)
    assert result.finished["stdin"] == ""
    env = result.finished["env"]
    assert env.pop("DATABASE_URL") == database.url
    assert env.pop("MIGRATE_X") == "1"
    assert env.keys() <= {"PATH", "LANG", "LC_CTYPE"}
    with pytest.raises(AssertionError, match="a part of the secret"):
        result.check_clean()
    start_migrate("up").finish().check_clean()
