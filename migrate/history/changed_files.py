"""Which files a branch adds or changes, asked of git."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from migrate.core.problems import shell, stop
from migrate.core.quoting import word

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from migrate.core.problems import Fix


def _fix_of_shallow(base: str) -> Fix:
    """What brings the branch and the commits up to where the two parted into a shallow clone."""
    remote, _, branch = base.partition("/")
    fetch = (
        f"git fetch --unshallow {word(remote)} {word(f'+{branch}:refs/remotes/{base}')}"
        if branch
        else "git fetch --unshallow"
    )
    return shell(fetch, note="in GitHub Actions: actions/checkout with fetch-depth: 0; in GitLab: GIT_DEPTH: 0")


def changed_files(
    root: Path, folders: Iterable[Path], base: str, *, verb: str, only_new: bool = False
) -> frozenset[str]:
    """The real paths of the files in ``folders`` that differ from where the branch left ``base``, committed or not.

    With ``only_new`` those that are not there at all.

    Raises Stop (`usage`) where there is no git, or it knows no such branch.
    """

    def is_shallow() -> bool:
        asked = ["git", "rev-parse", "--is-shallow-repository"]
        return subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False).stdout.strip() == "true"

    def git(*arguments: str) -> list[str]:
        try:
            done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise stop("usage", "--base needs git, which is not installed", names={"verb": verb}) from error
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no common commit with HEAD"])[-1]
            fix = _fix_of_shallow(base) if is_shallow() else None
            cut = "; the clone is shallow, without the commits that would tell" if fix is not None else ""
            raise stop("usage", f"--base: git {arguments[0]}: {said}{cut}", names={"verb": verb}, fix=fix)
        return [name for name in done.stdout.replace("\n", "\0").split("\0") if name]

    within = [str(folder) for folder in folders]
    top = git("rev-parse", "--show-toplevel")[0]
    fork = git("merge-base", base, "HEAD")[0]
    names = git("diff", "--name-only", "-z", f"--diff-filter={'A' if only_new else 'd'}", fork, "--", *within)
    names += git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", *within)
    return frozenset(os.path.realpath(os.path.join(top, name)) for name in names)  # noqa: PTH118 - texts from git
