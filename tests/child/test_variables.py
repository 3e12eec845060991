"""Who asks the environment for what, while env.py and revisions run."""

from __future__ import annotations

import os
from pathlib import Path

from migrate.child.variables import VariableWatch

HERE = str(Path(__file__).parent)


def test_each_way_to_ask_is_noted_and_a_copy_of_all_asks_for_nothing(monkeypatch):
    monkeypatch.setenv("D", "there")
    watch = VariableWatch([HERE])
    watch.start()
    try:
        assert dict(os.environ) == os.environ.copy() == {**os.environ} == dict(os.environ.items())
        assert watch.names == set()
        os.environ.get("A")
        os.getenv("B")
        assert "C" not in os.environ
        assert os.environ["D"] == "there"
    finally:
        watch.stop()
    os.environ.get("E")
    assert watch.names == {"A", "B", "C", "D"}


def test_what_others_ask_is_theirs(tmp_path):
    watch = VariableWatch([str(tmp_path)])
    watch.start()
    try:
        os.environ.get("A")
    finally:
        watch.stop()
    assert watch.names == set()
