"""The Procfile, run by honcho on a real database: the release phase, then the service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.validators import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Database

pytestmark = pytest.mark.deep

TOOLS = Path(sys.executable).parent


def honcho(database: Database, *arguments: str, port: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TOOLS / "honcho", "--no-prefix", "--no-colour", *arguments],
        cwd=ROOT,
        env={
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "DATABASE_URL": database.url,
            "PORT": str(port),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def release(database: Database) -> tuple[int, dict[str, Any]]:
    """Run the release phase as Heroku does; its exit code and the job's last line."""
    process = honcho(database, "start", "--port", "1", "release")
    output, _ = process.communicate(timeout=90)
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return process.returncode, events[-1]


def is_up(process: subprocess.Popen[str], address: str) -> bool:
    """Whether the service answers; fails where it has ended."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        assert process.poll() is None, process.communicate()
        return False


@contextmanager
def web(database: Database) -> Iterator[str]:
    """Run the service; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = honcho(database, "start", "--port", str(port), "web")
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_up(process, address), seconds=60)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_release_phase_migrates_and_the_service_serves_rows(database: Database) -> None:
    code, last = release(database)
    assert (code, last["outcome"], last["applied_count"]) == (0, "applied", 8)
    with web(database) as address:
        body = json.dumps({"url": "https://example.org/1", "content": "text", "source": "wire"}).encode()
        request = urllib.request.Request(f"{address}/articles", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201
        with urllib.request.urlopen(f"{address}/articles", timeout=10) as answer:
            assert [article["url"] for article in json.load(answer)] == ["https://example.org/1"]
    code, last = release(database)
    assert (code, last["outcome"]) == (0, "noop"), "Heroku runs it again after a rollback and a change of settings"


def test_a_refused_release_is_an_exit_code(database: Database) -> None:
    database.execute("CREATE TABLE orders (id integer)")
    code, last = release(database)
    assert (code, last["problem"]) == (15, "untracked")
