"""READ SECOND: what to do about a position, its findings and the operator's policy; one pure function, one match."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from migrate.core.decide.findings import (
    held_by,
    judge,
    problem_of_incomparable,
    sentence,
    unserved,
    warnings_of,
    without_healed,
)
from migrate.core.decide.foreseen import FORESEEN
from migrate.core.decide.outcome import Result
from migrate.core.decide.plan import Adopt, Decision, HeldRevision, Plan, Refusal, Repair, Upgrade
from migrate.core.decide.policy import (
    AdoptPolicy,
    AheadPolicy,
    BreakingPolicy,
    DataPolicy,
    HeavyPolicy,
    Judgement,
)
from migrate.core.decide.policy import Stale as StalePolicy
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Empty,
    Incomparable,
    Residue,
    Split,
    Unknown,
    Unproven,
    Untracked,
    breaks_of_extra,
    named,
)
from migrate.core.manifest.match import Exact, Nearest, Several
from migrate.core.problems import ExitCode, advice, again, migrate, problem, shell
from migrate.core.quoting import Quoted, word
from migrate.core.wording import LISTED, clauses, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.decide.policy import Policy
    from migrate.core.decide.state import Finding, State
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.manifest.match import Match
    from migrate.core.problems import Fix, Problem
    from migrate.core.schema.compatibility import Break

UNCOMPARED = "without a manifest it is not compared whether the pending change breaks the release that is still running"


def decide(image: Image, state: State, policy: Policy) -> Decision:
    """The plan, or the first refusal in the order image, position, stale, residue, edited, drift, data, heavy, breaking."""
    refused = refuse_image(image, policy)
    if refused is not None:
        return refused
    position = state.position
    if not isinstance(position, (Empty, AtHead, Behind)):
        for finding in state.findings:
            if isinstance(finding, Incomparable):  # what it is nearest to is not known then
                return Refusal(problem_of_incomparable(finding))
    match position:
        case Empty(pending=pending):
            # a database without objects and an image without revisions are at one another's head
            refused = refuse_stale(image, pending, policy)
            if refused is not None:
                return refused
            if not pending:
                return Plan((), Result.NOOP)
            return _from_nothing(state.findings, policy, Upgrade(policy.target, pending))
        case AtHead():
            return _at_head(state.findings, policy, image)
        case Behind(pending=pending):
            return _behind(state.findings, policy, Upgrade(policy.target, pending), image)
        case Untracked(match=match):
            return _untracked(position, match, image, state.findings, policy)
        case Ahead(recorded=recorded, breaks=breaks, words=words):
            if policy.ahead is AheadPolicy.ACCEPT or (breaks == () and policy.ahead is not AheadPolicy.REFUSE):
                return Plan((), Result.AHEAD, (_ahead_warning(recorded, breaks, policy), *words))
            return Refusal(_ahead_problem(recorded, breaks))
        case Unknown():
            return _unknown(position, image, state.findings, policy)
        case Split(rows=rows, surplus=surplus, match=match, proven=proven):
            if proven is not None and policy.heal:
                keep = Repair((f"version rows {named(proven)}",))
                return _from_there(keep, proven, image, state.findings, policy, Result.REPAIRED)
            if isinstance(match, Exact) and policy.adopt is not AdoptPolicy.OFF:
                return _from_there(Adopt(match.rows, rows), match.rows, image, state.findings, policy)
            return Refusal(
                problem(
                    "split-version",
                    f"the version table holds {named(rows)}; {named(surplus)} cannot stand beside the others"
                    f"{_proves(match)}",
                    rows=list(rows),
                ),
            )
        case _:
            assert_never(position)


def refuse_image(image: Image, policy: Policy) -> Refusal | None:
    """The refusal that needs no database: faults of the history, and a target that the image does not have."""
    if image.faults:
        return Refusal(
            problem(
                "bad-history",
                clauses(fault.why for fault in image.faults),
                fix=image.faults[0].fix,
                faults=[fault.why for fault in image.faults],
            ),
        )
    if not image.graph.revisions and not policy.allow_empty_history:
        return Refusal(problem("empty-history", image.missing))
    heads = tuple(image.graph.heads)
    if policy.target == "head" and len(heads) > 1:
        return Refusal(
            problem(
                "several-heads",
                f"the history has {counted(len(heads), 'head')}: {named(heads)}",
                names={"heads": heads},
                heads=list(heads),
            ),
        )
    resolved = image.graph.resolve(policy.target)
    if not isinstance(resolved, tuple):
        return Refusal(
            problem("unknown-target", resolved.why, names={"heads": heads or Quoted("none")}, heads=list(heads)),
        )
    return None


def refuse_stale(image: Image, pending: Iterable[Revision], policy: Policy) -> Refusal | None:
    """The refusal for pending revisions whose files are not the manifest's: what they lead to is not what it says."""
    if image.manifest is None or policy.stale is StalePolicy.WARN:
        return None
    written = {entry.revision.id: entry.revision.sha256 for entry in image.manifest.revisions}
    stale = [revision for revision in pending if written.get(revision.id, revision.sha256) != revision.sha256]
    if not stale:
        return None
    said = [f"{revision.file} (pending revision {revision.id}) was edited after the manifest" for revision in stale]
    fix = shell(
        migrate("manifest"),
        note=("then commit the file that it writes; to release all the same: ", migrate("up", "--stale warn")),
    )
    return Refusal(problem("stale-manifest", clauses(said), fix=fix, revisions=[revision.id for revision in stale]))


