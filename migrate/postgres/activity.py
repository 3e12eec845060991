"""What other backends of the server do: who blocks, who is still at work for a dead run, what became of a transaction."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.core.problems import shell, sql
from migrate.postgres.backend_names import BACKUP_NAME, GUARD_NAME
from migrate.postgres.savepoint import savepoint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from migrate.core.problems import Fix
    from migrate.postgres.connection import Connection

INVALID_PARAMETER: Final = "22023"

# Who has the mark of a guard that somebody else holds by now, and backups of ours whose run holds no guard. Another role's
# backup is not ours to end; whoever has to wait for it names it. A role that may not see a state sees locks: a backend
# without a virtual transaction id is idle.
_ORPHANS: Final = f"""
    SELECT w.pid, coalesce(w.application_name, ''),
           coalesce(w.state, CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks v
                                                WHERE v.pid = w.pid AND v.locktype = 'virtualxid' AND v.granted)
                                  THEN 'unknown' ELSE 'idle' END),
           coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(w.xact_start, w.state_change)), 0)::float,
           pg_catalog.quote_ident(CAST(current_user AS text)), coalesce(r.rolsuper, true)
      FROM pg_catalog.pg_stat_activity w LEFT JOIN pg_catalog.pg_roles r ON r.oid = w.usesysid
     WHERE w.datname = pg_catalog.current_database() AND w.pid <> pg_catalog.pg_backend_pid()
       AND (w.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l
                       WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = w.datid
                         AND l.classid::bigint = %(high)s AND l.objid::bigint = %(low)s)
            OR w.application_name LIKE '{BACKUP_NAME}%%' AND w.usename = current_user
               AND w.state IS DISTINCT FROM 'idle'
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity g
                                WHERE g.datname = w.datname AND g.pid <> pg_catalog.pg_backend_pid()
                                  AND g.application_name
                                    = '{GUARD_NAME}' || pg_catalog.split_part(w.application_name, ':', 3)
                                  AND g.state IS DISTINCT FROM 'idle'))
     ORDER BY w.xact_start
"""
# Through a pooler the backend may serve somebody else by the time: it is ended only where it still has the mark.
_TERMINATE_ORPHAN: Final = """
    SELECT pg_catalog.pg_terminate_backend(w.pid) FROM pg_catalog.pg_stat_activity w
     WHERE w.pid = %(pid)s AND coalesce(w.application_name, '') = %(name)s
       AND (w.application_name LIKE %(backup)s
            OR w.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l
                          WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = w.datid
                            AND l.classid::bigint = %(high)s AND l.objid::bigint = %(low)s))
"""
_BLOCKERS: Final = """
    SELECT b.pid, coalesce(a.state, 'unknown') AS state,
           coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.backend_start)), 0)::float
             AS age_s,
           coalesce(a.application_name, '') AS application_name,
           (SELECT pg_catalog.string_agg(DISTINCT w.relation::regclass::text, ', ')
              FROM pg_catalog.pg_locks w
              JOIN pg_catalog.pg_locks h ON h.relation = w.relation AND h.database = w.database
             WHERE w.pid = %(pid)s AND NOT w.granted AND h.pid = b.pid) AS relation,
           a.query AS query
      FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%(pid)s)) AS b(pid)
      LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
"""
_IN_THE_WAY: Final = """
    SELECT a.pid, coalesce(a.state, 'unknown') AS state,
           extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float AS age_s,
           coalesce(a.application_name, '') AS application_name,
           pg_catalog.string_agg(DISTINCT l.relation::regclass::text, ', ') AS relation,
           a.query AS query
      FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'relation' AND l.granted AND l.relation::regclass::text = ANY (%(relations)s)
       AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       AND a.pid <> pg_catalog.pg_backend_pid()
       AND a.xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(older_s)s)
     GROUP BY a.pid, a.state, a.xact_start, a.application_name, a.query
     ORDER BY a.xact_start
"""
# Who waits for such a lock keeps readers out, too: they queue behind.
_EXCLUSIVE: Final = """
    SELECT a.pid, coalesce(a.state, 'unknown') AS state,
           coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::float AS age_s,
           coalesce(a.application_name, '') AS application_name,
           pg_catalog.string_agg(DISTINCT l.relation::regclass::text, ', ') AS relation,
           a.query AS query
      FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
       AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       AND a.pid <> pg_catalog.pg_backend_pid()
     GROUP BY a.pid, a.state, a.xact_start, a.application_name, a.query
     ORDER BY a.xact_start
