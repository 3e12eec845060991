"""The tenants of a fleet as a table: the odd ones first, those that are as they should be counted by where they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.decide.outcome import Result
from migrate.core.fleet.ending import weight
from migrate.core.problems import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.fleet.ending import TenantEnd


@dataclass(frozen=True, slots=True)
class Row:
    """One tenant: where it is, how many revisions are left, and what there is to say."""

    tenant: str
    rows: tuple[str, ...]
    pending: int
    said: str
    is_odd: bool  # somebody has to look at it, or something is left to do

    @property
    def at(self) -> str:
        """Where it is, for people."""
        return ", ".join(self.rows) or "-"


def grid(ends: Iterable[TenantEnd], not_begun: Iterable[str]) -> list[Row]:
    """Every tenant: those that failed, the most serious first, those with something left, and the others by name."""
    ordered = sorted(ends, key=lambda end: (-weight(end.exit_code), -end.exit_code, not end.pending, end.tenant))
    listed = [_row(end) for end in ordered]
    late = [Row(name, (), 0, "not begun", is_odd=True) for name in sorted(not_begun)]
    return sorted([*listed, *late], key=lambda row: not row.is_odd)


def _row(end: TenantEnd) -> Row:
    if not end.is_there:
        return Row(end.tenant, (), 0, "not provisioned", is_odd=True)
    is_odd = end.exit_code is not ExitCode.OK or bool(end.pending)
    is_behind = bool(end.pending) and end.result is Result.NOOP
    said = (
        f"{int(end.exit_code)} {end.problem}" if end.problem is not None else str("behind" if is_behind else end.result)
    )
    return Row(end.tenant, tuple(end.rows), end.pending, said, is_odd=is_odd)


def alike(rows: Iterable[Row]) -> list[list[Row]]:
    """Those of which there is the same to say, together, in the order of the rows."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.rows, row.pending, row.said), []).append(row)
    return list(groups.values())


def counts(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """How many of these are where, the most first."""
    return Counter(row.at for row in rows).most_common()
