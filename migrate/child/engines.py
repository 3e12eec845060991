"""The engines of env.py and of its application, which outlive a run where the child serves several."""

from __future__ import annotations

import inspect
import os
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.engine import Engine

if TYPE_CHECKING:
    from types import ModuleType

_MAY_KEEP: Final = "close" in inspect.signature(Engine.dispose).parameters  # since SQLAlchemy 1.4.33


class Engines:
    """Every engine that connects, from now on; ``search_path`` is set in each new connection, where there is one."""

    def __init__(self) -> None:
        self.search_path: str | None = None
        self._known: WeakSet[Engine] = WeakSet()
        self._adapted: list[Any] = []  # connections of asynchronous drivers
        self._kept: ModuleType | None = None  # loaded for a fleet alone: with it comes psycopg2
        # before the dialect asks for the schema that is the default: it has to be told this one
        event.listen(Engine, "connect", self._connected, insert=True)
        event.listen(Engine, "engine_connect", self._used)

    def begin(self, search_path: str | None, *, keeps_session: bool) -> None:
        """Another run begins: an application's own engine keeps connections to a database that was replaced since."""
        self.search_path = search_path
        self._keep_session(is_on=keeps_session)
        for engine in list(self._known):
            _forget_connections(engine)
        self._known.clear()  # an env.py may make a new one each time

    def end(self, *, is_well: bool) -> None:
        """The run has ended: no session of it stays open, with what it holds; of one that has not ended well none is kept."""
        if not is_well:
            self._keep_session(is_on=False)
        for engine in list(self._known):
            if not getattr(engine.dialect, "is_async", False):
                with suppress(Exception):  # an application's own pool may do as it likes
                    engine.dispose()
        if not is_well:
            for connection in self._adapted:
                _cut(connection)
        self._adapted.clear()

    def _keep_session(self, *, is_on: bool) -> None:
        if not is_on and self._kept is None:
            return
        if self._kept is None:
            from migrate.child import kept_session

            self._kept = kept_session
            event.listen(Engine, "do_connect", kept_session.connect)
        self._kept.keep(is_on=is_on, search_path=self.search_path, sets=self._sets)

    @property
    def _sets(self) -> str | None:
        return f"SET search_path TO {_identifier(self.search_path)}" if self.search_path is not None else None

    def _connected(self, connection: Any, _record: object) -> None:
        if hasattr(connection, "_connection"):  # SQLAlchemy's adapter
            self._adapted.append(connection)
        if self.search_path is None:
            return
        was = connection.autocommit
        connection.autocommit = True  # else the setting would end with the driver's first rollback
        cursor = connection.cursor()
        cursor.execute(self._sets)
        cursor.close()
        connection.autocommit = was

    def _used(self, connection: Any, *_branch: object) -> None:
        self._known.add(connection.engine)
        if self.search_path is not None:
            connection.dialect.default_schema_name = self.search_path


def _identifier(name: str) -> str:
    """A quoted identifier in which no driver finds a place for a parameter: some want ``%`` doubled, and some do not."""
    quoted = name.replace('"', '""')
    if "%" not in name:
        return f'"{quoted}"'
    escaped = quoted.replace("\\", "\\\\").replace("%", "\\0025")
    return f'U&"{escaped}"'


def _cut(adapter: Any) -> None:
    """End an asynchronous driver's session, as far as it is open: the loop that would close it has ended with an exception."""
    with suppress(Exception):  # closed, or of a driver that shows no socket
        driver = adapter._connection  # noqa: SLF001 - `driver_connection` is SQLAlchemy 2's
        transport = getattr(driver, "_transport", None)  # asyncpg's
        fd = driver.fileno() if transport is None else transport.get_extra_info("socket").fileno()
        with socket(fileno=os.dup(fd)) as line:
            line.shutdown(SHUT_RDWR)


def _forget_connections(engine: Engine) -> None:
    """Let an engine's pool begin anew, without a word on its old connections: they are another event loop's, or cut."""
    engine.dispose(**({"close": False} if _MAY_KEEP else {}))
