"""Processes that are frozen for longer than the lease: SIGSTOP, a paused container, a suspended machine."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from migrate.postgres.guard import GuardKey
from tests.faults.test_backing_up import back_up, behind, dumping, hold, programs
from tests.faults.test_going_back import go_back
from tests.faults.test_going_back import history as ways_back
from tests.faults.test_repairing import repair, residue, writing
from tests.support.process import children_of
from tests.support.server import create_role, drop_role
from tests.support.waiting import until

fault = pytest.mark.fault
# A lease and a heartbeat that a test can wait for.
LEASE_S = 4
SHORT = {"migrate.postgres.guard.HEARTBEAT_S": 1.0, "migrate.postgres.guard.LEASE_S": LEASE_S}
# What a revision does to freeze its run, the parent first.
STOPS = {
    "parent": "os.kill(os.getppid(), 19)",
    "child": "os.kill(os.getpid(), 19)",
    "both": "os.kill(os.getppid(), 19); os.kill(os.getpid(), 19)",
}
WHO = ("parent", "child", "both")
LASTING = f"SIGSTOP, and SIGCONT when another run has come; the lease is {LEASE_S} s in this test (60 s otherwise)"
# One statement, of which it is seen afterwards who did it and when, though no schema shows it.
NOTE = "SELECT lo_from_bytea(0, convert_to(concat_ws(' ', pg_backend_pid(), clock_timestamp()), 'UTF8'))"
NOTES = "SELECT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata ORDER BY oid"


def rows(
    name, proof, *, parent, both, child=0, alone="the run goes on where it was: it has held the guard all the time"
):
    """One fault for each of the processes that are frozen: exit codes, and the proof where the parent is among them."""
    codes = {"parent": parent, "child": child, "both": both}
    said = {"parent": "the parent is frozen", "child": "the child is frozen", "both": "parent and child are frozen"}
    marked = [
        pytest.param(
            who, marks=fault(f"{said[who]} {name}", LASTING, codes[who], alone if who == "child" else proof), id=who
        )
        for who in WHO
    ]
    return pytest.mark.parametrize("who", marked)


def of(running):
    """The processes of a run, its own first."""
    found = [running.pid]
    for pid in found:
        with suppress(OSError):
            found += children_of(pid)
    return found


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def stopped(running, who):
    """Return once the run is frozen."""
    places = {"parent": slice(0, 1), "child": slice(1, None), "both": slice(None)}[who]
    until(
        lambda: (pids := of(running)[places]) and all(map(is_stopped, pids)),
        seconds=60,
        otherwise=lambda: running.so_far.stdout,
    )


def freeze(running, who):
    pids = of(running)
    for pid in {"parent": pids[:1], "child": pids[1:], "both": pids}[who]:
        os.kill(pid, signal.SIGSTOP)
    stopped(running, who)


def thaw(running):
    for pid in reversed(of(running)):
        os.kill(pid, signal.SIGCONT)


def meanwhile(who, running, second, code):
    """Let another run meet the frozen one, and thaw that; what the other did."""
    if who == "child":  # its parent holds the guard
        second.wait_for("guard.waiting")
        time.sleep(1.5 * LEASE_S)
        thaw(running)
    result = second.finish()
    result.check_clean()
    assert result.exit_code == (0 if who == "child" else code), result.stdout.decode()
    thaw(running)
    return result


@rows(
    "in a transaction",
    "the other run ends the worker's connection, and goes to the head; of the frozen one nothing is committed",
    parent=41,
    both=41,
)
def test_in_a_transaction(case, who):
    case.history()
    # the child goes on while its parent is frozen, statement after statement
    running = case.up(
        trouble=f"{STOPS[who]}\nfor n in range(200): op.execute('SELECT 1'); time.sleep(0.05)", constants=SHORT
    )
    stopped(running, who)
    second = meanwhile(who, running, case.up(constants=SHORT), 0)
    result = case.ends(running)
    if who == "child":
        assert (result.finished["outcome"], second.finished["outcome"]) == ("applied", "noop")
    else:
        assert second.finished["applied"] == ["r0002", "r0003"]
        assert (result.finished["problem"], result.finished["applied"]) == ("guard-lost", ["r0001"])


@fault(
    "the parent is frozen in a transaction of many statements, and no other run comes",
    f"SIGSTOP, and SIGCONT when the child has ended its work; the lease is {LEASE_S} s in this test (60 s otherwise)",
    41,
    "the child looks for the guard now and then, and goes on for no longer than the lease",
)
def test_the_child_does_not_go_on_alone(case):
    case.history()
    loop = "for n in range(600): op.execute('SELECT 1'); time.sleep(0.1)"
    running = case.up(trouble=f"{STOPS['parent']}\n{loop}", constants=SHORT)
    stopped(running, "parent")
    at_work = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrate:worker:%'"
    )
    until(lambda: not case.database.as_superuser.rows(at_work), seconds=40, otherwise="the loop alone takes 60 s")
    thaw(running)
    assert case.ends(running).finished["problem"] == "guard-lost"


def many_statements(case, stop, *, url=None, **env):
    """A first revision of many short statements that commit by themselves, and of which no schema shows anything.

    With the URL of a pooler, where no autocommit block may be, a COMMIT of its own stands before them.
    """
    case.history(**env)
    begins = "with op.get_context().autocommit_block():" if url is None else "op.execute('COMMIT')\nif True:"
    case.project.revision(
        "r0001",
        message="first",
        upgrade=f"""\
