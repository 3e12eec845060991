"""From what a revision was seen to do, statement by statement, to its effects.

PostgreSQL says at `client_min_messages = debug1` what it rewrites, reads and builds, and its own locks say who waits
meanwhile. Both are facts of a run: nothing here reads a revision's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from migrate.core.foresee.effects import (
    Blocks,
    Brief,
    Effect,
    ForeignKey,
    Held,
    IndexBuild,
    Raised,
    Rewrite,
    RowsWritten,
    Scan,
    canonical,
)
from migrate.core.schema.differences import dotted, name, parse, parse_column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from migrate.core.foresee.watched import Lock, Relation, Trace
    from migrate.core.schema.differences import Schema

MODES: Final = {
    "AccessExclusiveLock": Blocks.ALL,
    "ExclusiveLock": Blocks.WRITES,
    "ShareRowExclusiveLock": Blocks.WRITES,
    "ShareLock": Blocks.WRITES,
}
_WRITING: Final = "RowExclusiveLock"
_TABLES: Final = frozenset("rpmf")  # pg_class.relkind of what has rows of its own, or partitions that have
_REWRITING: Final = re.compile(r'rewriting table "(.*)"', re.DOTALL)
_VERIFYING: Final = re.compile(r'verifying table "(.*)"', re.DOTALL)
_VALIDATING: Final = re.compile(r'validating foreign key constraint "(.*)"', re.DOTALL)
_BUILDING: Final = re.compile(
    r'building index "(.*)" on table "(.*)" (?:serially|with request for \d+ parallel workers?)', re.DOTALL
)
_BUILT_BESIDE: Final = "_ccnew"  # how REINDEX CONCURRENTLY names what it builds
_PROVING: Final = re.compile(r'existing constraints on column "(.*)\.(.*)" are sufficient to prove', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Observed:
    """One revision: the relations that were there before, and its statements in their order."""

    relations: Mapping[int, Relation]
    traces: tuple[Trace, ...]
    schema: str  # whose objects are named without it
    version_table: tuple[str, str]
    lock_timeout_ms: int


def effects_of(seen: Observed, before: Schema, after: Schema) -> tuple[Effect, ...]:
    """What the revision did to tables that were there before it; the schemas around it say why it read them."""
    return canonical(_Effects(seen, before, after).carry_out())


def writes(seen: Observed, tables: Collection[str]) -> bool:
    """Whether a statement that was seen may write rows of one of the tables, as who writes them locks them."""
    names = {
        oid: dotted([relation.name] if relation.schema == seen.schema else [relation.schema, relation.name])
        for oid, relation in seen.relations.items()
    }
    return any(
        lock.mode == _WRITING and names.get(lock.relation) in tables for trace in seen.traces for lock in trace.locks
    )


class _Effects:
    def __init__(self, seen: Observed, before: Schema, after: Schema) -> None:
        self._seen = seen
        self._before = before
        self._after = after
        self._tables = {
            oid: relation
            for oid, relation in seen.relations.items()
            if relation.kind in _TABLES and (relation.schema, relation.name) != seen.version_table
        }
        self._proven: set[tuple[str, str]] = set()
        self._now: dict[int, str] = {}  # the names of tables since, empty where they are gone

    def carry_out(self) -> Iterator[Effect]:
        statements = [each for each in self._seen.traces if not self._is_of_version(each)]
        held: dict[int, Blocks] = {}
        taken: dict[tuple[int, Blocks], int] = {}
        files = {oid: relation.file for oid, relation in self._seen.relations.items()}
        causes: list[Effect] = []
        for at, statement in enumerate(statements):
            self._now |= {lock.relation: lock.name for lock in statement.locks if lock.name is not None}
            held = {} if statement.commits else self._held(statement)
            taken = {key: first for key, first in taken.items() if held.get(key[0], Blocks.NOTHING).rank >= key[1].rank}
            for oid, blocks in held.items():
                taken.setdefault((oid, blocks), at)
            anew = {lock.relation for lock in statement.locks if lock.file not in {0, files.get(lock.relation)}}
            causes += self._causes(statement, held, anew)
            for lock in statement.locks:
                relation = self._tables.get(lock.relation)
                if relation is None:
                    continue
                if lock.mode == _WRITING:  # though nothing was there to be written, as often in a throw-away database
                    causes.append(RowsWritten(self._name(relation)))
                if lock.relation in anew:
                    files[lock.relation] = lock.file
                    if not any(_REWRITING.fullmatch(said) for said in statement.messages):
                        causes.append(self._refilled(relation, lock, held.get(lock.relation, Blocks.NOTHING)))
            for (oid, blocks), first in taken.items():
                if at > first:
                    causes.append(Held(self._name(self._tables[oid]), blocks, at - first))
            for oid, blocks in held.items():
                causes.append(Brief(self._name(self._tables[oid]), blocks))
            if _is_longer(statement.lock_timeout_ms, self._seen.lock_timeout_ms):
                causes.append(Raised("lock_timeout", _shown(statement.lock_timeout_ms)))
        return self._without_less(causes)

    def _is_of_version(self, statement: Trace) -> bool:
        """Whether Alembic writes down where it is: that is no part of the revision."""
        return any(
            lock.mode == _WRITING
            and (relation := self._seen.relations.get(lock.relation)) is not None
            and (relation.schema, relation.name) == self._seen.version_table
            for lock in statement.locks
        )

    def _held(self, statement: Trace) -> dict[int, Blocks]:
        """By table that was there before, the strongest that others wait for; whoever plans a query locks its indexes."""
        found: dict[int, Blocks] = {}
        for lock in statement.locks:
            blocks = MODES.get(lock.mode, Blocks.NOTHING)
            known = self._seen.relations.get(lock.relation)
            if blocks is Blocks.NOTHING or known is None:
                continue
            table = known.table or lock.relation
            if table in self._tables and not (known.kind == "m" and blocks is Blocks.WRITES):
                found[table] = max(found.get(table, Blocks.NOTHING), blocks, key=lambda each: each.rank)
        return found

    def _causes(self, statement: Trace, held: Mapping[int, Blocks], anew: Collection[int]) -> Iterator[Effect]:
        """What PostgreSQL has said; the indexes of a table that is in a file ``anew`` are made with it."""
        for said in statement.messages:
            if found := _PROVING.match(said):
                self._proven.add((found[1], found[2]))
            elif found := _REWRITING.fullmatch(said):
                for oid in self._named(found[1], held):
                    yield Rewrite(self._name(self._tables[oid]), held.get(oid, Blocks.ALL))
            elif found := _BUILDING.fullmatch(said):
                for oid in self._named(found[2], held):
                    if oid in anew:
                        continue
                    table, index = self._name(self._tables[oid]), name(found[1].removesuffix(_BUILT_BESIDE))
                    # one that was there is made anew, by REINDEX or by what writes the table anew: readers wait, too
                    unseen = Blocks.ALL if statement.commits and self._has_index(table, index) else Blocks.WRITES
                    blocks = Blocks.NOTHING if statement.concurrently else held.get(oid, unseen)
                    yield IndexBuild(table, blocks, index)
            elif found := _VERIFYING.fullmatch(said):
                for oid in self._named(found[1], held):
                    table = self._name(self._tables[oid])
                    why = self._why_scanned(table)
                    # of what commits by itself no lock is seen: it is VALIDATE alone that lets others go on
                    unseen = Blocks.ALL if statement.commits and not _is_of_validation(why) else Blocks.NOTHING
                    yield Scan(table, held.get(oid, unseen), why)
            elif found := _VALIDATING.fullmatch(said):
                yield from self._looked_up(found[1], held, commits=statement.commits)

    def _has_index(self, table: str, index: str) -> bool:
        return f"index {table}.{index}" in self._before or f"constraint {table}.{index}" in self._before

    def _looked_up(self, constraint: str, held: Mapping[int, Blocks], *, commits: bool) -> Iterator[Effect]:
        shown = name(constraint)
        for identity, definition in self._after.items():
            if not identity.startswith("constraint ") or parse(identity).path[-1] != constraint:
                continue
            if not definition.startswith("FOREIGN KEY") or self._before.get(identity) == definition:
                continue
            child = dotted(parse(identity).owner)
            parent = definition.partition(" REFERENCES ")[2].partition("(")[0]
            for table, other, is_parent in ((child, parent, False), (parent, child, True)):
                oid = next((oid for oid, each in self._tables.items() if self._name(each) == table), None)
                if oid is None:
                    continue
                # one that was there is validated, which lets others go on; a new one locks both tables
                unseen = Blocks.WRITES if commits and identity not in self._before else Blocks.NOTHING
                blocks = held.get(oid, unseen)
                if blocks is not Blocks.NOTHING:
                    yield ForeignKey(table, blocks, shown, other, is_parent)
                elif not is_parent:
                    yield Scan(table, blocks, f"foreign key {shown} is validated")

    def _named(self, table: str, held: Mapping[int, Blocks]) -> list[int]:
        """The tables of a bare name, as messages have it: those that are locked, if any of them is."""
        found = [oid for oid, relation in self._tables.items() if self._now.get(oid, relation.name) == table]
        return [oid for oid in found if oid in held] or found[:1]

    def _why_scanned(self, table: str) -> str:
        """What of the difference of the schemas is about rows of the table that PostgreSQL had to read."""
        found = []
        for identity in sorted(self._after):
            definition, was = self._after[identity], self._before.get(identity)
            if definition == was or not identity.startswith(("column ", "constraint ", "table ")):
                continue
            parsed = parse(identity)
            if dotted(parsed.owner) != table:
                continue
            own = parsed.path[-1]
            if parsed.kind == "column" and parse_column(definition).not_null and not parse_column(was or "").not_null:
                if was is None and parse_column(definition).default is None:
                    found.append(f"{name(own)} is new and not null")
                elif was is not None and (parsed.path[-2], own) not in self._proven:
                    found.append(f"{name(own)} is made not null")
            elif (
                parsed.kind == "constraint" and definition.startswith("CHECK") and not definition.endswith(" NOT VALID")
            ):
                found.append(f"{name(own)} is {'validated' if was is not None else 'added'}")
            elif parsed.kind == "table" and " of " in definition:
                found.append("it becomes a partition")
        return ", ".join(found)

    def _refilled(self, relation: Relation, lock: Lock, blocks: Blocks) -> Effect:
        """A new file that PostgreSQL says nothing of: TRUNCATE leaves a table empty, the others write its rows anew.

        CLUSTER leaves an index by which the table is ordered; a table that has one may also have been truncated, which is
        quicker than what is said then.
        """
        if relation.kind == "r" and not lock.is_clustered:
            return RowsWritten(self._name(relation), all_removed=True)
        return Rewrite(self._name(relation), blocks)

    def _name(self, relation: Relation) -> str:
        return dotted([relation.name] if relation.schema == self._seen.schema else [relation.schema, relation.name])

    def _without_less(self, found: Sequence[Effect]) -> Iterator[Effect]:
        """Of what is held the longest, and brief only what has no other cause."""
        longest: dict[tuple[str, Blocks], int] = {}
        strongest: dict[str, Blocks] = {}
        for each in found:
            if isinstance(each, Held):
                longest[each.table, each.blocks] = max(longest.get((each.table, each.blocks), 0), each.statements)
            elif isinstance(each, Brief):
                strongest[each.table] = max(
                    strongest.get(each.table, each.blocks), each.blocks, key=lambda one: one.rank
                )
        causes = {
            (each.table, each.blocks) for each in found if isinstance(each, Rewrite | Scan | IndexBuild | ForeignKey)
        }
        for each in found:
            if not isinstance(each, Held | Brief):
                yield each
        for (table, blocks), statements in longest.items():
            if longest.get((table, Blocks.ALL), 0) < statements or blocks is Blocks.ALL:
                yield Held(table, blocks, statements)
        for table, blocks in strongest.items():
            if (table, blocks) in causes:
                continue
            why = self._why_of_domain(table) if blocks is Blocks.WRITES else ""
            yield Scan(table, blocks, why) if why else Brief(table, blocks, self._why_brief(table))

    def _why_of_domain(self, table: str) -> str:
        """What a domain asks anew of values that the table has: PostgreSQL reads them, and says nothing of it."""
        found = []
        for identity in sorted(self._after):
            if (
                not identity.startswith(("constraint ", "domain "))
                or self._before.get(identity) == self._after[identity]
            ):
                continue
            parsed = parse(identity)
            domain = dotted(parsed.path if parsed.kind == "domain" else parsed.owner)
            if f"domain {domain}" in self._before and self._has_column_of(table, domain):
                found.append(f"{domain} is asked for more")
        return ", ".join(dict.fromkeys(found))

    def _has_column_of(self, table: str, type_: str) -> bool:
        return any(
            identity.startswith("column ")
            and dotted(parse(identity).owner) == table
            and parse_column(definition).type == type_
            for identity, definition in self._before.items()
        )

    def _why_brief(self, table: str) -> str:
        """What a catalog change takes away that was made with effort."""
        gone = [
            name(parse(identity).path[-1])
            for identity in sorted(self._before.keys() - self._after.keys())
            if identity.startswith("index ")
            and dotted(parse(identity).owner) == table
            # one that has become a constraint's is still there
            and f"constraint {identity.removeprefix('index ')}" not in self._after
        ]
        return f"drops index {', '.join(gone)}" if gone and f"table {table}" in self._after else ""


def _is_of_validation(why: str) -> bool:
    """Whether every cause of a scan is that a rule which was there is validated."""
    return bool(why) and all(each.endswith(" is validated") for each in why.split(", "))


def _is_longer(now_ms: int, before_ms: int) -> bool:
    """Whether a limit is wider; 0 is none."""
    return before_ms != 0 and (now_ms == 0 or now_ms > before_ms)


def _shown(limit_ms: int) -> str:
    if limit_ms == 0:
        return "0 (no limit)"
    return f"{limit_ms // 1000}s" if limit_ms % 1000 == 0 else f"{limit_ms}ms"
