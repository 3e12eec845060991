"""Tries the needs that revisions may have: each in a shadow with a row that breaks it, at which the revision then runs.

| the revision | is |
|---|---|
| passes | without the need: it mends such rows itself |
| fails for such a row, and wrote no row of its table | of that need, which is proven |
| fails for it, and did write rows there; fails otherwise; no such row can be made | of a need that is not proven |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.child.protocol import Wanted, Watched
from migrate.core.decide.replay import applied_in_order, lines
from migrate.core.foresee.needs import HasParent, Need, NoRow
from migrate.core.foresee.observed import writes
from migrate.core.foresee.opaque import uses_another_connection
from migrate.core.foresee.proving import is_refused_by
from migrate.core.history.siblings import with_siblings
from migrate.core.problems import Stop
from migrate.core.quoting import identifier
from migrate.core.schema.differences import dotted, parse
from migrate.postgres.errors import problem_of
from migrate.shadow.ground import OF_REVISIONS
from migrate.trial.breaking import break_need
from migrate.trial.rows import versions
from migrate.trial.tables import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from migrate.child.protocol import Sent
    from migrate.core.foresee.needs import Condition
    from migrate.core.foresee.observed import Observed
    from migrate.core.history.graph import Revision
    from migrate.core.history.siblings import After
    from migrate.shadow.ground import Ground


# Its partitions and children; what it refers to with an action, and so on upwards; and whatever has triggers or rules.
_REACHING: Final = """
    WITH RECURSIVE own(oid) AS (
        SELECT CAST(%(table)s AS regclass)::oid
        UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN own ON i.inhparent = own.oid),
    reaching(oid) AS (
        SELECT oid FROM own
        UNION SELECT k.confrelid FROM pg_catalog.pg_constraint k JOIN reaching ON k.conrelid = reaching.oid
               WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')))
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid IN (SELECT oid FROM reaching)
        OR EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND c.relkind IN ('r', 'p'))
