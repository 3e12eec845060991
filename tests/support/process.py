"""The real process: `python -m migrate` as a platform starts it, and plain Alembic beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.project import Project
    from tests.support.server import Database

# Long enough for a busy machine: these only end a hang, they measure nothing.
WAIT_SECONDS = 30.0
END_SECONDS = 90.0

_PART_OF_A_SECRET = 8


def minimal_environment() -> dict[str, str]:
    """Return what a container gives a process, and what coverage needs to follow it; nothing else of ours."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS_")}
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **kept}


def children_of(pid: int) -> list[int]:
    """The processes that the main thread of a process has started, as Linux tells."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass(frozen=True)
class Result:
    """What a run of the process left."""

    exit_code: int  # negative: the number of the signal that killed it
    stdout: bytes
    stderr: bytes
    password: str = ""  # of the database that it was given

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The lines of stdout that are JSON objects."""
        return [event for line in self.stdout.splitlines() if (event := _parse(line)) is not None]

    @property
    def finished(self) -> dict[str, Any] | None:
        """The last `run.finished`."""
        return next((event for event in reversed(self.events) if event.get("event") == "run.finished"), None)

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the events of that name."""
        return [found for found in self.events if found.get("event") == event]

    def check_clean(self, secret: str | None = None) -> None:
        """Assert what every run owes: JSON lines, one `run.finished` and it last, silent stderr, no secret.

        `secret` is looked for beside the password of the run's database. Of each, any part of 8 characters counts.
        """
        assert self.stderr == b"", self.stderr.decode(errors="replace")
        assert self.stdout.endswith(b"\n"), self.stdout
        for line in self.stdout.split(b"\n")[:-1]:
            assert _parse(line) is not None, f"not a JSON object: {line!r}"
        names = [event.get("event") for event in self.events]
        assert names.count("run.finished") == 1, names
        assert names[-1] == "run.finished", names
        assert self.events[-1]["exit_code"] == self.exit_code
        for value in filter(None, (self.password, secret)):
            assert_absent(value, self.stdout)


def assert_absent(secret: str, output: bytes) -> None:
    """Assert that no part of 8 characters of the secret, in any common encoding, is in the output."""
    encodings = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
    haystack = output.lower()
    for encoded in encodings:
        needle = encoded.encode().lower()
        for start in range(max(1, len(needle) - _PART_OF_A_SECRET + 1)):
            part = needle[start : start + _PART_OF_A_SECRET]
            position = haystack.find(part)
            assert position == -1, f"a part of the secret: {output[max(0, position - 60) : position + 60]!r}"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class Running:
    """A started process; its output is read as it comes."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], password: str = "") -> None:
        """Start it, without stdin and in a session of its own."""
        self._password = password
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        self._arrived = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=stream, daemon=True)
            for stream in ((self._process.stdout, self._stdout), (self._process.stderr, self._stderr))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def so_far(self) -> Result:
        """What it wrote until now; its exit code is 0 while it runs."""
        with self._arrived:
            return Result(self._process.poll() or 0, b"".join(self._stdout), b"".join(self._stderr), self._password)

    def wait_for(self, event: str, timeout_seconds: float = WAIT_SECONDS, **fields: object) -> dict[str, Any]:
        """Return the first event of that name whose fields equal `fields`, once it was written."""
        deadline = time.monotonic() + timeout_seconds
        seen = 0
        while True:
            with self._arrived:
                lines = self._stdout[seen:]
                ended = not any(reader.is_alive() for reader in self._readers)
                if not lines and not ended:
                    assert time.monotonic() < deadline, f"no {event} in time:\n{self._transcript()}"
                    self._arrived.wait(0.1)
                    continue
            seen += len(lines)
            for line in lines:
                found = _parse(line)
                if found and found.get("event") == event and fields.items() <= found.items():
                    return found
            assert lines or not ended, f"ended without {event}:\n{self._transcript()}"

    def signal(self, number: signal.Signals) -> None:
        """Send the signal to the process alone."""
        self._process.send_signal(number)

    def finish(self, timeout_seconds: float = END_SECONDS) -> Result:
        """Wait for its end."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running:\n{self._transcript()}") from None
        for reader in self._readers:
            reader.join()
        return Result(self._process.returncode, b"".join(self._stdout), b"".join(self._stderr), self._password)

    def kill(self) -> None:
        """End it and its children, as `kill -9` does; nothing if it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for reader in self._readers:
            reader.join()

    def _read(self, stream: IO[bytes], lines: list[bytes]) -> None:
        with stream:
            for line in stream:
                with self._arrived:
                    lines.append(line)
                    self._arrived.notify_all()

    def _transcript(self) -> str:
        return b"".join([*self._stdout, *self._stderr]).decode(errors="replace")


def migrate_command(*arguments: str) -> list[str]:
    """Return the command line of our own process."""
    return [sys.executable, "-m", "migrate", *arguments]


def alembic(
    project: Project, database: Database, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run plain Alembic on the project and the database, which it finds in DATABASE_URL and in `sqlalchemy.url`."""
    url = database.url.replace("postgresql://", "postgresql+psycopg2://", 1)
    # A copy beside alembic.ini, so that %(here)s and relative paths stay what they are.
    ini = project.path / "alembic-with-url.ini"
    text = project.ini.read_text(encoding="utf-8")
    ini.write_text(
        text.replace("[alembic]\n", f"[alembic]\nsqlalchemy.url = {url.replace('%', '%%')}\n"), encoding="utf-8"
    )
    result = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ini), *arguments],
        cwd=project.path,
        env={**minimal_environment(), "DATABASE_URL": database.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result
