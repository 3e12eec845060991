"""Writes the version rows that the schema proves into the version table, in place of what stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.events import Event, Level, Name
from migrate.core.problems import stop
from migrate.core.problems.privileges import fix_of_ledger
from migrate.steps.stamp import stamp

if TYPE_CHECKING:
    from migrate.core.decide.plan import Adopt
    from migrate.steps.run import Run


def adopt(run: Run, step: Adopt) -> None:
    """Stamp what the step says; the rows that are replaced go to the ledger. Raises Stop."""
    details: dict[str, object] = {
        "rows": list(step.rows),
        "replaced": list(step.replaced),
        "reason": step.reason,
        "evidence": step.evidence,
    }
    step_id = run.ledger.start("adopt")
    if step.accepted is not None:
        if step_id is None:
            raise stop(
                "missing-privilege",
                f"the differences cannot be recorded: role {run.before.server.user} cannot write the ledger",
                fix=fix_of_ledger(run.before.server.user, is_there=_has_ledger(run)),
            )
        details["accepted"] = [list(fact) for fact in step.accepted]
    for tolerated in step.evidence:
        run.context.emit(Event(Name.STATE_FINDING, f"tolerated by this adoption: {tolerated}", Level.WARN))
    stamp(run, step_id, details, judged=run.before.rows, rows=step.rows)


def _has_ledger(run: Run) -> bool:
    return bool(run.control.row("SELECT pg_catalog.to_regnamespace('migrate') IS NOT NULL")[0])
