"""Tries revisions in shadow databases: up, down and up again, with rows, and cut off after each statement.

Every way is tried in a database of its own, a copy of the one before the revision. All of them have one name, one after
the other, so that one child process serves them all: env.py may have read its URL for good.
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from migrate.child.parent import Worker
from migrate.core.decide.plan import Downgrade, Upgrade
from migrate.core.decide.pooling import leaves_transaction
from migrate.core.events import Event, Level, Name
from migrate.core.manifest.replay import lines, passes, steps, with_siblings
from migrate.core.problems.catalogue import Stop
from migrate.core.schema.differences import parse, parse_labels
from migrate.core.schema.holding import Taken
from migrate.core.shadow import is_lacking
from migrate.core.trial_checks import Check
from migrate.core.wording import counted
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.shadow.replay import READ_S
from migrate.steps.upgrade import Upgrading, child_environment
from migrate.trial.cases import FOUND, Verdict, rows_left, rows_lost, rows_of_env_py, traces, with_effect
from migrate.trial.readings import readings, unread
from migrate.trial.rows import Scope, count, fill, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from migrate.core.events import Emit
    from migrate.core.history.graph import Revision
    from migrate.core.history.image import Image
    from migrate.core.manifest.replay import After, Pass
    from migrate.core.problems.catalogue import Problem
    from migrate.postgres.connection import Connection
    from migrate.shadow.databases import Shadow
    from migrate.shadow.replay import Replay
    from migrate.steps.run import Run
    from migrate.trial.cases import Case, Counted, Findings
    from migrate.trial.values import Type

CRASHES: Final = 40  # statements of one revision after which it is cut off
READINGS: Final = 2  # further tries, where a text could not be read
WRITERS: Final = 3  # revisions that may have looked after the rows for a later one
EMPTY: Final = "template0"
MODELS_DIFFER: Final = "the models are not the schema at the head: "
# What may write rows; whether it does, the rows show.
_WRITES: Final = re.compile(r"update|delete|insert|merge|execute|session|bind", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Seen:
    """A database at one moment."""

    rows: tuple[str, ...]  # of the version table
    schema: Mapping[str, str]
    counts: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A database in which something is tried."""

    run: Run
    reader: Connection
    scope: Scope


class _Trying(Upgrading):
    """One way through revisions, in a child that stays for the next one."""

    def __init__(self, trial: TrialRun, run: Run, plan: Upgrade | Downgrade, more: Mapping[str, object]) -> None:
        super().__init__(run, plan)
        self._trial = trial
        self._more = more

    @contextmanager
    def ready_worker(self) -> Iterator[Worker]:
        """The child that is there, or a new one where it is gone."""
        worker, is_new = self._trial.lend(self.run)
        if is_new:
            self.expect_ready(worker)
        yield worker

    def job(self) -> dict[str, object]:
        """The job of an upgrade, and what a trial wants beside it."""
        return {**super().job(), **self._more}


