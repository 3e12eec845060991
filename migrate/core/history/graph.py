"""The revision graph of an image: what is a head, what a name means, what is left to apply and which rows that leaves.

Every answer equals Alembic's (1.11 to 1.20) on the same files; where Alembic raises, this module returns a
`HistoryFault`. `tests/alembic/test_graph_equals_alembic.py` compares the two on generated histories.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from migrate.core.history.closures import closures_of, covers, reach, topological, turned
from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.problems import advice
from migrate.core.quoting import word
from migrate.core.value import Value
from migrate.core.wording import counted

_MIN_ABBREVIATED_LENGTH: Final = 4
"""Alembic lets an abbreviation name only ids and labels of at least this many characters."""

_ILLEGAL_IN_ID: Final = frozenset("@-+")
_SYMBOLS: Final = frozenset({"base", "head", "heads"})  # Alembic never looks for a revision of such a name
_RELATIVE = re.compile(r"(?:.+?@)?\w*[+-]\d|(?:[^@]*@)?\s*-\d")


class Revision(Value):
    """One Alembic script, as its file declares it."""

    id: str
    down: tuple[str, ...]
    depends_on: tuple[str, ...]
    labels: tuple[str, ...]
    message: str
    """First line of the docstring; empty when there is none."""
    file: str
    """Path relative to the project, for people."""
    sha256: str
    """Hexadecimal digest of the file's bytes."""


class Overlap(Value):
    """Version rows that no run of Alembic leaves behind, and that make its next one fail or go wrong."""

    duplicates: tuple[str, ...]
    """Rows that occur more than once, each named once."""
    ancestors: tuple[tuple[str, str], ...]
    """Pairs (row, row that already implies it)."""

    def __bool__(self) -> bool:
        """Whether there is any overlap at all."""
        return bool(self.duplicates or self.ancestors)


