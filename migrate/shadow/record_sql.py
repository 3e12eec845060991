"""What revisions will send: they are run in a throw-away database that is at the same revisions, and listened to.

Not Alembic's offline mode, which fails where a revision asks the database anything.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.decide.plan import Upgrade
from migrate.core.history.graph import HistoryFault
from migrate.core.problems.catalogue import Stop
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.steps.upgrade import Upgrading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.events import Emit
    from migrate.core.history.image import Image
    from migrate.shadow.databases import Shadow
    from migrate.shadow.replay import Replay


@dataclass(frozen=True, slots=True)
class Sent:
    """One statement of a revision, as the driver sends it."""

    revision: str
    sql: str


class _Recording(Upgrading):
    def job(self) -> dict[str, object]:
        """The job of an upgrade whose statements are told."""
        return {**super().job(), "recorded": True}


def record_sql(
    replay: Replay, shadow: Shadow, image: Image, rows: Sequence[str], upgrade: Upgrade, emit: Emit
) -> list[Sent]:
    """Every statement of the ``upgrade`` of a database that is at ``rows``. Raises Stop or Interrupted."""
    while True:
        try:
            return _record(replay, shadow, image, rows, upgrade)
        except Stop as stopped:
            if not replay.provide(stopped.problem, emit):
                raise replay.explained(stopped) from stopped


def _record(replay: Replay, shadow: Shadow, image: Image, rows: Sequence[str], upgrade: Upgrade) -> list[Sent]:
    target = replay.aim(replay.make_base() if replay.has_base else shadow.create())
    with closing(replay.connect(target, CONTROL_NAME)) as reader, replay.under_guard(target) as run:

        def carry_out(upgrading: Upgrading) -> None:
            run.before = replay.observe(reader, target, with_schema=False)
            run.applied = []
            upgrading.carry_out()

        for number, row in enumerate(rows):
            before = image.graph.pending(tuple(rows[:number]), row)
            assert not isinstance(before, HistoryFault)
            carry_out(Upgrading(run, Upgrade(row, before)))
        recording = _Recording(run, upgrade)
        carry_out(recording)
        return [Sent(revision, sql) for revision, sql in recording.sent]
