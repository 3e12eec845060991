"""The manifest: the revision graph, the hashes of its files and the schema after every revision, as committed text.

A revision's `schema` is the fingerprint of a database upgraded from nothing (from the baseline, where there is one) to
exactly this revision, and its `changes` are the lines that make that schema of the fold of everything it builds on,
with the other spellings of what they make: those are equal, and no part of the schema or its fingerprint. The
schema of any version rows is the fold of the changes of all their ancestors, `depends_on` included, in the manifest's
order: of two revisions that change one object, the later one decides. A revision that builds on a sibling without
`depends_on` (Alembic's order of the branches makes it work) names it in `after`, which counts as `depends_on` here, and
its `schema` is that with the sibling applied: where the sibling is not (`lacking`), no schema is known. At one revision that is exact, whatever its
branches did to each other, because its own changes start from there. At the rows of several branches it is exact where
the branches have nothing to do with each other; `Manifest.conflicts` says where they have.

`effects` and `needs` are what a revision was seen to do to tables that were there before it, and what their rows must be
like for it to pass. A manifest that an older version wrote has neither: then they are not known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from migrate.core.manifest.conflicts import ManifestConflict, conflicts
from migrate.core.manifest.entries import MalformedManifest, ManifestFault
from migrate.core.manifest.folding import Folding
from migrate.core.manifest.identification import compare, identify
from migrate.core.manifest.json_position import line_of
from migrate.core.manifest.text import read

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from migrate.core.foresee.effects import Effect
    from migrate.core.foresee.needs import Need
    from migrate.core.history.graph import Graph, Revision
    from migrate.core.manifest.match import Match, Rows
    from migrate.core.schema.differences import Differences, Schema

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileFindings:
    """The names of the files that are not as the manifest has them; false where all are."""

    added: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether any file is not as the manifest has it."""
        return bool(self.added or self.edited or self.removed)


@dataclass(frozen=True, slots=True)
class GraphFindings:
    """The ids of the revisions that do not stand in the history as the manifest has them; false where all do."""

    added: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()  # other down, depends_on or labels
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether the history is another one than the manifest's."""
        return bool(self.added or self.moved or self.removed)


