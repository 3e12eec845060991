"""Puts into a shadow the rows that break one need of a revision, and no other where that can be.

What a definition means only the server knows: a column is given one value after the other until the need's own question
finds a row.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import psycopg2
from psycopg2 import sql

from migrate.core.foresee.needs import NoDuplicates, NoOverlap, NoRow, question, said
from migrate.core.foresee.proving import may_be_mistaken
from migrate.core.quoting import identifier
from migrate.core.schema.differences import parse
from migrate.postgres.savepoint import savepoint
from migrate.trial.rows import NOTHING, STATEMENT_TIMEOUT, fill_places
from migrate.trial.tables import places_of
from migrate.trial.values import SEEDS, STRIDE, literals, texts, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, in lower case over there

    from migrate.core.foresee.needs import Condition
    from migrate.postgres.connection import Connection
    from migrate.trial.tables import Scope, TablePlace
    from migrate.trial.values import FilledColumn

_NOT_VALID: Final = """
    SELECT conname, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
     WHERE conrelid = %s AND NOT convalidated AND conislocal AND coninhcount = 0 AND contype IN ('c', 'f')
"""
_WORD: Final = re.compile(r""""((?:[^"]|"")*)"|([^\W\d][\w$]*)""")


def break_need(connection: Connection, scope: Scope, condition: Condition, others: Sequence[Condition]) -> bool:
    """Put the rows in and commit them; whether they break the condition, and no other that fails in the same way.

    Raises psycopg2.Error where the connection is lost.
    """
    for all_parents in (False, True):
        with connection.cursor() as cursor:
            connection.run("BEGIN")
            try:
                breaking = _Breaking(cursor, scope, condition, others)
                is_done = breaking.carry_out(all_parents=all_parents)
            except psycopg2.Error:
                if connection.closed:
                    raise
                is_done = False
            connection.run("COMMIT" if is_done else "ROLLBACK")
        if is_done:
            return True
    return False


