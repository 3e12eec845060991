"""The first half of every run: connect, observe, classify, decide; nothing is written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from migrate.core.decide.decision import decide, refuse_image
from migrate.core.decide.environment import of_environment
from migrate.core.decide.plan import Adopt, Downgrade, Plan, Refusal, Repair, Upgrade
from migrate.core.decide.pooling import refuse_pooled
from migrate.core.decide.state import AtHead, Behind, Empty, classify
from migrate.core.decide.state import name as position_name
from migrate.core.events import Event, Level, Name
from migrate.core.history.faults import HistoryFault
from migrate.core.manifest.match import Nearest
from migrate.core.manifest.variables import differing
from migrate.core.problems import Stop, migrate, shell, stop
from migrate.job.outlook import look_ahead
from migrate.job.progress import Judged, held_in_words, kind_of, pending_of, plan_in_words
from migrate.postgres.backend_names import GUARD_NAME
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.kept_connections import keep
from migrate.postgres.observe import observe
from migrate.postgres.server import read_server, refuse_wrong_server
from migrate.settings import CHANGING_VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from migrate.core.decide.observation import Observation, Server
    from migrate.core.decide.plan import Decision
    from migrate.core.decide.state import State
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.problems import Problem
    from migrate.job.patience import Patience
    from migrate.postgres.connection import Connection
    from migrate.steps.order import Order

Judgement = TypeVar("Judgement")

_RELEASES: Final = ("up", "wait")
_LOOKS_AGAIN: Final = 4  # at a target that is another one each time
_LOOKS_AHEAD: Final = ("up", "plan", "test")  # `test` on a clone


def refuse_image_faults(order: Order) -> None:
    """Faults of the image stop a run before it connects: they are the same on every database."""
    refused = refuse_image(order.image, order.policy)
    if refused is not None:
        raise Stop(refused.problem)
    for warning in order.image.warnings:
        order.context.emit(Event(Name.IMAGE_WARNING, warning, Level.WARN))
    if order.policy.strict and order.image.manifest is None:
        fix = shell(
            migrate("manifest"),
            note="then commit the file, and see that it reaches the image: no *.json in .dockerignore, COPY it",
        )
        said = "--strict compares nothing: this image has no manifest, and whether the live schema is what it should be is not known"
        order.context.emit(Event(Name.IMAGE_WARNING, said, Level.WARN, {"fix": fix}))


@contextmanager
def connected(order: Order, role: str = GUARD_NAME) -> Iterator[Connection]:
    """A connection to a server on which a release may run."""
    lend = order.connections.lend if order.connections is not None else connect_with_retry
    connection = lend(order.target, order.context, role)
    try:
        if not connection.is_proven:
            server = read_server(connection, order.target)
            order.context.bind(**server.context)
            refuse_wrong_server(server, order.target)
            connection.is_proven = True
            if connection.is_kept:
                keep(connection, is_pooled=server.pooled)
        yield connection
    finally:
        connection.let_go()


def look(order: Order, connection: Connection, *, with_schema: bool = False) -> Observation:
    """Observe the target, with its whole schema where asked for or where the image has a manifest to compare it with.

    A verb that changes the target waits for who keeps readers out, as its revisions do: but for another run, which is
    waited for, or found to be dead, where the guard is taken. Raises Stop or Interrupted.

    A release at the head does not wait for a ledger that is locked.
    """
    needs_ledger = order.policy.strict or order.context.verb not in _RELEASES
    patience: Patience | None = None
    while True:
        try:
            found = observe(
                connection,
                order.target,
                order.context.limits,
                hashes={revision.id: revision.sha256 for revision in order.image.graph.revisions},
                with_schema=with_schema or order.image.manifest is not None,
                without_ledger_at=() if needs_ledger else order.image.graph.heads,
            )
        except Stop as stopped:
            is_blocked = stopped.problem.kind.code == "blocked" and order.context.verb in CHANGING_VERBS
            if not is_blocked or (is_by_run(stopped) and not order.holds_guard):
                raise
            from migrate.job.patience import Patience

            patience = patience or Patience(order.context)
            patience.wait(stopped)
            continue
        if found.ledger_locked:
            said = "the ledger (schema migrate) is locked and was not read, so that nothing is known of earlier runs"
            order.context.emit(Event(Name.LEDGER_WARNING, said, Level.WARN))
        return found


def settled(
    order: Order,
    connection: Connection,
    judged: Callable[[Observation], Judgement],
    is_refused: Callable[[Judgement], bool],
    *,
    with_schema: bool = False,
) -> tuple[Observation, Judgement]:
    """What there is, and what it is judged to be: what speaks against it is believed when two looks have found the same.

    A snapshot is not all that a look sees: the server prints definitions as they are now, and tells what became of a
    transaction and who is at work now. A run that commits meanwhile makes a mixture of it that never was. Raises as `look`,
    and what ``judged`` raises, in the same way, when two looks have led to it.
    """

    def told(seen: Observation) -> Judgement | Stop:
        try:
            return judged(seen)
        except Stop as refused:
            return refused

    found = look(order, connection, with_schema=with_schema)
    about = told(found)
    for _ in range(_LOOKS_AGAIN):
        if not isinstance(about, Stop) and not is_refused(about):
            break
        again = look(order, connection, with_schema=with_schema)
        if again == found:
            break
        found, about = again, told(again)
    if isinstance(about, Stop):
        raise about
    return found, about


def is_by_run(blocked: Stop) -> bool:
    """Whether a run of ours, alive or dead, is what a reader was blocked by."""
    return bool(blocked.problem.facts.get("blocking_runs"))


def needed_manifest(order: Order) -> Manifest:
    """The image's manifest. Raises Stop for an image without one."""
    if order.image.manifest is None:
        raise stop("no-manifest", "this image has no manifest, so that nothing says what the schema must be")
    return order.image.manifest


