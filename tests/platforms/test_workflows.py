"""The release workflow: checked by its readers, and its retry loop run with the real shell."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from migrate.core.problems import ExitCode
from tests.platforms.validators import ROOT, check_workflow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deep

WORKFLOWS = ROOT / ".github" / "workflows"
KILLED = 137  # the engine's own, when nobody was there to say anything else
RETRIED = {int(code) for code in ExitCode if code.retryable} | {KILLED}


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_each_is_clean(name: str) -> None:
    check_workflow(WORKFLOWS / name)


def test_the_check_finds_a_script_that_a_title_could_rewrite(tmp_path) -> None:
    text = (WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
    file = tmp_path / "ci.yml"
    file.write_text(text.replace("make lint", "echo ${{ github.event.pull_request.title }}"), encoding="utf-8")
    with pytest.raises(AssertionError):
        check_workflow(file)


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_nothing_is_permitted_that_is_not_asked_for(name: str) -> None:
    found = workflow(name)
    assert found["permissions"] == {}
    assert {str(job["permissions"]) for job in found["jobs"].values()} == {"{'contents': 'read'}"}


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_every_action_is_pinned_to_a_commit(name: str) -> None:
    uses = re.findall(r"uses: (\S+)(.*)", (WORKFLOWS / name).read_text(encoding="utf-8"))
    assert uses
    for action, rest in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest), action


def test_the_image_that_was_tested_and_published_is_the_one_that_migrates() -> None:
    jobs = workflow("release.yml")["jobs"]
    assert jobs["publish"]["needs"] == "test"
    assert jobs["migrate"]["needs"] == "publish"
    assert jobs["migrate"]["env"]["IMAGE"].endswith("@${{ needs.publish.outputs.digest }}")
    (build,) = (step for step in jobs["publish"]["steps"] if step.get("id") == "build")
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, "mode=max")


def try_again(tmp_path: Path, codes: list[int]) -> tuple[int, list[str], list[str]]:
    """Run the step's script with a `docker` that exits with these codes: its exit code, the calls, the pauses."""
    (step,) = (step for step in workflow("release.yml")["jobs"]["migrate"]["steps"] if "run" in step)
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
    assert workflow("release.yml")["jobs"]["migrate"]["timeout-minutes"] * 60 > 3300


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
