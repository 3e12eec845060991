"""Which needs a revision may have: what the schema after it asks of rows that the schema before did not.

Whether it has them is for a trial to find out: a revision may mend the rows before it asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from migrate.core.foresee.needs import (
    Fits,
    Fulfils,
    HasParent,
    NoDuplicates,
    NoLabel,
    NoNull,
    NoOverlap,
    NoRow,
)
from migrate.core.schema.differences import dotted, name, parse, parse_column, parse_labels
from migrate.core.schema.expressions import inside
from migrate.core.schema.widening import is_served_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrate.core.foresee.needs import Condition
    from migrate.core.schema.differences import Column, Schema

_WORD: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d][\w$]*""")
_REFERENCES: Final = re.compile(r" REFERENCES (?P<parent>.+?)\((?P<columns>[^)]*)\)", re.DOTALL)
_MODIFIER: Final = re.compile(r"\([\d,-]+\)")
_TEXTS: Final = frozenset({"text", "character varying"})  # without a length
_TIMES: Final = frozenset({"date", "timestamp with time zone", "timestamp without time zone"})
_NUMBERS: Final = frozenset({"numeric", "real", "double precision"})
_WHOLE: Final = frozenset({"smallint", "integer", "bigint"})
# What is in force for new rows only, or for none.
_NOT_ASKED: Final = (" NOT VALID", " NOT ENFORCED", " invalid")
_KEY: Final = re.compile(r"(?:UNIQUE|PRIMARY KEY) \((.*)\)", re.DOTALL)  # NULLS NOT DISTINCT asks for more
_TEMPORAL: Final = re.compile(r"\b(?:WITHOUT OVERLAPS|PERIOD)\b")


def candidates(before: Schema, after: Schema) -> tuple[Condition, ...]:
    """The conditions on rows that were there before, each once, in the order of their objects."""
    changed = sorted(identity for identity in after if after[identity] != before.get(identity))
    found = _Candidates(before, after)
    return tuple(dict.fromkeys(each for identity in changed for each in found.of(identity)))


