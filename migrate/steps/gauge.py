"""Measures what each revision costs a clone: a look before it and one after its commit, and at its locks meanwhile."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.child.protocol import Wanted, Watched
from migrate.core.measured import LockTimes, Measured, Stored, blocking, held_locks, rows_written, written
from migrate.core.schema.differences import dotted
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import connect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from migrate.child.protocol import Sent
    from migrate.context import Context
    from migrate.core.decide.observation import Server
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

STEP_S: Final = 0.01  # how often the locks are looked at
_FILES: Final = """
    SELECT c.oid::bigint, n.nspname::text, c.relname::text, coalesce(i.indrelid, 0)::bigint, c.relfilenode::bigint,
           coalesce(pg_catalog.pg_relation_size(c.oid), 0)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'i', 'I', 't') AND c.relpersistence <> 't'
       AND n.nspname <> 'migrate'
"""
_WAL: Final = "SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_catalog.pg_lsn)::bigint"
# Of whatever this role has connected since: a revision may make a connection of its own.
_LOCKS: Final = """
    SELECT l.relation::bigint, l.mode, l.granted
      FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'relation' AND l.relation >= 16384 AND a.usename = session_user AND a.datname = current_database()
       AND a.backend_start >= (SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid())
       AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
"""


class Gauge:
    """Follows a run on ``target``, and keeps what each commit brought; to be entered before the run begins."""

    def __init__(self, target: Target, context: Context) -> None:
        self.measured: list[Measured] = []
        self._target = target
        self._context = context
        self._seen: Sequence[Sent | Watched] = ()
        self._told = 0  # how many of them are of what was committed already
        self._default = ""  # the schema whose names are not qualified
        self._version_table = ("", target.version_table)
        self._attempt: object = None
        self._began_s: float | None = None  # None between a commit and the next revision
        self._files: Mapping[int, Stored] = {}
        self._wal: int | None = None
        self._tables: Mapping[int, int] = {}
        self._times = LockTimes()
        self._turn = threading.Lock()  # of the last two
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="migrate-gauge", daemon=True)
        self._locks: Connection | None = None
        self._looks: Connection | None = None

    def __enter__(self) -> Self:
        """Connect, and begin to look at locks. Raises psycopg2.Error."""
        self._locks, self._looks = self._connect(), self._connect()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the looking."""
        del kind, error, trace
        self._ended.set()
        self._sampler.join()
        for connection in (self._locks, self._looks):
            if connection is not None:
                connection.close()

    def wanted(self, server: Server) -> Wanted:
        """What the child is asked to tell of the revisions; through a pooler it could not take back how it listens."""
        self._default = server.schema or ""
        self._version_table = (self._default, self._target.version_table)
        return Wanted(is_watched=not server.pooled)

    def follow(self, seen: Sequence[Sent | Watched]) -> None:
        """Where what the child tells is put down."""
        self._seen = seen

    def began(self, attempt: object) -> None:
        """A revision begins; the first after a commit, or of another ``attempt``, is where the next measure starts."""
        if self._began_s is not None and attempt is self._attempt:
            return
        self._attempt = attempt
        self._told = len(self._seen)
        self._files, self._wal = self._look()
        kept = {
            oid: each
            for oid, each in self._files.items()
            if (each.schema, each.name) != self._version_table and not each.schema.startswith("pg_toast")
        }
        with self._turn:
            self._tables = {oid: each.table or oid for oid, each in kept.items() if (each.table or oid) in kept}
            self._times = LockTimes()
        self._began_s = time.monotonic()

    def committed(self, revisions: Sequence[str]) -> None:
        """These are in the database, and nothing else is at work."""
        if self._began_s is None:
            return
        now = time.monotonic()
        with self._turn:
            self._times.see(now, {}, waits=False)
            times, tables = self._times, self._tables
            self._times, self._tables = LockTimes(), {}
        files, wal = self._look()
        told = [each for each in self._seen[self._told :] if isinstance(each, Watched)]
        names = {oid: self._named(each) for oid, each in (*self._files.items(), *files.items())}
        rows: dict[int, int] = {}
        for each in told:
            for oid, number in rows_written(each.relations, each.traces).items():
                rows[oid] = rows.get(oid, 0) + number
        held = {
            key
            for each in told
            for trace in each.traces
            for key in blocking(((lock.relation, lock.mode) for lock in trace.locks), tables).items()
        }
        self.measured.append(
            Measured(
                tuple(revisions),
                round((now - self._began_s) * 1000),
                round(times.waited_s * 1000),
                wal - self._wal if wal is not None and self._wal is not None else None,
                written(self._files, files) if files and self._files else None,
                tuple(sorted((names[oid], number) for oid, number in rows.items() if self._is_shown(oid, files))),
                bool(told) and not any(trace.commits for each in told for trace in each.traces),
                held_locks(times, held, names),
            )
        )
        self._began_s = None

    def _is_shown(self, oid: int, files: Mapping[int, Stored]) -> bool:
        found = files.get(oid) or self._files.get(oid)
        return found is not None and (found.schema, found.name) != self._version_table

    def _named(self, found: Stored) -> str:
        return dotted([found.name] if found.schema == self._default else [found.schema, found.name])

    def _look(self) -> tuple[Mapping[int, Stored], int | None]:
        """The files, and how much WAL was written; nothing where this server does not tell."""
        assert self._looks is not None
        files: Mapping[int, Stored] = {}
        wal = None
        with suppress(psycopg2.Error), self._looks.transaction(lock_timeout_s=self._context.limits.lock_s):
            files = {oid: Stored(*rest) for oid, *rest in self._looks.rows(_FILES)}
        with suppress(psycopg2.Error):
            wal = int(self._looks.row(_WAL)[0])
        return files, wal

    def _sample(self) -> None:
        """Look at locks until the end; a connection that is lost sees no more."""
        assert self._locks is not None
        with suppress(psycopg2.Error), closing(self._locks):
            while not self._ended.wait(STEP_S):
                rows = self._locks.rows(_LOCKS)
                with self._turn:
                    held = blocking(((oid, mode) for oid, mode, granted in rows if granted), self._tables)
                    waits = bool(self._tables) and any(not granted for _, _, granted in rows)
                    self._times.see(time.monotonic(), held, waits=waits)

    def _connect(self) -> Connection:
        name = f"{CONTROL_NAME}{self._context.run_id}"
        return connect(self._target, application_name=name, interruption=None)
