"""What one revision file declares: the pass over the header, the syntax tree and Python itself agree."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.history.declarations import Declaration, declared_by, read_tree, scan_header

ORDINARY = '''\
"""add a thing

Revision ID: 1a2b
Revises: 0a1b
Create Date: 2026-11-22 10:00:00

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import (
    postgresql,
)


# revision identifiers, used by Alembic.
revision: str = "1a2b"
down_revision: Union[str, Sequence[str], None] = "0a1b"
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    op.create_table("thing")


def downgrade() -> None:
    op.drop_table("thing")
'''


def declared(text: str | bytes, name: str = "x.py") -> Declaration | HistoryFault:
    return declared_by(text if isinstance(text, bytes) else text.encode(), f"versions/{name}", name)


def kind(text: str | bytes) -> FaultKind:
    found = declared(text)
    assert isinstance(found, HistoryFault), found
    return found.kind


def test_an_ordinary_file_needs_no_parser() -> None:
    assert scan_header(ORDINARY.encode()) == Declaration("1a2b", ("0a1b",), (), (), "add a thing")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("revision = 'a'\ndown_revision = None", Declaration("a", (), (), (), "")),
        ('revision="a"\ndown_revision="b"', Declaration("a", ("b",), (), (), "")),
        ("revision = 'a'\ndown_revision = ('b', 'c')", Declaration("a", ("b", "c"), (), (), "")),
        (
            "revision = 'a'  # ours\ndown_revision = (\n    'b',  # it's the \"first\"\n    'c',\n)\n",
            Declaration("a", ("b", "c"), (), (), ""),
        ),
        ("revision = 'a'\ndown_revision = ['b']\ndepends_on = []", Declaration("a", ("b",), (), (), "")),
        (
            "branch_labels = ('web', 'api')\ndepends_on = 'x'\ndown_revision: str | None = None\nrevision: str = 'a'",
            Declaration("a", (), ("x",), ("web", "api"), ""),
        ),
        (
            "'''one line'''\n\nairflow_version = '2.0'\nrevision = 'a'\nreplaces = None\ndown_revision = 'b'",
            Declaration("a", ("b",), (), (), "one line"),
        ),
        ('"a \'quoted\' one"\nrevision = "a"\ndown_revision = None', Declaration("a", (), (), (), "a 'quoted' one")),
        ('""""quoted" one"""\nrevision = "a"\ndown_revision = None', Declaration("a", (), (), (), '"quoted" one')),
        ('"""\n"""\nrevision = "a"\ndown_revision = None', Declaration("a", (), (), (), "")),
        ("# -*- coding: utf-8 -*-\nrevision = 'é'\ndown_revision = None", Declaration("é", (), (), (), "")),
        ("revision = 'a'\r\ndown_revision = (\r\n'b',\r\n)\r\n", Declaration("a", ("b",), (), (), "")),
        ("\ufeff'''m'''\nrevision = 'a'\ndown_revision = None", Declaration("a", (), (), (), "m")),
        ("revision = 'a'\ndown_revision = None\n\ndef upgrade():\n    '''the é import *'''\n", None),
        ("revision = 'a'\ndown_revision = None\n\nimportant = 'é'\n", Declaration("a", (), (), (), "")),
    ],
)
def test_headers_that_one_pass_settles(header: str, expected: Declaration | None) -> None:
    assert scan_header(header.encode()) == expected
    if expected is not None:
        assert read_tree(header.encode(), "x.py", "x.py") == expected


# Everything that a file may put around or in the place of the four names, for the property below.
OPENINGS = (
    "",
    '"""what it does\n\nrevision = "fake"\n"""',
    "'''single'''",
    '"one"',
    'r"""raw"""',
    '"""with \\n escape"""',
    '"""two""" "strings"',
    'b"""bytes"""',
    'f"""{1}"""',
    '"""x""".strip()',
    '""""""',
    '"""ünïcode"""',
    "# comment",
    "# -*- coding: utf-8 -*-",
    "# -*- coding: latin-1 -*-",
    "# vim: set fileencoding=UTF-8 :",
    "\x0c",
)
LINES = (
    "",
    "# revision = 'comment'",
    "revision = 'a'",
    'revision = "b"',
    "revision: str = 'c'",
    "revision: str",
    "revision='d'  # 'note'",
    "revision = ('e',)",
    "revision = ('e')",
    "revision = 'e' 'f'",
    "revision = 'a' \\\n  'b'",
    "revision = '''g'''",
    "revision = r'h'",
    "revision = 'i\\x41'",
    "revision = None",
    "revision = 'it\"s'",
    "revision = 'é'",
    "revision = str('j')",
    "revision += 'k'",
    "revision = 'l'; down_revision = 'm'",
    "revision = down_revision = 'n'",
    "revision, down_revision = 'o', 'p'",
    "(revision := 'q')",
    "x = (revision := 'r')",
    "x: int = 3",
    "x = 'revision'",
    "x = '''\nrevision = \"string\"\n'''",
    "x = (1,\n2)",
    "x = dict(\nrevision='keyword'\n)",
    "x = [revision for revision in 'ab']",
    "x = lambda revision: revision",
    "x = lambda y=(revision := 'deep'): y",
    "x = 1 \\\n+ 2",
    "if x:\n    revision = 'block'",
    "if True:\n    down_revision = 'block'",
    "try:\n    depends_on = 'block'\nexcept ValueError: pass",
    "try: 1/0\nexcept ZeroDivisionError as revision: pass",
    "for revision in 'z': pass",
    "with open('/dev/null') as revision: pass",
    "match 1:\n    case revision: pass",
    "match [1]:\n    case [*revision]: pass",
    "match {}:\n    case {**revision}: pass",
    "match 1:\n    case 1 as revision: pass",
    "def upgrade():\n    revision = 'local'\n    return revision",
    "def upgrade(x=(revision := 'default')):\n    pass",
    "async def revision(): pass",
    "def down_revision(): pass",
    "class revision: pass",
    "class X:\n    revision = 'inner'",
    "def f():\n    global revision\n    revision = 'global'\nf()",
    "del revision",
    "import os.path as revision",
    "import revision",
    "from os import path as depends_on",
    "from os import path, sep",
    "from os import (\n    path,\n    sep,\n)",
    "from os import (\n    path as revision,\n)",
    "from os import (path)  # and more",
    "from os import *",
    "from os import \\\n *",
    "import typing",
    "from typing import *",
    "down_revision = None",
    "down_revision = 'z'",
    "down_revision: Union[str, Sequence[str], None] = 'y'",
    "down_revision: 'str' = 'x'",
    "down_revision = ('w', 'v')",
    "down_revision = (\n  'u',  # it's\n  # ('t'),\n  's',\n)",
    "down_revision = ['r', \"q\"]",
    "down_revision = ('p' 'o')",
    "down_revision = ('n', None)",
    "down_revision = ('m', '')",
    "down_revision = ()",
    "down_revision = (,)",
    "down_revision = ''",
    "down_revision = 'l' if True else 'k'",
    "down_revision = {'j'}",
    "depends_on = None",
    "depends_on = 'i'",
    "depends_on = ('h', 'g')",
    "branch_labels = ('f',)",
    "branch_labels = ['e', 'd']",
    "\uff52evision = 'full width'",
    "x = '\uff52\uff45\uff56\uff49\uff53\uff49\uff4f\uff4e ünd mehr'",
    "\x0crevision = 'form feed'",
    "  revision = 'indented'",
    '"""\nrevision = \'string statement\'\n"""',
    "__doc__ = 'other'",
    "Union = Sequence = dict",
    "x = 'tab\t'\t# end",
    "# comment\rrevision = 'after a carriage return'",
)
IDS = [line for line in LINES if line.startswith("revision")]
PARENTS = [line for line in LINES if line.startswith("down_revision")]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file with an id, a parent and up to four other things, in any order, of any spelling."""
    lines = [draw(st.sampled_from(IDS)), draw(st.sampled_from(PARENTS))]
    lines += draw(st.lists(st.sampled_from(LINES), max_size=4))
    text = "\n".join(
        [draw(st.sampled_from(OPENINGS)), *draw(st.permutations(lines)), draw(st.sampled_from(["", "x = 1"]))]
    )
    bom = b"\xef\xbb\xbf" if draw(st.integers(0, 9)) == 9 else b""
    return bom + text.replace("\n", draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]))).encode()


def python_says(data: bytes) -> dict[str, Any] | None:
    """Run the file and return its names; None when Python refuses it or it fails."""
    names: dict[str, Any] = {"__name__": "revision_file", "__doc__": None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(data, "revision_file", "exec", dont_inherit=True), names)
    except Exception:  # noqa: BLE001 - whatever it is, such a file declares nothing
        return None
    return names


def as_tuple(value: object) -> object:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]


HEADER = "revision = 'a'\ndown_revision = None\n"


@settings(max_examples=1000, deadline=None)
@given(files())
@example(f"{HEADER}\uff52evision = 'b'\n".encode())
@example(f"{HEADER}from os import \\\n *\n".encode())
@example(f"{HEADER}from os import (\n path as revision,\n)\n".encode())
@example(f"{HEADER}# comment\rrevision = 'b'\n".encode())
@example("# coding: latin-1\nrevision = 'é'\ndown_revision = None\n".encode())
def test_the_pass_says_nothing_that_the_tree_denies_and_the_tree_nothing_that_python_denies(data: bytes) -> None:
    scanned = scan_header(data)
    tree = read_tree(data, "versions/x.py", "x.py")

    if scanned is not None and not (isinstance(tree, HistoryFault) and tree.kind is FaultKind.SYNTAX):
        assert scanned == tree
    names = python_says(data)
    if names is None or not isinstance(tree, Declaration):
        return
    assert tree.id == names["revision"]
    assert tree.down == as_tuple(names["down_revision"])
    assert tree.depends_on == as_tuple(names.get("depends_on"))
    assert tree.labels == as_tuple(names.get("branch_labels"))
    if b"__doc__" not in data:
        assert tree.message == (names["__doc__"] or "").strip().split("\n")[0].rstrip()


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200) | st.text("revison_dw =:'\"()[],#\n\\abNone", max_size=120).map(str.encode))
def test_no_bytes_whatever_make_it_fail(data: bytes) -> None:
    scanned = scan_header(data)
    tree = read_tree(data, "versions/x.py", "x.py")

    if scanned is not None and isinstance(tree, Declaration):
        assert scanned == tree


@pytest.mark.parametrize(
    "text",
    [
        '"""' + '"' * 1_000_000,
        '"""' + '"a' * 500_000,
        "'''" + "'a" * 500_000 + "''' % x",
        '"' + "a" * 1_000_000,
        "revision = (" + "'a'," * 250_000,
        "down_revision = (" + "'a'," * 250_000,
        "down_revision = (" + "'a' # x\n,\n" * 100_000 + ";",
        "down_revision = (" + "# x\n " * 200_000 + ";",
        "down_revision = (" + "\n" * 1_000_000 + ";",
        "down_revision = '" + "a" * 1_000_000,
        "down_revision = ('" + "a" * 1_000_000,
        "down_revision" + " " * 1_000_000 + ";",
        "down_revision: " + "[ " * 500_000 + ";",
        "# x\n" * 250_000 + "revision =",
        "#" * 1_000_000,
        " " * 1_000_000 + "x",
        "import x" + " " * 1_000_000 + ";",
        "import " + "x, " * 300_000 + ";",
        "import " + "x. " * 300_000 + "# revision_",
        "from x import (" + "a, " * 300_000,
        "from x import (" + "a, \n" * 250_000 + ");",
        "from x import (a)\n" * 50_000 + "from x import (",
        "from" + " " * 1_000_000 + ";",
        "x: " + "[" * 1_000_000,
        "x" * 1_000_000 + "=",
        "x = " + "1" * 1_000_000 + ";",
        "x = 1" + " " * 1_000_000 + ";",
        "x = (" + "'a'," * 250_000 + ");",
        "import" + " " * 1_000_000 + "revision",
        "#" + "coding:" * 150_000,
        "# coding:" + " " * 1_000_000,
    ],
    ids=lambda text: repr(text[:16]),
)
def test_a_megabyte_that_is_no_header_is_read_in_linear_time(text: str) -> None:
    # Backtracking would make these hang the test.
    assert scan_header(text.encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        "revision = make()\ndown_revision = None",
        "revision = ('a',)\ndown_revision = None",
        "revision = 'a'\ndown_revision = PREVIOUS",
        "revision = 'a'\ndown_revision = ''",
        "revision = 'a'\ndown_revision = None\nif True:\n    depends_on = 'x'",
        "revision = 'a'\ndown_revision = None\nfrom shared import *",
        "revision = 'a'\ndown_revision = None\nimport revision.below",
        "revision = 'a'\ndown_revision = None\ndef f():\n    global revision\n",
    ],
)
def test_what_only_running_the_file_can_tell_is_dynamic(text: str) -> None:
    assert kind(text) is FaultKind.DYNAMIC


