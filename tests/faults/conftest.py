"""The fault runner: a history that can be troubled, and the checks that hold after every fault."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from migrate.core.manifest.manifest import Manifest
from migrate.postgres import catalog
from migrate.shadow.embedded import throwaway_server
from tests.faults.page import PAGE, Row, render
from tests.support.process import Result, Running, alembic, assert_absent, migrate_command, minimal_environment
from tests.support.proxy import Proxy
from tests.support.server import Database, Server, create_database, create_role, drop_database, drop_role
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project

SLEEP = "op.execute('SELECT pg_sleep(60)')"  # the trouble of a revision that is to be met at work
GONE_SECONDS = 5.0  # after which nothing of a run may be left on the server
_SUITE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that writes the page."""
    parser.addoption("--write-faults", action="store_true", help="write docs/reference/faults.md from what passed")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "fault(name, how, exit_code, proof): one row of docs/reference/faults.md")
    config.stash[_RAN] = {}


_RAN = pytest.StashKey[dict[int, Row]]()  # by the place of the test in the collection
_CALL_PASSED = pytest.StashKey[bool]()


def declared(item: pytest.Item) -> Row | None:
    """Return the fault that a test declares."""
    marker = item.get_closest_marker("fault")
    if marker is None:
        return None
    title = (item.getparent(pytest.Module).obj.__doc__ or "").partition("\n")[0].rstrip(".")  # type: ignore[union-attr]
    return Row(title, *marker.args, **marker.kwargs)


def declared_by(items: list[pytest.Item]) -> list[Row]:
    """Return the faults of all tests, in the order of their files."""
    return [row for item in items if (row := declared(item)) is not None]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Hand the fault of a test that has passed to the process that writes the page."""
    report = yield
    if report.when == "call":
        item.stash[_CALL_PASSED] = report.passed
    row = declared(item)
    if row is not None and report.when == "teardown" and report.passed and item.stash.get(_CALL_PASSED, False):
        report.user_properties.append(("fault", [item.session.items.index(item), *astuple(row)]))
    return report


class Collector:
    """Collects, in the controlling process, what ran in the others."""

    def __init__(self, config: pytest.Config) -> None:
        """Collect for this session."""
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the faults that passed."""
        for name, value in report.user_properties:
            if name == "fault":
                place, *row = value  # type: ignore[misc]
                self._config.stash[_RAN][place] = Row(*row)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the page, where that was asked for and everything has passed."""
        ran = self._config.stash[_RAN]
        if exitstatus == 0 and session.testscollected >= len(ran) > 0:
            PAGE.parent.mkdir(parents=True, exist_ok=True)
            PAGE.write_text(render(row for _, row in sorted(ran.items())), encoding="utf-8")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect only where the page is to be written, and not in a worker of pytest-xdist."""
    config = session.config
    if config.getoption("--write-faults") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(config))


class Watcher:
    """Samples the server while a fault goes on: how many runs were at work at once, at most."""

    _SAMPLE = """
        SELECT count(DISTINCT substr(application_name, 16)) FROM pg_stat_activity
         WHERE datname = %s AND application_name LIKE 'migrate:worker:%%' AND state <> 'idle'
    """

    def __init__(self, database: Database) -> None:
        """Begin."""
        self._database = database
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            with suppress(psycopg2.Error), closing(psycopg2.connect(self._database.server.admin_url)) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                while not self._ended.wait(0.05):
                    cursor.execute(self._SAMPLE, [self._database.name])
                    self.most = max(self.most, cursor.fetchone()[0])  # type: ignore[index]
            self._ended.wait(0.05)


