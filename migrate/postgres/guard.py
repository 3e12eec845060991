"""The guard: the job lock that lets one run at a time touch a target, as a lease that a lost node cannot keep.

Beside it the mark: a second lock, shared, that every connection of a run takes before it asks whether the guard is still
there and then changes anything. Whoever takes the guard waits until nobody has the mark, so that no freeze of a process
leaves room for two (docs/decisions/0015-one-at-work.md).

Never `pg_advisory_lock`: its blocked waiters hold a snapshot that hangs CREATE INDEX CONCURRENTLY for everybody.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.digest import sha256
from migrate.core.events import Event, Level, Name
from migrate.core.problems import stop
from migrate.core.problems.driver_errors import said_by
from migrate.core.quoting import Quoted
from migrate.postgres import activity
from migrate.postgres.backend_names import BACKUP_NAME, GUARD_NAME
from migrate.postgres.connection import jitter
from migrate.postgres.errors import problem_of
from migrate.postgres.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrate.context import Context
    from migrate.postgres.connection import Connection

LEASE_S: Final = 60  # without a heartbeat the server ends the holder's transaction after this
HEARTBEAT_S: Final = 10.0
HEARTBEAT_ANSWER_S: Final = 15.0  # a heartbeat without an answer for this long counts as a lost guard
SAY_AGAIN_S: Final = 8.0  # how often a waiter repeats for whom it waits: a platform must see a line every 10 s
ORPHAN_POLL_S: Final = 0.3
# How long a run without a guard has to end what it began; then whatever of it waits for its client is ended by us.
ORPHAN_GRACE_S: Final = 5.0

_TAKE: Final = """
    SELECT pg_catalog.set_config('application_name', %(name)s, true),
           pg_catalog.set_config('idle_in_transaction_session_timeout', %(lease)s, true),
           CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL
                THEN pg_catalog.set_config('transaction_timeout', '0', true) END,
           pg_catalog.pg_backend_pid(),
           pg_catalog.pg_try_advisory_xact_lock(%(key)s)
"""
# No parameters, and no `::` to be taken for one: env.py's connection asks it too, over whatever driver it has.
_HAS: Final = """
    EXISTS (SELECT 1 FROM pg_catalog.pg_locks l
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid = {pid}
               AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                                  WHERE d.datname = pg_catalog.current_database())
               AND CAST(l.classid AS bigint) = {high} AND CAST(l.objid AS bigint) = {low})
"""
_HOLDER: Final = """
    SELECT a.pid, a.application_name, a.xact_start
      FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       AND l.classid::bigint = %(high)s AND l.objid::bigint = %(low)s
     LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class GuardKey:
    """The 64-bit key of the advisory lock, made of the version table's name; the database is part of every such lock."""

    value: int

    @classmethod
    def of(cls, schema: str | None, table: str) -> GuardKey:
        """The key for one version table; ``schema`` is the resolved one."""
        digest = sha256(f"migrate:{schema or ''}:{table}".encode()).digest()
        return cls(int.from_bytes(digest[:8], "big", signed=True))

    @property
    def mark(self) -> GuardKey:
        """The key of the mark that goes with this guard."""
        digest = sha256(f"migrate:mark:{self.value}".encode()).digest()
        return GuardKey(int.from_bytes(digest[:8], "big", signed=True))

    @property
    def halves(self) -> dict[str, int]:
        """As `pg_locks` shows the key: ``classid`` is the high half, ``objid`` the low one."""
        unsigned = self.value & 0xFFFF_FFFF_FFFF_FFFF
        return {"high": unsigned >> 32, "low": unsigned & 0xFFFF_FFFF}


def _fence_of(key: GuardKey, pid: int) -> Fence:
    """The fence of the guard that backend ``pid`` holds."""
    mark = key.mark
    is_held = _HAS.format(pid=pid, **key.halves)
    has_mark = _HAS.format(pid="pg_catalog.pg_backend_pid()", **mark.halves)
    mark_session = f"pg_catalog.pg_try_advisory_lock_shared({mark.value})"
    return Fence(
        is_held,
        f"pg_catalog.pg_try_advisory_xact_lock_shared({mark.value})",
        mark_session,
        f"CASE WHEN {has_mark} OR {mark_session} THEN {is_held} ELSE false END",
        f"pg_catalog.pg_advisory_unlock_shared({mark.value})",
    )


