"""The catalogue is complete, and a problem carries the user's own names."""

from __future__ import annotations

import re

import pytest

from migrate.core.problems import CATALOGUE, EXIT_MEANINGS, ExitCode, Kind, advice, kinds_of, problem, stop

NEVER = {*range(4, 10), 19, *range(26, 30), *range(64, 79), *range(124, 130), *range(131, 143), *range(144, 256)}


def test_no_code_has_a_meaning_elsewhere() -> None:
    assert not NEVER & {int(code) for code in ExitCode}


def test_every_code_has_a_meaning() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)


def test_every_code_but_those_of_a_good_end_has_a_problem() -> None:
    assert {code for code in ExitCode if not kinds_of(code)} == {ExitCode.OK, ExitCode.PENDING}


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_every_kind_says_everything(kind: Kind) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert not kind.title.endswith(".")
    assert kind.condition.endswith(".")
    assert kind.effect.endswith(".")
    assert kind.fix


def test_both_signals_are_one_kind() -> None:
    assert kinds_of(ExitCode.INTERRUPTED) == kinds_of(ExitCode.TERMINATED) == (CATALOGUE["interrupted"],)


def test_a_kind_may_have_no_fix_without_the_case() -> None:
    assert CATALOGUE["bad-setting"].fix_is_of_the_case
    assert not CATALOGUE["usage"].fix_is_of_the_case


def test_the_names_of_the_case_are_in_the_fix_and_a_missing_one_stays_visible() -> None:
    assert str(problem("guard-busy", "busy", names={"holder": "r1"}).fix).startswith("wait for run r1")
    assert str(problem("orphan-worker", "at work", names={"pid": 7}).fix).startswith("psql <url> -c 'SELECT")


def test_without_a_case_a_name_is_a_placeholder_in_angle_brackets() -> None:
    assert str(CATALOGUE["usage"].general_fix) == "migrate <verb> --help"


def test_a_better_fix_and_another_code_replace_the_kind_s_own() -> None:
    found = problem("interrupted", "a signal came", fix=advice("wait {here}"), exit_code=ExitCode.PARTIAL)
    assert (str(found.fix), found.exit_code) == ("wait {here}", ExitCode.PARTIAL)


def test_the_fields_of_a_log_line() -> None:
    assert problem("blocked", "pid 5 holds it", blockers=[5]).fields() == {
        "problem": "blocked",
        "title": "A lock was not granted in time",
        "why": "pid 5 holds it",
        "fix": CATALOGUE["blocked"].fix,
        "exit_code": 22,
        "retryable": True,
        "blockers": [5],
    }


def test_a_stop_carries_its_problem() -> None:
    stopped = stop("drift", "a column is missing", names={})
    assert stopped.problem.kind is CATALOGUE["drift"]
    assert str(stopped) == "drift: a column is missing"


def test_a_code_that_is_in_no_catalogue_is_a_bug() -> None:
    with pytest.raises(KeyError):
        problem("no-such-code", "why")


def test_labels_are_written_with_a_hyphen() -> None:
    assert ExitCode.GUARD_LOST.label == "guard-lost"
