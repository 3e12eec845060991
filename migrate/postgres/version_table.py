"""The version table as Alembic makes it, for the few writes that are not Alembic's: adopting and repairing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from migrate.core.problems import stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from migrate.postgres.connection import Connection


def replace_rows(
    connection: Connection,
    schema: str,
    table: str,
    *,
    judged: Sequence[str],
    rows: Sequence[str],
    fence: Callable[[], None],
) -> None:
    """Make the table where it is missing (as `alembic.runtime.migration` does) and let it hold exactly ``rows``.

    To be called in a transaction. ``fence`` is called, and the rows that were ``judged`` are compared, when nobody else can
    change them any more. Raises Stop (`split-version` where they are others by now) and what ``fence`` raises.
    """
    name = sql.Identifier(schema, table)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (version_num varchar(32) NOT NULL, CONSTRAINT {} PRIMARY KEY (version_num))",
            ).format(name, sql.Identifier(f"{table}_pkc")),
        )
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
        fence()
        cursor.execute(sql.SQL("SELECT version_num FROM {}").format(name))
        found = sorted(str(row[0]) for row in cursor.fetchall())
        if found != sorted(judged):
            raise stop("split-version", f"the version rows changed while they were judged: now {', '.join(found)}")
        cursor.execute(sql.SQL("DELETE FROM {}").format(name))
        for row in rows:
            cursor.execute(sql.SQL("INSERT INTO {} (version_num) VALUES (%s)").format(name), [row])
