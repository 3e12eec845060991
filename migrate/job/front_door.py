"""The way in and out of every verb: from its flags and settings to its last line, which every end but SIGKILL has."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from migrate import __version__
from migrate.core.decide.outcome import Outcome, Result, ended_by
from migrate.core.events import Event, Level, Name
from migrate.core.interruption import Interrupted
from migrate.core.notification import secrets_in
from migrate.core.problems import ExitCode, Stop, problem
from migrate.core.problems.fix import AGAIN
from migrate.core.redaction import Redactor
from migrate.job import signals
from migrate.job.progress import malformed_manifest
from migrate.job.session import Session
from migrate.job.voice import Answer, Report, Speech, Voice, last_words, working_folder
from migrate.settings import environment_secrets, load

if TYPE_CHECKING:
    from migrate.core.interruption import Interruption
    from migrate.core.problems import Problem
    from migrate.core.problems.fix import Invocation
    from migrate.settings import Settings

_STRICT: Final = frozenset({"up", "plan", "status", "wait"})

Body = Callable[[Session], Report]


def conduct(
    verb: str,
    flags: Mapping[str, Any],
    body: Body,
    *,
    speech: Speech = Speech.LINES,
    examines: bool = False,
    again: Invocation = AGAIN,
) -> Answer:
    """Run a verb from its settings to its last line.

    ``examines``: the verb says itself what is wrong with the settings (`Session.settings_fault`). ``again`` is the
    command that a fix names to repeat the run.
    """
    began_s = time.monotonic()
    loaded, fault = load(flags, os.environ, working_folder())
    settings = loaded if fault is None or examines else None
    redactor = Redactor(_secrets(verb, flags, settings))
    door = _FrontDoor(verb, Voice(verb, settings, redactor, speech, again=again, began_s=began_s))
    with signals.interruption(on_overdue=door.end_at_once) as interruption:
        report = door.pass_through(settings, fault, redactor, interruption, body)
        return door.voice.conclude(report)


def _secrets(verb: str, flags: Mapping[str, Any], settings: Settings | None) -> tuple[str, ...]:
    """What must not be said from the first word on."""
    named = {name: str(flags[name]) for name in ("shadow_url", "test_on") if flags.get(name)}
    addresses = settings.notified_by(verb) if settings is not None else ()
    known = environment_secrets({**os.environ, **named}, working_folder(), sys.argv[1:])
    return (*known, *secrets_in(addresses))


class _FrontDoor:
    """One verb's call, and what the signals' thread may ask of it at any time."""

    def __init__(self, verb: str, voice: Voice) -> None:
        self.verb = verb
        self.voice = voice
        self.session: Session | None = None

    def pass_through(
        self,
        settings: Settings | None,
        fault: Problem | None,
        redactor: Redactor,
        interruption: Interruption,
        body: Body,
    ) -> Report:
        """Call the verb; whatever it raises is a report."""
        voice = self.voice
        try:
            if settings is None:
                assert fault is not None
                raise Stop(fault)
            self.session = Session(self.verb, settings, voice, redactor, interruption)
            self.session.settings_fault = fault
            voice.emit(Event(Name.RUN_STARTED, f"migrate {self.verb} {__version__}"))
            for warning in settings.warnings:
                voice.emit(Event(Name.TARGET_WARNING, warning, Level.WARN))
            return _with_proof(body(self.session), self.session)
        except Stop as stopped:
            return Report(ended_by(stopped.problem), {})
        except Interrupted as interrupted:
            return Report(_interrupted(interrupted.signum, "a signal arrived before anything was changed"), {})
        except Exception as error:  # noqa: BLE001 - the last line must be written whatever happened
            malformed = malformed_manifest(error)
            found = (
                malformed
                if malformed is not None
                else _internal(self.verb, error, shows_traceback=settings is not None and settings.debug)
            )
            return Report(Outcome(Result.FAILED, found.exit_code, found), {})

    def end_at_once(self, signum: int) -> None:
        """End the process where a signal's grace is over, with what is known by then."""
        known = self.session.cut_short(signum) if self.session is not None else None
        late = Report(_interrupted(signum, "the signal's grace ran out while the run was waiting"), {})
        answer = self.voice.conclude(self.voice.concluded or known or late)
        if answer.text is not None:  # whoever asked for one object gets it, too
            os.write(1, f"{answer.text}\n".encode())
        os._exit(answer.exit_code)


def _with_proof(report: Report, session: Session) -> Report:
    """The end of a run that was to be strict and had no manifest to compare the schema with: its last line says so."""
    if session.context.verb not in _STRICT or report.outcome.problem is not None or not session.is_strict_in_vain:
        return report
    message = report.message or last_words(session.context.verb, report)
    said = f"{message}; the schema was not compared: there is no manifest"
    return replace(report, message=said, fields={**report.fields, "proof": "rows"})


def _interrupted(signum: int, why: str) -> Outcome:
    code = ExitCode(128 + signum)
    return Outcome(Result.INTERRUPTED, code, problem("interrupted", why, exit_code=code))


def _internal(verb: str, error: Exception, *, shows_traceback: bool) -> Problem:
    more: dict[str, Any] = {}
    if shows_traceback:
        import traceback

        more["traceback"] = traceback.format_exc()
    return problem("internal", f"{type(error).__name__}: {error}", names={"verb": verb}, **more)
