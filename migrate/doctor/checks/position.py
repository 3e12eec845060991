"""The checks of where the database is against this image: version table, decision, findings, backup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from migrate.core.decide.decision import decide, refuse_uncompared, refuse_unforeseen, would_run
from migrate.core.decide.findings import fix_of_stale_rows, problem_of_incomparable, sentence, without_healed
from migrate.core.decide.foreseen import Heavy, Unanswered, Unforeseen, Unmet
from migrate.core.decide.outcome import Result
from migrate.core.decide.plan import Plan, Refusal
from migrate.core.decide.policy import BreakingPolicy, DataPolicy, HeavyPolicy
from migrate.core.decide.repair import plain
from migrate.core.decide.state import (
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Empty,
    Incomparable,
    Lacking,
    Residue,
    State,
    Unproven,
)
from migrate.core.decide.state import name as position_name
from migrate.core.problems import NOTHING, in_order, migrate, problem, shell, sql
from migrate.core.quoting import identifier, qualified
from migrate.core.schema.repair_sql import repairs
from migrate.core.wording import clauses, counted
from migrate.doctor.check import Passed, Skipped, Warned, check
from migrate.doctor.wording import listed

if TYPE_CHECKING:
    from migrate.core.decide.state import Finding
    from migrate.core.problems import Fix
    from migrate.doctor.check import Found
    from migrate.doctor.facts import AgainstImage, BackupFacts, Examined

_Kind = TypeVar("_Kind")
_WORDS: Final = {
    Result.NOOP: "nothing to do",
    Result.AHEAD: "newer than this image, and policy lets it stand",
    Result.APPLIED: "to be adopted and upgraded",
    Result.ADOPTED: "to be adopted",
}


@check(
    "the shape of the version table",
    warns="it has no unique key, so that a row can be there twice",
    fails="it is not a version table, or too narrow for an id of this image",
)
def version_table(seen: Examined) -> Found:
    """The shape; what the rows mean is the state's. One that is too narrow is the problem in place of the facts."""
    table = seen.diagnosis.version_table
    where = qualified(table.schema or "", table.name)
    if table.kind is None:
        return Passed(f"{where} is not there yet; the first revision makes it")
    if table.column_type is None or table.kind not in {"r", "p", "v"}:
        return problem(
            "other-version-table",
            f"{where} is not a version table: it has no column version_num",
            fix=shell(
                "export MIGRATE_VERSION_TABLE=NAME MIGRATE_VERSION_TABLE_SCHEMA=SCHEMA",
                note="as env.py configures them",
            ),
        )
    evidence = f"{where} has {counted(len(seen.rows), 'row')}{listed(seen.rows)}"
    if table.kind != "v" and not table.has_key:
        return Warned(
            f"{evidence}; it has no unique key, so that a row can be there twice",
            sql(f"ALTER TABLE {where} ADD CONSTRAINT {identifier(f'{table.name}_pkc')} PRIMARY KEY (version_num);"),
        )
    return Passed(evidence)


@check("what is there beside the version table", warns="there is a second version table in another place")
def tables(seen: Examined) -> Found:
    """How much is there, and whether there is a second version table."""
    evidence = f"{counted(seen.diagnosis.tables_count, 'table')} beside the version table"
    table = seen.diagnosis.version_table
    if not table.others:
        return Passed(evidence)
    ours = qualified(table.schema or "", table.name)
    is_there = "is the one that is read" if table.kind is not None else "is not there"
    schema = table.others[0].rpartition(".")[0]
    return Warned(
        f"{evidence}; {', '.join(table.others)} looks like a version table too, and {ours} {is_there}",
        shell(f"export MIGRATE_VERSION_TABLE_SCHEMA={schema}", note="if that is the one that env.py configures"),
    )


@check(
    "the position of the database against this image, the decision, and the pending revisions",
    fails="`migrate up` would refuse it",
)
def state(seen: AgainstImage) -> Found:
    """What `up` makes of the position alone."""
    position = seen.state.position
    # what the pending revisions need, do and break are checks of their own
    unproven = tuple(finding for finding in seen.state.findings if isinstance(finding, Unproven))
    policy = replace(seen.policy, breaking=BreakingPolicy.ALLOW, data=DataPolicy.OFF, heavy=HeavyPolicy.ALLOW)
    decision = decide(seen.image, State(position, unproven), policy)
    if isinstance(decision, Refusal):
        return decision.problem
    pending = position.pending if isinstance(position, (Empty, Behind)) else ()
    will = f"{counted(len(pending), 'revision')} pending{listed([revision.id for revision in pending])}"
    return Passed(
        f"{position_name(position)} ({', '.join(seen.observation.rows) or 'no version'}),"
        f" {will if pending else _WORDS.get(decision.result, decision.result)}",
        tuple(f"{revision.id}  {revision.message}  ({revision.file})" for revision in pending),
    )


