"""The transaction around the revisions: whether it is Alembic's, so that it may be committed after each, or env.py's own.

Alembic keeps the transaction that it began for all revisions in its context, and commits it itself before an autocommit
block. What env.py began is env.py's to end: a commit in between would end its settings, its locks, its `with` blocks.
But in a throw-away database each revision is to be seen, and of the transaction only what env.py has said in it counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from migrate.child.hook import Observer

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

    from migrate.child.course import Course
    from migrate.child.hook import Statement

# What is gone with the transaction in which it was done.
_OF_THE_TRANSACTION: Final = re.compile(
    r"\bset\s+(?:local|transaction|constraints)\b|\bset_config\b|_xact_|^\s*lock\b|^\s*savepoint\b|\bon\s+commit\b",
    re.IGNORECASE,
)


class Division(Observer):
    """What of a transaction is env.py's own, and the commit after a revision."""

    def __init__(self, course: Course, *, wanted: bool) -> None:
        """``wanted``: each revision is to be committed by itself."""
        self._course = course
        self._wanted = wanted
        self._with_state: Any = None  # the transaction in which env.py did what holds for that one only
        self._cut: Any = None  # env.py's, which in a throw-away database is committed in the middle all the same
        self.kept: Any = None  # the transaction that is not to be committed before env.py's end
        self.is_of_env_py = False  # and that Alembic will not commit, either
        self.why_kept = ""

    def sending(self, statement: Statement) -> None:
        """Look at a statement of env.py's, before the migrations."""
        if self._course.phase == "env" and _OF_THE_TRANSACTION.search(statement.sql):
            self._with_state = statement.connection.get_transaction()

    def settle(self, context: MigrationContext, connection: Connection) -> None:
        """Find out whose transaction it is in which the migrations begin."""
        root = connection.get_transaction()
        self.kept, self._cut, self.is_of_env_py, self.why_kept = None, None, False, ""
        if root is None or _divides_by_itself(context):
            return
        if root is not context._transaction:  # noqa: SLF001 - there is no public way to ask
            self.is_of_env_py = True
            self.why_kept = "env.py began it, not context.begin_transaction()"
        elif getattr(connection, "_trans_context_manager", None) is not None or connection.in_nested_transaction():
            self.why_kept = "it ends with a block of env.py's own"
        elif root is self._with_state:
            self.why_kept = "env.py made settings or took locks that end with it"
        is_cut = self._course.task.servers is not None and root is not self._with_state
        if self.why_kept and is_cut and not connection.in_nested_transaction():
            self.why_kept, self._cut = "", root
        if self.why_kept:
            self.kept = root

    @property
    def one_transaction(self) -> bool:
        """Whether revisions are committed together."""
        return not self._wanted or self.kept is not None

    def is_ours(self, context: MigrationContext, connection: Connection) -> bool:
        """Whether the open transaction is Alembic's, and committed when we say so."""
        root = connection.get_transaction()
        is_alembics = root is not None and root is context._transaction  # noqa: SLF001 - there is no public way to ask
        return self._wanted and is_alembics and root is not self.kept and root is not self._cut

    def commit(self, context: MigrationContext, connection: Connection, *, is_end: bool = False) -> bool:
        """Commit what may be; whether everything that was applied is in the database now. At the end env.py does, or does not."""
        root = connection.get_transaction()
        if root is None:
            return True
        if root is self.kept or not self._wanted or (is_end and root is self._cut):
            return False
        if root is self._cut:  # SQLAlchemy's own commit would end env.py's block
            connection.dispatch.commit(connection)
            connection.dialect.do_commit(connection.connection)
            connection.dispatch.begin(connection)
            return True
        is_alembics = root is context._transaction  # noqa: SLF001 - else begun after a commit of the revision's own
        root.commit()
        if is_alembics:
            context._transaction = connection.begin()  # noqa: SLF001 - as after an autocommit block
        return True


def _divides_by_itself(context: MigrationContext) -> bool:
    """Whether Alembic commits after each revision: transaction_per_migration, or a database without transactional DDL."""
    if context._in_external_transaction:  # noqa: SLF001 - it then leaves everything to env.py
        return False
    return bool(context._transaction_per_migration or not context.impl.transactional_ddl)  # noqa: SLF001
