"""Tells GitHub Actions how a run ended: the job's summary, and the annotation for whoever prints it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.output.github import annotation, summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.problems.fix import Language


def is_github(environ: Mapping[str, str]) -> bool:
    """Whether a workflow runs us (docs.github.com, "Variables reference")."""
    return environ.get("GITHUB_ACTIONS") == "true"


def tell_github(
    last: Mapping[str, object],
    fix: Sequence[tuple[Language, str]],
    environ: Mapping[str, str],
    folder: Path,
) -> str | None:
    """Append to the step's summary; the annotation, which has to go to stdout, or None.

    ``last`` are the redacted fields of ``run.finished``, ``fix`` its fix by `Fix.shown`, ``folder`` is where files of the history are relative to.
    A summary that cannot be written is left out: it must never be a reason for a release to fail.
    """
    path = environ.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            # neither a FIFO that nobody reads nor one that is full may hold the end of a release
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
            with open(fd, "wb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
                file.write(summary(last, fix).encode())
        except OSError:
            pass
    named = last.get("file")
    return annotation(last, path_in_repository(str(named), folder, environ) if named else None)


def path_in_repository(file: str, folder: Path, environ: Mapping[str, str]) -> str | None:
    """The path by which GitHub knows a file, which is relative to ``folder``; None for one outside of its checkout."""
    inside = os.path.relpath((folder / file).resolve(), environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return None if inside.startswith("..") else inside
