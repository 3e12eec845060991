"""Which files a branch adds or changes, asked of git."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from migrate.core.problems import stop

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def changed_files(
    root: Path, folders: Iterable[Path], base: str, *, verb: str, only_new: bool = False
) -> frozenset[str]:
    """The real paths of the files in ``folders`` that differ from where the branch left ``base``, committed or not.

    With ``only_new`` those that are not there at all.

    Raises Stop (`usage`) where there is no git, or it knows no such branch.
    """

    def git(*arguments: str) -> list[str]:
        try:
            done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise stop("usage", "--base needs git, which is not installed", names={"verb": verb}) from error
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise stop("usage", f"--base: git {arguments[0]}: {said}", names={"verb": verb})
        return [name for name in done.stdout.replace("\n", "\0").split("\0") if name]

    within = [str(folder) for folder in folders]
    top = git("rev-parse", "--show-toplevel")[0]
    fork = git("merge-base", base, "HEAD")[0]
    names = git("diff", "--name-only", "-z", f"--diff-filter={'A' if only_new else 'd'}", fork, "--", *within)
    names += git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", *within)
    return frozenset(os.path.realpath(os.path.join(top, name)) for name in names)  # noqa: PTH118 - texts from git
