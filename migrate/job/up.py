"""READ FIRST: the story of one run, from the first look at the database to the proof.

Nothing here reads settings or renders: it is handed an `Order` and says what happens through `emit`.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.plan import Adopt, Backup, Downgrade, Repair, Upgrade
from migrate.core.decide.state import Drifted, Empty
from migrate.core.events import Event, Name
from migrate.core.problems import Stop, stop
from migrate.job.look import connected, is_by_run, judge, look, refuse_image_faults
from migrate.job.progress import Judged, Progress, finish_without_steps, kind_of, outcomes, stepwise
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import QUERY_S
from migrate.postgres.ledger import Ledger, target_key
from migrate.postgres.server import read_server, refuse_missing_rights
from migrate.steps.control import ANSWER_S, revive
from migrate.steps.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrate.core.decide.observation import Observation
    from migrate.postgres.connection import Connection
    from migrate.steps.kept_child import KeptChild
    from migrate.steps.order import Order


def up(order: Order, progress: Progress) -> Outcome:
    """Bring the target to the image's head, or refuse. Raises nothing but bugs: every other end is the outcome."""
    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = glance(order, connection, progress, judge) if not order.is_behind else None
            if judged is not None and not stepwise(judged).steps:
                return finish_without_steps(judged)
            return under_guard(order, connection, progress, judged, lambda o, c: judge(o, c, seen=judged))
    return progress.outcome()


def plan(order: Order, progress: Progress) -> tuple[Judged | None, Outcome]:
    """What `up` would do: it looks, classifies and decides; takes no guard and writes nothing."""
    judged: Judged | None = None
    with outcomes(progress):
        refuse_image_faults(order)
        with connected(order) as connection:
            judged = judge(order, connection)
            progress.note(judged)
            if stepwise(judged).steps and order.context.verb != "wait":  # a program that waits changes nothing
                refuse_before_change(order, judged)
            result = Result.NOOP if stepwise(judged).steps else stepwise(judged).result
            return judged, replace(finish_without_steps(judged), result=result, pending=progress.pending)
    return judged, progress.outcome()


def glance(
    order: Order, connection: Connection, progress: Progress, judge_first: Callable[[Order, Connection], Judged]
) -> Judged | None:
    """What is there before the guard is taken.

    None where a run keeps readers out: the guard knows whether it is alive, and what to do if it is not.
    """
    try:
        judged = judge_first(order, connection)
    except Stop as stopped:
        if is_by_run(stopped):
            return None
        raise
    progress.note(judged)
    return judged


def under_guard(
    order: Order,
    connection: Connection,
    progress: Progress,
    seen: Judged | None,
    judge_again: Callable[[Order, Connection], Judged],
) -> Outcome:
    """Take the guard, look again, and act on that: a decision made outside the guard is never acted on."""
    from migrate.postgres.guard import GuardKey, guarded

    schema = order.target.version_table_schema
    if seen is not None:
        refuse_before_change(order, seen)
        schema = seen.observation.server.schema
    elif schema is None:
        server = read_server(connection, order.target)
        refuse_missing_rights(server, order.target)
        schema = server.schema
    key = GuardKey.of(schema, order.target.version_table)
    with (
        guarded(connection, key, order.context) as guard,
        begun_child(order, seen) as begun,
        connected(order, role=CONTROL_NAME) as control,
    ):
        judged = judge_again(replace(order, holds_guard=True), control)
        progress.note(judged)
        if not stepwise(judged).steps:  # another run has done it while we waited
            return finish_without_steps(judged)
        if seen is None:
            refuse_before_change(order, judged)
        ledger = Ledger(control, order.context, key=target_key(schema, order.target.version_table), fence=guard.fence)
        stale = next((each.exact for each in judged.state.findings if isinstance(each, Drifted)), None)
        run = Run(
            order,
            control,
            guard,
            ledger,
            judged.observation,
            begun,
            # a tenant's schema is not the whole database
            is_empty=isinstance(judged.state.position, Empty) and order.target.search_path is None,
            looks_first=True,
            outlook=judged.outlook,
            stale=stale,
        )
        progress.run = run
        ledger.reconnect = lambda: revive(run, within_s=ANSWER_S)
        control.interruption = None  # from here on a signal is answered by a cancel that this connection sends
        ledger.open(rows=judged.observation.rows, environ=order.environ, is_open=judged.observation.is_open)
        try:
            with outcomes(progress):
                carry_out(order, run, judged, progress)
            outcome = progress.outcome()
            ledger.close(outcome)
        finally:
            if run.control is not control:  # lost, and made anew
                run.control.close()
        return outcome