class Guard:
    """The guard while this run holds it; ``lost`` says why it no longer does, and ``lost_fd`` is readable then."""

    def __init__(self, connection: Connection, key: GuardKey, pid: int) -> None:
        self.key = key
        self.pid = pid
        self.fence = _fence_of(key, pid)
        self._why_lost: str | None = None
        self._connection = connection
        self._answered_s = _now()
        self._was_silent = False
        self.lost_fd, self._lost = -1, -1
        self._ended, self._end = -1, -1
        self._thread = threading.Thread(target=self._beat, name="guard", daemon=True)

    @property
    def lost(self) -> str | None:
        """Why the guard is lost; None while it is held. A process that was stopped knows it by its clock, at once."""
        if self.ran_out:
            return "its lease ran out: this process was stopped, or its machine was, for longer than that"
        return self._why_lost

    @property
    def ran_out(self) -> bool:
        """Whether the server has waited for a heartbeat longer than the lease: it has given the guard to others then."""
        return self._was_silent or (self._why_lost is None and _now() - self._answered_s > LEASE_S)

    def _beat(self) -> None:
        while True:
            try:
                # the connection is silent but for our own questions: readable means that the server has ended it
                readable, _, _ = select.select([self._connection.fileno(), self._ended], [], [], HEARTBEAT_S)
                if self._ended in readable:
                    return
                self._connection.row("SELECT 1")
                self._answered_s = _now()
            except psycopg2.Error as error:
                self._was_silent = _now() - self._answered_s > LEASE_S
                self._why_lost = said_by(error) if str(error).strip() else "no answer"
                os.write(self._lost, b"!")  # never read: it stays readable for whoever waits next
                return

    def start(self) -> None:
        """Begin the heartbeat."""
        self._answered_s = _now()
        self._connection.beat = None  # only who does the work says that it goes on
        self._connection.interruption = None  # a signal must not end the lock before the statement is rolled back
        self.lost_fd, self._lost = os.pipe()
        self._ended, self._end = os.pipe()
        self._thread.start()

    def release(self) -> None:
        """Give the guard back; an unreachable server has freed it or will within the lease."""
        os.write(self._end, b"!")
        self._thread.join(timeout=1.0)
        with suppress(psycopg2.Error):
            if not self._connection.closed:
                self._connection.wait_s = 1.0
                self._connection.run("ROLLBACK")
        with suppress(psycopg2.Error):
            if self._thread.is_alive():  # it waits for an answer, which must not be taken for that of the next run
                self._connection.close()
            self._connection.let_go()
        if not self._thread.is_alive():
            for fd in (self.lost_fd, self._lost, self._ended, self._end):
                os.close(fd)


