"""Reads the target as it is: the version rows, the ledger, the objects there; one snapshot, nothing written."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg2
import psycopg2.errors

from migrate.core.decide.observation import InvalidIndex, Observation
from migrate.core.problems import again, shell, sql, stop
from migrate.postgres import ledger
from migrate.postgres.errors import code_of, problem_of
from migrate.postgres.server import read_server, refuse_missing_rights

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from migrate.core.decide.policy import Limits
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

Read = TypeVar("Read")

LISTED_OBJECTS: Final = 100
# The catalog's printing functions see an object that was dropped after the snapshot no more (ruleutils.c, lsyscache.c:
# "could not open relation with OID", "cache lookup failed"): internal_error, undefined_table and _object.
_GONE: Final = frozenset({"XX000", "42P01", "42704"})
_READS: Final = 3
_AGAIN_S: Final = 0.2

# The schemas that definitions are printed without, but for this role's lack of USAGE (see `catalog.schema_of`).
_UNNAMED: Final = """
    SELECT nspname::text FROM pg_catalog.pg_namespace
     WHERE (nspname IN ('public', %(default)s) OR oid IN (SELECT extnamespace FROM pg_catalog.pg_extension))
       AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE')
"""

# Objects that a person made in the schemas in question: neither an extension's, nor the version table and what belongs
# to it. Types that a table brings along and indexes are left out; their table says enough.
_OBJECTS: Final = """
    SELECT kind, name FROM (
      SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
                  WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
                  ELSE 'type' END AS kind,
             c.oid, 'pg_catalog.pg_class'::regclass AS classid, c.relname::text AS name, c.relnamespace AS nsp
        FROM pg_catalog.pg_class c
       WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
         AND NOT (c.relname = %(table)s AND c.relnamespace::regnamespace::text = pg_catalog.quote_ident(%(schema)s))
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                           AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
      UNION ALL
      SELECT 'type', t.oid, 'pg_catalog.pg_type'::regclass, t.typname::text, t.typnamespace
        FROM pg_catalog.pg_type t WHERE t.typtype IN ('e', 'd', 'r')
      UNION ALL
      SELECT 'function', p.oid, 'pg_catalog.pg_proc'::regclass, p.proname::text, p.pronamespace
        FROM pg_catalog.pg_proc p
    ) AS found
    WHERE nsp IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ANY (%(schemas)s))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                       WHERE e.classid = found.classid AND e.objid = found.oid AND e.deptype = 'e')
    ORDER BY CASE kind WHEN 'table' THEN 0 ELSE 1 END, name
    LIMIT %(limit)s
"""

# INVALID and nobody builds it: no row in the progress view, and nobody holds the lock that a concurrent build takes on
# the table. (To an ordinary role the progress view hides index_relid, but not the table's relid.)
# A schema's tables are found by what depends on it, as DROP SCHEMA finds them: no index of pg_class begins with the
# schema, and to scan what all tenants of a database have would cost each of them as much as all.
_INVALID: Final = """
    SELECT n.nspname::text, pg_catalog.quote_ident(t.relname), pg_catalog.quote_ident(c.relname),
           pg_catalog.pg_get_indexdef(i.indexrelid),
           (SELECT pg_catalog.quote_ident(k.conname) FROM pg_catalog.pg_constraint k
             WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
           i.indisunique, i.indisexclusion, CASE c.relkind WHEN 'I' THEN i.indexrelid END
      FROM pg_catalog.pg_namespace n
     CROSS JOIN LATERAL (
       SELECT DISTINCT d.objid AS oid FROM pg_catalog.pg_depend d
        WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid
          AND d.classid = 'pg_catalog.pg_class'::regclass OFFSET 0) AS own
     CROSS JOIN LATERAL (
       SELECT * FROM pg_catalog.pg_index WHERE indrelid = own.oid AND NOT indisvalid OFFSET 0) AS i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
     WHERE c.relkind IN ('i', 'I') AND c.relnamespace = n.oid AND n.nspname = ANY (%(schemas)s)
       AND NOT (c.relkind = 'I' AND EXISTS (
             SELECT FROM pg_catalog.pg_stat_activity w
              WHERE w.datname = pg_catalog.current_database() AND w.application_name LIKE 'migrate:worker:%%'
                AND w.state IS DISTINCT FROM 'idle'))
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                        WHERE p.datname = pg_catalog.current_database() AND p.relid = t.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
                        WHERE l.relation = t.oid AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
                          AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                             WHERE datname = pg_catalog.current_database())
                          AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                                       WHERE a.pid = l.pid AND a.backend_type = 'client backend'))
     ORDER BY 1, 3