import os, time
{begins}
    for n in range(60):
        if n == 5:
            exec(os.environ.get('TROUBLE', ''))
        op.execute("{NOTE}")
        time.sleep(0.2)
op.execute("CREATE TABLE items (id integer, name text)")
""",
    )
    case.project.revision(
        "r0002", down="r0001", message="second", upgrade="op.execute('ALTER TABLE items ADD note text')"
    )
    case.project.revision(
        "r0003", down="r0002", message="third", upgrade="op.execute('CREATE TABLE after (id integer)')"
    )
    return case.up(trouble=stop, url=url, constants=SHORT)


@rows(
    "between two statements that commit by themselves",
    "in the first revision of an empty database, of which no schema shows anything: the other run ends the worker's"
    " connection and refuses with 15; the frozen one executes nothing more and says which part is committed",
    parent=31,
    both=31,
)
def test_between_two_autocommit_statements(case, who):
    running = many_statements(case, STOPS[who])
    stopped(running, who)
    second = meanwhile(who, running, case.up(constants=SHORT), 15)
    done = case.database.rows(NOTES)
    result = case.ends(running)
    assert len({note.split()[0] for (note,) in case.database.rows(NOTES)}) == 1
    if who == "child":
        assert (result.finished["applied"], second.finished["outcome"]) == (["r0001", "r0002", "r0003"], "noop")
        return
    assert case.database.rows(NOTES) == done, "the thawed run went on"
    assert second.finished["problem"] == "residue"
    assert result.finished["problem"] == "partly-committed"
    assert "job lock" in result.finished["why"]


# The revision's own listener comes after ours: the guard has been asked for, and the statement is not sent yet.
AT_THE_NEXT = f"""
from sqlalchemy import event
def freeze(*_):
    import os
    if os.environ.pop('ONCE', None):
        {STOPS["both"]}
