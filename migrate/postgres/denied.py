"""Looks up what a refusal of the server's is about: its messages name an object without the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.problems.privileges import denied_object

if TYPE_CHECKING:
    from migrate.postgres.connection import Connection

_RELKINDS: Final = {
    "table": ["r", "p"],
    "view": ["v"],
    "materialized view": ["m"],
    "sequence": ["S"],
    "foreign table": ["f"],
}
# A message is known by its first line only; a name may have more of them.
_NAMED: Final = """
    SELECT pg_catalog.format('%%I.%%I', n.nspname, found.name)
      FROM (SELECT relnamespace AS nsp, relname AS name FROM pg_catalog.pg_class
             WHERE relkind::text = ANY (%(relkinds)s::text[])
            UNION ALL SELECT typnamespace, typname FROM pg_catalog.pg_type
             WHERE %(kind)s = 'type' AND typtype <> 'p' AND typelem = 0) AS found
      JOIN pg_catalog.pg_namespace n ON n.oid = found.nsp
     WHERE pg_catalog.split_part(found.name::text, E'\\n', 1) = %(name)s
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     ORDER BY 1 LIMIT 5
"""


def names_of_denied(connection: Connection, said: str) -> tuple[str, ...]:
    """What the message may be about, as `fix_of_denied` takes it; nothing where the server does not say."""
    about = denied_object(said)
    if about is None:
        return ()
    kind, name = about
    try:
        found = connection.rows(_NAMED, {"relkinds": _RELKINDS.get(kind, []), "kind": kind, "name": name})
    except psycopg2.Error:
        return ()
    return tuple(row[0] for row in found)
