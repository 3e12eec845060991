"""The version table as Alembic makes it, for the few writes that are not Alembic's: adopting and repairing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.postgres.connection import Connection


def lock_and_read(connection: Connection, schema: str, table: str) -> list[str]:
    """The version rows, which nobody else changes until the transaction ends."""
    name = sql.Identifier(schema, table)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
        cursor.execute(sql.SQL("SELECT version_num FROM {}").format(name))
        return [str(row[0]) for row in cursor.fetchall()]


def replace_rows(connection: Connection, schema: str, table: str, rows: Sequence[str]) -> None:
    """Make the table where it is missing (as `alembic.runtime.migration` does) and let it hold exactly ``rows``."""
    name = sql.Identifier(schema, table)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (version_num varchar(32) NOT NULL, CONSTRAINT {} PRIMARY KEY (version_num))",
            ).format(name, sql.Identifier(f"{table}_pkc")),
        )
        cursor.execute(sql.SQL("DELETE FROM {}").format(name))
        for row in rows:
            cursor.execute(sql.SQL("INSERT INTO {} (version_num) VALUES (%s)").format(name), [row])
