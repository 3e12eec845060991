"""`migrate manifest`: replay the history in a shadow and write down, check or show the schema at every revision."""

from __future__ import annotations

import os
import pathlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click

from migrate.commands.verb import verb
from migrate.core.decide.decision import refuse_image
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.events import Event, Level, Name
from migrate.core.history.faults import HistoryFault
from migrate.core.history.graph import Graph
from migrate.core.manifest.building import build, candidates_of, used_schemas, with_needs
from migrate.core.manifest.entries import MalformedManifest
from migrate.core.manifest.line_diff import line_diff
from migrate.core.problems import ExitCode, Stop, migrate, shell, stop
from migrate.core.quoting import word
from migrate.core.schema.differences import fingerprint
from migrate.core.wording import clauses, counted, shortened
from migrate.history.manifest_file import (
    Agreement,
    bad_manifest,
    compare_with_files,
    hashes,
    load_manifest,
    manifest_path,
)
from migrate.job.front_door import conduct
from migrate.job.images import load_history
from migrate.job.shadow import lend_ground, read_baseline
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from migrate.core.image import Image
    from migrate.core.manifest.entries import OtherSpellings
    from migrate.core.manifest.line_diff import LineChange
    from migrate.core.manifest.manifest import Manifest
    from migrate.job.session import Session
    from migrate.shadow.ground import BaselineFile, Ground
    from migrate.shadow.replayed import Replayed

EXITS = tuple(
    code
    for code in ExitCode
    if code
    not in {ExitCode.PENDING, ExitCode.POLICY, ExitCode.STATE, ExitCode.AHEAD, ExitCode.DRIFT, ExitCode.DATA, ExitCode.BUSY,
                    ExitCode.DEADLINE}
)  # fmt: skip
SHOWN_CHANGES: Final = 50  # of a check; each is a log line
_BRACKETS: Final = re.compile(r"[][{}, ]*")
_HASH: Final = re.compile(r'\s*"(?:schema|sha256)": "')


