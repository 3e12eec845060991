"""`migrate wait`: a program starts when the database is ready, as the same process, and never before."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.support.process import alembic, migrate_command, minimal_environment

# Says what a container's program would find out about itself, and ends with a code of its own.
PROGRAM = """
import json, os, signal
print(json.dumps({
    "event": "program", "pid": os.getpid(),
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
}), flush=True)
raise SystemExit(7)
"""
COMMAND = ("--", sys.executable, "-c", PROGRAM)


def program(result):
    (said,) = result.named("program")
    return said


def test_at_head_the_command_takes_the_place_of_the_process(project, database, start_migrate):
    project.linear(2)
    alembic(project, database, "upgrade", "head")
    running = start_migrate("wait", *COMMAND, database=database)
    result = running.finish()
    assert result.exit_code == 7, "the program's own code"
    assert result.finished["exit_code"] == 0
    assert result.finished["outcome"] == "noop"
    assert [event["event"] for event in result.events][-2:] == ["run.finished", "program"]
    said = program(result)
    assert said["pid"] == running.pid
    assert said["blocked"] == []
    assert said["open"] == [0, 1, 2], "no connection and no pipe of ours is handed down"


def test_signals_that_python_ignores_are_given_back(project, database, run_migrate):
    project.linear(1)
    alembic(project, database, "upgrade", "head")
    script = "grep SigIgn /proc/self/status"
    result = run_migrate("wait", "--", "sh", "-c", script, database=database)
    assert result.exit_code == 0
    # what whoever started the tests ignores (a shell's background job: SIGINT) is ignored there, too, and nothing else
    plain = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert result.stdout.splitlines()[-1].split() == plain.split()
    nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    waited, plain = (
        subprocess.run(
            [*nohup, *command, "sh", "-c", script],
            cwd=project.path,
            env={**minimal_environment(), "DATABASE_URL": database.url},
            capture_output=True,
            check=True,
        ).stdout
        for command in (migrate_command("wait", "--"), ["env"])
    )
    assert waited.splitlines()[-1].split() == plain.split()


def test_without_a_command_it_only_says_so(project, database, run_migrate):
    project.linear(1)
    alembic(project, database, "upgrade", "head")
    result = run_migrate("wait", database=database)
    result.check_clean()
    assert result.exit_code == 0


def test_json_is_one_object_and_not_for_a_command_whose_output_would_follow(project, database, run_migrate):
    (only,) = project.linear(1)
    alembic(project, database, "upgrade", "head")
    found = json.loads(run_migrate("wait", "--json", database=database).stdout)
    assert (found["verb"], found["exit_code"], found["to_revision"]) == ("wait", 0, [only])
    refused = run_migrate("wait", "--json", *COMMAND, database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"], refused.named("program")) == (2, "usage", [])


def test_it_waits_until_the_other_job_has_ended(project, database, start_migrate, run_migrate):
    ids = project.linear(2)
    waiting = start_migrate("wait", "--timeout", "60s", *COMMAND, database=database)
    waiting.wait_for("state.observed", position="empty")
    time.sleep(1.5)  # several looks, each of which must not find a reason to start
    assert waiting.so_far.named("program") == []
    assert len(waiting.so_far.named("state.observed")) == 1, "the same state is no news"
    assert run_migrate("up", database=database).exit_code == 0
    result = waiting.finish()
    assert result.exit_code == 7
    assert result.finished["to_revision"] == [ids[-1]]


def test_untracked_is_waited_for_as_a_job_may_adopt_it(project, database, start_migrate):
    ids = project.linear(1)
    alembic(project, database, "upgrade", "head")
    database.execute("DELETE FROM alembic_version")
    waiting = start_migrate("wait", *COMMAND, database=database)
    waiting.wait_for("state.observed", position="untracked")
    database.execute("INSERT INTO alembic_version VALUES (%s)", ids[-1])
    assert waiting.finish().exit_code == 7


def test_the_time_is_up_with_revisions_pending(project, database, run_migrate):
    ids = project.linear(2)
    result = run_migrate("wait", "--timeout", "1s", *COMMAND, database=database)
    result.check_clean()
    assert result.exit_code == 25
    assert result.finished["problem"] == "not-ready"
    assert result.finished["retryable"] is True
    assert ids[0] in result.finished["why"]
    assert database.scalar("SELECT to_regclass('alembic_version')") is None, "it only reads"


def test_that_nothing_tells_what_breaks_stops_no_wait(project, database, start_migrate, run_migrate):
    """The job that runs what is pending may have another policy, or an image with a manifest by then."""
    ids = project.linear(2)
    alembic(project, database, "upgrade", ids[0])
    running = start_migrate("wait", *COMMAND, database=database, env={"MIGRATE_BREAKING": "refuse"})
    running.wait_for("state.observed")
    assert run_migrate("up", database=database).exit_code == 0
    assert running.finish().exit_code == 7


def test_zero_looks_once(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("wait", database=database, env={"MIGRATE_WAIT_TIMEOUT": "0"})
    assert result.exit_code == 25
    assert len(result.named("state.observed")) == 1


def test_the_last_refusal_is_the_reason_when_the_time_is_up(project, database, run_migrate):
    project.linear(1)
    database.execute("CREATE TABLE orders (id integer)")
    result = run_migrate("wait", "--timeout", "1s", *COMMAND, database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "untracked")


def test_a_server_that_is_not_there_yet_is_waited_for(project, database, start_migrate):
    # A name that exists and a server that does not answer there: the port of a socket that nobody listens on.
    project.linear(1)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"postgresql://u:for-this-test@127.0.0.1:{held.getsockname()[1]}/d"
        running = start_migrate("wait", "--timeout", "2s", *COMMAND, env={"DATABASE_URL": url})
        running.wait_for("connect.retry")
        result = running.finish()
    result.check_clean("for-this-test")
    assert result.exit_code == 20


def test_a_wrong_password_is_not_waited_for(project, database, run_migrate):
    project.linear(1)
    url = database.url.replace(database.url.split("@")[0], f"postgresql://{database.user}:wrong")
    result = run_migrate("wait", *COMMAND, env={"DATABASE_URL": url})
    assert result.exit_code == 14


def test_a_broken_history_is_not_waited_for(project, database, run_migrate):
    (first,) = project.linear(1)
    project.revision("one", down=first)
    project.revision("two", down=first)
    result = run_migrate("wait", *COMMAND, database=database)
    result.check_clean()
    assert result.exit_code == 11


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_wait(project, database, start_migrate, number, code):
    project.linear(1)
    running = start_migrate("wait", *COMMAND, database=database)
    running.wait_for("state.observed")
    running.signal(number)
    result = running.finish()
    result.check_clean()
    assert result.exit_code == code


def test_a_program_that_is_not_there_is_told_before_anything_else(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("wait", "--", "no-such-program", database=database)
    result.check_clean()
    assert result.exit_code == 2
    assert "no-such-program" in result.finished["why"]


def test_it_needs_neither_alembic_nor_sqlalchemy(project, database, run_migrate, tmp_path):
    project.linear(1)
    alembic(project, database, "upgrade", "head")
    for name in ("alembic", "sqlalchemy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('it must stay light')\n", encoding="utf-8")
    result = run_migrate("wait", "--", "true", database=database, env={"PYTHONPATH": str(tmp_path)})
    assert result.exit_code == 0, result.stdout


def test_a_wait_for_a_database_that_is_behind_does_not_say_that_anything_is_held(
    project, database, run_migrate, write_manifest
):
    project.revision("one", upgrade='op.execute("CREATE TABLE a (id int, n int)")')
    project.revision("two", down="one", upgrade='op.execute("ALTER TABLE a DROP COLUMN n")')
    project.revision("three", down="two", upgrade='op.execute("CREATE TABLE b (id int)")')
    write_manifest()
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    result = run_migrate("wait", "--timeout", "1s", database=database)
    assert (result.exit_code, result.finished["problem"]) == (25, "not-ready")
    assert "the database is behind by 2 revisions, the first two" in result.finished["why"]
    assert "`migrate up` has not applied them yet" in result.finished["why"]
    assert b"held" not in result.stdout


def test_a_strict_wait_does_not_let_a_program_start_on_another_schema(project, database, run_migrate, write_manifest):
    project.revision("one", upgrade='op.execute("CREATE TABLE a (id int)")')
    project.revision("two", down="one", upgrade='op.execute("CREATE TABLE b (id int)")')
    write_manifest()
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    database.execute("UPDATE alembic_version SET version_num = 'two'")
    assert run_migrate("wait", "--timeout", "1s", database=database).exit_code == 0
    strict = run_migrate("wait", "--timeout", "1s", "--strict", database=database)
    assert (strict.exit_code, strict.finished["problem"]) == (17, "drift")
