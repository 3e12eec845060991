"""A plan as people see it: a diff of the schema, with colours where they are wanted."""

from __future__ import annotations

from migrate.core.decide.review import Reviewed
from migrate.core.foresee.effects import read as effect
from migrate.core.foresee.live import LiveEffect, LiveNeed
from migrate.core.foresee.needs import read as need
from migrate.core.history.graph import Revision
from migrate.output.plan import revision_lines, text

REVISION = Revision("a1", (), (), (), "m", "a1.py", "a")


def test_the_diff_comes_first_then_what_breaks_then_effects_and_needs():
    each = Reviewed(
        REVISION,
        ("+ column t.a: integer", "- column t.b: text", "~ column t.c: x -> y"),
        (LiveEffect(REVISION, effect("blocks writes of t: builds index ix")),),
        (LiveNeed(REVISION, need("no NULL in t.a")),),
        ("column t.b is missing",),
    )
    lines = revision_lines(each)
    assert text(lines, colour=False).splitlines() == [
        "      + column t.a: integer",
        "      - column t.b: text",
        "      ~ column t.c: x -> y",
        "    breaks  column t.b is missing",
        "    effect  blocks writes of t: builds index ix",
        "    needs   no NULL in t.a",
    ]
    assert [line.style for line in lines[:3]] == ["green", "red", "yellow"]
    coloured = text(lines, colour=True)
    assert "\x1b[32m      + column t.a: integer\x1b[0m" in coloured
    assert "\x1b[31m      - column t.b: text\x1b[0m" in coloured


def test_a_long_change_is_cut_and_none_is_said():
    long = Reviewed(REVISION, tuple(f"+ table t{n}" for n in range(30)), None, None, ())
    lines = text(revision_lines(long), colour=False).splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("and 10 more changes")
    none = Reviewed(REVISION, (), (), (), ())
    assert text(revision_lines(none), colour=False) == "      no change of the schema"


def test_nothing_of_a_stranger_acts_with_colours_or_without():
    hostile = Reviewed(REVISION, ("+ table \x1b[2Jx", "::error::y"), (), (), ())
    for colour in (False, True):
        found = text(revision_lines(hostile), colour=colour)
        assert "\x1b[2J" not in found
        assert not any(line.lstrip().startswith("::") for line in found.splitlines())
