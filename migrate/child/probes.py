"""What a shadow's run wants to see of a revision, or do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.child.driver import do_by_driver
from migrate.child.hook import Observer
from migrate.child.protocol import Sent

if TYPE_CHECKING:
    from migrate.child.course import Course
    from migrate.child.hook import Statement


class Recorder(Observer):
    """Tells each statement of the revisions."""

    def __init__(self, course: Course) -> None:
        self._course = course

    def sending(self, statement: Statement) -> None:
        """Tell it as the driver sends it; one that does not show that, with its parameters beside it."""
        revision = self._course.current
        if self._course.phase != "revision" or revision is None:
            return
        parameters = statement.parameters
        for each in parameters if isinstance(parameters, list) else [parameters]:
            if hasattr(statement.cursor, "mogrify"):
                sql = statement.cursor.mogrify(statement.sql, each).decode()
            elif not each:
                sql = statement.sql
            else:
                sql = f"{statement.sql}\n-- parameters: {each!r}"
            self._course.channel.tell(Sent(revision, sql))


class Crash(Observer):
    """Ends the connection after the revision's n-th statement, as a node that is lost would."""

    def __init__(self, course: Course, after: int) -> None:
        self._course = course
        self._left = after

    def sent(self, statement: Statement) -> None:
        """Count."""
        if self._course.phase != "revision":
            return
        self._left -= 1
        if not self._left:
            do_by_driver(statement.connection, "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())")
