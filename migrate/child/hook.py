"""The one hook into what connections do: SQLAlchemy's events, told to several observers in their order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection


@dataclass(slots=True)
class Statement:
    """One that is about to be sent, or was; an observer that sends a part of it leaves the rest in ``sql``."""

    connection: Connection
    cursor: Any
    sql: str
    parameters: Any
    is_many: bool  # executemany()


class Observer:
    """Sees what a connection does, and raises what must end it; a method that is not overridden does nothing."""

    def begun(self, connection: Connection) -> None:
        """A transaction was begun."""

    def committing(self, connection: Connection) -> None:
        """The transaction is about to be committed."""

    def rolling_back(self, connection: Connection) -> None:
        """The transaction is about to be rolled back."""

    def sending(self, statement: Statement) -> None:
        """A statement is about to be sent."""

    def sent(self, statement: Statement) -> None:
        """A statement was sent, and the server has done it."""


class Hook:
    """What observers are hooked into: a connection, or every engine."""

    def __init__(self, *observers: Observer) -> None:
        self.observers: Sequence[Observer] = observers
        self._listeners: Mapping[str, Callable[..., object]] = {
            "begin": self._begun,
            "commit": self._committing,
            "rollback": self._rolling_back,
            "before_cursor_execute": self._sending,
            "after_cursor_execute": self._sent,
        }

    def listen(self, target: Connection | type[Engine]) -> None:
        """Begin; once for the same target."""
        for name, listener in self._listeners.items():
            options = {"retval": True} if name == "before_cursor_execute" else {}
            event.listen(target, name, listener, **options)

    def _begun(self, connection: Connection) -> None:
        for observer in self.observers:
            observer.begun(connection)

    def _committing(self, connection: Connection) -> None:
        for observer in self.observers:
            observer.committing(connection)

    def _rolling_back(self, connection: Connection) -> None:
        for observer in self.observers:
            observer.rolling_back(connection)

    def _sending(self, connection: Connection, cursor: Any, sql: str, parameters: Any, *more: Any) -> tuple[str, Any]:
        statement = Statement(connection, cursor, sql, parameters, is_many=more[-1])
        for observer in self.observers:
            observer.sending(statement)
        return statement.sql, statement.parameters

    def _sent(self, connection: Connection, cursor: Any, sql: str, parameters: Any, *more: Any) -> None:
        statement = Statement(connection, cursor, sql, parameters, is_many=more[-1])
        for observer in self.observers:
            observer.sent(statement)


@cache
def of_everyone() -> Hook:
    """The one hook into every engine; its observers are those of the task at work, as engines outlive a task."""
    made = Hook()
    made.listen(Engine)
    return made
