"""Whether a program that was written for one schema is served by a database that has another.

It answers the rollback (the image's head against the live schema) and the forward question (the manifest where the
database is, against head: does the pending change break the release that is still running).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from migrate.core.schema.differences import OWNERS, dotted, name, parse, parse_column, parse_labels
from migrate.core.schema.expressions import ANY, NULL, SOME, evaluate, evaluate_first, inside, parts, truth
from migrate.core.schema.implication import implies
from migrate.core.schema.spelling import AS_PRINTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrate.core.schema.differences import Column, Identity, Schema
    from migrate.core.schema.expressions import Value
    from migrate.core.schema.spelling import Spellings


@dataclass(frozen=True, slots=True)
class Break:
    """One thing in the database that the program does not work with; `rule` names the row of the table of rules."""

    identity: str
    rule: str
    sentence: str


@dataclass(frozen=True)
class _Case:
    """One object as the program knows it and as the database has it, None where it is not there."""

    identity: Identity
    program: str | None
    database: str | None
    programs: Schema
    databases: Schema

    @property
    def added(self) -> str:
        """The database's definition; the rules for what is new or changed ask only where there is one."""
        return self.database or ""

    @property
    def columns(self) -> tuple[Column, Column]:
        return parse_column(self.program or ""), parse_column(self.database or "")

    @property
    def owner(self) -> str:
        return dotted(self.identity.owner)

    def reads(self, column: str) -> bool:
        """Whether the program knows a column of this name in the owner of the object."""
        return f"column {self.owner}.{column}" in self.programs

    @cached_property
    def written(self) -> dict[str, Value]:
        """What the program's rows have in each column of the owner, as far as that is known, by the column's name."""
        prefix = f"column {self.owner}."
        return {
            text.removeprefix(prefix): self._written(text, definition)
            for text, definition in self.databases.items()
            if text.startswith(prefix)
        }

    def _written(self, text: str, definition: str) -> Value:
        column = parse_column(definition)
        otherwise = SOME if column.not_null else ANY
        if text in self.programs or column.generated is not None:
            return otherwise
        if column.default is None:
            return otherwise if column.not_null else NULL
        value = evaluate(column.default, {})
        return otherwise if value is ANY else value

    @cached_property
    def kept_keys(self) -> tuple[_Key, ...]:
        """The unique keys of the owner that are in the program's schema and in the database's, under whatever name."""
        prefixes = tuple(f"{kind} {self.owner}." for kind in _KEYS)
        programs, databases = (
            [_Key.read(d) for text, d in schema.items() if text.startswith(prefixes) and _is_in_force(d)]
            for schema in (self.programs, self.databases)
        )
        return tuple(key for key in programs if key in databases)

    @cached_property
    def finds_its_key(self) -> bool:
        """Whether `ON CONFLICT (…)` of the program finds its unique key still, as whatever it is there now.

        A primary key is more than that: a query that groups by one may select every other column.
        """
        assert self.program is not None
        is_primary = self.program.startswith("PRIMARY KEY")
        prefixes = tuple(f"{kind} {self.owner}." for kind in _KEYS)
        there = [d for text, d in self.databases.items() if text.startswith(prefixes) and _is_in_force(d)]
        key = _Key.read(self.program)
        return any(_Key.read(d) == key and (not is_primary or d.startswith("PRIMARY KEY")) for d in there)

    def is_secured(self) -> bool:
        """Whether the policies of the table count in the database."""
        return "enabled" in self.databases.get(f"row security {self.owner}", "")