class _Breaking:
    """One attempt, in the transaction of the cursor."""

    def __init__(self, cursor: Cursor, scope: Scope, condition: Condition, others: Sequence[Condition]) -> None:
        self._cursor = cursor
        self._schema = scope.schemas[0]
        self._condition = condition
        # of the rows of a table that must have none, nothing else can be asked
        self._others = [each for each in others if not isinstance(each, NoRow)]
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true), set_config('search_path', %s, true)",
            [STATEMENT_TIMEOUT, f"{identifier(self._schema)}, public"],
        )
        self._places = places_of(cursor, scope, NOTHING)
        self._major = connection_major(cursor)

    def carry_out(self, *, all_parents: bool) -> bool:
        place = self._place(self._condition)
        if place is None:
            return False
        aside = self._put_aside(place)
        if not self._is_carried_out(place, all_parents=all_parents):
            return False
        if aside:
            self._cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name, definition in aside:
            self._cursor.execute(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                    place.name, sql.Identifier(name), sql.SQL(definition)
                )
            )
        return True

    def _put_aside(self, place: TablePlace) -> list[tuple[str, str]]:
        """Constraints that are NOT VALID, with their definitions: rows from before them may be against them."""
        self._cursor.execute(_NOT_VALID, [place.table.id])
        found = self._cursor.fetchall()
        for name, _ in found:
            self._cursor.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(place.name, sql.Identifier(name)))
        return found

    def _is_carried_out(self, place: TablePlace, *, all_parents: bool) -> bool:
        is_of_two = isinstance(self._condition, NoDuplicates | NoOverlap)
        self._fill(self._above(place, all_parents=all_parents) - {place.table.id}, 1)
        self._fill({place.table.id}, 2 if is_of_two else 1)
        is_right = partial(self._is_broken, self._condition)
        if not is_right() and not self._change(self._condition, is_right):
            return False
        for other in self._others:
            if self._is_broken(other):
                self._change(other, partial(self._is_better, self._broken_others()))
        return not any(may_be_mistaken(self._condition, other) and self._is_broken(other) for other in self._others)

    def _broken_others(self) -> set[Condition]:
        return {each for each in self._others if self._is_broken(each)}

    def _is_better(self, were_broken: set[Condition]) -> bool:
        """Whether fewer of the others are broken, and the condition still is."""
        return self._is_broken(self._condition) and self._broken_others() < were_broken

    def _fill(self, tables: set[int], rows: int) -> None:
        fill_places(self._cursor, [place for place in self._places if place.table.id in tables], rows)

    def _place(self, condition: Condition) -> TablePlace | None:
        path = parse(f"table {condition.table}").path
        full = path if len(path) > 1 else (self._schema, *path)
        return next((place for place in self._places if place.name.strings == tuple(full)), None)

    def _above(self, place: TablePlace, *, all_parents: bool) -> set[int]:
        """The tables that rows of this one need rows of, or may refer to."""
        by_id = {each.table.id: each for each in self._places}
        found: set[int] = set()
        waiting = [place.table.id]
        while waiting:
            id_ = waiting.pop()
            if id_ in found or id_ not in by_id:
                continue
            found.add(id_)
            table = by_id[id_].table
            waiting += [key.table for key in table.foreign_keys if all_parents or not table.may_be_null(key)]
        return found

    def _is_broken(self, condition: Condition) -> bool:
        """Whether a row is against it; of what cannot be asked, the revision itself is asked."""
        asked = question(condition, schema=self._schema, postgres=self._major)
        if asked is None:
            return condition is self._condition
        try:
            with savepoint(self._cursor.connection):
                self._cursor.execute(asked)
                return self._cursor.fetchone() is not None
        except psycopg2.Error:
            return False

    def _change(self, condition: Condition, is_right: Callable[[], bool]) -> bool:
        """Give the columns that the condition is about other values until it is right; whether it is."""
        place = self._place(condition)
        if place is None:
            return False
        words = {quoted.replace('""', '"') or bare for quoted, bare in _WORD.findall(said(condition))}
        columns = [column for column in place.table.columns if column.name in words]
        about = [condition, self._condition, *self._others]
        constants = [text for each in dict.fromkeys(about) for text in literals(said(each))]
        first = sql.SQL("WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {} LIMIT 1)").format(place.name)
        if isinstance(condition, NoDuplicates | NoOverlap):
            same = [
                sql.SQL("{0} = (SELECT {0} FROM {1} ORDER BY tableoid, ctid LIMIT 1)").format(
                    sql.Identifier(column.name), place.name
                )
                for column in columns
            ]
            if same and self._try(place, sql.SQL(", ").join(same), sql.SQL(""), is_right):
                return True
        for column in columns:
            for value in _options(place, column, constants):
                setting = sql.SQL("{} = CAST({} AS {})").format(
                    sql.Identifier(column.name), sql.Literal(value), sql.SQL(place.types[column.name])
                )
                if any(self._try(place, setting, where, is_right) for where in (sql.SQL(""), first)):
                    return True
        return False

    def _try(
        self, place: TablePlace, setting: sql.Composable, where: sql.Composable, is_right: Callable[[], bool]
    ) -> bool:
        self._cursor.execute("SAVEPOINT change")
        try:
            self._cursor.execute(sql.SQL("UPDATE {} SET {} {}").format(place.name, setting, where))
            if is_right():
                self._cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT change")
                return True
        except psycopg2.Error:
            if self._cursor.connection.closed:
                raise
        self._cursor.execute("ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change")
        return False


def connection_major(cursor: Cursor) -> int:
    """The major version of the server."""
    version: int = cursor.connection.server_version
    return version // 10000


def _options(place: TablePlace, column: FilledColumn, constants: Sequence[str]) -> Iterator[str | None]:
    found: list[str | None] = [None] if column.nullable else []
    found += constants
    found += wanted(column.type, constants)
    own = STRIDE * place.table.number
    found += [text for one in range(own, own + SEEDS) for text in texts(column.type, one)]
    found += column.type.labels
    return iter(dict.fromkeys(found))
