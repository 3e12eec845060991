"""Effects: what a revision was seen to do to tables that were there before it, each as one line of the manifest.

| line | what was seen |
|---|---|
| `blocks reads and writes of T: rewrite` | every row was written anew |
| `blocks reads and writes of T: scan (email is made not null)` | every row was read, and why |
| `blocks writes of T: builds index ix` | an index was built while nobody could write |
| `blocks writes of T: foreign key fk to P` | every value was looked up in P |
| `blocks writes of P: foreign key fk of T` | the other side of it |
| `blocks reads and writes of T: brief` | the catalog alone was changed |
| `blocks reads and writes of T through 3 more statements` | the lock was held while they ran |
| `concurrent build of index ix on T`, `concurrent scan of T (ck is validated)` | nobody was blocked |
| `writes rows of T`, `writes rows of T (all are removed)` | rows were inserted, updated or deleted |
| `raises lock_timeout to 1min` | the revision waits longer for locks than it was told to |

Names are relative to the default schema and written as in identities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable


class Blocks(StrEnum):
    """What of others waits while a lock is held; the later one includes the earlier one."""

    NOTHING = "nothing"
    WRITES = "writes"
    ALL = "reads and writes"

    @property
    def rank(self) -> int:
        """0 for nothing, 2 for all."""
        return list(Blocks).index(self)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Every row of the table was written anew."""

    table: str
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class Scan:
    """Every row of the table was read to see whether it fulfils a rule; `why` is empty where the cause is not known."""

    table: str
    blocks: Blocks
    why: str = ""


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """An index was built on the rows that are there; concurrently where nothing is blocked."""

    table: str
    blocks: Blocks
    index: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Every value of a foreign key was looked up; `is_parent`: the table is the one that is referenced."""

    table: str
    blocks: Blocks
    constraint: str
    other: str
    is_parent: bool = False


@dataclass(frozen=True, slots=True)
class Brief:
    """Others wait, but only for a change of the catalog; `why` is empty where there is no more to say."""

    table: str
    blocks: Blocks
    why: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A lock was held while this many statements ran after the one that took it."""

    table: str
    blocks: Blocks
    statements: int


@dataclass(frozen=True, slots=True)
class RowsWritten:
    """Rows of the table were inserted, updated or deleted; `all_removed`: by TRUNCATE, which empties it."""

    table: str
    all_removed: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """The revision made a limit of its session wider than it was given; the value as PostgreSQL shows it."""

    setting: str
    value: str


Effect = Rewrite | Scan | IndexBuild | ForeignKey | Brief | Held | RowsWritten | Raised

_ORDER: Final = (Rewrite, Scan, IndexBuild, ForeignKey, Brief, Held, RowsWritten, Raised)
HEAVY: Final = (Rewrite, Scan, IndexBuild, ForeignKey)
"""The effects whose time grows with the table."""

_NAME: Final = r'(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")'
_TABLE: Final = rf"(?P<table>{_NAME}(?:\.{_NAME})*)"
_OTHER: Final = rf"(?P<other>{_NAME}(?:\.{_NAME})*)"
_WHY: Final = r"(?: \((?P<why>.+)\))?"
_BLOCKED: Final = re.compile(
    rf"blocks (?P<blocks>reads and writes|writes) of {_TABLE}"
    rf"(?: through (?P<statements>[1-9]\d{{0,8}}) more statements?|: (?:(?P<kind>rewrite|(?:scan|brief){_WHY})"
    rf"|builds index (?P<index>{_NAME})|foreign key (?P<constraint>{_NAME}) (?P<side>to|of) {_OTHER}))",
    re.DOTALL,
)
_BUILD: Final = re.compile(rf"concurrent build of index (?P<index>{_NAME}) on {_TABLE}", re.DOTALL)
_SCAN: Final = re.compile(rf"concurrent scan of {_TABLE}{_WHY}", re.DOTALL)
_WRITES: Final = re.compile(rf"writes rows of {_TABLE}(?P<all> \(all are removed\))?", re.DOTALL)
_RAISED: Final = re.compile(r"raises (?P<setting>[a-z_]+) to (?P<value>.+)", re.DOTALL)


