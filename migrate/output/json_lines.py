"""Renders the fields of one event as one JSON line that every platform's log reader accepts, whatever is in them."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    Scalar = bool | int | float | str | None
    Plain = Scalar | list[Scalar]

MOST_BYTES: Final = 8192
"""Of one line, with its line feed."""

WHOLE: Final = frozenset(
    {
        *("timestamp", "level", "severity", "event", "service", "version", "run_id", "seq", "truncated"),
        *("outcome", "exit_code", "exit_name", "retryable", "from_revision", "to_revision", "duration_ms"),
        *("applied", "applied_count", "pending", "pending_count", "failed", "problem", "revision", "down_revision"),
    },
)
"""Fields that are short by nature and that readers filter by: the others are cut first."""

_ELLIPSIS: Final = "…"

# Where that does not suffice every value is cut to this, so that the fields above and the message fit in any case.
_LEAST_BYTES: Final = 256

_DEEPEST: Final = 3  # levels of nested mappings that become keys; the rest, endless where it holds itself, is text
_LARGEST_INTEGER: Final = 2**63  # readers in other languages have 64 bits

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

# Not every reader takes these, however JSON spells them (PostgreSQL's jsonb refuses NUL, Rust's serde_json a lone
# surrogate), so they become visible text.
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
# JSON allows these raw, but a reader that cuts lines at any of Unicode's line ends would tear the line, and the rest
# (C1 controls, byte order mark, directional overrides) can make it look like another line on a screen.
_RISKY: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\u202a-\u202e\u2066-\u2069]")


def render(fields: Mapping[str, Any]) -> str:
    """One JSON object and a line feed, at most `MOST_BYTES` bytes in UTF-8.

    A longer line loses the ends of its longest strings and lists, and says ``"truncated": true``.
    """
    return render_flat(flat(fields))


def render_flat(fields: Mapping[str, Any]) -> str:
    """As `render`, of fields that are flat already."""
    line = _dumped(fields)
    if _size(line) >= MOST_BYTES:
        line = _dumped(_fitting(fields))
    return line + "\n"


def flat(fields: Mapping[str, object]) -> dict[str, Plain]:
    """`fields` with values that JSON knows: a nested mapping becomes keys (``a.b`` is ``a_b``), other objects text.

    Lists hold scalars only; a mapping or list in a list becomes text. Never raises: an object without a text becomes
    the name of its type.
    """
    return dict(_flattened(fields, "", _DEEPEST))


def _flattened(fields: Mapping[str, object], prefix: str, depth: int) -> Iterator[tuple[str, Plain]]:
    for key, value in fields.items():
        name = prefix + as_text(key)
        if isinstance(value, _SIMPLE):  # nearly all, and to ask for an abstract type costs more than the rest of a line
            yield name, _scalar(value)
        elif isinstance(value, Mapping) and depth:
            yield from _flattened(value, f"{name}_", depth - 1)
        elif isinstance(value, list | tuple | set | frozenset):
            yield name, [_scalar(entry) for entry in value]
        else:
            yield name, _scalar(value)


_SIMPLE: Final = (str, int, float, type(None))


def _scalar(value: object) -> Scalar:
    if type(value) is str:
        return as_text(value)
    if isinstance(value, Enum):
        return _scalar(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_LARGEST_INTEGER <= value < _LARGEST_INTEGER else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return as_text(value)


def as_text(value: object) -> str:
    """Give `value` as text that every JSON reader takes; never raises."""
    if type(value) is str:
        return value if value.isascii() and "\0" not in value else _NO_TEXT.sub(_visible, value)
    try:
        if isinstance(value, bytes | bytearray):
            text = value.decode("utf-8", "backslashreplace")
        elif isinstance(value, date | time):
            text = value.isoformat()
        elif isinstance(value, Mapping):
            text = ", ".join(f"{key}={entry}" for key, entry in value.items())
        else:
            text = str(value)
    except Exception:  # noqa: BLE001 - whatever a stranger's __str__ raises, the line must be written
        text = f"<{type(value).__name__}>"
    return _NO_TEXT.sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    character = found[0]
    if "\udc80" <= character <= "\udcff":  # how a byte that is not UTF-8 stands in a str (PEP 383)
        character = chr(ord(character) - 0xDC00)
    return ascii(character)[1:-1]


def _dumped(value: object) -> str:
    text = _ENCODER.encode(value)
    return (
        text
        if text.isascii() and "\x7f" not in text
        else _RISKY.sub(lambda character: f"\\u{ord(character[0]):04x}", text)
    )


def _size(text: str) -> int:
    return len(text.encode())


def _fitting(fields: Mapping[str, Plain]) -> dict[str, Plain]:
    fields = {**fields, "truncated": True}
    cuttable = [key for key, value in fields.items() if isinstance(value, str | list) and key not in WHOLE]
    sizes = sorted(_size(_dumped(fields[key])) for key in cuttable)
    room = MOST_BYTES - 1 - _size(_dumped({**fields, **dict.fromkeys(cuttable, 0)})) + len(cuttable)
    # Water filling: a value that is shorter than an equal share leaves the rest of it to the longer ones.
    for index, size in enumerate(sizes):
        share = room // (len(sizes) - index)
        if size > share:
            if share < _LEAST_BYTES:
                break
            return {key: _shortened(value, share) if key in cuttable else value for key, value in fields.items()}
        room -= size
    return _most(fields)


def _most(fields: Mapping[str, Plain]) -> dict[str, Plain]:
    """As many fields as fit, cut to the least size: for lines with hundreds of fields or very long whole ones."""
    kept = {}
    room = MOST_BYTES - 1 - len("{}")
    for key in sorted(fields, key=lambda key: (key not in WHOLE, key != "message")):
        value = _shortened(fields[key], _LEAST_BYTES)
        size = _size(_dumped({key: value})) - len("{}") + len(",")
        if size <= room:
            room -= size
            kept[key] = value
    return {key: kept[key] for key in fields if key in kept}


def _shortened(value: Plain, most: int) -> Plain:
    """Take the longest beginning of a string or list that is at most ``most`` bytes as JSON; other values as they are.

    Whole characters and whole entries are kept, so that no escape is cut.
    """
    if isinstance(value, list) and _size(_dumped(value)) > most:
        count = bisect_right(range(1, len(value)), most, key=lambda count: _size(_dumped(value[:count])))
        return value[:count] or [_shortened_text(as_text(value[0]), most - len("[]"))]
    if isinstance(value, str):
        return _shortened_text(value, most)
    return value


def _shortened_text(text: str, most: int) -> str:
    if len(text) <= most and _size(_dumped(text)) <= most:
        return text
    lengths = range(1, min(len(text), most) + 1)  # a character takes a byte at least
    return text[: bisect_right(lengths, most, key=lambda length: _size(_dumped(text[:length] + _ELLIPSIS)))] + _ELLIPSIS