def serves(program: Schema, database: Schema, spelled: Spellings = AS_PRINTED) -> tuple[Break, ...]:
    """What in `database` a program that was written for `program` does not work with, by table; empty: it is served.

    `spelled` has what is printed in more than one way: the program is served where any spelling of its own would be.

    What is not in `RULES` is served: a dropped NOT NULL, CHECK, foreign key, exclusion or index that is not unique, a
    wider type, another default, another body of a function or view, and whatever is new and not on a table that the
    program knows.
    """
    breaks = []
    programs, databases = spelled.of_schema(program), spelled.of_schema(database)
    different = {text for text in {*programs, *databases} if programs.get(text) != databases.get(text)}
    for text in sorted(different, key=_by_owner):
        before, after = programs.get(text), databases.get(text)
        case = _Case(parse(text), before, after, programs, databases)
        event = "gone" if after is None else "new" if before is None else "changed"
        if _is_told_of_its_owner(case):
            continue
        cases = [replace(case, program=each) for each in spelled.of(text, before)] if before is not None else [case]
        names = {"identity": text, "program": _line(program.get(text)), "database": _line(database.get(text))}
        breaks += [
            Break(text, rule.name, rule.sentence.format(**names))
            for rule in RULES
            if event in rule.events and case.identity.kind in rule.kinds and all(rule.breaks(each) for each in cases)
        ]
    return tuple(breaks)


def words(program: Schema, database: Schema, spelled: Spellings = AS_PRINTED) -> tuple[str, ...]:
    """What the program may trip over, though `database` serves what it asks of tables: unique keys of another name."""
    programs, databases = spelled.of_schema(program), spelled.of_schema(database)
    found = []
    for text in sorted(programs.keys() - databases.keys()):
        case = _Case(parse(text), programs[text], None, programs, databases)
        is_key = case.identity.kind == "constraint" and _is_unique(case.program) and not _is_told_of_its_owner(case)
        if is_key and case.finds_its_key:
            said = (
                f"{text} ({_line(program[text])}) has another name there: ON CONFLICT finds it by its columns, not by"
            )
            found.append(f"{said} ON CONSTRAINT {case.identity.path[-1]}")
    return tuple(found)


def _line(definition: str | None) -> str:
    return _BREAK.sub(" ", definition or "")


def _by_owner(text: str) -> tuple[tuple[str, ...], str]:
    identity = parse(text)
    return identity.owner or identity.path, text


def _is_told_of_its_owner(case: _Case) -> bool:
    """Whether the object goes or comes with a table, view or domain, which alone is worth a word."""
    if case.identity.kind in OWNERS or not case.identity.owner:
        return False
    owners = [f"{kind} {case.owner}" for kind in OWNERS]
    return not any(owner in case.programs and owner in case.databases for owner in owners)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table: what happens to which kinds of objects, and when that breaks the program."""

    name: str
    events: tuple[str, ...]  # gone, changed, new
    kinds: tuple[str, ...]
    sentence: str  # with {identity}, {program} and {database}
    breaks: Callable[[_Case], bool] = lambda _: True


def _is_unique(definition: str | None) -> bool:
    return definition is not None and definition.startswith(("PRIMARY KEY", "UNIQUE", "unique "))


def _is_in_force(definition: str) -> bool:
    return _is_unique(definition) and not definition.endswith(" invalid")


_BREAK = re.compile(r"\s*\n\s*")
_WORD = re.compile(r'"(?:[^"]|"")*"|[^\W\d][\w$]*')
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_DIRECTION = re.compile(r"(?: ASC| DESC)?(?: NULLS (?:FIRST|LAST))?$")


def _names(text: str) -> list[str]:
    """The words of an expression, as identities write names; some of them may be columns."""
    return [name(word[1:-1].replace('""', '"') if word[0] == '"' else word) for word in _WORD.findall(text)]


@dataclass(frozen=True, slots=True)
class _Key:
    """A constraint or an index with a list of parts, as it is printed: unique, an exclusion, or a foreign key."""

    parts: frozenset[str]
    operators: Mapping[str, str]  # of an exclusion, by part
    condition: str  # its predicate, empty without one
    nulls_collide: bool
    is_deferrable: bool
    is_temporal: bool  # WITHOUT OVERLAPS, and of PERIOD

    @classmethod
    def read(cls, definition: str) -> _Key:
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

    def leaves_out(self, case: _Case) -> bool:
        """Whether the program's rows are never compared with others: the predicate, or a NULL in a part, is against it."""
        if self.condition and True not in truth(evaluate(self.condition, case.written)):
            return True
        return not self.nulls_collide and any(evaluate_first(part, case.written) == NULL for part in self.parts)

    def is_implied(self, case: _Case) -> bool:
        """Whether a key that both have, of fewer parts, is always the first to refuse."""
        compared = frozenset(part for part in self.parts if self.operators[part] in {"", "="})
        return not self.is_temporal and any(
            other.parts <= compared
            and (not other.condition or other.condition == self.condition)
            and (not other.is_deferrable or self.is_deferrable)
            and not other.is_temporal
            and (not self.nulls_collide or other.nulls_collide or other.has_no_null(case))
            for other in case.kept_keys
        )

    def has_no_null(self, case: _Case) -> bool:
        return all(evaluate_first(part, case.written) is SOME for part in self.parts)


