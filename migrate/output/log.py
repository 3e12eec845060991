"""The sink: stamps every event and writes it to stdout, as JSON lines or for people.

Never a reason for a release to stop or to fail: what cannot be written is dropped, and `Log.broken` says so.
"""

from __future__ import annotations

import io
import locale
import os
import select
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from migrate.core.events import Level, LogFormat, Name
from migrate.output.json_lines import as_text, flat, render_flat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Buffer

    from migrate.core.events import Event
    from migrate.core.redaction import Redactor

_NAMES: Final = {
    Level.DEBUG: ("debug", "DEBUG"),
    Level.INFO: ("info", "INFO"),
    Level.WARN: ("warn", "WARNING"),
    Level.ERROR: ("error", "ERROR"),
}

# Words of our own closed sets, which readers act on: a password that happens to be "failed" must not hide them.
_OUR_WORDS: Final = frozenset({"outcome", "exit_name", "problem"})

# A reader that takes nothing for so long is not coming back in time: a revision may be holding locks meanwhile.
_STALLED_MS: Final = 10_000
_LAST_MS: Final = 500  # after the deadline, for a reader that is only slow
_AT_ONCE: Final = select.PIPE_BUF  # so many bytes go into a pipe that polls as writable without blocking


class Log:
    """Where events go; safe to be used by several threads. Made by `open_log`."""

    def __init__(
        self,
        stream: _Stream,
        output: _Output,
        stamp: Mapping[str, str],
        context: Mapping[str, object],
        redactor: Redactor,
        clock: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._output = output
        self._stamp = stamp
        self._context = dict(context)
        self._redactor = redactor
        self._clock = clock
        self._lock = threading.Lock()
        self._seq = 0
        self._ended = False

    @property
    def broken(self) -> bool:
        """True once a line could not be written whole: stdout is closed or stalled, or its disk is full."""
        return self._stream.broken

    def emit(self, event: Event) -> None:
        """Write one event. The one named ``run.finished`` is the last: whatever a thread says later is dropped."""
        with self._lock:
            if self._ended:
                return
            self._ended = event.name is Name.RUN_FINISHED
            self._seq += 1
            self._output.show(self._fields(event))

    @property
    def context(self) -> dict[str, object]:
        """What the first and the last line carry beside their own fields, as far as it is known by now."""
        with self._lock:
            return dict(self._context)

    def redacted(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The fields without any secret; the words that are ours to choose stay whatever the secrets are."""
        return {key: value if key in _OUR_WORDS else self._redactor.value(value) for key, value in fields.items()}

    def end_by(self, at: float) -> None:
        """Let nobody who does not read hold the run after this moment of `time.monotonic`."""
        self._stream.end_by(at)

    def bind(self, **context: object) -> None:
        """Add context that was learned later; the last line carries it."""
        with self._lock:
            self._context |= context

    def close(self) -> None:
        """Give the terminal and the descriptor back; later events are dropped."""
        with self._lock:
            self._ended = True
            self._output.close()
            self._stream.close()

    def _fields(self, event: Event) -> dict[str, object]:
        level, severity = _NAMES[event.level]
        now = datetime.fromtimestamp(self._clock(), UTC)
        always = {
            "timestamp": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
            "level": level,
            "severity": severity,
            "message": self._redactor.text(as_text(event.message)),
            "event": str(event.name),
            **self._stamp,
            "seq": self._seq,
        }
        context = self._context if self._ended or self._seq == 1 else {}
        said = flat({**context, **event.fields})
        return always | self.redacted({key: value for key, value in said.items() if key not in always})


def open_log(
    *,
    log_format: LogFormat,
    stream_fd: int,
    context: Mapping[str, object],
    redactor: Redactor,
    service: str,
    version: str,
    run_id: str,
    clock: Callable[[], float] = time.time,
) -> Log:
    """Open the log of this process, which writes to a duplicate of ``stream_fd`` that nothing else can close.

    ``auto`` means JSON lines unless the descriptor is a terminal. ``context`` is for the first and the last line only.
    ``clock`` gives seconds since 1970. Standard descriptors that are closed are opened on /dev/null: otherwise the
    connection to the database may get the number of one, and what anybody prints goes to the server.
    """
    _open_standard_descriptors()
    stream = _Stream(stream_fd)
    stamp = {"service": redactor.text(as_text(service)), "version": redactor.text(version), "run_id": run_id}
    return Log(stream, _output(stream, log_format), stamp, context, redactor, clock)


class _Output(Protocol):
    def show(self, fields: Mapping[str, object]) -> None:
        """Write one event."""

    def close(self) -> None:
        """Undo what was done to a terminal."""


def _output(stream: _Stream, log_format: LogFormat) -> _Output:
    if log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not stream.isatty()):
        return _JsonLines(stream)
    from migrate.output.terminal import PlainText, Screen  # only people need it

    # What the terminal expects, whatever Python's UTF-8 mode says; a character that it lacks becomes an escape.
    text = io.TextIOWrapper(stream, locale.getencoding(), "backslashreplace", write_through=True)
    return Screen(text, time.monotonic) if stream.isatty() else PlainText(text)


class _JsonLines:
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def show(self, fields: Mapping[str, object]) -> None:
        self._stream.write(render_flat(fields).encode())

    def close(self) -> None:
        """Nothing is held back."""


class _Stream(io.BufferedIOBase):
    """A descriptor of our own to write to; writing never raises and never blocks for good."""

    name: Final = "<stdout>"

    def __init__(self, fd: int) -> None:
        self.broken = False
        self._patience_ms = _STALLED_MS
        self._ends_s = float("inf")
        self._torn = b""  # the rest of a line that was begun: it goes first, so that no line is ever half of two
        self._fd = os.dup(fd)
        self._room = select.poll()
        self._room.register(self._fd, select.POLLOUT)

    def writable(self) -> bool:
        """Answer `io`, which asks before it writes."""
        return True

    def isatty(self) -> bool:
        """Tell whether a person is looking."""
        return os.isatty(self._fd)

    def write(self, line: Buffer) -> int:
        """Take the line, whatever becomes of it; returns its length, as `io` wants it."""
        length = len(line := bytes(line))
        data = self._torn + line
        sent = self._send(data)
        lost = sent < len(data)
        self._torn = data[sent:] if sent > len(self._torn) else self._torn[sent:]
        # Waiting is for the first line that is lost: with a dead reader every other one would cost as long again.
        self._patience_ms = 0 if lost else _STALLED_MS
        self.broken = self.broken or lost
        return length

    def end_by(self, at: float) -> None:
        """Wait for a reader until this moment only, and then for hardly longer than a moment."""
        self._ends_s = at

    def close(self) -> None:
        """Give the descriptor back."""
        if not self.closed:
            with suppress(OSError):  # some file systems tell only now that the disk is full
                os.close(self._fd)
        super().close()

    @property
    def _waits_ms(self) -> float:
        left_ms = max(self._ends_s - time.monotonic(), 0.0) * 1000
        return min(self._patience_ms, max(left_ms, _LAST_MS))

    def _send(self, data: bytes) -> int:
        sent = 0
        with suppress(OSError):  # no reader, a full disk, a terminal that is gone
            while sent < len(data) and self._room.poll(self._waits_ms):
                with suppress(BlockingIOError):  # another writer to the same pipe was faster
                    sent += os.write(self._fd, data[sent : sent + _AT_ONCE])
        return sent


def _open_standard_descriptors() -> None:
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
