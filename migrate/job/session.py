"""What every verb does around its call: settings, log, signals, the image, the first and the last line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from migrate import __version__
from migrate.context import Context
from migrate.core.decide.outcome import Outcome, Result, refusal
from migrate.core.deployment import platform_context
from migrate.core.events import Event, Level, LogFormat, Name
from migrate.core.interruption import Interrupted
from migrate.core.notification import secrets_in
from migrate.core.problems import ExitCode, Stop, problem, shell, stop
from migrate.core.problems.fix import AGAIN, Fix, with_completed_fixes
from migrate.core.quoting import word
from migrate.core.redaction import Redactor
from migrate.core.wording import counted
from migrate.job import signals
from migrate.job.progress import Progress
from migrate.output import log
from migrate.output.github_job import is_github, tell_github
from migrate.output.heartbeat import Pulse
from migrate.settings import CHANGING_VERBS, Settings, environment_secrets, load

if TYPE_CHECKING:
    from migrate.core.events import Emit
    from migrate.core.history.faults import HistoryFault
    from migrate.core.history.graph import Revision
    from migrate.core.image import Image
    from migrate.core.interruption import Interruption
    from migrate.core.problems import Problem
    from migrate.core.problems.fix import Run
    from migrate.core.target import Target
    from migrate.history import AlembicConfig, Scan
    from migrate.job.images import Sources
    from migrate.steps.order import BackupPlace, Order, Project


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb came to: its exit code, and text for stdout where its lines are not all that it says."""

    exit_code: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A verb's end: the outcome for the last line, more fields for ``--json``, and text for people."""

    outcome: Outcome
    fields: Mapping[str, object]
    text: str | None = None
    message: str | None = None  # the sentence of the last line, where the outcome does not say it
    exit_code: ExitCode | None = None  # where the verb exits otherwise than its outcome, e.g. with 3


class Session:
    """One process's run of one verb."""

    def __init__(
        self,
        verb: str,
        settings: Settings,
        sink: log.Log,
        emit: Emit,
        redactor: Redactor,
        interruption: Interruption,
        run_id: str,
    ) -> None:
        pulse = Pulse(emit)
        self.settings = settings
        self.progress: Progress | None = None
        self.redactor = redactor
        self.context = Context(
            verb=verb,
            run_id=run_id,
            limits=settings.limits,
            started_s=pulse.started_s,
            interruption=interruption,
            emit=pulse.emit,
            beat=pulse.beat,
            bind=sink.bind,
            redact=redactor.text,
        )
        self.cwd = _working_folder()
        self.settings_fault: Problem | None = None  # where malformed settings do not stop the verb

    @cached_property
    def config(self) -> AlembicConfig:
        """Alembic's configuration. Raises Stop."""
        from migrate import history as images

        found = images.load_config(self.settings.config, self.cwd, self.settings.section)
        if isinstance(found, images.ConfigFault):
            missing = found.kind is images.ConfigFaultKind.MISSING_FILE
            code = "no-alembic-config" if missing else "bad-alembic-config"
            raise Stop(problem(code, found.message, fix=found.fix))
        return found

    @cached_property
    def scan(self) -> Scan:
        """The revision files of the image."""
        from migrate import history as images

        return images.scan(self.config)

    @cached_property
    def image(self) -> Image:
        """The graph of this image, read without importing a revision where that can be done. Raises Stop."""
        from migrate.job.images import load_image

        return load_image(self.sources)

    @property
    def sources(self) -> Sources:
        """Of what the image is made. Raises Stop."""
        from migrate.job.images import Sources

        return Sources(self.config, self.scan, self.project, self.settings, self.context)

    @cached_property
    def target(self) -> Target:
        """The target. Raises Stop."""
        found = self.aimed(self.settings.target(self.redactor.learn))
        self.context.bind(url_from=found.url_from, server_address=found.url.address, db_name=found.url.database)
        return found

    def aimed(self, target: Target) -> Target:
        """The target with its version table, guessed from env.py's text where no setting names it. Raises Stop."""
        from migrate.history import guess_version_table

        if self.settings.version_table is not None and self.settings.version_table_schema is not None:
            return target
        env_py = self.config.env_py
        try:
            text = env_py.read_text("utf-8", "replace")
        except FileNotFoundError:
            text = ""  # Alembic runs an env.pyc too, where the configuration says sourceless
        except OSError as error:
            raise stop(
                "bad-alembic-config",
                f"{env_py} cannot be read: {error.strerror}",
                fix=shell(f"chmod a+r {word(env_py)}"),
            ) from error
        table, schema = guess_version_table(text)
        return replace(
            target,
            version_table=self.settings.version_table or table or target.version_table,
            version_table_schema=self.settings.version_table_schema or schema,
        )

    @property
    def missing_driver(self) -> str | None:
        """The module that SQLAlchemy will import for the URL, as far as env.py's text tells, where it is missing."""
        from migrate.history import missing_driver

        try:
            text = self.config.env_py.read_text("utf-8", "replace")
        except OSError:
            return None
        return missing_driver(text, self.target.url.driver)

    @cached_property
    def project(self) -> Project:
        """Where the child process finds the user's project."""
        from migrate.steps.order import Project

        config = self.config
        return Project(
            cwd=self.cwd,
            config=str(config.ini) if config.ini is not None else None,
            toml=str(config.toml) if config.toml is not None else None,
            section=config.section,
            env_py=os.path.relpath(config.env_py, self.cwd),
            folders=(str(config.script_location), *(str(folder) for folder in config.version_locations)),
            flask_app=self.settings.flask_app,
            x=self.settings.x,
        )

    def source_of(self, revision: Revision) -> str:
        """The text of a revision's file."""
        return Path(self.scan.paths[revision.file]).read_text("utf-8", "replace")

    def faults_in(self, revisions: Sequence[Revision]) -> Sequence[HistoryFault]:
        """The revisions' files that Python refuses; none is run."""
        from migrate.history import check_syntax

        return check_syntax(self.scan, revisions)

    def begin(self) -> Progress:
        """The progress of a run that begins now: from here on the signals' thread may ask it how far the run has come."""
        self.progress = Progress()
        return self.progress

    def order(self) -> Order:
        """What `migrate.job.up` is given. Raises Stop for every fault that needs no database."""
        target = self.target  # a fault of the settings is reported before one of the image
        return self.order_for(target, self.image)

    def order_for(self, target: Target, image: Image) -> Order:
        """The order to bring a target to where an image says. Raises Stop."""
        from migrate.steps.order import Order

        return Order(
            context=self.context,
            target=image.aim(target),
            image=image,
            project=self.project,
            policy=self.settings.policy,
            environ=os.environ,
            source_of=self.source_of,
            faults_in=self.faults_in,
            log_queries=self.settings.log_queries,
            backup=self.backup_place,
        )

    @property
    def backup_place(self) -> BackupPlace | None:
        """Where backups go, None where no setting says."""
        from migrate.steps.order import BackupPlace

        folder, command = self.settings.backup_dir, self.settings.backup_command
        if folder is None and not command:
            return None
        return BackupPlace(self.cwd / folder if folder is not None else None, command or ())


