"""SIGTERM and SIGINT as an interruption that every wait sees, however deep in C code the main thread is."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from migrate.core.interruption import Interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # a lost terminal ends the run as SIGTERM does
GRACE_S: Final = 1.8  # platforms follow SIGTERM with SIGKILL; the last line must be out before


@contextmanager
def interruption(*, on_overdue: Callable[[int], None]) -> Iterator[Interruption]:
    """Catch the signals; the first one counts, a second changes nothing.

    After the block they change nothing either: the last line is out, and must not say another code than the process.

    Python's own handlers run between bytecodes of the main thread, too late for a thread that hangs in a name look-up:
    a thread reads the wake-up descriptor instead, and calls ``on_overdue`` when the block has not ended in time.
    Handlers, not a blocked mask: a child inherits a mask through exec, while handlers are reset there.
    """
    wake_read, wake_write = os.pipe()
    seen_read, seen_write = os.pipe()
    os.set_blocking(wake_write, False)
    found = Interruption(seen_read)
    ended = threading.Event()

    def listen() -> None:
        while True:
            numbers = [n for n in os.read(wake_read, 64) if n in SIGNALS]
            if ended.is_set():
                return
            if numbers and found.signum is None:
                found.signum = signal.SIGTERM if numbers[0] == signal.SIGHUP else numbers[0]
                os.write(seen_write, b"!")  # never read: the descriptor stays readable for whoever waits next
                if not ended.wait(GRACE_S):
                    on_overdue(found.signum)

    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # what nohup asks for
            signal.signal(number, lambda *_: None)
    previous_fd = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield found
    finally:
        signal.set_wakeup_fd(previous_fd)
        ended.set()
        os.write(wake_write, b"\0")
        listener.join(timeout=1.0)
        for fd in (wake_read, wake_write, seen_read, seen_write):
            os.close(fd)
