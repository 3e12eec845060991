"""The settings of the sessions in which revisions run, and of those that build beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.events import Event, Level, Name
from migrate.postgres.backend_names import WORKER_NAME
from migrate.steps.control import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.postgres.connection import Connection
    from migrate.steps.run import Run

# Where the server knows them: (first version, name, value). 0 is "without limit": a role's own limits are for its
# service, not for a revision that computes between two statements. The rest ends our backend when its client is gone.
SESSION: Final = (
    (120000, "idle_in_transaction_session_timeout", "0"),
    (120000, "tcp_keepalives_idle", "10"),
    (120000, "tcp_keepalives_interval", "10"),
    (120000, "tcp_keepalives_count", "3"),
    (140000, "client_connection_check_interval", "500ms"),
    (170000, "transaction_timeout", "0"),
)


def settable(run: Run) -> dict[str, str]:
    """The settings of the worker's transactions that this server lets this role make; some clouds forbid some."""
    limits = run.context.limits
    found = {
        "application_name": f"{WORKER_NAME}{run.context.run_id}",
        "lock_timeout": f"{limits.lock_s * 1000:.0f}ms",
        "statement_timeout": f"{limits.statement_s * 1000:.0f}ms",
    }
    control = run.control
    if control.settable is None:  # one that is kept for the next run has told it
        control.settable = _settable(run)
    return found | control.settable


def _settable(run: Run) -> dict[str, str]:
    wanted = {name: value for version, name, value in SESSION if run.before.server.version_num >= version}
    if _refused(run, wanted) is None:
        return wanted
    found = {}
    for name, value in wanted.items():
        refused = _refused(run, {name: value})
        if refused is None:
            found[name] = value
        else:
            run.context.emit(Event(Name.TARGET_WARNING, f"{name} cannot be set: {refused}", Level.WARN))
    return found


def _refused(run: Run, settings: Mapping[str, str]) -> str | None:
    """What the server has against one of these settings, None if nothing; they are set for the one statement that asks."""
    asked = ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in settings.items())

    def ask_server(control: Connection) -> str | None:
        try:
            control.row(f"SELECT {asked}")
        except psycopg2.Error as error:
            if control.closed:
                raise
            return error.diag.message_primary or type(error).__name__
        return None

    return ask(run, ask_server, within_s=run.context.limits.connect_s)
