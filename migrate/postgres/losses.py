"""What a transaction has lost, asked of the server inside it and before its commit: not what is there, but what was done.

A downgrade may drop a table and make it again, delete, truncate, or cut values with USING: the schema at its ends shows
none of that. The server knows at once which tables are suspect, in every schema: their oid is gone, their file is another
one, a column was dropped or given another type, rows were deleted or updated. Whether something is lost then only the
rows can tell. So the transaction is tried once more, with what these tables hold written down at its beginning.

It runs in the process of the revisions, on whichever driver env.py has.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from migrate.postgres.suspect import Suspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    # Runs a statement of SQL without parameters on the connection, and gives its rows.
    Ask = Callable[[str], Sequence[Sequence[Any]]]

# The rows of a partitioned table are looked at together: they may be moved from one partition to another.
_TABLES: Final = """
    WITH held AS MATERIALIZED (
        SELECT l.relation FROM pg_catalog.pg_locks l
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
           AND pg_catalog.current_setting('track_counts') = 'off')
    SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind = 'p',
           coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)::bigint,
           pg_catalog.pg_relation_filenode(c.oid)::bigint,
           pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)::bigint,
           pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)::bigint,
           c.oid IN (SELECT relation FROM held)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE {these}
"""
_COLUMNS: Final = """
    SELECT a.attrelid::bigint, a.attnum::int, a.attname::text, a.attisdropped, a.atttypid::bigint, a.atttypmod::int,
           pg_catalog.format_type(a.atttypid, a.atttypmod)
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE a.attnum > 0 AND a.attgenerated = '' AND {these}
"""
# What values of a type of somebody's own are made of: the attributes of composite types in it, in arrays and domains too.
_PARTS: Final = """
    WITH RECURSIVE within(whole, type) AS (
        SELECT DISTINCT a.atttypid, a.atttypid
          FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384 AND {these}
        UNION
        SELECT w.whole, p.type
          FROM within w JOIN pg_catalog.pg_type t ON t.oid = w.type,
               LATERAL (SELECT t.typelem UNION SELECT t.typbasetype
                        UNION SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
                        UNION SELECT a.atttypid FROM pg_catalog.pg_attribute a
                               WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS p(type)
         WHERE p.type >= 16384)
    SELECT w.whole::bigint, a.attrelid::bigint, a.attnum::int
      FROM within w JOIN pg_catalog.pg_type t ON t.oid = w.type
      JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
"""
_UNLINKED: Final = """
    SELECT pg_catalog.pg_stat_get_xact_tuples_deleted('pg_catalog.pg_largeobject_metadata'::pg_catalog.regclass)::bigint
"""
_THESE: Final = """
    c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'migrate')
    AND (n.nspname, c.relname) <> ({schema}, {table})
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
# Under the user's own settings a value would print in two ways, a type without its schema, rows would be kept from
# view, and the counting of a large table would end early.
_SETTINGS: Final[Mapping[str, str]] = {
    "row_security": "off",
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "0",
}
_KEPT: Final = "pg_temp.migrate_kept"
_JSONB: Final = "::jsonb"
_SAVEPOINT: Final = "migrate_losses"


class Unread(Exception):  # noqa: N818 - the answer is missing, the code is right
    """The rows of a table could not be read: nobody knows what it would lose."""

    def __init__(self, table: tuple[str, str], error: BaseException) -> None:
        super().__init__(str(error))
        self.table = table
        self.error = error


@dataclass(frozen=True, slots=True)
class Lost:
    """So many rows of a table, or values of a column, of as many as there were; no table: large objects.

    ``is_changed``: other values are in their place.
    """

    schema: str
    table: str
    column: str | None
    number: int
    of: int
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    is_dropped: bool
    type: tuple[int, int]  # pg_type's oid and the modifier
    spelled: str
    parts: frozenset[tuple[int, int]]  # the attributes of composite types in it


