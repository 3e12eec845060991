"""Bad input: one clear line with the fix and its exit code, never a traceback, and nothing lost."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tests.support.process import minimal_environment


@pytest.mark.parametrize("verb", ["up", "plan", "status", "history"])
def test_a_missing_url_names_every_variable(project, run_migrate, verb):
    project.linear(1)
    result = run_migrate(verb)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "no-database-url")
    for name in ("MIGRATE_DATABASE_URL", "DATABASE_UNPOOLED_URL", "DIRECT_DATABASE_URL", "DATABASE_URL"):
        assert name in result.finished["why"]
    assert not result.named("state.observed")


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:verysecretword@h/d", "postgresql://u:verysecretword@h:port/d"])
def test_a_malformed_url_is_named_by_its_variable(project, run_migrate, url):
    project.linear(1)
    result = run_migrate("up", env={"DATABASE_URL": url})
    result.check_clean(secret="verysecretword")
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-database-url")
    assert "DATABASE_URL" in result.finished["why"]


def test_no_alembic_ini(project, database, run_migrate):
    project.ini.unlink()
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "no-alembic-config")


def test_a_folder_for_alembic_ini(project, database, run_migrate):
    project.ini.unlink()
    project.ini.mkdir()
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 10


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--no-such-flag"),
        ("no-such-verb",),
        ("up", "--lock-timeout", "soon"),
        ("up", "--lock-tries", "-1"),
        ("up", "--ahead", "perhaps"),
        ("up", "surplus"),
    ],
)
def test_a_wrong_command_line(project, database, run_migrate, arguments):
    result = run_migrate(*arguments, database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (2, "usage")
    assert "--help" in result.finished["fix"]


def test_faults_of_settings_are_reported_together(project, database, run_migrate):
    project.linear(1)
    env = {"MIGRATE_LOCK_TIMEOUT": "soon", "MIGRATE_AHEAD": "perhaps"}
    result = run_migrate("up", database=database, env=env)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-setting")
    assert "MIGRATE_LOCK_TIMEOUT" in result.finished["why"]
    assert "MIGRATE_AHEAD" in result.finished["why"]


def test_a_wrong_password(project, database, run_migrate):
    project.linear(1)
    wrong = database.url.replace(f":{database.url.split(':')[2].split('@')[0]}@", ":wrongwrongwrong@")
    result = run_migrate("up", env={"DATABASE_URL": wrong})
    result.check_clean(secret="wrongwrongwrong")
    assert (result.exit_code, result.finished["problem"]) == (14, "authentication")


def test_a_database_that_is_not_there(project, database, run_migrate):
    project.linear(1)
    url = database.url.replace(f"/{database.name}", "/no such")
    result = run_migrate("up", env={"DATABASE_URL": url})
    result.check_clean(secret=database.password)
    assert (result.exit_code, result.finished["problem"]) == (14, "no-database")
    assert result.finished["fix"].endswith("createdb 'no such'")


@pytest.mark.parametrize(
    ("mode", "ends", "fix"),
    [
        ("requird", (10, "bad-database-url"), "sslmode is one of disable, allow, prefer, require"),
        ("require", (14, "no-tls"), "sslmode=prefer"),
    ],
)
def test_an_sslmode_that_cannot_be_is_said_at_once(project, database, run_migrate, mode, ends, fix):
    project.linear(1)
    result = run_migrate("up", env={"DATABASE_URL": f"{database.url}?sslmode={mode}"})
    result.check_clean(secret=database.password)
    assert (result.exit_code, result.finished["problem"]) == ends
    assert fix in result.finished["fix"]
    assert not result.named("connect.retry")


def test_nobody_listens(project, run_migrate):
    project.linear(1)
    env = {"DATABASE_URL": "postgresql://u:hushhushhush@127.0.0.1:1/d", "MIGRATE_CONNECT_TIMEOUT": "1s"}
    result = run_migrate("up", env=env)
    result.check_clean(secret="hushhushhush")
    assert (result.exit_code, result.finished["problem"]) == (20, "unreachable")
    assert result.finished["retryable"] is True
    assert result.named("connect.retry")


def test_debug_adds_a_traceback_and_nothing_else_does(project, database, run_migrate):
    project.revision("bad", upgrade="raise RuntimeError('no luck')")
    plain = run_migrate("up", database=database)
    plain.check_clean()
    assert b"Traceback" not in plain.stdout
    debug = run_migrate("up", database=database, env={"MIGRATE_DEBUG": "1"})
    debug.check_clean()
    assert b"Traceback" in debug.stdout


def test_a_dangling_revision_file(project, database, run_migrate):
    project.linear(1)
    (project.versions / "gone.py").symlink_to(project.path / "nowhere.py")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")
    assert "gone.py" in result.finished["why"]


def test_a_pyproject_whose_tool_is_no_table(project, database, run_migrate):
    project.linear(1)
    (project.path / "pyproject.toml").write_text("tool = 3\n")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-alembic-config")


def test_a_working_folder_that_is_gone(project, database, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"import os, runpy, sys; os.rmdir({str(gone)!r}); sys.argv = ['migrate', 'up']; runpy.run_module('migrate', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=gone,
        env={**minimal_environment(), "DATABASE_URL": database.url},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (10, b"")
    assert b"no-alembic-config" in done.stdout


def test_env_py_that_is_a_folder(project, database, run_migrate):
    project.linear(1)
    project.env.unlink()
    project.env.mkdir()
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-alembic-config")


def test_a_manifest_that_is_named_and_missing(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("up", "--manifest", "typo.json", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "no-manifest")
    assert "typo.json" in result.finished["why"]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE alembic_version (version integer)",
        "CREATE TABLE alembic_version (version_num json)",
        "CREATE VIEW alembic_version AS SELECT (1 / (random() * 0)::int)::text AS version_num",
    ],
)
def test_a_version_table_that_is_not_alembics(project, database, run_migrate, made):
    project.linear(1)
    database.execute(made)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (13, "other-version-table")


@pytest.mark.parametrize("key", ["{}_id", "id"])
def test_a_schema_of_the_application_that_is_called_migrate(project, database, run_migrate, key):
    ids = project.linear(1)
    database.execute("CREATE SCHEMA migrate")
    for table in ("run", "step"):
        database.execute(f"CREATE TABLE migrate.{table} ({key.format(table)} integer)")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    assert len(result.named("ledger.warning")) == 1


def test_a_schema_that_env_py_makes(project, database, run_migrate):
    ids = project.linear(1)
    project.write_env(version_table_schema="app")
    text = project.env.read_text()
    project.env.write_text(
        text.replace(
            "    context.configure(connection=connection,",
            "    connection.exec_driver_sql('CREATE SCHEMA IF NOT EXISTS app')\n"
            "    connection.commit() if hasattr(connection, 'commit') else None\n"
            "    context.configure(connection=connection,",
        ),
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("upgrade head", "migrate up"),
        ("upgrade", "migrate up"),
        ("upgrade ae10", "migrate up --target ae10"),
        ("downgrade -1", "migrate down --to -1"),
        ("downgrade", "migrate down --to REVISION"),
        ("current", "migrate status"),
        ("current -v", "migrate status"),
        ("stamp head", "migrate adopt   # records the revision that the schema proves; another one: --at head"),
        ("stamp 'a;b'", "migrate adopt   # records the revision that the schema proves; another one: --at 'a;b'"),
        ("check", "migrate test "),
        ("revision -m x", "alembic revision -m x   # then: migrate manifest"),
    ],
    ids=lambda value: value.replace(" ", "_"),
)
def test_a_command_of_alembic_is_answered_with_the_verb_that_does_it(run_migrate, project, typed, fix):
    result = run_migrate(*shlex.split(typed))
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (2, "usage")
    assert result.finished["fix"].startswith(fix)
