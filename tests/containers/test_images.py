"""What the images are made of, and that a user's own is three lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.containers.conftest import JOB_IMAGE, MIGRATE_IMAGE, ROOT, WEB_IMAGE, docker, must

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.containers.conftest import Release

pytestmark = pytest.mark.timeout(600)

ALL = (JOB_IMAGE, MIGRATE_IMAGE, WEB_IMAGE)


def inspect(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(must(docker("image", "inspect", image)).stdout)[0]
    return found


def shell(image: str, script: str) -> str:
    return must(docker("run", "--rm", "--entrypoint", "sh", image, "-c", script)).stdout


@pytest.mark.parametrize("image", ALL)
def test_it_runs_as_a_number_that_is_not_root_and_has_no_health_check(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["User"] == "65532:65532"
    assert config.get("Healthcheck") is None
    assert config["Labels"]["org.opencontainers.image.title"]
    assert "MIGRATE_LOG_FORMAT=json" in config["Env"]


@pytest.mark.parametrize("image", [JOB_IMAGE, MIGRATE_IMAGE])
def test_the_job_is_the_entrypoint_in_exec_form(image: str) -> None:
    config = inspect(image)["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["migrate"], ["up"])


@pytest.mark.parametrize(("image", "folder"), [(JOB_IMAGE, "/opt/migrate"), (WEB_IMAGE, "/opt/newsifier")])
def test_what_built_it_is_not_in_it(image: str, folder: str) -> None:
    names = set(shell(image, f"ls {folder}/bin {folder}/lib/python3.13/site-packages; ls /").split())
    assert "migrate" in names
    assert not names & {"pip", "hatchling", "setuptools", "wheels", "src"}
    assert shell(image, "command -v gcc cc make || true") == ""


@pytest.mark.parametrize(("image", "folder"), [(JOB_IMAGE, "/opt/migrate"), (WEB_IMAGE, "/opt/newsifier")])
def test_every_module_has_its_byte_code(image: str, folder: str) -> None:
    sources = f"find {folder}/lib -name '*.py' | wc -l"
    compiled = f"find {folder}/lib -name '*.cpython-313.pyc' | wc -l"
    of_sources, of_compiled = map(int, shell(image, f"{sources}; {compiled}").split())
    assert of_sources > 500
    # A few packages carry modules for newer Pythons, which this one cannot compile.
    assert of_sources - of_compiled < 5


@pytest.mark.parametrize("image", ALL)
def test_no_start_compiles_anything(image: str) -> None:
    program = (
        "import os, sys, migrate.child.main, migrate.job.images, migrate.commands.up, migrate.job.up;"
        "files = [getattr(module, '__cached__', None) for module in sys.modules.values()];"
        "print(len(list(filter(None, files))), [file for file in files if file and not os.path.exists(file)])"
    )
    found = must(docker("run", "--rm", "--entrypoint", "python", image, "-c", program)).stdout
    count, _, missing = found.partition(" ")
    assert int(count) > 300
    assert missing.strip() == "[]"


@pytest.mark.parametrize("image", ALL)
def test_nothing_in_it_can_be_written_by_whoever_runs_it(image: str) -> None:
    writable = "find / -xdev -writable \\( -type f -o -type d \\) -not -path '/proc/*' 2>/dev/null || true"
    assert set(shell(image, writable).split()) <= {"/tmp", "/var/tmp", "/run/lock"}


@pytest.mark.parametrize("image", ALL)
def test_no_bytes_of_the_repository_but_what_belongs_there(image: str) -> None:
    ours = "\\( -name tests -o -name .git -o -name Makefile -o -name pyproject.toml \\)"
    found = shell(image, f"find / -maxdepth 2 {ours} 2>/dev/null || true")
    assert found == ""


# The URL as a platform gives it, which means psycopg 3 to SQLAlchemy 2.1, and as an asynchronous application spells it.
PLAIN_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ASYNC_ENV = """\
import asyncio, os
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

asyncio.run(main())
"""
REVISION = """\
from alembic import op
import sqlalchemy as sa

revision = "aaaa00000001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.mark.parametrize("env", [PLAIN_ENV, ASYNC_ENV], ids=["plain", "async"])
def test_a_users_image_is_three_lines(with_database: Release, build: Callable[..., str], env: str) -> None:
    dockerfile = f"FROM {JOB_IMAGE}\nCOPY alembic.ini ./\nCOPY migrations migrations\n"
    assert len(dockerfile.splitlines()) == 3
    image = build(
        dockerfile,
        {
            "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n",
            "migrations/env.py": env,
            "migrations/versions/first.py": REVISION,
        },
    )
    release = with_database
    job = release.migrate(image=image)
    assert job.exit_code == 0, job.stdout
    assert job.finished["applied"] == ["aaaa00000001"]
    assert release.sql("SELECT count(*) FROM orders") == ["0"]
    assert release.migrate(image=image).finished["outcome"] == "noop"


def test_the_job_without_a_history_says_what_is_missing() -> None:
    job = docker("run", "--rm", "-e", "DATABASE_URL=postgresql://u:p@127.0.0.1/d", JOB_IMAGE)
    assert (job.exit_code, job.finished["problem"]) == (10, "no-alembic-config")
    assert ROOT.name not in job.finished["why"]
