"""The queries that read the schema from the system catalogs; `migrate.postgres.catalog` says what each entry holds."""

from __future__ import annotations

import re


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
SETTINGS = _qualified("""
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

SCHEMAS = """
SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY (%(schemas)s::text[]) AND nspname <> %(ledger)s
"""

RELATIONS = """
SELECT c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relnamespace = ANY (%(namespaces)s::oid[])
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
  AND (n.nspname, c.relname) <> (%(schema)s, %(table)s)
  AND (SELECT d.deptype FROM pg_depend d
       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' LIMIT 1) IS NULL
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

# Each selects the relation that it is of, kind, namespace, owner's name, own name, a function's types and the definition.
_TABLES = f"""
SELECT c.oid, CASE c.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END, c.relnamespace, NULL, c.relname, NULL,
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
SELECT c.oid, CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, c.relnamespace, NULL, c.relname, NULL,
       ltrim(left(pg_get_viewdef(c.oid), -1))  -- without the semicolon
FROM pg_class c
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind IN ('v', 'm')
UNION ALL
SELECT c.oid, 'sequence', c.relnamespace, NULL, c.relname, NULL,
       concat_ws(' ', format_type(s.seqtypid, NULL), nullif({_SEQUENCE_OPTIONS}, ''))
FROM {_SEQUENCE} JOIN pg_class c ON c.oid = s.seqrelid
WHERE c.oid = ANY (%(relations)s::oid[])
  AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
"""

_ASPECTS = """
SELECT c.oid, 'options', c.relnamespace, c.relname, NULL, NULL,
       concat_ws(', ',
         CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
         CASE WHEN a.amname <> 'heap' THEN 'using ' || quote_ident(a.amname) END,
         (SELECT string_agg(option, ', ' ORDER BY option COLLATE "C") FROM unnest(c.reloptions) AS option))
FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind <> 'S'
  AND (c.relpersistence = 'u' OR a.amname <> 'heap' OR c.reloptions IS NOT NULL)
UNION ALL
SELECT c.oid, 'row security', c.relnamespace, c.relname, NULL, NULL,
       concat_ws(', ', CASE WHEN c.relrowsecurity THEN 'enabled' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END)
FROM pg_class c
WHERE c.oid = ANY (%(relations)s::oid[]) AND (c.relrowsecurity OR c.relforcerowsecurity)
UNION ALL
SELECT c.oid, 'replica identity', c.relnamespace, c.relname, NULL, NULL,
       CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'using index ' || (
         SELECT quote_ident(r.relname) FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisreplident) END
FROM pg_class c
WHERE c.oid = ANY (%(relations)s::oid[]) AND c.relkind IN ('r', 'p') AND c.relreplident <> 'd'
"""

# NOT NULL is a constraint of its own since PostgreSQL 18, which alone can be there without having been validated.
_COLUMNS = f"""
SELECT c.oid, 'column', c.relnamespace, c.relname, a.attname, NULL,
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
SELECT c.oid, 'constraint', c.relnamespace, c.relname, k.conname, NULL,
       pg_get_constraintdef(k.oid) || CASE WHEN NOT i.indisvalid THEN ' invalid' ELSE '' END
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
WHERE k.conrelid = ANY (%(relations)s::oid[])
  AND k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conislocal
"""

_OF_DOMAINS = """
SELECT NULL::oid, 'constraint', t.typnamespace, t.typname, k.conname, NULL, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid
WHERE t.typnamespace = ANY (%(namespaces)s::oid[]) AND k.contype = 'c'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
"""

# `pg_get_indexdef` qualifies the table whatever the search_path is; what comes before the access method is in the
# identity. A partition's part of a partitioned index follows from it, but an invalid one must not go unseen.
_INDEXES = """
SELECT c.oid, 'index', c.relnamespace, c.relname, x.relname, NULL,
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
SELECT c.oid, 'trigger', c.relnamespace, c.relname, t.tgname, NULL,
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
SELECT c.oid, 'rule', c.relnamespace, c.relname, r.rulename, NULL,
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
SELECT c.oid, 'policy', c.relnamespace, c.relname, p.polname, NULL,
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
# What is asked of few is asked of each: as a join, PostgreSQL would read the whole of pg_depend and pg_class.
_TYPES = """
WITH own AS MATERIALIZED (
  SELECT t.* FROM pg_type t
  WHERE t.typnamespace = ANY (%(namespaces)s::oid[])
    AND (t.typtype IN ('d', 'e', 'r')
         OR t.typtype = 'c' AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
    AND (SELECT d.deptype FROM pg_depend d
         WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' LIMIT 1) IS NULL
)
SELECT NULL::oid, 'enum', t.typnamespace, NULL, t.typname, NULL,
       (SELECT string_agg('''' || replace(e.enumlabel, '''', '''''') || '''', ', ' ORDER BY e.enumsortorder)
        FROM pg_enum e WHERE e.enumtypid = t.oid)
FROM own t WHERE t.typtype = 'e'
UNION ALL
SELECT NULL::oid, 'domain', t.typnamespace, NULL, t.typname, NULL,
       format_type(t.typbasetype, t.typtypmod)
       || CASE WHEN t.typcollation <> b.typcollation THEN ' collate ' || t.typcollation::regcollation::text ELSE '' END
       || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
       || CASE WHEN t.typdefaultbin IS NOT NULL THEN ' default ' || pg_get_expr(t.typdefaultbin, 0) ELSE '' END
FROM own t JOIN pg_type b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
UNION ALL
SELECT NULL::oid, 'type', t.typnamespace, NULL, t.typname, NULL,
       'as (' || coalesce((
         SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attcollation <> b.typcollation THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END,
           ', ' ORDER BY a.attnum)
         FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')'
FROM own t WHERE t.typtype = 'c'
UNION ALL
SELECT NULL::oid, 'range', t.typnamespace, NULL, t.typname, NULL,
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
SELECT NULL::oid, 'collation', l.collnamespace, NULL, l.collname, NULL,
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
SELECT NULL::oid, CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
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
SELECT x.stxrelid, 'statistics', x.stxnamespace, NULL, x.stxname, NULL,
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
SELECT NULL::oid, 'extension', NULL::oid, NULL, extname, NULL, 'installed' FROM pg_extension WHERE extname <> 'plpgsql'
"""

# Where the default schema is, a database says; every one comes with `public`.
_NAMESPACES = """
SELECT NULL::oid, 'schema', NULL::oid, NULL, nspname, NULL, 'schema'
FROM pg_namespace WHERE oid = ANY (%(namespaces)s::oid[]) AND nspname NOT IN ('public', %(default)s)
"""


def _together(*queries: str) -> str:
    """One query for all of them."""
    return _qualified(" UNION ALL ".join(f"({query.strip()})" for query in queries))


OF_RELATIONS = _together(_TABLES, _ASPECTS, _COLUMNS, _CONSTRAINTS, _INDEXES, _RULES, _STATISTICS)
OTHERS = _together(_NAMESPACES, _OF_DOMAINS, _TYPES, _COLLATIONS, _FUNCTIONS, _EXTENSIONS)
