"""Counts what is in tables and columns, before somebody drops them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.manifest.holding import place_of
from migrate.postgres.errors import code_of, problem_of
from migrate.postgres.savepoint import savepoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from migrate.core.manifest.holding import Place
    from migrate.postgres.connection import Connection

DENIED: Final = "42501"


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Why the server counts nothing: its words, and whether they say that this role may not see it all."""

    why: str
    is_denied: bool


def count_values(
    connection: Connection,
    identities: Iterable[str],
    *,
    schema: str,
    lock_timeout_s: float,
    go_on: Callable[[], None],
) -> dict[str, int | Uncounted]:
    """The rows of each table, and the values that are not null of each column, by its identity.

    ``schema`` is where unqualified identities are. Reads the tables, however long that takes; one that is not there has
    nothing in it. Rows that policies hide are no reason to count fewer: the server is made to refuse then. Raises Stop,
    and what ``go_on`` raises, as in `Connection.patient`.
    """
    reading = connection.transaction("REPEATABLE READ READ ONLY", lock_timeout_s=lock_timeout_s)
    try:
        with reading, connection.patient(go_on):
            connection.run("SELECT pg_catalog.set_config('row_security', 'off', true)")
            return {identity: _count(connection, place_of(identity, schema)) for identity in identities}
    except psycopg2.Error as error:
        raise problem_of(error, doing="counting what would be dropped", connection=connection) from error


def _count(connection: Connection, place: Place) -> int | Uncounted:
    is_there = connection.row(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        # what computes its rows from others has none of its own, and may take hours or raise
        " WHERE n.nspname = %(nsp)s AND c.relname = %(table)s AND c.relkind IN ('r', 'p')"
        " AND (%(column)s::text IS NULL OR EXISTS"
        " (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = %(column)s"
        " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')))",
        {"nsp": place.schema, "table": place.table, "column": place.column},
    )[0]
    if not is_there:
        return 0
    counted = "*" if place.column is None else _quote(place.column)
    try:
        with savepoint(connection):  # without parameters, so that psycopg2 takes a % in a name as itself
            found = connection.row(f"SELECT count({counted}) FROM {_quote(place.schema)}.{_quote(place.table)}")[0]
    except psycopg2.Error as error:
        if connection.closed or not error.pgcode or code_of(error.pgcode, "") not in {"", "missing-privilege"}:
            raise
        return Uncounted(error.diag.message_primary or type(error).__name__, is_denied=error.pgcode == DENIED)
    return int(found)


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
