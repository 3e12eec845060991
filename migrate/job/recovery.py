"""The runs that bring a database back to where releases can go on: adopt, repair, down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from migrate.core.decide.backup import with_backup
from migrate.core.decide.decision import decide, record
from migrate.core.decide.downgrade import reverting, taken_by_reverting
from migrate.core.decide.findings import problem_of_incomparable, refuse_downgrade, sentence_of_elsewhere
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.plan import Adopt, Downgrade, Plan, Refusal, Repair
from migrate.core.decide.policy import AdoptPolicy, AheadPolicy
from migrate.core.decide.repair import said
from migrate.core.decide.state import Ahead, AtHead, Behind, Drifted, Empty, Unproven, classify, incomparable
from migrate.core.events import Event, Level, Name
from migrate.core.history.destruction import commits_unseen
from migrate.core.history.faults import HistoryFault
from migrate.core.manifest.holding import Taken, place_of
from migrate.core.manifest.match import Exact, Nearest
from migrate.core.problems import Stop, migrate, problem, shell, stop
from migrate.core.problems.privileges import fix_of_uncounted
from migrate.core.quoting import identifier, word, words
from migrate.core.wording import clauses, counted, shortened
from migrate.job.look import (
    connected,
    needed_manifest,
    observed,
    refuse_image_faults,
    rows_named,
    settled,
    through_pooler,
    warn_of_other_names,
)
from migrate.job.progress import (
    Judged,
    Progress,
    finish_without_steps,
    kind_of,
    outcomes,
    plan_in_words,
    stepwise,
)
from migrate.job.up import glance, under_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrate.core.decide.observation import Observation, Server
    from migrate.core.decide.repair import Closing, Repairs
    from migrate.core.decide.state import Position, State
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.problems import Problem
    from migrate.postgres.connection import Connection
    from migrate.postgres.counting import Uncounted
    from migrate.steps.order import Order


@dataclass(frozen=True, slots=True)
class Override:
    """The operator's word that a database is at a revision, with the reason that the ledger keeps."""

    revision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Loss:
    """What downgrades drop that holds data: rows of each table, values that are not null of each column.

    What the server does not count stands there with its words.
    """

    counts: Mapping[str, int | Uncounted]

    @classmethod
    def of(cls, order: Order, connection: Connection, observation: Observation, taken: Taken) -> Loss:
        """Count it. Raises Stop or Interrupted."""
        from migrate.postgres.counting import count_values

        schema = observation.server.schema or ""
        lock_s = order.context.limits.lock_s
        return cls(count_values(connection, taken.gone, schema=schema, lock_timeout_s=lock_s, go_on=_in_time(order)))

    @property
    def is_any(self) -> bool:
        """Whether rows or values go, or may go."""
        return any(self.counts.values())

    @property
    def hidden(self) -> Mapping[str, Uncounted]:
        """What this role does not see all of."""
        return {i: n for i, n in self.counts.items() if not isinstance(n, int) and n.is_denied}

    def sentence(self) -> str:
        """What goes, with its names."""
        said = [f"{identity} ({_number_said(identity, number)})" for identity, number in self.counts.items()]
        return f"drops {shortened(said)}" if said else "drops no table and no column"

    def fields(self) -> list[str]:
        """The same for a log line: ``table articles: 12``."""
        return [f"{each}: {n if isinstance(n, int) else 'not counted'}" for each, n in self.counts.items()][:50]


def _in_time(order: Order) -> Callable[[], None]:
    """What is asked while a table is read: a signal ends the waits of connections by itself."""
    return lambda: order.context.refuse_overdue("before the first change")


def _number_said(identity: str, number: int | Uncounted) -> str:
    if isinstance(number, int):
        return counted(number, "row" if identity.startswith("table") else "value")
    return f"not counted: {number.why}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The operator's word that what the schema differs in is meant, at ``revision`` or where the database is."""

    revision: str | None
    reason: str


def adopt(order: Order, progress: Progress, at: Override | Acceptance | None = None) -> tuple[Adopt | None, Outcome]:
    """Write the version rows that the schema proves, or those that the operator names; upgrades nothing."""
    step: Adopt | None = None

    def judge_again(order: Order, connection: Connection) -> Judged:
        nonlocal step
        judged = (
            judge_acceptance(order, connection, at)
            if isinstance(at, Acceptance)
            else judge_adoption(order, connection, at)
        )
        step = next((each for each in stepwise(judged).steps if isinstance(each, Adopt)), None)
        return judged

    order = replace(order, policy=replace(order.policy, target="heads"))  # an adoption is not about where to go
    outcome = _look_and_act(order, progress, judge_again, judge_again)
    return step, outcome


