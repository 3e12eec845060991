"""Tries revisions in shadow databases: up, down and up again, with rows, and cut off after each statement.

Every way is tried in a database of its own, a copy of the one before the revision. All of them have one name, one after
the other, so that one child process serves them all: env.py may have read its URL for good.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from migrate.child.protocol import Wanted
from migrate.core.decide.plan import Downgrade, Upgrade
from migrate.core.decide.pooling import leaves_transaction
from migrate.core.decide.replay import lines, passes, steps
from migrate.core.history.siblings import with_siblings
from migrate.core.manifest.holding import Taken
from migrate.core.problems import Stop
from migrate.core.schema.differences import parse, parse_labels
from migrate.core.shadow import is_lacking
from migrate.core.trial_checks import TrialCheck
from migrate.steps.upgrade import Upgrading
from migrate.trial.cases import Moment, rows_left, rows_lost, rows_of_env_py, traces, with_effect
from migrate.trial.readings import readings, unread
from migrate.trial.rows import count, fill, versions
from migrate.trial.tables import Scope
from migrate.trial.telling import judge_models, tell_revision

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from migrate.core.decide.replay import Pass
    from migrate.core.events import Emit
    from migrate.core.history.graph import Revision
    from migrate.core.history.siblings import After
    from migrate.core.image import Image
    from migrate.core.problems import Problem
    from migrate.shadow.ground import Ground
    from migrate.trial.cases import Counted, Findings
    from migrate.trial.values import Type

CRASHES: Final = 40  # statements of one revision after which it is cut off
READINGS: Final = 2  # further tries, where a text could not be read
WRITERS: Final = 3  # revisions that may have looked after the rows for a later one
# What may write rows; whether it does, the rows show.
_WRITES: Final = re.compile(r"update|delete|insert|merge|execute|session|bind", re.IGNORECASE)


@dataclass(slots=True)
class TrialRun:
    """One trial of ``selected`` revisions; what it finds goes to ``findings``."""

    ground: Ground
    selected: Collection[str]
    findings: Findings
    env_py: str
    emit: Emit
    after: After  # siblings that revisions build on without `depends_on`
    _told_unfilled: set[tuple[str, str]] = field(default_factory=set)
    _read_as: Mapping[str, Type] = field(default_factory=dict)  # by column, in the revision that is tried
    _before_writers: dict[str, str] = field(default_factory=dict)  # revision -> the database before it

    @property
    def image(self) -> Image:
        """The history."""
        return self.ground.image

    def carry_out(self) -> None:
        """Try everything. Raises Stop where a trial itself fails, and Interrupted."""
        finished = self._try_all(self.ground.base)
        if finished is not None:
            self._try_history(finished)

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
                self.ground.drop(name)
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
                tell_revision(self.findings, self.emit, revision)
                if reached is None:
                    return None
                current = self._instead(current, reached, start, may_write=revision)
        return current

    def _instead(self, old: str, new: str, kept: str, *, may_write: Revision | None = None) -> str:
        """Go on with another database; the one before a revision that may write rows is kept for a while."""
        if old == kept:
            return new
        if may_write is None or _WRITES.search(self.ground.order.source_of(may_write)) is None:
            self.ground.drop(old)
            return new
        self._keep_before(may_write, old)
        return new

    def _keep_before(self, writer: Revision, database: str) -> None:
        self._before_writers[writer.id] = database
        if len(self._before_writers) > WRITERS:
            self.ground.drop(self._before_writers.pop(next(iter(self._before_writers))))

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
        with self._in(clean):
            for step in steps:
                failed = self._run(step)
                if failed is not None:
                    self._found(TrialCheck.UPGRADE, str(failed.facts.get("revision")), failed)
                    return None
        return self.ground.keep()

    # One revision

    def _try_revision(self, revision: Revision, clean: str) -> str | None:
        """Everything about one revision; the database after it, None where it cannot be applied."""
        findings, id_ = self.findings, revision.id
        with self._in(clean) as scope:
            before = self._look(scope)
            failed = self._run(Upgrade(id_, (revision,)))
            if failed is not None:
                self._found(TrialCheck.UPGRADE, id_, failed)
                findings.skip_rest(id_, "it cannot be applied")
                return None
            findings.passed(TrialCheck.UPGRADE, id_)
            after = self._look(scope)
            self._compare_with_manifest(id_, after)
            is_tidy = self._go_back(scope, revision, before, after)
        following = self.ground.keep() if is_tidy else None
        if following is None:
            with self._in(clean) as scope:
                self._run(Upgrade(id_, (revision,)))
            following = self.ground.keep()
        has_rows = self._try_with_rows(revision, clean, before, after)
        self._try_crashes(revision, clean, before, after, with_rows=has_rows)
        for check in TrialCheck:
            if check not in {TrialCheck.HEADS, TrialCheck.TWICE, TrialCheck.MODELS}:
                findings.passed(check, id_)
        return following

    def _compare_with_manifest(self, id_: str, after: Moment) -> None:
        manifest = self.image.manifest
        if manifest is None:
            self.findings.skipped(TrialCheck.SCHEMA, id_, "there is no manifest")
            return
        differences = manifest.compare(
            (id_,), self.ground.known_to(manifest, after.schema), major=self.ground.shadow.major
        )
        if differences:
            said = "the upgrade leaves another schema than the manifest has"
            self.findings.found(TrialCheck.SCHEMA, id_, said, differences.sentences())

    def _go_back(self, scope: Scope, revision: Revision, before: Moment, after: Moment) -> bool:
        """Down and up again; whether the database is then as it was after the first time."""
        findings, id_ = self.findings, revision.id
        reason = findings.sources[id_].irreversible
        if reason is not None:
            findings.skipped(TrialCheck.DOWNGRADE, id_, f"irreversible: {reason}")
            findings.skipped(TrialCheck.AGAIN, id_, f"irreversible: {reason}")
            return True
        failed = self._down(revision)
        if failed is not None:
            self._found(TrialCheck.DOWNGRADE, id_, failed)
            findings.skipped(TrialCheck.AGAIN, id_, "the downgrade fails")
            return False
        undone = self._look(scope)
        said = traces(before.schema, undone.schema)
        books = rows_of_env_py(before.counts, after.counts, undone.counts, self.ground.order.source_of(revision))
        said += rows_left(before.counts, [one for one in undone.counts if one.id not in books])
        said += rows_lost(before.counts, undone.counts)
        if sorted(before.rows) != sorted(undone.rows):
            said.append(f"the version rows are {_listed(undone.rows)}, were {_listed(before.rows)}")
        if said:
            findings.found(TrialCheck.DOWNGRADE, id_, f"the downgrade does not lead back: {said[0]}", said[1:])
        failed = self._run(Upgrade(id_, (revision,)))
        if failed is not None:
            self._found(TrialCheck.AGAIN, id_, failed)
            return False
        if said:
            findings.skipped(TrialCheck.AGAIN, id_, "the downgrade does not lead back")
            return False
        again = self._look(scope)
        changed = traces(after.schema, again.schema)
        changed += rows_left(after.counts, [one for one in again.counts if one.id not in books])
        changed += rows_lost(after.counts, again.counts)
        if changed:
            findings.found(TrialCheck.AGAIN, id_, f"the second upgrade leads elsewhere: {changed[0]}", changed[1:])
        return not changed

    def _try_with_rows(self, revision: Revision, clean: str, before: Moment, after: Moment) -> bool:
        """The same with rows in the tables; whether the upgrade can be done with them."""
        findings, id_ = self.findings, revision.id
        if not before.counts:
            for check in (TrialCheck.FILLED, TrialCheck.ROWS, TrialCheck.KEPT):
                findings.skipped(check, id_, "there is no table before it")
            return False
        self._read_as = {}
        with self._in(clean) as scope:
            filled = fill(self.ground.control, scope)
            for table, why in filled.unfilled.items():
                if (table, why) not in self._told_unfilled:  # the first revision that meets the table stands for all
                    self._told_unfilled.add((table, why))
                    findings.found(TrialCheck.FILLED, id_, f"table {table} takes no synthetic rows: {why}")
            tried = self._apply_with_rows(scope, revision)
        if not isinstance(tried, Moment):
            tried = self._apply_with_texts(revision, clean, before, after, tried)
        if isinstance(tried, Moment):
            self._judge_schema_with_rows(revision, clean, before, after, tried)
            return True
        if not self._is_prepared(revision):
            self._found(
                TrialCheck.ROWS, id_, tried, "with rows in the tables", is_sure=unread(tried.why, before.schema) is None
            )
            findings.skipped(TrialCheck.KEPT, id_, "it cannot be applied to tables with rows")
        return False

    def _apply_with_rows(self, scope: Scope, revision: Revision) -> Moment | Problem:
        """Up, and down again, with the rows that are there; what the upgrade has made, or why it fails."""
        counts = count(self.ground.control, scope)
        failed = self._run(Upgrade(revision.id, (revision,)))
        if failed is not None:
            return failed
        now = self._look(scope)
        if lost := rows_lost(counts, now.counts):
            self.findings.found(TrialCheck.KEPT, revision.id, f"the upgrade loses rows: {lost[0]}", lost[1:])
        self._go_back_with_rows(scope, revision, now.counts if lost else counts)
        return now

    def _apply_with_texts(
        self, revision: Revision, clean: str, before: Moment, after: Moment, failed: Problem
    ) -> Moment | Problem:
        """Once more, where a text of ours could not be read, with texts that can; what came of the last time."""
        columns = sorted({parse(text).path[-1] for text in before.schema if text.startswith("column ")})
        labels = {
            parse(text).path[-1]: parse_labels(definition)
            for text, definition in after.schema.items()
            if text.startswith("enum ")
        }
        source = self.ground.order.source_of(revision)
        for _ in range(READINGS):
            wanted = unread(failed.why, before.schema)
            if wanted is None:
                break
            self._read_as = readings(source, columns, wanted, labels)
            with self._in(clean) as scope:
                fill(self.ground.control, scope, self._read_as)
                tried = self._apply_with_rows(scope, revision)
            if isinstance(tried, Moment):
                return tried
            failed = tried
        return failed

    def _judge_schema_with_rows(
        self, revision: Revision, clean: str, before: Moment, after: Moment, now: Moment
    ) -> None:
        if not traces(after.schema, now.schema):
            return
        if changed := traces(self._schema_with_rows(clean, before, after), now.schema):
            said = f"with rows it leads to another schema: {changed[0]}"
            self.findings.found(TrialCheck.ROWS, revision.id, said, changed[1:])

    def _schema_with_rows(self, clean: str, before: Moment, after: Moment) -> Mapping[str, str]:
        """The schema after the upgrade where rows were put in first: a trigger may change it at the first one."""
        with self._in(clean) as scope:
            fill(self.ground.control, scope, self._read_as)
            return with_effect(after.schema, before.schema, self._look(scope).schema)

    def _is_prepared(self, revision: Revision) -> bool:
        """Whether the upgrade runs on rows that a revision before it has written: what it asks of them was looked after."""
        on_the_way: list[Revision] = []
        tries = 0
        for writer in self._line_below(revision):
            on_the_way.insert(0, writer)
            if _WRITES.search(self.ground.order.source_of(writer)) is None:
                continue
            tries += 1
            template = self._before_writers.get(writer.id) or self._reach_before(writer)
            if template is None or tries > WRITERS:
                return False
            with self._in(template) as scope:
                fill(self.ground.control, scope)
                rows = versions(self.ground.control, scope)
                if self._run(Upgrade(writer.id, (writer,))) is not None:
                    continue
                is_written = bool(rows - versions(self.ground.control, scope))
                rest = tuple(on_the_way[1:])
                if not is_written or (rest and self._run(Upgrade(rest[-1].id, rest)) is not None):
                    continue
                if isinstance(self._apply_with_rows(scope, revision), Moment):
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
            return self.ground.base
        if len(revision.down) != 1 or revision.depends_on or revision.id in self.after:
            return None
        with self._in(self.ground.base):
            for run in steps(self.image.graph, self.after, None, revision.down[0]):
                if self._run(run) is not None:
                    return None
        reached = self.ground.keep()
        self._keep_before(revision, reached)
        return reached

    def _go_back_with_rows(self, scope: Scope, revision: Revision, counts: tuple[Counted, ...]) -> None:
        findings, id_ = self.findings, revision.id
        tried = {case.check: case.verdict for case in findings.of(id_)}
        if tried.get(TrialCheck.DOWNGRADE) is not None or tried.get(TrialCheck.AGAIN) is not None:
            return  # it is irreversible, or does not even work without rows
        failed = self._down(revision)
        if failed is not None:
            self._found(TrialCheck.DOWNGRADE, id_, failed, "with rows in the tables")
            return
        if lost := rows_lost(counts, count(self.ground.control, scope)):
            findings.found(TrialCheck.DOWNGRADE, id_, f"up and down loses rows: {lost[0]}", lost[1:])
        failed = self._run(Upgrade(id_, (revision,)))
        if failed is not None:
            self._found(TrialCheck.AGAIN, id_, failed, "with rows in the tables")

    def _try_crashes(self, revision: Revision, clean: str, before: Moment, after: Moment, *, with_rows: bool) -> None:
        findings, id_ = self.findings, revision.id
        source = self.ground.order.source_of(revision)
        if "commit" not in source.lower() and not leaves_transaction(source):
            findings.skipped(TrialCheck.CRASH, id_, "it commits once, at its end")
            return
        expected = self._schema_with_rows(clean, before, after) if with_rows else after.schema
        for number in range(1, CRASHES + 1):
            with self._in(clean) as scope:
                if with_rows:
                    fill(self.ground.control, scope, self._read_as)
                step = Upgrade(id_, (revision,))
                if self._run(step, Wanted(crash_after=number)) is None:
                    return  # it has fewer statements
                failed = self._run(step)
                if failed is not None:
                    self._found(
                        TrialCheck.CRASH, id_, failed, f"cut off after statement {number}, the second run fails"
                    )
                elif changed := traces(expected, self._look(scope).schema):
                    said = f"cut off after statement {number}, the second run leads elsewhere"
                    findings.found(TrialCheck.CRASH, id_, f"{said}: {changed[0]}", changed[1:])

    # The history as a whole

    def _try_history(self, finished: str) -> None:
        findings = self.findings
        with self._in(finished) as scope:
            before = self._look(scope)
            failed = self._run(Upgrade("heads", ()))
            after = self._look(scope)
            changed = traces(before.schema, after.schema)
            changed += rows_left(before.counts, after.counts) + rows_lost(before.counts, after.counts)
            if failed is not None or changed:
                said = failed.why if failed is not None else changed[0]
                findings.found(
                    TrialCheck.TWICE,
                    None,
                    f"a second run is not without effect: {said}",
                    changed[1:],
                    file=self.env_py,
                    line=1,
                )
            findings.passed(TrialCheck.TWICE)
            compared = self._carry_out(Upgrade("heads", ()), Wanted(compares=True))
            if isinstance(compared, Upgrading):
                judge_models(self.findings, self.env_py, compared.models, None)
            else:
                judge_models(self.findings, self.env_py, None, compared)

    # The databases

    @contextmanager
    def _in(self, template: str) -> Iterator[Scope]:
        """A copy of a database at hand; the tables in it that are meant."""
        self.ground.enter(template)
        run = self.ground.run
        schema = run.before.server.schema or "public"
        yield Scope(run.order.target.schemas_beside(schema), (schema, run.order.target.version_table))

    def _look(self, scope: Scope) -> Moment:
        seen = self.ground.see()
        return Moment(seen.rows, seen.schema, count(self.ground.control, scope))

    def _down(self, revision: Revision) -> Problem | None:
        # one revision and no other, which no target of Alembic's can say where branches meet
        step = Downgrade(revision.id, (revision,), may_lose=True, taken=Taken())
        return _failed(self._carry_out(step, Wanted(only=revision.id)))

    def _run(self, step: Upgrade, wanted: Wanted | None = None) -> Problem | None:
        return _failed(self._carry_out(step, wanted))

    def _carry_out(self, plan: Upgrade | Downgrade, wanted: Wanted | None) -> Upgrading | Problem:
        """What was carried out, or why it failed. Raises Stop where that says nothing about the revisions."""
        try:
            return self.ground.carry_out(plan, wanted=wanted)
        except Stop as stopped:
            if self.ground.provide(stopped.problem, self.emit):
                return self._carry_out(plan, wanted)
            if is_lacking(stopped.problem.facts.get("sqlstate"), stopped.problem.why):
                raise self.ground.explained(stopped) from stopped
            if "revision" in stopped.problem.facts or stopped.problem.kind.code == "env-holds-transaction":
                return stopped.problem
            raise

    # What is said

    def _found(
        self, check: TrialCheck, revision: str, failed: Problem, circumstance: str = "", *, is_sure: bool = True
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


def _failed(done: Upgrading | Problem) -> Problem | None:
    return None if isinstance(done, Upgrading) else done


def _listed(rows: Sequence[str]) -> str:
    return ", ".join(rows) or "none"