def _is_new(case: _Case) -> bool:
    """Whether the owner has no such constraint or index under another name in the program's schema."""
    prefix = f"{case.identity.kind} {case.owner}."
    return case.added not in (d for text, d in case.programs.items() if text.startswith(prefix))


def _can_collide(case: _Case) -> bool:
    """Whether a new unique key can refuse the program's rows."""
    if not _is_unique(case.added) or _is_unique(case.program) or not _is_new(case):
        return False
    key = _Key.read(case.added)
    return not key.leaves_out(case) and not key.is_implied(case)


def _can_exclude(case: _Case) -> bool:
    """Whether a new exclusion can refuse the program's rows."""
    if not case.added.startswith("EXCLUDE") or not _is_new(case):
        return False
    key = _Key.read(case.added)
    return not key.leaves_out(case) and not key.is_implied(case)


def _can_dangle(case: _Case) -> bool:
    """Whether a new foreign key can refuse the program's rows: not where they have NULL in one of its columns."""
    if not case.added.startswith("FOREIGN KEY") or _is_unenforced(case.added) or not _is_new(case):
        return False
    suffices = all if "MATCH FULL" in case.added else any
    if suffices(case.written.get(part) == NULL for part in _key_columns(case.added)):
        return False
    prefix = f"constraint {case.owner}."
    return not any(_is_laxer(case, d, case.added) for text, d in case.programs.items() if text.startswith(prefix))


def _key_columns(definition: str) -> list[str]:
    return _names(inside(definition)[0])


def _can_fail(case: _Case) -> bool:
    """Whether a new CHECK can refuse the program's rows.

    What is not understood, and about none but new columns, was validated with the values that these rows will have.
    """
    if not case.added.startswith("CHECK") or _is_unenforced(case.added) or not _is_new(case):
        return False
    may_be = truth(evaluate(inside(case.added)[0], case.written))
    if False not in may_be or _is_implied(case):
        return False
    words = _names(_LITERAL.sub("", case.added))
    is_about_new = any(f"column {case.owner}.{word}" in case.databases for word in words)
    return not is_about_new or any(map(case.reads, words)) or len(may_be) == 1


def _is_implied(case: _Case) -> bool:
    """Whether a CHECK of one column lets pass what the program's own checks did, under whatever names."""
    words = {word for word in _names(_LITERAL.sub("", case.added)) if f"column {case.owner}.{word}" in case.databases}
    if len(words) != 1:
        return False
    (column,) = words
    identity = f"column {case.owner}.{column}"
    program, database = (parse_column(schema.get(identity, "")) for schema in (case.programs, case.databases))
    if program.collation or database.collation:  # under some, texts that differ are equal
        return False
    prefix = f"constraint {case.owner}."
    known = [d for text, d in case.programs.items() if text.startswith(prefix) and d.startswith("CHECK")]
    given = [inside(definition)[0] for definition in known if not _is_unenforced(definition)]
    types = {each.type.partition("(")[0] for each in (program, database)}
    return all(implies(given, inside(case.added)[0], column, type_) for type_ in types)


