"""Values as the ledger's columns can hold them, whatever is in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_jsonb(value: Mapping[str, object]) -> str:
    """JSON as jsonb takes it: it knows neither NUL nor lone surrogates."""
    return json.dumps(_storable(json.loads(json.dumps(dict(value), default=str))), ensure_ascii=False)


def _storable(value: object) -> object:
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else value


def as_ascii(value: object) -> object:
    """A text that every encoding can hold; other values as they are."""
    return value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else value
