"""Reads the schema of a database from the system catalogs: identity -> definition, in one snapshot. It never writes.

What each kind of entry holds, with names relative to the default schema:

| entry | definition |
|---|---|
| `table T`, `foreign table T` | `table`, and of what it is a partition, how it is partitioned, what it inherits, its server |
| `view V`, `materialized view V` | the query; their columns are entries of their own |
| `column T.C` | type, `collate`, `not null`, `default …`, `generated …` |
| `constraint T.C` | as `pg_get_constraintdef` prints it; T may be a domain |
| `index T.I` | from the access method on, `unique` before it |
| `trigger T.T`, `rule T.R`, `policy T.P` | as PostgreSQL prints it, without its own name |
| `options T` | `unlogged`, storage parameters, an access method that is not heap, a view's options |
| `row security T`, `replica identity T` | there is an entry only where it is not as by default |
| `enum E` | the labels in order |
| `domain D` | like a column; its checks are constraints |
| `type C`, `range R`, `sequence S`, `collation C`, `statistics S` | what CREATE says after the name |
| `function F(types)`, `procedure P(types)`, `aggregate A(types)` | what CREATE says after the name |
| `extension E` | `installed` |
| `schema S` | `schema`; only of those beside the default one |

Left out, because it differs between databases that are rightly of one revision: owners and privileges, tablespaces,
the order of columns (a column added later stands last for ever, and programs name columns), whether a materialized view
is populated, statistics targets, versions and schemas of extensions (servers carry different ones). Left out because
it follows from something else: the indexes of constraints, the sequences of serial and identity columns, NOT NULL
constraints (`contype = 'n'`, they are in the column), what a partition or child table inherits, TOAST, the triggers
of foreign keys. Left out because a history hardly ever makes them: operators and their classes, casts, text search
objects, base types, options of a foreign table's columns, what belongs to the whole database (publications, event
triggers, foreign servers).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.schema.differences import name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, in lower case over there
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

# The ledger's schema is never the user's.
LEDGER = "migrate"


@contextmanager
def snapshot(connection: Connection, *, lock_timeout_ms: int | None = None) -> Iterator[Cursor]:
    """One REPEATABLE READ READ ONLY transaction on an idle connection, whichever autocommit mode it is in.

    `lock_timeout_ms`: catalog functions take locks, and would queue behind an ALTER; then 55P03 is raised as
    `psycopg2.errors.LockNotAvailable`. None keeps the session's. Raises psycopg2.Error, also where a transaction is
    open on the connection already.
    """
    autocommit = connection.autocommit
    if not autocommit:
        connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                if lock_timeout_ms is not None:
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{lock_timeout_ms}ms"])
                yield cursor
            finally:
                if not connection.closed:
                    cursor.execute("ROLLBACK")  # nothing was written
    finally:
        if not autocommit and not connection.closed:
            connection.autocommit = False


def read_schema(
    connection: Connection,
    *,
    schemas: Sequence[str],
    version_table: tuple[str, str],
    default_schema: str | None = None,
    qualified: Sequence[str] | None = None,
    lock_timeout_ms: int | None = None,
) -> dict[str, str]:
    """Read the schema in a snapshot of its own: see `snapshot` and `schema_of`."""
    with snapshot(connection, lock_timeout_ms=lock_timeout_ms) as cursor:
        return schema_of(
            cursor,
            schemas=schemas,
            version_table=version_table,
            default_schema=default_schema,
            qualified=qualified,
        )


def schema_of(
    cursor: Cursor,
    *,
    schemas: Sequence[str],
    version_table: tuple[str, str],
    default_schema: str | None = None,
    qualified: Sequence[str] | None = None,
) -> dict[str, str]:
    """Read the objects of `schemas` inside the transaction that the cursor is in, and set its `search_path`.

    `default_schema` (the first of `schemas` if None) is the one whose names are not qualified; `version_table` is a
    schema and a name. Names in `public` and in the schemas of extensions print without their schema, too, but for those
    in `qualified` (`schemas` if None). The connection's client encoding must be able to hold every name (for a SQL_ASCII database: set
    UTF8), and the role needs USAGE on the schemas of extensions, or their types print qualified. Raises
    psycopg2.Error; one of them is `psycopg2.InternalError` (XX000) where an object vanishes while it is being printed.
    """
    default = schemas[0] if default_schema is None else default_schema
    where = Where(tuple(schemas), default, tuple(schemas if qualified is None else qualified))
    reader = Reader(cursor, where)
    return reader.read(*reader.contents(version_table))


@dataclass(frozen=True, slots=True)
class Where:
    """The schemas that are read, the one whose names are not qualified, and those whose names always are.

    Names in `public` and in the schemas of extensions are not, unless they are among the latter.
    """

    schemas: tuple[str, ...]
    default: str
    qualified: tuple[str, ...]


class Reader:
    """Reads in the transaction that the cursor is in, and sets what there decides how PostgreSQL prints."""

    def __init__(self, cursor: Cursor, where: Where) -> None:
        """Raises psycopg2.Error, as the methods do."""
        self._cursor = cursor
        self._default = where.default
        cursor.execute(_SETTINGS, {"default": where.default, "qualified": list(where.qualified)})
        cursor.execute(_SCHEMAS, {"schemas": list(where.schemas), "ledger": LEDGER})
        self._names: dict[int, str] = dict(cursor.fetchall())
        cursor.execute("SELECT unnest(pg_catalog.current_schemas(false))")
        self._unqualify = _unqualifier([row[0] for row in cursor.fetchall()])

    def contents(self, version_table: tuple[str, str]) -> tuple[list[int], list[int]]:
        """The oids of the schemas and of all relations in them but the version table."""
        namespaces = list(self._names)
        return namespaces, self._relations(namespaces, version_table)

    def read_only(self, scratch: str, owners: Sequence[str]) -> dict[str, str]:
        """What is in the schema `scratch`, and what belongs to these tables and views (in SQL, relative)."""
        self._cursor.execute(_SCHEMAS, {"schemas": [scratch], "ledger": LEDGER})
        made: dict[int, str] = dict(self._cursor.fetchall())
        self._names |= made
        self._cursor.execute(
            "SELECT pg_catalog.to_regclass(owner)::oid FROM pg_catalog.unnest(%(owners)s::text[]) AS owner",
            {"owners": list(owners)},
        )
        relations = {row[0] for row in self._cursor.fetchall()} - {None}
        return self.read(list(made), [*relations.union(self._relations(list(made), ("", "")))])

    def _relations(self, namespaces: list[int], version_table: tuple[str, str]) -> list[int]:
        names = {"namespaces": namespaces, "schema": version_table[0], "table": version_table[1]}
        self._cursor.execute(_RELATIONS, names)
        return [row[0] for row in self._cursor.fetchall()]

    def read(self, namespaces: list[int], relations: list[int]) -> dict[str, str]:
        """The definitions of what is in these schemas and relations."""
        schema: dict[str, str] = {}
        for query in _OBJECTS:
            self._cursor.execute(query, {"namespaces": namespaces, "relations": relations, "default": self._default})
            for kind, namespace, owner, own_name, types, definition in self._cursor.fetchall():
                if definition is None:
                    continue  # dropped since the snapshot was taken: the functions that print look at what is there now
                schema_name = self._names.get(namespace)
                path = [part for part in (owner, own_name) if part is not None]
                if schema_name is not None and schema_name != self._default:
                    path.insert(0, schema_name)
                identity = f"{kind} {'.'.join(map(name, path))}{types or ''}"
                is_source = kind in ("function", "procedure")
                schema[identity] = self._unqualify(definition) if is_source else definition
        return schema


def _unqualifier(path: Sequence[str]) -> Callable[[str], str]:
    """What takes the schemas of the path out of a function's source, as PostgreSQL does in all that it prints itself.

    A body is a string to PostgreSQL; a history that makes one for each tenant writes the tenant's name into it.
    """
    spellings = [re.escape(spelling) for schema in path for spelling in {schema, name(schema), f'"{schema}"'}]
    qualifier = re.compile(rf'(?<![\w$".])(?:{"|".join(spellings)})\.(?=[\w"])')
    own = re.compile(rf"(?<=^ SET search_path TO )'{re.escape(path[0])}'", re.MULTILINE) if path else None

    def unqualify(source: str) -> str:
        if own is None:
            return source
        return own.sub("<default schema>", qualifier.sub("", source))

    return unqualify


def _qualified(query: str) -> str:
    """The query with its functions taken from pg_catalog, whatever the user's schemas have of the same name.

    The search_path is the user's, so that PostgreSQL prints names relative to it, and an overload there that fits the
    arguments better would win. Operators are safe where their types are exact: pg_catalog comes first.
    """
    return _FUNCTION.sub(r"pg_catalog.\1", query)


_FUNCTION = re.compile(
    r"\b((?:pg_get_\w+|array_to_string|chr|concat|concat_ws|format_type|left|length|ltrim|oidvectortypes|quote_ident"
    r"|quote_literal|replace|rtrim|set_config|string_agg|substr|to_jsonb|unnest|upper)\()"
)

# Whatever a session may have set that changes how PostgreSQL prints an expression. `jit` costs more than it gives here;
# pg_temp is last, because it would come before pg_catalog otherwise.
_SETTINGS = _qualified("""
SELECT set_config('search_path', concat_ws(', ', quote_ident(nullif(%(default)s, '')), (
         SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname)
         FROM pg_namespace
         WHERE (nspname = 'public' OR oid IN (SELECT extnamespace FROM pg_extension))
           AND nspname <> 'pg_catalog' AND nspname <> %(default)s AND nspname <> ALL (%(qualified)s::text[])
       ), 'pg_temp'), true),
       set_config('bytea_output', 'hex', true),
       set_config('datestyle', 'ISO, MDY', true),
       set_config('extra_float_digits', '1', true),
       set_config('intervalstyle', 'postgres', true),
       set_config('jit', 'off', true),
       set_config('lc_monetary', 'C', true),
       set_config('quote_all_identifiers', 'off', true),
       set_config('standard_conforming_strings', 'on', true),
       set_config('timezone', 'UTC', true)
