"""A wrong command line, reported like every other problem: one clear line with the fix and its exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from migrate import __version__, log
from migrate.core.events import Event, Level, LogFormat, Name
from migrate.core.outcome import refusal
from migrate.core.problems import problem
from migrate.core.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import click


def report_usage(error: click.ClickException, arguments: Sequence[str], verbs: Collection[str]) -> int:
    """Write the problem and the last line; the exit code. ``verbs`` are those that there are."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    fix = f"migrate {verb} --help" if verb in verbs else "migrate --help"
    found = problem("usage", " ".join(error.format_message().split()), fix=fix)  # click lists choices line by line
    sink = log.open_log(
        log_format=_log_format(),
        stream_fd=1,
        context={"verb": verb},
        redactor=Redactor(()),
        service=os.environ.get("MIGRATE_SERVICE", "migrate"),
        version=__version__,
        run_id=os.urandom(6).hex(),
    )
    outcome = refusal(found)
    sink.emit(Event(Name.PROBLEM, f"{found.kind.title}: {found.why}", Level.ERROR, found.fields()))
    sink.emit(Event(Name.RUN_FINISHED, f"refused: {found.why}", Level.ERROR, outcome.fields()))
    sink.close()
    return int(found.exit_code)


def _log_format() -> LogFormat:
    """The setting as far as the environment tells it; a malformed one is not what this report is about."""
    try:
        return LogFormat(os.environ.get("MIGRATE_LOG_FORMAT", "auto"))
    except ValueError:
        return LogFormat.AUTO
