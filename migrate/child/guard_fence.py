"""The guard's fence: before each transaction, and each statement that commits by itself, the guard is seen to be held."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from migrate.child.course import Refused
from migrate.child.driver import (
    commits_by_itself,
    configure,
    configuring,
    do_by_driver,
    do_in_one,
    driver_of,
    in_transaction,
    is_autocommit,
    is_outside,
)
from migrate.child.hook import Observer
from migrate.core.problems.driver_errors import said_by
from migrate.core.schema.sql_text import commits, stands_outside, statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from migrate.child.course import Course
    from migrate.child.hook import Statement

NEXT: Final = "the next statement"
_OF_LEDGER: Final = "migrate_ledger"  # a savepoint
_TIMEOUTS: Final = frozenset({"lock_timeout", "statement_timeout"})
_CONCURRENTLY: Final = re.compile(r"\bconcurrently\b", re.IGNORECASE)
# What may commit within.
_CALLS: Final = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:call|do)\b", re.IGNORECASE | re.DOTALL)


class GuardFence(Observer):
    """The fence on env.py's connection; with it come the timeouts and the worker's name, and the mark."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self.asks = course.task.guard
        self._session = course.task.session
        self._is_pooled = course.task.is_pooled
        self._held_s = 0.0  # when the guard was last seen to be held
        self._marked: Any = None  # the driver's connection whose session has the mark
        self.wraps = False  # a statement that would commit by itself runs in a transaction of ours
        self._in_autocommit = False
        self._waits_long = False

    def begun(self, connection: Connection) -> None:
        """Timeouts and the worker's name hold for each transaction; through the driver, as no transaction of ours may begin."""
        if is_autocommit(connection):
            return
        # a statement of its own: in the first one of a transaction, the timeouts that a role brings are in force
        marks = [self.asks.mark_transaction]
        if not self._is_pooled and self._marked is not driver_of(connection):
            marks.append(self.asks.mark_session)
        settings = configuring(self._session, *marks, is_local=True)
        asked = f"SELECT pg_catalog.txid_current(), pg_catalog.pg_backend_pid(), {self.asks.is_held}"
        xid, pid, held = do_in_one(connection, settings, asked)
        self._marked = driver_of(connection)
        self.expect(held, "the next transaction")
        self._course.tell_began(int(xid), pid)

    def sending(self, statement: Statement) -> None:
        """Ask before what commits by itself, and tell the parent of the first one; else now and then."""
        connection = statement.connection
        if self.wraps:  # it failed, and the revision went on
            self.unwrap(connection, "ROLLBACK")
        if not commits_by_itself(connection):
            self._expect_still(connection)
            return
        self._course.tell_autocommit()
        if self._is_pooled:
            self._pass_pooled(connection, statement.sql)
            return
        # CREATE INDEX CONCURRENTLY waits for others by design: a timeout would leave an INVALID index
        waits_long = _CONCURRENTLY.search(statement.sql) is not None
        settings: Mapping[str, str] = {}
        if not self._in_autocommit or waits_long != self._waits_long:  # in between, the user's own settings hold
            settings = {**self._session, **(dict.fromkeys(_TIMEOUTS, "0") if waits_long else {})}
        # Last of all: this process, or its parent, may have been stopped at any time before. From here on the session
        # has the mark, so that whoever holds the guard by the time that the statement arrives has ended it.
        *_, held = configure(connection, settings, self.asks.may_write, is_local=False)
        self._in_autocommit, self._waits_long = True, waits_long
        self._marked = driver_of(connection)
        self.expect(held, NEXT)

    @property
    def marked_and_held(self) -> str:
        """Takes the mark until the transaction ends, then asks for the guard."""
        return f"CASE WHEN {self.asks.mark_transaction} THEN {self.asks.is_held} ELSE false END"

    def _pass_pooled(self, connection: Connection, sql: str) -> None:
        """Let a statement that commits by itself pass, though through a pooler no session is ours.

        Settings and a mark would stay on another client's connection. So the statement gets a transaction, and that has the
        mark; one that can have none has the question alone.
        """
        self.ask(connection, self.marked_and_held, NEXT)
        if not is_outside(connection):  # a driver that begins one by itself; or it cannot be known
            return
        parts = statements(sql)
        is_whole = not any(stands_outside(part) or commits(part) or _CALLS.match(part) for part in parts)
        if is_whole and self._course.task.keeps is None:
            self.wrap(connection)

    def wrap(self, connection: Connection) -> None:
        """Begin a transaction of ours around a statement that would commit by itself; through a pooler, with the mark."""
        do_by_driver(connection, "BEGIN")
        self.wraps = True
        if self._is_pooled:
            *_, held = configure(connection, self._session, self.marked_and_held, is_local=True)
            self.expect(held, NEXT)

    def unwrap(self, connection: Connection, how: str) -> None:
        """End it, by COMMIT or ROLLBACK."""
        self.wraps = False
        do_by_driver(connection, how)

    def ask(self, connection: Connection, question: str, what: str) -> None:
        """Raises Refused where the guard was gone before ``what``."""
        self.expect(do_by_driver(connection, f"SELECT {question}")[0], what)

    def expect(self, held: object, what: str) -> None:
        """As `ask`, where the answer is there."""
        if not held:
            raise Refused("guard-lost", f"the job lock was gone before {what}")
        self._held_s = time.monotonic()

    def pass_between(self, connection: Connection, what: str) -> None:
        """Ask between two revisions, whatever the connection does; not again in a moment. Raises Refused.

        A moment is the heartbeat's: what runs in a transaction is asked again before it is committed, each statement
        that commits by itself before it is sent.
        """
        if time.monotonic() - self._held_s >= self._course.task.guard_every_s:
            with in_transaction(connection):
                self.ask(connection, self.asks.is_held, what)

    def finish(self, connection: Connection, finish_sql: str | None, what: str) -> tuple[str | None, bool]:
        """Let the revision's own transaction close its step of the ledger, then ask. Raises Refused.

        Why the step could not be written, and whether it was: the release matters more, e.g. after a SET ROLE.
        """
        problem, is_recorded, end = None, True, []
        with in_transaction(connection):
            if finish_sql is not None:
                inside = [] if commits_by_itself(connection) else [f"SAVEPOINT {_OF_LEDGER}"]
                try:
                    is_recorded = bool(do_in_one(connection, *inside, finish_sql)[0])
                    end = [f"RELEASE SAVEPOINT {_OF_LEDGER}"] if inside else []
                except Exception as error:
                    if getattr(error, "connection_invalidated", False):
                        raise
                    problem = said_by(error)
                    end = [f"ROLLBACK TO SAVEPOINT {_OF_LEDGER}"] if inside else []
            self.expect(do_in_one(connection, *end, f"SELECT {self.asks.is_held}")[0], what)
        return problem, is_recorded

    def _expect_still(self, connection: Connection) -> None:
        """In a long transaction, look now and then: it will not be committed, but need not go on without the guard."""
        if time.monotonic() - self._held_s < self._course.task.guard_every_s:
            return
        answer = None
        with suppress(Exception):  # a transaction that has failed gives none, and commits nothing
            answer = do_by_driver(connection, f"SELECT {self.asks.is_held}")
        if answer is not None:
            self.expect(answer[0], NEXT)

    def leave_autocommit(self, connection: Connection) -> None:
        """Undo what an autocommit block left on the session; a user's later statements must not inherit it."""
        if not self._in_autocommit:
            return
        for name in self._session:
            do_by_driver(connection, f"RESET {name}")
        if connection.in_transaction() and not is_autocommit(connection):
            configure(connection, self._session, is_local=True)
        self._in_autocommit = False

    def give_mark_back(self, connection: Connection) -> None:
        """At the end: a pool would keep the session, and the mark with it."""
        if self._marked is not None and not self._is_pooled:
            do_by_driver(connection, f"SELECT {self.asks.unmark_session}")
            self._marked = None
