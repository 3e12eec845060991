"""A wrong command line, reported like every other problem: one clear line with the fix and its exit code."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final

import click

from migrate import __version__
from migrate.core.decide.outcome import refusal
from migrate.core.events import Event, Level, LogFormat, Name
from migrate.core.problems.catalogue import problem
from migrate.core.redaction import Redactor
from migrate.output import log

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


# What people type who come from Alembic: its command -> the verb that does it here.
_OF_ALEMBIC: Final = {
    "upgrade": "migrate up",
    "downgrade": "migrate down --to {revision}",
    "stamp": "migrate adopt   # records the revision that the schema proves; another one: --at {revision} --reason 'WHY'",
    "current": "migrate status",
    "heads": "migrate status",
    "show": "alembic show {revision}",
    "branches": "alembic branches",
    "check": "migrate test   # its check `models` says what `alembic check` says",
    "merge": "alembic merge {revision}   # then: migrate manifest",
    "revision": "alembic revision {revision}   # then: migrate manifest",
    "ensure_version": "migrate up",
    "list_templates": "alembic list_templates",
    "edit": "alembic edit {revision}",
}


def _of_alembic(verb: str, arguments: Sequence[str]) -> str | None:
    """The command that does what this one of Alembic's does; None for a verb that is not Alembic's either."""
    fix = _OF_ALEMBIC.get(verb)
    rest = [shlex.quote(each) for each in arguments[list(arguments).index(verb) + 1 :]] if fix else []
    if verb == "upgrade" and rest and rest[0] != "head" and not rest[0].startswith("-"):
        return f"migrate up --target {rest[0]}"
    return fix and fix.format(revision=" ".join(rest) if verb in {"revision", "merge"} else (rest or ["REVISION"])[0])


class WrongWord(click.BadParameter):
    """A word that means nothing, with the command that was probably meant."""

    def __init__(self, message: str, *, param_hint: str, fix: str | None) -> None:
        super().__init__(message, param_hint=param_hint)
        self.fix = fix


def report_usage(error: click.ClickException, arguments: Sequence[str], verbs: Collection[str]) -> int:
    """Write the problem and the last line; the exit code. ``verbs`` are those that there are."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    fix = f"migrate {verb} --help" if verb in verbs else _of_alembic(verb, arguments) or "migrate --help"
    if isinstance(error, WrongWord) and error.fix is not None:
        fix = error.fix
    why = " ".join(error.format_message().split())  # click lists choices line by line
    if verb in _OF_ALEMBIC:
        why = f"{verb} is a command of alembic; migrate has verbs of its own"
    found = problem("usage", why, fix=fix)
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
