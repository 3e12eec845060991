"""What a trial says: of each revision when it is through, and of the models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from migrate.core.events import Event, Level, Name
from migrate.core.trial_checks import TrialCheck
from migrate.core.wording import counted
from migrate.trial.cases import FOUND, CaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.events import Emit
    from migrate.core.history.graph import Revision
    from migrate.core.problems import Problem
    from migrate.trial.cases import Case, Findings

MODELS_DIFFER: Final = "the models do not match the schema at head: "


def judge_models(findings: Findings, env_py: str, differences: Sequence[str] | None, failed: Problem | None) -> None:
    """What the comparison of the models with the schema at the head has found."""
    if failed is not None:
        findings.found(TrialCheck.MODELS, None, f"the models cannot be compared: {failed.why}", file=env_py, line=1)
    elif differences is None:
        findings.skipped(TrialCheck.MODELS, None, "env.py names no target_metadata that has tables")
    elif differences:
        # at env.py, which names the models: what was applied is never at fault
        first, *others = differences
        findings.found(TrialCheck.MODELS, None, f"{MODELS_DIFFER}{first}", others, file=env_py, line=1)
    findings.passed(TrialCheck.MODELS)


def tell_revision(findings: Findings, emit: Emit, revision: Revision) -> None:
    """Say what was found of a revision."""
    cases = findings.of(revision.id)
    found = [case for case in cases if case.verdict in FOUND]
    emit(
        Event(
            Name.TRIAL_REVISION,
            f"revision {revision.id}: {counted(len(found), 'finding') if found else 'nothing found'}",
            Level.INFO,
            {"revision": revision.id, "file": revision.file, "findings": len(found)},
        )
    )
    tell(found, emit)


def tell(cases: Iterable[Case], emit: Emit) -> None:
    """Say every finding among the cases, and every difference of the models as one of its own."""
    levels = {CaseStatus.FAILED: Level.ERROR, CaseStatus.WARNED: Level.WARN, CaseStatus.ACCEPTED: Level.INFO}
    for case in cases:
        level = levels.get(case.verdict)
        if level is None:
            continue
        each = [case]
        if case.why.startswith(MODELS_DIFFER):
            lines = (case.why.removeprefix(MODELS_DIFFER), *case.details)
            each = [replace(case, why=line, details=()) for line in lines]
        for one in each:
            said = f"{one.place or 'the history'}: {one.check}: {one.why}"
            emit(Event(Name.TRIAL_FINDING, said, level, one.to_json()))
