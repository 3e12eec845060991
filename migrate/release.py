"""READ FIRST: the story of one run, from the first connection to the proof.

Nothing here reads settings or renders: it is handed an `Order` and says what happens through `emit`.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from migrate.core.decision import decide, refuse_downgrade, refuse_image, with_backup
from migrate.core.downgrade import lost_by_reverting, reverting, rows_below
from migrate.core.events import Event, Level, Name
from migrate.core.interruption import Interrupted
from migrate.core.manifest import MalformedManifest
from migrate.core.outcome import Outcome, Result
from migrate.core.plan import Adopt, Backup, Downgrade, Plan, Refusal, Repair, Upgrade
from migrate.core.policy import Adopt as AdoptPolicy
from migrate.core.policy import Ahead as AheadPolicy
from migrate.core.policy import Judgement
from migrate.core.problems import ExitCode, Stop, problem, stop
from migrate.core.repair import said
from migrate.core.revisions import HistoryFault
from migrate.core.schema import compare
from migrate.core.state import AtHead, Behind, Empty, classify
from migrate.core.state import name as position_name
from migrate.postgres.activity import GUARD_NAME
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.guard import GuardKey, guard
from migrate.postgres.ledger import Ledger, target_key
from migrate.postgres.observe import observe, read_server, refuse_missing_rights, refuse_wrong_server
from migrate.steps.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from migrate.core.events import Emit
    from migrate.core.image import Image
    from migrate.core.interruption import Interruption
    from migrate.core.manifest import Manifest
    from migrate.core.observation import Observation
    from migrate.core.plan import Decision, Step
    from migrate.core.policy import Limits, Policy
    from migrate.core.problems import Problem
    from migrate.core.repair import Closing, Repairs
    from migrate.core.revisions import Graph, Revision
    from migrate.core.schema import Differences
    from migrate.core.state import State
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection
    from migrate.steps.run import BackupPlace, Project


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a run is given."""

    verb: str
    run_id: str
    version: str
    target: Target
    image: Image
    project: Project
    policy: Policy
    limits: Limits
    environ: Mapping[str, str]
    interruption: Interruption
    emit: Emit
    bind: Callable[..., None]  # context that is learned on the way, for the first and the last line
    redact: Callable[[str], str]
    source_of: Callable[[Revision], str]
    faults_in: Callable[[Sequence[Revision]], Sequence[HistoryFault]]  # files that Python would refuse
    context: Mapping[str, object]
    log_queries: bool = False
    backup: BackupPlace | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What was seen, what it is, and what to do about it."""

    observation: Observation
    state: State
    decision: Decision


@dataclass(frozen=True, slots=True)
class Override:
    """The operator's word that a database is at a revision, with the reason that the ledger keeps."""

    revision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its name for people, its schema, and the server's major version that printed it."""

    name: str
    schema: Mapping[str, str]
    major: int
    rows: tuple[str, ...] | None = None  # of the manifest, where the schema is recorded in one
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class AgainstRevision:
    """Another revision of this image."""

    spelled: str


@dataclass(frozen=True, slots=True)
class AgainstManifest:
    """The head of another image, by its manifest."""

    spelled: str
    manifest: Manifest
    graph: Graph


@dataclass(frozen=True, slots=True)
class AgainstDatabase:
    """Another database; ``spelled`` names the variable that holds its URL."""

    spelled: str
    target: Target


Against = AgainstRevision | AgainstManifest | AgainstDatabase


@dataclass(frozen=True, slots=True)
class Verified:
    """A comparison of two schemas: what ``actual`` differs in from ``expected``."""

    actual: Side
    expected: Side
    differences: Differences

    @classmethod
    def of(cls, actual: Side, expected: Side, policy: Policy) -> Verified:
        """Compare; a manifest knows of extensions and branches what two plain schemas do not tell."""
        if expected.manifest is not None and expected.rows is not None:
            rows, major = expected.rows, actual.major
            found = expected.manifest.compare(rows, actual.schema, major=major, ignore=policy.ignore)
        else:
            same_major = actual.major == expected.major
            found = compare(expected.schema, actual.schema, same_major=same_major, ignore=policy.ignore)
        return cls(actual, expected, found)

    @property
    def expected_by(self) -> str:
        """What says what is expected, for sentences."""
        return "the manifest" if self.expected.manifest is not None else self.expected.name

    def failing(self, policy: Policy) -> list[str]:
        """The differences that fail: unlike an upgrade, a verification tolerates what is extra only when told to."""
        kept = self.differences
        if policy.extra is Judgement.IGNORE:
            kept = replace(kept, extra=())
        if policy.drift is not Judgement.FAIL:
            kept = replace(kept, missing=(), changed=(), renamed=())
        return kept.sentences(self.expected_by)


