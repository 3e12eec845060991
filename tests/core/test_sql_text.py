"""Where one statement ends and the next begins, and what leaves the transaction."""

from __future__ import annotations

import pytest

from migrate.core.schema.sql_text import commits, stands_outside, statements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; COMMIT;", ["SELECT 1", " COMMIT"]),
        ("SELECT ';', \";\" ; x", ["SELECT ';', \";\" ", " x"]),
        (r"SELECT E'\';'; x", [r"SELECT E'\';'", " x"]),
        ("DO $$ BEGIN; END $$; x", ["DO $$ BEGIN; END $$", " x"]),
        ("DO $a$ ; $$ ; $a$; x", ["DO $a$ ; $$ ; $a$", " x"]),
        ("-- a; b\nx /* ; */; -- last", ["-- a; b\nx /* ; */"]),
        ("SELECT 'it''s; fine'", ["SELECT 'it''s; fine'"]),
        ("", [""]),
    ],
)
def test_statements(text, expected):
    assert statements(text) == expected


@pytest.mark.parametrize(
    ("statement", "expected"), [(" COMMIT", True), ("/* x */ end", True), ("commitment", False), ("SELECT 1", False)]
)
def test_what_commits(statement, expected):
    assert commits(statement) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("VACUUM t", True),
        ("DROP INDEX CONCURRENTLY ix", True),
        ("CREATE UNIQUE INDEX CONCURRENTLY ix ON t (a)", True),
        ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", True),
        ("DELETE FROM t", False),
        ("ALTER TABLE t DROP COLUMN a", False),
        ("DO $$ BEGIN DELETE FROM t; END $$", False),
        ("ALTER TYPE e ADD VALUE 'x'", False),
    ],
)
def test_what_cannot_be_in_a_transaction(statement, expected):
    assert stands_outside(statement) is expected
