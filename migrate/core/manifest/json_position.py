"""Where in a JSON text a value stands, which the parser of the standard library does not tell."""

from __future__ import annotations

import json
import re

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()

Path = tuple[str | int, ...]
"""The keys and indexes that lead from the document to a value."""


def line_of(text: str, path: Path) -> int:
    """The line of the value that the path leads to; the text is known to be JSON, and to have it."""
    at = _skip_blanks(text, 0)
    for step in path:
        at = _member(text, at, step)
    return text.count("\n", 0, at) + 1


def _member(text: str, at: int, step: str | int) -> int:
    """The offset of one member of the object or list at `at`."""
    at = _skip_blanks(text, at + 1)
    position = 0
    while True:
        name: object = position
        if isinstance(step, str):
            name, at = _DECODER.raw_decode(text, at)
            at = _skip_blanks(text, _skip_blanks(text, at) + 1)
        if name == step:
            return at
        at = _skip_blanks(text, _DECODER.raw_decode(text, at)[1])
        at = _skip_blanks(text, at + 1)
        position += 1


def _skip_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None  # it matches nothing, too
    return found.end()
