"""How a verb speaks: its events while it works, and the one line, object or text at its end."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrate import __version__
from migrate.core.decide.outcome import Result
from migrate.core.deployment import platform_context
from migrate.core.events import Event, Level, LogFormat, Name
from migrate.core.problems.fix import AGAIN, Fix, with_completed_fixes
from migrate.core.problems.kinds import EXCERPTS, FIX_PARTS
from migrate.core.value import Value
from migrate.core.wording import counted
from migrate.output import log
from migrate.output.github_job import is_github, tell_github

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.decide.outcome import Outcome
    from migrate.core.problems import ExitCode
    from migrate.core.problems.fix import Invocation
    from migrate.core.redaction import Redactor
    from migrate.output.telemetry import Telemetry
    from migrate.settings import Settings

# What env.py, the server or the ledger give reason for each time that they are asked.
_SAID_ONCE: Final = frozenset({Name.IMAGE_WARNING, Name.TARGET_WARNING, Name.LEDGER_WARNING})
# Looked at again under the guard: news only where it has changed.
_SAID_IF_NEW: Final = frozenset({Name.STATE_OBSERVED, Name.DECISION_MADE})


_OTLP: Final = "OTEL_EXPORTER_OTLP_"  # a variable of these that names an endpoint asks for spans and metrics


class Speech(Enum):
    """In which form a verb says what it has to say."""

    LINES = "every line"
    TEXT = "its text, on a terminal; only warnings and problems stand beside it. Everybody else gets every line"
    PRODUCT = "what it makes, to be redirected into a file, and nothing else; without such a text, the errors"
    JSON = "one object, the last line"


class Answer(Value):
    """What a verb came to: its exit code, and text for stdout where its lines are not all that it says."""

    exit_code: int
    text: str | None = None


class Report(Value):
    """A verb's end: the outcome for the last line, more fields for ``--json``, and text for people."""

    outcome: Outcome
    fields: Mapping[str, object]
    text: str | None = None
    message: str | None = None  # the sentence of the last line, where the outcome does not say it
    exit_code: ExitCode | None = None  # where the verb exits otherwise than its outcome, e.g. with 3

    @property
    def ends_with(self) -> ExitCode:
        """The code that the process exits with."""
        return self.outcome.exit_code if self.exit_code is None else self.exit_code