def _at_head(findings: Sequence[Finding], policy: Policy, image: Image) -> Decision:
    """Nothing is left to apply: what is found only warns, but where it was never proven that this is the head's schema."""
    unproven = next((finding for finding in findings if isinstance(finding, Unproven)), None)
    if policy.strict or unproven is not None:
        refused = next((r for r in (judge(finding, policy) for finding in findings) if r is not None), None)
        if unproven is not None:
            refused = _because(refused, unproven) or _refuse_unproven(unproven, findings, policy, image)
        if refused is not None:
            return refused
    warnings = warnings_of(findings, policy)
    if unproven is not None and unproven.run.went_elsewhere:
        # nothing but running env.py tells whether it migrates this target alone by now
        return Plan((Upgrade(policy.target, ()),), Result.NOOP, warnings)
    return Plan((), Result.NOOP, warnings)


def _because(refused: Refusal | None, unproven: Unproven) -> Refusal | None:
    """A refusal at the head, and why a finding is one there."""
    if refused is None:
        return None
    return Refusal(replace(refused.problem, why=f"{refused.problem.why}; {sentence(unproven)}"))


def _refuse_unproven(unproven: Unproven, findings: Iterable[Finding], policy: Policy, image: Image) -> Refusal | None:
    """The refusal where what the last run found wrong is still there, or nothing tells whether it is."""
    run = unproven.run
    if image.manifest is None:
        if not run.wrong or run.exit_code != ExitCode.UNPROVEN or policy.drift is not Judgement.FAIL:
            return None
        why = f"{sentence(unproven)}: {clauses(run.wrong)}; without a manifest nothing tells whether that was put right"
        return Refusal(
            problem("unproven", why, fix=shell(migrate("manifest"), note="then commit the file that it writes"))
        )
    if policy.extra is Judgement.IGNORE:
        return None
    extra = [each for found in findings if isinstance(found, Drifted) for each in found.differences.extra]
    still = [each.sentence() for each in extra if run.names(each.identity)]
    if not still:
        return None
    return Refusal(problem("drift", f"{clauses(still)}; {sentence(unproven)}", differences=still[: LISTED * 4]))