@dataclass(frozen=True, slots=True)
class Loss:
    """What a downgrade drops that holds data: rows of each table, values that are not null of each column."""

    counts: Mapping[str, int]

    @classmethod
    def of(
        cls, order: Order, connection: Connection, observation: Observation, gone: Sequence[Revision]
    ) -> Loss | None:
        """Count it; None without a manifest. Raises Stop or Interrupted."""
        if order.image.manifest is None:
            return None
        from migrate.postgres.counting import count_values

        identities = lost_by_reverting(order.image.manifest, order.image.graph, observation.rows, gone)
        schema = observation.server.schema or ""
        return cls(count_values(connection, identities, schema=schema, lock_timeout_s=order.limits.lock_s))

    @property
    def values(self) -> int:
        """How many rows and values go in all."""
        return sum(self.counts.values())

    def sentence(self) -> str:
        """What goes, with its names."""
        said = [f"{each} ({n} {'rows' if each.startswith('table') else 'values'})" for each, n in self.counts.items()]
        more = f" and {len(said) - 5} more" if len(said) > 5 else ""  # noqa: PLR2004 - as in decisions
        return f"drops {', '.join(said[:5])}{more}" if said else "drops no table and no column"

    def fields(self) -> list[str]:
        """The same for a log line: ``table articles: 12``."""
        return [f"{each}: {n}" for each, n in self.counts.items()][:50]


def up(order: Order) -> Outcome:
    """Bring the target to the image's head, or refuse. Raises nothing but bugs: every other end is the outcome."""
    progress = Progress()
    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = judge(order, connection)
            progress.note(judged)
            if not stepwise(judged).steps:
                return finish_without_steps(judged)
            return under_guard(order, connection, progress, judged)
    return progress.outcome()


def adopt(order: Order, at: Override | None = None) -> Outcome:
    """Write the version rows that the schema proves, or those that the operator names; upgrades nothing."""
    progress = Progress()
    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = judge_adoption(order, connection, at)
            progress.note(judged)
            if not stepwise(judged).steps:
                return finish_without_steps(judged)
            return under_guard(order, connection, progress, judged, lambda o, c: judge_adoption(o, c, at))
    return progress.outcome()


def repair(order: Order, *, does: bool, closing: Closing | None = None) -> tuple[Repairs | None, Outcome]:
    """What an earlier run left, and with ``does`` put right under the guard; what stays ends as `residue`."""
    progress = Progress()
    order = replace(order, policy=replace(order.policy, target="heads"))  # repairs are not about where to go
    found: Repairs | None = None

    def judge_again(order: Order, connection: Connection) -> Judged:
        nonlocal found
        found, judged = judge_repair(order, connection, closing)
        return judged

    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = judge_again(order, connection)
            progress.note(judged)
            if does and stepwise(judged).steps:
                return found, under_guard(order, connection, progress, judged, judge_again)
            if not found:
                return found, finish_without_steps(judged)
            from migrate.steps.repair import still_there

            raise Stop(still_there(found))
    return found, progress.outcome()


def down(order: Order, target: str, *, allow_data_loss: bool) -> tuple[Loss | None, Outcome]:
    """Run the downgrades of everything that builds on ``target``; refuses to lose data unless it is allowed."""
    progress = Progress()
    # going back is not about where a release would go, and nothing here may adopt, repair or let stand on its own
    policy = replace(order.policy, target="heads", adopt=AdoptPolicy.OFF, ahead=AheadPolicy.REFUSE, heal=False)
    order = replace(order, policy=policy)
    loss: Loss | None = None

    def judge_again(order: Order, connection: Connection) -> Judged:
        nonlocal loss
        judged, loss = judge_down(order, connection, target, allow_data_loss=allow_data_loss)
        return judged

    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = judge_again(order, connection)
            progress.note(judged)
            if not stepwise(judged).steps:
                return loss, finish_without_steps(judged)
            return loss, under_guard(order, connection, progress, judged, judge_again)
    return loss, progress.outcome()


