"""`migrate report`: what ran here and what it changed, as one page to keep or to send."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import psycopg2

from migrate import __version__
from migrate.commands.history import EXITS
from migrate.commands.verb import verb
from migrate.core.decide.decision import decide
from migrate.core.decide.findings import sentence
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.plan import Refusal
from migrate.core.decide.review import reviewed
from migrate.core.decide.state import AtHead, Behind, Drifted
from migrate.core.decide.state import name as position_name
from migrate.core.problems import stop
from migrate.core.wording import counted
from migrate.job import look as judging
from migrate.job import progress
from migrate.job.front_door import conduct
from migrate.job.outlook import look_ahead
from migrate.job.voice import Answer, Report, Speech
from migrate.output.page import Page, cleaned, coming_rows, moment, reverted, revision_rows, run_rows
from migrate.postgres import ledger
from migrate.postgres.errors import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrate.core.decide.observation import Observation
    from migrate.core.decide.state import State
    from migrate.core.foresee.live import Outlook
    from migrate.core.image import Image
    from migrate.job.session import Session

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@verb("report", exits=EXITS)
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="Write one self-contained HTML page.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Write Markdown, as GitHub shows it.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=200, show_default=True, help="How many runs, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, beside the files.")
def report(*, as_json: bool, html_file: Path | None, markdown_file: Path | None, limit: int, **flags: Any) -> Answer:
    """Write what ran here, how long it took and what it changed, with the state and the drift now, as one page.

    Reads the ledger, the manifest and the live schema, and changes nothing in the database.
    """
    files: dict[Path, Callable[[Page], str]] = {}
    if html_file is not None:
        from migrate.output.html import html

        files[html_file] = html
    if markdown_file is not None:
        from migrate.output.markdown import report_page

        files[markdown_file] = report_page
    if not files:
        raise click.UsageError("name a file: --html FILE, --markdown FILE or both")

    def body(session: Session) -> Report:
        if session.settings.fleet.sources and not session.settings.fleet.names:
            return _of_tenants(session, flags, html_file, markdown_file)
        page = cleaned(_read(session, limit), session.redactor.text)
        for file, render in files.items():
            _write(file, render(page))
        written = ", ".join(map(str, files))
        return Report(
            Outcome(Result.NOOP),
            {"files": [str(file) for file in files], "runs": len(page.runs), "revisions": len(page.revisions)},
            message=f"report: {written} {'were' if len(files) > 1 else 'was'} written",
        )

    return conduct("report", flags, body, speech=Speech.JSON if as_json else Speech.LINES)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise stop("usage", f"{file} cannot be written: {error.strerror}", names={"verb": "report"}) from error


def _of_tenants(
    session: Session, flags: Mapping[str, Any], html_file: Path | None, markdown_file: Path | None
) -> Report:
    """The tenants by revision, the odd ones first; the page of one is made with --tenant."""
    from migrate.job.fleet import carry_out
    from migrate.output import fleet_table

    run = carry_out(session, flags)
    rows = run.grid()
    odd = sum(row.is_odd for row in rows)
    revisions, cells = fleet_table.marks(rows, session.image.graph)
    page = fleet_table.FleetPage(
        service=session.settings.service,
        version=__version__,
        made=moment(datetime.now(UTC)),
        said=f"{counted(len(rows), 'tenant')}, {odd} to look at",
        revisions=revisions,
        rows=tuple(rows),
        cells=cells,
    )
    page = cleaned(page, session.redactor.text)
    if html_file is not None:
        _write(html_file, fleet_table.as_html(page))
    if markdown_file is not None:
        _write(markdown_file, fleet_table.as_markdown(page))
    files = [str(file) for file in (html_file, markdown_file) if file is not None]
    return Report(
        Outcome(Result.NOOP),
        {**run.report().fields, "files": files},
        message=f"report: {', '.join(files)} {'were' if len(files) > 1 else 'was'} written",
    )


def _read(session: Session, limit: int) -> Page:
    order = session.order()
    judging.refuse_image_faults(order)
    with judging.connected(order, role="migrate:report:") as connection:
        observation = judging.look(order, connection)
        key = ledger.target_key(observation.server.schema, order.target.version_table)
        try:
            runs = ledger.history(connection, keys=[key], limit=limit, lock_timeout_s=order.context.limits.lock_s)
            image, state = judging.classified(order, observation)
            outlook, state = look_ahead(order, connection, image, observation, state)
        except psycopg2.Error as error:
            raise problem_of(error, doing="reading the ledger", connection=connection) from error
    return _page(session, image, observation, state, outlook, runs, limit)


def _page(
    session: Session,
    image: Image,
    observation: Observation,
    state: State,
    outlook: Outlook | None,
    runs: Sequence[Mapping[str, Any]],
    limit: int,
) -> Page:
    to_come = progress.pending_of(state)
    pending = [revision.id for revision in to_come]
    decision = decide(image, state, session.settings.policy)
    refused = isinstance(decision, Refusal)
    entries = image.manifest.revisions if image.manifest is not None else ()
    drift, drift_said = _drift(image, state)
    server = observation.server
    return Page(
        service=session.settings.service,
        version=__version__,
        made=moment(datetime.now(UTC)),
        database=server.database,
        server=f"PostgreSQL {server.version} at {server.address or 'the local socket'}",
        position=position_name(state.position),
        rows=", ".join(observation.rows) or "base",
        decision=f"would refuse: {decision.problem.why}" if isinstance(decision, Refusal) else _decided(pending),
        good=not refused,
        pending=len(pending),
        findings=tuple(sentence(finding) for finding in state.findings if not isinstance(finding, Drifted)),
        drift=drift,
        drift_said=drift_said,
        has_manifest=image.manifest is not None,
        coming=()
        if image.manifest is None
        else coming_rows(reviewed(image.manifest, image.graph, observation.rows, to_come, outlook)),
        runs=run_rows(
            runs,
            {entry.revision.id: entry.changes for entry in entries},
            _undone(image, reverted(runs)),
        ),
        runs_limited=len(runs) == limit,
        revisions=revision_rows(image, observation, pending, runs),
    )


def _undone(image: Image, revisions: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """What going back from each of the revisions changed, as far as the manifest knows them."""
    if image.manifest is None:
        return {}
    known = revisions & {entry.revision.id for entry in image.manifest.revisions}
    return {revision: image.manifest.undone(revision) for revision in known}


def _decided(pending: Sequence[str]) -> str:
    if not pending:
        return "nothing to do"
    return f"would apply {counted(len(pending), 'revision')}"


def _drift(image: Image, state: State) -> tuple[tuple[str, ...] | None, str]:
    if image.manifest is None:
        return None, "Not compared: this image has no manifest."
    if not isinstance(state.position, (AtHead, Behind)):
        return None, f"Not compared: the database is {position_name(state.position)}."
    found = [finding.differences.sentences() for finding in state.findings if isinstance(finding, Drifted)]
    accepted = tuple(f"accepted: {sentence}" for sentence in state.accepted)
    return (*(found[0] if found else ()), *accepted), "The schema matches the manifest."
