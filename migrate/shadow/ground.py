"""The ground on which revisions are run in a shadow: one database after the other, all under one name.

env.py may have read its URL for good when it was imported: under one name, one child process serves every database.
What a database is put aside for later is a change of its name, and no copy.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from migrate.child.protocol import Servers
from migrate.core import shadow as shadows
from migrate.core.decide.policy import Policy
from migrate.core.decide.widths import ALEMBICS, too_narrow
from migrate.core.events import Event, Level, Name
from migrate.core.foresee.observed import Observed
from migrate.core.problems import Stop, advice, migrate, problem, shell, stop
from migrate.core.quoting import identifier, word
from migrate.core.schema.differences import within
from migrate.output.heartbeat import Pulse
from migrate.postgres import catalog
from migrate.postgres.backend_names import CONTROL_NAME, GUARD_NAME
from migrate.postgres.catalog_again import read_again
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.postgres.guard import GuardKey, guarded
from migrate.postgres.ledger import Ledger
from migrate.postgres.observe import in_snapshot, observe_versions, user_schemas, version_rows
from migrate.shadow.databases import CONNECT_S, load_baseline
from migrate.shadow.meanwhile import Looking, Overtaken
from migrate.steps.kept_child import KeptChild
from migrate.steps.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from migrate.child.protocol import Sent, Wanted, Watched
    from migrate.core.decide.plan import Downgrade, Upgrade
    from migrate.core.events import Emit
    from migrate.core.image import Image
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.manifest.match import Rows
    from migrate.core.problems import Problem
    from migrate.core.target import Target
    from migrate.core.url import DatabaseUrl
    from migrate.postgres.catalog_again import Reading
    from migrate.postgres.connection import Connection
    from migrate.shadow.databases import Shadow
    from migrate.shadow.meanwhile import Looks
    from migrate.steps.order import Order
    from migrate.steps.upgrade import Upgrading

Done = TypeVar("Done")
# Alembic's order of several branches follows the hash seed: two replays must not differ by it.
HASH_SEED: Final = MappingProxyType({"PYTHONHASHSEED": "0"})
EMPTY: Final = "template0"
READ_S: Final = 300.0  # a schema of tens of thousands of objects
_TOO_LONG: Final = "22001"  # string_data_right_truncation
# What a revision misses where the history builds on something that it does not make: a table, a schema.
OF_REVISIONS: Final = frozenset({"revision-failed", "revision-exited", "partly-committed"})
_MISSING: Final = frozenset({"42P01", "3F000"})


@dataclass(frozen=True, slots=True)
class BaselineFile:
    """What is there before the first revision: the file, its name for people, its hash and its SQL."""

    path: Path
    file: str
    sha256: str
    sql: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A database at one moment, and where its schema was looked for."""

    rows: Rows  # of the version table
    schema: Mapping[str, str]
    where: catalog.Where


