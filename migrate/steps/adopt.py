"""Writes the version rows that the schema proves into the version table, in place of what stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2

from migrate.core.events import Event, Level, Name
from migrate.core.problems import Stop
from migrate.postgres import version_table
from migrate.postgres.errors import problem_of
from migrate.steps.control import fence

if TYPE_CHECKING:
    from migrate.core.plan import Adopt
    from migrate.steps.run import Run


def adopt(run: Run, step: Adopt) -> None:
    """Stamp under the guard, in one transaction, only if the rows are still those that were judged.

    The rows that are replaced go to the ledger. Raises Stop.
    """
    details = {
        "rows": list(step.rows),
        "replaced": list(step.replaced),
        "reason": step.reason,
        "evidence": step.evidence,
    }
    for tolerated in step.evidence:
        run.emit(Event(Name.STATE_FINDING, f"tolerated by this adoption: {tolerated}", Level.WARN))
    step_id = run.ledger.start("adopt")
    schema = run.before.server.schema or ""
    try:
        with run.control.transaction(lock_timeout_s=run.limits.lock_s):
            version_table.replace_rows(
                run.control,
                schema,
                run.target.version_table,
                judged=run.before.rows,
                rows=step.rows,
                fence=lambda: fence(run, run.control),
            )
    except Stop:
        run.ledger.finish(step_id, "failed", details)
        raise
    except psycopg2.Error as error:
        run.ledger.finish(step_id, "failed", details)
        raise problem_of(error, doing="writing the version table") from error
    run.ledger.finish(step_id, "finished", details)