"""

# What makes a partitioned index valid: each partition's part of it, built beside the rows' traffic, and attached; where a
# part is attached and was INVALID itself, attaching it again, once it is rebuilt, lets PostgreSQL look again.
_PARTS: Final = """
    SELECT CASE WHEN x.child IS NULL THEN pg_catalog.concat(
                  'CREATE ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, 'INDEX ',
                  CASE part.relkind WHEN 'r' THEN 'CONCURRENTLY ' END, named.part, ' ON ', h.inhrelid::regclass,
                  substring(pg_catalog.pg_get_indexdef(i.indexrelid) FROM ' USING .*$'), '; ')
                WHEN NOT x.is_valid THEN pg_catalog.concat('REINDEX INDEX CONCURRENTLY ', x.child::regclass, '; ') END
           || pg_catalog.concat('ALTER INDEX ', i.indexrelid::regclass, ' ATTACH PARTITION ',
                  coalesce(x.child::regclass::text,
                           pg_catalog.quote_ident(pn.nspname) || '.' || named.part), ';')
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_inherits h ON h.inhparent = i.indrelid
      JOIN pg_catalog.pg_class part ON part.oid = h.inhrelid AND part.relkind IN ('r', 'p')
      JOIN pg_catalog.pg_namespace pn ON pn.oid = part.relnamespace
      CROSS JOIN LATERAL (
        SELECT pg_catalog.quote_ident(pg_catalog.left(part.relname || '_' || c.relname, 63)) AS part) AS named
      LEFT JOIN LATERAL (
        SELECT ci.indexrelid AS child, ci.indisvalid AS is_valid
          FROM pg_catalog.pg_inherits ih JOIN pg_catalog.pg_index ci ON ci.indexrelid = ih.inhrelid
         WHERE ih.inhparent = i.indexrelid AND ci.indrelid = part.oid) AS x ON true
     WHERE i.indexrelid = %(index)s AND (x.child IS NULL OR NOT x.is_valid)
     ORDER BY part.relname
"""

_USER_SCHEMAS: Final = """
    SELECT n.nspname::text FROM pg_catalog.pg_namespace n
     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrate')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass
                         AND d.objid = n.oid AND d.deptype = 'e')
     ORDER BY 1