"""
_STATEMENT: Final = """
    SELECT coalesce(a.state, 'unknown'),
           coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change), 0)::float,
           coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.query_start), 0)::float,
           pg_catalog.left(a.query, 200),
           coalesce(p.phase, CASE WHEN a.wait_event = 'SyncRep' THEN 'waiting for a synchronous standby' END),
           CASE WHEN p.blocks_total > 0 THEN 100.0 * p.blocks_done / p.blocks_total
                WHEN p.tuples_total > 0 THEN 100.0 * p.tuples_done / p.tuples_total
                WHEN p.lockers_total > 0 THEN 100.0 * p.lockers_done / p.lockers_total END::float,
           a.wait_event_type = 'Lock'
      FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = a.pid
     WHERE a.pid = %(pid)s
"""
# The words that may be shown of a statement; everything else could be data.
_KEYWORDS: Final = frozenset(
    [
        "ALTER",
        "ANALYZE",
        "CALL",
        "CLUSTER",
        "COMMIT",
        "CONCURRENTLY",
        "CONSTRAINT",
        "COPY",
        "CREATE",
        "DELETE",
        "DO",
        "DROP",
        "INDEX",
        "INSERT",
        "INTO",
        "LOCK",
        "MATERIALIZED",
        "REFRESH",
        "REINDEX",
        "SELECT",
        "TABLE",
        "TRUNCATE",
        "UNIQUE",
        "UPDATE",
        "VACUUM",
        "VIEW",
        "WITH",
    ],
)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A connection, or a backup, that a dead run left: ``age_s`` of its transaction, or since it became idle.

    ``ours`` is the role that found it, quoted; ``of_superuser`` whether only a superuser may end it.
    """

    pid: int
    name: str
    state: str
    age_s: float
    ours: str
    of_superuser: bool

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing executes: its run would have to send the next statement."""
        return self.state.startswith("idle")

    @property
    def fix_of_denied(self) -> Fix | None:
        """The right by which we could end it; None where a superuser must do it."""
        if self.of_superuser:
            return None
        return sql(f"GRANT pg_signal_backend TO {self.ours};", note="as a superuser; then run migrate again")


@dataclass(frozen=True, slots=True)
class RunningStatement:
    """What one backend does: its state and since when, how long its statement runs, how far an index is.

    ``command`` are the statement's first keywords, never its text.
    """

    state: str
    still_s: float
    elapsed_s: float
    command: str
    phase: str | None
    percent: float | None
    waits_for_lock: bool


def orphans(connection: Connection, mark: Mapping[str, int]) -> list[Orphan]:
    """What runs left that hold no guard, the oldest first: who has the ``mark`` of our guard, and backups.

    ``mark`` are the halves of its key.
    """
    return [Orphan(*row) for row in connection.planned(_ORPHANS, mark)]


def look_anew(connection: Connection) -> None:
    """See what is new: the activity view is frozen for the length of a transaction, and the guard's connection lives in one."""
    connection.row("SELECT pg_catalog.pg_stat_clear_snapshot()")


def terminate_orphan(connection: Connection, orphan: Orphan, mark: Mapping[str, int]) -> str | None:
    """End it, from within the guard's transaction; what the server says where this role may not."""
    about = {"pid": orphan.pid, "name": orphan.name, "backup": f"{BACKUP_NAME}%", **mark}
    try:
        with savepoint(connection):  # an error would end the transaction that holds the guard
            connection.rows(_TERMINATE_ORPHAN, about)
    except psycopg2.Error as error:
        if connection.closed:
            raise
        return error.diag.message_primary or type(error).__name__
    return None


