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
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from migrate.core.decide.state import Exact, Match, Nearest, Rows, Several
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.json_position import line_of
from migrate.core.manifest.replay import with_siblings
from migrate.core.schema.differences import (
    OWNERS,
    ChangeError,
    Differences,
    IdentityError,
    Schema,
    changes,
    compare,
    dotted,
    fingerprint,
    is_spelling,
    parse,
    place_of,
    read_change,
    read_spelling,
)
from migrate.core.schema.distance import Assignment, Distance
from migrate.core.schema.spelling import Spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from migrate.core.foresee.effects import Effect
    from migrate.core.foresee.needs import Need
    from migrate.core.manifest.json_position import Path

LONGEST_BRANCH: Final = 200  # revisions of an unmerged branch at which a database may stand
FORMAT: Final = 1

_T = TypeVar("_T")
_Word = tuple[str, tuple[str, ...]]
"""What lines say of an object: its definition and how else that is printed; nothing where it is dropped."""

_KEYS: Final = frozenset({"format", "heads", "postgres", "revisions"})
_OPTIONAL: Final = frozenset({"baseline", "schemas"})
_TEXTS: Final = frozenset({"file", "id", "message", "schema", "sha256"})
_LISTS: Final = frozenset({"changes", "depends_on", "down", "labels"})
_OPTIONAL_LISTS: Final = frozenset({"after", "effects", "needs"})
_LINE_BY_LINE: Final = frozenset({"changes", "effects", "needs"})
_BASELINE_TEXTS: Final = frozenset({"file", "schema", "sha256"})
_BASELINE_LISTS: Final = frozenset({"changes"})

_HOSTS: Final = ("extension ", "schema ")  # what others than the history put into databases
OtherSpellings = Mapping[tuple[str, str], tuple[str, ...]]
"""How else definitions are printed, by the object and its definition; nothing for what is printed in one way."""

_CONFLICT_MARKER = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: .*)?$", re.MULTILINE)


class MalformedManifest(ValueError):  # noqa: N818 - the name says what the text is, as the problem's code does
    """The text is no manifest that this version can use; `line` is 1-based."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class _Fault(Exception):  # noqa: N818 - the manifest's, not the program's
    """A value that cannot be right; `path` leads to it from the document."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision as the manifest knows it."""

    revision: Revision
    schema: str  # fingerprint of the schema of a database at exactly this revision
    changes: tuple[str, ...]
    after: tuple[str, ...] = ()  # of other branches: what it builds on, though `depends_on` does not say so
    effects: tuple[str, ...] | None = None  # as lines, see `Manifest.effects_of`; None: not known
    needs: tuple[str, ...] | None = None  # as lines, see `Manifest.needs_of`; None: not known


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was seen of a revision, as lines; None: not known."""

    effects: tuple[str, ...] | None = None
    needs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is there before the first revision, for a history that does not start from an empty database."""

    file: str
    sha256: str
    schema: str  # its fingerprint
    changes: tuple[str, ...]  # from nothing

    @classmethod
    def of(cls, file: str, sha256: str, schema: Schema, spellings: OtherSpellings = MappingProxyType({})) -> Baseline:
        """The baseline that the file makes of an empty database."""
        return cls(file, sha256, fingerprint(schema), tuple(changes({}, schema, spellings)))


