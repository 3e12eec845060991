"""The version rows of many schemas of one database at once: what tells which tenants are at head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2
from psycopg2 import sql

from migrate.postgres import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from migrate.postgres.connection import Connection

CHUNK: Final = 500  # tables in one statement: each takes an entry of the server's lock table while it runs

# A table of rows, so that a view or a foreign table is looked at as closely as one tenant alone would be.
_TABLES: Final = """
    SELECT n.nspname, c.oid IS NOT NULL
      FROM pg_catalog.pg_namespace n
      LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = %(table)s AND c.relkind IN ('r', 'p')
     WHERE n.nspname = ANY (%(schemas)s)
"""

_UNPROVEN: Final = f"""
    SELECT target FROM (
        SELECT DISTINCT ON (r.target) r.target, r.exit_code FROM migrate.run r
         WHERE {ledger.TELLS_OF_TARGET} ORDER BY r.target, r.started_at DESC
    ) last WHERE exit_code IS DISTINCT FROM 0
"""


def unproven_targets(connection: Connection, *, lock_timeout_s: float) -> frozenset[str]:
    """The ledger's keys of the targets whose last run has not proven what it did; nothing where there is no ledger.

    Raises psycopg2.Error, for a ledger that is locked as well.
    """
    if not ledger.exists(connection):
        return frozenset()
    with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=lock_timeout_s):
        return frozenset(row[0] for row in connection.rows(_UNPROVEN))


def rows_of_schemas(
    connection: Connection, schemas: Sequence[str], table: str, *, lock_timeout_s: float
) -> Mapping[str, tuple[str, ...] | None]:
    """The version rows of those of the schemas that exist; None where they could not be read with the others'.

    A schema without the table has no rows. One whose table is locked, dropped meanwhile, or not to be read by this role
    costs the others nothing but another question. Raises psycopg2.OperationalError where the connection is lost.
    """
    found: dict[str, tuple[str, ...] | None] = {}
    readable: list[str] = []
    for schema, has_table in connection.rows(_TABLES, {"schemas": list(schemas), "table": table}):
        found[schema] = ()
        if has_table:
            readable.append(schema)
    for chunk in _chunks(readable):
        found |= _read(connection, chunk, table, lock_timeout_s)
    return found


def _read(
    connection: Connection, schemas: Sequence[str], table: str, lock_timeout_s: float
) -> dict[str, tuple[str, ...] | None]:
    """The rows of these schemas; where the question fails, of each half of them."""
    question = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, version_num::text FROM {}").format(sql.Literal(schema), sql.Identifier(schema, table))
        for schema in schemas
    )
    try:
        with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=lock_timeout_s):
            connection.run("SELECT pg_catalog.set_config('row_security', 'off', true)")
            told = connection.rows(question.as_string(connection))
    except psycopg2.Error:
        if connection.closed:
            raise
        if len(schemas) == 1:
            return {schemas[0]: None}
        half = len(schemas) // 2
        first = _read(connection, schemas[:half], table, lock_timeout_s)
        return first | _read(connection, schemas[half:], table, lock_timeout_s)
    rows: dict[str, list[str]] = {schema: [] for schema in schemas}
    for schema, row in told:
        rows[schema].append(row)
    return {schema: tuple(sorted(each)) for schema, each in rows.items()}


def _chunks(schemas: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(schemas), CHUNK):
        yield schemas[begin : begin + CHUNK]
