"""The child that stays for the next run: env.py and its application are imported once for all of them."""

from __future__ import annotations

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

    @property
    def is_there(self) -> bool:
        """Whether there is a child already, which may know things of an earlier run's database."""
        return self._worker is not None

    def lend(self, environ: Mapping[str, str], cwd: Path, emit: Emit, wake: tuple[int, ...]) -> tuple[Worker, bool]:
        """The child for a run, and whether it is a new one, which alone is given ``environ`` and ``emit``."""
        is_new = self._worker is None or not self._worker.is_alive
        if self._worker is None or is_new:
            self.close()
            self._worker = Worker(environ=environ, cwd=cwd, emit=emit)
        self._worker.wake = wake
        return self._worker, is_new

    def close(self) -> None:
        """Let the next run have a new child."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None
