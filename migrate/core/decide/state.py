"""The observation classified against the image: exactly one position, and the findings beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.core.decide.foreseen import ForeseenFinding
from migrate.core.decide.observation import CHANGE_SIGNS
from migrate.core.history.faults import HistoryFault
from migrate.core.manifest.match import Exact, Nearest
from migrate.core.value import Value
from migrate.core.wording import clauses, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from migrate.core.decide.observation import InvalidIndex, Observation, Unfinished, UnprovenRun
    from migrate.core.history.graph import Graph, Revision
    from migrate.core.image import Image
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.manifest.match import Match, Rows
    from migrate.core.schema.compatibility import Break
    from migrate.core.schema.differences import Differences


class Empty(Value):
    """No version rows, no objects."""

    pending: tuple[Revision, ...]


class AtHead(Value):
    """Nothing is left to apply, as Alembic counts."""

    rows: Rows


class Behind(Value):
    """The version rows are known, and revisions are left to apply."""

    rows: Rows
    pending: tuple[Revision, ...]


class Untracked(Value):
    """Objects, but no version rows; ``match`` is None without a manifest."""

    objects: tuple[str, ...]
    match: Match | None = None


class Ahead(Value):
    """A recorded revision is not in the image, and the ledger proves that it descends from the image's head.

    ``breaks`` is None without a manifest (nothing can be said), and empty where the live schema serves this image;
    ``words`` is what it may trip over nevertheless.
    """

    rows: Rows
    recorded: Rows
    breaks: tuple[Break, ...] | None = None
    words: tuple[str, ...] = ()


class Unknown(Value):
    """A recorded revision is not in the image, and nothing proves what it is."""

    rows: Rows
    recorded: Rows
    breaks: tuple[Break, ...] | None = None
    match: Match | None = None
    words: tuple[str, ...] = ()


class Split(Value):
    """The version table holds a row twice, or a revision with its own ancestor; ``proven`` are the rows to keep."""

    rows: Rows
    surplus: Rows
    match: Match | None = None
    proven: Rows | None = None


Position = Empty | AtHead | Behind | Untracked | Ahead | Unknown | Split


class Unproven(Value):
    """The last run that changed this database ended without its proof; it counts until a proof has been given."""

    run: UnprovenRun


class Drifted(Value):
    """The live schema is not the manifest's at this position, but ``exact``-ly that of other version rows, if any.

    What is ``accepted``, a part of a revision left that is still to be applied, and an operator's word lets it stay.
    ``breaks`` are those of the extra objects with which the schema does not serve the revision's program.
    """

    differences: Differences
    accepted: Differences | None = None
    exact: Rows | None = None
    breaks: tuple[Break, ...] = ()


class Incomparable(Value):
    """The live schema cannot be held against the manifest: the role lacks USAGE on schemas whose objects it uses."""

    role: str
    schemas: tuple[str, ...]


class Lacking(Value):
    """Applied revisions, each with a sibling that it follows and that is not applied: no schema is known there."""

    pairs: tuple[tuple[str, str], ...]

    def sentence(self) -> str:
        """For people, with its names."""
        said = [
            f"revision {id_} is applied without revision {sibling}, which it follows" for id_, sibling in self.pairs
        ]
        return f"{clauses(said)}: the manifest knows no schema of such a database, and none is compared"


class Residue(Value):
    """What an earlier run left behind."""

    indexes: tuple[InvalidIndex, ...]
    steps: tuple[Unfinished, ...]


class Edited(Value):
    """Applied revisions whose file is another program now."""

    revisions: tuple[Revision, ...]


class Breaking(Value):
    """What the pending revisions take from the release that is still running, each with the revision that does it.

    ``before`` are the pending revisions that come before the first of those. Where there is none, ``serves_image`` tells
    whether the image's own program runs on what is there, too.
    """

    breaks: tuple[tuple[Break, Revision], ...]
    before: tuple[Revision, ...] = ()
    serves_image: bool = False


Finding = Unproven | Residue | Edited | Drifted | Incomparable | Lacking | ForeseenFinding | Breaking


class State(Value):
    """One position and its findings, in the order in which they are judged."""

    position: Position
    findings: tuple[Finding, ...] = ()
    accepted: tuple[str, ...] = ()  # differences that were recorded as meant, as sentences


def name(position: Position) -> str:
    """The position's name in log lines and reports, e.g. ``at-head``."""
    return "at-head" if isinstance(position, AtHead) else type(position).__name__.lower()


def named(rows: Iterable[str]) -> str:
    """Version rows in a sentence: the first of them and how many more there are; ``base`` for none."""
    return shortened(rows) or "base"


