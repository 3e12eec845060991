"""Every row of the bench, in the order of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import asked, replays, runs

if TYPE_CHECKING:
    from tests.bench.measure import Row

ROWS: list[Row] = [*runs.ROWS, *asked.ROWS, *replays.ROWS]
