"""Whether one CHECK refuses nothing that others did not: proven for what compares a single column with constants.

The truth of such an expression changes only at its constants. So it is enough to try the constants, one value between
each two of them, one on either side, and NULL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from migrate.core.schema.expressions import evaluate, truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NUMBERS: Final = frozenset(
    {"smallint", "integer", "bigint", "numeric", "double precision"}
)  # not real: 0.1::real is another number
_TEXTS: Final = frozenset({"text", "character varying"})
_CAST: Final = r"(?:::(?:smallint|integer|bigint|numeric|real|double[ ]precision|text|character[ ]varying))?"
_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_TOKEN: Final = re.compile(
    rf"""\s*(?:(?P<number>'{_NUMBER}'{_CAST}|\({_NUMBER}\){_CAST}|\d+(?:\.\d+)?)
    |(?P<text>\('(?:[^']|'')*'{_CAST}\){_CAST}|'(?:[^']|'')*'{_CAST})
    |(?P<column>\([a-z_][a-z0-9_]*\)::(?:text|character[ ]varying)|(?!\d)[a-z_][a-z0-9_]*)
    |(?P<order><=|>=|<(?!>)|>)|(?P<word>=|<>|[(),\]]|ARRAY\[|\b(?:AND|OR|NOT|ANY)\b|\bIS[ ](?:NOT[ ])?NULL\b))""",
    re.VERBOSE,
)

_CAST_ARRAY: Final = re.compile(r"\((ARRAY\[(?:[^\]']|'(?:[^']|'')*')*\])\)::(?:text|character varying)\[\]")


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

    Conditions are as PostgreSQL prints them, without ``CHECK``; ``type_`` is the column's, without modifiers. False where
    that is not proven; what is given and not understood is passed over.
    """
    asked = _read(wanted, column, type_)
    if asked is None:
        return False
    known = [read for text in given if (read := _read(text, column, type_)) is not None]
    # of texts only equality is asked, so that any order of theirs will do
    constants = sorted({constant for each in (*known, asked) for constant in each.constants()})
    ranks = {constant: 2 * place for place, constant in enumerate(constants)}
    for value in (None, *range(-1, 2 * len(ranks))):

        def may_be(condition: _Comparison, value: int | None = value) -> frozenset[object]:
            return truth(evaluate(condition.with_ranks(ranks.__getitem__), {column: frozenset({value})}))

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
            case "number" if type_ in _NUMBERS:
                found.append(Decimal(said.partition("::")[0].strip("'()")))
            case "text" | "number":
                if type_ not in _TEXTS or "'" not in said:
                    return None
                found.append((said[said.index("'") : said.rindex("'") + 1],))
            case "column":
                if said.partition(")")[0].lstrip("(") != column or (said[0] == "(" and type_ not in _TEXTS):
                    return None  # a number as text has a text's order, and '01' is not '1'
                found.append(column)
            case "order" if type_ not in _NUMBERS:  # which text is greater is a matter of its collation
                return None
            case _:
                found.append(said)
    return _Comparison(tuple(found)) if not text[at:].strip() else None
