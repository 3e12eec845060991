"""The table of what in a changed database breaks a program that was written for what was there before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.schema.constraints import can_collide, can_dangle, can_exclude, can_fail, is_stricter
from migrate.core.schema.differences import parse_labels
from migrate.core.schema.pair import KEYS, Pair, is_unique
from migrate.core.schema.widening import is_served_by

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table: what happens to which kinds of objects, and when that breaks the program."""

    name: str
    events: tuple[str, ...]  # gone, changed, new
    kinds: tuple[str, ...]
    why: str  # with {identity}, {program} and {database}
    breaks: Callable[[Pair], bool] = lambda _: True


def _wants_value(pair: Pair) -> bool:
    """A default fills in for a program that does not know the column; one that does writes its NULL explicitly."""
    program, database = pair.columns
    if not database.not_null or (pair.program is not None and program.not_null):
        return False
    return pair.program is not None or (database.default is None and database.generated is None)


def _loses_default(pair: Pair) -> bool:
    program, database = pair.columns
    filled = program.default is not None or program.is_identity
    return filled and program.not_null and database.default is None and database.generated is None


def _refuses_values(pair: Pair) -> bool:
    program, database = pair.columns
    if program.is_computed:
        return False
    is_always = database.is_identity and (database.generated or "").startswith("always")
    was_always = program.is_identity and (program.generated or "").startswith("always")
    return database.is_computed or (is_always and not was_always)


def _loses_labels(pair: Pair) -> bool:
    left = iter(parse_labels(pair.added))
    return not all(label in left for label in parse_labels(pair.program or ""))


def _signature(definition: str | None) -> str:
    return (definition or "").partition("\n LANGUAGE ")[0]


_STEP = re.compile(r"increment by (-?\d+)")
_GONE, _CHANGED, _NEW = ("gone",), ("changed",), ("new",)
_ROUTINES = ("function", "procedure", "aggregate")

RULES = (
    Rule(
        "relation-dropped",
        _GONE,
        ("table", "foreign table", "view", "materialized view"),
        "{identity} is missing",
    ),
    Rule("column-dropped", _GONE, ("column",), "{identity} is missing"),
    Rule(
        "unique-key-dropped",
        _GONE,
        KEYS,
        "{identity} ({program}) is missing: ON CONFLICT no longer finds it",
        lambda pair: is_unique(pair.program) and not pair.finds_its_key,
    ),
    Rule("type-dropped", _GONE, ("enum", "domain", "type", "range", "collation"), "{identity} is missing"),
    Rule("routine-dropped", _GONE, _ROUTINES, "{identity} is missing"),
    Rule("sequence-dropped", _GONE, ("sequence",), "{identity} is missing"),
    Rule("extension-dropped", _GONE, ("extension",), "{identity} is missing, and with it its functions and types"),
    Rule("trigger-dropped", _GONE, ("trigger", "rule"), "{identity} is missing: what it did no longer happens"),
    Rule(
        "policy-dropped",
        _GONE,
        ("policy",),
        "{identity} is missing: row security hides the rows that it allowed",
        lambda pair: pair.is_secured() and (pair.program or "").startswith("as permissive"),
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
        "{identity} is {database}, which cannot hold every {program}",
        lambda pair: not is_served_by(pair.columns[0].type, pair.columns[1].type),
    ),
    Rule(
        "collation-changed",
        _CHANGED,
        ("column", "domain"),
        "{identity} is {database}, which sorts and compares differently from {program}",
        lambda pair: pair.columns[0].collation != pair.columns[1].collation,
    ),
    Rule("definition-changed", _CHANGED, ("type", "range", "collation"), "{identity} is {database}, not {program}"),
    Rule(
        "not-null-added",
        _CHANGED,
        ("column", "domain"),
        "{identity} is {database}: an INSERT without it fails",
        _wants_value,
    ),
    Rule(
        "default-dropped",
        _CHANGED,
        ("column",),
        "{identity} is {database}: an INSERT without it no longer gets the default ({program})",
        _loses_default,
    ),
    Rule(
        "value-refused",
        _CHANGED,
        ("column",),
        "{identity} is {database}: an INSERT that sets it fails",
        _refuses_values,
    ),
    Rule(
        "no-longer-computed",
        _CHANGED,
        ("column",),
        "{identity} is {database}, no longer computed ({program})",
        lambda pair: pair.columns[0].is_computed and not pair.columns[1].is_computed,
    ),
    Rule(
        "routine-changed",
        _CHANGED,
        ("function", "procedure"),
        "{identity} has other arguments or another result",
        lambda pair: _signature(pair.program) != _signature(pair.database),
    ),
    Rule("aggregate-changed", _CHANGED, ("aggregate",), "{identity} is {database}, not {program}"),
    Rule(
        "sequence-changed",
        _CHANGED,
        ("sequence",),
        "{identity} has another increment: {database}, not {program}",
        lambda pair: _STEP.findall(pair.program or "") != _STEP.findall(pair.added),
    ),
    Rule(
        "unique-key-changed",
        _CHANGED,
        KEYS,
        "{identity} is {database}, not {program}: ON CONFLICT no longer finds it, or it refuses other rows",
        lambda pair: is_unique(pair.program) and not pair.finds_its_key,
    ),
    Rule(
        "constraint-changed",
        _CHANGED,
        ("constraint",),
        "{identity} is {database}, not {program}: it may refuse what it accepted, or no longer do what it did",
        is_stricter,
    ),
    Rule("trigger-changed", _CHANGED, ("trigger", "rule"), "{identity} does something else: {database}"),
    Rule(
        "policy-changed",
        _CHANGED,
        ("policy",),
        "{identity} allows other rows: {database}",
        Pair.is_secured,
    ),
    Rule(
        "required-column-added",
        _NEW,
        ("column",),
        "{identity} is new and {database}: an INSERT without it fails",
        _wants_value,
    ),
    Rule(
        "unique-key-added",
        (*_CHANGED, *_NEW),
        KEYS,
        "{identity} is new and {database}: rows that were accepted may be refused",
        can_collide,
    ),
    Rule(
        "check-added",
        _NEW,
        ("constraint",),
        "{identity} is new and {database}: rows that were accepted may be refused",
        can_fail,
    ),
    Rule(
        "foreign-key-added",
        _NEW,
        ("constraint",),
        "{identity} is new and {database}: rows that were accepted may be refused",
        can_dangle,
    ),
    Rule(
        "exclusion-added",
        _NEW,
        ("constraint",),
        "{identity} is new and {database}: rows that were accepted may be refused",
        can_exclude,
    ),
    Rule(
        "trigger-added",
        _NEW,
        ("trigger", "rule"),
        "{identity} is new: it acts on the program's rows ({database})",
        lambda pair: not pair.added.endswith(" disabled"),
    ),
    Rule(
        "row-security-added",
        (*_CHANGED, *_NEW),
        ("row security",),
        "{identity} is {database}: rows may be hidden or refused",
        lambda pair: pair.is_secured() and not set(pair.added.split(", ")) <= set((pair.program or "").split(", ")),
    ),
    Rule(
        "policy-added",
        _NEW,
        ("policy",),
        "{identity} is new and hides or refuses rows: {database}",
        lambda pair: pair.is_secured() and pair.added.startswith("as restrictive"),
    ),
)
