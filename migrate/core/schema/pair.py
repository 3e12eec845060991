"""One object as a program knows it and as a database has it, with what else belongs to the same owner on either side."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from migrate.core.schema.differences import dotted, name, parse, parse_column
from migrate.core.schema.expressions import ANY, NULL, SOME, evaluate, evaluate_first, inside, parts, truth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.schema.differences import Column, Identity, Schema
    from migrate.core.schema.expressions import Value
    from migrate.core.schema.spelling import Spellings

KEYS = ("constraint", "index")
_WORD = re.compile(r'"(?:[^"]|"")*"|[^\W\d][\w$]*')
_DIRECTION = re.compile(r"(?: ASC| DESC)?(?: NULLS (?:FIRST|LAST))?$")


class Objects:
    """A schema that may change object by object, and what belongs to each table, view or domain of it.

    `printed` has the definitions as they were given, `whole` each in the spelling that stands for its equals.
    """

    def __init__(self, schema: Schema, spelled: Spellings) -> None:
        self.printed = dict(schema)
        self.whole = dict(spelled.of_schema(schema))
        self._spelled = spelled
        self._owned: defaultdict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        for text, definition in self.whole.items():
            self._owned[parse(text).owner][text] = definition

    def of(self, owner: tuple[str, ...]) -> Schema:
        """What belongs to the table, view or domain of this path, itself among it."""
        return self._owned.get(owner, {})

    def put(self, text: str, definition: str | None) -> None:
        """Let the object be defined so, or be gone."""
        own = self._owned[parse(text).owner]
        if definition is None:
            for objects in (self.printed, self.whole, own):
                objects.pop(text, None)
        else:
            self.printed[text] = definition
            self.whole[text] = own[text] = self._spelled.canonical(text, definition)


@dataclass(frozen=True)
class Pair:
    """One object as the program knows it and as the database has it, None where it is not there."""

    identity: Identity
    program: str | None
    database: str | None
    programs: Objects
    databases: Objects

    @property
    def added(self) -> str:
        """The database's definition; the rules for what is new or changed ask only where there is one."""
        return self.database or ""

    @property
    def columns(self) -> tuple[Column, Column]:
        """The program's and the database's definition of a column or a domain, taken apart."""
        return parse_column(self.program or ""), parse_column(self.database or "")

    @property
    def owner(self) -> str:
        """The table, view or domain that it belongs to, as identities write it."""
        return dotted(self.identity.owner)

    def column_of(self, objects: Objects, column: str) -> str | None:
        """The definition on one side of the owner's column of this name."""
        return objects.whole.get(f"column {self.owner}.{column}")

    def beside(self, objects: Objects, *kinds: str) -> dict[str, str]:
        """What one side has of these kinds in the owner, by identity."""
        prefixes = tuple(f"{kind} {self.owner}." for kind in kinds)
        found = objects.of(self.identity.owner).items()
        return {text: definition for text, definition in found if text.startswith(prefixes)}

    @cached_property
    def written(self) -> dict[str, Value]:
        """What the program's rows have in each column of the owner, as far as that is known, by the column's name."""
        prefix = f"column {self.owner}."
        return {
            text.removeprefix(prefix): self._written(text, definition)
            for text, definition in self.beside(self.databases, "column").items()
        }

    def _written(self, text: str, definition: str) -> Value:
        column = parse_column(definition)
        otherwise = SOME if column.not_null else ANY
        if text in self.programs.whole or column.generated is not None:
            return otherwise
        if column.default is None:
            return otherwise if column.not_null else NULL
        value = evaluate(column.default, {})
        return otherwise if value is ANY else value

    @cached_property
    def kept_keys(self) -> tuple[Key, ...]:
        """The unique keys of the owner that are in the program's schema and in the database's, under whatever name."""
        programs, databases = (
            [Key.read(d) for d in self.beside(side, *KEYS).values() if is_in_force(d)]
            for side in (self.programs, self.databases)
        )
        return tuple(key for key in programs if key in databases)

    @cached_property
    def finds_its_key(self) -> bool:
        """Whether `ON CONFLICT (…)` of the program finds its unique key still, as whatever it is there now.

        A primary key is more than that: a query that groups by one may select every other column.
        """
        assert self.program is not None
        is_primary = self.program.startswith("PRIMARY KEY")
        there = [d for d in self.beside(self.databases, *KEYS).values() if is_in_force(d)]
        key = Key.read(self.program)
        return any(Key.read(d) == key and (not is_primary or d.startswith("PRIMARY KEY")) for d in there)

    def is_secured(self) -> bool:
        """Whether the policies of the table count in the database."""
        return "enabled" in self.databases.whole.get(f"row security {self.owner}", "")


def is_unique(definition: str | None) -> bool:
    """Whether a constraint or an index lets no two rows be alike."""
    return definition is not None and definition.startswith(("PRIMARY KEY", "UNIQUE", "unique "))


def is_in_force(definition: str) -> bool:
    """Whether it is unique, and can be relied on."""
    return is_unique(definition) and not definition.endswith(" invalid")


def names(text: str) -> list[str]:
    """The words of an expression, as identities write names; some of them may be columns."""
    return [name(word[1:-1].replace('""', '"') if word[0] == '"' else word) for word in _WORD.findall(text)]


@dataclass(frozen=True, slots=True)
class Key:
    """A constraint or an index with a list of parts, as it is printed: unique, an exclusion, or a foreign key."""

    parts: frozenset[str]
    operators: Mapping[str, str]  # of an exclusion, by part
    condition: str  # its predicate, empty without one
    nulls_collide: bool
    is_deferrable: bool
    is_temporal: bool  # WITHOUT OVERLAPS, and of PERIOD

    @classmethod
    def read(cls, definition: str) -> Key:
        """Take the definition apart."""
        listed, rest = inside(definition)
        operators = {}
        found = []
        for part in parts(listed):
            element, _, operator = part.partition(" WITH ")
            found.append(_DIRECTION.sub("", element))
            operators[found[-1]] = operator
        return cls(
            frozenset(found),
            operators,
            rest.partition(" WHERE ")[2].removesuffix(" invalid").partition(" DEFERRABLE")[0],
            "NULLS NOT DISTINCT" in definition,
            " DEFERRABLE" in rest,
            "WITHOUT OVERLAPS" in listed or "PERIOD" in listed,
        )

    def leaves_out(self, pair: Pair) -> bool:
        """Whether the program's rows are never compared with others: the predicate, or a NULL in a part, is against it."""
        if self.condition and True not in truth(evaluate(self.condition, pair.written)):
            return True
        return not self.nulls_collide and any(evaluate_first(part, pair.written) == NULL for part in self.parts)

    def is_implied(self, pair: Pair) -> bool:
        """Whether a key that both have, of fewer parts, is always the first to refuse."""
        compared = frozenset(part for part in self.parts if self.operators[part] in {"", "="})
        return not self.is_temporal and any(
            other.parts <= compared
            and (not other.condition or other.condition == self.condition)
            and (not other.is_deferrable or self.is_deferrable)
            and not other.is_temporal
            and (not self.nulls_collide or other.nulls_collide or other.has_no_null(pair))
            for other in pair.kept_keys
        )

    def has_no_null(self, pair: Pair) -> bool:
        """Whether the program's rows have something in every part."""
        return all(evaluate_first(part, pair.written) is SOME for part in self.parts)
