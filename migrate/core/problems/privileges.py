"""What grants a role what the server said it lacks."""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Final

from migrate.core.problems.fix import migrate, sql
from migrate.core.quoting import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.problems.fix import Fix

# Names stand in these messages without quotes and without their schema (the server's aclchk.c).
_OWNER: Final = re.compile(r"must be owner of (table|view|materialized view|sequence|schema|type|foreign table) (.+)")
_DENIED: Final = re.compile(
    r"permission denied for (table|view|materialized view|foreign table|sequence|schema|database) (.+)"
)
_OF_NO_SCHEMA: Final = frozenset({"schema", "database"})
_TABLES: Final = frozenset({"table", "view", "materialized view", "foreign table"})  # to GRANT they are all TABLE
_HIDDEN: Final = "row-level security"  # what the server says where row_security is off, in place of fewer rows
_RIGHTS: Final = {"schema": "USAGE, CREATE", "database": "CREATE"}


def denied_object(said: str) -> tuple[str, str] | None:
    """The kind and the name, without its schema, of what the server's message is about; None for what has no schema."""
    found = _OWNER.fullmatch(said) or _DENIED.fullmatch(said)
    return None if found is None or found[1] in _OF_NO_SCHEMA else (found[1], found[2])


def fix_of_denied(said: str, role: str, found: Sequence[str] = (), note: str = "") -> Fix:
    """The statement that a superuser pastes; a comment where it is not known what the server's message is about.

    ``found`` is what the database has of `denied_object`: names with their schemas, quoted for SQL. ``note`` stands beside
    it.
    """
    if _HIDDEN in said:
        return sql(f"ALTER ROLE {identifier(role)} BYPASSRLS;", note=note)
    message = _OWNER.fullmatch(said) or _DENIED.fullmatch(said)
    if message is None:
        return _advice(role, said)
    kind, name = message.groups()
    if kind in _OF_NO_SCHEMA:
        found = [identifier(name)]
    if len(found) != 1 or not found[0].isprintable():
        return _advice(role, f"{said} ({' or '.join(found)})" if found else said)
    if message.re is _OWNER:  # no right on a table lets its definition be changed
        return sql(
            f"ALTER {kind.upper()} {found[0]} OWNER TO {identifier(role)};",
            note=f"or: GRANT its_owner TO {identifier(role)};",
        )
    on = "TABLE" if kind in _TABLES else kind.upper()
    return sql(f"GRANT {_RIGHTS.get(kind, 'ALL')} ON {on} {found[0]} TO {identifier(role)};")


def _advice(role: str, said: str) -> Fix:
    # a comment, which ends with its line: what the message names is run by nobody who pastes it
    return sql(note=re.sub(r"\s+", " ", f"let role {identifier(role)} do this: {said}"))


def fix_of_ledger(role: str, *, is_there: bool, writes: bool = True) -> Fix:
    """What lets a role write the ledger, or only read it, in its schema `migrate` or without it."""
    name = identifier(role)
    if not is_there:
        return sql(f"CREATE SCHEMA migrate AUTHORIZATION {name};")
    on_schema, on_tables = ("USAGE, CREATE", "SELECT, INSERT, UPDATE") if writes else ("USAGE", "SELECT")
    return sql(
        f"GRANT {on_schema} ON SCHEMA migrate TO {name};\nGRANT {on_tables} ON ALL TABLES IN SCHEMA migrate TO {name};"
    )


def fix_of_uncounted(said: str, *, role: str, database: str, table: str, target: str) -> Fix:
    """What lets a role count all rows of a table, or go back to ``target`` without that."""
    if _HIDDEN in said:
        grant = f"ALTER ROLE {identifier(role)} BYPASSRLS;"
    elif "temporary" in said:
        grant = f"GRANT TEMPORARY ON DATABASE {identifier(database)} TO {identifier(role)};"
    else:
        grant = f"GRANT SELECT ON TABLE {table} TO {identifier(role)};"
    way = migrate("down", f"--to {target}", "--allow-data-loss")
    return sql(grant, note=("or, if the rows may go: ", way))


def fix_of_member(owner: str, variable: str) -> str:
    """What a role that may become another one without inheriting from it adds to its URL, as env.py does by SET ROLE."""
    value = re.sub(r"([\\\s])", r"\\\1", owner)  # as libpq's `options` wants it: no SQL, blanks marked
    option = urllib.parse.quote(f"-c role={value}", safe="-")
    return f"or begin as {owner}, as by -c role={owner}: add ?options={option} to {variable}"
