"""A wrong command line, reported like every other problem: one clear line with the fix and its exit code."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

from migrate import __version__
from migrate.core.decide.outcome import ended_by
from migrate.core.events import Event, Level, LogFormat, Name
from migrate.core.problems import alembic, migrate, problem, shell
from migrate.core.quoting import word
from migrate.core.redaction import Redactor
from migrate.output import log

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from migrate.core.problems import Fix


_QUOTED: Final = re.compile("'([^']*)' is not one of")
# What people type who come from Alembic: its command -> the verb that does it here.
_OF_ALEMBIC: Final = {
    "upgrade": shell(migrate("up")),
    "downgrade": shell(migrate("down", "--to {revision}")),
    "stamp": shell(
        migrate("adopt"),
        note="records the revision that the schema proves; another one: --at {revision} --reason 'WHY'",
    ),
    "current": shell(migrate("status")),
    "heads": shell(migrate("status")),
    "show": shell(alembic("show", "{revision}")),
    "branches": shell(alembic("branches")),
    "check": shell(migrate("test"), note="its check `models` says what `alembic check` says"),
    "merge": shell(alembic("merge", "{revision}"), note=("then: ", migrate("manifest"))),
    "revision": shell(alembic("revision", "{revision}"), note=("then: ", migrate("manifest"))),
    "ensure_version": shell(migrate("up")),
    "list_templates": shell(alembic("list_templates")),
    "edit": shell(alembic("edit", "{revision}")),
}


def _of_alembic(verb: str, arguments: Sequence[str]) -> Fix | None:
    """The command that does what this one of Alembic's does; None for a verb that is not Alembic's either."""
    fix = _OF_ALEMBIC.get(verb)
    if fix is None:
        return None
    rest = arguments[list(arguments).index(verb) + 1 :]
    if verb == "upgrade" and rest and rest[0] != "head" and not rest[0].startswith("-"):
        return shell(migrate("up", f"--target {word(rest[0])}"))
    return fix.filled({"revision": list(rest) if verb in {"revision", "merge"} else (*rest, "REVISION")[0]})


class WrongWord(click.BadParameter):
    """A word that means nothing, with the command that was probably meant."""

    def __init__(self, message: str, *, param_hint: str, fix: Fix | None) -> None:
        super().__init__(message, param_hint=param_hint)
        self.fix = fix


def _meant(error: click.ClickException, verb: str, verbs: Collection[str]) -> tuple[str, str] | None:
    """The word that means nothing, and the closest that does: a verb, a flag, or a value of a closed list."""
    if isinstance(error, click.NoSuchOption):
        typed, known = error.option_name, list(error.possibilities or ())
    elif isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
        quoted = _QUOTED.match(error.message)
        typed, known = quoted[1] if quoted else "", [str(choice) for choice in error.param.type.choices]
    else:
        typed, known = (verb, list(verbs)) if verb not in verbs else ("", [])
    close = get_close_matches(typed, known, n=1, cutoff=0.7)
    return (typed, close[0]) if close else None


def _corrected(argument: str, typed: str, close: str) -> str:
    if argument == typed or argument.startswith(f"{typed}="):
        return close + argument.removeprefix(typed)
    flag, equals, value = argument.partition("=")
    return f"{flag}={close}" if equals and value == typed else argument


def report_usage(error: click.ClickException, arguments: Sequence[str], verbs: Collection[str]) -> int:
    """Write the problem and the last line; the exit code. ``verbs`` are those that there are."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    fix = shell(f"migrate {verb} --help") if verb in verbs else _of_alembic(verb, arguments) or shell("migrate --help")
    if isinstance(error, WrongWord) and error.fix is not None:
        fix = error.fix
    why = " ".join(error.format_message().split())  # click lists choices line by line
    meant = _meant(error, verb, verbs)
    if verb in _OF_ALEMBIC:
        why = f"{verb} is a command of alembic; migrate has verbs of its own"
    elif meant is not None:
        typed, close = meant
        why = f"{typed} means nothing here; did you mean {close}?"
        fix = shell(" ".join(("migrate", *(word(_corrected(argument, typed, close)) for argument in arguments))))
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
    outcome = ended_by(found)
    sink.emit(Event(Name.RUN_FINISHED, f"refused: {found.why}", Level.ERROR, outcome.fields()))
    sink.close()
    return int(found.exit_code)


def _log_format() -> LogFormat:
    """The setting as far as the environment tells it; a malformed one is not what this report is about."""
    try:
        return LogFormat(os.environ.get("MIGRATE_LOG_FORMAT", "auto"))
    except ValueError:
        return LogFormat.AUTO
