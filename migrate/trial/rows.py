"""Puts synthetic rows into the tables of a shadow and counts rows; never of a target.

What is to be inserted `migrate.trial.values` plans; here are the catalog facts that it plans from and the server's answers.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2 import sql

from migrate.trial.cases import Counted
from migrate.trial.readings import readable
from migrate.trial.values import (
    ROWS,
    STRIDE,
    TEXT,
    Column,
    ForeignKey,
    Given,
    RowPlan,
    Rule,
    Shape,
    Table,
    Type,
    literals,
    order,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, in lower case over there

    from migrate.postgres.connection import Connection
    from migrate.trial.values import Row, Value

STATEMENT_TIMEOUT: Final = "20s"  # a trigger that never ends

_TABLES: Final = """
    SELECT c.oid, n.nspname, c.relname, c.relkind
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND (n.nspname, c.relname) <> (%(version_schema)s, %(version_table)s)
       AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY n.nspname, c.relname
"""
_COLUMNS: Final = """
    SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, NOT a.attnotnull, a.atthasdef OR a.attidentity <> '',
           a.attidentity <> '' OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%', false)
      FROM pg_catalog.pg_attribute a
      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     ORDER BY a.attrelid, a.attnum
"""
_TYPES: Final = """
    WITH RECURSIVE used(oid) AS (
        SELECT DISTINCT a.atttypid FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT part FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid, LATERAL (
            SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL SELECT t.typelem WHERE t.typelem <> 0 AND t.typlen = -1
            UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid OR r.rngmultitypid = t.oid
            UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f
                       WHERE f.attrelid = t.typrelid AND t.typtype = 'c' AND f.attnum > 0 AND NOT f.attisdropped
        ) AS parts(part))
    SELECT t.oid, pg_catalog.format_type(t.oid, NULL), t.typtype, t.typelem, t.typlen, t.typbasetype, t.typtypmod,
           (SELECT coalesce(array_agg(e.enumlabel::text ORDER BY e.enumsortorder), '{}')
              FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
           (SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)),
           (SELECT coalesce(string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' '), '')
              FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid),
           (SELECT coalesce(array_agg(f.atttypid::bigint ORDER BY f.attnum), '{}') FROM pg_catalog.pg_attribute f
             WHERE f.attrelid = t.typrelid AND t.typtype = 'c' AND f.attnum > 0 AND NOT f.attisdropped),
           (SELECT coalesce(array_agg(f.atttypmod ORDER BY f.attnum), '{}') FROM pg_catalog.pg_attribute f
             WHERE f.attrelid = t.typrelid AND t.typtype = 'c' AND f.attnum > 0 AND NOT f.attisdropped)
      FROM pg_catalog.pg_type t WHERE t.oid IN (SELECT oid FROM used)
