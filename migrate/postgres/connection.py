"""Connections of our own: every wait ends at its time limit or at a signal, and every failure is a catalogued problem."""

from __future__ import annotations

import os
import re
import select
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg2
import psycopg2.extensions

from migrate.context import BEAT_S
from migrate.core.events import Event, Level, Name
from migrate.core.problems import advice, shell, stop
from migrate.core.quoting import Quoted
from migrate.core.target import UrlUnavailable
from migrate.postgres.planned import PlannedOnce
from migrate.postgres.savepoint import savepoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from migrate.context import Context
    from migrate.core.interruption import Interruption
    from migrate.core.problems import Fix, Stop
    from migrate.core.target import Target

ATTEMPT_S: Final = 10.0  # one try to connect; libpq does not apply its own connect_timeout to asynchronous connects
QUERY_S: Final = 30.0  # no query of ours takes this long: whoever does not answer is gone
# A peer that vanished without a FIN is noticed by the kernel within about 20 s (libpq's tcp_* parameters).
KEEPALIVE: Final[Mapping[str, object]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}
# What libpq and the server say where waiting cannot help (src/backend/libpq/auth.c, postinit.c, fe-auth.c). There is no
# SQLSTATE for a failed connect, so that a server with translated messages ends in "unreachable" instead.
_NO_TLS: Final = "does not support SSL"
_NO_DATABASE: Final = re.compile(r'database "(.*)" does not exist')
_VALUES: Final = " (sslmode is one of disable, allow, prefer, require, verify-ca, verify-full)"
_NONE_GIVEN: Final = "no password supplied"
_HOW_TO_GIVE_ONE: Final = shell(
    "export PGPASSWORD='PASSWORD OR TOKEN'",
    note="or PGPASSFILE, DATABASE_URL_FILE; for a new token at each connection MIGRATE_URL_COMMAND, a program that prints"
    " the URL",
)
_REJECTED: Final = (
    _NO_TLS,
    "password authentication failed",
    _NONE_GIVEN,
    "no pg_hba.conf entry",
    "pg_hba.conf rejects connection",
    "authentication failed",
    "is not permitted to log in",
    "permission denied for database",
    'role "',
    'database "',
    "certificate",
)
_EXHAUSTED: Final = ("too many clients", "too many connections", "remaining connection slots")
_TRANSIENT: Final = ("starting up", "shutting down", "in recovery", *_EXHAUSTED)


class TimedOut(psycopg2.OperationalError):
    """The server did not answer within the connection's `wait_s`."""


class _Cursor(psycopg2.extensions.cursor):
    """One that sends what is to go ahead of its statement in the same message: each one costs both sides.

    There are no others: psycopg2 has no COPY beside a wait callback.
    """

    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name for it
        """As psycopg2's; the result is the last statement's."""
        if not isinstance(query, str):
            self.connection.send_ahead()
        ahead = self.connection.take_ahead()
        if ahead:
            query = f"{ahead if vars is None else ahead.replace('%', '%%')}; {query}"
        try:
            super().execute(query, vars)
        except BaseException:
            if ahead and self.connection.is_idle:  # nothing was sent: the values were not to be written
                self.connection.go_ahead(ahead)
            raise

    def executemany(self, query: Any, vars_list: Any) -> None:
        """As psycopg2's."""
        self.connection.send_ahead()
        super().executemany(query, vars_list)


