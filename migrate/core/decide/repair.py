"""What can be put right of what an earlier run left behind, and what only a person can decide; each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations
from shlex import quote as shell_quoted
from typing import TYPE_CHECKING, Final, assert_never

from migrate.core.problems import advice, migrate, shell, sql
from migrate.core.quoting import identifier
from migrate.core.schema.differences import Difference, Differences, dotted, read_change
from migrate.core.schema.repair_sql import repairs
from migrate.core.wording import LISTED, clauses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from migrate.core.decide.observation import InvalidIndex, Observation, Unfinished
    from migrate.core.history.graph import Graph
    from migrate.core.image import Image
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.problems import Fix

MOST_LEFT: Final = 20  # lines that a run records of what it left; as many may not be all
MOST_ROWS: Final = 10  # of a split table; every choice among them is compared with the schema

# What an interrupted REINDEX CONCURRENTLY leaves beside the index itself, and which is only to be dropped:
# https://www.postgresql.org/docs/current/sql-reindex.html (Rebuilding Indexes Concurrently)
_TRANSIENT: Final = re.compile(r"_cc(?:new|old)\d*$")


@dataclass(frozen=True, slots=True)
class RebuildIndex:
    """Build an INVALID index anew in its place, without blocking writes."""

    index: InvalidIndex

    @property
    def sql(self) -> str:
        """The statement, which must run outside a transaction."""
        return f"REINDEX INDEX CONCURRENTLY {_named(self.index)}"


@dataclass(frozen=True, slots=True)
class DropIndex:
    """Drop an INVALID index that is not to be there."""

    index: InvalidIndex
    reason: str

    @property
    def sql(self) -> str:
        """The statement, which must run outside a transaction."""
        return f"DROP INDEX CONCURRENTLY IF EXISTS {_named(self.index)}"


@dataclass(frozen=True, slots=True)
class KeepRows:
    """Let the version table hold exactly ``rows`` in place of ``replaced``."""

    rows: tuple[str, ...]
    replaced: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CloseStep:
    """Close a row of the ledger that a dead run left open."""

    step: Unfinished
    status: str  # finished or abandoned
    reason: str
    by_word: bool = False  # the operator's: nothing was compared, and what was left may stay


Action = RebuildIndex | DropIndex | KeepRows | CloseStep


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not repaired, because nothing proves what is right; ``fix`` is what a person can do."""

    what: str
    fix: Fix


