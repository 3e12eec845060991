"""What is known of one run of env.py: which revision is at work, what is applied, and what is committed."""

from __future__ import annotations

import time

import pytest

from migrate.steps import attempt as module
from migrate.steps.at_work import AtWork
from migrate.steps.attempt import Attempt
from tests.steps.conftest import revision


def at_work(id_, **known):
    return AtWork(id_, revision(id_), 1, None, time.monotonic(), **known)


def apply(attempt, *ids, **known):
    for id_ in ids:
        attempt.begin(at_work(id_, **known))
        attempt.applied()


def test_a_commit_says_once_of_each_revision_that_it_is_finished(run, said):
    attempt = Attempt(run, 2, number=3)
    apply(attempt, "a1", "b2")
    attempt.committed()
    attempt.committed()
    assert [event.name for event in said] == ["revision.started", "revision.started", "revision.finished", "revision.finished"]  # fmt: skip
    assert [event.fields["revision"] for event in said[2:]] == ["a1", "b2"]
    assert all(event.fields["committed"] for event in said[2:])
    assert run.applied == ["a1", "b2"]
    assert (attempt.current, attempt.uncommitted, attempt.number) == (None, [], 1)


def test_revisions_of_one_transaction_are_finished_before_it_is_committed(run, said):
    attempt = Attempt(run, 2, one_transaction=True)
    apply(attempt, "a1", "b2")
    assert [event.fields["committed"] for event in said if event.name == "revision.finished"] == [False, False]
    assert run.applied == []
    attempt.committed()
    assert len([event for event in said if event.name == "revision.finished"]) == 2
    assert run.applied == ["a1", "b2"]


def test_of_a_commit_whose_answer_was_lost_only_what_the_rows_show_is_committed(run):
    attempt = Attempt(run, 3)
    apply(attempt, "a1", "b2", "c3")
    assert attempt.shown_by(()) == set()
    assert attempt.shown_by(("b2",)) == {"a1", "b2"}
    attempt.committed({"a1", "b2"})
    assert run.applied == ["a1", "b2"]
    assert [at.id for at in attempt.uncommitted] == ["c3"]
    assert attempt.current is attempt.uncommitted[0]


def test_a_downgrade_is_shown_by_the_row_that_is_gone(run):
    attempt = Attempt(run, 2, kind="downgrade")
    apply(attempt, "c3", "b2")
    assert attempt.shown_by(("b2",)) == {"c3"}
    assert attempt.shown_by(("a1",)) == {"b2", "c3"}
    assert attempt.shown_by(("strange", "c3")) == set()


def test_the_first_revision_that_committed_by_itself_is_what_is_left_in_part(run):
    attempt = Attempt(run, 3)
    apply(attempt, "a1")
    apply(attempt, "b2", autocommitted=True)
    attempt.begin(at_work("c3"))
    assert attempt.left_in_part().id == "b2"
    attempt.uncommitted.clear()
    assert attempt.left_in_part().id == "c3"


def test_transactions_are_of_the_revision_at_work(run):
    attempt = Attempt(run, 1)
    attempt.began_transaction(700, 12)  # before the first
    attempt.begin(at_work("a1"))
    attempt.began_transaction(701, 12)
    attempt.began_transaction(702, 13)
    assert attempt.current.xids == [701, 702]
    assert attempt.worker_pid == 13


def test_a_child_waits_since_nothing_was_sent_any_more(run):
    attempt = Attempt(run, 1)
    attempt.note_waiting(10)
    first_s = attempt.known_to_wait_since
    attempt.note_waiting(10)
    assert attempt.known_to_wait_since == first_s
    attempt.note_waiting(4)  # it still sends
    assert attempt.known_to_wait_since > first_s
    attempt.note_waiting(None)
    assert attempt.known_to_wait_since is None


def test_a_child_that_is_silent_is_not_known_to_wait(run, monkeypatch):
    attempt = Attempt(run, 1)
    attempt.note_waiting(10)
    first_s = attempt.known_to_wait_since
    monkeypatch.setattr(module, "SILENT_S", -1.0)  # as if it had been stopped since
    assert attempt.known_to_wait_since is None
    attempt.note_waiting(10)
    monkeypatch.undo()
    assert attempt.known_to_wait_since > first_s


@pytest.mark.parametrize(("kind", "begins"), [("upgrade", "revision a1"), ("downgrade", "downgrade of revision a1")])
def test_a_revision_that_begins_is_named_with_its_place(run, said, kind, begins):
    Attempt(run, 3, kind=kind, number=2).begin(at_work("a1"))
    assert said[0].message == f"{begins}: the a1 change"
    assert said[0].fields == {
        "revision": "a1",
        "down_revision": [],
        "file": "versions/a1.py",
        "revision_index": 1,
        "revision_total": 3,
        "attempt": 2,
    }
