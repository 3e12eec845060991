"""What revisions will send: they are run in a throw-away database that is at the same revisions, and listened to.

Not Alembic's offline mode, which fails where a revision asks the database anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.child.protocol import Sent, Wanted
from migrate.core.decide.plan import Upgrade
from migrate.core.history.faults import HistoryFault
from migrate.core.problems import Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.events import Emit
    from migrate.shadow.ground import Ground


def record_sql(ground: Ground, rows: Sequence[str], upgrade: Upgrade, emit: Emit) -> list[Sent]:
    """Every statement of the ``upgrade`` of a database that is at ``rows``. Raises Stop or Interrupted."""
    while True:
        try:
            return _record(ground, rows, upgrade)
        except Stop as stopped:
            if not ground.provide(stopped.problem, emit):
                raise ground.explained(stopped) from stopped


def _record(ground: Ground, rows: Sequence[str], upgrade: Upgrade) -> list[Sent]:
    ground.enter(ground.base)
    for number, row in enumerate(rows):
        before = ground.image.graph.pending(tuple(rows[:number]), row)
        assert not isinstance(before, HistoryFault)
        ground.carry_out(Upgrade(row, before))
    seen = ground.carry_out(upgrade, wanted=Wanted(is_recorded=True)).seen
    return [each for each in seen if isinstance(each, Sent)]
