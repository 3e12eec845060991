"""The child process that runs the user's env.py and revisions; the only module that imports Alembic.

It is started by `migrate.child.parent`, talks to it over one socket (a JSON object a line each way) and never decides anything.
A process of its own, because a revision may do what it likes to its interpreter (docs/decisions/0002-child-process.md).
"""

from __future__ import annotations

import ctypes
import fcntl
import inspect
import json
import os
import re
import signal
import socket
import sys
import termios
import threading
import time
import traceback
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from alembic.autogenerate import RevisionContext
from alembic.config import CommandLine, Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from migrate.child import driver_fence
from migrate.child import records as foreign_records
from migrate.child.flask_context import NoApplication, application_context
from migrate.child.transactions import Division
from migrate.core.history.destruction import says_harmless
from migrate.core.problems.driver_errors import said_by, sqlstate_of, types_of, was_disconnected
from migrate.core.schema.differences import dotted
from migrate.core.schema.repair_sql import quote
from migrate.core.schema.sql_text import commits, stands_outside, statements
from migrate.core.search_path import first_meant
from migrate.core.shadow import strangers
from migrate.core.url import DatabaseUrl
from migrate.core.wording import counted, shortened
from migrate.postgres.losses import Keeping, Lost, Suspect, Unread, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import FrameType

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
PULSE_S: Final = 1.0
PRINTED: Final = 300  # characters of an operation of autogenerate
URL_OPTION: Final = "sqlalchemy.url"
_BAD_INTERPOLATION: Final = "invalid interpolation syntax"  # configparser's, of a % that is not doubled
_TIMEOUTS: Final = frozenset({"lock_timeout", "statement_timeout"})
_READS: Final = re.compile(r"\s*(?:select|show|set|reset|explain|begin|commit|rollback)\b", re.IGNORECASE)
_TEXTS: Final = re.compile(r"'(?:[^']|'')*'")
SHOWN_SQL: Final = 120  # characters of a statement that a message names
# In an autocommit block: what commits in several parts, and what succeeds without a trace (an inspector's questions).
_IN_PARTS: Final = re.compile(r"\s*(?:call|do)\b|.*\bdetach\s+partition\b|.*;\s*\S", re.IGNORECASE | re.DOTALL)
_HARMLESS: Final = re.compile(
    r"\s*(?:(?:show|set|reset|explain|begin|commit|rollback|savepoint|release)\b"
    r"|select\b(?=.*\b(?:pg_catalog|information_schema)\.))",
    re.IGNORECASE | re.DOTALL,
)
_COMMITS: Final = re.compile(r"\s*(?:commit|end)\b", re.IGNORECASE)
_ROWS_WRITTEN: Final = """
    SELECT CASE WHEN pg_catalog.current_setting('track_counts') = 'on'
                THEN (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_catalog.pg_stat_xact_all_tables) END
"""
_ENDS_TRANSACTION: Final = "2D000"  # a COMMIT in a procedure or a DO block that was called in a transaction
_CONCURRENTLY: Final = re.compile(r"\bconcurrently\b", re.IGNORECASE)
_CALLS: Final = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:call|do)\b", re.IGNORECASE | re.DOTALL
)  # what may commit within
_NEXT: Final = "the next statement"
_HERE: Final = "migrate: leads to the database of this run"  # in the `info` of a connection that a revision makes

_WHERE: Final = """
    SELECT {is_held}, pg_catalog.pg_backend_pid(), CAST(pg_catalog.current_database() AS text),
           CAST(pg_catalog.inet_server_addr() AS text),
           coalesce((SELECT CAST(n.nspname AS text) FROM pg_catalog.pg_class c
                       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                      WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(CAST(:table AS text)))),
                    CAST(pg_catalog.current_schema() AS text))
"""
_PATH: Final = "SELECT pg_catalog.current_setting('search_path'), CAST(current_user AS text)"


class Channel:
    """The line to the parent: every message is answered before the child goes on, but for those that are only told."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._reader = self._socket.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()  # the pulse and threads of the user's that log speak too
        self._pid = os.getpid()
        self.driver: Any = None  # the database's connection that a forked process must not speak on
        os.register_at_fork(after_in_child=self._let_go)

    @property
    def is_forked(self) -> bool:
        """Whether this is a process that a revision has forked: it does not speak for the run."""
        return os.getpid() != self._pid

    def keep_from_forks(self, connection: Connection) -> None:
        """Let no process that a revision forks speak on the database's connection: its rollback would be ours."""
        self.driver = _driver_of(connection)

    @property
    def unsent(self) -> int:
        """How many bytes for the database are still in this machine's socket (Linux' SIOCOUTQ); 0 where that is not told."""
        with suppress(Exception):  # no connection yet, a closed one, or a driver without a descriptor to show
            found = fcntl.ioctl(self.driver.fileno(), termios.TIOCOUTQ, bytes(4))
            return int.from_bytes(found, sys.byteorder)
        return 0

    def _let_go(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self._socket.fileno(), inheritable=False)
        with suppress(Exception):  # closed, or of a driver that has no descriptor to show
            os.dup2(null, self.driver.fileno(), inheritable=False)
        os.close(null)

    def tell(self, say: str, **fields: object) -> None:
        """Send without waiting for an answer."""
        if self.is_forked:
            os._exit(1)
        line = json.dumps({"say": say, **fields}, default=str)
        with self._lock:
            self._socket.sendall(line.encode("utf-8", "backslashreplace") + b"\n")

    def call(self, say: str, **fields: object) -> dict[str, Any]:
        """Send and wait for the answer."""
        self.tell(say, **fields)
        return self.receive()

    def receive(self) -> dict[str, Any]:
        """The parent's next message; ends the process where the parent is gone."""
        line = ""
        with suppress(OSError):  # closed with something of ours unread
            line = self._reader.readline()
        if not line:
            os._exit(1)  # nobody is left to report to, and user code must not be given the chance to go on
        message: dict[str, Any] = json.loads(line)
        return message


class Refused(Exception):  # noqa: N818 - a refusal is no error of the code
    """The seam found that it must not go on; carries the code of the catalogue and the names for its fix."""

    def __init__(self, code: str, why: str, **names: object) -> None:
        super().__init__(why)
        self.code = code
        self.names = names
        self.facts: dict[str, object] = {}


class Unsure(Exception):  # noqa: N818 - it asks for another try
    """A revision did something to these tables of which only the rows can tell whether it lost any."""

    def __init__(self, suspects: list[Suspect]) -> None:
        super().__init__("a revision is to be tried once more")
        self.suspects = suspects


class Stopped(Exception):  # noqa: N818 - the parent's wish
    """The parent answered that no further revision, or no statement that commits by itself, may start."""


