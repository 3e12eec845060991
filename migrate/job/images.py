"""Loads the image: from the files' text, through Alembic only where the text cannot say, and the manifest beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from migrate.core.events import Event, Name
from migrate.core.history.faults import FaultKind
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.problems import Stop, alembic, shell, stop
from migrate.core.wording import counted
from migrate.history.colons import colon_faults
from migrate.history.manifest_file import check_for_release, compare_with_files, hashes, load_manifest, manifest_path
from migrate.history.memory import recall, remember

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.child.parent import Worker
    from migrate.child.protocol import History
    from migrate.context import Context
    from migrate.history import AlembicConfig, Scanned
    from migrate.settings import Settings
    from migrate.steps.order import Project

_TICK_S: Final = 0.5


class Sources(NamedTuple):
    """Of what an image is made, and for which run."""

    config: AlembicConfig
    scan: Scanned
    project: Project
    settings: Settings
    context: Context


def load_image(sources: Sources) -> Image:
    """The image of this project. Faults of its history are in the image; raises Stop where it cannot be read at all."""
    history = load_history(sources, remembers=True)
    graph, faults, read_by, revisions = history.graph, history.faults, history.read_by, history.graph.revisions
    path = manifest_path(sources.config, sources.settings.manifest)
    manifest = None if faults else load_manifest(path)  # a broken history is reported first
    if manifest is None and not faults and sources.settings.manifest is not None:
        # nothing but the operator's own word says that there is one: without it the proof would silently be a weaker one
        raise stop("no-manifest", f"the setting 'manifest' names {path}, and there is no such file")
    warnings: tuple[str, ...] = ()
    if manifest is not None:
        try:
            warnings = check_for_release(path, compare_with_files(manifest, hashes(sources.scan, revisions), revisions))
        except Stop:
            from migrate.core.decide.decision import refuse_image

            refused = refuse_image(history, sources.settings.policy)
            if refused is not None:  # several heads: merging them makes another manifest anyway
                raise Stop(refused.problem) from None
            raise
    sources.context.emit(
        Event(
            Name.IMAGE_LOADED,
            f"{counted(len(graph), 'revision')}, head {', '.join(graph.heads) or 'none'}",
            fields={
                "revisions": len(graph),
                "heads": list(graph.heads)[:50],
                "read_by": read_by,
                "proof": "rows" if manifest is None else "manifest",
            },
        ),
    )
    return replace(history, manifest=manifest, warnings=warnings)


def load_history(sources: Sources, *, remembers: bool = False) -> Image:
    """The image without its manifest: what the revision files say themselves.

    ``remembers``: of a history that computes its ids, what an earlier look at the same files found is enough.
    """
    scan = sources.scan
    read_by = "scan"
    revisions, faults = scan.revisions, scan.faults
    if any(fault.kind is FaultKind.DYNAMIC for fault in faults):
        files = hashes(scan, ())
        known = _remembered(sources, files) if remembers else None
        if known is None:
            known = _through_alembic(sources)
            remember(sources.config, files, known)
        revisions, faults, read_by = known, (), "alembic"
    graph = Graph(revisions)
    faults = (*faults, *graph.faults, *colon_faults(revisions))
    found = Image(graph, faults, read_by=read_by)
    return found if revisions else replace(found, missing=_where_they_are_missing(sources.config))


def _where_they_are_missing(config: AlembicConfig) -> str:
    """Of a history without revisions, where they were looked for and what is there instead."""
    said = []
    for folder in config.version_locations:
        shown = os.path.relpath(folder, config.root)
        below = "" if config.recursive else next((path.name for path in folder.glob("*/**/*.py")), "")
        if below:
            said.append(f"{shown} has no revision file, but there are files below it, such as {below}, and"
                        " recursive_version_locations is not set")  # fmt: skip
        else:
            said.append(f"{shown} has no revision file")
    return f"the history has no revision: {'; '.join(said) or 'no folder is configured for them'}"


def _remembered(sources: Sources, files: Mapping[str, str]) -> tuple[Revision, ...] | None:
    """What the manifest, or an earlier run, found in exactly these files; None where there is no such thing."""
    try:
        manifest = load_manifest(manifest_path(sources.config, sources.settings.manifest))
    except Stop:
        manifest = None  # it is reported where it is needed
    if manifest is not None:
        by_file = {entry.revision.file: entry.revision for entry in manifest.revisions}
        if {file: revision.sha256 for file, revision in by_file.items()} == dict(files):
            return tuple(by_file[file] for file in files)  # in the order of the files, as Alembic's is
    return recall(sources.config, files)


def _through_alembic(sources: Sources) -> tuple[Revision, ...]:
    """The revisions of a history that computes its ids: only running the files tells them."""
    import hashlib

    from migrate.child.parent import Worker
    from migrate.child.protocol import LoadHistory, Setup

    project = sources.project
    setup = Setup(project.config, project.toml, project.section, project.folders, "postgresql+psycopg2://")
    with Worker(
        environ=os.environ, cwd=project.cwd, emit=sources.context.emit, wake=(sources.context.interruption.fd,)
    ) as worker:
        worker.send(LoadHistory(setup))
        loaded = _hear(worker, sources.context)
    found = []
    for each in loaded.revisions:
        path = Path(each.file)
        file = os.path.relpath(path, sources.config.root)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(Revision(**{**each._asdict(), "file": file}, sha256=sha256))
    return tuple(found)


def _hear(worker: Worker, context: Context) -> History:
    """What the child has loaded; revision files may take their time to import. Raises Stop or Interrupted."""
    from migrate.child.parent import Ended
    from migrate.child.protocol import Failed, History, Ready, Waiting

    while True:
        message = worker.receive(_TICK_S)
        context.go_on("while Alembic loaded the history, which computes its ids")
        match message:
            case History():
                return message
            case None | Ready() | Waiting():
                continue
            case Failed(error=error):
                said = error.message
            case Ended() as ended:
                said = ended.why
            case other:
                said = worker.refuse(other).why
        raise stop(
            "bad-history",
            f"the history computes its ids, and Alembic could not load it: {said}",
            fix=shell(alembic("heads"), note="shows the same error"),
        )
