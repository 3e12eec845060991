"""The child's line to its parent, and the pulse that tells on it when the main thread waits in its driver."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, assert_never

from migrate.child import driver
from migrate.child.protocol import (
    PULSE_S,
    Close,
    Error,
    Failed,
    Gathered,
    Go,
    Halt,
    LoadHistory,
    Start,
    Task,
    Unintelligible,
    Waiting,
    decode_order,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from migrate.child.protocol import Asked, Question, Starting, Told


_CONNECTING: Final = frozenset({("sqlalchemy.engine.default", "connect"), ("migrate.child.kept_session", "connect")})


class Stopped(Exception):  # noqa: N818 - the parent's wish
    """The parent answered that no further revision, or no statement that commits by itself, may start."""


class Channel:
    """The line to the parent: told is what needs no answer; who asks goes on when the parent has answered."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._reader = self._socket.makefile("rb")
        self._lock = threading.Lock()  # the pulse and threads of the user's that log speak too
        self._held = b""  # what was told and not sent yet
        self._pid = os.getpid()
        self.driver: Any = None  # the database's connection that a forked process must not speak on
        os.register_at_fork(after_in_child=self._let_go)

    @property
    def is_forked(self) -> bool:
        """Whether this is a process that a revision has forked: it does not speak for the run."""
        return os.getpid() != self._pid

    def keep_from_forks(self, of_driver: Any) -> None:
        """Let no process that a revision forks speak on the database's connection: its rollback would be ours."""
        self.driver = of_driver

    @property
    def unsent(self) -> int:
        """How many bytes for the database are still in this machine's socket (Linux' SIOCOUTQ); 0 where that is not told."""
        with suppress(Exception):  # no connection yet, a closed one, or a driver without a descriptor to show
            found = fcntl.ioctl(self.driver.fileno(), termios.TIOCOUTQ, bytes(4))
            return int.from_bytes(found, sys.byteorder)
        return 0

    def _let_go(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self._socket.fileno(), inheritable=False)
        with suppress(Exception):  # closed, or of a driver that has no descriptor to show
            os.dup2(null, self.driver.fileno(), inheritable=False)
        os.close(null)

    def tell(self, message: Told) -> None:
        """Send without waiting for an answer."""
        if self.is_forked:
            os._exit(1)
        line = encode(message)
        with self._lock:
            said, self._held = self._held + line, b""
            self._socket.sendall(said)

    def tell_with_next(self, message: Told) -> None:
        """As `tell`, of what can wait for the next message, which follows at once: each one wakes the parent."""
        line = encode(message)
        with self._lock:
            self._held += line

    def call(self, question: Question) -> None:
        """Send, and wait until the parent lets it go on. Raises Stopped where it does not."""
        answer = self._answer(question)
        if not isinstance(answer, Go):
            self.refuse(answer)

    def start(self, starting: Starting) -> Start:
        """As `call`, of a revision that is about to run."""
        answer = self._answer(starting)
        if not isinstance(answer, Start):
            self.refuse(answer)
        return answer

    def gather(self) -> Close:
        """As `call`, of the commit of several revisions."""
        answer = self._answer(Gathered())
        if not isinstance(answer, Close):
            self.refuse(answer)
        return answer

    def _answer(self, question: Question | Starting | Gathered) -> Go | Start | Close:
        self.tell(question)
        answer = self.receive()
        match answer:
            case Go() | Start() | Close():
                pass
            case Halt():
                raise Stopped
            case LoadHistory() | Task():
                self.refuse(answer)
            case never:
                assert_never(never)
        return answer

    def receive(self) -> Asked:
        """The parent's next message; ends the process where the parent is gone, or what it says is none."""
        line = b""
        with suppress(OSError):  # closed with something of ours unread
            line = self._reader.readline()
        if not line:
            os._exit(1)  # nobody is left to report to, and user code must not be given the chance to go on
        try:
            return decode_order(line)
        except Unintelligible as error:
            self._end(str(error))

    def refuse(self, order: Asked) -> NoReturn:
        """End the process, as the parent has said what is not an answer here."""
        self._end(f"its message {type(order).__name__} is not an answer here")

    def _end(self, why: str) -> NoReturn:
        message = f"what the parent said was not understood: {why}"
        self.tell(Failed("protocol", Error("Unintelligible", message)))
        os._exit(1)  # user code must not go on


class DriverWatch(threading.Thread):
    """Tells the parent when the main thread goes into its driver and waits there, and when it has come out again.

    The parent alone cannot tell a revision that thinks from one that waits for an answer which will never come.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(name="pulse", daemon=True)
        self._channel = channel
        self._main = threading.main_thread().ident
        self._told = False

    def run(self) -> None:
        """Look at the main thread's stack once a second, for as long as the parent is there."""
        while True:
            time.sleep(PULSE_S)
            waits_for = _waits_for(sys._current_frames().get(self._main or 0))  # noqa: SLF001 - documented since 2.5
            if waits_for is not None or self._told:
                # again and again while it waits: to the parent, every other message means that the wait was over
                self._told = waits_for is not None
                try:
                    self._channel.tell(Waiting(waits_for, self._channel.unsent))
                except OSError:
                    return


def _waits_for(frame: FrameType | None) -> Literal["answer", "connected"] | None:
    """What a stack waits for in a driver: an ``answer`` (in a function such as `do_commit`), or to be ``connected``.

    Under an asynchronous env.py the migration waits off the stack, in a greenlet, and the thread in the event loop.
    """
    stack = [(step.f_globals.get("__name__", ""), step.f_code.co_name) for step in _outwards(frame)]
    if [module for module, _ in stack[:2]] == ["selectors", "asyncio.base_events"]:
        # else a revision runs its own loop
        return "answer" if all(module != "alembic.runtime.migration" for module, _ in stack) else None
    if not _CONNECTING.isdisjoint(stack):
        return "connected"
    is_asking = any(
        name.startswith("do_") and (module.startswith("sqlalchemy.") or module == driver.__name__)
        for module, name in stack
    )
    return "answer" if is_asking else None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
