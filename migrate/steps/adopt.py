"""Writes the version rows that the schema proves into the version table, in place of what stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.events import Event, Level, Name
from migrate.steps.stamp import stamp

if TYPE_CHECKING:
    from migrate.core.plan import Adopt
    from migrate.steps.run import Run


def adopt(run: Run, step: Adopt) -> None:
    """Stamp what the step says; the rows that are replaced go to the ledger. Raises Stop."""
    details = {
        "rows": list(step.rows),
        "replaced": list(step.replaced),
        "reason": step.reason,
        "evidence": step.evidence,
    }
    for tolerated in step.evidence:
        run.emit(Event(Name.STATE_FINDING, f"tolerated by this adoption: {tolerated}", Level.WARN))
    stamp(run, run.ledger.start("adopt"), details, judged=run.before.rows, rows=step.rows)