# What env.py, the server or the ledger give reason for each time that they are asked.
_SAID_ONCE: Final = frozenset({Name.IMAGE_WARNING, Name.TARGET_WARNING, Name.LEDGER_WARNING})

Body = Callable[[Session], Report]


def conduct(
    verb: str,
    flags: Mapping[str, Any],
    body: Body,
    *,
    as_json: bool = False,
    reads: bool = False,
    is_product: bool = False,
    examines: bool = False,
    again: Run = AGAIN,
) -> Answer:
    """Run a verb from its settings to its last line; every end but SIGKILL has one.

    ``reads``: the verb's text is what people want to see, so that on a terminal only warnings and problems stand beside
    it. Everybody else gets every line. ``is_product``: the text is what the verb makes, to be redirected into a file, so
    that whoever reads stdout gets it and nothing else; where there is no such text, the errors. ``examines``: the verb
    says itself what is wrong with the settings (`Session.settings_fault`). ``again`` is the command that a fix names to
    repeat the run.
    """
    began = time.monotonic()
    run_id = os.urandom(6).hex()
    cwd = _working_folder()
    loaded, fault = load(flags, os.environ, cwd)
    settings = loaded if fault is None or examines else None
    named = {"--shadow-url": str(flags["shadow_url"])} if flags.get("shadow_url") else {}
    addresses = settings.notify if settings is not None and verb in CHANGING_VERBS else ()
    known = (*environment_secrets({**os.environ, **named}, cwd, sys.argv[1:]), *secrets_in(addresses))
    redactor = Redactor(known)
    sink = log.open_log(
        log_format=_log_format(settings),
        stream_fd=1,
        context={"verb": verb, **platform_context(os.environ)},
        redactor=redactor,
        service=settings.service if settings is not None else "migrate",
        version=__version__,
        run_id=run_id,
    )

    if settings is not None and settings.limits.deadline_s:
        sink.end_by(began + settings.limits.deadline_s)
    is_for_people = _is_for_people(settings)
    project_flags = settings.project_flags() if settings is not None else ()

    told: set[tuple[Name, str]] = set()

    def emit(event: Event) -> None:
        if event.name in _SAID_ONCE:
            if (event.name, event.message) in told:
                return
            told.add((event.name, event.message))
        if as_json or (is_product and event.level < Level.ERROR):
            return
        if not (reads and is_for_people and event.level < Level.WARN):
            sink.emit(replace(event, fields=with_completed_fixes(event.fields, project_flags, again)))

    concluded: Report | None = None

    def finish(report: Report) -> Answer:
        nonlocal concluded
        tells, concluded = concluded is None, report
        outcome = report.outcome
        took = {"run_id": run_id, "duration_ms": round((time.monotonic() - began) * 1000)}
        fields = with_completed_fixes({**outcome.fields(), **report.fields, **took}, project_flags, again)
        if report.exit_code is not None:
            fields = {**fields, "exit_code": int(report.exit_code), "exit_name": report.exit_code.label}
        message = report.message or last_words(verb, report)
        if addresses and tells:
            assert settings is not None
            _tell({"verb": verb, **fields}, settings, sink, emit)
        if not (is_product and report.text):
            emit(Event(Name.RUN_FINISHED, message, Level.ERROR if outcome.problem else Level.INFO, fields))
        sink.close()
        text = report.text if is_for_people or is_product else None
        in_github = is_github(os.environ)
        if as_json or in_github:
            said = {"event": str(Name.RUN_FINISHED), "verb": verb, "message": message, **fields}
            last = sink.redacted(json.loads(json.dumps(said, default=str)))
            if in_github:
                fix = fields.get("fix")
                shown = fix.shown(redactor.text) if isinstance(fix, Fix) else ()
                mark = tell_github(last, shown, os.environ, _folder(settings))
                # A workflow command among JSON lines would be no JSON, and what a verb makes is nobody's to add to.
                if mark is not None and is_for_people and not is_product:
                    text = mark if text is None else f"{text}\n{mark}"
            if as_json:
                text = json.dumps(last)
        return Answer(int(report.exit_code if report.exit_code is not None else outcome.exit_code), text)

    def overdue(signum: int) -> None:
        code = ExitCode(128 + signum)
        found = problem("interrupted", "the signal's grace ran out while the run was waiting", exit_code=code)
        outcome = Outcome(Result.INTERRUPTED, code, found)
        if session is not None and session.progress is not None:
            outcome = session.progress.cut_short(signum)
        answer = finish(concluded if concluded is not None else Report(outcome, {}))
        os._exit(answer.exit_code)

    session: Session | None = None
    with signals.interruption(on_overdue=overdue) as interruption:
        try:
            if settings is None:
                assert fault is not None
                return _refuse(emit, fault, finish)
            session = Session(verb, settings, sink, emit, redactor, interruption, run_id)
            session.settings_fault = fault
            emit(Event(Name.RUN_STARTED, f"migrate {verb} {__version__}"))
            for warning in settings.warnings:
                emit(Event(Name.TARGET_WARNING, warning, Level.WARN))
            report = body(session)
            if report.outcome.problem is not None and not (is_product and report.text):
                _say_problem(emit, report.outcome.problem)
            return finish(report)
        except Stop as stopped:
            return _refuse(emit, stopped.problem, finish)
        except Interrupted as interrupted:
            code = ExitCode(128 + interrupted.signum)
            found = problem("interrupted", "a signal arrived before anything was changed", exit_code=code)
            return finish(Report(Outcome(Result.INTERRUPTED, code, found), {}))
        except Exception as error:  # noqa: BLE001 - the last line must be written whatever happened
            said = f"{type(error).__name__}: {error}"
            more: dict[str, Any] = {}
            if settings is not None and settings.debug:
                import traceback

                more["traceback"] = traceback.format_exc()
            found = problem("internal", said, names={"verb": verb}, **more)
            _say_problem(emit, found)
            return finish(Report(Outcome(Result.FAILED, ExitCode.INTERNAL, found), {}))


