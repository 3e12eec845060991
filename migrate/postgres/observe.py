"""Reads the target as it is: who answers, the version rows, the objects there; one snapshot, nothing written."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg2
import psycopg2.errors

from migrate.core.decide.observation import InvalidIndex, Observation, Server
from migrate.core.problems import again, shell, sql, stop
from migrate.core.search_path import schemas_of
from migrate.postgres import ledger
from migrate.postgres.errors import code_of, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from migrate.core.decide.policy import Limits
    from migrate.core.problems import Stop
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

Read = TypeVar("Read")

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

_WHO: Final = f"""
    SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),
           host(pg_catalog.inet_server_addr()), pg_catalog.current_database()::text, current_user::text,
           pg_catalog.current_setting('server_encoding'), pg_catalog.pg_is_in_recovery(),
           pg_catalog.current_setting('transaction_read_only') = 'on',
           pg_catalog.pg_backend_pid(), pg_catalog.current_setting('search_path'), {RESOLVE_SCHEMA} AS nsp
"""

_RIGHTS: Final = """
    SELECT t.oid IS NOT NULL,
           CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
                ELSE pg_catalog.has_schema_privilege(n.oid, 'CREATE') END,
           t.oid IS NULL OR (pg_catalog.has_table_privilege(t.oid, 'SELECT')
             AND pg_catalog.has_table_privilege(t.oid, 'INSERT') AND pg_catalog.has_table_privilege(t.oid, 'UPDATE')
             AND pg_catalog.has_table_privilege(t.oid, 'DELETE')),
           n.oid IS NOT NULL,
           t.oid IS NULL OR pg_catalog.has_table_privilege(t.oid, 'SELECT'),
           (SELECT CASE WHEN a.atttypmod >= 4 THEN a.atttypmod - 4 END FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = t.oid AND a.attname = 'version_num' AND NOT a.attisdropped)
      FROM (VALUES (who.nsp, %(table)s::text)) AS asked(nsp, rel)
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = asked.nsp
      LEFT JOIN pg_catalog.pg_class t ON t.relnamespace = n.oid AND t.relname = asked.rel AND t.relkind IN ('r', 'p', 'v')
"""
_SERVER: Final = f"SELECT * FROM ({_WHO}) AS who CROSS JOIN LATERAL ({_RIGHTS}) AS has"

# Where the objects would be looked for, and this role may not look: PostgreSQL passes over such a schema of the
# search_path without a word. One in which there is nothing hides nothing; the catalogs show what is there all the same.
_UNSEEN: Final = """
    SELECT n.nspname::text,
           CASE WHEN pg_catalog.pg_has_role(n.nspowner, 'MEMBER') AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
                THEN pg_catalog.pg_get_userbyid(n.nspowner)::text END
      FROM pg_catalog.unnest(%(path)s::text[]) WITH ORDINALITY AS named(nsp, at)
      JOIN pg_catalog.pg_namespace n ON n.nspname = named.nsp
     WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND (%(schema)s::text IS NULL OR n.nspname = %(schema)s::text
            OR NOT %(has_table)s
               AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid
                              AND (c.relname = %(table)s::text
                                   OR named.at < pg_catalog.array_position(%(path)s::text[], %(schema)s::text))))
     ORDER BY named.at LIMIT 1
"""

# Who has the rights on the version table, or on its schema, where this role may become it and does not inherit from it.
_OWNER: Final = """
    SELECT pg_catalog.pg_get_userbyid(owner)::text
      FROM (SELECT coalesce((SELECT t.relowner FROM pg_catalog.pg_class t
                              WHERE t.relnamespace = n.oid AND t.relname = %(table)s), n.nspowner) AS owner
              FROM pg_catalog.pg_namespace n WHERE n.nspname = %(schema)s) AS has
     WHERE pg_catalog.pg_has_role(owner, 'MEMBER') AND NOT pg_catalog.pg_has_role(owner, 'USAGE')