def _is_unenforced(definition: str) -> bool:
    return definition.endswith(" NOT ENFORCED")


def _is_stricter(case: _Case) -> bool:
    """Whether a CHECK, foreign key or exclusion that both have is another one, and not a laxer one."""
    if _is_unique(case.program) or _is_unique(case.added):
        return False
    program, database = case.program or "", case.added
    is_laxer = _is_unenforced(database) or _is_laxer(case, program, database)
    if database.startswith("CHECK") and _is_implied(case):
        return False
    return not is_laxer and not _allows_more(*(text.removesuffix(" NOT VALID") for text in (program, database)))


_DONE = "( ON {} (?:CASCADE|RESTRICT|SET NULL|SET DEFAULT)(?: \\([^)]*\\))?)?"
_TAIL = re.compile(
    rf"{_DONE.format('UPDATE')}{_DONE.format('DELETE')}( DEFERRABLE(?: INITIALLY DEFERRED)?)?(?: NOT VALID)?$"
)


def _is_laxer(case: _Case, program: str, database: str) -> bool:
    """Whether a constraint refuses nothing that another did not: the same, but for NOT VALID, DEFERRABLE and actions."""
    found = [_TAIL.search(text) for text in (program, database)]
    before, after = found
    assert before is not None
    assert after is not None  # it may be empty
    if program[: before.start()] != database[: after.start()] or before[3] not in {None, after[3]}:
        return False
    return all(_does_no_less(case, before[each], after[each], before[3]) for each in (1, 2))


def _does_no_less(case: _Case, program: str | None, database: str | None, deferred: str | None) -> bool:
    """Whether a key's action lets the program do what it did; where it was refused, nobody waits for the refusal."""
    if program == database or (database is None and (program or "").endswith(" RESTRICT")):
        return True
    if database is None or database.endswith(" RESTRICT") or deferred is not None:
        return False  # it refuses more, or acts before the end of a transaction that would have put things right
    if program is not None and not program.endswith(" RESTRICT"):
        return False  # what the program relies on is not done any more
    if " SET NULL" not in database:
        return True
    columns = _names(inside(database)[0]) or _key_columns(case.added)
    return all(not parse_column(case.databases.get(f"column {case.owner}.{each}", "")).not_null for each in columns)


# `CHECK (((status)::text = ANY ((ARRAY['a'::text, 'b'::text])::text[])))`, and the same without its list.
_CHOICES = re.compile(r"ARRAY\[((?:[^\]']|'(?:[^']|'')*')*)\]")
_CHOICE = re.compile(r"(?:'(?:[^']|'')*'|[^,'])+")
_IN = re.compile(r'CHECK \(\(+[\w"]+\)*(?:::[\w ]+)? = ANY \(+\)*(?:::[\w \[\]]+)?\)+')


def _allows_more(program: str, database: str) -> bool:
    """Whether a CHECK differs by further values of an `IN (…)` alone, which is printed as `= ANY (ARRAY[…])`."""
    frame = _CHOICES.sub("", program)
    if _IN.fullmatch(frame) is None or frame != _CHOICES.sub("", database):
        return False
    few, many = (
        {choice.strip() for choice in _CHOICE.findall(_CHOICES.findall(text)[0])} for text in (program, database)
    )
    return few <= many


def _wants_value(case: _Case) -> bool:
    """A default fills in for a program that does not know the column; one that does writes its NULL explicitly."""
    program, database = case.columns
    if not database.not_null or (case.program is not None and program.not_null):
        return False
    return case.program is not None or (database.default is None and database.generated is None)


def _loses_default(case: _Case) -> bool:
    program, database = case.columns
    filled = program.default is not None or program.is_identity
    return filled and program.not_null and database.default is None and database.generated is None


def _refuses_values(case: _Case) -> bool:
    program, database = case.columns
    if program.is_computed:
        return False
    is_always = database.is_identity and (database.generated or "").startswith("always")
    was_always = program.is_identity and (program.generated or "").startswith("always")
    return database.is_computed or (is_always and not was_always)


