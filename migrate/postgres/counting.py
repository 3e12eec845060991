"""Counts what is in tables and columns, before somebody drops them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2

from migrate.core.schema import parse
from migrate.postgres.errors import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from migrate.postgres.connection import Connection


def count_values(
    connection: Connection,
    identities: Iterable[str],
    *,
    schema: str,
    lock_timeout_s: float,
    go_on: Callable[[], None],
) -> dict[str, int]:
    """The rows of each table, and the values that are not null of each column, by its identity.

    ``schema`` is where unqualified identities are. Reads the tables, however long that takes; one that is not there has
    nothing in it. Raises Stop, and what ``go_on`` raises, as in `Connection.patient`.
    """
    reading = connection.transaction("REPEATABLE READ READ ONLY", lock_timeout_s=lock_timeout_s)
    try:
        with reading, connection.patient(go_on):
            return {identity: _count(connection, identity, schema) for identity in identities}
    except psycopg2.Error as error:
        raise problem_of(error, doing="counting what would be dropped", connection=connection) from error


def _count(connection: Connection, identity: str, schema: str) -> int:
    parsed = parse(identity)
    path = parsed.path if parsed.kind == "table" else parsed.path[:-1]
    nsp, table = path if len(path) > 1 else (schema, path[0])
    is_there = connection.row(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %(nsp)s AND c.relname = %(table)s AND (%(column)s::text IS NULL OR EXISTS"
        " (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = %(column)s"
        " AND a.attnum > 0 AND NOT a.attisdropped)))",
        {"nsp": nsp, "table": table, "column": parsed.path[-1] if parsed.kind == "column" else None},
    )[0]
    if not is_there:
        return 0
    counted = "*" if parsed.kind == "table" else _quote(parsed.path[-1])
    # without parameters, so that psycopg2 takes a % in a name as itself
    return int(connection.row(f"SELECT count({counted}) FROM {_quote(nsp)}.{_quote(table)}")[0])


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
