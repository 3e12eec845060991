"""Whether one CHECK refuses nothing that others did not: proven for what compares a single column with constants.

The truth of such an expression changes only at its constants. So it is enough to try the constants, one value between
each two of them, one on either side, and NULL. Of types that are no plain numbers or texts it is not known which
constants are equal: there it is proven only that a list of values has all those of another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from migrate.core.schema.differences import name
from migrate.core.schema.expressions import TYPE, evaluate, truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOMAIN_VALUE: Final = "VALUE"  # what a domain's CHECK calls the value

_NUMBERS: Final = frozenset(
    {"smallint", "integer", "bigint", "numeric", "double precision"}
)  # not real: 0.1::real is another number
_TEXTS: Final = frozenset({"text", "character varying"})
_CAST: Final = rf"(?:::{TYPE})?"
_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_NAME: Final = r'(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*|VALUE\b)'
_TOKEN: Final = re.compile(
    rf"""\s*(?:(?P<number>'{_NUMBER}'{_CAST}|\({_NUMBER}\){_CAST}|\d+(?:\.\d+)?)
    |(?P<text>\('(?:[^']|'')*'{_CAST}\){_CAST}|'(?:[^']|'')*'{_CAST})
    |(?P<column>\({_NAME}\)::{TYPE}|{_NAME})
    |(?P<order><=|>=|<(?!>)|>)|(?P<equal>=|[(),\]]|ARRAY\[|\b(?:OR|ANY)\b|\bIS[ ](?:NOT[ ])?NULL\b)
    |(?P<word><>|\b(?:AND|NOT)\b))""",
    re.VERBOSE,
)

_CAST_ARRAY: Final = re.compile(r"\((ARRAY\[(?:[^\]']|'(?:[^']|'')*')*\])\)::(?:text|character varying)\[\]")
_COLUMN: Final = "x"  # what the column is called once it is the only one


@dataclass(frozen=True, slots=True)
class _Comparison:
    """An expression taken apart: words as they stand, and the constants in it."""

    tokens: tuple[str | Decimal | tuple[str], ...]  # a text constant is a tuple of one

    def constants(self) -> set[Decimal | tuple[str]]:
        return {token for token in self.tokens if not isinstance(token, str)}

    def with_ranks(self, rank_of: Callable[[Decimal | tuple[str]], int]) -> str:
        return " ".join(token if isinstance(token, str) else str(rank_of(token)) for token in self.tokens)


def implies(given: Iterable[str], wanted: str, column: str, type_: str) -> bool:
    """Whether every value of the column that the ``given`` conditions let pass, ``wanted`` lets pass too.

    Conditions are as PostgreSQL prints them, without ``CHECK``; ``column`` is as identities write names, or DOMAIN_VALUE;
    ``type_`` is the column's, without modifiers. False where that is not proven; what is given and not understood is
    passed over.
    """
    asked = _read(wanted, column, type_)
    if asked is None:
        return False
    known = [read for text in given if (read := _read(text, column, type_)) is not None]
    if type_ in _NUMBERS | _TEXTS:
        return _implies(known, asked)
    return any(_implies([each], asked) for each in known)  # of two that name other constants, both may be true


def _implies(known: list[_Comparison], asked: _Comparison) -> bool:
    # of texts only equality is asked, so that any order of theirs will do
    constants = sorted({constant for each in (*known, asked) for constant in each.constants()})
    ranks = {constant: 2 * place for place, constant in enumerate(constants)}
    for value in (None, *range(-1, 2 * len(ranks))):

        def may_be(condition: _Comparison, value: int | None = value) -> frozenset[object]:
            return truth(evaluate(condition.with_ranks(ranks.__getitem__), {_COLUMN: frozenset({value})}))

        if False in may_be(asked) and all(may_be(each) != {False} for each in known):
            return False
    return True


def _read(text: str, column: str, type_: str) -> _Comparison | None:
    """The condition taken apart; None where it is more than comparisons of this column with constants."""
    found: list[str | Decimal | tuple[str]] = []
    text = _CAST_ARRAY.sub(r"\1", text)
    at = 0
    while token := _TOKEN.match(text, at):
        at = token.end()
        kind, said = str(token.lastgroup), token[str(token.lastgroup)]
        match kind:
            case "number" | "text":
                constant = _constant(said, kind, type_)
                if constant is None:
                    return None
                found.append(constant)
            case "column":
                spelled, cast = _column(said)
                if spelled != column or not _is_lossless(cast, type_):
                    return None
                found.append(_COLUMN)
            case "order" if type_ not in _NUMBERS:  # which text is greater is a matter of its collation
                return None
            case "word" if type_ not in _NUMBERS | _TEXTS:
                return None
            case _:
                found.append(said)
    return _Comparison(tuple(found)) if not text[at:].strip() else None


def _column(said: str) -> tuple[str, str]:
    """A column's name as identities write it, and the type that it is cast to, if any."""
    quoted, _, cast = said[1:].partition(")::") if said[0] == "(" else (said, "", "")
    if quoted[0] == '"':
        return name(quoted[1:-1].replace('""', '"')), cast
    return quoted if quoted == DOMAIN_VALUE else name(quoted), cast


def _is_lossless(cast: str, type_: str) -> bool:
    """Whether values that differ still do after the cast: a number as text has a text's order, and '01' is not '1'."""
    if not cast or cast == type_:
        return True
    return type_ not in _NUMBERS and (cast in _TEXTS or type_ not in _TEXTS)


def _constant(said: str, kind: str, type_: str) -> Decimal | tuple[str] | None:
    """A constant of the type; None for what may be none."""
    if type_ in _NUMBERS:
        plain = re.fullmatch(rf"['(]?({_NUMBER})[')]?(?:::([\w ]+))?", said)
        return Decimal(plain[1]) if plain is not None and plain[2] in {None, *_NUMBERS} else None
    if type_ not in _TEXTS:
        return (said,)
    casts = set(re.findall(r"::([^:()]*)", said[said.rindex("'") :])) if "'" in said else {kind}
    return (said[said.index("'") : said.rindex("'") + 1],) if casts <= _TEXTS else None
