"""Reads what `migrate doctor` judges: roles, locks, time limits, replicas; one read-only transaction, nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.doctor.facts import (
    Diagnosis,
    EventTrigger,
    Extension,
    OpenTransaction,
    Prepared,
    Replica,
    Role,
    Slot,
    Table,
    Timeout,
    Tls,
    Vacuum,
    VersionTable,
)
from migrate.postgres.backend_names import GUARD_NAME
from migrate.postgres.errors import problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.decide.policy import Limits
    from migrate.core.history.touched import Touched
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

_THIS_DATABASE: Final = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
_TRUSTED_SINCE: Final = 130000  # pg_available_extension_versions.trusted

_ROLE: Final = """
    SELECT current_user::text, r.rolsuper,
           pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
           n.oid IS NOT NULL,
           coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE')
             AND coalesce((SELECT bool_and(pg_catalog.has_table_privilege(c.oid, 'SELECT')
                                  AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
                                  AND pg_catalog.has_table_privilege(c.oid, 'UPDATE'))
                             FROM pg_catalog.pg_class c
                            WHERE c.relnamespace = n.oid AND c.relname IN ('run', 'step')),
                          pg_catalog.has_schema_privilege(n.oid, 'CREATE')), false)
      FROM pg_catalog.pg_roles r LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'migrate'
     WHERE r.rolname = current_user
"""
_TLS: Final = """
    SELECT coalesce(s.ssl, false), s.version, pg_catalog.current_setting('ssl') = 'on'
      FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_stat_ssl s ON s.pid = pg_catalog.pg_backend_pid()
"""
_TIMEOUTS: Final = """
    SELECT name, pg_catalog.current_setting(name), source FROM pg_catalog.pg_settings
     WHERE name = ANY (%(names)s) AND setting <> '0'
     ORDER BY name
"""
_TIMEOUT_NAMES: Final = (
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
)
_VERSION_TABLE: Final = """
    SELECT c.relkind::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
           CASE WHEN a.atttypmod >= 4 THEN a.atttypmod - 4 END,
           EXISTS (SELECT FROM pg_catalog.pg_index i
                    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                      AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'version_num' AND NOT a.attisdropped
     WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
# Alembic's version table has one column, and nobody else calls it so.
_OTHER_VERSION_TABLES: Final = """
    SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND NOT (n.nspname = coalesce(%(schema)s, '') AND c.relname = %(table)s)
       AND n.nspname !~ '^pg_'
     GROUP BY n.nspname, c.relname HAVING pg_catalog.array_agg(a.attname::text) = ARRAY['version_num']
     ORDER BY 1
"""
_TABLES_COUNT: Final = """
    SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname = ANY (%(schemas)s)
       AND NOT (n.nspname = %(schema)s AND c.relname = %(table)s)
"""
_TABLES: Final = """
    SELECT c.oid, c.oid::regclass::text, pg_catalog.quote_ident(o.rolname), o.rolsuper,
           pg_catalog.pg_has_role(c.relowner, 'USAGE'), pg_catalog.pg_total_relation_size(c.oid), asked.altered,
           asked.written AND pg_catalog.row_security_active(c.oid)
      FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]),
                      pg_catalog.unnest(%(altered)s::boolean[]), pg_catalog.unnest(%(written)s::boolean[]))
           AS asked(nsp, rel, altered, written)
      JOIN pg_catalog.pg_namespace n ON n.nspname = coalesce(nullif(asked.nsp, ''), %(schema)s)
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = asked.rel
      JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
     ORDER BY 2
"""
# Of another role's backend an ordinary role sees the pid, the name and its locks, and nothing else.
_TRANSACTIONS: Final = f"""
    SELECT * FROM (
      SELECT a.pid, coalesce(a.application_name, ''), a.state,
             extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float AS age_s,
             ARRAY(SELECT DISTINCT l.relation::regclass::text FROM pg_catalog.pg_locks l
                    WHERE l.pid = a.pid AND l.granted AND l.database = {_THIS_DATABASE}
                      AND l.relation = ANY (%(oids)s::oid[]) ORDER BY 1) AS relations
        FROM pg_catalog.pg_stat_activity a
       WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
         AND coalesce(a.backend_type, 'client backend') = 'client backend' AND a.application_name NOT LIKE 'migrate:%%'
    ) AS found
     WHERE age_s > %(older_s)s OR (age_s IS NULL AND state IS NULL AND relations <> '{{}}')
     ORDER BY age_s DESC NULLS LAST
"""
# Its locks carry the virtual id of the backend that is gone, which its lock on its own transaction id shares.
_PREPARED: Final = f"""
    SELECT p.gid, p.owner::text, extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float,
           ARRAY(SELECT DISTINCT l.relation::regclass::text FROM pg_catalog.pg_locks l
                    JOIN pg_catalog.pg_locks own ON own.virtualtransaction = l.virtualtransaction AND own.pid IS NULL
                   WHERE l.pid IS NULL AND own.transactionid = p.transaction
                    AND l.database = {_THIS_DATABASE} AND l.relation = ANY (%(oids)s::oid[]) ORDER BY 1)
      FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()
     ORDER BY p.prepared
"""
_VACUUMS: Final = """
    SELECT a.pid, p.relid::regclass::text, extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float,
           p.relid = ANY (%(oids)s::oid[])
      FROM pg_catalog.pg_stat_progress_vacuum p JOIN pg_catalog.pg_stat_activity a ON a.pid = p.pid
     WHERE p.datname = pg_catalog.current_database() AND a.backend_type = 'autovacuum worker'
       AND a.query LIKE '%%(to prevent wraparound)'
     ORDER BY 3 DESC
"""
_REPLICAS: Final = """
    SELECT coalesce(nullif(application_name, ''), host(client_addr), 'local'), state, sync_state,
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::bigint
      FROM pg_catalog.pg_stat_replication ORDER BY 1
"""
_SLOTS: Final = """
    SELECT slot_name::text,
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint
      FROM pg_catalog.pg_replication_slots WHERE NOT active AND NOT temporary AND restart_lsn IS NOT NULL ORDER BY 1
"""
_SYNC: Final = """
    SELECT CASE WHEN pg_catalog.current_setting('synchronous_commit') IN ('on', 'remote_write', 'remote_apply')
                THEN pg_catalog.current_setting('synchronous_standby_names') ELSE '' END
"""
_EVENT_TRIGGERS: Final = """
    SELECT t.evtname::text, t.evtevent::text, t.evtfoid::regproc::text FROM pg_catalog.pg_event_trigger t
     WHERE t.evtenabled <> 'D' AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass
              AND d.objid = t.oid AND d.deptype = 'e')
     ORDER BY 1
"""
_EXTENSIONS: Final = """
    SELECT asked.name, e.oid IS NOT NULL, a.name IS NOT NULL, {trusted}
      FROM pg_catalog.unnest(%(names)s::text[]) AS asked(name)
      LEFT JOIN pg_catalog.pg_extension e ON e.extname = asked.name
      LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = asked.name
     ORDER BY 1
"""
_TRUSTED: Final = """
    EXISTS (SELECT FROM pg_catalog.pg_available_extension_versions v
             WHERE v.name = asked.name AND v.version = a.default_version AND (v.trusted OR NOT v.superuser))
"""
_RUNS: Final = """
    SELECT application_name FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND application_name LIKE %(guards)s ORDER BY 1
"""


def diagnose(
    connection: Connection,
    target: Target,
    limits: Limits,
    *,
    schema: str | None,
    touched: Touched,
    extensions: Sequence[str],
) -> Diagnosis:
    """The facts; ``schema`` is the version table's, ``touched`` what pending revisions touch.

    Transactions are told that are older than the lock timeout. Raises Stop.
    """
    try:
        # before the transaction, which has a time limit of its own
        timeouts = tuple(Timeout(*row) for row in connection.rows(_TIMEOUTS, {"names": list(_TIMEOUT_NAMES)}))
        with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=limits.lock_s):
            return _diagnose(connection, target, limits, schema, touched, extensions, timeouts)
    except psycopg2.Error as error:
        raise problem_of(error, doing="reading what the server does") from error