def _refuse(emit: Emit, found: Problem, finish: Callable[[Report], Answer]) -> Answer:
    _say_problem(emit, found)
    return finish(Report(refusal(found), {}))


def _tell(fields: Mapping[str, object], settings: Settings, sink: log.Log, emit: Emit) -> None:
    """Tell people how the run ended, if they want to hear of such an end; what goes wrong is a warning and no more."""
    from migrate.core.notification import notification
    from migrate.output.notify import notify

    last = sink.redacted(json.loads(json.dumps(fields, default=str)))
    message = notification(last, sink.redacted({"service": settings.service, **sink.context}))
    if message.occasion in settings.notify_on:
        for wrong in notify(settings.notify, message):
            emit(Event(Name.NOTIFY_WARNING, wrong, Level.WARN))


def _say_problem(emit: Emit, found: Problem) -> None:
    emit(Event(Name.PROBLEM, f"{found.kind.title}: {found.why}", Level.ERROR, found.fields()))


def _log_format(settings: Settings | None) -> LogFormat:
    return settings.log_format if settings is not None else LogFormat.AUTO


def _folder(settings: Settings | None) -> Path:
    """Where the files of the history are relative to: beside Alembic's configuration."""
    file = settings.config if settings is not None else None
    return _working_folder() if file is None else _working_folder() / file.parent


def _working_folder() -> Path:
    """The working directory; the root where it has been removed, so that what is missing there is reported as such."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _is_for_people(settings: Settings | None) -> bool:
    """Whether stdout is read by a person: everybody else gets JSON lines and nothing but those."""
    form = _log_format(settings)
    return form is LogFormat.TEXT or (form is LogFormat.AUTO and os.isatty(1))


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
