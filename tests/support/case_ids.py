"""The ids of parametrized cases: what the case is made of, in place of the argument's name and a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

_LONGEST = 70  # of one argument; what is cut off is told apart by the number that pytest appends


def id_of(value: object) -> str | None:
    """What stands for an argument in a test's id; None where pytest's own word for it says as much."""
    if isinstance(value, str) and len(value) <= _LONGEST:
        return None
    if value is None or isinstance(value, (bytes, int, float, complex, Enum)):
        return None
    said = " ".join(_said(value).split())
    # as pytest's own, for a worker cannot be told half of a surrogate pair
    return (said if len(said) <= _LONGEST else f"{said[:_LONGEST]}...").encode("ascii", "backslashreplace").decode()


def _said(value: object) -> str:
    match value:
        case Enum():
            return value.name
        case type() | PurePath():
            return getattr(value, "__name__", str(value))
        case BaseException():
            return f"{type(value).__name__}({', '.join(map(_said, value.args))})"
        case Mapping():
            return f"{{{', '.join(f'{_said(key)}: {_said(item)}' for key, item in value.items())}}}"
        case AbstractSet():
            return f"{{{', '.join(sorted(map(_said, value)))}}}"
        case tuple() if hasattr(value, "_fields"):
            return f"{type(value).__name__}({', '.join(map(_said, value))})"
        case str() | bytes():
            return repr(value) if not value else str(value)
        case Sequence():
            return f"({', '.join(map(_said, value))})"
        case _ if is_dataclass(value):
            given = [_said(item) for field in fields(value) if (item := getattr(value, field.name)) != _default(field)]
            return f"{type(value).__name__}({', '.join(given)})" if given else type(value).__name__
        case _ if callable(value):
            return getattr(value, "__name__", type(value).__name__)
        case int() | float() | None:
            return str(value)
        case _:
            return type(value).__name__  # its repr may hold an address, which differs between workers


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default
