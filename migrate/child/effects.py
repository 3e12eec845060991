"""Watches what the statements of a revision do in a throw-away database: PostgreSQL's messages, its locks, rows written."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from migrate.child.driver import commits_by_itself, driver_of, in_transaction, rows_by_driver
from migrate.child.hook import Observer
from migrate.child.paths import PathWatch
from migrate.child.protocol import Watched
from migrate.core.foresee.opaque import hides_writes, only_defines
from migrate.core.foresee.watched import Lock, Relation, Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from migrate.child.course import Course
    from migrate.child.hook import Statement
    from migrate.child.variables import VariableWatch

_CONCURRENTLY: Final = re.compile(r"\bconcurrently\b", re.IGNORECASE)
_LIMIT: Final = "(EXTRACT(epoch FROM CAST(pg_catalog.current_setting('lock_timeout') AS interval)) * 1000)::bigint"
_STOP: Final = "SELECT pg_catalog.set_config('client_min_messages', 'notice', false)"
_SPEAK: Final = "SELECT pg_catalog.set_config('client_min_messages', 'debug1', false)"
_WRITTEN: Final = """
    pg_catalog.pg_stat_get_xact_tuples_inserted({0}) + pg_catalog.pg_stat_get_xact_tuples_updated({0})
      + pg_catalog.pg_stat_get_xact_tuples_deleted({0})
"""
# What a transaction wrote that had begun `since` is told, and of all the number: who has none of the newer rows is as it was,
# if none is missing. A row of the own transaction is newer each time. Relations have their schema's name from another row.
_LISTEN: Final = f"""
    WITH since AS (SELECT pg_catalog.age(CAST('{{since}}' AS xid)) AS age),
         relations AS (SELECT oid, xmin, CASE WHEN relkind IN ('r', 'p', 'm', 'f') THEN {_WRITTEN.format("oid")} ELSE 0 END AS written
                         FROM pg_catalog.pg_class
                        WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm', 'f', 'i', 'I')
                          AND relnamespace <> CAST('pg_toast' AS pg_catalog.regnamespace))
    SELECT pg_catalog.set_config('client_min_messages', 'debug1', false), {_LIMIT},
           CASE WHEN pg_catalog.pg_snapshot_xmin(now) = pg_catalog.pg_snapshot_xmax(now)
                 AND CAST(CAST(pg_catalog.pg_snapshot_xmax(now) AS text) AS bigint) < 4294967296
                THEN CAST(pg_catalog.pg_snapshot_xmax(now) AS text) END,
           (SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.sum(CAST(oid AS bigint)),
                                        pg_catalog.string_agg(CAST(xmin AS text), ',' ORDER BY oid)) FROM pg_catalog.pg_namespace
             WHERE oid >= 16384 OR nspname = 'public'),
           (SELECT pg_catalog.count(*) FROM relations),
           (SELECT pg_catalog.string_agg(CAST(oid AS text), ' ') FROM relations
             WHERE pg_catalog.age(xmin) <= (SELECT age FROM since)),
           (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', oid, written), ';') FROM relations WHERE written <> 0)
      FROM pg_catalog.pg_current_snapshot() AS now
"""
_NEVER: Final = "3"  # no transaction begins before this one
_RELATIONS: Final = """
    SELECT c.oid::bigint, CAST(n.nspname AS text), CAST(c.relname AS text), CAST(c.relkind AS text),
           c.relfilenode::bigint, coalesce(i.indrelid, 0)::bigint
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I') AND n.nspname <> 'pg_toast'
"""
# Whoever writes rows holds a lock on their table, so that only those are counted. A dropped table has no row in pg_class.
_LOCKS: Final = f"""
    SELECT l.relation::bigint, l.mode,
           CASE WHEN l.mode = 'RowExclusiveLock' THEN {_WRITTEN.format("l.relation")} ELSE 0 END,
           coalesce(c.relfilenode, 0)::bigint,
           EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = l.relation AND i.indisclustered),
           coalesce(CAST(c.relname AS text), ''), {_LIMIT}
      FROM (SELECT 1) AS always
      LEFT JOIN pg_catalog.pg_locks l
        ON l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
           AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
      LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
