"""What a trial of a history tries, and which of its findings fail it."""

from __future__ import annotations

from typing import Final

from migrate.core.problems.explained import Explained


class TrialCheck(Explained):
    """What is tried, with what it means when it passes (the reference page is made from the meanings)."""

    UPGRADE = "upgrade", "the upgrade runs on empty tables"
    SCHEMA = "schema", "the upgrade leaves the schema that the manifest has"
    DOWNGRADE = "downgrade", "the downgrade leads back to the schema and the rows before, with and without rows"
    AGAIN = "again", "after its downgrade the upgrade leads to the same schema again"
    FILLED = "filled", "every table there takes synthetic rows"
    ROWS = "rows", "the upgrade runs on tables with rows"
    KEPT = "kept", "the upgrade loses no row of a table that it keeps"
    LOCKS = "locks", "the upgrade blocks nobody for a time that grows with a table, as the manifest has seen it"
    CRASH = "crash", "cut off after any of its statements, a second run ends as if nothing had happened"
    HEADS = "heads", "the history has a single head"
    TWICE = "twice", "a second run on a finished database changes nothing"
    MODELS = "models", "the models in env.py's target_metadata are the schema at the head"


OF_REVISIONS: Final = (
    TrialCheck.UPGRADE,
    TrialCheck.SCHEMA,
    TrialCheck.DOWNGRADE,
    TrialCheck.AGAIN,
    TrialCheck.FILLED,
    TrialCheck.ROWS,
    TrialCheck.KEPT,
    TrialCheck.LOCKS,
    TrialCheck.CRASH,
)
OF_HISTORY: Final = (TrialCheck.HEADS, TrialCheck.TWICE, TrialCheck.MODELS)

# A downgrade is for the day on which nothing else helps, and most histories have revisions without one; a table that
# takes no rows says more of this tool than of the revision; how long a lock lasts, the size of the real table decides.
# All are shown and none fails the run.
_SHOWN: Final = frozenset({TrialCheck.DOWNGRADE, TrialCheck.AGAIN, TrialCheck.FILLED, TrialCheck.LOCKS})
DEFAULT_FAIL: Final = tuple(str(check) for check in TrialCheck if check not in _SHOWN)
