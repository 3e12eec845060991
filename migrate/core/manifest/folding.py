"""What the lines of a manifest make of an empty database: the schema at any version rows, as the fold of all changes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final

from migrate.core.history.closures import bits, closures_of
from migrate.core.manifest.entries import Baseline, Entry, MalformedManifest, ManifestFault
from migrate.core.manifest.json_position import line_of
from migrate.core.manifest.text import Content, serialise
from migrate.core.schema.differences import (
    ChangeError,
    IdentityError,
    changes,
    fingerprint,
    is_spelling,
    parse,
    read_change,
    read_spelling,
)
from migrate.core.schema.spelling import Spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from migrate.core.manifest.json_position import Path
    from migrate.core.manifest.match import Rows
    from migrate.core.schema.distance import Assignment

HOSTS: Final = ("extension ", "schema ")  # what others than the history put into databases

Word = tuple[str, tuple[str, ...]]
"""What lines say of an object: its definition and how else that is printed; nothing where it is dropped."""


@dataclass(frozen=True)
class Folding:
    """The revisions of a manifest and the lines of their changes.

    Rows handed to the methods must be revisions of the manifest, else KeyError. Where lines of changes do not lead to the
    fingerprint beside them, the methods that need them raise MalformedManifest.
    """

    postgres: int
    revisions: tuple[Entry, ...]
    baseline: Baseline | None = None
    schemas: tuple[str, ...] = ()
    _text: str = field(default="", compare=False, repr=False)
    environ: tuple[str, ...] = ()  # `migrate.core.manifest.variables`

    def serialise(self) -> str:
        """The canonical text."""
        return serialise(Content(self.postgres, self.revisions, self.baseline, self.schemas, self.heads, self.environ))

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The ids that are nobody's `down`, sorted."""
        below = {parent for entry in self.revisions for parent in entry.revision.down}
        return tuple(sorted(entry.revision.id for entry in self.revisions if entry.revision.id not in below))

    @cached_property
    def after(self) -> dict[str, tuple[str, ...]]:
        """The revisions that build on siblings without `depends_on`, and on which."""
        return {entry.revision.id: entry.after for entry in self.revisions if entry.after}

    def lacking(self, rows: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Revisions that are applied at these rows, each with a sibling that it builds on and that is not applied."""
        applied = 0
        for row in rows:
            applied |= self.declared[self.position_of[row]]
        return tuple(
            (id_, sibling)
            for id_, siblings in self.after.items()
            for sibling in siblings
            if applied >> self.position_of[id_] & 1 and not applied >> self.position_of[sibling] & 1
        )

    def with_siblings(self, rows: Iterable[str]) -> Rows:
        """These version rows, and those of the siblings that what is applied at them follows."""
        return self.tips(bits(self.union(self.position_of[row] for row in rows)))

    def schema_at(self, rows: Iterable[str]) -> dict[str, str]:
        """The schema of a database with these version rows; without any, that of the baseline.

        Siblings that an applied revision builds on count as applied: see `lacking`.
        """
        positions = [self.position_of[row] for row in rows]
        if not positions:
            return dict(self.base)
        for position in positions:
            if position in self._verified:
                continue
            entry = self.revisions[position]
            if fingerprint(self.fold(self.closures[position])) != entry.schema:
                raise self.malformed(
                    ("revisions", position, "schema"),
                    f"the changes up to revision {entry.revision.id} do not lead to this schema; edited or merged by hand?",
                )
            self._verified.add(position)
        return self.fold(self.union(positions))

    @cached_property
    def _verified(self) -> set[int]:
        """The positions whose changes were seen to lead to their fingerprint."""
        return set()

    def steps(self, rows: Iterable[str], revisions: Iterable[str]) -> Iterator[dict[str, str | None]]:
        """What each of these revisions, applied one after the other at these rows, makes of objects: None where it drops one.

        Their changes count in the manifest's order, as in `schema_at`.
        """
        applied = self.union(self.position_of[row] for row in rows)
        decides = {identity: at for at in bits(applied) for identity, _ in self.assignments[at]}
        for revision in revisions:
            step: dict[str, str | None] = {}
            fresh = self.closures[self.position_of[revision]] & ~applied
            applied |= fresh
            for at in bits(fresh):
                for identity, definition in self.assignments[at]:
                    if decides.get(identity, at) <= at:
                        decides[identity] = at
                        step[identity] = definition
            yield step

    def undone(self, revision: str) -> tuple[str, ...]:
        """The lines of `changes` that lead from the schema at exactly this revision to that of what it builds on."""
        below = [self.revisions[at].revision.id for at in self.parents[self.position_of[revision]]]
        return tuple(changes(self.schema_at([revision]), self.schema_at(below)))

    def place(self, at: int) -> Rows:
        """The version rows of a database where all that a revision builds on is applied, and nothing else."""
        id_ = self.revisions[at].revision.id
        return (id_,) if self.closures[at] == self.declared[at] else self.with_siblings([id_])

    def tips(self, positions: Sequence[int]) -> Rows:
        """The version rows of a database where all of these are applied."""
        below = {parent for at in positions for parent in self.declared_parents[at]}
        return tuple(self.revisions[at].revision.id for at in positions if at not in below)

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The extensions and schemas that a revision, or the baseline, ever made or dropped."""
        lines = chain(
            self.baseline.changes if self.baseline is not None else (), *(entry.changes for entry in self.revisions)
        )
        # As they are written, because only whoever folds the lines says what is wrong with them.
        return frozenset(line[2:].rpartition(": ")[0] for line in lines if line.startswith(HOSTS, 2))

    @cached_property
    def position_of(self) -> dict[str, int]:
        """Where each revision stands, by its id."""
        return {entry.revision.id: at for at, entry in enumerate(self.revisions)}

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """The positions of what each revision builds on, siblings included. Raises ManifestFault as `declared_parents` does."""
        found = []
        for at, (entry, parents) in enumerate(zip(self.revisions, self.declared_parents, strict=True)):
            siblings = [self.position_of.get(name, at) for name in entry.after]
            if any(sibling >= at for sibling in siblings):
                said = f"{', '.join(entry.after)}, which revision {entry.revision.id} follows, is not before it"
                raise ManifestFault(("revisions", at, "after"), said)
            found.append(tuple(dict.fromkeys((*parents, *siblings))) if siblings else parents)
        return tuple(found)

    @cached_property
    def declared_parents(self) -> tuple[tuple[int, ...], ...]:
        """The positions of what each revision declares. Raises ManifestFault where one does not stand before it."""
        ids: dict[str, int] = {}
        labels: dict[str, int] = {}
        found: list[tuple[int, ...]] = []
        for at, entry in enumerate(self.revisions):
            revision = entry.revision
            if revision.id in ids:
                raise ManifestFault(("revisions", at, "id"), f"revision {revision.id} is there twice")
            for parent in revision.down:
                if parent not in ids:
                    raise ManifestFault(
                        ("revisions", at, "down"), f"{parent}, which revision {revision.id} builds on, is not before it"
                    )
            for name in revision.depends_on:
                if name not in ids and name not in labels:
                    raise ManifestFault(
                        ("revisions", at, "depends_on"),
                        f"{name}, which revision {revision.id} depends on, is not before it",
                    )
            dependencies = (ids[name] if name in ids else labels[name] for name in revision.depends_on)
            found.append(tuple(dict.fromkeys((*(ids[parent] for parent in revision.down), *dependencies))))
            ids[revision.id] = at
            labels.update(dict.fromkeys(revision.labels, at))
        return tuple(found)

    @cached_property
    def closures(self) -> dict[int, int]:
        """The ancestors of each revision and itself, as the bits of an integer."""
        return closures_of(enumerate(self.parents))

    @cached_property
    def declared(self) -> dict[int, int]:
        """The same of the history as Alembic has it."""
        return closures_of(enumerate(self.declared_parents)) if self.after else self.closures

    @cached_property
    def all_heads(self) -> Rows:
        """The version rows of a fully upgraded database, where these are several; else nothing."""
        tips = self.tips(range(len(self.revisions)))
        return tips if len(tips) > 1 else ()

    @cached_property
    def base(self) -> dict[str, str]:
        """The schema before the first revision."""
        if self.baseline is None:
            return {}
        schema = {identity: spellings[0] for identity, spellings in self.words[0] if spellings}
        if fingerprint(schema) != self.baseline.schema:
            raise self.malformed(("baseline", "schema"), "the changes of the baseline do not lead to this schema")
        return schema

    @cached_property
    def assignments(self) -> tuple[tuple[Assignment, ...], ...]:
        """What each revision makes of objects."""
        return tuple(
            tuple((identity, spellings[0] if spellings else None) for identity, spellings in words)
            for words in self.words[1:]
        )

    @cached_property
    def contested(self) -> tuple[tuple[Assignment, ...], ...]:
        """Of `assignments` those of objects that revisions which do not know each other change, they or their tables."""

        def whole(identity: str) -> tuple[str, ...] | str:
            return parse(identity).owner or identity

        writers: defaultdict[tuple[str, ...] | str, list[int]] = defaultdict(list)
        for at, assignments in enumerate(self.assignments):
            for each in {whole(identity) for identity, _ in assignments}:
                writers[each].append(at)
        contested = {
            each
            for each, places in writers.items()
            if not all(self.closures[upper] >> lower & 1 for lower, upper in pairwise(places))
        }
        return tuple(tuple(one for one in each if whole(one[0]) in contested) for each in self.assignments)

    @cached_property
    def words(self) -> tuple[tuple[Word, ...], ...]:
        """What the lines of the baseline say, and then those of each revision."""
        base = self._read(self.baseline.changes, ("baseline", "changes")) if self.baseline is not None else ()
        lines = enumerate(self.revisions)
        return (base, *(self._read(entry.changes, ("revisions", at, "changes")) for at, entry in lines))

    @cached_property
    def spellings(self) -> Spellings:
        """The definitions that are printed in more than one way."""
        return Spellings(word for words in self.words for word in words if len(word[1]) > 1)

    @cached_property
    def identities(self) -> frozenset[str]:
        """Every object that the base has or any revision makes, changes or drops."""
        named = (assignment[0] for assignments in self.assignments for assignment in assignments)
        return frozenset(self.base).union(named)

    def _read(self, lines: tuple[str, ...], path: Path) -> tuple[Word, ...]:
        found: list[Word] = []
        for at, line in enumerate(lines):
            try:
                if is_spelling(line):
                    identity, spelling = read_spelling(line)
                    if not found or found[-1][0] != identity or not found[-1][1]:
                        raise ChangeError(f"not below the definition that it is another spelling of: {line}")
                    found[-1] = identity, (*found[-1][1], spelling)
                    continue
                identity, definition = read_change(line)
                parse(identity)
            except (ChangeError, IdentityError) as error:
                raise self.malformed((*path, at), str(error)) from None
            found.append((identity, () if definition is None else (definition,)))
        return tuple(found)

    def malformed(self, path: Path, why: str) -> MalformedManifest:
        """The error that says what is wrong where the path leads, with its line."""
        return MalformedManifest(line_of(self._text or self.serialise(), path), why)

    def union(self, positions: Iterable[int]) -> int:
        """All that these build on, and themselves."""
        union = 0
        for position in positions:
            union |= self.closures[position]
        return union

    def are_related(self, one: int, other: int) -> bool:
        """Whether one of the two builds on the other."""
        return bool(self.closures[one] >> other & 1 or self.closures[other] >> one & 1)

    def fold(self, closure: int) -> dict[str, str]:
        """The schema that the changes of these revisions make, in their order."""
        folded: dict[str, str] = dict(self.base)
        for at in bits(closure):
            for identity, definition in self.assignments[at]:
                if definition is None:
                    folded.pop(identity, None)
                else:
                    folded[identity] = definition
        return folded
