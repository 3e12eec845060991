"""Which objects hold data of their own, and what a way through the revisions takes from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.schema.differences import dotted, parse, parse_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.core.manifest.manifest import Manifest
    from migrate.core.schema.differences import Schema


@dataclass(frozen=True, slots=True)
class Taken:
    """What is there at the start and not left alone on the way, as identities, each sorted.

    ``gone`` are tables, and columns of tables that stay; made again later, they are empty. ``retyped`` are columns that
    are given another type, which may cut what is in them.
    """

    gone: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table is, or a column in it."""

    schema: str
    table: str
    column: str | None


def place_of(identity: str, schema: str) -> Place:
    """The place of a table or a column; ``schema`` is where unqualified identities are."""
    parsed = parse(identity)
    column = parsed.path[-1] if parsed.kind == "column" else None
    path = parsed.path if column is None else parsed.path[:-1]
    return Place(path[0] if len(path) > 1 else schema, path[-1], column)


def holding(schema: Schema) -> dict[str, str]:
    """The tables and columns that hold data, each column with its type; what is computed from others holds none.

    The rows of views, materialized views and generated columns can be made again, those of foreign tables are elsewhere.
    """
    held: dict[str, str] = {}
    for identity, definition in schema.items():
        if identity.startswith("table "):
            held[identity] = ""
        elif identity.startswith("column "):
            column = parse_column(definition)
            if not column.is_computed and f"table {dotted(parse(identity).owner)}" in schema:
                held[identity] = column.type
    return held


def taken(manifest: Manifest, rows: Iterable[str], way: Iterable[Iterable[str]]) -> Taken:
    """What goes between ``rows`` and any of the version rows on the way, which are judged one by one.

    The ends alone would not tell: a table that is dropped and made again is there at both.
    """
    before = holding(manifest.schema_at(rows))
    gone: set[str] = set()
    retyped: set[str] = set()
    for at in way:
        after = holding(manifest.schema_at(at))
        for identity, type_ in before.items():
            if identity not in after:
                gone.add(identity)
            elif after[identity] != type_:
                retyped.add(identity)
    tables = {parse(identity).path for identity in gone if identity.startswith("table ")}
    return Taken(
        tuple(sorted(each for each in gone if parse(each).path[:-1] not in tables)),
        tuple(sorted(each for each in retyped - gone if parse(each).path[:-1] not in tables)),
    )
