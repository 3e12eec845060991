"""What a database driver's error says, whichever driver it is and however deep it is wrapped.

psycopg2, psycopg, asyncpg and pg8000 each keep the server's answer in another place; SQLAlchemy wraps theirs, and a
revision may raise an error of its own for any of them. The server's DETAIL and CONTEXT may carry rows: they are never shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
# That a text, a date, a number, a document or a character is none of its type. Others of the class (22023) name settings.
_OF_A_VALUE: Final = frozenset(
    [
        "22P02",
        "22P03",
        "22P04",
        "22P05",
        "22003",
        "22007",
        "22008",
        "22009",
        "22018",
        "22021",
        "22030",
        "22031",
        "22032",
    ]
)
_QUOTED: Final = re.compile(r"""(["«»„“]).*(["«»“”])""", re.DOTALL)  # as the server's language quotes
_FAILED_TRANSACTION: Final = "25P02"  # what every statement gets after the one that failed
# Where the primary message ends in the repr of a driver's error: "\\nDETAIL:  ", "\\nLINE 1: ", in any language.
_MORE: Final = re.compile(r"\\n[ \t]*\w+(?::  | \d+: ).*")
_OF_A_CONNECTION: Final = frozenset({"OperationalError", "InterfaceError"})  # DB-API's names
_LONGEST_CHAIN: Final = 100  # a chain may be made by a program


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it wraps, was raised from, or was raised in the handler of; the nearest first, each once."""
    seen: dict[int, BaseException] = {}
    todo = [error]
    while todo and len(seen) < _LONGEST_CHAIN:
        found = todo.pop(0)
        if id(found) not in seen:
            seen[id(found)] = found
            yield found
            wrapped = (getattr(found, "orig", None), found.__cause__, found.__context__, *_members(found))
            todo += [each for each in wrapped if isinstance(each, BaseException)]


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def sqlstate_of(error: BaseException) -> str | None:
    """The server's SQLSTATE at any depth; None where no server has answered."""
    answering = _answering(error)
    return None if answering is None else _sqlstate(answering)


def _answering(error: BaseException) -> BaseException | None:
    """The nearest error with an SQLSTATE, but for one that only says that an earlier statement has failed."""
    found = [each for each in chain(error) if _sqlstate(each) is not None]
    causes = [each for each in found if _sqlstate(each) != _FAILED_TRANSACTION]
    return next(iter(causes or found), None)


def types_of(error: BaseException) -> list[str]:
    """The names of the classes in the chain."""
    return [type(each).__name__ for each in chain(error)]


def was_disconnected(error: BaseException) -> bool:
    """Whether SQLAlchemy found that the connection was lost."""
    return any(getattr(each, "connection_invalidated", False) is True for each in chain(error))


def said_by(error: BaseException, *, are_synthetic: bool = False) -> str:
    """The error in one line: what the user's own error says, and the server's primary message.

    Of an error about a value the message has the value, between quotes, and is told without it, unless all values
    ``are_synthetic``.
    """
    said = _said_by(error)
    return _QUOTED.sub(r"\1…\2", said) if sqlstate_of(error) in _OF_A_VALUE and not are_synthetic else said


def _said_by(error: BaseException) -> str:
    outermost = getattr(error, "orig", None) or error
    answering = _answering(error)
    if answering is None:  # without an answer a driver says itself why there is no connection
        answering = next((each for each in chain(outermost) if _is_of_a_connection(each)), outermost)
    primary = next((said for each in chain(answering) if (said := _primary(each)) is not None), _own(answering))
    if answering in (error, outermost):
        return primary or type(outermost).__name__
    own = _own(error)
    if not own or any(_holds(own, detail) for each in chain(error) for detail in _details(each)):
        own = type(error).__name__
    return own if primary in own else f"{own}: {primary}"


def _is_of_a_connection(error: BaseException) -> bool:
    return any(each.__name__ in _OF_A_CONNECTION for each in type(error).__mro__)


def _own(error: BaseException) -> str:
    """The first line of the error's own text."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - an exception's own __str__ may raise, too
        return ""
    return _MORE.sub("", lines[0]).strip() if lines else ""


def _holds(text: str, detail: str) -> bool:
    return any(form in text for form in (detail, repr(detail)[1:-1]))


def _answer(error: BaseException) -> Mapping[str, Any]:
    """The fields of the server's answer by their letters in the protocol, as pg8000 hands them over."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, dict) and {"C", "M"} <= first.keys() else {}


def _sqlstate(error: BaseException) -> str | None:
    for value in (getattr(error, "pgcode", None), getattr(error, "sqlstate", None), _answer(error).get("C")):
        if isinstance(value, str) and _SQLSTATE.fullmatch(value):
            return value
    return None


def _primary(error: BaseException) -> str | None:
    """The first line of the server's primary message, where the error itself holds it."""
    asyncpgs = getattr(error, "message", None) if isinstance(getattr(error, "sqlstate", None), str) else None
    for value in (getattr(getattr(error, "diag", None), "message_primary", None), _answer(error).get("M"), asyncpgs):
        if isinstance(value, str) and value.strip():
            return value.strip().splitlines()[0]
    return None


def _details(error: BaseException) -> Iterator[str]:
    """The parts of the server's answer that may carry rows."""
    diag, answer = getattr(error, "diag", None), _answer(error)
    for value in (
        getattr(diag, "message_detail", None),
        getattr(diag, "context", None),
        getattr(error, "detail", None),
        answer.get("D"),
        answer.get("W"),
    ):
        if isinstance(value, str) and value.strip():
            yield value.strip()
