"""`migrate history`: what ran here, as the ledger tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import psycopg2

from migrate.commands.verb import verb
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.events import Event, Name
from migrate.core.problems import ExitCode
from migrate.core.wording import counted
from migrate.job import look as judging
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech
from migrate.output.json_lines import as_text
from migrate.postgres import ledger
from migrate.postgres.errors import problem_of
from migrate.postgres.observe import read_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.job.session import Session

EXITS = (
    ExitCode.OK,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.CONFIG,
    ExitCode.HISTORY,
    ExitCode.TARGET,
    ExitCode.ACCESS,
    ExitCode.UNREACHABLE,
    ExitCode.BLOCKED,
    ExitCode.LOST,
    ExitCode.RESOURCES,
    ExitCode.DEADLINE,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
)


@verb("history", exits=EXITS)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many runs, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def history(*, as_json: bool, limit: int, **flags: Any) -> Answer:
    """Show the runs that the ledger recorded on this database: what was applied, when, and how it ended."""

    def body(session: Session) -> Report:
        order = session.order()
        with judging.connected(order, role="migrate:history:") as connection:
            try:
                server = read_server(connection, order.target)
                key = ledger.target_key(server.schema, order.target.version_table)
                runs = ledger.history(connection, key=key, limit=limit, lock_timeout_s=order.context.limits.lock_s)
            except psycopg2.Error as error:
                raise problem_of(error, doing="reading the ledger", connection=connection) from error
        fields: dict[str, object] = {"runs_count": len(runs)}
        if as_json:
            fields["runs"] = [json.loads(json.dumps(run, default=as_text)) for run in runs]
        for run in runs:
            recorded = {**run, "steps": _steps(run)}
            session.context.emit(Event(Name.RUN_RECORDED, _run(run), fields={"recorded": recorded}))
        said = f"{counted(len(runs), 'run is', 'runs are')} recorded"
        return Report(Outcome(Result.NOOP), fields, text=listing(runs), message=said)

    return conduct("history", flags, body, speech=Speech.JSON if as_json else Speech.TEXT)


def listing(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs for people, newest first."""
    lines = [line for run in runs for line in (_run(run), *(f"    {step}" for step in _steps(run)))]
    return "\n".join(lines) or "the ledger has no runs on this database"


def _run(run: Mapping[str, Any]) -> str:
    """One run in a line: when, which, how it ended, and from where to where."""
    ended = ""
    if run["finished_at"] is not None:
        ended = f" in {(run['finished_at'] - run['started_at']).total_seconds():.1f} s"
    how = f"{run['outcome'] or 'did not end'}{ended}"
    if run["exit_code"] is not None:
        how += f" (exit {run['exit_code']}{', ' + run['problem'] if run['problem'] else ''})"
    # a run that was killed has said neither where it came to nor how it ended
    to = "not recorded" if run["to_revision"] is None else ", ".join(run["to_revision"]) or "base"
    way = f"{', '.join(run['from_revision']) or 'base'} -> {to}"
    return f"{run['started_at']:%Y-%m-%d %H:%M:%S} {run['run_id']} {run['verb']}: {how}  {way}"


def _steps(run: Mapping[str, Any]) -> list[str]:
    """The steps of a run in their order, a line each, and one for the way back to a backup."""
    lines = []
    for step in run["steps"]:
        took = f" in {step['duration_ms']:.0f} ms" if step["duration_ms"] is not None else ""
        what = " ".join(filter(None, (step["kind"], step["revision"], step["status"])))
        lines.append(f"{what}{took}  {step['file'] or step.get('backup_file', '')}".rstrip())
        if "restore" in step:
            lines.append(f"    restore  {step['restore']}")
    return lines