def repair(
    order: Order, progress: Progress, *, does: bool, closing: Closing | None = None
) -> tuple[Repairs | None, Outcome]:
    """What an earlier run left, and with ``does`` put right under the guard; what stays ends as `residue`."""
    order = replace(order, policy=replace(order.policy, target="heads"))  # repairs are not about where to go
    found: Repairs | None = None

    def judge_again(order: Order, connection: Connection) -> Judged:
        nonlocal found
        found, judged = judge_repair(order, connection, closing)
        return judged

    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            from migrate.steps.repair import is_at_work, still_there

            # Asked before looking: what a dead run is at is no residue, and would be one as soon as its backend ends.
            at_work = is_at_work(connection)
            if does:
                judged = glance(order, connection, progress, judge_again)
            else:
                judged = judge_again(order, connection)
                progress.note(judged)
            if judged is not None:
                say_elsewhere(order, judged.state)
            takes_guard = does and (judged is None or bool(stepwise(judged).steps) or at_work)
            if judged is None or takes_guard:
                outcome = under_guard(order, connection, progress, judged, judge_again)
            else:
                outcome = finish_without_steps(judged)
            if not found or (takes_guard and outcome.result is not Result.NOOP):
                return found, outcome
            raise Stop(still_there(found, was_tried=False))
    return found, progress.outcome()


def say_elsewhere(order: Order, state: State) -> None:
    """Say that an earlier run's env.py went on to another target: there is nothing to repair, and `up` finds out."""
    for finding in state.findings:
        if isinstance(finding, Unproven) and finding.run.went_elsewhere:
            order.context.emit(Event(Name.STATE_FINDING, sentence_of_elsewhere(finding), Level.WARN))


def down(order: Order, progress: Progress, target: str, *, allow_data_loss: bool) -> tuple[Loss | None, Outcome]:
    """Run the downgrades of everything that builds on ``target``; refuses to lose data unless it is allowed."""
    # going back is not about where a release would go, and nothing here may adopt, repair or let stand on its own
    policy = replace(order.policy, target="heads", adopt=AdoptPolicy.OFF, ahead=AheadPolicy.REFUSE, heal=False)
    order = replace(order, policy=policy)
    loss: Loss | None = None

    def judge_again(order: Order, connection: Connection) -> Judged:
        nonlocal loss
        judged, loss = judge_down(order, connection, target, allow_data_loss=allow_data_loss, counts=True)
        return judged

    def judge_first(order: Order, connection: Connection) -> Judged:
        # not yet: to count takes the lock that a run at work, or one that died, holds on what it reverts
        return judge_down(order, connection, target, allow_data_loss=allow_data_loss, counts=False)[0]

    outcome = _look_and_act(order, progress, judge_first, judge_again)
    return loss, outcome


def _look_and_act(
    order: Order,
    progress: Progress,
    judge_first: Callable[[Order, Connection], Judged],
    judge_again: Callable[[Order, Connection], Judged],
) -> Outcome:
    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = glance(order, connection, progress, judge_first)
            if judged is not None and not stepwise(judged).steps:
                return finish_without_steps(judged)
            return under_guard(order, connection, progress, judged, judge_again)
    return progress.outcome()


def judge_adoption(order: Order, connection: Connection, at: Override | None) -> Judged:
    """What adopting would write. Raises Stop where nothing is proven and no override names a revision."""
    state: State | None = None

    def judged(seen: Observation) -> Judged:
        nonlocal state
        state = classify(order.image, seen, order.policy.target, order.policy.ignore)
        return _adoption(order, seen, state, at)

    try:
        return settled(order, connection, judged, lambda _: False)[1]
    finally:
        if at is None and state is not None:
            warn_of_other_names(order, state)


def _adoption(order: Order, observation: Observation, state: State, at: Override | None) -> Judged:
    if at is not None:
        rows = _rows_to_record(order, at.revision)
        evidence: tuple[str, ...] = ()
        if order.image.manifest is not None:
            major = observation.server.major
            found = order.image.manifest.compare(rows, observation.schema or {}, major=major)
            evidence = tuple(found.sentences())
        step = Adopt(rows, observation.rows, at.reason, evidence, is_proven=False)
        return _to_adopt(order, observation, state, step, evidence)
    if isinstance(state.position, (Empty, AtHead, Behind)):
        # stamped with one revision, and exactly another one's schema: rows that are not true are replaced as any others
        proven = next((f.exact for f in state.findings if isinstance(f, Drifted) and f.exact is not None), None)
        if proven is None:
            return Judged(observation, state, Plan((), Result.NOOP))
        return _to_adopt(order, observation, state, Adopt(proven, observation.rows))
    needed_manifest(order)
    allowed = AdoptPolicy.EXACT if order.policy.adopt is AdoptPolicy.OFF else order.policy.adopt
    decision = decide(order.image, state, replace(order.policy, adopt=allowed))
    if isinstance(decision, Refusal):
        raise Stop(_not_adoptable(decision.problem))
    return Judged(observation, state, replace(decision, steps=decision.steps[:1], result=Result.ADOPTED))


