"""What other backends of the server do: who blocks, who is still at work for a dead run, what became of a transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.postgres.guard import WORKER_NAME

if TYPE_CHECKING:
    from migrate.postgres.connection import Connection

_ORPHANS: Final = """
    SELECT pid, application_name, state, coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - xact_start), 0)::float
      FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
       AND application_name LIKE %(pattern)s AND state <> 'idle'
     ORDER BY xact_start
"""
_BLOCKERS: Final = """
    SELECT b.pid, coalesce(a.state, 'unknown') AS state,
           coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.backend_start)), 0)::float
             AS age_s,
           coalesce(a.application_name, '') AS application_name,
           (SELECT pg_catalog.string_agg(DISTINCT w.relation::regclass::text, ', ')
              FROM pg_catalog.pg_locks w
              JOIN pg_catalog.pg_locks h ON h.relation = w.relation AND h.database = w.database
             WHERE w.pid = %(pid)s AND NOT w.granted AND h.pid = b.pid AND h.granted) AS relation,
           a.query AS query
      FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%(pid)s)) AS b(pid)
      LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
"""


def orphans(connection: Connection) -> list[tuple[int, str, str, float]]:
    """Workers of other runs that are not idle: (pid, application_name, state, age in seconds)."""
    pattern = WORKER_NAME.replace("_", r"\_") + "%"
    return [(row[0], row[1], row[2], row[3]) for row in connection.rows(_ORPHANS, {"pattern": pattern})]


def blockers(connection: Connection, pid: int, *, with_query: bool = False) -> list[dict[str, Any]]:
    """Who holds what backend ``pid`` waits for; the query's text only where the operator asked for it."""
    names = ("pid", "state", "age_s", "application_name", "relation", "query")
    found = [dict(zip(names, row, strict=True)) for row in connection.rows(_BLOCKERS, {"pid": pid})]
    for row in found:
        row["age_s"] = round(row["age_s"], 1)
        if not with_query:
            del row["query"]
    return found


def cancel(connection: Connection, pid: int) -> None:
    """Cancel what backend ``pid`` executes; nothing where it is gone."""
    with suppress(psycopg2.Error):
        connection.row("SELECT pg_catalog.pg_cancel_backend(%(pid)s)", {"pid": pid})


def terminate(connection: Connection, pid: int) -> None:
    """End backend ``pid``; nothing where it is gone."""
    with suppress(psycopg2.Error):
        connection.row("SELECT pg_catalog.pg_terminate_backend(%(pid)s)", {"pid": pid})


def is_alive(connection: Connection, pid: int) -> bool:
    """Whether backend ``pid`` exists."""
    found = connection.row("SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = %(pid)s)", {"pid": pid})
    return bool(found[0])


def transaction_status(connection: Connection, xid: int) -> str | None:
    """``committed``, ``aborted``, ``in progress``, or None where the server no longer knows (txid_status, 10+)."""
    try:
        status = connection.row("SELECT pg_catalog.txid_status(%(xid)s)", {"xid": xid})[0]
    except psycopg2.Error:
        return None
    return None if status is None else str(status)
