"""The run under way: the one value that everything which waits or speaks is given."""

from __future__ import annotations

import select
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from migrate.core.problems import stop
from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.core.decide.policy import Limits
    from migrate.core.events import Emit
    from migrate.core.interruption import Interruption

BEAT_S: Final = 1.0  # how often who waits lets itself be heard


class Context(Value):
    """Which run it is, how long it may take, what may end it, and where it says things."""

    verb: str
    run_id: str
    limits: Limits
    started_s: float  # monotonic
    interruption: Interruption
    emit: Emit
    beat: Callable[[], None]  # called by whoever waits, so that a silence is broken by a heartbeat
    bind: Callable[..., None]  # what is learned on the way, for the first and the last line
    redact: Callable[[str], str]

    @property
    def deadline_at(self) -> float:
        """When the time is up, on the monotonic clock; infinity without a deadline."""
        return self.limits.deadline_at(self.started_s)

    @property
    def time_left_s(self) -> float:
        """The seconds until the deadline; infinite without one."""
        return self.deadline_at - time.monotonic()

    def refuse_overdue(self, when: str) -> None:
        """Raises Stop (`deadline`) where the time is up; ``when`` ends the sentence."""
        if self.time_left_s <= 0:
            raise stop("deadline", f"the deadline of {self.limits.deadline_s:g} s came {when}")

    def go_on(self, when: str) -> None:
        """Be heard; raises Interrupted after a signal, and Stop (`deadline`) where the time is up."""
        self.interruption.check()
        self.refuse_overdue(when)
        self.beat()

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the deadline, and be heard meanwhile; raises Interrupted at once when a signal arrives."""
        until = time.monotonic() + max(0.0, min(seconds, self.time_left_s))
        while (left := until - time.monotonic()) > 0:
            self.interruption.check()
            select.select([self.interruption.fd], [], [], min(left, BEAT_S))
            self.beat()
        self.interruption.check()

    def silent(self) -> Context:
        """The same run, where nobody else wants to hear of what it does."""
        return replace(self, emit=lambda _event: None)
