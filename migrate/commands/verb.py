"""How a verb is declared: its settings become flags, and its exit codes stand at the end of its help."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.problems import EXIT_MEANINGS, ExitCode
from migrate.core.wording import counted
from migrate.settings.flags import settings_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrate.core.fleet.grid import Row
    from migrate.job.session import Session
    from migrate.job.voice import Report


_COLUMN: Final = 30  # in which the texts begin, the same in every group
_OK: Final = {
    "verify": "the schema matches, or policy accepts how it differs",
    "adopt": "recorded and proven, or nothing to do",
    "repair": "nothing is left to repair",
    "down": "at the revision, and proven",
    "restore": "the backup is back",
    "manifest": "the manifest is up to date, or was written",
    "test": "no check failed",
    "doctor": "no check failed",
    "history": "the runs were listed",
    "report": "the page was written",
    "explain": "explained",
    "init": "the files are there",
}
"""What 0 means where it is not that the database is at the target."""
_HELP_ALL: Final = "migrate: help all"  # in click's `meta`


class _Verb(click.Command):
    """A command whose help has its own flags first, then the settings in groups, then its exit codes, one a line."""

    exits: Sequence[ExitCode] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags: the verb's own first, then the settings; without `--help-all` those that are common."""
        from migrate.settings.groups import GROUPS, OUTPUT, in_full, in_short, settings_of

        settings, shows_all = settings_of(self.name or ""), ctx.meta.get(_HELP_ALL, False)
        shown: dict[str, tuple[str, str]] = {}
        for option in [each for each in self.get_params(ctx) if isinstance(each, click.Option)]:
            flag, text = option.get_help_record(ctx) or ("", "")
            setting = settings.get(option.name or "")
            if setting is not None:
                text = (in_full if shows_all else in_short)(setting)
            shown["help" if option is self.get_help_option(ctx) else option.name or ""] = (flag.ljust(_COLUMN), text)
        last = [name for name in ("as_json", "help_all", "help") if name in shown] if settings else []
        sections = {"Options": [name for name in shown if name not in {*settings, *last}]}
        for group in GROUPS:
            sections[group.title] = [
                name for name in (*group.common, *(group.rest if shows_all else ())) if name in settings
            ]
        sections[OUTPUT] += last
        for title, names in sections.items():
            if names:
                with formatter.section(title):
                    formatter.write_dl([shown[name] for name in names], col_max=_COLUMN)
        left_out = len(shown.keys() - {name for names in sections.values() for name in names})
        if left_out:
            formatter.write_paragraph()
            formatter.write_text(
                f"{counted(left_out, 'more flag')}, and longer texts: {ctx.command_path} --help-all. A flag is"
                " also a variable and a key of [tool.migrate]: --log-format json, MIGRATE_LOG_FORMAT=json,"
                ' log_format = "json".'
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes that this verb can give."""
        del ctx
        with formatter.section("Exit codes"):
            meanings = {**EXIT_MEANINGS, ExitCode.OK: _OK.get(self.name or "", EXIT_MEANINGS[ExitCode.OK])}
            formatter.write_dl([(f"{code:d} {code.label}", meanings[code]) for code in self.exits])


def verb(
    name: str, *, exits: Sequence[ExitCode], settings: bool = True
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb; its function is given the flags by name and returns an Answer.

    ``settings``: whether it takes the flags of the settings that declare it.
    """

    def declare(function: Callable[..., Any]) -> click.Command:
        if settings:
            function = settings_options(name)(_help_all_option(function))
        command = click.command(name, cls=_Verb)(function)
        command.exits = sorted(exits)
        return command

    return declare


def _show_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's own
    del parameter
    if value:
        ctx.meta[_HELP_ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


_help_all_option: Final = click.option(
    "--help-all", is_flag=True, is_eager=True, expose_value=False, callback=_show_all, help="Show every flag, and exit."
)


def fleet_report(
    session: Session,
    flags: Mapping[str, Any],
    *,
    tells_pending: bool = False,
    judges: bool = True,
    render: Callable[[Sequence[Row]], str] | None = None,
) -> Report:
    """What the verb comes to for every tenant.

    ``tells_pending``: it ends with 3 where something is pending. Without ``judges`` a tenant that a run would refuse is
    no failure of a verb that only tells. ``render`` makes its text, else it is a table.
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
    text = (render or as_text)(run.grid())
    return replace(report, text=text, exit_code=ExitCode.PENDING if is_pending else None)