@check(
    "INVALID indexes, and revisions that were begun and not finished",
    warns="there are some, and nothing is pending or nothing of them is left",
    fails="there are some, and revisions are pending",
)
def residue(seen: AgainstImage) -> Found:
    """What an earlier run left, and what it began and left nothing of."""
    finding = _first(seen, Residue)
    if finding is not None:
        parts = [index.parts_sql for index in finding.indexes if index.parts_sql]
        fix = in_order(map(sql, parts)) or shell(
            migrate("repair", "--yes"), note="puts right what is provable, and names the rest"
        )
        return _judged(finding, seen, fix)
    begun = [step for step in seen.observation.unfinished if not step.committed]
    if begun:
        steps = ", ".join(f"{step.revision or step.kind} (run {step.run_id})" for step in begun)
        return Warned(
            f"begun, not finished, and nothing of it is left: {steps}",
            shell(migrate("repair", "--yes"), note="closes it"),
        )
    return Passed("no INVALID index, no revision that was begun and not finished")


@check(
    "applied revisions whose file is another program now",
    warns="there are some, and nothing is pending or policy lets them be",
    fails="there are some, and revisions are pending",
)
def edited(seen: AgainstImage) -> Found:
    """By the sources that the ledger kept."""
    finding = _first(seen, Edited)
    if finding is not None:
        return _judged(finding, seen)
    if seen.observation.rows and not seen.observation.ledger:
        return Skipped("not compared: the ledger has no source of an applied revision")
    return Passed("no applied revision was edited since, as far as the ledger tells")


@check(
    "the live schema against the manifest",
    warns="it differs, and nothing is pending or policy lets it be",
    fails="it differs, and revisions are pending",
)
def drift(seen: AgainstImage) -> Found:
    """Also where a right is missing without which the two cannot be compared."""
    incomparable, drifted, left = _first(seen, Incomparable), _first(seen, Drifted), _first(seen, Residue)
    lacking = _first(seen, Lacking)
    if lacking is not None:
        return _judged(lacking, seen)
    if incomparable is not None:
        return _judged(incomparable, seen, problem_of_incomparable(incomparable).fix)
    if drifted is None:
        return _no_drift(seen)
    if left is not None:
        # an index that is INVALID is told once: SQL that puts drift right would be a second way beside its repair
        drifted = without_healed(drifted, frozenset(plain(index.name) for index in left.indexes))
        if not drifted.differences:
            return Passed("the schema matches the manifest, except for INVALID indexes")
    return _judged(drifted, seen, _fix_of_drift(drifted, seen))


@check(
    "what the pending revisions take from the release that is still running",
    warns="they take something",
    fails="the policy `breaking` is `refuse`, and they take something or there is no manifest that would tell",
)
def breaking(seen: AgainstImage) -> Found:
    """By the manifest, before and after them."""
    finding = _first(seen, Breaking)
    if isinstance(seen.state.position, Behind) and seen.image.manifest is None:
        refused = refuse_uncompared(seen.image, seen.policy)
        return Skipped("not compared: there is no manifest") if refused is None else refused.problem
    if finding is not None:
        fix = shell(
            migrate("plan"),
            note="then expand first and contract in a later release; or: export MIGRATE_BREAKING=allow",
        )
        return _judged(finding, seen, fix)
    if not isinstance(seen.state.position, (AtHead, Behind, Empty)):
        return Skipped(f"not compared: the database is {position_name(seen.state.position)}")
    return Passed("nothing that is pending takes anything from the running release")


@check(
    "whether the rows are as the pending revisions need them",
    warns="some are not, and the need is not proven or the policy `data` is `warn`; or a question was not answered",
    fails="some are not; or the policy `data` is set to `refuse`, and the manifest does not say what they need",
)
def data(seen: AgainstImage) -> Found:
    """As `up` asks before anything is changed."""
    if isinstance(seen.state.position, Behind) and seen.image.manifest is None:
        refused = refuse_unforeseen(seen.image, replace(seen.policy, heavy=HeavyPolicy.ALLOW))
        return Skipped("not asked: there is no manifest") if refused is None else refused.problem
    unforeseen = _first(seen, Unforeseen)
    found = unforeseen if unforeseen is not None and unforeseen.needs else None
    for finding in (_first(seen, Unmet), _first(seen, Unanswered)):
        if finding is not None:
            return _judged(finding, seen)
    if found is not None:
        return _judged(replace(found, effects=()), seen)
    unseen = _why_unseen(seen) or ("data=off" if seen.policy.data is DataPolicy.OFF else None)
    if unseen is not None:
        return Skipped(f"not asked: {unseen}")
    return Passed("the rows are as the pending revisions need them")