def _diagnose(
    connection: Connection,
    target: Target,
    limits: Limits,
    schema: str | None,
    touched: Touched,
    extensions: Sequence[str],
    timeouts: tuple[Timeout, ...],
) -> Diagnosis:
    place: dict[str, Any] = {"schema": schema, "table": target.version_table}
    schemas = [*target.schemas_beside(schema)]
    tables = _tables(connection, schema, touched)
    oids = {"oids": [oid for oid, _ in tables], "older_s": limits.lock_s}
    shapes = connection.rows(_VERSION_TABLE, place)
    kind, column_type, length, has_key = shapes[0] if shapes else (None, None, None, False)
    others = connection.rows(_OTHER_VERSION_TABLES, place)
    replicas = tuple(Replica(*row) for row in connection.rows(_REPLICAS))
    names = connection.row(_SYNC)[0]
    waiting = names if not any(replica.sync_state in {"sync", "quorum"} for replica in replicas) else ""
    trusted = _TRUSTED if connection.server_version >= _TRUSTED_SINCE else "false"
    return Diagnosis(
        role=Role(*connection.row(_ROLE)),
        tls=Tls(*connection.row(_TLS)),
        timeouts=timeouts,
        version_table=VersionTable(
            schema,
            target.version_table,
            kind,
            column_type,
            length,
            has_key,
            tuple(row[0] for row in others),
        ),
        tables_count=connection.row(_TABLES_COUNT, {**place, "schemas": schemas})[0],
        tables=tuple(table for _, table in tables),
        transactions=tuple(
            OpenTransaction(pid, name, state, age_s, tuple(relations))
            for pid, name, state, age_s, relations in connection.rows(_TRANSACTIONS, oids)
        ),
        prepared=tuple(
            Prepared(gid, owner, age_s, tuple(relations))
            for gid, owner, age_s, relations in connection.rows(_PREPARED, oids)
        ),
        vacuums=tuple(Vacuum(*row) for row in connection.rows(_VACUUMS, oids)),
        replicas=replicas,
        slots=tuple(Slot(*row) for row in connection.rows(_SLOTS)),
        waits_for=waiting,
        event_triggers=tuple(EventTrigger(*row) for row in connection.rows(_EVENT_TRIGGERS)),
        extensions=tuple(
            Extension(*row) for row in connection.rows(_EXTENSIONS.format(trusted=trusted), {"names": list(extensions)})
        ),
        runs=tuple(row[0] for row in connection.rows(_RUNS, {"guards": f"{GUARD_NAME}%"})),
    )


def _tables(connection: Connection, schema: str | None, touched: Touched) -> list[tuple[int, Table]]:
    asked = [(name, True) for name in sorted(touched.altered)] + [(name, False) for name in sorted(touched.used)]
    found = connection.rows(
        _TABLES,
        {
            "schema": schema,
            "schemas": [name.schema for name, _ in asked],
            "names": [name.name for name, _ in asked],
            "altered": [altered for _, altered in asked],
            "written": [name in touched.written for name, _ in asked],
        },
    )
    return [(row[0], Table(*row[1:])) for row in found]
