"""What the manifest expects of pending revisions, and which of their needs only earlier ones make askable."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from migrate.core.decide.pooling import leaves_transaction
from migrate.core.foresee.candidates import names_in
from migrate.core.foresee.effects import Blocks, Brief, Rewrite, RowsWritten
from migrate.core.foresee.live import Later, LiveEffect, LiveNeed, Outlook
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
from migrate.core.foresee.opaque import does_more
from migrate.core.schema.differences import dotted, is_spelling, name, parse, parse_column, read_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from migrate.core.foresee.effects import Effect
    from migrate.core.foresee.needs import Condition
    from migrate.core.history.graph import Revision
    from migrate.core.manifest.manifest import Manifest

_NAMED: Final = frozenset({"domain", "enum", "type", "range", "function", "collation"})
_ACTING: Final = re.compile(r" REFERENCES (?P<parent>[^(]+)\([^)]*\).* ON (?:DELETE|UPDATE) (?:CASCADE|SET)", re.DOTALL)
_CHILD: Final = re.compile(r"[+~] table .*\btable (?:partition of |inherits \()(?P<parent>[^\s,)]+)", re.DOTALL)


def expected(
    manifest: Manifest, revisions: Sequence[Revision], source_of: Callable[[Revision], str] | None = None
) -> Outlook:
    """The effects and the needs of these revisions, in their order, before anybody has looked at a database.

    Of a revision whose file is not the manifest's, nothing is known. Of one that leaves its transaction it was not seen
    whose rows it writes: it may be those of every table that its text names, where somebody is going to ask.
    """
    effects: list[LiveEffect] = []
    needs: list[LiveNeed] = []
    unknown_effects: list[Revision] = []
    unknown_needs: list[Revision] = []
    earlier = _Earlier(manifest)
    for revision in revisions:
        entry = manifest.revisions[manifest.position_of[revision.id]]
        is_known = entry.revision.sha256 == revision.sha256
        does = manifest.effects_of(revision.id) if is_known else None
        wants = manifest.needs_of(revision.id) if is_known else None
        if does is None:
            unknown_effects.append(revision)
        if wants is None:
            unknown_needs.append(revision)
        effects += [LiveEffect(revision, effect) for effect in does or ()]
        needs += [
            LiveNeed(revision, need, Later() if earlier.is_in_the_way(need.condition) else None) for need in wants or ()
        ]
        earlier.add(entry.changes, does, source_of(revision) if source_of is not None else "")
    return Outlook(tuple(effects), tuple(needs), tuple(unknown_effects), tuple(unknown_needs))


class _Earlier:
    """What the revisions before one make, and whose rows they write: read when somebody asks, as most have no need."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._unread: list[tuple[Iterable[str], Iterable[Effect] | None, str]] = []
        self._made: set[tuple[str, str]] = set()  # of a column its table, else nothing, and the name
        self._written: set[str] = set()
        self._may_write_any = False
        self._swapped: set[str] = set()  # under whose name, or a column's, other rows may stand now
        self._texts: list[str] = []  # of revisions whose statements commit by themselves

    def add(self, changes: Iterable[str], effects: Iterable[Effect] | None, source: str) -> None:
        """One more revision; of effects that are not known, any table may have been written."""
        self._unread.append((changes, effects, source))

    @cached_property
    def _relations(self) -> _Relations:
        return _relations(self._manifest)

    def _read(self, changes: Iterable[str], effects: Iterable[Effect] | None, source: str) -> None:
        lines = [line for line in changes if not is_spelling(line)]
        for line in lines:
            self._note(line)
        for effect in effects or ():
            if isinstance(effect, RowsWritten):
                self._write(effect.table)
            elif isinstance(effect, Rewrite):
                # the values of a column of another type are others; where none is, those of any may be, by an expression
                if not any(_is_about(effect.table, line) for line in lines):
                    self._write(effect.table)
            elif isinstance(effect, Brief) and effect.blocks is Blocks.ALL and _may_swap(effect.table, lines):
                self._swapped.add(effect.table)
        # where there are rows it may do more than was seen where there were none
        self._may_write_any = self._may_write_any or effects is None or does_more(source)
        if leaves_transaction(source):
            self._texts.append(source)

    def _write(self, table: str) -> None:
        """Its rows may be others, and so may those of what they are in, of what follows them, and of whatever triggers write."""
        waiting = [table]
        while waiting:
            each = waiting.pop()
            if each not in self._written:
                self._written.add(each)
                waiting += self._relations.followers.get(each, ())
                self._may_write_any = self._may_write_any or each in self._relations.triggered

    def is_in_the_way(self, condition: Condition) -> bool:
        """Whether the condition can be asked only after these revisions."""
        for each in self._unread:
            self._read(*each)
        self._unread.clear()
        tables = [condition.table, *([condition.parent] if isinstance(condition, HasParent) else [])]
        if self._may_write_any or not (self._written | self._swapped).isdisjoint(tables):
            return True
        own = [parse(f"table {table}").path[-1] for table in tables]
        if any(re.search(rf"(?<!\w){re.escape(each)}(?!\w)", text) for each in own for text in self._texts):
            return True
        words = _names(condition)
        return any(("", table) in self._made for table in tables) or any(
            made in words and (not owner or owner in tables) for owner, made in self._made
        )

    def _note(self, line: str) -> None:
        identity, definition = read_change(line)
        parsed = parse(identity)
        if definition is None:
            if parsed.kind == "table":  # of a partition or a child, its rows go from the other table, too
                self._write(dotted(parsed.path))
            return
        if parsed.kind == "table" and line.startswith("+"):
            self._made.add(("", dotted(parsed.path)))
        elif parsed.kind == "table":  # attached, or detached: the rows of the other table are others now
            self._write(dotted(parsed.path))
        elif parsed.kind == "column":
            if line.startswith("+") or not _keeps_type(line, identity, definition):
                self._made.add((dotted(parsed.owner), name(parsed.path[-1])))
        elif parsed.kind in _NAMED:
            self._made.add(("", name(parsed.path[-1])))


