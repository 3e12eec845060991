"""Reads a file that somebody named, and comes to an end whatever it is: a device, or a FIFO that nobody writes into."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S: Final = 10.0  # for who writes into a FIFO, such as `<(vault read …)`
SMALL: Final = 1 << 16  # bytes: far more than a URL has
_MOST: Final = 1 << 26  # bytes of what is no regular file
_CHUNK: Final = 1 << 16


def read(path: Path, *, most: int | None = None) -> bytes:
    """The bytes of a file. Raises OSError, also for more than ``most`` bytes, and for a FIFO that stays silent."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if most is None:
            most = os.fstat(fd).st_size if stat.S_ISREG(mode) else SMALL if stat.S_ISCHR(mode) else _MOST
        return _read(fd, path, most)
    finally:
        os.close(fd)


def _read(fd: int, path: Path, most: int) -> bytes:
    until = time.monotonic() + WAIT_S
    ready = select.poll()
    ready.register(fd, select.POLLIN)
    found = bytearray()
    while len(found) <= most:
        if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"nothing was written into it in {WAIT_S:g} s", str(path))
        chunk = os.read(fd, _CHUNK)
        if not chunk:
            return bytes(found)
        found += chunk
    raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
