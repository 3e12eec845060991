"""`migrate plan`: what `up` would do, read-only."""

from __future__ import annotations

import os
import pathlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from migrate import __version__
from migrate.commands.up import LOOKING_EXITS
from migrate.commands.usage import report_usage
from migrate.commands.verb import fleet_report, verb
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.plan import Adopt, Plan, Upgrade
from migrate.core.decide.state import name as position_name
from migrate.core.events import Event, Level, Name
from migrate.core.history.faults import HistoryFault
from migrate.core.problems import ExitCode, stop
from migrate.core.wording import clauses, counted
from migrate.job import progress
from migrate.job import up as release
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech
from migrate.output.github_job import is_github, path_in_repository
from migrate.output.plan import revision_lines
from migrate.output.plan import text as as_lines
from migrate.output.terminal import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from migrate.child.protocol import Sent
    from migrate.core.decide.review import Mark, Reviewed
    from migrate.core.fleet.grid import Row
    from migrate.core.foresee.live import Outlook
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.problems import Problem
    from migrate.job.progress import Judged
    from migrate.job.session import Session

_LISTED: Final = 200  # lines of a plan on a terminal


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
    type=click.Choice(["text", "markdown", "sarif"]),
    default="text",
    show_default=True,
    help="markdown: a comment for a pull request, with what the manifest knows of each pending revision. sarif: what"
    " breaks, blocks or needs something, for code scanning.",
)
@click.option(
    "--from",
    "base",
    metavar="REVISION",
    help="With --format markdown or sarif: the revisions after this one, or after `base`, without any database.",
)
@click.option(
    "--base",
    "branch",
    metavar="BRANCH",
    help="With --format markdown or sarif: the revisions that this branch adds to another, e.g. origin/main, without any database.",
)
@click.option(
    "--annotations",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    help="Write GitHub's annotations to this file, to be printed by a later step.",
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
    annotations: Path | None,
    **flags: Any,
) -> Answer:
    """Show what `migrate up` would do: the state, the decision and the pending revisions. Changes nothing.

    Exits with the refusal that `migrate up` would give.
    """
    without_database = [name for name, value in (("--from", base), ("--base", branch)) if value is not None]
    if without_database and form == "text":
        wrong = f"{without_database[0]} is for --format markdown or sarif."
        return Answer(report_usage(click.UsageError(wrong), ["plan"], {"plan"}))
    if len(without_database) > 1:
        return Answer(report_usage(click.UsageError("--from and --base exclude each other."), ["plan"], {"plan"}))
    if form != "text" and with_sql:
        return Answer(report_usage(click.UsageError("--sql is for --format text."), ["plan"], {"plan"}))

    def body(session: Session) -> Report:
        if session.settings.fleet.sources and not without_database:
            render = partial(_review_of_tenants, session, form, annotations) if form != "text" else None
            return fleet_report(session, flags, tells_pending=exit_code, render=render)
        if base is not None:
            return _review(session, _rows_from(session.image, base), form, annotations)
        if branch is not None:
            return _review(session, _rows_of(session, branch), form, annotations)
        judged, outcome = release.plan(session.order(), session.begin())
        missing = session.missing_driver if outcome.pending else None
        if missing is not None:
            from migrate.doctor.checks.project import driver as check_driver
            from migrate.doctor.facts import Driver

            driver = check_driver(Driver(missing, session.target.url_from))
            session.context.emit(Event(Name.IMAGE_WARNING, driver.evidence, Level.WARN, {"fix": driver.fix}))
        pending = exit_code and is_pending(judged, outcome)
        fields = describe(judged, in_full=as_json)
        text = None
        if judged is not None and not with_sql:
            pending_now, rows = progress.pending_of(judged.state), judged.observation.rows
            review = _reviewed(session.image, rows, pending_now, judged.outlook, is_needed=form != "text")
            if form == "text":
                colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
                text = as_lines(plan_lines(judged, outcome, review), colour=colour)
                if is_github(os.environ):
                    text = "\n".join([text, *_annotations(session, review)])
            else:
                text = _rendered(session, review, rows, form, outcome.problem)
            _write_annotations(session, review, annotations)
            if as_json:
                fields["review"] = [each.to_json() for each in review]
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
        speech=Speech.JSON if as_json else Speech.PRODUCT if with_sql or form != "text" else Speech.TEXT,
    )


