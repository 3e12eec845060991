"""What the child says goes out in its order; what can wait goes with what follows it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import select, socket
from migrate.child.channel import Channel
from migrate.child.protocol import Committed, Ready
ours, theirs = socket.socketpair()
channel = Channel(theirs.detach())
channel.tell_with_next(Committed())
print(select.select([ours], [], [], 0)[0])
channel.tell(Ready())
print(ours.recv(1000))
"""


def test_what_can_wait_goes_with_the_next_message() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", repr(b'["Committed"]\n["Ready"]\n')]
