"""Waits for who keeps readers of the catalog out: before anything was decided, a run has nothing to roll back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from migrate.core.events import Event, Level, Name
from migrate.core.problems import stop
from migrate.core.retry import Retries
from migrate.postgres.connection import jitter, pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.core.decide.policy import Limits
    from migrate.core.events import Emit
    from migrate.core.interruption import Interruption
    from migrate.core.problems import Stop


class Patience:
    """How long one observation may be waited for: the tries and the budget that a revision has for its locks."""

    def __init__(
        self, limits: Limits, interruption: Interruption, emit: Emit, beat: Callable[[], None], started_s: float
    ) -> None:
        self._limits = limits
        self._interruption = interruption
        self._emit = emit
        self._beat = beat
        self._deadline_at = limits.deadline_at(started_s)
        self._retries = Retries(limits.lock_tries, limits.lock_budget_s)
        self._began_s = time.monotonic()
        self._tried = 0

    def wait(self, blocked: Stop) -> None:
        """Wait until it is time for another look.

        Raises Stop (``blocked`` itself when its budget is spent, `deadline`) or Interrupted.
        """
        waited = time.monotonic() - self._began_s
        self._tried += 1
        delay = self._retries.delay_s(self._tried, waited, jitter(0.0, 1.0))
        if delay is None:
            raise blocked
        blockers = {"blockers": blocked.problem.facts.get("blockers", [])}
        message = f"{blocked.problem.why}; next look in {delay:.1f} s"
        self._emit(Event(Name.STATEMENT_BLOCKED, message, Level.WARN, blockers))
        left = self._deadline_at - time.monotonic()
        pause(max(0.0, min(delay, left)), self._interruption, self._beat)
        if time.monotonic() >= self._deadline_at:
            raise stop("deadline", f"the deadline came after {waited:.0f} s of waiting: {blocked.problem.why}")
