"""The line where something failed, and the mark under it."""

from __future__ import annotations

import pytest

from migrate.core.problems import problem
from migrate.core.problems.excerpt import Excerpt
from migrate.core.problems.kinds import EXCERPTS
from migrate.core.redaction import Redactor

CLEAN = Redactor(()).text


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ('    op.execute("SELECT 1")', 4, 26, ['op.execute("SELECT 1")', "^^^^^^^^^^^^^^^^^^^^^^"]),
        ("    a = f(x) + g(y)", 15, 19, ["a = f(x) + g(y)", "           ^^^^"]),
        ("\tf(\tx)", 1, 6, ["f(  x)", "^^^^^^"]),
        ("f(", 0, 40, ["f(", "^^"]),  # what goes on in the next line
        ("f()", 3, 3, ["f()", "   ^"]),
    ],
)
def test_the_mark_stands_under_what_failed(text: str, start: int, end: int, expected: list[str]) -> None:
    place, *lines = Excerpt("versions/a.py:3", text, start, end).lines(CLEAN)
    assert place == "versions/a.py:3"
    assert lines == expected


@pytest.mark.parametrize("start", [0, 60, 119, 150, 290])
def test_of_a_long_line_the_marked_part_is_shown(start: int) -> None:
    text = "".join(chr(ord("a") + at % 26) for at in range(300))
    _, line, mark = Excerpt("a.py:1", text, start, start + 5).lines(CLEAN)
    assert len(line) <= 122
    assert mark.strip() == "^" * 5
    assert line[mark.index("^") :][:5] == text[start : start + 5]


def test_a_secret_is_taken_out_and_nothing_is_marked() -> None:
    made = Excerpt("a.py:1", "    op.execute(\"ALTER ROLE app PASSWORD 'hunter22'\")", 4, 50)
    assert made.lines(CLEAN) == ("a.py:1", "op.execute(\"ALTER ROLE app PASSWORD '***'\")")


def test_it_is_no_field_of_a_log_line() -> None:
    made = Excerpt("a.py:1", "f()", 0, 3)
    found = problem("revision-failed", "why", names={"file": "a.py"}, **{EXCERPTS: (made,)})
    assert found.excerpts == (made,)
    assert EXCERPTS not in found.fields()
    assert problem("revision-failed", "why").excerpts == ()