def verify(order: Order, at: str | None = None, against: Against | None = None) -> tuple[Verified | None, Outcome]:
    """Compare the live schema with the manifest where the version rows say that it is, or at a revision.

    With ``against`` it is compared with something else, and ``at`` takes the manifest's schema for the live one.
    """
    progress = Progress()
    verified: Verified | None = None
    with outcomes(progress):
        refuse_image_faults(order)
        rows: tuple[str, ...] = ()
        if against is None:
            needed_manifest(order)  # before a connection is made for nothing
        if against is not None and at is not None:
            actual = recorded_schema(needed_manifest(order), rows_named(order, at), f"revision {at}")
        else:
            with connected(order) as connection:
                observation = look(order, connection, with_schema=True)
            rows = observation.rows
            actual = Side("the live schema", observation.schema or {}, observation.server.major)
        if against is None:
            asked = rows_named(order, at) if at is not None else rows_to_verify(order, observation)
            expected = recorded_schema(needed_manifest(order), asked, ", ".join(asked) or "base")
        else:
            expected = other_side(order, against)
        verified = Verified.of(actual, expected, order.policy)
        failing = verified.failing(order.policy)
        if failing:
            why = f"{actual.name} is not that of {expected.name}: {'; '.join(failing[:5])}"
            more = f"; and {len(failing) - 5} more" if len(failing) > 5 else ""  # noqa: PLR2004 - as in decisions
            code, names = ("drift", {}) if against is None else ("schemas-differ", {"against": against.spelled})
            raise stop(code, why + more, names=names, differences=failing[:20])
        return verified, Outcome(Result.NOOP, from_revision=rows, to_revision=rows)
    return verified, progress.outcome()


def other_side(order: Order, against: Against) -> Side:
    """The schema that ``against`` names. Raises Stop or Interrupted."""
    if isinstance(against, AgainstRevision):
        return recorded_schema(
            needed_manifest(order), rows_named(order, against.spelled), f"revision {against.spelled}"
        )
    if isinstance(against, AgainstManifest):
        tips = tuple(sorted(against.graph.tips(revision.id for revision in against.graph)))
        return recorded_schema(against.manifest, tips, against.spelled)
    aimed = replace(order, target=against.target, bind=lambda **_: None)  # the run's context is its own target's
    with connected(aimed) as connection:
        observation = look(aimed, connection, with_schema=True)
    return Side(f"the database of {against.target.url_from}", observation.schema or {}, observation.server.major)


def recorded_schema(manifest: Manifest, rows: tuple[str, ...], name: str) -> Side:
    """The schema that a manifest has at these version rows."""
    return Side(name, manifest.schema_at(rows), manifest.postgres, rows, manifest)


def plan(order: Order) -> tuple[Judged | None, Outcome]:
    """What `up` would do: steps 1 to 4 of the run and the decision; takes no guard and writes nothing."""
    progress = Progress()
    judged: Judged | None = None
    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = judge(order, connection)
            progress.note(judged)
            result = Result.NOOP if stepwise(judged).steps else stepwise(judged).result
            return judged, replace(finish_without_steps(judged), result=result, pending=progress.pending)
    return judged, progress.outcome()


def refuse_image_faults(order: Order) -> None:
    """Faults of the image stop a run before it connects: they are the same on every database."""
    refused = refuse_image(order.image, order.policy)
    if refused is not None:
        raise Stop(refused.problem)
    for warning in order.image.warnings:
        order.emit(Event(Name.IMAGE_WARNING, warning, Level.WARN))


@contextmanager
def connected(order: Order, role: str = GUARD_NAME) -> Iterator[Connection]:
    """A connection to a server on which a release may run."""
    connection = connect_with_retry(
        order.target,
        application_name=f"{role}{order.run_id}",
        timeout_s=order.limits.connect_s,
        interruption=order.interruption,
        emit=order.emit,
        redact=order.redact,
    )
    try:
        server = read_server(connection, order.target)
        order.bind(
            server_address=server.address,
            db_name=server.database,
            db_user=server.user,
            db_server_version=server.version,
        )
        refuse_wrong_server(server, order.target)
        yield connection
    finally:
        connection.close()


