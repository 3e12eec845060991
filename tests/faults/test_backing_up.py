"""`migrate up` with a backup under faults: no change without it, and nothing of a pg_dump that was not wanted any more."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.proxy import Action
from tests.support.waiting import until

fault = pytest.mark.fault
ENDS_IN_SECONDS = 2.0
GONE_SECONDS = 5.0
# A lease and a heartbeat that a test can wait for.
SHORT = {"migrate.postgres.guard.HEARTBEAT_S": 1.0, "migrate.postgres.guard.LEASE_S": 3}
DUMP = ("--lock-timeout", "60")  # pg_dump waits as long for a lock
STREAM = b"COPY public.items"  # what pg_dump says when it begins with that table's rows


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "backups"
    made.mkdir()
    return made


def behind(case):
    """Bring the database to the first revision, with a table that pg_dump alone reads."""
    case.history()
    case.at("r0001")
    case.database.execute("CREATE SCHEMA reports")
    case.database.execute("CREATE TABLE reports.big (id integer)")


def hold(case):
    """Let pg_dump wait: it locks every table before it reads the first."""
    return case.hold("LOCK TABLE reports.big IN ACCESS EXCLUSIVE MODE")


def back_up(case, folder, *flags, **how):
    return case.up("--backup", str(folder), *DUMP, *flags, **how)


def dumping(case):
    """Return once pg_dump waits for the table."""
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND application_name LIKE 'migrate:backup:%'"
    )
    until(lambda: case.database.as_superuser.rows(waiting), seconds=30, otherwise="pg_dump did not come to its lock")


def programs(folder):
    """Return the processes that write a file of the folder, pg_dump and its parent, the eldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"--file=" + str(folder).encode() in line:
                found.append(int(entry.name))
    return sorted(found)


def gone(folder):
    """Assert that no program writes into the folder any more, within the time that a backend has, too."""
    until(lambda: not programs(folder), seconds=GONE_SECONDS, otherwise=lambda: programs(folder))


def left(folder):
    return [file.suffix for file in folder.iterdir()]


def nothing_changed(case, result):
    """Check a run that ended before its first change."""
    assert result.finished["applied"] == []
    assert not result.named("revision.started")
    assert case.database.rows("SELECT status FROM migrate.step WHERE kind = 'backup'")[0] in {
        ("failed",),
        ("abandoned",),
    }


def with_backup(case, folder):
    """Run to the head with a backup, as after a fault; leaves one dump and nothing else in the folder."""
    result = case.up("--backup", str(folder)).finish()
    result.check_clean()
    assert result.exit_code == 0, result.stdout.decode()
    assert left(folder) == [".dump"]
    return result


@fault(
    "kill -9 of the runner during pg_dump",
    "SIGKILL to the parent alone, while pg_dump waits for a table that another transaction has locked",
    -9,
    "pg_dump ends with its parent; the next run removes the unproven file and takes its own backup",
)
def test_killed(case, folder):
    behind(case)
    blocker = hold(case)
    running = back_up(case, folder)
    dumping(case)
    running.signal(signal.SIGKILL)
    killed = running.finish()
    gone(folder)
    assert left(folder) == [".partial"]
    # pg_dump has cancelled its statement on its way out: its backend is gone while the table is still locked
    at_work = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrate:backup:%'"
    )
    until(lambda: not case.database.as_superuser.rows(at_work), seconds=GONE_SECONDS)
    blocker.rollback()
    with_backup(case, folder)
    case.ends(killed)


@fault(
    "kill -9 of the runner during the backup command",
    "SIGKILL to the parent alone, while MIGRATE_BACKUP_COMMAND runs a shell that waits for a program of its own",
    -9,
    "the shell and what it started end with it",
)
def test_killed_in_the_command(case, tmp_path):
    behind(case)
    script = tmp_path / "snapshot"
    script.write_text(f"#!/bin/sh\nsh -c 'trap \"\" TERM; echo ready; sleep 600; :' --file={tmp_path} | cat\n")
    script.chmod(0o755)
    running = case.up("--backup-command", str(script))
    running.wait_for("backup.output", message="ready")
    assert programs(tmp_path)
    running.signal(signal.SIGKILL)
    killed = running.finish()
    gone(tmp_path)
    case.ends(killed)


