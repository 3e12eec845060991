"""How long to wait before a blocked revision, or a blocked look, is tried again; the loops are in `steps/upgrade.py` and `job/patience.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and for how long a blocked revision is tried; ``budget_s`` counts from its first try, waits included."""

    tries: int
    budget_s: float

    def delay_s(self, tried: int, spent_s: float, jitter: float) -> float | None:
        """Seconds to wait after ``tried`` tries, None where no further one is allowed.

        ``jitter`` in [0, 1) spreads runners that were blocked by the same transaction: the delay is between half of and
        the whole of the doubled one.
        """
        if tried >= self.tries:
            return None
        delay = min(FIRST_S * 2.0 ** (tried - 1), LONGEST_S) * (0.5 + jitter / 2)
        return delay if spent_s + delay < self.budget_s else None
