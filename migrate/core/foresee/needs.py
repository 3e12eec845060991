"""Needs: what the rows of a table must be like for a revision to pass, each as one line, and as questions in SQL.

| line | asked of |
|---|---|
| `no NULL in T.c` | SET NOT NULL, a primary key |
| `no row in T (c is not null and has no default)` | a new column |
| `no duplicates of T (a, b) where (…)` | a unique key |
| `every row of T fulfils CHECK (…)`, `every value of T.c fulfils CHECK (…)` | a CHECK of a table, of a domain |
| `every T (a) has its parent in P (id)` | a foreign key |
| `no overlap in T for EXCLUDE USING gist (…)` | an exclusion |
| `every value of T.c fits integer` | a type that not every value converts to; an enum's labels follow it |
| `no row of T.c uses enum label 'x'` | a label that goes |

`not proven: ` before a line: the revision was not seen to fail on such rows, or may mend them in production. Names are
relative to the default schema and written as in identities; definitions are as the catalog prints them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from migrate.core.quoting import identifier
from migrate.core.schema.differences import parse, parse_labels
from migrate.core.schema.expressions import inside, parts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@dataclass(frozen=True, slots=True)
class NoNull:
    """Every row has a value in the column."""

    table: str
    column: str


@dataclass(frozen=True, slots=True)
class NoRow:
    """The table is empty: the column is new, takes no NULL, and nothing says what the rows have in it."""

    table: str
    column: str


@dataclass(frozen=True, slots=True)
class NoDuplicates:
    """No two rows have the same key, of those that `where` is about; the key is printed as an index prints it."""

    table: str
    key: str
    where: str = ""  # with its parentheses
    nulls_are_equal: bool = False


@dataclass(frozen=True, slots=True)
class Fulfils:
    """Every row fulfils the expression (in its parentheses); of a domain's, every value of a column, which is VALUE in it."""

    table: str
    check: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class HasParent:
    """Every value that is not NULL is in the other table. The columns are as the constraint prints them."""

    table: str
    columns: str
    parent: str
    references: str


@dataclass(frozen=True, slots=True)
class NoOverlap:
    """No two rows exclude each other: what follows EXCLUDE in the constraint's definition, up to its predicate."""

    table: str
    exclude: str


@dataclass(frozen=True, slots=True)
class Fits:
    """Every value is one of the type's; `labels` are those of an enum, whose type may not be there yet."""

    table: str
    column: str
    type: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoLabel:
    """No row has this label of the column's enum."""

    table: str
    column: str
    label: str


Condition = NoNull | NoRow | NoDuplicates | Fulfils | HasParent | NoOverlap | Fits | NoLabel


@dataclass(frozen=True, slots=True)
class Need:
    """A condition that the rows must fulfil; proven where the revision was seen to fail without."""

    condition: Condition
    proven: bool


_NOT_PROVEN: Final = "not proven: "
_NAME: Final = r'(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")'
_TABLE: Final = rf"(?P<table>{_NAME}(?:\.{_NAME})??)"
_COLUMN: Final = rf"{_TABLE}\.(?P<column>{_NAME})"
_PARENT: Final = rf"(?P<parent>{_NAME}(?:\.{_NAME})?)"
_LIST: Final = rf"{_NAME}(?:, {_NAME})*"
_LABEL: Final = r"'(?:[^']|'')*'"
_TYPE: Final = r'(?:[^:"]|"[^"]*")+?'  # two quotes in one: two names without anything between them
_Found = Mapping[str, str]
_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[_Found], Condition]], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), made)
    for pattern, made in (
        (rf"no NULL in {_COLUMN}", lambda found: NoNull(found["table"], found["column"])),
        (
            rf"no row in {_TABLE} \((?P<column>{_NAME}) is not null and has no default\)",
            lambda found: NoRow(found["table"], found["column"]),
        ),
        (
            rf"no duplicates of {_TABLE} (?P<rest>\(.+\)(?: nulls not distinct)?)",
            lambda found: _duplicates(found["table"], found["rest"]),
        ),
        (
            rf"every row of {_TABLE} fulfils CHECK (?P<check>\(.+\))",
            lambda found: Fulfils(found["table"], found["check"]),
        ),
        (
            rf"every value of {_COLUMN} fulfils CHECK (?P<check>\(.+\))",
            lambda found: Fulfils(found["table"], found["check"], found["column"]),
        ),
        (
            rf"every {_TABLE} \((?P<columns>{_LIST})\) has its parent in {_PARENT} \((?P<references>{_LIST})\)",
            lambda found: HasParent(found["table"], found["columns"], found["parent"], found["references"]),
        ),
        (
            rf"no overlap in {_TABLE} for EXCLUDE (?P<exclude>.+)",
            lambda found: NoOverlap(found["table"], found["exclude"]),
        ),
        (
            rf"every value of {_COLUMN} fits (?P<type>{_TYPE})(?:: (?P<labels>{_LABEL}(?:, {_LABEL})*))?",
            lambda found: Fits(found["table"], found["column"], found["type"], parse_labels(found["labels"] or "")),
        ),
        (
            rf"no row of {_COLUMN} uses enum label (?P<label>{_LABEL})",
            lambda found: NoLabel(found["table"], found["column"], parse_labels(found["label"])[0]),
        ),
    )
)