class _Candidates:
    def __init__(self, before: Schema, after: Schema) -> None:
        self._before = before
        self._after = after

    def of(self, identity: str) -> Iterator[Condition]:
        """What one object asks that is new, or not as it was."""
        parsed = parse(identity)
        owner = dotted(parsed.owner)
        definition = self._after[identity]
        if parsed.kind == "column" and self._is_table(owner):
            yield from self._of_column(owner, name(parsed.path[-1]), definition)
        elif parsed.kind == "constraint" and f"domain {owner}" in self._before:
            yield from self._of_domain(owner, definition)
        elif parsed.kind in {"constraint", "index"} and self._is_table(owner):
            before = self._in_old_names(owner, definition)
            if definition.endswith(_NOT_ASKED) or self._was_there(identity, owner, before):
                return
            yield from self._of_rule(owner, before)
        elif parsed.kind == "domain" and identity in self._before:
            was, now = parse_column(self._before[identity]), parse_column(definition)
            if now.not_null and not was.not_null:
                for table, column in self._columns_of(dotted(parsed.path)):
                    yield NoNull(table, column)
        elif parsed.kind == "enum" and identity in self._before:
            kept = parse_labels(definition)
            for label in parse_labels(self._before[identity]):
                if label not in kept:
                    for table, column in self._columns_of(dotted(parsed.path)):
                        yield NoLabel(table, column, label)

    def _is_table(self, owner: str) -> bool:
        return f"table {owner}" in self._before

    def _was_there(self, identity: str, owner: str, definition: str) -> bool:
        """Whether rows fulfilled the same rule already, under whatever name; a key, as an index that is unique, too."""
        kind = identity.partition(" ")[0]
        found = _KEY.fullmatch(definition) if kind == "constraint" else None
        same = {f"{kind} {owner}.": definition} | (
            {f"index {owner}.": f"unique btree ({found[1]})"} if found is not None else {}
        )
        return any(
            text.startswith(prefix) and known == asked
            for text, known in self._before.items()
            for prefix, asked in same.items()
        )

    def _columns_of(self, type_: str) -> Iterator[tuple[str, str]]:
        """The columns of tables that were of a type of the user's."""
        for identity, definition in self._before.items():
            parsed = parse(identity) if identity.startswith("column ") else None
            if parsed is not None and self._is_table(dotted(parsed.owner)) and parse_column(definition).type == type_:
                yield dotted(parsed.owner), name(parsed.path[-1])

    def _of_column(self, table: str, column: str, definition: str) -> Iterator[Condition]:
        now = parse_column(definition)
        if f"column {table}.{column}" not in self._before:
            if now.not_null and now.default is None and now.generated is None:
                yield NoRow(table, column)
            column = self._old_name_of(table, column)
        known = self._before.get(f"column {table}.{column}")
        if known is None:
            return
        was = parse_column(known)
        if (
            now.not_null
            and now.validated
            and not (was.not_null and was.validated)
            and not self._has_value(table, column)
        ):
            yield NoNull(table, column)
            yield from self._of_switched(table, now)
        if now.type != was.type:
            yield from self._of_type(table, column, was, now)

    def _old_name_of(self, table: str, column: str) -> str:
        """The name that the rows may know it by: that of the one column of its type that is gone, where it alone is new."""
        prefix = f"column {table}."
        if prefix + column in self._before:
            return column
        type_ = parse_column(self._after[prefix + column]).type
        new = self._only_here(prefix, type_, self._after, self._before)
        gone = self._only_here(prefix, type_, self._before, self._after)
        return gone[0] if len(new) == len(gone) == 1 else column

    @staticmethod
    def _only_here(prefix: str, type_: str, here: Schema, elsewhere: Schema) -> list[str]:
        return [
            identity.removeprefix(prefix)
            for identity, definition in here.items()
            if identity.startswith(prefix) and identity not in elsewhere and parse_column(definition).type == type_
        ]

    def _in_old_names(self, table: str, definition: str) -> str:
        """The rule as it is for the rows that are there."""
        own, references, rest = definition.partition(" REFERENCES ")

        def old(found: re.Match[str]) -> str:
            word = found[0]
            if word.startswith("'"):
                return word
            column = name(word[1:-1].replace('""', '"') if word.startswith('"') else word)
            return self._old_name_of(table, column) if f"column {table}.{column}" in self._after else word

        return f"{_WORD.sub(old, own)}{references}{rest}"

    def _of_switched(self, table: str, now: Column) -> Iterator[Condition]:
        """Of columns that are gone: one of them may have the name of this one now, and its rows."""
        prefix = f"column {table}."
        for column in self._only_here(prefix, now.type, self._before, self._after):
            if not parse_column(self._before[prefix + column]).not_null:
                yield NoNull(table, column)

    def _has_value(self, table: str, column: str) -> bool:
        """Whether a CHECK says already that the column has no NULL."""
        return self._is_there(table, f"CHECK (({column} IS NOT NULL))")

    def _is_there(self, table: str, definition: str) -> bool:
        prefix = f"constraint {table}."
        return any(text.startswith(prefix) and known == definition for text, known in self._before.items())

    def _of_type(self, table: str, column: str, was: Column, now: Column) -> Iterator[Condition]:
        labels = self._labels(self._after, now.type)
        if labels:
            before = self._labels(self._before, was.type)
            if not before:
                yield Fits(table, column, now.type, labels)
            for label in before:
                if label not in labels:
                    yield NoLabel(table, column, label)
        elif not _always_converts(was.type, now.type):
            yield Fits(table, column, now.type)

    @staticmethod
    def _labels(schema: Schema, type_: str) -> tuple[str, ...]:
        return parse_labels(schema.get(f"enum {type_}", ""))

    def _of_domain(self, domain: str, definition: str) -> Iterator[Condition]:
        if definition.startswith("CHECK") and not definition.endswith(_NOT_ASKED):
            for table, column in self._columns_of(domain):
                yield Fulfils(table, _condition(definition), column)

    def _of_rule(self, table: str, definition: str) -> Iterator[Condition]:
        listed, rest = inside(definition)
        if _TEMPORAL.search(_without_texts(definition)) or self._is_about_new(table, definition):
            return
        if definition.startswith("CHECK"):
            yield Fulfils(table, _condition(definition))
        elif definition.startswith("FOREIGN KEY"):
            found = _REFERENCES.search(definition)
            if found is not None:
                yield HasParent(table, listed, found["parent"], found["columns"])
        elif definition.startswith("EXCLUDE"):
            yield NoOverlap(table, definition.removeprefix("EXCLUDE ").partition(" DEFERRABLE")[0])
        elif definition.startswith(("UNIQUE", "PRIMARY KEY", "unique ")):
            where = rest.partition(" WHERE ")[2]  # a column or a call stands there without parentheses
            where = where if not where or where.startswith("(") else f"({where})"
            yield NoDuplicates(table, listed, where, "NULLS NOT DISTINCT" in definition)

    def _is_about_new(self, table: str, definition: str) -> bool:
        """Whether it is about a column that the rows did not have."""
        prefix = f"column {table}."
        new = {
            text.removeprefix(prefix) for text in self._after.keys() - self._before.keys() if text.startswith(prefix)
        }
        return bool(new.intersection(names_in(definition.partition(" REFERENCES ")[0])))


def _condition(definition: str) -> str:
    """The expression of a CHECK, in its parentheses."""
    return f"({inside(definition)[0]})"


def _without_texts(definition: str) -> str:
    return re.sub(r"'(?:[^']|'')*'", "''", definition)


def names_in(definition: str) -> set[str]:
    """The words of a definition, as identities write names; some of them may be columns."""
    words = _WORD.findall(definition)
    return {name(word[1:-1].replace('""', '"')) if word[0] == '"' else name(word) for word in words if word[0] != "'"}


def _always_converts(was: str, now: str) -> bool:
    """Whether PostgreSQL converts every value of one type to the other, whatever it loses on the way."""
    if now in _TEXTS or is_served_by(was, now):
        return True
    source, target = (_MODIFIER.sub("", each) for each in (was, now))
    if target in _TIMES:
        return source in _TIMES
    if now in _NUMBERS:
        return source in _WHOLE | _NUMBERS
    return source in _WHOLE and target in _WHOLE and is_served_by(source, target)
