"""Shadows: throw-away databases in which a history is replayed, on a server of their own.

Never the target: only databases that were made here are ever written to or dropped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2.extensions import quote_ident

from migrate.core.events import Event, Name
from migrate.core.problems import sql, stop
from migrate.core.problems.driver_errors import said_by
from migrate.core.quoting import identifier
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.connection import connect, connect_with_retry
from migrate.postgres.errors import problem_of
from migrate.postgres.programs import folders_of_debian, folders_of_wheels, named_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from migrate.context import Context
    from migrate.core.events import Emit
    from migrate.postgres.connection import Connection

CONNECT_S: Final = 30.0
_ROLE: Final = "migrate:shadow:"
CREATE_S: Final = 300.0  # a copy of a large baseline takes its time
_STRATEGY_SINCE: Final = 150000  # CREATE DATABASE … STRATEGY; the older ones know only file_copy
# The copy by files makes two checkpoints: cheap where nothing is synchronised. Else a small one is cheaper through the log.
_SMALL_BYTES: Final = 64 * 1024 * 1024
LEAVE_S: Final = 0.1  # for a session of which the connection was closed
ENDED_S: Final = 5.0  # for one that was ended
_IS_USED: Final = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE datname = %(name)s)"
_ROLES: Final = "SELECT oid, rolname FROM pg_catalog.pg_roles"
_DUMP: Final = b"PGDMP"  # how pg_dump's custom format begins
# pg_dump writes these for psql alone (since its releases of August 2025, CVE-2025-8714).
_PSQL_ONLY: Final = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)
_COPY: Final = re.compile(r"^COPY .* FROM stdin;", re.MULTILINE)


class Shadow:
    """A server on which databases are made for a replay; `shadow` lends one, and drops them all.

    Roles belong to the whole server. Where it is ``exclusive``, so that every new role is of the database that was made
    last, each database finds the roles of its own ancestors and no others: a revision that creates a role runs in every
    copy of a history's branches that needs it.
    """

    def __init__(self, url: DatabaseUrl, url_from: str, context: Context, *, exclusive: bool = False) -> None:
        self.url = url
        self.url_from = url_from
        self.major = 0
        self._version = 0
        self._context = context
        self.is_exclusive = exclusive
        self._made: list[str] = []
        self._last: str | None = None  # whose roles the new ones are
        self._is_synchronous = False
        self._admin: Connection | None = None
        self._own_roles: set[int] = set()  # of the server itself
        self._owner: str | None = None  # of databases that are made from now on, quoted
        self._roles: dict[str, dict[int, str]] = {}  # of each database: OID -> name

    def open(self) -> None:
        """Connect. Raises Stop (`unreachable`, `authentication`, `bad-database-url`) or Interrupted."""
        self._admin = connect_with_retry(Target(self.url, self.url_from), self._context, _ROLE, timeout_s=CONNECT_S)
        self._admin.wait_s = CREATE_S
        self._version = self._admin.server_version
        self.major = self._version // 10000
        self._is_synchronous = self._admin.row("SHOW fsync")[0] == "on"

    def create(self, template: str = "template0", name: str | None = None) -> str:
        """Make a database, as a copy of another one to which nobody is connected; its name. Raises Stop.

        ``name``: the one of a database that was dropped, for a process that cannot be told another.
        """
        self._note_roles()
        name = name or f"migrate_shadow_{self._context.run_id}_{len(self._made)}"
        options = f"TEMPLATE {template}"
        if template == "template0":
            options += " ENCODING 'UTF8'"
        if self._owner is not None:
            options += f" OWNER {self._owner}"
        if self._version >= _STRATEGY_SINCE:
            options += f" STRATEGY {self._strategy(template)}"
        self._made.append(name)
        self._run(f"CREATE DATABASE {name} {options}", "making a shadow database")
        self._roles[name] = dict(self._roles.get(template, {}))
        self._give_roles(name)
        self._last = name
        return name

    def rename(self, name: str, new: str | None = None) -> str:
        """Give a database to which nobody is connected another name; that name. Raises Stop."""
        self._note_roles()
        new = new or f"migrate_shadow_{self._context.run_id}_{len(self._made)}"
        self._made.append(new)
        self._run(f"ALTER DATABASE {name} RENAME TO {new}", "renaming a shadow database")
        self._roles[new] = self._roles.pop(name, {})
        self._give_roles(new)
        self._last = new
        return new

    def _strategy(self, template: str) -> str:
        assert self._admin is not None
        if not self._is_synchronous:
            return "file_copy"
        size: int = self._admin.row("SELECT pg_catalog.pg_database_size(%(name)s)", {"name": template})[0]
        return "wal_log" if size < _SMALL_BYTES else "file_copy"

    def drop(self, name: str) -> None:
        """Drop a database that `create` made, and whatever is still connected to it. Raises Stop."""
        self._until_left(name, LEAVE_S)
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", "dropping a shadow database")

    def make_role(self, name: str, *, owns: bool) -> bool:
        """Make a role that the cluster of the target has and this server misses; False where the server is somebody's.

        It cannot log in. ``owns``: it is what env.py acts as (SET ROLE), so that the databases are its own.
        """
        if not self.is_exclusive:
            return False
        assert self._admin is not None
        self._note_roles()
        role = quote_ident(name, self._admin)
        self._run(f"CREATE ROLE {role} NOLOGIN", "making a role for a shadow")
        self._own_roles |= {oid for oid, made in self._admin.rows(_ROLES) if made == name}
        if owns:
            self._owner = role
            for database in self._made:
                if self._admin.row("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %(name)s", {"name": database}):
                    self._run(f"ALTER DATABASE {database} OWNER TO {role}", "giving a shadow database to a role")
        return True

    def disconnect(self, name: str) -> None:
        """End every session of a database that `create` made, so that it can be copied: an application's pool, for one."""
        self._run(
            f"SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = '{name}'",
            "ending the sessions of a shadow database",
        )
        self._until_left(name, ENDED_S)

    def _until_left(self, name: str, within_s: float) -> None:
        """Wait for sessions that are ending: the server itself would look for them again only after 100 ms (procarray.c)."""
        assert self._admin is not None
        until = time.monotonic() + within_s
        try:
            while self._admin.row(_IS_USED, {"name": name})[0] and time.monotonic() < until:
                time.sleep(0.002)
        except psycopg2.Error as error:
            raise problem_of(error, doing="waiting for the sessions of a shadow database") from error

    def url_of(self, name: str) -> DatabaseUrl:
        """The URL of a database that `create` made."""
        return self.url.replace(database=name)

    def close(self) -> None:
        """Drop every database that is left, on a new connection if a signal has ended the old one."""
        try:
            self._connect_again()
            assert self._admin is not None
            self._admin.interruption = None
            for name in self._made:
                self.drop(name)
        finally:
            if self._admin is not None:
                self._admin.close()

    def _connect_again(self) -> None:
        if self._admin is not None and not self._admin.closed:
            return
        name, server = f"{_ROLE}{self._context.run_id}", Target(self.url, self.url_from)
        try:
            self._admin = connect(server, application_name=name, interruption=None, timeout_s=CONNECT_S)
        except psycopg2.Error as error:
            raise problem_of(error, doing="dropping the shadow databases") from error
        self._admin.wait_s = CREATE_S

    def _note_roles(self) -> None:
        """Put down what the last database has made of its roles."""
        if not self.is_exclusive:
            return
        assert self._admin is not None
        now: dict[int, str] = dict(self._admin.rows(_ROLES))
        if self._last is None:
            if not self._made:
                self._own_roles = set(now)
            return
        of_others = {oid for roles in self._roles.values() for oid in roles} - self._roles[self._last].keys()
        self._roles[self._last] = {
            oid: name for oid, name in now.items() if oid not in self._own_roles and oid not in of_others
        }

    def _give_roles(self, database: str) -> None:
        """Give the database's roles their names, once all others are out of the way."""
        if not self.is_exclusive:
            return
        assert self._admin is not None
        wanted = self._roles[database]
        now = {oid: name for oid, name in self._admin.rows(_ROLES) if oid not in self._own_roles}
        renamed = [(oid, name, f"migrate_away_{oid}") for oid, name in now.items() if oid not in wanted]
        renamed += [(oid, name, wanted[oid]) for oid, name in now.items() if oid in wanted]
        for _, old, new in renamed:
            if old != new:
                statement = f"ALTER ROLE {quote_ident(old, self._admin)} RENAME TO {quote_ident(new, self._admin)}"
                self._run(statement, "putting a shadow's roles away")

    def _run(self, statement: str, doing: str) -> None:
        assert self._admin is not None
        try:
            self._admin.run(statement)
        except psycopg2.errors.InsufficientPrivilege as error:
            role = self._admin.info.user
            raise stop(
                "missing-privilege",
                f"{doing}: role {role} may not make databases on the shadow's server",
                fix=sql(f"ALTER ROLE {identifier(role)} CREATEDB;"),
                sqlstate=error.pgcode,
            ) from error
        except psycopg2.Error as error:
            raise problem_of(error, doing=doing) from error