class NeedError(ValueError):
    """The text is no line of needs."""


def line(need: Need) -> str:
    """The need as a line of the manifest."""
    return f"{'' if need.proven else _NOT_PROVEN}{said(need.condition)}"


def said(condition: Condition) -> str:
    """The condition as it stands in the line."""
    match condition:
        case NoNull(table, column):
            return f"no NULL in {table}.{column}"
        case NoRow(table, column):
            return f"no row in {table} ({column} is not null and has no default)"
        case NoDuplicates(table, key, where, nulls_are_equal):
            equal = " nulls not distinct" if nulls_are_equal else ""
            return f"no duplicates of {table} ({key}){equal}{f' where {where}' if where else ''}"
        case Fulfils(table, check, column):
            return f"every {f'value of {table}.{column}' if column else f'row of {table}'} fulfils CHECK {check}"
        case HasParent(table, columns, parent, references):
            return f"every {table} ({columns}) has its parent in {parent} ({references})"
        case NoOverlap(table, exclude):
            return f"no overlap in {table} for EXCLUDE {exclude}"
        case Fits(table, column, type_, labels):
            listed = f": {', '.join(map(_literal, labels))}" if labels else ""
            return f"every value of {table}.{column} fits {type_}{listed}"
        case NoLabel(table, column, label):
            return f"no row of {table}.{column} uses enum label {_literal(label)}"
        case _:
            assert_never(condition)


def read(text: str) -> Need:
    """The need of a line. Raises NeedError."""
    bare = text.removeprefix(_NOT_PROVEN)
    for pattern, made in _FORMS:
        found = pattern.fullmatch(bare)
        if found is not None:
            need = Need(made(found.groupdict()), proven=bare == text)
            if line(need) == text and _is_whole(need.condition):
                return need
    raise NeedError(f"not a line of needs: {text}")


def _duplicates(table: str, text: str) -> NoDuplicates:
    key, rest = inside(text)
    equal, _, where = rest.partition(" where ")
    return NoDuplicates(table, key, where, equal == " nulls not distinct")


def canonical(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each condition once, by table; proven where either is."""
    found: dict[Condition, Need] = {}
    for need in needs:
        known = found.get(need.condition)
        found[need.condition] = need if known is None or need.proven else known
    return tuple(sorted(found.values(), key=lambda need: (need.condition.table, said(need.condition))))


# What stands in questions, as PostgreSQL prints expressions: an escape makes it E'', and it doubles every quote.
_TOKEN: Final = re.compile(r"""E'(?:[^'\\]|\\[^']|'')*'|'(?:[^'\\]|'')*'|"(?:[^"]|"")*"|[^\W\d][\w$]*|--|/\*|[\s\S]""")
_NEVER: Final = frozenset({"'", '"', ";", "$", "--", "/*", "\\", "\0"})
_OPERATOR: Final = re.compile(r"[-+*/<>=~!@#%^&|`?]+|OPERATOR\([\w.\"]+[-+*/<>=~!@#%^&|`?]+\)")
_METHOD: Final = re.compile(rf"(?:USING {_NAME} )?(?=\()")
_BEHIND: Final = re.compile(r"(?: INCLUDE \(.*\))?(?: WITH \(.*\))?(?: WHERE (?P<where>\(.*\)))?", re.DOTALL)


def _is_closed(text: str) -> bool:
    """Whether nothing in it can end the expression or the statement that it is put into."""
    depth: list[str] = []
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word in _NEVER:
            return False
        if word in "([":
            depth.append(")" if word == "(" else "]")
        elif word in ")]" and (not depth or depth.pop() != word):
            return False
    return not depth


def _is_one(text: str) -> bool:
    """Whether it is one expression in its parentheses."""
    between, rest = inside(text)
    return text.startswith("(") and bool(between.strip()) and not rest and _is_closed(text)


