"""`migrate doctor`: what would help or hinder a release here, each finding with its evidence and its fix."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.up import LOOKING_EXITS
from migrate.commands.verb import verb
from migrate.core.decide.outcome import Outcome, Result, ended_by
from migrate.core.events import Event, Name
from migrate.core.problems import ExitCode, Stop
from migrate.core.wording import counted
from migrate.doctor.check import Verdict
from migrate.doctor.checks import worst
from migrate.doctor.examination import Examination
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.doctor.check import Checked
    from migrate.job.session import Session


@verb("doctor", exits=tuple(code for code in LOOKING_EXITS if code is not ExitCode.DEADLINE))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every check.")
def doctor(*, as_json: bool, **flags: Any) -> Answer:
    """Check what a release here depends on: settings, image, server, rights, state. Changes nothing.

    Each check passes, warns or fails, with its evidence and the fix, or is skipped where it could not look. Exits with the code of the first check that fails,
    in the order in which a release would stop; a warning alone exits 0. Without a server, or with a setting that is
    malformed, the checks that need no server are reported all the same.
    """

    def body(session: Session) -> Report:
        if session.settings.fleet.sources:
            _say_whose(session)
        return _report(Examination(session).conduct(), with_checks=as_json)

    return conduct("doctor", flags, body, examines=True, speech=Speech.JSON if as_json else Speech.LINES)


def _say_whose(session: Session) -> None:
    """Of several tenants the first is examined, unless another is named; `migrate status` looks at all."""
    with suppress(Stop):  # it is found again by the check that needs it
        tenants = session.tenants()
        if tenants:
            said = f"{counted(len(tenants), 'tenant is', 'tenants are')} listed; examined is {tenants[0].name}"
            session.context.emit(Event(Name.TARGET_WARNING, said, fields={"tenant": tenants[0].name}))


def _report(checked: Sequence[Checked], *, with_checks: bool) -> Report:
    """The end: the outcome is the worst check's."""
    counts = {verdict: [each.name for each in checked if each.verdict is verdict] for verdict in Verdict}
    fields: dict[str, object] = {
        "checks_passed": len(counts[Verdict.PASS]),
        "checks_skipped": len(counts[Verdict.SKIP]),
        "checks_warned": counts[Verdict.WARN],
        "checks_failed": counts[Verdict.FAIL],
    }
    if with_checks:
        fields["checks"] = [each.fields() for each in checked]
    found = worst(checked)
    said = ", ".join(f"{len(names)} {verdict}" for verdict, names in counts.items() if names)
    return Report(Outcome(Result.NOOP) if found is None else ended_by(found), fields, message=f"doctor: {said}")
