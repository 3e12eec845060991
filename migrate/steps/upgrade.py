"""Runs revisions, up or down, through the user's env.py in the child process; a blocked one is rolled back and tried again."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal, assert_never

from migrate.child.parent import Ended, Worker
from migrate.child.protocol import (
    Applied,
    Autocommitting,
    Began,
    Close,
    Committed,
    Compared,
    Connected,
    Declined,
    Done,
    Doubtful,
    Error,
    Failed,
    Gathered,
    Go,
    Halt,
    Halted,
    History,
    Ready,
    Sent,
    Setup,
    Start,
    Starting,
    Task,
    Unrecorded,
    Waiting,
    Wanted,
    Watched,
)
from migrate.core.decide.plan import Upgrade
from migrate.core.decide.policy import Transaction
from migrate.core.decide.pooling import leaves_transaction
from migrate.core.events import Event, Level, Name
from migrate.core.interruption import Interrupted
from migrate.core.problems import Stop, stop
from migrate.core.retry import Retries
from migrate.core.wording import shortened
from migrate.postgres.connection import jitter, renewed
from migrate.postgres.guard import HEARTBEAT_S
from migrate.postgres.ledger_steps import finishing
from migrate.postgres.suspect import Suspect
from migrate.steps.at_work import AtWork
from migrate.steps.attempt import Attempt
from migrate.steps.control import ANSWER_S, revive, rows_now
from migrate.steps.env_failure import names, out_of_memory
from migrate.steps.environment import child_environment, environ_of
from migrate.steps.failure import (
    cancelled,
    judge,
    never_committed,
    refused,
    schema_now,
    taken_back,
)
from migrate.steps.kept_child import KeptChild
from migrate.steps.oversight import TICK_S, Overseer
from migrate.steps.questions import Questions
from migrate.steps.session import settable
from migrate.steps.sharing import Sharing
from migrate.steps.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrate.core.decide.plan import Downgrade
    from migrate.steps.run import Run

GROUP_S: Final = 0.3  # between the signals that all processes of a service get
ENDED_FROM_OUTSIDE: Final = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
CHILD_START_S: Final = 60.0


class Upgrading:
    """One upgrade or downgrade: retries around attempts, an attempt being one run of env.py in the child."""

    def __init__(self, run: Run, plan: Upgrade | Downgrade, wanted: Wanted | None = None) -> None:
        self.run = run
        self.plan = plan
        self.kind: Literal["upgrade", "downgrade"] = "upgrade" if isinstance(plan, Upgrade) else "downgrade"
        self.revisions = plan.revisions
        self.numbers = {revision.id: number for number, revision in enumerate(self.revisions, 1)}
        self.attempt = Attempt(run, len(self.revisions), self.kind)
        self.watch = Watch(run)
        self._overseer = Overseer(run, self.watch)
        self._questions = Questions(run)
        self._sharing = Sharing(run)
        self.watched: list[Suspect] = []  # the tables whose rows tell whether a downgrade loses any
        self.models: Sequence[str] | None = None  # what the models differ in, where that was asked
        self.seen: list[Sent | Watched] = []  # what revisions do, where that was asked
        self._wanted = wanted or Wanted()
        self._session: dict[str, str] = {}

    def carry_out(self) -> None:
        """Apply everything. Raises Stop, whose problem names the revision at fault, or Interrupted."""
        self.run.control.wait_s = ANSWER_S
        self._close_dead()
        self._session = self.settable()
        self._apply()
        if self.run.control.closed:
            revive(self.run, within_s=self.run.context.limits.connect_s)  # for the proof, which needs it

    def _apply(self) -> None:
        retries = Retries(self.run.context.limits.lock_tries, self.run.context.limits.lock_budget_s)
        blocked_since: float | None = None
        with self.ready_worker() as worker:
            if self.run.looks_first and self._may_go_elsewhere():
                self.run.looks_first = False
                # what comes of it but a refusal is seen again below
                self._try(worker, self._task()._replace(looks=True))
            while True:
                applied = len(self.run.applied)
                blocked = self._try(worker, self._task())
                if blocked is None:
                    return
                if len(self.run.applied) > applied:
                    blocked_since = None
                now = time.monotonic()
                blocked_since = blocked_since or now
                delay = retries.delay_s(self.attempt.number, now - blocked_since, jitter(0.0, 1.0))
                if delay is None:
                    raise blocked
                self._wait_for_another_try(blocked, delay)
                self.attempt.number += 1

    @contextmanager
    def ready_worker(self) -> Iterator[Worker]:
        """The child that runs the revisions. Raises Stop where it does not start."""
        run = self.run
        wake = (run.context.interruption.fd, run.guard.lost_fd)
        with ExitStack() as stack:
            child = run.order.child or stack.enter_context(closing(run.begun or KeptChild()))
            worker, is_new = child.lend(child_environment(run.order), run.order.project.cwd, run.context.emit, wake)
            if is_new:
                self.expect_ready(worker)
            yield worker

    def look(self) -> None:
        """Look at what was committed, where somebody wants to and has not; so `starting`, before a revision, and `started`."""

    def starting(self, revision: str) -> None:
        """The revision will be told to start."""

    def started(self) -> None:
        """It was."""

    def _close_dead(self) -> None:
        """Close in the ledger what dead runs had begun and the server rolled back."""
        if not self.run.before.is_open:
            return
        for run_id, kind, revision, status in self.run.ledger.close_dead(self.run.before.rows):
            said = "nothing of it is in the database" if status == "abandoned" else "it was committed"
            self.run.context.emit(
                Event(
                    Name.RUN_ABANDONED,
                    f"run {run_id} died in {f'revision {revision}' if revision else f'step {kind}'}; {said}",
                    Level.WARN,
                    {"dead_run_id": run_id, "step": kind, "revision": revision, "status": status},
                ),
            )

    def settable(self) -> dict[str, str]:
        """See `migrate.steps.session.settable`; a shadow knows it already."""
        return settable(self.run)

    def expect_ready(self, worker: Worker) -> None:
        """Wait until the child can be given a job. Raises Stop."""
        until = time.monotonic() + CHILD_START_S
        while time.monotonic() < until:
            message = worker.receive(TICK_S)
            if isinstance(message, Ready):
                return
            if message is not None:
                ended = message if isinstance(message, Ended) else worker.refuse(message)
                why = f"{ended.why}, while it was starting"
                if ended.is_killed:
                    raise out_of_memory(why)
                raise stop("env-cannot-run", why, names=names(self.run))
            self.run.context.beat()
            if self.run.must_end:
                raise cancelled(self.attempt)
        raise stop("env-cannot-run", "the process that runs the revisions did not start", names=names(self.run))

    def _wait_for_another_try(self, blocked: Stop, delay_s: float) -> None:
        about = blocked.problem.facts
        self.run.context.emit(
            Event(
                Name.REVISION_RETRY,
                f"revision {about.get('revision')} was blocked and rolled back; next try in {delay_s:.1f} s:"
                f" {blocked.problem.why}",
                Level.WARN,
                {
                    "revision": about.get("revision"),
                    "attempt": self.attempt.number,
                    "delay_ms": round(delay_s * 1000),
                    "blockers": about.get("blockers", []),
                    "sqlstate": about.get("sqlstate"),
                },
            ),
        )
        self.run.context.pause(delay_s)
        if self.run.must_end:
            raise cancelled(self.attempt)
        self.watch.say_who_would_block(str(about.get("revision")))

    # One try: a conversation with the child.

    def _may_go_elsewhere(self) -> bool:
        """Whether env.py may call run_migrations() for several targets: it is then run once without a revision.

        Its text tells, or the last run here: what made it go on may be anywhere, in another file or in the environment.
        """
        from migrate.history import may_run_several_times

        earlier = self.run.before.unproven
        if earlier is not None and earlier.went_elsewhere:
            return True
        project = self.run.order.project
        with suppress(OSError):
            return may_run_several_times((project.cwd / project.env_py).read_text("utf-8", "replace"))
        return False

    def _try(self, worker: Worker, task: Task) -> Stop | None:
        """None when all is applied; a Stop to be tried again; raises what must not be."""
        attempt = self.attempt = self.run.attempt = Attempt(
            self.run, self.attempt.total, self.kind, self.attempt.number
        )
        self.watch.forget()
        worker.send(task)
        while True:
            message = worker.receive(self._overseer.tick_s)
            if message is not None and not isinstance(message, Waiting):
                attempt.waiting_since = None
            if not isinstance(message, Began | Starting):
                self.look()
            match message:
                case None:
                    lost = self._overseer.tick(attempt, worker)
                    if lost is not None:
                        return self._judge(Failed("revision", lost))
                case Ended():
                    return self._judge_end(message)
                case Waiting(waits_for, unsent):
                    # a revision that connects to something else takes the time that that takes
                    is_waiting = waits_for == "answer" or (waits_for is not None and attempt.worker_pid is None)
                    attempt.note_waiting(unsent=unsent if is_waiting else None)
                case Done(opener):
                    self._commit_what_is_there(opener)
                    return None
                case Failed():
                    if self._sharing.goes_apart(attempt, message):
                        return self._try(worker, self._task())
                    return self._judge(message)
                case Declined():
                    raise refused(attempt, message)
                case Doubtful(revision, suspects):
                    self._look_at(revision, suspects)
                    return self._try(worker, self._task())
                case Halted():
                    raise self._questions.stopped(attempt) or cancelled(attempt)
                case Compared(differences):
                    self.models = differences
                case Sent() | Watched():
                    self.seen.append(message)
                case Connected():
                    self._note_connected(message)
                    worker.send(Go())
                case Began(xid, backend_pid, is_asked):
                    attempt.began_transaction(xid, backend_pid)
                    if is_asked:
                        worker.send(Go())
                case Starting(revision, xid, shares=True):
                    if (
                        self.run.must_end
                    ):  # nobody waits for an answer, and while there is something to read nobody looks
                        self._overseer.tick(attempt, worker)
                    worker.revision = revision
                    self._sharing.begin(attempt, revision, xid, self.numbers.get(revision))
                case Starting(revision, xid):
                    halts = self.run.must_end or self._questions.refuse(revision, attempt)
                    answer = Halt() if halts else self._start(revision, xid, worker)
                    self.starting(revision)
                    worker.send(answer)
                    self.started()
                case Autocommitting():
                    worker.send(Halt() if self.run.must_end else self._enter_autocommit())
                case Applied():
                    if attempt.applied():
                        worker.send(Go())
                case Gathered():
                    worker.send(Halt() if self.run.must_end else Close(attempt.gathered()))
                case Unrecorded(problem):
                    attempt.unrecorded(problem)
                case Committed():
                    attempt.committed()
                case Ready() | History():
                    return self._judge_end(worker.refuse(message))
                case never:
                    assert_never(never)

    def _task(self) -> Task:
        """What the child is asked to do."""
        run = self.run
        project = run.order.project
        target = renewed(run.order.target)
        return Task(
            kind=self.kind,
            target=self.plan.target,
            setup=Setup(
                config=project.config,
                toml=project.toml,
                section=project.section,
                folders=project.folders,
                url=target.url.sqlalchemy,
                driver=run.order.target.url.driver,
                x=project.x,
            ),
            env_py=project.env_py,
            flask_app=project.flask_app,
            environ=environ_of(run, target),
            divides=self._divides,
            goes_on=self._goes_on,
            keeps=self._keeps,
            version_table=run.order.target.version_table,
            version_table_schema=run.before.server.schema,
            guard=run.guard.fence,
            guard_every_s=HEARTBEAT_S,
            session=self._session,
            is_pooled=run.before.server.pooled,
            servers=run.servers or run.order.servers,
            wanted=self._wanted,
            search_path=run.order.target.search_path,
            held=tuple(each.id for each in self.plan.held) if isinstance(self.plan, Upgrade) else (),
            keeps_session=self.keeps_session,
            sharing=self._sharing.ids(self.revisions) if self._divides and self._wanted == Wanted() else (),
        )

    @property
    def keeps_session(self) -> bool:
        """Whether env.py's session is kept for its next run."""
        return self.run.order.child is not None and not self.run.before.server.pooled

    @property
    def _goes_on(self) -> bool:
        """Whether the last of these revisions is the last of the history only here, in a throw-away database.

        What it does after a commit of its own is committed by those that follow it, where transactions are Alembic's.
        """
        if self.run.servers is None or not isinstance(self.plan, Upgrade) or not self.revisions:
            return False
        last = self.revisions[-1].id
        return len(self.run.order.image.graph.descendants([last])) > 1

    @property
    def _divides(self) -> bool:
        """Whether each revision is committed by itself: not where one that may lose nothing could be the second to go back."""
        run = self.run
        is_whole = self._keeps is not None and len(self.revisions) > 1
        if is_whole and not any(leaves_transaction(run.order.source_of(r)) for r in self.revisions):
            return False
        return run.order.policy.transaction is Transaction.REVISION

    @property
    def _keeps(self) -> tuple[Suspect, ...] | None:
        """What the child must write down of the tables before it goes back; None where anything may be lost."""
        if isinstance(self.plan, Upgrade) or self.plan.may_lose:
            return None
        from migrate.core.manifest.holding import place_of

        schema = self.run.before.server.schema or ""
        places = [place_of(each, schema) for each in (*self.plan.taken.gone, *self.plan.taken.retyped)]
        # of what commits a part of itself there is no second try with what the first one has found
        is_once = any(leaves_transaction(self.run.order.source_of(revision)) for revision in self.revisions)
        columns = (None if is_once else frozenset({p.column} if p.column is not None else ()) for p in places)
        foreseen = (Suspect(p.schema, p.table, each) for p, each in zip(places, columns, strict=True))
        return (*foreseen, *self.watched)

    def _look_at(self, revision: str | None, suspects: tuple[Suspect, ...]) -> None:
        """Note the tables that the next try must look at. Raises Stop where this one cannot be taken back."""
        from migrate.core.schema.differences import dotted

        taken_back(self.attempt)
        self.watched += suspects
        default = self.run.before.server.schema
        paths = [[table] if schema == default else [schema, table] for schema, table, _ in suspects]
        names = shortened(map(dotted, paths))
        self.run.context.emit(
            Event(
                Name.REVISION_RETRY,
                f"downgrade of revision {revision} was rolled back and is run again, to see whether {names} lost anything",
                fields={"revision": revision, "attempt": self.attempt.number},
            )
        )
        self.attempt.number += 1

    def _note_connected(self, connected: Connected) -> None:
        if connected.is_anew:
            self._end_earlier_call()
        self.attempt.worker_pid = connected.backend_pid
        self.attempt.one_transaction = connected.one_transaction
        is_all = self.run.order.policy.transaction is Transaction.ALL
        if is_all and not connected.one_transaction and len(self.revisions) > 1:
            said = "each revision is committed by itself: env.py sets transaction_per_migration, which transaction=all cannot undo"
            self.run.context.emit(Event(Name.IMAGE_WARNING, said, Level.WARN))
        if connected.kept:
            self._sharing.say_together(connected.kept, is_alone=connected.is_alone)

    def _start(self, revision_id: str, xid: int | None, worker: Worker) -> Start:
        revision = self.run.order.image.graph.get(revision_id)
        source = self.run.order.source_of(revision) if revision is not None else ""
        words = source.lower()
        may_commit = "commit" in words or "rollback" in words or leaves_transaction(source)
        is_read = may_commit or "engine" in words
        # what this transaction has done already is in the way: it has locked what it changed, and nobody else sees it
        if is_read:
            self.look()
        before = schema_now(self.run) if is_read and not self.attempt.uncommitted else None
        heavy = self.run.outlook.heavy_of(revision_id) if self.run.outlook is not None else {}
        step_id = self.run.ledger.start(
            self.kind, revision=revision, source=source, xid=xid, details={"heavy": heavy} if heavy else None
        )
        worker.revision = revision_id
        self.attempt.begin(
            AtWork(
                revision_id,
                revision,
                self.numbers.get(revision_id),
                step_id,
                time.monotonic(),
                xids=[xid] if xid is not None else [],
                may_commit=may_commit,
                schema_before=before,
            ),
        )
        return Start(finishing([step_id]), may_commit)

    def _enter_autocommit(self) -> Go:
        self._keep_schema()
        self.attempt.entered_autocommit()
        return Go()

    def _keep_schema(self) -> None:
        """A part of the revision is about to be committed: keep the schema before it, if its text did not announce that."""
        at = self.attempt.current
        if at is not None and at.schema_before is None and not self.attempt.uncommitted:
            at.schema_before = schema_now(self.run) if self.run.applied else self.run.before.schema

    def _commit_what_is_there(self, opener: str | None) -> None:
        """Note what the version rows show as done. Raises Stop for what env.py has not committed, and said nothing.

        ``opener`` is the statement that began the transaction which env.py handed over, empty where none did, None where
        it handed over none.
        """
        attempt = self.attempt
        rows = rows_now(self.run, within_s=self.run.context.limits.connect_s) if attempt.uncommitted else ()
        if rows is None:  # the proof, which reads again, will say that nobody can be asked
            return
        attempt.committed(attempt.shown_by(rows))
        if attempt.uncommitted:
            raise never_committed(attempt, opener)

    def _end_earlier_call(self) -> None:
        """Settle what an earlier call of run_migrations() did, before another one: it is in the database, or nowhere."""
        attempt = self.attempt
        rows = rows_now(self.run, within_s=self.run.context.limits.connect_s) if attempt.uncommitted else ()
        if rows is not None:
            attempt.committed(attempt.shown_by(rows))
            attempt.close_steps("failed")
            attempt.current, attempt.uncommitted = None, []

    def _judge(self, failed: Failed) -> Stop | None:
        return judge(self.attempt, failed, blocking=self.watch.blocking)

    def _judge_end(self, ended: Ended) -> Stop | None:
        attempt = self.attempt
        if ended.code in ENDED_FROM_OUTSIDE:  # whoever ends a service may tell all its processes, one after the other
            with suppress(Interrupted):
                self.run.context.pause(GROUP_S)
        if self.run.context.interruption.signum is not None and attempt.cancelled_at is None:
            attempt.cancelled_at = time.monotonic()
        if attempt.cancelled_at is None and attempt.current is None and not attempt.uncommitted:
            if len(self.run.applied) == attempt.total:
                return None
            if ended.is_killed:
                raise out_of_memory(ended.why)
            raise stop("env-cannot-run", ended.why, names=names(self.run))
        killed = ended.is_killed and not attempt.killed
        has_exited = not killed and not ended.misspoken
        error = Error("SystemExit", ended.why, has_exited=has_exited, is_out_of_memory=killed)
        return self._judge(Failed("revision", error))
