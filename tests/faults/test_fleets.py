"""Many tenants: whatever dies in the middle, running it again takes what is left, and nothing twice."""

from __future__ import annotations

import os
import signal

import pytest

from tests.cli.test_fleet import COOKBOOK, SCHEMAS, by_tenant, provision
from tests.faults.conftest import GONE_SECONDS
from tests.support.process import Running, children_of, migrate_command, minimal_environment
from tests.support.server import Server, create_database, create_role
from tests.support.waiting import until

COUNT = 200
fault = pytest.mark.fault


@pytest.fixture
def fleet(project, database):
    """A project of two revisions, of which each leaves a row, and its tenants."""
    return made(project, database)


def made(project, database):
    project.write_env()
    project.env.write_text(COOKBOOK)
    project.revision(
        "r1",
        upgrade="op.execute('CREATE TABLE journal (revision text)')\nop.execute(\"INSERT INTO journal VALUES ('r1')\")",
    )
    project.revision(
        "r2",
        down="r1",
        upgrade="op.execute('SELECT pg_sleep(0.02)')\nop.execute(\"INSERT INTO journal VALUES ('r2')\")",
    )
    (project.path / "pyproject.toml").write_text(SCHEMAS)
    provision(database, COUNT)
    return Fleet(project, database)


class Fleet:
    """Runs of the project on all tenants."""

    def __init__(self, project, database):
        self.project = project
        self.database = database

    def up(self, *arguments):
        environment = {**minimal_environment(), "DATABASE_URL": self.database.url}
        return Running(
            migrate_command("up", *arguments), cwd=self.project.path, env=environment, password=self.database.password
        )

    def in_the_middle(self, *arguments, after=5):
        running = self.up(*arguments)
        until(lambda: len(running.so_far.named("tenant.finished")) >= after, seconds=60)
        return running

    def journals(self):
        there = self.database.rows("SELECT schemaname FROM pg_tables WHERE tablename = 'journal'")
        question = " UNION ALL ".join(f"SELECT '{name}', revision FROM {name}.journal" for (name,) in there)
        found = {name: [] for (name,) in there}
        for name, revision in self.database.rows(f"{question} ORDER BY 1, 2") if there else ():
            found[name].append(revision)
        return found

    def converges(self):
        """Nothing of the run is left, and another one brings every tenant to the head, each revision once."""
        at_work = (
            "SELECT pid, application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'migrate:%'"
        )
        until(lambda: not self.database.as_superuser.rows(at_work), seconds=GONE_SECONDS)
        done = {name for name, rows in self.journals().items() if rows == ["r1", "r2"]}
        again = self.up().finish()
        assert again.exit_code == 0, again.stdout.decode()
        assert self.journals() == {f"tenant_{n}": ["r1", "r2"] for n in range(COUNT)}
        assert not done & {line["tenant"] for line in again.named("revision.started")}


@fault(
    "kill -9 of a fleet's run",
    "SIGKILL of the process in the middle of 200 tenants",
    -9,
    "its runners and their children end with it",
)
def test_killed(fleet):
    running = fleet.in_the_middle()
    running.signal(signal.SIGKILL)
    assert running.finish().exit_code == -9
    fleet.converges()


@fault(
    "kill -9 of one runner of a fleet",
    "SIGKILL of a process that takes tenants",
    23,
    "the tenant that it had is named; the others are applied by the others and by a new one",
)
def test_runner_killed(fleet):
    running = fleet.in_the_middle()
    os.kill(children_of(running.pid)[0], signal.SIGKILL)
    result = running.finish()
    result.check_clean()
    ended = {line["exit_code"] for line in by_tenant(result).values()}
    assert ended <= {0, 23}
    assert result.exit_code in {0, 23}  # 0 where it was tried again at the end
    fleet.converges()


@fault(
    "kill -9 of the child of a fleet's runner",
    "SIGKILL of the process that runs a tenant's revisions",
    30,
    "only the tenant that it had fails; a new child takes the next",
)
def test_child_killed(fleet):
    running = fleet.in_the_middle()
    os.kill(
        until(lambda: [pid for runner in children_of(running.pid) for pid in children_of(runner)])[0], signal.SIGKILL
    )
    result = running.finish()
    result.check_clean()
    failed = [line for line in by_tenant(result).values() if line["exit_code"]]
    assert len(failed) <= 1
    assert len(by_tenant(result)) == COUNT
    fleet.converges()


@fault(
    "SIGTERM in the middle of a fleet",
    "after five of 200 tenants",
    143,
    "those at work are rolled back, the rest is named as not begun",
)
def test_sigterm(fleet):
    running = fleet.in_the_middle()
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 143, result.stdout.decode()
    assert result.finished["outcome"] == "interrupted"
    assert result.finished.get("tenants_pending"), result.finished
    fleet.converges()


@fault(
    "the deadline in the middle of a fleet",
    "--deadline 4s, 200 tenants",
    25,
    "nobody begins after it; running it again takes the rest",
)
def test_deadline(fleet):
    result = fleet.up("--deadline", "4s", "--tenants-parallel", "1").finish()
    result.check_clean()
    assert result.exit_code == 25, result.stdout.decode()
    assert result.finished.get("tenants_pending"), result.finished
    fleet.converges()


@fault(
    "two fleets at once",
    "two runs over the same 200 tenants",
    0,
    "each revision of each tenant is applied once; both end with 0",
)
def test_two_at_once(fleet):
    runs = [fleet.up(), fleet.up()]
    results = [run.finish() for run in runs]
    assert [result.exit_code for result in results] == [0, 0], [result.stdout.decode()[-3000:] for result in results]
    fleet.converges()


@fault(
    "the server is restarted in the middle of a fleet",
    "a fast shutdown and a start, after five of 200 tenants",
    0,
    "who was at work is rolled back and tried again at the end; every tenant is applied and proven",
)
def test_restart(project, server_of_its_own):
    server = Server(server_of_its_own.url())
    role = create_role(server, name=None, password=None, options="NOSUPERUSER")
    database = create_database(server, name=None, owner=role, encoding="UTF8", template="template0")
    fleet = made(project, database)
    running = fleet.in_the_middle()
    server_of_its_own.stop("fast")
    server_of_its_own.start()
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 0, result.stdout.decode()[-3000:]
    assert {line["exit_code"] for line in by_tenant(result).values()} == {0}
    assert len(by_tenant(result)) == COUNT
    fleet.converges()


@fault("four shards of one fleet", "--shard 0/4 to 3/4 at once", 0, "each tenant is applied by exactly one of them")
def test_shards(fleet):
    runs = [fleet.up("--shard", f"{n}/4", "--tenants-parallel", "1") for n in range(4)]
    results = [run.finish() for run in runs]
    assert [result.exit_code for result in results] == [0] * 4
    taken = [name for result in results for name in by_tenant(result)]
    assert sorted(taken) == sorted(f"tenant_{n}" for n in range(COUNT))
    fleet.converges()
