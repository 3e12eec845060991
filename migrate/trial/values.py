"""Tables, and values of every type for a few synthetic rows of each.

What a constraint means only the server knows, and it is asked: a row is proposed (`migrate.trial.row_plan`), the server names the rule that it
breaks, and the next proposal differs in the columns of that rule. Values that tests of checks are likely to want are
taken from the constants in the rules.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROWS: Final = 3
"""The first two are alike wherever they may be, the third is NULL wherever it may be."""

SEEDS: Final = 8  # different values of one type that are tried
# The seeds of a table: values of two tables differ, so that a revision may join, copy or unite them. A range takes two
# seeds for each of its own.
STRIDE: Final = 2 * SEEDS
_LONG_TEXT: Final = 300  # more than the usual VARCHAR(255), so that narrowing to it is seen
_LONGEST_TEXT: Final = 10_000
_LITERALS: Final = 24  # of one rule
# What checks of text are usually about: codes, numbers, dates, addresses.
_STOCK: Final = (
    "a", "A", "abc", "AB", "ABC", "abc-1", "a.b", "1", "12345", "2026-01-01", "a@example.org", "https://example.org/",
    "#a1b2c3", "+15550100", "123", "a1", "A1", "a_b", "12:00", "10.0.0.1", "{}", "",
)  # fmt: skip


class Shape(StrEnum):
    """How a type is made; a value's text follows from it."""

    SCALAR = "scalar"
    ENUM = "enum"
    DOMAIN = "domain"
    ARRAY = "array"
    RANGE = "range"
    MULTIRANGE = "multirange"
    COMPOSITE = "composite"


class Given(Enum):
    """What stands in a row instead of a value."""

    DEFAULT = "default"  # the column's default: a sequence, as a rule


Value = str | Given | None
"""A value as the text that its type reads; None is NULL."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type of a column.

    `name` is as `format_type` prints it without modifiers; `length` is in characters or bits (for other types the
    first modifier), `scale` counts digits; `parts` are an array's element, a domain's base type, a range's subtype or
    a composite's fields; `literals` are the constants in a domain's checks.
    """

    name: str
    shape: Shape = Shape.SCALAR
    length: int | None = None
    scale: int = 0
    labels: tuple[str, ...] = ()
    parts: tuple[Type, ...] = ()
    literals: tuple[str, ...] = ()

    @property
    def all_literals(self) -> tuple[str, ...]:
        """The constants of every domain in the type."""
        return (*self.literals, *(text for part in self.parts for text in part.all_literals))

    def holds(self, domain: str) -> bool:
        """Whether it is a domain of that name, or made of one."""
        own = self.shape is Shape.DOMAIN and self.name.rpartition(".")[2].strip('"') == domain
        return own or any(part.holds(domain) for part in self.parts)


@dataclass(frozen=True, slots=True)
class FilledColumn:
    """A column that can be written; `drawn`: its default takes the next value of a sequence.

    `read_as` are texts that come first: something is going to read them.
    """

    name: str
    type: Type
    nullable: bool = True
    has_default: bool = False
    drawn: bool = False
    read_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint or unique index: the columns that it is about, and the constants in it.

    `name` is None for a partitioned table's bounds, whose violation the server does not name. `is_check`: it may want
    values of a kind, whatever its constants are: `c = upper(c)`.
    """

    name: str | None
    columns: tuple[str, ...]
    literals: tuple[str, ...] = ()
    is_check: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key; `table` is the identity of the referenced table, `references` its columns in the same order."""

    name: str
    columns: tuple[str, ...]
    table: int
    references: tuple[str, ...]
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class FilledTable:
    """A table that gets rows; `id` is its identity (the OID), `name` is for people, `number` makes its values its own."""

    id: int
    name: str
    columns: tuple[FilledColumn, ...]
    rules: tuple[Constraint, ...] = ()
    foreign_keys: tuple[Reference, ...] = ()
    number: int = 0

    def column(self, name: str) -> FilledColumn | None:
        """The column, None where it cannot be written."""
        return next((column for column in self.columns if column.name == name), None)

    def may_be_null(self, key: Reference) -> bool:
        """Whether a row can do without what the key refers to (MATCH SIMPLE: one NULL suffices)."""
        return any((column := self.column(name)) is not None and column.nullable for name in key.columns)


Row = dict[str, str | None]
"""A row that is in the database, by column."""


# The order of tables


@dataclass(frozen=True, slots=True)
class FillOrder:
    """The tables in the order in which they are filled.

    `later` are keys that are NULL at first, because their table is filled afterwards; `reserved` those whose referenced
    row is promised and inserted before the transaction ends; `stuck` are tables that wait for each other for ever.
    """

    tables: tuple[FilledTable, ...]
    later: tuple[tuple[FilledTable, Reference], ...] = ()
    reserved: tuple[tuple[FilledTable, Reference], ...] = ()
    stuck: tuple[FilledTable, ...] = ()


