"""What of a revision blocks others for long, as the manifest has seen it, and the safe way to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.foresee.advice import advice
from migrate.core.foresee.effects import Brief, Held, is_heavy, line
from migrate.core.trial_checks import TrialCheck

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.core.foresee.effects import Effect
    from migrate.core.manifest.manifest import Manifest
    from migrate.trial.cases import Findings


def _names(effect: Effect) -> list[str]:
    """What a statement names that has this effect."""
    return [
        getattr(effect, field) for field in ("table", "index", "constraint", "other", "why") if hasattr(effect, field)
    ]


def judge_locks(findings: Findings, manifest: Manifest | None, revisions: Iterable[str]) -> None:
    """A finding for each effect that blocks others for long, with the safe way below it."""
    for id_ in revisions:
        effects = manifest.effects_of(id_) if manifest is not None and id_ in manifest.position_of else None
        if manifest is None or effects is None:
            findings.skipped(TrialCheck.LOCKS, id_, "the manifest does not say what it does: migrate manifest")
            continue
        after = manifest.schema_at([id_])
        # a lock that is held while other definitions are written is as short as those
        is_quick = findings.sources[id_].only_defines and all(isinstance(each, Held | Brief) for each in effects)
        for effect in effects:
            if is_heavy(effect) or (isinstance(effect, Held) and not is_quick):
                better = advice(effect, after)
                findings.found(
                    TrialCheck.LOCKS,
                    id_,
                    line(effect),
                    better.lines() if better is not None else (),
                    file=findings.files.get(id_),
                    line=findings.sources[id_].line_about(_names(effect)),
                )
