"""env.py's session on the server, kept for the next tenant's env.py: to begin one costs both sides more than a revision.

What it is handed is as good as new: DISCARD ALL has taken back what a session may keep, and one that may keep more is
closed. That is: a setting with a dot in its name (it reads as empty from then on, not as unknown), what a library holds
that was loaded, the seed of random(); and whatever a function may do that is not PostgreSQL's own.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg2
from psycopg2 import extensions
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OWN: Final = frozenset({"connection_factory", "cursor_factory", "async", "async_"})
# What leaves more than DISCARD ALL takes back, or makes a session begin otherwise from now on; too much is none too little.
# Each by a word that it begins with: to look for a word is all that most statements need.
_WORDS: Final = {
    b"set": rb"\b (?! \s+ (?:session\s+|local\s+)? (?!session\b|local\b) \w+\b (?! \s* (?:\.|/\*|--)) )",
    b"alter": rb"\s+ (?:role|user|group|database|system) \b",
    b"do": rb"\b (?! \s+ (?:nothing|update|also|instead) \b)",
    b"u&": rb"",
    **dict.fromkeys((b"load", b"call", b"function", b"procedure", b"extension", b"language", b"prepare"), rb"\b"),
}
_PARTS: Final = {b"set_config": rb"(?! \s* \( \s* '\w+' \s* ,)", b"setseed": rb"", b"pg_replication_origin": rb""}
_LEAVES_TRACES: Final = {
    **{word: re.compile(rb"%b (?<! \w%b) %b" % (word, word, rest), re.VERBOSE) for word, rest in _WORDS.items()},
    **{part: re.compile(part + rest, re.VERBOSE) for part, rest in _PARTS.items()},
}
# of FirstNormalObjectId and above is what was made in this database (src/include/access/transam.h)
_VOUCH: Final = """
    SELECT pg_catalog.pg_backend_pid(), EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid >= 16384),
           ARRAY(SELECT pg_catalog.concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_catalog.pg_db_role_setting
                  ORDER BY setdatabase, setrole),
           pg_catalog.current_schema(), pg_catalog.pg_conf_load_time()
"""
_PLAIN: Final = (str, int, float, tuple, type(None))
_LOOKED_AT: Final = 10  # statements before an engine's dialect asks; of so many, some are somebody's own
_HSTORE: Final = "_hstore_oids"  # SQLAlchemy's memory of the one question that its dialect asks of each connection


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


class _Learnt(NamedTuple):
    """What SQLAlchemy's dialect asks the server on an engine's first connection: 9 of the 20 messages of a small revision."""

    of: Mapping[str, object]  # how the dialect was made, as far as that is plain
    found: Mapping[str, object]


class _Session(extensions.connection):
    """A connection of which it is known whether anything but DISCARD ALL is needed to make it new."""

    is_plain = False  # nothing is known of it that DISCARD ALL would leave
    asked: object = None  # what it was made with
    began: tuple[object, ...] | None = None  # what tells it from others, as it began
    learnt: _Learnt | None = None
    handed: tuple[object, ...] = ()  # its client's side when it was handed out
    sent: list[bytes | None] | None = None  # since then, until its engine's dialect knows the server

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """As psycopg2's; the statements of another class of cursor are not seen."""
        if options.get("cursor_factory") is extensions.cursor:  # as psycopg2.extras does
            options["cursor_factory"] = _Cursor
        made = super().cursor(*arguments, **options)
        if type(made) is not _Cursor:
            self.note(None)
        return made

    def note(self, sent: bytes | None) -> None:
        """A statement was sent; None: nobody knows which."""
        if self.sent is not None and len(self.sent) < _LOOKED_AT:
            self.sent.append(sent)
        if self.is_plain and (sent is None or _leaves_traces(sent)):
            self.is_plain = False

    def close(self) -> None:
        """Close it, or keep it for the next tenant."""
        if not (_kept.is_on and self.is_plain and _kept.idle is None and self._is_cleaned()):
            super().close()
        else:
            _kept.idle = self

    def begin(self, asked: object) -> None:
        """It was made, with what was ``asked``. Raises psycopg2.Error."""
        # its attributes are a part of what it is
        self.asked, self.began, self.learnt, self.is_plain = asked, None, None, False
        self.handed, self.sent = (), None
        self.autocommit = True
        self.began = self.as_begun()
        self.autocommit = False
        self.is_plain = self.began[:2] == (True, True)

    def as_begun(self) -> tuple[object, ...]:
        """What tells that the session is another than the one that began; raises psycopg2.Error."""
        cursor = super().cursor(cursor_factory=extensions.cursor)
        cursor.execute(_VOUCH)
        ((pid, has_functions, settings, schema, loaded),) = cursor.fetchall()
        is_direct = pid == self.info.backend_pid  # through a pooler it would be others' session
        return is_direct, not has_functions, schema, loaded, tuple(settings), *self.client_side, frozenset(vars(self))

    @property
    def client_side(self) -> tuple[object, ...]:
        """What psycopg2 knows of it without asking, but for autocommit, which the questions before a hand-out need."""
        return self.encoding, self.isolation_level, self.readonly, self.deferrable, self.cursor_factory

    def hand_out(self, dialect: Any) -> _Session:
        """Itself, to a new engine's dialect or to one that knows the server."""
        self.autocommit = False
        if "server_version_info" not in vars(dialect) and isinstance(
            vars(dialect).get("initialize"), _Introduction | None
        ):
            self.handed, self.sent = self.client_side, []
            dialect.initialize = _Introduction(self, dialect)
        return self

    def _is_cleaned(self) -> bool:
        """Take back what it keeps; False where that cannot be."""
        if self.closed or self.autocommit:
            return False
        with suppress(psycopg2.Error):
            self.rollback()
            self.autocommit = True
            super().cursor(cursor_factory=extensions.cursor).execute("DISCARD ALL")
            return True
        return False

    def is_still_new(self) -> bool:
        """Whether it answers, as it did when it began."""
        with suppress(psycopg2.Error):
            self.string_types.clear()
            self.binary_types.clear()
            self.notices, self.notifies = [], []
            return self.as_begun() == self.began
        return False

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has changed it since it was handed out: a listener of env.py's may, before its dialect asks."""
        return self.client_side == self.handed and all(
            (sent is not None and sent == _kept.sets) or _asks_hstore(sent) for sent in self.sent or ()
        )


