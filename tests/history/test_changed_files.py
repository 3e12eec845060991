"""Which files a branch adds, where git can tell, and what to do where a shallow clone cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from migrate.core.problems import Stop
from migrate.history.changed_files import changed_files


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("branches", ["--single-branch", "--no-single-branch"])
def test_in_a_shallow_clone_the_fix_brings_what_is_missing(tmp_path: Path, branches: str) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    for name in ("one", "two"):
        (origin / f"{name}.py").write_text(name)
        git(origin, "add", ".")
        git(origin, "commit", "-q", "-m", name)
    git(origin, "checkout", "-q", "-b", "feature", "HEAD~1")
    for name in ("three", "four"):
        (origin / f"{name}.py").write_text(name)
        git(origin, "add", ".")
        git(origin, "commit", "-q", "-m", name)
    git(tmp_path, "clone", "-q", "--depth", "1", branches, "-b", "feature", origin.as_uri(), str(clone))
    with pytest.raises(Stop) as stopped:
        changed_files(clone, [clone], "origin/main", verb="test")
    assert "the clone is shallow" in stopped.value.problem.why
    fix = str(stopped.value.problem.fix)
    assert fix.startswith("git fetch --unshallow origin ")
    assert "fetch-depth: 0" in fix
    subprocess.run(fix, shell=True, cwd=clone, check=True, capture_output=True)
    found = changed_files(clone, [clone], "origin/main", verb="test")
    assert {Path(each).name for each in found} == {"three.py", "four.py"}
