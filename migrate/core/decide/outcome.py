"""What a run came to: the last line says applied, failed and not started."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from migrate.core.problems import ExitCode
from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.problems import Problem

LISTED_IDS: Final = 50  # a last line with 3,000 ids would pass the 8 KiB that platforms accept for one line


class Result(StrEnum):
    """The values of the field ``outcome``."""

    APPLIED = "applied"
    NOOP = "noop"
    HELD = "held"
    AHEAD = "ahead"
    ADOPTED = "adopted"
    REPAIRED = "repaired"
    DOWNGRADED = "downgraded"
    RESTORED = "restored"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


class Outcome(Value):
    """The end of a run; ``fields()`` are those of its last line, whatever the verb."""

    result: Result
    exit_code: ExitCode = ExitCode.OK
    problem: Problem | None = None
    from_revision: Sequence[str] = ()
    to_revision: Sequence[str] = ()
    applied: Sequence[str] = ()
    failed: str | None = None  # or interrupted
    pending: Sequence[str] = ()
    reverted: Sequence[str] = ()
    backup: Mapping[str, object] | None = None  # the way back, where a backup was taken
    held: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of pending, and what each would break

    def fields(self) -> dict[str, object]:
        """The fields of ``run.finished``; revisions that were not started are ``pending`` less ``failed``."""
        not_started = [revision for revision in self.pending if revision != self.failed]
        found: dict[str, object] = {
            "outcome": str(self.result),
            "exit_code": int(self.exit_code),
            "exit_name": self.exit_code.label,
            "retryable": self.exit_code.retryable,
            "from_revision": list(self.from_revision),
            "to_revision": list(self.to_revision),
            "applied": list(self.applied)[:LISTED_IDS],
            "applied_count": len(self.applied),
            "pending": list(self.pending)[:LISTED_IDS],
            "pending_count": len(self.pending),
        }
        if self.reverted:
            found["reverted"] = list(self.reverted)[:LISTED_IDS]
            found["reverted_count"] = len(self.reverted)
        if self.backup is not None:
            found |= self.backup
        if self.held:
            broken = [f"{revision}: {sentence}" for revision, breaks in self.held.items() for sentence in breaks]
            found["held"] = list(self.held)[:LISTED_IDS]
            found["held_breaks"] = broken[:LISTED_IDS]
        if self.failed is not None:
            found["failed"] = self.failed
        if self.failed is not None or (self.result is Result.INTERRUPTED and not_started):
            found["not_started"] = not_started[:LISTED_IDS]
            found["not_started_count"] = len(not_started)
        if self.problem is not None:
            found |= {k: v for k, v in self.problem.fields().items() if k != "exit_code"}
        return found


def ended_by(problem: Problem) -> Outcome:
    """The outcome of a run that a problem ended before it changed anything."""
    return Outcome(result_of(problem.exit_code), problem.exit_code, problem)


def result_of(code: ExitCode, *, has_changed: bool = False) -> Result:
    """The word for the end: ``refused`` where a person must act and nothing was changed, else ``failed`` or ``unknown``."""
    if code is ExitCode.UNKNOWN:
        return Result.UNKNOWN
    return Result.REFUSED if code in _REFUSALS and not has_changed else Result.FAILED


_REFUSALS: Final = frozenset(
    {
        ExitCode.USAGE,
        ExitCode.CONFIG,
        ExitCode.HISTORY,
        ExitCode.POLICY,
        ExitCode.TARGET,
        ExitCode.ACCESS,
        ExitCode.STATE,
        ExitCode.AHEAD,
        ExitCode.DRIFT,
        ExitCode.DATA,
    }
)