@verb("manifest", exits=EXITS)
@click.option("--check", is_flag=True, help="Write nothing; exit 11 and say what differs when the file is out of date.")
@click.option("--at", metavar="REVISION", help="Write nothing; print the schema at a revision, as the manifest has it.")
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="What is there before the first revision: SQL, or a dump in pg_dump's custom format. The manifest remembers it.",
)
@click.option("--full", is_flag=True, help="Read the schema at every revision anew, whatever the manifest proves.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def manifest(*, as_json: bool, check: bool, at: str | None, baseline: Path | None, full: bool, **flags: Any) -> Answer:
    """Replay the history in a throw-away database and write down the schema at every revision.

    Writes manifest.json beside the versions folder; commit it. Only revisions that are new, edited, or build on such
    ones are read again. --check is for CI: it needs no server while the file is up to date.
    """
    if at is not None and (check or full or baseline is not None):
        raise click.UsageError("--at only reads the file: leave out --check, --full and --baseline")

    def body(session: Session) -> Report:
        if at is not None:
            return show(session, at)
        work = prepare(session, baseline, full=full, must_parse=check)
        return check_file(work) if check else write_file(work)

    return conduct(
        "manifest", flags, body, speech=Speech.JSON if as_json else Speech.PRODUCT if at is not None else Speech.LINES
    )


@dataclass(frozen=True, slots=True)
class Work:
    """The history as its files have it, and the manifest that is there."""

    session: Session
    image: Image
    path: Path
    text: str | None  # of the file; None where there is none
    previous: Manifest | None  # None where there is none, or none that can be read
    agreement: Agreement | None  # how the previous one stands to the files
    baseline: BaselineFile | None
    full: bool

    @property
    def shown(self) -> str:
        """The manifest's path, for people."""
        return os.path.relpath(self.path, self.session.cwd)

    @property
    def is_fresh(self) -> bool:
        """Whether hashes and format show that a replay would write the same text."""
        previous = self.previous
        return (
            previous is not None
            and not self.agreement
            and not self.full
            and self.text == previous.serialise()
            and (self.baseline is None or previous.baseline is None or self.baseline.sha256 == previous.baseline.sha256)
            and (self.baseline is None) == (previous.baseline is None)
        )


def prepare(session: Session, baseline: Path | None, *, full: bool, must_parse: bool) -> Work:
    """Read everything that needs no server. Raises Stop for faults of the history, and of a file that must parse."""
    image = load_history(session.sources)
    refused = refuse_image(image, replace(session.settings.policy, target="heads"))
    if refused is not None:
        raise Stop(refused.problem)
    path = manifest_path(session.config, session.settings.manifest)
    text: str | None = None
    previous: Manifest | None = None
    agreement: Agreement | None = None
    if path.exists():
        text = path.read_bytes().decode("utf-8", "replace")
        try:
            previous = load_manifest(path)
        except Stop as stopped:
            if must_parse:
                raise
            session.context.emit(Event(Name.IMAGE_WARNING, f"it is written anew: {stopped.problem.why}", Level.WARN))
    if previous is not None:
        files = hashes(session.scan, image.graph.revisions)
        agreement = compare_with_files(previous, files, image.graph.revisions)
    root = session.config.root
    if baseline is None and previous is not None and previous.baseline is not None:
        baseline = root / previous.baseline.file
    found = read_baseline(baseline, root) if baseline is not None else None
    return Work(session, image, path, text, previous, agreement, found, full)


def write_file(work: Work) -> Report:
    """Write the manifest where it is not what the history says."""
    if work.is_fresh:
        assert work.previous is not None
        return _written(work, work.previous, Result.NOOP)
    new = propose(work)
    text = new.serialise()
    if text == work.text:
        return _written(work, new, Result.NOOP)
    unfinished = work.path.with_name(f".{work.path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(text.encode())
        unfinished.replace(work.path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise stop(
            "bad-manifest", f"{work.shown} cannot be written: {error.strerror}", fix=shell("ls -ld .")
        ) from error
    return _written(work, new, Result.APPLIED)


def _written(work: Work, new: Manifest, result: Result) -> Report:
    said = "is up to date" if result is Result.NOOP else "was written"
    return Report(
        Outcome(result),
        {"manifest": work.shown, "revisions": len(new.revisions), "heads": list(new.heads), "postgres": new.postgres},
        message=f"manifest: {work.shown} {said}: {counted(len(new.revisions), 'revision')} on PostgreSQL {new.postgres}",
    )


def check_file(work: Work) -> Report:
    """Raises Stop (`stale-manifest`) where `write_file` would write; says which files and lines differ."""
    if work.text is None:
        raise stop("stale-manifest", f"there is no {work.shown}", names={"manifest": work.shown})
    previous, agreement = work.previous, work.agreement
    assert previous is not None
    assert agreement is not None
    _refuse_inconsistent(work.path, previous)
    if work.is_fresh:
        return _written(work, previous, Result.NOOP)
    said = agreement.sentences()
    changes: tuple[LineChange, ...] | None = None
    try:
        changes = line_diff(work.text, propose(work).serialise())
    except Stop as stopped:
        if stopped.problem.kind.code != "no-shadow" or not said:
            raise
        said.append("which lines would change is not known without a shadow (pip install 'migrate-job[embedded]')")
    if changes is not None:
        if not changes:
            return _written(work, previous, Result.NOOP)
        said.append(f"{work.shown}, {_lines(changes)} would change")
    for sentence in agreement.sentences():
        work.session.context.emit(Event(Name.IMAGE_WARNING, sentence, Level.WARN))
    read = [shown for change in changes or () if (shown := _readable(change)) is not None]
    for change in read[:SHOWN_CHANGES]:
        work.session.context.emit(_line_event(work.shown, change))
    raise stop(
        "stale-manifest",
        f"{work.shown} does not match the revision files: {clauses(said)}",
        names={"manifest": work.shown},
        lines=[change.old_line for change in changes or ()][:SHOWN_CHANGES],
        **agreement.fields(),
    )


def _refuse_inconsistent(path: Path, found: Manifest) -> None:
    """Raises Stop (`bad-manifest`) where lines were edited or merged by hand so that they do not lead to their hash."""
    try:
        for entry in found.revisions:
            found.schema_at([entry.revision.id])
            found.effects_of(entry.revision.id)
            found.needs_of(entry.revision.id)
    except MalformedManifest as fault:
        raise bad_manifest(path, fault) from fault


def _lines(changes: tuple[LineChange, ...]) -> str:
    spans = []
    for change in changes:
        last = change.old_line + max(len(change.old), 1) - 1
        spans.append(str(change.old_line) if last == change.old_line else f"{change.old_line}-{last}")
    return f"line{'s' if len(spans) > 1 or '-' in spans[0] else ''} {shortened(spans)}"


def _readable(change: LineChange) -> LineChange | None:
    """The lines that a person reads; None where only hashes and brackets change. `lines` of the problem counts them all."""
    old, new = (
        [line for line in lines if not (_HASH.match(line) or _BRACKETS.fullmatch(line))]
        for lines in (change.old, change.new)
    )
    return replace(change, old=tuple(old), new=tuple(new)) if old or new else None


def _line_event(shown: str, change: LineChange) -> Event:
    old, new = ([line.strip() for line in lines] for lines in (change.old, change.new))
    said = [f"- {line}" for line in old] + [f"+ {line}" for line in new]
    return Event(
        Name.IMAGE_WARNING,
        f"{shown}:{change.old_line}: {_cut('  '.join(said))}",
        Level.WARN,
        {"file": shown, "line": change.old_line, "old": old[:20], "new": new[:20]},
    )


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - a line on a terminal or two


def show(session: Session, at: str) -> Report:
    """The schema at a revision, as the manifest has it."""
    path = manifest_path(session.config, session.settings.manifest)
    found = load_manifest(path)
    if found is None:
        raise stop("no-manifest", f"there is no {os.path.relpath(path, session.cwd)}")
    graph = Graph(entry.revision for entry in found.revisions)
    rows = graph.resolve(at)
    if isinstance(rows, HistoryFault):
        raise stop(
            "unknown-target",
            rows.why,
            names={"heads": found.heads},
            fix=shell(
                migrate("manifest", f"--at {word(found.heads[-1]) if found.heads else 'base'}"), note=str(rows.fix)
            ),
        )
    try:
        schema = found.schema_at(rows)
    except MalformedManifest as fault:
        raise bad_manifest(path, fault) from fault
    return Report(
        Outcome(Result.NOOP),
        {"rows": list(rows), "fingerprint": fingerprint(schema), "schema": dict(sorted(schema.items()))},
        text="\n".join(f"{identity}: {definition}" for identity, definition in sorted(schema.items())),
        message=f"manifest: {counted(len(schema), 'object')} at {', '.join(rows) or 'base'}",
    )


# The replay


def propose(work: Work) -> Manifest:
    """The manifest that the history makes. Raises Stop, whose problem names the revision at fault, or Interrupted."""
    graph, previous = work.image.graph, work.previous
    everything = {revision.id for revision in graph.revisions}
    baseline = work.baseline.sha256 if work.baseline is not None else None
    if previous is not None and not work.full:
        proven = previous.proven(graph, postgres=previous.postgres, baseline=baseline)
        if proven >= everything:  # files were renamed or taken away at the end: there is nothing to be read
            return with_needs(_build(work, previous.postgres, None, previous.schemas), {}, (), previous)
    with lend_ground(work.session, work.image, work.baseline) as ground:
        major = ground.shadow.major
        unproven = everything
        if previous is not None and not work.full:
            if previous.postgres != major:
                _warn(
                    work,
                    f"{work.shown} was written on PostgreSQL {previous.postgres}, the shadow is {major}: every"
                    " revision is read anew",
                )
            unproven = everything - previous.proven(graph, postgres=major, baseline=baseline)
        known = previous.schemas if previous is not None and unproven < everything else ()
        spelled: OtherSpellings = {}
        if previous is not None:
            with suppress(MalformedManifest):  # then everything is tried; what the lines are needed for will say so
                spelled = previous.known_spellings(everything - unproven)
        replayed, used = _replay(work, ground, unproven, known, spelled)
        moved = _disproven(previous, replayed, everything - unproven)
        if moved:
            _warn(
                work,
                f"revision {moved} leaves another schema than {work.shown} says, although its file is the same: every"
                " revision is read anew",
            )
            replayed, used = _replay(work, ground, everything, (), {})
        return _with_needs(work, ground, _build(work, major, replayed, used), replayed)


def _with_needs(work: Work, ground: Ground, built: Manifest, replayed: Replayed) -> Manifest:
    """The manifest with what new and edited revisions need; of the others that is known, or was not yet when they were written."""
    graph, previous = work.image.graph, work.previous
    known = {} if previous is None or work.full else {e.revision.id: e.revision.sha256 for e in previous.revisions}
    tried = {one.id for one in graph if one.id in replayed.schemas and known.get(one.id) != one.sha256}
    candidates = candidates_of(built, graph, replayed.schemas, tried)
    needs = {}
    if candidates:
        from migrate.trial.needs import NeedTrial

        needs = NeedTrial(ground, replayed.after, replayed.observed).carry_out(candidates)
    return with_needs(built, needs, tried, previous)


def _replay(
    work: Work, ground: Ground, unproven: set[str], known: Sequence[str], spelled: OtherSpellings
) -> tuple[Replayed, Collection[str]]:
    """What the replay reads of the schemas that the history uses, and which those are beside the default one.

    ``known`` are those of the revisions that are not read, ``spelled`` how else their definitions are printed. Where the
    operator has named the schemas, all of them count.
    """
    from migrate.shadow.replay import Replay

    after = work.previous.after_of(work.image.graph, unproven) if work.previous is not None else {}
    found = ground.with_schema_of_env_py(lambda: Replay(ground).carry_out(unproven, spelled, after))
    used = used_schemas(work.image.graph, found.schemas, found.base).union(known)
    return (found if work.session.settings.schemas else found.within(used)), used


def _disproven(previous: Manifest | None, replayed: Replayed, proven: set[str]) -> str | None:
    """A revision that was read although the manifest proves it, and is not as the manifest says."""
    if previous is None:
        return None
    recorded = {entry.revision.id: entry.schema for entry in previous.revisions}
    read = replayed.schemas.items()
    return next((id_ for id_, schema in read if id_ in proven and fingerprint(schema) != recorded[id_]), None)


def _build(work: Work, major: int, replayed: Replayed | None, used: Collection[str]) -> Manifest:
    if replayed is None:
        assert work.previous is not None
        return build(
            major,
            work.image.graph,
            {},
            work.previous.baseline,
            work.previous,
            used,
            after=work.previous.after,
            environ=work.previous.environ,
        )
    try:
        new = build(
            major,
            work.image.graph,
            replayed.schemas,
            replayed.baseline,
            work.previous,
            used,
            spellings=replayed.spellings,
            after=replayed.after,
            observed=replayed.observed,
            environ=work.previous.environ if work.previous is not None else (),
        )
        if new.serialise() != work.text:  # else what was asked for is another place's, and nothing else is new
            new = replace(new, environ=_variables(work, replayed))
    except MalformedManifest as fault:
        raise bad_manifest(work.path, fault) from fault
    for rows, live in replayed.joined.items():
        said = [conflict.sentence() for conflict in new.conflicts(rows)]
        said += new.compare(rows, live, major=major).sentences()
        for sentence in said:
            _warn(work, f"where branches {' and '.join(rows)} meet: {sentence}")
    return new


def _variables(work: Work, replayed: Replayed) -> tuple[str, ...]:
    """What the variables were for which the replay has asked; of revisions that were not run, as it is known."""
    from migrate.core.manifest.variables import fixed_by, kept, lines
    from migrate.core.url import URL_VARIABLES

    fixed = fixed_by(work.session.settings.environ)
    # those that lead to a database lead a replay to its own
    names = {
        name for name in replayed.variables if name not in URL_VARIABLES and not name.startswith(("PG", "MIGRATE_"))
    }
    known = work.previous.environ if work.previous is not None and not work.full else ()
    return tuple(sorted((*kept(known, names), *lines(names, os.environ, fixed))))


def _warn(work: Work, said: str) -> None:
    work.session.context.emit(Event(Name.IMAGE_WARNING, said, Level.WARN))
