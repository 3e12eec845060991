"""A replay reaches no other server than its own, whatever env.py and the revisions connect to."""

from __future__ import annotations

import importlib.util
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Production:
    """A listener that stands for somebody's server: whoever connects is counted, and a byte would be kept."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening() -> Iterator[Production]:
    production = Production()
    try:
        yield production
    finally:
        production.close()


@pytest.fixture
def production() -> Iterator[Production]:
    with listening() as found:
        yield found


SYNC = """
from sqlalchemy import create_engine
create_engine("postgresql+{driver}://app:hidden@127.0.0.1:{port}/app").connect()
"""
WAYS = {
    "psycopg2": SYNC.format(driver="psycopg2", port="{port}"),
    "psycopg2-keywords": 'import psycopg2\npsycopg2.connect(host="127.0.0.1", port={port}, user="app", dbname="app")\n',
    "psycopg2-variables": (
        'import os, psycopg2\nos.environ |= {{"PGHOST": "127.0.0.1", "PGPORT": "{port}"}}\npsycopg2.connect("user=app")\n'
    ),
    "psycopg2-pool": (
        "from psycopg2.pool import ThreadedConnectionPool\n"
        'ThreadedConnectionPool(1, 2, "host=127.0.0.1 port={port} user=app")\n'
    ),
    "psycopg": SYNC.format(driver="psycopg", port="{port}"),
    "psycopg-keywords": 'import psycopg\npsycopg.Connection.connect("user=app", host="127.0.0.1", port={port})\n',
    "psycopg-async": (
        "import asyncio, psycopg\n"
        'asyncio.run(psycopg.AsyncConnection.connect("postgresql://app@127.0.0.1:{port}/app"))\n'
    ),
    "asyncpg": (
        'import asyncio, asyncpg\nasyncio.run(asyncpg.connect("postgresql://app@127.0.0.1:{port}/app", timeout=5))\n'
    ),
    "asyncpg-pool": (
        "import asyncio, asyncpg\n"
        "async def go():\n"
        '    await asyncpg.create_pool(host="127.0.0.1", port={port}, user="app", min_size=1, timeout=5)\n'
        "asyncio.run(go())\n"
    ),
}
if importlib.util.find_spec("pg8000"):
    WAYS["pg8000"] = SYNC.format(driver="pg8000", port="{port}")


def replay(run_migrate: Any, server: Any, *arguments: str, **env: str) -> Any:
    return run_migrate(*(arguments or ("manifest",)), env={"MIGRATE_SHADOW_URL": server.url(), **env})


@pytest.mark.parametrize("way", WAYS)
def test_env_py_that_connects_elsewhere_is_refused_before_the_first_byte(project, run_migrate, server, production, way):
    project.linear(1)
    project.write_env(head=WAYS[way].format(port=production.port))
    result = replay(run_migrate, server)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (13, "other-server"), result.stdout
    assert f"127.0.0.1:{production.port}" in result.finished["why"]
    assert f"MIGRATE_SHADOW_ALLOW=127.0.0.1:{production.port} " in result.finished["fix"]
    assert production.calls == 0


@pytest.mark.parametrize("way", ["psycopg2", "psycopg", "asyncpg"])
def test_an_env_py_that_swallows_the_refusal_ends_in_no_success(project, run_migrate, server, production, way):
    project.linear(1)
    body = "".join(f"    {line}\n" for line in WAYS[way].format(port=production.port).strip().splitlines())
    project.write_env(head=f"try:\n{body}except Exception:\n    pass\n")
    result = replay(run_migrate, server)
    assert (result.exit_code, result.finished["problem"]) == (13, "other-server"), result.stdout
    assert production.calls == 0
    assert not project.manifest.exists()


@pytest.mark.parametrize("verb", ["manifest", "test"])
def test_a_revision_that_connects_elsewhere_is_named(project, run_migrate, server, production, verb):
    project.revision("one", upgrade=WAYS["psycopg2"].format(port=production.port))
    result = replay(run_migrate, server, verb)
    assert "revision one would have connected to" in result.stdout.decode()
    assert result.exit_code in (11, 13)
    assert production.calls == 0


def test_a_server_may_be_allowed(project, run_migrate, server, production):
    project.linear(1)
    body = "".join(f"    {line}\n" for line in WAYS["psycopg2"].format(port=production.port).strip().splitlines())
    project.write_env(head=f"try:\n{body}except Exception as error:\n    assert 'throw-away' not in str(error)\n")
    result = replay(run_migrate, server, MIGRATE_SHADOW_ALLOW=f"127.0.0.1:{production.port}")
    assert result.exit_code == 0, result.stdout
    assert production.calls == 1


def test_the_shadow_itself_is_reached_by_every_driver(project, run_migrate, server):
    project.linear(1)
    for engine, driver in (("sync", "psycopg2"), ("sync", "psycopg"), ("async", "asyncpg"), ("async", "psycopg")):
        project.write_env(engine=engine, driver=driver)
        result = replay(run_migrate, server, "manifest", "--full")
        assert result.exit_code == 0, (driver, result.stdout)


def test_a_release_may_connect_to_whatever_it_wants(project, run_migrate, database, production):
    project.linear(1)
    body = "".join(f"    {line}\n" for line in WAYS["psycopg2"].format(port=production.port).strip().splitlines())
    project.write_env(head=f"try:\n{body}except Exception:\n    pass\n")
    assert run_migrate("up", database=database).exit_code == 0
    assert production.calls == 1


PARTS_ENV = """
import os
url = "postgresql+psycopg2://{}:{}@{}:{}/{}".format(*(os.environ[f"SHOP__DATABASE__{part}"]
    for part in ("LOGIN", "SECRET", "SERVER", "PORT", "NAME")))
"""


@pytest.mark.parametrize("file", [None, ".env"])
def test_an_application_that_puts_its_url_together_finds_the_shadow(project, run_migrate, server, production, file):
    project.linear(2)
    real = {"LOGIN": "svc", "SECRET": "s3cret", "SERVER": "127.0.0.1", "PORT": str(production.port), "NAME": "shop"}
    real = {f"SHOP__DATABASE__{part}": value for part, value in real.items()}
    head = PARTS_ENV
    if file is not None:
        (project.path / file).write_text("".join(f"{name}='{value}'\n" for name, value in real.items()))
        read = "import pathlib\nfor line in pathlib.Path('.env').read_text().splitlines():\n"
        head = f"{read}    os.environ.setdefault(*line.replace(\"'\", '').split('='))\n{PARTS_ENV}"
    project.write_env(head=head)
    result = replay(run_migrate, server, **({} if file else real))
    assert result.exit_code == 0, result.stdout
    assert production.calls == 0


def test_names_that_tell_nothing_are_mapped_by_a_setting(project, run_migrate, server):
    project.linear(1)
    project.write_env(head="import os\nurl = f\"postgresql+psycopg2://{os.environ['SHOP_STORE']}\"\n")
    mapped = "SHOP_STORE={user}:{password}@{host}:{port}/{database}"
    result = replay(run_migrate, server, SHOP_STORE="svc:x@prod/shop", MIGRATE_SHADOW_ENVIRON=mapped)
    assert result.exit_code == 0, result.stdout
