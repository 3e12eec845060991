"""`migrate status`: where the database is, against this image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from migrate.commands.plan import as_text, describe, is_pending, said
from migrate.commands.up import LOOKING_EXITS
from migrate.commands.verb import fleet_report, verb
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.problems import ExitCode
from migrate.job import up as release
from migrate.job.front_door import conduct
from migrate.job.progress import is_ready
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from migrate.job.session import Session


@verb("status", exits=(*LOOKING_EXITS, ExitCode.PENDING))
@click.option(
    "--exit-code",
    "exit_code",
    is_flag=True,
    help="Exit 3 when revisions are pending, and with the refusal that `up` would give.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, as_json: bool, exit_code: bool, **flags: Any) -> Answer:
    """Show where the database is, against this image. Changes nothing.

    Exits 0 whenever the database could be read; with --exit-code the state itself decides.
    """

    def body(session: Session) -> Report:
        if session.settings.fleet.sources:
            return fleet_report(session, flags, tells_pending=exit_code, judges=exit_code)
        judged, outcome = release.plan(session.order(), session.begin())
        if judged is None:
            return Report(outcome, {})
        fields = {**describe(judged, in_full=as_json), "ready": False}
        text = as_text(judged, outcome, with_why=not exit_code)
        if outcome.problem is not None and not exit_code:
            fields["refusal"] = outcome.problem.kind.code
            fields["refusal_why"] = outcome.problem.why
            rows = judged.observation.rows
            return Report(
                Outcome(Result.NOOP, from_revision=rows, to_revision=rows, pending=outcome.pending),
                fields,
                text=text,
                message=f"the database is {fields['position']}; up would refuse it: {outcome.problem.why}",
            )
        fields["ready"] = outcome.problem is None and is_ready(judged)
        pending = exit_code and is_pending(judged, outcome) and not fields["ready"]
        code = ExitCode.PENDING if pending else None
        return Report(outcome, fields, text=text, message=said(judged, outcome), exit_code=code)

    return conduct("status", flags, body, speech=Speech.JSON if as_json else Speech.TEXT)
