"""What a check of `migrate doctor` is: one record with its purpose, which passes, warns, fails or is skipped on the facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar, assert_never

from migrate.core.problems import NOTHING, ExitCode, Fix, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

Facts = TypeVar("Facts")


class Verdict(StrEnum):
    """What a check came to."""

    PASS = "pass"  # noqa: S105 - no password
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Passed:
    """Nothing is wrong; `evidence` is a sentence with the names of the case."""

    evidence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing was looked at; `evidence` is why. It is neither good nor bad news."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is, which does not stop a release; `fix` is to be pasted."""

    evidence: str
    fix: Fix
    details: tuple[str, ...] = ()


Found = Passed | Skipped | Warned | Problem  # a problem fails the check: it would stop a release, or does already


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check came to: `evidence` is a sentence with the names of the case, `problem` that of one that fails."""

    name: str
    verdict: Verdict
    evidence: str
    fix: Fix = NOTHING
    details: tuple[str, ...] = ()
    problem: Problem | None = None

    def fields(self) -> dict[str, object]:
        """The check for `--json` and for its log line; `exit_code` is what `migrate up` would end with for this."""
        found: dict[str, object] = {
            "check": self.name,
            "verdict": str(self.verdict),
            "evidence": self.evidence,
            "exit_code": int(ExitCode.OK if self.problem is None else self.problem.exit_code),
        }
        if self.fix:
            found["fix"] = self.fix
        if self.details:
            found["details"] = list(self.details)
        if self.problem is not None:
            found["problem"] = self.problem.kind.code
        return found


@dataclass(frozen=True, slots=True)
class Check(Generic[Facts]):
    """One check: what it looks at, and when it warns or fails; an empty text is never."""

    name: str
    looks_at: str
    warns: str
    fails: str
    needs_server: bool
    judge: Callable[[Facts], Found]

    def __call__(self, facts: Facts | Problem) -> Checked:
        """Judge the facts; a problem in their place is what kept them from us, and fails the check."""
        found = facts if isinstance(facts, Problem) else self.judge(facts)
        match found:
            case Passed(evidence, details):
                return Checked(self.name, Verdict.PASS, evidence, details=details)
            case Skipped(evidence):
                return Checked(self.name, Verdict.SKIP, evidence)
            case Warned(evidence, fix, details):
                return Checked(self.name, Verdict.WARN, evidence, fix, details)
            case Problem():
                return Checked(self.name, Verdict.FAIL, found.why, found.fix, problem=found)
            case _:
                assert_never(found)


def check(
    looks_at: str, *, warns: str = "", fails: str = "", needs_server: bool = True
) -> Callable[[Callable[[Facts], Found]], Check[Facts]]:
    """Make a check of the function that judges its facts; it has the function's name."""

    def declare(judge: Callable[[Facts], Found]) -> Check[Facts]:
        return Check(judge.__name__.replace("_", "-"), looks_at, warns, fails, needs_server, judge)

    return declare
