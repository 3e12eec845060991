"""Renders what a run on a clone measured: as text, and in Markdown for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.wording import counted, duration, shortened, size
from migrate.output.github import plain
from migrate.output.terminal import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.measured import HeldLock, Measured

_STEP_MS = 20  # what is shorter may not have been seen


def measured_text(measured: Sequence[Measured], messages: Mapping[str, str]) -> str:
    """For people: a line for what each commit brought, and lines for what others had to wait for."""
    lines = []
    for each in measured:
        lines.append(f"{_names(each, messages)}: {duration(each.duration_ms)}, {_bytes(each)}")
        lines += [f"  {lock_sentence(lock)}" for lock in each.locks]
        if each.waited_ms:
            lines.append(f"  waited {duration(each.waited_ms)} for locks of others")
        if each.rows or not each.counts_all:
            lines.append(f"  rows written: {_rows(each)}")
    return "\n".join(map(shown, lines))


def measured_markdown(
    measured: Sequence[Measured], messages: Mapping[str, str], *, failed: str | None, warnings: Sequence[str] = ()
) -> str:
    """A comment for a pull request; nothing in it is markup. ``failed`` is why the run did not end well."""
    lines = [f"### Migrations on a clone: {counted(len(measured), 'commit')}", ""]
    for warning in warnings:
        lines += [f"**Warning:** {plain(warning)}", ""]
    if failed is not None:
        lines += [f"**Failed:** {plain(failed)}", ""]
    if measured:
        lines += ["| revision | took | WAL | written | rows | blocked |", "|---|---|---|---|---|---|"]
    for each in measured:
        blocked = "; ".join(map(lock_sentence, each.locks)) or "nothing"
        wal, written = _size(each.wal_bytes), _size(each.written_bytes)
        cells = (_names(each, messages), duration(each.duration_ms), wal, written, _rows(each) or "none", blocked)
        lines.append(f"| {' | '.join(map(plain, cells))} |")
    if not measured:
        lines.append("Nothing was pending there." if failed is None else "Nothing was committed there.")
    return "\n".join(lines)


def lock_sentence(lock: HeldLock) -> str:
    """What others could not do, and for how long."""
    held = duration(lock.held_ms) if lock.held_ms >= _STEP_MS else f"less than {_STEP_MS} ms"
    return f"{lock.blocks} of {lock.table} blocked for {held}"


def _names(each: Measured, messages: Mapping[str, str]) -> str:
    if len(each.revisions) == 1:
        return f"{each.revisions[0]} {messages.get(each.revisions[0], '')}".rstrip()
    return shortened(each.revisions)


def _bytes(each: Measured) -> str:
    return f"WAL {_size(each.wal_bytes)}, written {_size(each.written_bytes)}"


def _size(number: int | None) -> str:
    return "not known" if number is None else size(number)


def _rows(each: Measured) -> str:
    found = [f"{table} {number}" for table, number in each.rows]
    return ", ".join(
        [*found, *([] if each.counts_all else ["those of statements that commit by themselves not counted"])]
    )
