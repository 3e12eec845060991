"""The SQL that would put a difference right, for people to read and run; it is never executed by `migrate`.

Names are relative to the default schema, as everywhere in a schema: the statements want it first in `search_path`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrate.core.quoting import identifier, literal
from migrate.core.schema.differences import (
    OWNERS,
    Difference,
    Differences,
    Renamed,
    dotted,
    parse,
    parse_column,
    parse_labels,
)

if TYPE_CHECKING:
    from migrate.core.schema.differences import Column, Identity, Schema

# What a later statement may need comes first; what is dropped goes before that, in the opposite order.
_ORDER = ("enum", "column", "constraint", "index")

# Types that PostgreSQL converts between in an assignment, so that ALTER COLUMN … TYPE needs no USING (pg_cast).
_CONVERTIBLE = (
    frozenset({"character varying", "character", "text", "name"}),
    frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"}),
    frozenset({"date", "timestamp without time zone", "timestamp with time zone"}),
    frozenset({"json", "jsonb"}),
)

_INTEGERS = ("smallint", "integer", "bigint")
_FLOATS = ("real", "double precision")

# Tables whose columns follow those of another table, where they are to be altered.
_HEIRS = ("table partition of ", "table inherits (", "table of ")

_NEXTVAL = re.compile(r"nextval\('((?:[^']|'')+)'::regclass\)")


def repairs(
    differences: Differences, expected: Schema, actual: Schema, *, drops: bool = False
) -> tuple[tuple[Difference | Renamed, str], ...]:
    """The differences that have a simple repair, each with its SQL, in an order in which they can be run."""
    found: list[tuple[Difference | Renamed, str]] = []
    ordered: list[Difference | Renamed] = [
        *sorted(differences.extra, key=_rank, reverse=True),
        *differences.renamed,
        *sorted((*differences.missing, *differences.changed), key=_rank),
    ]
    for difference in ordered:
        sql = repair_sql(difference, expected, actual, drops=drops)
        if sql is not None:
            found.append((difference, sql))
    return tuple(found)


def _rank(difference: Difference) -> tuple[int, bool]:
    kind = parse(difference.identity).kind
    definition = difference.expected or difference.actual or ""
    # A foreign key needs the unique key that it refers to.
    return _ORDER.index(kind) if kind in _ORDER else -1, definition.startswith("FOREIGN KEY")


def repair_sql(
    difference: Difference | Renamed, expected: Schema, actual: Schema, *, drops: bool = False
) -> str | None:
    """The statements that would put one difference right, or None where that takes more than a simple statement.

    `expected` and `actual` are the whole schemas that were compared. Data may still forbid what is right (a NOT NULL
    where there are nulls); nothing here drops a table, a type or a label; what would lose what is in a column, and what
    drops an object that nobody expected, is a comment (not with ``drops``: it is known who made it). Indexes are built and dropped CONCURRENTLY
    where their table allows it, so none of this belongs into a transaction block.
    """
    if isinstance(difference, Renamed):
        return _rename(difference, actual)
    identity = parse(difference.identity)
    if identity.kind == "enum":
        return _add_labels(difference, identity)
    if identity.kind == "schema" and difference.actual is None:
        return f"CREATE SCHEMA {_sql(identity.path)};"
    owner = f"{_owner_kind(identity, actual)} {dotted(identity.owner)}"
    if owner not in actual or expected.get(owner) != actual[owner]:
        return None  # the table itself is missing, extra or another one, and comes first
    match identity.kind:
        case "column" if owner.startswith("table ") and not actual[owner].startswith(_HEIRS):
            return _column(difference, identity, expected, actual)
        case "constraint":
            return _constraint(difference, identity, actual, drops=drops)
        case "index":
            return _index(difference, identity, actual, drops=drops)
        case _:
            return None


def _owner_kind(identity: Identity, schema: Schema) -> str | None:
    owner = dotted(identity.owner)
    return next((kind for kind in OWNERS if f"{kind} {owner}" in schema), None)


def _sql(path: tuple[str, ...]) -> str:
    return ".".join(map(identifier, path))


def _alter(identity: Identity, schema: Schema) -> str:
    kind = _owner_kind(identity, schema) or "table"
    return f"ALTER {kind.upper()} {_sql(identity.owner)}"


def _rename(renamed: Renamed, actual: Schema) -> str:
    identity = parse(renamed.actual_identity)
    old, new = identity.path[-1], identifier(parse(renamed.expected_identity).path[-1])
    if identity.kind == "index":
        return f"ALTER INDEX {_sql(_beside(identity, old))} RENAME TO {new};"
    return f"{_alter(identity, actual)} RENAME CONSTRAINT {identifier(old)} TO {new};"


def _beside(identity: Identity, name: str) -> tuple[str, ...]:
    """The path of an index: it lives in its table's schema, not in the table."""
    return (*identity.owner[:-1], name)