def _from_nothing(findings: Sequence[Finding], policy: Policy, upgrade: Upgrade) -> Decision:
    """The whole history; but what the ledger knows to be committed of its beginning may be rows, or in other schemas."""
    warnings = warnings_of([finding for finding in findings if isinstance(finding, Unproven)], policy)
    residue = next((finding for finding in findings if isinstance(finding, Residue)), None)
    if residue is not None and not policy.heal:
        return Refusal(problem("residue", sentence(residue), items=_items(residue)))
    foreseen = [finding for finding in findings if isinstance(finding, FORESEEN)]  # tables of others in schemas beside
    for finding in foreseen:
        refused = judge(finding, policy)
        if refused is not None:
            return refused
    warnings += warnings_of(foreseen, policy)
    return Plan((*([Repair(_items(residue))] if residue else []), upgrade), Result.APPLIED, warnings)


def _behind(findings: Iterable[Finding], policy: Policy, upgrade: Upgrade, image: Image) -> Decision:
    steps: list[Repair | Upgrade] = [upgrade]
    warnings: list[str] = []
    healed: frozenset[str] = frozenset()
    held: tuple[HeldRevision, ...] = ()
    stale = refuse_stale(image, upgrade.pending, policy)
    if stale is not None:
        return stale
    for finding in findings:
        if isinstance(finding, Residue) and policy.heal:
            from migrate.core.decide.repair import plain

            steps.insert(0, Repair(_items(finding)))
            healed = frozenset(plain(index.name) for index in finding.indexes)
            continue
        if isinstance(finding, Drifted):
            finding = without_healed(finding, healed)  # noqa: PLW2901 - what will be repaired is no drift
        if isinstance(finding, Breaking) and policy.breaking is BreakingPolicy.HOLD:
            held = held_by(finding, upgrade.pending)
            after = tuple(each.revision for each in held)
            steps[-1:] = [replace(upgrade, pending=finding.before, held=after)] if finding.before else []
            continue
        refused = judge(finding, policy)
        if refused is not None:
            return refused
        warnings += warnings_of([finding], policy)
    unknown = refuse_unforeseen(image, policy) or refuse_uncompared(image, policy)
    if unknown is not None:
        return unknown
    if image.manifest is None and policy.breaking is BreakingPolicy.WARN:
        warnings.append(UNCOMPARED)
    return Plan(tuple(steps), Result.HELD if held else Result.APPLIED, tuple(warnings), held)


def refuse_uncompared(image: Image, policy: Policy) -> Refusal | None:
    """The refusal where policy lets nothing break and, without a manifest, nothing says whether something would."""
    if image.manifest is not None or policy.breaking not in {BreakingPolicy.REFUSE, BreakingPolicy.HOLD}:
        return None
    does = "refuses" if policy.breaking is BreakingPolicy.REFUSE else "holds"
    return Refusal(problem("no-manifest", f"{UNCOMPARED}, and policy {does} what does (breaking={policy.breaking})"))


def refuse_unforeseen(image: Image, policy: Policy) -> Refusal | None:
    """The refusal where policy asks what comes next and there is no manifest that would say it."""
    asks = [f"data={policy.data}"] if policy.data is DataPolicy.REFUSE else []
    asks += [f"heavy={policy.heavy}"] if policy.heavy is HeavyPolicy.REFUSE else []
    if image.manifest is not None or not asks:
        return None
    why = f"without a manifest it is not known what the pending change does and needs, and policy asks ({', '.join(asks)})"
    return Refusal(problem("no-manifest", why))


def would_run(image: Image, state: State, policy: Policy) -> tuple[Revision, ...]:
    """The pending revisions that a run would run, whatever the rows and the sizes of tables are; none where it refuses."""
    holds = policy.breaking is BreakingPolicy.HOLD
    lenient = replace(
        policy,
        breaking=BreakingPolicy.HOLD if holds else BreakingPolicy.ALLOW,
        data=DataPolicy.OFF,
        heavy=HeavyPolicy.ALLOW,
    )
    decision = decide(image, state, lenient)
    steps = decision.steps if isinstance(decision, Plan) else ()
    return tuple(revision for step in steps if isinstance(step, Upgrade) for revision in step.pending)


def _items(residue: Residue) -> tuple[str, ...]:
    indexes = [f"index {index.name}" for index in residue.indexes]
    return (*indexes, *(f"the ledger's row of revision {step.revision}" for step in residue.steps))


