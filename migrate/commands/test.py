"""`migrate test`: try revisions in a shadow, as they go up, down and up again, with rows and without."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from migrate.commands.manifest import EXITS
from migrate.commands.verb import verb
from migrate.core.decide.decision import refuse_image
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.replay import applied_in_order, lines
from migrate.core.events import Event, Name
from migrate.core.history.faults import HistoryFault
from migrate.core.problems import ExitCode, Stop, alembic, problem, shell, stop
from migrate.core.quoting import Quoted
from migrate.core.trial_checks import TrialCheck
from migrate.core.wording import counted
from migrate.history.changed_files import changed_files
from migrate.job.front_door import conduct
from migrate.job.shadow import lend_ground, manifest_baseline
from migrate.job.voice import Answer, Report, Speech
from migrate.output.github_job import is_github, path_in_repository
from migrate.trial.cases import CaseStatus, Findings, Remarks, Trial, planned
from migrate.trial.locks import judge_locks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from migrate.core.history.graph import Revision
    from migrate.core.history.siblings import After
    from migrate.core.image import Image
    from migrate.core.url import DatabaseUrl
    from migrate.job.session import Session
    from migrate.shadow.ground import Ground


MODELS_FIX: Final = shell(
    alembic("revision", "--autogenerate", "-m 'what the models say'"),
    note="a new revision, or change the models; never a revision that was applied",
)


@verb("test", exits=EXITS)
@click.option("--since", metavar="REVISION", help="Try only what a database at this revision has not applied.")
@click.option("--base", metavar="BRANCH", help="Try only the revisions that differ from this branch, e.g. origin/main.")
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="What is there before the first revision, as in `migrate manifest`; without it, what the manifest names.",
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=pathlib.Path), help="Write JUnit XML to this file.")
@click.option(
    "--annotations",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    help="Write GitHub's annotations to this file, to be printed by a later step.",
)
@click.option("--list", "only_list", is_flag=True, help="Only say which revisions and checks there are.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="With --on, markdown: a comment for a pull request with what was measured.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(
    *,
    as_json: bool,
    since: str | None,
    base: str | None,
    baseline: Path | None,
    junit: Path | None,
    annotations: Path | None,
    only_list: bool,
    form: str,
    **flags: Any,
) -> Answer:
    """Try the revisions in a throw-away database, never in the target.

    Each is run up, down and up again, on empty tables and on tables with synthetic rows; one that commits in parts is
    cut off after each of its statements and run again. Which findings fail the run is policy: --fail. A revision
    that cannot go back says so at the top of its file: irreversible = "the reason"; one whose finding is meant:
    accepted = {"kept": "the reason"}.

    With --on URL the pending revisions are run on a clone of the real database instead, for good, and measured: time,
    bytes, rows, and which tables were locked for how long.
    """
    chosen = [
        name
        for name, value in {
            "--since": since, "--base": base, "--baseline": baseline, "--junit": junit, "--annotations": annotations,
            "--list": only_list,
        }.items()
        if value
    ]  # fmt: skip
    if since is not None and base is not None:
        raise click.UsageError("give --since or --base, not both")

    def body(session: Session) -> Report:
        began = time.monotonic()
        clone = session.settings.clone_url()
        if clone is not None:
            if chosen:
                raise stop("usage", f"{chosen[0]} is not for a run on a clone ({clone[1]})", names={"verb": "test"})
            return _measure(session, *clone, as_markdown=form == "markdown", as_json=as_json)
        if form != "text":
            raise stop("usage", "--format markdown is for --on", names={"verb": "test"})
        image = _image(session)
        selected = _selected(session, image, since, base)
        if only_list:
            cases = [{"revision": revision, "check": str(check)} for revision, check in planned(selected)]
            return Report(Outcome(Result.NOOP), {"cases": cases} if as_json else {}, text=_as_text(cases))
        found = _try(session, image, selected, baseline)
        _write(session, found, junit, annotations, duration_s=time.monotonic() - began)
        return _report(session, found, as_json=as_json)

    product = Speech.PRODUCT if form == "markdown" else Speech.LINES
    return conduct("test", flags, body, speech=Speech.JSON if as_json else product)


def _measure(session: Session, url: DatabaseUrl, url_from: str, *, as_markdown: bool, as_json: bool) -> Report:
    """What the pending revisions cost a clone. Raises Stop, also where it is the database of the settings."""
    from migrate.job import up as release
    from migrate.job.clone import clone_order
    from migrate.output.measured import measured_markdown, measured_text
    from migrate.steps.gauge import Gauge

    order, warnings = clone_order(session, url, url_from)
    with Gauge(order.target, order.context) as gauge:
        outcome = release.up(replace(order, gauge=gauge), session.begin())
    messages = {revision.id: revision.message for revision in order.image.graph.revisions}
    for each in gauge.measured:
        said = measured_text([each], messages)
        order.context.emit(Event(Name.REVISION_MEASURED, said.replace("\n", ";"), fields=each.fields()))
    if as_markdown:
        failed = outcome.problem.why if outcome.problem is not None else None
        text = measured_markdown(gauge.measured, messages, failed=failed, warnings=warnings)
    else:
        text = measured_text(gauge.measured, messages)
    fields: dict[str, object] = {}
    if as_json:
        fields = {"measured": [each.to_json() for each in gauge.measured], "warnings": list(warnings)}
    return Report(outcome, fields, text=text or None)


def _image(session: Session) -> Image:
    """The image. Raises Stop for faults of the history; several heads are a finding, no fault."""
    image = session.image
    refused = refuse_image(image, replace(session.settings.policy, target="heads"))
    if refused is not None:
        raise Stop(refused.problem)
    return image


def _selected(session: Session, image: Image, since: str | None, base: str | None) -> tuple[Revision, ...]:
    """The revisions that are tried, in Alembic's order. Raises Stop."""
    graph = image.graph
    order = graph.pending((), "heads")
    assert not isinstance(order, HistoryFault)
    if since is not None:
        rows = graph.resolve(since)
        if isinstance(rows, HistoryFault):
            raise stop("unknown-target", rows.why, names={"heads": graph.heads}, fix=rows.fix)
        there = graph.ancestors(rows)
        return tuple(revision for revision in order if revision.id not in there)
    if base is not None:
        changed = changed_files(session.config.root, session.config.version_locations, base, verb="test")
        paths = session.scan.paths
        return tuple(revision for revision in order if os.path.realpath(paths[revision.file]) in changed)
    return order