def _now() -> float:
    """Seconds on a clock that goes on while the machine is suspended, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@contextmanager
def guarded(
    connection: Connection, key: GuardKey, context: Context, *, is_known_to_others: bool = True
) -> Iterator[Guard]:
    """Hold the guard on ``connection``, which does nothing else from here on and is closed at the end.

    Polls for as long as the limits say, then waits as long for what a dead run still has at work on the server, which
    is nothing in a database that is not ``is_known_to_others``. Raises Stop (`guard-busy`, `orphan-worker`, `deadline`,
    `connection-lost`) or Interrupted.
    """
    connection.wait_s = HEARTBEAT_ANSWER_S
    try:
        guard = _take(connection, key, context)
        if is_known_to_others:
            _wait_for_orphans(connection, key, context)
    except psycopg2.Error as error:
        raise problem_of(error, doing="taking the job lock") from error
    guard.start()
    try:
        yield guard
    finally:
        guard.release()


def _take(connection: Connection, key: GuardKey, context: Context) -> Guard:
    began = time.monotonic()
    said_at = float("-inf")
    while True:
        pid, taken, holder = _try(connection, key, context.run_id)
        waited = time.monotonic() - began
        if taken:
            context.emit(
                Event(
                    Name.GUARD_ACQUIRED,
                    "this run holds the job lock"
                    if waited < 1
                    else f"this run holds the job lock, after {waited:.0f} s",
                    fields={"waited_ms": round(waited * 1000), "backend_pid": pid},
                ),
            )
            return Guard(connection, key, pid)
        who, since = holder
        if waited >= context.limits.guard_s:
            raise stop(
                "guard-busy",
                f"{who} has held the job lock since {since}; waited {waited:.0f} s",
                names={"holder": who},
                holder=who,
                held_since=since,
            )
        context.refuse_overdue(f"after {waited:.0f} s of waiting for {who}, which has held the job lock since {since}")
        if time.monotonic() - said_at >= SAY_AGAIN_S:
            said_at = time.monotonic()
            context.emit(
                Event(
                    Name.GUARD_WAITING,
                    f"waiting for {who}, which has held the job lock since {since}",
                    fields={"holder": who, "held_since": since, "waited_ms": round(waited * 1000)},
                ),
            )
        # short at first (a run with nothing left to do holds it for milliseconds), spread out later
        delay = jitter(0.5, 1.0) * min(0.1 + waited / 4, 2.0)
        context.pause(delay)


def _wait_for_orphans(connection: Connection, key: GuardKey, context: Context) -> None:
    """Return when no connection of a run without a guard can go on any more; asking keeps the lease.

    A backup is ended: it only reads, and its locks would be in the way. Whatever waits for its client, in a transaction
    or between two statements that commit by themselves, is ended after a grace: the client is stopped or lost, and may
    not go on. A statement that executes is waited for: what it builds is worth more whole than in part.
    """
    began = time.monotonic()
    said_at = float("-inf")
    denied: str | None = None
    while found := activity.orphans(connection, key.mark.halves):
        orphan = found[0]
        waited = time.monotonic() - began
        if orphan.name.startswith(BACKUP_NAME) or (orphan.waits_for_client and waited >= ORPHAN_GRACE_S):
            denied = activity.terminate_orphan(connection, orphan, key.mark.halves)
        if waited >= context.limits.guard_s:
            why = f"; it cannot be ended: {denied}" if denied else ""
            raise stop(
                "orphan-worker",
                f"backend {orphan.pid} ({orphan.name}, {orphan.state}) of a dead run is still at work after"
                f" {orphan.age_s:.0f} s{why}",
                fix=orphan.fix_of_denied if denied else None,
                names={"pid": orphan.pid, "url": Quoted(connection.target.url_in_shell)},
            )
        left_behind = f"backend {orphan.pid} ({orphan.state}), which a dead run left behind"
        context.refuse_overdue(f"after {waited:.0f} s of waiting for {left_behind}")
        if time.monotonic() - said_at >= SAY_AGAIN_S:
            said_at = time.monotonic()
            context.emit(
                Event(
                    Name.ORPHAN_WAITING,
                    f"waiting for {left_behind}",
                    Level.WARN,
                    {
                        "backend_pid": orphan.pid,
                        "application_name": orphan.name,
                        "waited_ms": round(waited * 1000),
                    },
                ),
            )
        context.pause(ORPHAN_POLL_S)
        activity.look_anew(connection)


def _try(connection: Connection, key: GuardKey, run_id: str) -> tuple[int, bool, tuple[str, str]]:
    row = connection.row(
        f"BEGIN ISOLATION LEVEL READ COMMITTED; {_TAKE}",
        {"name": f"{GUARD_NAME}{run_id}", "lease": f"{LEASE_S}s", "key": key.value},
    )
    if row[4]:
        return row[3], True, ("", "")
    found = connection.rows(_HOLDER, key.halves)
    connection.run("ROLLBACK")
    if not found:
        return row[3], False, ("another run", "a moment ago")
    pid, name, since = found[0]
    who = (
        name.removeprefix(GUARD_NAME)
        if name and name.startswith(GUARD_NAME)
        else f"backend {pid} ({name or 'unnamed'})"
    )
    return (
        row[3],
        False,
        (who, f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since is not None else "an unknown time"),
    )