@check(
    "what the pending revisions block for as long as a large table takes",
    warns="they rewrite, scan or build an index on a table of more than `heavy_over`, and block others meanwhile",
    fails="the policy `heavy` is `refuse`, and they do, or there is no manifest that would tell",
)
def heavy(seen: AgainstImage) -> Found:
    """By the manifest, and the sizes of the tables here."""
    if isinstance(seen.state.position, Behind) and seen.image.manifest is None:
        refused = refuse_unforeseen(seen.image, replace(seen.policy, data=DataPolicy.OFF))
        return Skipped("not known: there is no manifest") if refused is None else refused.problem
    found = _first(seen, Heavy)
    if found is not None:
        return _judged(found, seen)
    unforeseen = _first(seen, Unforeseen)
    if unforeseen is not None and unforeseen.effects:
        return _judged(replace(unforeseen, needs=()), seen)
    unseen = _why_unseen(seen)
    if unseen is not None:
        return Skipped(f"not looked at: {unseen}")
    return Passed("nothing that is pending blocks others on a large table")


def _why_unseen(seen: AgainstImage) -> str | None:
    """Why nobody looks at what is pending: it is not known, or none of it would run; None where somebody does."""
    position = seen.state.position
    if isinstance(position, (AtHead, Empty)) or would_run(seen.image, seen.state, seen.policy):
        return None
    return (
        "the release is refused before"
        if isinstance(position, Behind)
        else f"the database is {position_name(position)}"
    )


DECISION = (state, residue, edited, drift, data, heavy, breaking)


@check(
    "where backups go, and the programs that take them",
    warns="one could not be taken, and none is due",
    fails="one is due and could not be taken, or has no place",
)
def backup(seen: BackupFacts) -> Found:
    """A place that is missing is the problem in place of the facts."""
    if seen.fault is not None:
        return seen.fault if seen.is_due else Warned(f"{seen.fault.why}; none is due now", seen.fault.fix)
    when = "is due before the first change" if seen.is_due else "is not due now"
    return Passed(
        f"{when}, to {' and '.join(seen.names)}"
        if seen.names
        else "no folder or command is set, and no backup is required"
    )


def _first(seen: AgainstImage, kind: type[_Kind]) -> _Kind | None:
    return next((finding for finding in seen.state.findings if isinstance(finding, kind)), None)


def _judged(finding: Finding, seen: AgainstImage, fix: Fix = NOTHING) -> Found:
    """What `up` makes of this finding alone; ``fix`` is better than the catalogue's, where there is one."""
    position = seen.state.position
    unproven = tuple(each for each in seen.state.findings if isinstance(each, Unproven))
    decision = decide(seen.image, State(position, (*unproven, finding)), seen.policy)
    if isinstance(decision, Refusal) and isinstance(position, (AtHead, Behind)):
        return replace(decision.problem, fix=fix or decision.problem.fix)
    if isinstance(decision, Plan) and not decision.warnings:
        return Passed(f"policy lets it be: {sentence(finding)}")
    return Warned(sentence(finding), fix)


def _no_drift(seen: AgainstImage) -> Found:
    accepted = seen.state.accepted
    if seen.image.manifest is None:
        return Skipped("not compared: there is no manifest")
    if not isinstance(seen.state.position, (AtHead, Behind)):
        return Skipped(f"not compared: the database is {position_name(seen.state.position)}")
    if accepted:
        counts = counted(len(accepted), "accepted difference")
        return Passed(f"the schema matches the manifest but for {counts}: {clauses(accepted)}")
    return Passed("the schema matches the manifest")


def _fix_of_drift(drifted: Drifted, seen: AgainstImage) -> Fix:
    if drifted.exact is not None:
        return fix_of_stale_rows(drifted.exact)
    manifest, position = seen.image.manifest, seen.state.position
    assert manifest is not None
    rows = position.rows if isinstance(position, (AtHead, Behind)) else ()
    live = seen.observation.schema or {}
    expected = manifest.spellings.as_in(manifest.schema_at(rows), live)
    return in_order(sql(text) for _, text in repairs(drifted.differences, expected, live))
