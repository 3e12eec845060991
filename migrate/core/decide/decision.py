"""READ SECOND: what to do about a position, its findings and the operator's policy; one pure function, one match."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from migrate.core.decide.outcome import Result
from migrate.core.decide.plan import Adopt, Backup, Decision, Downgrade, Plan, Refusal, Repair, Upgrade
from migrate.core.decide.policy import Adopt as AdoptPolicy
from migrate.core.decide.policy import Ahead as AheadPolicy
from migrate.core.decide.policy import Backup as BackupPolicy
from migrate.core.decide.policy import Breaking as BreakingPolicy
from migrate.core.decide.policy import Edited as EditedPolicy
from migrate.core.decide.policy import Judgement
from migrate.core.decide.policy import Stale as StalePolicy
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Empty,
    Exact,
    Incomparable,
    Lacking,
    Nearest,
    Residue,
    Several,
    Split,
    Unknown,
    Unproven,
    Untracked,
)
from migrate.core.problems.catalogue import ExitCode, problem
from migrate.core.quoting import Ready, word
from migrate.core.wording import LISTED, clauses, counted, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from migrate.core.decide.policy import Policy
    from migrate.core.decide.state import Finding, Match, Position, State
    from migrate.core.history.graph import Revision
    from migrate.core.history.image import Image
    from migrate.core.problems.catalogue import Problem
    from migrate.core.schema.compatibility import Break
    from migrate.core.schema.differences import Difference, Differences

UNCOMPARED = "without a manifest it is not compared whether the pending change breaks the release that is still running"


def decide(image: Image, state: State, policy: Policy) -> Decision:
    """The plan, or the first refusal in the order image, position, stale, residue, edited, drift."""
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
                return Plan((), Result.AHEAD, (_ahead_warning(recorded, policy), *words))
            return Refusal(_ahead_problem(recorded, breaks))
        case Unknown():
            return _unknown(position, image, state.findings, policy)
        case Split(rows=rows, surplus=surplus, match=match, proven=proven):
            if proven is not None and policy.heal:
                keep = Repair((f"version rows {_names(proven)}",))
                return _from_there(keep, proven, image, state.findings, policy, Result.REPAIRED)
            if isinstance(match, Exact) and policy.adopt is not AdoptPolicy.OFF:
                return _from_there(Adopt(match.rows, rows), match.rows, image, state.findings, policy)
            return Refusal(
                problem(
                    "split-version",
                    f"the version table holds {_names(rows)}; {_names(surplus)} cannot stand beside the others"
                    f"{_proves(match)}",
                    rows=list(rows),
                ),
            )
        case _:
            assert_never(position)


def with_backup(
    plan: Plan, image: Image, state: State, policy: Policy, *, has_place: bool, source_of: Callable[[Revision], str]
) -> Decision:
    """The plan with a backup before its first change where policy wants one; a refusal where there is no place for it.

    Version rows that are written and indexes that are rebuilt lose nothing; a backup is for revisions that run.
    ``source_of`` gives the text of a revision.
    """
    change = next((step for step in plan.steps if isinstance(step, Upgrade | Downgrade) and step.revisions), None)
    if change is None or policy.backup is BackupPolicy.OFF:
        return plan
    reason = "policy requires one"
    if policy.backup is BackupPolicy.DESTRUCTIVE:
        found = _destroyed(change, plan, image, state, source_of)
        if found is None:
            return plan
        reason = found
    if not has_place:
        return Refusal(
            problem(
                "not-permitted",
                f"a backup is due before the first change ({reason}), and no place for it is named",
                names={"fix": "migrate up --backup DIR   # or --backup-command COMMAND; without: --backup-policy off"},
            ),
        )
    return replace(plan, steps=(Backup(reason), *plan.steps))


def _destroyed(
    change: Upgrade | Downgrade, plan: Plan, image: Image, state: State, source_of: Callable[[Revision], str]
) -> str | None:
    """Why the plan's revisions may destroy something, in a few words; None where each is known to destroy nothing."""
    if image.manifest is None:
        return "without a manifest it is not known what is dropped"
    if isinstance(change, Downgrade):
        taken = change.taken
    else:
        from migrate.core.decide.backup import destroyed

        adopted = next((step.rows for step in plan.steps if isinstance(step, Adopt)), None)
        rows = _rows_of(state.position) if adopted is None else adopted
        taken = destroyed(image.manifest, image.graph, rows, change.pending)
    if taken.gone:
        return f"{_names(taken.gone)} will go"
    if taken.retyped:
        return f"{_names(taken.retyped)} will have another type"
    from migrate.core.history.destruction import destroys_nothing

    function = "downgrade" if isinstance(change, Downgrade) else "upgrade"
    unknown = next((r for r in change.revisions if not destroys_nothing(source_of(r), function)), None)
    return f"{unknown.file} is not known to destroy nothing" if unknown is not None else None


