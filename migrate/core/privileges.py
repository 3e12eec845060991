"""What grants a role what the server said it lacks."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from migrate.core.repair_sql import quote

# Names stand in these messages without quotes and without their schema (the server's aclchk.c).
_OWNER: Final = re.compile(r"must be owner of (table|view|materialized view|sequence|schema|type|foreign table) (.+)")
_DENIED: Final = re.compile(r"permission denied for (table|view|sequence|schema|database) (.+)")
_HIDDEN: Final = "row-level security"  # what the server says where row_security is off, in place of fewer rows
_RIGHTS: Final = {"schema": "USAGE, CREATE", "database": "CREATE"}


def fix_of_denied(said: str, role: str) -> str:
    """The statement that a superuser pastes; a comment where the server's message names no object of a known kind."""
    if _HIDDEN in said:
        return f"ALTER ROLE {quote(role)} BYPASSRLS;"
    owned = _OWNER.fullmatch(said)
    if owned is not None:  # no right on a table lets its definition be changed
        kind, name = owned.groups()
        return f"ALTER {kind.upper()} {quote(name)} OWNER TO {quote(role)};   -- or: GRANT its_owner TO {quote(role)};"
    denied = _DENIED.fullmatch(said)
    if denied is not None:
        kind, name = denied.groups()
        on = "TABLE" if kind == "view" else kind.upper()
        return f"GRANT {_RIGHTS.get(kind, 'ALL')} ON {on} {quote(name)} TO {quote(role)};"
    return f"-- let role {quote(role)} do this: {said}"


def fix_of_ledger(role: str, *, is_there: bool) -> str:
    """What lets a role write the ledger, in its schema `migrate` or without it."""
    if not is_there:
        return f"CREATE SCHEMA migrate AUTHORIZATION {quote(role)};"
    return (
        f"GRANT USAGE, CREATE ON SCHEMA migrate TO {quote(role)};\n"
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA migrate TO {quote(role)};"
    )


def fix_of_uncounted(said: str, *, role: str, database: str, table: str, target: str) -> str:
    """What lets a role count all rows of a table, or go back to ``target`` without that."""
    if _HIDDEN in said:
        grant = f"ALTER ROLE {quote(role)} BYPASSRLS;"
    elif "temporary" in said:
        grant = f"GRANT TEMPORARY ON DATABASE {quote(database)} TO {quote(role)};"
    else:
        grant = f"GRANT SELECT ON TABLE {table} TO {quote(role)};"
    return f"{grant}   -- or, if the rows may go: migrate down --to {target} --allow-data-loss"


def fix_of_member(owner: str, variable: str) -> str:
    """What a role that may become another one without inheriting from it adds to its URL, as env.py does by SET ROLE."""
    value = re.sub(r"([\\\s])", r"\\\1", owner)  # as libpq's `options` wants it: no SQL, blanks marked
    option = urllib.parse.quote(f"-c role={value}", safe="-")
    return f"or begin as {owner}, as by -c role={owner}: add ?options={option} to {variable}"
