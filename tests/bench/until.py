"""Runs one of our commands until it says an event for the first time, and no further: what comes before is the cost."""

from __future__ import annotations

import subprocess
import sys


def main(event: str, *command: str) -> int:
    """0 where the event was said, else 1, with what was said in its place."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if f'"event":"{event}"'.encode() in line:
                running.kill()  # the process that runs revisions ends with it
                return 0
            sys.stdout.buffer.write(line)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