class Ground:
    """The databases of one shadow, and the child that runs env.py in them.

    The order's target says which version table and schemas, and how the project spells its URL; ``environment`` is the one in
    which env.py finds the database of a URL, and no other; ``allowed`` are the servers to which it may connect beside
    the shadow's. To be closed.
    """

    def __init__(
        self,
        shadow: Shadow,
        order: Order,
        *,
        environment: Callable[[DatabaseUrl], Mapping[str, str]],
        allowed: Sequence[str],
        baseline: BaselineFile | None = None,
        child: KeptChild | None = None,
    ) -> None:
        self.shadow = shadow
        self.order = order
        # The platform's deadline is for releases.
        self.context = replace(order.context, limits=replace(order.context.limits, deadline_s=0.0))
        self.baseline = baseline
        self.settable: dict[str, str] | None = None  # as the server was found to be
        self.ends_sessions = shadow.is_exclusive
        self._target = order.target
        self._environment = environment
        self._allowed = allowed
        self._has_looked = False  # at where env.py goes
        # which must be there before the first revision, whoever makes it
        self._schema = order.target.version_table_schema
        self._base: str | None = None
        self._work: str | None = None  # the one name
        self._is_there = False  # a database of that name
        self._last: Reading | None = None  # of it
        self._looks_since: str | None = (
            None  # the first transaction that a look does not see, while a revision is at work
        )
        self._readings: dict[str, Reading | None] = {}  # of those that were put aside
        self._entered = ExitStack()
        self._run: Run | None = None
        self._child = child or KeptChild()

    @property
    def image(self) -> Image:
        """The history that is run."""
        return self.order.image

    # The databases

    @property
    def base(self) -> str:
        """What is there before the first revision. Raises Stop."""
        if self._base is None:
            self._base = EMPTY if self.baseline is None and self._schema is None else self._make_base()
        return self._base

    def _make_base(self) -> str:
        name = self.shadow.create()
        target = self.aim(name)
        if self.baseline is not None:
            with closing(self.connect(target, CONTROL_NAME)) as connection:
                load_baseline(connection, self.baseline.sql, self.baseline.path)
        with closing(self.connect(target, CONTROL_NAME)) as connection:
            if self._schema is not None:
                connection.run(f"CREATE SCHEMA IF NOT EXISTS {identifier(self._schema)}")
            limits = self.context.limits
            rows = in_snapshot(connection, limits, lambda: observe_versions(connection, target)).rows
        if rows and self.baseline is not None:
            raise stop(
                "bad-baseline",
                f"{self.baseline.file} has version rows ({', '.join(rows)}), but it stands for what is there before the"
                " first revision",
                names={"baseline": self.baseline.file},
            )
        return name

    @property
    def run(self) -> Run:
        """The run on the database at hand."""
        assert self._run is not None
        return self._run

    @property
    def control(self) -> Connection:
        """Our connection to the database at hand, a new one where a revision has cost the old one."""
        return self.run.control

    def enter(self, template: str, *, takes: bool = False) -> None:
        """Go on with a copy of a database, or with that one itself; the one that was at hand is dropped.

        Raises Stop or Interrupted.
        """
        self._leave()
        if self._work is not None and self._is_there:
            if self.ends_sessions:
                self.shadow.disconnect(self._work)  # env.py's session, which is kept for its next run
            self.shadow.drop(self._work)
        self._last = self._readings.get(template)
        if takes:
            self._work = self.shadow.rename(template, self._work)
        else:
            self._work = self.shadow.create(template, self._work)
        self._is_there = True
        self._run = self._entered.enter_context(self._under_guard(self.aim(self._work)))

    def keep(self) -> str:
        """Put the database at hand aside; the name that it has from now on."""
        self._leave()
        assert self._work is not None
        self.shadow.disconnect(self._work)
        self._is_there = False
        name = self.shadow.rename(self._work)
        self._readings[name] = self._last
        return name

    def drop(self, name: str) -> None:
        """Drop a database that was put aside, and never the one that everything starts from."""
        if name != self._base:
            self._readings.pop(name, None)
            self.shadow.drop(name)

    def _leave(self) -> None:
        self._run = None
        self._entered.close()

    def close(self) -> None:
        """Leave the database at hand and end the child."""
        self.end_child()
        self._leave()

    @contextmanager
    def _under_guard(self, target: Target) -> Iterator[Run]:
        """The guard on the shadow: that env.py's connection sees it proves where env.py went."""
        pulse = Pulse(self.context.emit)
        context = replace(self.context, emit=pulse.emit, beat=pulse.beat, started_s=pulse.started_s)
        with closing(self.connect(target, CONTROL_NAME)) as control:
            control.run("SET plan_cache_mode = force_generic_plan")  # the same is asked again and again
            control.prepared = set()
            before = in_snapshot(control, context.limits, lambda: observe_versions(control, target))
            with guarded(
                self.connect(target, GUARD_NAME),
                GuardKey.of(before.server.schema, target.version_table),
                context.silent(),
                is_known_to_others=False,
            ) as guard:
                order = replace(
                    self.order,
                    context=context,
                    target=target,
                    policy=Policy(target="heads", transaction=self.order.policy.transaction),
                    environ={**self._environment(target.url), **HASH_SEED},
                    log_queries=False,
                    child=self._child,
                )
                run = Run(
                    order,
                    control,
                    guard,
                    _NoLedger(control, context, key="", fence=guard.fence),
                    before,
                    servers=Servers(target.url.raw, tuple(self._allowed)),
                    looks_first=not self._has_looked,
                    explained=self.explained,
                )
                yield run
                self._has_looked = True
                if run.control is not control:
                    run.control.close()

    # The child

    def carry_out(
        self,
        plan: Upgrade | Downgrade,
        *,
        wanted: Wanted | None = None,
        looks: Looks | None = None,
        on_together: Callable[[str], None] | None = None,
        told: list[Sent | Watched] | None = None,
    ) -> Upgrading:
        """Run revisions in the database at hand; ``wanted`` is what the child is asked beside. Raises Stop or Interrupted.

        ``told`` gets what the child tells beside, of a revision that fails, too.
        """
        run = self.run
        run.applied, run.on_commit, run.on_together = [], None, on_together
        upgrading = Looking(self, run, plan, wanted, looks)
        if told is not None:
            upgrading.seen = told
        run.control.interruption = None  # a signal is answered by a cancel that this connection sends
        try:
            upgrading.carry_out()
            upgrading.look()
        finally:
            run.control.interruption = self.context.interruption
        return upgrading

    @property
    def has_child(self) -> bool:
        """Whether there is a child already, which may know things of an earlier database."""
        return self._child.is_there

    def end_child(self) -> None:
        """Let the next run have a new child."""
        self._child.close()

    # What a revision misses here

    def provide(self, found: Problem, emit: Emit) -> bool:
        """Make the role that a statement missed, where the server is our own; whether it is worth another try."""
        sqlstate = found.facts.get("sqlstate")
        role = shadows.missing_role(sqlstate, found.why)
        if role is None or not self.shadow.make_role(role.replace('""', '"'), owns=sqlstate == shadows.SET_ROLE):
            return False
        said = f'role "{role}" is not on the throw-away server: it was made there, without login'
        emit(Event(Name.IMAGE_WARNING, said, Level.WARN, {"role": role}))
        return True

    def with_schema_of_env_py(self, work: Callable[[], Done]) -> Done:
        """Do the work, again where env.py turned out to work in a schema of its own, such as a tenant's.

        Only env.py knows its name; from then on every database has it. Raises what the work raises.
        """
        try:
            return work()
        except Stop as stopped:
            missing = stopped.problem.facts.get("missing_schema")
            if not isinstance(missing, str):
                raise
            self._schema, self._base = missing, None
            self._target = replace(self._target, version_table_schema=missing)
            return work()

    def explained(self, stopped: Stop) -> Stop:
        """A failure in the shadow: its fix is not that of a release."""
        found = stopped.problem
        sqlstate = found.facts.get("sqlstate")
        if shadows.is_lacking(sqlstate, found.why):
            lacks = problem(
                "shadow-lacks", found.why, names={"verb": "test" if self.context.verb == "test" else "manifest"}
            )
            return Stop(replace(lacks, facts=found.facts))
        if found.kind.code == "authentication":
            why = f"{found.why}; env.py gives a user or a password of its own to the throw-away server"
            fix = shell(
                "export MIGRATE_SHADOW_URL='postgresql://USER:PASSWORD@HOST:5432/postgres'",
                note="a server that accepts them",
            )
            return Stop(replace(found, why=why, fix=fix))
        if found.kind.code not in OF_REVISIONS:
            return stopped
        revision = self.image.graph.get(str(found.facts.get("revision")))
        if sqlstate == _TOO_LONG and revision is not None and len(revision.id) > ALEMBICS:
            place = self._target.version_table_schema or "public", self._target.version_table
            narrow = too_narrow(revision, ALEMBICS, *place, is_there=False)
            fix = advice(f"let env.py make the version table before Alembic does: {narrow.fix}")
            return Stop(replace(narrow, fix=fix, facts=found.facts))
        if self.baseline is None and sqlstate in _MISSING:
            needed = problem("baseline-needed", f"in an empty database, {found.why}")
            return Stop(replace(needed, facts=found.facts))
        file = found.facts.get("file") or found.facts.get("revision")
        again = migrate(self.context.verb, *(["--sql"] if self.context.verb == "plan" else []))
        fix = advice(f"correct {word(file)}, then run ", again, " again")
        # a part that was committed went with the throw-away database: there is nothing to repair
        failed = problem("revision-failed", found.why, fix=fix) if found.kind.code == "partly-committed" else found
        why = f"in the throw-away database, {found.why}"  # else it reads as if it had happened to a real one
        return Stop(replace(failed, why=why, fix=fix, facts=found.facts))

    # Looking

    def see(self) -> Snapshot:
        """The version rows of the database at hand and its schema, in whichever schema unless the operator named those.

        Raises Stop.
        """
        connection, version_schema = self.control, self.run.before.server.schema
        wait_s, connection.wait_s = connection.wait_s, READ_S
        try:
            if self.is_looking:
                return self._see_meanwhile(connection, version_schema)
            return in_snapshot(connection, self.context.limits, lambda: self._read(connection, version_schema))
        finally:
            connection.wait_s = wait_s

    @property
    def is_looking(self) -> bool:
        """Whether a revision is at work meanwhile."""
        return self._looks_since is not None

    def begin_look(self) -> None:
        """Take the snapshot that is seen next: what is committed after it does not count. Raises Stop."""
        try:
            self._looks_since = self.control.row(_BEGIN)[0]
        except psycopg2.Error as error:
            raise problem_of(error, doing="reading the catalog", connection=self.control) from error

    def end_look(self) -> None:
        """The opposite of `begin_look`."""
        if self._looks_since is not None:
            self._looks_since = None
            if not self.control.closed and self.control.info.transaction_status != TRANSACTION_STATUS_IDLE:
                self.control.run("ROLLBACK")

    def _see_meanwhile(self, connection: Connection, version_schema: str | None) -> Snapshot:
        """As `see`. Raises Overtaken where what is printed may be of a later moment, or would have to be waited for."""
        last = self._last
        try:
            seen = self._read(connection, version_schema)
            is_lost = connection.row(_END, {"since": self._looks_since})[0]
        except psycopg2.errors.LockNotAvailable as error:
            self._last = last
            raise Overtaken(is_lost=False) from error
        except psycopg2.Error as error:
            raise problem_of(error, doing="reading the catalog", connection=connection) from error
        if is_lost:
            self._last = last
            raise Overtaken(is_lost=True)
        return seen

    def _read(self, connection: Connection, version_schema: str | None) -> Snapshot:
        target = self._target.using(user_schemas(connection))
        place = version_schema or "", self._target.version_table
        ((exists, has_table),) = connection.planned(_THERE, {"schema": version_schema, "table": place[1]})
        rows = version_rows(connection, *place) if has_table else ()
        where = catalog.Where(
            target.schemas_beside(version_schema if exists else None),
            target.default_schema(version_schema),
            target.schemas,
        )
        with connection.cursor() as cursor:
            self._last = read_again(cursor, where, place, self._last, connection.prepared)
        return Snapshot(rows, self._last.schema, where)

    def observed(self, watched: Watched) -> Observed:
        """What the child has told of a revision in the database at hand."""
        version_schema = self.run.before.server.schema
        return Observed(
            {relation.oid: relation for relation in watched.relations},
            watched.traces,
            self._target.default_schema(version_schema) or "",
            (version_schema or "", self._target.version_table),
            watched.lock_timeout_ms,
        )

    def known_to(self, manifest: Manifest, schema: Mapping[str, str]) -> Mapping[str, str]:
        """What of a shadow's schema the manifest speaks of: a baseline brings other people's schemas along."""
        return schema if self._target.schemas else within(schema, manifest.schemas)

    def aim(self, name: str) -> Target:
        """A shadow database as a target, its URL spelled as the project's."""
        url = self.shadow.url_of(name).spelled_as(self._target.url)
        return replace(self._target, url=url, url_from=self.shadow.url_from, renew=None)

    def connect(self, target: Target, role: str) -> Connection:
        """A connection of ours; ``role`` begins its name. Raises Stop."""
        return connect_with_retry(target, self.context, role, timeout_s=CONNECT_S)


# No longer than it takes to see that a lock is not to be had: the child waits for the parent.
_BEGIN: Final = """
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text,
           pg_catalog.set_config('lock_timeout', '20ms', true)
"""
# Whether any transaction was committed since: none of them was at work before, as the child's had not begun to write.
_END: Final = """
    COMMIT;
    SELECT coalesce(pg_catalog.bool_or(pg_catalog.pg_xact_status(each::text::xid8) = 'committed'), false)
      FROM pg_catalog.generate_series(
             %(since)s::bigint, pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 1) AS each
"""
_THERE: Final = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s),
           EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = %(schema)s AND c.relname = %(table)s)
"""


class _NoLedger(Ledger):
    """Keeps nothing: a shadow's history ends with it."""

    def _write(self, sql: str, parameters: Mapping[str, object], settings: str = "") -> list[tuple[Any, ...]]:
        del sql, parameters, settings
        return []
