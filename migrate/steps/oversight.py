"""Between the messages of the child: looks at what runs, and ends what must not go on, the server's part of it too."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from migrate.child.protocol import PULSE_S, Error
from migrate.core.events import Event, Level, Name
from migrate.core.problems.catalogue import stop
from migrate.postgres import activity
from migrate.postgres.activity import described, fix_of_blocked, who
from migrate.steps.control import ask
from migrate.steps.failure import worker_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.child.parent import Worker
    from migrate.postgres.connection import Connection
    from migrate.steps.attempt import Attempt
    from migrate.steps.run import Run
    from migrate.steps.watch import Watch

TICK_S: Final = 0.5  # how often the running statement is looked at
CANCEL_GRACE_S: Final = 0.6  # between cancelling on the server and ending backend and child


class Overseer:
    """Lives as long as the upgrade; ``watch`` is what it sees the running backend with."""

    def __init__(self, run: Run, watch: Watch) -> None:
        self._run = run
        self._watch = watch
        self._env_pids: list[int] = []  # of backends that wait for a lock before the migrations

    @property
    def tick_s(self) -> float:
        """Often enough to see who blocks before the lock timeout ends the wait."""
        return max(0.05, min(TICK_S, self._run.context.limits.lock_s / 4))

    def tick(self, attempt: Attempt, worker: Worker) -> Error | None:
        """Look at what runs and end what must not go on; an error where the child waits for what will not come."""
        self._run.context.beat()
        if self._run.must_end:
            self._cancel(attempt, worker)
            return None
        if attempt.worker_pid is None:
            return self._connecting_too_long(attempt, worker)
        # between two revisions, too: the answer to the fence's question can be lost as well as a statement's
        at = attempt.current.id if attempt.current is not None else "to come"
        xid = attempt.current.xids[-1] if attempt.current is not None and attempt.current.xids else None
        lost = self._watch.look(attempt.worker_pid, at, attempt.known_to_wait_since, xid)
        if lost is None:
            return None
        worker.kill()
        activity.terminate(self._run.control, attempt.worker_pid, worker_name(self._run))
        return Error("TimeoutError", lost, is_disconnect=True)

    def end_if_due(self, attempt: Attempt, worker: Worker) -> None:
        """End what must not go on, where the child waits for no answer, and tells so much that it is never silent."""
        if self._run.must_end:
            self._cancel(attempt, worker)

    def _connecting_too_long(self, attempt: Attempt, worker: Worker) -> Error | None:
        """An error where env.py waits in its driver before the migrations, and the server does nothing for it.

        Which backend is its is not known yet. One that is active for this role may be. Raises Stop (`blocked`) where one
        has waited for a lock for as long as a revision would be tried again: no timeout of ours is in force there.
        """
        since = attempt.known_to_wait_since
        waited_s = 0.0 if since is None else time.monotonic() - since
        limits = self._run.context.limits
        self._env_pids = self._waiting_in_env(waited_s) if since is not None else []
        longest_s = min(limits.guard_s, limits.lock_budget_s or limits.lock_s)
        if self._env_pids and waited_s > longest_s:
            blocking = self._watch.blocking
            self._end_env(worker)
            behind = f" for {who(blocking)}" if blocking else ""
            raise stop(
                "blocked",
                f"env.py waited {waited_s:.0f} s for a lock of its own, before the migrations{behind}",
                fix=fix_of_blocked(blocking, self._run.order.target.url_in_shell),
                blockers=[described(each) for each in blocking],
            )
        if waited_s < limits.connect_s:
            return None
        is_busy = ask(self._run, activity.is_role_busy, within_s=0.0)
        if is_busy is not False and waited_s < limits.guard_s:
            return None
        worker.kill()
        said = "the server did not answer what env.py asked before the migrations"
        return Error("TimeoutError", said, is_disconnect=True)

    def _waiting_in_env(self, waited_s: float) -> list[int]:
        """The backends that env.py may be waiting with for a lock; says who holds it."""
        within_s = waited_s + PULSE_S + TICK_S
        pids = ask(self._run, lambda control: activity.waiting_for_locks(control, within_s), within_s=0.0) or []
        if pids:
            self._watch.say_who_blocks_env(pids[0])
        return pids

    def _end_env(self, worker: Worker) -> None:
        """End env.py and what it waits with: the server does not notice by itself that a client which waits is gone."""
        worker.kill()
        for pid in self._env_pids:
            self._tell(partial(activity.terminate, pid=pid))

    def _cancel(self, attempt: Attempt, worker: Worker) -> None:
        """End what is running: first politely on the server, then backend and child."""
        now = time.monotonic()
        pid, name = attempt.worker_pid, worker_name(self._run)
        if attempt.cancelled_at is None:
            attempt.cancelled_at = now
            if pid is None:
                self._end_env(worker)  # still importing or connecting: there is nothing to roll back
                return
            if self._run.context.interruption.signum is not None:
                self._run.context.emit(
                    Event(Name.INTERRUPTED, "a signal arrived: cancelling the statement", Level.WARN)
                )
            self._tell(lambda control: activity.cancel(control, pid, name))
        elif now - attempt.cancelled_at > CANCEL_GRACE_S:
            attempt.killed = True
            worker.kill()
            if pid is not None:
                self._tell(lambda control: activity.terminate(control, pid, name))
        # the descriptors that woke us stay readable: do not spin while the server rolls back
        time.sleep(0.05)

    def _tell(self, order: Callable[[Connection], None]) -> None:
        ask(self._run, order, within_s=0.0)
