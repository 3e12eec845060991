"""The connections that stay for the next run on the same database: their backend knows its catalogs already."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import psycopg2

from migrate.postgres.backend_names import GUARD_NAME
from migrate.postgres.connection import QUERY_S, connect_with_retry

if TYPE_CHECKING:
    from migrate.context import Context
    from migrate.core.target import Target
    from migrate.core.url import DatabaseUrl
    from migrate.postgres.connection import Connection

_NAME = "SET application_name TO '%s'"  # a query might stand before no BEGIN ISOLATION LEVEL


class KeptConnections:
    """One connection for each role, to the database that was asked for last. To be closed."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[DatabaseUrl, Connection]] = {}

    def lend(self, target: Target, context: Context, role: str) -> Connection:
        """The connection for a run, named after it; a new one where the last is gone, or leads elsewhere.

        Raises as `connect_with_retry` does. Whoever is done with it calls its `let_go`.
        """
        url, kept = self._kept.pop(role, (None, None))
        if kept is not None and (url != target.url or not _is_ready(kept, context, role)):
            kept.close()
            kept = None
        if kept is None:
            kept = connect_with_retry(target, context, role)
            kept.is_kept = True
        self._kept[role] = target.url, kept
        return kept

    def close(self) -> None:
        """Let the next run have new ones."""
        for _, connection in self._kept.values():
            connection.close()
        self._kept.clear()


def keep(connection: Connection, *, is_pooled: bool) -> None:
    """Let what is asked again be planned once. What a pooler lends is not kept: its sessions are others' as well."""
    connection.is_kept = not is_pooled
    if connection.is_kept:
        connection.run("SET plan_cache_mode = force_generic_plan")
        connection.prepared = set()


def _is_ready(connection: Connection, context: Context, role: str) -> bool:
    """Whether the connection is there, and is this run's from here on."""
    if connection.closed or select.select([connection], [], [], 0)[0]:  # the last that one says unasked is that it ends
        return False
    connection.interruption, connection.beat, connection.wait_s = context.interruption, context.beat, QUERY_S
    if role == GUARD_NAME:  # its first statement may as well name it: nothing is done under the old name
        connection.go_ahead(_NAME % f"{role}{context.run_id}")
        return True
    try:
        connection.run(_NAME % f"{role}{context.run_id}")
    except psycopg2.Error:
        return False
    return True