"""

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
_INVALID: Final = """
    SELECT n.nspname::text, pg_catalog.quote_ident(t.relname), pg_catalog.quote_ident(c.relname),
           pg_catalog.pg_get_indexdef(i.indexrelid),
           (SELECT pg_catalog.quote_ident(k.conname) FROM pg_catalog.pg_constraint k
             WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
           i.indisunique, i.indisexclusion, CASE c.relkind WHEN 'I' THEN i.indexrelid END
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT i.indisvalid AND c.relkind IN ('i', 'I') AND n.nspname = ANY (%(schemas)s)
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


def read_server(connection: Connection, target: Target) -> Server:
    """Who answers and what this role may do there. Raises Stop."""
    try:
        return _read_server(connection, target)
    except psycopg2.Error as error:
        raise problem_of(error, doing="asking the server who it is", connection=connection) from error


def _read_server(connection: Connection, target: Target) -> Server:
    asked = {"schema": target.version_table_schema, "table": target.version_table}
    libpq_pid = connection.info.backend_pid
    found = connection.planned(_SERVER, asked)[0]
    number, version, address, database, user, encoding, recovery, read_only, pid, setting, schema, *rights = found
    has_table, may_create, may_write, schema_exists, may_read, width = rights
    place = {"schema": schema, "table": target.version_table}
    path = (
        schemas_of(setting, user) if target.version_table_schema is None else (target.version_table_schema,)
    ) + target.schemas[:1]
    unseen = connection.planned(_UNSEEN, {**place, "path": list(path), "has_table": has_table})
    name, owner = unseen[0] if unseen else (None, None)
    if unseen == [] and not (may_write and may_create):
        owner = next((row[0] for row in connection.rows(_OWNER, place)), None)
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
        version_width=width,
        search_path=path,
        unseen=name,
        owner=owner,
    )


def refuse_wrong_server(server: Server, target: Target) -> None:
    """Raises Stop for a server on which a release must not even take a lock."""
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
    """Raises Stop where the role can not write the version table, or can not make it."""
    from migrate.core.problems.privileges import fix_of_member  # a run with nothing to do refuses nothing here
    from migrate.core.quoting import identifier

    def refuse(why: str, grant: str) -> Stop:
        note = ""
        if server.owner is not None:
            why = f"{why}; it may become role {server.owner}, which may, but does not inherit from it"
            note = fix_of_member(server.owner, target.url_from)
        return stop("missing-privilege", why, fix=sql(grant, note=note))

    role = identifier(server.user)
    if server.unseen is not None:
        raise refuse(
            f"role {server.user} may not look into schema {server.unseen}, so that what is there is not known",
            f"GRANT USAGE ON SCHEMA {identifier(server.unseen)} TO {role};",
        )
    if server.schema is None:
        first = next((name for name in server.search_path if name != server.user), server.user)
        raise refuse(
            f"no schema of the search_path of role {server.user} ({', '.join(server.search_path) or 'it is empty'}) exists"
            f" in database {server.database}",
            f"CREATE SCHEMA {identifier(first)} AUTHORIZATION {role};",
        )
    schema = identifier(server.schema)
    if not server.may_write_versions:
        does = "write" if server.may_read_versions else "read"
        raise refuse(
            f"role {server.user} may not {does} {server.schema}.{target.version_table}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{identifier(target.version_table)} TO {role};",
        )
    if not server.may_create and not server.schema_exists:
        raise refuse(
            f"schema {server.schema} does not exist, and role {server.user} may not create it",
            f"CREATE SCHEMA {schema} AUTHORIZATION {role};",
        )
    # With a version table, revisions may need no new object in its schema; one that does ends with this grant itself.
    if not server.may_create and not server.has_version_table:
        raise refuse(
            f"role {server.user} may not create objects in schema {server.schema}",
            f"GRANT CREATE, USAGE ON SCHEMA {schema} TO {role};",
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
        try:
            with connection.transaction("REPEATABLE READ READ ONLY", lock_timeout_s=limits.lock_s):
                return read()
        except psycopg2.Error as error:
            found = problem_of(error, doing="reading the catalog", connection=connection)
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
        connection.run("SAVEPOINT ledger")
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


def _where(server: Server) -> str:
    return f"database {server.database} at {server.address or 'the local socket'}"


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