def _add_labels(difference: Difference, identity: Identity) -> str | None:
    if difference.expected is None or difference.actual is None:
        return None
    wanted, present = parse_labels(difference.expected), parse_labels(difference.actual)
    surplus = [literal(label) for label in present if label not in wanted]
    renames = _renamed_labels(wanted, present)
    if renames:
        why = f"{dotted(identity.path)} has a label of another name in the same place, most likely renamed by hand:"
        alter = f"ALTER TYPE {_sql(identity.path)} RENAME VALUE"
        return "\n".join([f"-- {why}", *(f"{alter} {literal(old)} TO {literal(new)};" for old, new in renames)])
    if surplus:
        return (
            f"-- {dotted(identity.path)} has {', '.join(surplus)} too many, and PostgreSQL has no SQL that takes a label out"
            f" of an enum.\n-- It may stay: migrate up --ignore 'enum {dotted(identity.path)}'; or make a new type without"
            " it, and change the columns to that."
        )
    if tuple(label for label in wanted if label in present) != present:
        return None  # another order, which PostgreSQL cannot make
    statements = []
    for position, label in enumerate(wanted):
        if label not in present:
            # The label before is there already, or was added by the statement before.
            beside = f" AFTER {literal(wanted[position - 1])}" if position else ""
            if not position and present:
                beside = f" BEFORE {literal(present[0])}"
            statements.append(f"ALTER TYPE {_sql(identity.path)} ADD VALUE {literal(label)}{beside};")
    return "\n".join(statements)


def _renamed_labels(wanted: tuple[str, ...], present: tuple[str, ...]) -> list[tuple[str, str]]:
    """Labels there and expected, where one is missing at the same place where one is too many, and nothing else differs."""
    pairs = [(old, new) for old, new in zip(present, wanted, strict=False) if old != new]
    is_renamed = all(old not in wanted and new not in present for old, new in pairs)
    return pairs if is_renamed and len(wanted) == len(present) else []


def _constraint(difference: Difference, identity: Identity, actual: Schema, *, drops: bool) -> str:
    alter, name = _alter(identity, actual), identifier(identity.path[-1])
    if difference.expected is None:
        drop = f"{alter} DROP CONSTRAINT {name};"
        return drop if drops else _commented(_somebodys(difference), drop)
    add = f"ADD CONSTRAINT {name} {difference.expected}"
    if difference.actual is None:
        return f"{alter} {add};"
    if difference.actual == f"{difference.expected} NOT VALID":
        return f"{alter} VALIDATE CONSTRAINT {name};"
    if difference.actual == f"{difference.expected} invalid":
        return f"REINDEX INDEX {_sql(_beside(identity, identity.path[-1]))};"
    if alter.startswith("ALTER DOMAIN"):
        return f"{alter} DROP CONSTRAINT {name};\n{alter} {add};"
    return f"{alter} DROP CONSTRAINT {name}, {add};"


def _index(difference: Difference, identity: Identity, actual: Schema, *, drops: bool) -> str:
    table, name = _sql(identity.owner), identity.path[-1]
    # An index on a partitioned table is made of its partitions' indexes, and cannot be built concurrently.
    is_partitioned = " partition by " in actual.get(f"table {dotted(identity.owner)}", "")
    concurrently = "" if is_partitioned else " CONCURRENTLY"
    if difference.actual is not None and difference.actual == f"{difference.expected} invalid":
        if is_partitioned:  # it is made of parts, and rebuilding it makes none that is missing
            return f"-- build the part of {name} that a partition lacks and ATTACH it: migrate repair prints how"
        return f"REINDEX INDEX{concurrently} {_sql(_beside(identity, name))};"
    drop = f"DROP INDEX{concurrently} {_sql(_beside(identity, name))};"
    if difference.expected is None:
        return drop if drops else _commented(_somebodys(difference), drop)
    unique = "UNIQUE " if difference.expected.startswith("unique ") else ""
    method = difference.expected.removeprefix("unique ")
    create = f"CREATE {unique}INDEX{concurrently} {identifier(name)} ON {table} USING {method};"
    return create if difference.actual is None else f"{drop}\n{create}"


