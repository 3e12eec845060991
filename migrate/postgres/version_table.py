"""The version table as Alembic makes it, for the few writes that are not Alembic's: adopting and repairing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg2 import sql

from migrate.core.problems import stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from migrate.postgres.connection import Connection

_ROOM: Final = """
    SELECT a.atttypmod - 4
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = %s AND a.attname = 'version_num' AND a.atttypmod >= 4
"""


def replace_rows(
    connection: Connection,
    schema: str,
    table: str,
    *,
    judged: Sequence[str],
    rows: Sequence[str],
    width: int,
    fence: Callable[[], None],
) -> None:
    """Make the table where it is missing, as Alembic does but for ``width`` characters; it holds exactly ``rows`` then.

    A table that has no room for them is made as wide.

    To be called in a transaction. ``fence`` is called, and the rows that were ``judged`` are compared, when nobody else can
    change them any more. Raises Stop (`split-version` where they are others by now) and what ``fence`` raises.
    """
    name = sql.Identifier(schema, table)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (version_num varchar({}) NOT NULL, CONSTRAINT {} PRIMARY KEY (version_num))",
            ).format(name, sql.Literal(width), sql.Identifier(f"{table}_pkc")),
        )
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
        fence()
        cursor.execute(sql.SQL("SELECT version_num FROM {}").format(name))
        found = sorted(str(row[0]) for row in cursor.fetchall())
        if found != sorted(judged):
            raise stop("split-version", f"the version rows changed while they were judged: now {', '.join(found)}")
        cursor.execute(_ROOM, [schema, table])
        has_room_for = cursor.fetchone()
        if has_room_for is not None and any(len(row) > has_room_for[0] for row in rows):
            widened = sql.SQL("ALTER TABLE {} ALTER COLUMN version_num TYPE varchar({})")
            cursor.execute(widened.format(name, sql.Literal(width)))
        cursor.execute(sql.SQL("DELETE FROM {}").format(name))
        for row in rows:
            cursor.execute(sql.SQL("INSERT INTO {} (version_num) VALUES (%s)").format(name), [row])
