"""What an expression, as PostgreSQL prints it, comes to where some of its columns are known; no more than can be proven.

A program that does not know a column leaves it NULL, or lets its default fill in. Whether a CHECK, a predicate or a key
of an index can then refuse the program's row is a matter of SQL's logic of three values. What is not understood here
may be anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import TYPE_CHECKING, Final

from migrate.core.schema.differences import name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Constant = bool | int | str | None


class Nullness(Enum):
    """What is known of a value that is no constant."""

    ANY = "any"  # NULL, too
    SOME = "some"  # not NULL


@dataclass(frozen=True, slots=True)
class Items:
    """An array of values; it is not NULL, and not empty."""

    values: tuple[frozenset[Constant] | Nullness, ...]


Value = frozenset[Constant] | Nullness | Items
"""The constants that it may be (None is NULL), or what is known of it."""

NULL: Final[Value] = frozenset({None})
ANY, SOME = Nullness.ANY, Nullness.SOME
_EITHER: Final[frozenset[Constant]] = frozenset({True, False})

TYPE: Final = (
    r"(?:character[ ]varying|double[ ]precision|bit[ ]varying|time(?:stamp)?(?:\(\d+\))?[ ]with(?:out)?[ ]time[ ]zone"
    r'|(?:"(?:[^"]|"")*"|\w+)(?:\.(?:"(?:[^"]|"")*"|\w+))*)(?:\([\d,]+\))?(?:\[\])*'
)
_TOKEN: Final = re.compile(
    rf"""\s*(?:(?P<cast>::{TYPE})|(?P<text>E?'(?:[^']|'')*')|(?P<number>\d+(?:\.\d+)?)
    |(?P<name>(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)(?:\.(?:"(?:[^"]|"")*"|[^\W\d][\w$]*))*)
    |(?P<sign>[(),\[\]])|(?P<operator>[-+*/<>=~!@\#%^&|`?]+))""",
    re.VERBOSE,
)
# Of PostgreSQL's own functions, those that are NULL where one of their arguments is.
_STRICT_NAMES: Final = """
    abs array_length ascii btrim cardinality ceil char_length character_length date date_part date_trunc decode encode
    extract family floor host initcap isempty json_array_length json_typeof jsonb_array_length jsonb_typeof left length
    lower ltrim masklen md5 mod octet_length overlay position regexp_replace repeat replace reverse right round rtrim
    sha256 split_part starts_with strpos substr substring timezone to_jsonb translate trim trunc upper
"""
_STRICT: Final = frozenset(_STRICT_NAMES.split())
_WORDED: Final = frozenset(
    {"extract", "overlay", "position", "substring", "trim"}
)  # with words between their arguments
_BETWEEN: Final = frozenset({"BOTH", "LEADING", "TRAILING", "FROM", "FOR", "IN", "PLACING"})
_COMPARED: Final[dict[str, Callable[[int, int], bool | int]]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
}
_EQUALITIES: Final = frozenset({"=", "<>"})
_COMPARISONS: Final = frozenset({"=", "<>", "<", ">", "<=", ">="})


class _Unclear(Exception):  # noqa: N818 - a finding
    """The text is nothing that is understood here."""


def evaluate(text: str, columns: Mapping[str, Value]) -> Value:
    """What the expression comes to; columns that are not given may be anything."""
    try:
        reader = _Reader(text, columns)
        value = reader.alternatives()
        reader.expect_end()
    except _Unclear:
        return ANY
    return value


def evaluate_first(text: str, columns: Mapping[str, Value]) -> Value:
    """The same for a part of an index, behind which its collation, operators and direction may stand."""
    try:
        return _Reader(text, columns).primary()
    except _Unclear:
        return ANY


def truth(value: Value) -> frozenset[Constant]:
    """What a condition may be: true, false, or NULL."""
    match value:
        case Nullness.ANY:
            return _EITHER | {None}
        case frozenset():
            return value
        case _:
            return _EITHER


def inside(text: str) -> tuple[str, str]:
    """What stands between the first parenthesis and the one that closes it, and what comes after; empty without one."""
    begins = text.find("(")
    depth = 0
    for found in _QUOTED_OR_SIGN.finditer(text, max(begins, 0)):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0 and begins >= 0:
            return text[begins + 1 : found.start()], text[found.end() :]
    return "", ""


def parts(text: str) -> list[str]:
    """The text divided at its commas, but for those in parentheses or quotes."""
    found, begins, depth = [], 0, 0
    for sign in _QUOTED_OR_SIGN.finditer(text):
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(sign[0], 0)
        if sign[0] == "," and depth == 0:
            found.append(text[begins : sign.start()].strip())
            begins = sign.end()
    return [*found, text[begins:].strip()]


_QUOTED_OR_SIGN: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[(),\[\]]""")


class _Reader:
    """Reads one expression; PostgreSQL prints parentheses around everything but what has the tightest binding."""

    def __init__(self, text: str, columns: Mapping[str, Value]) -> None:
        self._columns = columns
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while found := _TOKEN.match(text, at):
            kind = str(found.lastgroup)
            self._tokens.append((kind, found[kind]))
            at = found.end()
        if text[at:].strip():
            raise _Unclear
        self._tokens.append(("end", ""))
        self._at = 0

    def expect_end(self) -> None:
        if self._tokens[self._at][0] != "end":
            raise _Unclear

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        if token[0] == "end":
            raise _Unclear
        self._at += 1
        return token

    def _takes(self, *words: str) -> bool:
        """Whether these come next; they are read."""
        ahead = [text for _, text in self._tokens[self._at : self._at + len(words)]]
        if ahead != list(words):
            return False
        self._at += len(words)
        return True

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise _Unclear

    def alternatives(self) -> Value:
        value = self._conditions()
        while self._takes("OR"):
            value = _not(_and(_not(value), _not(self._conditions())))
        return value

    def _conditions(self) -> Value:
        value = self._condition()
        while self._takes("AND"):
            value = _and(value, self._condition())
        return value

    def _condition(self) -> Value:
        if self._takes("NOT"):
            return _not(self._condition())
        value = self._operand()
        while True:
            kind, text = self._tokens[self._at]
            if kind == "operator":
                self._at += 1
                value = self._compared(value, text)
            elif self._takes("IS"):
                value = self._is(value)
            elif self._takes("COLLATE"):
                self._next()
            elif self._takes("AT", "TIME", "ZONE"):
                value = _strict([value, self._operand()])
            else:
                return value

    def _compared(self, value: Value, operator: str) -> Value:
        for word in ("ANY", "ALL"):
            if self._takes(word, "("):
                others = self.alternatives()
                self._expect(")")
                return _quantified(value, operator, word, others)
        return _binary(value, operator, self._operand())

    def _is(self, value: Value) -> Value:
        is_not = self._takes("NOT")
        if self._takes("DISTINCT", "FROM"):
            found = _distinct(value, self._operand())
        elif self._takes("NULL"):
            found = _is_null(value)
        else:
            word = self._next()[1]
            wanted = {"TRUE": True, "FALSE": False, "UNKNOWN": None}
            if word not in wanted:
                raise _Unclear
            found = frozenset(one is wanted[word] for one in truth(value))
        return _not(found) if is_not else found

    def _operand(self) -> Value:
        if self._tokens[self._at][0] == "operator":
            self._at += 1
            return _strict([self._operand()])
        return self.primary()

    def primary(self) -> Value:
        kind, text = self._next()
        match kind:
            case "text":
                value: Value = ANY if text[0] == "E" else frozenset({text[1:-1].replace("''", "'")})
            case "number":
                value = SOME if "." in text else frozenset({int(text)})
            case "name":
                value = self._named(text)
            case _ if text == "(":
                value = self.alternatives()
                self._expect(")")
            case _:
                raise _Unclear
        while True:
            kind, text = self._tokens[self._at]
            if kind == "cast":
                self._at += 1
                value = _cast(value, text[2:])
            elif self._takes("["):
                self._list("]")
                value = NULL if value == NULL else ANY
            else:
                return value

    def _named(self, word: str) -> Value:
        constants: dict[str, Value] = {"NULL": NULL, "true": frozenset({True}), "false": frozenset({False})}
        if word in constants:
            return constants[word]
        if word == "CASE":
            return self._case()
        if word == "ARRAY" and self._takes("["):
            values = self._list("]")
            plain = tuple(value if not isinstance(value, Items) else SOME for value in values)
            return Items(plain) if plain else SOME
        if self._takes("("):
            return self._called(word.lower().removeprefix("pg_catalog.").strip('"'))
        if word.isupper():  # a word of SQL's, such as CURRENT_USER: a column's name in capitals is quoted
            return ANY
        return self._columns.get(name(word[1:-1].replace('""', '"') if word[0] == '"' else word), ANY)

    def _case(self) -> Value:
        depth = 1
        while depth:
            depth += {"CASE": 1, "END": -1}.get(self._next()[1], 0)
        return ANY

    def _called(self, function: str) -> Value:
        if function in _WORDED:
            if function == "extract":
                self._next()
            arguments = self._list(")", _BETWEEN)
        else:
            arguments = self._list(")")
        match function:
            case "coalesce":
                return _first_of(arguments)
            case "nullif":
                return NULL if arguments[:1] == [NULL] else ANY
            case "greatest" | "least":
                return NULL if all(one == NULL for one in arguments) else ANY
            case "num_nulls" | "num_nonnulls":
                counted = [_is_null(one) for one in arguments]
                if any(len(one) != 1 for one in counted):
                    return SOME
                nulls = sum(True in one for one in counted)
                return frozenset({nulls if function == "num_nulls" else len(arguments) - nulls})
            case _ if function in _STRICT:
                return _strict(arguments)
            case _:
                return ANY

    def _list(self, closing: str, words: frozenset[str] = frozenset()) -> list[Value]:
        values: list[Value] = []
        is_parted = True
        while not self._takes(closing):
            if self._tokens[self._at][1] in {",", *words}:
                self._at += 1
                is_parted = True
            elif is_parted:
                values.append(self.alternatives())
                is_parted = False
            else:
                raise _Unclear
        return values


def _not(value: Value) -> frozenset[Constant]:
    return frozenset(None if one is None else not one for one in truth(value))


def _and(one: Value, other: Value) -> frozenset[Constant]:
    return frozenset(
        False if False in pair else None if None in pair else True for pair in product(truth(one), truth(other))
    )


def _is_null(value: Value) -> frozenset[Constant]:
    match value:
        case Nullness.ANY:
            return _EITHER
        case frozenset():
            return frozenset(one is None for one in value)
        case _:
            return frozenset({False})


def _may_be_null(value: Value) -> bool:
    return True in _is_null(value)


def _strict(arguments: Iterable[Value]) -> Value:
    return NULL if NULL in list(arguments) else ANY


def _first_of(arguments: Iterable[Value]) -> Value:
    found: set[Constant] = set()
    is_open = False
    for value in arguments:
        match value:
            case frozenset():
                found |= value - {None}
            case _:
                is_open = True
        if not _may_be_null(value):
            return SOME if is_open else frozenset(found)
    return ANY if is_open else frozenset({*found, None})


def _cast(value: Value, type_: str) -> Value:
    if value == NULL or isinstance(value, Items):
        return value
    if not isinstance(value, frozenset):
        return value if value is ANY else SOME
    if type_ in {"text", "character varying"}:
        return value if all(isinstance(one, str | None) for one in value) else SOME
    try:
        if type_ in {"integer", "bigint", "smallint"}:
            return frozenset(None if one is None else int(one) for one in value)
        if type_ == "numeric" and all(isinstance(one, int) for one in value):
            return value
    except ValueError:
        raise _Unclear from None
    return SOME if None not in value else ANY


def _binary(one: Value, operator: str, other: Value) -> Value:
    if operator == "||":  # an array takes a NULL for an element
        return ANY
    if NULL in (one, other):
        return NULL
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        found = [_computed(first, operator, second) for first, second in product(one, other)]
        if Nullness.ANY not in found:
            return frozenset(result for result in found if not isinstance(result, Nullness))
    return SOME if operator in _COMPARISONS and not (_may_be_null(one) or _may_be_null(other)) else ANY


def _computed(one: Constant, operator: str, other: Constant) -> Constant | Nullness:
    if one is None or other is None:
        return None
    if isinstance(one, str) != isinstance(other, str) or isinstance(one, bool) != isinstance(other, bool):
        return ANY
    if isinstance(one, str | bool):
        if operator not in _EQUALITIES:
            return ANY
        return (one == other) is (operator == "=")
    compute = _COMPARED.get(operator)
    return ANY if compute is None else compute(one, int(other))


def _quantified(value: Value, operator: str, word: str, others: Value) -> Value:
    if not isinstance(others, Items):
        # of an empty array nothing is true for one, and everything for all
        return frozenset({None, word == "ALL"}) if value == NULL and others != NULL else _strict([others])
    each = [truth(_binary(value, operator, other)) for other in others.values]
    if word == "ANY":
        each = [_not(one) for one in each]
    found: frozenset[Constant] = frozenset({True})
    for one in each:
        found = _and(found, one)
    return _not(found) if word == "ANY" else found


def _distinct(one: Value, other: Value) -> frozenset[Constant]:
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        if one == other == NULL:
            return frozenset({False})
        if (one == NULL and None not in other) or (other == NULL and None not in one):
            return frozenset({True})
    elif NULL in (one, other) and not (_may_be_null(one) and _may_be_null(other)):
        return frozenset({True})
    return _EITHER
