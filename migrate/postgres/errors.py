"""What a server's error means: the problem of the catalogue for its SQLSTATE, built from the parts that carry no data."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.core.problems import Fix, Stop, migrate, problem, shell
from migrate.core.problems.driver_errors import said_by
from migrate.postgres.backend_names import WORKER_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.problems import Problem
    from migrate.postgres.connection import Connection

LOCK_NOT_AVAILABLE: Final = "55P03"
DEADLOCK: Final = "40P01"
QUERY_CANCELED: Final = "57014"
_STATEMENT_POOLER: Final = "not allowed in statement pooling mode"  # PgBouncer's word, without an SQLSTATE, to a BEGIN
RETRIED: Final = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK})

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE: Final[Mapping[str, str]] = {
    LOCK_NOT_AVAILABLE: "blocked",
    DEADLOCK: "blocked",
    "42501": "missing-privilege",
    "25006": "not-writable",
    "57P01": "connection-lost",  # admin_shutdown
    "57P02": "connection-lost",  # crash_shutdown
    "57P03": "connection-lost",  # cannot_connect_now
    "57P05": "connection-lost",  # idle_session_timeout
    "25P03": "connection-lost",  # idle_in_transaction_session_timeout
    "25P04": "connection-lost",  # transaction_timeout
}
_BY_CLASS: Final[Mapping[str, str]] = {"08": "connection-lost", "53": "no-resources", "28": "authentication"}


def code_of(sqlstate: str | None, default: str) -> str:
    """The catalogue's code for an SQLSTATE, ``default`` where none is meant."""
    if not sqlstate:
        return default
    return _BY_STATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2]) or default


def problem_of(error: psycopg2.Error, *, doing: str, connection: Connection | None = None) -> Stop:
    """The problem for an error on a connection of our own, to be raised; who kept a reader out is asked of ``connection``.

    Only the primary message is used: DETAIL and CONTEXT may carry rows of the user's data.
    """
    sqlstate = error.pgcode
    said = said_by(error)
    facts: dict[str, Any] = {}
    behind = ""
    fix: Fix | None = None
    if sqlstate == LOCK_NOT_AVAILABLE and connection is not None:
        from migrate.postgres.activity import described, exclusive, fix_of_blocked, who

        with suppress(psycopg2.Error):
            blockers = exclusive(connection)
            behind = f"; {who(blockers)}" if blockers else ""
            workers = [b["application_name"] for b in blockers if b["application_name"].startswith(WORKER_NAME)]
            fix = fix_of_blocked(blockers, connection.target.url_in_shell)
            if workers:
                fix = shell(migrate("wait"), note=f"a run is at work: {workers[0]} is not to be ended")
            facts = {
                "blockers": [described(blocker) for blocker in blockers],
                "blocking_runs": [name.removeprefix(WORKER_NAME) for name in workers],
            }
    default = (
        "connection-lost" if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) else "internal"
    )
    if _STATEMENT_POOLER in said:
        default = "pooler-session"
    found: Problem = problem(
        code_of(sqlstate, default),
        f"{doing}: {said}{behind}",
        fix=fix,
        names={
            "verb": "up",
            "variable": connection.target.url_from if connection is not None else "DATABASE_URL",
        },
        sqlstate=sqlstate,
        **facts,
    )
    return Stop(found)