def _is_whole(condition: Condition) -> bool:
    """Whether its texts are expressions and lists, each whole: a manifest may have been edited by hand."""
    match condition:
        case NoDuplicates(key=key, where=where):
            return _is_closed(key) and all(parts(key)) and (not where or _is_one(where))
        case Fulfils(check=check):
            return _is_one(check)
        case HasParent(columns=columns, references=references):
            return len(parts(columns)) == len(parts(references))
        case NoOverlap(exclude=exclude):
            listed, rest = inside(exclude)
            behind = _BEHIND.fullmatch(rest)
            if not _is_closed(exclude) or _METHOD.match(exclude) is None or behind is None:
                return False
            pairs = [each.rpartition(" WITH ") for each in parts(listed)]
            return all(element and _OPERATOR.fullmatch(operator) for element, _, operator in pairs) and (
                not behind["where"] or _is_one(behind["where"])
            )
        case Fits(type=type_):
            return _is_closed(type_)
        case NoNull() | NoRow() | NoLabel():
            return True
        case _:
            assert_never(condition)


# Questions


def question(condition: Condition, *, schema: str, postgres: int, only: Collection[str] = ()) -> str | None:
    """The SELECT that gives a row where the condition does not hold, and stops there; None where none can be made.

    It wants `schema`, the default one, first in `search_path`: definitions have names relative to it. `postgres` is the
    server's major version. ``only``: the tables that have children which keys and constraints are not about. It only reads.
    """
    found = _offending(condition, schema, postgres, only)
    return f"SELECT 1 {found} LIMIT 1" if found is not None else None


def count(condition: Condition, *, schema: str, postgres: int, up_to: int, only: Collection[str] = ()) -> str | None:
    """The SELECT of how many rows (of duplicates: keys) are against the condition, counted no further than `up_to`."""
    found = _offending(condition, schema, postgres, only)
    return f"SELECT count(*) FROM (SELECT 1 {found} LIMIT {up_to}) AS found" if found is not None else None


def showing(condition: Condition, *, schema: str, postgres: int, only: Collection[str] = ()) -> str | None:
    """The SELECT that a person runs to see the rows."""
    found = _offending(condition, schema, postgres, only)
    if found is None:
        return None
    match condition:
        case NoDuplicates(key=key):
            shown = ", ".join([*_elements(key), "count(*)"])
        case NoOverlap():
            shown = "one.place AS one, other.place AS other"
        case _:
            shown = "*"
    return f"SELECT {shown} {found}"


def _offending(condition: Condition, schema: str, postgres: int, only: Collection[str]) -> str | None:
    """What a SELECT of the rows that are against the condition has after its list."""
    table = _table(condition.table, schema)
    alone = f"ONLY {table}" if condition.table in only else table
    match condition:
        case NoNull(column=column):
            return f"FROM {table} WHERE {_sql(column)} IS NULL"
        case NoRow():
            return f"FROM {table}"
        case NoDuplicates(key=key, where=where, nulls_are_equal=nulls_are_equal):
            elements = _elements(key)
            rules = [where] if where else []
            rules += [] if nulls_are_equal else [f"{element} IS NOT NULL" for element in elements]
            filtered = f" WHERE {' AND '.join(rules)}" if rules else ""
            return f"FROM {alone}{filtered} GROUP BY {', '.join(elements)} HAVING count(*) > 1"
        case Fulfils(check=check, column=column):
            return f"FROM {table} WHERE NOT {_of_value(check, _sql(column)) if column else check}"
        case HasParent(columns=columns, parent=parent, references=references):
            own, others = ([_sql(each) for each in parts(listed)] for listed in (columns, references))
            rules = [f"child.{column} IS NOT NULL" for column in own]
            pairs = [f"parent.{other} = child.{column}" for column, other in zip(own, others, strict=True)]
            among = f"{'ONLY ' if parent in only else ''}{_table(parent, schema)}"
            inner = f"SELECT FROM {among} AS parent WHERE {' AND '.join(pairs)}"
            return f"FROM {alone} AS child WHERE {' AND '.join(rules)} AND NOT EXISTS ({inner})"
        case NoOverlap(exclude=exclude):
            return _overlapping(alone, exclude)
        case Fits(column=column, type=type_, labels=labels):
            misfit = _misfit(_sql(column), type_, labels, postgres)
            return f"FROM {table} WHERE {misfit}" if misfit is not None else None
        case NoLabel(column=column, label=label):
            return f"FROM {table} WHERE {_sql(column)}::text = {_literal(label)}"
        case _:
            assert_never(condition)