def _loses_labels(case: _Case) -> bool:
    left = iter(parse_labels(case.added))
    return not all(label in left for label in parse_labels(case.program or ""))


def _signature(definition: str | None) -> str:
    return (definition or "").partition("\n LANGUAGE ")[0]


_STEP = re.compile(r"increment by (-?\d+)")


# On both sides of a type's name stand its modifiers: `timestamp(3) with time zone`.
_TYPE = re.compile(r"([^(\[]+?)(?:\(([-\d,]+)\))?( [^(\[]*)?((?:\[\])*)")
_WIDER = frozenset(
    {
        ("smallint", "integer"),
        ("smallint", "bigint"),
        ("integer", "bigint"),
        ("real", "double precision"),
        ("character varying", "text"),
        ("text", "character varying"),
        ("json", "jsonb"),
    },
)
_LIMITED = (
    "bit varying",
    "character varying",
    "interval",
    "time with time zone",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
)


def is_served_by(program: str, database: str) -> bool:
    """Whether a column of type `database` takes and gives whatever one of type `program` does."""
    if program == database:
        return True
    found = _TYPE.fullmatch(program), _TYPE.fullmatch(database)
    if found[0] is None or found[1] is None or found[0][4] != found[1][4]:
        return False  # of a type of the user's, or arrays of other dimensions
    bases = found[0][1] + (found[0][3] or ""), found[1][1] + (found[1][3] or "")
    narrow, wide = ([int(number) for number in match[2].split(",")] if match[2] else [] for match in found if match)
    if bases[0] != bases[1]:
        return bases in _WIDER and not wide
    if not wide or not narrow:
        return not wide and bases[0] in (*_LIMITED, "numeric")
    if bases[0] == "numeric":
        return wide[1] >= narrow[1] and wide[0] - wide[1] >= narrow[0] - narrow[1]
    return bases[0] in _LIMITED and wide >= narrow


_GONE, _CHANGED, _NEW = ("gone",), ("changed",), ("new",)
_KEYS = ("constraint", "index")
_ROUTINES = ("function", "procedure", "aggregate")

