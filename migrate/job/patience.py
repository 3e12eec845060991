"""Waits for who keeps readers of the catalog out: before anything was decided, a run has nothing to roll back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from migrate.core.events import Event, Level, Name
from migrate.core.retry import Retries
from migrate.postgres.connection import jitter

if TYPE_CHECKING:
    from migrate.context import Context
    from migrate.core.problems import Stop


class Patience:
    """How long one observation may be waited for: the tries and the budget that a revision has for its locks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._retries = Retries(context.limits.lock_tries, context.limits.lock_budget_s)
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
        self._context.emit(Event(Name.STATEMENT_BLOCKED, message, Level.WARN, blockers))
        self._context.pause(delay)
        self._context.refuse_overdue(f"after {waited:.0f} s of waiting: {blocked.problem.why}")