def _overlapping(table: str, exclude: str) -> str:
    listed, rest = inside(exclude)
    shown, compared = [], ["one.place <> other.place"]
    for at, each in enumerate(parts(listed)):
        element, _, operator = each.rpartition(" WITH ")
        shown.append(f"{_element(element)} AS part{at}")
        compared.append(f"one.part{at} {operator} other.part{at}")
    where = rest.partition(" WHERE ")[2]
    rows = (
        f"(SELECT (tableoid, ctid)::text AS place, {', '.join(shown)} FROM {table}{f' WHERE {where}' if where else ''})"
    )
    return f"FROM {rows} AS one, {rows} AS other WHERE {' AND '.join(compared)}"


_SIZED: Final = re.compile(r"(character varying|character|numeric|bit varying|bit)\((\d+)(?:,(-?\d+))?\)")
_INTEGERS: Final = {"smallint": 15, "integer": 31, "bigint": 63}
_VALID_INPUT_SINCE: Final = 16  # pg_input_is_valid


def _misfit(column: str, type_: str, labels: tuple[str, ...], postgres: int) -> str | None:
    """What holds for a value that the type does not take."""
    if labels:
        return f"{column}::text NOT IN ({', '.join(map(_literal, labels))})"
    sized = _SIZED.fullmatch(type_)
    if sized is not None and sized[1].startswith("character"):
        # blanks beyond the length are cut off without a word
        return f"length(rtrim({column}::text, ' ')) > {sized[2]}"
    if sized is not None and sized[1] == "numeric":
        scale = int(sized[3] or 0)
        too_large = f"abs(round({column}::text::numeric, {scale})) >= 1e{int(sized[2]) - scale}::numeric"
        number = f"{column}::text <> 'NaN' AND {_unless_number(column, too_large)}"
        return _of_text(column, type_, number, postgres)
    if type_ in _INTEGERS:
        limit = 2 ** _INTEGERS[type_]
        number = _unless_number(column, f"round({column}::text::numeric) NOT BETWEEN {-limit} AND {limit - 1}")
        return _of_text(column, type_, number, postgres)
    if postgres >= _VALID_INPUT_SINCE:
        return f"NOT pg_catalog.pg_input_is_valid({column}::text, {_literal(type_)})"
    return None


def _of_text(column: str, type_: str, otherwise: str, postgres: int) -> str:
    """A text is read as the type reads it, where the server can be asked; a number is rounded."""
    if postgres < _VALID_INPUT_SINCE:
        return otherwise
    texts = "'text'::regtype, 'character varying'::regtype, 'character'::regtype"
    is_misfit = f"NOT pg_catalog.pg_input_is_valid({column}::text, {_literal(type_)})"
    return f"CASE WHEN pg_catalog.pg_typeof({column}) IN ({texts}) THEN {is_misfit} ELSE {otherwise} END"


def _unless_number(column: str, misfit: str) -> str:
    """True for what is no number, `misfit` for what is; a number is read as the widest one, which takes any."""
    return (
        rf"CASE WHEN {column}::text !~ '^\s*[-+]?\d{{1,99}}(\.\d*)?(e[-+]?\d{{1,3}})?\s*$' THEN true ELSE {misfit} END"
    )


def _of_value(check: str, column: str) -> str:
    """A domain's check, about a column."""
    return _QUOTED_OR_VALUE.sub(lambda found: column if found[0] == "VALUE" else found[0], check)


_QUOTED_OR_VALUE: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\bVALUE\b""")
_ELEMENT: Final = re.compile(
    r"""(?P<bare>(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\s"'()])*)(?P<more>.*)""", re.DOTALL | re.VERBOSE
)
_COLLATE: Final = re.compile(rf"^ COLLATE {_NAME}(?:\.{_NAME})?")


def _elements(key: str) -> list[str]:
    """The parts of a key, without what only an index has: operator class, direction."""
    return [_element(part) for part in parts(key)]


def _element(text: str) -> str:
    """One part of a key: a column, a call, or an expression in parentheses, with its collation."""
    found = _ELEMENT.match(text)
    assert found is not None  # it matches nothing, too
    bare, more = found["bare"], found["more"]
    if more.startswith("("):
        between, more = inside(more)
        bare = f"{bare}({between})"
    collation = _COLLATE.match(more)
    return f"{_sql(bare) if _PLAIN.fullmatch(bare) else bare}{collation[0] if collation else ''}"


_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")


def _table(path: str, schema: str) -> str:
    """A table with its schema, as SQL writes it."""
    names = parse(f"table {path}").path
    return ".".join(map(identifier, names if len(names) > 1 else (schema, *names)))


def _sql(column: str) -> str:
    """A column's name as SQL writes it, whether or not it was quoted."""
    return column if column.startswith('"') else identifier(column)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
