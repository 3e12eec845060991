"""The child that stays for the next run: env.py and its application are imported once for all of them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from migrate.child.parent import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from migrate.core.events import Emit


class KeptChild:
    """One child process after the other: a new one only where the last is gone. To be closed."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._is_fresh = False  # it was begun ahead of its first run

    @property
    def is_there(self) -> bool:
        """Whether there is a child already, which may know things of an earlier run's database."""
        return self._worker is not None and not self._is_fresh

    @property
    def is_begun(self) -> bool:
        """Whether a process is there, for its first run or for the next."""
        return self._worker is not None

    def begin(self, environ: Mapping[str, str], cwd: Path, emit: Emit) -> None:
        """Let the child import what it needs while its first run is prepared, which tells it what the environment lacks.

        Where no process is to be had there is none yet: the run that needs one says so.
        """
        with suppress(OSError):
            self._worker, self._is_fresh = Worker(environ=environ, cwd=cwd, emit=emit), True

    def lend(self, environ: Mapping[str, str], cwd: Path, emit: Emit, wake: tuple[int, ...]) -> tuple[Worker, bool]:
        """The child for a run, and whether it is a new one, which alone is given ``environ`` and ``emit``."""
        is_alive = self._worker is not None and self._worker.is_alive
        if self._worker is None or not is_alive:
            self.close()
            self._worker = Worker(environ=environ, cwd=cwd, emit=emit)
        is_new = self._is_fresh or not is_alive
        if self._is_fresh:
            self._worker.emit, self._is_fresh = emit, False
        self._worker.wake = wake
        return self._worker, is_new

    def close(self) -> None:
        """Let the next run have a new child."""
        if self._worker is not None:
            if self._is_fresh:  # it does not listen before it has imported all, and has nothing to leave in order
                self._worker.kill()
            self._worker.end()
            self._worker, self._is_fresh = None, False
