"""Whether the ids of revisions fit into the version table, as it is or as it will be made.

Alembic makes it for 32 characters. An env.py may make or keep it wider, and so may a revision: what their texts do not
show, or a replay has not shown, is taken for not done.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from migrate.core.problems import problem, sql
from migrate.core.quoting import identifier, qualified
from migrate.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from migrate.core.decide.observation import Server
    from migrate.core.history.graph import Revision
    from migrate.core.problems import Problem

ALEMBICS: Final = 32
_ROOMY: Final = 64  # what a fix makes of it at the least: the next id may be longer still
_MAKES: Final = re.compile(r"version_num|version_table_impl")
_ALTERS: Final = re.compile(r"\balter", re.IGNORECASE)


def width_for(ids: Iterable[str]) -> int:
    """How wide a version table must be for these ids, and never narrower than Alembic's."""
    return max((ALEMBICS, *map(len, ids)))


def refuse_narrow(
    server: Server,
    table: str,
    pending: Sequence[Revision],
    *,
    env_py: Callable[[], str],
    source_of: Callable[[Revision], str],
    replayed: Container[str] = (),
) -> Problem | None:
    """Why the first pending revision whose id does not fit would fail; None where all fit, or something widens the table.

    ``env_py`` gives env.py's text; ``replayed`` are the revisions that are known to have been applied to a database which
    was empty before.
    """
    width = server.version_width if server.has_version_table else ALEMBICS
    if width is None:
        return None
    first = next((at for at, revision in enumerate(pending) if len(revision.id) > width), None)
    if first is None or (not server.has_version_table and pending[first].id in replayed):
        return None
    texts = [env_py(), *(source_of(revision) for revision in pending[: first + 1])]
    if any(_MAKES.search(text) and (not server.has_version_table or _ALTERS.search(text)) for text in texts):
        return None
    return too_narrow(pending[first], width, server.schema or "", table, is_there=server.has_version_table)


def too_narrow(revision: Revision, width: int, schema: str, table: str, *, is_there: bool) -> Problem:
    """The problem of an id that does not fit, with the statement that makes room."""
    where = qualified(schema, table)
    wanted = max(_ROOMY, len(revision.id))
    fix = f"ALTER TABLE {where} ALTER COLUMN version_num TYPE character varying({wanted});"
    if not is_there:
        key = identifier(f"{table}_pkc")
        fix = (
            f"CREATE TABLE {where} (version_num character varying({wanted}) NOT NULL,"
            f" CONSTRAINT {key} PRIMARY KEY (version_num));"
        )
    return problem(
        "bad-history",
        f"{revision.file}: revision id {revision.id!r} has {counted(len(revision.id), 'character')}, and {where} has room"
        f" for {width}; neither env.py nor a revision before it makes it wider",
        fix=sql(fix, note="or shorten the id, and in every file that names it"),
    )
