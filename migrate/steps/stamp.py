"""Puts version rows in place of others, for adopting and repairing; a COMMIT whose answer was lost is asked after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2

from migrate.core.decide.widths import width_for
from migrate.core.problems import stop
from migrate.postgres import activity, version_table
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.errors import problem_of
from migrate.steps.control import fence
from migrate.steps.failure import ended_early, statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.steps.run import Run


def stamp(
    run: Run, step_id: int | None, details: Mapping[str, object], *, judged: Sequence[str], rows: Sequence[str]
) -> None:
    """Write ``rows`` under the guard, in one transaction, only if the rows are still those that were ``judged``.

    Closes the ledger's step with ``details``; it stays open where the end is not known. Raises Stop.
    """
    pid = run.control.info.backend_pid
    xid: int | None = None
    is_recorded = False
    try:
        # with the mark: who takes the guard while this transaction is open ends it before anything else
        with run.control.transaction(lock_timeout_s=run.context.limits.lock_s, mark=run.guard.fence.mark_transaction):
            version_table.replace_rows(
                run.control,
                run.before.server.schema or "",
                run.order.target.version_table,
                judged=judged,
                rows=rows,
                width=width_for((*rows, *(revision.id for revision in run.order.image.graph))),
                fence=lambda: fence(run, run.control),
            )
            is_recorded = run.ledger.finish_within(run.control, step_id, details)
            xid = activity.transaction_id(run.control)
            run.stamping = True
    except psycopg2.Error as error:
        found = problem_of(error, doing="writing the version table", connection=run.control)
        if run.guard.ran_out:
            found = ended_early(run)
        if xid is None or found.problem.kind.code not in {"connection-lost", "guard-lost"}:
            run.stamping = False
            run.ledger.finish(step_id, "failed", details)
            raise found from error
        ended = statuses(run, [xid], pid=pid, name=f"{CONTROL_NAME}{run.context.run_id}")
        if ended is None or ended == [None]:
            raise stop("commit-unknown", found.problem.why) from error
        if ended != ["committed"]:
            run.stamping = False
            run.ledger.finish(step_id, "failed", details)
            raise found from error
    except BaseException:
        run.ledger.finish(step_id, "failed", details)
        raise
    run.stamping = False
    if not is_recorded:
        run.ledger.finish(step_id, "finished", details)