class Graph:
    """The revisions of one image and how they build on each other.

    Immutable once built. A graph with faults still answers about the parts that are sound; only `pending` and `rows_at`
    refuse when there is a cycle. Ids handed to the methods must be in the graph (`unknown` tells), else `KeyError`.
    """

    __slots__ = (
        "_by_id",
        "_closures",
        "_cycle",
        "_down",
        "_names",
        "_order",
        "_parents",
        "_tips",
        "faults",
        "heads",
        "revisions",
    )

    revisions: tuple[Revision, ...]
    """In the order in which they were given; Alembic's order of branches follows it."""
    faults: tuple[HistoryFault, ...]
    heads: tuple[str, ...]
    """Ids that are nobody's `down`. One of them may still be implied by another through `depends_on`."""

    def __init__(self, revisions: Iterable[Revision]) -> None:
        """`revisions` are in the order in which Alembic reads their files."""
        given = tuple(revisions)
        faults: list[HistoryFault] = []
        # As in Alembic the last of two equal ids wins, at the place of the first.
        self._by_id = {revision.id: revision for revision in given}
        self.revisions = tuple(self._by_id.values())
        if len(self._by_id) != len(given):
            faults.extend(_duplicate_ids(given))
        faults.extend(_bad_ids(self.revisions))
        self._names = self._name_all(faults)
        self._down: dict[str, tuple[str, ...]] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        dependencies = self._connect(faults)
        self._order, cycles = topological(self._parents)
        faults.extend(self._cycle_fault(ids) for ids in cycles)
        self._cycle = next((fault for fault in faults if fault.kind is FaultKind.CYCLE), None)
        if dependencies:
            self._drop_inherited(dependencies)
        with_child = {parent for parents in self._down.values() for parent in parents}
        self.heads = tuple(id_ for id_ in self._by_id if id_ not in with_child)
        for parents in self._parents.values():
            with_child.update(parents)
        self._tips = tuple(id_ for id_ in self._by_id if id_ not in with_child)
        self.faults = tuple(faults)
        self._closures: dict[str, int] = {}

    def __contains__(self, id_: object) -> bool:
        """Whether a revision has exactly this id."""
        return id_ in self._by_id

    def __len__(self) -> int:
        """How many revisions there are."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[Revision]:
        """Go over the revisions in the order of their files."""
        return iter(self.revisions)

    def get(self, id_: str) -> Revision | None:
        """Return the revision with exactly this id."""
        return self._by_id.get(id_)

    def unknown(self, rows: Iterable[str]) -> tuple[str, ...]:
        """Return those of `rows` that no revision has as its id."""
        return tuple(row for row in rows if row not in self._by_id)

    def ancestors(self, ids: Iterable[str], *, inclusive: bool = True) -> frozenset[str]:
        """Return every revision that one of `ids` builds on: what a database with these version rows has applied.

        Without `inclusive` an id of `ids` is in the result only when it is an ancestor of another one of them.
        """
        start = tuple(ids)
        found = reach(self._parents, start)
        if inclusive:
            found.update(start)
        return frozenset(found)

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `descendant` builds on `ancestor`; no revision is its own ancestor."""
        return ancestor in reach(self._parents, (descendant,))

    def descendants(self, ids: Iterable[str]) -> frozenset[str]:
        """Return `ids` and every revision that builds on one of them, through `down` or `depends_on`."""
        start = tuple(ids)
        return frozenset(reach(turned(self._parents), start).union(start))

    def parents(self, id_: str) -> tuple[str, ...]:
        """Return what the revision directly builds on, less a dependency that its line of `down` already has."""
        return self._parents[id_]

    def tips(self, ids: Iterable[str]) -> frozenset[str]:
        """Return those of `ids` that none of them directly builds on."""
        found = frozenset(ids)
        return found.difference(parent for id_ in found for parent in self._parents[id_])

    def resolve(self, target: str) -> tuple[str, ...] | HistoryFault:
        """Return the ids that `alembic upgrade TARGET` goes to; none for `base`.

        `head`, `heads`, `base`, an id, a label, an unambiguous beginning of either, and each of them as
        `branch@name`. `heads` leaves out a head that another one implies through `depends_on`; `head` does not, and
        so may be ambiguous where `heads` is one revision.
        """
        if _RELATIVE.match(target):
            return HistoryFault(
                FaultKind.UNSUPPORTED_TARGET,
                f"target {target!r} is relative; what it means would change with every run",
                advice("name a revision, a branch label, head or heads"),
            )
        branch, at, name = target.partition("@")
        if not at:
            branch, name = "", target
        if name == "base":
            return ()
        lineage: frozenset[str] | None = None
        if branch:
            anchor = self._find(branch, None, target)
            if isinstance(anchor, HistoryFault):
                return anchor
            lineage = self._lineage(anchor)
        if name in {"head", "heads"}:
            return self._resolve_heads(name, lineage, target)
        found = self._find(name, lineage, target)
        return found if isinstance(found, HistoryFault) else (found,)

    def pending(self, rows: Iterable[str], target: str) -> tuple[Revision, ...] | HistoryFault:
        """Return what `alembic upgrade TARGET` would apply to a database with these version rows, in its order.

        Below a revision that depends on several others Alembic's order changes with Python's hash seed; here it is
        the one in which the file names them, which is one of Alembic's. Rows that overlap (`split`) make Alembic
        refuse; here they count as all that they imply.
        """
        targets = self._applicable(target)
        if isinstance(targets, HistoryFault):
            return targets
        missing = set(self.ancestors(targets) - self.ancestors(rows))
        return tuple(self._by_id[id_] for id_ in reversed(self._downwards(missing, targets)))

    def rows_at(self, target: str) -> frozenset[str] | HistoryFault:
        """Return the version rows that upgrading an empty database to `target` leaves.

        They are the target's own revisions: whatever these imply loses its row when it is built upon, through
        `depends_on` as through `down`.
        """
        targets = self._applicable(target)
        return targets if isinstance(targets, HistoryFault) else frozenset(targets)

    def rows_after(self, rows: Iterable[str], revision: str) -> frozenset[str]:
        """Return the version rows after `revision` was applied to a database with `rows`.

        It takes the place of the rows of all that it directly builds on, except for a dependency that its line of
        `down` already had. (Alembic to 1.20 dies of a KeyError in its place where two or more of those have a row and
        another one of them is implied by one of these; no database can be on the far side of such a revision.)
        """
        return frozenset(rows).difference(self._parents[revision]) | {revision}

    def split(self, rows: Sequence[str]) -> Overlap:
        """Return which rows are there twice and which are implied by another row; unknown rows imply nothing.

        `rows` are as the version table has them, with their duplicates. Alembic fails on the second kind ("overlaps
        with other requested revisions"), whether it is through `down` or `depends_on`.
        """
        distinct = tuple(dict.fromkeys(rows))
        known = tuple(row for row in distinct if row in self._by_id)
        covered = reach(self._parents, known)
        return Overlap(
            tuple(row for row in distinct if rows.count(row) > 1),
            tuple((row, upper) for row in known if row in covered for upper in known if self.is_ancestor(row, upper)),
        )

    # Building

    def _name_all(self, faults: list[HistoryFault]) -> dict[str, str]:
        names = {id_: id_ for id_ in self._by_id}
        for revision in self.revisions:
            for label in revision.labels:
                if label not in names:
                    names[label] = revision.id
                    continue
                owner = names[label]
                faults.append(
                    HistoryFault(
                        FaultKind.LABEL_CLASH,
                        f"branch label {label!r} of revision {revision.id} already names revision {owner}",
                        advice(f"rename the label in {word(revision.file)}"),
                        (revision.id, owner),
                        (revision.file, self._by_id[owner].file),
                    )
                )
        return names

    def _connect(self, faults: list[HistoryFault]) -> dict[str, tuple[str, ...]]:
        """Fill in the edges; return the dependencies of the revisions that have any, as ids."""
        dependencies: dict[str, tuple[str, ...]] = {}
        for revision in self.revisions:
            id_ = revision.id
            down = self._known_parents(revision, faults) if revision.down else ()
            self._down[id_] = self._parents[id_] = down
            if revision.depends_on:
                dependencies[id_] = self._known_dependencies(revision, faults)
                self._parents[id_] = tuple(dict.fromkeys((*down, *dependencies[id_])))
        return dependencies

    def _known_parents(self, revision: Revision, faults: list[HistoryFault]) -> tuple[str, ...]:
        known = []
        for parent in dict.fromkeys(revision.down):
            if parent == revision.id:
                faults.append(_self_loop(revision, "down_revision"))
            elif parent in self._by_id:
                known.append(parent)
            else:
                label = " (a branch label, which only depends_on may name)" if parent in self._names else ""
                faults.append(
                    HistoryFault(
                        FaultKind.MISSING_PARENT,
                        f"{revision.file}: revision {revision.id} builds on {parent!r}{label}, which no file declares",
                        advice(
                            f"add the file of revision {word(parent)}, or correct down_revision in {word(revision.file)}"
                        ),
                        (revision.id, parent),
                        (revision.file,),
                    )
                )
        return tuple(known)

    def _known_dependencies(self, revision: Revision, faults: list[HistoryFault]) -> tuple[str, ...]:
        known = []
        for name in dict.fromkeys(revision.depends_on):
            dependency = self._names.get(name)
            if dependency == revision.id:
                faults.append(_self_loop(revision, "depends_on"))
            elif dependency is not None:
                known.append(dependency)
            else:
                faults.append(
                    HistoryFault(
                        FaultKind.MISSING_DEPENDENCY,
                        f"{revision.file}: revision {revision.id} depends on {name!r}, no file's id or label",
                        advice(
                            f"add the file of {word(name)}, or correct depends_on in {word(revision.file)}, ids in full"
                        ),
                        (revision.id, name),
                        (revision.file,),
                    )
                )
        return tuple(dict.fromkeys(known))

    def _cycle_fault(self, ids: tuple[str, ...]) -> HistoryFault:
        return HistoryFault(
            FaultKind.CYCLE,
            f"revisions build on each other in a circle: {' -> '.join((*ids, ids[0]))}",
            advice(
                f"correct down_revision or depends_on in one of {', '.join(word(self._by_id[id_].file) for id_ in ids)}"
            ),
            ids,
            tuple(self._by_id[id_].file for id_ in ids),
        )

    def _drop_inherited(self, dependencies: dict[str, tuple[str, ...]]) -> None:
        """Drop each dependency that a revision's line of `down` already has: Alembic no longer counts it as built upon.

        Sets of revisions are the bits of an integer, which keeps long histories full of dependencies fast and small.
        """
        distinct = dict.fromkeys(dependency for own in dependencies.values() for dependency in own)
        bit = {dependency: 1 << index for index, dependency in enumerate(distinct)}
        inherited: dict[str, int] = {}
        for id_ in self._order:
            above = 0
            for parent in self._down[id_]:
                above |= inherited.get(parent, 0)
            own = dependencies.get(id_, ())
            if own:
                fresh = (dependency for dependency in own if not above & bit[dependency])
                self._parents[id_] = tuple(dict.fromkeys((*self._down[id_], *fresh)))
                for dependency in own:
                    above |= bit[dependency]
            inherited[id_] = above

    # Answering

    def _find(self, name: str, lineage: frozenset[str] | None, target: str) -> str | HistoryFault:
        """Return the id that `name` stands for, within `lineage` if given; `target` is what the user wrote."""
        found = self._names.get(name)
        if found is None:
            matches = [
                key
                for key, id_ in self._names.items()
                if name and len(key) >= _MIN_ABBREVIATED_LENGTH and key.startswith(name)
                if lineage is None or id_ in lineage
            ]
            if len(matches) > 1:
                return HistoryFault(
                    FaultKind.AMBIGUOUS_TARGET,
                    f"target {target!r}: {counted(len(matches), 'name')} begin with {name!r}: {', '.join(matches[:3])}, …",
                    advice("write the revision id in full"),
                    tuple(dict.fromkeys(self._names[key] for key in matches)),
                )
            if not matches:
                return HistoryFault(
                    FaultKind.UNKNOWN_TARGET,
                    f"target {target!r}: no revision and no branch label is called {name!r}",
                    advice("name a revision, a branch label, head or heads; `alembic history` lists them"),
                )
            found = self._names[matches[0]]
        if lineage is not None and found not in lineage:
            return HistoryFault(
                FaultKind.UNKNOWN_TARGET,
                f"target {target!r}: revision {found} is not on that branch",
                advice(f"leave out the branch, or name a revision of it instead of {word(name)}"),
                (found,),
            )
        return found

    def _resolve_heads(self, name: str, lineage: frozenset[str] | None, target: str) -> tuple[str, ...] | HistoryFault:
        if lineage is None and name == "heads":
            return self._tips
        heads = self.heads if lineage is None else tuple(head for head in self.heads if head in lineage)
        if name == "head" and len(heads) > 1:
            return HistoryFault(
                FaultKind.SEVERAL_HEADS,
                f"target {target!r} is ambiguous: the history has {counted(len(heads), 'head')}: {', '.join(heads)}",
                advice("merge them (`alembic merge heads`), or set the target to heads or to one revision"),
                heads,
                tuple(self._by_id[head].file for head in heads),
            )
        return heads

    def _applicable(self, target: str) -> tuple[str, ...] | HistoryFault:
        """Resolve a target that is about to be upgraded to."""
        if self._cycle is not None:
            return self._cycle
        targets = self.resolve(target)
        if isinstance(targets, HistoryFault) or len(targets) < 2:  # noqa: PLR2004 - one revision overlaps with nothing
            return targets
        overlap = self.split(targets)
        if not overlap:
            return targets
        lower, upper = overlap.ancestors[0]
        return HistoryFault(
            FaultKind.OVERLAPPING_TARGET,
            f"target {target!r} names revision {lower} and also {upper}, which implies it; Alembic refuses that",
            advice("set the target to heads"),
            (lower, upper),
        )

    def _lineage(self, id_: str) -> frozenset[str]:
        """Return `id_`, what it builds on and what builds on it, through `down` only: what Alembic calls its branch."""
        return frozenset(reach(turned(self._down), (id_,)) | reach(self._down, (id_,)) | {id_})

    def _downwards(self, missing: set[str], targets: tuple[str, ...]) -> list[str]:
        """Order `missing` from the targets down, as Alembic walks: stay on one branch until another still builds on it.

        `open_` holds the lowest point reached on each branch; a point may be passed when no other one builds on it.
        """
        wanted = set(targets) & missing
        open_ = [id_ for id_ in self._by_id if id_ in wanted] if len(wanted) > 1 else list(wanted)
        passed: list[str] = []
        at = 0
        while open_:
            here = open_[at]
            if len(open_) > 1:
                above = next((i for i, other in enumerate(open_) if i != at and self._covers(other, here)), None)
                if above is not None:
                    at = above
                    continue
            passed.append(here)
            missing.discard(here)
            below = [parent for parent in self._parents[here] if parent in missing and parent not in open_]
            if below:
                open_[at] = below[0]
                open_.extend(below[1:])
            else:
                del open_[at]
                at = max(at - 1, 0)
        return passed

    def _covers(self, upper: str, lower: str) -> bool:
        """Whether `upper` builds on `lower`, from a table that is made once: branches ask this for every revision."""
        if not self._closures:
            self._closures = closures_of((id_, self._parents[id_]) for id_ in self._order)
        return covers(self._closures[upper], self._closures[lower])


