"""What a run on a clone measured: the time, bytes and rows of what one commit brought, and what others had to wait for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from migrate.core.foresee.effects import Blocks
from migrate.core.foresee.observed import MODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from migrate.core.foresee.watched import Relation, Trace

_ROWS: Final = "RowExclusiveLock"  # whoever writes rows holds it on their table


class Stored(NamedTuple):
    """A relation with its file at one moment, as `pg_class` has it; ``table`` is 0 but for an index."""

    schema: str
    name: str
    table: int
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class HeldLock:
    """For how long others could not write a table, or neither read nor write it; 0 ms: for less than could be seen."""

    table: str
    blocks: Blocks
    held_ms: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one commit brought. ``wal_bytes`` is the whole server's; None stands for what could not be asked.

    ``written_bytes`` are of files that were made or have grown, indexes and TOAST included. ``rows`` do not count what
    statements that commit by themselves have written: then ``counts_all`` is false.
    """

    revisions: tuple[str, ...]
    duration_ms: int
    waited_ms: int  # for locks of others
    wal_bytes: int | None
    written_bytes: int | None
    rows: tuple[tuple[str, int], ...]
    counts_all: bool
    locks: tuple[HeldLock, ...]

    def fields(self) -> dict[str, object]:
        """As flat fields of a log line."""
        return {
            **self.to_json(),
            "rows": [f"{table} {number}" for table, number in self.rows],
            "locks": [f"{lock.blocks} of {lock.table}: {lock.held_ms} ms" for lock in self.locks],
        }

    def to_json(self) -> dict[str, object]:
        """As one object."""
        return {
            "revisions": list(self.revisions),
            "duration_ms": self.duration_ms,
            "waited_ms": self.waited_ms,
            "wal_bytes": self.wal_bytes,
            "written_bytes": self.written_bytes,
            "rows": dict(self.rows),
            "rows_complete": self.counts_all,
            "locks": [
                {"table": lock.table, "blocks": str(lock.blocks), "held_ms": lock.held_ms} for lock in self.locks
            ],
        }


def blocking(locks: Iterable[tuple[int, str]], tables: Mapping[int, int]) -> dict[int, Blocks]:
    """By table, the strongest of these locks (relation and mode) that others wait for.

    ``tables`` leads from each relation that was there before to its table.
    """
    found: dict[int, Blocks] = {}
    for relation, mode in locks:
        blocks, table = MODES.get(mode, Blocks.NOTHING), tables.get(relation)
        if table is not None and blocks is not Blocks.NOTHING:
            found[table] = max(found.get(table, Blocks.NOTHING), blocks, key=lambda each: each.rank)
    return found


@dataclass(slots=True)
class LockTimes:
    """Adds up for how long what was blocked, from looks at moments in seconds; between two looks it was as at the first."""

    held_s: dict[tuple[int, Blocks], float] = field(default_factory=dict)
    waited_s: float = 0.0
    _at: float = 0.0
    _now: Mapping[int, Blocks] = field(default_factory=dict)
    _waits: bool = False

    def see(self, at: float, now: Mapping[int, Blocks], *, waits: bool) -> None:
        """What is blocked at this moment, and whether the revision itself waits for a lock."""
        for key in self._now.items():
            self.held_s[key] = self.held_s.get(key, 0.0) + at - self._at
        if self._waits:
            self.waited_s += at - self._at
        for key in now.items():
            self.held_s.setdefault(key, 0.0)
        self._at, self._now, self._waits = at, now, waits


def written(before: Mapping[int, Stored], after: Mapping[int, Stored]) -> int:
    """The bytes of files that are new, and those by which the others have grown."""
    total = 0
    for oid, now in after.items():
        was = before.get(oid)
        total += now.size if was is None or was.file != now.file else max(0, now.size - was.size)
    return total


def rows_written(relations: Iterable[Relation], traces: Iterable[Trace]) -> dict[int, int]:
    """By table, the rows that these statements have written; a session counts on, or begins anew after a commit."""
    last = {relation.oid: relation.written for relation in relations}
    found: dict[int, int] = {}
    for trace in traces:
        for lock in trace.locks:
            if lock.mode != _ROWS:
                continue
            was = last.get(lock.relation, 0)
            more = lock.written - was if lock.written >= was else lock.written
            last[lock.relation] = lock.written
            if more:
                found[lock.relation] = found.get(lock.relation, 0) + more
    return found


def held_locks(times: LockTimes, also: Iterable[tuple[int, Blocks]], names: Mapping[int, str]) -> tuple[HeldLock, ...]:
    """The locks by table, the strongest first; those that only the revision itself could see are ``also`` there."""
    found = dict.fromkeys(also, 0.0) | times.held_s
    return tuple(
        sorted(
            (
                HeldLock(names[table], blocks, round(held_s * 1000))
                for (table, blocks), held_s in found.items()
                if table in names
            ),
            key=lambda lock: (lock.table, -lock.blocks.rank),
        )
    )