def _may_swap(table: str, lines: Iterable[str]) -> bool:
    """Whether a table that nobody could read meanwhile may have other rows, or other columns under the same names.

    One that was made anew, or renamed for another, looks as it did; of columns one that goes and one that comes are seen.
    """
    about = [line for line in lines if _is_about(table, line)]
    return not about or {"+", "-"} <= {line[0] for line in about if line[2:].startswith(("column ", "table "))}


def _is_about(table: str, line: str) -> bool:
    parsed = parse(read_change(line)[0])
    return table in {dotted(parsed.owner), dotted(parsed.path)}


class _Relations(NamedTuple):
    """What else changes where the rows of a table do."""

    followers: dict[str, set[str]]  # what it is a partition or a child of; what refers to it with an action
    triggered: set[str]  # the tables that have triggers


def _relations(manifest: Manifest) -> _Relations:
    found = _Relations({}, set())
    baseline = manifest.baseline.changes if manifest.baseline is not None else ()
    for line in (line for changes in (baseline, *(entry.changes for entry in manifest.revisions)) for line in changes):
        if line.startswith(("+ trigger ", "~ trigger ")):
            found.triggered.add(dotted(parse(read_change(line)[0]).owner))
        elif line.startswith(("+ table ", "~ table ")) and (child := _CHILD.match(line)) is not None:
            found.followers.setdefault(dotted(parse(read_change(line)[0]).path), set()).add(child["parent"])
        elif line.startswith(("+ constraint ", "~ constraint ")) and (acting := _ACTING.search(line)) is not None:
            found.followers.setdefault(acting["parent"], set()).add(dotted(parse(read_change(line)[0]).owner))
    return found


def _names(condition: Condition) -> set[str]:
    """What the condition names in its table, and what else its expressions may name."""
    match condition:
        case NoRow():
            return set()
        case NoNull(column=column):
            return {column}
        case NoDuplicates(key=key, where=where):
            return names_in(f"{key} {where}")
        case Fulfils(check=check, column=column):
            return names_in(f"{check} {column}")
        case HasParent(columns=columns, references=references):
            return names_in(f"{columns} {references}")
        case NoOverlap(exclude=exclude):
            return names_in(exclude)
        case Fits(column=column, type=type_):
            return names_in(f"{column} {type_}")
        case NoLabel(column=column):
            return {column}
        case _:
            assert_never(condition)


def _keeps_type(line: str, identity: str, definition: str) -> bool:
    """Whether a column that is changed holds the values that it held; in doubt it does not."""
    before = line.removeprefix(f"~ {identity}: ")
    type_ = parse_column(definition).type
    return before != line and before.startswith((f"{type_} -> ", f"{type_} not null", f"{type_} default "))
