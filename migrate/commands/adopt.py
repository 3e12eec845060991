"""`migrate adopt`: write the version rows that the schema proves."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.up import EXITS
from migrate.commands.verb import fleet_report, verb
from migrate.core.decide.outcome import Result
from migrate.core.events import Event, Level, Name
from migrate.core.problems import ExitCode, migrate
from migrate.core.quoting import word
from migrate.job import recovery
from migrate.job.front_door import conduct
from migrate.job.recovery import Acceptance, Override
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.core.decide.plan import Adopt
    from migrate.job.session import Session


def _write(session: Session, file: Path, step: Adopt) -> dict[str, object]:
    """Write the list for review; where that cannot be, the ledger has it all the same."""
    rows = ", ".join(step.rows) or "base"
    text = [f"# What this database differs in from the manifest at {rows}, accepted: {step.reason}", *step.evidence]
    try:
        (session.cwd / file).write_text(session.redactor.text("\n".join(text)) + "\n", encoding="utf-8")
    except OSError as error:
        said = f"{file} cannot be written: {error.strerror}; the ledger has the differences, migrate verify shows them"
        session.context.emit(Event(Name.TARGET_WARNING, said, Level.WARN))
        return {}
    return {"differences_file": str(file)}


@verb("adopt", exits=tuple(code for code in EXITS if code not in {ExitCode.FAILED, ExitCode.PARTIAL}))
@click.option(
    "--at",
    metavar="REVISION",
    help="You vouch that the database is at this revision, or at several: a,b (one of each branch).",
)
@click.option("--reason", metavar="TEXT", help="Why: required with --at, kept in the ledger.")
@click.option(
    "--accept-differences",
    "accepts",
    is_flag=True,
    help="Record how the schema differs, at --at or where the database is. From then on only other differences count.",
)
@click.option(
    "--differences-file",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    default=pathlib.Path("accepted-differences.txt"),
    show_default=True,
    help="With --accept-differences: the file that lists them, for review.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def adopt(
    *, as_json: bool, at: str | None, reason: str | None, accepts: bool, differences_file: Path, **flags: Any
) -> Answer:
    """Record the revision that the live schema proves, for a database without version rows or with wrong ones.

    Takes the job lock and writes the version table, nothing else; the rows that it replaces are kept in the ledger. Without
    --at only a match is recorded: nothing missing or changed, and nothing extra that any revision knows (--extra fail:
    nothing extra at all; --adopt equivalent: constraints and indexes may have other names).
    """
    if (at is None) != (not reason) and not accepts:
        message = "--at and --reason go together"
        raise click.UsageError(message)

    def body(session: Session) -> Report:
        if session.settings.fleet.sources:
            return fleet_report(session, flags)
        by_word: Override | Acceptance | None = None
        if accepts:
            by_word = Acceptance(at, reason or "the differences are meant")
        elif at is not None and reason:
            by_word = Override(at, reason)
        step, outcome = recovery.adopt(session.order(), session.begin(), by_word)
        if step is None or step.accepted is None or outcome.result is not Result.ADOPTED:
            return Report(outcome, {})
        fields = {"accepted_count": len(step.accepted), "accepted": list(step.evidence[:50])}
        return Report(outcome, fields | _write(session, differences_file, step))

    given = [f"--at {word(at)}"] if at is not None else []
    given += [f"--reason {word(reason)}"] if reason else []
    given += ["--accept-differences"] if accepts else []
    return conduct(
        "adopt", flags, body, again=migrate("adopt", *given), speech=Speech.JSON if as_json else Speech.LINES
    )
