"""The wish to stop, as whoever waits sees it: a file descriptor that becomes readable and the signal behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Interruption:
    """One per process; `migrate.job.signals` sets it, everything that waits watches ``fd``."""

    fd: int
    signum: int | None = None

    def check(self) -> None:
        """Raises Interrupted once a signal has arrived."""
        if self.signum is not None:
            raise Interrupted(self.signum)


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked the run to stop
    """Raised where a wait ends because of a signal; ``signum`` says which."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum
