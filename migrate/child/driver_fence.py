"""Keeps the child of a shadow from any other server: asked in each driver's own connect, before its first byte.

env.py may ignore the URL that it is given, a revision may open a connection of its own, and a throw-away replay must reach
nobody's production. Drivers are not imported for this: those that are imported later are wrapped as they come.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from migrate.child.after_loading import after_loading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    # Host (or the folder of a socket) and port, each possibly several with commas, as libpq has them.
    Server = tuple[str, str]
    Judge = Callable[[Server], None]


class _Imports(importlib.abc.MetaPathFinder):
    """Wraps a driver right after it was imported."""

    def __init__(self, wrap: Callable[[ModuleType], None]) -> None:
        self._wrap = wrap

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The driver's own spec, whose loader wraps what it has loaded; None for every other module."""
        if name not in _WRAPPERS:
            return None
        return after_loading(importlib.machinery.PathFinder.find_spec(name, path, target), self._wrap)


class DriverFence:
    """Asks ``judge`` before every connection that psycopg2, psycopg, asyncpg or pg8000 makes."""

    def __init__(self) -> None:
        self.judge: Judge | None = None  # raises for a server that must not be connected to
        sys.meta_path.insert(0, _Imports(self._wrap))
        for name in _WRAPPERS:
            if name in sys.modules:
                self._wrap(sys.modules[name])

    def _wrap(self, module: ModuleType) -> None:
        _WRAPPERS[module.__name__](module, self._ask)

    def _ask(self, server: Server) -> None:
        if self.judge is not None:
            self.judge(server)


@functools.cache
def of_this_process() -> DriverFence:
    """The one fence of this process, put up when it is first asked for: a driver is wrapped once."""
    return DriverFence()


def _of_libpq(given: dict[str, Any]) -> Server:
    """Where libpq would go: its keywords, else its variables (postgresql.org/docs, "Environment Variables")."""
    host = given.get("hostaddr") or given.get("host")
    if not host and (given.get("service") or os.environ.get("PGSERVICE")):
        return f"service {given.get('service') or os.environ['PGSERVICE']}", ""
    host = host or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST") or ""
    return str(host), str(given.get("port") or os.environ.get("PGPORT") or "")


def _wrap_psycopg2(module: Any, judge: Judge) -> None:
    connect = module._connect  # noqa: SLF001 - what every connection of psycopg2.connect() is made by

    @functools.wraps(connect)
    def judged(dsn: Any, *arguments: Any, **more: Any) -> Any:
        from psycopg2.extensions import parse_dsn

        judge(_of_libpq(parse_dsn(dsn or "")))
        return connect(dsn, *arguments, **more)

    module._connect = judged  # noqa: SLF001 - as above


def _wrap_psycopg(module: Any, judge: Judge) -> None:
    for kind in (module.Connection, module.AsyncConnection):
        connect = kind.connect.__func__

        def judged(cls: Any, /, conninfo: str = "", *, _connect: Any = connect, **more: Any) -> Any:
            given = module.conninfo.conninfo_to_dict(conninfo)
            judge(_of_libpq(given | {name: value for name, value in more.items() if value is not None}))
            return _connect(cls, conninfo, **more)

        kind.connect = classmethod(judged)
    module.connect = module.Connection.connect


def _wrap_asyncpg(module: Any, judge: Judge) -> None:
    utils = module.connect_utils
    connect = utils._connect_addr  # noqa: SLF001 - the one place that knows the address, after DSN and variables

    @functools.wraps(connect)
    def judged(*, addr: Any, **more: Any) -> Any:
        judge(_of_socket(addr) if isinstance(addr, str) else (str(addr[0]), str(addr[1])))
        return connect(addr=addr, **more)

    utils._connect_addr = judged  # noqa: SLF001 - as above


def _wrap_pg8000(module: Any, judge: Judge) -> None:
    kind = module.core.CoreConnection
    make = kind.__init__
    signature = inspect.signature(make)

    @functools.wraps(make)
    def judged(self: Any, *arguments: Any, **more: Any) -> None:
        given = signature.bind(self, *arguments, **more)
        given.apply_defaults()
        socket = given.arguments["unix_sock"]
        judge(_of_socket(str(socket)) if socket else (str(given.arguments["host"]), str(given.arguments["port"])))
        make(self, *arguments, **more)

    kind.__init__ = judged


def _of_socket(path: str) -> Server:
    """The folder and the port of a socket's path: ``/var/run/postgresql/.s.PGSQL.5432``."""
    folder, _, file = path.rpartition("/")
    return folder, file.rpartition(".")[2]


_WRAPPERS: Final = {
    "psycopg2": _wrap_psycopg2,
    "psycopg": _wrap_psycopg,
    "asyncpg": _wrap_asyncpg,
    "pg8000": _wrap_pg8000,
}
