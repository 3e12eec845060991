"""The seam in Alembic's environment: our checks before its first statement and between its revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from alembic.util import CommandError
from sqlalchemy import text

from migrate.child import hook, records, scripts
from migrate.child.beside import Beside
from migrate.child.channel import Stopped
from migrate.child.commits import OwnCommits
from migrate.child.course import Course, Refused
from migrate.child.driver import do_by_driver, driver_of, in_transaction, is_autocommit, is_outside
from migrate.child.effects import EffectWatch
from migrate.child.guard_fence import GuardFence
from migrate.child.hook import Hook, Observer
from migrate.child.losses import Losses
from migrate.child.models import Models
from migrate.child.probes import Crash, Recorder
from migrate.child.protocol import Applied, Committed, Compared, Connected, Starting, Unrecorded
from migrate.child.sharing import SharedTransaction
from migrate.child.transactions import Division
from migrate.child.variables import VariableWatch
from migrate.core.search_path import first_meant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.engine import Connection

    from migrate.child.channel import Channel
    from migrate.child.flask_context import NoApplication
    from migrate.child.protocol import Start, Task

# The table is found by its name and its schema together: in a fleet each tenant's schema has a table of that name.
_WHERE = """
    SELECT {is_held}, pg_catalog.pg_backend_pid(), CAST(pg_catalog.current_database() AS text),
           CAST(pg_catalog.inet_server_addr() AS text),
           coalesce((SELECT CAST(n.nspname AS text) FROM pg_catalog.pg_class c
                       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                      WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(CAST({table} AS text)))),
                    CAST(pg_catalog.current_schema() AS text)),
           EXISTS (SELECT 1 FROM pg_catalog.pg_class c
                    WHERE c.relname = CAST({table} AS text) AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
                      AND c.relnamespace = CASE WHEN CAST({schema} AS text) IS NULL
                          THEN (SELECT v.relnamespace FROM pg_catalog.pg_class v
                                 WHERE v.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(CAST({table} AS text)))
                                   AND v.relnamespace <> CAST('pg_catalog' AS pg_catalog.regnamespace))
                          ELSE (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = CAST({schema} AS text)) END)
