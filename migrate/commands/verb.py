"""How a verb is declared: its settings become flags, and its exit codes stand at the end of its help."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.problems import EXIT_MEANINGS, ExitCode
from migrate.settings import settings_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrate.job.session import Session
    from migrate.job.voice import Report


class _Verb(click.Command):
    """A command whose help ends with its exit codes, one a line."""

    exits: Sequence[ExitCode] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes that this verb can give."""
        del ctx
        with formatter.section("Exit codes"):
            formatter.write_dl([(f"{code:d} {code.label}", EXIT_MEANINGS[code]) for code in self.exits])


def verb(
    name: str, *, exits: Sequence[ExitCode], settings: bool = True
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb; its function is given the flags by name and returns an Answer.

    ``settings``: whether it takes the flags of the settings that declare it.
    """

    def declare(function: Callable[..., Any]) -> click.Command:
        command = click.command(name, cls=_Verb)(settings_options(name)(function) if settings else function)
        command.exits = sorted(exits)
        return command

    return declare


def fleet_report(
    session: Session, flags: Mapping[str, Any], *, tells_pending: bool = False, judges: bool = True
) -> Report:
    """What the verb comes to for every tenant.

    ``tells_pending``: it ends with 3 where something is pending. Without ``judges`` a tenant that a run would refuse is
    no failure of a verb that only tells.
    """
    from migrate.job import fleet  # a release of one database needs none of it
    from migrate.output.fleet_table import as_text

    run = fleet.carry_out(session, flags)
    report = run.report()
    outcome = report.outcome
    if not judges and outcome.result is Result.FAILED:
        why = outcome.problem.why if outcome.problem is not None else ""
        report = replace(report, outcome=Outcome(Result.NOOP), message=f"up would not succeed for all: {why}")
    is_pending = tells_pending and report.outcome.problem is None and bool(report.fields["tenants_pending_count"])
    return replace(report, text=as_text(run.grid()), exit_code=ExitCode.PENDING if is_pending else None)
