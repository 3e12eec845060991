"""A schema as `identity -> definition`, and what two of them differ in.

`migrate.postgres.catalog` writes these dicts and says what each kind of definition holds. Names are relative to the
default schema, so that one manifest serves any schema name.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

from migrate.core.digest import sha256

Schema = Mapping[str, str]

# What has columns, constraints and the like, and is named with them in one breath.
OWNERS = ("table", "foreign table", "view", "materialized view", "domain")

# Named `OWNER.NAME`; the second group belongs to an owner too, but has no name of its own.
MEMBERS = ("column", "constraint", "index", "trigger", "rule", "policy")
ASPECTS = ("options", "row security", "replica identity")

OTHERS = (
    "schema",
    "extension",
    "collation",
    "enum",
    "type",
    "range",
    "sequence",
    "function",
    "procedure",
    "aggregate",
    "statistics",
)
KINDS = (*OWNERS, *MEMBERS, *ASPECTS, *OTHERS)

# Their text is printed differently by different major versions (measured: 15 against 16 and later), their columns are
# entries of their own that are not.
PRINTED_BY_MAJOR = ("view", "materialized view")

_KIND = re.compile("(" + "|".join(sorted(KINDS, key=len, reverse=True)) + ") ")
_PART = r'(?:"(?:[^"]|"")*"|[^".(]+)'
_PATH = re.compile(rf"{_PART}(?:\.{_PART})*")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


class IdentityError(ValueError):
    """The text names no kind of object that a schema holds."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity taken apart: `column audit."Log".at` is `("column", ("audit", "Log", "at"))`."""

    kind: str
    path: tuple[str, ...]  # without quotes
    arguments: str = ""  # of a function, with its parentheses

    @property
    def owner(self) -> tuple[str, ...]:
        """The path of the table, view or domain that this is or belongs to; empty where there is none."""
        if self.kind in MEMBERS:
            return self.path[:-1]
        return self.path if self.kind in (*OWNERS, *ASPECTS) else ()


@lru_cache(maxsize=1 << 14)
def parse(identity: str) -> Identity:
    """Take an identity apart. Raises IdentityError."""
    kind = _KIND.match(identity)
    path = kind and _PATH.match(identity, kind.end())
    if kind is None or path is None:
        raise IdentityError(f"not the identity of a database object: {identity}")
    names = (part[1:-1].replace('""', '"') if part[0] == '"' else part for part in re.findall(_PART, path[0]))
    return Identity(kind[1], tuple(names), identity[path.end() :])


def name(part: str) -> str:
    """A name as identities write it: quoted unless it is lower case letters, digits and underscores.

    Keywords are not quoted, other than `quote_ident` does it: which ones are reserved differs between major versions.
    """
    if _PLAIN.fullmatch(part):
        return part
    return '"' + part.replace('"', '""') + '"'


def dotted(path: Iterable[str]) -> str:
    """A path as identities write it."""
    return ".".join(map(name, path))


def place_of(identity: str) -> str | None:
    """The schema, by its name, that the object is in or is; None for the default one's, and for extensions."""
    parsed = parse(identity)
    if parsed.kind in ("schema", "extension"):
        return parsed.path[0] if parsed.kind == "schema" else None
    return parsed.path[0] if len(parsed.path) > (2 if parsed.kind in MEMBERS else 1) else None


def is_alone(identity: str) -> bool:
    """Whether the object is no part of another one, and more than a place for others."""
    return parse(identity).kind not in (*MEMBERS, *ASPECTS, "schema")


def within(schema: Schema, places: Collection[str]) -> dict[str, str]:
    """The part of a schema that is in the default one or in these beside it."""
    return {identity: text for identity, text in schema.items() if (place_of(identity) or "") in {"", *places}}


