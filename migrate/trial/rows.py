"""Puts synthetic rows into the tables of a shadow and counts rows; never of a target.

What is to be inserted `migrate.trial.values` plans; here are the server's answers.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2 import sql

from migrate.postgres.savepoint import savepoint
from migrate.trial.cases import Counted
from migrate.trial.row_plan import RowPlan
from migrate.trial.tables import SEQUENCES, TABLES, Scope, TablePlace, parameters_of, places_of, shown
from migrate.trial.values import (
    ROWS,
    FilledColumn,
    FilledTable,
    Given,
    Reference,
    Type,
    order,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, in lower case over there

    from migrate.postgres.connection import Connection
    from migrate.trial.values import Row, Value

STATEMENT_TIMEOUT: Final = "20s"  # a trigger that never ends

NOTHING: Final[Mapping[str, Type]] = {}
_IDS: Final = 100  # between the first drawn values of two tables


@dataclass(slots=True)
class Filled:
    """What became of the tables: how many rows each got, and why some got none (by the table's name)."""

    rows: dict[str, int] = field(default_factory=dict)
    unfilled: dict[str, str] = field(default_factory=dict)


def fill(connection: Connection, scope: Scope, read_as: Mapping[str, Type] = NOTHING) -> Filled:
    """Give every table of the scope a few rows and commit them. Raises psycopg2.Error where the connection is lost.

    ``read_as`` has what the texts in columns of these names are to be readable as.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        return fill_places(cursor, places_of(cursor, scope, read_as))


def fill_places(cursor: Cursor, places: Sequence[TablePlace], rows: int = ROWS) -> Filled:
    """Give each of these tables ``rows`` rows, in the transaction of the cursor. Raises as `fill`."""
    _advance(cursor, places)
    cursor.execute("SAVEPOINT nothing")
    found = _Filling(cursor, places, rows).carry_out()
    if not _holds(cursor):  # a promised row is not what was promised
        cursor.execute("ROLLBACK TO SAVEPOINT nothing")
        found = _Filling(cursor, places, rows, may_reserve=False).carry_out()
        _holds(cursor)
    return found


def _advance(cursor: Cursor, places: Sequence[TablePlace]) -> None:
    """Let the sequences go on behind the values that are there, and with other ones for each table."""
    if not places:
        return
    by_id = {place.table.id: place for place in places}
    cursor.execute(SEQUENCES, {"tables": list(by_id)})
    drawn = cursor.fetchall()
    if not drawn:
        return
    cursor.execute(
        sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, coalesce(max({})::bigint, 0) FROM {}").format(
                sql.Literal(at), sql.Identifier(column), by_id[table].name
            )
            for at, (_, table, column, *_) in enumerate(drawn)
        )
    )
    highest = dict(cursor.fetchall())
    starts: dict[int, int] = {}
    for at, (sequence, table, _, most, last) in enumerate(drawn):
        wanted = _IDS * (by_id[table].table.number + 1)
        behind = max(last, highest[at])
        start = max(behind, wanted) if max(behind, wanted) + _IDS < most else behind
        if last < start < most:
            starts[sequence] = max(start, starts.get(sequence, 0))
    if starts:
        cursor.execute(
            "SELECT pg_catalog.setval(one.id::regclass, one.start)"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS one(id, start)",
            [list(starts), list(starts.values())],
        )


def count(connection: Connection, scope: Scope) -> tuple[Counted, ...]:
    """The number of rows in every table of the scope."""
    with connection.cursor() as cursor:
        tables, answers = _ask_each(cursor, scope, "SELECT {}, count(*) FROM {}")
    numbers = dict(answers)
    return tuple(Counted(oid, shown(scope, schema, name), numbers[at]) for at, (oid, schema, name) in enumerate(tables))


def versions(connection: Connection, scope: Scope) -> frozenset[tuple[str, ...]]:
    """Every row of the scope, as the version that it is in: one that is written again, or deleted, is gone."""
    with connection.cursor() as cursor:
        _, found = _ask_each(cursor, scope, "SELECT {}, tableoid::text, ctid::text, xmin::text FROM {}")
    return frozenset(tuple(row[1:]) for row in found)


def _ask_each(cursor: Cursor, scope: Scope, question: str) -> tuple[list[tuple[int, str, str]], list[tuple[Any, ...]]]:
    """The tables of the scope, and what each answers, its number before it."""
    cursor.execute(TABLES, parameters_of(scope))
    tables = [(oid, schema, name) for oid, schema, name, _ in cursor.fetchall()]
    if not tables:
        return [], []
    cursor.execute(
        sql.SQL(" UNION ALL ").join(
            sql.SQL(question).format(sql.Literal(at), sql.Identifier(schema, name))
            for at, (_, schema, name) in enumerate(tables)
        )
    )
    return tables, cursor.fetchall()


def _holds(cursor: Cursor) -> bool:
    """Whether the rows obey the keys that were deferred."""
    try:
        with savepoint(cursor.connection):
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg2.IntegrityError:
        return False
    return True


class _Filling:
    """One attempt to fill every table, in the transaction of the cursor."""

    def __init__(self, cursor: Cursor, places: Sequence[TablePlace], rows: int, *, may_reserve: bool = True) -> None:
        self._cursor = cursor
        self._number = rows
        self._places = {place.table.id: place for place in places}
        self._order = order([place.table for place in places], may_reserve=may_reserve)
        self._rows: dict[int, list[Row]] = {}
        self._promised: dict[int, dict[str, str]] = {}
        self._found = Filled()

    def carry_out(self) -> Filled:
        """Insert what can be inserted."""
        self._cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for _, key in self._order.reserved:
            self._promise(key)
        for table in self._order.tables:
            self._fill(self._places[table.id])
        for table in self._order.stuck:
            others = sorted({self._places[key.table].table.name for key in table.foreign_keys if key.table != table.id})
            self._found.unfilled[table.name] = f"it and {', '.join(others)} each need a row of the other first"
        for table, key in self._order.later:
            self._complete(self._places[table.id], key)
        return self._found

    def _promise(self, key: Reference) -> None:
        """Settle the referenced columns of a row that is inserted later, and defer the key until then."""
        place = self._places[key.table]
        promised = self._promised.setdefault(key.table, {})
        for name in key.references:
            column = place.table.column(name)
            if column is not None and name not in promised:
                promised[name] = self._settled(place, column)
        self._cursor.execute(
            sql.SQL("SET CONSTRAINTS {} DEFERRED").format(sql.Identifier(self._schema_of(key), key.name))
        )

    def _schema_of(self, key: Reference) -> str:
        owner = next(place for place in self._places.values() if key in place.table.foreign_keys)
        schema: str = owner.name.strings[0]
        return schema

    def _settled(self, place: TablePlace, column: FilledColumn) -> str:
        if column.drawn:
            self._cursor.execute(
                "SELECT coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'nextval(' || pg_catalog.quote_literal("
                "pg_catalog.pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)) || ')')"
                " FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d"
                " ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = %s AND a.attname = %s",
                [place.table.id, column.name],
            )
            (expression,) = self._cursor.fetchone() or ("NULL",)
            self._cursor.execute(f"SELECT ({expression})::text")
            (drawn,) = self._cursor.fetchone() or ("1",)
            return str(drawn)
        plan = RowPlan(FilledTable(0, "", (column,)), 0, parents={})
        value = (plan.propose() or {}).get(column.name)
        return value if isinstance(value, str) else "1"

    def _fill(self, place: TablePlace) -> None:
        table = place.table
        rows: list[Row] = []
        self._rows[table.id] = rows
        why = ""
        for number in range(self._number):
            fixed = dict(self._promised.get(table.id, {})) if number == 0 else {}
            fixed |= self._own_keys(place, fixed)
            plan = RowPlan(table, number, parents=self._parents(table), fixed=fixed)
            if plan.missing is not None:
                why = f"it needs a row of {self._name_of(plan.missing.table)}, which has none"
                break
            row, said = self._insert(place, plan)
            if row is not None:
                rows.append(row)
            why = why or said
        self._found.rows[table.name] = len(rows)
        if not rows and not self._has_rows(place):
            self._found.unfilled[table.name] = why or "no row was found that the table accepts"

    def _has_rows(self, place: TablePlace) -> bool:
        """Whether the history has put rows in itself."""
        self._cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(place.name))
        (found,) = self._cursor.fetchone() or (False,)
        return bool(found)

    def _own_keys(self, place: TablePlace, fixed: Mapping[str, str]) -> dict[str, str]:
        """Values that a row must know of itself before it is there: it refers to itself, through a drawn column."""
        found: dict[str, str] = {}
        for key in place.table.foreign_keys:
            if key.table != place.table.id or place.table.may_be_null(key):
                continue
            for name in key.references:
                column = place.table.column(name)
                if column is not None and column.drawn and name not in fixed:
                    found[name] = self._settled(place, column)
        return found

    def _parents(self, table: FilledTable) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {}
        for key in table.foreign_keys:
            if key.table in found:
                continue
            promised = self._promised.get(key.table)
            rows = list(self._rows.get(key.table, ()))
            if not rows and promised is not None and key.table not in self._rows:
                rows = [dict(promised)]
            if not rows and key.table != table.id:
                rows = self._existing(key)
            found[key.table] = rows
        return found

    def _existing(self, key: Reference) -> list[Row]:
        """Rows that are there already: of a table that takes none of ours, or belongs to somebody else."""
        self._cursor.execute("SELECT %s::regclass::text", [key.table])
        (name,) = self._cursor.fetchone() or ("",)
        columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in key.references)
        looking = sql.SQL("SELECT {} FROM {} LIMIT {}").format(columns, sql.SQL(name), sql.Literal(ROWS))
        try:
            with savepoint(self._cursor.connection):
                self._cursor.execute(looking)
        except psycopg2.Error:
            return []
        return [dict(zip(key.references, row, strict=True)) for row in self._cursor.fetchall()]

    def _name_of(self, table: int) -> str:
        place = self._places.get(table)
        if place is not None:
            return place.table.name
        self._cursor.execute("SELECT %s::regclass::text", [table])
        (name,) = self._cursor.fetchone() or (str(table),)
        return str(name)

    def _insert(self, place: TablePlace, plan: RowPlan) -> tuple[Row | None, str]:
        """The row as the database has it; None and what the server said where it takes none."""
        said = ""
        names = list(place.types)
        shown = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in names]
        returning = sql.SQL(", ").join(shown or [sql.SQL("NULL")])  # a table without columns
        while (values := plan.propose()) is not None:
            try:
                with savepoint(self._cursor.connection):
                    self._cursor.execute(self._statement(place, values, returning))
            except psycopg2.Error as error:
                if self._cursor.connection.closed:
                    raise
                said = _said(error)
                plan.refuse(error.diag.constraint_name, tuple(_columns(error, plan)))
                continue
            row = self._cursor.fetchone()
            if row is None:
                return None, "a trigger or a rule throws the rows away"
            return dict(zip(names, row, strict=bool(names))), ""
        return None, said

    def _statement(self, place: TablePlace, values: Mapping[str, Value], returning: sql.Composed) -> sql.Composed:
        if not values:
            return sql.SQL("INSERT INTO {} DEFAULT VALUES RETURNING {}").format(place.name, returning)
        given = sql.SQL(", ").join(_spelled(place, name, value) for name, value in values.items())
        # OVERRIDING: a row that refers to itself brings the value of its identity column
        return sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING {}").format(
            place.name, sql.SQL(", ").join(map(sql.Identifier, values)), given, returning
        )

    def _complete(self, place: TablePlace, key: Reference) -> None:
        """Let the first rows refer to what was not there yet; where a rule is against it they stay NULL."""
        others = self._rows.get(key.table, ())
        if not self._rows.get(place.table.id) or not others:
            return
        settings = [
            sql.SQL("{} = {}").format(sql.Identifier(name), _spelled(place, name, others[0][other]))
            for name, other in zip(key.columns, key.references, strict=True)
        ]
        update = sql.SQL("UPDATE {} SET {} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {} LIMIT 2)").format(
            place.name, sql.SQL(", ").join(settings), place.name
        )
        with suppress(psycopg2.Error), savepoint(self._cursor.connection):
            self._cursor.execute(update)


def _spelled(place: TablePlace, name: str, value: Value) -> sql.Composable:
    if value is Given.DEFAULT:
        return sql.SQL("DEFAULT")
    return sql.SQL("CAST({} AS {})").format(sql.Literal(value), sql.SQL(place.types[name]))


def _columns(error: psycopg2.Error, plan: RowPlan) -> Iterator[str]:
    """The columns that a refused row must change, where the server names no rule of the table."""
    diag = error.diag
    if diag.column_name:
        yield diag.column_name
    if diag.datatype_name:  # a check of a domain
        for column in plan.table.columns:
            if column.type.holds(diag.datatype_name):
                yield column.name
    code = error.pgcode or ""
    if code.startswith("22"):  # a value that its type does not read, or with which a check cannot compute
        yield from plan.unsure
        for rule in plan.table.rules:
            yield from rule.columns
    elif code == "23514" and diag.constraint_name is None:  # no partition takes it
        yield from next((rule.columns for rule in plan.table.rules if rule.name is None), ())


def _said(error: psycopg2.Error) -> str:
    return error.diag.message_primary or type(error).__name__
