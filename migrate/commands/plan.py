"""`migrate plan`: what `up` would do, read-only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.up import LOOKING_EXITS
from migrate.commands.usage import report_usage
from migrate.commands.verb import fleet_report, verb
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.plan import Adopt, Plan, Upgrade
from migrate.core.decide.state import name as position_name
from migrate.core.events import Event, Level, Name
from migrate.core.history.faults import HistoryFault
from migrate.core.problems import ExitCode, stop
from migrate.core.wording import clauses
from migrate.history.changed_files import changed_files
from migrate.job import progress
from migrate.job import up as release
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.child.protocol import Sent
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.job.progress import Judged
    from migrate.job.session import Session


@verb("plan", exits=(*LOOKING_EXITS, ExitCode.PENDING))
@click.option("--exit-code", "exit_code", is_flag=True, help="Exit 3 when revisions are pending.")
@click.option(
    "--sql",
    "with_sql",
    is_flag=True,
    help="Print the SQL that the pending revisions send, as run in a throw-away database that is at the same revisions.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="markdown: a comment for a pull request, with what the manifest knows of each pending revision.",
)
@click.option(
    "--from",
    "base",
    metavar="REVISION",
    help="With --format markdown: the revisions after this one, or after `base`, without any database.",
)
@click.option(
    "--base",
    "branch",
    metavar="BRANCH",
    help="With --format markdown: the revisions that this branch adds to another, e.g. origin/main, without any database.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(
    *,
    as_json: bool,
    exit_code: bool,
    with_sql: bool,
    form: str,
    base: str | None,
    branch: str | None,
    **flags: Any,
) -> Answer:
    """Show what `migrate up` would do: the state, the decision and the pending revisions. Changes nothing.

    Exits with the refusal that `migrate up` would give.
    """
    without_database = [name for name, value in (("--from", base), ("--base", branch)) if value is not None]
    if without_database and form != "markdown":
        wrong = f"{without_database[0]} is for --format markdown."
        return Answer(report_usage(click.UsageError(wrong), ["plan"], {"plan"}))
    if len(without_database) > 1:
        return Answer(report_usage(click.UsageError("--from and --base exclude each other."), ["plan"], {"plan"}))
    if form == "markdown" and with_sql:
        return Answer(report_usage(click.UsageError("--sql is for --format text."), ["plan"], {"plan"}))

    def body(session: Session) -> Report:
        if session.settings.fleet.sources and not without_database:
            return fleet_report(session, flags, tells_pending=exit_code)
        if base is not None:
            return _review_from(session, base)
        if branch is not None:
            return _review(session.image, _rows_of(session, branch))
        judged, outcome = release.plan(session.order(), session.begin())
        missing = session.missing_driver if outcome.pending else None
        if missing is not None:
            from migrate.doctor.checks.project import driver as check_driver
            from migrate.doctor.facts import Driver

            driver = check_driver(Driver(missing, session.target.url_from))
            session.context.emit(Event(Name.IMAGE_WARNING, driver.evidence, Level.WARN, {"fix": driver.fix}))
        pending = exit_code and is_pending(judged, outcome)
        fields = describe(judged)
        text = None if with_sql else as_text(judged, outcome)
        if form == "markdown" and judged is not None:
            pending_now = progress.pending_of(judged.state)
            text = _comment(session.image, judged.observation.rows, pending_now)
        if with_sql and judged is not None and outcome.problem is None:
            sent = _sql(session, judged)
            fields["sql"] = [{"revision": each.revision, "sql": each.sql} for each in sent]
            text = sql_text(sent, {revision.id: revision for revision in progress.pending_of(judged.state)})
        return Report(
            outcome,
            fields,
            text=text,
            message=said(judged, outcome),
            exit_code=ExitCode.PENDING if pending else None,
        )

    return conduct(
        "plan",
        flags,
        body,
        speech=Speech.JSON if as_json else Speech.PRODUCT if with_sql or form == "markdown" else Speech.TEXT,
    )


def _review_from(session: Session, base: str) -> Report:
    """What the manifest knows of the revisions after one, without a database. Raises Stop."""
    image = session.image
    rows = image.graph.rows_at(base) if base != "base" else frozenset()
    if isinstance(rows, HistoryFault):
        raise stop("unknown-target", rows.why, names={"heads": image.graph.heads}, fix=rows.fix)
    return _review(image, rows)


def _rows_of(session: Session, branch: str) -> frozenset[str]:
    """The version rows of a database at what another branch has. Raises Stop."""
    graph = session.image.graph
    new = changed_files(session.config.root, session.config.version_locations, branch, verb="plan", only_new=True)
    added = [each.id for each in graph if os.path.realpath(session.scan.paths[each.file]) in new]
    return graph.tips(frozenset(each.id for each in graph) - graph.descendants(added))


def _review(image: Image, rows: frozenset[str]) -> Report:
    """The comment for what comes after these version rows. Raises Stop."""
    pending = image.graph.pending(rows, "heads")
    if isinstance(pending, HistoryFault):
        raise stop("bad-history", pending.why, fix=pending.fix)
    start = tuple(sorted(rows))
    ids = tuple(revision.id for revision in pending)
    text = _comment(image, start, pending)
    outcome = Outcome(Result.NOOP, from_revision=start, to_revision=start, pending=ids)
    return Report(outcome, {"revisions": list(ids)}, text=text)


def _comment(image: Image, rows: Sequence[str], pending: Sequence[Revision]) -> str:
    """The comment for a pull request. Raises Stop for an image without a manifest, or with one of other revisions."""
    from migrate.core.decide.review import reviewed
    from migrate.output.review import comment

    if image.manifest is None:
        raise stop("no-manifest", "this image has no manifest, so that nothing says what its revisions do")
    return comment(reviewed(image.manifest, image.graph, rows, pending), rows)


def _sql(session: Session, judged: Judged) -> Sequence[Sent]:
    """What the pending revisions send. Raises Stop."""
    from migrate.job.shadow import lend_ground, manifest_baseline
    from migrate.shadow.record_sql import record_sql

    steps = judged.decision.steps if isinstance(judged.decision, Plan) else ()
    upgrade = next((step for step in steps if isinstance(step, Upgrade)), None)
    if upgrade is None or not upgrade.pending:
        return ()
    adopted = next((step.rows for step in steps if isinstance(step, Adopt)), judged.observation.rows)
    baseline = manifest_baseline(session, session.image)
    with lend_ground(session, session.image, baseline, is_silent=True) as ground:
        return ground.with_schema_of_env_py(lambda: record_sql(ground, adopted, upgrade, session.context.emit))


def sql_text(sent: Sequence[Sent], revisions: Mapping[str, Revision]) -> str:
    """The statements, each revision's under its name."""
    lines: list[str] = []
    for number, each in enumerate(sent):
        if not number or sent[number - 1].revision != each.revision:
            found = revisions.get(each.revision)
            about = f": {found.message} ({found.file})" if found is not None else ""
            lines += [*([""] if lines else []), f"-- revision {each.revision}{about}"]
        lines.append(f"{each.sql.strip().rstrip(';')};")
    return "\n".join(lines)


