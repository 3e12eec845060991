"""`migrate history`: what ran here, as the ledger tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import psycopg2

from migrate import judging
from migrate.commands.session import Answer, Report, Session, conduct
from migrate.commands.verb import verb
from migrate.core.outcome import Outcome, Result
from migrate.core.problems import ExitCode
from migrate.core.wording import counted
from migrate.postgres import ledger
from migrate.postgres.errors import problem_of
from migrate.postgres.observe import read_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXITS = (
    ExitCode.OK,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.CONFIG,
    ExitCode.HISTORY,
    ExitCode.TARGET,
    ExitCode.ACCESS,
    ExitCode.UNREACHABLE,
    ExitCode.LOST,
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
                runs = ledger.history(connection, key=key, limit=limit)
            except psycopg2.Error as error:
                raise problem_of(error, doing="reading the ledger") from error
        listed = [json.loads(json.dumps(run, default=str)) for run in runs]
        return Report(
            Outcome(Result.NOOP),
            {"runs": listed},
            text=as_text(runs),
            message=f"{counted(len(runs), 'run is', 'runs are')} recorded",
        )

    return conduct("history", flags, body, as_json=as_json, reads=True)


def as_text(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs for people, newest first."""
    if not runs:
        return "the ledger has no runs on this database"
    lines = []
    for run in runs:
        ended = (
            ""
            if run["finished_at"] is None
            else f" in {(run['finished_at'] - run['started_at']).total_seconds():.1f} s"
        )
        outcome = run["outcome"] or "did not end"
        problem = f", {run['problem']}" if run["problem"] else ""
        code = f" (exit {run['exit_code']}{problem})" if run["exit_code"] is not None else ""
        reached = "?" if run["to_revision"] is None else ", ".join(run["to_revision"]) or "base"
        lines.append(
            f"{run['started_at']:%Y-%m-%d %H:%M:%S} {run['run_id']} {run['verb']}: {outcome}{ended}{code}"
            f"  {', '.join(run['from_revision']) or 'base'} -> {reached}",
        )
        for step in run["steps"]:
            took = f" in {step['duration_ms']:.0f} ms" if step["duration_ms"] is not None else ""
            lines.append(
                f"    {step['kind']} {step['revision'] or ''} {step['status']}{took}  {step['file'] or ''}".rstrip()
            )
    return "\n".join(lines)
