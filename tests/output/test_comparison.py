"""A comparison reads the same in every form, and none of them breaks on what a schema may hold."""

from __future__ import annotations

from migrate.core.schema.differences import compare
from migrate.output.comparison import as_markdown, as_sql, as_text, pairs, statements

EXPECTED = {
    "table t": "table",
    "column t.a": "integer",
    "column t.b": "text default '`|<i>```'::text",
    "index t.one": "btree (a)",
    "view v": "SELECT 1",
}
ACTUAL = {"table t": "table", "column t.a": "bigint", "index t.two": "btree (a)", "table more": "table"}
FOUND = compare(EXPECTED, ACTUAL, same_major=True)
SQL = statements(FOUND, EXPECTED, ACTUAL)


def test_text_names_every_group():
    text = as_text("here", "there", "the manifest", FOUND, SQL)
    for title in ("missing in here:", "changed:", "not in the manifest:", "same, other name:"):
        assert f"\n{title}\n" in text
    assert text.endswith("\n".join(SQL))
    assert as_text("here", "there", "the manifest", compare({}, {}, same_major=True), []) == "here matches there"


def test_sql_says_what_it_cannot_do():
    text = as_sql("here\nDROP", "there", "there", FOUND, pairs(FOUND, EXPECTED, ACTUAL, "there", "here\nDROP"))
    plain = [line for line in text.splitlines() if line and not line.startswith("--")]
    assert plain == [line for statement in SQL for line in statement.splitlines()]
    assert "-- view v is missing in here" in text
    assert "-- table more is not in there" in text


def test_markdown_holds_together():
    text = as_markdown("a_b", "c|d", "there", FOUND, SQL)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 3 for line in rows)
    assert "````sql" in text  # longer than any fence in a default
    assert as_markdown("a", "b", "b", compare({}, {}, same_major=True), []) == "**a** matches **b**."
