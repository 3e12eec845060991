"""Which lines of a manifest have to change."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_BETWEEN_REVISIONS: Final = frozenset({"{", "}, {", "},{"})


@dataclass(frozen=True, slots=True)
class LineChange:
    """Lines that one text has in the place of lines of another; `old_line` is where, 1-based."""

    old_line: int
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(slots=True)
class _Part:
    """A revision's lines, or those before the first one; `key` is the line with its id, `line` the first one's number."""

    key: str
    line: int
    lines: list[str]


def line_diff(old_text: str, new_text: str) -> tuple[LineChange, ...]:
    """Which lines of the old text have to change to make the new one.

    The old text may be anything; in manifests, a revision is held against that of the same id, which keeps thousands of
    similar lines from being mistaken, and compared, one for another.
    """
    old, new = _parts(old_text), _parts(new_text)
    found: list[LineChange] = []
    matcher = SequenceMatcher(None, [part.key for part in old], [part.key for part in new])
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            for one, other in zip(old[old_from:old_to], new[new_from:new_to], strict=True):
                found += _changes(one, other)
        else:
            found += _changes(_joined(old, old_from, old_to), _joined(new, new_from, new_to))
    return tuple(found)


def _parts(text: str) -> list[_Part]:
    parts = [_Part("", 1, [])]
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if bare in _BETWEEN_REVISIONS and number > 1:
            parts.append(_Part("", number, []))
        parts[-1].lines.append(line)
        if bare.startswith('"id": '):
            parts[-1].key = bare
    return parts


def _joined(parts: list[_Part], start: int, stop: int) -> _Part:
    # Nothing is put after the last part: its place is the line after all of them.
    line = parts[start].line if start < len(parts) else parts[-1].line + len(parts[-1].lines)
    return _Part("", line, [line for part in parts[start:stop] for line in part.lines])


def _changes(old: _Part, new: _Part) -> Iterator[LineChange]:
    if old.lines == new.lines:
        return
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, old.lines, new.lines).get_opcodes():
        if tag != "equal":
            yield LineChange(
                old.line + old_from,
                tuple(old.lines[old_from:old_to]),
                tuple(new.lines[new_from:new_to]),
            )