"""


class EffectWatch(Observer):
    """Follows the statements of one revision after the other, and tells what each revision was seen to do."""

    def __init__(self, course: Course, variables: VariableWatch, *, follows: bool) -> None:
        """``follows``: of a revision that fails, whether it may do more where the rows are others, is told as well."""
        self._course = course
        self._variables = variables
        self._driver: Any = None  # the connection that is listened to
        self._revision: str | None = None  # the one that is watched
        self._heard: list[str] = []
        self._relations: dict[int, Relation] = {}
        self._since: str | None = (
            None  # the first transaction that had not begun when they were; None: they are not known
        )
        self._schemas = ""  # as they were then
        self._written: dict[int, int] = {}  # rows of them, as the session counts on
        self._traces: list[Trace] = []
        self._limit = 0  # the revision found it so
        self._paths = PathWatch() if follows else None
        self._sending = ""  # the statement that has not come back
        self._is_opaque = False  # one that came back may write rows unseen
        self._is_silenced = False  # it may have told the server to say less, as every script of pg_dump's does

    def begin(self, connection: Connection) -> None:
        """A revision begins: remember what is there, under its name."""
        driver = driver_of(connection)
        if driver is not self._driver:
            self._driver, self._since = driver, None
            _listen(driver, self._heard.append)
        with in_transaction(connection):
            self._remember(connection)
        self._traces = []
        self._revision = self._course.current
        self._is_opaque = False
        if self._paths is not None:
            self._paths.begin()

    def _remember(self, connection: Connection) -> None:
        """Ask for the relations, of which most are known, and for the rows that the session has written."""
        asked = _LISTEN.format(since=self._since or _NEVER)
        ((_, limit, since, schemas, count, newer, written),) = rows_by_driver(connection, asked)
        self._limit = int(limit)
        self._written = {
            int(oid): int(rows) for oid, rows in (one.split() for one in (written or "").split(";") if one)
        }
        anew = {int(oid) for oid in (newer or "").split()}
        kept = {oid: relation for oid, relation in self._relations.items() if oid not in anew}
        if self._since is None or schemas != self._schemas or len(kept) != int(count) - len(anew):
            kept, only = {}, ""  # a row that is not newer was there: fewer of them are others
        else:
            only = f" AND c.oid IN ({', '.join(map(str, anew))})"
        if not only or anew:
            kept |= {row[0]: Relation(*row) for row in rows_by_driver(connection, _RELATIONS + only)}
        self._relations, self._since, self._schemas = kept, since, schemas

    def sending(self, statement: Statement) -> None:
        """What is heard from here on is of this statement."""
        self._sending = statement.sql
        self._heard.clear()
        if self._revision is not None and self._is_silenced:
            self._is_silenced = False
            rows_by_driver(statement.connection, _SPEAK)

    def sent(self, statement: Statement) -> None:
        """Look at what it has said and what it holds; one that commits by itself holds no lock any more."""
        if self._revision is None:
            return
        self._sending = ""
        self._is_silenced = "client_min_messages" in statement.sql.lower()
        self._is_opaque = self._is_opaque or (self._paths is not None and hides_writes(statement.sql))
        commits = commits_by_itself(statement.connection)
        heard = tuple(self._heard)
        found = [] if commits else rows_by_driver(statement.connection, _LOCKS)
        locks = tuple(Lock(*row[:6]) for row in found if row[0] is not None)
        limit = int(found[0][6]) if found else self._limit
        concurrently = _CONCURRENTLY.search(statement.sql) is not None
        self._traces.append(Trace(heard, locks, limit, commits, concurrently))

    def end(self, connection: Connection) -> None:
        """The revision is done: tell what it was seen to do."""
        if self._revision is not None:
            rows_by_driver(connection, _STOP)
            self._tell(may_mend=False)

    def give_up(self, error: BaseException) -> None:
        """As `end`, of a revision that has failed: tell what it did until then."""
        seen = self._paths is None or (only_defines(self._sending) and not self._paths.left_out(error.__traceback__))
        self._tell(may_mend=self._is_opaque or not seen or _is_inside(error))

    def _tell(self, *, may_mend: bool) -> None:
        if self._paths is not None:
            self._paths.end()
        revision, self._revision = self._revision, None
        if revision is not None:
            names = tuple(sorted(self._variables.names))
            watched = Watched(revision, self._concerned(), tuple(self._traces), self._limit, names, may_mend)
            self._course.channel.tell(watched)

    def _concerned(self) -> tuple[Relation, ...]:
        """The relations that the traces speak of; a foreign key's message does not say which tables it is between."""
        said = [message for trace in self._traces for message in trace.messages]
        locked = {lock.relation for trace in self._traces for lock in trace.locks}
        there = list(self._relations.values())
        if not any("foreign key" in message for message in said):
            named = {each.oid for each in there if any(each.name in message for message in said)}
            oids = locked | named | {each.table for each in there if each.oid in locked}
            there = [each for each in there if each.oid in oids]
        return tuple(each._replace(written=self._written.get(each.oid, 0)) for each in there)


def _is_inside(error: BaseException) -> bool:
    """Whether the server says that it was in a function or a block; every driver has its word for that."""
    found: BaseException | None = error
    while found is not None:
        for place in (found, getattr(found, "orig", None)):
            context = getattr(getattr(place, "diag", place), "context", None)
            if isinstance(context, str) and "function" in context:
                return True
        found = found.__cause__ or found.__context__
    return False


def _listen(driver: Any, hear: Callable[[str], object]) -> None:
    """Hear what the server says on a connection, whichever driver it is; one that cannot say so is not heard."""
    inner = getattr(driver, "driver_connection", None) or getattr(driver, "_connection", driver)
    if hasattr(inner, "add_notice_handler"):  # psycopg
        inner.add_notice_handler(lambda said: hear(said.message_primary or ""))
    elif hasattr(inner, "notices"):  # psycopg2: any list will do
        inner.notices = _Notices(hear)
    elif hasattr(inner, "add_log_listener"):  # asyncpg
        with suppress(Exception):
            inner.add_log_listener(lambda _, said: hear(said.message or ""))


class _Notices(list[str]):
    """psycopg2's list of notices, which tells each and keeps none: `DEBUG:  rewriting table "t"`."""

    def __init__(self, hear: Callable[[str], object]) -> None:
        super().__init__()
        self._hear = hear

    def append(self, said: str) -> None:
        """One message, with its severity before it."""
        self._hear(said.partition(":")[2].strip())
