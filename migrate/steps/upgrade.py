"""Runs the pending revisions through the user's env.py in the child process, and watches it from outside."""

from __future__ import annotations

import os.path
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.core.events import Event, Level, Name
from migrate.core.interruption import Interrupted
from migrate.core.problems import Stop, problem, stop
from migrate.core.retry import Retries
from migrate.postgres import activity
from migrate.postgres.connection import is_rejected, pause
from migrate.postgres.errors import QUERY_CANCELED, RETRIED, code_of
from migrate.postgres.guard import WORKER_NAME
from migrate.postgres.ledger import FINISH_STEP
from migrate.worker import Ended, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from migrate.core.plan import Upgrade
    from migrate.core.revisions import Revision
    from migrate.steps.run import Run

TICK_S: Final = 0.5  # how often the running statement is looked at
SAY_S: Final = 5.0  # how often the same blockers are said again
CANCEL_GRACE_S: Final = 0.6  # between cancelling on the server and ending backend and child
SETTLE_S: Final = 2.0  # for the server to notice that a client is gone
CHILD_START_S: Final = 60.0
# What makes a revision leave Alembic's transaction, as its text shows it.
_LEAVES_TRANSACTION: Final = ("autocommit_block", "AUTOCOMMIT", "CONCURRENTLY", "concurrently")
URL_VARIABLES: Final = (
    "MIGRATE_DATABASE_URL",
    "DATABASE_UNPOOLED_URL",
    "DIRECT_DATABASE_URL",
    "DATABASE_URL",
)


@dataclass(slots=True)
class _Revision:
    """A revision at work: its place in the ledger and the transactions that it used."""

    revision: Revision | None
    id: str
    step_id: int | None
    began_s: float
    xids: list[int] = field(default_factory=list)
    autocommitted: bool = False
    ledger_problem: str | None = None


