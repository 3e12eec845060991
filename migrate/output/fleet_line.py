"""The live line of a fleet: a bar with counts, the tenants in flight, and the time that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.events import Name

if TYPE_CHECKING:
    from collections.abc import Mapping

_BAR: Final = 20  # characters
_NAMED: Final = 4  # tenants in flight


class FleetLine:
    """What the lines of a fleet's tenants come to; ``began_s`` is when it saw the first, by the caller's clock."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._at_first: int | None = None  # those at head are passed over at once, and tell nothing of the others
        self._done = self._all = self._failed = 0
        self._in_flight: dict[str, None] = {}

    def note(self, fields: Mapping[str, object]) -> None:
        """A line of a tenant."""
        tenant, done, count = str(fields["tenant"]), fields.get("tenants_done"), fields.get("tenants")
        if isinstance(done, int) and isinstance(count, int):
            self._done, self._all = done, count
        if fields.get("event") == Name.TENANT_STARTED:
            self._in_flight[tenant] = None
            self._at_first = self._done if self._at_first is None else self._at_first
        elif fields.get("event") == Name.TENANT_FINISHED:
            self._in_flight.pop(tenant, None)
            self._failed += bool(fields.get("exit_code"))
        elif fields.get("event") == Name.TENANT_RETRY:
            self._in_flight.pop(tenant, None)

    def text(self, now_s: float) -> str:
        """The line as it is now."""
        share = self._done / self._all if self._all else 0.0
        bar = "#" * round(share * _BAR)
        failed = f", {self._failed} failed" if self._failed else ""
        names = list(self._in_flight)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        at_work = f"  {', '.join(names[:_NAMED])}{more}" if names else ""
        return f"[{bar:<{_BAR}}] {self._done} of {self._all} tenants{failed}{self._left(now_s)}{at_work}"

    def _left(self, now_s: float) -> str:
        taken = self._done - (self._at_first or 0)
        if taken <= 0:
            return ""
        left_s = (now_s - self._began_s) / taken * (self._all - self._done)
        return f", {left_s / 60:.0f} min left" if left_s > 90 else f", {left_s:.0f} s left"  # noqa: PLR2004 - a minute and a half