class Case:
    """One fault: the project, the database, the processes, and the checks that every fault ends with."""

    ids = ("r0001", "r0002", "r0003")

    def __init__(self, project: Project, database: Database, exit_code: int, manifests: Path) -> None:
        """Nothing runs yet; manifests that were made before are in the folder `manifests`."""
        self.project = project
        self.database = database
        self.exit_code = exit_code
        self._manifests = manifests
        self.checked = False
        self.again: Result | None = None  # the clean second run
        self.blocked: list[psycopg2.extensions.connection] = []
        self._proxy: Proxy | None = None
        self._running: list[Running] = []
        self._watcher: Watcher | None = None

    # The history. TROUBLE in the environment is Python that r0002 runs when it has done its work.

    def history(self, *, concurrently: bool = False, **env: Any) -> None:
        """Write three revisions; the second adds a column, or with `concurrently` builds an index in an autocommit block."""
        self.project.write_env(**env)
        trouble = "import os, sys, time\nexec(os.environ.get('TROUBLE', ''))"
        self.project.revision(
            "r0001",
            message="first",
            upgrade="op.execute('CREATE TABLE journal (revision text)')\n"
            "op.execute('CREATE TABLE items (id integer, name text)')\n"
            "op.execute('CREATE INDEX items_id ON items (id)')\n"  # its definition is read under a lock on the table
            "op.execute(\"INSERT INTO items SELECT n, 'name ' || n FROM generate_series(1, 500) n\")\n"
            "op.execute(\"INSERT INTO journal VALUES ('r0001')\")",
        )
        work = "op.execute('ALTER TABLE items ADD COLUMN note text')"
        if concurrently:
            work = (
                "with op.get_context().autocommit_block():\n"
                "    op.execute('CREATE INDEX CONCURRENTLY items_name ON items (name)')"
            )
        self.project.revision(
            "r0002",
            down="r0001",
            message="second",
            upgrade=f"{work}\nop.execute(\"INSERT INTO journal VALUES ('r0002')\")\n{trouble}",
        )
        self.project.revision(
            "r0003",
            down="r0002",
            message="third",
            upgrade="op.execute('CREATE TABLE after (id integer)')\n"
            "op.execute(\"INSERT INTO journal VALUES ('r0003')\")",
        )

    def at(self, revision: str) -> None:
        """Bring the database to a revision with plain Alembic."""
        alembic(self.project, self.database, "upgrade", revision)

    @property
    def manifest(self) -> Manifest:
        """The history's manifest, made by `migrate manifest` from files that nothing troubles yet, once for all tests."""
        path = self.project.versions.parent / "manifest.json"
        if not path.exists():
            files = sorted([*self.project.versions.glob("*.py"), self.project.env])
            digest = hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()
            known = self._manifests / digest
            if not known.exists():
                made = Running(
                    migrate_command("manifest"),
                    cwd=self.project.path,
                    env={**minimal_environment(), "MIGRATE_SHADOW_URL": self.database.server.admin_url},
                ).finish()
                assert made.exit_code == 0, made.stdout.decode()
                shutil.copy(path, known)
            else:
                shutil.copy(known, path)
        return Manifest.parse(path.read_text())

    # Processes.

    @property
    def proxy(self) -> Proxy:
        """The proxy in front of the server, made when it is first asked for."""
        if self._proxy is None:
            parts = urlsplit(self.database.url)
            self._proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
        return self._proxy

    def up(
        self,
        *arguments: str,
        trouble: str = "",
        proxied: bool = False,
        url: str | None = None,
        env: dict[str, str] | None = None,
        constants: dict[str, float] | None = None,
        prefix: tuple[str, ...] = (),
        verb: str = "up",
    ) -> Running:
        """Start `migrate up`; `constants` of our modules ("migrate.postgres.guard.LEASE_S") are replaced before."""
        assert self.manifest  # beside the files before the first run, as every image has it
        if self._watcher is None:
            self._watcher = Watcher(self.database)
        command = [sys.executable, "-m", "migrate", verb, *arguments]
        if constants:
            lines = ["import sys"]
            for path, value in constants.items():
                module, _, name = path.rpartition(".")
                lines.append(f"import {module} as module; module.{name} = {value!r}")
            lines.append(
                f"from migrate.cli import main; sys.argv = ['migrate', {verb!r}, *{list(arguments)!r}]; main()"
            )
            command = [sys.executable, "-c", "\n".join(lines)]
        environment = {
            **minimal_environment(),
            "DATABASE_URL": url or (self.proxy.url(self.database.url) if proxied else self.database.url),
            "MIGRATE_STALE": "warn",  # some faults are written into the files after the manifest was made
            **(env or {}),
        }
        if trouble:
            mark = self._mark()
            environment["TROUBLE"] = f"open({str(mark)!r}, 'w').close()\n{trouble}"
        self._running.append(
            Running([*prefix, *command], cwd=self.project.path, env=environment, password=self.database.password)
        )
        return self._running[-1]

    def in_trouble(self, *arguments: str, trouble: str = SLEEP, **how: Any) -> Running:
        """Start a run as `up` does, and return once a revision is in its trouble: on the server, where it sleeps there."""
        mark = self._mark()
        running = self.up(*arguments, trouble=trouble, **how)
        until(mark.exists, seconds=30, otherwise=lambda: running.so_far.stdout)
        if "pg_sleep" in trouble:
            self.until_asleep()
        return running

    def _mark(self) -> Path:
        """The file that the next run's trouble leaves when it begins."""
        return self.project.path.parent / f"trouble{len(self._running)}"

    def until_asleep(self) -> None:
        """Return once a backend of this database is in pg_sleep()."""
        self._until_backend("wait_event = 'PgSleep'")

    def until_blocked(self) -> None:
        """Return once a run's worker waits for a lock."""
        self._until_backend("wait_event_type = 'Lock' AND application_name LIKE 'migrate:worker:%%'")

    def until_gone(self) -> None:
        """Return once the server has ended every backend of runs that died: it looks after its clients twice a second."""
        until(lambda: not self._backends("application_name LIKE 'migrate:%%'"))

    def _until_backend(self, condition: str) -> None:
        until(lambda: self._backends(condition), otherwise=f"no backend with {condition}")

    def _backends(self, condition: str) -> list[Any]:
        query = f"SELECT pid FROM pg_stat_activity WHERE datname = %s AND {condition}"
        return self.database.as_superuser.rows(query, self.database.name)

    def hold(self, statement: str = "LOCK TABLE items IN ACCESS SHARE MODE") -> psycopg2.extensions.connection:
        """Open a transaction that runs the statement and stays open until the test, or the check, ends it."""
        connection = self.database.connect(application_name="a report")
        connection.cursor().execute(statement)
        self.blocked.append(connection)
        return connection

    def wait_for_row(self, query: str) -> None:
        """Wait until the query finds something."""
        until(lambda: self.database.rows(query), otherwise=query)

    # The checks.

    def ends(
        self,
        running: Running | Result,
        *,
        then: int | None = None,
        fresh: bool = True,
        silent: bool = False,
    ) -> Result:
        """Wait for the end of the run that met the fault, check everything, and start the clean second run.

        `then`: its exit code, by default 0, and 15 after 31. `fresh=False`: the fault left a part in the database, so
        that the schema is compared only after the second run. `silent`: nothing could be read from the run.
        """
        result = running if isinstance(running, Result) else running.finish()
        self.checked = True
        assert result.exit_code == self.exit_code, result.stdout.decode()
        if result.exit_code < 0:
            assert result.finished is None
            assert_absent(self.database.password, result.stdout + result.stderr)
        elif not silent:
            result.check_clean()
        for connection in self.blocked:
            connection.close()
        if self._proxy is not None:
            self._proxy.__exit__()
        self.nothing_is_left()
        if self._watcher is not None:
            self._watcher.end()
            assert self._watcher.most <= 1, "two runs were at work at once"
        partial = result.exit_code == 31
        if fresh and not partial:
            self.version_and_schema_agree()
        expected = then if then is not None else 15 if partial else 0
        self._watcher = None
        again = self.up().finish()
        again.check_clean()
        assert again.exit_code == expected, again.stdout.decode()
        if expected == 0:
            assert self.version_and_schema_agree() == (self.head,)
        elif expected == 15:
            assert again.finished is not None
            assert again.finished["problem"] == "residue", again.stdout.decode()
            assert "migrate repair" in again.finished["fix"]
        self.again = again
        return result

    @property
    def head(self) -> str:
        """The last revision."""
        return max(path.name.split("_")[0] for path in self.project.versions.glob("r*.py"))

    def nothing_is_left(self) -> None:
        """Assert that 5 s after a run nothing of it is on the server."""

        def left() -> tuple[list[Any], list[Any]]:
            locks = self.database.as_superuser.rows(
                "SELECT l.pid, l.mode FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE l.locktype = 'advisory' AND d.datname = %s",
                self.database.name,
            )
            backends = self.database.as_superuser.rows(
                "SELECT pid, application_name, state, query FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND application_name <> 'PgBouncer'",
                self.database.name,
            )
            return locks, backends

        until(lambda: left() == ([], []), seconds=GONE_SECONDS, otherwise=left)

    def version_and_schema_agree(self) -> tuple[str, ...]:
        """Assert that the schema is the manifest's at the recorded version, each revision took effect once."""
        rows = self.versions()
        schema = schema_of(self.database)
        assert not [name for name in schema if name.startswith("INVALID")]
        differences = self.manifest.compare(rows, schema, major=self.database.server.version)
        assert list(differences.sentences()) == []
        if rows and "journal" in self.project.versions.joinpath("r0001_first.py").read_text():
            done = [row[0] for row in self.database.rows("SELECT revision FROM journal ORDER BY 1")]
            assert done == [id_ for id_ in self.ids if id_ <= rows[0]], "lost, or applied twice"
        return rows

    def versions(self) -> tuple[str, ...]:
        """The version rows."""
        if self.database.scalar("SELECT to_regclass('alembic_version')") is None:
            return ()
        return tuple(row[0] for row in self.database.rows("SELECT version_num FROM alembic_version ORDER BY 1"))

    def close(self) -> None:
        """End what the test left running."""
        for running in self._running:
            running.kill()
        if self._watcher is not None:
            self._watcher.end()
        if self._proxy is not None:
            self._proxy.__exit__()