def _column(difference: Difference, identity: Identity, expected: Schema, actual: Schema) -> str | None:
    alter, own = f"ALTER TABLE {_sql(identity.owner)}", identity.path[-1]
    name = identifier(own)
    if difference.expected is not None and difference.actual is not None:
        renamed = _sequence_renamed(difference.expected, difference.actual, expected, actual)
        if renamed is None:
            return _altered(alter, identity, difference.actual, difference.expected)
        old, new = renamed
        rename = f"ALTER SEQUENCE {old} RENAME TO {new.rpartition('.')[2]};"
        live = difference.actual.replace(f"nextval('{old}'", f"nextval('{new}'")
        altered = _altered(alter, identity, live, difference.expected) if live != difference.expected else None
        return "\n".join(filter(None, (rename, altered)))
    missing, extra = _columns_only_in(expected, actual, identity), _columns_only_in(actual, expected, identity)
    if difference.expected is None:
        if any(_may_be(extra[own], definition) for definition in missing.values()) and len(missing) == len(extra) == 1:
            return None  # it is shown where the other is missing
        why = f"{dotted(identity.path)} is not expected, and to drop it would lose what is in it:"
        return _commented(why, f"{alter} DROP COLUMN {name};")
    likely = [other for other, definition in extra.items() if _may_be(definition, difference.expected)]
    add = f"{alter} ADD COLUMN {name} {difference.expected};"
    if not likely:
        return None if "nextval(" in difference.expected else add  # the sequence went with the column
    renames = [f"{alter} RENAME COLUMN {identifier(other)} TO {name};" for other in likely]
    if len(missing) == len(extra) == 1:
        altered = _altered(alter, identity, extra[likely[0]], difference.expected)
        return f"{renames[0]}\n{altered}" if altered is not None else renames[0]
    why = f"{dotted(identity.path)} is missing, and may be one of these under another name:"
    return _commented(why, *renames, f"{add}   -- if it is none of them")


def _sequence_renamed(wanted: str, there: str, expected: Schema, actual: Schema) -> tuple[str, str] | None:
    """The live and the expected name of a column's sequence, where it is there under another name: its default follows."""
    new, old = _NEXTVAL.search(wanted), _NEXTVAL.search(there)
    if new is None or old is None or new[1] == old[1]:
        return None
    is_free = f"sequence {new[1]}" not in actual and f"sequence {old[1]}" not in expected
    return (old[1], new[1]) if is_free else None


def _somebodys(difference: Difference) -> str:
    return f"{difference.identity} is not expected; if nobody wants what somebody made there:"


def _commented(why: str, *statements: str) -> str:
    """Statements that only a person can say are right: pasted as they are, they do nothing."""
    return "\n".join(f"-- {line}" for statement in (why, *statements) for line in statement.splitlines())


def _altered(alter: str, identity: Identity, actual: str, expected: str) -> str | None:
    """What gives a column the expected definition; a comment where that would change what is in it."""
    had, gets = parse_column(actual), parse_column(expected)
    actions = _alterations(identifier(identity.path[-1]), gets, had)
    if not actions:
        return None
    statement = f"{alter} {', '.join(actions)};"
    lost = _lost(had.type, gets.type)
    if any(" DROP IDENTITY" in action for action in actions) and gets.is_identity:
        return _commented(
            f"{dotted(identity.path)} would begin at its first number again; set it afterwards:", statement
        )
    if lost is None:
        return statement
    return _commented(f"{dotted(identity.path)} is {had.type}; as {gets.type} {lost}:", statement)


def _may_be(actual: str, expected: str) -> bool:
    """Whether a column with one definition may be one with another, under another name."""
    had, gets = parse_column(actual), parse_column(expected)
    return had.is_computed == gets.is_computed and _is_convertible(had.type, gets.type)


