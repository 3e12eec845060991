"""What the lines of a manifest's changes make of a schema, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.schema.differences import is_spelling, read_change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.core.schema.differences import Schema


def apply(schema: Schema, lines: Iterable[str]) -> dict[str, str]:
    result: dict[str, str | None] = dict(schema)
    result.update(read_change(line) for line in lines if not is_spelling(line))
    return {identity: definition for identity, definition in result.items() if definition is not None}
