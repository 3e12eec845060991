"""Numbers in sentences, and that no sentence counts in another way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import migrate
from migrate.core.wording import clauses, counted, duration, shortened, size

PACKAGE = Path(migrate.__file__).parent
# A number, put into a text before a noun in the plural.
COUNTED_BY_HAND = re.compile(
    r"\{(?:len\([^{}]*\)|[\w.]*(?:count|number|rows|tries))(?:\[[^]]*\])?\} (?:\w+ )?(\w+[^s\W]s)\b"
)
NO_NOUN = {"ms", "is", "was", "has", "this"}


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 revisions"), (1, "1 revision"), (2, "2 revisions"), (1000, "1000 revisions")]
)
def test_one_is_no_plural(number: int, said: str) -> None:
    assert counted(number, "revision") == said


def test_a_plural_that_is_no_s() -> None:
    assert counted(1, "run is", "runs are") == "1 run is"
    assert counted(2, "run is", "runs are") == "2 runs are"


def test_a_long_list_says_how_many_more() -> None:
    assert (shortened([]), clauses([])) == ("", "")
    assert shortened("abcde") == "a, b, c, d, e"
    assert shortened("abcdefg") == "a, b, c, d, e and 2 more"
    assert clauses(iter("abcdefg")) == "a; b; c; d; e; and 2 more"


def test_the_search_finds_what_it_must() -> None:
    for text in (
        '"{len(graph)} revisions"',
        '"{len(a.b)} more places"',
        '"{counts} heads"',
        '"{one.rows} rows before"',
    ):
        assert (COUNTED_BY_HAND.search(text) is not None) is (text != '"{counts} heads"'), text


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_is_counted_by_hand(module: Path) -> None:
    found = [each[0] for each in COUNTED_BY_HAND.finditer(module.read_text("utf-8")) if each[1] not in NO_NOUN]
    assert found == []


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 bytes"), (2048, "2 kB"), (3 << 20, "3 MB"), (1 << 40, "1 TB"), (1 << 51, "2048 TB")]
)
def test_size(number, said):
    assert size(number) == said


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [(0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (59_900, "59.9 s"), (60_000, "1 min 00 s"), (None, "")],
)
def test_durations_are_in_the_unit_that_people_use(milliseconds: object, expected: str) -> None:
    assert duration(milliseconds) == expected


def test_no_message_says_mend() -> None:
    message = re.compile(r"""(?<!")"(?!"")[^"\n]*\bmend(s|ed)?\b""")
    assert [path.name for path in PACKAGE.rglob("*.py") if message.search(path.read_text("utf-8"))] == []
