"""What env.py and the revisions do on connections of their own, as far as SQLAlchemy makes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from migrate.child.course import Refused
from migrate.child.driver import answers, driver_of, is_autocommit
from migrate.child.guard_fence import NEXT
from migrate.child.hook import Observer
from migrate.core.history.destruction import says_harmless
from migrate.core.schema.differences import dotted
from migrate.core.wording import shortened

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from migrate.child.commits import OwnCommits
    from migrate.child.course import Course
    from migrate.child.guard_fence import GuardFence
    from migrate.child.hook import Statement
    from migrate.child.losses import Losses
    from migrate.postgres.losses import Keeping

SHOWN_SQL: Final = 120  # characters of a statement that a message names
_READS: Final = re.compile(r"\s*(?:select|show|set|reset|explain|begin|commit|rollback)\b", re.IGNORECASE)
_TEXTS: Final = re.compile(r"'(?:[^']|'')*'")
_HERE: Final = "migrate: leads to the database of this run"  # in the `info` of a connection that a revision makes


class Beside(Observer):
    """Sees every connection of every engine; ``watched`` is the one that env.py has handed over, once it has."""

    def __init__(self, course: Course, fence: GuardFence, commits: OwnCommits, losses: Losses) -> None:
        self._course = course
        self._fence = fence
        self._commits = commits
        self._losses = losses
        self.watched: Connection | None = None
        self._kept: dict[int, Keeping] = {}  # by driver's connection, of its transaction
        self._openers: dict[int, str] = {}  # by driver's connection: the statement that began its transaction

    def opener(self, connection: Connection) -> str:
        """The statement that began the connection's transaction, empty where none did."""
        return self._openers.get(id(driver_of(connection)), "")

    def begun(self, connection: Connection) -> None:
        """Before the migrations, remember the transaction; in a revision, what there is at its beginning."""
        if self._course.phase == "env":
            self._openers[id(driver_of(connection))] = ""
        elif self._keeps(connection) and not is_autocommit(connection):
            self._kept[id(driver_of(connection))] = self._losses.kept_by(connection, [])

    def committing(self, connection: Connection) -> None:
        """Refuse what it may lose, and let what it has written pass the fence."""
        keeping = self._kept.pop(id(driver_of(connection)), None)
        suspects = keeping.suspects() if keeping is not None else []
        changed = [dotted([suspect.schema, suspect.table]) for suspect in suspects]
        if keeping is not None and keeping.unlinked():
            changed.append("large objects")
        if changed:
            raise self._losses.unknown(f"changes {shortened(changed)} on a connection of its own")
        if self._is_other(connection) and answers(connection, "SELECT pg_catalog.txid_current_if_assigned()"):
            self._pass(connection, self._fence.marked_and_held)

    def sending(self, statement: Statement) -> None:
        """As `committing`, of a statement that commits by itself."""
        connection = statement.connection
        if self._course.phase == "env" and self._openers.get(id(driver_of(connection))) == "":
            self._openers[id(driver_of(connection))] = _without_values(statement.sql)
        if _READS.match(statement.sql) is None and self._is_other(connection) and is_autocommit(connection):
            if self._keeps(connection) and not says_harmless(statement.sql):
                raise self._losses.unknown("commits on a connection of its own")
            self._pass(
                connection, self._fence.asks.is_held if self._course.task.is_pooled else self._fence.asks.may_write
            )

    def _keeps(self, connection: Connection) -> bool:
        """Whether nothing may be lost on another connection to this database, which a revision has made."""
        if not self._losses.is_on or not self._is_other(connection):
            return False
        return answers(connection, f"SELECT {self._fence.asks.is_held}")

    def _is_other(self, connection: Connection) -> bool:
        """Whether a revision speaks on another connection than the one that is watched."""
        channel = self._course.channel
        if self._course.phase != "revision" or channel.is_forked:
            return False
        return connection.dialect.name == "postgresql" and driver_of(connection) is not channel.driver

    def _pass(self, connection: Connection, fence: str) -> None:
        """Let what a revision commits on another connection to this database, where the guard is seen, pass the fence."""
        if connection.info.get(_HERE) is None:
            connection.info[_HERE] = self._is_here(connection)
        if not connection.info[_HERE]:
            return
        self._commits.stop()
        self._course.tell_autocommit()
        self._fence.ask(connection, fence, NEXT)

    def _is_here(self, connection: Connection) -> bool:
        """Whether the guard is seen from there; where it is not, it may be because it is lost."""
        asked = f"SELECT {self._fence.asks.is_held}"
        if answers(connection, asked):
            return True
        watched = self.watched
        if watched is not None and not answers(watched, asked) and answers(watched, "SELECT true"):
            raise Refused("guard-lost", f"the job lock was gone before {NEXT} on another connection")
        return False


def _without_values(statement: str) -> str:
    """A statement on one line, short, and without the texts in it, which may be secrets."""
    said = " ".join(_TEXTS.sub("'…'", statement).split())
    return said if len(said) <= SHOWN_SQL else f"{said[:SHOWN_SQL]}…"