def rows_named(order: Order, revisions: str) -> tuple[str, ...]:
    """The version rows of a database that was upgraded to these revisions, with commas in between.

    Raises Stop for a name that means nothing.
    """
    graph = order.image.graph
    names = [revisions] if revisions in graph else [name.strip() for name in revisions.split(",") if name.strip()]
    named: set[str] = set()
    for name in names or [revisions]:
        found = graph.rows_at(name)
        if isinstance(found, HistoryFault):
            raise stop("unknown-target", found.why, names={"heads": graph.heads})
        named |= found
    return tuple(sorted(graph.tips(graph.ancestors(named)))) if len(names) > 1 else tuple(sorted(named))


def judge(order: Order, connection: Connection, seen: Judged | None = None) -> Judged:
    """Observe, classify, decide; says the state and, beside it, every finding that was not ``seen`` already."""
    image, observation, state = observed(order, connection)
    outlook = None
    if order.context.verb in _LOOKS_AHEAD:
        outlook, state = look_ahead(order, connection, image, observation, state, seen.outlook if seen else None)
    decision = decide(image, state, order.policy)
    if isinstance(decision, Refusal) and decision.problem.kind.code == "drift":
        known = image.manifest.environ if image.manifest is not None else ()
        decision = of_environment(decision, differing(known, order.environ))
    if isinstance(decision, Plan):
        refuse_broken_files(order.faults_in(pending_of(state)))
        narrow = narrow_for(order, observation.server, decision)
        if narrow is not None:
            raise Stop(narrow)
        if decision.steps:
            from migrate.core.decide.backup import with_backup

            has_place = order.backup is not None
            decision = with_backup(decision, image, state, order.policy, has_place=has_place, source_of=order.source_of)
    if isinstance(decision, Plan) and order.context.verb != "wait":  # a program that waits runs no revision
        decision = through_pooler(order, observation, decision)
    if isinstance(decision, Plan):
        told = seen.decision.warnings if seen is not None and isinstance(seen.decision, Plan) else ()
        for warning in decision.warnings:
            if warning not in told:
                order.context.emit(Event(Name.STATE_FINDING, warning, Level.WARN))
        if seen is None or not isinstance(seen.decision, Plan) or seen.decision.held != decision.held:
            for each in decision.held:
                order.context.emit(
                    Event(Name.STATE_FINDING, held_in_words(each), fields={"revision": each.revision.id})
                )
        order.context.emit(
            Event(Name.DECISION_MADE, plan_in_words(decision), fields={"steps": [kind_of(s) for s in decision.steps]})
        )
    return Judged(observation, state, decision, outlook)


