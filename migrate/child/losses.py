"""Nothing is lost that was not allowed to go: what a transaction has done is looked at before its commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.child.course import Refused, Unsure
from migrate.child.driver import commits_by_itself, is_autocommit, rows_by_driver
from migrate.child.hook import Observer, Statement
from migrate.core.problems.driver_errors import said_by, sqlstate_of
from migrate.core.schema.differences import dotted
from migrate.core.schema.sql_text import commits, stands_outside, statements
from migrate.core.wording import counted, shortened
from migrate.postgres.losses import Keeping, Lost, Unread, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from migrate.child.commits import OwnCommits
    from migrate.child.course import Course
    from migrate.child.guard_fence import GuardFence
    from migrate.postgres.suspect import Suspect


class Losses(Observer):
    """The watch over what downgrades take, and the end of a transaction of ours around one statement."""

    def __init__(self, course: Course, commits: OwnCommits, fence: GuardFence) -> None:
        self._course = course
        self._commits = commits
        self._fence = fence
        self._keeping: Keeping | None = None
        self._judged = False  # all that the transaction has done

    @property
    def is_on(self) -> bool:
        """Whether something must not be lost."""
        return self._course.task.keeps is not None

    @property
    def _suspects(self) -> Sequence[Suspect]:
        """The tables whose rows an earlier try, or the manifest, says to look at."""
        return self._course.task.keeps or ()

    def begin(self, connection: Connection) -> None:
        """A revision begins."""
        self._judged = False
        if connection.in_transaction() and not is_autocommit(connection):
            self._begin_keeping(connection, self._suspects)

    def begun(self, connection: Connection) -> None:
        """A revision's transaction begins."""
        if self._course.phase == "revision" and not is_autocommit(connection):
            self._begin_keeping(connection, self._suspects)

    def _begin_keeping(self, connection: Connection, suspects: Sequence[Suspect]) -> None:
        """Look at the tables at a transaction's beginning, and write down what the suspects hold."""
        if not self.is_on or self._keeping is not None:
            return
        try:
            self._keeping = self.kept_by(connection, suspects)
        except Unread as unread:
            raise self._unread(unread) from unread.error

    def kept_by(self, connection: Connection, suspects: Sequence[Suspect]) -> Keeping:
        """What there is at the beginning of a transaction."""
        task = self._course.task
        versions = (task.version_table_schema or "", task.version_table)
        return Keeping.begin(lambda sql: rows_by_driver(connection, sql), versions, suspects)

    def judge(self) -> None:
        """The revision is applied: refuse what it has lost. Raises Refused or Unsure."""
        self._refuse()
        self._judged = True

    def _refuse(self) -> None:
        """Raises Refused where this transaction has lost something, Unsure where that is to be looked at in another try."""
        if self._keeping is None:
            return
        suspects = self._keeping.suspects()
        unsure = [suspect for suspect in suspects if not self._keeping.covers(suspect)]
        if unsure:
            raise Unsure(unsure)
        try:
            lost = self._keeping.lost(suspects)
        except Unread as unread:
            raise self._unread(unread) from unread.error
        if lost:
            gone = shortened([self._said_of(each) for each in lost if not each.is_changed])
            changed = shortened([self._change_of(each) for each in lost if each.is_changed])
            said = " and ".join(f"{verb} {what}" for verb, what in (("loses", gone), ("changes", changed)) if what)
            refused = self._data_loss(f"the downgrade of {self._course.current} {said}")
            refused.facts = {"loses": [f"{self._name_of(each)}: {each.number}" for each in lost][:50]}
            raise refused

    def _name_of(self, lost: Lost) -> str:
        if not lost.table:
            return "large objects"
        is_elsewhere = lost.schema != self._course.task.version_table_schema
        path = [lost.schema, lost.table] if is_elsewhere else [lost.table]
        return f"table {dotted(path)}" if lost.column is None else f"column {dotted([*path, lost.column])}"

    def _said_of(self, lost: Lost) -> str:
        of = "" if lost.number == lost.of else f"{lost.number} of "
        return f"{self._name_of(lost)} ({of}{counted(lost.of, 'row' if lost.column is None else 'value')})"

    def _change_of(self, lost: Lost) -> str:
        of = "" if lost.number == lost.of else f"{lost.number} of "
        return f"{of}{counted(lost.of, 'value')} of {self._name_of(lost)}"

    def _data_loss(self, why: str) -> Refused:
        return Refused("data-loss", why, target=self._course.task.target)

    def _unread(self, unread: Unread) -> Refused:
        """The refusal to go on where nobody can say what a table holds."""
        why = f"what the downgrades take from table {dotted(unread.table)} cannot be counted: {said_by(unread.error)}"
        if sqlstate_of(unread.error) != "42501":
            return self._data_loss(why)
        about = {"table": ".".join(map(quoted, unread.table)), "target": self._course.task.target}
        return Refused("missing-privilege", why, denied=said_by(unread.error), **about)

    def unknown(self, what: str) -> Refused:
        """The refusal of what nobody can judge."""
        return self._data_loss(f"the downgrade of {self._course.current} {what}: nobody can say what that loses")

    def committing(self, connection: Connection) -> None:
        """A transaction is about to be committed: by us, by an autocommit block that begins, or by the revision itself."""
        if not self._judged and not is_autocommit(connection):
            self._refuse()
        self._keeping = None

    def rolling_back(self, _connection: Connection) -> None:
        """What the transaction did is gone."""
        self._keeping = None

    def sending(self, statement: Statement) -> None:
        """What would be committed before the statement's end is looked at in between."""
        if self._course.phase != "revision" or not self.is_on:
            return
        connection, sql = statement.connection, statement.sql
        parts = [sql] if statement.is_many or "commit" not in sql.lower() else statements(sql)
        if not any(map(commits, parts)):
            parts = [sql]
        for part in parts[:-1]:
            self._before_part(connection, part)
            statement.cursor.execute(part, statement.parameters)
            self.sent(Statement(connection, statement.cursor, part, statement.parameters, statement.is_many))
            self._commits.go_on(part)
        self._before_part(connection, parts[-1])
        statement.sql = parts[-1]

    def _before_part(self, connection: Connection, sql: str) -> None:
        if commits_by_itself(connection):
            self._keeping = None
            if not all(map(stands_outside, statements(sql))):
                self._fence.wrap(connection)
                self._begin_keeping(connection, [])
        elif commits(sql):
            self._refuse()
            self._keeping = None
        elif self._keeping is None:  # the revision has begun a transaction by itself
            self._begin_keeping(connection, self._suspects)

    def sent(self, statement: Statement) -> None:
        """A statement that would have committed by itself is committed, if it loses nothing."""
        if not self._fence.wraps:
            return
        connection, cursor = statement.connection, statement.cursor
        try:
            try:
                self._refuse()
            except Unsure as unsure:
                self._unwrap(connection, "ROLLBACK")
                self._fence.wrap(connection)
                self._begin_keeping(connection, unsure.suspects)
                (cursor.executemany if statement.is_many else cursor.execute)(statement.sql, statement.parameters)
                self._refuse()
        except BaseException:
            self._unwrap(connection, "ROLLBACK")
            self._commits.take_back()
            raise
        self._unwrap(connection, "COMMIT")
        self._commits.committed(statement.sql)

    def _unwrap(self, connection: Connection, how: str) -> None:
        self._keeping = None
        self._fence.unwrap(connection, how)

    def left_nothing(self, sqlstate: str | None) -> bool:
        """Whether an end, with the server's refusal or one of ours, leaves nothing behind."""
        if self._fence.wraps:  # what failed is not committed
            self._commits.take_back()
        return self._commits.left_nothing(sqlstate)
