"""Bad input: one clear line with the fix and its exit code, never a traceback, and nothing lost."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("verb", ["up", "plan", "status", "history"])
def test_a_missing_url_names_every_variable(project, run_migrate, verb):
    project.linear(1)
    result = run_migrate(verb)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "no-database-url")
    for name in ("MIGRATE_DATABASE_URL", "DATABASE_UNPOOLED_URL", "DIRECT_DATABASE_URL", "DATABASE_URL"):
        assert name in result.finished["why"]
    assert not result.named("target.connected")


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
