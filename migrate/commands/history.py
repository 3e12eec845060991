"""`migrate history`: what ran here, as the ledger tells it."""

from __future__ import annotations

import json
from datetime import UTC
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
from migrate.postgres.server import read_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.job.session import Session
    from migrate.steps.order import Order

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
    """Show the runs that the ledger recorded on this database: what was applied, when, and how it ended.

    A run that is refused before it begins, or finds nothing to do, writes nothing to the database: its last log line
    is its record.
    """

    def body(session: Session) -> Report:
        runs = _of_tenants(session, limit) if session.settings.fleet.sources else _of_one(session, limit)
        fields: dict[str, object] = {"runs_count": len(runs)}
        if as_json:
            fields["runs"] = [json.loads(json.dumps(run, default=as_text)) for run in runs]
        for run in runs:
            recorded = {**run, "steps": _steps(run)}
            whose = {"tenant": recorded.pop("tenant")} if "tenant" in run else {}
            session.context.emit(Event(Name.RUN_RECORDED, _run(run), fields={"recorded": recorded, **whose}))
        said = f"{counted(len(runs), 'run is', 'runs are')} recorded"
        return Report(Outcome(Result.NOOP), fields, text=listing(runs), message=said)

    return conduct("history", flags, body, speech=Speech.JSON if as_json else Speech.TEXT)


def _of_one(session: Session, limit: int) -> list[dict[str, Any]]:
    runs = _recorded(session.order(), {None: ""}, limit)
    return [{name: value for name, value in run.items() if name != "target"} for run in runs]


def _of_tenants(session: Session, limit: int) -> list[dict[str, Any]]:
    """The runs of all tenants, the newest first: each database is asked once."""
    from migrate.job.tenants import order_of

    order = session.fleet_order()
    by_database: dict[object, dict[str | None, str]] = {}
    orders: dict[object, Order] = {}
    for tenant in session.tenants():
        place: object = (tenant.url, tenant.database)
        orders.setdefault(place, order_of(tenant, order, session.settings.fleet))
        by_database.setdefault(place, {})[tenant.schema] = tenant.name
    runs = []
    for where, names in by_database.items():
        runs += _recorded(orders[where], names, limit)
    runs.sort(key=lambda run: run["started_at"], reverse=True)
    return [{("tenant" if name == "target" else name): value for name, value in run.items()} for run in runs[:limit]]


def _recorded(order: Order, names: Mapping[str | None, str], limit: int) -> list[dict[str, Any]]:
    """The runs of the targets of one database, by the names of their schemas; None: the connection's own."""
    with judging.connected(order, role="migrate:history:") as connection:
        try:
            own = read_server(connection, order.target).schema
            table = order.target.version_table
            keys = {ledger.target_key(schema or own, table): name for schema, name in names.items()}
            limit_s = order.context.limits.lock_s
            runs = ledger.history(connection, keys=list(keys), limit=limit, lock_timeout_s=limit_s)
        except psycopg2.Error as error:
            raise problem_of(error, doing="reading the ledger", connection=connection) from error
    return [{**run, "target": keys[run["target"]]} for run in runs]


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
    whose = f" {run['tenant']}" if "tenant" in run else ""
    return f"{run['started_at'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} {run['run_id']} {run['verb']}{whose}: {how}  {way}"


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
