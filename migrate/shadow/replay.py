"""Replays a history in shadow databases and reads the schema at every revision, through the same code as an upgrade."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.child.protocol import Wanted, Watched
from migrate.core.decide.plan import Upgrade
from migrate.core.decide.policy import Transaction
from migrate.core.decide.replay import (
    Pass,
    applied_in_order,
    chains,
    changed,
    changes,
    lines,
    missed,
    passes,
    steps,
)
from migrate.core.events import Event, Level, Name
from migrate.core.history.siblings import with_siblings
from migrate.core.manifest.entries import Baseline
from migrate.core.problems import Stop, advice, problem, stop
from migrate.core.quoting import word
from migrate.core.schema.spelling import may_be_respelled
from migrate.core.wording import clauses
from migrate.postgres.errors import problem_of
from migrate.shadow.ground import OF_REVISIONS
from migrate.shadow.meanwhile import Guesses, Looks, Overtaken
from migrate.shadow.replayed import Replayed
from migrate.shadow.spelling import other_spellings, spellings_carried_over, spellings_of_dump

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from migrate.core.decide.replay import Leg
    from migrate.core.history.graph import Revision
    from migrate.core.history.siblings import After
    from migrate.core.manifest.entries import OtherSpellings
    from migrate.core.manifest.match import Rows
    from migrate.shadow.ground import BaselineFile, Ground, Snapshot
    from migrate.shadow.spelling import Definition
    from migrate.steps.upgrade import Upgrading

DISAGREEMENTS: Final = 2  # of a warm child with a new one: then each pass gets its own


class _Undivided(Exception):  # noqa: N818 - a finding
    """Revisions would be committed at once, or were, that must be looked at one by one."""


class _Follows(Exception):  # noqa: N818 - a finding
    """A revision comes after siblings on which it does not depend, or the history cannot be applied."""

    def __init__(self, revision: str, siblings: tuple[str, ...]) -> None:
        super().__init__(revision)
        self.revision = revision
        self.siblings = siblings


class Replay:
    """One replay of the history of the ground's image."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._image = ground.image
        self._undivided = ground.order.policy.transaction is Transaction.ALL
        self._aside: dict[str, str] = {}  # the databases that were put aside, by the revision at which each is
        self._at: str | None = None  # where the database at hand is; None where it is of no use
        self._beside = Guesses(
            lambda id_: ground.order.source_of(revision) if (revision := self._image.graph.get(id_)) else ""
        )
        self._disagreed = 0  # how often a pass went another way in a child that knew another one than in a new child
        self._before: Mapping[str, str] | None = None  # the schema of the database at hand, if it was just read
        self._changes: dict[str, Mapping[str, str | None]] = {}  # what revisions were seen to do when they ran alone
        self._texts: dict[str, str] = {}
        self._found = Replayed()
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
        if reading and self._ground.baseline is not None:
            self._read_base(self._ground.baseline)
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
        if self._run_together(ways):
            return
        try:
            for at, each in enumerate(ways):
                self._run(each, {later.start for later in ways[at + 1 :]})
        except _Follows:
            for name in self._aside.values():
                self._ground.drop(name)
            self._aside, self._at = {}, None
            raise

    def _run_together(self, ways: Sequence[Pass]) -> bool:
        """Run the passes one after the other in few databases, where that is less work; whether it told all there is to know.

        What fails, and what is not the same in two databases, is told by passes of their own.
        """
        if self._found.after or self._undivided or not self._ground.shadow.is_exclusive:
            return False  # on somebody's server, a role that a revision makes is there when it runs again
        together = chains(self._image.graph, ways)
        if together is None:
            return False
        found, spelled, is_new = self._found, self._spelled, not self._ground.has_child
        while True:
            self._spelled = None if spelled is None else dict(spelled)
            try:
                again = [pair for legs in together for pair in self._run_chain(legs)]
            except _Undivided:
                pass
            except Overtaken as overtaken:
                self._beside.note(overtaken)
                self._forget()
                continue
            except Stop as stopped:
                if self._ground.provide(stopped.problem, self._ground.context.emit):
                    continue
            else:
                is_same = all(schema == found.schemas.get(id_, schema) for id_, schema in again)
                if is_same and all(
                    self._is_foreseen(leg.each, is_sure=is_new and legs is together[0])
                    for legs in together
                    for leg in legs
                ):
                    return True
            for what in (found.schemas, found.joined, found.observed, found.variables, self._changes):
                what.clear()
            self._spelled = spelled
            self._forget()
            return False

    def _is_foreseen(self, each: Pass, *, is_sure: bool) -> bool:
        """Whether branches have met as each of them did alone; ``is_sure``: what a new child shows is believed where that is not known."""
        foreseen = self._foreseen(each)
        return is_sure if foreseen is None else foreseen == self._found.joined.get(each.joined, {})

    def _run_chain(self, legs: Sequence[Leg]) -> list[tuple[str, Mapping[str, str]]]:
        """Run passes in one database; the schemas at revisions that were read in another one. Raises Stop and _Undivided."""
        reads = {id_ for leg in legs for id_ in leg.each.reads}
        meetings = {leg.meeting: leg.each for leg in legs if leg.each.joined}
        starts = {leg.each.start for leg in legs if leg.way}
        order = [revision for leg in legs for revision in (*leg.way, *leg.pending)]
        again: list[tuple[str, Mapping[str, str]]] = []

        def read(ids: Sequence[str]) -> None:
            if len(ids) > 1:
                raise _Undivided
            ((id_,), before), self._before = (ids, self._before), None
            if id_ not in reads and id_ not in meetings and id_ not in starts:
                return
            seen, schema = self._see(id_)
            if id_ in reads:
                self._note(id_, seen, schema, before)
            if id_ in meetings and sorted(seen.rows) == sorted(meetings[id_].joined):
                self._found.joined[meetings[id_].joined] = schema
            if id_ in starts:
                again.append((id_, schema))
            self._before = schema

        def refuse(_why: str) -> None:
            raise _Undivided

        self._ground.enter(self._ground.base)
        self._before = self._found.base
        ids = tuple(revision.id for revision in order)
        wanted = Wanted(is_watched=bool(reads), unwatched=tuple(id_ for id_ in ids if id_ not in reads), order=ids)
        upgrade = Upgrade(ids[-1], tuple(order))
        done = self._ground.carry_out(
            upgrade, wanted=wanted, looks=Looks(read, self._beside, reads), on_together=refuse
        )
        self._keep_observed(done, reads)
        return again

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
            self._ground.context.emit(Event(Name.IMAGE_WARNING, message, Level.WARN))

    def _read_base(self, baseline: BaselineFile) -> None:
        self._ground.enter(self._ground.base)
        self._at = None
        seen = self._ground.see()
        self._execute_again(seen, dump=baseline.sql)
        schema = self._shared(seen.schema)
        self._found.base = schema
        self._found.baseline = Baseline.of(baseline.file, baseline.sha256, schema, self._spelled or {})

    def _run(self, each: Pass, wanted: Collection[str | None]) -> None:
        """One pass, after which its database is at hand; ``wanted`` are the revisions from which later ones start."""
        doubted: Mapping[str, str] | None = None  # what came of it in a child that knew another pass; empty: a failure
        while True:
            is_warm = False
            try:
                self._begin(each, wanted)
                is_warm = self._ground.has_child
                self._apply(each)
            except _Undivided:
                self._undivided = True
                self._forget()
            except Overtaken as overtaken:
                self._beside.note(overtaken)
                self._forget()
            except Stop as stopped:
                self._forget()
                if is_warm:  # it is believed when it comes without what the child knew of the passes before
                    doubted = {}
                    continue
                if self._ground.provide(stopped.problem, self._ground.context.emit):
                    continue
                id_ = str(stopped.problem.facts.get("revision"))
                if stopped.problem.kind.code in OF_REVISIONS and id_ in self._image.graph:
                    self._look_at_siblings(each, id_, stopped)
                raise self._ground.explained(stopped) from stopped
            else:
                met = self._found.joined.get(each.joined, {})
                if is_warm and met != self._foreseen(each):  # revisions that have run in this child have run again
                    doubted = met
                    self._forget()
                    continue
                self._at = each.target
                self._disagreed += doubted is not None and doubted != met
                if self._disagreed >= DISAGREEMENTS:
                    self._ground.end_child()
                return

    def _foreseen(self, each: Pass) -> Mapping[str, str] | None:
        """The schema where the branches of a pass meet, if each does what it did alone; None where that is not known."""
        if not each.joined:
            return {}
        graph = with_siblings(self._image.graph, self._found.after)
        others = graph.ancestors(each.joined) - graph.ancestors([each.start] if each.start else [])
        schema = {} if each.start is None else dict(self._found.schemas.get(each.start, {}))
        for revision in applied_in_order(graph):
            if revision.id in others:
                if revision.id not in self._changes:
                    return None
                schema = changed(schema, self._changes[revision.id])
        return schema

    def _begin(self, each: Pass, wanted: Collection[str | None]) -> None:
        """Have a database at hand that is where the pass starts, without a copy where nobody else wants that one."""
        if self._at is not None:
            if self._at == each.start and each.start not in wanted:
                return
            if self._at == each.start or self._at in wanted:
                self._aside[self._at] = self._ground.keep()
            self._at = None
        if each.start is None:
            self._ground.enter(self._ground.base)
            return
        if each.start not in self._aside:
            self._aside[each.start] = self._reach(each.start)
        if each.start in wanted:
            self._ground.enter(self._aside[each.start])
        else:
            self._ground.enter(self._aside.pop(each.start), takes=True)

    def _reach(self, id_: str) -> str:
        """A database at a revision, anew: the one that was there was used up by a pass that is to be done again."""
        self._ground.enter(self._ground.base)
        for run in steps(self._image.graph, self._found.after, None, id_):
            self._ground.carry_out(run, on_together=lambda _why: None)
        self._ground.end_child()
        return self._ground.keep()

    def _forget(self) -> None:
        """Go on with another database and another child."""
        self._at = None
        self._ground.end_child()

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
            fix = advice(f"set depends_on = {needed!r} in {word(revision.file)}, so that Alembic applies that first")
            failed = problem("revision-failed", why, fix=fix)
            raise Stop(replace(failed, facts=stopped.problem.facts)) from stopped

    def _bears(self, revision: Revision, siblings: Sequence[str]) -> bool:
        """Whether the revision can be applied with these siblings, and all that they and it build on, in Alembic's order."""
        graph = self._image.graph
        below = with_siblings(graph, self._found.after).ancestors((revision.id, *siblings)) - {revision.id}
        runs = lines((*(one for one in applied_in_order(graph) if one.id in below), revision))
        context, self._ground.context = self._ground.context, self._ground.context.silent()
        while True:
            try:
                self._ground.enter(self._ground.base)
                for run in runs:
                    self._ground.carry_out(run)
            except Stop as stopped:
                if self._ground.provide(stopped.problem, context.emit):
                    continue
                if stopped.problem.kind.code not in OF_REVISIONS:
                    raise
                return False
            else:
                return True
            finally:
                self._ground.context = context
                self._forget()

    def _apply(self, each: Pass) -> None:
        self._before = self._found.base if each.start is None else self._found.schemas.get(each.start)
        for run in steps(self._image.graph, self._found.after, each.start, each.target):
            together: list[Revision] = []
            for revision in run.pending:
                together.append(revision)
                is_apart = self._undivided and self._is_looked_at(revision.id, each)
                if is_apart or revision is run.pending[-1]:
                    target = revision.id if self._undivided else run.target
                    self._upgrade(each, Upgrade(target, tuple(together)))
                    together = []

    @staticmethod
    def _is_looked_at(id_: str, each: Pass) -> bool:
        """Whether the database is looked at after this revision; before branches have met, after any."""
        return id_ in each.reads or bool(each.joined)

    def _upgrade(self, each: Pass, step: Upgrade) -> None:
        def read(ids: Sequence[str]) -> None:
            if any(self._is_looked_at(id_, each) for id_ in ids[:-1]):
                raise _Undivided
            before, self._before = self._before, None
            if not self._is_looked_at(ids[-1], each):
                return
            seen, schema = self._see(ids[-1])
            if ids[-1] in each.reads:
                self._note(ids[-1], seen, schema, before if len(ids) == 1 else None)
            elif sorted(seen.rows) == sorted(each.joined):
                self._found.joined[each.joined] = schema
            self._before = schema

        def look_at_each(why: str) -> None:
            if sum(self._is_looked_at(revision.id, each) for revision in step.pending) < 2:  # noqa: PLR2004
                return  # all there is to see is seen at the end
            said = (
                f"env.py is run once for each revision that is read: they cannot be committed one by one, because {why}"
            )
            self._ground.context.emit(Event(Name.IMAGE_WARNING, said, Level.WARN))
            raise _Undivided

        wanted = Wanted(is_watched=any(revision.id in each.reads for revision in step.pending))
        looks = Looks(read, self._beside, each.reads)
        done = self._ground.carry_out(step, wanted=wanted, looks=looks, on_together=look_at_each)
        self._keep_observed(done, each.reads)
        for revision in step.pending:
            if revision.id in each.reads and revision.id not in self._found.schemas:
                raise _not_there(revision.id, self._ground.see().rows)

    def _see(self, id_: str) -> tuple[Snapshot, Mapping[str, str]]:
        """What the database shows when a revision was committed, and its schema as it is kept. Raises Stop."""
        seen = self._ground.see()
        if id_ not in seen.rows:
            raise _not_there(id_, seen.rows)
        return seen, self._shared(seen.schema)

    def _note(self, id_: str, seen: Snapshot, schema: Mapping[str, str], before: Mapping[str, str] | None) -> None:
        """Keep the schema at a revision; ``before`` is the one that it found, where that was read."""
        self._execute_again(seen)
        self._found.schemas[id_] = schema
        if before is not None:
            self._changes[id_] = changes(before, schema)

    def _keep_observed(self, done: Upgrading, reads: Collection[str]) -> None:
        for seen in done.seen:
            if isinstance(seen, Watched) and seen.revision in reads:
                self._found.variables |= set(seen.variables)
                self._found.observed[seen.revision] = self._ground.observed(seen)

    def _shared(self, schema: Mapping[str, str]) -> dict[str, str]:
        """The schema with each text kept once: thousands of revisions share nearly all of theirs."""
        keep = self._texts.setdefault
        return {keep(identity, identity): keep(definition, definition) for identity, definition in schema.items()}

    def _execute_again(self, seen: Snapshot, *, dump: str | None = None) -> None:
        """Find out how else the definitions that were just read are printed, but for those of which that is known.

        ``dump`` is the text that made them, which may be in the spelling of the database that it came from.
        """
        if self._spelled is None:
            return
        new = [definition for definition in seen.schema.items() if definition not in self._spelled]
        asked = [definition for definition in new if may_be_respelled(*definition)]
        if asked and self._ground.is_looking:  # what is executed would wait for the locks of the revision at work
            raise Overtaken(is_lost=False)
        known = self._spelled.copy() if asked else {}
        self._spelled.update(dict.fromkeys(new, ()))
        if not asked:
            return
        connection = self._ground.control
        try:
            self._spelled |= other_spellings(connection, asked, seen.schema, seen.where)
            told: dict[Definition, tuple[str, ...]] = {}
            if dump is not None:
                told = spellings_of_dump(connection, dump, seen.schema, seen.where)
            elif self._ground.baseline is not None:
                told = spellings_carried_over(connection, asked, known, seen.schema, seen.where)
            for definition, spelled in told.items():
                if definition in new:
                    self._spelled[definition] = tuple(dict.fromkeys((*self._spelled[definition], *spelled)))
        except psycopg2.Error as error:
            raise problem_of(error, doing="trying definitions", connection=connection) from error


def _not_there(revision: str, rows: Rows) -> Stop:
    """The stop for a revision that ran without an error, and was not seen in the database."""
    return stop(
        "unproven",
        f"after revision {revision} the version rows are {', '.join(rows) or 'none'}",
        revision=revision,
    )