def look(order: Order, connection: Connection, *, with_schema: bool = False) -> Observation:
    """Observe the target, with its whole schema where asked for or where the image has a manifest to compare it with."""
    return observe(
        connection,
        order.target,
        order.limits,
        hashes={revision.id: revision.sha256 for revision in order.image.graph.revisions},
        with_schema=with_schema or order.image.manifest is not None,
    )


def needed_manifest(order: Order) -> Manifest:
    """The image's manifest. Raises Stop for an image without one."""
    if order.image.manifest is None:
        raise stop("no-manifest", "this image has no manifest, so that nothing says what the schema must be")
    return order.image.manifest


def rows_to_verify(order: Order, observation: Observation) -> tuple[str, ...]:
    """Where the manifest is asked: the version rows, this image's heads for a newer database that stands.

    Raises Stop for a position that `up` would refuse.
    """
    state = classify(order.image, observation, order.policy.target, order.policy.ignore)
    if isinstance(state.position, (AtHead, Behind, Empty)):
        return observation.rows
    decision = decide(order.image, state, order.policy)
    if isinstance(decision, Refusal):
        raise Stop(decision.problem)
    return next((step.rows for step in decision.steps if isinstance(step, Adopt)), tuple(order.image.graph.heads))


def rows_named(order: Order, revision: str) -> tuple[str, ...]:
    """The version rows of a database that was upgraded to ``revision``. Raises Stop for a name that means nothing."""
    found = order.image.graph.rows_at(revision)
    if isinstance(found, HistoryFault):
        raise stop("unknown-target", found.message, names={"heads": " ".join(order.image.graph.heads)})
    return tuple(sorted(found))


def judge_adoption(order: Order, connection: Connection, at: Override | None) -> Judged:
    """What adopting would write. Raises Stop where nothing is proven and no override names a revision."""
    observation = look(order, connection)
    state = classify(order.image, observation, order.policy.target, order.policy.ignore)
    if at is not None:
        rows = rows_named(order, at.revision)
        evidence: tuple[str, ...] = ()
        if order.image.manifest is not None:
            major = observation.server.major
            found = order.image.manifest.compare(rows, observation.schema or {}, major=major)
            evidence = tuple(found.sentences())
        step = Adopt(rows, observation.rows, at.reason, evidence)
        return Judged(observation, state, Plan((step,), Result.ADOPTED, evidence))
    if isinstance(state.position, (Empty, AtHead, Behind)):
        return Judged(observation, state, Plan((), Result.NOOP))
    needed_manifest(order)
    allowed = AdoptPolicy.EXACT if order.policy.adopt is AdoptPolicy.OFF else order.policy.adopt
    decision = decide(order.image, state, replace(order.policy, adopt=allowed))
    if isinstance(decision, Refusal):
        raise Stop(decision.problem)
    return Judged(observation, state, replace(decision, steps=decision.steps[:1], result=Result.ADOPTED))


def judge_repair(order: Order, connection: Connection, closing: Closing | None) -> tuple[Repairs, Judged]:
    """What a repair would do. Raises Stop for the operator's word about a revision that left nothing."""
    from migrate.steps.repair import assess

    observation = look(order, connection)
    left = [step.revision for step in observation.unfinished if step.committed]
    if closing is not None and closing.revision not in left:
        open_ones = f"; those with one are {', '.join(filter(None, left))}" if left else ""
        raise stop("usage", f"revision {closing.revision} has no open row in the ledger{open_ones}")
    found = assess(
        connection,
        order.image,
        observation,
        source_of=order.source_of,
        ignore=order.policy.ignore,
        closing=closing,
    )
    state = classify(order.image, observation, order.policy.target, order.policy.ignore)
    steps = (Repair(tuple(said(action) for action in found.actions), closing),) if found.actions else ()
    return found, Judged(observation, state, Plan(steps, Result.REPAIRED if steps else Result.NOOP))


