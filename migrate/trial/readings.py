"""What a revision reads texts as: from its own conversions, and from what was said of a text that could not be read.

Synthetic texts are letters; a revision that makes a column of years a number is right to fail at them, and no finding.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from migrate.trial.values import ROWS, Shape, Type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What the server says of it, and what Python does where a revision converts by itself.
_SAID: Final = (
    (re.compile(r"invalid input (?:syntax|value) for (?:type|enum) \"?([^:\"]+?)\"?(?=:|;|$| \()"), None),
    (re.compile(r'value ".*" is out of range for type ([a-z ]+)'), None),
    (re.compile(r"malformed array literal|malformed range literal"), "array"),
    (re.compile(r"date/time field value out of range|invalid value \".*\" for \"\w+\"|Invalid isoformat"), "date"),
    (re.compile(r"invalid literal for int\(\)"), "integer"),
    (re.compile(r"could not convert string to float|decimal\.\w+"), "numeric"),
    (re.compile(r"Expecting value: line \d+"), "json"),
    (re.compile(r"badly formed hexadecimal UUID"), "uuid"),
)
_VALUE: Final = re.compile(r": [\"'](.*)[\"']")
_ALIASES: Final = {
    "int": "integer", "int4": "integer", "int2": "integer", "smallint": "integer", "int8": "bigint",
    "float": "numeric", "float4": "numeric", "float8": "numeric", "real": "numeric", "double": "numeric",
    "double precision": "numeric", "decimal": "numeric", "money": "numeric", "bool": "boolean",
    "timestamp": "date", "timestamptz": "date", "timestamp with time zone": "date",
    "timestamp without time zone": "date", "jsonb": "json",
}  # fmt: skip
_TEXTS: Final = frozenset({"text", "varchar", "character", "char", "citext", "name"})


def unread(said: str, schema: Mapping[str, str]) -> str | None:
    """The name of the type that could not read a synthetic text; None where something else failed.

    A text that the schema itself names, as an enum's label or in a check, is one that the service's rows have.
    """
    value = _VALUE.search(said)
    if value is not None and any(f"'{value[1]}'" in definition for definition in schema.values()):
        return None
    for pattern, name in _SAID:
        found = pattern.search(said)
        if found is not None:
            return name or found[1].strip().lower()
    return None


def readings(
    source: str, columns: Iterable[str], wanted: str, labels: Mapping[str, tuple[str, ...]]
) -> dict[str, Type]:
    """What each column is to be readable as: what the source converts it to, ``wanted`` where it only names it.

    ``labels`` are those of the enums that are there once the revision is applied. Where no column is named, all are
    meant.
    """
    columns = tuple(columns)
    named = tuple(name for name in columns if re.search(rf"\b{re.escape(name)}\b", source))
    found = {}
    for name in named or columns:
        kind = _converted(source, name) or wanted
        if kind not in _TEXTS:
            found[name] = _type(kind, labels)
    return found


def _converted(source: str, column: str) -> str | None:
    name = rf'\b{re.escape(column)}\b"?'
    found = re.search(rf'{name}[\s)]*::\s*"?(\w+)|cast\(\s*"?{name}\s+as\s+"?(\w+)', source, re.IGNORECASE)
    return (found[1] or found[2]).lower() if found is not None else None


def _type(kind: str, labels: Mapping[str, tuple[str, ...]]) -> Type:
    if kind in labels:
        return Type(kind, Shape.ENUM, labels=labels[kind])
    return Type(_ALIASES.get(kind, kind))


def readable(type_: Type, seed: int) -> tuple[str, ...]:
    """Texts that the type reads, as short as may be and as many as there are rows, where it has so many."""
    if type_.shape is Shape.ENUM:
        return type_.labels
    numbers = range(seed + 1, seed + 1 + ROWS)
    match type_.name:
        case "integer" | "bigint" | "numeric":
            return tuple(map(str, numbers))
        case "json":
            return (*(f'{{"key": {number}}}' for number in numbers), "{}", *map(str, numbers))
        case "boolean":
            return ("true", "false", "t")
        case "array":
            return ("{}",)
        case "date":
            return ("2026-01-01", "2026-01-02", "2026-01-03")
        case "uuid":
            return tuple(f"00000000-0000-4000-8000-{number:012x}" for number in numbers)
        case _:
            return ()
