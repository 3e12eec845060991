"""Reads the schema of a database from the system catalogs: identity -> definition, in one snapshot. It never writes.

What each kind of entry holds, with names relative to the default schema:

| entry | definition |
|---|---|
| `table T`, `foreign table T` | `table`, and of what it is a partition, how it is partitioned, what it inherits, its server |
| `view V`, `materialized view V` | the query; their columns are entries of their own |
| `column T.C` | type, `collate`, `not null`, `default …`, `generated …` |
| `constraint T.C` | as `pg_get_constraintdef` prints it; T may be a domain |
| `index T.I` | from the access method on, `unique` before it |
| `trigger T.T`, `rule T.R`, `policy T.P` | as PostgreSQL prints it, without its own name |
| `options T` | `unlogged`, storage parameters, an access method that is not heap, a view's options |
| `row security T`, `replica identity T` | there is an entry only where it is not as by default |
| `enum E` | the labels in order |
| `domain D` | like a column; its checks are constraints |
| `type C`, `range R`, `sequence S`, `collation C`, `statistics S` | what CREATE says after the name |
| `function F(types)`, `procedure P(types)`, `aggregate A(types)` | what CREATE says after the name |
| `extension E` | `installed` |
| `schema S` | `schema`; only of those beside the default one |

Left out, because it differs between databases that are rightly of one revision: owners and privileges, tablespaces,
the order of columns (a column added later stands last for ever, and programs name columns), whether a materialized view
is populated, statistics targets, versions and schemas of extensions (servers carry different ones). Left out because
it follows from something else: the indexes of constraints, the sequences of serial and identity columns, NOT NULL
constraints (`contype = 'n'`, they are in the column), what a partition or child table inherits, TOAST, the triggers
of foreign keys. Left out because a history hardly ever makes them: operators and their classes, casts, text search
objects, base types, options of a foreign table's columns, what belongs to the whole database (publications, event
triggers, foreign servers).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrate.core.schema.differences import name
from migrate.postgres.catalog_queries import OF_RELATIONS, OTHERS, RELATIONS, SCHEMAS, SETTINGS
from migrate.postgres.planned import PlannedOnce

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, in lower case over there
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

# The ledger's schema is never the user's.
LEDGER = "migrate"


@contextmanager
def snapshot(connection: Connection, *, lock_timeout_ms: int | None = None) -> Iterator[Cursor]:
    """One REPEATABLE READ READ ONLY transaction on an idle connection, whichever autocommit mode it is in.

    `lock_timeout_ms`: catalog functions take locks, and would queue behind an ALTER; then 55P03 is raised as
    `psycopg2.errors.LockNotAvailable`. None keeps the session's. Raises psycopg2.Error, also where a transaction is
    open on the connection already.
    """
    autocommit = connection.autocommit
    if not autocommit:
        connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                if lock_timeout_ms is not None:
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{lock_timeout_ms}ms"])
                yield cursor
            finally:
                if not connection.closed:
                    cursor.execute("ROLLBACK")  # nothing was written
    finally:
        if not autocommit and not connection.closed:
            connection.autocommit = False


def read_schema(
    connection: Connection,
    *,
    schemas: Sequence[str],
    version_table: tuple[str, str],
    default_schema: str | None = None,
    qualified: Sequence[str] | None = None,
    lock_timeout_ms: int | None = None,
) -> dict[str, str]:
    """Read the schema in a snapshot of its own: see `snapshot` and `schema_of`."""
    with snapshot(connection, lock_timeout_ms=lock_timeout_ms) as cursor:
        return schema_of(
            cursor,
            schemas=schemas,
            version_table=version_table,
            default_schema=default_schema,
            qualified=qualified,
        )


def schema_of(
    cursor: Cursor,
    *,
    schemas: Sequence[str],
    version_table: tuple[str, str],
    default_schema: str | None = None,
    qualified: Sequence[str] | None = None,
    prepared: set[str] | None = None,
) -> dict[str, str]:
    """Read the objects of `schemas` inside the transaction that the cursor is in, and set its `search_path`.

    `default_schema` (the first of `schemas` if None) is the one whose names are not qualified; `version_table` is a
    schema and a name. Names in `public` and in the schemas of extensions print without their schema, too, but for those
    in `qualified` (`schemas` if None). `prepared`: the statements that this session has planned already, if it is to. The connection's client encoding must be able to hold every name (for a SQL_ASCII database: set
    UTF8), and the role needs USAGE on the schemas of extensions, or their types print qualified. Raises
    psycopg2.Error; one of them is `psycopg2.InternalError` (XX000) where an object vanishes while it is being printed.
    """
    default = schemas[0] if default_schema is None else default_schema
    where = Where(tuple(schemas), default, tuple(schemas if qualified is None else qualified))
    reader = Reader(cursor, where, PlannedOnce(cursor, prepared) if prepared is not None else None)
    return reader.read(reader.namespaces, reader.relations(version_table))


@dataclass(frozen=True, slots=True)
class Where:
    """The schemas that are read, the one whose names are not qualified, and those whose names always are.

    Names in `public` and in the schemas of extensions are not, unless they are among the latter.
    """

    schemas: tuple[str, ...]
    default: str
    qualified: tuple[str, ...]


class Reader:
    """Reads in the transaction that the cursor is in, and sets what there decides how PostgreSQL prints."""

    def __init__(self, cursor: Cursor, where: Where, planned: PlannedOnce | None = None) -> None:
        """``planned``: how to ask where the same is asked again and again. Raises psycopg2.Error, as the methods do."""
        self._cursor = cursor
        self._default = where.default
        self._planned = planned
        self._rows(SETTINGS, {"default": where.default, "qualified": list(where.qualified)})
        self._names: dict[int, str] = dict(self._rows(SCHEMAS, {"schemas": list(where.schemas), "ledger": LEDGER}))
        self.path = tuple(row[0] for row in self._rows("SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))"))
        self._unqualify = _unqualifier(self.path)

    def _rows(self, query: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        if self._planned is not None:
            return self._planned.rows(query, parameters)
        self._cursor.execute(query, parameters)
        return self._cursor.fetchall()

    @property
    def namespaces(self) -> list[int]:
        """The oids of the schemas that are read."""
        return list(self._names)

    def relations(self, version_table: tuple[str, str], among: Collection[int] | None = None) -> list[int]:
        """The oids of the relations in these schemas, or of those among these, but not of the version table."""
        return self._relations(self.namespaces, version_table, among)

    def read_only(self, scratch: str, owners: Sequence[str]) -> dict[str, str]:
        """What is in the schema `scratch`, and what belongs to these tables and views (in SQL, relative)."""
        made: dict[int, str] = dict(self._rows(SCHEMAS, {"schemas": [scratch], "ledger": LEDGER}))
        self._names |= made
        query = "SELECT pg_catalog.to_regclass(owner)::oid FROM pg_catalog.unnest(%(owners)s::text[]) AS owner"
        relations = {row[0] for row in self._rows(query, {"owners": list(owners)})} - {None}
        return self.read(list(made), [*relations.union(self._relations(list(made), ("", "")))])

    def _relations(
        self, namespaces: list[int], version_table: tuple[str, str], among: Collection[int] | None = None
    ) -> list[int]:
        names = {"namespaces": namespaces, "schema": version_table[0], "table": version_table[1]}
        if among is None:
            return [row[0] for row in self._rows(RELATIONS, names)]
        query = f"{RELATIONS} AND c.oid = ANY (%(among)s::oid[])"
        return [row[0] for row in self._rows(query, {**names, "among": list(among)})]

    def read(self, namespaces: list[int], relations: list[int]) -> dict[str, str]:
        """The definitions of what is in these schemas and relations."""
        schema = self.others(namespaces)
        for part in self.parts(namespaces, relations).values():
            schema |= part
        return schema

    def others(self, namespaces: list[int]) -> dict[str, str]:
        """The definitions of what is in these schemas and belongs to no relation."""
        parts = self._read(OTHERS, {"namespaces": namespaces, "default": self._default})
        return parts.get(None, {})

    def parts(self, namespaces: list[int], relations: list[int], *, are_few: bool = False) -> dict[int, dict[str, str]]:
        """The definitions of these relations and of what belongs to them, by relation; their statistics where these schemas hold them.

        ``are_few``: the query is another text, so that it has a plan of its own.
        """
        found = self._read(
            f"{OF_RELATIONS}\n-- of few" if are_few else OF_RELATIONS,
            {"namespaces": namespaces, "relations": relations},
        )
        return {relation: part for relation, part in found.items() if relation is not None}

    def _read(self, query: str, parameters: Mapping[str, object]) -> dict[int | None, dict[str, str]]:
        parts: dict[int | None, dict[str, str]] = {}
        for relation, kind, namespace, owner, own_name, types, definition in self._rows(query, parameters):
            if definition is None:
                continue  # dropped since the snapshot was taken: the functions that print look at what is there now
            schema_name = self._names.get(namespace)
            path = [part for part in (owner, own_name) if part is not None]
            if schema_name is not None and schema_name != self._default:
                path.insert(0, schema_name)
            identity = f"{kind} {'.'.join(map(name, path))}{types or ''}"
            is_source = kind in ("function", "procedure")
            parts.setdefault(relation, {})[identity] = self._unqualify(definition) if is_source else definition
        return parts


def _unqualifier(path: Sequence[str]) -> Callable[[str], str]:
    """What takes the schemas of the path out of a function's source, as PostgreSQL does in all that it prints itself.

    A body is a string to PostgreSQL; a history that makes one for each tenant writes the tenant's name into it.
    """
    spellings = [re.escape(spelling) for schema in path for spelling in {schema, name(schema), f'"{schema}"'}]
    qualifier = re.compile(rf'(?<![\w$".])(?:{"|".join(spellings)})\.(?=[\w"])')
    own = re.compile(rf"(?<=^ SET search_path TO )'{re.escape(path[0])}'", re.MULTILINE) if path else None

    def unqualify(source: str) -> str:
        if own is None:
            return source
        return own.sub("<default schema>", qualifier.sub("", source))

    return unqualify
