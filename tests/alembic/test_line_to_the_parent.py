"""The child's line to its parent: where the parent is gone, nothing is said of it as if a revision had failed."""

from __future__ import annotations

import subprocess
import sys

RESET = """
import socket
from migrate.child.channel import Channel
ours, parents = socket.socketpair()
channel = Channel(ours.detach())
channel.tell("ready")
parents.close()  # with something unread: the next read is a ConnectionResetError
channel.receive()
"""


def test_a_line_that_is_reset_has_ended():
    done = subprocess.run([sys.executable, "-c", RESET], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