@contextmanager
def shadow(url: DatabaseUrl | None, context: Context, *, url_from: str) -> Iterator[Shadow]:
    """Lend a place for shadow databases: the server of ``url``, without one a server that lasts as long as the block.

    Raises Stop (`no-shadow` where there is no server to start).
    """
    from migrate.shadow.embedded import NoServerError, ServerFailedError, throwaway_server

    with ExitStack() as stack:
        if url is not None:
            lent = Shadow(url, url_from, context)
        else:
            try:
                server = stack.enter_context(throwaway_server())
            except (NoServerError, ServerFailedError) as error:
                raise stop("no-shadow", str(error)) from error
            lent = Shadow(
                DatabaseUrl.parse(server.url()),
                f"embedded, {server.binaries.source}",
                context,
                exclusive=True,
            )
        lent.open()
        stack.callback(lent.close)
        _say(lent, context.emit)
        yield lent


def _say(at: Shadow, emit: Emit) -> None:
    fields = {"url_from": at.url_from, "server_address": at.url.address, "postgres": at.major}
    emit(Event(Name.SHADOW_STARTED, f"throw-away server: PostgreSQL {at.major} ({at.url_from})", fields=fields))


def read_baseline(path: Path) -> str:
    """The SQL of a baseline: a plain file as it is, a dump in pg_dump's custom format as pg_restore prints it.

    Raises Stop (`bad-baseline`).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _bad_baseline(path, f"cannot be read: {error.strerror}") from error
    if data.startswith(_DUMP):
        data = _restored(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_baseline(path, "is neither UTF-8 text nor a dump in pg_dump's custom format") from error
    if _COPY.search(text):
        raise _bad_baseline(path, "holds data (COPY … FROM stdin); a baseline is a schema")
    return _PSQL_ONLY.sub("", text)


def load_baseline(connection: Connection, sql: str, path: Path) -> None:
    """Execute the SQL in one go, on a connection that is not used for anything else: dumps change its settings.

    Raises Stop (`bad-baseline`).
    """
    connection.wait_s = float("inf")
    try:
        connection.run(sql)
    except psycopg2.Error as error:
        said = said_by(error)
        position = error.diag.statement_position
        line = sql.count("\n", 0, int(position) - 1) + 1 if position else None
        where = f"line {line}: " if line is not None else ""
        raise _bad_baseline(path, f"{where}{said}", sqlstate=error.pgcode, line=line) from error


def _restored(path: Path) -> bytes:
    """What pg_restore makes of a dump: the first that can, as one cannot read what a newer pg_dump wrote."""
    found = [named_folder(os.environ), *(folder for folder, _ in (*folders_of_wheels(), *folders_of_debian()))]
    said = "there is no pg_restore to read it"
    for folder in (*filter(None, found), None):
        program = shutil.which("pg_restore", path=folder and str(folder))
        if program is None:
            continue
        command = [program, "--schema-only", "--no-owner", "--no-privileges", "--file=-", str(path)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 0:
            return done.stdout
        said = "".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:])
    raise _bad_baseline(path, f"is a dump: {said}")


def _bad_baseline(path: Path, why: str, **facts: Any) -> Exception:
    return stop("bad-baseline", f"{path} {why}", names={"baseline": path}, **facts)