def test_a_dynamic_file_says_which_names_are_computed() -> None:
    found = declared("revision = make()\ndown_revision = make()")

    assert isinstance(found, HistoryFault)
    assert "revision and down_revision" in found.why
    assert found.files == ("versions/x.py",)


@pytest.mark.parametrize("text", ["", "revision = 'a'", "def upgrade(): pass", "down_revision = None", "revision: str"])
def test_a_file_that_declares_no_revision_or_no_parent(text: str) -> None:
    assert kind(text) is FaultKind.UNDECLARED


def test_an_annotation_alone_changes_nothing() -> None:
    assert declared("revision = 'a'\nrevision: str\ndown_revision = None") == Declaration("a", (), (), (), "")


def test_the_id_of_an_ancient_revision_is_its_file_name() -> None:
    assert declared("down_revision = None", "1a2b.py") == Declaration("1a2b", (), (), (), "")
    assert declared("revision = 'x'\ndown_revision = None", "1a2b.py") == Declaration("x", (), (), (), "")
    assert isinstance(declared("down_revision = None", "1a2b_and_more.py"), HistoryFault)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"revision = 'a'\ndown_revision = (\n", 2),
        (b"revision = 'a'\ndown_revision = None\nrevision = 'b'\n\xe9\n", 4),
        (b"revision = 'a'\ndown_revision = None\n\n# nothing\0\n", 4),
        (b"# coding: no-such-encoding\nrevision = 'a'\n", None),
        (b"revision = 'a'\nrevision = " + b"(" * 5000 + b")" * 5000, None),
    ],
)
def test_what_python_cannot_compile(data: bytes, line: int | None) -> None:
    found = declared(data)

    assert isinstance(found, HistoryFault)
    assert found.kind is FaultKind.SYNTAX
    assert found.files == ("versions/x.py",)
    if line is not None:
        assert found.line == line
        assert f"versions/x.py, line {line} is not valid Python" in found.why


def test_another_encoding_is_read_by_its_cookie() -> None:
    data = "# -*- coding: latin-1 -*-\n'''für später'''\nrevision = 'a'\ndown_revision = None\n".encode("latin-1")

    assert scan_header(data) is None
    assert declared(data) == Declaration("a", (), (), (), "für später")


def test_a_message_can_always_be_written_out() -> None:
    found = declared("'''bad \\ud800'''\nrevision = 'a'\ndown_revision = None\n")

    assert isinstance(found, Declaration)
    assert found.message == "bad \\ud800"


def test_reading_a_file_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert declared("'''\\d'''\nrevision = 'a'\ndown_revision = None\n") == Declaration("a", (), (), (), "\\d")
