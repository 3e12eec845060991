"""env.py's session on the server, kept for the next tenant's env.py: to begin one costs both sides more than a revision.

What it is handed is as good as new: DISCARD ALL has taken back what a session may keep, and one that may keep more is
closed. That is: a setting with a dot in its name (it reads as empty from then on, not as unknown), what a library holds
that was loaded, the seed of random(); and whatever a function may do that is not PostgreSQL's own.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2 import extensions
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OWN: Final = frozenset({"connection_factory", "cursor_factory", "async", "async_"})
# what leaves more than DISCARD ALL takes back, or makes a session begin otherwise from now on; too much is none too little
_LEAVES_TRACES: Final = re.compile(
    rb"""set_config (?! \s* \( \s* '\w+' \s* ,)
       | \bset\b (?! \s+ (?:session\s+|local\s+)? (?!session\b|local\b) \w+\b (?! \s* (?:\.|/\*|--)) )
       | \balter \s+ (?:role|user|group|database|system) \b
       | \bdo\b (?! \s+ (?:nothing|update|also|instead) \b)
       | \b(?:load|call|function|procedure|extension|language|prepare) \b
       | setseed | pg_replication_origin | \bu&""",
    re.IGNORECASE | re.VERBOSE,
)
# of FirstNormalObjectId and above is what was made in this database (src/include/access/transam.h)
_VOUCH: Final = """
    SELECT pg_catalog.pg_backend_pid(), EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid >= 16384),
           ARRAY(SELECT pg_catalog.concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_catalog.pg_db_role_setting
                  ORDER BY setdatabase, setrole)
"""


class _Cursor(extensions.cursor):
    """One whose statements are seen."""

    connection: _Session

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name for it
        """As psycopg2's."""
        try:
            super().execute(query, vars)
        finally:
            self.connection.note(self.query)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """As psycopg2's."""
        self.connection.note(query.encode() if isinstance(query, str) else None)
        super().executemany(query, vars_list)

    def callproc(self, *arguments: Any) -> Any:
        """As psycopg2's."""
        self.connection.note(None)
        return super().callproc(*arguments)

    def copy_expert(self, *arguments: Any, **options: Any) -> None:
        """As psycopg2's."""
        self.connection.note(None)
        super().copy_expert(*arguments, **options)


class _Session(extensions.connection):
    """A connection of which it is known whether anything but DISCARD ALL is needed to make it new."""

    is_plain = False  # nothing is known of it that DISCARD ALL would leave
    asked: object = None  # what it was made with
    began: tuple[object, ...] | None = None  # what tells it from others, as it began

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """As psycopg2's; the statements of another class of cursor are not seen."""
        if options.get("cursor_factory") is extensions.cursor:  # as psycopg2.extras does
            options["cursor_factory"] = _Cursor
        made = super().cursor(*arguments, **options)
        if type(made) is not _Cursor:
            self.is_plain = False
        return made

    def note(self, sent: bytes | None) -> None:
        """A statement was sent; None: nobody knows which."""
        if sent is None or _LEAVES_TRACES.search(sent):
            self.is_plain = False

    def close(self) -> None:
        """Close it, or keep it for the next tenant."""
        if not (_kept.is_on and self.is_plain and _kept.idle is None and self._is_as_new()):
            super().close()
        else:
            _kept.idle = self

    def begin(self, asked: object) -> None:
        """It was made, with what was ``asked``. Raises psycopg2.Error."""
        self.asked, self.began, self.is_plain = asked, None, False  # its attributes are a part of what it is
        self.autocommit = True
        self.began = self.as_begun()
        self.autocommit = False
        self.is_plain = self.began[:2] == (True, True)

    def as_begun(self) -> tuple[object, ...]:
        """What tells that the session is another than the one that began; raises psycopg2.Error."""
        cursor = super().cursor(cursor_factory=extensions.cursor)
        cursor.execute(_VOUCH)
        ((pid, has_functions, settings),) = cursor.fetchall()
        is_direct = pid == self.info.backend_pid  # through a pooler it would be others' session
        by_client = self.encoding, self.isolation_level, self.readonly, self.deferrable, self.cursor_factory
        return is_direct, not has_functions, tuple(settings), *by_client, frozenset(vars(self))

    def _is_as_new(self) -> bool:
        """Make it so, and say whether it is."""
        if self.closed or self.autocommit:
            return False
        with suppress(psycopg2.Error):
            self.rollback()
            self.autocommit = True
            super().cursor(cursor_factory=extensions.cursor).execute("DISCARD ALL")
            return self.is_still_new()
        return False

    def is_still_new(self) -> bool:
        """Whether it answers, as it did when it began."""
        with suppress(psycopg2.Error):
            self.string_types.clear()
            self.binary_types.clear()
            self.notices, self.notifies = [], []
            return self.as_begun() == self.began
        return False


class _Kept:
    """The session that waits for the next tenant, if one does."""

    def __init__(self) -> None:
        self.is_on = False
        self.idle: _Session | None = None


_kept: Final = _Kept()


def keep(*, is_on: bool) -> None:
    """Keep sessions from now on, or none any more."""
    _kept.is_on = is_on
    if not is_on:
        _close_idle()


def _close_idle() -> None:
    session, _kept.idle = _kept.idle, None
    if session is not None:
        extensions.connection.close(session)


def connect(dialect: Any, _record: object, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """SQLAlchemy's `do_connect`: the session that was kept, or one that may be; None where it is not for us to judge."""
    is_ours = type(dialect) is PGDialect_psycopg2 and len(list(dialect.dispatch.do_connect)) == 1
    if not _kept.is_on or not is_ours or _OWN & options.keys():
        return None
    libpq = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    asked = (*arguments, dict(options), libpq)
    session, _kept.idle = _kept.idle, None
    if session is not None:
        if asked == session.asked and session.is_still_new():
            session.autocommit = False
            return session
        extensions.connection.close(session)
    made = dialect.connect(*arguments, connection_factory=_Session, cursor_factory=_Cursor, **options)
    if type(made) is _Session:
        made.begin(asked)
    return made
