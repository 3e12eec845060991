"""A stale manifest is told by the lines that have to change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrate.core.manifest.line_diff import LineChange, line_diff


def manifest(*revisions: tuple[str, str], heads: str = "x") -> str:
    items = "  }, {\n".join(
        f'   "changes": [],\n   "id": "{id_}",\n   "schema": "{schema}"\n' for id_, schema in revisions
    )
    return f'{{\n "heads": ["{heads}"],\n "revisions": [\n  {{\n{items}  }}\n ]\n}}\n'


def test_equal_texts_have_no_changes() -> None:
    assert line_diff(manifest(("a", "1")), manifest(("a", "1"))) == ()


def test_a_changed_line_is_told_with_both_texts_and_its_number() -> None:
    old, new = manifest(("a", "1"), ("b", "2")), manifest(("a", "1"), ("b", "3"), heads="y")
    assert line_diff(old, new) == (
        LineChange(2, (' "heads": ["x"],',), (' "heads": ["y"],',)),
        LineChange(11, ('   "schema": "2"',), ('   "schema": "3"',)),
    )


def test_a_revision_more_is_nothing_but_lines_more() -> None:
    old, new = manifest(("a", "1"), ("c", "3")), manifest(("a", "1"), ("b", "2"), ("c", "3"))
    added = ("  }, {", '   "changes": [],', '   "id": "b",', '   "schema": "2"')
    assert line_diff(old, new) == (LineChange(8, (), added),)
    assert line_diff(new, old) == (LineChange(8, added, ()),)


def test_lines_after_the_end_stand_after_the_end() -> None:
    old, new = "{\n}", '{\n}\n  {\n   "id": "b"'
    assert line_diff(old, new) == (LineChange(3, (), ("  {", '   "id": "b"')),)
    assert line_diff(new, old) == (LineChange(3, ("  {", '   "id": "b"'), ()),)


def test_a_text_that_is_no_manifest_is_all_other() -> None:
    assert line_diff("x", "y") == (LineChange(1, ("x",), ("y",)),)


LINES = st.lists(st.sampled_from(["{", "  }, {", '   "id": "a",', '   "id": "b",', "x", "y", ""]), max_size=12)


@given(LINES, LINES)
def test_the_changes_make_the_new_text_of_the_old(old: list[str], new: list[str]) -> None:
    lines = "\n".join(old).split("\n")
    for change in reversed(line_diff("\n".join(old), "\n".join(new))):
        at = change.old_line - 1
        assert tuple(lines[at : at + len(change.old)]) == change.old
        lines[at : at + len(change.old)] = change.new
    assert lines == "\n".join(new).split("\n")
