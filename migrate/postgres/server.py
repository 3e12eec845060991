"""Who answers at a connection, and what this role may do there: what a release must know before it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.decide.observation import Server
from migrate.core.problems import sql, stop
from migrate.core.search_path import schemas_of
from migrate.postgres.errors import problem_of
from migrate.postgres.planned import in_json

if TYPE_CHECKING:
    from migrate.core.problems import Stop
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

OLDEST: Final = 140000  # the catalog functions that the schema is read with, and client_connection_check_interval

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
    SELECT t.oid IS NOT NULL AS has_table,
           CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
                ELSE pg_catalog.has_schema_privilege(n.oid, 'CREATE') END,
           t.oid IS NULL OR (pg_catalog.has_table_privilege(t.oid, 'SELECT')
             AND pg_catalog.has_table_privilege(t.oid, 'INSERT') AND pg_catalog.has_table_privilege(t.oid, 'UPDATE')
             AND pg_catalog.has_table_privilege(t.oid, 'DELETE')),
           n.oid IS NOT NULL,
           t.oid IS NULL OR pg_catalog.has_table_privilege(t.oid, 'SELECT'),
           (SELECT CASE WHEN a.atttypmod >= 4 THEN a.atttypmod - 4 END FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = t.oid AND a.attname = 'version_num' AND NOT a.attisdropped)
      FROM (VALUES (who.nsp)) AS asked(nsp)
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = asked.nsp
      LEFT JOIN LATERAL (
       SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relnamespace = n.oid AND c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v') OFFSET 0) AS t ON true
"""
# Where the objects would be looked for, and this role may not look: PostgreSQL passes over such a schema of the
# search_path without a word. One in which there is nothing hides nothing; the catalogs show what is there all the same.
_UNSEEN: Final = """
    SELECT n.nspname::text,
           CASE WHEN pg_catalog.pg_has_role(n.nspowner, 'MEMBER') AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
                THEN pg_catalog.pg_get_userbyid(n.nspowner)::text END
      FROM pg_catalog.unnest(%(path)s::text[]) WITH ORDINALITY AS named(nsp, at)
     CROSS JOIN LATERAL (
       SELECT oid, nspname, nspowner FROM pg_catalog.pg_namespace WHERE nspname = named.nsp OFFSET 0) AS n
     WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND (%(schema)s::text IS NULL OR n.nspname = %(schema)s::text
            OR NOT {has_table}
               AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid
                              AND (c.relname = %(table)s::text
                                   OR named.at < pg_catalog.array_position(%(path)s::text[], %(schema)s::text))))
     ORDER BY named.at LIMIT 1
"""
# In one question where the schemas are known before the server has told its search_path.
_SERVER: Final = f"""
    SELECT *, CASE WHEN %(path)s::text[] IS NOT NULL THEN {in_json(_UNSEEN.format(has_table="has.has_table"), 2)} END
      FROM ({_WHO}) AS who CROSS JOIN LATERAL ({_RIGHTS}) AS has
"""

# Who has the rights on the version table, or on its schema, where this role may become it and does not inherit from it.
_OWNER: Final = """
    SELECT pg_catalog.pg_get_userbyid(owner)::text
      FROM (SELECT coalesce((SELECT t.relowner FROM pg_catalog.pg_class t
                              WHERE t.relnamespace = n.oid AND t.relname = %(table)s), n.nspowner) AS owner
              FROM pg_catalog.pg_namespace n WHERE n.nspname = %(schema)s) AS has
     WHERE pg_catalog.pg_has_role(owner, 'MEMBER') AND NOT pg_catalog.pg_has_role(owner, 'USAGE')
"""


def read_server(connection: Connection, target: Target) -> Server:
    """Who answers and what this role may do there. Raises Stop."""
    try:
        return _read_server(connection, target)
    except psycopg2.Error as error:
        raise problem_of(error, doing="asking the server who it is", connection=connection) from error


def _read_server(connection: Connection, target: Target) -> Server:
    given = target.version_table_schema
    path = (given, *target.schemas[:1]) if given is not None else ()
    asked = {"schema": given, "table": target.version_table, "path": list(path) or None}
    libpq_pid = connection.info.backend_pid
    *found, unseen = connection.planned(_SERVER, asked)[0]
    number, version, address, database, user, encoding, recovery, read_only, pid, setting, schema, *rights = found
    has_table, may_create, may_write, schema_exists, may_read, width = rights
    place = {"schema": schema, "table": target.version_table}
    if not path:
        path = schemas_of(setting, user) + target.schemas[:1]
        asked = {**place, "path": list(path), "has_table": has_table}
        unseen = connection.planned(_UNSEEN.format(has_table="%(has_table)s"), asked)
    name, owner = unseen[0] if unseen else (None, None)
    if not unseen and not (may_write and may_create):
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


def _where(server: Server) -> str:
    return f"database {server.database} at {server.address or 'the local socket'}"