os.environ['ONCE'] = 'yes'
event.listen(op.get_bind(), 'before_cursor_execute', freeze)
"""


@fault(
    "parent and child are frozen between the fence and the statement that it lets pass",
    "SIGSTOP by a listener of the revision's own, which SQLAlchemy calls after ours and before it sends the statement;"
    " SIGCONT when another run has come",
    31,
    "the session has the mark: the other run has ended it, and the statement finds no session",
)
def test_between_fence_and_statement(case):
    running = many_statements(case, AT_THE_NEXT)
    stopped(running, "both")
    second = meanwhile("both", running, case.up("--heal", constants=SHORT), 0)
    assert second.finished["applied"] == ["r0001", "r0002", "r0003"]
    done = case.database.rows(NOTES)
    result = case.ends(running, then=0)
    assert case.database.rows(NOTES) == done
    assert [len(done), result.finished["problem"]] == [65, "partly-committed"]


@fault(
    "a transaction pooler, and parent and child are frozen between the fence and a statement that commits by itself",
    "PgBouncer with pool_mode=transaction, a COMMIT in the revision; SIGSTOP by a listener of the revision's own; SIGCONT when"
    " another run has come",
    31,
    "the statement has a transaction, and that the mark: the other run has ended it",
)
def test_between_fence_and_statement_through_a_pooler(case, pooler):
    running = many_statements(case, AT_THE_NEXT, url=pooler)
    stopped(running, "both")
    second = meanwhile("both", running, case.up(constants=SHORT), 15)
    done = case.database.rows(NOTES)
    result = case.ends(running)
    assert case.database.rows(NOTES) == done
    assert (len(done), result.finished["problem"], second.finished["problem"]) == (5, "partly-committed", "residue")


DRIVERS = {"psycopg": {"driver": "psycopg"}, "asyncpg": {"engine": "async"}}


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(
            driver,
            marks=fault(
                f"parent and child are frozen between two statements that commit by themselves, with {driver}",
                LASTING,
                31,
                "as with psycopg2: the thawed run executes nothing more",
            ),
        )
        for driver in DRIVERS
    ],
)
def test_with_another_driver(case, driver):
    running = many_statements(case, STOPS["both"], **DRIVERS[driver])
    stopped(running, "both")
    second = meanwhile("both", running, case.up(constants=SHORT), 15)
    done = case.database.rows(NOTES)
    result = case.ends(running)
    assert (case.database.rows(NOTES), len(done)) == (done, 5)
    assert (second.finished["problem"], result.finished["problem"]) == ("residue", "partly-committed")


@fault(
    "the parent is frozen between two statements that commit by themselves, and no other run comes",
    f"SIGSTOP, and SIGCONT when the child has ended its work; the lease is {LEASE_S} s in this test (60 s otherwise)",
    31,
    "each statement asks for the guard first: the child goes on for no longer than the lease",
)
def test_the_child_commits_nothing_alone(case):
    running = many_statements(case, STOPS["parent"])
    stopped(running, "parent")
    time.sleep(LEASE_S + 2)  # the last that it may have done is done
    done = case.database.rows(NOTES)
    time.sleep(2)  # ten more would be there
    assert case.database.rows(NOTES) == done
    assert len(done) < 60
    thaw(running)
    assert case.ends(running).finished["problem"] == "partly-committed"


@fault(
    "a run is frozen between two statements that commit by themselves, and the next one heals",
    "SIGSTOP to both, and SIGCONT while a run with --heal has its own turn",
    31,
    "the healing run goes to the head; of the frozen one no statement comes between",
)
def test_healed_meanwhile(case):
    running = many_statements(case, STOPS["both"])
    stopped(running, "both")
    second = case.up("--heal", constants=SHORT)
    second.wait_for("revision.started", revision="r0001")
    thaw(running)
    result = running.finish()
    assert second.finish().exit_code == 0, second.so_far.stdout.decode()
    turns = [note.split()[0] for (note,) in case.database.rows(NOTES)]
    assert turns == sorted(turns, key=turns.index), "two runs executed in turns"
    assert turns.count(turns[0]) == 5
    case.ends(result, then=0)
    assert case.database.rows("SELECT DISTINCT status FROM migrate.step WHERE revision = 'r0002'") == [("finished",)]


@rows(
    "in CREATE INDEX CONCURRENTLY",
    "the other run waits for the statement, which the server executes to its end, and refuses with 15",
    parent=31,
    both=31,
)
def test_in_concurrently(case, who):
    case.history(concurrently=True)
    case.at("r0001")
    blocker = writing(case)
    running = case.up(constants=SHORT)
    running.wait_for("statement.blocked")
    freeze(running, who)
    second = case.up(constants=SHORT)
    if who != "child":
        second.wait_for("orphan.waiting")
        time.sleep(2)  # it goes on waiting while the other transaction lasts
    blocker.rollback()
    result = meanwhile(who, running, second, 15)
    if who == "child":
        assert case.ends(running).finished["applied"] == ["r0002", "r0003"]
        return
    assert result.finished["problem"] == "residue"
    assert case.ends(running, fresh=False).finished["problem"] == "partly-committed"


@rows(
    "in a downgrade, between two statements that commit by themselves",
    "the other run ends the worker's connection and refuses with 15; the frozen one executes nothing more",
    parent=31,
    both=31,
)
def test_in_a_downgrade(case, who):
    ways_back(case, concurrently=True)
    file = case.project.versions / "r0002_second.py"
    drop = "        op.execute('DROP INDEX CONCURRENTLY items_name')"
    trouble = "    exec(os.environ.get('TROUBLE', ''))\n"
    assert (file.read_text().count(drop), file.read_text().count(trouble)) == (1, 1)
    before = f'        op.execute("{NOTE}")\n    {trouble}        op.execute("{NOTE}")\n'
    file.write_text(file.read_text().replace(trouble, "").replace(drop, before + drop))
    # within the lease, a child goes on alone: it waits until that is over
    running = go_back(case, trouble=f"{STOPS[who]}; time.sleep({2 * LEASE_S})", constants=SHORT)
    stopped(running, who)
    second = go_back(case, constants=SHORT)
    result = meanwhile(who, running, second, 15)
    if who == "child":
        assert case.ends(running).finished["reverted"] == ["r0003", "r0002"]
        assert result.finished["outcome"] == "noop"
        return
    assert result.finished["problem"] == "residue"
    assert case.ends(running).finished["problem"] == "partly-committed"
    assert len(case.database.rows(NOTES)) == 1


@rows(
    "in a backup",
    "nothing was changed by it; the other run ends the dump's backend and goes to the head",
    parent=41,
    both=41,
    alone="the run waits for its pg_dump, and holds the guard meanwhile",
)
def test_in_a_backup(case, tmp_path, who):
    folder = tmp_path / "backups"
    folder.mkdir()
    behind(case)
    blocker = hold(case)
    running = back_up(case, folder, constants=SHORT)
    dumping(case)
    assert programs(folder)
    freeze(running, who)
    blocker.rollback()
    second = meanwhile(who, running, case.up("--lock-tries", "1", constants=SHORT), 0)
    result = case.ends(running)
    if who == "child":
        assert (result.finished["applied"], second.finished["outcome"]) == (["r0002", "r0003"], "noop")
        return
    assert second.finished["applied"] == ["r0002", "r0003"]
    assert (result.finished["problem"], result.finished["applied"]) == ("guard-lost", [])


@fault(
    "a run is frozen in a repair",
    f"SIGSTOP while REINDEX CONCURRENTLY waits for another transaction; {LASTING.partition(', ')[2]}",
    41,
    "the other run waits for the statement, which the server executes to its end, and finds nothing left to do",
)
def test_in_a_repair(case):
    residue(case)
    blocker = writing(case)
    running = repair(case, constants=SHORT)
    running.wait_for("statement.blocked")
    freeze(running, "parent")
    second = repair(case, constants=SHORT)
    second.wait_for("orphan.waiting")
    blocker.rollback()
    meanwhile("parent", running, second, 0)
    result = running.finish()
    assert result.finished["problem"] == "guard-lost", result.stdout.decode()
    assert case.database.rows("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    released = case.up().finish()
    assert (released.exit_code, released.finished["applied"]) == (0, ["r0003"]), released.stdout.decode()
    case.ends(result)


@fault(
    "what a dead run left belongs to a role that the next run may not end",
    "an idle backend of another role has the mark; --guard-timeout 3s",
    21,
    "an idle worker is somebody: waited for, then named with the GRANT by which it could be ended; the guard is free again",
)
def test_not_allowed_to_end_it(case):
    case.history()
    role = create_role(case.database.server, name=None, password=None, options="NOSUPERUSER")
    left = case.database.as_role(role).connect(application_name="migrate:worker:0123456789ab")
    left.autocommit = True
    mark = GuardKey.of("public", "alembic_version").mark.value
    left.cursor().execute("SELECT pg_try_advisory_lock_shared(%s)", [mark])
    ended = {"migrate.postgres.guard.ORPHAN_GRACE_S": 1.0}
    running = case.up("--guard-timeout", "3s", constants=ended)
    result = running.finish()
    assert (result.finished["problem"], result.finished["applied"]) == ("orphan-worker", [])
    assert f"backend {left.info.backend_pid} (migrate:worker:0123456789ab, idle)" in result.finished["why"]
    assert result.finished["fix"].startswith(f"GRANT pg_signal_backend TO {case.database.user};")
    left.close()
    case.ends(result)
    drop_role(case.database.server, role)