class Voice:
    """Everything that one verb says. ``settings`` are None where they stop it; ``again`` is how a fix repeats the run."""

    def __init__(
        self,
        verb: str,
        settings: Settings | None,
        redactor: Redactor,
        speech: Speech,
        *,
        again: Invocation,
        began_s: float,
    ) -> None:
        self.run_id: Final = os.urandom(6).hex()
        self.concluded: Report | None = None
        self._verb = verb
        self._settings = settings
        self._redactor = redactor
        self._speech = speech
        self._again = again
        self._began_s = began_s
        self._told: set[tuple[Name, str]] = set()
        self._last: dict[tuple[Name, object], Event] = {}
        self._project_flags = settings.project_flags() if settings is not None else ()
        log_format = settings.log_format if settings is not None else LogFormat.AUTO
        # everybody but a person gets JSON lines and nothing but those
        self._is_for_people = log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and os.isatty(1))
        self.log = log.open_log(
            log_format=log_format,
            stream_fd=1,
            context={"verb": verb, **platform_context(os.environ)},
            redactor=redactor,
            service=settings.service if settings is not None else "migrate",
            version=__version__,
            run_id=self.run_id,
        )
        if settings is not None and settings.limits.deadline_s:
            self.log.end_by(began_s + settings.limits.deadline_s)
        self._telemetry = _telemetry(verb, settings)

    def emit(self, event: Event) -> None:
        """Say that something happened, to whom it concerns."""
        if event.name in _SAID_ONCE:
            if (event.name, event.message) in self._told:
                return
            self._told.add((event.name, event.message))
        if event.name in _SAID_IF_NEW:
            about = event.name, event.fields.get("tenant")
            if self._last.get(about) == event:
                return
            self._last[about] = event
        if self._telemetry is not None and self.concluded is None:
            said = replace(event, message=self._redactor.text(event.message))
            self._telemetry.tell(said, self._for_others(event.fields))
        match self._speech:
            case Speech.JSON:
                return
            case Speech.PRODUCT if event.level < Level.ERROR:
                return
            case Speech.TEXT if self._is_for_people and event.level < Level.WARN:
                return
        self.log.emit(replace(event, fields=self._with_fixes(event.fields)))

    def bind(self, **context: object) -> None:
        """Add to what the first and the last line say."""
        self.log.bind(**context)

    def conclude(self, report: Report) -> Answer:
        """Say the last word, and close the log. A signal may ask for it while it is being said."""
        is_first, self.concluded = self.concluded is None, report
        took = {"run_id": self.run_id, "duration_ms": round((time.monotonic() - self._began_s) * 1000)}
        fields = self._with_fixes({**report.outcome.fields(), **report.fields, **took})
        if report.exit_code is not None:
            fields = {**fields, "exit_code": int(report.exit_code), "exit_name": report.exit_code.label}
        message = report.message or last_words(self._verb, report)
        if is_first:
            self._notify({"verb": self._verb, **fields})
            if self._telemetry is not None:
                wrong = self._telemetry.end(self._redactor.text(message), self._for_others(fields))
                if wrong is not None:
                    self.emit(Event(Name.NOTIFY_WARNING, f"no telemetry was sent: {wrong}", Level.WARN))
        if not self.has_product(report):
            level = Level.ERROR if report.outcome.problem else Level.INFO
            self.emit(Event(Name.RUN_FINISHED, message, level, {**fields, **self._for_people(report, fields)}))
        self.log.close()
        return Answer(int(report.ends_with), self._text(report, message, fields))

    def _for_people(self, report: Report, fields: Mapping[str, object]) -> dict[str, object]:
        """What stands on a terminal, and not in a line of JSON."""
        problem = report.outcome.problem
        if problem is None or not self._is_for_people:
            return {}
        fix = fields.get("fix")
        parts = fix.shown(self._redactor.text) if isinstance(fix, Fix) else ()
        return {
            EXCERPTS: [line for each in problem.excerpts for line in each.lines(self._redactor.text)],
            FIX_PARTS: [f"{language} {text}" for language, text in parts],
        }

    def has_product(self, report: Report) -> bool:
        """Whether what the verb makes is all that stands on stdout."""
        return self._speech is Speech.PRODUCT and bool(report.text)

    def _text(self, report: Report, message: str, fields: Mapping[str, object]) -> str | None:
        """What is printed after the lines."""
        text = report.text if self._is_for_people or self._speech is Speech.PRODUCT else None
        in_github = is_github(os.environ)
        if not in_github and self._speech is not Speech.JSON:
            return text
        said = {"event": str(Name.RUN_FINISHED), "verb": self._verb, "message": message, **fields}
        last = self.log.redacted(json.loads(json.dumps(said, default=str)))
        if in_github:
            fix = fields.get("fix")
            shown = fix.shown(self._redactor.text) if isinstance(fix, Fix) else ()
            mark = tell_github(last, shown, os.environ, _folder(self._settings))
            # A workflow command among JSON lines would be no JSON, and what a verb makes is nobody's to add to.
            if mark is not None and self._is_for_people and self._speech is not Speech.PRODUCT:
                text = mark if text is None else f"{text}\n{mark}"
        return json.dumps(last) if self._speech is Speech.JSON else text

    def _with_fixes(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        if not self._project_flags and self._again == AGAIN:
            return fields  # as they read already: nearly every run, and each of its lines
        return with_completed_fixes(fields, self._project_flags, self._again)

    def _for_others(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The last line's fields as JSON has them, without any secret."""
        return self.log.redacted(json.loads(json.dumps(fields, default=str)))

    def _notify(self, fields: Mapping[str, object]) -> None:
        """Tell people how the run ended, if they want to hear of such an end; what goes wrong is a warning and no more."""
        settings = self._settings
        addresses = settings.notified_by(self._verb) if settings is not None else ()
        if settings is None or not addresses:
            return
        from migrate.core.notification import notification
        from migrate.output.notify import notify

        context = self.log.redacted({"service": settings.service, **self.log.context})
        message = notification(self._for_others(fields), context)
        if message.occasion in settings.notify_on:
            for wrong in notify(addresses, message):
                self.emit(Event(Name.NOTIFY_WARNING, wrong, Level.WARN))


def _telemetry(verb: str, settings: Settings | None) -> Telemetry | None:
    """The spans and metrics of this run, where OpenTelemetry's variables ask for them and the extra is installed."""
    is_asked = any(name.startswith(_OTLP) and name.endswith("ENDPOINT") for name in os.environ)
    if settings is None or not is_asked or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from migrate.output.telemetry import Telemetry
    except ImportError:
        return None
    return Telemetry(verb, os.environ, service=settings.service, version=__version__)


def working_folder() -> Path:
    """The working directory; the root where it has been removed, so that what is missing there is reported as such."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _folder(settings: Settings | None) -> Path:
    """Where the files of the history are relative to: beside Alembic's configuration."""
    file = settings.config if settings is not None else None
    return working_folder() if file is None else working_folder() / file.parent


def last_words(verb: str, report: Report) -> str:
    """The sentence of the last line."""
    outcome = report.outcome
    if outcome.problem is not None:
        progress = f"; {len(outcome.applied)} applied, {len(outcome.pending)} left" if outcome.applied else ""
        return f"{verb} {outcome.result}: {outcome.problem.why}{progress}"
    match outcome.result:
        case Result.APPLIED:
            return f"{verb}: {counted(len(outcome.applied), 'revision')} applied, now at {_rows(outcome.to_revision)}"
        case Result.HELD:
            done = f"{counted(len(outcome.applied), 'revision')} applied, {len(outcome.held)} held"
            return f"{verb}: {done} from {next(iter(outcome.held))} on, now at {_rows(outcome.to_revision)}"
        case Result.NOOP:
            return f"{verb}: nothing to do at {_rows(outcome.to_revision)}"
        case Result.DOWNGRADED:
            return f"{verb}: {counted(len(outcome.reverted), 'revision')} reverted, now at {_rows(outcome.to_revision)}"
        case _:
            return f"{verb}: {outcome.result} at {_rows(outcome.to_revision)}"


def _rows(rows: object) -> str:
    return ", ".join(map(str, rows)) if isinstance(rows, (list, tuple)) and rows else "base"
