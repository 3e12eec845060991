"""The proof: exit 0 comes from reading the database again, never from "no exception"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.decide.findings import sentence
from migrate.core.decide.plan import Adopt, Downgrade, Repair
from migrate.core.decide.state import AtHead, Behind, Drifted, Incomparable, Residue, Split, Unproven, classify
from migrate.core.decide.state import name as position_name
from migrate.core.events import Event, Level, Name
from migrate.core.manifest.variables import differing
from migrate.core.problems import stop
from migrate.core.wording import clauses

if TYPE_CHECKING:
    from migrate.core.decide.observation import Observation
    from migrate.core.decide.plan import Plan
    from migrate.core.decide.state import State
    from migrate.core.problems import Stop
    from migrate.core.schema.differences import Differences
    from migrate.steps.run import Run

LISTED: Final = 20


def prove(run: Run, after: Observation, tolerated: State, plan: Plan) -> None:
    """Raises Stop (`unproven`) unless the database is where the plan leads, and its schema is the manifest's there.

    Differences that were there and tolerated before the run do not count again. An adoption alone is proven by its rows:
    its schema was judged before.
    """
    last = plan.steps[-1]
    if isinstance(last, Adopt):
        if sorted(after.rows) != sorted(last.rows):
            raise _unproven(after, "adopted")
    elif isinstance(last, Repair):
        state = classify(run.order.image, after, run.order.policy.target, run.order.policy.ignore)
        if isinstance(state.position, Split) or any(isinstance(finding, Residue) for finding in state.findings):
            raise _unproven(after, "not repaired")
        if _say_uncompared(run, after, state):
            return
    elif isinstance(last, Downgrade):
        _prove_reverted(run, after, tolerated, last)
    else:
        state = classify(run.order.image, after, run.order.policy.target, run.order.policy.ignore)
        left = state.position.pending if isinstance(state.position, Behind) else ()
        held = tuple(each.revision for each in plan.held)
        if left != held or not isinstance(state.position, AtHead | Behind):
            raise _unproven(after, position_name(state.position))
        _refuse_new_differences(state, tolerated, plan, after, run)
    where = ", ".join(after.rows) or "base"
    by_word = isinstance(last, Adopt) and not last.is_proven
    proof = "manifest" if run.order.image.manifest is not None and not by_word else "rows"
    run.context.emit(
        Event(
            Name.PROOF_FINISHED,
            f"recorded at {where} on the operator's word, not proven"
            if by_word
            else f"proven at {where} (proof={proof})",
            fields={"proof": proof, "rows": list(after.rows)},
        ),
    )


def _prove_reverted(run: Run, after: Observation, tolerated: State, step: Downgrade) -> None:
    """Nothing but the reverted revisions is gone, and the schema is the manifest's where the rows are now."""
    graph = run.order.image.graph
    expected = graph.ancestors(run.before.rows).difference(revision.id for revision in step.reverting)
    if graph.unknown(after.rows) or graph.ancestors(after.rows) != expected:
        raise _unproven(after, f"not at {step.target}")
    manifest = run.order.image.manifest
    if (
        manifest is None or after.schema is None or after.unnamed or manifest.lacking(after.rows)
    ):  # policy has let it be that it cannot be compared
        return
    found = manifest.compare(after.rows, after.schema, major=after.server.major, ignore=run.order.policy.ignore)
    found, _ = found.divided(after.meant)
    known = _tolerated(tolerated)
    _refuse_fresh([said for said in found.sentences() if said not in known], after, run)


def _say_uncompared(run: Run, after: Observation, state: State) -> bool:
    """Whether the schema after a repair is not proven, which is said then: nothing is proven that was not compared."""
    drifted = next((finding for finding in state.findings if isinstance(finding, Drifted)), None)
    is_blind = any(isinstance(finding, Incomparable) for finding in state.findings)
    is_compared = run.order.image.manifest is not None and isinstance(state.position, (AtHead, Behind)) and not is_blind
    if is_compared and drifted is None:
        return False
    where = f"repaired at {', '.join(after.rows) or 'base'}"
    if drifted is None:
        said = f"{where}; its schema was not compared (proof=rows)"
    else:
        stays = drifted.accepted.sentences() if drifted.accepted else []
        differs = drifted.differences.sentences()
        said = f"{where}, whose schema is not proven: {clauses([*differs, *stays])}"
        if differs and not stays:
            said += "; as long as that is so, migrate up wants --drift warn"
    level = Level.INFO if drifted is None else Level.WARN
    run.context.emit(Event(Name.PROOF_FINISHED, said, level, {"proof": "rows", "rows": list(after.rows)}))
    return True


def _unproven(after: Observation, position: str) -> Stop:
    rows = ", ".join(after.rows) or "none"
    return stop(
        "unproven",
        f"after the last step the database is {position}: its version rows are {rows}",
        rows=list(after.rows),
    )


def _refuse_new_differences(state: State, tolerated: State, plan: Plan, after: Observation, run: Run) -> None:
    known = {said for step in plan.steps if isinstance(step, Adopt) for said in step.evidence}
    known |= _tolerated(tolerated)
    blind = [sentence(finding) for finding in state.findings if isinstance(finding, Incomparable)]
    blind = [said for said in blind if said not in map(sentence, tolerated.findings)]
    found = [said for differences in _drifts(state) for said in differences.sentences() if said not in known]
    _refuse_fresh([*blind, *found], after, run)


def _refuse_fresh(fresh: list[str], after: Observation, run: Run) -> None:
    if fresh:
        rows = ", ".join(after.rows) or "base"
        manifest = run.order.image.manifest
        others = differing(manifest.environ, run.order.environ) if manifest is not None else ()
        raise stop(
            "unproven",
            f"the schema is not what the manifest says after {rows}: {'; '.join([*others, *fresh[:5]])}",
            differences=fresh[:LISTED],
        )


def _tolerated(state: State) -> set[str]:
    """The differences that were there before the run and let be, less what an earlier run found wrong."""
    found = {said for differences in _drifts(state) for said in differences.sentences()}
    for finding in state.findings:
        if isinstance(finding, Drifted) and finding.accepted:
            found.update(finding.accepted.sentences())
        elif isinstance(finding, Unproven):
            found.difference_update(finding.run.wrong)
    return found


def _drifts(state: State) -> list[Differences]:
    return [finding.differences for finding in state.findings if isinstance(finding, Drifted)]