def descends(recorded: Rows, heads: Rows, graph: Graph, parents: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the ledger's parents lead from the recorded rows to every one of the image's heads.

    The walk goes through revisions that this image does not have; those it has answer for all of their ancestors.
    """
    reached: set[str] = set()
    waiting = list(recorded)
    while waiting:
        revision = waiting.pop()
        if revision in reached:
            continue
        reached.add(revision)
        if revision in graph:
            reached |= graph.ancestors([revision])
        else:
            waiting.extend(parents.get(revision, ()))
    return bool(heads) and set(heads) <= reached


def classify(image: Image, observation: Observation, target: str, ignore: Sequence[str] = ()) -> State:
    """The position of the observed database against the image, with what else was found.

    ``target`` must be one that the graph resolves; whoever calls has refused the image's faults before. ``ignore`` are
    patterns of identities that count neither as drift nor against a match.
    """
    position = _position(image, observation, target, ignore)
    findings: list[Finding] = []
    accepted: tuple[str, ...] = ()
    if observation.unproven is not None:
        findings.append(Unproven(observation.unproven))
    # whole, whatever a run could not write any more: the version table has moved beyond it
    whole = image.graph.ancestors(row for row in observation.rows if row in image.graph)
    steps = tuple(
        step
        for step in observation.unfinished
        if step.committed and not (step.kind == "upgrade" and step.revision in whole)
    )
    indexes = _residual(image, observation, position)
    if indexes or steps:
        findings.append(Residue(indexes, steps))
    edited = tuple(
        revision
        for revision in (image.graph.get(applied.revision) for applied in observation.ledger.values())
        if revision is not None and _is_edited(revision, image, observation)
    )
    if edited:
        findings.append(Edited(edited))
    is_placed = isinstance(position, (AtHead, Behind))
    lacking = image.manifest.lacking(observation.rows) if image.manifest is not None and is_placed else ()
    if lacking:
        findings.append(Lacking(lacking))
    elif (
        image.manifest is not None and observation.schema is not None and isinstance(position, (AtHead, Behind, Empty))
    ):
        major = observation.server.major
        differences = image.manifest.compare(observation.rows, observation.schema, major=major, ignore=ignore)
        differences, known = differences.divided(observation.meant)
        accepted = tuple(known.sentences())
        if isinstance(position, Empty):  # nothing is expected yet; in schemas that are shared, others have theirs
            differences = replace(differences, missing=(), changed=(), renamed=())
        if differences:
            match = None if isinstance(position, Empty) else _match(image, observation, ignore)
            exact = match.rows if isinstance(match, Exact) else None
            drifted = replace(_drifted(differences, observation), exact=exact)
            if not isinstance(position, Empty):
                drifted = replace(
                    drifted, breaks=breaks_of_extra(image.manifest, observation.rows, drifted.differences)
                )
            findings.append(incomparable(observation) or drifted)
    elif isinstance(getattr(position, "match", None), Nearest) and (blind := incomparable(observation)):
        findings.append(blind)
    breaking = None if lacking else _breaking(image, observation, position, target)
    if breaking is not None:
        findings.append(breaking)
    return State(position, tuple(findings), accepted)


def _residual(image: Image, observation: Observation, position: Position) -> tuple[InvalidIndex, ...]:
    """The INVALID indexes that are residue: a partitioned one may be meant to be so until a later revision attaches."""
    plain = tuple(index for index in observation.invalid_indexes if index.parts_sql is None)
    if len(plain) == len(observation.invalid_indexes):
        return plain
    if image.manifest is None or not isinstance(position, (AtHead, Behind)):
        return observation.invalid_indexes if isinstance(position, AtHead) else plain
    from migrate.core.decide.repair import plain as unquoted
    from migrate.core.schema.differences import parse

    expected = image.manifest.schema_at(position.rows)
    meant = {parse(identity).path[-1] for identity, text in expected.items() if text.endswith(" invalid")}
    return tuple(
        index for index in observation.invalid_indexes if index.parts_sql is None or unquoted(index.name) not in meant
    )


def incomparable(observation: Observation) -> Incomparable | None:
    """Why a difference of the observed schema proves nothing; None where it does."""
    return Incomparable(observation.server.user, observation.unnamed) if observation.unnamed else None


def _drifted(differences: Differences, observation: Observation) -> Drifted:
    """The differences, apart from them what a part of a pending revision left and an operator lets stay."""
    if not observation.accepted:
        return Drifted(differences)
    from migrate.core.schema.differences import Differences, read_change

    lines = (line for accepted in observation.accepted for line in accepted.left)
    let_stay = {read_change(line) for line in lines if line.startswith(CHANGE_SIGNS)}

    def divided(*, stays: bool) -> Differences:
        missing, changed, extra = (
            tuple(each for each in group if ((each.identity, each.actual) in let_stay) is stays)
            for group in (differences.missing, differences.changed, differences.extra)
        )
        return Differences(missing, changed, extra, () if stays else differences.renamed)

    return Drifted(divided(stays=False), divided(stays=True))


def breaks_of_extra(manifest: Manifest, rows: Rows, differences: Differences) -> tuple[Break, ...]:
    """With which of the extra objects the schema does not serve the program of these version rows."""
    if not differences.extra:
        return ()
    from migrate.core.schema.compatibility import refused_by_extra

    return refused_by_extra(manifest.schema_at(rows), differences.extra, manifest.spellings)


def _start(position: Position) -> Rows | None:
    """The version rows from which an upgrade would start: those that are there, or those that the schema would prove."""
    match position:
        case Behind(rows=rows):
            return rows
        case Untracked(match=Exact(rows=rows) | Nearest(rows=rows)):
            return rows
        case Unknown(match=Exact(rows=rows)) | Split(match=Exact(rows=rows)):
            return rows
        case Split(proven=rows):
            return rows
        case _:
            return None


def _position(image: Image, observation: Observation, target: str, ignore: Sequence[str]) -> Position:
    rows = observation.rows
    graph = image.graph
    if not rows:
        objects = observation.objects or _known_elsewhere(image, observation)
        if objects:
            return Untracked(objects, _match(image, observation, ignore))
        return Empty(_pending(graph, (), target))
    recorded = tuple(sorted({row for row in rows if row not in graph}))
    overlap = graph.split(rows)
    if overlap:
        from migrate.core.decide.repair import rows_proven

        surplus = (*overlap.duplicates, *(row for row, _ in overlap.ancestors))
        major = observation.server.major
        proven = rows_proven(graph, image.manifest, rows, observation.schema, major=major, ignore=ignore)
        return Split(rows, surplus, _match(image, observation, ignore), proven)
    if recorded:
        parents = {applied.revision: applied.parents for applied in observation.ledger.values()}
        breaks, said = _breaks(image, observation)
        if descends(rows, tuple(graph.heads), graph, parents):
            return Ahead(rows, recorded, breaks, said)
        return Unknown(rows, recorded, breaks, _match(image, observation, ignore), said)
    pending = _pending(graph, rows, target)
    return Behind(rows, pending) if pending else AtHead(rows)


def _known_elsewhere(image: Image, observation: Observation) -> tuple[str, ...]:
    """What the history makes beside the default schema, as far as it is there; somebody else's objects may be, too."""
    if image.manifest is None or not image.manifest.schemas or observation.schema is None:
        return ()
    from migrate.core.schema.differences import is_alone, place_of

    there = observation.schema.keys() & image.manifest.identities
    return tuple(sorted(each for each in there if place_of(each) is not None and is_alone(each)))


def _pending(graph: Graph, rows: Rows, target: str) -> tuple[Revision, ...]:
    found = graph.pending(rows, target)
    if isinstance(found, HistoryFault):  # refused before a database is observed: see `decision.refuse_image`
        raise TypeError(found.why)
    return found


def _match(image: Image, observation: Observation, ignore: Sequence[str]) -> Match | None:
    if image.manifest is None or observation.schema is None:
        return None
    return image.manifest.identify(observation.schema, major=observation.server.major, ignore=ignore)


def _breaks(image: Image, observation: Observation) -> tuple[tuple[Break, ...] | None, tuple[str, ...]]:
    """What in the live schema does not serve the image, None where nothing can be said, and what to say beside it."""
    if image.manifest is None or observation.schema is None:
        return None, ()
    from migrate.core.schema.compatibility import serves, words

    schemas = image.manifest.schema_at(tuple(image.graph.heads)), observation.schema
    return serves(*schemas, image.manifest.spellings), words(*schemas, image.manifest.spellings)


def _breaking(image: Image, observation: Observation, position: Position, target: str) -> Breaking | None:
    """What the pending change breaks; None where nothing, or where nothing tells."""
    start = _start(position)
    if image.manifest is None or start is None:
        return None
    from migrate.core.decide.running import released_at, taken_from

    applied = observation.ledger.keys()
    released = released_at(image.manifest, image.graph, start, observation.released, applied)
    breaks, before = taken_from(image.manifest, image.graph, released, start, _pending(image.graph, start, target))
    if not breaks:
        return None
    serves_image = not before and isinstance(position, Behind) and _breaks(image, observation)[0] == ()
    return Breaking(breaks, before, serves_image)


def _is_edited(revision: Revision, image: Image, observation: Observation) -> bool:
    applied = observation.ledger[revision.id]
    source = image.sources.get(revision.id)
    if applied.sha256 == revision.sha256 or applied.source is None or source is None:
        return False
    return not same_program(applied.source, source)


def same_program(one: str, other: str) -> bool:
    """Whether two sources parse to the same program, so that a formatter's run is no edit.

    Both are parsed by the running Python: `ast.dump` prints one source differently from version to version.
    """
    import ast

    from migrate.core.history.python_source import parsed

    try:
        return ast.dump(parsed(one)) == ast.dump(parsed(other))
    except (SyntaxError, ValueError):
        return False