""")

_SCHEMAS = """
SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY (%(schemas)s::text[]) AND nspname <> %(ledger)s
"""

_RELATIONS = """
SELECT c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relnamespace = ANY (%(namespaces)s::oid[])
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
  AND (n.nspname, c.relname) <> (%(schema)s, %(table)s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""

# Sequence options that are not as by default, as CREATE SEQUENCE wants them.
_SEQUENCE_OPTIONS = """
concat_ws(' ',
  CASE WHEN s.seqincrement <> 1 THEN 'increment by ' || s.seqincrement::text END,
  CASE WHEN s.seqstart <> CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END
       THEN 'start with ' || s.seqstart::text END,
  CASE WHEN s.seqmin <> CASE WHEN s.seqincrement > 0 THEN 1 ELSE (limits.least)::bigint END
       THEN 'minvalue ' || s.seqmin::text END,
  CASE WHEN s.seqmax <> CASE WHEN s.seqincrement < 0 THEN -1 ELSE -(limits.least + 1) END
       THEN 'maxvalue ' || s.seqmax::text END,
  CASE WHEN s.seqcache <> 1 THEN 'cache ' || s.seqcache::text END,
  CASE WHEN s.seqcycle THEN 'cycle' END)
"""
_SEQUENCE = """
pg_sequence s CROSS JOIN LATERAL (
  SELECT CASE s.seqtypid WHEN 'smallint'::regtype THEN -32768 WHEN 'integer'::regtype THEN -2147483648
         ELSE -9223372036854775808 END AS least
) limits
"""

# Each selects kind, namespace, owner's name, own name, a function's types and the definition.
_TABLES = f"""
SELECT CASE c.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END, c.relnamespace, NULL, c.relname, NULL,
       concat_ws(' ', 'table',
         'of ' || format_type(nullif(c.reloftype, 0), NULL),
         CASE WHEN c.relispartition THEN 'partition of ' || parents.names || ' ' || pg_get_expr(c.relpartbound, c.oid)
              ELSE 'inherits (' || parents.names || ')' END,
         CASE c.relkind WHEN 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END,
         'server ' || quote_ident(foreign_server.srvname),
         'options (' || array_to_string(f.ftoptions, ', ') || ')')
FROM pg_class c
CROSS JOIN LATERAL (
  SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) AS names FROM pg_inherits WHERE inhrelid = c.oid
) parents
LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
LEFT JOIN pg_foreign_server foreign_server ON foreign_server.oid = f.ftserver
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, c.relnamespace, NULL, c.relname, NULL,
       ltrim(left(pg_get_viewdef(c.oid), -1))  -- without the semicolon
FROM pg_class c
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind IN ('v', 'm')
UNION ALL
SELECT 'sequence', c.relnamespace, NULL, c.relname, NULL,
       concat_ws(' ', format_type(s.seqtypid, NULL), nullif({_SEQUENCE_OPTIONS}, ''))
FROM {_SEQUENCE} JOIN pg_class c ON c.oid = s.seqrelid
WHERE c.oid = ANY (%(relations)s::oid[])
  AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
"""

_ASPECTS = """
SELECT 'options', c.relnamespace, c.relname, NULL, NULL,
       concat_ws(', ',
         CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
         CASE WHEN a.amname <> 'heap' THEN 'using ' || quote_ident(a.amname) END,
         (SELECT string_agg(option, ', ' ORDER BY option COLLATE "C") FROM unnest(c.reloptions) AS option))
FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind <> 'S'
  AND (c.relpersistence = 'u' OR a.amname <> 'heap' OR c.reloptions IS NOT NULL)
UNION ALL
SELECT 'row security', c.relnamespace, c.relname, NULL, NULL,
       concat_ws(', ', CASE WHEN c.relrowsecurity THEN 'enabled' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END)
FROM pg_class c
WHERE c.oid = ANY (%(relations)s::oid[]) AND (c.relrowsecurity OR c.relforcerowsecurity)
UNION ALL
SELECT 'replica identity', c.relnamespace, c.relname, NULL, NULL,
       CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'using index ' || (
         SELECT quote_ident(r.relname) FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisreplident) END
FROM pg_class c
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind IN ('r', 'p') AND c.relreplident <> 'd'
"""

# NOT NULL is a constraint of its own since PostgreSQL 18, which alone can be there without having been validated.
_COLUMNS = f"""
SELECT 'column', c.relnamespace, c.relname, a.attname, NULL,
       format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attcollation <> t.typcollation THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END
       || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || CASE WHEN n.oid IS NOT NULL THEN ' not valid' ELSE '' END
       || CASE
          WHEN a.attidentity <> '' THEN
            ' generated ' || CASE a.attidentity WHEN 'a' THEN 'always' ELSE 'by default' END || ' as identity'
            || coalesce(' (' || nullif((
                 SELECT {_SEQUENCE_OPTIONS}
                 FROM {_SEQUENCE} JOIN pg_depend o ON o.objid = s.seqrelid
                 WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass
                   AND o.refobjid = a.attrelid AND o.refobjsubid = a.attnum AND o.deptype = 'i'), '') || ')', '')
          WHEN a.attgenerated <> '' THEN
            ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') '
            || CASE a.attgenerated WHEN 'v' THEN 'virtual' ELSE 'stored' END
          WHEN d.oid IS NOT NULL THEN ' default ' || pg_get_expr(d.adbin, d.adrelid)
          ELSE '' END
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_constraint n
  ON n.conrelid = a.attrelid AND n.conkey = ARRAY[a.attnum] AND n.contype = 'n' AND NOT n.convalidated
WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'S'
"""

# A constraint that is only inherited, or is a part of a partitioned one, is not local and follows from the parent's.
_CONSTRAINTS = """
SELECT 'constraint', c.relnamespace, c.relname, k.conname, NULL,
       pg_get_constraintdef(k.oid) || CASE WHEN NOT i.indisvalid THEN ' invalid' ELSE '' END
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
WHERE k.conrelid = ANY (%(relations)s::oid[])
  AND k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conislocal
UNION ALL
SELECT 'constraint', t.typnamespace, t.typname, k.conname, NULL, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid
WHERE t.typnamespace = ANY (%(namespaces)s::oid[]) AND k.contype = 'c'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
"""

# `pg_get_indexdef` qualifies the table whatever the search_path is; what comes before the access method is in the
# identity. A partition's part of a partitioned index follows from it, but an invalid one must not go unseen.
_INDEXES = """
SELECT 'index', c.relnamespace, c.relname, x.relname, NULL,
       CASE WHEN i.indisunique THEN 'unique ' ELSE '' END
       || substr(pg_get_indexdef(i.indexrelid), 1 + length(concat(
            'CREATE ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, 'INDEX ', quote_ident(x.relname), ' ON ',
            CASE x.relkind WHEN 'I' THEN 'ONLY ' END, quote_ident(n.nspname), '.', quote_ident(c.relname), ' USING ')))
       || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY (%(relations)s::oid[])
  AND NOT (x.relispartition AND i.indisvalid)
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
"""

# Not pretty-printed, as pg_dump has it; its table, which is qualified then, is named relative to the search_path.
_RULES = """
SELECT 'trigger', c.relnamespace, c.relname, t.tgname, NULL,
       CASE WHEN t.tgconstraint <> 0 THEN 'constraint ' ELSE '' END
       || substr(overlay(printed.text PLACING ' ON ' || c.oid::regclass::text || ' '
                         FROM position(printed.place IN printed.text) FOR length(printed.place)), 1 + length(concat(
            'CREATE ', CASE WHEN t.tgconstraint <> 0 THEN 'CONSTRAINT ' END, 'TRIGGER ', quote_ident(t.tgname), ' ')))
       || CASE t.tgenabled WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' enabled replica' WHEN 'A' THEN ' enabled always'
          ELSE '' END
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  SELECT pg_get_triggerdef(t.oid), concat(' ON ', quote_ident(n.nspname), '.', quote_ident(c.relname), ' ')
) AS printed (text, place)
WHERE t.tgrelid = ANY (%(relations)s::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT 'rule', c.relnamespace, c.relname, r.rulename, NULL,
       'on ' || event.name || substr(pg_get_ruledef(r.oid), 1 + length(concat(
            'CREATE RULE ', quote_ident(r.rulename), ' AS', chr(10), '    ON ', upper(event.name), ' TO ',
            quote_ident(n.nspname), '.', quote_ident(c.relname))))
       || CASE r.ev_enabled WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' enabled replica' WHEN 'A' THEN ' enabled always'
          ELSE '' END
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN (VALUES ('1', 'select'), ('2', 'update'), ('3', 'insert'), ('4', 'delete')) AS event (code, name)
  ON event.code = r.ev_type::text
WHERE r.ev_class = ANY (%(relations)s::oid[]) AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'policy', c.relnamespace, c.relname, p.polname, NULL,
       concat_ws(' ',
         CASE WHEN p.polpermissive THEN 'as permissive' ELSE 'as restrictive' END,
         'for ' || CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
                   WHEN 'd' THEN 'delete' ELSE 'all' END,
         'to ' || (SELECT string_agg(CASE role WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(role)) END, ', '
                                     ORDER BY pg_get_userbyid(role)) FROM unnest(p.polroles) AS role),
         'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
         'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE p.polrelid = ANY (%(relations)s::oid[])
"""

# The fields of pg_collation that have come and gone between versions are read by name from its row as JSON.
_TYPES = """
WITH own AS MATERIALIZED (
  SELECT t.* FROM pg_type t
  WHERE t.typnamespace = ANY (%(namespaces)s::oid[])
    AND t.typtype IN ('c', 'd', 'e', 'r')
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
)
SELECT 'enum', t.typnamespace, NULL, t.typname, NULL,
       (SELECT string_agg('''' || replace(e.enumlabel, '''', '''''') || '''', ', ' ORDER BY e.enumsortorder)
        FROM pg_enum e WHERE e.enumtypid = t.oid)
FROM own t WHERE t.typtype = 'e'
UNION ALL
SELECT 'domain', t.typnamespace, NULL, t.typname, NULL,
       format_type(t.typbasetype, t.typtypmod)
       || CASE WHEN t.typcollation <> b.typcollation THEN ' collate ' || t.typcollation::regcollation::text ELSE '' END
       || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
       || CASE WHEN t.typdefaultbin IS NOT NULL THEN ' default ' || pg_get_expr(t.typdefaultbin, 0) ELSE '' END
FROM own t JOIN pg_type b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
UNION ALL
SELECT 'type', t.typnamespace, NULL, t.typname, NULL,
       'as (' || coalesce((
         SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attcollation <> b.typcollation THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END,
           ', ' ORDER BY a.attnum)
         FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')'
FROM own t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c' WHERE t.typtype = 'c'
UNION ALL
SELECT 'range', t.typnamespace, NULL, t.typname, NULL,
       concat_ws(', ',
         'subtype = ' || format_type(r.rngsubtype, NULL),
         CASE WHEN NOT o.opcdefault THEN 'subtype_opclass = ' || quote_ident(o.opcname) END,
         CASE WHEN r.rngcollation <> b.typcollation THEN 'collation = ' || r.rngcollation::regcollation::text END,
         'canonical = ' || nullif(r.rngcanonical, 0)::regproc::text,
         'subtype_diff = ' || nullif(r.rngsubdiff, 0)::regproc::text)
FROM own t
JOIN pg_range r ON r.rngtypid = t.oid
JOIN pg_type b ON b.oid = r.rngsubtype
JOIN pg_opclass o ON o.oid = r.rngsubopc
"""

_COLLATIONS = """
SELECT 'collation', l.collnamespace, NULL, l.collname, NULL,
       concat_ws(', ',
         'provider = ' || CASE l.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
         'locale = ' || coalesce(f.field ->> 'colllocale', f.field ->> 'colliculocale', l.collcollate),
         'rules = ' || (f.field ->> 'collicurules'),
         CASE WHEN NOT l.collisdeterministic THEN 'deterministic = false' END)
FROM pg_collation l CROSS JOIN LATERAL (SELECT to_jsonb(l) AS field) f
WHERE l.collnamespace = ANY (%(namespaces)s::oid[])
  AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_collation'::regclass AND d.objid = l.oid AND d.deptype = 'e')
"""

# A range type makes its constructor functions (deptype 'i').
_FUNCTIONS = """
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
       p.pronamespace, NULL, p.proname, '(' || oidvectortypes(p.proargtypes) || ')',
       CASE p.prokind WHEN 'a' THEN (
         SELECT concat_ws(', ',
           CASE a.aggkind WHEN 'o' THEN 'ordered-set' WHEN 'h' THEN 'hypothetical' END,
           'sfunc = ' || a.aggtransfn::text,
           'stype = ' || format_type(a.aggtranstype, NULL),
           'finalfunc = ' || nullif(a.aggfinalfn, 0)::regproc::text,
           'combinefunc = ' || nullif(a.aggcombinefn, 0)::regproc::text,
           'msfunc = ' || nullif(a.aggmtransfn, 0)::regproc::text,
           'initcond = ' || quote_literal(a.agginitval),
           'sortop = ' || nullif(a.aggsortop, 0)::regoper::text,
           'parallel = ' || nullif(p.proparallel::text, 'u'))
         FROM pg_aggregate a WHERE a.aggfnoid = p.oid)
       ELSE rtrim(substr(pg_get_functiondef(p.oid), 1 + length(concat(
         'CREATE OR REPLACE ', CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END,
         quote_ident(n.nspname), '.', quote_ident(p.proname)))), chr(10)) END
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.pronamespace = ANY (%(namespaces)s::oid[])
  AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
"""

# As pg_dump has it, but that `pg_get_statisticsobjdef` prints columns in the order of the table's, which is no part of a
# schema. After them stand the expressions, and the table.
_STATISTICS = """
SELECT 'statistics', x.stxnamespace, NULL, x.stxname, NULL,
       concat('(', (
         SELECT string_agg(CASE kind WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' ELSE 'mcv' END, ', '
                           ORDER BY kind)
         FROM unnest(x.stxkind) AS kind WHERE kind <> 'e'),
         ') on ', columns.sorted)
       || substr(left(printed.items, - length(' FROM ' || printed.place)), 1 + length(concat(columns.printed)))
       || ' from ' || printed.place
FROM pg_statistic_ext x
JOIN pg_namespace n ON n.oid = x.stxnamespace
CROSS JOIN LATERAL (
  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname),
         string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
  FROM pg_attribute a WHERE a.attrelid = x.stxrelid AND a.attnum = ANY (x.stxkeys::int2[])
) AS columns (sorted, printed)
CROSS JOIN LATERAL (
  SELECT substr(pg_get_statisticsobjdef(x.oid), 1 + length(concat(
           'CREATE STATISTICS ', quote_ident(n.nspname), '.', quote_ident(x.stxname))))
) AS named (rest)
CROSS JOIN LATERAL (
  SELECT substr(named.rest, length(' ON ') + position(' ON ' IN named.rest)), x.stxrelid::regclass::text
) AS printed (items, place)
WHERE x.stxrelid = ANY (%(relations)s::oid[]) AND x.stxnamespace = ANY (%(namespaces)s::oid[])
"""

# Every database comes with plpgsql.
_EXTENSIONS = """
SELECT 'extension', NULL::oid, NULL, extname, NULL, 'installed' FROM pg_extension WHERE extname <> 'plpgsql'
"""

# Where the default schema is, a database says; every one comes with `public`.
_NAMESPACES = """
SELECT 'schema', NULL::oid, NULL, nspname, NULL, 'schema'
FROM pg_namespace WHERE oid = ANY (%(namespaces)s::oid[]) AND nspname NOT IN ('public', %(default)s)
"""

_OBJECTS = tuple(
    map(
        _qualified,
        (
            _NAMESPACES,
            _TABLES,
            _ASPECTS,
            _COLUMNS,
            _CONSTRAINTS,
            _INDEXES,
            _RULES,
            _TYPES,
            _COLLATIONS,
            _FUNCTIONS,
            _STATISTICS,
            _EXTENSIONS,
        ),
    )
)