def _columns_only_in(here: Schema, there: Schema, identity: Identity) -> dict[str, str]:
    """The columns of the table that only one side has, with their definitions."""
    prefix = f"column {dotted(identity.owner)}."
    return {
        parse(column).path[-1]: definition
        for column, definition in here.items()
        if column.startswith(prefix) and column not in there
    }


def _alterations(name: str, expected: Column, actual: Column) -> list[str] | None:
    """The actions of one ALTER TABLE, or None where that takes more than what it does without being told how."""
    if expected.is_computed or actual.is_computed:
        return None
    alter = f"ALTER COLUMN {name}"
    actions = []
    if actual.default is not None and expected.default != actual.default:
        actions.append(f"{alter} DROP DEFAULT")
    mode = _identity_mode(expected, actual)  # a new identity would begin at 1 again
    if mode is None and expected.generated != actual.generated and actual.generated is not None:
        actions.append(f"{alter} DROP IDENTITY")
    if (expected.type, expected.collation) != (actual.type, actual.collation):
        if not _is_convertible(actual.type, expected.type):
            return None
        collate = f" COLLATE {expected.collation}" if expected.collation else ""
        actions.append(f"{alter} TYPE {expected.type}{collate}")
    if expected.default is not None and expected.default != actual.default:
        actions.append(f"{alter} SET DEFAULT {expected.default}")
    if expected.not_null and not (actual.not_null and actual.validated):
        actions.append(f"{alter} SET NOT NULL")
    if actual.not_null and not expected.not_null:
        actions.append(f"{alter} DROP NOT NULL")
    if mode is not None:
        actions.append(f"{alter} SET GENERATED {mode}")
    elif expected.generated != actual.generated and expected.generated is not None:
        actions.append(f"{alter} ADD GENERATED {expected.generated}")
    return actions


def _identity_mode(expected: Column, actual: Column) -> str | None:
    """ALWAYS or BY DEFAULT, where two identities differ in nothing else."""
    wanted, _, options = (expected.generated or "").partition(" as identity")
    there, _, others = (actual.generated or "").partition(" as identity")
    return wanted.upper() if wanted and there and wanted != there and options == others else None


def _is_convertible(actual: str, expected: str) -> bool:
    families = [_family(kind)[0] for kind in (actual, expected)]
    return families[0] == families[1] or any(family.issuperset(families) for family in _CONVERTIBLE)


def _family(kind: str) -> tuple[str, tuple[int, ...]]:
    """A type without its modifiers, and those: ``numeric(10,2)`` is numeric and 10, 2."""
    found = re.search(r"\(([\d,-]+)\)", kind)
    return re.sub(r"\(.*?\)", "", kind), tuple(map(int, found[1].split(","))) if found else ()


def _lost(actual: str, expected: str) -> str | None:
    """What becomes of values that PostgreSQL changes in this conversion, as a sentence about "its"; None for nothing."""
    if _cuts(actual, expected):
        return "its values would be rounded or cut"
    had, gets = (_family(kind)[0] for kind in (actual, expected))
    if (had, gets) == ("json", "jsonb"):
        return "its values would lose their order, their blanks and all but the last of equal keys"
    moments = {"date", "timestamp without time zone", "timestamp with time zone"}
    if had != gets and moments.issuperset((had, gets)) and "timestamp with time zone" in {had, gets}:
        return "its values depend on the TimeZone of the session that converts them, which is to be set first"
    return None


def _cuts(actual: str, expected: str) -> bool:
    """Whether PostgreSQL rounds or cuts values in this conversion, and does not refuse those that do not fit."""
    (had, of), (gets, to) = _family(actual), _family(expected)
    if (had, of) == (gets, to):
        return False
    if gets in {"name", "date"}:
        return True
    if had in _INTEGERS:
        return gets in _FLOATS
    if had == "numeric":
        return gets != "numeric" or (bool(to) and (not of or to[-1] < of[-1]))
    if had in _FLOATS:
        return gets not in _FLOATS or gets == "real"
    if gets.startswith(("time", "interval")) and had != "date":
        return (to or (6,))[0] < (of or (6,))[0]  # digits of a second
    return False