def _rows_from(image: Image, base: str) -> frozenset[str]:
    """The version rows of a database at this revision, or at `base`. Raises Stop."""
    rows = image.graph.rows_at(base) if base != "base" else frozenset()
    if isinstance(rows, HistoryFault):
        raise stop("unknown-target", rows.why, names={"heads": image.graph.heads}, fix=rows.fix)
    return rows


def _rows_of(session: Session, branch: str) -> frozenset[str]:
    """The version rows of a database at what another branch has. Raises Stop."""
    from migrate.history.changed_files import changed_files

    graph = session.image.graph
    new = changed_files(session.config.root, session.config.version_locations, branch, verb="plan", only_new=True)
    added = [each.id for each in graph if os.path.realpath(session.scan.paths[each.file]) in new]
    return graph.tips(frozenset(each.id for each in graph) - graph.descendants(added))


def _review(session: Session, rows: frozenset[str], form: str, annotations: Path | None) -> Report:
    """What comes after these version rows, without a database. Raises Stop."""
    image = session.image
    pending = image.graph.pending(rows, "heads")
    if isinstance(pending, HistoryFault):
        raise stop("bad-history", pending.why, fix=pending.fix)
    start = tuple(sorted(rows))
    ids = tuple(revision.id for revision in pending)
    review = _reviewed(image, start, pending, None, is_needed=True)
    _write_annotations(session, review, annotations)
    outcome = Outcome(Result.NOOP, from_revision=start, to_revision=start, pending=ids)
    fields = {"revisions": list(ids), "review": [each.to_json() for each in review]}
    return Report(outcome, fields, text=_rendered(session, review, start, form))


def _review_of_tenants(session: Session, form: str, annotations: Path | None, rows: Sequence[Row]) -> str:
    """What comes next at each place where a tenant is, in Markdown or as SARIF. Raises Stop."""
    image, goal = session.image, session.settings.policy.target
    reviews: dict[tuple[str, ...], Sequence[Reviewed]] = {}
    for at in dict.fromkeys(row.rows for row in rows if row.pending):
        pending = image.graph.pending(at, goal)
        if not isinstance(pending, HistoryFault):
            reviews[at] = _reviewed(image, at, pending, None, is_needed=True)
    each_once = {each.revision.id: each for review in reviews.values() for each in review}
    _write_annotations(session, list(each_once.values()), annotations)
    if form == "markdown":
        from migrate.output.fleet_review import fleet_comment

        return fleet_comment(rows, reviews)
    return _rendered(session, list(each_once.values()), (), form)


def _reviewed(
    image: Image, rows: Sequence[str], pending: Sequence[Revision], outlook: Outlook | None, *, is_needed: bool
) -> tuple[Reviewed, ...]:
    """What is known of the pending revisions. Raises Stop for an image without a manifest, where it ``is_needed``."""
    if image.manifest is None:
        if is_needed:
            raise stop("no-manifest", "this image has no manifest, so that nothing says what its revisions do")
        return ()
    from migrate.core.decide.review import reviewed

    return reviewed(image.manifest, image.graph, rows, pending, outlook) if pending else ()


def _rendered(
    session: Session, review: Sequence[Reviewed], rows: Sequence[str], form: str, refusal: Problem | None = None
) -> str:
    """The review in Markdown, with the refusal of the release that it is of, or as SARIF."""
    if form == "markdown":
        from migrate.output.review import comment

        return comment(review, rows, refusal)
    from migrate.output.sarif import sarif

    return sarif(
        ((mark, path or mark.revision.file, line) for mark, path, line in _placed(session, review)), __version__
    )