def _to_adopt(
    order: Order, observation: Observation, state: State, step: Adopt, evidence: tuple[str, ...] = ()
) -> Judged:
    """The plan of an adoption alone. Raises Stop where it would hide that a part of a revision is committed."""
    decision = record(step, step.rows, order.image, state.findings, warnings=evidence)
    if isinstance(decision, Refusal):
        raise Stop(decision.problem)
    return Judged(observation, state, decision)


def _rows_to_record(order: Order, revisions: str) -> tuple[str, ...]:
    """As `rows_named`. Raises Stop, too, where a sibling that one of the revisions follows is not among them."""
    rows, manifest = rows_named(order, revisions), order.image.manifest
    lacking = manifest.lacking(rows) if manifest is not None else ()
    if manifest is not None and lacking:
        said = [f"revision {id_} follows revision {sibling} of another branch" for id_, sibling in lacking]
        named = ",".join(sorted(manifest.with_siblings(rows)))
        raise stop("not-adoptable", f"{clauses(said)}, and is nowhere without it", names={"revision": named})
    return rows


def judge_acceptance(order: Order, connection: Connection, at: Acceptance) -> Judged:
    """What accepting would record. Raises Stop where it is not known with which revision to compare."""
    manifest = needed_manifest(order)

    def judged(seen: Observation) -> Judged:
        return _acceptance(order, manifest, seen, at)

    return settled(order, connection, judged, lambda _: False, with_schema=True)[1]


def _acceptance(order: Order, manifest: Manifest, observation: Observation, at: Acceptance) -> Judged:
    state = classify(order.image, observation, order.policy.target, order.policy.ignore)
    blind = incomparable(observation)
    if blind is not None:
        raise Stop(problem_of_incomparable(blind))
    match = getattr(state.position, "match", None)
    if at.revision is not None:
        rows = _rows_to_record(order, at.revision)
    elif isinstance(state.position, (Empty, AtHead, Behind)):
        rows = observation.rows
    elif isinstance(match, Exact) or (isinstance(match, Nearest) and not match.ties):
        rows = match.rows
    else:
        why = "it is not known with which revision the schema is to be compared: name it"
        fix = shell(migrate("adopt", "--accept-differences", "--at REVISION"))
        raise stop("not-adoptable", why, fix=fix)
    found = manifest.compare(rows, observation.schema or {}, major=observation.server.major, ignore=order.policy.ignore)
    facts = found.facts()
    if sorted(rows) == sorted(observation.rows) and frozenset(facts) == observation.meant:
        return Judged(observation, state, Plan((), Result.NOOP))
    evidence = tuple(found.sentences())
    step = Adopt(rows, observation.rows, at.reason, evidence, is_proven=False, accepted=facts)
    return _to_adopt(order, observation, state, step, evidence)


def _not_adoptable(refused: Problem) -> Problem:
    """A refusal whose own fix is `migrate adopt`, as that verb must say it: what the operator may still do."""
    matching = refused.facts.get("matching")
    if refused.kind.code not in {"untracked", "unknown-revision", "split-version"} or not isinstance(matching, list):
        return refused
    facts: dict[str, Any] = {
        name: value for name, value in refused.facts.items() if name in {"match", "matching", "differences"}
    }
    # of several candidates the first; else the rows, all of which count: one alone would lose the other branches'
    named = matching[0] if facts.get("match") == "several" else ",".join(matching)
    return problem("not-adoptable", refused.why, names={"revision": named or "base"}, **facts)


def _leftovers(seen: Observation) -> tuple[object, ...]:
    return *seen.unfinished, *seen.invalid_indexes