class _Introduction:
    """An engine's first look at the server, by `initialize` of its dialect: told what is known, or learnt from."""

    def __init__(self, session: _Session, dialect: Any) -> None:
        self._session, self._dialect = session, dialect
        self._made = {name: value for name, value in vars(dialect).items() if isinstance(value, _PLAIN)}
        self._before = dict(vars(dialect))
        learnt = session.learnt
        self._found = learnt.found if learnt is not None and learnt.of == self._made else None
        if self._found is not None and _HSTORE in self._found:  # the question comes before
            vars(dialect)[_HSTORE] = self._found[_HSTORE]

    def __call__(self, connection: Any) -> None:
        session, dialect, known = self._session, self._dialect, vars(self._dialect)
        known.pop("initialize", None)
        is_untouched = session.is_untouched
        session.sent = None
        if self._found is not None and is_untouched:
            known.update(self._found, default_schema_name=_kept.search_path or (session.began or ())[2])
            return
        type(dialect).initialize(dialect, connection)
        before = self._before
        new = {name: value for name, value in known.items() if name not in before or before[name] is not value}
        found = {name: value for name, value in new.items() if isinstance(value, _PLAIN) or name == _HSTORE}
        # the others a dialect makes when it needs them, or it is not known what they are
        is_all = all(hasattr(type(dialect), name) for name in new.keys() - found.keys())
        session.learnt = _Learnt(self._made, found) if is_all and is_untouched else None


class _Kept:
    """The session that waits for the next tenant, if one does."""

    def __init__(self) -> None:
        self.is_on = False
        self.search_path: str | None = None
        self.sets: bytes | None = None
        self.idle: _Session | None = None


_kept: Final = _Kept()


def keep(*, is_on: bool, search_path: str | None = None, sets: str | None = None) -> None:
    """Keep sessions from now on, or none any more; ``search_path`` is the schema that each connection is told by ``sets``."""
    _kept.is_on, _kept.search_path = is_on, search_path
    _kept.sets = sets.encode() if sets is not None else None
    if not is_on:
        _close_idle()


def _asks_hstore(sent: bytes | None) -> bool:
    return sent is not None and sent.lstrip().startswith(b"SELECT t.oid") and b"'hstore'" in sent


def _leaves_traces(sent: bytes) -> bool:
    sent = sent.lower()
    return any(word in sent and rest.search(sent) is not None for word, rest in _LEAVES_TRACES.items())


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
            return session.hand_out(dialect)
        extensions.connection.close(session)
    made = dialect.connect(*arguments, connection_factory=_Session, cursor_factory=_Cursor, **options)
    if type(made) is _Session:
        made.begin(asked)
        return made.hand_out(dialect)
    return made