def schema_of(database: Database) -> dict[str, str]:
    """Read the schema, and whether its indexes are valid."""
    with closing(psycopg2.connect(database.url)) as connection:
        found = catalog.read_schema(connection, schemas=["public"], version_table=("public", "alembic_version"))
        cursor = connection.cursor()
        cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        return {**found, **{f"INVALID {name}": "" for (name,) in cursor.fetchall()}}


@pytest.fixture
def case(
    request: pytest.FixtureRequest, project: Project, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    """Yield the fault's case; a test that does not come to its checks fails."""
    yield from _case(request, project, database, tmp_path_factory)


@pytest.fixture(scope="module")
def server_of_its_own() -> Iterator[Any]:
    """Yield a server that a test may stop."""
    with throwaway_server(
        settings={"max_connections": "50", "wal_level": "replica", "max_wal_senders": "4"}
    ) as started:
        yield started


@pytest.fixture
def crashing(
    request: pytest.FixtureRequest,
    project: Project,
    server_of_its_own: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Case]:
    """Yield a case whose server, `case.server_process`, may be stopped and started."""
    server = Server(server_of_its_own.url())
    role = create_role(server, name=None, password=None, options="NOSUPERUSER")
    database = create_database(server, name=None, owner=role, encoding="UTF8", template="template0")
    yield from _case(request, project, database, tmp_path_factory)
    drop_database(database)
    drop_role(server, role)


def _case(
    request: pytest.FixtureRequest, project: Project, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    row = declared(request.node)
    assert row is not None, "a fault is declared with its marker"
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent  # one folder for all workers of pytest-xdist
    manifests = shared / "manifests"
    manifests.mkdir(exist_ok=True)
    case = Case(project, database, row.exit_code, manifests)
    yield case
    case.close()
    if request.node.stash.get(_CALL_PASSED, False):
        assert case.checked, "the test did not come to its checks"


@pytest.fixture
def pooler(
    request: pytest.FixtureRequest, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the database's URL through PgBouncer, in transaction mode or the one that an indirect parameter names."""
    program = _pgbouncer()
    if program is None:
        pytest.skip("PgBouncer is not installed (apt-get install pgbouncer)")
    folder = Path("/tmp") / f"pgbouncer-{os.getpid()}-{database.name}"  # its account must reach it
    folder.mkdir(mode=0o755)
    parts = urlsplit(database.url)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = database.password.replace('"', '""')
    (folder / "users").write_text(f'"{database.user}" "{password}"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={parts.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {folder}/users\n"
        f"pool_mode = {getattr(request, 'param', 'transaction')}\ndefault_pool_size = 10\nserver_idle_timeout = 1\n"
    )
    account = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        [program, "-q", str(folder / "ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **account,  # type: ignore[call-overload]
    )
    try:

        def answers() -> bool:
            assert process.poll() is None, "PgBouncer did not start"
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        until(answers, seconds=20)
        yield parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@cache
def _pgbouncer() -> str | None:
    for folder in (*os.environ["PATH"].split(":"), "/usr/sbin", "/usr/local/sbin"):
        if (Path(folder) / "pgbouncer").is_file():
            return str(Path(folder) / "pgbouncer")
    return None
