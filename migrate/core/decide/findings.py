"""What a finding is for a run that has something to apply: a refusal, a warning, and its sentence for people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from migrate.core.decide import foreseen
from migrate.core.decide.foreseen import Heavy, Unanswered, Unforeseen, Unmet
from migrate.core.decide.plan import HeldRevision, Refusal
from migrate.core.decide.policy import BreakingPolicy, EditedPolicy, Judgement
from migrate.core.decide.state import Breaking, Drifted, Edited, Incomparable, Lacking, Residue, Unproven, named
from migrate.core.problems import again, migrate, problem, shell, sql
from migrate.core.wording import LISTED, clauses, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from migrate.core.decide.policy import Policy
    from migrate.core.decide.state import Finding, State
    from migrate.core.history.graph import Revision
    from migrate.core.problems import Fix, Problem
    from migrate.core.schema.differences import Difference, Differences

FIX_OF_EXTRA: Final = shell(
    migrate("verify"),
    note="prints the SQL that drops it, to be looked at first; to accept it: --ignore PATTERN, or a revision that makes it",
)


def refuse_downgrade(state: State, reverting: Collection[Revision], policy: Policy) -> Refusal | None:
    """The first finding for which nothing is reverted: a release that still runs, and edits elsewhere, do not count."""
    for finding in state.findings:
        match finding:
            case Breaking():
                continue
            case Edited(revisions=revisions):
                edited = tuple(revision for revision in revisions if revision in reverting)
                refused = judge(Edited(edited), policy) if edited else None
            case _:
                refused = judge(finding, policy)
        if refused is not None:
            return refused
    return None


def judge(finding: Finding, policy: Policy) -> Refusal | None:
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
            if policy.strict and policy.extra is Judgement.WARN:
                refusing = {broken.identity for broken in finding.breaks}
                extra = tuple(each for each in differences.extra if each.identity in refusing)
                failing = replace(failing, extra=extra)
            if not failing:
                return None
            said = sentence(replace(finding, differences=failing))
            if finding.exact is not None:
                fix: Fix | None = fix_of_stale_rows(finding.exact)
            else:
                fix = None if failing.missing or failing.changed or failing.renamed else FIX_OF_EXTRA
            return Refusal(problem("drift", said, fix=fix, differences=failing.sentences()[: LISTED * 4]))
        case Incomparable():
            if policy.drift is not Judgement.FAIL:
                return None
            return Refusal(problem_of_incomparable(finding))
        case Lacking():
            return None
        case Unmet() | Unanswered() | Unforeseen() | Heavy():
            return foreseen.refuse(finding, policy)
        case Breaking(breaks=breaks):
            if policy.breaking is not BreakingPolicy.REFUSE:
                return None
            breaking = list(dict.fromkeys(revision.id for _, revision in breaks))
            return Refusal(problem("breaking-change", sentence(finding), revisions=breaking))
        case _:
            assert_never(finding)


def held_by(finding: Breaking, pending: Sequence[Revision]) -> tuple[HeldRevision, ...]:
    """The pending revisions from the first on that breaks the running release, and what each of them takes from it."""
    taken: dict[str, list[str]] = {}
    for broken, revision in finding.breaks:
        taken.setdefault(revision.id, []).append(broken.why)
    return tuple(HeldRevision(r, tuple(taken.get(r.id, ()))) for r in pending[len(finding.before) :])


def _by_policy(differences: Differences, policy: Policy, *judgements: Judgement) -> Differences:
    """The differences that policy judges so: what is extra by `extra`, everything else by `drift`."""
    if policy.drift not in judgements:
        differences = replace(differences, missing=(), changed=(), renamed=())
    return differences if policy.extra in judgements else replace(differences, extra=())


def warnings_of(findings: Iterable[Finding], policy: Policy) -> tuple[str, ...]:
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
        if isinstance(finding, foreseen.FORESEEN) and not foreseen.is_said(finding, policy):
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
                leaving = f"; it left {shortened(left)}" if left else ""
                parts.append(f"a part of revision {step.revision} is committed (run {step.run_id}){leaving}")
            return clauses(parts)
        case Edited(revisions=revisions):
            return clauses(
                [f"{revision.file} (revision {revision.id}) was edited after it was applied" for revision in revisions],
            )
        case Drifted(differences=differences, exact=exact):
            is_other = f"; it is exactly the schema of {named(exact)}" if exact is not None else ""
            there = {each.identity for each in differences.extra}
            whys = [broken.why for broken in finding.breaks if broken.identity in there]
            return f"{clauses(differences.sentences())}{is_other}{unserved(whys)}"
        case Incomparable(role=role, schemas=schemas):
            return (
                f"role {role} has no USAGE on schema {shortened(schemas)}, so that what is made of its types and functions"
                " cannot be held against the manifest"
            )
        case Lacking():
            return finding.sentence()
        case Unmet() | Unanswered() | Unforeseen() | Heavy():
            return foreseen.sentence(finding)
        case Breaking(breaks=breaks):
            parts = [f"{broken.why} (revision {revision.id}, {revision.file})" for broken, revision in breaks]
            return f"the pending change breaks the release that is still running: {clauses(parts)}"
        case _:
            assert_never(finding)


def unserved(whys: Sequence[str]) -> str:
    """What extra objects do to the rows of the image's program, behind their names; empty where they do nothing."""
    return f"; with that the live schema does not serve this image: {clauses(whys)}" if whys else ""


def sentence_of_elsewhere(finding: Unproven) -> str:
    """That the last run's env.py went on to another target, and what finds out whether it still does."""
    return f"{sentence(finding)}: migrate up first runs env.py once without a revision"


def fix_of_stale_rows(exact: tuple[str, ...]) -> Fix:
    """The way out where the version table names one revision, and the schema is exactly another one's."""
    return shell(migrate("adopt"), note=(f"records {named(exact)}, whose schema is there; then: ", again()))


def problem_of_incomparable(finding: Incomparable) -> Problem:
    """Why nothing is said of the schema, with the right that is missing."""
    from migrate.core.quoting import identifier

    names = ", ".join(map(identifier, finding.schemas))
    grant = f"GRANT USAGE ON SCHEMA {names} TO {identifier(finding.role)};"
    return problem("missing-privilege", sentence(finding), fix=sql(grant))


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
