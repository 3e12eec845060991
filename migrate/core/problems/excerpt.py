"""The line of a file where something failed, with a mark under what failed there: for people alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 120  # characters of a line that are shown
_BEFORE: Final = 20  # of them before the mark, where the line is longer
_TAB: Final = 4
_CUT: Final = "…"


class Excerpt(Value):
    """A line of a file; ``start`` and ``end`` are the characters of it that are marked, ``end`` the first after them."""

    place: str
    text: str
    start: int
    end: int

    def lines(self, redact: Callable[[str], str]) -> tuple[str, ...]:
        """The place, the line without its indentation and without secrets, and the mark.

        Where a secret was taken out the mark would stand under something else, and is left out.
        """
        before, marked = (len(self.text[:at].expandtabs(_TAB)) for at in (self.start, self.end))
        text = self.text.expandtabs(_TAB).rstrip()
        indentation = len(text) - len(text.lstrip())
        text, before, marked = text[indentation:], max(before - indentation, 0), max(marked - indentation, 0)
        if redact(text) != text:
            return self.place, redact(text)[:_MOST]
        if len(text) > _MOST:
            skipped = max(before - _BEFORE, 0) if before > _MOST - _BEFORE else 0
            head = _CUT if skipped else ""
            text = f"{head}{text[skipped:]}"
            before, marked = before - skipped + len(head), marked - skipped + len(head)
            text = f"{text[:_MOST]}{_CUT}" if len(text) > _MOST else text
        mark = " " * before + "^" * max(min(marked, len(text)) - before, 1)
        return self.place, text, mark
