"""Backups before the first change: taken, proven, restored with the printed command; and no change without one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
from textwrap import dedent

import pytest

from migrate.postgres.client_tools import find_client_tools
from tests.support.process import assert_absent

pytestmark = pytest.mark.deep


@pytest.fixture
def folder(tmp_path):
    """A folder with a name that a shell would divide."""
    made = tmp_path / "back ups; echo"
    made.mkdir()
    return made


@pytest.fixture
def history(project, database, run_migrate):
    """One applied revision with rows in its table, and one that is pending."""
    project.linear(1)
    project.revision("two", down="r0001", message="two", upgrade="op.execute('DROP TABLE r0001')")
    assert run_migrate("up", "--target", "r0001", database=database).exit_code == 0
    database.execute("INSERT INTO r0001 SELECT generate_series(1, 1000)")
    database.execute("CREATE INDEX by_id ON r0001 (id DESC)")
    return project


@pytest.fixture
def tools(server):
    return find_client_tools(server.version, dict(os.environ))


def fake_tools(path, tools, **scripts):
    """A folder of client tools in which some are replaced; `REAL` in a script is the real one."""
    path.mkdir()
    for name in ("pg_dump", "pg_restore"):
        real = tools.pg_dump.parent / name
        script = scripts.get(name, 'exec REAL "$@"').replace("REAL", str(real))
        first = f'case "$1" in --version) exec {real} --version ;; esac\n' if "--version" not in script else ""
        (path / name).write_text(f"#!/bin/sh\n{first}{dedent(script)}\n")
        (path / name).chmod(0o755)
    return {"PG_BIN_DIR": str(path)}


def versions(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def fingerprint(database):
    """Everything that there is to compare: columns, indexes, rows of each table."""
    columns = database.rows(
        "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema IN ('public', 'migrate') ORDER BY 1, 2, 3"
    )
    indexes = database.rows("SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'migrate') ORDER BY 1")
    return columns, indexes, database.rows("SELECT id FROM r0001 ORDER BY 1"), versions(database)


def restore(command, database, path=None):
    """Run the printed command as a person would, in a shell that has DATABASE_URL."""
    environ = {"PATH": path or os.environ["PATH"], "DATABASE_URL": database.url}
    done = subprocess.run(["/bin/sh", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_backup_is_the_way_back(history, folder, server, database, run_migrate):
    before = fingerprint(database)
    result = run_migrate("up", "--backup", str(folder), database=database)
    result.check_clean()
    assert (result.exit_code, versions(database)) == (0, ["two"])
    assert [event["step"] for event in result.named("step.started")] == ["backup", "upgrade"]
    last = result.finished
    (file,) = folder.iterdir()
    assert last["backup_file"] == str(file)
    assert file.name.startswith(f"{database.name}-r0001-20")
    assert last["run_id"] in file.name
    assert last["backup_bytes"] == file.stat().st_size
    assert last["backup_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert last["backup_entries"] > 3
    assert "/" in last["backup_lsn"]
    assert last["backup_at"].endswith("Z")
    assert_absent(database.password, last["restore"].encode())
    (step,) = [
        step
        for run in json.loads(run_migrate("history", "--json", database=database).stdout)["runs"]
        for step in run["steps"]
        if step["kind"] == "backup"
    ]
    assert (step["backup_file"], step["restore"]) == (str(file), last["restore"])
    told = run_migrate("history", "--log-format", "text", database=database).stdout.decode()
    assert f"ms  {file}\n" in told
    assert f"restore  {last['restore']}\n" in told
    kept = database.rows("SELECT status, details ->> 'backup_sha256' FROM migrate.step WHERE kind = 'backup'")
    assert kept == [("finished", last["backup_sha256"])]
    # destroyed: with its schemas, and with what came after
    database.execute("DROP SCHEMA migrate CASCADE")
    database.execute("DROP TABLE alembic_version")
    restore(last["restore"], database)
    after = fingerprint(database)
    assert after == before
    assert run_migrate("up", database=database).finished["applied"] == ["two"]


def test_a_url_with_a_driver_is_restored_too(history, folder, database, run_migrate):
    url = database.url.replace("postgresql:", "postgresql+psycopg2:")
    result = run_migrate("up", env={"DATABASE_URL": url, "MIGRATE_BACKUP": str(folder)})
    assert result.exit_code == 0
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
    done = subprocess.run(["/bin/sh", "-c", result.finished["restore"]], env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert versions(database) == ["r0001"]


def test_nothing_to_do_takes_no_backup(history, folder, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    result = run_migrate("up", "--backup", str(folder), database=database)
    assert (result.exit_code, list(folder.iterdir())) == (0, [])


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("pg_dump", "REAL --version; exit 0 # --version"),  # writes nothing
        ("pg_dump", 'REAL "$@"; exit 3'),
        ("pg_dump", 'REAL "$@"\nfor a in "$@"; do case "$a" in --file=*) truncate -s -20 "${a#--file=}";; esac; done'),
        ("pg_dump", 'REAL "$@"\nfor a in "$@"; do case "$a" in --file=*) : > "${a#--file=}";; esac; done'),
        ("pg_dump", "kill -9 $$"),
        ("pg_restore", 'case "$1" in --list) exit 1;; esac; exec REAL "$@"'),
    ],
    ids=["empty", "exit", "truncated", "zero", "killed", "unlistable"],
)
def test_no_change_without_a_backup_that_reads_back(
    history, folder, database, run_migrate, tools, tmp_path, program, script
):
    environ = fake_tools(tmp_path / "bin", tools, **{program: script})
    result = run_migrate("up", "--backup", str(folder), database=database, env=environ)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (12, "backup-failed")
    assert versions(database) == ["r0001"]
    assert list(folder.iterdir()) == []
    assert database.scalar("SELECT status FROM migrate.step WHERE kind = 'backup'") == "failed"
    assert not result.named("revision.started")
    assert run_migrate("up", "--backup", str(folder), database=database).exit_code == 0


def test_an_old_pg_dump_is_found_before_the_guard(history, folder, database, run_migrate, tools, tmp_path):
    environ = fake_tools(tmp_path / "bin", tools, pg_dump="echo 'pg_dump (PostgreSQL) 9.6.1' # --version")
    result = run_migrate("up", "--backup", str(folder), database=database, env=environ)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "cannot-back-up")
    assert "is 9.6" in result.finished["why"]
    assert not result.named("guard.acquired")


def test_an_old_pg_dump_on_path_is_passed_over(history, folder, database, run_migrate, tools, tmp_path):
    fake_tools(tmp_path / "bin", tools, pg_dump="echo 'pg_dump (PostgreSQL) 9.6.1' # --version")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    fake_restore = tmp_path / "bin" / "pg_restore"
    fake_restore.write_text("#!/bin/sh\necho 'unsupported version (1.16) in file header' >&2; exit 1\n")
    result = run_migrate("up", "--backup", str(folder), "--log-format", "text", database=database, env={"PATH": path})
    assert (result.exit_code, len(list(folder.iterdir()))) == (0, 1)
    (command,) = [
        line.split(maxsplit=1)[1]
        for line in result.stdout.decode().splitlines()
        if " restore /" in line or " restore '/" in line
    ]
    restore(command, database, path)
    assert versions(database) == ["r0001"]


def test_a_folder_that_is_not_there_is_not_made(history, folder, database, run_migrate):
    missing = folder / "not mounted"
    result = run_migrate("up", "--backup", str(missing), database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "cannot-back-up")
    assert not result.named("guard.acquired")
    assert not missing.exists()


def test_required_without_a_place_is_a_matter_of_policy(history, database, run_migrate):
    result = run_migrate("up", "--backup-policy", "required", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (12, "not-permitted")
    assert "--backup DIR" in result.finished["fix"]
    environ = {"MIGRATE_BACKUP_POLICY": "required"}
    assert run_migrate("plan", database=database, env=environ).exit_code == 12
    # a service that waits for the job needs no place of its own
    for seen in (environ, {"MIGRATE_BACKUP": "/not-mounted-here"}):
        waiting = run_migrate("wait", "--timeout", "0", database=database, env=seen)
        assert waiting.finished["problem"] == "not-ready"


def test_off_is_off(history, folder, database, run_migrate):
    environ = {"MIGRATE_BACKUP": str(folder), "MIGRATE_BACKUP_POLICY": "off"}
    assert run_migrate("up", database=database, env=environ).exit_code == 0
    assert list(folder.iterdir()) == []


def test_destructive_means_that_something_is_dropped(project, folder, database, run_migrate, write_manifest):
    project.linear(2)
    project.revision(
        "drop", down="r0002", message="drop", upgrade="op.drop_table('r0002')", downgrade="op.execute('SELECT 1')"
    )
    write_manifest()
    environ = {"MIGRATE_BACKUP": str(folder), "MIGRATE_BACKUP_POLICY": "destructive"}
    assert run_migrate("up", "--target", "r0002", database=database, env=environ).exit_code == 0
    assert list(folder.iterdir()) == []
    result = run_migrate("up", database=database, env=environ)
    assert (result.exit_code, len(list(folder.iterdir()))) == (0, 1)
    assert "table r0002 will go" in result.named("decision.made")[0]["message"]


def test_destructive_without_a_manifest_takes_one(history, folder, database, run_migrate):
    environ = {"MIGRATE_BACKUP": str(folder), "MIGRATE_BACKUP_POLICY": "destructive"}
    assert run_migrate("up", database=database, env=environ).exit_code == 0
    assert len(list(folder.iterdir())) == 1


def test_down_takes_one_too(history, folder, database, run_migrate):
    result = run_migrate("down", "--to", "base", "--allow-data-loss", "--backup", str(folder), database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["reverted"], len(list(folder.iterdir()))) == (0, ["r0001"], 1)
    assert f"restore '{next(folder.iterdir())}'" in result.finished["restore"]


def test_a_command_decides_by_its_exit_code(history, database, run_migrate, tmp_path):
    script = tmp_path / "snap"
    script.write_text('#!/bin/sh\necho "snapshot of $DATABASE_URL as $1 $MIGRATE_BACKUP_NAME"\nexit ${CODE:-0}\n')
    script.chmod(0o755)
    flags = ("up", "--backup-command", f"{script} 'a  b; echo x'")
    failed = run_migrate(*flags, database=database, env={"CODE": "4"})
    failed.check_clean()
    assert (failed.exit_code, failed.finished["problem"]) == (12, "backup-failed")
    assert "exited with 4" in failed.finished["why"]
    assert versions(database) == ["r0001"]
    done = run_migrate(*flags, database=database)
    done.check_clean()
    assert (done.exit_code, versions(database)) == (0, ["two"])
    assert "a  b; echo x" in done.named("backup.output")[0]["message"]
    assert done.finished["backup_command"] == str(script)
    assert "restore" not in done.finished


def test_a_command_finds_the_dump(history, folder, database, run_migrate, tmp_path):
    script = tmp_path / "upload"
    script.write_text(f'#!/bin/sh\ncp "$MIGRATE_BACKUP_FILE" {tmp_path}/uploaded\n')
    script.chmod(0o755)
    result = run_migrate("up", "--backup", str(folder), "--backup-command", str(script), database=database)
    assert result.exit_code == 0
    uploaded = hashlib.sha256((tmp_path / "uploaded").read_bytes()).hexdigest()
    assert uploaded == result.finished["backup_sha256"]


def test_a_command_that_is_not_there(history, database, run_migrate):
    result = run_migrate("up", "--backup-command", "no-such-program --now", database=database)
    assert (result.exit_code, result.finished["problem"]) == (10, "cannot-back-up")
    assert not result.named("guard.acquired")


def test_a_backup_ends_at_its_time_limit(history, database, run_migrate):
    result = run_migrate("up", "--backup-command", "sleep 60", "--backup-timeout", "1s", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (12, "backup-failed")
    assert "longer than 1 s" in result.finished["why"]
    assert versions(database) == ["r0001"]


def test_a_signal_ends_the_backup(history, folder, database, start_migrate, tools, tmp_path):
    environ = fake_tools(tmp_path / "bin", tools, pg_dump='REAL "$@"; echo ready; trap "" TERM; sleep 60')
    running = start_migrate("up", "--backup", str(folder), database=database, env=environ)
    running.wait_for("backup.output", message="ready")
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert (result.exit_code, list(folder.iterdir()), versions(database)) == (143, [], ["r0001"])


def test_the_password_stands_on_no_command_line(history, folder, database, run_migrate, tools, tmp_path):
    seen = tmp_path / "seen"
    environ = fake_tools(tmp_path / "bin", tools, pg_dump=f'echo "$@" >> {seen}; exec REAL "$@"')
    assert run_migrate("up", "--backup", str(folder), database=database, env=environ).exit_code == 0
    assert database.user in seen.read_text()
    assert_absent(database.password, seen.read_bytes())
