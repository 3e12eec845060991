"""Reads the schema of a database once more, and of that only what can have changed since it was last read.

A definition is printed from rows of the catalogs: those of its own relation, and those of what it names. Every row
carries the transaction that wrote it. So the rows of a relation are what they were where there are as many as before
and none is newer: what is made or changed is newer, and what is dropped is missing. For what a definition names
PostgreSQL keeps dependencies: an unchanged relation that depends on a changed one is read again with it. Where
anything else has changed, or what a bare name stands for might have, everything is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from migrate.postgres.catalog import Reader
from migrate.postgres.planned import PlannedOnce

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, in lower case over there

    from migrate.postgres.catalog import Where

Versions = dict[int, tuple[int, int]]
"""Of each relation the number of its rows in the catalogs, and the newest transaction that wrote one."""

# What decides how things are printed and is of no relation. The types of rows and of arrays come and go with what they
# are of. What was read counts for a later time only where nobody was at work meanwhile, and as long as the numbers of
# transactions have not begun again.
_OTHER_CATALOGS: Final = (
    "pg_am",
    "pg_amop",
    "pg_cast",
    "pg_collation",
    "pg_enum",
    "pg_extension",
    "pg_foreign_server",
    "pg_language",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_proc",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_constraint WHERE conrelid = 0",
    "pg_depend WHERE deptype = 'e' AND classid <> 'pg_catalog.pg_class'::pg_catalog.regclass",
    "pg_type WHERE typtype <> 'c' AND NOT (typtype = 'b' AND typelem <> 0 AND typarray = 0)",
)
# The newest by its age, counted from the first there can be, 3: that is quicker than its number, which has to be made
# of text. What initdb wrote is without age.
_NEWEST: Final = (
    "pg_catalog.count(*), pg_catalog.age('3'::xid) - nullif(pg_catalog.min(pg_catalog.age(xmin)), 2147483647)"
)
_SURROUNDINGS: Final = f"""
SELECT CASE WHEN pg_catalog.pg_snapshot_xmin(now) = pg_catalog.pg_snapshot_xmax(now)
                 AND pg_catalog.pg_snapshot_xmax(now)::text::bigint < 4294967296
            THEN pg_catalog.pg_snapshot_xmax(now)::text END,
       (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', oid, rolname), ',' ORDER BY oid) FROM pg_catalog.pg_roles),
       ARRAY[{", ".join(f"(SELECT pg_catalog.concat_ws(' ', {_NEWEST}) FROM pg_catalog.{each})" for each in _OTHER_CATALOGS)}]
FROM pg_catalog.pg_current_snapshot() AS now
"""

_IS_RELATION: Final = "'pg_catalog.pg_class'::pg_catalog.regclass"
# 16384: whatever initdb made has a lower number. A sequence belongs to a column, or an object to an extension, by a
# dependency alone. Each with the column that says of which relation a row is.
_OF_RELATION: Final = (
    ("oid", "pg_class WHERE oid >= 16384 AND relkind <> 't'"),
    ("attrelid", "pg_attribute WHERE attrelid >= 16384 AND attnum > 0"),
    ("adrelid", "pg_attrdef"),
    ("conrelid", "pg_constraint WHERE conrelid >= 16384"),
    ("indexrelid", "pg_index WHERE indexrelid >= 16384"),
    ("tgrelid", "pg_trigger"),
    ("ev_class", "pg_rewrite WHERE ev_class >= 16384"),
    ("polrelid", "pg_policy"),
    ("inhrelid", "pg_inherits"),
    ("seqrelid", "pg_sequence"),
    ("ftrelid", "pg_foreign_table"),
    ("partrelid", "pg_partitioned_table"),
    ("stxrelid", "pg_statistic_ext"),
    ("objid", f"pg_depend WHERE classid = {_IS_RELATION} AND objid >= 16384 AND deptype IN ('a', 'e', 'i')"),
)
_ROWS: Final = " UNION ALL ".join(f"SELECT {relation}, xmin FROM pg_catalog.{rows}" for relation, rows in _OF_RELATION)
_VERSIONS: Final = f"SELECT relation::bigint, {_NEWEST} FROM ({_ROWS}) AS written (relation, xmin)"
_VERSIONS_OF_ALL: Final = f"{_VERSIONS} GROUP BY relation"
_VERSIONS_OF: Final = f"{_VERSIONS} WHERE relation = ANY (%(oids)s::oid[]) GROUP BY relation"
# How many rows there are, and of which relations those are that were written by a transaction or a later one.
_WRITTEN: Final = "WITH since AS (SELECT pg_catalog.age(%(since)s::text::xid) AS age) " + " UNION ALL ".join(
    f"SELECT pg_catalog.count(*), pg_catalog.array_agg({relation}::bigint)"
    f" FILTER (WHERE pg_catalog.age(xmin) <= (SELECT age FROM since)) FROM pg_catalog.{rows}"
    for relation, rows in _OF_RELATION
)

# Plans for values that are not known are made for more of them than a revision changes: whole catalogs would be hashed.
_OF_FEW: Final = "SELECT " + ", ".join(
    f"pg_catalog.set_config('enable_{how}', 'off', true)" for how in ("hashjoin", "mergejoin", "seqscan")
)

_RELATIONS: Final = """
SELECT c.oid::bigint, c.relkind, c.relnamespace::bigint, c.relname, coalesce(i.indrelid, c.oid)::bigint
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE c.oid = ANY (%(oids)s::oid[])
"""

# Relations and types share their names, and the first of the search_path is meant by a bare one.
_SAME_NAME: Final = """
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_class WHERE relname = ANY (%(names)s::name[]) AND oid <> ALL (%(oids)s::oid[])
  UNION ALL
  SELECT FROM pg_catalog.pg_type WHERE typname = ANY (%(names)s::name[]) AND typrelid <> ALL (%(oids)s::oid[])
)
"""

# Whose definitions name one of these, its row type or an array of it; NULL for what is no relation's. And the table of
# which a sequence is, whose column shows the options of an identity.
_DEPENDENT: Final = """
WITH meant (catalog, oid) AS (
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, oid FROM pg_catalog.unnest(%(oids)s::oid[]) AS oid
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::oid, pg_catalog.unnest(ARRAY[t.oid, t.typarray])
  FROM pg_catalog.pg_type t WHERE t.typrelid = ANY (%(oids)s::oid[])
), dependent AS (
  SELECT d.classid::pg_catalog.regclass AS catalog, d.objid
  FROM pg_catalog.pg_depend d JOIN meant ON d.refclassid = meant.catalog AND d.refobjid = meant.oid
  WHERE d.objid <> meant.oid OR d.classid <> d.refclassid
)
SELECT DISTINCT (CASE d.catalog
         WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN coalesce(
           (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = d.objid), d.objid)
         WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN (SELECT adrelid FROM pg_catalog.pg_attrdef WHERE oid = d.objid)
         WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN
           (SELECT nullif(conrelid, 0) FROM pg_catalog.pg_constraint WHERE oid = d.objid)
         WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN (SELECT tgrelid FROM pg_catalog.pg_trigger WHERE oid = d.objid)
         WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN (SELECT ev_class FROM pg_catalog.pg_rewrite WHERE oid = d.objid)
         WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN (SELECT polrelid FROM pg_catalog.pg_policy WHERE oid = d.objid)
         WHEN 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass THEN
           (SELECT stxrelid FROM pg_catalog.pg_statistic_ext WHERE oid = d.objid)
         WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN
           (SELECT nullif(coalesce(e.typrelid, t.typrelid), 0) FROM pg_catalog.pg_type t
            LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid WHERE t.oid = d.objid)
       END)::bigint