@dataclass(frozen=True, slots=True)
class ManifestConflict:
    """An object that revisions of branches which do not know each other leave differently: their order decides."""

    identity: str
    definitions: tuple[tuple[str, str | None], ...]  # (revision, what it leaves: None where it drops the object)

    def sentence(self) -> str:
        """The conflict for people, with its names."""
        left = [
            f"revision {revision} {f'makes it {definition}' if definition is not None else 'drops it'}"
            for revision, definition in self.definitions
        ]
        return f"{self.identity} depends on the order in which branches are applied: {', '.join(left)}"


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
class Manifest:
    """The content of `manifest.json`.

    `postgres` is the major version of the server that printed the definitions. `revisions` has every revision after all
    that it builds on. `schemas` are the schemas beside the default one in which a revision makes, changes or drops an
    object: whoever compares a database with the manifest looks at those, too. Where lines of changes do not lead to the fingerprint beside them, the methods that need them
    raise MalformedManifest. Rows handed to the methods must be revisions of the manifest, else KeyError.
    """

    postgres: int
    revisions: tuple[Entry, ...]
    baseline: Baseline | None = None
    schemas: tuple[str, ...] = ()
    _text: str = field(default="", compare=False, repr=False)

    # Reading and writing

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """The manifest that the text holds; lines of changes are looked into when they are needed.

        Raises MalformedManifest.
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            marker = _CONFLICT_MARKER.search(text)
            if marker is not None:
                raise MalformedManifest(
                    text.count("\n", 0, marker.start()) + 1,
                    f"git left its conflict marker {marker[0]!r}; let one revision follow the other, or merge the two, "
                    "and write the manifest anew",
                ) from None
            raise MalformedManifest(error.lineno, f"no JSON: {error.msg} in column {error.colno}") from None
        except (RecursionError, ValueError) as error:  # nested too deep; a number of thousands of digits
            raise MalformedManifest(1, f"no JSON that can be read: {error}") from None
        try:
            return cls._from_document(document, text)
        except _Fault as fault:
            raise MalformedManifest(line_of(text, fault.path), fault.reason) from None

    @classmethod
    def _from_document(cls, document: Any, text: str) -> Manifest:
        found = document.get("format") if type(document) is dict else None
        if found is not None and found != FORMAT:
            raise _Fault(("format",), f"format {found!r} is not one that this version reads ({FORMAT})")
        _check_keys(document, _KEYS, _OPTIONAL, (), "the manifest")
        if type(document["postgres"]) is not int:
            raise _Fault(("postgres",), "postgres is no major version")
        baseline = None
        if "baseline" in document:
            item = document["baseline"]
            _check_values(item, _BASELINE_TEXTS, _BASELINE_LISTS, ("baseline",))
            baseline = Baseline(item["file"], item["sha256"], item["schema"], tuple(item["changes"]))
        schemas = document.get("schemas", [])
        if type(schemas) is not list or not all(type(each) is str for each in schemas):
            raise _Fault(("schemas",), "schemas is no list of texts")
        if type(document["revisions"]) is not list:
            raise _Fault(("revisions",), "revisions is no list")
        manifest = cls(
            document["postgres"],
            tuple(_entry(item, at) for at, item in enumerate(document["revisions"])),
            baseline,
            tuple(schemas),
            text,
        )
        manifest._parents  # noqa: B018 - raises where the revisions do not hold together
        if document["heads"] != list(manifest.heads):
            raise _Fault(
                ("heads",),
                f"heads is {json.dumps(document['heads'])}, but the heads of its revisions are "
                f"{json.dumps(manifest.heads)}; merged by hand?",
            )
        return manifest

    def serialise(self) -> str:
        """The canonical text: sorted keys, one change a line, LF.

        The line between two revisions belongs to the later one, so that a revision more is nothing but added lines. Two
        branches that both add one change the line of the heads, and so conflict.
        """
        lines = ["{"]
        if self.baseline is not None:
            base = self.baseline
            members: dict[str, str | tuple[str, ...]] = {
                "changes": base.changes,
                "file": base.file,
                "schema": base.schema,
                "sha256": base.sha256,
            }
            lines += [' "baseline": {', *_members(members, "  "), " },"]
        lines += [
            f' "format": {FORMAT},',
            f' "heads": {_json(self.heads)},',
            f' "postgres": {self.postgres},',
            ' "revisions": [',
        ]
        for at, entry in enumerate(self.revisions):
            lines.append("  }, {" if at else "  {")
            revision = entry.revision
            members = {
                "changes": entry.changes,
                "depends_on": revision.depends_on,
                "down": revision.down,
                "file": revision.file,
                "id": revision.id,
                "labels": revision.labels,
                "message": revision.message,
                "schema": entry.schema,
                "sha256": revision.sha256,
            }
            optional = {"after": entry.after or None, "effects": entry.effects, "needs": entry.needs}
            members |= {key: value for key, value in optional.items() if value is not None}
            lines += _members(members, "   ")
        if self.revisions:
            lines.append("  }")
        lines += [f' ],\n "schemas": {_json(self.schemas)}' if self.schemas else " ]", "}", ""]
        # A lone surrogate, from an escape in somebody's docstring, is no UTF-8; this spelling of it is JSON's too.
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode()

    # The history

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The ids that are nobody's `down`, sorted."""
        below = {parent for entry in self.revisions for parent in entry.revision.down}
        return tuple(sorted(entry.revision.id for entry in self.revisions if entry.revision.id not in below))

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
                and held.issuperset(self._parents[at])
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
        at = self._at[revision]
        lines: tuple[str, ...] | None = getattr(self.revisions[at], key)
        found = []
        for number, line in enumerate(lines or ()):
            try:
                found.append(read(line))
            except error as fault:
                raise self._malformed(("revisions", at, key, number), str(fault)) from None
        return tuple(found) if lines is not None else None

    # The schema

    @cached_property
    def after(self) -> dict[str, tuple[str, ...]]:
        """The revisions that build on siblings without `depends_on`, and on which."""
        return {entry.revision.id: entry.after for entry in self.revisions if entry.after}

    def after_of(self, graph: Graph, unproven: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
        """`after` for the revisions of the graph that are not unproven."""
        found = self.after.items()
        return {
            id_: siblings
            for id_, siblings in found
            if id_ not in unproven and all(one in graph for one in (id_, *siblings))
        }

    def lacking(self, rows: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Revisions that are applied at these rows, each with a sibling that it builds on and that is not applied."""
        applied = 0
        for row in rows:
            applied |= self._declared[self._at[row]]
        return tuple(
            (id_, sibling)
            for id_, siblings in self.after.items()
            for sibling in siblings
            if applied >> self._at[id_] & 1 and not applied >> self._at[sibling] & 1
        )

    def with_siblings(self, rows: Iterable[str]) -> Rows:
        """These version rows, and those of the siblings that what is applied at them follows."""
        return self._tips(_bits(self._union(self._at[row] for row in rows)))

    def schema_at(self, rows: Iterable[str]) -> dict[str, str]:
        """The schema of a database with these version rows; without any, that of the baseline.

        Siblings that an applied revision builds on count as applied: see `lacking`.
        """
        positions = [self._at[row] for row in rows]
        if not positions:
            return dict(self._base)
        for position in positions:
            folded = self._fold(self._closures[position])
            entry = self.revisions[position]
            if fingerprint(folded) != entry.schema:
                raise self._malformed(
                    ("revisions", position, "schema"),
                    f"the changes up to revision {entry.revision.id} do not lead to this schema; edited or merged by hand?",
                )
        return folded if len(positions) == 1 else self._fold(self._union(positions))

    def steps(self, rows: Iterable[str], revisions: Iterable[str]) -> Iterator[dict[str, str | None]]:
        """What each of these revisions, applied one after the other at these rows, makes of objects: None where it drops one.

        Their changes count in the manifest's order, as in `schema_at`.
        """
        applied = self._union(self._at[row] for row in rows)
        decides = {identity: at for at in _bits(applied) for identity, _ in self._assignments[at]}
        for revision in revisions:
            step: dict[str, str | None] = {}
            fresh = self._closures[self._at[revision]] & ~applied
            applied |= fresh
            for at in _bits(fresh):
                for identity, definition in self._assignments[at]:
                    if decides.get(identity, at) <= at:
                        decides[identity] = at
                        step[identity] = definition
            yield step

    def undone(self, revision: str) -> tuple[str, ...]:
        """The lines of `changes` that lead from the schema at exactly this revision to that of what it builds on."""
        below = [self.revisions[at].revision.id for at in self._parents[self._at[revision]]]
        return tuple(changes(self.schema_at([revision]), self.schema_at(below)))

    def compare(self, rows: Rows, live: Schema, *, major: int, ignore: Sequence[str] = ()) -> Differences:
        """What the live schema, printed by a server of version `major`, differs in from that of these rows.

        `ignore`: see `migrate.core.schema.differences.compare`. An object in conflict may be as any of the branches leaves it.
        """
        live = self._without_foreign(live)
        if len(rows) == 1 and self.revisions[self._at[rows[0]]].schema == fingerprint(live):
            return Differences()
        expected = self.schema_at(rows)
        canonical = self.spellings.canonical
        for conflict in self.conflicts(rows):
            identity, definition = conflict.identity, live.get(conflict.identity)
            left = {each and canonical(identity, each) for _, each in conflict.definitions}
            if (definition and canonical(identity, definition)) not in left:
                continue
            if definition is None:
                expected.pop(identity, None)
            else:
                expected[identity] = definition
        return compare(expected, live, same_major=major == self.postgres, ignore=ignore, canonical=canonical)

    def conflicts(self, rows: Iterable[str]) -> tuple[ManifestConflict, ...]:
        """The objects whose definition at these rows depends on the order in which their branches were applied.

        At a single row there are none: a merge settles what the branches below it left open.
        """
        positions = {self._at[row] for row in rows}
        if len(positions) < 2:  # noqa: PLR2004 - one revision cannot be at odds with itself
            return ()
        union = self._union(positions)
        last = self._last_words(union)
        found = {identity: said for identity, said in last.items() if len(set(said.values())) > 1}
        for identity, said in last.items():
            if any(left is not None for left in said.values()):
                # What belongs to a table that a branch drops, and another one made or changed.
                dropped = {
                    at
                    for owner in _owners(identity)
                    for at, left in last.get(owner, {}).items()
                    if left is None and not any(self._are_related(at, other) for other in said)
                }
                if dropped:
                    found[identity] = said | dict.fromkeys(dropped)
        return tuple(
            ManifestConflict(
                identity, tuple((self.revisions[at].revision.id, left) for at, left in sorted(found[identity].items()))
            )
            for identity in sorted(found)
        )

    def identify(self, live: Schema, *, major: int, ignore: Sequence[str] = ()) -> Match:
        """Which position has the live schema, printed by a server of version `major`; else the one that differs least.

        Candidates are the base, each revision, and all heads at once where there are several. Of several that differ
        equally little the latest in the manifest is the nearest, and the others are named beside it. Without a baseline
        the base is nearest only where nothing of the history is there, and all that is there is somebody else's.
        """
        live = self._without_foreign(live)
        exact: list[Rows] = []
        if major == self.postgres and not ignore and not self.spellings:
            printed = fingerprint(live)
            exact = [rows for rows, recorded in self._recorded() if recorded == printed]
            if self._all_heads and not self.compare(self._all_heads, live, major=major):
                exact = list(dict.fromkeys((*exact, self._all_heads)))
        if not exact:
            distances = self._distances(live, major=major, ignore=ignore)
            exact = [rows for rows, distance in distances.items() if not distance]
        if len(exact) > 1:
            return Several(tuple(exact))
        if exact:
            return Exact(exact[0])
        if self.baseline is None and self.revisions and self._has_something(live):
            del distances[()]
        least = min(distances.values())
        *ties, nearest = [rows for rows, distance in distances.items() if distance == least]
        differences = self.compare(nearest, live, major=major, ignore=ignore)
        return Nearest(nearest, differences, tuple(ties))

    def _without_foreign(self, live: Schema) -> Schema:
        """The live schema without the extensions and the schemas that no revision ever made or dropped.

        Providers put extensions into every database (pg_stat_statements, for one), and a schema may have been there
        before the history: they say nothing of it.
        """
        foreign = {identity for identity in live if identity.startswith(_HOSTS)} - self._hosts
        return {identity: live[identity] for identity in live.keys() - foreign} if foreign else live

    @cached_property
    def _hosts(self) -> frozenset[str]:
        lines = chain(
            self.baseline.changes if self.baseline is not None else (), *(entry.changes for entry in self.revisions)
        )
        # As they are written, because only whoever folds the lines says what is wrong with them.
        return frozenset(line[2:].rpartition(": ")[0] for line in lines if line.startswith(_HOSTS, 2))

    def _has_something(self, live: Schema) -> bool:
        """Whether anything in the live schema is what some revision makes; what others provide does not count."""
        return any(identity in self.identities for identity in live if not identity.startswith(_HOSTS))

    def _recorded(self) -> Iterator[tuple[Rows, str]]:
        yield (), fingerprint({}) if self.baseline is None else self.baseline.schema
        for at, entry in enumerate(self.revisions):
            yield self._place(at), entry.schema

    def _place(self, at: int) -> Rows:
        """The version rows of a database where all that a revision builds on is applied, and nothing else."""
        id_ = self.revisions[at].revision.id
        return (id_,) if self._closures[at] == self._declared[at] else self.with_siblings([id_])

    def _tips(self, positions: Sequence[int]) -> Rows:
        """The version rows of a database where all of these are applied."""
        below = {parent for at in positions for parent in self._declared_parents[at]}
        return tuple(self.revisions[at].revision.id for at in positions if at not in below)

    def _distances(self, live: Schema, *, major: int, ignore: Sequence[str]) -> dict[Rows, int]:
        """How many differences each candidate has, as `len(compare(…))` counts them."""
        spelled = self.spellings
        distance = Distance(spelled.of_schema(live), same_major=major == self.postgres, ignore=ignore)
        distance.put_all(0, spelled.of_schema(self._base).items())
        distances: dict[Rows, int] = {(): distance.total}
        found = self._visit(distance)
        for at, total in enumerate(found):
            distances[self._place(at)] = total
        if self._all_heads:
            distances[self._all_heads] = len(self.compare(self._all_heads, live, major=major, ignore=ignore))
            if all(distances.values()):
                distances |= self._between_heads(live, major=major, ignore=ignore)
        return distances

    def _between_heads(self, live: Schema, *, major: int, ignore: Sequence[str]) -> dict[Rows, int]:
        """How many differences there are where several branches have gone as far as each has.

        Branches that make different objects do not show in each other's distance, so that each is tried by itself, while
        the others stand where they were best: their number counts, not that of all combinations.
        """
        graph = Graph(entry.revision for entry in self.revisions)
        order = {entry.revision.id: number for number, entry in enumerate(self.revisions)}
        at: dict[str, str | None] = {head: head for head in self._all_heads}
        found: dict[Rows, int] = {}
        for head in self._all_heads:
            own = graph.ancestors([head]) - graph.ancestors(other for other in self._all_heads if other != head)
            tried: list[tuple[int, str | None]] = []
            for each in (*sorted(own, key=order.__getitem__, reverse=True)[:LONGEST_BRANCH], None):
                at[head] = each
                tips = graph.tips(graph.ancestors(row for row in at.values() if row is not None))
                rows = tuple(sorted(tips, key=order.__getitem__))
                # each revision alone is a candidate already
                if len(rows) > 1 and not self.lacking(rows):
                    if rows not in found:
                        found[rows] = len(self.compare(rows, live, major=major, ignore=ignore))
                    tried.append((found[rows], each))
            at[head] = min(tried, key=lambda one: one[0])[1]
        return dict(reversed(found.items()))

    def _visit(self, distance: Distance) -> list[int]:
        """Lead the distance, which is at the base, to every revision; return its distance at each.

        The way leads down from parent to child and back by undoing, so that each line of changes counts once and a merge
        adds only what its other branches bring.
        """
        canonical = self.spellings.canonical
        put = [
            [(identity, left and canonical(identity, left)) for identity, left in assignments]
            for assignments in self._assignments
        ]
        children: list[list[int]] = [[] for _ in self.revisions]
        roots: list[int] = []
        for at, parents in enumerate(self._parents):
            (children[max(parents)] if parents else roots).append(at)
        distances = [0] * len(self.revisions)
        open_ = roots
        while open_:
            at = open_.pop()
            if at < 0:
                distance.undo()
                continue
            open_.append(~at)
            open_.extend(children[at])
            distance.mark()
            parents = self._parents[at]
            if len(parents) > 1:
                brought = self._closures[at] & ~self._closures[max(parents)] & ~(1 << at)
                for other in _bits(brought):
                    distance.put_all(other + 1, put[other])
            distance.put_all(at + 1, put[at])
            distances[at] = distance.total
        return distances

    def _last_words(self, closure: int) -> dict[str, dict[int, str | None]]:
        """For each object the revisions of a closure that no other one overrules, with what each of them leaves of it."""
        last: dict[str, dict[int, str | None]] = {}
        disputed: set[str] = set()
        for at in _bits(closure):
            below = self._closures[at]
            if len(self._parents[at]) > 1:
                for identity in disputed:
                    said = last[identity]
                    settled = [other for other in said if below >> other & 1]
                    if len({said[other] for other in settled}) > 1:
                        # The merge's changes start from the fold, where the later one of them decides.
                        left = said[max(settled)]
                        last[identity] = {other: said[other] for other in said if other not in settled} | {at: left}
            for identity, left in self._assignments[at]:
                kept = {other: said for other, said in last.get(identity, {}).items() if not below >> other & 1}
                last[identity] = kept | {at: left}
                if kept:
                    disputed.add(identity)
        return last

    # What the methods share, each made once

    @cached_property
    def _at(self) -> dict[str, int]:
        return {entry.revision.id: at for at, entry in enumerate(self.revisions)}

    @cached_property
    def _parents(self) -> tuple[tuple[int, ...], ...]:
        """The positions of what each revision builds on, siblings included. Raises _Fault as `_declared_parents` does."""
        found = []
        for at, (entry, parents) in enumerate(zip(self.revisions, self._declared_parents, strict=True)):
            siblings = [self._at.get(name, at) for name in entry.after]
            if any(sibling >= at for sibling in siblings):
                said = f"{', '.join(entry.after)}, which revision {entry.revision.id} follows, is not before it"
                raise _Fault(("revisions", at, "after"), said)
            found.append(tuple(dict.fromkeys((*parents, *siblings))) if siblings else parents)
        return tuple(found)

    @cached_property
    def _declared_parents(self) -> tuple[tuple[int, ...], ...]:
        """The positions of what each revision declares. Raises _Fault where one does not stand before it."""
        ids: dict[str, int] = {}
        labels: dict[str, int] = {}
        found: list[tuple[int, ...]] = []
        for at, entry in enumerate(self.revisions):
            revision = entry.revision
            if revision.id in ids:
                raise _Fault(("revisions", at, "id"), f"revision {revision.id} is there twice")
            for parent in revision.down:
                if parent not in ids:
                    raise _Fault(
                        ("revisions", at, "down"), f"{parent}, which revision {revision.id} builds on, is not before it"
                    )
            for name in revision.depends_on:
                if name not in ids and name not in labels:
                    raise _Fault(
                        ("revisions", at, "depends_on"),
                        f"{name}, which revision {revision.id} depends on, is not before it",
                    )
            dependencies = (ids[name] if name in ids else labels[name] for name in revision.depends_on)
            found.append(tuple(dict.fromkeys((*(ids[parent] for parent in revision.down), *dependencies))))
            ids[revision.id] = at
            labels.update(dict.fromkeys(revision.labels, at))
        return tuple(found)

    @cached_property
    def _closures(self) -> tuple[int, ...]:
        """The ancestors of each revision and itself, as the bits of an integer."""
        return _closures_of(self._parents)

    @cached_property
    def _declared(self) -> tuple[int, ...]:
        """The same of the history as Alembic has it."""
        return _closures_of(self._declared_parents) if self.after else self._closures

    @cached_property
    def _all_heads(self) -> Rows:
        """The version rows of a fully upgraded database, where these are several; else nothing."""
        tips = self._tips(range(len(self.revisions)))
        return tips if len(tips) > 1 else ()

    @cached_property
    def _base(self) -> dict[str, str]:
        if self.baseline is None:
            return {}
        schema = {identity: spellings[0] for identity, spellings in self._words[0] if spellings}
        if fingerprint(schema) != self.baseline.schema:
            raise self._malformed(("baseline", "schema"), "the changes of the baseline do not lead to this schema")
        return schema

    @cached_property
    def _assignments(self) -> tuple[tuple[Assignment, ...], ...]:
        return tuple(
            tuple((identity, spellings[0] if spellings else None) for identity, spellings in words)
            for words in self._words[1:]
        )

    @cached_property
    def _words(self) -> tuple[tuple[_Word, ...], ...]:
        """What the lines of the baseline say, and then those of each revision."""
        base = self._read(self.baseline.changes, ("baseline", "changes")) if self.baseline is not None else ()
        lines = enumerate(self.revisions)
        return (base, *(self._read(entry.changes, ("revisions", at, "changes")) for at, entry in lines))

    @cached_property
    def spellings(self) -> Spellings:
        """The definitions that are printed in more than one way."""
        return Spellings(word for words in self._words for word in words if len(word[1]) > 1)

    def known_spellings(self, proven: Collection[str]) -> dict[tuple[str, str], tuple[str, ...]]:
        """What the lines of these revisions, and of the baseline below them, say of how else their definitions are printed.

        `proven` is what `proven` returned: where that is nothing, neither is the baseline.
        """
        if not proven:
            return {}
        entries = zip((None, *self.revisions), self._words, strict=True)
        told = [words for entry, words in entries if entry is None or entry.revision.id in proven]
        return {(word[0], word[1][0]): word[1][1:] for words in told for word in words if word[1]}

    @cached_property
    def identities(self) -> frozenset[str]:
        """Every object that the base has or any revision makes, changes or drops."""
        named = (assignment[0] for assignments in self._assignments for assignment in assignments)
        return frozenset(self._base).union(named)

    def _read(self, lines: tuple[str, ...], path: Path) -> tuple[_Word, ...]:
        found: list[_Word] = []
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
                raise self._malformed((*path, at), str(error)) from None
            found.append((identity, () if definition is None else (definition,)))
        return tuple(found)

    def _malformed(self, path: Path, reason: str) -> MalformedManifest:
        return MalformedManifest(line_of(self._text or self.serialise(), path), reason)

    def _union(self, positions: Iterable[int]) -> int:
        union = 0
        for position in positions:
            union |= self._closures[position]
        return union

    def _are_related(self, one: int, other: int) -> bool:
        return bool(self._closures[one] >> other & 1 or self._closures[other] >> one & 1)

    def _fold(self, closure: int) -> dict[str, str]:
        folded: dict[str, str] = dict(self._base)
        for at in _bits(closure):
            for identity, definition in self._assignments[at]:
                if definition is None:
                    folded.pop(identity, None)
                else:
                    folded[identity] = definition
        return folded


def build(
    postgres: int,
    graph: Graph,
    schemas: Mapping[str, Schema],
    baseline: Baseline | None = None,
    previous: Manifest | None = None,
    used: Iterable[str] = (),
    *,
    spellings: OtherSpellings = MappingProxyType({}),
    after: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    foreseen: Mapping[str, Foreseen] = MappingProxyType({}),
) -> Manifest:
    """The manifest of a history, from the schema that a replay to exactly each revision left.

    `used` are the schemas beside the default one that `used_schemas` found, `spellings` how else the definitions are
    printed, `after` which siblings revisions build on without `depends_on`, `foreseen` what was seen of the revisions that
    were run. Revisions without a schema are taken from `previous`, which must have proven them (`Manifest.proven`). `graph` has no
    faults. Raises KeyError where a revision is in neither, and MalformedManifest where `previous` proves nothing.
    """
    known = {entry.revision.id: entry for entry in previous.revisions} if previous is not None else {}
    entries: list[Entry] = []
    declared = {revision.id: revision for revision in graph}
    for placed, parents in _ordered(with_siblings(graph, after)):
        revision = declared[placed.id]
        schema = schemas.get(revision.id)
        if schema is None:
            entries.append(replace(known[revision.id], revision=revision, after=after.get(revision.id, ())))
            continue
        if len(parents) == 1 and parents[0] in schemas:
            before = schemas[parents[0]]
        else:
            before = Manifest(postgres, tuple(entries), baseline).schema_at(parents)
        # Sorting is for the few objects that the revision changed, not for the whole schema.
        differing = {identity for identity, _ in before.items() ^ schema.items()}
        old, new = ({i: some[i] for i in differing if i in some} for some in (before, schema))
        lines = changes(old, new, spellings)
        seen = foreseen.get(revision.id, Foreseen())
        siblings = after.get(revision.id, ())
        entries.append(Entry(revision, fingerprint(schema), tuple(lines), siblings, seen.effects, seen.needs))
    return Manifest(postgres, tuple(entries), baseline, tuple(sorted(used)))


def used_schemas(graph: Graph, schemas: Mapping[str, Schema], base: Schema) -> frozenset[str]:
    """The schemas beside the default one in which a revision that was read makes, changes or drops an object.

    `base` is what is there before the first revision: a dump brings other people's schemas along, too.
    """
    named = {identity for schema in (base, *schemas.values()) for identity in schema}
    elsewhere = {identity: place for identity in named if (place := place_of(identity)) and identity[:7] != "schema "}
    if not elsewhere:
        return frozenset()
    found: set[str] = set()
    for revision, parents in _ordered(graph):
        if revision.id in schemas:
            after = _items(schemas[revision.id], elsewhere)
            before = [_items(schemas[parent], elsewhere) for parent in parents if parent in schemas]
            before = before or [_items(base, elsewhere)]
            made = after.difference(*before)
            gone = before[0].intersection(*before) - after
            found |= {elsewhere[identity] for identity, _ in made | gone}
    return frozenset(found)


def _items(schema: Schema, identities: Iterable[str]) -> set[tuple[str, str]]:
    return {(identity, schema[identity]) for identity in identities if identity in schema}


def _ordered(graph: Graph) -> list[tuple[Revision, tuple[str, ...]]]:
    """The revisions with the ids of what they build on: parents first, one branch to its end before the next one.

    The order of what is there never changes when revisions are added on top, whatever their ids and files: the diff of
    the manifest stays as small as the change, and the lines of a merge, which count on the order, stay true.
    """
    labels = {label: revision.id for revision in graph for label in revision.labels}
    parents = {
        revision.id: tuple(
            dict.fromkeys((*revision.down, *(name if name in graph else labels[name] for name in revision.depends_on)))
        )
        for revision in graph
    }
    children: dict[str, list[str]] = {id_: [] for id_ in parents}
    for id_ in sorted(parents, reverse=True):
        for parent in parents[id_]:
            children[parent].append(id_)
    missing = {id_: len(above) for id_, above in parents.items()}
    ready = [id_ for id_ in sorted(parents, reverse=True) if not parents[id_]]
    ordered: list[tuple[Revision, tuple[str, ...]]] = []
    by_id = {revision.id: revision for revision in graph}
    while ready:
        id_ = ready.pop()
        ordered.append((by_id[id_], parents[id_]))
        for child in children[id_]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    return ordered


def _same_place(one: Revision, other: Revision) -> bool:
    return (one.down, one.depends_on, one.labels) == (other.down, other.depends_on, other.labels)


def _owners(identity: str) -> Iterator[str]:
    """What the object belongs to, as each kind of thing that it could be."""
    path = parse(identity).owner
    if path:
        for kind in OWNERS:
            yield f"{kind} {dotted(path)}"


def _closures_of(parents: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    closures: list[int] = []
    for at, above in enumerate(parents):
        closure = 1 << at
        for parent in above:
            closure |= closures[parent]
        closures.append(closure)
    return tuple(closures)


def _bits(closure: int) -> list[int]:
    """The positions of the bits that are set, the lowest first."""
    found = []
    while closure:
        found.append((closure & -closure).bit_length() - 1)
        closure &= closure - 1
    return found


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _members(values: Mapping[str, str | tuple[str, ...]], indent: str) -> Iterator[str]:
    last = len(values) - 1
    for at, key in enumerate(sorted(values)):
        value = values[key]
        comma = "," if at < last else ""
        if key not in _LINE_BY_LINE or not value:
            yield f"{indent}{_json(key)}: {_json(value)}{comma}"
            continue
        yield f'{indent}"{key}": ['
        yield ",\n".join(f"{indent} {_json(line)}" for line in value)
        yield f"{indent}]{comma}"


def _entry(item: Any, at: int) -> Entry:
    _check_values(item, _TEXTS, _LISTS, ("revisions", at), _OPTIONAL_LISTS)
    revision = Revision(
        item["id"],
        tuple(item["down"]),
        tuple(item["depends_on"]),
        tuple(item["labels"]),
        item["message"],
        item["file"],
        item["sha256"],
    )
    effects, needs = (tuple(item[key]) if key in item else None for key in ("effects", "needs"))
    return Entry(revision, item["schema"], tuple(item["changes"]), tuple(item.get("after", ())), effects, needs)


def _check_values(
    item: Any, texts: frozenset[str], lists: frozenset[str], path: Path, optional: frozenset[str] = frozenset()
) -> None:
    if type(item) is not dict or item.keys() != texts | lists:
        _check_keys(item, texts | lists, optional, path, f"this member of {path[0]}")
    for key in texts:
        if type(item[key]) is not str:
            raise _Fault((*path, key), f"{key} is no text")
    for key in lists | (optional & item.keys()):
        value = item[key]
        if type(value) is not list or not all(type(each) is str for each in value):
            raise _Fault((*path, key), f"{key} is no list of texts")


def _check_keys(item: Any, required: frozenset[str], optional: frozenset[str], path: Path, name: str) -> None:
    if type(item) is not dict:
        raise _Fault(path, f"{name} is no object")
    for key in sorted(required - item.keys()):
        raise _Fault(path, f"{name} has no {key}")
    for key in sorted(item.keys() - required - optional):
        raise _Fault((*path, key), f"{name} has {key!r}, which means nothing")
