"""One process that takes a fleet's tenants, seen from the fleet: started, given a tenant, heard, ended."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Line
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.fleet.tenants import Tenant
    from migrate.job.runner_messages import Begin, Said, Take, Took

_RUNNER: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import migrate.job.tenant_runner as runner; sys.path.pop(0);"
    " runner.main(int(sys.argv[2]))"
)


@dataclass(slots=True)
class RunnerProcess:
    """One process that takes tenants."""

    begin: Begin
    cwd: Path
    tenant: Tenant | None = None
    taken: int = 0
    _line: Line | None = None
    _process: subprocess.Popen[bytes] | None = None
    _told: bool = False

    def __enter__(self) -> Self:
        """It is started with its first tenant."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it: one that is idle ends with its line."""
        self._end()

    @property
    def line(self) -> Line:
        """Where it speaks."""
        assert self._line is not None
        return self._line

    def take(self, take: Take) -> None:
        """Give it a tenant."""
        if self._process is None:
            self._start()
        self.tenant, self.taken = take.tenant, self.taken + 1
        self.line.send(take)

    def hear(self) -> Sequence[Said | Took] | None:
        """What it says; None where it is gone."""
        try:
            said: Sequence[bytes] = pickle.loads(self.line.recv_bytes())  # noqa: S301 - it is our own process
        except (EOFError, OSError):
            return None
        return [pickle.loads(each) for each in said]  # noqa: S301 - as above

    def interrupt(self, signum: int) -> None:
        """Hand a signal on, once."""
        if self._process is not None and not self._told:
            self._told = True
            self._process.send_signal(signum)

    def dismiss(self) -> None:
        """Let it end, and do not wait for that."""
        if self._line is not None:
            self._line.close()

    def renew(self) -> None:
        """Let the next tenant have a new process."""
        self._end()
        self.taken = 0

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _RUNNER, str(Path(migrate.__file__).parents[1]), str(theirs.fileno())],
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._line = Line(ours.detach())
        self._line.send(self.begin)

    def _end(self) -> None:
        self.dismiss()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2.0)
            self._process.kill()
            self._process.wait()
        self._line = self._process = None
