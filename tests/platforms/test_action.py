"""The action and the pre-commit hook: their steps, run with the real shell and the real program; GitHub is a stand-in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.platforms.validators import ROOT

pytestmark = pytest.mark.deep

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


class Runner:
    """What GitHub's runner gives a step: a shell, a folder for temporary files, and files for outputs and the summary."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder = folder
        self.project = project
        folder.mkdir()
        (folder / "gh").write_text('#!/bin/sh\necho "$*" >> "$RUNNER_TEMP/gh.calls"\n', encoding="utf-8")
        (folder / "gh").chmod(0o755)

    def run(self, name: str, **env: str) -> subprocess.CompletedProcess[str]:
        (step,) = (step for step in ACTION["runs"]["steps"] if step["name"] == name)
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=self.project,
            env={
                **os.environ,
                "PATH": f"{self.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "RUNNER_TEMP": str(self.folder),
                "GITHUB_OUTPUT": str(self.folder / "output"),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
                "MIGRATE_LOG_FORMAT": "text",
                **env,
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def runner(tmp_path, project, write_manifest) -> Runner:
    project.linear(2)
    write_manifest()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    for arguments in (("init",), ("add", "."), ("commit", "-m", "one"), ("checkout", "-b", "feature")):
        subprocess.run([*git, *arguments], cwd=project.path, check=True, capture_output=True)
    return Runner(tmp_path / "runner", project.path)


def test_the_manifest_is_checked(runner, project):
    assert runner.run("migrate manifest --check").returncode == 0
    project.revision("late", down="r0002")
    refused = runner.run("migrate manifest --check")
    assert refused.returncode == 11
    assert "migrate manifest" in refused.stdout


def test_the_plan_has_what_the_branch_adds_and_is_the_comment(runner, project, write_manifest):
    project.revision("late", down="r0002", upgrade='op.execute("CREATE TABLE late (id integer)")', message="add late")
    write_manifest()
    done = runner.run("migrate plan", BASE="main")
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = re.findall(r"^file=(.+)$", (runner.folder / "output").read_text(encoding="utf-8"), re.MULTILINE)
    text = Path(file).read_text(encoding="utf-8")
    assert text.startswith("### Migrations: 1 revision after r0002")
    assert (runner.folder / "summary").read_text(encoding="utf-8") == text
    named = {"FILE": file, "NUMBER": "7", "REPOSITORY": "a/b", "GH_TOKEN": "x"}
    assert runner.run("comment", **named).returncode == 0
    assert (runner.folder / "gh.calls").read_text(encoding="utf-8").split()[:3] == ["pr", "comment", "7"]


def test_only_new_revisions_are_tried(runner, project):
    nothing = runner.run("migrate test", BASE="main")
    assert nothing.returncode == 0, nothing.stdout
    project.revision("bad", down="r0002", upgrade="op.execute('SELECT 1/0')")
    assert runner.run("migrate test", BASE="main").returncode == 11


def test_a_step_takes_what_others_could_write_from_its_environment_alone():
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"], "an expression in a script is a way in"


def test_the_hook_runs_where_the_manifest_could_have_become_stale():
    (hook,) = HOOKS
    assert hook["entry"].split() == ["migrate", "manifest", "--check"]
    assert hook["language"] == "system", "env.py imports the application"
    files = re.compile(hook["files"])
    for path in ("alembic/versions/ab12_x.py", "src/db/versions/x.py", "alembic/manifest.json", "versions/a.py"):
        assert files.search(path)
    for path in ("app/models.py", "README.md", "conversions/a.py"):
        assert not files.search(path)