class Upgrading:
    """One upgrade: retries around attempts, an attempt being one run of env.py in the child."""

    def __init__(self, run: Run, plan: Upgrade) -> None:
        self.run = run
        self.plan = plan
        self.total = len(plan.pending)
        self.current: _Revision | None = None
        self.uncommitted: list[_Revision] = []  # applied in a transaction that is still open
        self.worker_pid: int | None = None
        self.one_transaction = False
        self.attempt = 1
        self.blocked_since: float | None = None
        self.blocking: list[dict[str, Any]] = []
        self._last_xid: int | None = None
        self._said_blockers = float("-inf")
        self._cancelled_at: float | None = None
        self._ledger_warned = False

    def carry_out(self) -> None:
        """Apply everything. Raises Stop, whose problem names the revision at fault, or Interrupted."""
        self._wait_for_orphans()
        retries = Retries(self.run.limits.lock_tries, self.run.limits.lock_budget_s)
        with Worker(
            environ=child_environment(self.run),
            cwd=self.run.project.cwd,
            emit=self.run.emit,
            wake=(self.run.interruption.fd, self.run.lost_fd),
        ) as worker:
            self._expect_ready(worker)
            while True:
                error = self._attempt(worker)
                if error is None:
                    return
                now = time.monotonic()
                self.blocked_since = self.blocked_since or now
                delay = retries.delay_s(self.attempt, now - self.blocked_since, random.random())  # noqa: S311 - jitter
                if delay is None:
                    raise error
                self.run.emit(
                    Event(
                        Name.REVISION_RETRY,
                        f"revision {error.problem.facts.get('revision')} was blocked and rolled back;"
                        f" next try in {delay:.1f} s: {error.problem.why}",
                        Level.WARN,
                        {
                            "revision": error.problem.facts.get("revision"),
                            "attempt": self.attempt,
                            "delay_ms": round(delay * 1000),
                            "blockers": self.blocking,
                            "sqlstate": error.problem.facts.get("sqlstate"),
                        },
                    ),
                )
                pause(delay, self.run.interruption)
                self.attempt += 1

    def _expect_ready(self, worker: Worker) -> None:
        until = time.monotonic() + CHILD_START_S
        while time.monotonic() < until:
            message = worker.receive(TICK_S)
            if isinstance(message, Ended):
                raise stop("env-cannot-run", f"{message.sentence}, while it was starting", names=self._names())
            if message is not None:
                return
            self._raise_if_interrupted()
        raise stop("env-cannot-run", "the process that runs the revisions did not start", names=self._names())

    def _wait_for_orphans(self) -> None:
        began = time.monotonic()
        said = float("-inf")
        while found := activity.orphans(self.run.control):
            pid, name, state, age = found[0]
            waited = time.monotonic() - began
            if waited > self.run.limits.guard_s:
                raise stop(
                    "orphan-worker",
                    f"backend {pid} ({name}, {state}) of a dead run is still at work after {age:.0f} s",
                    names={"pid": pid, "variable": self.run.target.url_from},
                )
            if time.monotonic() - said > SAY_S:
                said = time.monotonic()
                self.run.emit(
                    Event(
                        Name.ORPHAN_WAITING,
                        f"waiting for backend {pid} ({state}), which a dead run left behind",
                        Level.WARN,
                        {"backend_pid": pid, "application_name": name, "waited_ms": round(waited * 1000)},
                    ),
                )
            pause(0.3, self.run.interruption)

    # One attempt: a conversation with the child.

    def _attempt(self, worker: Worker) -> Stop | None:
        """None when all is applied; a Stop to be tried again; raises what must not be."""
        self.current = None
        self.uncommitted = []
        self.blocking = []
        worker.send(self._job())
        while True:
            message = worker.receive(TICK_S)
            if message is None:
                self._tick(worker)
                continue
            if isinstance(message, Ended):
                return self._judge_end(message)
            match message["say"]:
                case "done":
                    self._commit_all()
                    return None
                case "failed":
                    return self._judge(message["phase"], message["error"])
                case "refused":
                    self._close_steps("failed")
                    raise Stop(problem(message["code"], message["why"], names=message["names"], **self._facts()))
                case "stopped":
                    self._close_steps("abandoned")
                    self._raise_if_interrupted()
                    raise self._stopping()
                case "warning":
                    self.run.emit(Event(Name.IMAGE_WARNING, message["message"], Level.WARN))
                case "connected":
                    self.worker_pid = message["backend_pid"]
                    self.one_transaction = message["one_transaction"]
                    worker.send({})
                case "began":
                    self.worker_pid = message["backend_pid"]
                    self._last_xid = message["xid"]
                    if self.current is not None:
                        self.current.xids.append(message["xid"])
                    worker.send({})
                case "revision":
                    worker.send(self._start(message["revision"], message["xid"], worker))
                case "autocommit":
                    if self.current is not None:
                        self.current.autocommitted = True
                    worker.send({})
                case "applied":
                    self._applied(message["ledger"])
                    worker.send({})
                case "committed":
                    self._commit_all()
                    worker.send({})

    def _job(self) -> dict[str, object]:
        run = self.run
        project = run.project
        limits = run.limits
        return {
            "do": "upgrade",
            "target": self.plan.target,
            "config": project.config,
            "toml": project.toml,
            "section": project.section,
            "folders": project.folders,
            "env_py": project.env_py,
            "url": run.target.url.sqlalchemy,
            "transaction": str(run.policy.transaction),
            "version_table": run.target.version_table,
            "version_table_schema": run.before.server.schema,
            "guard": {"pid": run.held.pid, **run.held.key.halves},
            "autocommit": [r.file for r in self.plan.pending if leaves_transaction(run.source_of(r))],
            "session": {
                "application_name": f"{WORKER_NAME}{run.run_id}",
                "lock_timeout": f"{limits.lock_s * 1000:.0f}ms",
                "statement_timeout": f"{limits.statement_s * 1000:.0f}ms",
                **({"client_connection_check_interval": "500ms"} if run.before.server.version_num >= 140000 else {}),
            },
        }

    def _start(self, revision_id: str, xid: int | None, worker: Worker) -> dict[str, object]:
        if self.run.interruption.signum is not None or self.run.held.lost is not None or self._is_overdue():
            return {"do": "stop"}
        revision = self.run.image.graph.get(revision_id)
        source = self.run.source_of(revision) if revision is not None else None
        step_id = self.run.ledger.start("upgrade", revision=revision, source=source, details={"xid": xid})
        self.current = _Revision(revision, revision_id, step_id, time.monotonic(), [xid] if xid is not None else [])
        worker.revision = revision_id
        self.run.emit(
            Event(
                Name.REVISION_STARTED,
                f"revision {revision_id}: {revision.message if revision else ''}".rstrip(": "),
                fields=self._revision_fields(self.current),
            ),
        )
        return {"do": "go", "step_id": step_id, "finish_sql": FINISH_STEP}

    def _applied(self, ledger_problem: str | None) -> None:
        if self.current is None:
            return
        self.current.ledger_problem = ledger_problem
        if self.current not in self.uncommitted:
            self.uncommitted.append(self.current)
        if self.one_transaction:
            self._say_finished(self.current, committed=False)

    def _commit_all(self) -> None:
        for done in self.uncommitted:
            self.run.applied.append(done.id)
            if done.ledger_problem is not None:
                self._warn_of_ledger(done.ledger_problem)
                self.run.ledger.finish(done.step_id, "finished", {"ledger": done.ledger_problem})
            if not self.one_transaction:
                self._say_finished(done, committed=True)
        self.uncommitted = []
        self.current = None
        self.attempt = 1
        self.blocked_since = None

    def _say_finished(self, done: _Revision, *, committed: bool) -> None:
        took = round((time.monotonic() - done.began_s) * 1000)
        state = "committed" if committed else "applied, to be committed with the others"
        self.run.emit(
            Event(
                Name.REVISION_FINISHED,
                f"revision {done.id} {state} in {took} ms",
                fields={**self._revision_fields(done), "duration_ms": took, "committed": committed},
            ),
        )

    def _warn_of_ledger(self, why: str) -> None:
        if not self._ledger_warned:
            self._ledger_warned = True
            message = f"the ledger's row could not be written by the revision's own role: {why}"
            self.run.emit(Event(Name.LEDGER_WARNING, message, Level.WARN))

    # Between messages.

    def _tick(self, worker: Worker) -> None:
        must_end = self.run.interruption.signum is not None or self.run.held.lost is not None
        if must_end:
            self._cancel(worker)
            return
        if self.worker_pid is None or self.current is None:
            return
        try:
            found = activity.blockers(self.run.control, self.worker_pid, with_query=self.run.log_queries)
        except psycopg2.Error:
            return  # the watcher must not end the run that it watches
        if not found:
            return
        self.blocking = found
        if time.monotonic() - self._said_blockers > SAY_S:
            self._said_blockers = time.monotonic()
            self.run.emit(
                Event(
                    Name.STATEMENT_BLOCKED,
                    f"revision {self.current.id} waits for {_who(found)}",
                    Level.WARN,
                    {"revision": self.current.id, "blockers": found},
                ),
            )

    def _cancel(self, worker: Worker) -> None:
        """End what is running: first politely on the server, then backend and child."""
        now = time.monotonic()
        if self._cancelled_at is None:
            self._cancelled_at = now
            if self.worker_pid is None:
                worker.kill()  # still importing or connecting: there is nothing to roll back
                return
            activity.cancel(self.run.control, self.worker_pid)
            if self.run.interruption.signum is not None:
                self.run.emit(Event(Name.INTERRUPTED, "a signal arrived: cancelling the statement", Level.WARN))
        elif now - self._cancelled_at > CANCEL_GRACE_S:
            if self.worker_pid is not None:
                activity.terminate(self.run.control, self.worker_pid)
            worker.kill()
        # the descriptors that woke us stay readable: do not spin while the server rolls back
        time.sleep(0.05)

    def _is_overdue(self) -> bool:
        limit = self.run.limits.deadline_s
        return bool(limit) and time.monotonic() - self.run.started_s >= limit

    def _raise_if_interrupted(self) -> None:
        if self.run.interruption.signum is not None:
            raise Interrupted(self.run.interruption.signum)

    def _stopping(self) -> Stop:
        if self.run.held.lost is not None:
            return stop("guard-lost", f"the guard's connection ended: {self.run.held.lost}", **self._facts())
        spent = time.monotonic() - self.run.started_s
        return stop("deadline", f"{spent:.0f} s have passed; the next revision was not started", **self._facts())

    # When an attempt ends badly.

    def _judge_end(self, ended: Ended) -> Stop | None:
        if self._cancelled_at is None and self.current is None:
            raise stop("env-cannot-run", ended.sentence, names=self._names())
        error = {"type": "SystemExit", "message": ended.sentence, "sqlstate": None, "exited": True}
        return self._judge("revision", error)

    def _judge(self, phase: str, error: Mapping[str, Any]) -> Stop | None:
        """What a failed attempt means. Returns a Stop that may be tried again, raises any other."""
        failed = self.current
        part_committed, last = self._transactions(failed)
        if last == "committed" and failed in self.uncommitted:
            # cut just after the COMMIT: the revision is in the database, the rest is still to do
            self._commit_all()
            failed = None
        partial = failed is not None and (failed.autocommitted or part_committed)
        self._raise_if_cancelled(failed, partial=partial)
        sqlstate = error.get("sqlstate")
        said = self.run.redact(str(error.get("message") or error.get("type") or "no message"))
        if failed is None:
            raise self._before_any_revision(phase, error, said)
        place = self._place(failed, error)
        why = f"revision {failed.id} ({place}): {said}"
        facts = self._facts(failed, error)
        if partial:
            self._close_steps("partial")
            raise self._failure("partly-committed", why, failed, facts)
        if last == "unknown":
            raise self._failure("commit-unknown", why, failed, facts)
        self._close_steps("failed")
        if sqlstate in RETRIED:
            who = f"; {_who(self.blocking)}" if self.blocking else ""
            return stop("blocked", f"{why}{who}", blockers=self.blocking, **facts)
        default = "revision-exited" if error.get("exited") else "revision-failed"
        if error.get("disconnect") and not sqlstate:
            default = "connection-lost"
        code = default if sqlstate == QUERY_CANCELED else code_of(sqlstate, default)
        raise self._failure(code, why, failed, facts)

    def _failure(self, code: str, why: str, failed: _Revision, facts: Mapping[str, object]) -> Stop:
        file = failed.revision.file if failed.revision is not None else failed.id
        found = problem(
            code,
            why,
            names={"file": file, "grant": f"-- grant to role {self.run.before.server.user} what is named above"},
            **facts,
        )
        self.run.emit(
            Event(Name.REVISION_FAILED, why, Level.ERROR, {**self._revision_fields(failed), **found.fields()}),
        )
        return Stop(found)

    def _before_any_revision(self, phase: str, error: Mapping[str, Any], said: str) -> Stop:
        place = f" ({_short(error['file'], self.run.project.cwd)}, line {error['line']})" if error.get("file") else ""
        why = f"env.py{place}: {error.get('type')}: {said}"
        if phase == "alembic":
            return stop("bad-history", f"Alembic: {said}", names={"fix": "alembic heads   # shows the same error"})
        sqlstate = error.get("sqlstate")
        default = "env-cannot-run"
        if error.get("disconnect"):
            default = "connection-lost"
        elif not sqlstate and str(error.get("type")) in {"OperationalError", "ConnectionRefusedError", "TimeoutError"}:
            default = "authentication" if is_rejected(said) else "unreachable"
        code = code_of(sqlstate, default)
        return stop(
            code,
            why,
            names={**self._names(), "variable": self.run.target.url_from, "grant": f"-- {said}"},
            sqlstate=sqlstate,
        )

    def _raise_if_cancelled(self, failed: _Revision | None, *, partial: bool) -> None:
        if self._cancelled_at is None:
            return
        self._close_steps("partial" if partial else "abandoned")
        signum = self.run.interruption.signum
        if signum is None:
            raise self._stopping()
        facts = self._facts(failed)
        if partial and failed is not None:
            why = f"revision {failed.id} was cancelled by a signal after a part of it was committed"
            raise self._failure("partly-committed", why, failed, facts)
        raise Interrupted(signum)

    def _transactions(self, failed: _Revision | None) -> tuple[bool, str]:
        """Whether any transaction of the revision was committed, and what became of its last one.

        The last is ``committed``, ``aborted``, or ``unknown`` where the server cannot be asked.
        """
        if failed is None or not failed.xids:
            return False, "aborted"
        until = time.monotonic() + SETTLE_S
        while True:
            statuses = [activity.transaction_status(self.run.control, xid) for xid in failed.xids]
            if statuses[-1] != "in progress":
                break
            if time.monotonic() > until:
                if self.worker_pid is not None:
                    activity.terminate(self.run.control, self.worker_pid)
                until = time.monotonic() + SETTLE_S
            time.sleep(0.05)
        return "committed" in statuses, statuses[-1] or "unknown"

    def _close_steps(self, status: str) -> None:
        for step in {id(s): s for s in (*self.uncommitted, *([self.current] if self.current else []))}.values():
            self.run.ledger.finish(step.step_id, status)

    # Words.

    def _names(self) -> dict[str, object]:
        return {"config": self.run.project.config or "alembic.ini", "env_py": self.run.project.env_py}

    def _revision_fields(self, at: _Revision) -> dict[str, object]:
        revision = at.revision
        done = {r.id: n for n, r in enumerate(self.plan.pending, 1)}
        return {
            "revision": at.id,
            "down_revision": list(revision.down) if revision else [],
            "file": revision.file if revision else None,
            "revision_index": done.get(at.id),
            "revision_total": self.total,
            "attempt": self.attempt,
        }

    def _facts(self, failed: _Revision | None = None, error: Mapping[str, Any] | None = None) -> dict[str, object]:
        facts: dict[str, object] = {}
        if failed is not None:
            facts["revision"] = failed.id
            facts["file"] = failed.revision.file if failed.revision else None
        if error is not None:
            facts["sqlstate"] = error.get("sqlstate")
            facts["error_type"] = error.get("type")
            facts |= {name: error[name] for name in ("line", "traceback") if error.get(name)}
        return facts

    def _place(self, failed: _Revision, error: Mapping[str, Any]) -> str:
        file = failed.revision.file if failed.revision is not None else failed.id
        if not error.get("file"):
            return file
        return f"{_short(error['file'], self.run.project.cwd)}, line {error['line']}"


def _short(path: str, cwd: Path) -> str:
    relative = os.path.relpath(path, cwd)
    return path if relative.startswith("..") else relative


def _who(found: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"backend {b['pid']} ({b['application_name'] or 'unnamed'}, {b['state']}, {b['age_s']:.0f} s)"
        + (f" on {b['relation']}" if b.get("relation") else "")
        for b in found[:5]
    )


def leaves_transaction(source: str) -> bool:
    """Whether a revision's text shows that it commits before its end."""
    return any(word in source for word in _LEAVES_TRANSACTION)


def child_environment(run: Run) -> dict[str, str]:
    """The environment with the chosen URL on every variable by which an env.py may find one.

    DATABASE_URL is always set, in the user's own spelling; the others only where they are set already.
    """
    environ = {name: value for name, value in run.environ.items() if not name.startswith("MIGRATE_DATABASE_URL")}
    for name in URL_VARIABLES:
        if name in environ:
            environ[name] = run.target.url.raw
    environ["DATABASE_URL"] = run.target.url.raw
    return environ