@dataclass(frozen=True)
class Manifest(Folding):
    """The content of `manifest.json`.

    `postgres` is the major version of the server that printed the definitions. `revisions` has every revision after all
    that it builds on. `schemas` are the schemas beside the default one in which a revision makes, changes or drops an
    object: whoever compares a database with the manifest looks at those, too.
    """

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """The manifest that the text holds; lines of changes are looked into when they are needed.

        Raises MalformedManifest.
        """
        try:
            content = read(text)
            manifest = cls(
                content.postgres, content.revisions, content.baseline, content.schemas, text, content.environ
            )
            manifest.parents  # noqa: B018 - raises where the revisions do not hold together
            if content.heads != list(manifest.heads):
                said = f"heads is {json.dumps(content.heads)}, but the heads of its revisions are {json.dumps(manifest.heads)}"
                raise ManifestFault(("heads",), f"{said}; merged by hand?")
        except ManifestFault as fault:
            raise MalformedManifest(line_of(text, fault.path), fault.why) from None
        return manifest

    # The history

    def check_files(self, files: Mapping[str, str]) -> FileFindings:
        """What differs between the revision files (name -> SHA-256 in hexadecimal) and those of the manifest."""
        recorded = {entry.revision.file: entry.revision.sha256 for entry in self.revisions}
        if recorded == files:
            return FileFindings()
        return FileFindings(
            added=tuple(file for file in files if file not in recorded),
            edited=tuple(file for file, sha256 in files.items() if recorded.get(file, sha256) != sha256),
            removed=tuple(file for file in recorded if file not in files),
        )

    def check_revisions(self, revisions: Iterable[Revision]) -> GraphFindings:
        """What differs between the history that the files declare and that of the manifest."""
        recorded = {entry.revision.id: entry.revision for entry in self.revisions}
        declared = {revision.id: revision for revision in revisions}
        return GraphFindings(
            added=tuple(id_ for id_ in declared if id_ not in recorded),
            moved=tuple(
                id_ for id_, one in declared.items() if id_ in recorded and not _same_place(one, recorded[id_])
            ),
            removed=tuple(id_ for id_ in recorded if id_ not in declared),
        )

    def proven(self, graph: Graph, *, postgres: int, baseline: str | None) -> frozenset[str]:
        """The revisions that, with all their ancestors, stand here as they are in `graph`: no replay finds another schema.

        `postgres` is the major version and `baseline` the SHA-256 of the baseline that a replay would start from.
        """
        if postgres != self.postgres or baseline != (self.baseline.sha256 if self.baseline is not None else None):
            return frozenset()
        held: set[int] = set()
        for at, entry in enumerate(self.revisions):
            revision = graph.get(entry.revision.id)
            if (
                revision is not None
                and revision.sha256 == entry.revision.sha256
                and _same_place(revision, entry.revision)
                and held.issuperset(self.parents[at])
            ):
                held.add(at)
        return frozenset(self.revisions[at].revision.id for at in held)

    # What is foreseen

    def effects_of(self, revision: str) -> tuple[Effect, ...] | None:
        """What the revision was seen to do to tables that were there before it; None where that is not known."""
        from migrate.core.foresee.effects import EffectError, read

        return self._foreseen(revision, "effects", read, EffectError)

    def needs_of(self, revision: str) -> tuple[Need, ...] | None:
        """What the rows must be like for the revision to pass; None where that is not known."""
        from migrate.core.foresee.needs import NeedError, read

        return self._foreseen(revision, "needs", read, NeedError)

    def _foreseen(
        self, revision: str, key: Literal["effects", "needs"], read: Callable[[str], _T], error: type[ValueError]
    ) -> tuple[_T, ...] | None:
        at = self.position_of[revision]
        lines: tuple[str, ...] | None = getattr(self.revisions[at], key)
        found = []
        for number, line in enumerate(lines or ()):
            try:
                found.append(read(line))
            except error as fault:
                raise self.malformed(("revisions", at, key, number), str(fault)) from None
        return tuple(found) if lines is not None else None

    # The schema

    def compare(self, rows: Rows, live: Schema, *, major: int, ignore: Sequence[str] = ()) -> Differences:
        """See `migrate.core.manifest.identification.compare`."""
        return compare(self, rows, live, major=major, ignore=ignore)

    def identify(self, live: Schema, *, major: int, ignore: Sequence[str] = ()) -> Match:
        """See `migrate.core.manifest.identification.identify`."""
        return identify(self, live, major=major, ignore=ignore)

    def conflicts(self, rows: Iterable[str]) -> tuple[ManifestConflict, ...]:
        """See `migrate.core.manifest.conflicts.conflicts`."""
        return conflicts(self, rows)

    def after_of(self, graph: Graph, unproven: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
        """`after` for the revisions of the graph that are not unproven."""
        found = self.after.items()
        return {
            id_: siblings
            for id_, siblings in found
            if id_ not in unproven and all(one in graph for one in (id_, *siblings))
        }

    def known_spellings(self, proven: Collection[str]) -> dict[tuple[str, str], tuple[str, ...]]:
        """What the lines of these revisions, and of the baseline below them, say of how else their definitions are printed.

        `proven` is what `proven` returned: where that is nothing, neither is the baseline.
        """
        if not proven:
            return {}
        entries = zip((None, *self.revisions), self.words, strict=True)
        told = [words for entry, words in entries if entry is None or entry.revision.id in proven]
        return {(word[0], word[1][0]): word[1][1:] for words in told for word in words if word[1]}


def _same_place(one: Revision, other: Revision) -> bool:
    return (one.down, one.depends_on, one.labels) == (other.down, other.depends_on, other.labels)
