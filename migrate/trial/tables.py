"""The facts about tables from the catalogs of a shadow, from which synthetic rows are planned."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg2 import sql

from migrate.trial.readings import readable
from migrate.trial.values import STRIDE, TEXT, Constraint, FilledColumn, FilledTable, Reference, Shape, Type, literals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, in lower case over there

TABLES: Final = """
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
SEQUENCES: Final = """
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
_SHAPES: Final = {"e": Shape.ENUM, "d": Shape.DOMAIN, "r": Shape.RANGE, "m": Shape.MULTIRANGE, "c": Shape.COMPOSITE}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which tables are meant: those of `schemas`, less the version table. The first schema's names are short."""

    schemas: tuple[str, ...]
    version_table: tuple[str, str]


@dataclass(frozen=True, slots=True)
class TablePlace:
    """How a table and its columns are spelled in SQL."""

    table: FilledTable
    name: sql.Identifier
    types: Mapping[str, str]  # column -> the type with its modifiers


def parameters_of(scope: Scope) -> dict[str, object]:
    """What TABLES asks for."""
    schema, table = scope.version_table
    return {"schemas": list(scope.schemas), "version_schema": schema, "version_table": table}


def shown(scope: Scope, schema: str, name: str) -> str:
    """A table's name for people."""
    return name if schema == scope.schemas[0] else f"{schema}.{name}"


def places_of(cursor: Cursor, scope: Scope, read_as: Mapping[str, Type]) -> list[TablePlace]:
    """Every table of the scope, with all that is known of what its rows may be."""
    cursor.execute(TABLES, parameters_of(scope))
    tables = {oid: (schema, name, kind) for oid, schema, name, kind in cursor.fetchall()}
    arguments = {"tables": list(tables)}
    types = _types(cursor, arguments)
    numbers = {oid: number for number, oid in enumerate(tables)}
    columns: defaultdict[int, list[FilledColumn]] = defaultdict(list)
    spelled: defaultdict[int, dict[str, str]] = defaultdict(dict)
    cursor.execute(_COLUMNS, arguments)
    for table, name, type_, modifier, nullable, has_default, drawn in cursor.fetchall():
        made = _type(types, type_, modifier)
        accepts_null = nullable and not (made.shape is Shape.DOMAIN and "NOT NULL" in made.literals)
        read = read_as.get(name) if made.name in TEXT else None
        texts = readable(read, STRIDE * numbers[table]) if read is not None else ()
        columns[table].append(FilledColumn(name, made, accepts_null, has_default, drawn, texts))
    rules, keys = _rules(cursor, arguments, {oid for oid, (*_, kind) in tables.items() if kind == "p"})
    for table, name, spelling in _spellings(cursor, arguments):
        spelled[table][name] = spelling
    return [
        TablePlace(
            FilledTable(
                oid, shown(scope, schema, name), tuple(columns[oid]), tuple(rules[oid]), tuple(keys[oid]), number
            ),
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
) -> tuple[dict[int, list[Constraint]], dict[int, list[Reference]]]:
    rules: defaultdict[int, list[Constraint]] = defaultdict(list)
    keys: defaultdict[int, list[Reference]] = defaultdict(list)
    cursor.execute(_CONSTRAINTS, arguments)
    for table, name, kind, definition, other, deferrable, columns, references in cursor.fetchall():
        if kind == "f":
            keys[table].append(Reference(name, tuple(columns), other, tuple(references), deferrable))
        else:
            rules[table].append(Constraint(name, tuple(columns or ()), literals(definition), is_check=True))
    cursor.execute(_INDEXES, arguments)
    for table, name, definition, columns in cursor.fetchall():
        condition = definition.partition(" WHERE ")[2]
        rules[table].append(Constraint(name, tuple(columns or ()), literals(condition)))
    if partitioned:
        cursor.execute(_PARTITIONS, arguments)
        for table, columns, bounds in cursor.fetchall():
            rules[table].append(Constraint(None, tuple(columns or ()), literals(bounds)))
    return rules, keys
