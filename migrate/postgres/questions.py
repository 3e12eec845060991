"""Asks the database whether its rows are as pending revisions need them.

It only reads, no question takes longer than its budget, and what it answers is how many rows, never what is in them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.core.foresee import needs
from migrate.core.foresee.live import COUNTED, Against, Met, NotKnown
from migrate.core.schema.differences import parse
from migrate.postgres.catalog_queries import SETTINGS
from migrate.postgres.connection import TimedOut
from migrate.postgres.errors import LOCK_NOT_AVAILABLE, QUERY_CANCELED

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.core.decide.observation import Server
    from migrate.core.decide.policy import Limits
    from migrate.core.foresee.live import Answer
    from migrate.core.foresee.needs import Condition
    from migrate.core.target import Target
    from migrate.postgres.connection import Connection

_DENIED: Final = "42501"
_UNHEARD_S: Final = 5.0  # a server that does not end a statement at its timeout is not there any more
# `row_security` off: rows that are hidden from this role would count, so that it is an error to ask for them.
_LIMITS: Final = """
    SELECT pg_catalog.set_config('statement_timeout', %(left)s, true), pg_catalog.set_config('row_security', 'off', true)
"""

_CHILDREN: Final = """
    SELECT a.path
      FROM ROWS FROM (pg_catalog.unnest(%(paths)s::text[]), pg_catalog.unnest(%(schemas)s::text[]),
                      pg_catalog.unnest(%(names)s::text[])) AS a(path, nsp, rel)
      JOIN pg_catalog.pg_namespace n ON n.nspname = a.nsp
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = a.rel AND c.relkind <> 'p'
     WHERE EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """How questions are asked: as whom, relative to which schema, how long each may take."""

    role: str
    major: int
    default: str
    qualified: tuple[str, ...]
    limits: Limits
    go_on: Callable[[], None]  # called every second; raises where nobody waits for the answer any more

    @classmethod
    def of(cls, server: Server, target: Target, limits: Limits, go_on: Callable[[], None]) -> Asking:
        """The way to ask the rows of a target."""
        return cls(server.user, server.major, target.default_schema(server.schema), target.schemas, limits, go_on)


def answer(connection: Connection, condition: Condition, asking: Asking) -> Answer:
    """Whether the rows fulfil the condition, and how many do not.

    Raises psycopg2.Error where the connection is lost, and what `asking.go_on` raises; both leave it closed.
    """
    try:
        only = _with_children(connection, condition, asking)
    except psycopg2.Error as error:
        if connection.closed:
            raise
        return NotKnown(_why(error, condition, asking))
    names = {"schema": asking.default, "postgres": asking.major, "only": only}
    question = needs.question(condition, **names)  # type: ignore[arg-type]
    if question is None:
        return NotKnown(f"PostgreSQL {asking.major} cannot be asked what a type takes")
    until = time.monotonic() + asking.limits.data_s
    try:
        if not _ask(connection, question, asking, until):
            return Met()
    except psycopg2.Error as error:
        if connection.closed:
            raise
        return NotKnown(_why(error, condition, asking))
    select = needs.showing(condition, **names) or ""  # type: ignore[arg-type]
    counting = needs.count(condition, up_to=COUNTED, **names) or ""  # type: ignore[arg-type]
    try:
        ((number,),) = _ask(connection, counting, asking, until)
    except psycopg2.Error:
        if connection.closed:
            raise
        return Against(1, select, is_counted=False)
    return Against(max(number, 1), select)


def _with_children(connection: Connection, condition: Condition, asking: Asking) -> frozenset[str]:
    """The condition's tables from which others inherit: a key or a foreign key is about their own rows only."""
    paths = {condition.table, getattr(condition, "parent", condition.table)}
    places = {path: parse(f"table {path}").path for path in paths}
    rows = connection.rows(
        _CHILDREN,
        {
            "paths": list(places),
            "schemas": [names[0] if len(names) > 1 else asking.default for names in places.values()],
            "names": [names[-1] for names in places.values()],
        },
    )
    return frozenset(path for (path,) in rows)


def _ask(connection: Connection, query: str, asking: Asking, until: float) -> list[tuple[Any, ...]]:
    left_s = max(until - time.monotonic(), 0.001)

    def go_on() -> None:
        asking.go_on()
        if time.monotonic() > until + _UNHEARD_S:
            raise TimedOut("the server did not answer in time")

    with connection.transaction("READ COMMITTED READ ONLY", lock_timeout_s=asking.limits.lock_s):
        connection.run(SETTINGS, {"default": asking.default, "qualified": list(asking.qualified)})
        connection.run(_LIMITS, {"left": f"{max(left_s * 1000, 1):.0f}ms"})
        with connection.patient(go_on):
            return connection.rows(query)


def _why(error: psycopg2.Error, condition: Condition, asking: Asking) -> str:
    """Why there is no answer. The server's message is not told: it may have a value in it."""
    match error.pgcode:
        case code if code == QUERY_CANCELED:
            return f"there was no answer within {asking.limits.data_s:g} s"
        case code if code == LOCK_NOT_AVAILABLE:
            return f"{condition.table} was locked for {asking.limits.lock_s:g} s"
        case code if code == _DENIED:
            hides = "row-level security" in str(error)
            does = "does not see all rows of" if hides else "may not read"
            return f"role {asking.role} {does} {condition.table}"
        case code:
            return f"the question failed with SQLSTATE {code}"