def _placed(session: Session, review: Sequence[Reviewed]) -> Iterator[tuple[Mark, str | None, int | None]]:
    """The marks, each with its file's path in the repository and its line there."""
    from migrate.core.decide.review import marks
    from migrate.core.history.statement_lines import line_of

    for mark in marks(review):
        file = os.path.relpath(session.scan.paths[mark.revision.file], session.cwd)
        line = line_of(session.source_of(mark.revision), mark.names)
        yield mark, path_in_repository(file, session.cwd, os.environ), line


def _annotations(session: Session, review: Sequence[Reviewed]) -> list[str]:
    from migrate.output.review import annotation_lines

    return annotation_lines(_placed(session, review))


def _write_annotations(session: Session, review: Sequence[Reviewed], file: Path | None) -> None:
    """Write the file that was asked for. Raises Stop."""
    if file is None:
        return
    text = "".join(f"{line}\n" for line in _annotations(session, review))
    try:
        file.write_text(session.redactor.text(text), encoding="utf-8")
    except OSError as error:
        raise stop("usage", f"{file} cannot be written: {error.strerror}", names={"verb": "plan"}) from error


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
    if not outcome.pending:
        return f"{position}; nothing to do"
    would = f": migrate up would {progress.plan_in_words(judged.decision)}" if isinstance(judged.decision, Plan) else ""
    return f"{position}; {len(outcome.pending)} pending{would}"


def describe(judged: Judged | None, *, in_full: bool) -> dict[str, object]:
    """The machine-readable plan; in a log line, which has no objects within objects, what is foreseen is sentences."""
    if judged is None:
        return {}
    outlook = judged.outlook
    foreseen: list[object] = []
    if outlook is not None and in_full:
        foreseen += outlook.fields()
    elif outlook is not None:
        foreseen += [f"{each.revision.id}: {each.sentence()}" for each in outlook.effects]
        foreseen += [f"{each.revision.id}: {each.sentence()}" for each in outlook.needs]
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
        "foreseen": foreseen,
    }


def as_text(judged: Judged | None, outcome: Outcome, *, with_why: bool = False) -> str | None:
    """The plan in short; why it is refused is shown by the log, but for a verb that only tells (``with_why``)."""
    return None if judged is None else as_lines(plan_lines(judged, outcome, with_why=with_why), colour=False)


def plan_lines(
    judged: Judged, outcome: Outcome, review: Sequence[Reviewed] = (), *, with_why: bool = False
) -> list[Line]:
    """The plan for people, with what is known of each pending revision below its line."""
    rows = ", ".join(judged.observation.rows) or "no version"
    lines = [Line(f"state     {position_name(judged.state.position).replace('-', ' ')} ({rows})")]
    pending = progress.pending_of(judged.state)
    if outcome.problem is not None:
        lines.append(Line(f"decision  refuse {outcome.problem.exit_code:d} {outcome.problem.kind.code}", "bold red"))
        if with_why:
            lines.append(Line(f"why       {outcome.problem.why}"))
    elif isinstance(judged.decision, Plan) and (judged.decision.steps or judged.decision.held):
        kinds = [type(step).__name__.lower() for step in judged.decision.steps]
        names = ", then ".join([*kinds, *(["hold"] if judged.decision.held else [])])
        lines.append(Line(f"decision  {names}"))
    else:
        lines.append(Line("decision  nothing to do"))
    if not pending:
        return lines
    lines.append(Line(f"pending   {len(pending)}"))
    held = judged.decision.held if isinstance(judged.decision, Plan) else ()
    left = {each.revision.id: f"; breaks: {clauses(each.breaks)}" if each.breaks else "" for each in held}
    about = {each.revision.id: revision_lines(each) for each in review}
    for revision in pending:
        waits = f"  held{left[revision.id]}" if revision.id in left else ""
        lines.append(Line(f"  {revision.id}  {revision.message}  ({revision.file}){waits}", "bold"))
        more = about.get(revision.id, [])
        if len(lines) + len(more) <= _LISTED:
            lines += more
        else:
            lines.append(Line(f"      {counted(len(more), 'more line')}: migrate plan --format markdown", "dim"))
    return lines