FROM dependent d
UNION
SELECT refobjid::bigint FROM pg_catalog.pg_depend
WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid = ANY (%(oids)s::oid[])
  AND refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype IN ('a', 'i')
"""


class _Relation(NamedTuple):
    kind: str
    place: tuple[int, str]  # its schema and its name
    table: int  # of an index; else itself


@dataclass(frozen=True, slots=True)
class Reading:
    """The schema of a database at one moment, and what tells later what of it has changed."""

    schema: Mapping[str, str]
    others: Mapping[str, str]  # what of it is of no relation
    parts: Mapping[int, Mapping[str, str]]  # and of each
    relations: Mapping[int, _Relation]
    versions: Versions
    surroundings: tuple[object, ...]
    since: str | None  # the first transaction that had not begun; None: somebody else was at work


def read_again(
    cursor: Cursor,
    where: Where,
    version_table: tuple[str, str],
    last: Reading | None,
    prepared: set[str] | None = None,
) -> Reading:
    """Read in the transaction that the cursor is in, as `catalog.schema_of` does; ``prepared`` is as there.

    ``last`` was read in this database, or in the one of which it is a copy before it was copied. Raises psycopg2.Error.
    """
    planned = PlannedOnce(cursor, prepared)
    reader = Reader(cursor, where, planned)
    ((since, roles, newest),) = planned.rows(_SURROUNDINGS)
    surroundings = (where, version_table, reader.path, roles, tuple(newest))
    if last is not None and last.since is not None and last.surroundings == surroundings:
        planned.rows(_OF_FEW)
        versions, changed = _changed(planned, last.versions, last.since)
        if not changed:
            return replace(last, since=since)
        relations = _relations(last.relations, changed, planned)
        read = _to_be_read(planned, changed, last.relations, relations)
        if read is not None:
            there = reader.relations(version_table, among=read)
            kept = {oid: part for oid, part in last.parts.items() if oid not in read}
            anew = reader.parts(reader.namespaces, there, are_few=True)
            return _reading(last.others, {**kept, **anew}, relations, versions, surroundings, since)
    else:
        versions = _versions(planned)
    parts = reader.parts(reader.namespaces, reader.relations(version_table))
    relations = _relations({}, versions, planned)
    return _reading(reader.others(reader.namespaces), parts, relations, versions, surroundings, since)


def _versions(planned: PlannedOnce) -> Versions:
    return {oid: (rows, newest) for oid, rows, newest in planned.rows(_VERSIONS_OF_ALL)}


def _changed(planned: PlannedOnce, last: Versions, since: str) -> tuple[Versions, set[int]]:
    """The versions now, and the relations whose rows are others than the last ones, at which ``since`` had not begun.

    Where no row of a relation is newer, all that it has were there. So if those relations have as many rows together as
    they had, none of them has lost one.
    """
    counts = planned.rows(_WRITTEN, {"since": since})
    written = {oid for _, oids in counts for oid in oids or ()}
    now = {oid: (rows, newest) for oid, rows, newest in planned.rows(_VERSIONS_OF, {"oids": list(written)})}
    others = sum(rows for rows, _ in counts) - sum(rows for rows, _ in now.values())
    if others == sum(rows for rows, _ in last.values()) - sum(last[oid][0] for oid in written if oid in last):
        return {**last, **now}, written
    versions = _versions(planned)
    return versions, {oid for oid, _ in versions.items() ^ last.items()}


def _reading(
    others: Mapping[str, str],
    parts: Mapping[int, Mapping[str, str]],
    relations: Mapping[int, _Relation],
    versions: Versions,
    surroundings: tuple[object, ...],
    since: str | None,
) -> Reading:
    schema = dict(others)
    for part in parts.values():
        schema.update(part)
    return Reading(schema, others, parts, relations, versions, surroundings, since)


def _relations(known: Mapping[int, _Relation], changed: Collection[int], planned: PlannedOnce) -> dict[int, _Relation]:
    """The relations that are there now."""
    found = planned.rows(_RELATIONS, {"oids": list(changed)})
    kept = {oid: relation for oid, relation in known.items() if oid not in changed}
    return kept | {oid: _Relation(kind, (nsp, name), table) for oid, kind, nsp, name, table in found}


def _to_be_read(
    planned: PlannedOnce, changed: Collection[int], before: Mapping[int, _Relation], after: Mapping[int, _Relation]
) -> set[int] | None:
    """The relations whose definitions may have changed with these; None where that may be any."""
    versions = [relations[oid] for oid in changed for relations in (before, after) if oid in relations]
    tables = {oid for relation in versions for oid in (relation.table,)}
    moved = [
        relation.place[1]
        for oid in changed
        if (old := before.get(oid)) is None or (new := after.get(oid)) is None or old.place != new.place
        for relation in (before.get(oid), after.get(oid))
        if relation is not None and relation.table == oid
    ]
    oids = list({*changed, *tables})
    if moved and planned.rows(_SAME_NAME, {"names": moved, "oids": oids}) != [(False,)]:
        return None
    read = tables.union(oid for (oid,) in planned.rows(_DEPENDENT, {"oids": oids}))
    known = [relation for relations in (before, after) for oid in read if oid and (relation := relations.get(oid))]
    # a type of its own is no table's
    return None if None in read or any(relation.kind == "c" for relation in known) else read
