"""What a program of the operator's prints: without a shell, bounded in time, and never shown."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT_S: Final = 30.0


class NoOutput(Exception):  # noqa: N818 - a finding
    """The program could not be run, or did not end well; the text says why, without what it printed."""


def output_of(words: Sequence[str], environ: Mapping[str, str], cwd: Path, *, purpose: str) -> str:
    """What the program prints. ``purpose`` says in a clause what it is for. Raises NoOutput."""
    program = f"{words[0]}, {purpose},"
    try:
        done = subprocess.run(
            words,
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or type(error).__name__
        raise NoOutput(f"{program} cannot be run: {said}") from None
    except subprocess.TimeoutExpired:
        raise NoOutput(f"{program} did not end within {LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        raise NoOutput(f"{program} ended with code {done.returncode}")
    return done.stdout.decode("utf-8", "replace")
