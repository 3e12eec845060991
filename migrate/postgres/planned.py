"""Queries that the server plans once for each session: for small answers, planning is most of what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg2.extensions import AsIs

from migrate.core.digest import sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, in lower case over there


class PlannedOnce:
    """Asks in the transaction that the cursor is in, with plans that are for no values in particular.

    A statement has its text's hash for a name: what a pooler lends may have known others. The values of one query are
    given in the same order each time.
    """

    def __init__(self, cursor: Cursor, known: set[str] | None = None) -> None:
        """``known`` are the names of the session's statements, which is added to; else it is asked. Raises psycopg2.Error, as `rows` does."""
        self._cursor = cursor
        if known is None:
            cursor.execute(
                "SELECT pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),"
                " ARRAY(SELECT name FROM pg_catalog.pg_prepared_statements)"
            )
            known = set(cursor.fetchall()[0][1])
        self._known = known

    def rows(self, query: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        given = parameters or {}
        statement = f"migrate {sha256(query.encode()).hexdigest()[:32]}"
        if statement not in self._known:
            numbered = {name: AsIs(f"${number}") for number, name in enumerate(given, 1)}
            self._cursor.execute(f'PREPARE "{statement}" AS {query}', numbered or None)
            self._known.add(statement)
        values = f"({', '.join(f'%({name})s' for name in given)})" if given else ""
        self._cursor.execute(f'EXECUTE "{statement}" {values}', given or None)
        return self._cursor.fetchall()


def in_json(query: str, width: int) -> str:
    """All rows of a query as one value, each an array: several queries are one question then."""
    columns = ", ".join(f"c{n}" for n in range(width))
    rows = f"pg_catalog.json_agg(pg_catalog.json_build_array({columns}))"
    return f"(SELECT coalesce({rows}, '[]') FROM ({query}) AS q ({columns}))"
