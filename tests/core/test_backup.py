"""What a pending change destroys, what a backup is called, and the command that leads back to it."""

from __future__ import annotations

import pytest

from migrate.core.decide.backup import Contents, destroyed, file_name, restore_command
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build
from migrate.core.manifest.holding import Taken


def revision(id_: str, *down: str) -> Revision:
    return Revision(id_, down, (), (), "", f"{id_}.py", "a")


T = {"table t": "table", "column t.a": "integer", "column t.b": "integer", "index t.ix": "btree (a)"}
LINE = [revision("one"), revision("two", "one"), revision("three", "two"), revision("four", "three")]
GRAPH = Graph(LINE)
MANIFEST = build(
    17,
    GRAPH,
    {
        "one": T,
        "two": {"table t": "table", "column t.a": "integer"},
        "three": {"table t": "table", "column t.a": "integer", "table new": "table"},
        "four": {"table t": "table", "column t.a": "integer", "column t.b": "text"},
    },
)


@pytest.mark.parametrize(
    ("rows", "pending", "expected"),
    [
        (("one",), LINE[1:2], Taken(("column t.b",))),
        (("one",), LINE[1:], Taken(("column t.b",))),  # made again, but what was in it is gone
        (("two",), LINE[2:], Taken()),  # what is made and dropped on the way held nothing
        (("three",), LINE[3:], Taken(("table new",))),
        ((), LINE, Taken()),
    ],
)
def test_what_is_destroyed(rows, pending, expected):
    assert destroyed(MANIFEST, GRAPH, rows, pending) == expected


def test_a_file_name_is_safe():
    assert file_name("app", ["a1", "b2"], "20261122T140353Z", "run1") == "app-a1+b2-20261122T140353Z-run1.dump"
    assert file_name("../x y", [], "t", "r") == "_x_y-base-t-r.dump"
    assert len(file_name("d" * 63, ["r" * 32] * 60, "20261122T140353Z", "0" * 12)) < 255


def test_the_command_that_leads_back():
    command = restore_command(
        "/b/a b.dump", program=["migrate"], schemas=["public", "Odd one"], version_table=("public", "versions")
    )
    assert command == (
        "migrate restore '/b/a b.dump' --schemas 'public,Odd one' --version-table versions --version-table-schema public"
    )


LISTING = """;
; Archive created at 2026-11-27
;
6; 2615 16385 SCHEMA - billing app
2; 3079 16386 EXTENSION - citext
3500; 0 0 COMMENT - EXTENSION citext
9; 0 0 ACL - SCHEMA billing app
215; 1259 16390 TABLE public articles app
3400; 0 16390 TABLE DATA public articles app
216; 1259 16395 TABLE billing public app
220; 1259 16397 TABLE others t app
"""


def test_what_a_dump_holds_of_some_schemas():
    contents = Contents.parse(LISTING)
    assert contents.extensions == ("citext",)
    assert contents.holds("SCHEMA", "billing")
    assert not contents.holds("SCHEMA", "bill")
    numbers = [line.partition(";")[0] for line in contents.of(["public"], []).splitlines()]
    assert numbers == ["2", "215", "3400"]
    numbers = [line.partition(";")[0] for line in contents.of(["public", "billing"], ["billing"]).splitlines()]
    assert numbers == ["6", "2", "9", "215", "3400", "216"]


def test_what_is_in_no_schema_comes_with_what_it_needs():
    contents = Contents.parse(
        """;
;\tdepends on: 1
2; 3079 16386 EXTENSION - citext
3500; 0 0 COMMENT - EXTENSION citext
;\tdepends on: 2
217; 1255 16399 FUNCTION public ev() app
218; 1255 16400 FUNCTION others ev() app
2900; 3466 16401 EVENT TRIGGER - et app
;\tdepends on: 217
2901; 3466 16402 EVENT TRIGGER - theirs app
;\tdepends on: 218
3501; 0 0 COMMENT - EVENT TRIGGER et app
;\tdepends on: 2900 217
"""
    )
    numbers = [line.partition(";")[0] for line in contents.of(["public"], []).splitlines()]
    assert numbers == ["2", "217", "2900", "3501"]