def order(tables: Sequence[FilledTable], *, may_reserve: bool = True) -> FillOrder:
    """Referenced tables first; where they go round in a circle, nullable keys give way, then deferrable ones."""
    done: list[FilledTable] = []
    later: list[tuple[FilledTable, Reference]] = []
    reserved: list[tuple[FilledTable, Reference]] = []
    waiting = {table.id: table for table in tables}

    def unmet(table: FilledTable) -> list[Reference]:
        return [key for key in table.foreign_keys if key.table in waiting and key.table != table.id]

    def first(keep: Iterable[str]) -> FilledTable | None:
        kinds = frozenset(keep)
        return next((t for t in waiting.values() if all(kind(t, key) in kinds for key in unmet(t))), None)

    def kind(table: FilledTable, key: Reference) -> str:
        if table.may_be_null(key):
            return "nullable"
        return "deferrable" if key.deferrable and may_reserve else "hard"

    while True:
        chosen = first(()) or first(("nullable",)) or first(("nullable", "deferrable"))
        if chosen is None:
            return FillOrder(tuple(done), tuple(later), tuple(reserved), tuple(waiting.values()))
        for key in unmet(chosen):
            (later if kind(chosen, key) == "nullable" else reserved).append((chosen, key))
        del waiting[chosen.id]
        done.append(chosen)


# Values


def texts(type_: Type, seed: int) -> tuple[str, ...]:
    """The texts of a type's value of that number, from 0; of several, one is hopefully right (a type of an extension).

    Values of one type with different seeds differ where the type has so many. Texts are as long and numbers as large as
    the type allows within reason, so that they do not fit into a narrower type.
    """
    match type_.shape:
        case Shape.ENUM:
            labels = type_.labels
            return (labels[-1 - seed % STRIDE % len(labels)],) if labels else ()
        case Shape.DOMAIN:
            return texts(type_.parts[0], seed)
        case Shape.ARRAY:
            return tuple(f"{{{_quoted(text)}}}" for text in texts(type_.parts[0], seed))
        case Shape.RANGE:
            return tuple(_ranges(type_.parts[0], seed))
        case Shape.MULTIRANGE:
            return tuple(f"{{{text}}}" for text in _ranges(type_.parts[0], seed))
        case Shape.COMPOSITE:
            fields = [texts(part, seed) for part in type_.parts]
            return (f"({','.join(_quoted(found[0]) if found else '' for found in fields)})",)
        case _:
            return _scalar(type_, seed)


def _ranges(subtype: Type, seed: int) -> Iterator[str]:
    lower, upper = texts(subtype, 2 * seed), texts(subtype, 2 * seed + 1)
    for low, high in zip(lower, upper, strict=True):
        yield f"[{_quoted(low)},{_quoted(high)})"


