"""Reads the target as it is: who answers, the version rows, the objects there; one snapshot, nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2
import psycopg2.errors

from migrate.core.observation import InvalidIndex, Observation, Server
from migrate.core.problems import stop
from migrate.postgres import ledger
from migrate.postgres.connection import pause
from migrate.postgres.errors import code_of, problem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from migrate.core.policy import Limits
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

OLDEST: Final = 140000  # the catalog functions that the schema is read with, and client_connection_check_interval
LISTED_OBJECTS: Final = 100
# The catalog's printing functions see an object that was dropped after the snapshot no more (ruleutils.c, lsyscache.c:
# "could not open relation with OID", "cache lookup failed"): internal_error, undefined_table and _object.
_GONE: Final = frozenset({"XX000", "42P01", "42704"})
_READS: Final = 3
_AGAIN_S: Final = 0.2

# The version table's schema: where the search_path finds the table, else where Alembic would create it.
RESOLVE_SCHEMA: Final = """
    coalesce(
        %(schema)s::text,
        (SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(%(table)s))),
        pg_catalog.current_schema()::text)
"""

_SERVER: Final = f"""
    SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),
           host(pg_catalog.inet_server_addr()), pg_catalog.current_database()::text, current_user::text,
           pg_catalog.current_setting('server_encoding'), pg_catalog.pg_is_in_recovery(),
           pg_catalog.current_setting('transaction_read_only') = 'on',
           pg_catalog.pg_backend_pid(), {RESOLVE_SCHEMA}
"""

_RIGHTS: Final = """
    SELECT t.oid IS NOT NULL,
           CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
                ELSE pg_catalog.has_schema_privilege(n.oid, 'CREATE') END,
           t.oid IS NULL OR (pg_catalog.has_table_privilege(t.oid, 'SELECT')
             AND pg_catalog.has_table_privilege(t.oid, 'INSERT') AND pg_catalog.has_table_privilege(t.oid, 'UPDATE')
             AND pg_catalog.has_table_privilege(t.oid, 'DELETE')),
           n.oid IS NOT NULL,
           t.oid IS NULL OR pg_catalog.has_table_privilege(t.oid, 'SELECT')
      FROM (VALUES (%(schema)s::text, %(table)s::text)) AS asked(nsp, rel)
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = asked.nsp
      LEFT JOIN pg_catalog.pg_class t ON t.relnamespace = n.oid AND t.relname = asked.rel AND t.relkind IN ('r', 'p', 'v')
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
_INVALID: Final = """
    SELECT n.nspname::text, pg_catalog.quote_ident(t.relname), pg_catalog.quote_ident(c.relname),
           pg_catalog.pg_get_indexdef(i.indexrelid),
           (SELECT pg_catalog.quote_ident(k.conname) FROM pg_catalog.pg_constraint k
             WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
           i.indisunique, i.indisexclusion
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname = ANY (%(schemas)s)
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


_USER_SCHEMAS: Final = """
    SELECT n.nspname::text FROM pg_catalog.pg_namespace n
     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrate')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass
                         AND d.objid = n.oid AND d.deptype = 'e')
     ORDER BY 1
