"""A start command as a platform takes it: split into words and executed, without a shell."""

from __future__ import annotations

import re
import shlex
from typing import Final

_SHELLS: Final = re.compile(r"(?:.*/)?(?:ba|da|a|k|z)?sh")
_NEEDS_SHELL: Final = frozenset("$`|&;<>*?\n")
# Words that only a shell knows, and an assignment before a command.
_SHELL_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*|cd|exec|export|source|\.|set|eval|ulimit|umask", re.DOTALL)
# More than one simple command: `exec` would end with the first.
_COMPOUND: Final = frozenset("|&;\n")


def without_shell(command: str) -> str:
    """The command, given to a shell where it uses what only a shell has: `$PORT`, `&&`, an assignment.

    The program takes the shell's place where it can, so that signals reach it.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command  # an open quote: who wrote it has to say what it means
    if not words or (_SHELLS.fullmatch(words[0]) and len(words) > 1):
        return command
    is_shells = _SHELL_WORD.fullmatch(words[0]) is not None
    if not is_shells and not _NEEDS_SHELL & set(command):
        return command
    script = command if is_shells or _COMPOUND & set(command) else f"exec {command}"
    return f"sh -c {shlex.quote(script)}"


def gated(command: str) -> str:
    """The command behind `migrate wait`: it starts when the database is ready for the image, as the same process."""
    return f"migrate wait -- {without_shell(command)}"