def _rows_of(position: Position) -> tuple[str, ...]:
    """The version rows from which the plan's revisions start: of a split table, those that are kept."""
    match position:
        case Empty() | Untracked():
            return ()
        case Split(rows=rows, proven=proven):
            return rows if proven is None else proven
        case _:
            return position.rows


def refuse_image(image: Image, policy: Policy) -> Refusal | None:
    """The refusal that needs no database: faults of the history, and a target that the image does not have."""
    if image.faults:
        return Refusal(
            problem(
                "bad-history",
                clauses(fault.message for fault in image.faults),
                names={"fix": image.faults[0].fix},
                faults=[fault.message for fault in image.faults],
            ),
        )
    if not image.graph.revisions and not policy.allow_empty_history:
        return Refusal(problem("empty-history", image.missing))
    heads = tuple(image.graph.heads)
    if policy.target == "head" and len(heads) > 1:
        return Refusal(
            problem(
                "several-heads",
                f"the history has {counted(len(heads), 'head')}: {_names(heads)}",
                names={"heads": heads},
                heads=list(heads),
            ),
        )
    resolved = image.graph.resolve(policy.target)
    if not isinstance(resolved, tuple):
        return Refusal(
            problem("unknown-target", resolved.message, names={"heads": heads or Ready("none")}, heads=list(heads)),
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
    fix = "migrate manifest   # then commit the file that it writes; to release all the same: migrate up --stale warn"
    return Refusal(problem("stale-manifest", clauses(said), fix=fix, revisions=[revision.id for revision in stale]))


def _at_head(findings: Sequence[Finding], policy: Policy, image: Image) -> Decision:
    """Nothing is left to apply: what is found only warns, but where it was never proven that this is the head's schema."""
    unproven = next((finding for finding in findings if isinstance(finding, Unproven)), None)
    if policy.strict or unproven is not None:
        refused = next((r for r in (_judge(finding, policy) for finding in findings) if r is not None), None)
        if unproven is not None:
            refused = _because(refused, unproven) or _refuse_unproven(unproven, findings, policy, image)
        if refused is not None:
            return refused
    warnings = _warnings(findings, policy)
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
        return Refusal(problem("unproven", why, fix="migrate manifest   # then commit the file that it writes"))
    if policy.extra is Judgement.IGNORE:
        return None
    extra = [each for found in findings if isinstance(found, Drifted) for each in found.differences.extra]
    still = [each.sentence() for each in extra if run.names(each.identity)]
    if not still:
        return None
    return Refusal(problem("drift", f"{clauses(still)}; {sentence(unproven)}", differences=still[: LISTED * 4]))


def _from_nothing(findings: Sequence[Finding], policy: Policy, upgrade: Upgrade) -> Decision:
    """The whole history; but what the ledger knows to be committed of its beginning may be rows, or in other schemas."""
    warnings = _warnings([finding for finding in findings if isinstance(finding, Unproven)], policy)
    residue = next((finding for finding in findings if isinstance(finding, Residue)), None)
    if residue is None:
        return Plan((upgrade,), Result.APPLIED, warnings)
    if policy.heal:
        return Plan((Repair(_items(residue)), upgrade), Result.APPLIED, warnings)
    return Refusal(problem("residue", sentence(residue), items=_items(residue)))


def _behind(findings: Iterable[Finding], policy: Policy, upgrade: Upgrade, image: Image) -> Decision:
    steps: list[Repair | Upgrade] = [upgrade]
    warnings: list[str] = []
    healed: frozenset[str] = frozenset()
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
        refused = _judge(finding, policy)
        if refused is not None:
            return refused
        warnings += _warnings([finding], policy)
    uncompared = refuse_uncompared(image, policy)
    if uncompared is not None:
        return uncompared
    if image.manifest is None and policy.breaking is BreakingPolicy.WARN:
        warnings.append(UNCOMPARED)
    return Plan(tuple(steps), Result.APPLIED, tuple(warnings))


def refuse_uncompared(image: Image, policy: Policy) -> Refusal | None:
    """The refusal where policy lets nothing break and, without a manifest, nothing says whether something would."""
    if image.manifest is not None or policy.breaking is not BreakingPolicy.REFUSE:
        return None
    return Refusal(problem("no-manifest", f"{UNCOMPARED}, and policy refuses what does (breaking=refuse)"))


def _items(residue: Residue) -> tuple[str, ...]:
    indexes = [f"index {index.name}" for index in residue.indexes]
    return (*indexes, *(f"the ledger's row of revision {step.revision}" for step in residue.steps))


def without_healed(drifted: Drifted, healed: frozenset[str]) -> Drifted:
    """The drift without these INVALID indexes, which are residue and repaired as such."""
    from migrate.core.schema.differences import parse

    def stays(difference: Difference) -> bool:
        identity = parse(difference.identity)
        is_invalid = difference.actual is not None and difference.actual.endswith(" invalid")
        return not (is_invalid and identity.path[-1] in healed)

    found = drifted.differences
    left = replace(found, changed=tuple(filter(stays, found.changed)), extra=tuple(filter(stays, found.extra)))
    return replace(drifted, differences=left)


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
    pending = image.graph.pending(rows, policy.target) if not image.graph.unknown(rows) else ()
    if not isinstance(pending, tuple) or not pending:
        return Plan((first,), alone, warnings)
    decided = _behind(findings, policy, Upgrade(policy.target, pending), image)
    if isinstance(decided, Refusal):
        return decided
    return replace(decided, steps=(first, *decided.steps), warnings=(*warnings, *decided.warnings))


def refuse_downgrade(state: State, reverting: Collection[Revision], policy: Policy) -> Refusal | None:
    """The first finding for which nothing is reverted: a release that still runs, and edits elsewhere, do not count."""
    for finding in state.findings:
        match finding:
            case Breaking():
                continue
            case Edited(revisions=revisions):
                edited = tuple(revision for revision in revisions if revision in reverting)
                refused = _judge(Edited(edited), policy) if edited else None
            case _:
                refused = _judge(finding, policy)
        if refused is not None:
            return refused
    return None


def _judge(finding: Finding, policy: Policy) -> Refusal | None:
    """The refusal of one finding where something is pending (or `strict` asks for it), None where policy lets it be."""
    match finding:
        case Unproven():
            return None  # what it means for this run is judged, or proven by it
        case Residue():
            return Refusal(problem("residue", sentence(finding), items=[i.name for i in finding.indexes]))
        case Edited(revisions=revisions):
            if policy.edited is EditedPolicy.WARN:
                return None
            return Refusal(
                problem(
                    "edited-revision",
                    sentence(finding),
                    names={"file": revisions[0].file},
                    revisions=[revision.id for revision in revisions],
                ),
            )
        case Drifted(differences=differences):
            failing = _by_policy(differences, policy, Judgement.FAIL)
            if not failing:
                return None
            said = sentence(replace(finding, differences=failing))
            fix = fix_of_stale_rows(finding.exact) if finding.exact is not None else None
            return Refusal(problem("drift", said, fix=fix, differences=failing.sentences()[: LISTED * 4]))
        case Incomparable():
            if policy.drift is not Judgement.FAIL:
                return None
            return Refusal(problem_of_incomparable(finding))
        case Lacking():
            return None
        case Breaking(breaks=breaks):
            if policy.breaking is not BreakingPolicy.REFUSE:
                return None
            breaking = list(dict.fromkeys(revision.id for _, revision in breaks))
            return Refusal(problem("breaking-change", sentence(finding), revisions=breaking))
        case _:
            assert_never(finding)


def _by_policy(differences: Differences, policy: Policy, *judgements: Judgement) -> Differences:
    """The differences that policy judges so: what is extra by `extra`, everything else by `drift`."""
    if policy.drift not in judgements:
        differences = replace(differences, missing=(), changed=(), renamed=())
    return differences if policy.extra in judgements else replace(differences, extra=())


def _warnings(findings: Iterable[Finding], policy: Policy) -> tuple[str, ...]:
    """The findings that policy lets be, as sentences; what it ignores is not said."""
    said = []
    for finding in findings:
        if isinstance(finding, Unproven):
            if finding.run.went_elsewhere:
                said.append(sentence_of_elsewhere(finding))
            continue  # what else it means for this run is judged, or proven by it
        if isinstance(finding, Drifted):
            told = _by_policy(finding.differences, policy, Judgement.FAIL, Judgement.WARN)
            said += [sentence(replace(finding, differences=told, accepted=None))] if told else []
            if finding.accepted:
                stay = clauses(finding.accepted.sentences())
                said.append(f"{stay}: a part of a pending revision left it, and an operator lets it stay")
            continue
        if isinstance(finding, Breaking) and policy.breaking is BreakingPolicy.ALLOW:
            continue
        said.append(sentence(finding))
    return tuple(said)


def sentence(finding: Finding) -> str:
    """A finding in one sentence with its names."""
    match finding:
        case Unproven(run=run):
            ended = "was not heard of again" if run.exit_code is None else f"ended with {run.exit_code}"
            went = ", because env.py went on to another target" if run.went_elsewhere else ""
            return f"run {run.run_id} {ended}{went}, and nothing has proven this database since"
        case Residue(indexes=indexes, steps=steps):
            parts = [f"index {index.name} on {index.table} is INVALID" for index in indexes]
            for step in steps:
                # of an INVALID index there is a part already
                left = [line for line in step.left if not line.startswith("INVALID ") and not line.endswith(" invalid")]
                named = f"; it left {_names(left)}" if left else ""
                parts.append(f"a part of revision {step.revision} is committed (run {step.run_id}){named}")
            return clauses(parts)
        case Edited(revisions=revisions):
            return clauses(
                [f"{revision.file} (revision {revision.id}) was edited after it was applied" for revision in revisions],
            )
        case Drifted(differences=differences, exact=exact):
            is_other = f"; it is exactly the schema of {_names(exact)}" if exact is not None else ""
            return f"{clauses(differences.sentences())}{is_other}"
        case Incomparable(role=role, schemas=schemas):
            return (
                f"role {role} has no USAGE on schema {_names(schemas)}, so that what is made of its types and functions"
                " cannot be held against the manifest"
            )
        case Lacking():
            return finding.sentence()
        case Breaking(breaks=breaks):
            parts = [f"{broken.sentence} (revision {revision.id}, {revision.file})" for broken, revision in breaks]
            return f"the pending change breaks the release that is still running: {clauses(parts)}"
        case _:
            assert_never(finding)


def sentence_of_elsewhere(finding: Unproven) -> str:
    """That the last run's env.py went on to another target, and what finds out whether it still does."""
    return f"{sentence(finding)}: migrate up first runs env.py once without a revision"


def fix_of_stale_rows(exact: tuple[str, ...]) -> str:
    """The way out where the version table names one revision, and the schema is exactly another one's."""
    return f"migrate adopt   # records {_names(exact)}, whose schema is there; then: migrate up"


def problem_of_incomparable(finding: Incomparable) -> Problem:
    """Why nothing is said of the schema, with the right that is missing."""
    from migrate.core.schema.repair_sql import quote

    names = ", ".join(map(quote, finding.schemas))
    grant = f"GRANT USAGE ON SCHEMA {names} TO {quote(finding.role)};"
    return problem("missing-privilege", sentence(finding), names={"grant": grant})


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
    if (
        isinstance(match, Nearest)
        and allowed
        and not match.ties
        and _are_foreign(match, image)
        and match.differences.tolerable(
            extra=policy.extra is not Judgement.FAIL,
            renamed=policy.adopt is AdoptPolicy.EQUIVALENT,
        )
    ):
        evidence = tuple(match.differences.sentences())
        step = Adopt(match.rows, evidence=evidence)
        return _from_there(step, match.rows, image, findings, policy, warnings=evidence)
    objects = f"{counted(len(position.objects), 'object')} ({_names(position.objects)})"
    return Refusal(
        problem(
            "untracked",
            f"the database has {objects} but no version{_proves(match)}",
            fix=_way_out(match),
            **_match_facts(match),
        ),
    )


def _are_foreign(match: Nearest, image: Image) -> bool:
    """Whether what is extra is nothing that any revision makes: else the database is rather at another one, damaged."""
    known = image.manifest.identities if image.manifest is not None else frozenset()
    return not any(difference.identity in known for difference in match.differences.extra)


def _way_out(match: Match | None) -> str | None:
    """What to paste where nothing is proven; None for the kind's own fix."""
    match match:
        case Nearest(rows=rows):
            at = _at(rows)
            return f"migrate verify --at {at}   # the differences and their SQL; or: migrate adopt --at {at} --reason 'WHY'"
        case Several(candidates=candidates):
            return f"migrate adopt --at {_at(candidates[0])} --reason 'WHY'   # or another of those named"
        case _:
            return None


def _at(rows: Sequence[str]) -> str:
    """The rows as `--at` takes them."""
    return word(",".join(rows)) if rows else "base"


def _unknown(position: Unknown, image: Image, findings: Iterable[Finding], policy: Policy) -> Decision:
    recorded = position.recorded
    if policy.ahead is AheadPolicy.ACCEPT or (policy.ahead is AheadPolicy.COMPATIBLE and position.breaks == ()):
        return Plan((), Result.AHEAD, (_ahead_warning(recorded, policy), *position.words))
    if isinstance(position.match, Exact) and policy.adopt is not AdoptPolicy.OFF:
        step = Adopt(position.match.rows, position.rows)
        return _from_there(step, position.match.rows, image, findings, policy)
    if position.breaks is None:
        serving = "; without a manifest nothing can be said of its schema"
    elif position.breaks:
        serving = f"; the live schema does not serve this image: {clauses([b.sentence for b in position.breaks])}"
    else:
        serving = "; the live schema serves this image (--ahead compatible would let it run)"
    return Refusal(
        problem(
            "unknown-revision",
            f"the version table names {_names(recorded)}, which is not in this image{serving}{_proves(position.match)}",
            names={"recorded": recorded},
            recorded=list(recorded),
            **_match_facts(position.match),
        ),
    )


def _ahead_warning(recorded: tuple[str, ...], policy: Policy) -> str:
    return f"the database is at {_names(recorded)}, newer than this image; it stands (ahead={policy.ahead})"


def _ahead_problem(recorded: tuple[str, ...], breaks: tuple[Break, ...] | None) -> Problem:
    if breaks is None:
        reason = "; without a manifest it cannot be proven that this image runs on its schema"
    elif breaks:
        reason = f"; its schema does not serve this image: {clauses([b.sentence for b in breaks])}"
    else:
        reason = "; its schema serves this image, but policy refuses (ahead=refuse)"
    return problem(
        "ahead",
        f"the database is at {_names(recorded)}, which descends from this image's head{reason}",
        names={"recorded": recorded},
        recorded=list(recorded),
        breaks=[b.sentence for b in breaks or ()][: LISTED * 4],
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
            return f"; its schema is that of several revisions: {_names([' and '.join(rows) or 'base' for rows in candidates])}"
        case Nearest(rows=rows, differences=differences, ties=ties):
            nearest = " or ".join(" and ".join(each) or "base" for each in (rows, *ties[:LISTED]))
            return f"; the nearest revision is {nearest}, but {clauses(differences.sentences())}"
        case _:
            assert_never(match)


def _names(names: Iterable[str]) -> str:
    return shortened(names) or "base"