"""
_CONSTRAINTS: Final = """
    SELECT k.conrelid, k.conname, k.contype, pg_catalog.pg_get_constraintdef(k.oid), k.confrelid, k.condeferrable,
           (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY u(number, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
           (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.confkey) WITH ORDINALITY u(number, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)
      FROM pg_catalog.pg_constraint k
     WHERE k.conrelid = ANY(%(tables)s) AND k.contype IN ('c', 'f')
     ORDER BY k.conrelid, k.conname
"""
# Those of constraints too: a violation names either, and both have one name. An expression's columns are what it depends on.
_INDEXES: Final = """
    SELECT i.indrelid, x.relname, pg_catalog.pg_get_indexdef(i.indexrelid),
           (SELECT array_agg(DISTINCT a.attname::text) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = i.indrelid AND a.attnum > 0
               AND (a.attnum = ANY(i.indkey) OR EXISTS (
                    SELECT 1 FROM pg_catalog.pg_depend d
                     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
                       AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
                       AND d.refobjsubid = a.attnum)))
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
     WHERE i.indrelid = ANY(%(tables)s) AND (i.indisunique OR i.indisexclusion)
     ORDER BY i.indrelid, x.relname
"""
_PARTITIONS: Final = """
    SELECT p.partrelid,
           (SELECT array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = p.partrelid AND (a.attnum = ANY(p.partattrs)
                OR p.partattrs::int2[] @> ARRAY[0::int2] AND a.attnum > 0)),
           (SELECT coalesce(string_agg(pg_catalog.pg_get_expr(c.relpartbound, c.oid), ' '), '')
              FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
             WHERE h.inhparent = p.partrelid)
      FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = ANY(%(tables)s)
"""
# The sequences that columns draw from, by their default or as an identity.
_SEQUENCES: Final = """
    SELECT s.seqrelid, a.attrelid, a.attname::text, s.seqmax, coalesce(pg_catalog.pg_sequence_last_value(s.seqrelid), 0)
      FROM pg_catalog.pg_attribute a
      LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
      JOIN pg_catalog.pg_depend d
        ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid
           AND d.refclassid = 'pg_catalog.pg_class'::regclass
        OR d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
           AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i'
      JOIN pg_catalog.pg_sequence s
        ON s.seqrelid = CASE d.classid WHEN 'pg_catalog.pg_attrdef'::regclass THEN d.refobjid ELSE d.objid END
     WHERE a.attrelid = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped AND s.seqincrement > 0
       AND a.atttypid = ANY('{int2,int4,int8,numeric}'::regtype[])
"""
NOTHING: Final[Mapping[str, Type]] = {}
_IDS: Final = 100  # between the first drawn values of two tables
_SHAPES: Final = {"e": Shape.ENUM, "d": Shape.DOMAIN, "r": Shape.RANGE, "m": Shape.MULTIRANGE, "c": Shape.COMPOSITE}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which tables are meant: those of `schemas`, less the version table. The first schema's names are short."""

    schemas: tuple[str, ...]
    version_table: tuple[str, str]


@dataclass(slots=True)
class Filled:
    """What became of the tables: how many rows each got, and why some got none (by the table's name)."""

    rows: dict[str, int] = field(default_factory=dict)
    unfilled: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """How a table and its columns are spelled in SQL."""

    table: Table
    name: sql.Identifier
    types: Mapping[str, str]  # column -> the type with its modifiers


def fill(connection: Connection, scope: Scope, read_as: Mapping[str, Type] = NOTHING) -> Filled:
    """Give every table of the scope a few rows and commit them. Raises psycopg2.Error where the connection is lost.

    ``read_as`` has what the texts in columns of these names are to be readable as.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        places = _places(cursor, scope, read_as)
        _advance(cursor, places)
        cursor.execute("SAVEPOINT nothing")
        found = _Filling(cursor, places).carry_out()
        if not _holds(cursor):  # a promised row is not what was promised
            cursor.execute("ROLLBACK TO SAVEPOINT nothing")
            found = _Filling(cursor, places, may_reserve=False).carry_out()
            _holds(cursor)
        return found


def _advance(cursor: Cursor, places: Sequence[_Place]) -> None:
    """Let the sequences go on behind the values that are there, and with other ones for each table."""
    if not places:
        return
    by_id = {place.table.id: place for place in places}
    cursor.execute(_SEQUENCES, {"tables": list(by_id)})
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
    return tuple(
        Counted(oid, _shown(scope, schema, name), numbers[at]) for at, (oid, schema, name) in enumerate(tables)
    )


def versions(connection: Connection, scope: Scope) -> frozenset[tuple[str, ...]]:
    """Every row of the scope, as the version that it is in: one that is written again, or deleted, is gone."""
    with connection.cursor() as cursor:
        _, found = _ask_each(cursor, scope, "SELECT {}, tableoid::text, ctid::text, xmin::text FROM {}")
    return frozenset(tuple(row[1:]) for row in found)


def _ask_each(cursor: Cursor, scope: Scope, question: str) -> tuple[list[tuple[int, str, str]], list[tuple[Any, ...]]]:
    """The tables of the scope, and what each answers, its number before it."""
    cursor.execute(_TABLES, _parameters(scope))
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


def _parameters(scope: Scope) -> dict[str, object]:
    schema, table = scope.version_table
    return {"schemas": list(scope.schemas), "version_schema": schema, "version_table": table}


def _shown(scope: Scope, schema: str, name: str) -> str:
    return name if schema == scope.schemas[0] else f"{schema}.{name}"


def _holds(cursor: Cursor) -> bool:
    """Whether the rows obey the keys that were deferred."""
    cursor.execute("SAVEPOINT held")
    try:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg2.IntegrityError:
        cursor.execute("ROLLBACK TO SAVEPOINT held")
        return False
    return True


# Facts


def _places(cursor: Cursor, scope: Scope, read_as: Mapping[str, Type]) -> list[_Place]:
    cursor.execute(_TABLES, _parameters(scope))
    tables = {oid: (schema, name, kind) for oid, schema, name, kind in cursor.fetchall()}
    arguments = {"tables": list(tables)}
    types = _types(cursor, arguments)
    numbers = {oid: number for number, oid in enumerate(tables)}
    columns: defaultdict[int, list[Column]] = defaultdict(list)
    spelled: defaultdict[int, dict[str, str]] = defaultdict(dict)
    cursor.execute(_COLUMNS, arguments)
    for table, name, type_, modifier, nullable, has_default, drawn in cursor.fetchall():
        made = _type(types, type_, modifier)
        accepts_null = nullable and not (made.shape is Shape.DOMAIN and "NOT NULL" in made.literals)
        read = read_as.get(name) if made.name in TEXT else None
        texts = readable(read, STRIDE * numbers[table]) if read is not None else ()
        columns[table].append(Column(name, made, accepts_null, has_default, drawn, texts))
    rules, keys = _rules(cursor, arguments, {oid for oid, (*_, kind) in tables.items() if kind == "p"})
    for table, name, spelling in _spellings(cursor, arguments):
        spelled[table][name] = spelling
    return [
        _Place(
            Table(oid, _shown(scope, schema, name), tuple(columns[oid]), tuple(rules[oid]), tuple(keys[oid]), number),
            sql.Identifier(schema, name),
            spelled[oid],
        )
        for number, (oid, (schema, name, _)) in enumerate(tables.items())
    ]


def _spellings(cursor: Cursor, arguments: Mapping[str, object]) -> list[tuple[int, str, str]]:
    cursor.execute(
        "SELECT attrelid, attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute"
        " WHERE attrelid = ANY(%(tables)s) AND attnum > 0 AND NOT attisdropped",
        arguments,
    )
    return cursor.fetchall()


def _types(cursor: Cursor, arguments: Mapping[str, object]) -> dict[int, tuple[Any, ...]]:
    cursor.execute(_TYPES, arguments)
    return {row[0]: row for row in cursor.fetchall()}


def _type(types: Mapping[int, tuple[Any, ...]], oid: int, modifier: int) -> Type:
    """A type with its modifier, as pg_attribute.atttypmod keeps it."""
    _, name, kind, element, length, base, base_modifier, labels, subtype, checks, fields, modifiers = types[oid]
    shape = _SHAPES.get(kind, Shape.SCALAR)
    if kind == "b" and element and length == -1:
        return Type(name, Shape.ARRAY, parts=(_type(types, element, modifier),))
    match shape:
        case Shape.DOMAIN:
            found = literals(checks)
            return Type(name, shape, parts=(_type(types, base, base_modifier),), literals=found)
        case Shape.RANGE | Shape.MULTIRANGE:
            return Type(name, shape, parts=(_type(types, subtype, -1),))
        case Shape.COMPOSITE:
            return Type(name, shape, parts=tuple(_type(types, f, m) for f, m in zip(fields, modifiers, strict=True)))
        case Shape.ENUM:
            return Type(name, shape, labels=tuple(labels))
    name = name.rpartition(".")[2]  # a type of an extension, whose schema may be anything
    if modifier < 0:
        return Type(name)
    if name in {"character varying", "character"}:
        return Type(name, length=modifier - 4)
    if name == "numeric":  # since PostgreSQL 15 the scale is a signed number of 11 bits
        scale = (modifier - 4) & 0x7FF
        return Type(name, length=(modifier - 4) >> 16, scale=scale - 0x800 if scale & 0x400 else scale)
    return Type(name, length=modifier if name in {"bit", "bit varying", "vector", "halfvec"} else None)


def _rules(
    cursor: Cursor, arguments: Mapping[str, object], partitioned: Collection[int]
) -> tuple[dict[int, list[Rule]], dict[int, list[ForeignKey]]]:
    rules: defaultdict[int, list[Rule]] = defaultdict(list)
    keys: defaultdict[int, list[ForeignKey]] = defaultdict(list)
    cursor.execute(_CONSTRAINTS, arguments)
    for table, name, kind, definition, other, deferrable, columns, references in cursor.fetchall():
        if kind == "f":
            keys[table].append(ForeignKey(name, tuple(columns), other, tuple(references), deferrable))
        else:
            rules[table].append(Rule(name, tuple(columns or ()), literals(definition), is_check=True))
    cursor.execute(_INDEXES, arguments)
    for table, name, definition, columns in cursor.fetchall():
        condition = definition.partition(" WHERE ")[2]
        rules[table].append(Rule(name, tuple(columns or ()), literals(condition)))
    if partitioned:
        cursor.execute(_PARTITIONS, arguments)
        for table, columns, bounds in cursor.fetchall():
            rules[table].append(Rule(None, tuple(columns or ()), literals(bounds)))
    return rules, keys


# Rows


class _Filling:
    """One attempt to fill every table, in the transaction of the cursor."""

    def __init__(self, cursor: Cursor, places: Sequence[_Place], *, may_reserve: bool = True) -> None:
        self._cursor = cursor
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

    def _promise(self, key: ForeignKey) -> None:
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

    def _schema_of(self, key: ForeignKey) -> str:
        owner = next(place for place in self._places.values() if key in place.table.foreign_keys)
        schema: str = owner.name.strings[0]
        return schema

    def _settled(self, place: _Place, column: Column) -> str:
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
        plan = RowPlan(Table(0, "", (column,)), 0, parents={})
        value = (plan.propose() or {}).get(column.name)
        return value if isinstance(value, str) else "1"

    def _fill(self, place: _Place) -> None:
        table = place.table
        rows: list[Row] = []
        self._rows[table.id] = rows
        why = ""
        for number in range(ROWS):
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

    def _has_rows(self, place: _Place) -> bool:
        """Whether the history has put rows in itself."""
        self._cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(place.name))
        (found,) = self._cursor.fetchone() or (False,)
        return bool(found)

    def _own_keys(self, place: _Place, fixed: Mapping[str, str]) -> dict[str, str]:
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

    def _parents(self, table: Table) -> dict[int, list[Row]]:
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

    def _existing(self, key: ForeignKey) -> list[Row]:
        """Rows that are there already: of a table that takes none of ours, or belongs to somebody else."""
        self._cursor.execute("SELECT %s::regclass::text", [key.table])
        (name,) = self._cursor.fetchone() or ("",)
        columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in key.references)
        self._cursor.execute("SAVEPOINT looking")
        try:
            self._cursor.execute(
                sql.SQL("SELECT {} FROM {} LIMIT {}").format(columns, sql.SQL(name), sql.Literal(ROWS))
            )
        except psycopg2.Error:
            self._cursor.execute("ROLLBACK TO SAVEPOINT looking")
            return []
        return [dict(zip(key.references, row, strict=True)) for row in self._cursor.fetchall()]

    def _name_of(self, table: int) -> str:
        place = self._places.get(table)
        if place is not None:
            return place.table.name
        self._cursor.execute("SELECT %s::regclass::text", [table])
        (name,) = self._cursor.fetchone() or (str(table),)
        return str(name)

    def _insert(self, place: _Place, plan: RowPlan) -> tuple[Row | None, str]:
        """The row as the database has it; None and what the server said where it takes none."""
        said = ""
        names = list(place.types)
        shown = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in names]
        returning = sql.SQL(", ").join(shown or [sql.SQL("NULL")])  # a table without columns
        while (values := plan.propose()) is not None:
            self._cursor.execute("SAVEPOINT one_row")
            try:
                self._cursor.execute(self._statement(place, values, returning))
            except psycopg2.Error as error:
                if self._cursor.connection.closed:
                    raise
                self._cursor.execute("ROLLBACK TO SAVEPOINT one_row")
                said = _said(error)
                plan.refuse(error.diag.constraint_name, tuple(_columns(error, plan)))
                continue
            row = self._cursor.fetchone()
            self._cursor.execute("RELEASE SAVEPOINT one_row")
            if row is None:
                return None, "a trigger or a rule throws the rows away"
            return dict(zip(names, row, strict=bool(names))), ""
        return None, said

    def _statement(self, place: _Place, values: Mapping[str, Value], returning: sql.Composed) -> sql.Composed:
        if not values:
            return sql.SQL("INSERT INTO {} DEFAULT VALUES RETURNING {}").format(place.name, returning)
        given = sql.SQL(", ").join(_spelled(place, name, value) for name, value in values.items())
        # OVERRIDING: a row that refers to itself brings the value of its identity column
        return sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING {}").format(
            place.name, sql.SQL(", ").join(map(sql.Identifier, values)), given, returning
        )

    def _complete(self, place: _Place, key: ForeignKey) -> None:
        """Let the first rows refer to what was not there yet; where a rule is against it they stay NULL."""
        others = self._rows.get(key.table, ())
        if not self._rows.get(place.table.id) or not others:
            return
        settings = [
            sql.SQL("{} = {}").format(sql.Identifier(name), _spelled(place, name, others[0][other]))
            for name, other in zip(key.columns, key.references, strict=True)
        ]
        self._cursor.execute("SAVEPOINT completing")
        try:
            self._cursor.execute(
                sql.SQL("UPDATE {} SET {} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {} LIMIT 2)").format(
                    place.name, sql.SQL(", ").join(settings), place.name
                )
            )
        except psycopg2.Error:
            self._cursor.execute("ROLLBACK TO SAVEPOINT completing")


def _spelled(place: _Place, name: str, value: Value) -> sql.Composable:
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