def fingerprint(schema: Schema) -> str:
    """SHA-256 over the sorted schema, in hexadecimal."""
    return sha256(json.dumps(dict(schema), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Column:
    """The definition of a column or a domain, taken apart."""

    type: str
    collation: str | None
    not_null: bool
    validated: bool  # False: NOT NULL holds for new rows only (PostgreSQL 18)
    default: str | None
    generated: str | None  # `always as (…) stored`, `by default as identity`

    @property
    def is_identity(self) -> bool:
        """Whether its value comes from a sequence that belongs to the column."""
        return self.generated is not None and self.generated.partition(" (")[0].endswith("as identity")

    @property
    def is_computed(self) -> bool:
        """Whether its value comes from an expression over the row."""
        return self.generated is not None and not self.is_identity


# The type comes first and holds no such words outside of quotes; the expression comes last and may hold anything.
_COLUMN = re.compile(
    r"""(?P<type>(?:[^"]|"(?:[^"]|"")*")*?)
        (?:[ ]collate[ ](?P<collation>(?:[^" ]|"(?:[^"]|"")*")+))?
        (?P<not_null>[ ]not[ ]null)?(?P<not_valid>[ ]not[ ]valid)?
        (?:[ ]default[ ](?P<default>.*)|[ ]generated[ ](?P<generated>.*))?""",
    re.DOTALL | re.VERBOSE,
)


def parse_column(definition: str) -> Column:
    """Take the definition of a column or a domain apart."""
    found = _COLUMN.fullmatch(definition)
    if found is None:  # an odd quote: no type that PostgreSQL prints
        return Column(definition, None, not_null=False, validated=True, default=None, generated=None)
    return Column(
        found["type"],
        found["collation"],
        not_null=found["not_null"] is not None,
        validated=found["not_valid"] is None,
        default=found["default"],
        generated=found["generated"],
    )


def parse_labels(definition: str) -> tuple[str, ...]:
    """The labels of an enum's definition, in order."""
    return tuple(label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", definition))


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is missing (`actual` None), extra (`expected` None), or another one than expected."""

    identity: str
    expected: str | None
    actual: str | None

    def sentence(self, expected_by: str = "the manifest", of: str = "the database") -> str:
        """The difference for people, with its names; ``of`` is what has the object, ``expected_by`` what should."""
        if self.actual is None:
            return f"{self.identity} is missing in {of}"
        if self.expected is None:
            return f"{self.identity} is not in {expected_by}"
        if "\n" not in self.expected + self.actual:
            return f"{self.identity} is {self.actual}, {expected_by} says {self.expected}"
        expected, actual = self.expected.splitlines(), self.actual.splitlines()
        same = next((at for at, pair in enumerate(zip(expected, actual, strict=False)) if pair[0] != pair[1]), None)
        if same is None:  # one of them goes on where the other ends
            same = min(len(expected), len(actual))
        said = [(lines[same].strip() if same < len(lines) else "nothing") for lines in (actual, expected)]
        return f"{self.identity} differs in line {same + 1}: it is {said[0]}, {expected_by} says {said[1]}"

    def to_json(self) -> dict[str, str]:
        """What there is of it, by name."""
        told = {"identity": self.identity, "sentence": self.sentence()}
        if self.expected is not None:
            told["expected"] = self.expected
        if self.actual is not None:
            told["actual"] = self.actual
        return told


@dataclass(frozen=True, slots=True)
class Renamed:
    """A constraint or an index with the expected definition under another name: same, other name."""

    expected_identity: str
    actual_identity: str

    def sentence(self) -> str:
        """The difference for people, with both names."""
        other = name(parse(self.actual_identity).path[-1])
        return f"{self.expected_identity} is there under another name: {other}"

    def to_json(self) -> dict[str, str]:
        """Both identities and the sentence."""
        return {"expected": self.expected_identity, "actual": self.actual_identity, "sentence": self.sentence()}


# Identity, expected and actual definition; of a renamed object both identities, and no definition.
Fact = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Differences:
    """What an actual schema differs in from the expected one; false where nothing differs."""

    missing: tuple[Difference, ...] = ()
    changed: tuple[Difference, ...] = ()
    extra: tuple[Difference, ...] = ()
    renamed: tuple[Renamed, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.missing or self.changed or self.extra or self.renamed)

    def __len__(self) -> int:
        """How many objects differ: what `nearest` is measured by."""
        return len(self.missing) + len(self.changed) + len(self.extra) + len(self.renamed)

    def sentences(self, expected_by: str = "the manifest", of: str = "the database") -> list[str]:
        """One sentence for each difference; what belongs to a missing or extra table is not told beside it."""
        told = self.without_members()
        both = [*told.missing, *told.changed, *told.extra]
        return [difference.sentence(expected_by, of) for difference in both] + [
            renamed.sentence() for renamed in told.renamed
        ]

    def without_members(self) -> Differences:
        """The same, less what belongs to a missing or extra table."""
        return Differences(
            tuple(_without_members(self.missing)), self.changed, tuple(_without_members(self.extra)), self.renamed
        )

    def tolerable(self, *, extra: bool, renamed: bool) -> bool:
        """Whether nothing is missing or changed, and no more than what is allowed is extra or renamed."""
        return not (self.missing or self.changed or (self.extra and not extra) or (self.renamed and not renamed))

    def facts(self) -> tuple[Fact, ...]:
        """Each difference as the definitions that it is made of, by which it is known again whatever it is called."""
        both = [*self.missing, *self.changed, *self.extra]
        names = [(renamed.expected_identity, None, renamed.actual_identity) for renamed in self.renamed]
        return tuple((each.identity, each.expected, each.actual) for each in both) + tuple(names)

    def divided(self, known: Collection[Fact]) -> tuple[Differences, Differences]:
        """Those that are not ``known``, and those that are."""
        if not known:
            return self, Differences()

        def part(*, of_known: bool) -> Differences:
            def of(each: Difference) -> bool:
                return ((each.identity, each.expected, each.actual) in known) is of_known

            def of_pair(each: Renamed) -> bool:
                return ((each.expected_identity, None, each.actual_identity) in known) is of_known

            return Differences(
                tuple(filter(of, self.missing)),
                tuple(filter(of, self.changed)),
                tuple(filter(of, self.extra)),
                tuple(filter(of_pair, self.renamed)),
            )

        return part(of_known=False), part(of_known=True)

    def to_json(self) -> dict[str, list[dict[str, str]]]:
        """Every difference, those that belong to a missing or extra table included."""
        return {
            "missing": [difference.to_json() for difference in self.missing],
            "changed": [difference.to_json() for difference in self.changed],
            "extra": [difference.to_json() for difference in self.extra],
            "renamed": [renamed.to_json() for renamed in self.renamed],
        }


def _without_members(differences: Sequence[Difference]) -> list[Difference]:
    parsed = [(difference, parse(difference.identity)) for difference in differences]
    owners = {identity.path for _, identity in parsed if identity.kind in OWNERS}
    return [difference for difference, identity in parsed if identity.kind in OWNERS or identity.owner not in owners]


def _as_printed(_identity: str, definition: str) -> str:
    return definition


def compare(
    expected: Schema,
    actual: Schema,
    *,
    same_major: bool,
    ignore: Sequence[str] = (),
    canonical: Callable[[str, str], str] = _as_printed,
) -> Differences:
    """What `actual` differs in from `expected`, ordered by table.

    `same_major`: whether both were printed by servers of one major version; if not, the text of views does not count.
    `ignore`: shell patterns (`*`, `?`, `[…]`) on identities; one that matches a table holds for all that belongs to it.
    `canonical`: the spelling that stands for an object's definition, where it is printed in more than one way
    (`migrate.core.schema.spelling`).
    """
    if expected == actual:
        return Differences()
    is_ignored = ignored_by(ignore)
    missing = {i: d for i, d in expected.items() if i not in actual and not is_ignored(i)}
    extra = {i: d for i, d in actual.items() if i not in expected and not is_ignored(i)}
    changed = [
        Difference(identity, definition, actual[identity])
        for identity, definition in expected.items()
        if actual.get(identity, definition) != definition
        and canonical(identity, actual[identity]) != canonical(identity, definition)
        and (same_major or parse(identity).kind not in PRINTED_BY_MAJOR)
        and not is_ignored(identity)
    ]
    renamed = _renamed(missing, extra, canonical)
    for pair in renamed:
        del missing[pair.expected_identity], extra[pair.actual_identity]
    return Differences(
        missing=tuple(sorted((Difference(i, d, None) for i, d in missing.items()), key=_by_table)),
        changed=tuple(sorted(changed, key=_by_table)),
        extra=tuple(sorted((Difference(i, None, d) for i, d in extra.items()), key=_by_table)),
        renamed=tuple(renamed),
    )


def ignored_by(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether an identity, or the table that it belongs to, matches one of the shell patterns."""
    if not patterns:
        return lambda _: False
    matches = re.compile("|".join(map(fnmatch.translate, patterns))).match

    @cache
    def is_owner_ignored(path: tuple[str, ...]) -> bool:
        owner = dotted(path)
        return bool(owner) and any(matches(f"{kind} {owner}") for kind in OWNERS)

    @cache
    def is_ignored(identity: str) -> bool:
        return matches(identity) is not None or is_owner_ignored(parse(identity).owner)

    return is_ignored


def _renamed(missing: Schema, extra: Schema, canonical: Callable[[str, str], str]) -> list[Renamed]:
    found: defaultdict[tuple[str, tuple[str, ...], str], list[str]] = defaultdict(list)
    for identity, definition in sorted(extra.items(), reverse=True):
        parsed = parse(identity)
        found[parsed.kind, parsed.owner, canonical(identity, definition)].append(identity)
    pairs = []
    for identity, definition in sorted(missing.items()):
        parsed = parse(identity)
        others = found[parsed.kind, parsed.owner, canonical(identity, definition)]
        if parsed.kind in ("constraint", "index") and others:
            pairs.append(Renamed(identity, others.pop()))
    return pairs


def _by_table(difference: Difference) -> tuple[tuple[str, ...], int, str]:
    identity = parse(difference.identity)
    return identity.owner or identity.path, KINDS.index(identity.kind), difference.identity


# A line of changes is `+ IDENTITY: DEFINITION`, `- IDENTITY: DEFINITION` or `~ IDENTITY: OLD -> NEW`; below the first
# or the last, `= IDENTITY: SPELLING` is the same definition as PostgreSQL prints it elsewhere. What would end the identity or the old definition too early is marked with a backslash, so that any text comes back as it was; in
# what people write, there is nothing to mark but an arrow operator with blanks around it.
_ARROW = re.compile(r"(?<![^ ])(\\*)->(?![^ ])")
_MARKED_OR_END = re.compile(r"\\.|: ", re.DOTALL)
_SEPARATOR = re.compile(r"(?<= )->(?= )")


class ChangeError(ValueError):
    """The text is no line of changes."""


def changes(
    before: Schema, after: Schema, spellings: Mapping[tuple[str, str], Sequence[str]] = MappingProxyType({})
) -> list[str]:
    """The lines that make `after` of `before`, ordered by table.

    The old definition in them is for the reader of a diff, and not checked: where branches that touched one object are
    folded one after the other, the later one does not start from what the earlier one left, and the merge's own lines
    say what came of it. The fingerprint proves the result.
    `spellings` has, for objects with their definitions, how else these are printed.
    """
    lines = []
    for identity in sorted({*before, *after}, key=lambda identity: _by_table(Difference(identity, None, None))):
        old, new = before.get(identity), after.get(identity)
        marked = identity.replace("\\", "\\\\").replace(": ", "\\: ")
        if old is None:
            lines.append(f"+ {marked}: {new}")
        elif new is None:
            lines.append(f"- {marked}: {old}")
        elif old != new:
            arrow_free = _ARROW.sub(r"\\\1->", old)
            lines.append(f"~ {marked}: {arrow_free} -> {new}")
        if new is not None and old != new:
            lines += [f"= {marked}: {spelling}" for spelling in spellings.get((identity, new), ())]
    return lines


def is_spelling(line: str) -> bool:
    """Whether a line of `changes` changes nothing, but says how else a definition is printed."""
    return line.startswith("= ")


def read_spelling(line: str) -> tuple[str, str]:
    """The object and the spelling of a line for which `is_spelling` holds. Raises ChangeError."""
    identity, spelling = read_change(line.replace("=", "+", 1))
    assert spelling is not None
    return identity, spelling


def read_change(line: str) -> tuple[str, str | None]:
    """The object that a line of `changes` is about, and its definition from then on, None where it is dropped.

    Raises ChangeError.
    """
    sign = line[:1]
    end = next((mark.start() for mark in _MARKED_OR_END.finditer(line, 2) if mark[0] == ": "), None)
    if sign not in ("+", "-", "~") or line[1:2] != " " or end is None:
        raise ChangeError(f"not a line of changes: {line}")
    identity, definition = line[2:end], line[end + 2 :]
    if "\\" in identity:
        identity = re.sub(r"\\(.)", r"\1", identity, flags=re.DOTALL)
    if sign == "-":
        return identity, None
    if sign == "+":
        return identity, definition
    arrow = _SEPARATOR.search(line, end + 1)
    if arrow is None:
        raise ChangeError(f"not a line of changes: {line}")
    return identity, line[arrow.end() + 1 :]
