"""The control connection through faults: what a run must know of the server, it asks again on a new connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.problems import stop
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import connect
from migrate.postgres.observe import invalid_indexes, version_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from migrate.core.decide.observation import InvalidIndex
    from migrate.postgres.connection import Connection
    from migrate.steps.run import Run

    Answer = TypeVar("Answer")

ANSWER_S: Final = 5.0  # a question of the watcher that takes longer makes it blind; the connection is then given up
INTERRUPTED_S: Final = 1.0  # a signal leaves no time to wait for a server
_RETRY_S: Final = 0.3


def ask(run: Run, question: Callable[[Connection], Answer], *, within_s: float) -> Answer | None:
    """The answer to a question, on a new connection where the old one is lost; None where there is none in time."""
    began = time.monotonic()
    while True:
        try:
            if run.control.closed:
                _reconnect(run, min(within_s, ANSWER_S))
            return question(run.control)
        except psycopg2.Error:
            limit = within_s if run.context.interruption.signum is None else min(within_s, INTERRUPTED_S)
            if time.monotonic() - began + _RETRY_S > limit:
                return None
            time.sleep(_RETRY_S)
            run.context.beat()


def revive(run: Run, *, within_s: float) -> Connection | None:
    """The control connection, proven to answer; None where no server answers in time."""

    def prove(connection: Connection) -> Connection:
        connection.row("SELECT 1")
        return connection

    return ask(run, prove, within_s=within_s)


def rows_now(run: Run, *, within_s: float) -> tuple[str, ...] | None:
    """The version rows as they are now: the truth about a commit whose answer was lost."""
    schema, table = run.before.server.schema, run.order.target.version_table

    def read(connection: Connection) -> tuple[str, ...]:
        try:
            return version_rows(connection, schema, table, lock_timeout_s=run.context.limits.lock_s)
        except psycopg2.errors.UndefinedTable:  # the first revision makes it, and was rolled back
            return ()

    return ask(run, read, within_s=within_s)


def invalid_now(run: Run, *, within_s: float) -> tuple[InvalidIndex, ...] | None:
    """The INVALID indexes as they are now; None where no server answers in time."""
    schemas = run.order.target.schemas_beside(run.before.server.schema)
    return ask(run, lambda connection: invalid_indexes(connection, schemas), within_s=within_s)


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program of the user's, which has no use for where we send messages: it holds tokens."""
    return {name: value for name, value in environ.items() if name != "MIGRATE_NOTIFY"}


def fence(run: Run, connection: Connection) -> None:
    """Raises Stop where the guard is gone, before a write that another run's work could meanwhile have made wrong."""
    if not connection.row(f"SELECT {run.guard.fence.is_held}")[0]:
        raise stop("guard-lost", "the job lock was gone before the next write")


def may_write(run: Run, connection: Connection) -> None:
    """Take the mark, for the session, then ask for the guard: no other run begins before this connection has ended.

    Raises Stop where the guard is gone.
    """
    if not connection.row(f"SELECT {run.guard.fence.may_write}")[0]:
        raise stop("guard-lost", "the job lock was gone before the next statement")


def _reconnect(run: Run, timeout_s: float) -> None:
    made = connect(
        run.order.target,
        application_name=f"{CONTROL_NAME}{run.context.run_id}",
        interruption=None,
        timeout_s=max(timeout_s, 0.5),
    )
    made.wait_s = ANSWER_S
    run.control = made
