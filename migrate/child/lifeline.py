"""A process that we start does not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(fd: int) -> None:
    """Be killed where the parent ends (on Linux; elsewhere the line ``fd`` ends), and hand the line to no process."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    os.set_inheritable(fd, False)  # noqa: FBT003 - the name of the function says what it is