def _try(session: Session, image: Image, selected: Sequence[Revision], baseline: Path | None) -> Trial:
    from migrate.trial.run import TrialRun
    from migrate.trial.telling import tell

    findings = _findings(session, image)
    _judge_heads(session, image, findings)
    judge_locks(findings, image.manifest, [revision.id for revision in selected])
    if not selected:
        for check in (TrialCheck.TWICE, TrialCheck.MODELS):
            findings.skipped(check, None, "there is no revision to be tried")
        tell(findings.of(None), session.context.emit)
        return findings.trial(())
    # What a revision says while it is tried six times over is no news; what is wrong with it, the findings say.
    with lend_ground(session, image, manifest_baseline(session, image, baseline), is_silent=True) as ground:

        def carry_out() -> None:
            trial = TrialRun(
                ground,
                [revision.id for revision in selected],
                findings,
                session.project.env_py,
                session.context.emit,
                _siblings(ground, image),
            )
            trial.carry_out()

        ground.with_schema_of_env_py(carry_out)
    for check in (TrialCheck.TWICE, TrialCheck.MODELS):
        findings.skipped(check, None, "not every revision can be applied")
    tell(findings.of(None), session.context.emit)
    return findings.trial(selected)


def _siblings(ground: Ground, image: Image) -> After:
    """The siblings that revisions build on without `depends_on`: those of the manifest, and what it does not know yet."""
    graph, manifest = image.graph, image.manifest
    known: After = {}
    unproven = {revision.id for revision in graph.revisions}
    if manifest is not None:
        baseline = manifest.baseline.sha256 if manifest.baseline is not None else None
        unproven -= manifest.proven(graph, postgres=manifest.postgres, baseline=baseline)
        known = manifest.after_of(graph, unproven)
    if not unproven or len(lines(applied_in_order(graph))) == 1:
        return known
    from migrate.shadow.replay import Replay

    try:
        return Replay(ground).siblings(unproven, known)
    except Stop as stopped:
        if "revision" not in stopped.problem.facts:
            raise
        return known  # it is found again where it is tried


