"""What a real bash offers for a half-typed command, once it has read what `docs/how-to/complete-in-the-shell.md` says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "complete-in-the-shell.md"
SOURCE = 'eval "$(_MIGRATE_COMPLETE=bash_source migrate)"'
# As bash itself calls a completion for the last of the words.
OFFER = """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_migrate_completion migrate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

bash = shutil.which("bash")
pytestmark = pytest.mark.skipif(bash is None, reason="needs bash")


def offered(*words: str) -> list[str]:
    done = subprocess.run(
        [str(bash), "--norc", "-c", f"{SOURCE}\n{OFFER}", "bash", *words],
        env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_page_says_what_is_tried_here() -> None:
    assert SOURCE in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("migrate", "ver"), ["verify"]),
        (("migrate", "up", "--br"), ["--breaking"]),
        (("migrate", "up", "--breaking", ""), ["allow", "warn", "refuse", "hold"]),
        (("migrate", "wait", "--ti"), ["--timeout"]),
        (("migrate", "test", "--fail", "rows,up"), ["rows,upgrade"]),
        (("migrate", "down", "--allow-d"), ["--allow-data-loss"]),
        (("migrate", "init", "kub"), ["kubernetes"]),
    ],
)
def test_bash_offers(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_source(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "migrate"],
        env={"PATH": os.environ["PATH"], "_MIGRATE_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_migrate_completion" in done.stdout
    assert f"_MIGRATE_COMPLETE={shell}_complete" in done.stdout
