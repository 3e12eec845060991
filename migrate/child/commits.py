"""Whether a revision has committed anything by itself."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from migrate.child.driver import commits_by_itself, do_by_driver, is_autocommit
from migrate.child.hook import Observer

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from migrate.child.hook import Statement

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


class OwnCommits(Observer):
    """Whether a revision has committed anything by itself: a refusal of the first such statement leaves nothing behind.

    In doubt it has: only what the server shows to have written nothing counts as nothing.
    """

    def __init__(self) -> None:
        self.any = True
        self._is_answered = True  # no statement that commits by itself is under way
        self._rows: int | None = None
        self._before_it = True  # what `any` was before the statement that was last begun
        self._is_watched = False

    def watch(self, connection: Connection) -> None:
        """A revision begins that may commit a part of itself."""
        is_alone = is_autocommit(connection)
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

    def note(self, sql: str) -> None:
        """This statement is committed."""
        self.any = self.any or _HARMLESS.match(sql) is None

    def stop(self) -> None:
        """What is committed from now on is for others to judge."""
        self._is_watched, self.any = False, True

    def committing(self, connection: Connection) -> None:
        """See whether the transaction has written anything."""
        if self._is_watched and not self.any and not is_autocommit(connection):
            self.any = _rows_written(connection) != self._rows

    def sending(self, statement: Statement) -> None:
        """See whether the statement commits by itself, or is a COMMIT."""
        if not self._is_watched:
            return
        self._before_it = self.any
        if commits_by_itself(statement.connection):
            self._is_answered = False
            self.any = self.any or _IN_PARTS.match(statement.sql) is not None
        elif _COMMITS.match(statement.sql):
            self.committing(statement.connection)

    def sent(self, statement: Statement) -> None:
        """See whether it has committed by itself."""
        if commits_by_itself(statement.connection):
            self.committed(statement.sql)

    def committed(self, sql: str) -> None:
        """The statement that was last begun is committed."""
        if self._is_watched:
            self._is_answered = True
            self.note(sql)


def _rows_written(connection: Connection) -> int | None:
    """How many rows, of catalogs too, this transaction has written, counted with earlier ones; None where nothing counts."""
    with suppress(Exception):
        (found,) = do_by_driver(connection, _ROWS_WRITTEN)
        return None if found is None else int(found)
    return None