@dataclass(frozen=True, slots=True)
class _Table:
    oid: int
    schema: str
    name: str
    is_partitioned: bool
    root: int
    file: int | None
    deleted: int
    updated: int
    is_written: bool  # where the server does not count what is done to rows
    columns: Mapping[int, _Column]

    @property
    def sql(self) -> str:
        """The rows of this table alone, without those of tables that inherit from it, but with its partitions."""
        return f"{'' if self.is_partitioned else 'ONLY '}{quoted(self.schema)}.{quoted(self.name)}"


@dataclass(slots=True)
class Keeping:
    """One transaction: what was there when it began, and what has been written down of it."""

    ask: Ask
    version_table: tuple[str, str]
    first: Mapping[int, _Table]
    last: Mapping[int, _Table]
    zone: str  # of the session, in which a conversion may have taken place
    objects: int  # large ones that were unlinked before
    kept: dict[int, Suspect] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)  # of those that are kept

    @classmethod
    def begin(cls, ask: Ask, version_table: tuple[str, str], kept: Sequence[Suspect] = ()) -> Keeping:
        """Look at the tables, and write down what those of ``kept`` hold, which nobody may change meanwhile.

        Raises Unread, and the driver's errors, e.g. where a table is not to be had within the lock timeout.
        """
        with _reading(ask):  # which spells every type so that it can be cast to
            tables = _look(ask, version_table)
        unlinked = int(ask(_UNLINKED)[0][0])
        keeping = cls(ask, version_table, tables, tables, str(ask("SHOW timezone")[0][0]), unlinked)
        by_name = {(table.schema, table.name): table for table in tables.values()}
        merged: dict[tuple[str, str], Suspect] = {}
        for suspect in kept:
            names = (suspect.schema, suspect.table)
            merged[names] = merged[names].and_(suspect) if names in merged else suspect
        there = [(by_name[names], suspect) for names, suspect in merged.items() if names in by_name]
        for table, _ in there:
            ask(f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE")
        for at, (table, suspect) in enumerate(there):
            try:
                with _reading(ask):
                    if not at:
                        ask(
                            f"CREATE TEMPORARY TABLE {_KEPT} (tab bigint, att int, hash bigint, n bigint) ON COMMIT DROP"
                        )
                    keeping._write_down(table, suspect)
            except Exception as error:
                raise Unread((table.schema, table.name), error) from error
        return keeping

    def suspects(self) -> list[Suspect]:
        """The tables that this transaction may have taken something from since it was last looked at."""
        now = _look(self.ask, self.version_table)
        found: dict[int, Suspect] = {}
        for oid, first in self.first.items():
            if oid not in self.last:
                continue  # it was seen to go
            columns = _touched(first, self.last[oid], now.get(oid))
            if columns is None or columns:
                root = self.first.get(first.root, first)
                suspect = Suspect(root.schema, root.name, columns)
                found[root.oid] = suspect if root.oid not in found else found[root.oid].and_(suspect)
        self.last = now
        return list(found.values())

    def covers(self, suspect: Suspect) -> bool:
        """Whether what was written down of the table answers for it."""
        oid = self._oid_of(suspect)
        return oid in self.kept and (not self.rows[oid] or self.kept[oid].covers(suspect))

    def _oid_of(self, suspect: Suspect) -> int:
        names = (suspect.schema, suspect.table)
        return next(oid for oid, table in self.first.items() if (table.schema, table.name) == names)

    def lost(self, suspects: Sequence[Suspect]) -> list[Lost]:
        """What these tables, of which all is written down, do not hold any more. Raises Unread."""
        found: list[Lost] = []
        for suspect in suspects:
            oid = self._oid_of(suspect)
            if not self.rows[oid]:
                continue
            try:
                with _reading(self.ask):
                    found += self._compare(self.first[oid], self.kept[oid])
            except Exception as error:
                raise Unread((suspect.schema, suspect.table), error) from error
        unlinked = self.unlinked()
        if unlinked:
            left = self._number("SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata")
            found.append(Lost("", "", None, unlinked, left + unlinked))
        return found

    def unlinked(self) -> int:
        """How many large objects this transaction has unlinked."""
        return self._number(_UNLINKED) - self.objects

    def _write_down(self, table: _Table, suspect: Suspect) -> None:
        try:
            with _reading(self.ask):
                self._write_hashes(table, suspect, _JSONB)
        except Exception:
            if all(column.spelled != "json" for column in table.columns.values()):
                raise
            self._write_hashes(table, suspect, "")  # json may hold what jsonb cannot, e.g. \\u0000

    def _write_hashes(self, table: _Table, suspect: Suspect, json: str) -> None:
        values = ["(0, 0::bigint)"]
        for number, column in table.columns.items():
            if not column.is_dropped and (suspect.columns is None or column.name in suspect.columns):
                values.append(f"({number}, {_hash(column.name, column, json=json)})")
        self.ask(
            f"INSERT INTO {_KEPT} SELECT {table.oid}, v.att, v.hash, pg_catalog.count(*) FROM {table.sql} AS t,"
            f" LATERAL (VALUES {', '.join(values)}) AS v(att, hash) WHERE v.hash IS NOT NULL GROUP BY v.att, v.hash"
        )
        self.rows[table.oid] = self._number(f"SELECT n FROM {_KEPT} WHERE tab = {table.oid} AND att = 0")
        self.kept[table.oid] = suspect

    def _compare(self, first: _Table, kept: Suspect) -> Iterator[Lost]:
        names = (first.schema, first.name)
        rows = self.rows[first.oid]
        # one that was made again under the name may have the rows again
        now = self.last.get(first.oid) or next((t for t in self.last.values() if (t.schema, t.name) == names), None)
        left = self._number(f"SELECT pg_catalog.count(*) FROM {now.sql}") if now is not None else 0
        if now is None or left < rows:
            yield Lost(*names, None, rows - left, rows)
            return
        for number, column in first.columns.items():
            if column.is_dropped or (kept.columns is not None and column.name not in kept.columns):
                continue
            where = f"k.tab = {first.oid} AND k.att = {number}"
            values = self._number(f"SELECT coalesce(pg_catalog.sum(k.n), 0) FROM {_KEPT} k WHERE {where}")
            there = _same(now, first, number)
            gone = self._gone(now, there, column, where, values) if values else 0
            if gone:
                filled = f"SELECT pg_catalog.count(t.{quoted(there.name)}) FROM {now.sql} AS t" if there else "SELECT 0"
                yield Lost(*names, column.name, gone, values, is_changed=self._number(filled) >= values)

    def _gone(self, now: _Table, there: _Column | None, before: _Column, where: str, values: int) -> int:
        """How many of a column's values it does not hold any more, in any way of writing them."""
        gone = values
        for expression, zone in _spellings(there, before, self.zone) if there is not None else ():
            try:
                with _reading(self.ask, zone):
                    found = self._number(
                        "SELECT coalesce(pg_catalog.sum(greatest(k.n - coalesce(a.n, 0), 0)), 0)"
                        f" FROM {_KEPT} k LEFT JOIN (SELECT {expression} AS hash, pg_catalog.count(*) AS n"
                        f" FROM {now.sql} AS t GROUP BY 1) a ON a.hash = k.hash WHERE {where}"
                    )
            except Exception:  # noqa: BLE001 - of any driver: there is no cast back, or it refuses a value
                found = values
            gone = min(gone, found)
            if not gone:
                break
        return gone

    def _number(self, sql: str) -> int:
        rows = self.ask(sql)
        return int(rows[0][0]) if rows else 0


def quoted(name: str) -> str:
    """A name as SQL takes it in every case."""
    return '"' + name.replace('"', '""') + '"'


def _look(ask: Ask, version_table: tuple[str, str]) -> dict[int, _Table]:
    these = _THESE.format(schema=_literal(version_table[0]), table=_literal(version_table[1]))
    columns: dict[int, dict[int, _Column]] = {}
    parts: dict[int, set[tuple[int, int]]] = {}
    for whole, composite, attribute in ask(_PARTS.format(these=these)):
        parts.setdefault(whole, set()).add((composite, attribute))
    for oid, number, name, is_dropped, type_, modifier, spelled in ask(_COLUMNS.format(these=these)):
        columns.setdefault(oid, {})[number] = _Column(
            name, is_dropped, (type_, modifier), spelled, frozenset(parts.get(type_, ()))
        )
    return {row[0]: _Table(*(*row, columns.get(row[0], {}))) for row in ask(_TABLES.format(these=these))}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _touched(first: _Table, before: _Table, after: _Table | None) -> frozenset[str] | None:
    """The columns that may have lost something since; None for any of them and whole rows."""
    if after is None or after.is_written:
        return None
    if (before.deleted, before.updated, before.file) != (after.deleted, after.updated, after.file):
        return None
    return frozenset(
        column.name
        for number, column in first.columns.items()
        if not column.is_dropped
        and (
            _type_of(before, number) != _type_of(after, number)
            or not before.columns[number].parts <= after.columns[number].parts
        )
    )


def _type_of(table: _Table, number: int) -> tuple[int, int] | None:
    column = table.columns.get(number)
    return column.type if column is not None and not column.is_dropped else None


def _same(now: _Table, first: _Table, number: int) -> _Column | None:
    """The column as it is now: by its number in the same table, else by its name."""
    if now.oid == first.oid:
        found = now.columns.get(number)
        if found is not None and not found.is_dropped:
            return found
    name = first.columns[number].name
    return next((c for c in now.columns.values() if c.name == name and not c.is_dropped), None)


def _hash(name: str, as_: _Column, cast: str = "", *, json: str = _JSONB) -> str:
    """The hash of a value as it prints with the type of ``as_``; NULL for none."""
    value = f"t.{quoted(name)}{cast}"
    if as_.spelled == "json":  # it keeps blanks that jsonb does not, and says the same
        value = f"({value}){json}"
    elif as_.spelled.startswith("timestamp") and as_.spelled.endswith(" with time zone"):
        value = f"({value}) AT TIME ZONE 'UTC'"
    return f'pg_catalog.hashtextextended(({value})::text COLLATE pg_catalog."C", 0)'


def _spellings(there: _Column, before: _Column, zone: str) -> Iterator[tuple[str, str]]:
    """The ways in which a column may say the same as before, with the time zone: as it prints, and turned back."""
    yield _hash(there.name, there), "UTC"
    if there.spelled == "json":
        yield _hash(there.name, there, json=""), "UTC"
    if there.type != before.type:
        for each in dict.fromkeys(("UTC", zone)):
            yield _hash(there.name, before, f"::{before.spelled}"), each


@contextmanager
def _reading(ask: Ask, zone: str = "UTC") -> Iterator[None]:
    """Read under settings of our own; neither they nor an error reach the transaction around."""
    ask(f"SAVEPOINT {_SAVEPOINT}")
    try:
        kept = ask("SELECT " + ", ".join(f"pg_catalog.current_setting('{name}')" for name in _SETTINGS))[0]
        _set(ask, {**_SETTINGS, "timezone": zone})
        yield
        _set(ask, dict(zip(_SETTINGS, map(str, kept), strict=True)))
    except BaseException:
        ask(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        raise
    finally:
        ask(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _set(ask: Ask, settings: Mapping[str, str]) -> None:
    each = (f"pg_catalog.set_config('{name}', {_literal(value)}, true)" for name, value in settings.items())
    ask(f"SELECT {', '.join(each)}")
