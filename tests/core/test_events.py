"""The closed set of events, and the wish to stop."""

import pytest

from migrate.core.events import Event, Level, Name
from migrate.core.interruption import Interrupted, Interruption


def test_every_event_says_what_it_means():
    assert all(name.meaning for name in Name)
    assert len({str(name) for name in Name}) == len(list(Name))


def test_a_name_is_its_text():
    assert Name("run.finished") is Name.RUN_FINISHED
    assert f"{Name.RUN_FINISHED}" == "run.finished"


def test_an_event_is_information_unless_it_says_otherwise():
    event = Event(Name.HEARTBEAT, "alive")
    assert (event.level, dict(event.fields)) == (Level.INFO, {})


def test_an_interruption_names_its_signal():
    assert Interruption(3).signum is None
    assert Interrupted(15).signum == 15
    assert "15" in str(Interrupted(15))


def test_who_asks_is_told_of_a_signal_by_an_exception():
    found = Interruption(3)
    found.check()
    found.signum = 2
    with pytest.raises(Interrupted):
        found.check()
