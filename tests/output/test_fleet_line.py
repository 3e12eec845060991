"""A fleet on a terminal: one live line for all, and a line for each that is wrong."""

from __future__ import annotations

import io

from migrate.core.fleet.grid import Row
from migrate.output.fleet_line import FleetLine
from migrate.output.fleet_table import as_text
from migrate.output.terminal import Screen


def tenant(event, name, done, *, code=0, level="info"):
    return {
        "event": f"tenant.{event}", "tenant": name, "tenants_done": done, "tenants": 10, "exit_code": code,
        "level": level, "message": f"tenant {name}",
    }  # fmt: skip


def test_it_counts_who_is_done_who_failed_who_is_at_work_and_how_long_it_takes():
    line = FleetLine(100.0)
    line.note(tenant("finished", "at head", 4))
    assert line.text(100.0) == "[########            ] 4 of 10 tenants, 0 s left"
    for number in range(5):
        line.note(tenant("started", f"t{number}", 4))
    line.note(tenant("finished", "t0", 5, code=30))
    assert line.text(110.0) == "[##########          ] 5 of 10 tenants, 1 failed, 50 s left  t1, t2, t3, t4"
    line.note(tenant("started", "t5", 5))
    assert line.text(200.0).endswith("1 failed, 8 min left  t1, t2, t3, t4 and 1 more")


class Terminal(io.StringIO):
    encoding = "utf-8"


def test_a_screen_shows_what_is_wrong_and_the_bar_the_rest():
    file = Terminal()
    screen = Screen(file, lambda: 0.0)
    screen.show(tenant("started", "fine", 0))
    screen.show({"event": "revision.started", "tenant": "fine", "level": "info", "message": "r1 makes a table"})
    screen.show(tenant("finished", "fine", 1))
    screen.show(tenant("finished", "ill", 2, code=30, level="error"))
    screen.show({"event": "run.finished", "level": "info", "message": "done", "exit_code": 0})
    said = file.getvalue()
    assert "tenant ill" in said
    assert "r1 makes a table" not in said


def test_of_many_tenants_the_odd_ones_are_listed_and_the_others_counted():
    rows = [Row("ill", ("r1",), 1, "30 revision-failed", is_odd=True)]
    rows += [Row(f"t{n}", ("r2",), 0, "noop", is_odd=False) for n in range(60)]
    assert as_text(rows).splitlines() == [
        "tenant  at  pending  state",
        "ill     r1  1        30 revision-failed",
        "and 60 others at r2",
    ]