def judge_down(
    order: Order, connection: Connection, target: str, *, allow_data_loss: bool
) -> tuple[Judged, Loss | None]:
    """What going back to ``target`` takes, and what is lost by it. Raises Stop for every reason not to."""
    image, observation, state = observed(order, connection)
    if not isinstance(state.position, (Empty, AtHead, Behind)):
        decided = decide(image, state, order.policy)
        assert isinstance(decided, Refusal)  # with this policy every other position is refused
        raise Stop(decided.problem)
    gone = reverting(image.graph, observation.rows, target)
    if isinstance(gone, HistoryFault):
        raise stop("unknown-target", gone.message, fix=gone.fix)
    if not gone:
        return Judged(observation, state, Plan()), None
    refused = refuse_downgrade(state, gone, order.policy)
    if refused is not None:
        raise Stop(refused.problem)
    loss = Loss.of(order, connection, observation, gone)
    if (loss is None or loss.values) and not allow_data_loss:
        what = loss.sentence() if loss is not None else "without a manifest it is not known what its downgrades drop"
        facts = {"loses": loss.fields()} if loss is not None else {}
        raise stop("data-loss", f"going back to {target}: {what}", names={"target": target}, **facts)
    plan = Plan((Downgrade(target, gone),), Result.DOWNGRADED)
    decision = with_backup(plan, image, state, order.policy, has_place=order.backup is not None)
    if isinstance(decision, Plan):
        said = f"{_said(decision)}; {loss.sentence()}" if loss is not None else _said(decision)
        fields = {"steps": [_kind(s) for s in decision.steps], "loses": loss.fields() if loss is not None else None}
        order.emit(Event(Name.DECISION_MADE, said, Level.WARN if loss is None or loss.values else Level.INFO, fields))
    return Judged(observation, state, decision), loss


def judge(order: Order, connection: Connection) -> Judged:
    """Observe, classify, decide; says the state and, beside it, every finding."""
    image, observation, state = observed(order, connection)
    decision = decide(image, state, order.policy)
    if isinstance(decision, Plan):
        refuse_broken_files(order, pending_of(state))
        # a program that waits for the job does not see the job's volume
        has_place = order.backup is not None or order.verb == "wait"
        decision = with_backup(decision, image, state, order.policy, has_place=has_place)
    if isinstance(decision, Plan):
        for warning in decision.warnings:
            order.emit(Event(Name.STATE_FINDING, warning, Level.WARN))
        order.emit(Event(Name.DECISION_MADE, _said(decision), fields={"steps": [_kind(s) for s in decision.steps]}))
    return Judged(observation, state, decision)


def observed(order: Order, connection: Connection) -> tuple[Image, Observation, State]:
    """Look and classify, with the sources that the ledger's differ from; says the state."""
    observation = look(order, connection)
    image = with_sources(order.image, observation, order.source_of)
    state = classify(image, observation, order.policy.target, order.policy.ignore)
    order.emit(
        Event(
            Name.STATE_OBSERVED,
            f"the database is {position_name(state.position)}"
            + (f" ({', '.join(observation.rows[:5])})" if observation.rows else ""),
            fields={
                "position": position_name(state.position),
                "rows": list(observation.rows),
                "pending_count": len(pending_of(state)),
                "findings": [type(finding).__name__.lower() for finding in state.findings],
            },
        ),
    )
    return image, observation, state


def with_sources(image: Image, observation: Observation, source_of: Callable[[Revision], str]) -> Image:
    """The image with the text of those applied revisions whose file has other bytes than the ledger kept."""
    differing = (image.graph.get(a.revision) for a in observation.ledger.values() if a.source is not None)
    return replace(image, sources={r.id: source_of(r) for r in differing if r is not None})


def refuse_broken_files(order: Order, pending: Sequence[Revision]) -> None:
    """Raises Stop for a pending revision that does not compile: the graph is read from the head of its file only."""
    faults = order.faults_in(pending)
    if faults:
        first = faults[0]
        why = "; ".join(fault.message for fault in faults[:5])
        file = first.files[0] if first.files else None
        raise stop("bad-history", why, names={"fix": first.fix}, file=file, line=first.line)


def _kind(step: Step) -> str:
    return type(step).__name__.lower()


def _said(decision: Plan) -> str:
    """The plan in one sentence."""
    said = []
    for step in decision.steps:
        match step:
            case Upgrade(pending=pending):
                said.append(f"upgrade by {len(pending)} revision{'s' if len(pending) != 1 else ''}")
            case Adopt(rows=rows):
                said.append(f"adopt {', '.join(rows) or 'base'}")
            case Repair(items=items):
                said.append(f"repair {', '.join(items)}")
            case Backup(reason=reason):
                said.append(f"take a backup ({reason})")
            case Downgrade(target=target, reverting=reverting):
                said.append(f"revert {len(reverting)} revision{'s' if len(reverting) != 1 else ''} down to {target}")
            case _:
                assert_never(step)
    if said:
        return ", then ".join(said)
    return "let the newer database stand" if decision.result is Result.AHEAD else "nothing to do"