"""


def read_server(connection: Connection, target: Target) -> Server:
    """Who answers and what this role may do there. Raises Stop."""
    try:
        return _read_server(connection, target)
    except psycopg2.Error as error:
        raise problem_of(error, doing="asking the server who it is", connection=connection) from error


def _read_server(connection: Connection, target: Target) -> Server:
    asked = {"schema": target.version_table_schema, "table": target.version_table}
    libpq_pid = connection.info.backend_pid
    number, version, address, database, user, encoding, recovery, read_only, pid, schema = connection.row(
        _SERVER, asked
    )
    has_table, may_create, may_write, schema_exists, may_read = connection.row(
        _RIGHTS, {"schema": schema, "table": target.version_table}
    )
    return Server(
        version_num=number,
        version=version,
        address=address,
        database=database,
        user=user,
        encoding=encoding,
        in_recovery=recovery,
        read_only=read_only,
        pooled=pid != libpq_pid,
        schema=schema,
        may_create=may_create,
        may_write_versions=may_write,
        schema_exists=schema_exists,
        has_version_table=has_table,
        may_read_versions=may_read,
    )


def refuse_wrong_server(server: Server, target: Target) -> None:
    """Raises Stop for a server on which a release must not even take a lock (DESIGN section 2, step 3)."""
    if server.version_num < OLDEST:
        raise stop("unsupported-server", f"the server is PostgreSQL {server.version}, older than 14")
    names = {"variable": target.url_from}
    if server.in_recovery:
        raise stop("not-writable", f"{_where(server)} is a standby", names=names)
    if server.read_only:
        raise stop(
            "not-writable",
            f"transactions of role {server.user} on {_where(server)} are read-only",
            names=names,
        )


def refuse_missing_rights(server: Server, target: Target) -> None:
    """Raises Stop where the role can write neither the version table nor the schema that revisions create in."""
    from migrate.core.repair_sql import quote  # a run with nothing to do refuses nothing here

    role = quote(server.user)
    if server.schema is None:
        raise stop(
            "missing-privilege",
            f"no schema of the search_path of role {server.user} exists in database {server.database}",
            names={"grant": f"ALTER ROLE {role} SET search_path = public;"},
        )
    schema = quote(server.schema)
    if not server.may_write_versions:
        raise stop(
            "missing-privilege",
            f"role {server.user} may not write {server.schema}.{target.version_table}",
            names={
                "grant": f"GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{quote(target.version_table)} TO {role};",
            },
        )
    if not server.may_create and not server.schema_exists:
        raise stop(
            "missing-privilege",
            f"schema {server.schema} does not exist, and role {server.user} may not create it",
            names={"grant": f"CREATE SCHEMA {schema} AUTHORIZATION {role};"},
        )
    if not server.may_create:
        raise stop(
            "missing-privilege",
            f"role {server.user} may not create objects in schema {server.schema}",
            names={"grant": f"GRANT CREATE, USAGE ON SCHEMA {schema} TO {role};"},
        )


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
    reads = 0
    while True:
        reads += 1
        try:
            with connection.transaction("REPEATABLE READ READ ONLY", lock_timeout_s=limits.lock_s):
                return _observe(connection, target, hashes, without_ledger_at, with_schema=with_schema)
        except psycopg2.Error as error:
            found = problem_of(error, doing="reading the catalog", connection=connection)
            if error.pgcode not in _GONE:
                raise found from error
            if reads == _READS:
                why = f"{found.problem.why}; something was dropped during each of {_READS} reads"
                fix = "migrate up   # once nobody else changes the schema"
                raise stop("blocked", why, fix=fix, sqlstate=error.pgcode) from error
            pause(_AGAIN_S, connection.interruption, connection.beat)


def _observe(
    connection: Connection,
    target: Target,
    hashes: Mapping[str, str],
    without_ledger_at: Collection[str],
    *,
    with_schema: bool,
) -> Observation:
    server = read_server(connection, target)
    if not server.may_read_versions:
        refuse_missing_rights(server, target)
    rows: tuple[str, ...] = ()
    if server.has_version_table:
        rows = version_rows(connection, server.schema, target.version_table)
    there = server.schema if server.schema_exists else None
    schemas = target.schemas_beside(there)
    objects: tuple[str, ...] = ()
    if not rows:
        names = {"schema": server.schema, "table": target.version_table, "schemas": [*target.own_schemas(there)]}
        found = connection.rows(_OBJECTS, {**names, "limit": LISTED_OBJECTS})
        objects = tuple(f"{kind} {name}" for kind, name in found)
    live = None
    if with_schema:
        from migrate.postgres import catalog

        with connection.cursor() as cursor:
            live = catalog.schema_of(
                cursor,
                schemas=schemas,
                version_table=(server.schema or "", target.version_table),
                default_schema=target.default_schema(server.schema),
                qualified=target.schemas,
            )
    key = ledger.target_key(server.schema, target.version_table)
    known, is_locked = ledger.Known(), False
    can_do_without = bool(rows) and sorted(rows) == sorted(without_ledger_at)
    if can_do_without:
        connection.run("SAVEPOINT ledger")
    try:
        known = ledger.read(connection, key=key, rows=rows, hashes=hashes)
    except psycopg2.errors.LockNotAvailable:
        if not can_do_without:
            raise
        connection.run("ROLLBACK TO SAVEPOINT ledger")
        is_locked = True
    return Observation(
        server=server,
        rows=rows,
        objects=objects,
        schema=live,
        ledger=known.applied,
        unfinished=known.unfinished,
        invalid_indexes=invalid_indexes(connection, schemas),
        ledger_locked=is_locked,
    )


def user_schemas(connection: Connection) -> tuple[str, ...]:
    """Every schema of the database that neither PostgreSQL, an extension nor the ledger made."""
    return tuple(row[0] for row in connection.rows(_USER_SCHEMAS))


def version_rows(connection: Connection, schema: str | None, table: str) -> tuple[str, ...]:
    """The rows of the version table, which must exist. Raises Stop for a table that is not Alembic's."""
    quoted = f"{_quote(schema or '')}.{_quote(table)}"
    try:
        found = connection.rows(f"SELECT version_num FROM {quoted} ORDER BY 1")
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        raise
    except psycopg2.Error as error:
        if error.pgcode in _GONE or code_of(error.pgcode, ""):
            raise
        # a table without the column, or with one that has no order, such as json; a view that raises
        raise stop(
            "other-version-table",
            f"{schema}.{table} is no version table of Alembic's: {error.diag.message_primary}",
            fix="export MIGRATE_VERSION_TABLE=NAME   # the one that env.py configures",
            sqlstate=error.pgcode,
        ) from error
    return tuple(str(row[0]) for row in found)


def invalid_indexes(connection: Connection, schemas: Sequence[str]) -> tuple[InvalidIndex, ...]:
    """The indexes of these schemas that are INVALID and that nobody is building."""
    return tuple(InvalidIndex(*row) for row in connection.rows(_INVALID, {"schemas": list(schemas)}))


def _where(server: Server) -> str:
    return f"database {server.database} at {server.address or 'the local socket'}"


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