"""
_PATH = "SELECT pg_catalog.current_setting('search_path'), CAST(current_user AS text)"


class Seam:
    """Alembic's environment for one task.

    Two methods are replaced on the instance: Alembic installs its `context` proxy by the exact class, so that a subclass
    would leave env.py without one.
    """

    def __init__(self, config: Config, script: ScriptDirectory, task: Task, channel: Channel) -> None:
        self._models = Models(config, script) if task.wanted.compares else None
        options = self._models.options if self._models is not None else {}
        self.environment = EnvironmentContext(config, script, fn=self._steps, **options)
        self._configure, self._run_migrations = self.environment.configure, self.environment.run_migrations
        for name, method in (("configure", self.configure), ("run_migrations", self.run_migrations)):
            setattr(self.environment, name, method)
        self.script = script
        self.course = Course(task, channel)
        self._task = task
        self._channel = channel
        self._start: Start | None = None  # of the revision at work
        self._division = Division(self.course, wanted=task.divides)
        self._sharing = SharedTransaction(self.course)
        self._commits = OwnCommits()
        self._fence = GuardFence(self.course)
        self._variables = VariableWatch(task.setup.folders)
        self._effects = (
            EffectWatch(self.course, self._variables, follows=task.wanted.is_tried) if task.wanted.is_watched else None
        )
        self.losses = Losses(self.course, self._commits, self._fence)
        self._beside = Beside(self.course, self._fence, self._commits, self.losses)
        self._of_revisions = Hook(*self._observers())
        self.has_begun = False  # env.py runs the migrations, and in the right place
        # a connection to another server, by env.py or a revision; one that swallows it ends in no success
        self.strayed: Refused | None = None
        self.raised: BaseException | None = None  # by the migrations; an env.py that swallows it ends in no success
        # the statement that began the transaction which env.py hands over, empty where none did; None: it hands over none
        self.opener: str | None = None
        self.no_application: NoApplication | None = None
        self._has_table = False  # Alembic's version table was there when it was called
        self._proven: MigrationContext | None = None  # that the last call of run_migrations() was proven for
        self._is_offline = False
        self._database = ""  # of that call, for people

    def _observers(self) -> Iterator[Observer]:
        """Whatever looks at what revisions do on env.py's connection, in this order."""
        yield self._sharing
        yield self._commits
        yield self._fence
        if self._task.wanted.is_recorded:
            yield Recorder(self.course)
        if self._effects is not None:
            yield self._effects
        yield self.losses  # the last before a statement: it may send a part of it
        if self._task.wanted.crash_after is not None:
            yield Crash(self.course, self._task.wanted.crash_after)

    def configure(self, *args: Any, **options: Any) -> None:
        """As Alembic's; what it refuses here is what env.py asks for."""
        try:
            self._configure(*args, **options)
        except CommandError:
            self.course.phase = "configure"  # what env.py asks for is at fault, not the history
            raise

    def run_migrations(self, **options: Any) -> None:
        """Prove where env.py connected before Alembic reads or makes the version table."""
        records.rearm()
        if isinstance(self.raised, Refused | Stopped):
            raise self.raised  # env.py has swallowed it and goes on, perhaps to its next target
        context = self.environment.get_context()
        if context.as_sql:  # it prints SQL and touches no database; what counts is whether env.py also runs online
            self._is_offline = True
            self._run_migrations(**options)
            return
        try:
            self._enter(context)
            if not self._task.looks:
                self._answer_once(context)
                self._run_migrations(**options)
        except BaseException as error:
            # a revision's failure that env.py has swallowed says more than what is wrong with the next call
            if self.raised is None or not isinstance(error, Refused | Stopped):
                self.raised = error
            raise

    def _answer_once(self, context: MigrationContext) -> None:
        """Let Alembic's first question have the answer that there is: SQLAlchemy's way to it costs a third of a revision.

        The same is asked by SQLAlchemy's `has_table` (of its PostgreSQL dialect).
        """

        def has_version_table() -> bool:
            vars(context).pop("_has_version_table", None)  # whoever asks later is answered anew
            return self._has_table

        context._has_version_table = has_version_table  # type: ignore[method-assign]  # noqa: SLF001 - as said

    def listen_beside(self) -> None:
        """See what is done on connections of every engine, before env.py makes one."""
        hook.of_everyone().observers = (self._division, self._beside)
        if self._effects is not None:
            self._variables.start()

    def stop_listening(self) -> None:
        """The opposite of `listen_beside`: engines outlive a task."""
        hook.of_everyone().observers = ()
        if self._effects is not None:
            self._variables.stop()

    def refuse_unproven(self) -> None:
        """Raises what the migrations raised, whatever env.py has made of it, and a refusal where it ran none."""
        for refusal in (self.strayed, self.raised):
            if refusal is not None:
                raise refusal
        if self._proven is None and not self._task.looks:
            if self._is_offline:
                raise self._offline()
            code, why = "unproven", "env.py ended without calling context.run_migrations(): no revision was run"
            raise Refused(code, why, fix=f"let {self._task.env_py} call context.run_migrations() for this database")

    def _offline(self) -> Refused:
        why = "env.py configured offline mode: it passed no connection"
        return Refused("env-cannot-run", why, config=self._task.setup.config)

    def tell_differences(self) -> None:
        """Say what the models differ in, where that was the task."""
        if self._models is not None:
            self._channel.tell(Compared(self._models.differences()))

    @property
    def wraps(self) -> bool:
        """Whether a statement that would commit by itself runs in a transaction of ours."""
        return self._fence.wraps

    def tell_unfinished(self, error: BaseException) -> None:
        """Say what the revision that has failed was seen to do."""
        if self._effects is not None:
            self._effects.give_up(error)

    def left_nothing(self, sqlstate: str | None) -> bool:
        """Whether an end, with the server's refusal or one of ours, leaves nothing behind."""
        return self.losses.left_nothing(sqlstate)

    # One call of run_migrations()

    def _enter(self, context: MigrationContext) -> None:
        """Prove one call of run_migrations(), and see from here on what it does."""
        connection = context.connection
        if connection is None:
            raise self._offline()
        self._division.settle(context, connection)
        is_anew = self._proven not in {None, context} and self._division.kept is None
        self.opener = self._beside.opener(connection) if self._division.is_of_env_py else None
        self._prove(context, connection, is_anew=is_anew)
        self.has_begun = True
        self._beside.watched = connection
        self._channel.keep_from_forks(driver_of(connection))
        self._commits.stop()
        self._of_revisions.listen(connection)
        if connection.in_transaction():
            for observer in self._of_revisions.observers:
                observer.begun(connection)
        self._proven = context
        self.raised = None
        if is_anew:  # what an earlier call has done is in the database, or nowhere
            self.course.current = self.course.xid = None
        self.course.phase = "version-table"

    def _prove(self, context: MigrationContext, connection: Connection, *, is_anew: bool) -> None:
        named = {"table": _constant(context.version_table), "schema": _constant(context.version_table_schema)}
        # SQLAlchemy puts the version table where it puts the user's own
        moved = connection.get_execution_options().get("schema_translate_map") or {}
        given = moved.get(context.version_table_schema, context.version_table_schema)
        observed = (self._task.version_table, self._task.version_table_schema)
        with in_transaction(connection):
            where = _WHERE.format(is_held=self._fence.asks.is_held, **named)
            found = do_by_driver(connection, where)
            if (context.version_table, given or found[4]) != observed:
                # what listens for SQLAlchemy's statements may set the search_path; its way takes as long as a revision
                found = connection.execute(text(where.replace(":", "\\:"))).one()
            held, pid, database, address, schema, self._has_table = found
            path = do_by_driver(connection, _PATH) if schema is None else ("", "")
        schema = given or schema
        there = f"database {database} at {address or 'a local socket'}"
        is_other = not held or (context.version_table, schema) != observed
        if is_other and self._proven is not None:
            in_there, in_here = ("", "") if held else (f" in {there}", f" in {self._database}")
            raise self._elsewhere(
                f"after {observed[1]}.{observed[0]}{in_here} for {schema}.{context.version_table}{in_there}"
            )
        if not held:
            why = f"env.py connected to {there}, from where this run's guard is not visible"
            raise Refused("other-database", why, env_py=self._task.env_py)
        self._refuse_beside_open(connection)
        if schema is None:
            missing = first_meant(*path)
            why = f"env.py's search_path is {path[0]}, and no schema of it exists here"
            raise Refused("missing-schema", why, schema=missing, missing_schema=missing)
        if is_other:
            why = f"env.py configures {schema}.{context.version_table}, but {observed[1]}.{observed[0]} was observed"
            names = {"version_table": context.version_table, "version_table_schema": schema}
            raise Refused("other-version-table", why, **names)
        kept = self._division.why_kept if self._task.divides else ""
        is_alone = connection.in_transaction() and not is_autocommit(connection) and is_outside(connection)
        if is_alone:  # what SQLAlchemy takes for a transaction is none
            kept = (
                "a COMMIT that env.py executed ended the transaction, and SQLAlchemy does not know that and begins none"
            )
        self._database = there
        self._channel.call(Connected(pid, self._division.one_transaction, kept, is_alone=is_alone, is_anew=is_anew))

    def _refuse_beside_open(self, connection: Connection) -> None:
        """Raises Refused for a call on another connection while the transaction of the one before is open.

        Whatever database each of them has in a release, in a shadow both have the same, where the second would wait for
        the first for ever.
        """
        before = self._proven.connection if self._proven is not None else None
        if before is None or before.closed or not before.in_transaction() or is_autocommit(before):
            return
        if driver_of(before) is not driver_of(connection):
            raise self._elsewhere("for a second connection while the transaction of the first is open")

    def _elsewhere(self, said: str) -> Refused:
        why = f"env.py calls run_migrations() for more than one target: {said}"
        observed = self._task.version_table_schema
        return Refused("several-targets", why, env_py=self._task.env_py, version_table_schema=observed)

    # Its revisions

    def _steps(self, heads: Any, context: MigrationContext) -> Iterator[RevisionStep]:
        """Alembic runs each yielded step, and this generator runs between them."""
        if context.as_sql:
            yield from self.script._upgrade_revs(self._task.target, heads)  # noqa: SLF001 - as alembic.command does
            return
        if self._proven is not context:  # env.py called the context's own run_migrations()
            try:
                self._enter(context)
            except Refused as refused:
                self.raised = refused
                raise
        if self._task.looks:
            return
        self.course.phase = "env"
        if self._models is not None:
            self._models.compare(context)
            return
        connection = context.connection
        assert connection is not None
        context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, self._on_applied)
        for step in self._asked(heads):
            if self.course.current is not None and not self._sharing.goes_on(_id_of(step)):
                self._commit_before_next(context, connection)
            self._before(step, context, connection)
            yield scripts.fresh(step)
            self._fence.leave_autocommit(connection)
        self.course.phase = "commit"
        self._gather(connection)
        if self._task.goes_on and self.course.current is not None:
            self._commit_before_next(context, connection, is_end=True)
        self._fence.give_mark_back(connection)

    def _asked(self, heads: Any) -> Iterable[RevisionStep]:
        """The steps of the task, as alembic.command makes them."""
        if self._task.wanted.only is not None:
            revision = self.script.get_revision(self._task.wanted.only)
            return [RevisionStep(self.script.revision_map, revision, is_upgrade=False)]
        if self._task.wanted.order:
            revisions = [self.script.get_revision(id_) for id_ in self._task.wanted.order]
            return [RevisionStep(self.script.revision_map, revision, is_upgrade=True) for revision in revisions]
        if self._task.kind == "downgrade":
            return self.script._downgrade_revs(self._task.target, heads)  # noqa: SLF001 - there is no public way
        steps = self.script._upgrade_revs(self._task.target, heads)  # noqa: SLF001 - as above
        held = self._task.held
        return [step for step in steps if step.revision.revision not in held] if held else steps

    def _commit_before_next(self, context: MigrationContext, connection: Connection, *, is_end: bool = False) -> None:
        course = self.course
        course.phase = "commit"
        self._gather(connection)
        course.is_between = True
        if is_autocommit(connection) or self._division.commit(context, connection, is_end=is_end):
            self._channel.tell_with_next(Committed())
        course.is_between = False
        course.current = None
        course.xid = None if not connection.in_transaction() else course.xid

    def _gather(self, connection: Connection) -> None:
        """Let all that share the transaction be noted, and ask for the guard, before it is committed."""
        if not self.course.is_shared:
            return
        self.course.is_shared = False
        self._finish(connection, self._channel.gather().finish_sql)

    def _before(self, step: RevisionStep, context: MigrationContext, connection: Connection) -> None:
        course = self.course
        course.phase = "fence"
        if not course.is_shared:
            self._fence.pass_between(connection, f"revision {_id_of(step)}")
        course.current = _id_of(step)
        course.autocommit_told = False
        course.phase = "revision"
        xid = course.xid if connection.in_transaction() else None
        course.is_traced = xid is not None
        if self._division.is_ours(context, connection) and self._sharing.takes(course.current, connection):
            self._channel.tell(Starting(course.current, xid, shares=True))
            return
        self._start = self._channel.start(Starting(course.current, xid, shares=False))
        self.losses.begin(connection)
        if self._effects is not None and course.current not in self._task.wanted.unwatched:
            self._effects.begin(connection)
        if self._start.may_commit or is_autocommit(connection):
            self._commits.watch(connection)

    def _on_applied(self, *, ctx: MigrationContext, **_: Any) -> None:
        """Inside the revision's transaction, after its version row moved and before the commit."""
        connection = ctx.connection
        assert connection is not None
        if self.course.is_shared:
            self._sharing.ran(connection)
            self._channel.tell_with_next(Applied())
            return
        self._commits.stop()
        if self._effects is not None:
            self._effects.end(connection)
        self.losses.judge()
        self._channel.call(Applied())
        # last of all: the parent may have been stopped for longer than its lease before it answered
        self._finish(connection, self._start.finish_sql if self._start is not None else None)

    def _finish(self, connection: Connection, finish_sql: str | None) -> None:
        """Close what is to be committed in the ledger, and ask for the guard."""
        what = f"the commit of revision {self.course.current}"
        problem, is_recorded = self._fence.finish(connection, finish_sql, what)
        if problem is not None or not is_recorded:
            self._channel.tell(Unrecorded(problem))


def _constant(name: str | None) -> str:
    """A name as a constant of SQL in which no driver finds a place for a parameter."""
    if name is None:
        return "NULL"
    escaped = name.replace("\\", "\\\\").replace("'", "''").replace("%", "\\x25")
    return f"E'{escaped}'"


def _id_of(step: RevisionStep) -> str:
    """A revision step as it names itself; stamps have no revision, and none is ever yielded here."""
    return str(step.info.up_revision_id or step.info.down_revision_ids)
