"""Several revisions in one transaction, where the database was empty: nobody else reads or writes there.

Only what a rollback undoes may be among them. What is seen to do more ends the try (`Apart`), before it has done it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from migrate.child.course import COMMITS, Apart
from migrate.child.driver import commits_by_itself, is_outside
from migrate.child.hook import Observer
from migrate.core.schema.sql_text import commits, statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from migrate.child.course import Course
    from migrate.child.hook import Statement

MOST: Final = 50  # revisions; a failure runs them once more
LONGEST_S: Final = 5.0  # after which no further one is begun
_MAY_COMMIT: Final = re.compile(r"\b(?:commit|end|prepare)\b", re.IGNORECASE)
# What would hold for the next revision, too, as it does until the transaction ends.
_LASTS: Final = re.compile(
    r"(?:\A|;)\s*(?:set|reset|lock)\b|\bset\s+(?:local|transaction|constraints)\b|\bset_config\b|_xact_|\bon\s+commit\b",
    re.IGNORECASE,
)


class SharedTransaction(Observer):
    """Which revisions share the transaction that is open."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._ids = frozenset(course.task.sharing)
        self._number = 0
        self._until_s = 0.0
        self._ends = False  # with the revision at work
        self._why_apart = ""

    def takes(self, revision: str, connection: Connection) -> bool:
        """Whether a revision that is about to run shares the open transaction, with those before it if there are any."""
        if not self._course.is_shared:
            if revision not in self._ids or commits_by_itself(connection):
                return False
            self._course.is_shared, self._number = True, 0
            self._until_s, self._ends = time.monotonic() + LONGEST_S, False
        self._number += 1
        return True

    def goes_on(self, revision: str) -> bool:
        """Whether the transaction is not committed before this revision."""
        is_full = self._ends or self._number >= MOST or time.monotonic() >= self._until_s
        return self._course.is_shared and not is_full and revision in self._ids

    def ran(self, connection: Connection) -> None:
        """A revision of them has come to its end. Raises Apart."""
        if self._why_apart:  # the revision has swallowed it
            raise Apart(self._why_apart)
        self._ends = self._ends or is_outside(connection)

    def rolling_back(self, _connection: Connection) -> None:
        """What those before have done would be gone, too."""
        if self._is_at_work:
            self._why_apart = "it rolls back"

    def committing(self, _connection: Connection) -> None:
        """Nothing is committed before all of them have run."""
        if self._is_at_work:
            self._refuse()

    def sending(self, statement: Statement) -> None:
        """Look at each statement of theirs before it is sent."""
        if not self._is_at_work:
            return
        sql = statement.sql
        may_commit = _MAY_COMMIT.search(sql) is not None and any(map(commits, statements(sql)))
        if may_commit or commits_by_itself(statement.connection):
            self._refuse()
        self._ends = self._ends or _LASTS.search(sql) is not None

    @property
    def _is_at_work(self) -> bool:
        return self._course.is_shared and self._course.phase == "revision"

    def _refuse(self) -> None:
        self._why_apart = COMMITS
        raise Apart(COMMITS)
