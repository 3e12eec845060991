"""Numbers and lists in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LISTED: Final = 5  # names in a sentence; the log line's fields carry more


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number with its noun: ``1 revision``, ``2 revisions``; ``many`` where it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def shortened(names: Iterable[str], most: int = LISTED) -> str:
    """The first names and how many more there are: ``a, b and 3 more``; empty for none."""
    return _first(tuple(names), most, ", ", " and ")


def clauses(parts: Iterable[str]) -> str:
    """The first parts of a sentence and how many more there are: ``a; b; and 3 more``; empty for none."""
    return _first(tuple(parts), LISTED, "; ", "; and ")


def _first(parts: Sequence[str], most: int, between: str, last: str) -> str:
    more = f"{last}{len(parts) - most} more" if len(parts) > most else ""
    return between.join(parts[:most]) + more


def size(number: int) -> str:
    """A number of bytes, in the units that PostgreSQL prints."""
    value, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1024:  # noqa: PLR2004 - what a unit is larger by
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}"


def duration(milliseconds: object) -> str:
    """Give a duration in milliseconds in the unit that people would use."""
    if not isinstance(milliseconds, int | float):
        return ""
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
