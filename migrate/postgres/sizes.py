"""How large tables are, how many rows they have, how busy they are, and how long a revision took over them before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.foresee.live import Earlier, TableSize
from migrate.core.schema.differences import parse
from migrate.postgres import ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from migrate.postgres.connection import Connection

# With partitions and children, toast and indexes. A partitioned table that was analysed has -1 pages. pg_class has the sizes as of the last VACUUM or ANALYZE, and is read
# without a lock; files are measured where nobody keeps readers out. Rows that are written count since the statistics of
# the database were reset, of which the time is known only where somebody did that.
_SIZES: Final = """
    WITH RECURSIVE asked AS (
      SELECT a.path, c.oid
        FROM ROWS FROM (pg_catalog.unnest(%(paths)s::text[]), pg_catalog.unnest(%(schemas)s::text[]),
                        pg_catalog.unnest(%(names)s::text[])) AS a(path, nsp, rel)
        JOIN pg_catalog.pg_namespace n ON n.nspname = a.nsp
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = a.rel AND c.relkind IN ('r', 'p', 'm', 'f')
    ), parts AS (
      SELECT path, oid FROM asked
      UNION
      SELECT p.path, i.inhrelid FROM parts p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
    ), measured AS (
      SELECT p.path, c.oid, c.relkind, c.reltuples, greatest(c.relpages, 0)
             + coalesce((SELECT sum(x.relpages) FROM pg_catalog.pg_index i
                           JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
                          WHERE i.indrelid IN (c.oid, c.reltoastrelid)), 0)
             + coalesce((SELECT t.relpages FROM pg_catalog.pg_class t WHERE t.oid = c.reltoastrelid), 0) AS pages
        FROM parts p JOIN pg_catalog.pg_class c ON c.oid = p.oid
    )
    SELECT m.path,
           sum(greatest(m.pages * pg_catalog.current_setting('block_size')::bigint,
                        CASE WHEN %(measure)s AND m.relkind IN ('r', 'm')
                             THEN pg_catalog.pg_total_relation_size(m.oid) END))::bigint,
           sum(CASE WHEN m.relkind = 'p' THEN NULL WHEN m.reltuples >= 0 THEN m.reltuples
                    ELSE nullif(s.n_live_tup, 0) END)::bigint,
           sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::bigint,
           (SELECT CASE WHEN d.stats_reset IS NOT NULL
                        THEN greatest(extract(epoch FROM pg_catalog.now() - d.stats_reset) / 60, 1) END
              FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database())::float
      FROM measured m LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = m.oid
     GROUP BY m.path
"""
_LAST: Final = """
    WITH done AS (
      SELECT s.step_id, s.revision, s.details -> 'heavy' AS heavy,
             (extract(epoch FROM s.finished_at - s.started_at) * 1000)::bigint AS took_ms
        FROM migrate.step s
       WHERE s.target = %(target)s AND s.kind = 'upgrade' AND s.status = 'finished' AND s.details ? 'heavy')
    SELECT DISTINCT ON (heavy ->> 'table', heavy ->> 'effect')
           heavy ->> 'table', heavy ->> 'effect', revision, (heavy ->> 'bytes')::bigint, took_ms
      FROM done WHERE heavy ->> 'table' = ANY (%(tables)s)
     ORDER BY heavy ->> 'table', heavy ->> 'effect', step_id DESC
"""


def table_sizes(
    connection: Connection, tables: Collection[str], *, default: str, lock_timeout_s: float
) -> Mapping[str, TableSize]:
    """Those of the tables that are there, by their paths as identities write them, relative to the schema ``default``.

    Raises psycopg2.Error.
    """
    if not tables:
        return {}
    places = [(path, parse(f"table {path}").path) for path in sorted(tables)]
    asked = {
        "paths": [path for path, _ in places],
        "schemas": [names[0] if len(names) > 1 else default for _, names in places],
        "names": [names[-1] for _, names in places],
    }
    for measure in (True, False):
        try:
            with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=lock_timeout_s):
                rows = connection.rows(_SIZES, {**asked, "measure": measure})
        except psycopg2.errors.LockNotAvailable:
            if not measure:
                raise
            continue
        return {path: _size(*facts) for path, *facts in rows}
    raise AssertionError  # the second try has returned or raised


def last_over(
    connection: Connection, tables: Collection[str], *, key: str, lock_timeout_s: float
) -> Mapping[tuple[str, str], Earlier]:
    """By table and kind of effect, the last revision of the ledger's target ``key``; nothing where no ledger can be read.

    Raises psycopg2.Error.
    """
    with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=lock_timeout_s):
        if not ledger.exists(connection):
            return {}
        rows = connection.rows(_LAST, {"target": key, "tables": sorted(tables)})
    return {(table, kind): Earlier(*facts) for table, kind, *facts in rows}


def _size(number: int, rows: int | None, written: int | None, minutes: float | None) -> TableSize:
    if minutes is None or written is None:
        return TableSize(number, rows, None, written)
    return TableSize(number, rows, round(written / minutes), written)
