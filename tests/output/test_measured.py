"""How what was measured on a clone is shown."""

from __future__ import annotations

from migrate.core.foresee.effects import Blocks
from migrate.core.measured import HeldLock, Measured
from migrate.output.measured import measured_markdown, measured_text

ONE = Measured(
    ("a1",), 1500, 40, 3 << 20, None, (("orders", 7),), False, (HeldLock("orders", Blocks.ALL, 1400), HeldLock("x", Blocks.WRITES, 3))
)  # fmt: skip
TWO = Measured(("b", "c"), 5, 0, None, 0, (), True, ())


def test_for_people_there_is_a_line_for_each_thing():
    assert measured_text([ONE, TWO], {"a1": "add a state"}).splitlines() == [
        "a1 add a state: 1.5 s, WAL 3 MB, written not known",
        "  reads and writes of orders blocked for 1.4 s",
        "  writes of x blocked for less than 20 ms",
        "  waited 40 ms for locks of others",
        "  rows written: orders 7, those of statements that commit by themselves not counted",
        "b, c: 5 ms, WAL not known, written 0 bytes",
    ]


def test_in_markdown_nothing_is_markup():
    text = measured_markdown([ONE], {"a1": "<b>|x|"}, failed="no *table*")
    assert "**Failed:** no \\*table\\*" in text
    assert "| a1 \\<b\\>\\|x\\| | 1.5 s | 3 MB | not known |" in text
    assert "Nothing was committed there." in measured_markdown([], {}, failed="x")
    assert "Nothing was pending there." in measured_markdown([], {}, failed=None)
