"""What only a look into the tables and at other backends tells about residue: duplicate keys, and runs that are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.postgres.backend_names import GUARD_NAME, WORKER_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from migrate.core.decide.observation import InvalidIndex
    from migrate.postgres.connection import Connection

# The key of an index: its columns or expressions, the condition of a partial one, and whether nulls are equal (15+).
_KEY: Final = """
    SELECT ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, n, true)
                   FROM pg_catalog.generate_series(1, i.indnkeyatts) AS n),
           pg_catalog.pg_get_expr(i.indpred, i.indrelid),
           coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %(schema)s AND pg_catalog.quote_ident(c.relname) = %(name)s
"""
_LIVE: Final = f"""
    SELECT DISTINCT pg_catalog.split_part(application_name, ':', 3) FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND state IS DISTINCT FROM 'idle'
       AND pid <> pg_catalog.pg_backend_pid()
       AND (application_name LIKE '{GUARD_NAME}%' OR application_name LIKE '{WORKER_NAME}%')
"""


def duplicates(
    connection: Connection, indexes: Iterable[InvalidIndex], go_on: Callable[[], None]
) -> dict[InvalidIndex, int]:
    """How many keys of each unique index occur more than once; reads the tables, however long that takes.

    Raises psycopg2.Error, and what ``go_on`` raises, as in `Connection.patient`.
    """
    unique = [index for index in indexes if index.is_unique]
    if not unique:
        return {}
    with connection.transaction("READ COMMITTED READ ONLY"), connection.patient(go_on):
        # rows that a policy hides are duplicates, too: the server refuses rather than count fewer
        connection.run("SELECT pg_catalog.set_config('row_security', 'off', true)")
        return {index: _count(connection, index) for index in unique}


def _count(connection: Connection, index: InvalidIndex) -> int:
    found = connection.rows(_KEY, {"schema": index.schema, "name": index.name})
    if not found:
        return 0
    keys, condition, nulls_are_equal = found[0]
    schema = index.schema.replace('"', '""')
    wanted = [f"({condition})"] if condition else []
    if not nulls_are_equal:
        wanted += [f"({key}) IS NOT NULL" for key in keys]
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    # by name: GROUP BY takes a number for a position
    columns = ", ".join(f"({key}) AS k{at}" for at, key in enumerate(keys))
    names = ", ".join(f"k{at}" for at in range(len(keys)))
    return int(
        connection.row(
            f'SELECT count(*) FROM (SELECT 1 FROM (SELECT {columns} FROM "{schema}".{index.table}{where}) AS keys'
            f" GROUP BY {names} HAVING count(*) > 1) AS repeated",
        )[0],
    )


def live_runs(connection: Connection) -> frozenset[str]:
    """The ids of the runs that hold a guard or are at work in this database, as seen from another connection."""
    return frozenset(row[0] for row in connection.rows(_LIVE))