"""


def observe(
    connection: Connection,
    target: Target,
    limits: Limits,
    *,
    hashes: Mapping[str, str],
    with_schema: bool,
    without_ledger_at: Collection[str] = (),
) -> Observation:
    """Everything that a decision needs, read in one REPEATABLE READ, READ ONLY transaction.

    ``hashes`` are the image's revision ids and file hashes: the ledger's source is fetched only for those that differ.
    ``with_schema`` reads the whole catalog, for images that have a manifest. At the version rows ``without_ledger_at`` a
    ledger that somebody has locked is done without. Raises Stop (`blocked` when catalog
    functions queue behind an ALTER for longer than the lock timeout, or when objects are dropped during every read).
    """
    found = in_snapshot(
        connection, limits, lambda: _observe(connection, target, hashes, without_ledger_at, with_schema=with_schema)
    )
    if found.invalid_indexes:
        # that nobody builds them is so now, after the snapshot, in which somebody may have: a newer one tells
        schemas, were = {index.schema for index in found.invalid_indexes}, {*map(_name, found.invalid_indexes)}
        now = in_snapshot(connection, limits, lambda: invalid_indexes(connection, schemas))
        found = replace(found, invalid_indexes=tuple(index for index in now if _name(index) in were))
    return found


def observe_versions(connection: Connection, target: Target) -> Observation:
    """The server and the version rows alone, for a database in which there is nothing else to decide about.

    Raises Stop, and psycopg2.Error.
    """
    server = read_server(connection, target)
    if server.schema is None or server.unseen is not None or not server.may_read_versions:
        refuse_missing_rights(server, target)
    has_rows = server.has_version_table
    return Observation(server, version_rows(connection, server.schema, target.version_table) if has_rows else ())


def in_snapshot(connection: Connection, limits: Limits, read: Callable[[], Read]) -> Read:
    """What is read in one REPEATABLE READ, READ ONLY transaction. Raises Stop as `observe` does."""
    reads = 0
    while True:
        reads += 1
        knew_ledger = connection.has_ledger
        try:
            with connection.transaction("REPEATABLE READ READ ONLY", lock_timeout_s=limits.lock_s):
                return read()
        except psycopg2.Error as error:
            found = problem_of(error, doing="reading the catalog", connection=connection)
            if error.pgcode == "42501" and knew_ledger and reads < _READS:
                continue  # it is asked again whether there is one that may be read
            if error.pgcode not in _GONE:
                raise found from error
            if reads == _READS:
                why = f"{found.problem.why}; something was dropped during each of {_READS} reads"
                fix = shell(again(), note="once nobody else changes the schema")
                raise stop("blocked", why, fix=fix, sqlstate=error.pgcode) from error
            time.sleep(_AGAIN_S)


def _observe(
    connection: Connection,
    target: Target,
    hashes: Mapping[str, str],
    without_ledger_at: Collection[str],
    *,
    with_schema: bool,
) -> Observation:
    versions = observe_versions(connection, target)
    server, rows = versions.server, versions.rows
    there = server.schema if server.schema_exists else None
    schemas = target.schemas_beside(there)
    objects: tuple[str, ...] = ()
    if not rows:
        names = {"schema": server.schema, "table": target.version_table, "schemas": [*target.own_schemas(there)]}
        found = connection.planned(_OBJECTS, {**names, "limit": LISTED_OBJECTS})
        objects = tuple(f"{kind} {name}" for kind, name in found)
    key = ledger.target_key(server.schema, target.version_table)
    known, is_locked = ledger.Known(), False
    can_do_without = bool(rows) and sorted(rows) == sorted(without_ledger_at)
    if can_do_without:
        connection.go_ahead("SAVEPOINT ledger")
    try:
        known = ledger.read(connection, key=key, rows=rows, hashes=hashes, with_meant=with_schema)
    except psycopg2.errors.LockNotAvailable:
        if not can_do_without:
            raise
        connection.run("ROLLBACK TO SAVEPOINT ledger")
        is_locked = True
    invalid = invalid_indexes(connection, schemas)
    live = None
    unnamed: tuple[str, ...] = ()
    if with_schema:  # the last: it sets the search_path, and what is planned holds for one
        from migrate.postgres import catalog

        hidden = [row[0] for row in connection.planned(_UNNAMED, {"default": target.default_schema(server.schema)})]
        with connection.cursor() as cursor:
            live = catalog.schema_of(
                cursor,
                schemas=schemas,
                version_table=(server.schema or "", target.version_table),
                default_schema=target.default_schema(server.schema),
                qualified=target.schemas,
                prepared=connection.prepared,
            )
        unnamed = tuple(name for name in hidden if _is_said(name, live.values()))
    return replace(
        versions,
        objects=objects,
        schema=live,
        ledger=known.applied,
        unfinished=known.unfinished,
        unproven=known.unproven,
        accepted=known.accepted,
        invalid_indexes=invalid,
        ledger_locked=is_locked,
        meant=known.meant,
        released=known.released,
        is_open=known.is_open or is_locked,
        unnamed=unnamed,
    )


def user_schemas(connection: Connection) -> tuple[str, ...]:
    """Every schema of the database that neither PostgreSQL, an extension nor the ledger made."""
    return tuple(row[0] for row in connection.planned(_USER_SCHEMAS, {}))


def version_rows(
    connection: Connection, schema: str | None, table: str, *, lock_timeout_s: float | None = None
) -> tuple[str, ...]:
    """The rows of the version table, which must exist; with ``lock_timeout_s`` in a transaction of their own.

    Raises Stop for a table that is not Alembic's, and psycopg2.Error.
    """
    quoted = f"{_quote(schema or '')}.{_quote(table)}"
    # in the transaction around: the server refuses to read a table of which policies hide rows
    asked = f"SELECT pg_catalog.set_config('row_security', 'off', true); SELECT version_num FROM {quoted} ORDER BY 1"
    if lock_timeout_s is not None:  # the statements of one message are one transaction
        limit = f"SELECT pg_catalog.set_config('lock_timeout', '{lock_timeout_s * 1000:.0f}ms', true)"
        asked = f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {limit}; {asked}"
    try:
        found = connection.rows(asked)
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        raise
    except psycopg2.Error as error:
        if isinstance(error, psycopg2.errors.InsufficientPrivilege) and "row-level security" in str(error):
            why = f"row security hides rows of the version table {schema}.{table} from this role"
            grant = sql(f"ALTER TABLE {quoted} DISABLE ROW LEVEL SECURITY;", note="or: ALTER ROLE … BYPASSRLS;")
            raise stop("missing-privilege", why, fix=grant, sqlstate=error.pgcode) from error
        if error.pgcode in _GONE or code_of(error.pgcode, ""):
            raise
        # a table without the column, or with one that has no order, such as json; a view that raises
        raise stop(
            "other-version-table",
            f"{schema}.{table} is not a version table of Alembic's: {error.diag.message_primary}",
            fix=shell("export MIGRATE_VERSION_TABLE=NAME", note="the one that env.py configures"),
            sqlstate=error.pgcode,
        ) from error
    return tuple(str(row[0]) for row in found)


def invalid_indexes(connection: Connection, schemas: Iterable[str]) -> tuple[InvalidIndex, ...]:
    """The indexes of these schemas that are INVALID and that nobody is building."""
    found = []
    for *row, partitioned in connection.planned(_INVALID, {"schemas": list(schemas)}):
        sql = None
        if partitioned is not None:
            sql = "\n".join(part[0] for part in connection.rows(_PARTS, {"index": partitioned}))
        found.append(replace(InvalidIndex(*row), parts_sql=sql))
    return tuple(found)


def _name(index: InvalidIndex) -> tuple[str, str]:
    return index.schema, index.name


def _is_said(schema: str, definitions: Iterable[str]) -> bool:
    """Whether something is printed with the schema before its name."""
    from migrate.core.schema.differences import name as name_of

    qualified = re.compile(rf'(?<![\w$".]){re.escape(name_of(schema))}\.')
    return any(qualified.search(definition) for definition in definitions)


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