@dataclass(slots=True)
class TrialRun:
    """One trial of ``selected`` revisions; what it finds goes to ``findings``."""

    replay: Replay
    shadow: Shadow
    image: Image
    selected: Collection[str]
    findings: Findings
    env_py: str
    source_of: Callable[[Revision], str]
    emit: Emit
    after: After  # siblings that revisions build on without `depends_on`
    _work: str | None = None
    _worker: Worker | None = None
    _told_unfilled: set[tuple[str, str]] = field(default_factory=set)
    _base: str = EMPTY
    _read_as: Mapping[str, Type] = field(default_factory=dict)  # by column, in the revision that is tried
    _before_writers: dict[str, str] = field(default_factory=dict)  # revision -> the database before it

    def carry_out(self, base: str) -> None:
        """Try everything, from the database ``base``. Raises Stop where a trial itself fails, and Interrupted."""
        self._base = base
        try:
            finished = self._try_all(base)
            if finished is not None:
                self._try_history(finished)
        finally:
            if self._worker is not None:
                self._worker.end()

    def lend(self, run: Run) -> tuple[Worker, bool]:
        """The child for a run, and whether it is a new one."""
        is_new = self._worker is None or not self._worker.is_alive
        if self._worker is None or is_new:
            if self._worker is not None:
                self._worker.end()
            self._worker = Worker(environ=child_environment(run), cwd=run.project.cwd, emit=run.emit)
        self._worker.wake = (run.interruption.fd, run.held.lost_fd)
        return self._worker, is_new

    # The way through the history

    def _try_all(self, base: str) -> str | None:
        """The database with everything applied; None where that cannot be."""
        graph = self.image.graph
        ways = passes(graph, with_siblings(graph, self.after).descendants(self.selected), self.after)
        databases: dict[str | None, str] = {None: base}
        for at, each in enumerate(ways):
            start = databases.get(each.start)
            reached = self._go(each, start) if start is not None else None
            if reached is not None:
                databases[each.target] = reached
            wanted = {later.start for later in ways[at + 1 :]}
            for id_ in [id_ for id_ in databases if id_ not in wanted and at + 1 < len(ways)]:
                name = databases.pop(id_)
                if name != base:
                    self.shadow.drop(name)
        for id_ in self.selected:
            self.findings.skip_rest(id_, "a revision before it cannot be applied")
        return databases.get(ways[-1].target) if ways else None

    def _go(self, each: Pass, start: str) -> str | None:
        """One pass; its database, None where a revision cannot be applied."""
        runs = steps(self.image.graph, self.after, each.start, each.target)
        pending = [revision for run in runs for revision in run.pending]
        current = start
        waiting: list[Revision] = []
        for revision in pending:
            is_tried = revision.id in self.selected and revision.id in each.reads
            if not is_tried:
                waiting.append(revision)
            if waiting and (is_tried or revision is pending[-1]):
                if self.after:
                    ways = lines(waiting)
                else:
                    ways = self._tips(waiting) if is_tried else (Upgrade(each.target, tuple(waiting)),)
                reached = self._pass_by(current, ways)
                waiting = []
                if reached is None:
                    return None
                current = self._instead(current, reached, start)
            if is_tried:
                reached = self._try_revision(revision, current)
                self._tell(revision)
                if reached is None:
                    return None
                current = self._instead(current, reached, start, may_write=revision)
        return current

    def _instead(self, old: str, new: str, kept: str, *, may_write: Revision | None = None) -> str:
        """Go on with another database; the one before a revision that may write rows is kept for a while."""
        if old == kept:
            return new
        if may_write is None or _WRITES.search(self.source_of(may_write)) is None:
            self.shadow.drop(old)
            return new
        self._keep_before(may_write, old)
        return new

    def _keep_before(self, writer: Revision, database: str) -> None:
        self._before_writers[writer.id] = database
        if len(self._before_writers) > WRITERS:
            self.shadow.drop(self._before_writers.pop(next(iter(self._before_writers))))

    def _tips(self, revisions: Sequence[Revision]) -> tuple[Upgrade, ...]:
        """The ways to all of them: several, where they are of branches that have not met."""
        graph = self.image.graph
        below = graph.ancestors([revision.id for revision in revisions], inclusive=False)
        left = list(revisions)
        steps = []
        for tip in revisions:
            if tip.id in below:
                continue
            on_the_way = graph.ancestors([tip.id])
            steps.append(Upgrade(tip.id, tuple(one for one in left if one.id in on_the_way)))
            left = [one for one in left if one.id not in on_the_way]
        return tuple(steps)

    def _pass_by(self, clean: str, steps: Iterable[Upgrade]) -> str | None:
        """Revisions that are only on the way."""
        with self._stage(clean) as stage:
            for step in steps:
                failed = self._run(stage, step)
                if failed is not None:
                    self._found(Check.UPGRADE, str(failed.facts.get("revision")), failed)
                    return None
        return self._keep()

    # One revision

    def _try_revision(self, revision: Revision, clean: str) -> str | None:
        """Everything about one revision; the database after it, None where it cannot be applied."""
        findings, id_ = self.findings, revision.id
        with self._stage(clean) as stage:
            before = self._look(stage)
            trying = _Trying(self, stage.run, Upgrade(id_, (revision,)), {})
            failed = self._carry_out(stage, trying)
            if failed is not None:
                self._found(Check.UPGRADE, id_, failed)
                findings.skip_rest(id_, "it cannot be applied")
                return None
            findings.passed(Check.UPGRADE, id_)
            after = self._look(stage)
            self._compare_with_manifest(id_, after)
            is_tidy = self._go_back(stage, revision, before, after)
        following = self._keep() if is_tidy else None
        if following is None:
            with self._stage(clean) as stage:
                self._run(stage, Upgrade(id_, (revision,)))
            following = self._keep()
        has_rows = self._try_with_rows(revision, clean, before, after)
        self._try_crashes(revision, clean, before, after, with_rows=has_rows)
        for check in Check:
            if check not in {Check.HEADS, Check.TWICE, Check.MODELS}:
                findings.passed(check, id_)
        return following

    def _compare_with_manifest(self, id_: str, after: Seen) -> None:
        manifest = self.image.manifest
        if manifest is None:
            self.findings.skipped(Check.SCHEMA, id_, "there is no manifest")
            return
        differences = manifest.compare((id_,), self.replay.known_to(manifest, after.schema), major=self.shadow.major)
        if differences:
            said = "the upgrade leaves another schema than the manifest has"
            self.findings.found(Check.SCHEMA, id_, said, differences.sentences())

    def _go_back(self, stage: _Stage, revision: Revision, before: Seen, after: Seen) -> bool:
        """Down and up again; whether the database is then as it was after the first time."""
        findings, id_ = self.findings, revision.id
        reason = findings.sources[id_].irreversible
        if reason is not None:
            findings.skipped(Check.DOWNGRADE, id_, f"irreversible: {reason}")
            findings.skipped(Check.AGAIN, id_, f"irreversible: {reason}")
            return True
        failed = self._down(stage, revision)
        if failed is not None:
            self._found(Check.DOWNGRADE, id_, failed)
            findings.skipped(Check.AGAIN, id_, "the downgrade fails")
            return False
        undone = self._look(stage)
        said = traces(before.schema, undone.schema)
        books = rows_of_env_py(before.counts, after.counts, undone.counts, self.source_of(revision))
        said += rows_left(before.counts, [one for one in undone.counts if one.id not in books])
        said += rows_lost(before.counts, undone.counts)
        if sorted(before.rows) != sorted(undone.rows):
            said.append(f"the version rows are {_listed(undone.rows)}, were {_listed(before.rows)}")
        if said:
            findings.found(Check.DOWNGRADE, id_, f"the downgrade does not lead back: {said[0]}", said[1:])
        failed = self._run(stage, Upgrade(id_, (revision,)))
        if failed is not None:
            self._found(Check.AGAIN, id_, failed)
            return False
        if said:
            findings.skipped(Check.AGAIN, id_, "the downgrade does not lead back")
            return False
        again = self._look(stage)
        changed = traces(after.schema, again.schema)
        changed += rows_left(after.counts, [one for one in again.counts if one.id not in books])
        changed += rows_lost(after.counts, again.counts)
        if changed:
            findings.found(Check.AGAIN, id_, f"the second upgrade leads elsewhere: {changed[0]}", changed[1:])
        return not changed

    def _try_with_rows(self, revision: Revision, clean: str, before: Seen, after: Seen) -> bool:
        """The same with rows in the tables; whether the upgrade can be done with them."""
        findings, id_ = self.findings, revision.id
        if not before.counts:
            for check in (Check.FILLED, Check.ROWS, Check.KEPT):
                findings.skipped(check, id_, "there is no table before it")
            return False
        self._read_as = {}
        with self._stage(clean) as stage:
            filled = fill(stage.reader, stage.scope)
            for table, why in filled.unfilled.items():
                if (table, why) not in self._told_unfilled:  # the first revision that meets the table stands for all
                    self._told_unfilled.add((table, why))
                    findings.found(Check.FILLED, id_, f"table {table} takes no synthetic rows: {why}")
            tried = self._apply_with_rows(stage, revision)
        if not isinstance(tried, Seen):
            tried = self._apply_with_texts(revision, clean, before, after, tried)
        if isinstance(tried, Seen):
            self._judge_schema_with_rows(revision, clean, before, after, tried)
            return True
        if not self._is_prepared(revision):
            self._found(
                Check.ROWS, id_, tried, "with rows in the tables", is_sure=unread(tried.why, before.schema) is None
            )
            findings.skipped(Check.KEPT, id_, "it cannot be applied to tables with rows")
        return False

    def _apply_with_rows(self, stage: _Stage, revision: Revision) -> Seen | Problem:
        """Up, and down again, with the rows that are there; what the upgrade has made, or why it fails."""
        counts = count(stage.reader, stage.scope)
        failed = self._run(stage, Upgrade(revision.id, (revision,)))
        if failed is not None:
            return failed
        now = self._look(stage)
        if lost := rows_lost(counts, now.counts):
            self.findings.found(Check.KEPT, revision.id, f"the upgrade loses rows: {lost[0]}", lost[1:])
        self._go_back_with_rows(stage, revision, now.counts if lost else counts)
        return now

    def _apply_with_texts(
        self, revision: Revision, clean: str, before: Seen, after: Seen, failed: Problem
    ) -> Seen | Problem:
        """Once more, where a text of ours could not be read, with texts that can; what came of the last time."""
        columns = sorted({parse(text).path[-1] for text in before.schema if text.startswith("column ")})
        labels = {
            parse(text).path[-1]: parse_labels(definition)
            for text, definition in after.schema.items()
            if text.startswith("enum ")
        }
        source = self.source_of(revision)
        for _ in range(READINGS):
            wanted = unread(failed.why, before.schema)
            if wanted is None:
                break
            self._read_as = readings(source, columns, wanted, labels)
            with self._stage(clean) as stage:
                fill(stage.reader, stage.scope, self._read_as)
                tried = self._apply_with_rows(stage, revision)
            if isinstance(tried, Seen):
                return tried
            failed = tried
        return failed

    def _judge_schema_with_rows(self, revision: Revision, clean: str, before: Seen, after: Seen, now: Seen) -> None:
        if not traces(after.schema, now.schema):
            return
        if changed := traces(self._schema_with_rows(clean, before, after), now.schema):
            said = f"with rows it leads to another schema: {changed[0]}"
            self.findings.found(Check.ROWS, revision.id, said, changed[1:])

    def _schema_with_rows(self, clean: str, before: Seen, after: Seen) -> Mapping[str, str]:
        """The schema after the upgrade where rows were put in first: a trigger may change it at the first one."""
        with self._stage(clean) as stage:
            fill(stage.reader, stage.scope, self._read_as)
            return with_effect(after.schema, before.schema, self._look(stage).schema)

    def _is_prepared(self, revision: Revision) -> bool:
        """Whether the upgrade runs on rows that a revision before it has written: what it asks of them was looked after."""
        on_the_way: list[Revision] = []
        tries = 0
        for writer in self._line_below(revision):
            on_the_way.insert(0, writer)
            if _WRITES.search(self.source_of(writer)) is None:
                continue
            tries += 1
            template = self._before_writers.get(writer.id) or self._reach_before(writer)
            if template is None or tries > WRITERS:
                return False
            with self._stage(template) as stage:
                fill(stage.reader, stage.scope)
                rows = versions(stage.reader, stage.scope)
                if self._run(stage, Upgrade(writer.id, (writer,))) is not None:
                    continue
                is_written = bool(rows - versions(stage.reader, stage.scope))
                rest = tuple(on_the_way[1:])
                if not is_written or (rest and self._run(stage, Upgrade(rest[-1].id, rest)) is not None):
                    continue
                if isinstance(self._apply_with_rows(stage, revision), Seen):
                    return True
        return False

    def _line_below(self, revision: Revision) -> Iterator[Revision]:
        """The revisions below it, the nearest first, up to where branches meet."""
        graph = self.image.graph
        while len(revision.down) == 1 and not revision.depends_on and revision.id not in self.after:
            below = graph.get(revision.down[0])
            assert below is not None
            yield below
            revision = below

    def _reach_before(self, revision: Revision) -> str | None:
        """A database as it is before a revision that was not kept; None where that is several ways away."""
        if not revision.down and not revision.depends_on:
            return self._base
        if len(revision.down) != 1 or revision.depends_on or revision.id in self.after:
            return None
        with self._stage(self._base) as stage:
            for run in steps(self.image.graph, self.after, None, revision.down[0]):
                if self._run(stage, run) is not None:
                    return None
        reached = self._keep()
        self._keep_before(revision, reached)
        return reached

    def _go_back_with_rows(self, stage: _Stage, revision: Revision, counts: tuple[Counted, ...]) -> None:
        findings, id_ = self.findings, revision.id
        tried = {case.check: case.verdict for case in findings.of(id_)}
        if tried.get(Check.DOWNGRADE) is not None or tried.get(Check.AGAIN) is not None:
            return  # it is irreversible, or does not even work without rows
        failed = self._down(stage, revision)
        if failed is not None:
            self._found(Check.DOWNGRADE, id_, failed, "with rows in the tables")
            return
        if lost := rows_lost(counts, count(stage.reader, stage.scope)):
            findings.found(Check.DOWNGRADE, id_, f"up and down loses rows: {lost[0]}", lost[1:])
        failed = self._run(stage, Upgrade(id_, (revision,)))
        if failed is not None:
            self._found(Check.AGAIN, id_, failed, "with rows in the tables")

    def _try_crashes(self, revision: Revision, clean: str, before: Seen, after: Seen, *, with_rows: bool) -> None:
        findings, id_ = self.findings, revision.id
        source = self.source_of(revision)
        if "commit" not in source.lower() and not leaves_transaction(source):
            findings.skipped(Check.CRASH, id_, "it commits once, at its end")
            return
        expected = self._schema_with_rows(clean, before, after) if with_rows else after.schema
        for number in range(1, CRASHES + 1):
            with self._stage(clean) as stage:
                if with_rows:
                    fill(stage.reader, stage.scope, self._read_as)
                step = Upgrade(id_, (revision,))
                if self._run(stage, step, crash_after=number) is None:
                    return  # it has fewer statements
                failed = self._run(stage, step)
                if failed is not None:
                    self._found(Check.CRASH, id_, failed, f"cut off after statement {number}, the second run fails")
                elif changed := traces(expected, self._look(stage).schema):
                    said = f"cut off after statement {number}, the second run leads elsewhere"
                    findings.found(Check.CRASH, id_, f"{said}: {changed[0]}", changed[1:])

    # The history as a whole

    def _try_history(self, finished: str) -> None:
        findings = self.findings
        with self._stage(finished) as stage:
            before = self._look(stage)
            failed = self._run(stage, Upgrade("heads", ()))
            after = self._look(stage)
            changed = traces(before.schema, after.schema)
            changed += rows_left(before.counts, after.counts) + rows_lost(before.counts, after.counts)
            if failed is not None or changed:
                said = failed.why if failed is not None else changed[0]
                findings.found(
                    Check.TWICE,
                    None,
                    f"a second run is not without effect: {said}",
                    changed[1:],
                    file=self.env_py,
                    line=1,
                )
            findings.passed(Check.TWICE)
            comparing = _Trying(self, stage.run, Upgrade("heads", ()), {"do": "compare"})
            failed = self._carry_out(stage, comparing)
            self._judge_models(comparing.models, failed)

    def _judge_models(self, differences: Sequence[Mapping[str, str]] | None, failed: Problem | None) -> None:
        findings = self.findings
        if failed is not None:
            findings.found(Check.MODELS, None, f"the models cannot be compared: {failed.why}", file=self.env_py, line=1)
        elif differences is None:
            findings.skipped(Check.MODELS, None, "env.py names no target_metadata that has tables")
        elif differences:
            # at env.py, which names the models: what was applied is never at fault
            said = [f"{one['said']}: {one['printed']}" if one["printed"] else one["said"] for one in differences]
            findings.found(Check.MODELS, None, f"{MODELS_DIFFER}{said[0]}", said[1:], file=self.env_py, line=1)
        findings.passed(Check.MODELS)

    # The databases

    @contextmanager
    def _stage(self, template: str) -> Iterator[_Stage]:
        """A copy of a database, under the one name that the child knows."""
        if self._work is not None:
            self.shadow.drop(self._work)
        self._work = self.shadow.create(template, self._work)
        target = self.replay.aim(self._work)
        with (
            closing(self.replay.connect(target, f"{CONTROL_NAME}read:")) as reader,
            self.replay.under_guard(target) as run,
        ):
            reader.wait_s = READ_S
            schema = run.before.server.schema or "public"
            scope = Scope(target.schemas_beside(schema), (schema, target.version_table))
            yield _Stage(run, reader, scope)

    def _keep(self) -> str:
        """A copy of the database that was tried last."""
        assert self._work is not None
        self.shadow.disconnect(self._work)
        return self.shadow.create(self._work)

    def _look(self, stage: _Stage) -> Seen:
        observed = self.replay.observe(stage.reader, stage.run.target)
        return Seen(observed.rows, observed.schema or {}, count(stage.reader, stage.scope))

    def _down(self, stage: _Stage, revision: Revision) -> Problem | None:
        # one revision and no other, which no target of Alembic's can say where branches meet
        step = Downgrade(revision.id, (revision,), may_lose=True, taken=Taken())
        return self._carry_out(stage, _Trying(self, stage.run, step, {"only": revision.id}))

    def _run(self, stage: _Stage, step: Upgrade, **more: object) -> Problem | None:
        return self._carry_out(stage, _Trying(self, stage.run, step, more))

    def _carry_out(self, stage: _Stage, trying: _Trying) -> Problem | None:
        """Why it failed, None where it did not. Raises Stop where that says nothing about the revisions."""
        run = stage.run
        run.applied = []
        run.before = self.replay.observe(run.control, run.target, with_schema=False)
        try:
            trying.carry_out()
        except Stop as stopped:
            if self.replay.provide(stopped.problem, self.emit):
                return self._carry_out(stage, trying)
            if is_lacking(stopped.problem.facts.get("sqlstate"), stopped.problem.why):
                raise self.replay.explained(stopped) from stopped
            if "revision" in stopped.problem.facts or stopped.problem.kind.code == "env-holds-transaction":
                return stopped.problem
            raise
        return None

    # What is said

    def _found(
        self, check: Check, revision: str, failed: Problem, circumstance: str = "", *, is_sure: bool = True
    ) -> None:
        why = failed.why
        prefix = f"revision {revision} ("
        if why.startswith(prefix):
            why = why.partition("): ")[2] or why
        line = failed.facts.get("line")
        said = f"{circumstance}: {why}" if circumstance else why
        if not is_sure:
            said += f'; the text is synthetic: if the service\'s are others, accepted = {{"{check}": "the reason"}}'
        file = self.findings.files.get(revision)
        self.findings.found(
            check,
            revision,
            said,
            file=file if isinstance(line, int) else None,
            line=line if isinstance(line, int) else None,
            is_sure=is_sure,
        )

    def _tell(self, revision: Revision) -> None:
        cases = self.findings.of(revision.id)
        found = [case for case in cases if case.verdict in FOUND]
        self.emit(
            Event(
                Name.TRIAL_REVISION,
                f"revision {revision.id}: {counted(len(found), 'finding') if found else 'nothing found'}",
                Level.INFO,
                {"revision": revision.id, "file": revision.file, "findings": len(found)},
            )
        )
        tell(found, self.emit)


def tell(cases: Iterable[Case], emit: Emit) -> None:
    """Say every finding among the cases, and every difference of the models as one of its own."""
    levels = {Verdict.FAILED: Level.ERROR, Verdict.WARNED: Level.WARN, Verdict.ACCEPTED: Level.INFO}
    for case in cases:
        level = levels.get(case.verdict)
        if level is None:
            continue
        each = [case]
        if case.message.startswith(MODELS_DIFFER):
            lines = (case.message.removeprefix(MODELS_DIFFER), *case.details)
            each = [replace(case, message=line, details=()) for line in lines]
        for one in each:
            said = f"{one.place or 'the history'}: {one.check}: {one.message}"
            emit(Event(Name.TRIAL_FINDING, said, level, one.to_json()))


def _listed(rows: Sequence[str]) -> str:
    return ", ".join(rows) or "none"