class Connection(psycopg2.extensions.connection):
    """A psycopg2 connection whose waits are bounded by ``wait_s`` seconds and by an interruption, and can be heard."""

    wait_s: float = ATTEMPT_S
    interruption: Interruption | None = None
    beat: Callable[[], None] | None = None  # called while it waits
    target: Target
    is_kept: bool = False  # for the next run: it is not closed with this one
    is_proven: bool = False  # a release may run on the server that it leads to
    settable: dict[str, str] | None = None  # settings for revisions that its server and role allow; None: not asked
    prepared: set[str] | None = None  # the names of the statements that are planned already; None: none is to be
    has_ledger: bool = False  # one that is kept has seen a ledger that it can read
    _ahead: str = ""

    def let_go(self) -> None:
        """Close it, unless it is kept and idle: no run begins in a transaction of another one."""
        if not (self.is_kept and self.is_idle):
            self.close()

    @property
    def is_idle(self) -> bool:
        """Whether it is there, and in no transaction."""
        return self.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        with self.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def planned(self, sql: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """As `rows`, of a text that is the same each time: a connection that is kept has it planned once.

        For questions about the catalogs, planning is most of what they cost.
        """
        if self.prepared is None:
            return self.rows(sql, parameters)
        with self.cursor() as cursor:
            return PlannedOnce(cursor, self.prepared).rows(sql, parameters)

    def row(self, sql: str, parameters: Mapping[str, object] | None = None) -> tuple[Any, ...]:
        """The first row of a query that has one."""
        return self.rows(sql, parameters)[0]

    @contextmanager
    def transaction(
        self, mode: str = "READ COMMITTED", *, lock_timeout_s: float | None = None, mark: str = "NULL"
    ) -> Iterator[None]:
        """A transaction in the given mode, e.g. ``REPEATABLE READ READ ONLY``; committed at the end, else rolled back.

        ``mark`` is an expression of SQL that is evaluated with the lock timeout's setting. It begins with its first
        statement.
        """
        begin = f"BEGIN ISOLATION LEVEL {mode}"
        if lock_timeout_s is not None:
            begin += f"; SELECT pg_catalog.set_config('lock_timeout', '{lock_timeout_s * 1000:.0f}ms', true), {mark}"
        self.go_ahead(begin)
        try:
            yield
        except BaseException:
            if not self.take_ahead() and not self.closed:
                self.run("ROLLBACK")
            raise
        if not self.take_ahead():
            self.run("COMMIT")

    def go_ahead(self, sql: str) -> None:
        """Let this be done before the next statement, and with it."""
        self._ahead = f"{self._ahead}; {sql}" if self._ahead else sql

    def take_ahead(self) -> str:
        """What is to be done before the next statement; empty where that is nothing."""
        ahead, self._ahead = self._ahead, ""
        return ahead

    def send_ahead(self) -> None:
        """Let it be done by itself. Raises psycopg2.Error."""
        ahead = self.take_ahead()
        if ahead:
            self.run(ahead)

    @contextmanager
    def patient(self, go_on: Callable[[], None]) -> Iterator[None]:
        """In a transaction: wait however long an answer takes, unless ``go_on`` raises, which is called every second.

        The connection is closed then, and the server, which looks for its client meanwhile, ends the statement.
        """
        wait_s, beat = self.wait_s, self.beat

        def beat_and_go_on() -> None:
            if beat is not None:
                beat()
            go_on()

        self.send_ahead()
        with suppress(psycopg2.Error), savepoint(self):  # some systems cannot
            self.run("SELECT pg_catalog.set_config('client_connection_check_interval', '500ms', true)")
        self.wait_s, self.beat = float("inf"), beat_and_go_on
        try:
            yield
        finally:
            self.wait_s, self.beat = wait_s, beat

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> int:
        """Execute a statement; the number of rows that it changed."""
        with self.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.rowcount


def _wait(connection: psycopg2.extensions.connection) -> None:
    """psycopg2's wait callback (its manual, "Support for coroutine libraries").

    An exception that leaves it closes the connection, which is what a timeout and a signal want here.
    """
    limit = time.monotonic() + getattr(connection, "wait_s", float("inf"))
    interruption = getattr(connection, "interruption", None)
    beat = getattr(connection, "beat", None)
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        left = limit - time.monotonic()
        if left <= 0:
            raise TimedOut("the server did not answer in time")
        readers: list[int] = [interruption.fd] if interruption is not None else []
        writers: list[int] = []
        (readers if state == psycopg2.extensions.POLL_READ else writers).append(connection.fileno())
        select.select(readers, writers, [], min(left, 3600.0 if beat is None else BEAT_S))
        if beat is not None:
            beat()
        if interruption is not None:
            interruption.check()


psycopg2.extensions.set_wait_callback(_wait)


def connect(
    target: Target,
    *,
    application_name: str,
    interruption: Interruption | None,
    timeout_s: float = ATTEMPT_S,
    beat: Callable[[], None] | None = None,
) -> Connection:
    """One try to connect, in autocommit mode.

    Raises psycopg2.OperationalError (TimedOut within it) or Interrupted.
    """
    try:
        target = target.renewed()
    except UrlUnavailable as error:
        raise psycopg2.OperationalError(str(error)) from None
    parameters: dict[str, Any] = {
        **KEEPALIVE,
        **target.url.libpq,
        "application_name": application_name,
        "client_encoding": "utf8",  # SQL_ASCII databases would hand out bytes that psycopg2 cannot decode
    }

    def prepared(dsn: str, async_: int = 0) -> Connection:
        made = Connection.__new__(Connection)
        made.wait_s = min(timeout_s, ATTEMPT_S)
        made.interruption = interruption
        made.beat = beat
        made.target = target
        made.__init__(dsn, async_)  # type: ignore[misc]  # the limits must stand before libpq starts to wait
        return made

    connection: Connection = psycopg2.connect(connection_factory=prepared, **parameters)
    connection.wait_s = QUERY_S
    connection.cursor_factory = _Cursor
    connection.set_session(autocommit=True)
    return connection


def renewed(target: Target) -> Target:
    """The target with a URL for somebody else's connection. Raises Stop (`unreachable`)."""
    try:
        return target.renewed()
    except UrlUnavailable as error:
        raise stop("unreachable", str(error)) from None


def connect_with_retry(target: Target, context: Context, role: str, *, timeout_s: float | None = None) -> Connection:
    """Connect, trying again while the server does not answer, for ``timeout_s`` seconds, else as long as the limits say.

    ``role`` begins the connection's name. Raises Stop (`unreachable`, `no-resources`, `authentication`, `deadline`) or
    Interrupted.
    """
    _refuse_service_without_end(target)
    began = time.monotonic()
    timeout_s = context.limits.connect_s if timeout_s is None else timeout_s
    until = min(began + timeout_s, context.deadline_at)
    for delay in _delays():
        left = until - time.monotonic()
        try:
            return connect(
                target,
                application_name=f"{role}{context.run_id}",
                interruption=context.interruption,
                timeout_s=max(left, 0.1),
                beat=context.beat,
            )
        except psycopg2.ProgrammingError as error:  # libpq does not know a parameter of the URL
            raise _bad_url(target, context.redact(first_line(error))) from error
        except psycopg2.OperationalError as error:
            said = context.redact(first_line(error))
            if said.startswith("invalid "):  # libpq's words for a parameter's value, e.g. of sslmode
                fix = advice(f"correct this value in {target.url_from}{_VALUES if 'sslmode' in said else ''}")
                raise _bad_url(target, said, fix) from error
            if is_rejected(said):
                raise _rejected(target, said) from error
            if time.monotonic() + delay > until:
                waited = time.monotonic() - began
                if until == context.deadline_at:
                    why = f"the deadline came after {waited:.0f} s of connecting to {target.url.redacted}: {said}"
                    raise stop("deadline", why) from error
                raise stop(
                    "no-resources" if is_exhausted(said) else "unreachable",
                    f"no connection to {target.url.redacted} after {waited:.1f} s (limit: {timeout_s:g} s): {said}",
                ) from error
            context.emit(Event(Name.CONNECT_RETRY, f"not connected yet, next try in {delay:.1f} s: {said}", Level.WARN))
        context.pause(delay)
    raise AssertionError  # the delays never end


def _refuse_service_without_end(target: Target) -> None:
    """Raises Stop for a service file that is a FIFO or a device: libpq reads it before any time limit of its own."""
    given = target.url.libpq
    if not (given.get("service") or os.environ.get("PGSERVICE")):
        return
    home = os.path.expanduser("~/.pg_service.conf")  # noqa: PTH111 - the rest of a missing home is no error
    places = [str(given.get("servicefile") or os.environ.get("PGSERVICEFILE") or home)]
    if "PGSYSCONFDIR" in os.environ:
        places.append(os.path.join(os.environ["PGSYSCONFDIR"], "pg_service.conf"))  # noqa: PTH118 - as libpq does
    for place in places:
        if os.path.exists(place) and not os.path.isfile(place):  # noqa: PTH110, PTH113 - a name may hold anything
            raise stop(
                "bad-database-url",
                f"the service file {place} is not a regular file",
                fix=advice("put the services into a file, and its path into PGSERVICEFILE"),
                names={"variable": target.url_from},
            )


def _bad_url(target: Target, said: str, fix: Fix | None = None) -> Stop:
    return stop("bad-database-url", f"{target.url_from}: {said}", fix=fix, names={"variable": target.url_from})


def _rejected(target: Target, said: str) -> Stop:
    missing = _NO_DATABASE.search(said)
    code = "no-database" if missing else "no-tls" if _NO_TLS in said else "authentication"
    names = {"variable": target.url_from, "database": missing[1] if missing else Quoted("NAME")}
    if _NONE_GIVEN in said and not target.url.password:
        why = f"migrate connects by itself with {target.url_from}, which has no password; what env.py adds is not known here"
        return stop(code, f"{why}. The server said: {said}", fix=_HOW_TO_GIVE_ONE, names=names)
    return stop(code, f"the server said: {said}", names=names)


def jitter(low: float, high: float) -> float:
    """A number between the two, so that runners that were blocked together do not come back together.

    From the system: the module `random` costs 5 ms at every start.
    """
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / 2**32


def _delays() -> Iterator[float]:
    delay = 0.2
    while True:
        yield delay * jitter(0.8, 1.2)
        delay = min(delay * 1.6, 5.0)


def first_line(error: BaseException) -> str:
    """The first line of an error without libpq's 'connection to server … failed:' framing being lost."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:1]) or type(error).__name__


def is_exhausted(said: str) -> bool:
    """Whether a connect error is that the server or the role has no connection to give."""
    return any(text in said for text in _EXHAUSTED)


def is_rejected(said: str) -> bool:
    """Whether a connect error is one that waiting does not mend."""
    return any(text in said for text in _REJECTED) and not any(text in said for text in _TRANSIENT)