def is_served(connection: Connection, name: str, within_s: float) -> bool:
    """Whether the server has had anything to do for the sessions of this ``application_name`` in the last ``within_s``."""
    found = connection.row(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = %(name)s AND (state = 'active'"
        " OR state_change > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(within)s)))",
        {"name": name, "within": within_s},
    )
    return bool(found[0])


def statement(connection: Connection, pid: int) -> RunningStatement | None:
    """What backend ``pid`` does; None where it is gone."""
    found = connection.rows(_STATEMENT, {"pid": pid})
    if not found:
        return None
    state, still_s, elapsed_s, query, phase, percent, waits = found[0]
    return RunningStatement(state, still_s, elapsed_s, _command(query or ""), phase, percent, bool(waits))


def _command(query: str) -> str:
    words = query.upper().split()
    if words[:2] == ["ALTER", "TABLE"] and "VALIDATE" in words:
        return "VALIDATE CONSTRAINT"
    shown: list[str] = []
    for word in words[:4]:
        if word not in _KEYWORDS:
            break
        shown.append(word)
    return " ".join(shown) or "statement"


def blockers(connection: Connection, pid: int, *, with_query: bool = False) -> list[dict[str, Any]]:
    """Who holds, or waits before us for, what backend ``pid`` waits for; the query's text only where asked for."""
    return _told(connection, _BLOCKERS, {"pid": pid}, with_query=with_query)


def in_the_way(
    connection: Connection,
    relations: Collection[str],
    *,
    older_s: float,
    with_query: bool = False,
) -> list[dict[str, Any]]:
    """Transactions older than ``older_s`` seconds that hold a lock on one of the relations, as `blockers` tells them."""
    return _told(connection, _IN_THE_WAY, {"relations": list(relations), "older_s": older_s}, with_query=with_query)


def exclusive(connection: Connection) -> list[dict[str, Any]]:
    """Who holds, or waits for, a lock beside which nobody can read, as `blockers` tells them."""
    return _told(connection, _EXCLUSIVE, {}, with_query=False)


def _told(connection: Connection, sql: str, parameters: dict[str, object], *, with_query: bool) -> list[dict[str, Any]]:
    names = ("pid", "state", "age_s", "application_name", "relation", "query")
    found = [dict(zip(names, row, strict=True)) for row in connection.rows(sql, parameters)]
    for row in found:
        row["age_s"] = round(row["age_s"], 1)
        if not with_query:
            del row["query"]
    return found


def who(found: Sequence[Mapping[str, Any]]) -> str:
    """The sessions in the way, for people."""
    return "; ".join(described(blocker) for blocker in found[:5])


def described(blocker: Mapping[str, Any]) -> str:
    """One session in the way: process id, name, state, age of its transaction, relation; the query where it was read."""
    name = blocker["application_name"] or "unnamed"
    on = f" on {blocker['relation']}" if blocker.get("relation") else ""
    query = f": {blocker['query']}" if blocker.get("query") else ""
    return f"backend {blocker['pid']} ({name}, {blocker['state']}, {blocker['age_s']:.0f} s){on}{query}"


def fix_of_blocked(found: Sequence[Mapping[str, Any]], url: str) -> Fix | None:
    """What ends the sessions in the way; None where they are unknown or runs of ours. ``url``: `Target.url_in_shell`."""
    pids = [blocker["pid"] for blocker in found if not blocker["application_name"].startswith("migrate:")]
    if not pids:
        return None
    ended = ", ".join(f"pg_terminate_backend({pid})" for pid in pids[:5])
    return shell(f"psql {url} -c 'SELECT {ended}'", note="or wait until they have ended; then run migrate again")


def cancel(connection: Connection, pid: int, name: str | None = None) -> None:
    """Cancel what backend ``pid`` executes; nothing where it is gone, or is no longer called ``name``."""
    _tell("pg_cancel_backend", connection, pid, name)


def terminate(connection: Connection, pid: int, name: str | None = None) -> None:
    """End backend ``pid``; nothing where it is gone, or is no longer called ``name``."""
    _tell("pg_terminate_backend", connection, pid, name)


def terminate_all(connection: Connection, name: str) -> None:
    """End every backend of this ``application_name``."""
    with suppress(psycopg2.Error):
        connection.rows(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            " WHERE application_name = %(name)s",
            {"name": name},
        )


def _tell(function: str, connection: Connection, pid: int, name: str | None) -> None:
    with suppress(psycopg2.Error):
        connection.rows(
            f"SELECT pg_catalog.{function}(pid) FROM pg_catalog.pg_stat_activity"
            " WHERE pid = %(pid)s AND (%(name)s::text IS NULL OR application_name = %(name)s)",
            {"pid": pid, "name": name},
        )


def transaction_id(connection: Connection) -> int:
    """The id of the connection's transaction, by which `transaction_status` can be asked what became of it."""
    return int(connection.row("SELECT pg_catalog.txid_current()")[0])


def transaction_status(connection: Connection, xid: int) -> str | None:
    """``committed``, ``aborted`` or ``in progress``; None where the server no longer knows (txid_status, 10+).

    A crash forgets the ids of transactions of which nothing had reached the disk: an id that is yet to come was one.
    """
    try:
        status = connection.row("SELECT pg_catalog.txid_status(%(xid)s)", {"xid": xid})[0]
    except psycopg2.Error as error:
        if error.pgcode == INVALID_PARAMETER:
            return "aborted"
        raise
    return None if status is None else str(status)


def waiting_for_locks(connection: Connection, within_s: float) -> list[int]:
    """The backends of this role in this database, but for runs of ours, whose statement of the last ``within_s`` waits."""
    rows = connection.rows(
        "SELECT pid FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database()"
        " AND usename = current_user AND state = 'active' AND wait_event_type = 'Lock'"
        " AND pid <> pg_catalog.pg_backend_pid() AND application_name NOT LIKE 'migrate:%%'"
        " AND query_start > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(within)s)"
        " ORDER BY query_start",
        {"within": within_s},
    )
    return [pid for (pid,) in rows]


def is_role_busy(connection: Connection) -> bool:
    """Whether the server executes anything in this database for this role, but for runs of ours."""
    found = connection.row(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database()"
        " AND usename = current_user AND state = 'active' AND pid <> pg_catalog.pg_backend_pid()"
        " AND application_name NOT LIKE 'migrate:%')",
    )
    return bool(found[0])
