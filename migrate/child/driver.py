"""What is asked of a connection below SQLAlchemy: its driver, its transaction, and statements that no listener sees."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection


def driver_of(connection: Connection) -> Any:
    """The driver's connection, or SQLAlchemy's adapter of it."""
    pooled = connection.connection
    return getattr(pooled, "dbapi_connection" if hasattr(pooled, "dbapi_connection") else "connection")  # before 1.4.24


def in_transaction(connection: Connection) -> AbstractContextManager[Any]:
    """Its transaction, or one for the block: a stray statement would begin one that Alembic does not expect."""
    return nullcontext() if connection.in_transaction() else connection.begin()


def is_autocommit(connection: Connection) -> bool:
    """Whether each statement commits by itself: in an autocommit block, or because the engine was made so."""
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    return bool(getattr(driver_of(connection), "autocommit", False))


def is_outside(connection: Connection) -> bool:
    """Whether the revision itself has ended the transaction that SQLAlchemy believes in, by COMMIT or ROLLBACK.

    psycopg2 and psycopg tell (libpq's transaction status, 0 is idle), and asyncpg does; of other drivers it is not known.
    """
    driver = driver_of(connection)
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is not None:
        return int(status) == 0
    is_inside = getattr(getattr(driver, "driver_connection", None), "is_in_transaction", None)
    return is_inside is not None and not is_inside()


def commits_by_itself(connection: Connection) -> bool:
    """Whether the next statement does, for either reason."""
    return is_autocommit(connection) or is_outside(connection)


def configure(connection: Connection, settings: Mapping[str, str], *asked: str, is_local: bool) -> Any:
    """Set them for the transaction, or for the session; the answer ends with what else was ``asked``."""
    return do_by_driver(connection, configuring(settings, *asked, is_local=is_local))


def configuring(settings: Mapping[str, str], *asked: str, is_local: bool) -> str:
    """The statement of `configure`."""
    # constants of ours and numbers: there is no spelling of parameters that every driver has
    calls = [f"pg_catalog.set_config('{name}', '{value}', {is_local})" for name, value in settings.items()]
    return f"SELECT {', '.join([*calls, *asked])}"


def answers(connection: Connection, sql: str) -> bool:
    """Whether the answer is one that counts; a transaction that has failed gives none, and commits nothing."""
    with suppress(Exception):
        answer = do_by_driver(connection, sql)
        return bool(answer and answer[0])
    return False


def do_by_driver(connection: Connection, sql: str) -> Any:
    """The first row of a statement that SQLAlchemy's transaction handling and events do not see; None without rows."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None
    except Exception as error:
        if connection.dialect.is_disconnect(error, driver_of(connection), cursor):  # type: ignore[arg-type]
            error.connection_invalidated = True  # type: ignore[attr-defined]  # as SQLAlchemy's own errors say it
        raise
    finally:
        cursor.close()


def do_in_one(connection: Connection, *statements: str) -> Any:
    """As `do_by_driver`, the first row of the last of them: in one message, where the driver sends a text as it is."""
    if connection.dialect.driver == "psycopg2":
        return do_by_driver(connection, "; ".join(statements))
    return [do_by_driver(connection, each) for each in statements][-1]


def rows_by_driver(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a statement that SQLAlchemy's transaction handling and events do not see."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        cursor.close()
