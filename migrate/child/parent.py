"""The parent's hold on the child process that runs env.py and the revisions: start, talk, read what it prints, end."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import migrate
from migrate.child.protocol import Logged, Unintelligible, decode_told, encode
from migrate.core.events import Event, Level, Name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.child.protocol import Asked, Heard
    from migrate.core.events import Emit

SHOWN_LINES: Final = 1000  # of what a run prints; platforms drop whole batches of lines above some 500 a second
# Of a line; this bounds memory. Far more than is shown (8 KiB after redaction): a secret that is cut here stays unseen.
LINE_BYTES: Final = 65536
LAST_WORDS_S: Final = 0.3  # for what a child has printed; a process that it left running may print for ever
# What is imported stays: to look through it for garbage, again and again while it grows, is an eighth of the imports.
# And with Alembic comes Mako, whose pages of errors Pygments would colour, which rich brings along.
# First of all: a terminal's Ctrl-C reaches the whole group; the parent cancels on the server and says when to end.
_CHILD: Final = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import gc, sys; gc.disable(); sys.path.insert(0, sys.argv[1]); sys.modules['mako.ext.pygmentplugin'] = None;"
    " import migrate.child.main; del sys.modules['mako.ext.pygmentplugin']; sys.path.pop(0);"
    " gc.freeze(); gc.enable(); migrate.child.main.main(int(sys.argv[2]))"
)
_LEVELS: Final = {"debug": Level.DEBUG, "info": Level.INFO, "warning": Level.WARN, "warn": Level.WARN}


@dataclass(frozen=True, slots=True)
class Ended:
    """The child is gone; ``code`` as `subprocess` gives it (negative: a signal)."""

    code: int
    misspoken: str = ""  # why it was ended, where that is because of what it said

    @property
    def is_killed(self) -> bool:
        """Whether nobody asked it: the kernel, or a container's limit, ends the largest process where memory runs out."""
        return self.code == -signal.SIGKILL and not self.misspoken

    @property
    def why(self) -> str:
        """How it ended, for people."""
        if self.misspoken:
            return f"what the process that ran the revisions said was not understood: {self.misspoken}"
        if self.code < 0:
            memory = ", as when memory has run out" if self.is_killed else ""
            return f"the process that ran the revisions was killed by {_signal_name(-self.code)}{memory}"
        return f"the process that ran the revisions ended with code {self.code} before it was done"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # those between SIGRTMIN and SIGRTMAX have no names of their own
        return f"signal {number}"


@dataclass(slots=True)
class _Output:
    """One captured stream of the child, cut into lines."""

    fd: int
    stream: str
    pending: bytearray = field(default_factory=bytearray)
    is_overlong: bool = False  # the line's beginning was said; the rest of it is not


class Worker:
    """One child process; a context manager that never leaves one behind."""

    def __init__(self, *, environ: Mapping[str, str], cwd: Path, emit: Emit, wake: tuple[int, ...] = ()) -> None:
        """``wake`` are descriptors that end a wait early (a signal, a lost guard)."""
        self.emit = emit
        self.wake = wake
        self._shown = 0
        self._hidden = 0
        self.revision: str | None = None  # whom to name beside a printed line
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._buffer = bytearray()
        with theirs:
            self._process = subprocess.Popen(
                # neither the current folder (-P) nor PYTHONPATH may shadow our own package in the child
                [sys.executable, "-P", "-c", _CHILD, str(Path(migrate.__file__).parents[1]), str(theirs.fileno())],
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._outputs = {
            stream.fileno(): _Output(stream.fileno(), name)
            for stream, name in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr"))
        }

    def __enter__(self) -> Self:
        """Nothing to do: the child runs from its making."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child and say what it still had printed."""
        self.end()

    def send(self, order: Asked) -> None:
        """Give the child an order or an answer; a child that is gone is noticed by the next `receive`."""
        try:
            self._socket.sendall(encode(order))
        except OSError:
            return

    def receive(self, timeout_s: float) -> Heard | Ended | None:
        """The child's next message; None after ``timeout_s`` seconds or when a ``wake`` descriptor is readable."""
        until = time.monotonic() + timeout_s
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                try:
                    message = decode_told(line)
                except Unintelligible as error:
                    return self._end_misspoken(str(error))
                if isinstance(message, Logged):
                    self._say_record(message.record)
                    continue
                return message
            left = until - time.monotonic()
            if left <= 0:
                return None
            readable, _, _ = select.select([self._socket.fileno(), *self._outputs, *self.wake], [], [], left)
            for fd in [fd for fd in readable if fd in self._outputs]:
                self._read(self._outputs[fd])
            if self._socket.fileno() in readable:
                chunk = self._read_socket()
                if not chunk:
                    return self._ended()
                self._buffer += chunk
            elif not self.is_alive:  # a process that it forked holds the line open: nobody will ever speak on it
                return self._ended()
            elif any(fd in self.wake for fd in readable):
                return None

    def refuse(self, message: Heard) -> Ended:
        """End the child, which has said what has no place here."""
        return self._end_misspoken(f"its message {type(message).__name__} has no place here")

    def _end_misspoken(self, why: str) -> Ended:
        self.kill()
        return Ended(self._process.wait(), why)

    @property
    def is_alive(self) -> bool:
        """Whether the child can be given another order."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the child at once; its backend is the caller's to end."""
        if self._process.poll() is None:
            self._process.kill()

    def end(self) -> None:
        """Close the line, which ends an idle child, and kill one that does not listen."""
        self._socket.close()
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for output in list(self._outputs.values()):
            os.set_blocking(output.fd, False)
            self._read(output, last=True)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._hidden:
            self.emit(Event(Name.REVISION_OUTPUT, f"{self._hidden} more printed lines are not shown", Level.WARN))
            self._hidden = 0

    def _read_socket(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""

    def _ended(self) -> Ended:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it closed the line and goes on: user code that closes every descriptor
            self._process.kill()
            code = self._process.wait()
        return Ended(code)

    def _read(self, output: _Output, *, last: bool = False) -> None:
        until = time.monotonic() + LAST_WORDS_S
        while True:
            try:
                chunk = os.read(output.fd, 65536)
            except BlockingIOError:
                chunk = b""
            except OSError:
                chunk = b""
            if not chunk:
                if not last:
                    self._outputs.pop(output.fd, None)
                if output.pending:
                    self._say_line(output, bytes(output.pending))
                    output.pending.clear()
                return
            output.pending += chunk
            *lines, rest = bytes(output.pending).split(b"\n")
            output.pending[:] = rest
            for line in lines:
                if not output.is_overlong:
                    self._say_line(output, line)
                output.is_overlong = False
            if len(output.pending) > LINE_BYTES:
                if not output.is_overlong:
                    self._say_line(output, bytes(output.pending))
                output.is_overlong = True
                output.pending.clear()
            if not last or time.monotonic() > until:
                return

    def _say_line(self, output: _Output, line: bytes) -> None:
        said = line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
        if not said.strip():
            return
        if self._shown >= SHOWN_LINES:
            self._hidden += 1
            return
        self._shown += 1
        fields: dict[str, object] = {"stream": output.stream}
        if self.revision is not None:
            fields["revision"] = self.revision
        self.emit(Event(Name.REVISION_OUTPUT, said, fields=fields))

    def _say_record(self, record: Mapping[str, object]) -> None:
        fields = {key: value for key, value in record.items() if key not in {"message", "level"}}
        level = _LEVELS.get(str(record.get("level", "info")).lower(), Level.ERROR)
        self.emit(Event(Name.LOG_RECORD, str(record.get("message", "")), level, fields))
