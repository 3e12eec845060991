"""What a driver's error says: each driver's own shape, and whatever wraps it."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from migrate.core.problems.driver_errors import chain, said_by, sqlstate_of, types_of, was_disconnected

MAIL = "a.person@mail.invalid"
PRIMARY = 'duplicate key value violates unique constraint "uq"'
DETAIL = f"Key (mail)=({MAIL}) already exists."
WHOLE = f"{PRIMARY}\nDETAIL:  {DETAIL}\n"


class Psycopg2(Exception):  # noqa: N818 - as its driver would call it
    pgcode = "23505"
    diag = SimpleNamespace(message_primary=PRIMARY, message_detail=DETAIL, context=None)


class Psycopg(Exception):  # noqa: N818
    sqlstate = "23505"
    diag = SimpleNamespace(message_primary=PRIMARY, message_detail=DETAIL, context=None)


class Asyncpg(Exception):  # noqa: N818
    sqlstate = "23505"
    message = PRIMARY
    detail = DETAIL


class Adapted(Exception):  # noqa: N818 - SQLAlchemy's, of asyncpg's
    sqlstate = pgcode = "23505"


class DBAPIError(Exception):
    """As SQLAlchemy's: it wraps the driver's and shows the statement."""

    def __init__(self, orig: BaseException, *, lost: bool = False) -> None:
        super().__init__(f"({type(orig).__name__}) {orig}\n[SQL: INSERT]\n[parameters: {{'mail': '{MAIL}'}}]")
        self.orig = orig
        self.connection_invalidated = lost


class OperationalError(Exception):
    pass


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise ValueError("no words")


def adapted() -> Exception:
    error = Adapted(f"<class 'asyncpg.UniqueViolationError'>: {WHOLE}")
    error.__cause__ = Asyncpg(WHOLE)
    return error


def pg8000(**more: str) -> Exception:
    return Exception({"S": "ERROR", "V": "ERROR", "C": "23505", "M": PRIMARY, "D": DETAIL, "s": "public", **more})


DRIVERS = {
    "psycopg2": lambda: Psycopg2(WHOLE),
    "psycopg": lambda: Psycopg(WHOLE),
    "asyncpg": lambda: Asyncpg(WHOLE),
    "asyncpg, adapted": adapted,
    "pg8000": pg8000,
}


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def raised_in_the_handler(error: BaseException, handled: BaseException) -> BaseException:
    error.__context__ = handled
    error.__suppress_context__ = True  # `from None` hides it from people; the server has answered all the same
    return error


WRAPPERS = {
    "bare": (lambda error: error, PRIMARY),
    "SQLAlchemy's": (DBAPIError, PRIMARY),
    "from": (lambda error: raised_from(RuntimeError("no index"), DBAPIError(error)), f"no index: {PRIMARY}"),
    "in the handler": (lambda error: raised_in_the_handler(SystemExit(7), error), f"7: {PRIMARY}"),
    "its text": (lambda error: raised_from(RuntimeError(f"no: {error}"), error), None),
    "its repr": (lambda error: raised_from(RuntimeError(f"no: {error!r}"), error), None),
    "in one line": (lambda error: raised_from(RuntimeError(" ".join(str(error).split())), error), None),
    "twice": (
        lambda error: raised_from(ValueError("outer"), raised_in_the_handler(KeyError("inner"), error)),
        f"outer: {PRIMARY}",
    ),
    "in a group": (
        lambda error: BaseExceptionGroup("tasks", [DBAPIError(error)]),
        f"tasks (1 sub-exception): {PRIMARY}",
    ),
    "without words": (lambda error: raised_from(Unspeakable(), error), f"Unspeakable: {PRIMARY}"),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_sqlstate_is_found_and_no_detail_is_said(driver: str, wrapper: str) -> None:
    wrap, expected = WRAPPERS[wrapper]
    error = wrap(DRIVERS[driver]())
    assert sqlstate_of(error) == "23505"
    said = said_by(error)
    assert MAIL not in said
    assert "\n" not in said
    assert PRIMARY in said
    if expected is not None:
        assert said == expected


def test_a_detail_in_the_context_of_a_copy_is_not_said_either() -> None:
    error = raised_from(RuntimeError(f"COPY people, line 1: {MAIL}"), pg8000(W=f"COPY people, line 1: {MAIL}"))
    assert said_by(error) == f"RuntimeError: {PRIMARY}"


def test_a_transaction_that_has_failed_already_is_not_the_cause() -> None:
    consequence = Exception({"C": "25P02", "M": "current transaction is aborted"})
    assert sqlstate_of(consequence) == "25P02"
    assert said_by(consequence) == "current transaction is aborted"
    consequence.__context__ = Psycopg2(WHOLE)
    assert sqlstate_of(consequence) == "23505"
    assert PRIMARY in said_by(consequence)


def test_an_error_of_no_driver_says_its_first_line() -> None:
    assert (sqlstate_of(ValueError("a\nb")), said_by(ValueError("a\nb"))) == (None, "a")
    assert said_by(ValueError()) == "ValueError"
    assert said_by(Unspeakable()) == "Unspeakable"
    assert said_by(Exception({"C": 1})) == "{'C': 1}"
    assert sqlstate_of(Exception({"C": "no code", "M": ""})) is None


def test_why_there_is_no_connection_is_said_by_whatever_wraps_it() -> None:
    refused = OperationalError("connection to server failed: FATAL:  password authentication failed\nmore")
    said = "connection to server failed: FATAL:  password authentication failed"
    assert said_by(DBAPIError(refused)) == said
    wrapped = raised_from(RuntimeError("no settings"), DBAPIError(refused))
    assert said_by(wrapped) == f"no settings: {said}"
    assert types_of(wrapped) == ["RuntimeError", "DBAPIError", "OperationalError"]


def test_a_lost_connection_is_seen_through_what_wraps_it() -> None:
    assert was_disconnected(raised_from(RuntimeError(), DBAPIError(OperationalError("gone"), lost=True)))
    assert not was_disconnected(DBAPIError(OperationalError("there")))


def test_a_chain_that_bites_its_tail_or_never_ends_has_an_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__context__, second.__context__ = second, first
    assert list(chain(first)) == [first, second]
    links = [ValueError(str(number)) for number in range(1000)]
    for link, following in pairwise(links):
        link.__cause__ = following
    assert len(list(chain(links[0]))) == 100


@pytest.mark.parametrize(
    ("sqlstate", "primary", "said"),
    [
        ("22P02", 'invalid input syntax for type integer: "hunter2"', 'invalid input syntax for type integer: "…"'),
        ("22P02", 'invalid input value for enum mood: "a "b" c"', 'invalid input value for enum mood: "…"'),
        ("22003", 'value "99999999999" is out of range for type integer', 'value "…" is out of range for type integer'),
        ("22P02", "ungültige Eingabesyntax für Typ integer: »hunter2«", "ungültige Eingabesyntax für Typ integer: »…«"),
        ("22023", 'role "shop_owner" does not exist', 'role "shop_owner" does not exist'),
        ("42P07", 'relation "t" already exists', 'relation "t" already exists'),
    ],
)
def test_a_value_is_no_part_of_what_is_said(sqlstate: str, primary: str, said: str) -> None:
    class Refused(Exception):  # noqa: N818
        pgcode = sqlstate
        diag = SimpleNamespace(message_primary=primary, message_detail=None, context=None)

    assert said_by(Refused(primary)) == said
    assert said_by(Refused(primary), are_synthetic=True) == primary