def _findings(session: Session, image: Image) -> Findings:
    revisions = image.graph.revisions
    paths = session.scan.paths
    return Findings(
        session.settings.test_fail,
        {revision.id: os.path.relpath(paths[revision.file], session.cwd) for revision in revisions},
        {revision.id: Remarks.read(session.source_of(revision)) for revision in revisions},
    )


def _judge_heads(session: Session, image: Image, findings: Findings) -> None:
    heads = image.graph.heads
    if session.settings.policy.target != "head":
        findings.skipped(TrialCheck.HEADS, None, f"the target is {session.settings.policy.target}")
    elif len(heads) > 1:
        last = heads[-1]
        others = [f"head {head}: {findings.files[head]}" for head in heads]
        said = f"the history has {counted(len(heads), 'head')}: {', '.join(heads)}"
        line = findings.sources[last].upgrade_line
        findings.found(TrialCheck.HEADS, None, said, others, file=findings.files[last], line=line)
    findings.passed(TrialCheck.HEADS)


# What is made of it


def _report(session: Session, found: Trial, *, as_json: bool) -> Report:
    from migrate.trial.report import table

    counts = found.counts
    fields: dict[str, object] = {"cases_count": len(found.cases), **{f"cases_{name}": n for name, n in counts.items()}}
    if as_json:
        fields["cases"] = [case.to_json() for case in found.cases]
    text = table(found, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    if is_github(os.environ):
        text += "\n" + _annotations(session, found).rstrip("\n")
    failed = found.with_verdict(CaseStatus.FAILED)
    if not failed:
        said = f"test: {found.summary}"
        return Report(Outcome(Result.NOOP), fields, text=text, message=said)
    first = failed[0]
    several = f"{counted(len(failed), 'check')} fail the run, the first: " if len(failed) > 1 else ""
    why = problem(
        "failed-trial",
        f"{several}{first.place or 'the history'}: {first.check}: {first.why}",
        names={
            "place": first.place or Quoted("the history"),
            "check": str(first.check),
            "key": Quoted(f'"{first.check}"'),
        },
        fix=MODELS_FIX if first.check is TrialCheck.MODELS else None,
    )
    return Report(Outcome(Result.FAILED, ExitCode.HISTORY, why), fields, text=text)


def _write(session: Session, found: Trial, junit: Path | None, annotations: Path | None, *, duration_s: float) -> None:
    """Write the files that were asked for. Raises Stop."""
    from migrate.trial.report import junit as as_junit

    texts: dict[Path, str] = {}
    if junit is not None:
        texts[junit] = as_junit(found, duration_s=duration_s)
    if annotations is not None:
        texts[annotations] = _annotations(session, found)
    for path, text in texts.items():
        try:
            path.write_text(session.redactor.text(text), encoding="utf-8")
        except OSError as error:
            raise stop("usage", f"{path} cannot be written: {error.strerror}", names={"verb": "test"}) from error


def _annotations(session: Session, found: Trial) -> str:
    from migrate.trial.report import github_annotations

    return github_annotations(found, lambda file: path_in_repository(file, session.cwd, os.environ))


def _as_text(cases: Sequence[dict[str, str | None]]) -> str:
    return "\n".join(f"{case['revision'] or 'history'} {case['check']}" for case in cases)
