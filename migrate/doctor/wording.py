"""Ages, sizes and lists in the sentences of checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST: Final = 8  # names in a sentence


def age(seconds: float | None) -> str:
    """An age for people."""
    whole = int(seconds or 0)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def listed(names: Sequence[str]) -> str:
    """The end of a sentence that counts them: `: a, b`; empty for none."""
    return f": {shortened(names, MOST)}" if names else ""
