"""The release workflow: checked by its readers, and its retry loop run with the real shell."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from migrate import __version__
from migrate.core.problems import ExitCode
from tests.platforms.validators import ROOT, check_workflow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deep

WORKFLOWS = ROOT / ".github" / "workflows"
EXAMPLE = ROOT / "examples" / "newsifier" / ".github" / "workflows" / "release.yml"
FILES = [*sorted(WORKFLOWS.glob("*.yml")), EXAMPLE]
KILLED = 137  # the engine's own, when nobody was there to say anything else
RETRIED = {int(code) for code in ExitCode if code.retryable} | {KILLED}


def workflow(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_each_is_clean(file: Path) -> None:
    check_workflow(file)


def test_the_check_finds_a_script_that_a_title_could_rewrite(tmp_path) -> None:
    text = (WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
    file = tmp_path / "ci.yml"
    file.write_text(text.replace("make lint", "echo ${{ github.event.pull_request.title }}"), encoding="utf-8")
    with pytest.raises(AssertionError):
        check_workflow(file)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_is_permitted_that_is_not_asked_for(file: Path) -> None:
    found = workflow(file)
    assert found["permissions"] == {}
    # An identity is given to what publishes and signs, and to nothing that runs the code of a test.
    publishing = {"publish", "image"} if file == WORKFLOWS / "release.yml" else set()
    for name, job in found["jobs"].items():
        assert "write" not in {right for what, right in job["permissions"].items() if what != "id-token"}
        assert ("id-token" in job["permissions"]) == (name in publishing)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_action_is_pinned_to_a_commit(file: Path) -> None:
    uses = re.findall(r"uses: (\S+)(.*)", file.read_text(encoding="utf-8"))
    assert uses
    for action, rest in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest), action


def test_the_image_that_was_tested_and_published_is_the_one_that_migrates() -> None:
    jobs = workflow(EXAMPLE)["jobs"]
    assert jobs["migrate"]["needs"] == "publish"
    assert jobs["migrate"]["env"]["IMAGE"].endswith("@${{ needs.publish.outputs.digest }}")
    (build,) = (step for step in jobs["publish"]["steps"] if step.get("id") == "build")
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, "mode=max")


def test_only_the_wheel_that_was_tried_on_every_python_is_published() -> None:
    jobs = workflow(WORKFLOWS / "release.yml")["jobs"]
    assert jobs["smoke"]["needs"] == "build"
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert jobs["smoke"]["strategy"]["matrix"]["python"] == promised
    for name in ("publish", "image"):
        assert jobs[name]["needs"] == ["test", "smoke"]
    assert jobs["publish"]["environment"] == "pypi"
    assert not any("checkout" in step.get("uses", "") for step in jobs["publish"]["steps"])
    (build,) = (step for step in jobs["image"]["steps"] if step.get("id") == "build")
    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, "mode=max")


def test_the_version_that_a_tag_names_is_looked_up_where_it_stands() -> None:
    (step,) = (
        step for step in workflow(WORKFLOWS / "release.yml")["jobs"]["build"]["steps"] if "tag" in step.get("name", "")
    )
    for tag, code in ((f"v{__version__}", 0), ("v0.0.0", 1)):
        env = {**os.environ, "GITHUB_REF_NAME": tag}
        assert subprocess.run(["bash", "-c", step["run"]], cwd=ROOT, env=env, check=False).returncode == code


def try_again(tmp_path: Path, codes: list[int]) -> tuple[int, list[str], list[str]]:
    """Run the step's script with a `docker` that exits with these codes: its exit code, the calls, the pauses."""
    (step,) = (step for step in workflow(EXAMPLE)["jobs"]["migrate"]["steps"] if "run" in step)
    (tmp_path / "codes").write_text("\n".join(map(str, [*codes, 99])), encoding="utf-8")
    stubs = {
        "docker": 'echo "$*" >> "$HERE/calls"; echo "$MIGRATE_DEADLINE" > "$HERE/deadline"; code=$(head -n 1 "$HERE/codes"); sed -i 1d "$HERE/codes"; exit "$code"',
        "sleep": 'echo "$1" >> "$HERE/pauses"',
    }
    for name, text in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    for name in ("calls", "pauses", "summary"):
        (tmp_path / name).touch()
    ended = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # as GitHub's runner starts it
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HERE": str(tmp_path),
            "IMAGE": "registry/image@sha256:1",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        },
        check=False,
    )
    lines = [(tmp_path / name).read_text(encoding="utf-8").splitlines() for name in ("calls", "pauses")]
    return ended.returncode, lines[0], lines[1]


def test_success_is_not_tried_again(tmp_path) -> None:
    code, calls, pauses = try_again(tmp_path, [0])
    assert (code, len(calls), pauses) == (0, 1, [])
    assert calls[0].endswith("registry/image@sha256:1 up --strict")
    # the ledger keeps the commit and the run, and no try begins a revision that timeout-minutes would cut off
    assert all(f"--env {name} " in calls[0] for name in ("GITHUB_SHA", "GITHUB_RUN_ID", "MIGRATE_DEADLINE"))
    assert (tmp_path / "deadline").read_text(encoding="utf-8").rstrip("s\n") in {
        str(3300 - spent) for spent in range(99)
    }
    assert workflow(EXAMPLE)["jobs"]["migrate"]["timeout-minutes"] * 60 > 3300


@pytest.mark.parametrize("code", sorted({int(code) for code in ExitCode} - RETRIED - {0}))
def test_what_is_not_worth_a_try_stops_with_its_own_code(tmp_path, code) -> None:
    assert try_again(tmp_path, [code])[0] == code
    assert len(try_again(tmp_path, [code])[1]) == 2, "one call each"


@pytest.mark.parametrize("code", sorted(RETRIED))
def test_what_may_succeed_later_is_tried_again(tmp_path, code) -> None:
    ended, calls, pauses = try_again(tmp_path, [code, 0])
    assert (ended, len(calls), pauses) == (0, 2, ["15"])


def test_it_gives_up_with_the_last_code(tmp_path) -> None:
    ended, calls, _ = try_again(tmp_path, [20, 21, 22, 23])
    assert (ended, len(calls)) == (23, 4)
