"""What `migrate report` shows, as plain values: runs, revisions, the state and drift now; renderers turn it into text."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TypeVar

from migrate.core.wording import duration
from migrate.output.terminal import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from migrate.core.decide.observation import Observation
    from migrate.core.decide.review import Reviewed
    from migrate.core.image import Image

_T = TypeVar("_T")

CURRENT: Final = "current"
APPLIED: Final = "applied"
PENDING: Final = "pending"
UNRELATED: Final = "not applied"  # of a branch that the target does not lead to


@dataclass(frozen=True, slots=True)
class Change:
    """What one revision changed in the schema, as the manifest's lines."""

    revision: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a run."""

    kind: str
    revision: str
    status: str
    took: str
    file: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, as the ledger has it; times in UTC."""

    run_id: str
    verb: str
    started: str
    took: str
    outcome: str
    good: bool
    exit_code: str
    problem: str
    rows_before: str
    rows_after: str
    version: str
    context: str
    steps: tuple[StepRow, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """One revision of the image, or one that the database has and the image does not."""

    id: str
    message: str
    file: str
    down: str
    mark: str
    is_head: bool
    applied: str  # when, in UTC; empty where the ledger does not tell
    took: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComingRow:
    """One pending revision: what it changes, breaks, does and needs; ``unknown`` is what the manifest does not say."""

    id: str
    message: str
    lines: tuple[str, ...]
    breaks: tuple[str, ...]
    effects: tuple[str, ...]
    needs: tuple[str, ...]
    unknown: tuple[str, ...]


def coming_rows(review: Sequence[Reviewed]) -> tuple[ComingRow, ...]:
    """What comes next, in its order."""
    return tuple(
        ComingRow(
            each.revision.id,
            each.revision.message,
            each.changes,
            each.breaks,
            each.effects_said or (),
            each.needs_said or (),
            tuple(name for name, said in (("effects", each.effects_said), ("needs", each.needs_said)) if said is None),
        )
        for each in review
    )


@dataclass(frozen=True, slots=True)
class Page:
    """The whole page; newest first. ``drift`` is None where nothing could be compared, which ``drift_said`` explains."""

    service: str
    version: str
    made: str
    database: str
    server: str
    position: str
    rows: str
    decision: str
    good: bool
    pending: int
    findings: tuple[str, ...]
    drift: tuple[str, ...] | None
    drift_said: str
    has_manifest: bool
    coming: tuple[ComingRow, ...]  # the oldest first, as they would run
    runs: tuple[RunRow, ...]
    runs_limited: bool
    revisions: tuple[RevisionRow, ...]


def reverted(runs: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The revisions that one of the runs went back from."""
    return frozenset(step["revision"] for run in runs for step in run["steps"] if _has_ended(step, "downgrade"))


def run_rows(
    runs: Sequence[Mapping[str, Any]],
    recorded: Mapping[str, Sequence[str]],
    undone: Mapping[str, Sequence[str]],
) -> tuple[RunRow, ...]:
    """The ledger's runs (`migrate.postgres.ledger.history`).

    By revision, ``recorded`` are the manifest's lines, and ``undone`` those of the way back.
    """
    return tuple(_run(run, {"upgrade": recorded, "downgrade": undone}) for run in runs)


def _has_ended(step: Mapping[str, Any], kind: str) -> bool:
    return step["kind"] == kind and step["status"] == "finished" and bool(step["revision"])


def _run(run: Mapping[str, Any], lines: Mapping[str, Mapping[str, Sequence[str]]]) -> RunRow:
    steps = tuple(
        StepRow(step["kind"], step["revision"] or "", step["status"], duration(step["duration_ms"]), step["file"] or "")
        for step in run["steps"]
    )
    finished = run["finished_at"]
    milliseconds = None if finished is None else (finished - run["started_at"]).total_seconds() * 1000
    return RunRow(
        run_id=run["run_id"],
        verb=run["verb"],
        started=moment(run["started_at"]),
        took=duration(milliseconds),
        outcome=run["outcome"] or "did not end",
        good=run["exit_code"] == 0,
        exit_code="" if run["exit_code"] is None else str(run["exit_code"]),
        problem=run["problem"] or "",
        rows_before=", ".join(run["from_revision"]) or "base",
        rows_after="" if run["to_revision"] is None else ", ".join(run["to_revision"]) or "base",
        version=run["version"],
        context=", ".join(f"{name} {value}" for name, value in (run["context"] or {}).items() if value),
        steps=steps,
        changes=tuple(
            Change(step.revision, tuple(changed))
            for step in steps
            if step.status == "finished" and (changed := lines.get(step.kind, {}).get(step.revision))
        ),
    )


def revision_rows(
    image: Image,
    observation: Observation,
    pending: Sequence[str],
    runs: Sequence[Mapping[str, Any]],
) -> tuple[RevisionRow, ...]:
    """Every revision, newest first, with when the ledger says that it was applied."""
    graph = image.graph
    known = [row for row in observation.rows if row in graph]
    below = graph.ancestors(known)
    applied: dict[str, tuple[str, str]] = {}
    for run in reversed(runs):
        for step in run["steps"]:
            if _has_ended(step, "upgrade"):
                applied[step["revision"]] = (moment(run["started_at"]), duration(step["duration_ms"]))
            elif _has_ended(step, "downgrade"):
                applied.pop(step["revision"], None)
    entries = image.manifest.revisions if image.manifest is not None else ()
    recorded = {entry.revision.id: entry.changes for entry in entries}
    heads = set(graph.heads)
    found = [
        RevisionRow(row, "not in this image", "", "", CURRENT, is_head=False, applied=when, took=took, lines=())
        for row in observation.rows
        if row not in graph
        for when, took in [applied.get(row, ("", ""))]
    ]
    ordered = graph.pending((), "heads")
    assert isinstance(ordered, tuple)  # whoever calls has refused a history with faults
    for revision in reversed(ordered):
        when, took = applied.get(revision.id, ("", ""))
        found.append(
            RevisionRow(
                id=revision.id,
                message=revision.message,
                file=revision.file,
                down=", ".join((*revision.down, *revision.depends_on)),
                mark=_mark(revision.id, known, below, pending),
                is_head=revision.id in heads,
                applied=when,
                took=took,
                lines=tuple(recorded.get(revision.id, ())),
            )
        )
    return tuple(found)


def _mark(revision: str, current: Collection[str], below: Collection[str], pending: Collection[str]) -> str:
    if revision in current:
        return CURRENT
    if revision in below:
        return APPLIED
    return PENDING if revision in pending else UNRELATED


def moment(when: datetime) -> str:
    """A time for people, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def cleaned(value: _T, redact: Callable[[str], str]) -> _T:
    """The same with every text in it redacted, and nothing left in it that acts on a reader; line feeds are kept."""
    if isinstance(value, str):
        return "\n".join(shown(line) for line in redact(value).split("\n"))  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(cleaned(entry, redact) for entry in value)  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: cleaned(getattr(value, each.name), redact) for each in fields(value)})
    return value