def narrow_for(order: Order, server: Server, decision: Plan) -> Problem | None:
    """Why the version table has no room for a revision of the plan; an adoption before it makes the room itself."""
    if any(isinstance(step, Adopt) for step in decision.steps):
        return None
    pending = [revision for step in decision.steps if isinstance(step, Upgrade) for revision in step.pending]
    if not pending:
        return None
    from migrate.core.decide.widths import refuse_narrow

    manifest = order.image.manifest
    return refuse_narrow(
        server,
        order.target.version_table,
        pending,
        env_py=lambda: (order.project.cwd / order.project.env_py).read_text("utf-8", "replace"),
        source_of=order.source_of,
        replayed={entry.revision.id for entry in manifest.revisions} if manifest is not None else (),
    )


def through_pooler(order: Order, observation: Observation, decision: Plan) -> Decision:
    """The plan, or its refusal where a transaction pooler cannot carry one of its revisions."""
    steps = (step for step in decision.steps if isinstance(step, Upgrade | Downgrade))
    revisions = (revision for step in steps for revision in step.revisions)
    sources = ((revision.file, order.source_of(revision)) for revision in revisions)
    repairs = [step for step in decision.steps if isinstance(step, Repair)]
    indexes = [item for step in repairs for item in step.items if item.startswith("index ")]
    refused = refuse_pooled(observation.server, order.target.url_from, sources, indexes)
    return decision if refused is None else Refusal(refused)


def observed(order: Order, connection: Connection) -> tuple[Image, Observation, State]:
    """Look and classify, with the sources that the ledger's differ from; says the state."""
    observation, (image, state) = settled(
        order, connection, lambda seen: classified(order, seen), lambda seen: _is_refused(order, *seen)
    )
    order.context.emit(
        Event(
            Name.STATE_OBSERVED,
            f"the database is {position_name(state.position).replace('-', ' ')}"
            + (f" ({', '.join(observation.rows[:5])})" if observation.rows else ""),
            fields={
                "position": position_name(state.position),
                "rows": list(observation.rows),
                "pending_count": len(pending_of(state)),
                "findings": [type(finding).__name__.lower() for finding in state.findings],
            },
        ),
    )
    warn_of_other_names(order, state)
    return image, observation, state


def classified(order: Order, observation: Observation) -> tuple[Image, State]:
    """The image with the sources that the ledger's differ from, and the state by it."""
    image = with_sources(order.image, observation, order.source_of)
    return image, classify(image, observation, order.policy.target, order.policy.ignore)


def _is_refused(order: Order, image: Image, state: State) -> bool:
    is_well = not state.findings and isinstance(state.position, AtHead | Behind | Empty)
    return not is_well and isinstance(decide(image, state, order.policy), Refusal)


def warn_of_other_names(order: Order, state: State) -> None:
    """Say which revisions that would come next name an object which is here under another name: they would fail."""
    match = getattr(state.position, "match", None)
    pending = order.image.graph.pending(match.rows, order.policy.target) if isinstance(match, Nearest) else ()
    if not isinstance(match, Nearest) or isinstance(pending, HistoryFault):
        return
    from migrate.core.schema.differences import parse

    for renamed in match.differences.renamed:
        expected = parse(renamed.expected_identity).path[-1]
        naming = [f"{r.id} ({r.file})" for r in pending if expected in order.source_of(r)]
        if naming:
            said = f"{renamed.sentence()}; it is named by pending revisions, which would fail: {', '.join(naming[:5])}"
            order.context.emit(Event(Name.STATE_FINDING, said, Level.WARN))


def with_sources(image: Image, observation: Observation, source_of: Callable[[Revision], str]) -> Image:
    """The image with the text of those applied revisions whose file has other bytes than the ledger kept."""
    differing = (image.graph.get(a.revision) for a in observation.ledger.values() if a.source is not None)
    return replace(image, sources={r.id: source_of(r) for r in differing if r is not None})


def refuse_broken_files(faults: Sequence[HistoryFault]) -> None:
    """Raises Stop for revisions to be run that do not compile: the graph is read from the head of their files only."""
    if faults:
        first = faults[0]
        why = "; ".join(fault.why for fault in faults[:5])
        file = first.files[0] if first.files else None
        raise stop("bad-history", why, fix=first.fix, file=file, line=first.line)
