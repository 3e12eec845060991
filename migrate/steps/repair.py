"""Puts right what an earlier run left: indexes first, then, judged by the schema that is there then, rows and ledger."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import psycopg2
import psycopg2.errors

from migrate.core.decide.repair import (
    CloseStep,
    Closing,
    DropIndex,
    KeepRows,
    RebuildIndex,
    Repairs,
    plan_repairs,
    said,
)
from migrate.core.events import Event, Level, Name
from migrate.core.interruption import Interrupted
from migrate.core.problems import Stop, migrate, shell, stop
from migrate.core.problems.privileges import fix_of_denied
from migrate.core.wording import clauses
from migrate.postgres import activity
from migrate.postgres.backend_names import WORKER_NAME
from migrate.postgres.connection import connect
from migrate.postgres.denied import names_of_denied
from migrate.postgres.errors import problem_of
from migrate.postgres.observe import observe
from migrate.postgres.residue import duplicates, live_runs
from migrate.steps.control import ask, invalid_now, may_write
from migrate.steps.failure import ended_early, go_on
from migrate.steps.session import SESSION
from migrate.steps.stamp import stamp
from migrate.steps.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrate.core.decide.observation import InvalidIndex, Observation
    from migrate.core.decide.plan import Repair
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.problems import Problem
    from migrate.postgres.connection import Connection
    from migrate.steps.run import Run

TICK_S: Final = 0.2
CANCEL_GRACE_S: Final = 0.6  # between cancelling and ending the backend
GONE_S: Final = 5.0  # for a backend that was ended
LISTED: Final = 20


def assess(
    connection: Connection,
    image: Image,
    observation: Observation,
    *,
    source_of: Callable[[Revision], str],
    ignore: Sequence[str],
    go_on: Callable[[], None],
    closing: Closing | None = None,
    foresees: bool = False,
) -> Repairs:
    """What is to be repaired in an observed database; reads unique tables for duplicates. Raises Stop or Interrupted.

    Steps of runs that are alive are not a dead run's; ``go_on`` raises what ends the reading. The rest as in
    `migrate.core.decide.repair.plan_repairs`.
    """
    sources: dict[str, str] = {}
    if observation.invalid_indexes and image.manifest is None:
        graph = image.graph
        applied = graph.ancestors(row for row in observation.rows if row in graph)
        sources = {each.id: source_of(each) for each in graph.revisions if each.id not in applied}
    try:
        alive = live_runs(connection)
        repeated = duplicates(connection, observation.invalid_indexes, go_on)
    except psycopg2.errors.InsufficientPrivilege as error:
        said = error.diag.message_primary or ""
        grant = fix_of_denied(said, observation.server.user, names_of_denied(connection, said))
        why = f"the duplicates that a unique index forbids cannot be looked for: {said}"
        raise stop("missing-privilege", why, fix=grant) from error
    except psycopg2.Error as error:
        raise problem_of(error, doing="looking for residue") from error
    dead = tuple(step for step in observation.unfinished if step.run_id not in alive)
    return plan_repairs(
        image,
        replace(observation, unfinished=dead),
        duplicates=repeated,
        sources=sources,
        ignore=ignore,
        closing=closing,
        url=connection.target.url_in_shell,
        foresees=foresees,
    )


def is_at_work(connection: Connection) -> bool:
    """Whether a run holds a guard in this database, or left a statement executing: what it builds is no residue yet.

    Raises Stop.
    """
    try:
        return bool(live_runs(connection))
    except psycopg2.Error as error:
        raise problem_of(error, doing="looking for other runs") from error


def still_there(found: Repairs, *, was_tried: bool) -> Problem:
    """The problem of residue that stays: what a person must decide, and what is not repaired, though it ``was_tried``."""
    listed = [left.what for left in found.left] + [said(action) for action in found.actions]
    if found.left and (was_tried or not found.actions):
        fix = found.left[0].fix
    elif was_tried:
        fix = shell(migrate("repair", "--yes"), note="tries it again, once what forbade it is put right")
    else:
        does = "does what needs no person, and names what is left then" if found.left else "does it"
        fix = shell(migrate("repair", "--yes"), note=does)
    return stop("residue", clauses(listed), fix=fix, items=listed[:LISTED]).problem


class Repairing:
    """One repair under the guard."""

    def __init__(self, run: Run, step: Repair) -> None:
        self.run = run
        self.closing = step.closing

    def carry_out(self) -> None:
        """Do all that can be done. Raises Stop (`residue`) where something stays, and for every failure."""
        for on_index in self._assess(self.run.before).on_indexes:
            self._on_index(on_index)
        for action in self._assess(self._look()).actions:
            go_on(self.run)
            match action:
                case KeepRows():
                    self._keep_rows(action)
                case CloseStep():
                    self._close(action)
                case RebuildIndex() | DropIndex():
                    continue  # it was tried, and is told below
        go_on(self.run)
        self.run.before = self._look()
        left = self._assess(self.run.before)
        if left:
            raise Stop(still_there(left, was_tried=True))

    def _look(self) -> Observation:
        run = self.run
        return observe(
            run.control,
            run.order.target,
            run.context.limits,
            hashes={revision.id: revision.sha256 for revision in run.order.image.graph.revisions},
            with_schema=True,
        )

    def _assess(self, observation: Observation) -> Repairs:
        run = self.run
        return assess(
            run.control,
            run.order.image,
            observation,
            source_of=run.order.source_of,
            ignore=run.order.policy.ignore,
            go_on=lambda: go_on(run),
            closing=self.closing,
        )

    def _on_index(self, action: RebuildIndex | DropIndex) -> None:
        run, index = self.run, action.index
        if run.before.server.pooled:
            raise stop(
                "pooler-session",
                f"{run.order.target.url_from} leads to a transaction pooler, and {action.sql} needs settings of its session",
            )
        details = {"index": f"{index.schema}.{index.name}", "sql": action.sql, "definition": index.definition}
        step_id = run.ledger.start("repair")
        run.context.emit(Event(Name.REPAIR_ACTION, said(action), fields=details))
        before = invalid_now(run, within_s=run.context.limits.connect_s) or ()
        try:
            _Alone(run, action).execute()
        except (Stop, Interrupted) as error:
            self._judge(error, action, before, step_id, details)
        else:
            run.ledger.finish(step_id, "finished", details)

    def _judge(
        self,
        error: Stop | Interrupted,
        action: RebuildIndex | DropIndex,
        before: Sequence[InvalidIndex],
        step_id: int | None,
        details: Mapping[str, object],
    ) -> None:
        """What a statement that did not end well means: the catalog is asked, never the exception alone.

        Returns where it was done all the same, or where what it was to put right stays. Raises Stop or Interrupted.
        """
        run = self.run
        if isinstance(error, Stop) and run.guard.ran_out:  # another run has ended the connection, or may have
            error = ended_early(run)
        code = error.problem.kind.code if isinstance(error, Stop) else None
        invalid = invalid_now(run, within_s=run.context.limits.connect_s)
        fresh = [found for found in invalid or () if found not in before]
        if code == "connection-lost" and invalid is not None and not fresh and action.index not in invalid:
            run.ledger.finish(step_id, "finished", details)
            return
        run.ledger.finish(step_id, "failed", details)
        if isinstance(error, Stop) and code == "internal":
            # what is in the table forbids it, such as keys that only the index itself finds equal: it stays
            run.context.emit(Event(Name.STATE_FINDING, error.problem.why, Level.WARN, details))
            return
        if fresh:
            left = [f"INVALID index {found.schema}.{found.name} on {found.table}" for found in fresh]
            cause = error.problem.why if isinstance(error, Stop) else "a signal arrived"
            why = f"{action.sql} was ended ({cause}) and left {'; '.join(left)}"
            fix = shell(migrate("repair", "--yes"), note="drops it and goes on")
            raise stop("partly-committed", why, fix=fix, residue=left) from error
        raise error

    def _keep_rows(self, action: KeepRows) -> None:
        run = self.run
        details = {"rows": list(action.rows), "replaced": list(action.replaced), "reason": action.reason}
        step_id = run.ledger.start("repair")
        run.context.emit(Event(Name.REPAIR_ACTION, said(action), fields=details))
        stamp(run, step_id, details, judged=action.replaced, rows=action.rows)

    def _close(self, action: CloseStep) -> None:
        run, step = self.run, action.step
        details = {"dead_run_id": step.run_id, "revision": step.revision, "status": action.status}
        run.context.emit(Event(Name.REPAIR_ACTION, said(action), Level.WARN, details))
        word = {"by_word": True} if action.by_word else {}
        run.ledger.close_step(
            step.step_id, action.status, {"closed_by": run.context.run_id, "reason": action.reason, **word}
        )


class _Alone:
    """One statement outside a transaction, on a connection of its own that is watched and can be cancelled."""

    def __init__(self, run: Run, action: RebuildIndex | DropIndex) -> None:
        self.run = run
        self.action = action
        self._error: psycopg2.Error | None = None

    def execute(self) -> None:
        """Run it to its end. Raises Stop or Interrupted, once the server has ended it."""
        run = self.run
        name = f"{WORKER_NAME}{run.context.run_id}"
        try:
            connection = connect(
                run.order.target, application_name=name, interruption=None, timeout_s=run.context.limits.connect_s
            )
            # waiting for others is what a CONCURRENTLY statement does; a timeout would leave an INVALID index
            connection.run("SET lock_timeout = 0")
            connection.run("SET statement_timeout = 0")
            self._settle_in(connection)
        except psycopg2.Error as error:
            raise problem_of(error, doing="connecting for the repair") from error
        try:
            go_on(run)
            may_write(run, connection)
            connection.wait_s = float("inf")
            self._watch(connection)
        finally:
            connection.close()

    def _settle_in(self, connection: Connection) -> None:
        """Let the server end the backend when we are gone, and no timeout of the role's end it before."""
        for version, name, value in SESSION:
            if connection.server_version >= version:
                with suppress(
                    psycopg2.errors.InsufficientPrivilege, psycopg2.DataError
                ):  # some clouds and systems forbid some
                    connection.run(f"SET {name} = '{value}'")

    def _watch(self, connection: Connection) -> None:
        run = self.run
        pid = connection.info.backend_pid
        watch = Watch(run, "the repair of index")
        thread = threading.Thread(target=self._execute, args=(connection,), name="repair", daemon=True)
        thread.start()
        began = time.monotonic()
        cancelled_at: float | None = None
        while True:
            thread.join(TICK_S)
            if not thread.is_alive():
                break
            run.context.beat()
            now = time.monotonic()
            if not run.must_end:
                if watch.look(pid, self.action.index.name, began):
                    _hang_up(connection)
            elif cancelled_at is None:
                cancelled_at = now
                if run.context.interruption.signum is not None:
                    run.context.emit(Event(Name.INTERRUPTED, "a signal arrived: cancelling the statement", Level.WARN))
                ask(run, lambda control: activity.cancel(control, pid), within_s=0.0)
            elif now - cancelled_at > CANCEL_GRACE_S:
                ask(run, lambda control: activity.terminate(control, pid), within_s=0.0)
                _hang_up(connection)  # where nobody can be asked any more, the thread would wait for good
        if self._error is None:
            return
        self._end(pid)
        if cancelled_at is not None:
            go_on(run)
        raise problem_of(self._error, doing=self.action.sql) from self._error

    def _end(self, pid: int) -> None:
        """End the backend, whose connection may be lost while it goes on, and wait until it is gone."""
        until = time.monotonic() + GONE_S

        def end(control: Connection) -> bool:
            if activity.statement(control, pid) is None:
                return True
            activity.terminate(control, pid, f"{WORKER_NAME}{self.run.context.run_id}")
            return False

        while ask(self.run, end, within_s=0.0) is False and time.monotonic() < until:
            time.sleep(0.05)

    def _execute(self, connection: Connection) -> None:
        try:
            connection.run(self.action.sql)
        except psycopg2.Error as error:
            self._error = error


def _hang_up(connection: Connection) -> None:
    """End a connection that another thread waits on: it sees the end, as if the server had closed it."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
