"""`migrate repair`: repair what an earlier run left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from migrate.commands.up import EXITS
from migrate.commands.verb import verb
from migrate.core.decide.repair import Closing, said
from migrate.core.problems import ExitCode, migrate
from migrate.core.problems.fix import AGAIN
from migrate.core.quoting import word
from migrate.job import recovery
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.decide.repair import Repairs
    from migrate.core.problems.fix import ProjectFlag
    from migrate.job.session import Session


@verb("repair", exits=tuple(code for code in EXITS if code is not ExitCode.FAILED))
@click.option("--yes", is_flag=True, help="Do it. Without it, nothing is changed.")
@click.option("--close", metavar="REVISION", help="You vouch that what this revision left has been dealt with.")
@click.option("--reason", metavar="TEXT", help="Why: required with --close, kept in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def repair(*, as_json: bool, yes: bool, close: str | None, reason: str | None, **flags: Any) -> Answer:
    """Show what an earlier run left behind; with --yes, repair what is provable.

    Rebuilds INVALID indexes without blocking writes (drops those that a pending revision will make again), keeps the
    right row of a version table that contradicts itself, and closes the ledger's rows of runs that died. Exits 15 while
    anything is left, and says what a person has to do about it.
    """
    if (close is None) != (not reason):
        raise click.UsageError("--close and --reason go together")

    def body(session: Session) -> Report:
        closing = Closing(close, reason) if close is not None and reason else None
        found, outcome = recovery.repair(session.order(), session.begin(), does=yes, closing=closing)
        return Report(outcome, describe(found), text=as_text(found, session.settings.project_flags(), does=yes))

    given = ["--yes"] if yes else []
    given += [f"--close {word(close)}", f"--reason {word(reason)}"] if close is not None and reason else []
    again = migrate("repair", *given)
    return conduct(
        "repair", flags, body, again=again, speech=Speech.JSON if as_json else Speech.TEXT if not yes else Speech.LINES
    )


def describe(found: Repairs | None) -> dict[str, object]:
    """The machine-readable repair."""
    if found is None:
        return {}
    return {
        "repairs": [said(action) for action in found.actions],
        "left": [left.what for left in found.left],
        "left_fixes": [left.fix for left in found.left],
    }


def as_text(found: Repairs | None, flags: Sequence[ProjectFlag], *, does: bool) -> str | None:
    """The repair for people, its commands with the flags that lead to this project; what was done, the log has said."""
    if found is None or does:
        return None
    if not found:
        return "nothing to repair"
    lines = []
    if found.actions:
        lines += [f"{migrate('repair', '--yes').text(flags)} would", *(f"  {said(action)}" for action in found.actions)]
    for left in found.left:
        lines += [f"left for a person: {left.what}", f"  {left.fix.completed(flags, AGAIN)}"]
    return "\n".join(lines)
