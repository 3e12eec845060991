"""What a problem is: a kind of the catalogue that happened, with this case's names."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from migrate.core.problems.exit_codes import ExitCode
from migrate.core.problems.fix import advice
from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.problems.excerpt import Excerpt
    from migrate.core.problems.fix import Fix

EXCERPTS: Final = "excerpts"
"""The fact that is no field of a log line."""

FIX_PARTS: Final = "fix_parts"
"""What people are shown of a fix beside its text: of each part its language, a blank, and what is pasted."""

OF_THE_CASE: Final = advice("{fix}")
"""The fix of a kind for which there is no advice without the case."""


class Kind(Value):
    """One catalogued way to stop.

    The texts of ``fix`` are format strings: their names are filled in from the facts of the case, so that it carries the
    user's own.
    """

    code: str
    exit_code: ExitCode
    title: str
    condition: str
    effect: str
    fix: Fix

    @property
    def fix_is_of_the_case(self) -> bool:
        """True where there is no advice without the case."""
        return self.fix is OF_THE_CASE

    @property
    def general_fix(self) -> Fix:
        """The fix without a case: each name that a case would fill in as ``<name>``."""
        return self.fix.filled({})


class Problem(Value):
    """A kind of problem that happened: why, in a sentence with this case's names, and the fix with them filled in."""

    kind: Kind
    why: str
    fix: Fix
    facts: Mapping[str, object] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.INTERNAL

    def fields(self) -> dict[str, object]:
        """The error fields of a log line (docs/reference/log-lines.md)."""
        return {
            "problem": self.kind.code,
            "title": self.kind.title,
            "why": self.why,
            "fix": self.fix,
            "exit_code": int(self.exit_code),
            "retryable": self.exit_code.retryable,
            **{name: fact for name, fact in self.facts.items() if name != EXCERPTS},
        }

    @property
    def excerpts(self) -> tuple[Excerpt, ...]:
        """The lines of the user's files that are shown to people, and to nobody else."""
        found: Any = self.facts.get(EXCERPTS, ())
        return tuple(found)


class Stop(Exception):  # noqa: N818 - it ends a run on purpose; "Error" would say that something broke
    """Carries a problem from where it was found to the place that reports it and exits."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.kind.code}: {problem.why}")
        self.problem = problem
