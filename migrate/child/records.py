"""Turns the log records and warnings of Alembic, SQLAlchemy and the user's code into records for our own log.

By the public means of `logging` only, and so that a user's `fileConfig()` neither silences us nor prints a line twice.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from migrate.child.after_loading import after_loading
from migrate.core.redaction import without_rows
from migrate.output.json_lines import as_text, flat

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

EmitRecord = Callable[[dict[str, object]], None]
_MakeRecord = Callable[..., logging.LogRecord]

_NEEDED: Final = "alembic"  # its INFO lines tell what it found, unless the user gave it a level
_WARNINGS: Final = "py.warnings"  # where logging.captureWarnings() sends them
_OUR_OWN: Final = ("alembic.runtime.migration", "Running %s")  # each revision's beginning is an event of ours
_OF_SERVER: Final = {("alembic.runtime.migration", said) for said in ("Context impl %s.", "Will assume %s DDL.")}
_STANDARD_FDS: Final = frozenset({1, 2})
_OF_EVERY_RECORD: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})

# By the names of logging's and structlog's methods; a level of the user's own counts as the one below it.
_LEVELS: Final = {"debug": "debug", "info": "info", "warning": "warn", "warn": "warn"}
_THRESHOLDS: Final = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


def capture(emit_record: EmitRecord) -> None:
    """Hand every record from now on to ``emit_record``, as ``{logger, level, message, ...}`` with JSON's own types.

    ``level`` is debug, info, warn or error; an exception becomes one line in ``exception``; values of ``extra=`` and of
    structlog's loggers are fields. ``emit_record`` is called by one thread at a time; what it raises is dropped.
    """
    global _armed  # noqa: PLW0603 - logging is one per process, and so is this
    _armed = _Capture(emit_record)
    _armed.arm()


def rearm() -> None:
    """Undo what a logging configuration has done to us since; to be called when env.py has been read."""
    if _armed is not None:
        _armed.arm()


class _Capture:
    """One handler for all, kept in its place by a record factory, which no logging configuration takes away."""

    def __init__(self, emit_record: EmitRecord) -> None:
        hand_over = _HandOver(emit_record)
        self._handler = _Handler(hand_over)
        self._make_record: _MakeRecord | None = None
        sys.meta_path.insert(0, _StructlogSeen(hand_over))

    def arm(self) -> None:
        current = logging.getLogRecordFactory()
        if current is not self._make_record:
            self._make_record = self._claiming(current)
            logging.setLogRecordFactory(self._make_record)
        logging.disable(logging.NOTSET)
        for logger in logging.root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False  # fileConfig() disables whatever was imported before it
        if logging.getLogger(_NEEDED).level == logging.NOTSET:
            logging.getLogger(_NEEDED).setLevel(logging.INFO)
        logging.captureWarnings(capture=True)
        self._claim(logging.root)

    def _claiming(self, make_record: _MakeRecord) -> _MakeRecord:
        # A record is made before its handlers are called: the last moment to put ours back.
        def make(name: Any, *args: Any, **options: Any) -> logging.LogRecord:
            logger = logging.root.manager.loggerDict.get(name)
            self._claim(logger if isinstance(logger, logging.Logger) else logging.root)
            return make_record(name, *args, **options)

        return make

    def _claim(self, logger: logging.Logger) -> None:
        """Let a record of this logger reach our handler once, and none that prints it where we read it again."""
        *passed, last = _ways_up(logger)
        for step in (*passed, last):
            for handler in tuple(step.handlers):
                if _prints(handler) or (handler is self._handler and step is not last):
                    step.removeHandler(handler)
        last.addHandler(self._handler)


_armed: _Capture | None = None


class _Handler(logging.Handler):
    """Hands a record of the standard library over, with what structlog's processor finds beside its message.

    Few have anything there, and importing structlog, and rich with it, takes as long as an eighth of all else.
    """

    def __init__(self, hand_over: _HandOver) -> None:
        super().__init__()
        self._hand_over = hand_over
        self._said: set[tuple[object, ...]] = set()  # what is the same for each tenant of a fleet

    def emit(self, record: logging.LogRecord) -> None:
        if (record.name, record.msg) == _OUR_OWN:
            return
        if (record.name, record.msg) in _OF_SERVER:
            said = (record.msg, str(record.args))
            if said in self._said:
                return
            self._said.add(said)
        method = next((name for level, name in _THRESHOLDS if record.levelno >= level), "debug")
        with suppress(Exception):  # a record that cannot be told must not break a revision
            event_dict: Any = {"event": _message(record), "_record": record, "exc_info": record.exc_info}
            if record.__dict__.keys() - _OF_EVERY_RECORD:
                from structlog.stdlib import ExtraAdder

                event_dict = ExtraAdder()(logging.getLogger(record.name), method, event_dict)
            self._hand_over(method, {**event_dict, "logger": record.name})


class _HandOver:
    """The end of every record, whoever made it."""

    def __init__(self, emit_record: EmitRecord) -> None:
        self._emit_record = emit_record
        self._lock = threading.RLock()

    def __call__(self, method: str, event_dict: dict[str, Any]) -> None:
        fields = {key: value for key, value in event_dict.items() if not key.startswith("_")}
        error = _exception(fields.pop("exc_info", None))
        said = {
            "logger": fields.pop("logger", "structlog"),
            "level": _LEVELS.get(method, "error"),
            "message": fields.pop("event", ""),
            **({"exception": error} if error else {}),
        }
        with self._lock, suppress(Exception):
            self._emit_record(dict(flat({**fields, **said})))


class _StructlogSeen:
    """Configures structlog when it is imported, by the user's code or by ours: unconfigured, it would print.

    What the user configures after that is printed, and read there.
    """

    def __init__(self, hand_over: _HandOver) -> None:
        self._hand_over = hand_over

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The place of structlog, as the finders behind this one know it; of nothing else."""
        del path, target
        if name != "structlog":
            return None
        with suppress(ValueError):
            sys.meta_path.remove(self)
        return after_loading(find_spec(name), self._configure)

    def _configure(self, structlog: Any) -> None:
        def hand_over(_logger: object, method: str, event_dict: dict[str, Any]) -> None:
            self._hand_over(method, event_dict)
            raise structlog.DropEvent  # nothing is left to be printed

        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, hand_over],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )


def _ways_up(logger: logging.Logger) -> Iterator[logging.Logger]:
    step: logging.Logger | None = logger
    while step is not None:
        yield step
        step = step.parent if step.propagate else None


def _prints(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler):
        return False
    stream = handler.stream
    if stream is sys.stdout or stream is sys.stderr:
        return True
    try:
        return stream.fileno() in _STANDARD_FDS
    except Exception:  # noqa: BLE001 - in memory, closed, or whatever a stranger's stream does
        return False


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - "%d" % "text": the line is worth more than its form
        message = f"{as_text(record.msg)} {as_text(record.args)}"
    if record.name == _WARNINGS:  # "file:line: Category: text", then the line of code, indented
        *text, last = message.rstrip().split("\n")
        message = " ".join(text if text and last.startswith("  ") else [*text, last])
    return message


def _exception(exc_info: object) -> str | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    if not isinstance(exc_info, BaseException):
        return None
    said = " ".join(without_rows(as_text(exc_info)).split())
    frames = traceback.extract_tb(exc_info.__traceback__)
    place = f" ({PurePath(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(exc_info).__name__}: {said}{place}"
