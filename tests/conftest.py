"""The fixtures that every test may use: a server, databases, roles, a project, the process."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, LiteralString, Protocol

# Before anything of ours is imported: no test may see the settings of whoever runs the suite.
_SCRUBBED = (
    "DATABASE",
    "DIRECT_",
    "MIGRATE_",
    "PG",
    "POSTGRES",
    "RAILWAY_",
    "FLY_",
    "RELEASE_",
    "KUBERNETES_",
    "ALEMBIC_",
)
_KEPT = {"PG_BIN_DIR"}  # which server the suite runs on, see `migrate.shadow.embedded`
_TEST_DATABASE_URL = os.environ.pop("TEST_DATABASE_URL", None)
for _name in [name for name in os.environ if name.startswith(_SCRUBBED) and name not in _KEPT]:
    del os.environ[_name]

import hypothesis  # noqa: E402
import pytest  # noqa: E402

from migrate.shadow.embedded import throwaway_server  # noqa: E402
from tests.support.case_ids import id_of  # noqa: E402
from tests.support.process import END_SECONDS, Result, Running, migrate_command, minimal_environment  # noqa: E402
from tests.support.project import Project  # noqa: E402
from tests.support.server import (  # noqa: E402
    Database,
    Role,
    Server,
    create_database,
    create_role,
    drop_database,
    drop_role,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# A time limit on examples would make a busy machine fail the suite.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a case by its values, where pytest would count: `test_plan[Behind(b)-…]`, not `test_plan[position20-…]`."""
    return id_of(val)


_RESOURCES = pytest.StashKey[ExitStack]()
_SERVER_URL = pytest.StashKey[str]()


@contextmanager
def _a_server() -> Iterator[str]:
    if _TEST_DATABASE_URL is not None:
        yield _TEST_DATABASE_URL
        return
    with throwaway_server(settings={"max_connections": "400", "max_prepared_transactions": "10"}) as started:
        yield started.url()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: pytest.Item) -> None:
    """Hand every worker of pytest-xdist the one server, which the controller owns: it outlives them all."""
    config = node.config
    if _SERVER_URL not in config.stash:
        config.stash[_RESOURCES] = ExitStack()
        config.stash[_SERVER_URL] = config.stash[_RESOURCES].enter_context(_a_server())
    node.workerinput["server_url"] = config.stash[_SERVER_URL]  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the controller's server."""
    if _RESOURCES in config.stash:
        config.stash[_RESOURCES].close()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield the session's server: TEST_DATABASE_URL's, or a throw-away one that the whole session shares."""
    workerinput: dict[str, str] | None = getattr(request.config, "workerinput", None)
    if workerinput is not None:
        yield Server(workerinput["server_url"])
        return
    with _a_server() as url:
        yield Server(url)


class MakeRole(Protocol):
    """The type of the fixture `make_role`."""

    def __call__(
        self, name: str | None = None, *, password: str | None = None, options: LiteralString = "NOSUPERUSER"
    ) -> Role:
        """Create a login role, dropped after the test; without `password`, one full of special characters."""


@pytest.fixture
def make_role(server: Server) -> Iterator[MakeRole]:
    """Yield a factory of roles."""
    roles: list[Role] = []

    def make(name: str | None = None, *, password: str | None = None, options: LiteralString = "NOSUPERUSER") -> Role:
        roles.append(create_role(server, name=name, password=password, options=options))
        return roles[-1]

    yield make
    for role in roles:
        drop_role(server, role)


class MakeDatabase(Protocol):
    """The type of the fixture `make_database`."""

    def __call__(
        self,
        name: str | None = None,
        *,
        owner: Role | None = None,
        encoding: str = "UTF8",
        template: Database | None = None,
    ) -> Database:
        """Create a database, dropped after the test; without `owner`, a new role owns it."""


@pytest.fixture
def make_database(server: Server, make_role: MakeRole) -> Iterator[MakeDatabase]:
    """Yield a factory of databases."""
    databases: list[Database] = []

    def make(
        name: str | None = None,
        *,
        owner: Role | None = None,
        encoding: str = "UTF8",
        template: Database | None = None,
    ) -> Database:
        databases.append(
            create_database(
                server,
                name=name,
                owner=owner or make_role(),
                encoding=encoding,
                template="template0" if template is None else template.name,
            )
        )
        return databases[-1]

    yield make
    for database in databases:
        drop_database(database)


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    """Return an empty UTF-8 database, owned by a role of its own that is no superuser."""
    return make_database()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an Alembic project without revisions."""
    return Project(tmp_path / "project")


class StartMigrate(Protocol):
    """The type of the fixture `start_migrate`."""

    def __call__(
        self,
        *arguments: str,
        database: Database | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Running:
        """Start `python -m migrate ARGUMENTS` in the project with nothing in its environment but what is given here."""


@pytest.fixture
def start_migrate(project: Project) -> Iterator[StartMigrate]:
    """Yield a function that starts the process; what still runs after the test is killed."""
    started: list[Running] = []

    def start(
        *arguments: str,
        database: Database | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Running:
        environment = minimal_environment()
        if database is not None:
            environment["DATABASE_URL"] = database.url
        started.append(
            Running(
                migrate_command(*arguments),
                cwd=cwd or project.path,
                env={**environment, **(env or {})},
                password="" if database is None else database.password,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()


class RunMigrate(Protocol):
    """The type of the fixture `run_migrate`."""

    def __call__(
        self,
        *arguments: str,
        database: Database | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_seconds: float = END_SECONDS,
    ) -> Result:
        """Run `python -m migrate ARGUMENTS` to its end, as `start_migrate` starts it."""


@pytest.fixture
def run_migrate(start_migrate: StartMigrate) -> RunMigrate:
    """Return a function that runs the process to its end."""

    def run(
        *arguments: str,
        database: Database | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_seconds: float = END_SECONDS,
    ) -> Result:
        return start_migrate(*arguments, database=database, env=env, cwd=cwd).finish(timeout_seconds)

    return run


class WriteManifest(Protocol):
    """The type of the fixture `write_manifest`."""

    def __call__(self) -> None:
        """Write the manifest of the project as it stands."""


_MANIFESTS: dict[str, bytes] = {}


@pytest.fixture
def write_manifest(project: Project, server: Server, run_migrate: RunMigrate) -> WriteManifest:
    """Return a function that writes what `migrate manifest` makes of the project; equal projects are replayed once."""

    def write() -> None:
        files = [path for path in sorted(project.path.rglob("*")) if path.suffix in {".ini", ".py", ".sql", ".toml"}]
        content = [f"{path.relative_to(project.path)}\n{path.read_text(encoding='utf-8')}" for path in files]
        key = hashlib.sha256("\0".join(content).encode()).hexdigest()
        if key in _MANIFESTS:
            project.manifest.write_bytes(_MANIFESTS[key])
            return
        made = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
        assert made.exit_code == 0, made.stdout
        _MANIFESTS[key] = project.manifest.read_bytes()

    return write
