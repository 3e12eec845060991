"""Definitions that are one and the same, printed in more than one way.

PostgreSQL keeps an expression as a tree and prints it as text. Executed again, as a dump is by a restore, that text may
make another tree of the same meaning, which prints differently: `(x)::text = ANY ((ARRAY['a'::character varying])::text[])`
comes back as `… ANY (ARRAY[('a'::character varying)::text])`, and `((a AND b) AND c)` as `(a AND b AND c)`. The manifest
records the spellings that a throw-away database found to be equal; nothing here judges an expression by its text.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import chain
from typing import TYPE_CHECKING, Final

from migrate.core.schema.differences import dotted, parse, parse_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.core.schema.differences import Schema

# What is the same constraint or index under another name has the same spellings.
_NAMELESS: Final = frozenset({"constraint", "index"})

# What is printed as it was read, whatever the tree: a literal, a number, a call without arguments or of a sequence.
_PLAIN_VALUE: Final = re.compile(
    r"""(?:'(?:[^']|'')*' | -?[\d.]+ | [\w.]+(?:\((?:'(?:[^']|'')*'::regclass)?\))?)(?:::[\w. ]+(?:\([\d,]+\))?[\w ]*(?:\[\])*)?""",
    re.VERBOSE,
)

_WORD: Final = re.compile(r"(?:'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[\w$]+|.)\s*|\s+", re.DOTALL)


class Spellings:
    """Groups of equal definitions; false where there are none."""

    def __init__(self, groups: Iterable[tuple[str, tuple[str, ...]]] = ()) -> None:
        """Each group is an identity with definitions of it that are equal."""
        self._groups: dict[tuple[str, str], tuple[str, ...]] = {}
        for identity, definitions in groups:
            place = _place(identity)
            known = (self._groups.get((place, definition), (definition,)) for definition in definitions)
            group = tuple(dict.fromkeys(chain.from_iterable(known)))
            self._groups.update(dict.fromkeys(((place, definition) for definition in group), group))
        self._texts = {text for _, text in self._groups}

    def __bool__(self) -> bool:
        """Whether anything is printed in more than one way."""
        return bool(self._groups)

    def of(self, identity: str, definition: str) -> tuple[str, ...]:
        """Every spelling of a definition, itself among them."""
        if definition not in self._texts:
            return (definition,)
        return self._groups.get((_place(identity), definition), (definition,))

    def canonical(self, identity: str, definition: str) -> str:
        """The one spelling that stands for all that are equal to this one."""
        return self.of(identity, definition)[0]

    def of_schema(self, schema: Schema) -> Schema:
        """The schema with every definition in the spelling that stands for its equals."""
        if not self._groups:
            return schema
        return {identity: self.canonical(identity, definition) for identity, definition in schema.items()}

    def as_in(self, schema: Schema, other: Schema) -> dict[str, str]:
        """The schema with every definition spelled as the other one spells its own of the object, where they are equal."""
        if not self._groups:
            return dict(schema)
        return {
            identity: other[identity] if other.get(identity) in self.of(identity, definition) else definition
            for identity, definition in schema.items()
        }


AS_PRINTED: Final = Spellings()


def carried_over(spelling: str, before: str, after: str) -> str | None:
    """The other spelling of `before`, changed as that is in `after`: by a renamed column, say.

    None where the two are spelled in different ways just there. It is a proposal: only a server can say whether it is equal.
    """
    old, new, other = (_WORD.findall(text) for text in (before, after, spelling))
    places = {len(old): len(other)}  # of the words that both spellings have, by where they stand in the first
    for at, there, length in SequenceMatcher(None, old, other).get_matching_blocks():
        places |= zip(range(at, at + length), range(there, there + length), strict=True)
    for tag, start, end, first, last in reversed(SequenceMatcher(None, old, new).get_opcodes()):
        if tag == "equal":
            continue
        begin = places.get(start)
        if begin is None or any(places.get(at) != begin + at - start for at in range(start, end)):
            return None
        other[begin : begin + end - start] = new[first:last]
    return "".join(other)


def _place(identity: str) -> str:
    parsed = parse(identity)
    return f"{parsed.kind} of {dotted(parsed.owner)}" if parsed.kind in _NAMELESS else identity


def may_be_respelled(identity: str, definition: str) -> bool:
    """Whether the definition holds an expression that could be printed in another way after it was executed."""
    match parse(identity).kind:
        case "column" | "domain":
            column = parse_column(definition)
            value = column.default if column.default is not None else column.generated
            return value is not None and not column.is_identity and _PLAIN_VALUE.fullmatch(value) is None
        case "view" | "materialized view" | "rule" | "policy":
            return True
        case "constraint":
            return definition.startswith(("CHECK ", "EXCLUDE "))
        case "index":
            return definition.count("(") > 1 and not definition.endswith(" invalid")
        case "trigger":
            return " WHEN (" in definition
        case "function" | "procedure":
            return "\nBEGIN ATOMIC\n" in definition or "\nRETURN " in definition or " DEFAULT " in definition
        case "statistics":
            return definition.count("(") > 1
        case "table":
            return " partition by " in definition and definition.count("(") > 1
        case _:
            return False
