"""`migrate explain`, started as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from migrate.core.foresee.advice import KINDS as EFFECTS
from migrate.core.foresee.advice import example
from migrate.core.problems import CATALOGUE, ExitCode
from migrate.core.problems.examples import EXAMPLES


def explain(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "migrate", "explain", *arguments], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_problem_is_explained_with_its_fix() -> None:
    code, text = explain("untracked")
    assert code == 0
    for said in (
        CATALOGUE["untracked"].condition,
        CATALOGUE["untracked"].effect,
        str(CATALOGUE["untracked"].fix),
        "15 state",
    ):
        assert said in text


def test_an_exit_code_lists_its_problems() -> None:
    code, text = explain("15")
    assert code == 0
    for kind in CATALOGUE.values():
        assert (f"explain {kind.code} " in text) is (kind.exit_code == 15)


def test_without_a_code_it_lists_what_there_is() -> None:
    code, text = explain()
    assert code == 0
    for exit_code in ExitCode:
        assert f"{exit_code:d} {exit_code.label}: " in text
    listed = json.loads(explain("--json")[1])["exit_codes"]
    assert [each["exit_code"] for each in listed] == list(ExitCode)
    assert {problem for each in listed for problem in each["problems"]} == set(CATALOGUE)
    assert all(problem in text for problem in CATALOGUE)


def test_a_fix_that_depends_on_the_case_is_no_placeholder() -> None:
    assert "depends on the case" in explain("bad-setting")[1]
    assert json.loads(explain("bad-setting", "--json")[1])["fix"] is None


@pytest.mark.parametrize(
    ("code", "fix"), [("usage", "migrate <verb> --help"), ("guard-busy", "wait for run <holder>, or wait longer: ")]
)
def test_names_that_only_a_case_has_are_placeholders(code: str, fix: str) -> None:
    assert f"  {fix}" in explain(code)[1]
    assert json.loads(explain(code, "--json")[1])["fix"].startswith(fix)


def test_json_is_one_object() -> None:
    kind = CATALOGUE["blocked"]
    assert json.loads(explain("blocked", "--json")[1]) == {
        "problem": kind.code,
        "title": kind.title,
        "condition": kind.condition,
        "effect": kind.effect,
        "fix": str(kind.fix),
        "exit_code": 22,
        "exit_name": "blocked",
        "retryable": True,
        "example": {"bad": EXAMPLES["blocked"].bad.code, "good": EXAMPLES["blocked"].good.code},
    }
    assert json.loads(explain("143", "--json")[1])["problems"] == ["interrupted"]


@pytest.mark.parametrize(
    ("unknown", "closest"), [("untraked", "untracked"), ("151", "15"), ("gard-busy", "guard-busy")]
)
def test_an_unknown_code_is_a_usage_problem_with_the_closest(unknown: str, closest: str) -> None:
    code, text = explain(unknown)
    assert code == ExitCode.USAGE
    *_, last = (json.loads(line) for line in text.splitlines())
    assert (last["event"], last["problem"]) == ("run.finished", "usage")
    assert closest in last["why"]
    assert last["fix"] == f"migrate explain {closest}"


@pytest.mark.parametrize("nothing_like_it", ["zzzzzz", "", "\x1b[31m", "-9"])
def test_a_code_like_no_other_is_a_usage_problem_too(nothing_like_it: str) -> None:
    code, text = explain(nothing_like_it)
    assert code == ExitCode.USAGE
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("arguments", [["explain", "drift"], ["--help"], ["explain", "--json", "20"]])
def test_a_full_disk_is_said_in_a_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "migrate", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == "migrate: stdout cannot be written: No space left on device\n"


@pytest.mark.parametrize("word", EFFECTS)
def test_the_safe_way_to_an_effect_is_explained(word: str) -> None:
    code, text = explain(word)
    effect, way = example(word)
    assert code == 0
    for line in (effect, *way.lines()):
        assert line in text
    assert text.startswith(f"{word}: for example {effect}")
    fields = json.loads(explain(word, "--json")[1])
    assert (fields["effect"], fields["safer"]) == (effect, way.to_json())


def test_without_a_code_the_effects_are_listed() -> None:
    assert "not-null" in explain()[1]