def _duplicate_ids(revisions: tuple[Revision, ...]) -> Iterator[HistoryFault]:
    files: dict[str, list[str]] = {}
    for revision in revisions:
        files.setdefault(revision.id, []).append(revision.file)
    for id_, names in files.items():
        if len(names) > 1:
            yield HistoryFault(
                FaultKind.DUPLICATE_ID,
                f"revision id {id_} is declared by {counted(len(names), 'file')}: {', '.join(names)}",
                advice("give each file an id of its own and correct the down_revision of those that follow it"),
                (id_,),
                tuple(names),
            )


def _bad_ids(revisions: tuple[Revision, ...]) -> Iterator[HistoryFault]:
    for revision in revisions:
        id_ = revision.id
        why = None
        if id_ in _SYMBOLS:
            why = ": to Alembic it means something else"
        elif not id_ or not id_.isprintable() or not _ILLEGAL_IN_ID.isdisjoint(id_):
            why = " (empty, unprintable, or with one of @ - +)"
        if why is not None:
            yield HistoryFault(
                FaultKind.ILLEGAL_ID,
                f"{revision.file}: {id_!r} cannot be a revision id{why}",
                advice("give the revision another id, of letters, digits and underscores, in every file that names it"),
                (id_,),
                (revision.file,),
            )


def _self_loop(revision: Revision, where: str) -> HistoryFault:
    return HistoryFault(
        FaultKind.SELF_LOOP,
        f"{revision.file}: revision {revision.id} names itself in {where}",
        advice(f"correct {where} in {word(revision.file)}"),
        (revision.id,),
        (revision.file,),
    )