def _from_there(
    first: Adopt | Repair,
    rows: tuple[str, ...],
    image: Image,
    findings: Iterable[Finding],
    policy: Policy,
    alone: Result = Result.ADOPTED,
    warnings: tuple[str, ...] = (),
) -> Decision:
    """Write the version rows, and go on from there: what is judged before any upgrade is judged before this one."""
    recorded = record(first, rows, image, findings, alone, warnings)
    pending = image.graph.pending(rows, policy.target) if not image.graph.unknown(rows) else ()
    if isinstance(recorded, Refusal) or not isinstance(pending, tuple) or not pending:
        return recorded
    decided = _behind(findings, policy, Upgrade(policy.target, pending), image)
    if isinstance(decided, Refusal):
        return decided
    return replace(decided, steps=(first, *decided.steps), warnings=(*warnings, *decided.warnings))


def record(
    first: Adopt | Repair,
    rows: Iterable[str],
    image: Image,
    findings: Iterable[Finding],
    alone: Result = Result.ADOPTED,
    warnings: tuple[str, ...] = (),
) -> Decision:
    """Write the version rows alone, but none of a revision of which a part is known to be committed: it would look whole."""
    whole = image.graph.ancestors(row for row in rows if row in image.graph)
    for finding in findings:
        if isinstance(finding, Residue):
            steps = tuple(step for step in finding.steps if step.kind == "upgrade" and step.revision in whole)
            if steps:
                part = Residue((), steps)
                why = f"{sentence(part)}; recorded as applied it would look whole"
                return Refusal(problem("residue", why, items=_items(part)))
    return Plan((first,), alone, warnings)


def _untracked(
    position: Untracked,
    match: Match | None,
    image: Image,
    findings: Iterable[Finding],
    policy: Policy,
) -> Decision:
    allowed = policy.adopt is not AdoptPolicy.OFF
    if isinstance(match, Exact) and allowed:
        return _from_there(Adopt(match.rows), match.rows, image, findings, policy)
    serving = ""
    if isinstance(match, Nearest) and image.manifest is not None and policy.extra is not Judgement.IGNORE:
        serving = unserved([broken.why for broken in breaks_of_extra(image.manifest, match.rows, match.differences)])
    if (
        isinstance(match, Nearest)
        and allowed
        and not match.ties
        and not (serving and policy.strict)
        and _are_foreign(match, image)
        and match.differences.tolerable(
            extra=policy.extra is not Judgement.FAIL,
            renamed=policy.adopt is AdoptPolicy.EQUIVALENT,
        )
    ):
        evidence = tuple(match.differences.sentences())
        step = Adopt(match.rows, evidence=evidence)
        warnings = (f"{clauses(evidence)}{serving}",) if serving else evidence
        return _from_there(step, match.rows, image, findings, policy, warnings=warnings)
    objects = f"{counted(len(position.objects), 'object')} ({named(position.objects)})"
    return Refusal(
        problem(
            "untracked",
            f"the database has {objects} but no version{_proves(match)}{serving}",
            fix=_way_out(match),
            **_match_facts(match),
        ),
    )


def _are_foreign(match: Nearest, image: Image) -> bool:
    """Whether what is extra is nothing that any revision makes: else the database is rather at another one, damaged."""
    known = image.manifest.identities if image.manifest is not None else frozenset()
    return not any(difference.identity in known for difference in match.differences.extra)


def _way_out(match: Match | None) -> Fix | None:
    """What to paste where nothing is proven; None for the kind's own fix."""
    match match:
        case Nearest(rows=rows):
            at = _at(rows)
            adopt = migrate("adopt", f"--at {at}", "--reason 'WHY'")
            return shell(migrate("verify", f"--at {at}"), note=("the differences and their SQL; or: ", adopt))
        case Several(candidates=candidates):
            adopt = migrate("adopt", f"--at {_at(candidates[0])}", "--reason 'WHY'")
            return shell(adopt, note="or another of those named")
        case _:
            return None