@fault(
    "kill -9 of the runner and of all its children during pg_dump",
    "SIGKILL to every process, as when a container is killed, and the next run with a backup at once",
    -9,
    "the next run ends what the server still does for the dump, removes the unproven file and takes its own",
)
def test_all_killed(case, folder):
    behind(case)
    blocker = hold(case)
    running = back_up(case, folder)
    dumping(case)
    running.signal(signal.SIGSTOP)  # so that it does not see the others end
    for pid in programs(folder):  # the parent of pg_dump first: it would end it in good order
        os.kill(pid, signal.SIGKILL)
    running.signal(signal.SIGKILL)
    killed = running.finish()
    assert left(folder) == [".partial"]
    second = back_up(case, folder)
    assert "migrate:backup:" in second.wait_for("orphan.waiting")["application_name"]
    dumping(case)  # its own
    blocker.rollback()
    result = second.finish()
    result.check_clean()
    assert (result.exit_code, left(folder)) == (0, [".dump"]), result.stdout.decode()
    case.ends(killed)


@fault(
    "a node vanishes without a FIN during pg_dump",
    "the proxy falls silent for all connections, then kill -9; the lease is 3 s in this test (60 s otherwise)",
    -9,
    "the next run ends the dump's backend, whose locks would be in its way until the server's keepalive",
)
def test_node_lost(case, folder):
    behind(case)
    blocker = hold(case)
    running = back_up(case, folder, proxied=True, constants=SHORT)
    dumping(case)
    case.proxy.each(lambda link: link.silence())
    running.signal(signal.SIGKILL)
    killed = running.finish()
    blocker.rollback()  # the dump's backend has every lock now, and nobody to tell
    second = case.up("--lock-tries", "1", constants=SHORT).finish()
    second.check_clean()
    assert (second.exit_code, second.finished["applied"]) == (0, ["r0002", "r0003"]), second.stdout.decode()
    assert "migrate:backup:" in second.named("orphan.waiting")[0]["application_name"]
    case.ends(killed)


@fault(
    "a runner's unproven dump beside a dead run's",
    "another run is at work on its dump in the same folder when this one begins with its own",
    0,
    "the dead run's file is removed, the other run's is not, although both look the same",
)
def test_only_the_dead(case, folder, make_database):
    behind(case)
    dead = folder / "app-r0001-20260101T000000Z-0123456789ab.dump.partial"
    dead.write_bytes(b"half of a dump")
    kept = folder / "a person's.dump.partial"
    kept.write_bytes(b"not ours")
    blocker = hold(case)
    alive = back_up(case, folder)
    dumping(case)
    (unproven,) = [file for file in folder.glob("*.partial") if file != kept]
    assert not dead.exists()
    other = make_database()
    result = case.up("--backup", str(folder), url=other.url).finish()
    assert result.exit_code == 0, result.stdout.decode()
    assert unproven.exists()
    blocker.rollback()
    case.ends(alive)
    assert sorted(left(folder)) == [".dump", ".dump", ".partial"]
    assert kept.exists()


@fault(
    "SIGTERM during pg_dump",
    "while it waits for a table that another transaction has locked; then SIGINT",
    143,
    "pg_dump is ended within 2 s, no file is left, nothing is changed",
)
def test_sigterm(case, folder):
    behind(case)
    hold(case)
    running = back_up(case, folder)
    dumping(case)
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    time.sleep(0.2)
    running.signal(signal.SIGINT)
    result = running.finish()
    assert time.monotonic() - began < ENDS_IN_SECONDS
    assert (programs(folder), left(folder)) == ([], [])
    case.ends(result)
    nothing_changed(case, result)


