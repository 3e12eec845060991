"""The last line's fields say applied, failed and not started, however long the history."""

from __future__ import annotations

import pytest

from migrate.core.decide.outcome import LISTED_IDS, Outcome, Result, ended_by, result_of
from migrate.core.problems import ExitCode, problem


def test_a_good_end_has_no_word_of_failure() -> None:
    assert Outcome(Result.APPLIED, from_revision=["a"], to_revision=["c"], applied=["b", "c"]).fields() == {
        "outcome": "applied",
        "exit_code": 0,
        "exit_name": "ok",
        "retryable": False,
        "from_revision": ["a"],
        "to_revision": ["c"],
        "applied": ["b", "c"],
        "applied_count": 2,
        "pending": [],
        "pending_count": 0,
    }


def test_a_failure_tells_what_failed_and_what_was_not_started() -> None:
    found = problem("blocked", "pid 5 holds it", exit_code=ExitCode.PARTIAL)
    fields = Outcome(Result.FAILED, found.exit_code, found, applied=["a"], failed="b", pending=["b", "c"]).fields()
    assert fields["failed"] == "b"
    assert fields["not_started"] == ["c"]
    assert fields["not_started_count"] == 1
    assert (fields["problem"], fields["why"], fields["exit_code"]) == ("blocked", "pid 5 holds it", 31)


def test_an_interruption_tells_what_was_not_started() -> None:
    fields = Outcome(Result.INTERRUPTED, ExitCode.TERMINATED, applied=["a"], pending=["b", "c"]).fields()
    assert "failed" not in fields
    assert fields["not_started"] == ["b", "c"]
    assert "not_started" not in Outcome(Result.INTERRUPTED, ExitCode.TERMINATED).fields()
    assert "not_started" not in Outcome(Result.NOOP, pending=["b"]).fields()


def test_long_lists_are_cut_and_counted() -> None:
    ids = [f"r{number}" for number in range(200)]
    fields = Outcome(Result.FAILED, ExitCode.FAILED, applied=ids, failed="r0", pending=ids).fields()
    for name, count in (("applied", 200), ("pending", 200), ("not_started", 199)):
        assert fields[f"{name}_count"] == count
        assert len(fields[name]) == LISTED_IDS  # type: ignore[arg-type]


def test_a_refusal_has_the_code_of_its_problem() -> None:
    found = problem("untracked", "no version")
    assert ended_by(found) == Outcome(Result.REFUSED, ExitCode.STATE, found)


def test_the_way_back_and_what_was_reverted_stand_on_the_last_line():
    ids = [f"r{n}" for n in range(60)]
    fields = Outcome(Result.DOWNGRADED, reverted=ids, backup={"restore": "pg_restore"}).fields()
    assert (len(fields["reverted"]), fields["reverted_count"], fields["restore"]) == (LISTED_IDS, 60, "pg_restore")
    assert not {"reverted", "restore"} & Outcome(Result.NOOP).fields().keys()


def test_what_is_held_is_named_with_what_it_would_break() -> None:
    outcome = Outcome(Result.HELD, applied=["a"], pending=["b", "c"], held={"b": ("column t.x is missing",), "c": ()})
    fields = outcome.fields()
    assert (fields["outcome"], fields["exit_code"]) == ("held", 0)
    assert (fields["held"], fields["held_breaks"]) == (["b", "c"], ["b: column t.x is missing"])


@pytest.mark.parametrize("code", ExitCode)
def test_refused_is_what_changed_nothing_and_needs_a_person(code):
    acts = code is ExitCode.USAGE or 10 <= code <= 18
    before = Result.UNKNOWN if code is ExitCode.UNKNOWN else Result.REFUSED if acts else Result.FAILED
    assert result_of(code) is before
    assert result_of(code, has_changed=True) is (Result.UNKNOWN if code is ExitCode.UNKNOWN else Result.FAILED)