def _at(rows: Sequence[str]) -> str:
    """The rows as `--at` takes them."""
    return word(",".join(rows)) if rows else "base"


def _unknown(position: Unknown, image: Image, findings: Iterable[Finding], policy: Policy) -> Decision:
    recorded = position.recorded
    if policy.ahead is AheadPolicy.ACCEPT or (policy.ahead is AheadPolicy.COMPATIBLE and position.breaks == ()):
        return Plan((), Result.AHEAD, (_ahead_warning(recorded, position.breaks, policy), *position.words))
    if isinstance(position.match, Exact) and policy.adopt is not AdoptPolicy.OFF:
        step = Adopt(position.match.rows, position.rows)
        return _from_there(step, position.match.rows, image, findings, policy)
    if position.breaks is None:
        serving = "; without a manifest nothing can be said of its schema"
    elif position.breaks:
        serving = f"; the live schema does not serve this image: {clauses([b.why for b in position.breaks])}"
    else:
        serving = "; the schema is newer but compatible; --ahead compatible would accept it"
    return Refusal(
        problem(
            "unknown-revision",
            f"the version table names {named(recorded)}, which is not in this image{serving}{_proves(position.match)}",
            fix=_fix_of_served(recorded) if position.breaks == () else None,
            names={"recorded": recorded},
            recorded=list(recorded),
            **_match_facts(position.match),
        ),
    )


def _fix_of_served(recorded: tuple[str, ...]) -> Fix:
    return advice(
        f"deploy an image that has {word(named(recorded))}; or, as this one runs on what is there: ",
        again("--ahead compatible"),
        "; or: ",
        migrate("adopt"),
        " (replaces the row when the schema proves one)",
    )


def _ahead_warning(recorded: tuple[str, ...], breaks: tuple[Break, ...] | None, policy: Policy) -> str:
    said = f"the database is at {named(recorded)}, newer than this image, and is left as it is (ahead={policy.ahead})"
    if breaks is None:
        return f"{said}; without a manifest it is not known whether this image can run on it"
    return (
        f"{said}; accepted, though it does not serve this image: {clauses([b.why for b in breaks])}" if breaks else said
    )


def _ahead_problem(recorded: tuple[str, ...], breaks: tuple[Break, ...] | None) -> Problem:
    if breaks is None:
        reason = "; without a manifest it cannot be proven that this image runs on its schema"
    elif breaks:
        reason = f"; its schema does not serve this image: {clauses([b.why for b in breaks])}"
    else:
        reason = "; its schema serves this image, but policy refuses (ahead=refuse)"
    return problem(
        "ahead",
        f"the database is at {named(recorded)}, which descends from this image's head{reason}",
        names={"recorded": recorded},
        recorded=list(recorded),
        breaks=[b.why for b in breaks or ()][: LISTED * 4],
    )


def _match_facts(match: Match | None) -> dict[str, Any]:
    match match:
        case None:
            return {}
        case Exact(rows=rows):
            return {"match": "exact", "matching": list(rows)}
        case Several(candidates=candidates):
            return {"match": "several", "matching": [",".join(rows) for rows in candidates]}
        case Nearest(rows=rows, differences=differences):
            return {
                "match": "nearest",
                "matching": list(rows),
                "differences": differences.sentences()[: LISTED * 4],
            }
        case _:
            assert_never(match)


def _proves(match: Match | None) -> str:
    match match:
        case None:
            return ""
        case Exact(rows=rows):
            return f"; its schema is that of revision {' and '.join(rows) or 'base'}"
        case Several(candidates=candidates):
            return f"; its schema is that of several revisions: {named([' and '.join(rows) or 'base' for rows in candidates])}"
        case Nearest(rows=rows, differences=differences, ties=ties):
            nearest = " or ".join(" and ".join(each) or "base" for each in (rows, *ties[:LISTED]))
            return f"; the nearest revision is {nearest}, but {clauses(differences.sentences())}"
        case _:
            assert_never(match)