@fault(
    "the deadline comes during pg_dump",
    "--deadline 2s, while pg_dump waits for a table that another transaction has locked",
    25,
    "pg_dump is ended, no file is left, nothing is changed",
)
def test_deadline(case, folder):
    behind(case)
    hold(case)
    result = back_up(case, folder, "--deadline", "2").finish()
    assert (programs(folder), left(folder)) == ([], [])
    case.ends(result)
    assert result.finished["problem"] == "deadline"
    nothing_changed(case, result)


@fault(
    "pg_dump's connection is reset",
    "the proxy resets it when pg_dump begins with a table's rows",
    12,
    "no file is left, nothing is changed",
)
def test_connection_cut(case, folder):
    behind(case)
    rule = case.proxy.on(Action.CUT_AFTER, STREAM)
    running = back_up(case, folder, proxied=True)
    rule.wait()
    result = case.ends(running)
    assert (result.finished["problem"], left(folder)) == ("backup-failed", [])
    nothing_changed(case, result)


@fault(
    "pg_dump's connection falls silent",
    "the proxy passes nothing on from where pg_dump begins with a table's rows; the limit is 3 s in this test (60 s"
    " otherwise)",
    23,
    "the server has nothing to do for it: its backend is ended, no file is left, nothing is changed",
)
def test_connection_silent(case, folder):
    behind(case)
    case.proxy.on(Action.SILENCE, STREAM)
    limits = {"migrate.steps.backup.SILENT_S": 3.0}
    running = back_up(case, folder, proxied=True, constants={**limits, "migrate.steps.backup.ANSWER_EVERY_S": 1.0})
    result = running.finish()
    backends = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'migrate:backup:%' AND datname = current_database()"
    )
    assert case.database.as_superuser.rows(backends) == []
    case.ends(result)
    assert (result.finished["problem"], left(folder)) == ("connection-lost", [])
    nothing_changed(case, result)


@fault(
    "the guard's connection is reset during pg_dump",
    "the proxy resets it, while pg_dump waits for a table that another transaction has locked",
    41,
    "pg_dump is ended, no file is left, nothing is changed",
)
def test_guard_cut(case, folder):
    behind(case)
    hold(case)
    running = back_up(case, folder, proxied=True)
    dumping(case)
    case.proxy.each(lambda link: link.cut(), "guard")
    result = running.finish()
    assert (programs(folder), left(folder)) == ([], [])
    case.ends(result)
    assert result.finished["problem"] == "guard-lost"
    nothing_changed(case, result)


@fault(
    "the server crashes during pg_dump",
    "an immediate shutdown and a start, while pg_dump waits for a table that another transaction has locked",
    23,
    "all connections ended together before any change: worth another try, no file is left",
)
def test_crash(crashing, server_of_its_own, folder):
    case = crashing
    behind(case)
    hold(case)
    running = back_up(case, folder)
    dumping(case)
    server_of_its_own.stop("immediate")
    result = running.finish()
    server_of_its_own.start()
    assert (programs(folder), left(folder)) == ([], [])
    case.ends(result)
    assert result.finished["problem"] == "connection-lost"


@fault(
    "the folder for backups is full",
    "a file system of 4 KiB (`unshare --mount`, tmpfs)",
    12,
    "no file is left, nothing is changed",
)
def test_disk_full(case, folder, tmp_path):
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--map-root-user", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("unshare --mount is not allowed here")
    behind(case)
    ended = tmp_path / "ended"
    script = (
        f'mount -t tmpfs -o size=4k tmpfs "{folder}" || exit 99; "$@"; code=$?; ls "{folder}" > "{ended}"; exit $code'
    )
    prefix = (unshare, "--map-root-user", "--mount", "/bin/sh", "-c", script, "sh")
    result = case.ends(back_up(case, folder, prefix=prefix))
    assert result.finished["problem"] == "backup-failed"
    assert "No space left on device" in result.finished["why"]
    assert ended.read_text() == ""
    nothing_changed(case, result)
