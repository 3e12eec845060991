"""Histories of several heads: which rows the schema proves, and the ways out that keep every branch's row."""

from __future__ import annotations

import pytest


@pytest.fixture
def branches(project, database, run_migrate, write_manifest):
    """Three branches from one revision, a database at a set of rows, and then without its version rows."""
    project.linear(1)
    for name in ("a", "b", "c"):
        project.linear(2, prefix=name, down="r0001")
    write_manifest()

    def make(*rows: str) -> None:
        for row in rows:
            assert run_migrate("up", "--target", row, database=database).exit_code == 0
        database.execute("DELETE FROM alembic_version")

    return make


def rows_of(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def test_the_rows_of_several_branches_are_proven_and_written(branches, database, run_migrate):
    branches("a0001", "b0002")
    result = run_migrate("adopt", database=database)
    result.check_clean()
    assert (result.exit_code, rows_of(database)) == (0, ["a0001", "b0002"]), result.finished
    rest = run_migrate("up", "--target", "heads", database=database)
    assert rest.finished["applied"] == ["a0002", "c0001", "c0002"] or sorted(rest.finished["applied"]) == [
        "a0002",
        "c0001",
        "c0002",
    ]


def test_the_operators_word_may_name_several_rows(branches, database, run_migrate):
    branches("a0001", "b0002")
    database.execute("DROP TABLE b0001")
    refused = run_migrate("adopt", database=database)
    refused.check_clean()
    assert refused.exit_code == 15
    assert "--at a0001,b0002 --reason" in refused.finished["fix"]
    result = run_migrate("adopt", "--at", "a0001,b0002", "--reason", "it was dropped by hand", database=database)
    result.check_clean()
    assert (result.exit_code, rows_of(database)) == (0, ["a0001", "b0002"])


def test_up_names_all_rows_in_its_way_out(branches, database, run_migrate):
    branches("a0001", "b0002")
    database.execute("DROP TABLE b0001")
    result = run_migrate("up", "--target", "heads", database=database)
    result.check_clean()
    assert result.exit_code == 15
    assert "migrate verify --at a0001,b0002" in result.finished["fix"]
    assert "migrate adopt --at a0001,b0002 --reason" in result.finished["fix"]
    assert run_migrate("verify", "--at", "a0001,b0002", database=database).exit_code == 17


def test_a_row_that_another_implies_is_not_written(branches, database, run_migrate):
    branches("a0001", "b0002")
    run_migrate("adopt", "--at", "r0001, a0001, b0002", "--reason", "WHY", database=database)
    assert rows_of(database) == ["a0001", "b0002"]