def _quoted(text: str) -> str:
    """As an element of an array, a range or a composite."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


TEXT: Final = frozenset({"character varying", "character", "text", "name", '"char"', "citext"})
_NUMBERS: Final = frozenset(
    {"smallint", "integer", "bigint", "numeric", "real", "double precision", "money", "oid", "xid", "cid"}
)
_DAY: Final = dt.date(2026, 1, 1)


def _scalar(type_: Type, seed: int) -> tuple[str, ...]:
    name = type_.name
    if name in TEXT:
        return (_text(type_, seed),)
    if name == "numeric":
        return (_numeric(type_, seed),)
    if name in {"bit", "bit varying"}:
        width = min(type_.length or (1 if name == "bit" else 64), _LONGEST_TEXT)
        return (format(seed, "b").rjust(width, "0")[-width:],)
    # into the past from table to table: checks are of the kind "not in the future"
    day = _DAY + dt.timedelta(days=seed % STRIDE - STRIDE * (seed // STRIDE))
    number = seed + 1
    low, high = number & 0xFF, number >> 8 & 0xFF
    known = {
        "smallint": str(300 + seed % 32_000),
        "integer": str(70_000 + seed),
        "bigint": str(5_000_000_000 + seed),
        "real": f"{1_000_000 + seed}.5",
        "double precision": f"{12_345_678_901 + seed}.5",
        "money": f"{1000 + seed}.50",
        "boolean": "false" if seed % 2 else "true",
        "date": f"{day}",
        "timestamp without time zone": f"{day} 12:34:56.789",
        "timestamp with time zone": f"{day} 12:34:56.789+00",
        "time without time zone": f"12:{(34 + seed // 60) % 60:02}:{seed % 60:02}",
        "time with time zone": f"12:{(34 + seed // 60) % 60:02}:{seed % 60:02}+00",
        "interval": f"{seed + 1} days",
        "uuid": f"00000000-0000-4000-8000-{seed + 1:012x}",
        "json": f'{{"key": "value {seed}"}}',
        "jsonb": f'{{"key": "value {seed}"}}',
        "bytea": f"\\x{seed + 1:06x}",
        "inet": f"10.0.{high}.{low}",
        "cidr": f"10.0.{high}.{low}/32",
        "macaddr": f"08:00:2b:01:{high:02x}:{low:02x}",
        "macaddr8": f"08:00:2b:01:02:03:{high:02x}:{low:02x}",
        "oid": str(seed + 1),
        "xid": str(seed + 1),
        "cid": str(seed + 1),
        "pg_lsn": f"0/{seed + 1:X}",
        "pg_snapshot": f"{seed + 1}:{seed + 2}:",
        "txid_snapshot": f"{seed + 1}:{seed + 2}:",
        "xml": f"<a>{seed}</a>",
        "tsvector": f"a{seed}",
        "tsquery": f"a{seed}",
        "point": f"({seed},{seed})",
        "line": f"{{1,1,{seed}}}",
        "lseg": f"[({seed},0),({seed},1)]",
        "box": f"({seed + 1},1),({seed},0)",
        "path": f"[({seed},0),({seed},1)]",
        "polygon": f"(({seed},0),({seed},1),({seed + 1},0))",
        "circle": f"<({seed},0),1>",
        "regclass": "pg_class",
        "regtype": "integer",
        "hstore": f'"key"=>"value {seed}"',
        "ltree": f"a.b{seed}",
        "vector": f"[{','.join(['1'] * (type_.length or 3))}]",
        "halfvec": f"[{','.join(['1'] * (type_.length or 3))}]",
        "geometry": f"SRID=4326;POINT({seed} {seed})",
        "geography": f"POINT({seed} {seed})",
    }
    if name in known:
        return (known[name],)
    return (str(seed + 1), _letter(seed) * 3, "{}", f"({seed})", f"[{seed}]")


def _letter(seed: int) -> str:
    return chr(ord("a") + seed % 26)


def _text(type_: Type, seed: int) -> str:
    default = {"name": 60, '"char"': 1, "character": 1}.get(type_.name, _LONG_TEXT)
    length = min(type_.length if type_.length is not None else default, _LONGEST_TEXT)
    own = _letter(seed) + _letter(seed + seed // 26) + _letter(seed + seed // 676)
    return (own + _letter(seed) * length)[:length]


def _numeric(type_: Type, seed: int) -> str:
    if type_.length is None:
        return f"{12_345_678_901 + seed}.25"
    whole = type_.length - type_.scale
    if type_.scale < 0:
        return f"{_of_digits(type_.length, seed)}{'0' * -type_.scale}"
    if whole <= 0:
        return f"0.{'0' * -whole}{_of_digits(type_.length, seed)}" if type_.length > 0 else "0"
    number = str(_of_digits(whole, seed))
    return f"{number}.{'1' * type_.scale}" if type_.scale else number


def _of_digits(count: int, seed: int) -> int:
    """A number that needs all of its digits."""
    return int(10**count - 1 - seed % (9 * 10 ** (count - 1)))


# Constants of rules


def literals(definition: str) -> tuple[str, ...]:
    """The constants in a rule as PostgreSQL prints it: texts without quotation marks, numbers with their sign."""
    found = [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", definition)]
    outside = re.sub(r"'(?:[^']|'')*'", " ", definition)
    found += re.findall(r"(?<![\w.\"])-?\d+(?:\.\d+)?(?![\w\"])", outside)
    return tuple(dict.fromkeys(found))[:_LITERALS]


def wanted(type_: Type, constants: Iterable[str]) -> Iterator[str]:
    """Values of a type that a rule with these constants may want."""
    while type_.shape is Shape.DOMAIN:
        type_ = type_.parts[0]
    if type_.shape is Shape.ARRAY:
        for text in wanted(type_.parts[0], constants):
            yield f"{{{_quoted(text)}}}"
        yield "{}"
        return
    if type_.shape is not Shape.SCALAR:
        return
    constants = tuple(constants)
    if type_.name in TEXT:
        for constant in constants:
            yield constant
        for constant in constants:  # of a pattern: its lengths, and what it leaves open
            for length in re.findall(r"\{(\d{1,3})", constant):
                yield from (character * int(length) for character in "A1a")
            if "%" in constant:
                yield constant.replace("%", "a")
        for constant in constants:
            if constant.isdigit() and int(constant) <= _LONGEST_TEXT:
                lengths = (int(constant), int(constant) - 1, int(constant) + 1)
                yield from (character * length for character in "aA1" for length in lengths)
        yield from _STOCK
    elif type_.name in _NUMBERS:
        for constant in constants:
            if re.fullmatch(r"-?\d+(?:\.\d+)?", constant):
                yield constant
                if "." not in constant:
                    yield from (str(int(constant) + 1), str(int(constant) - 1))
        yield from ("1", "0", "0.5", "-1") if type_.name not in {"smallint", "integer", "bigint"} else ("1", "0", "-1")
    else:
        yield from constants
        if type_.name.startswith(("date", "timestamp")):
            yield from _neighbours(constants)


def _neighbours(constants: Iterable[str]) -> Iterator[str]:
    for constant in constants:
        found = re.match(r"\d{4}-\d\d-\d\d", constant)
        if found is None:
            continue
        try:
            day = dt.date.fromisoformat(found[0])
        except ValueError:
            continue
        yield from (str(day + dt.timedelta(days=1)), str(day - dt.timedelta(days=1)))
