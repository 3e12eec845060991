"""The proof: exit 0 comes from reading the database again, never from "no exception"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.events import Event, Name
from migrate.core.problems import stop
from migrate.core.state import Drifted, classify
from migrate.core.state import name as position_name

if TYPE_CHECKING:
    from migrate.core.observation import Observation
    from migrate.core.state import State
    from migrate.steps.run import Run

LISTED = 20


def prove(run: Run, after: Observation, tolerated: State) -> None:
    """Raises Stop (`unproven`) unless nothing is left to apply and the live schema is the manifest's.

    Differences that were there and tolerated before the run do not count again.
    """
    state = classify(run.image, after, run.policy.target)
    position = position_name(state.position)
    if position != "at-head":
        raise stop(
            "unproven",
            f"after the last revision the database is {position}: its version rows are"
            f" {', '.join(after.rows) or 'none'}",
            rows=list(after.rows),
        )
    known = {
        sentence
        for finding in tolerated.findings
        if isinstance(finding, Drifted)
        for sentence in finding.differences.sentences()
    }
    for finding in state.findings:
        if isinstance(finding, Drifted):
            fresh = [said for said in finding.differences.sentences() if said not in known]
            if fresh:
                raise stop(
                    "unproven",
                    f"the schema is not what the manifest says after {', '.join(after.rows)}: {'; '.join(fresh[:5])}",
                    differences=fresh[:LISTED],
                )
    proof = "manifest" if run.image.manifest is not None else "rows"
    run.emit(
        Event(
            Name.PROOF_FINISHED,
            f"proven at {', '.join(after.rows) or 'base'} (proof={proof})",
            fields={"proof": proof, "rows": list(after.rows)},
        ),
    )
