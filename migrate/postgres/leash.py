"""Runs a program that does not outlive us: ``python -m migrate.postgres.leash FD PROGRAM ARGUMENT…``, in a session of its own.

A process that is killed cannot end what it started. But the kernel closes its end of a pipe, whatever killed it: this
process waits for that at FD, then ends the program and all that the program started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

KILL_S: Final = 1.0  # between asking a program to end and ending it
NOT_STARTED: Final = 127  # as a shell says it


def main(fd: int, argv: Sequence[str]) -> None:
    """Run the program to its end and end as it did. All of our process group ends when ``fd`` is at its end."""
    ending = threading.Event()

    def end_with_parent() -> None:
        os.read(fd, 1)  # nothing is ever written
        ending.set()
        os.killpg(0, signal.SIGTERM)
        time.sleep(KILL_S)
        os.killpg(0, signal.SIGKILL)

    os.set_inheritable(fd, False)  # noqa: FBT003 - the name of the function says what it is
    # SIGTERM is for the others of the group. A handler: unlike a signal that is ignored it is not inherited.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        program = subprocess.Popen(argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(NOT_STARTED)
    threading.Thread(target=end_with_parent, daemon=True).start()
    code = program.wait()
    if ending.is_set():
        os.killpg(0, signal.SIGKILL)
    if code < 0:
        with suppress(OSError):  # the default of SIGKILL is all that there is
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