RULES = (
    Rule(
        "relation-dropped",
        _GONE,
        ("table", "foreign table", "view", "materialized view"),
        "{identity} is gone",
    ),
    Rule("column-dropped", _GONE, ("column",), "{identity} is gone"),
    Rule(
        "unique-key-dropped",
        _GONE,
        _KEYS,
        "{identity} ({program}) is gone: ON CONFLICT no longer finds it",
        lambda case: _is_unique(case.program) and not case.finds_its_key,
    ),
    Rule("type-dropped", _GONE, ("enum", "domain", "type", "range", "collation"), "{identity} is gone"),
    Rule("routine-dropped", _GONE, _ROUTINES, "{identity} is gone"),
    Rule("sequence-dropped", _GONE, ("sequence",), "{identity} is gone"),
    Rule("extension-dropped", _GONE, ("extension",), "{identity} is gone, and with it its functions and types"),
    Rule("trigger-dropped", _GONE, ("trigger", "rule"), "{identity} is gone: what it did is not done any more"),
    Rule(
        "policy-dropped",
        _GONE,
        ("policy",),
        "{identity} is gone: row security hides the rows that it allowed",
        lambda case: case.is_secured() and (case.program or "").startswith("as permissive"),
    ),
    Rule(
        "table-changed",
        _CHANGED,
        ("table",),
        "{identity} is {database}, not {program}",
    ),
    Rule(
        "label-dropped",
        _CHANGED,
        ("enum",),
        "{identity} has the labels {database}, not {program}",
        _loses_labels,
    ),
    Rule(
        "type-changed",
        _CHANGED,
        ("column", "domain"),
        "{identity} is {database}, which does not hold all of {program}",
        lambda case: not is_served_by(case.columns[0].type, case.columns[1].type),
    ),
    Rule(
        "collation-changed",
        _CHANGED,
        ("column", "domain"),
        "{identity} is {database}, which sorts and compares otherwise than {program}",
        lambda case: case.columns[0].collation != case.columns[1].collation,
    ),
    Rule("definition-changed", _CHANGED, ("type", "range", "collation"), "{identity} is {database}, not {program}"),
    Rule(
        "not-null-added",
        _CHANGED,
        ("column", "domain"),
        "{identity} is {database}: a row without it is refused",
        _wants_value,
    ),
    Rule(
        "default-dropped",
        _CHANGED,
        ("column",),
        "{identity} is {database}: a row without it does not get a value any more ({program})",
        _loses_default,
    ),
    Rule(
        "value-refused",
        _CHANGED,
        ("column",),
        "{identity} is {database}: a value for it is refused",
        _refuses_values,
    ),
    Rule(
        "no-longer-computed",
        _CHANGED,
        ("column",),
        "{identity} is {database}, no longer computed ({program})",
        lambda case: case.columns[0].is_computed and not case.columns[1].is_computed,
    ),
    Rule(
        "routine-changed",
        _CHANGED,
        ("function", "procedure"),
        "{identity} has other arguments or another result",
        lambda case: _signature(case.program) != _signature(case.database),
    ),
    Rule("aggregate-changed", _CHANGED, ("aggregate",), "{identity} is {database}, not {program}"),
    Rule(
        "sequence-changed",
        _CHANGED,
        ("sequence",),
        "{identity} has another increment: {database}, not {program}",
        lambda case: _STEP.findall(case.program or "") != _STEP.findall(case.added),
    ),
    Rule(
        "unique-key-changed",
        _CHANGED,
        _KEYS,
        "{identity} is {database}, not {program}: ON CONFLICT no longer finds it, or it refuses other rows",
        lambda case: _is_unique(case.program) and not case.finds_its_key,
    ),
    Rule(
        "constraint-changed",
        _CHANGED,
        ("constraint",),
        "{identity} is {database}, not {program}: it may refuse what it let pass, or does not do what it did",
        _is_stricter,
    ),
    Rule("trigger-changed", _CHANGED, ("trigger", "rule"), "{identity} does something else: {database}"),
    Rule(
        "policy-changed",
        _CHANGED,
        ("policy",),
        "{identity} allows other rows: {database}",
        _Case.is_secured,
    ),
    Rule(
        "required-column-added",
        _NEW,
        ("column",),
        "{identity} is new and {database}: a row without it is refused",
        _wants_value,
    ),
    Rule(
        "unique-key-added",
        (*_CHANGED, *_NEW),
        _KEYS,
        "{identity} is new and {database}: rows that were let pass may be refused",
        _can_collide,
    ),
    Rule(
        "check-added",
        _NEW,
        ("constraint",),
        "{identity} is new and {database}: rows that were let pass may be refused",
        _can_fail,
    ),
    Rule(
        "foreign-key-added",
        _NEW,
        ("constraint",),
        "{identity} is new and {database}: rows that were let pass may be refused",
        _can_dangle,
    ),
    Rule(
        "exclusion-added",
        _NEW,
        ("constraint",),
        "{identity} is new and {database}: rows that were let pass may be refused",
        _can_exclude,
    ),
    Rule(
        "trigger-added",
        _NEW,
        ("trigger", "rule"),
        "{identity} is new: it acts on the program's rows ({database})",
        lambda case: not case.added.endswith(" disabled"),
    ),
    Rule(
        "row-security-added",
        (*_CHANGED, *_NEW),
        ("row security",),
        "{identity} is {database}: rows may be hidden or refused",
        lambda case: case.is_secured() and not set(case.added.split(", ")) <= set((case.program or "").split(", ")),
    ),
    Rule(
        "policy-added",
        _NEW,
        ("policy",),
        "{identity} is new and hides or refuses rows: {database}",
        lambda case: case.is_secured() and case.added.startswith("as restrictive"),
    ),
)