def is_pending(judged: Judged | None, outcome: Outcome) -> bool:
    """Whether `up` would run env.py: for revisions, or to prove what an earlier run has left open."""
    plan = judged.decision if judged is not None and outcome.problem is None else None
    return isinstance(plan, Plan) and any(isinstance(step, Upgrade) for step in plan.steps)


def said(judged: Judged | None, outcome: Outcome) -> str | None:
    """The plan in one sentence; a refusal says its own."""
    if judged is None or outcome.problem is not None:
        return None
    position = f"the database is {position_name(judged.state.position)}"
    if not outcome.pending and is_pending(judged, outcome) and isinstance(judged.decision, Plan):
        return f"{position}; {progress.plan_in_words(judged.decision)}"
    return f"{position}; {len(outcome.pending)} pending" if outcome.pending else f"{position}; nothing to do"


def describe(judged: Judged | None) -> dict[str, object]:
    """The machine-readable plan."""
    if judged is None:
        return {}
    decision = judged.decision
    steps = decision.steps if isinstance(decision, Plan) else ()
    return {
        "position": position_name(judged.state.position),
        "rows": list(judged.observation.rows),
        "steps": [type(step).__name__.lower() for step in steps],
        "revisions": [
            f"{revision.id}  {revision.file}  {revision.message}" for revision in progress.pending_of(judged.state)
        ],
        "warnings": list(decision.warnings) if isinstance(decision, Plan) else [],
        "foreseen": judged.outlook.fields() if judged.outlook is not None else [],
    }


def as_text(judged: Judged | None, outcome: Outcome, *, with_why: bool = False) -> str | None:
    """The plan for people; why it is refused is shown by the log, but for a verb that only tells (``with_why``)."""
    if judged is None:
        return None
    rows = ", ".join(judged.observation.rows) or "no version"
    lines = [f"state     {position_name(judged.state.position)} ({rows})"]
    pending = progress.pending_of(judged.state)
    if outcome.problem is not None:
        lines.append(f"decision  refuse {outcome.problem.exit_code:d} {outcome.problem.kind.code}")
        if with_why:
            lines.append(f"why       {outcome.problem.why}")
    elif isinstance(judged.decision, Plan) and (judged.decision.steps or judged.decision.held):
        kinds = [type(step).__name__.lower() for step in judged.decision.steps]
        names = ", then ".join([*kinds, *(["hold"] if judged.decision.held else [])])
        lines.append(f"decision  {names}")
    else:
        lines.append("decision  nothing to do")
    if pending:
        lines.append(f"pending   {len(pending)}")
        held = judged.decision.held if isinstance(judged.decision, Plan) else ()
        left = {each.revision.id: f"; breaks: {clauses(each.breaks)}" if each.breaks else "" for each in held}
        for revision in pending:
            waits = f"  held{left[revision.id]}" if revision.id in left else ""
            lines.append(f"  {revision.id}  {revision.message}  ({revision.file}){waits}")
    return "\n".join(lines)
