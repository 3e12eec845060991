"""Files that never end, and readers that never read: every run comes to its end, and soon."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from migrate import regular_files
from migrate.settings.database_url import environment_secrets
from tests.support.process import migrate_command, minimal_environment


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("device", ["/dev/zero", "fifo"])
def test_a_url_is_not_read_for_ever(project, run_migrate, fifo, device):
    path = str(fifo) if device == "fifo" else device
    project.linear(1)
    result = run_migrate("plan", env={"DATABASE_URL_FILE": path})
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-database-url")
    said = "nothing was written into it" if device == "fifo" else "it has more than 65536 bytes"
    assert said in result.finished["why"]


def test_a_url_may_come_through_a_fifo_and_once_only(project, database, run_migrate, fifo):
    project.linear(1)
    writer = threading.Thread(target=lambda: fifo.write_text(database.url), daemon=True)
    writer.start()
    result = run_migrate("plan", env={"DATABASE_URL_FILE": str(fifo)})
    assert (result.exit_code, result.finished["db_name"]) == (0, database.name)
    assert database.password not in result.stdout.decode()


def test_a_manifest_is_not_read_for_ever(project, database, run_migrate, fifo):
    project.linear(1)
    for path in ("/dev/zero", str(fifo)):
        result = run_migrate("plan", "--manifest", path, database=database)
        assert (result.exit_code, result.finished["problem"]) == (11, "bad-manifest"), path


def test_a_revision_is_no_fifo(project, database, run_migrate):
    project.linear(1)
    os.mkfifo(project.versions / "r0002.py")
    result = run_migrate("plan", database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")
    assert "it is not a file" in result.finished["why"]


def test_a_step_summary_that_nobody_reads_holds_nobody(project, database, run_migrate, fifo):
    project.linear(1)
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(fifo), "DATABASE_URL": database.url}
    assert run_migrate("up", env=environment).exit_code == 0
    summary = fifo.with_name("summary.md")
    assert run_migrate("up", env={**environment, "GITHUB_STEP_SUMMARY": str(summary)}).exit_code == 0
    assert "r0001" in summary.read_text()


def test_a_reader_that_does_not_read_holds_no_run_beyond_its_deadline(project, database):
    project.linear(1)
    project.revision("two", down="r0001", upgrade="for n in range(3000): print('x' * 200)")
    process = subprocess.Popen(
        migrate_command("up", "--deadline", "6s"),
        cwd=project.path,
        env={**minimal_environment(), "DATABASE_URL": database.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.wait(timeout=60) in {0, 25}
    finally:
        process.kill()
        process.communicate()


def test_what_is_read_of_a_file_that_is_there(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 200_000)
    assert regular_files.read(path) == b"x" * 200_000
    assert regular_files.read(tmp_path / ".." / tmp_path.name / "a", most=200_000) == b"x" * 200_000
    with pytest.raises(OSError, match="more than 10 bytes"):
        regular_files.read(path, most=10)
    with pytest.raises(IsADirectoryError):
        regular_files.read(tmp_path)


def test_a_service_file_is_no_fifo(project, database, run_migrate, fifo):
    project.linear(1)
    result = run_migrate("up", database=database, env={"PGSERVICEFILE": str(fifo), "PGSERVICE": "x"})
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-database-url")
    assert f"the service file {fifo} is not a regular file" in result.finished["why"]


def test_a_password_file_that_is_a_fifo_is_passed_over_as_libpq_does(tmp_path, fifo):
    began = time.monotonic()
    assert environment_secrets({"PGPASSFILE": str(fifo), "PGSERVICEFILE": str(fifo)}, tmp_path) == ()
    assert time.monotonic() - began < regular_files.WAIT_S


def test_a_backup_is_no_fifo(project, database, run_migrate, fifo):
    project.linear(1)
    result = run_migrate("restore", str(fifo), database=database, env={"MIGRATE_DEADLINE": "60"})
    assert (result.exit_code, result.finished["problem"]) == (30, "restore-failed")
    assert "is neither a file nor a folder" in result.finished["why"]


@pytest.mark.parametrize(("ends", "code"), [("sleep 60", 25), ("exit 3", 30)])
def test_a_backup_is_not_looked_into_for_ever(project, database, run_migrate, tmp_path, ends, code):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, does in {"pg_dump": "echo 'pg_dump (PostgreSQL) 99.1'", "psql": "exit 1", "pg_restore": ends}.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "a.dump").write_text("x")
    env = {"PG_BIN_DIR": str(tools), "MIGRATE_DEADLINE": "5"}
    result = run_migrate("restore", str(tmp_path / "a.dump"), database=database, env=env)
    result.check_clean()
    assert result.exit_code == code