def finish_without_steps(judged: Judged) -> Outcome:
    """The end of a run that has nothing to do."""
    decision = stepwise(judged)
    rows = judged.observation.rows
    return Outcome(decision.result, from_revision=rows, to_revision=rows)


def stepwise(judged: Judged) -> Plan:
    """The plan that was decided. Raises Stop for a refusal."""
    if isinstance(judged.decision, Refusal):
        raise Stop(judged.decision.problem)
    return judged.decision


def under_guard(
    order: Order,
    connection: Connection,
    progress: Progress,
    seen: Judged,
    judge_again: Callable[[Order, Connection], Judged] = judge,
) -> Outcome:
    """Take the guard, look again, and act on that: a decision made outside the guard is never acted on."""
    refuse_missing_rights(seen.observation.server, order.target)
    refuse_impossible_backup(order, seen)
    lost_read, lost_write = os.pipe()
    server = seen.observation.server
    key = GuardKey.of(server.schema, order.target.version_table)
    try:
        with (
            guard(
                connection,
                key,
                run_id=order.run_id,
                timeout_s=order.limits.guard_s,
                interruption=order.interruption,
                emit=order.emit,
                on_lost=lambda: wake(lost_write),
            ) as held,
            connected(order, role="migrate:control:") as control,
        ):
            judged = judge_again(order, control)
            progress.note(judged)
            if not stepwise(judged).steps:  # another run has done it while we waited
                return finish_without_steps(judged)
            ledger = Ledger(
                control,
                run_id=order.run_id,
                key=target_key(server.schema, order.target.version_table),
                emit=order.emit,
            )
            run = Run(
                run_id=order.run_id,
                project=order.project,
                target=order.target,
                image=order.image,
                policy=order.policy,
                limits=order.limits,
                environ=order.environ,
                interruption=order.interruption,
                emit=order.emit,
                redact=order.redact,
                source_of=order.source_of,
                control=control,
                held=held,
                ledger=ledger,
                before=judged.observation,
                lost_fd=lost_read,
                started_s=progress.started_s,
                log_queries=order.log_queries,
            )
            progress.run = run
            control.interruption = None  # from here on a signal is answered by a cancel that this connection sends
            ledger.open(verb=order.verb, version=order.version, rows=judged.observation.rows, context=order.context)
            with outcomes(progress):
                carry_out(order, run, judged, progress)
            outcome = progress.outcome()
            ledger.close(outcome)
            return outcome
    finally:
        os.close(lost_read)
        os.close(lost_write)


def refuse_impossible_backup(order: Order, seen: Judged) -> None:
    """Raises Stop for a backup that is due and cannot succeed: found before the guard, as before every change."""
    if order.backup is not None and any(isinstance(step, Backup) for step in stepwise(seen).steps):
        from migrate.steps.backup import refuse_impossible

        refuse_impossible(order.backup, seen.observation.server, order.target, order.environ)


def wake(fd: int) -> None:
    """Make the other end of a pipe readable for whoever waits."""
    os.write(fd, b"!")


def carry_out(order: Order, run: Run, judged: Judged, progress: Progress) -> None:
    """The plan's steps in order, then the proof."""
    decision = stepwise(judged)
    for step in decision.steps:
        kind = _kind(step)
        began = time.monotonic()
        run.emit(Event(Name.STEP_STARTED, f"step {kind}", fields={"step": kind}))
        match step:
            case Upgrade() | Downgrade():
                from migrate.steps.upgrade import Upgrading

                Upgrading(run, step).carry_out()
            case Adopt():
                from migrate.steps.adopt import adopt

                adopt(run, step)
            case Repair():
                from migrate.steps.repair import Repairing

                Repairing(run, step).carry_out()
            case Backup():
                from migrate.steps.backup import BackingUp

                assert order.backup is not None  # the decision has refused otherwise
                BackingUp(run, order.backup).carry_out()
            case _:
                assert_never(step)
        took = round((time.monotonic() - began) * 1000)
        run.emit(
            Event(Name.STEP_FINISHED, f"step {kind} done in {took} ms", fields={"step": kind, "duration_ms": took})
        )
    from migrate.steps.verify import prove

    progress.after = look(order, run.control)
    prove(run, progress.after, judged.state, decision)
    progress.result = decision.result