class EffectError(ValueError):
    """The text is no line of effects."""


def line(effect: Effect) -> str:
    """The effect as a line of the manifest."""
    match effect:
        case RowsWritten(table, all_removed):
            return f"writes rows of {table}{' (all are removed)' if all_removed else ''}"
        case Raised(setting, value):
            return f"raises {setting} to {value}"
        case Held(table, blocks, statements):
            return f"blocks {blocks} of {table} through {statements} more statement{'' if statements == 1 else 's'}"
        case IndexBuild(table, Blocks.NOTHING, index):
            return f"concurrent build of index {index} on {table}"
        case Scan(table, Blocks.NOTHING, why):
            return f"concurrent scan of {table}{_in_parentheses(why)}"
        case _:
            return f"blocks {effect.blocks} of {effect.table}: {_cause(effect)}"


def _cause(effect: Rewrite | Scan | IndexBuild | ForeignKey | Brief) -> str:
    match effect:
        case Rewrite():
            return "rewrite"
        case Scan(why=why):
            return f"scan{_in_parentheses(why)}"
        case Brief(why=why):
            return f"brief{_in_parentheses(why)}"
        case IndexBuild(index=index):
            return f"builds index {index}"
        case ForeignKey(constraint=constraint, other=other, is_parent=is_parent):
            return f"foreign key {constraint} {'of' if is_parent else 'to'} {other}"
        case _:
            assert_never(effect)


def _in_parentheses(why: str) -> str:
    return f" ({why})" if why else ""


def read(text: str) -> Effect:
    """The effect of a line. Raises EffectError."""
    effect = _read(text)
    if effect is None or line(effect) != text:
        raise EffectError(f"not a line of effects: {text}")
    return effect


def _read(text: str) -> Effect | None:
    if found := _BLOCKED.fullmatch(text):
        return _blocked(found)
    if found := _BUILD.fullmatch(text):
        return IndexBuild(found["table"], Blocks.NOTHING, found["index"])
    if found := _SCAN.fullmatch(text):
        return Scan(found["table"], Blocks.NOTHING, found["why"] or "")
    if found := _WRITES.fullmatch(text):
        return RowsWritten(found["table"], found["all"] is not None)
    if found := _RAISED.fullmatch(text):
        return Raised(found["setting"], found["value"])
    return None


def _blocked(found: re.Match[str]) -> Effect:
    table, blocks = found["table"], Blocks(found["blocks"])
    if found["statements"]:
        return Held(table, blocks, int(found["statements"]))
    if found["index"]:
        return IndexBuild(table, blocks, found["index"])
    if found["constraint"]:
        return ForeignKey(table, blocks, found["constraint"], found["other"], found["side"] == "of")
    if found["kind"] == "rewrite":
        return Rewrite(table, blocks)
    return (Scan if found["kind"].startswith("scan") else Brief)(table, blocks, found["why"] or "")


def canonical(effects: Iterable[Effect]) -> tuple[Effect, ...]:
    """Each effect once, by table, and of a table in the order of their kinds; a wider limit comes last."""
    return tuple(
        sorted(set(effects), key=lambda effect: (table_of(effect) is None, table_of(effect) or "", _rank(effect)))
    )


def _rank(effect: Effect) -> tuple[int, str]:
    return _ORDER.index(type(effect)), line(effect)


def table_of(effect: Effect) -> str | None:
    """The table that the effect is about; None where it is about the session."""
    return None if isinstance(effect, Raised) else effect.table


def is_heavy(effect: Effect) -> bool:
    """Whether others are blocked for a time that grows with the table."""
    return isinstance(effect, HEAVY) and effect.blocks is not Blocks.NOTHING