def judge_repair(order: Order, connection: Connection, closing: Closing | None) -> tuple[Repairs, Judged]:
    """What a repair would do. Raises Stop for the operator's word about a revision that left nothing."""
    from migrate.steps.repair import assess

    observation, _ = settled(order, connection, _leftovers, bool, with_schema=True)
    left = [step.revision for step in observation.unfinished if step.committed]
    if closing is not None and closing.revision not in left:
        open_ones = f"; those with one are {', '.join(filter(None, left))}" if left else ""
        raise stop(
            "usage",
            f"revision {closing.revision} has no open row in the ledger{open_ones}",
            names={"verb": order.context.verb},
        )
    found = assess(
        connection,
        order.image,
        observation,
        source_of=order.source_of,
        ignore=order.policy.ignore,
        go_on=_in_time(order),
        closing=closing,
        foresees=True,
    )
    state = classify(order.image, observation, order.policy.target, order.policy.ignore)
    steps = (Repair(tuple(said(action) for action in found.actions), closing),) if found.actions else ()
    return found, Judged(observation, state, Plan(steps, Result.REPAIRED if steps else Result.NOOP))


def _not_from_here(refused: Problem, position: Position, target: str) -> Problem:
    """A refusal to go back; what another image has applied, only that image can revert, whatever policy lets stand."""
    if not isinstance(position, Ahead):
        return refused
    return replace(
        refused,
        fix=shell(migrate("down", f"--to {word(target)}"), note=f"in the image that has {words(position.recorded)}"),
    )


def judge_down(
    order: Order, connection: Connection, target: str, *, allow_data_loss: bool, counts: bool
) -> tuple[Judged, Loss | None]:
    """What going back to ``target`` takes and, where that ``counts``, is lost by it. Raises Stop for every reason not to."""
    image, observation, state = observed(order, connection)
    if not isinstance(state.position, (Empty, AtHead, Behind)):
        decided = decide(image, state, order.policy)
        assert isinstance(decided, Refusal)  # with this policy every other position is refused
        raise Stop(_not_from_here(decided.problem, state.position, target))
    after = image.manifest.after if image.manifest is not None else {}
    gone = reverting(image.graph, observation.rows, target, after)
    if isinstance(gone, HistoryFault):
        raise stop("unknown-target", gone.why, fix=gone.fix)
    if not gone:
        return Judged(observation, state, Plan()), None
    refused = refuse_downgrade(state, gone, order.policy)
    if refused is not None:
        raise Stop(refused.problem)
    manifest = order.image.manifest
    taken = taken_by_reverting(manifest, image.graph, observation.rows, gone) if manifest is not None else Taken()
    loss = Loss.of(order, connection, observation, taken) if counts and manifest is not None else None
    if not allow_data_loss:
        if loss is not None and loss.hidden:
            raise _uncounted(loss.hidden, observation.server, target)
        if manifest is None or (loss is not None and loss.is_any):
            what = (
                loss.sentence() if loss is not None else "without a manifest it is not known what its downgrades drop"
            )
            facts: dict[str, Any] = {"loses": loss.fields()} if loss is not None else {}
            raise stop("data-loss", f"going back to {target}: {what}", names={"target": target}, **facts)
        unseen = next((each for each in gone if commits_unseen(order.source_of(each))), None)
        if unseen is not None:
            what = f"{unseen.file} commits by its driver's own connection, so that nobody can say what it loses"
            raise stop("data-loss", f"going back to {target}: {what}", names={"target": target})
    plan = Plan((Downgrade(target, gone, allow_data_loss, taken),), Result.DOWNGRADED)
    decision = with_backup(
        plan, image, state, order.policy, has_place=order.backup is not None, source_of=order.source_of
    )
    if isinstance(decision, Plan):
        decision = through_pooler(order, observation, decision)
    if counts and isinstance(decision, Plan):
        said = f"{plan_in_words(decision)}; {loss.sentence()}" if loss is not None else plan_in_words(decision)
        fields = {"steps": [kind_of(s) for s in decision.steps], "loses": loss.fields() if loss is not None else None}
        order.context.emit(
            Event(Name.DECISION_MADE, said, Level.WARN if loss is None or loss.is_any else Level.INFO, fields)
        )
    return Judged(observation, state, decision), loss


def _uncounted(hidden: Mapping[str, Uncounted], server: Server, target: str) -> Stop:
    """The stop for tables of which this role does not see every row: what it would count is not what is lost."""
    identity, first = next(iter(hidden.items()))
    place = place_of(identity, server.schema or "")
    table = ".".join(map(identifier, (place.schema, place.table)))
    fix = fix_of_uncounted(first.why, role=server.user, database=server.database, table=table, target=target)
    said = clauses(f"{identity}: {number.why}" for identity, number in hidden.items())
    return stop("missing-privilege", f"what would be lost cannot be counted: {said}", fix=fix)