def pending_of(state: State) -> tuple[Revision, ...]:
    """The revisions that are left to apply at a position that knows them."""
    position = state.position
    return position.pending if isinstance(position, (Empty, Behind)) else ()


class Progress:
    """How far a run has come, so that its last line can say applied, failed and not started however it ends."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.before: Observation | None = None
        self.after: Observation | None = None
        self.pending: tuple[str, ...] = ()
        self.reverting = False
        self.run: Run | None = None
        self.problem: Problem | None = None
        self.signum: int | None = None
        self.result: Result | None = None

    def note(self, judged: Judged) -> None:
        """Remember what was seen last."""
        self.before = judged.observation
        decision = judged.decision
        steps = decision.steps if isinstance(decision, Plan) else ()
        self.reverting = any(isinstance(step, Downgrade) for step in steps)
        changes = [
            s.pending if isinstance(s, Upgrade) else s.reverting for s in steps if isinstance(s, Upgrade | Downgrade)
        ]
        listed = changes[0] if changes else pending_of(judged.state)
        self.pending = tuple(revision.id for revision in listed)
        if isinstance(judged.state.position, AtHead) and not self.reverting:
            self.pending = ()

    def outcome(self) -> Outcome:
        """The end as it is known now."""
        applied = tuple(self.run.applied) if self.run is not None else ()
        left = tuple(revision for revision in self.pending if revision not in applied)
        rows_before = self.before.rows if self.before is not None else ()
        rows_after = self.after.rows if self.after is not None else self._rows_after(rows_before, applied)
        found = Outcome(
            Result.FAILED,
            from_revision=rows_before,
            to_revision=rows_after,
            applied=() if self.reverting else applied,
            reverted=applied if self.reverting else (),
            pending=left,
            backup=self.run.backup if self.run is not None else None,
        )
        if self.signum is not None:
            code = ExitCode(128 + self.signum)
            why = f"received {'SIGINT' if self.signum == 2 else 'SIGTERM'}"  # noqa: PLR2004 - the signal's number
            return replace(
                found,
                result=Result.INTERRUPTED,
                exit_code=code,
                problem=problem("interrupted", why, exit_code=code),
            )
        if self.problem is not None:
            failed = self.problem.facts.get("revision")
            return replace(
                found,
                result=self._result_of(self.problem),
                exit_code=self.problem.exit_code,
                problem=self.problem,
                failed=str(failed) if failed is not None else None,
            )
        return replace(found, result=self.result or Result.NOOP)

    def _rows_after(self, rows: tuple[str, ...], applied: tuple[str, ...]) -> tuple[str, ...]:
        if self.run is None:
            return rows
        if self.reverting:
            return rows_below(self.run.image.graph, rows, applied)
        reached = frozenset(rows)
        for revision in applied:
            reached = self.run.image.graph.rows_after(reached, revision)
        return tuple(sorted(reached))

    def _result_of(self, found: Problem) -> Result:
        if self.run is None:
            return Result.REFUSED if found.exit_code in _REFUSALS else Result.FAILED
        return Result.UNKNOWN if found.exit_code is ExitCode.UNKNOWN else Result.FAILED


_REFUSALS = frozenset(
    {
        ExitCode.USAGE,
        ExitCode.CONFIG,
        ExitCode.HISTORY,
        ExitCode.POLICY,
        ExitCode.TARGET,
        ExitCode.ACCESS,
        ExitCode.STATE,
        ExitCode.AHEAD,
        ExitCode.DRIFT,
    },
)


class outcomes:  # noqa: N801 - used as a `with` statement, like contextlib's own
    """Turn a stop or a signal into the run's outcome."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Swallow what an outcome can say; a bug goes on."""
        if isinstance(error, Stop):
            self._progress.problem = error.problem
        elif isinstance(error, Interrupted):
            self._progress.signum = error.signum
        elif isinstance(error, MalformedManifest):  # lines of changes are checked only where they are used
            self._progress.problem = problem("bad-manifest", str(error), names={"manifest": "the manifest"})
        else:
            return False
        return True
