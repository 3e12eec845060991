"""How a throw-away database prints definitions once they were executed: what a restore makes of them.

Each definition is executed for an object of its own beside the true one, in a transaction that is rolled back, and read
back through the catalog reader. What cannot be executed that way keeps the one spelling that it has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg2

from migrate.core.quoting import identifier
from migrate.core.schema.differences import dotted, parse, parse_column
from migrate.core.schema.spelling import carried_over
from migrate.postgres import catalog
from migrate.postgres.dump_text import proposals, without_state
from migrate.postgres.savepoint import savepoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from migrate.core.schema.differences import Identity, Schema
    from migrate.postgres.connection import Connection

Definition = tuple[str, str]
"""An object and its definition."""

SCRATCH: Final = "migrate spelling"  # the schema of what is made; it is never committed
BATCH: Final = 200  # definitions in one transaction: each holds a lock
ROUNDS: Final = 3  # what is printed is stable from the second time on; more only where a server does not keep to that
_LOCK_S: Final = 5.0
# Event triggers are the user's; only a superuser may turn them off.
_QUIET: Final = "SET LOCAL session_replication_role = replica"


@dataclass(frozen=True, slots=True)
class _Try:
    """One definition to be executed: the statements, under which identity it is read back, and what is around it."""

    definition: Definition
    sql: str
    identity: str
    head: str = ""  # the part of the definition that is not executed, before what is
    tail: str = ""
    mark: str = ""  # what is read back counts from here on


def other_spellings(
    connection: Connection, definitions: Iterable[Definition], schema: Schema, where: catalog.Where
) -> dict[Definition, tuple[str, ...]]:
    """How else each of the definitions is printed once it was executed; nothing for those that stay as they are.

    ``schema`` is the whole schema of the database, which they belong to. Raises psycopg2.Error where the connection fails.
    """
    found: dict[Definition, tuple[str, ...]] = {}
    asked = {definition: definition for definition in definitions}  # what is executed -> what was asked for
    for _ in range(ROUNDS):
        printed = printed_again(connection, asked, schema, where)
        again: dict[Definition, Definition] = {}
        for executed, text in printed.items():
            origin = asked[executed]
            if text != executed[1] and text not in (origin[1], *found.get(origin, ())):
                found[origin] = (*found.get(origin, ()), text)
                again[origin[0], text] = origin
        asked = again
    return found


def spellings_of_dump(
    connection: Connection, dump: str, schema: Schema, where: catalog.Where
) -> dict[Definition, tuple[str, ...]]:
    """How the dump that made the schema spells its definitions, where that is another way; each was executed and is equal.

    Raises psycopg2.Error where the connection fails.
    """
    unqualified = [where.default, *({"public"} - {*where.qualified})]
    return _equal(connection, proposals(dump, schema, unqualified), schema, where)


def spellings_carried_over(
    connection: Connection,
    definitions: Iterable[Definition],
    known: Mapping[Definition, tuple[str, ...]],
    schema: Schema,
    where: catalog.Where,
) -> dict[Definition, tuple[str, ...]]:
    """How else these definitions of the schema are spelled where they came of known ones; each was executed and is equal.

    A tree that only a dump told of cannot be made again; what a rename does to its print can be done to the text.
    Raises psycopg2.Error where the connection fails.
    """
    last = {identity: (text, others) for (identity, text), others in known.items() if others}
    gone = [identity for identity in last if identity not in schema]
    proposed: dict[Definition, None] = {}
    for identity, text in definitions:
        origins = [identity] if identity in last else [each for each in gone if _may_be_renamed(each, identity)]
        for before, others in map(last.__getitem__, origins):
            for spelling in (carried_over(other, before, text) for other in others):
                if spelling is not None and spelling != text:
                    proposed[identity, spelling] = None
    return _equal(connection, proposed, schema, where)


def _may_be_renamed(before: str, after: str) -> bool:
    """Whether it, or what it belongs to, may have had the other name."""
    old, new = parse(before), parse(after)
    return old.kind == new.kind and (old.path[-1] == new.path[-1] or old.path[:-1] == new.path[:-1])


def _equal(
    connection: Connection, proposed: Iterable[Definition], schema: Schema, where: catalog.Where
) -> dict[Definition, tuple[str, ...]]:
    """The definitions of the schema of which proposals are other spellings, with those."""
    found: dict[Definition, tuple[str, ...]] = {}
    for (identity, spelling), printed in printed_again(connection, dict.fromkeys(proposed), schema, where).items():
        if printed == schema[identity]:
            found[identity, printed] = (*found.get((identity, printed), ()), spelling)
    return found


def printed_again(
    connection: Connection, definitions: Iterable[Definition], schema: Schema, where: catalog.Where
) -> dict[Definition, str]:
    """How each definition that can be executed is printed after it was. Raises psycopg2.Error as `other_spellings`."""
    waiting = list(definitions)
    found: dict[Definition, str] = {}
    while waiting:
        batch: dict[str, Definition] = {}
        left: list[Definition] = []
        for definition in waiting:
            if len(batch) < BATCH and definition[0] not in batch:  # what is made for an object is there once
                batch[definition[0]] = definition
            else:
                left.append(definition)
        found |= _printed(connection, list(batch.values()), schema, where)
        waiting = left
    return found


def _printed(
    connection: Connection, definitions: Sequence[Definition], schema: Schema, where: catalog.Where
) -> dict[Definition, str]:
    connection.run("BEGIN")
    try:
        _try(connection, _QUIET)
        with connection.cursor() as cursor:
            reader = catalog.Reader(cursor, where)
            if not _try(connection, f"CREATE SCHEMA {identifier(SCRATCH)}; SET LOCAL lock_timeout = '{_LOCK_S:.0f}s'"):
                return {}
            tries = [
                each
                for number, definition in enumerate(definitions)
                if (each := _prepared(definition, number, schema, where.default)) is not None
                and _try(connection, each.sql)
            ]
            owners = {_sql(owner) for each in tries if (owner := parse(each.identity).owner)}
            read = reader.read_only(SCRATCH, sorted(owners))
        return {
            each.definition: each.head + read[each.identity].partition(each.mark)[2] + each.tail
            if each.mark
            else read[each.identity] + each.tail
            for each in tries
            if each.identity in read
        }
    finally:
        if not connection.closed:
            connection.run("ROLLBACK")


def _try(connection: Connection, sql: str) -> bool:
    """Whether the statements could be executed. Raises psycopg2.Error where the connection did not survive it."""
    try:
        with savepoint(connection):
            connection.run(sql)
    except psycopg2.Error:
        if connection.closed:
            raise
        return False
    return True


def _prepared(definition: Definition, number: int, schema: Schema, default: str) -> _Try | None:
    """The statements that make an object of the definition beside the true one; None for what has no expression."""
    identity = parse(definition[0])
    make = _MAKERS.get(identity.kind)
    return None if make is None else make(definition, identity, f"spelling {number}", schema, default)


def _column(definition: Definition, identity: Identity, own: str, schema: Schema, _default: str) -> _Try | None:
    column = parse_column(definition[1])
    owner = _sql(identity.owner)
    if column.default is not None:
        # On the column itself, because no row gets the value: a new column would take it from its sequence. ONLY: what
        # inherits it may have a default of its own, which was executed already.
        sql = f"ALTER TABLE ONLY {owner} ALTER COLUMN {identifier(identity.path[-1])} SET DEFAULT {column.default}"
        return _Try(definition, sql, definition[0])
    del schema
    copy = _sql((SCRATCH, own))
    sql = f"CREATE TABLE {copy} (LIKE {owner}); ALTER TABLE {copy} ADD COLUMN {identifier(own)} {definition[1]}"
    return _Try(definition, sql, f"column {dotted((SCRATCH, own, own))}")


def _domain(definition: Definition, _identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    made = (SCRATCH, own)
    return _Try(definition, f"CREATE DOMAIN {_sql(made)} AS {definition[1]}", f"domain {dotted(made)}")


def _constraint(definition: Definition, identity: Identity, own: str, schema: Schema, _default: str) -> _Try:
    add = f"ADD CONSTRAINT {identifier(own)} {definition[1]}"
    domain = schema.get(f"domain {dotted(identity.owner)}")
    if domain is None:
        made = (*identity.owner, own)
        return _Try(definition, f"ALTER TABLE {_sql(identity.owner)} {add}", f"constraint {dotted(made)}")
    of = parse_column(domain)
    collate = f" COLLATE {of.collation}" if of.collation else ""
    copy = _sql((SCRATCH, own))
    sql = f"CREATE DOMAIN {copy} AS {of.type}{collate}; ALTER DOMAIN {copy} {add}"
    return _Try(definition, sql, f"constraint {dotted((SCRATCH, own, own))}")


def _index(definition: Definition, identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    unique = "UNIQUE " if definition[1].startswith("unique ") else ""
    method = definition[1].removeprefix("unique ")
    sql = f"CREATE {unique}INDEX {identifier(own)} ON {_sql(identity.owner)} USING {method}"
    return _Try(definition, sql, f"index {dotted((*identity.owner, own))}")


def _view(definition: Definition, identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    made = (SCRATCH, own)
    without_data = " WITH NO DATA" if identity.kind == "materialized view" else ""
    sql = f"CREATE {identity.kind} {_sql(made)} AS {definition[1]}{without_data}"
    return _Try(definition, sql, f"{identity.kind} {dotted(made)}")


def _trigger(definition: Definition, identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    text, state = without_state(definition[1])
    kind = "CONSTRAINT TRIGGER" if text.startswith("constraint ") else "TRIGGER"
    sql = f"CREATE {kind} {identifier(own)} {text.removeprefix('constraint ')}"
    return _Try(definition, sql, f"trigger {dotted((*identity.owner, own))}", tail=state)


def _rule(definition: Definition, identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    text, state = without_state(definition[1])
    event = re.match(r"on \w+", text)
    assert event is not None
    sql = f"CREATE RULE {identifier(own)} AS {event[0]} TO {_sql(identity.owner)}{text[event.end() :]}"
    return _Try(definition, sql, f"rule {dotted((*identity.owner, own))}", tail=state)


def _policy(definition: Definition, identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    sql = f"CREATE POLICY {identifier(own)} ON {_sql(identity.owner)} {definition[1]}"
    return _Try(definition, sql, f"policy {dotted((*identity.owner, own))}")


def _routine(definition: Definition, identity: Identity, _own: str, _schema: Schema, default: str) -> _Try:
    made = (SCRATCH, identity.path[-1])  # under its own name, by which its body calls its arguments
    text = definition[1].replace("<default schema>", identifier(default))
    return _Try(
        definition,
        f"CREATE {identity.kind} {_sql(made)}{text}",
        f"{identity.kind} {dotted(made)}{identity.arguments}",
    )


def _statistics(definition: Definition, _identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    made = (SCRATCH, own)
    sql = f"CREATE STATISTICS {_sql(made)} {definition[1].removeprefix('() ')}"  # of one expression there is one kind
    return _Try(definition, sql, f"statistics {dotted(made)}")


def _table(definition: Definition, identity: Identity, own: str, _schema: Schema, _default: str) -> _Try:
    made = (SCRATCH, own)
    mark = " partition by "
    head, _, key = definition[1].rpartition(mark)
    sql = f"CREATE TABLE {_sql(made)} (LIKE {_sql(identity.path)}) PARTITION BY {key}"
    return _Try(definition, sql, f"table {dotted(made)}", head=f"{head}{mark}", mark=mark)


_MAKERS: Final[dict[str, Callable[[Definition, Identity, str, Schema, str], _Try | None]]] = {
    "column": _column,
    "domain": _domain,
    "constraint": _constraint,
    "index": _index,
    "view": _view,
    "materialized view": _view,
    "trigger": _trigger,
    "rule": _rule,
    "policy": _policy,
    "function": _routine,
    "procedure": _routine,
    "statistics": _statistics,
    "table": _table,
}


def _sql(path: Sequence[str]) -> str:
    return ".".join(map(identifier, path))
