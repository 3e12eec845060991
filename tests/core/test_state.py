"""Each observation is exactly one position; findings stand beside it."""

from __future__ import annotations

import pytest

from migrate.core.image import Image
from migrate.core.observation import Applied, InvalidIndex, Observation, Server, Unfinished
from migrate.core.revisions import Graph, Revision
from migrate.core.state import (
    Ahead,
    AtHead,
    Behind,
    Edited,
    Empty,
    Residue,
    Split,
    Unknown,
    Untracked,
    classify,
    descends,
    name,
    same_program,
)

SERVER = Server(170000, "17.0", None, "app", "app", "UTF8", False, False, False, "public", True, True)


def revision(id_: str, *down: str, sha256: str = "a") -> Revision:
    return Revision(id_, down, (), (), "", f"{id_}.py", sha256)


ONE, TWO = revision("one"), revision("two", "one")
IMAGE = Image(Graph.build([ONE, TWO]))


def seen(*rows: str, **facts) -> Observation:
    return Observation(SERVER, version_table_exists=bool(rows), rows=rows, **facts)


def ledger(*entries: Applied) -> dict[str, Applied]:
    return {entry.revision: entry for entry in entries}


NEW = Applied("new", ("two",), "new.py", "n")


@pytest.mark.parametrize(
    ("observation", "position"),
    [
        (seen(), Empty((ONE, TWO))),
        (seen("two"), AtHead(("two",))),
        (seen("one"), Behind(("one",), (TWO,))),
        (seen(objects=("table t",)), Untracked(("table t",))),
        (seen("new"), Unknown(("new",), ("new",))),
        (seen("new", ledger=ledger(NEW)), Ahead(("new",), ("new",))),
        (seen("newer", ledger=ledger(NEW, Applied("newer", ("new",), "", ""))), Ahead(("newer",), ("newer",))),
        (seen("new", ledger=ledger(Applied("new", ("one",), "", ""))), Unknown(("new",), ("new",))),
        (seen("two", "two"), Split(("two", "two"), ("two",))),
        (seen("one", "two"), Split(("one", "two"), ("one",))),
    ],
)
def test_position(observation, position):
    assert classify(IMAGE, observation, "head").position == position


def test_a_target_that_the_database_has_passed_leaves_nothing_to_do():
    assert classify(IMAGE, seen("two"), "one").position == AtHead(("two",))


def test_names():
    assert name(AtHead(())) == "at-head"
    assert name(Empty(())) == "empty"


def test_a_history_that_goes_in_circles_in_the_ledger_ends():
    parents = {"new": ("newer",), "newer": ("new",)}
    assert not descends(("new",), ("two",), IMAGE.graph, parents)


def test_nothing_descends_from_no_head():
    assert not descends(("new",), (), Graph.build([]), {})


def test_residue_is_found():
    index = InvalidIndex("public", "t", "ix", "CREATE INDEX")
    part = Unfinished("r", 1, "upgrade", "two", "now", committed=True)
    died = Unfinished("r", 2, "upgrade", "two", "now", committed=False)
    state = classify(IMAGE, seen("one", invalid_indexes=(index,), unfinished=(part, died)), "head")
    assert state.findings == (Residue((index,), (part,)),)


@pytest.mark.parametrize(
    ("kept", "now", "edited"),
    [
        ("x = 1\n", "x = 2\n", True),
        ("x = 1\n", "x  =  1  # formatted\n", False),
        ("x = 1\n", "x = (\n", True),
    ],
)
def test_an_edit_is_another_program(kept, now, edited):
    image = Image(IMAGE.graph, sources={"one": now})
    applied = Applied("one", (), "one.py", "another hash", kept)
    state = classify(image, seen("one", ledger=ledger(applied)), "head")
    assert state.findings == ((Edited((ONE,)),) if edited else ())


def test_equal_bytes_and_revisions_of_other_images_are_no_edit():
    entries = ledger(Applied("one", (), "one.py", "a", "old"), NEW)
    image = Image(IMAGE.graph, sources={"one": "new"})
    assert classify(image, seen("one", ledger=entries), "head").findings == ()


def test_a_source_that_was_not_kept_cannot_be_judged():
    entries = ledger(Applied("one", (), "one.py", "b", None))
    assert classify(IMAGE, seen("one", ledger=entries), "head").findings == ()


def test_null_bytes_are_no_program():
    assert not same_program("x = 1", "x = 1\0")


def test_an_unresolvable_target_is_a_bug_of_the_caller():
    with pytest.raises(TypeError, match="nothing"):
        classify(IMAGE, seen("one"), "nothing")