"""

_FAMILY: Final = """
    WITH RECURSIVE
    below(oid) AS (SELECT CAST(%(table)s AS regclass)::oid
                   UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below ON i.inhparent = below.oid),
    above(oid) AS (SELECT CAST(%(table)s AS regclass)::oid
                   UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN above ON i.inhrelid = above.oid)
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid IN (SELECT oid FROM below UNION SELECT oid FROM above)
"""


class NeedTrial:
    """One trial of the needs that revisions of the ground's image may have."""

    def __init__(self, ground: Ground, after: After, observed: Mapping[str, Observed]) -> None:
        """``observed`` is what the revisions were seen to do where there was no row."""
        self._ground = ground
        self._graph = with_siblings(ground.image.graph, after)
        self._observed = observed
        self._aside: str | None = None  # the database that was put aside
        self._reached: frozenset[str] = frozenset()  # the revisions in it

    def carry_out(self, candidates: Mapping[str, tuple[Condition, ...]]) -> dict[str, tuple[Need, ...]]:
        """What the revisions need of those, by revision. Raises Stop where the shadow fails, or Interrupted."""
        found = {}
        context, self._ground.context = self._ground.context, self._ground.context.silent()
        try:
            for revision in applied_in_order(self._graph):
                conditions = candidates.get(revision.id)
                if conditions:
                    found[revision.id] = self._needs_of(revision, conditions)
        finally:
            self._ground.context = context
        return found

    def _needs_of(self, revision: Revision, conditions: Sequence[Condition]) -> tuple[Need, ...]:
        """Those of one revision. What it turns out not to need may be broken where the next ones are tried.

        Where it is proven that a table must have no row, nothing else is asked of its rows.
        """
        before = self._before(revision)
        left, found = list(conditions), list[Need]()
        must_be_empty: set[str] = set()
        for condition in conditions:
            if condition.table in must_be_empty:
                continue
            proven = self._tried(before, revision, condition, [each for each in left if each != condition])
            if proven is None:
                left.remove(condition)
            else:
                found.append(Need(condition, proven))
                if proven and isinstance(condition, NoRow):
                    must_be_empty.add(condition.table)
        return tuple(found)

    def _before(self, revision: Revision) -> str | None:
        """A database in which all is applied that the revision builds on, and nothing else; None where there is none."""
        below = frozenset(self._graph.ancestors([revision.id]) - {revision.id})
        if self._aside is not None and self._reached == below:
            return self._aside
        if self._aside is not None and self._reached < below:
            self._ground.enter(self._aside, takes=True)
        else:
            self._ground.enter(self._ground.base)
            self._reached = frozenset()
        self._aside = None
        pending = [one for one in applied_in_order(self._graph) if one.id in below - self._reached]
        try:
            for run in lines(pending):
                self._ground.carry_out(run, on_together=lambda _why: None)
        except Stop as stopped:
            if stopped.problem.kind.code not in OF_REVISIONS:
                raise
            self._ground.end_child()
            return None
        self._aside, self._reached = self._ground.keep(), below
        return self._aside

    def _tried(
        self, before: str | None, revision: Revision, condition: Condition, others: Sequence[Condition]
    ) -> bool | None:
        """Whether the need is proven, by rows that fulfil the others; None where there is none."""
        if before is None:
            return False
        self._ground.enter(before)
        run = self._ground.run
        own = run.before.server.schema or "public"  # where the version table is
        schema = run.order.target.default_schema(run.before.server.schema) or own
        names = parse(f"table {condition.table}").path
        schemas = tuple(dict.fromkeys((*run.order.target.schemas_beside(own), *names[:-1])))
        scope = Scope(tuple(sorted(schemas, key=lambda each: each != schema)), (own, run.order.target.version_table))
        told: list[Sent | Watched] = []
        try:
            reaching = self._reaching(condition, schema)
            # a row of a partition is one of its table: what both ask of it is one need
            family = self._named(_FAMILY, condition, schema) - {condition.table}
            others = [each for each in others if each.table not in family]
            if not break_need(self._ground.control, scope, condition, others):
                return False
            rows = versions(self._ground.control, scope)
            try:
                for step in lines([revision]):
                    self._ground.carry_out(step, wanted=Wanted(is_watched=True, is_tried=True), told=told)
            except Stop as stopped:
                if stopped.problem.kind.code not in OF_REVISIONS:
                    return False
                sqlstate = stopped.problem.facts.get("sqlstate")
                if not is_refused_by(condition, str(sqlstate) if sqlstate else None):
                    return False
                if uses_another_connection(run.order.source_of(revision)):
                    return False
                return not self._wrote(revision, reaching, told) and rows == versions(self._ground.control, scope)
        except psycopg2.Error as error:
            raise problem_of(error, doing="trying what a revision needs", connection=self._ground.control) from error
        return None

    def _reaching(self, condition: Condition, schema: str) -> frozenset[str]:
        """The tables of which a row that is written may change one of the need's table: itself, and what acts on it."""
        found = self._named(_REACHING, condition, schema)
        # whoever gives a row its parent mends it, too
        return found | {condition.parent} if isinstance(condition, HasParent) else found

    def _named(self, query: str, condition: Condition, schema: str) -> frozenset[str]:
        """The tables that a query about the condition's finds, as identities write them."""
        names = parse(f"table {condition.table}").path
        path = names if len(names) > 1 else (schema, *names)
        with self._ground.control.cursor() as cursor:
            cursor.execute(query, {"table": ".".join(map(identifier, path))})
            return frozenset(
                dotted([table] if place == schema else [place, table]) for place, table in cursor.fetchall()
            )

    def _wrote(self, revision: Revision, reaching: Collection[str], told: list[Sent | Watched]) -> bool:
        """Whether the revision may have written rows of the need's table, here or where there were none."""
        if any(isinstance(each, Watched) and each.may_mend for each in told):
            return True
        seen = [self._ground.observed(each) for each in told if isinstance(each, Watched)]
        if not seen or any(trace.commits for each in seen for trace in each.traces):
            return True
        empty = self._observed.get(revision.id)
        return any(writes(each, reaching) for each in (*seen, *([empty] if empty is not None else [])))