@contextmanager
def begun_child(order: Order, seen: Judged | None) -> Iterator[KeptChild | None]:
    """A child that imports Alembic and the driver while this process looks again, where the first look has found work.

    Not before the guard is held: of many runs that begin together one needs a child, and the others would take its cores.
    """
    steps = stepwise(seen).steps if seen is not None else ()
    if order.child is not None or not any(isinstance(step, Upgrade | Downgrade) for step in steps):
        yield None
        return
    from migrate.steps.environment import child_environment
    from migrate.steps.kept_child import KeptChild

    with closing(KeptChild()) as child:
        child.begin(child_environment(order), order.project.cwd, order.context.emit)
        yield child


def look_again(order: Order, run: Run) -> Observation:
    """What is there after the last step; on a new connection where this one is lost, for everything may be done."""
    order = replace(order, holds_guard=True)
    # as at the first look: there is no revision any more that it would keep from being watched
    run.control.wait_s = QUERY_S
    try:
        return look(order, run.control)
    except Stop as stopped:
        if (
            stopped.problem.kind.code != "connection-lost"
            or revive(run, within_s=order.context.limits.connect_s) is None
        ):
            raise
    run.control.wait_s = QUERY_S
    return look(order, run.control)


def refuse_before_change(order: Order, seen: Judged) -> None:
    """Raises Stop for every reason not to begin on steps that were decided on, which is found without the guard.

    What only looks asks the same: it refuses where a run would.
    """
    refuse_missing_rights(seen.observation.server, order.target)
    if any(isinstance(step, Upgrade | Downgrade) for step in stepwise(seen).steps):
        refuse_no_application(order)
    if order.backup is not None and any(isinstance(step, Backup) for step in stepwise(seen).steps):
        from migrate.steps.backup import refuse_impossible

        refuse_impossible(order.backup, seen.observation.server, order.target, order.environ)


def refuse_no_application(order: Order) -> None:
    """Raises Stop for an env.py that needs a Flask application where it is plain that none will be found."""
    from migrate.history import why_no_application

    project = order.project
    with suppress(OSError):
        text = (project.cwd / project.env_py).read_text("utf-8", "replace")
        why = why_no_application(text, project.cwd, project.flask_app, order.environ)
        if why is not None:
            why = f"env.py needs the context of a Flask application, and none was found: {why}"
            raise stop("no-flask-app", why, names={"env_py": project.env_py})


def carry_out(order: Order, run: Run, judged: Judged, progress: Progress) -> None:
    """The plan's steps in order, then the proof."""
    decision = stepwise(judged)
    for step in decision.steps:
        kind = kind_of(step)
        began = time.monotonic()
        run.context.emit(Event(Name.STEP_STARTED, f"step {kind}", fields={"step": kind}))
        match step:
            case Upgrade() | Downgrade():
                from migrate.steps.upgrade import Upgrading

                gauge = order.gauge
                upgrading = Upgrading(run, step, gauge.wanted(run.before.server) if gauge is not None else None)
                if gauge is not None:
                    gauge.follow(upgrading.seen)
                upgrading.carry_out()
            case Adopt():
                from migrate.steps.adopt import adopt

                adopt(run, step)

                progress.adopted = step.rows
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
        run.context.emit(
            Event(Name.STEP_FINISHED, f"step {kind} done in {took} ms", fields={"step": kind, "duration_ms": took})
        )
    from migrate.steps.proof import prove

    progress.after = look_again(order, run)
    prove(run, progress.after, judged.state, decision)
    if run.failed_after is not None:
        raise run.failed_after
    progress.result = decision.result
