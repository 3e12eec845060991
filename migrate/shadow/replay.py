"""Replays a history in shadow databases and reads the schema at every revision, through the same code as an upgrade."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.child.parent import Worker
from migrate.core import shadow as shadows
from migrate.core.decide.plan import Upgrade
from migrate.core.decide.policy import Policy, Transaction
from migrate.core.decide.widths import ALEMBICS, too_narrow
from migrate.core.events import Event, Level, Name
from migrate.core.manifest.manifest import Baseline
from migrate.core.manifest.replay import Pass, applied_in_order, lines, missed, passes, steps, with_siblings
from migrate.core.problems.catalogue import Stop, problem, stop
from migrate.core.quoting import word
from migrate.core.schema.differences import within
from migrate.core.schema.repair_sql import quote
from migrate.core.schema.spelling import may_be_respelled
from migrate.core.wording import clauses
from migrate.output.heartbeat import Pulse
from migrate.postgres.backend_names import CONTROL_NAME, GUARD_NAME
from migrate.postgres.catalog import Where
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.postgres.guard import GuardKey, guard
from migrate.postgres.ledger import Ledger
from migrate.postgres.observe import observe, read_server, user_schemas
from migrate.shadow.databases import CONNECT_S, load_baseline
from migrate.shadow.spelling import other_spellings, spellings_carried_over, spellings_of_dump
from migrate.steps.run import Fence, Run
from migrate.steps.upgrade import Upgrading, child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from migrate.core.decide.observation import Observation
    from migrate.core.decide.policy import Limits
    from migrate.core.decide.state import Rows
    from migrate.core.events import Emit
    from migrate.core.history.graph import Revision
    from migrate.core.history.image import Image
    from migrate.core.interruption import Interruption
    from migrate.core.manifest.manifest import Manifest, OtherSpellings
    from migrate.core.manifest.replay import After
    from migrate.core.problems.catalogue import Problem
    from migrate.core.target import Target
    from migrate.core.url import DatabaseUrl
    from migrate.postgres.connection import Connection
    from migrate.shadow.databases import Shadow
    from migrate.shadow.spelling import Definition
    from migrate.steps.run import Project

_TOO_LONG: Final = "22001"  # string_data_right_truncation
READ_S: Final = 300.0  # a schema of tens of thousands of objects
# What a revision misses where the history builds on something that it does not make: a table, a schema.
_OF_REVISIONS: Final = frozenset({"revision-failed", "revision-exited", "partly-committed"})
_MISSING: Final = frozenset({"42P01", "3F000"})


@dataclass(frozen=True, slots=True)
class BaselineFile:
    """What is there before the first revision: the file, its name for people, its hash and its SQL."""

    path: Path
    file: str
    sha256: str
    sql: str


@dataclass(slots=True)
class Replayed:
    """What the replay read: the schema after revisions, and at version rows where branches have just met."""

    baseline: Baseline | None = None
    base: Mapping[str, str] = field(default_factory=dict)  # the baseline's schema
    schemas: dict[str, Mapping[str, str]] = field(default_factory=dict)
    joined: dict[Rows, Mapping[str, str]] = field(default_factory=dict)
    after: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # siblings that revisions build on without saying so
    spellings: dict[Definition, tuple[str, ...]] = field(default_factory=dict)  # how else definitions are printed

    def within(self, places: Collection[str]) -> Replayed:
        """The same, without what is in other schemas than the default one and these beside it."""
        base, known = within(self.base, places), self.baseline
        return Replayed(
            Baseline.of(known.file, known.sha256, base, self.spellings) if known is not None else None,
            base,
            {id_: within(schema, places) for id_, schema in self.schemas.items()},
            {rows: within(schema, places) for rows, schema in self.joined.items()},
            self.after,
            self.spellings,
        )


class _Undivided(Exception):  # noqa: N818 - a finding
    """Revisions would be committed at once, or were, that must be looked at one by one."""


class _Follows(Exception):  # noqa: N818 - a finding
    """A revision comes after siblings on which it does not depend, or the history cannot be applied."""

    def __init__(self, revision: str, siblings: tuple[str, ...]) -> None:
        super().__init__(revision)
        self.revision = revision
        self.siblings = siblings


class _Replaying(Upgrading):
    """One run of env.py, in the child that the replay keeps for the database."""

    def __init__(self, replay: Replay, run: Run, step: Upgrade) -> None:
        super().__init__(run, step)
        self._replay = replay

    @contextmanager
    def ready_worker(self) -> Iterator[Worker]:
        """The child that is there, or a new one."""
        worker, is_new = self._replay.lend(self.run)
        if is_new:
            self.expect_ready(worker)
        yield worker


class Replay:
    """One replay; ``target`` says which version table and schemas, and how the project spells its URL.

    ``environment`` is the one in which env.py finds the database of a URL, and no other; ``allowed`` are the servers to
    which it may connect beside the shadow's.
    """

    def __init__(
        self,
        shadow: Shadow,
        *,
        run_id: str,
        project: Project,
        target: Target,
        image: Image,
        limits: Limits,
        environment: Callable[[DatabaseUrl], Mapping[str, str]],
        allowed: Sequence[str],
        transaction: Transaction,
        interruption: Interruption,
        emit: Emit,
        redact: Callable[[str], str],
        source_of: Callable[[Revision], str],
        baseline: BaselineFile | None = None,
        verb: str = "manifest",
    ) -> None:
        self._shadow = shadow
        self._run_id = run_id
        self._project = project
        self._target = target
        self._image = image
        # The platform's deadline is for releases.
        self._limits = replace(limits, deadline_s=0.0)
        # Alembic's order of several branches follows the hash seed: two replays must not differ by it.
        self._environment = environment
        self._allowed = allowed
        self._interruption = interruption
        self._emit = emit
        self._redact = redact
        self._source_of = source_of
        self._baseline = baseline
        self._transaction = transaction
        self._undivided = transaction is Transaction.ALL
        self._worker: Worker | None = None
        self._verb = verb  # of the command that replays
        self._has_looked = False  # at where env.py goes
        self._schema = target.version_table_schema  # which must be there before the first revision, whoever makes it
        self._texts: dict[str, str] = {}
        self._found = Replayed()
        self._base = "template0"
        self._spelled: dict[Definition, tuple[str, ...]] | None = None

    def carry_out(self, unproven: Collection[str], known: OtherSpellings, after: After) -> Replayed:
        """Read the schema at every unproven revision; ``known`` are definitions of which is known how else they are printed.

        ``after`` are the siblings that the other revisions build on without `depends_on`. Raises Stop, whose problem
        names the revision at fault, or Interrupted.
        """
        self._found = Replayed()
        self._spelled = dict(known)
        self._place(unproven, after, reading=True)
        self._found.spellings = {definition: others for definition, others in self._spelled.items() if others}
        return self._found

    def siblings(self, unproven: Collection[str], after: After) -> After:
        """The same without reading anything: which siblings these revisions build on, with ``after``. Raises as above."""
        self._found = Replayed()
        self._place(unproven, after, reading=False)
        return self._found.after

    def _place(self, unproven: Collection[str], after: After, *, reading: bool) -> None:
        """Run every pass, again with what is found out about siblings, until each revision can be applied."""
        found = self._found
        found.after = dict(after)
        graph, left = self._image.graph, set(unproven)
        self._base = self.make_base() if self.has_base else "template0"
        while True:
            ways = passes(graph, left, found.after)
            try:
                self._run_all(ways if reading else [replace(each, reads=(), joined=()) for each in ways])
            except _Follows as follows:
                found.after[follows.revision] = (*found.after.get(follows.revision, ()), *follows.siblings)
                again = with_siblings(graph, found.after).descendants([follows.revision])
                for id_ in again:
                    found.schemas.pop(id_, None)
                left = left.difference(found.schemas) | again
            else:
                break
        self._say_siblings({id_: siblings for id_, siblings in found.after.items() if siblings != after.get(id_)})

    def _run_all(self, ways: Sequence[Pass]) -> None:
        databases: dict[str | None, str] = {}
        try:
            for at, each in enumerate(ways):
                databases[each.target] = self._run(each, databases[each.start] if each.start else self._base)
                wanted = {later.start for later in ways[at + 1 :]}
                for id_ in [id_ for id_ in databases if id_ not in wanted]:
                    self._shadow.drop(databases.pop(id_))
        except _Follows:
            for name in databases.values():
                self._shadow.drop(name)
            raise

    def _say_siblings(self, found: After) -> None:
        said = [
            f"revision {id_} follows revision {' and revision '.join(siblings)} of another branch"
            for id_, siblings in found.items()
        ]
        if said:
            message = (
                f"{clauses(said)}: no depends_on says so, and only Alembic's order of the branches makes it work; the"
                " manifest keeps it as `after`"
            )
            self._emit(Event(Name.IMAGE_WARNING, message, Level.WARN))

    @property
    def has_base(self) -> bool:
        """Whether something is there before the first revision."""
        return self._baseline is not None or self._schema is not None

    def make_schema(self, name: str) -> None:
        """Let every database of the replay have this schema, in which env.py turned out to work."""
        self._schema = name
        self._target = replace(self._target, version_table_schema=name)

    def make_base(self) -> str:
        """What is there before the first revision, which every pass from nothing copies; its name. Raises Stop."""
        name = self._shadow.create()
        target = self.aim(name)
        if self._baseline is not None:
            with closing(self.connect(target, CONTROL_NAME)) as connection:
                load_baseline(connection, self._baseline.sql, self._baseline.path)
        if self._schema is not None:
            with closing(self.connect(target, CONTROL_NAME)) as connection:
                connection.run(f"CREATE SCHEMA IF NOT EXISTS {quote(self._schema)}")
        if self._baseline is not None:
            self._read_base(target, self._baseline)
        return name

    def _read_base(self, target: Target, baseline: BaselineFile) -> None:
        with closing(self.connect(target, CONTROL_NAME)) as connection:
            observation = self.observe(connection, target)
            self._execute_again(connection, target, observation, dump=baseline.sql)
        if observation.rows:
            raise stop(
                "bad-baseline",
                f"{baseline.file} has version rows ({', '.join(observation.rows)}), but it stands for what is there"
                " before the first revision",
                names={"baseline": baseline.file},
            )
        schema = self._shared(observation.schema or {})
        self._found.base = schema
        self._found.baseline = Baseline.of(baseline.file, baseline.sha256, schema, self._spelled or {})

    def provide(self, found: Problem, emit: Emit) -> bool:
        """Make the role that a statement missed, where the server is our own; whether it is worth another try."""
        sqlstate = found.facts.get("sqlstate")
        role = shadows.missing_role(sqlstate, found.why)
        if role is None or not self._shadow.make_role(role.replace('""', '"'), owns=sqlstate == shadows.SET_ROLE):
            return False
        said = f'role "{role}" is not on the throw-away server: it was made there, without login'
        emit(Event(Name.IMAGE_WARNING, said, Level.WARN, {"role": role}))
        return True

    def _run(self, each: Pass, template: str) -> str:
        """One pass; the name of its database, at the pass's target."""
        while True:
            try:
                return self._run_once(each, template)
            except Stop as stopped:
                if self.provide(stopped.problem, self._emit):
                    continue
                id_ = str(stopped.problem.facts.get("revision"))
                if stopped.problem.kind.code in _OF_REVISIONS and id_ in self._image.graph:
                    self._look_at_siblings(each, id_, stopped)
                raise self.explained(stopped) from stopped

    def _look_at_siblings(self, each: Pass, id_: str, stopped: Stop) -> None:
        """Find out whether a revision that failed in this pass works in Alembic's order of the branches.

        Raises _Follows where it does, and Stop where it would in another order than Alembic's.
        """
        graph, after = self._image.graph, self._found.after
        revision = graph.get(id_)
        assert revision is not None
        whole = with_siblings(graph, after)
        own = whole.ancestors([id_])
        order = [one.id for one in applied_in_order(graph)]
        before, later = order[: order.index(id_)], order[order.index(id_) + 1 :]
        ran = [one.id for step in steps(graph, after, each.start, each.target) for one in step.pending]
        there = whole.ancestors([each.start] if each.start else []).union(ran[: ran.index(id_)]) - own
        if there and self._bears(revision, ()):  # one of those that are there stands in its way
            follower = missed([one for one in later if one in there], lambda first: not self._bears(revision, first))
            if follower is not None:
                raise _Follows(follower, (id_,)) from stopped
            return
        siblings: list[str] = []
        while not siblings or not self._bears(revision, siblings):
            given = own | whole.ancestors(siblings)
            candidates = [one for one in before if one not in given]
            needed = missed(candidates, lambda first: self._bears(revision, (*siblings, *first)))
            if needed is None:
                break
            siblings.append(needed)
        else:
            raise _Follows(id_, tuple(siblings)) from stopped
        descendants = whole.descendants([id_])
        before = [one for one in before if one not in own]
        candidates = [one for one in later if one not in descendants]
        needed = missed(candidates, lambda first: self._bears(revision, (*before, *first)))
        if needed is not None:
            why = f"{stopped.problem.why}; it works after revision {needed}, which Alembic applies later"
            fix = f"set depends_on = {needed!r} in {word(revision.file)}, so that Alembic applies that first"
            failed = problem("revision-failed", why, fix=fix)
            raise Stop(replace(failed, facts=stopped.problem.facts)) from stopped

    def _bears(self, revision: Revision, siblings: Sequence[str]) -> bool:
        """Whether the revision can be applied with these siblings, and all that they and it build on, in Alembic's order."""
        graph = self._image.graph
        below = with_siblings(graph, self._found.after).ancestors((revision.id, *siblings)) - {revision.id}
        runs = lines((*(one for one in applied_in_order(graph) if one.id in below), revision))
        emit, self._emit = self._emit, lambda _event: None
        nothing_read = Pass(None, revision.id)
        while True:
            name = self._shadow.create(self._base)
            try:
                for run in runs:
                    self._upgrade(name, nothing_read, run)
            except Stop as stopped:
                if self.provide(stopped.problem, self._emit):
                    continue
                if stopped.problem.kind.code not in _OF_REVISIONS:
                    raise
                return False
            else:
                return True
            finally:
                self._emit = emit
                self._end_worker()
                self._shadow.drop(name)

    def _run_once(self, each: Pass, template: str) -> str:
        runs = steps(self._image.graph, self._found.after, each.start, each.target)
        try:
            if not self._undivided:
                name = self._shadow.create(template)
                try:
                    for run in runs:
                        self._upgrade(name, each, run)
                except _Undivided:
                    self._undivided = True
                    self._end_worker()
                    self._shadow.drop(name)
                else:
                    return name
            name = self._shadow.create(template)
            for run in runs:
                together: list[Revision] = []
                for revision in run.pending:
                    together.append(revision)
                    if self._is_looked_at(revision.id, each) or revision is run.pending[-1]:
                        self._upgrade(name, each, Upgrade(revision.id, tuple(together)))
                        together = []
            return name
        finally:
            self._end_worker()

    def lend(self, run: Run) -> tuple[Worker, bool]:
        """The child for a run on the database at hand, and whether it is a new one."""
        is_new = self._worker is None or not self._worker.is_alive
        if self._worker is None or is_new:
            self._end_worker()
            self._worker = Worker(environ=child_environment(run), cwd=run.project.cwd, emit=run.emit)
        self._worker.wake = (run.interruption.fd, run.held.lost_fd)
        return self._worker, is_new

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    @staticmethod
    def _is_looked_at(id_: str, each: Pass) -> bool:
        """Whether the database is looked at after this revision; before branches have met, after any."""
        return id_ in each.reads or bool(each.joined)

    def _upgrade(self, name: str, each: Pass, step: Upgrade) -> None:
        target = self.aim(name)
        with (
            closing(self.connect(target, f"{CONTROL_NAME}read:")) as reader,
            self.under_guard(target) as run,
        ):
            reader.wait_s = READ_S

            def read(ids: Sequence[str]) -> None:
                if any(self._is_looked_at(id_, each) for id_ in ids[:-1]):
                    raise _Undivided
                if not self._is_looked_at(ids[-1], each):
                    return
                seen = self.observe(reader, target)
                if ids[-1] not in seen.rows:
                    raise _not_there(ids[-1], seen.rows)
                if ids[-1] in each.reads:
                    self._execute_again(reader, target, seen)
                    self._found.schemas[ids[-1]] = self._shared(seen.schema or {})
                elif sorted(seen.rows) == sorted(each.joined):
                    self._found.joined[each.joined] = self._shared(seen.schema or {})

            def look_at_each(why: str) -> None:
                if sum(self._is_looked_at(revision.id, each) for revision in step.pending) < 2:  # noqa: PLR2004
                    return  # all there is to see is seen at the end
                said = f"env.py is run once for each revision that is read: they cannot be committed one by one, because {why}"
                self._emit(Event(Name.IMAGE_WARNING, said, Level.WARN))
                raise _Undivided

            run.on_commit, run.on_together = read, look_at_each
            _Replaying(self, run, step).carry_out()
            for revision in step.pending:
                if revision.id in each.reads and revision.id not in self._found.schemas:
                    raise _not_there(revision.id, self.observe(reader, target, with_schema=False).rows)

    @contextmanager
    def under_guard(self, target: Target) -> Iterator[Run]:
        """The guard on the shadow: that env.py's connection sees it proves where env.py went."""
        pulse = Pulse(self._emit)
        with closing(self.connect(target, CONTROL_NAME)) as control:
            server = read_server(control, target)
            before = self.observe(control, target, with_schema=False)
            with guard(
                self.connect(target, GUARD_NAME),
                GuardKey.of(server.schema, target.version_table),
                run_id=self._run_id,
                timeout_s=self._limits.guard_s,
                interruption=self._interruption,
                emit=lambda _event: None,  # nobody else knows of this database
            ) as held:
                control.interruption = None  # a signal is answered by a cancel that this connection sends
                yield Run(
                    run_id=self._run_id,
                    project=self._project,
                    target=target,
                    image=self._image,
                    policy=Policy(target="heads", transaction=self._transaction),
                    limits=self._limits,
                    environ={**self._environment(target.url), "PYTHONHASHSEED": "0"},
                    fence=Fence(target.url, self._allowed),
                    interruption=self._interruption,
                    emit=pulse.emit,
                    beat=pulse.beat,
                    redact=self._redact,
                    source_of=self._source_of,
                    control=control,
                    held=held,
                    ledger=_NoLedger(control, run_id=self._run_id, key="", fence=held.fence, emit=self._emit),
                    before=before,
                    started_s=pulse.started_s,
                    looks_first=not self._has_looked,
                    explained=self.explained,
                )
                self._has_looked = True

    def _shared(self, schema: Mapping[str, str]) -> dict[str, str]:
        """The schema with each text kept once: thousands of revisions share nearly all of theirs."""
        keep = self._texts.setdefault
        return {keep(identity, identity): keep(definition, definition) for identity, definition in schema.items()}

    def _execute_again(
        self, connection: Connection, target: Target, seen: Observation, *, dump: str | None = None
    ) -> None:
        """Find out how else the definitions that were just read are printed, but for those of which that is known.

        ``dump`` is the text that made them, which may be in the spelling of the database that it came from.
        """
        if self._spelled is None or seen.schema is None or seen.server.schema is None:
            return
        known = self._spelled.copy()
        new = [definition for definition in seen.schema.items() if definition not in known]
        self._spelled.update(dict.fromkeys(new, ()))
        asked = [definition for definition in new if may_be_respelled(*definition)]
        if asked:
            seen_from = target.using(user_schemas(connection))
            default = seen.server.schema
            where = Where(seen_from.schemas_beside(default), seen_from.default_schema(default), seen_from.schemas)
            try:
                self._spelled |= other_spellings(connection, asked, seen.schema, where)
                told: dict[Definition, tuple[str, ...]] = {}
                if dump is not None:
                    told = spellings_of_dump(connection, dump, seen.schema, where)
                elif self._baseline is not None:
                    told = spellings_carried_over(connection, asked, known, seen.schema, where)
                for definition, spelled in told.items():
                    if definition in new:
                        self._spelled[definition] = tuple(dict.fromkeys((*self._spelled[definition], *spelled)))
            except psycopg2.Error as error:
                raise problem_of(error, doing="trying definitions", connection=connection) from error

    def observe(self, connection: Connection, target: Target, *, with_schema: bool = True) -> Observation:
        """What is in a shadow database, in whichever schema, unless the operator has named those. Raises Stop."""
        if with_schema:
            target = target.using(user_schemas(connection))
        return observe(connection, target, self._limits, hashes={}, with_schema=with_schema)

    def known_to(self, manifest: Manifest, schema: Mapping[str, str]) -> Mapping[str, str]:
        """What of a shadow's schema the manifest speaks of: a baseline brings other people's schemas along."""
        return schema if self._target.schemas else within(schema, manifest.schemas)

    def aim(self, name: str) -> Target:
        """A shadow database as a target, its URL spelled as the project's."""
        url = self._shadow.url_of(name).spelled_as(self._target.url)
        return replace(self._target, url=url, url_from=self._shadow.url_from, renew=None)

    def connect(self, target: Target, role: str) -> Connection:
        """A connection of ours; ``role`` begins its name. Raises Stop."""
        return connect_with_retry(
            target,
            application_name=f"{role}{self._run_id}",
            timeout_s=CONNECT_S,
            interruption=self._interruption,
            emit=self._emit,
            redact=self._redact,
        )

    def explained(self, stopped: Stop) -> Stop:
        """A failure in the shadow: its fix is not that of a release."""
        found = stopped.problem
        sqlstate = found.facts.get("sqlstate")
        if shadows.is_lacking(sqlstate, found.why):
            lacks = problem("shadow-lacks", found.why, names={"verb": "test" if self._verb == "test" else "manifest"})
            return Stop(replace(lacks, facts=found.facts))
        if found.kind.code == "authentication":
            why = f"{found.why}; env.py gives a user or a password of its own to the throw-away server"
            fix = "export MIGRATE_SHADOW_URL='postgresql://USER:PASSWORD@HOST:5432/postgres'   # a server that accepts them"
            return Stop(replace(found, why=why, fix=fix))
        if found.kind.code not in _OF_REVISIONS:
            return stopped
        revision = self._image.graph.get(str(found.facts.get("revision")))
        if sqlstate == _TOO_LONG and revision is not None and len(revision.id) > ALEMBICS:
            place = self._target.version_table_schema or "public", self._target.version_table
            narrow = too_narrow(revision, ALEMBICS, *place, is_there=False)
            fix = f"let env.py make the version table before Alembic does: {narrow.fix}"
            return Stop(replace(narrow, fix=fix, facts=found.facts))
        if self._baseline is None and sqlstate in _MISSING:
            needed = problem("baseline-needed", f"in an empty database, {found.why}")
            return Stop(replace(needed, facts=found.facts))
        file = found.facts.get("file") or found.facts.get("revision")
        again = "plan --sql" if self._verb == "plan" else self._verb
        fix = f"correct {word(file)}, then run migrate {again} again"
        # a part that was committed went with the throw-away database: there is nothing to repair
        failed = problem("revision-failed", found.why, fix=fix) if found.kind.code == "partly-committed" else found
        return Stop(replace(failed, fix=fix, facts=found.facts))


def _not_there(revision: str, rows: Rows) -> Stop:
    """The stop for a revision that ran without an error, and was not seen in the database."""
    return stop(
        "unproven",
        f"after revision {revision} the version rows are {', '.join(rows) or 'none'}",
        revision=revision,
    )


class _NoLedger(Ledger):
    """Keeps nothing: a shadow's history ends with it."""

    def _write(self, sql: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        del sql, parameters
        return []
