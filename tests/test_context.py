"""What everything that waits is given: it ends a pause at a signal and at the deadline, and lets a silence be broken."""

from __future__ import annotations

import os
import time

import pytest

from migrate.context import Context
from migrate.core.decide.policy import Limits
from migrate.core.interruption import Interrupted, Interruption
from migrate.core.problems import Stop


def context(read, *, deadline_s=0.0, beat=lambda: None):
    """The context of a run that has just begun."""
    return Context(
        verb="up",
        run_id="0123456789ab",
        limits=Limits(deadline_s=deadline_s),
        started_s=time.monotonic(),
        interruption=Interruption(read),
        emit=lambda _event: None,
        beat=beat,
        bind=lambda **_: None,
        redact=str,
    )


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_a_pause_is_over_at_once_when_a_signal_arrives(pipe):
    read, write = pipe
    run = context(read)
    run.interruption.signum = 15
    os.write(write, b"!")
    with pytest.raises(Interrupted) as interrupted:
        run.pause(60.0)
    assert interrupted.value.signum == 15


def test_a_pause_lasts_no_longer_than_the_deadline_and_is_heard(pipe):
    beats = []
    run = context(pipe[0], deadline_s=0.1, beat=lambda: beats.append(1))
    run.pause(60.0)
    assert beats
    with pytest.raises(Stop, match=r"the deadline of 0\.1 s came while nothing happened"):
        run.go_on("while nothing happened")


def test_a_run_without_a_deadline_is_never_overdue(pipe):
    run = context(pipe[0])
    assert run.time_left_s == float("inf")
    run.go_on("never")
    run.pause(0.0)
