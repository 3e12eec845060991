"""The engine, the images, and one Compose project for each test."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
MIGRATE_IMAGE = "newsifier-migrate:test"
WEB_IMAGE = "newsifier-web:test"
JOB_IMAGE = "migrate:test"
VERSIONS = Path("/app/alembic/versions")
HEAD = "e8f921b5c3d1"
BEFORE_HEAD = "dbc1bc75a79e"

# These only end a hang; building from nothing brings packages.
BUILD_SECONDS = 900
STEP_SECONDS = 180


@dataclass(frozen=True)
class Ended:
    """What a command of the engine left."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects of stdout."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]

    @property
    def finished(self) -> dict[str, Any]:
        """The last line of the job, which is the last line of all."""
        last = self.events[-1]
        assert last["event"] == "run.finished", last
        return last


def docker(*arguments: str, env: Mapping[str, str] | None = None, seconds: int = STEP_SECONDS) -> Ended:
    """Run the client to its end."""
    process = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env={**os.environ, "COMPOSE_PROGRESS": "plain", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


def must(ended: Ended) -> Ended:
    """Return it, when its command succeeded."""
    assert ended.exit_code == 0, ended.stdout + ended.stderr
    return ended


def compose_build(folder: Path, image: str, **build: str) -> None:
    """Build through Compose, which brings its own builder: clients without buildx build the same."""
    file = folder / "compose.json"
    service = {"image": image, "build": build}
    file.write_text(json.dumps({"name": "migrate-images", "services": {"image": service}}), encoding="utf-8")
    must(docker("compose", "-f", str(file), "build", "--quiet", seconds=BUILD_SECONDS))


def build_images() -> None:
    """Build the images of this tree."""
    with TemporaryDirectory() as folder:
        compose_build(Path(folder), JOB_IMAGE, context=str(ROOT), target="job")
    must(docker("compose", "-f", "docker-compose.test.yml", "build", "--quiet", seconds=BUILD_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Build the images before the first test."""
    must(docker("info"))
    build_images()


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, images: None) -> Callable[..., str]:
    """Return a function that builds an image from a Dockerfile's text and the files beside it, and gives its name."""

    def from_text(dockerfile: str, files: Mapping[str, str] | None = None) -> str:
        folder = tmp_path_factory.mktemp("context")
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        for name, text in (files or {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        image = f"migrate-variant:{secrets.token_hex(4)}"
        compose_build(folder, image, context=str(folder))
        return image

    return from_text


@pytest.fixture(scope="session")
def with_revision(build: Callable[..., str]) -> Callable[[str], str]:
    """Return a function that builds the next release: the example's history and one more revision, of that body."""

    def build_it(upgrade: str) -> str:
        revision = (
            "from alembic import op\n\n"
            f'revision = "c0ffee000001"\ndown_revision = "{HEAD}"\nbranch_labels = None\ndepends_on = None\n\n\n'
            f"def upgrade():\n    {upgrade}\n\n\ndef downgrade():\n    pass\n"
        )
        # Without the manifest, which is of another history then.
        return build(
            f"FROM {MIGRATE_IMAGE}\nUSER 0\nRUN rm -f /app/alembic/manifest.json\nUSER 65532:65532\n"
            f"COPY next.py {VERSIONS}/c0ffee000001_next.py\n",
            {"next.py": revision},
        )

    return build_it


@dataclass
class Release:
    """One Compose project of docker-compose.test.yml, with a database of its own."""

    project: str
    env: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run Compose on the project."""
        return docker(*self.command, *arguments, env={**self.env, **(env or {})})

    @property
    def command(self) -> list[str]:
        """The client's arguments that name the project."""
        return ["compose", "-p", self.project, "-f", "docker-compose.test.yml"]

    def migrate(self, *arguments: str, image: str = MIGRATE_IMAGE, options: tuple[str, ...] = ()) -> Ended:
        """Run the job as a person would: `docker compose run --rm migrate`."""
        return self.compose("run", "--rm", "-T", *options, "migrate", *arguments, env={"MIGRATE_IMAGE": image})

    def web(self, *command: str, options: tuple[str, ...] = ()) -> Ended:
        """Run a command in the service's own image, as a pre-deploy step does; starts no migration."""
        return self.compose("run", "--rm", "-T", "--no-deps", *options, "web", *command)

    def start_database(self) -> None:
        """Start the server and wait until it is healthy."""
        must(self.compose("up", "--wait", "db"))

    def sql(self, query: str) -> list[str]:
        """Return the lines of the query's result."""
        psql = ("psql", "-h", "127.0.0.1", "-U", "newsifier", "-d", "newsifier", "-Atc", query)
        env = ("-e", "PGPASSWORD=for-tests-only")
        return must(self.compose("exec", "-T", *env, "db", *psql)).stdout.splitlines()

    def versions(self) -> list[str]:
        """Return the rows of the version table."""
        return self.sql("SELECT version_num FROM alembic_version ORDER BY 1")

    def state(self, service: str) -> str:
        """Return the state of a service's container: running, exited, created, or nothing where there is none."""
        found = must(self.compose("ps", "--all", "--format", "{{.State}}", service)).stdout.split()
        return found[0] if found else ""

    def request(self, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the web service, from its own container: the status and the JSON of the answer."""
        script = (
            "import json, sys, urllib.request as r\n"
            "body = json.loads(sys.argv[2])\n"
            "data = None if body is None else json.dumps(body).encode()\n"
            "q = r.Request('http://127.0.0.1:8000' + sys.argv[1], data, {'content-type': 'application/json'})\n"
            "with r.urlopen(q) as a: print(json.dumps([a.status, json.load(a)]))\n"
        )
        command = ("exec", "-T", "web", "python", "-c", script, path, json.dumps(body))
        status, answer = json.loads(must(self.compose(*command)).stdout)
        return status, answer


@contextmanager
def a_release() -> Iterator[Release]:
    """Yield a project of its own, and leave nothing of it behind."""
    release = Release(f"release-{secrets.token_hex(4)}")
    try:
        yield release
    finally:
        docker(*release.command, "down", "--volumes", "--remove-orphans", "--timeout", "1")


@pytest.fixture
def release() -> Iterator[Release]:
    """Yield a project without containers."""
    with a_release() as made:
        yield made


@pytest.fixture
def with_database(release: Release) -> Release:
    """Return a project whose empty database is up."""
    release.start_database()
    return release
