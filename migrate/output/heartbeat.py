"""Says that a run is alive where nothing else was said for a while: platforms take a job that is silent for dead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from migrate.core.events import Event, Name

if TYPE_CHECKING:
    from migrate.core.events import Emit

SILENCE_S: Final = 9.0


class Pulse:
    """Emits events and, when whoever waits calls `beat` during a silence, a heartbeat."""

    def __init__(self, emit: Emit) -> None:
        self.started_s = time.monotonic()
        self._emit = emit
        self._said_s = self.started_s

    def emit(self, event: Event) -> None:
        """Pass an event on."""
        self._said_s = time.monotonic()
        self._emit(event)

    def beat(self) -> None:
        """Say that the run is alive, if nothing was said for `SILENCE_S` seconds; to be called more often than that."""
        now = time.monotonic()
        if now - self._said_s >= SILENCE_S:
            lasted = now - self.started_s
            self.emit(Event(Name.HEARTBEAT, f"at work for {lasted:.0f} s", fields={"elapsed_ms": round(lasted * 1000)}))