class OwnCommits:
    """Whether a revision has committed anything by itself: a refusal of the first such statement leaves nothing behind.

    In doubt it has: only what the server shows to have written nothing counts as nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self.any = True
        self._is_answered = True  # no statement that commits by itself is under way
        self._rows: int | None = None
        self._before_it = True  # what `any` was before the statement that was last begun
        self._is_watched = False
        event.listen(connection, "commit", self._before_commit)
        event.listen(connection, "before_cursor_execute", self._before)
        event.listen(connection, "after_cursor_execute", self._after)

    def watch(self, connection: Connection) -> None:
        """A revision begins that may commit a part of itself."""
        is_alone = _is_autocommit(connection)
        self._rows = _rows_written(connection) if connection.in_transaction() and not is_alone else None
        self._is_watched, self.any, self._is_answered = True, self._rows is None and not is_alone, True

    def left_nothing(self, sqlstate: str | None) -> bool:
        """Whether an error, with the server's refusal or before anything was sent, leaves nothing behind."""
        return not self.any and (self._is_answered or sqlstate is not None)

    def take_back(self) -> None:
        """The last statement was rolled back after all."""
        self.any, self._is_answered = self._before_it, True

    def go_on(self, part: str) -> None:
        """A part of the statement that was last begun is committed, or will be by what follows."""
        if self._is_watched:
            self.note(part)
            self._before_it = self.any

    def note(self, statement: str) -> None:
        """This statement is committed."""
        self.any = self.any or _HARMLESS.match(statement) is None

    def stop(self) -> None:
        """What is committed from now on is for others to judge."""
        self._is_watched, self.any = False, True

    def _before_commit(self, connection: Connection) -> None:
        if self._is_watched and not self.any and not _is_autocommit(connection):
            self.any = _rows_written(connection) != self._rows

    def _before(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not self._is_watched:
            return
        self._before_it = self.any
        if _commits_by_itself(connection):
            self._is_answered = False
            self.any = self.any or _IN_PARTS.match(statement) is not None
        elif _COMMITS.match(statement):
            self._before_commit(connection)

    def _after(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if _commits_by_itself(connection):
            self.committed(statement)

    def committed(self, statement: str) -> None:
        """The statement that was last begun is committed."""
        if self._is_watched:
            self._is_answered = True
            self.note(statement)


def _commits_by_itself(connection: Connection) -> bool:
    return _is_autocommit(connection) or _is_outside(connection)


def _rows_written(connection: Connection) -> int | None:
    """How many rows, of catalogs too, this transaction has written, counted with earlier ones; None where nothing counts."""
    with suppress(Exception):
        (found,) = do_by_driver(connection, _ROWS_WRITTEN)
        return None if found is None else int(found)
    return None


class Seam:
    """Alembic's environment with our checks before its first statement and between its revisions.

    Two methods are replaced on the instance: Alembic installs its `context` proxy by the exact class, so that a subclass
    would leave env.py without one.
    """

    def __init__(self, config: Config, script: ScriptDirectory, job: Mapping[str, Any], channel: Channel) -> None:
        self._models = Models(config, script) if job["do"] == "compare" else None
        options = self._models.options if self._models is not None else {}
        self.environment = EnvironmentContext(config, script, fn=self._steps, **options)
        self._configure, self._run_migrations = self.environment.configure, self.environment.run_migrations
        for name, method in (("configure", self.configure), ("run_migrations", self.run_migrations)):
            setattr(self.environment, name, method)
        self.script = script
        self._reply: dict[str, Any] = {}
        self._job = job
        self._channel = channel
        self._division = Division(wanted=job["transaction"] == "revision")
        self._in_autocommit = False
        self._waits_long = False
        self._autocommit_told = False
        self._statements = 0
        self._keeping: Keeping | None = None  # while nothing may be lost
        self._judged = False  # all that the transaction has done
        self._beside: dict[int, Keeping] = {}  # transactions on connections of the revision's own
        self.wrapped = False  # a statement that would commit by itself runs in a transaction of ours
        self.has_begun = False  # env.py runs the migrations, and in the right place
        self._fence: Mapping[str, str] = job["guard"]
        self._held_s = 0.0  # when the guard was last seen to be held
        self._watched: Connection | None = None  # env.py's own
        self._marked: Any = None  # the driver's connection whose session has the mark
        self.current: str | None = None
        self.xid: int | None = None
        self.phase = "env"
        # a connection to another server, by env.py or a revision; one that swallows it ends in no success
        self.strayed: Refused | None = None
        self.commits: OwnCommits | None = None
        self.raised: BaseException | None = None  # by the migrations; an env.py that swallows it ends in no success
        self._openers: dict[int, str] = {}  # by driver's connection: the statement that began its transaction
        self._opener: str | None = (
            None  # of the transaction that env.py hands over, empty where none did; None: none is
        )
        self.no_application: NoApplication | None = None
        self._proven: MigrationContext | None = None  # that the last call of run_migrations() was proven for
        self._is_offline = False
        self._database = ""  # of that call, for people
        self._looks = bool(job.get("looks"))  # only at where env.py goes: nothing is run

    def configure(self, *args: Any, **options: Any) -> None:
        """See from here on what env.py itself does on the connection that it hands over."""
        try:
            self._configure(*args, **options)
        except CommandError:
            self.phase = "configure"  # what env.py asks for is at fault, not the history
            raise
        connection = self.environment.get_context().connection
        if connection is not None and hasattr(connection, "in_transaction"):
            event.listen(connection, "before_cursor_execute", self._on_statement_of_env)

    def _on_statement_of_env(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if self.phase == "env":
            self._division.note(connection, statement)

    def run_migrations(self, **options: Any) -> None:
        """Prove where env.py connected before Alembic reads or makes the version table."""
        foreign_records.rearm()
        if isinstance(self.raised, Refused | Stopped):
            raise self.raised  # env.py has swallowed it and goes on, perhaps to its next target
        context = self.environment.get_context()
        if context.as_sql:  # it prints SQL and touches no database; what counts is whether env.py also runs online
            self._is_offline = True
            self._run_migrations(**options)
            return
        try:
            self._enter(context)
            if not self._looks:
                self._run_migrations(**options)
        except BaseException as error:
            # a revision's failure that env.py has swallowed says more than what is wrong with the next call
            if self.raised is None or not isinstance(error, Refused | Stopped):
                self.raised = error
            raise

    def refuse_unproven(self) -> None:
        """Raises what the migrations raised, whatever env.py has made of it, and a refusal where it ran none."""
        for refusal in (self.strayed, self.raised):
            if refusal is not None:
                raise refusal
        if self._proven is None and not self._looks:
            if self._is_offline:
                code, why = "env-cannot-run", "env.py configured offline mode: it passed no connection"
                raise Refused(code, why, config=self._job["config"])
            code, why = "unproven", "env.py ended without calling context.run_migrations(): no revision was run"
            raise Refused(code, why, fix=f"let {self._job['env_py']} call context.run_migrations() for this database")

    def _enter(self, context: MigrationContext) -> None:
        """Prove one call of run_migrations(), and see from here on what it does."""
        connection = context.connection
        if connection is None:
            code, why = "env-cannot-run", "env.py configured offline mode: it passed no connection"
            raise Refused(code, why, config=self._job["config"])
        self._division.settle(context, connection)
        is_anew = self._proven not in {None, context} and self._division.kept is None
        self._opener = self._openers.get(id(_driver_of(connection)), "") if self._division.is_of_env_py else None
        self._prove(context, connection, is_anew=is_anew)
        self.has_begun = True
        self._listen(connection)
        self._proven = context
        self.raised = None
        if is_anew:  # what an earlier call has done is in the database, or nowhere
            self.current = self.xid = None
        self.phase = "version-table"

    def _prove(self, context: MigrationContext, connection: Connection, *, is_anew: bool) -> None:
        table = {"table": context.version_table}
        with _in_transaction(connection):
            where = text(_WHERE.format(is_held=self._fence["is_held"]))
            held, pid, database, address, schema = connection.execute(where, dict(table)).one()
            named = connection.execute(text(_PATH)).one() if schema is None else ("", "")
        # SQLAlchemy puts the version table where it puts the user's own
        moved = connection.get_execution_options().get("schema_translate_map") or {}
        schema = moved.get(context.version_table_schema, context.version_table_schema) or schema
        observed = (self._job["version_table"], self._job["version_table_schema"])
        is_other = not held or (context.version_table, schema) != observed
        if is_other and self._proven is not None:
            there, here = "", ""
            if not held:
                there, here = f" in database {database} at {address or 'a local socket'}", f" in {self._database}"
            raise self._elsewhere(
                f"after {observed[1]}.{observed[0]}{here} for {schema}.{context.version_table}{there}"
            )
        if held:
            self._refuse_beside_open(connection)
        if not held:
            there = f"database {database} at {address or 'a local socket'}"
            code, why = "other-database", f"env.py connected to {there}, from where this run's guard is not visible"
            raise Refused(code, why, env_py=self._job["env_py"])
        if schema is None:
            missing = first_meant(*named)
            code, why = "missing-schema", f"env.py's search_path is {named[0]}, and no schema of it exists here"
            raise Refused(code, why, schema=quote(missing), missing_schema=missing)
        if is_other:
            code, why = (
                "other-version-table",
                f"env.py configures {schema}.{context.version_table}, but {observed[1]}.{observed[0]} was observed",
            )
            raise Refused(code, why, version_table=context.version_table, version_table_schema=schema)
        kept = self._division.why_kept if self._job["transaction"] == "revision" else ""
        is_alone = connection.in_transaction() and not _is_autocommit(connection) and _is_outside(connection)
        if is_alone:  # what SQLAlchemy takes for a transaction is none
            kept = (
                "a COMMIT that env.py executed ended the transaction, and SQLAlchemy does not know that and begins none"
            )
        self._database = f"database {database} at {address or 'a local socket'}"
        one_transaction = self._division.one_transaction
        about = {"one_transaction": one_transaction, "kept": kept, "alone": is_alone, "anew": is_anew}
        self._channel.call("connected", backend_pid=pid, **about)

    def _refuse_beside_open(self, connection: Connection) -> None:
        """Raises Refused for a call on another connection while the transaction of the one before is open.

        Whatever database each of them has in a release, in a shadow both have the same, where the second would wait for
        the first for ever.
        """
        before = self._proven.connection if self._proven is not None else None
        if before is None or before.closed or not before.in_transaction() or _is_autocommit(before):
            return
        if _driver_of(before) is not _driver_of(connection):
            raise self._elsewhere("for a second connection while the transaction of the first is open")

    def _elsewhere(self, said: str) -> Refused:
        why = f"env.py calls run_migrations() for more than one target: {said}"
        observed = self._job["version_table_schema"]
        return Refused("several-targets", why, env_py=self._job["env_py"], version_table_schema=observed)

    @property
    def opener(self) -> str | None:
        """The statement that began the transaction which env.py handed over; None where it handed over none."""
        return self._opener

    def tell_differences(self) -> None:
        """Say what the models differ in, where that was the job."""
        if self._models is not None:
            self._channel.tell("compared", differences=self._models.differences())

    @property
    def is_forked(self) -> bool:
        """Whether this is a process that a revision has forked."""
        return self._channel.is_forked

    def _listen(self, connection: Connection) -> None:
        self._watched = connection
        self._channel.keep_from_forks(connection)
        self.commits = OwnCommits(connection)
        event.listen(connection, "begin", self._on_begin)
        event.listen(connection, "before_cursor_execute", self._on_statement)
        if "recorded" in self._job:
            event.listen(connection, "before_cursor_execute", self._record)
        if self._job.get("keeps") is not None:
            event.listen(connection, "commit", self._on_commit)
            event.listen(connection, "rollback", self._on_rollback)
            event.listen(connection, "before_cursor_execute", self._on_keeping, retval=True)
        if self._job.get("keeps") is not None or self._job["pooled"]:
            event.listen(connection, "after_cursor_execute", self._on_kept)
        if "crash_after" in self._job:
            event.listen(connection, "after_cursor_execute", self._crash)
        if connection.in_transaction():
            self._on_begin(connection)

    def _on_begin(self, connection: Connection) -> None:
        """Timeouts and the worker's name hold for each transaction; through the driver, as no transaction of ours may begin."""
        if _is_autocommit(connection):
            return
        # a statement of its own: in the first one of a transaction, the timeouts that a role brings are in force
        marks = [self._fence["mark_transaction"]]
        if not self._job["pooled"] and self._marked is not _driver_of(connection):
            marks.append(self._fence["mark_session"])
        _configure(connection, self._job["session"], *marks, is_local=True)
        self._marked = _driver_of(connection)
        asked = f"SELECT pg_catalog.txid_current(), pg_catalog.pg_backend_pid(), {self._fence['is_held']}"
        xid, pid, held = do_by_driver(connection, asked)
        self._expect(held, "the next transaction")
        self.xid = int(xid)
        self._channel.call("began", xid=self.xid, backend_pid=pid)
        if self.phase == "revision":
            self._begin_keeping(connection, self._suspects)

    # Nothing is lost that was not allowed to go: what a transaction has done is looked at before its commit.

    @property
    def _suspects(self) -> list[Suspect]:
        """The tables whose rows an earlier try, or the manifest, says to look at."""
        return [Suspect(s, t, None if c is None else frozenset(c)) for s, t, c in self._job.get("keeps") or ()]

    def _begin_keeping(self, connection: Connection, suspects: list[Suspect]) -> None:
        """Look at the tables at a transaction's beginning, and write down what the suspects hold."""
        if self._job.get("keeps") is None or self._keeping is not None:
            return
        try:
            self._keeping = self._kept_by(connection, suspects)
        except Unread as unread:
            raise self._unread(unread) from unread.error

    def _kept_by(self, connection: Connection, suspects: list[Suspect]) -> Keeping:
        versions = (self._job["version_table_schema"] or "", self._job["version_table"])
        return Keeping.begin(lambda sql: rows_by_driver(connection, sql), versions, suspects)

    def _refuse_losses(self) -> None:
        """Raises Refused where this transaction has lost something, Unsure where that is to be looked at in another try."""
        if self._keeping is None:
            return
        suspects = self._keeping.suspects()
        unsure = [suspect for suspect in suspects if not self._keeping.covers(suspect)]
        if unsure:
            raise Unsure(unsure)
        try:
            lost = self._keeping.lost(suspects)
        except Unread as unread:
            raise self._unread(unread) from unread.error
        if lost:
            gone = shortened([self._said_of(each) for each in lost if not each.is_changed])
            changed = shortened([self._change_of(each) for each in lost if each.is_changed])
            said = " and ".join(f"{verb} {what}" for verb, what in (("loses", gone), ("changes", changed)) if what)
            refused = Refused("data-loss", f"the downgrade of {self.current} {said}", target=self._job["target"])
            refused.facts = {"loses": [f"{self._name_of(each)}: {each.number}" for each in lost][:50]}
            raise refused

    def _name_of(self, lost: Lost) -> str:
        if not lost.table:
            return "large objects"
        path = [lost.schema, lost.table] if lost.schema != self._job["version_table_schema"] else [lost.table]
        return f"table {dotted(path)}" if lost.column is None else f"column {dotted([*path, lost.column])}"

    def _said_of(self, lost: Lost) -> str:
        of = "" if lost.number == lost.of else f"{lost.number} of "
        return f"{self._name_of(lost)} ({of}{counted(lost.of, 'row' if lost.column is None else 'value')})"

    def _change_of(self, lost: Lost) -> str:
        of = "" if lost.number == lost.of else f"{lost.number} of "
        return f"{of}{counted(lost.of, 'value')} of {self._name_of(lost)}"

    def _unread(self, unread: Unread) -> Refused:
        """The refusal to go on where nobody can say what a table holds."""
        why = f"what the downgrades take from table {dotted(unread.table)} cannot be counted: {said_by(unread.error)}"
        if sqlstate_of(unread.error) != "42501":
            return Refused("data-loss", why, target=self._job["target"])
        about = {"table": ".".join(map(quoted, unread.table)), "target": self._job["target"]}
        return Refused("missing-privilege", why, denied=said_by(unread.error), **about)

    def _on_commit(self, connection: Connection) -> None:
        """A transaction is about to be committed: by us, by an autocommit block that begins, or by the revision itself."""
        if not self._judged and not _is_autocommit(connection):
            self._refuse_losses()
        self._keeping = None

    def _on_rollback(self, _: Connection) -> None:
        self._keeping = None

    def _on_keeping(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: object,
        executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
    ) -> tuple[str, Any]:
        """A statement is about to be sent: what would be committed before its end is looked at in between."""
        del context
        if self.phase != "revision":
            return statement, parameters
        parts = [statement] if executemany or "commit" not in statement.lower() else statements(statement)
        if not any(map(commits, parts)):
            parts = [statement]
        assert self.commits is not None
        for part in parts[:-1]:
            self._before_part(connection, part)
            cursor.execute(part, parameters)
            self._on_kept(connection, cursor, part, parameters, None, executemany)
            self.commits.go_on(part)
        self._before_part(connection, parts[-1])
        return parts[-1], parameters

    def _before_part(self, connection: Connection, statement: str) -> None:
        if self.wrapped:  # it failed, and the revision went on
            self._end_alone(connection, "ROLLBACK")
        if _is_autocommit(connection) or _is_outside(connection):
            if not all(map(stands_outside, statements(statement))):
                self._begin_alone(connection)
                self._begin_keeping(connection, [])
        elif commits(statement):
            self._refuse_losses()
            self._keeping = None
        elif self._keeping is None:  # the revision has begun a transaction by itself
            self._begin_keeping(connection, self._suspects)

    def _on_kept(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: object,
        executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
    ) -> None:
        """A statement that would have committed by itself is committed, if it loses nothing."""
        del context
        if not self.wrapped:
            return
        assert self.commits is not None
        try:
            try:
                self._refuse_losses()
            except Unsure as unsure:
                self._end_alone(connection, "ROLLBACK")
                self._begin_alone(connection)
                self._begin_keeping(connection, unsure.suspects)
                (cursor.executemany if executemany else cursor.execute)(statement, parameters)
                self._refuse_losses()
        except BaseException:
            self._end_alone(connection, "ROLLBACK")
            self.commits.take_back()
            raise
        self._end_alone(connection, "COMMIT")
        self.commits.committed(statement)

    def _begin_alone(self, connection: Connection) -> None:
        """Begin a transaction of ours around a statement that would commit by itself; through a pooler, with the mark."""
        do_by_driver(connection, "BEGIN")
        self.wrapped, self._keeping = True, None
        if self._job["pooled"]:
            *_, held = _configure(connection, self._job["session"], self._marked_and_held, is_local=True)
            self._expect(held, _NEXT)

    def _end_alone(self, connection: Connection, how: str) -> None:
        self.wrapped, self._keeping = False, None
        do_by_driver(connection, how)

    def left_nothing(self, sqlstate: str | None) -> bool:
        """Whether an end, with the server's refusal or one of ours, leaves nothing behind."""
        if self.commits is None:
            return False
        if self.wrapped:  # what failed is not committed
            self.commits.take_back()
        return self.commits.left_nothing(sqlstate)

    def unknown(self, what: str) -> Refused:
        """The refusal of what nobody can judge."""
        why = f"the downgrade of {self.current} {what}: nobody can say what that loses"
        return Refused("data-loss", why, target=self._job["target"])

    def _on_statement(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: object,
        context: object,
        executemany: bool,  # noqa: FBT001 - SQLAlchemy's signature
    ) -> None:
        del cursor, parameters, context, executemany
        if self.wrapped and self._job.get("keeps") is None:  # it failed, and the revision went on
            self._end_alone(connection, "ROLLBACK")
        if not _is_autocommit(connection) and not _is_outside(connection):
            self._expect_still(connection)
            return
        self._tell_autocommit()
        if self._job["pooled"]:
            self._pass_pooled(connection, statement)
            return
        # CREATE INDEX CONCURRENTLY waits for others by design: a timeout would leave an INVALID index
        waits_long = _CONCURRENTLY.search(statement) is not None
        settings: Mapping[str, str] = {}
        if not self._in_autocommit or waits_long != self._waits_long:  # in between, the user's own settings hold
            settings = {**self._job["session"], **(dict.fromkeys(_TIMEOUTS, "0") if waits_long else {})}
        # Last of all: this process, or its parent, may have been stopped at any time before. From here on the session
        # has the mark, so that whoever holds the guard by the time that the statement arrives has ended it.
        *_, held = _configure(connection, settings, self._fence["may_write"], is_local=False)
        self._in_autocommit, self._waits_long = True, waits_long
        self._marked = _driver_of(connection)
        self._expect(held, _NEXT)

    @property
    def _marked_and_held(self) -> str:
        """Takes the mark until the transaction ends, then asks for the guard."""
        return f"CASE WHEN {self._fence['mark_transaction']} THEN {self._fence['is_held']} ELSE false END"

    def _pass_pooled(self, connection: Connection, statement: str) -> None:
        """Let a statement that commits by itself pass, though through a pooler no session is ours.

        Settings and a mark would stay on another client's connection. So the statement gets a transaction, and that has the
        mark; one that can have none has the question alone.
        """
        self._expect(do_by_driver(connection, f"SELECT {self._marked_and_held}")[0], _NEXT)
        if not _is_outside(connection):  # a driver that begins one by itself; or it cannot be known
            return
        parts = statements(statement)
        is_whole = not any(stands_outside(part) or commits(part) or _CALLS.match(part) for part in parts)
        if is_whole and self._job.get("keeps") is None:
            self._begin_alone(connection)

    def _expect(self, held: object, what: str) -> None:
        if not held:
            raise Refused("guard-lost", f"the guard was gone before {what}")
        self._held_s = time.monotonic()

    def _expect_still(self, connection: Connection) -> None:
        """In a long transaction, look now and then: it will not be committed, but need not go on without the guard."""
        if time.monotonic() - self._held_s < self._job["guard_every_s"]:
            return
        answer = None
        with suppress(Exception):  # a transaction that has failed gives none, and commits nothing
            answer = do_by_driver(connection, f"SELECT {self._fence['is_held']}")
        if answer is not None:
            self._expect(answer[0], _NEXT)

    def listen_beside(self) -> None:
        """See what a revision commits on connections of its own, as far as SQLAlchemy makes them."""
        event.listen(Engine, "begin", self._on_begin_beside)
        event.listen(Engine, "commit", self._on_commit_beside)
        event.listen(Engine, "before_cursor_execute", self._on_statement_beside)

    def stop_listening(self) -> None:
        """The opposite of `listen_beside`: engines outlive a job."""
        event.remove(Engine, "begin", self._on_begin_beside)
        event.remove(Engine, "commit", self._on_commit_beside)
        event.remove(Engine, "before_cursor_execute", self._on_statement_beside)

    def _on_begin_beside(self, connection: Connection) -> None:
        if self.phase == "env":
            self._openers[id(_driver_of(connection))] = ""
        elif self._keeps_beside(connection) and not _is_autocommit(connection):
            self._beside[id(_driver_of(connection))] = self._kept_by(connection, [])

    def _on_commit_beside(self, connection: Connection) -> None:
        keeping = self._beside.pop(id(_driver_of(connection)), None)
        suspects = keeping.suspects() if keeping is not None else []
        changed = [dotted([suspect.schema, suspect.table]) for suspect in suspects]
        if keeping is not None and keeping.unlinked():
            changed.append("large objects")
        if changed:
            names = shortened(changed)
            raise self.unknown(f"changes {names} on a connection of its own")
        if self._is_other(connection) and _answers(connection, "SELECT pg_catalog.txid_current_if_assigned()"):
            self._pass_beside(connection, self._marked_and_held)

    def _on_statement_beside(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if self.phase == "env" and self._openers.get(id(_driver_of(connection))) == "":
            self._openers[id(_driver_of(connection))] = _without_values(statement)
        if _READS.match(statement) is None and self._is_other(connection) and _is_autocommit(connection):
            if self._keeps_beside(connection) and not says_harmless(statement):
                raise self.unknown("commits on a connection of its own")
            self._pass_beside(connection, self._fence["is_held" if self._job["pooled"] else "may_write"])

    def _keeps_beside(self, connection: Connection) -> bool:
        """Whether nothing may be lost on another connection to this database, which a revision has made."""
        if self._job.get("keeps") is None or not self._is_other(connection):
            return False
        return _answers(connection, f"SELECT {self._fence['is_held']}")

    def _is_other(self, connection: Connection) -> bool:
        """Whether a revision speaks on another connection than the one that is watched."""
        if self.phase != "revision" or self._channel.is_forked:
            return False
        return connection.dialect.name == "postgresql" and _driver_of(connection) is not self._channel.driver

    def _pass_beside(self, connection: Connection, fence: str) -> None:
        """Let what a revision commits on another connection to this database, where the guard is seen, pass the fence."""
        if connection.info.get(_HERE) is None:
            connection.info[_HERE] = self._is_here(connection)
        if not connection.info[_HERE]:
            return
        if self.commits is not None:
            self.commits.stop()
        self._tell_autocommit()
        self._expect(do_by_driver(connection, f"SELECT {fence}")[0], _NEXT)

    def _is_here(self, connection: Connection) -> bool:
        """Whether the guard is seen from there; where it is not, it may be because it is lost."""
        asked = f"SELECT {self._fence['is_held']}"
        if _answers(connection, asked):
            return True
        watched = self._watched
        if watched is not None and not _answers(watched, asked) and _answers(watched, "SELECT true"):
            raise Refused("guard-lost", f"the guard was gone before {_NEXT} on another connection")
        return False

    def _tell_autocommit(self) -> None:
        """Say, once for each revision, that its next statement commits by itself. Raises Stopped."""
        if self.current is not None and not self._autocommit_told:
            if self._channel.call("autocommit")["do"] != "go":
                raise Stopped
            self._autocommit_told = True

    def _record(self, connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        """Tell a statement as the driver sends it; one that does not show that, with its parameters beside it."""
        del connection
        if self.phase != "revision":
            return
        for each in parameters if isinstance(parameters, list) else [parameters]:
            if hasattr(cursor, "mogrify"):
                sql = cursor.mogrify(statement, each).decode()
            elif not each:
                sql = statement
            else:
                sql = f"{statement}\n-- parameters: {each!r}"
            self._channel.tell("sent", revision=self.current, sql=sql)

    def _crash(self, connection: Connection, *_: Any) -> None:
        """End the connection after the revision's n-th statement, as a node that is lost would; for trials."""
        if self.phase != "revision":
            return
        self._statements += 1
        if self._statements == self._job["crash_after"]:
            do_by_driver(connection, "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())")

    def _reset_session(self, connection: Connection) -> None:
        """Undo what an autocommit block left on the session; a user's later statements must not inherit it."""
        for name in self._job["session"]:
            do_by_driver(connection, f"RESET {name}")
        if connection.in_transaction() and not _is_autocommit(connection):
            _configure(connection, self._job["session"], is_local=True)
        self._in_autocommit = False

    def _steps(self, heads: Any, context: MigrationContext) -> Iterator[RevisionStep]:
        """The seam: Alembic runs each yielded step, and this generator runs between them."""
        if context.as_sql:
            yield from self.script._upgrade_revs(self._job["target"], heads)  # noqa: SLF001 - as alembic.command does
            return
        if self._proven is not context:  # env.py called the context's own run_migrations()
            try:
                self._enter(context)
            except Refused as refused:
                self.raised = refused
                raise
        if self._looks:
            return
        self.phase = "env"
        if self._models is not None:
            self._models.compare(context)
            return
        steps: Iterable[RevisionStep]
        if "only" in self._job:
            revisions = self.script.revision_map
            steps = [RevisionStep(revisions, self.script.get_revision(self._job["only"]), is_upgrade=False)]
        elif self._job["do"] == "downgrade":
            steps = self.script._downgrade_revs(self._job["target"], heads)  # noqa: SLF001 - as alembic.command does
        else:
            steps = self.script._upgrade_revs(self._job["target"], heads)  # noqa: SLF001 - as alembic.command does
        connection = context.connection
        assert connection is not None
        context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, self._on_applied)
        for step in steps:
            if self.current is not None:
                self._commit_before_next(context, connection)
            self._before(step, connection)
            yield step
            if self._in_autocommit:
                self._reset_session(connection)
        self.phase = "commit"
        if self._job["goes_on"] and self.current is not None:
            self._commit_before_next(context, connection)
        if self._marked is not None and not self._job["pooled"]:  # a pool would keep the session, and the mark with it
            do_by_driver(connection, f"SELECT {self._fence['unmark_session']}")
            self._marked = None

    def _commit_before_next(self, context: MigrationContext, connection: Connection) -> None:
        self.phase = "commit"
        if _is_autocommit(connection) or self._division.commit(context, connection):
            self._channel.call("committed", revision=self.current)
        self.current = None
        self.xid = None if not connection.in_transaction() else self.xid

    def _before(self, step: RevisionStep, connection: Connection) -> None:
        self.phase = "fence"
        if not self._fenced(connection):
            raise Refused("guard-lost", f"the guard was gone before revision {_id_of(step)}")
        self.current = _id_of(step)
        self._autocommit_told = False
        self.phase = "revision"
        xid = self.xid if connection.in_transaction() else None
        self._reply = self._channel.call("revision", revision=self.current, xid=xid)
        if self._reply["do"] != "go":
            raise Stopped
        self._judged = False
        if connection.in_transaction() and not _is_autocommit(connection):
            self._begin_keeping(connection, self._suspects)
        assert self.commits is not None
        if self._reply["may_commit"] or _is_autocommit(connection):
            self.commits.watch(connection)

    def _fenced(self, connection: Connection) -> bool:
        with _in_transaction(connection):
            held = bool(do_by_driver(connection, f"SELECT {self._fence['is_held']}")[0])
        self._held_s = time.monotonic() if held else self._held_s
        return held

    def _on_applied(self, *, ctx: MigrationContext, **_: Any) -> None:
        """Inside the revision's transaction, after its version row moved and before the commit."""
        connection = ctx.connection
        assert connection is not None
        assert self.commits is not None
        self.commits.stop()
        problem = None
        is_recorded = True
        step_id = self._reply.get("step_id")
        if step_id is not None:
            try:
                is_outside = _is_autocommit(connection) or _is_outside(connection)
                with nullcontext() if is_outside else connection.begin_nested():
                    finished = connection.execute(text(self._reply["finish_sql"]), {"step_id": step_id})
                is_recorded = finished.rowcount != 0  # an older snapshot (REPEATABLE READ) does not have the row
            except DBAPIError as error:  # e.g. after the revision's own SET ROLE: the release matters more
                problem = said_by(error)
        self._refuse_losses()
        self._judged = True
        self._channel.call("applied", revision=self.current, ledger=problem, recorded=is_recorded)
        # last of all: the parent may have been stopped for longer than its lease before it answered
        if not self._fenced(connection):
            raise Refused("guard-lost", f"the guard was gone before the commit of revision {self.current}")


def _id_of(step: RevisionStep) -> str:
    """A revision step as it names itself; stamps have no revision, and none is ever yielded here."""
    return str(step.info.up_revision_id or step.info.down_revision_ids)


def _in_transaction(connection: Connection) -> AbstractContextManager[Any]:
    """Its transaction, or one for the block: a stray statement would begin one that Alembic does not expect."""
    return nullcontext() if connection.in_transaction() else connection.begin()


def _is_autocommit(connection: Connection) -> bool:
    """Whether each statement commits by itself: in an autocommit block, or because the engine was made so."""
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    return bool(getattr(_driver_of(connection), "autocommit", False))


def _driver_of(connection: Connection) -> Any:
    """The driver's connection, or SQLAlchemy's adapter of it."""
    pooled = connection.connection
    return getattr(pooled, "dbapi_connection" if hasattr(pooled, "dbapi_connection") else "connection")  # before 1.4.24


def _is_outside(connection: Connection) -> bool:
    """Whether the revision itself has ended the transaction that SQLAlchemy believes in, by COMMIT or ROLLBACK.

    psycopg2 and psycopg tell (libpq's transaction status, 0 is idle), and asyncpg does; of other drivers it is not known.
    """
    driver = _driver_of(connection)
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is not None:
        return int(status) == 0
    is_inside = getattr(getattr(driver, "driver_connection", None), "is_in_transaction", None)
    return is_inside is not None and not is_inside()


def _configure(connection: Connection, settings: Mapping[str, str], *asked: str, is_local: bool) -> Any:
    """Set them for the transaction, or for the session; the answer ends with what else was ``asked``."""
    # constants of ours and numbers: there is no spelling of parameters that every driver has
    calls = [f"pg_catalog.set_config('{name}', '{value}', {is_local})" for name, value in settings.items()]
    return do_by_driver(connection, f"SELECT {', '.join([*calls, *asked])}")


def _answers(connection: Connection, sql: str) -> bool:
    """Whether the answer is one that counts; a transaction that has failed gives none, and commits nothing."""
    with suppress(Exception):
        answer = do_by_driver(connection, sql)
        return bool(answer and answer[0])
    return False


def do_by_driver(connection: Connection, sql: str) -> Any:
    """The first row of a statement that SQLAlchemy's transaction handling and events do not see; None without rows."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None
    except Exception as error:
        if connection.dialect.is_disconnect(error, _driver_of(connection), cursor):  # type: ignore[arg-type]
            error.connection_invalidated = True  # type: ignore[attr-defined]  # as SQLAlchemy's own errors say it
        raise
    finally:
        cursor.close()


def _without_values(statement: str) -> str:
    """A statement on one line, short, and without the texts in it, which may be secrets."""
    said = " ".join(_TEXTS.sub("'…'", statement).split())
    return said if len(said) <= SHOWN_SQL else f"{said[:SHOWN_SQL]}…"


def rows_by_driver(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a statement that SQLAlchemy's transaction handling and events do not see."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        cursor.close()


class Pulse(threading.Thread):
    """Tells the parent when the main thread goes into its driver and waits there, and when it has come out again.

    The parent alone cannot tell a revision that thinks from one that waits for an answer which will never come.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(name="pulse", daemon=True)
        self._channel = channel
        self._main = threading.main_thread().ident
        self._told = False

    def run(self) -> None:
        """Look at the main thread's stack once a second, for as long as the parent is there."""
        while True:
            time.sleep(PULSE_S)
            waits_for = _waits_for(sys._current_frames().get(self._main or 0))  # noqa: SLF001 - documented since 2.5
            if waits_for is not None or self._told:
                # again and again while it waits: to the parent, every other message means that the wait was over
                self._told = waits_for is not None
                try:
                    self._channel.tell("waiting", waits_for=waits_for, unsent=self._channel.unsent)
                except OSError:
                    return


def _waits_for(frame: FrameType | None) -> str | None:
    """What a stack waits for in a driver: an ``answer`` (in a function such as `do_commit`), or to be ``connected``.

    Under an asynchronous env.py the migration waits off the stack, in a greenlet, and the thread in the event loop.
    """
    stack = [(step.f_globals.get("__name__", ""), step.f_code.co_name) for step in _outwards(frame)]
    if [module for module, _ in stack[:2]] == ["selectors", "asyncio.base_events"]:
        # else a revision runs its own loop
        return "answer" if all(module != "alembic.runtime.migration" for module, _ in stack) else None
    if ("sqlalchemy.engine.default", "connect") in stack:
        return "connected"
    is_asking = any(
        name.startswith("do_") and (module.startswith("sqlalchemy.") or module == __name__) for module, name in stack
    )
    return "answer" if is_asking else None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(error: BaseException, folders: Iterable[str]) -> dict[str, object]:
    """The last line of the user's own files that the error came through."""
    found: dict[str, object] = {}
    roots = tuple(str(Path(folder).resolve()) for folder in folders)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(roots):
            found = {"file": frame.filename, "line": frame.lineno}
    return found


def report(error: BaseException, job: Mapping[str, Any]) -> dict[str, object]:
    """An error as the parent needs it: no traceback (but with MIGRATE_DEBUG), no parameters, no DETAIL."""
    is_interpolation = isinstance(error, ValueError) and str(error).startswith(_BAD_INTERPOLATION)
    found: dict[str, object] = {
        "type": type(getattr(error, "orig", None) or error).__name__,
        "types": types_of(error),
        "message": _BAD_INTERPOLATION if is_interpolation else said_by(error),  # the rest of it is the value
        "sqlstate": sqlstate_of(error),
        "disconnect": was_disconnected(error),
        "exited": isinstance(error, SystemExit),
        "out_of_memory": isinstance(error, MemoryError),
        "interpolation": is_interpolation,
        "missing_module": error.name if isinstance(error, ModuleNotFoundError) else None,
        **_place(error, job.get("folders", ())),
    }
    if os.environ.get("MIGRATE_DEBUG") == "1":
        found["traceback"] = "".join(traceback.format_exception(error))
    return found


class Asked(Config):
    """Alembic's configuration, which knows whether somebody has asked for a database URL that nobody wrote."""

    asked_in_vain = False

    def get_section(self, name: str, default: Any = None) -> Any:
        """As Alembic's; engines are made of a section."""
        found = super().get_section(name, default)
        self._note(name, (found or {}).get(URL_OPTION))
        return found

    def get_section_option(self, section: str, name: str, default: str | None = None) -> Any:
        """As Alembic's."""
        found: Any = super().get_section_option(section, name, default)
        if name == URL_OPTION:
            self._note(section, found)
        return found

    def _note(self, section: str, url: str | None) -> None:
        self.asked_in_vain = self.asked_in_vain or (section == self.config_ini_section and not url)


def load_config(job: Mapping[str, Any], *, gives_url: bool = False) -> Asked:
    """Alembic's configuration as its own command line would give it to env.py, with the chosen URL in it.

    The URL takes the place of the one that the file has, in memory; `%` is configparser's, so that it is doubled. Where
    the file has none, it is not set: env.py then finds it elsewhere, and may prefer what stands here in a spelling that
    it cannot use. ``gives_url``: set it all the same.
    """
    options: dict[str, Any] = {"ini_section": job["section"], "cmd_opts": _command_line(job)}
    if job.get("toml") and "toml_file" in inspect.signature(Config).parameters:  # Alembic reads it since 1.16
        options["toml_file"] = job["toml"]
    config = Asked(job["config"], **options)
    if config.get_main_option("script_location") is None:  # Flask-Migrate's ini file does not say it
        config.set_main_option("script_location", str(job["folders"][0]).replace("%", "%%"))
    if gives_url or _written_url(config, job):
        config.set_main_option(URL_OPTION, _url(config, job).replace("%", "%%"))
    return config


def _written_url(config: Config, job: Mapping[str, Any]) -> str:
    return config.file_config.get(job["section"], URL_OPTION, raw=True, fallback="")


def _url(config: Config, job: Mapping[str, Any]) -> str:
    """The URL with the driver that the file's own `sqlalchemy.url` names, where the user's names none.

    An async env.py needs an async one. One that is not installed is not taken: an example's, or a developer's.
    """
    written = _written_url(config, job)
    named = re.match(r"postgres(?:ql)?\+(asyncpg|psycopg)(?:_async)?:", written)
    if named is None or job["driver"] is not None or find_spec(named[1]) is None:
        return str(job["url"])
    return DatabaseUrl.parse(job["url"]).driven_by(named[1]).sqlalchemy


def _command_line(job: Mapping[str, Any]) -> Any:
    """What Alembic's own parser makes of the command that this job is; env.py may also read it from `sys.argv`."""
    given = ["-c", job["config"]] if job["config"] else []
    given += ["-n", job["section"], *(part for each in job.get("x", ()) for part in ("-x", each))]
    verbs: dict[str, list[Any]] = {
        "graph": ["heads"],
        "compare": ["check"],
        "downgrade": ["downgrade", job.get("target")],
    }
    verb = verbs.get(job["do"], ["upgrade", job.get("target")])
    sys.argv = ["alembic", *given, *verb]
    return CommandLine().parser.parse_args(sys.argv[1:])


def run(job: Mapping[str, Any], channel: Channel) -> None:
    """Do one job and tell how it ended: `done`, `refused`, `stopped` or `failed`."""
    seam: Seam | None = None
    os.environ.update(job.get("environ", {}))
    try:
        config = load_config(job)
        if job["do"] == "graph":
            channel.tell("graph", revisions=graph_of(ScriptDirectory.from_config(config)))
            return
        try:
            seam = Seam(config, ScriptDirectory.from_config(config), job, channel)
            _run_env(seam, job)
        except Exception:
            if not config.asked_in_vain or seam is None or seam.has_begun or channel.is_forked:
                raise
            # it looked where nobody wrote a URL, and what it took instead did not lead here: let it find one there
            config = load_config(job, gives_url=True)
            seam = Seam(config, ScriptDirectory.from_config(config), job, channel)
            _run_env(seam, job)
        channel.tell("done", revision=seam.current, opener=seam.opener)
    except Refused as refused:
        _tell_refusal(channel, seam, refused)
    except Unsure as unsure:
        tables = [[s.schema, s.table, None if s.columns is None else sorted(s.columns)] for s in unsure.suspects]
        channel.tell("unsure", revision=seam.current if seam else None, tables=tables)
    except Stopped:
        channel.tell("stopped")
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a revision must not end as a success
        if channel.is_forked:
            os._exit(0 if isinstance(error, SystemExit) and not error.code else 1)
        no_application = seam.no_application if seam is not None else None
        if no_application is not None and isinstance(error, RuntimeError) and "application context" in str(error):
            why = f"env.py needs the context of a Flask application, and none was found: {no_application}"
            channel.tell("refused", code="no-flask-app", why=why, names={"env_py": job["env_py"]}, facts={})
            return
        if seam is not None and _is_refused_block(error):
            why = f"revision {seam.current} enters an autocommit block, which Alembic refuses in a transaction of env.py's own"
            channel.tell("refused", code="env-holds-transaction", why=why, names={"env_py": job["env_py"]}, facts={})
            return
        phase = seam.phase if seam is not None else "env"
        if isinstance(error, CommandError) and phase == "env":
            phase = "alembic"
        told = report(error, job)
        if seam is not None and seam.wrapped and sqlstate_of(error) == _ENDS_TRANSACTION:
            _tell_refusal(channel, seam, seam.unknown("calls what commits by itself"))
            return
        if seam is not None and not told["disconnect"]:
            told["left_nothing"] = seam.left_nothing(sqlstate_of(error))
        channel.tell("failed", phase=phase, revision=seam.current if seam else None, error=told)


def _tell_refusal(channel: Channel, seam: Seam | None, refused: Refused) -> None:
    left_nothing = seam is not None and seam.left_nothing(None)
    about = {"names": refused.names, "facts": refused.facts, "left_nothing": left_nothing}
    channel.tell("refused", code=refused.code, why=str(refused), **about)


@contextmanager
def _context_of(script: ScriptDirectory, job: Mapping[str, Any]) -> Iterator[NoApplication | None]:
    """The context that env.py needs; why there is none, which counts only where env.py has none of its own."""
    try:
        context = application_context(Path(script.dir) / "env.py", job["flask_app"])
    except NoApplication as found:
        yield found
        return
    with context:
        yield None


def _keep_inside(fence: Mapping[str, Any], seam: Seam, env_py: str) -> None:
    """Let no driver connect to another server than a shadow's, whatever env.py and the revisions ask for."""
    url = DatabaseUrl.parse(fence["url"])

    def judge(server: driver_fence.Server) -> None:
        others = strangers(*server, url, fence["allowed"])
        if others:
            who = f"revision {seam.current}" if seam.current is not None else "env.py"
            why = f"{who} would have connected to {', '.join(others)}, which is not the throw-away server"
            seam.strayed = Refused("other-server", why, env_py=env_py, allow=",".join(others))
            raise seam.strayed

    driver_fence.of_this_process().judge = judge


def _is_refused_block(error: BaseException) -> bool:
    """Whether this is Alembic's own check at an autocommit block, of a transaction that it did not begin."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not isinstance(error, AssertionError) or not frames:
        return False
    code = frames[-1][0]
    return code.f_code.co_name == "autocommit_block" and code.f_globals.get("__name__") == "alembic.runtime.migration"


def _run_env(seam: Seam, job: Mapping[str, Any]) -> None:
    """Run env.py once. Raises what it raised, what the migrations raised, and what it ended without."""
    if job["fence"] is not None:
        _keep_inside(job["fence"], seam, job["env_py"])
    seam.listen_beside()
    try:
        with seam.environment, _context_of(seam.script, job) as seam.no_application:
            seam.script.run_env()
    except BaseException:
        # of a look only its refusals count: env.py may want what no revision has made yet
        if seam.is_forked or (seam.raised is None and not job.get("looks")):
            raise
    finally:
        seam.stop_listening()
    seam.refuse_unproven()
    seam.tell_differences()


class Models:
    """What `alembic check` finds: autogenerate with every option of `configure()` and every hook, nothing written."""

    def __init__(self, config: Config, script: ScriptDirectory) -> None:
        # what `alembic check` hands over
        arguments = {"message": None, "autogenerate": True, "sql": False, "head": "head", "splice": False}
        arguments |= dict.fromkeys(("branch_label", "version_path", "rev_id", "depends_on"))
        self._script = script
        self._revision = RevisionContext(config, script, arguments)
        self._has_models = False

    @property
    def options(self) -> dict[str, Any]:
        """Of the environment in which env.py runs."""
        return {"as_sql": False, "template_args": self._revision.template_args, "revision_context": self._revision}

    def compare(self, context: MigrationContext) -> None:
        """Compare the models of one `run_migrations()`."""
        given: Any = context.opts.get("target_metadata")
        several = given if isinstance(given, (list, tuple)) else [given]
        if any(metadata is not None and metadata.tables for metadata in several):
            self._has_models = True
            # not the version rows: where one head depends on another, they are fewer than the heads
            self._revision.run_autogenerate(tuple(self._script.get_heads()), context)

    def differences(self) -> list[dict[str, str]] | None:
        """Each operation as a sentence, and as `alembic check` prints it; None where env.py names no models."""
        if not self._has_models:
            return None
        # a hook may take the script away, which to a check means that there is nothing to do
        scripts = self._revision.generated_revisions[-1:]
        found: list[Any] = []
        for difference in (one for made in scripts for ops in made.upgrade_ops_list for one in _diffs_of(ops)):
            found += difference if isinstance(difference, list) else [difference]
        return [{"said": _stable(_difference_said(one)), "printed": _difference_printed(one)} for one in found]


def _diffs_of(operation: Any) -> Iterator[Any]:
    """As `as_diffs()`; an operation of an extension's that has no such form is named by its class."""
    if hasattr(operation, "ops"):
        for one in operation.ops:
            yield from _diffs_of(one)
        return
    try:
        yield operation.to_diff_tuple()
    except (AttributeError, NotImplementedError):
        yield (type(operation).__name__,)


def _difference_printed(difference: Any) -> str:
    """As `alembic check` prints it; nothing where the sentence has all of it."""
    return "" if difference[0].startswith("modify_") or len(difference) == 1 else _stable(repr(difference))[:PRINTED]


def _stable(text: str) -> str:
    """Without the addresses of objects, which differ from run to run."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", text)


def _difference_said(difference: Any) -> str:
    """One operation for people: its kind, what it is about, and of a changed property both values."""
    kind, *about = difference
    if kind.startswith("modify_"):
        schema, table, column, _, old, new = about
        place = ".".join(filter(None, (schema, table, column)))
        return f"{kind.replace('_', ' ')} of {place}: {_shown(old)} in the schema, {_shown(new)} in the models"
    if not about:
        return str(kind)
    thing = next((one for one in about if hasattr(one, "name")), about[-1])
    if kind.endswith("_column"):
        return f"{kind.replace('_', ' ')} {'.'.join(filter(None, (*about[:-1], thing.name)))}"
    table = getattr(thing, "table", None)
    of = f" of {table.fullname}" if table is not None else ""
    name = getattr(thing, "fullname", None) or getattr(thing, "name", None)
    return f"{kind.replace('_', ' ')} {name or thing}{of}"


def _shown(value: Any) -> str:
    """A value of a column's property: a type with its arguments, a default by its text."""
    text_of = getattr(getattr(value, "arg", None), "text", None)
    return str(text_of) if text_of is not None else repr(value)


def graph_of(script: ScriptDirectory) -> list[dict[str, object]]:
    """The revisions as Alembic loads them, for histories whose ids are computed."""
    return [
        {
            "id": revision.revision,
            "down": list(_several(revision.down_revision)),
            "depends_on": list(_several(revision.dependencies)),
            # without those that Alembic hands down
            "labels": sorted(revision._orig_branch_labels),  # noqa: SLF001
            "message": revision.doc or "",
            "file": revision.path,
        }
        for revision in script.walk_revisions()
    ]


def _several(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _say(record: Mapping[str, object], channel: Channel) -> None:
    if channel.is_forked:  # the line to the parent is not its own; what it prints is shown all the same
        sys.stderr.write(f"{record.get('message')}\n")
    else:
        channel.tell("record", record=record)


def main(fd: int) -> None:
    """Serve jobs until the parent closes the line."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    # A terminal's Ctrl-C reaches the whole group; the parent cancels on the server and says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(fd, False)  # noqa: FBT003 - the name of the function says what it is
    for stream in (sys.stdout, sys.stderr):
        # a line that a revision prints belongs between the events around it, whatever the locale can encode
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    channel = Channel(fd)
    foreign_records.capture(lambda record: _say(record, channel))
    Pulse(channel).start()
    channel.tell("ready")
    engines: WeakSet[Engine] = WeakSet()
    event.listen(Engine, "engine_connect", lambda connection, *_: engines.add(connection.engine))
    while True:
        job = channel.receive()
        for engine in list(engines):  # an application's own keeps connections to a database that was replaced since
            _forget_connections(engine)
        run(job, channel)


def _forget_connections(engine: Engine) -> None:
    """Let an engine's pool begin anew, without a word on its old connections: they are another event loop's, or cut."""
    if "close" in inspect.signature(engine.dispose).parameters:  # since SQLAlchemy 1.4.33
        engine.dispose(close=False)
    else:
        engine.dispose()