@dataclass(frozen=True, slots=True)
class Repairs:
    """What would be done, in order, and what is left for a person; false where nothing is the matter."""

    actions: tuple[Action, ...] = ()
    left: tuple[Left, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is to be repaired at all."""
        return bool(self.actions or self.left)

    @property
    def on_indexes(self) -> tuple[RebuildIndex | DropIndex, ...]:
        """Those that come first: they change the schema by which the others are judged."""
        return tuple(action for action in self.actions if isinstance(action, RebuildIndex | DropIndex))


@dataclass(frozen=True, slots=True)
class Closing:
    """The operator's word that what a revision left has been dealt with, and the reason that the ledger keeps."""

    revision: str
    reason: str


def plan_repairs(
    image: Image,
    observation: Observation,
    *,
    duplicates: Mapping[InvalidIndex, int] | None = None,
    sources: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    closing: Closing | None = None,
    url: str = '"$DATABASE_URL"',
    foresees: bool = False,
) -> Repairs:
    """What to repair in the observed database.

    ``duplicates`` says of unique indexes how many keys occur more than once; ``sources`` are the texts of the revisions
    that are not applied, by id, which stand in for a missing manifest; ``ignore`` as in `Manifest.compare`; ``url`` is the
    word of a shell that gives the database's (`Target.url_in_shell`). Where it ``foresees``, rows and ledger are judged by
    the schema that the repair of the indexes is to leave.
    """
    found: list[Action | Left | None] = [
        _on_index(index, image, observation, (duplicates or {}).get(index, 0), sources or {})
        for index in observation.invalid_indexes
    ]
    if foresees:
        observation = _foreseen(observation, [each for each in found if isinstance(each, RebuildIndex | DropIndex)])
    found.append(_on_rows(image, observation, ignore))
    found += [_on_step(step, image, observation, ignore, closing, url) for step in observation.unfinished]
    return Repairs(
        tuple(each for each in found if isinstance(each, Action)),
        tuple(each for each in found if isinstance(each, Left)),
    )


def said(action: Action) -> str:
    """An action in one sentence with its names."""
    match action:
        case RebuildIndex(index=index):
            return f"rebuild index {index.name} on {index.table}: {action.sql}"
        case DropIndex(index=index, reason=reason):
            return f"drop index {index.name} on {index.table}, {reason}: {action.sql}"
        case KeepRows(rows=rows, replaced=replaced, reason=reason):
            return f"let the version table hold {_listed(rows)} instead of {_listed(replaced)}: {reason}"
        case CloseStep(step=step, status=status, reason=reason):
            of = f" of revision {step.revision}" if step.revision is not None else ""
            return f"close step {step.kind}{of} of run {step.run_id} as {status}: {reason}"
        case _:
            assert_never(action)


def plain(quoted: str) -> str:
    """A name without the quotes that PostgreSQL's quote_ident gave it."""
    return quoted[1:-1].replace('""', '"') if quoted.startswith('"') else quoted


def rows_proven(
    graph: Graph,
    manifest: Manifest | None,
    rows: Sequence[str],
    live: Mapping[str, str] | None,
    *,
    major: int,
    ignore: Sequence[str] = (),
) -> tuple[str, ...] | None:
    """Which of the rows of a split version table to keep; None where nothing proves it.

    A row that is only there twice needs no proof. Of a row and its ancestor the one is kept whose schema, by the
    manifest, is the live one; where several choices have that schema, nothing is proven.
    """
    distinct = tuple(sorted(set(rows)))
    if not graph.split(distinct):
        return distinct
    if manifest is None or live is None or len(distinct) > MOST_ROWS or graph.unknown(distinct):
        return None
    proven = [
        choice
        for choice in _choices(graph, distinct)
        if not manifest.lacking(choice) and not manifest.compare(choice, live, major=major, ignore=ignore)
    ]
    return proven[0] if len(proven) == 1 else None


def _choices(graph: Graph, rows: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The ways to keep as many rows as can stand beside each other."""
    standing = [
        frozenset(choice)
        for size in range(len(rows), 0, -1)
        for choice in combinations(rows, size)
        if not graph.split(choice)
    ]
    for choice in standing:
        if not any(choice < other for other in standing):
            yield tuple(sorted(choice))


def _on_index(
    index: InvalidIndex, image: Image, observation: Observation, duplicates: int, sources: Mapping[str, str]
) -> RebuildIndex | DropIndex | Left:
    name = f"index {index.name} on {index.table}"
    if index.parts_sql is not None:
        if index.constraint is None and _is_made_by_pending(index, image, observation, sources):
            return Left(
                f"{name} is INVALID, and a pending revision will make it again", sql(f"DROP INDEX {_named(index)};")
            )
        return Left(
            f"{name} is INVALID: it is partitioned, and partitions have no valid part of it", sql(index.parts_sql)
        )
    if _TRANSIENT.search(plain(index.name)) and index.constraint is None:
        return DropIndex(index, "which an interrupted REINDEX CONCURRENTLY left")
    if index.constraint is None and _is_made_by_pending(index, image, observation, sources):
        return DropIndex(index, "which a pending revision will make again")
    if index.is_exclusion:
        return Left(
            f"{name} is INVALID and belongs to exclusion constraint {index.constraint}, which cannot be rebuilt"
            " concurrently",
            sql(f"REINDEX INDEX {_named(index)};", note=f"blocks writes to {index.table} while it runs"),
        )
    if duplicates:
        keys = "key occurs" if duplicates == 1 else "keys occur"
        return Left(
            f"{name} is INVALID and unique, but {duplicates} {keys} more than once",
            advice(f"remove the duplicates from {index.table}, then run: ", migrate("repair", "--yes")),
        )
    return RebuildIndex(index)


def _is_made_by_pending(
    index: InvalidIndex, image: Image, observation: Observation, sources: Mapping[str, str]
) -> bool:
    """Whether a revision that is still to run makes this index: then it must go, or the name would be taken.

    Without a manifest the text decides: a revision that names the index, and not to drop it.
    """
    graph, rows = image.graph, observation.rows
    if image.manifest is not None and not graph.unknown(rows) and not graph.split(rows):
        identity = _identity(index, observation.server.schema)
        heads = image.manifest.schema_at(tuple(graph.heads))
        return identity in heads and identity not in image.manifest.schema_at(rows)
    name = re.escape(plain(index.name))
    upgrades = [text.partition("def downgrade")[0] for text in sources.values()]
    return any(
        re.search(rf"(?<!\w){name}(?!\w)", text) and not re.search(rf"(?i)drop[^;\n]*?(?<!\w){name}(?!\w)", text)
        for text in upgrades
    )


def _foreseen(observation: Observation, actions: Iterable[RebuildIndex | DropIndex]) -> Observation:
    """The observation as it will be once these have been carried out."""
    if observation.schema is None:
        return observation
    schema = dict(observation.schema)
    for action in actions:
        identity = _identity(action.index, observation.server.schema)
        if isinstance(action, DropIndex):
            schema.pop(identity, None)
        elif identity in schema:
            schema[identity] = schema[identity].removesuffix(" invalid")
    return replace(observation, schema=schema)


def _on_rows(image: Image, observation: Observation, ignore: Sequence[str]) -> KeepRows | Left | None:
    rows = observation.rows
    overlap = image.graph.split(rows)
    if not overlap:
        return None
    kept = rows_proven(
        image.graph, image.manifest, rows, observation.schema, major=observation.server.major, ignore=ignore
    )
    if kept is not None:
        reason = "the schema matches the manifest there" if overlap.ancestors else "a row was there twice"
        return KeepRows(kept, rows, reason)
    why = (
        "without a manifest nothing proves which is right"
        if image.manifest is None
        else "the live schema does not prove which is right"
    )
    return Left(
        f"the version table holds {_listed(rows)}, which cannot stand beside each other; {why}",
        shell(
            migrate("adopt", "--at REVISION", "--reason 'WHY'"),
            note="you vouch for it; recorded with the differences",
        ),
    )


def _on_step(
    step: Unfinished,
    image: Image,
    observation: Observation,
    ignore: Sequence[str],
    closing: Closing | None,
    url: str,
) -> CloseStep | Left:
    revision = step.revision
    if not step.committed:
        return CloseStep(step, "abandoned", "its run died and left nothing of it")
    if closing is not None and closing.revision == revision:
        return CloseStep(step, "abandoned", closing.reason, by_word=True)
    if revision is not None and (revision in _applied(image.graph, observation.rows)) is (step.kind == "upgrade"):
        return CloseStep(step, "finished", "the version table says that it is whole")
    drift = _drift(image, observation, ignore)
    if drift is not None and not drift:
        return CloseStep(step, "abandoned", "the schema matches the recorded revision")
    recorded = _recorded(step)
    live = observation.schema or {}
    if recorded and observation.schema is not None:
        drift = Differences(extra=tuple(Difference(each, None, live[each]) for each in recorded if each in live))
        if not drift:
            return CloseStep(step, "abandoned", "nothing of what it left is there any more")
    part = f"a part of revision {revision} is committed (run {step.run_id})"
    word = migrate("repair", "--yes", f"--close {revision}", "--reason 'WHY'")
    if drift is None:
        named = f"it left: {'; '.join(step.left[:LISTED])}" if step.left else "what it left is not recorded"
        return Left(
            f"{part}, and nothing proves that it is put right; {named}", shell(word, note="once it is put right")
        )
    if recorded:
        is_left = (
            f"{part}; it left, and there still is: {clauses([each.identity for each in drift.without_members().extra])}"
        )
    else:
        at = _listed(observation.rows)
        is_left = f"{part}, and the schema does not match {at}: {clauses(drift.sentences())}"
    again, undoing = migrate("repair", "--yes"), _undoing(drift, image, observation)
    if not undoing:
        return Left(is_left, shell(again, note=("once what is named is put right; or, if it may stay: ", word)))
    way = f"{_psql(undoing, observation.server.schema, url)} && "
    return Left(is_left, shell(way, again, note=("or, if it may stay: ", word)))


def _recorded(step: Unfinished) -> tuple[str, ...]:
    """The objects that the step's run saw it leave; nothing where it left more than new objects, or not all is known."""
    lines = [line for line in step.left if not line.startswith("INVALID ")]
    if len(step.left) >= MOST_LEFT or not all(line.startswith("+ ") for line in lines):
        return ()
    return tuple(read_change(line)[0] for line in lines)


def _undoing(drift: Differences, image: Image, observation: Observation) -> tuple[str, ...]:
    """The statements that put all of it right; none where that takes more than simple statements."""
    live, rows = observation.schema or {}, observation.rows
    is_known = image.manifest is not None and not image.graph.unknown(rows) and not image.graph.split(rows)
    extra = {difference.identity for difference in drift.extra}
    expected = {each: definition for each, definition in live.items() if each not in extra}
    if image.manifest is not None and is_known:
        expected = image.manifest.spellings.as_in(image.manifest.schema_at(rows), live)
    found = repairs(drift, expected, live, drops=True)  # what is there is what the part left
    if len(found) != len(drift) or any(sql.startswith("--") for _, sql in found):
        return ()
    return tuple(f"{statement.removesuffix(';')};" for _, sql in found for statement in sql.split(";\n"))


def _psql(statements: Iterable[str], schema: str | None, url: str) -> str:
    """The command that runs the statements one by one, each in a transaction of its own."""
    first = [f"SET search_path TO {identifier(schema)};"] if schema not in {None, "public"} else []
    commands = "".join(f" -c {shell_quoted(sql)}" for sql in (*first, *statements))
    return f"psql {url}{commands}"


def _applied(graph: Graph, rows: Collection[str]) -> frozenset[str]:
    return graph.ancestors(row for row in rows if row in graph) | frozenset(rows)


def _drift(image: Image, observation: Observation, ignore: Sequence[str]) -> Differences | None:
    """What the live schema differs in from the manifest's at the recorded rows; None where that is not known."""
    rows = observation.rows
    if image.manifest is None or observation.schema is None or image.graph.unknown(rows) or image.graph.split(rows):
        return None
    major = observation.server.major
    return image.manifest.compare(rows, observation.schema, major=major, ignore=ignore)


def _identity(index: InvalidIndex, default_schema: str | None) -> str:
    path = (plain(index.table), plain(index.constraint or index.name))
    kind = "index" if index.constraint is None else "constraint"
    return f"{kind} {dotted(path if index.schema == default_schema else (index.schema, *path))}"


def _named(index: InvalidIndex) -> str:
    schema = index.schema.replace('"', '""')
    return f'"{schema}".{index.name}'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
