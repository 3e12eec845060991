"""A version table that names one revision beside a schema that is exactly another one's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.server import Database


@pytest.fixture
def known(project, write_manifest) -> list[str]:
    """The ids of three revisions, each of which makes a table."""
    ids = project.linear(3)
    write_manifest()
    return ids


def stamp(database: Database, revision: str) -> None:
    database.execute("TRUNCATE alembic_version")
    database.execute("INSERT INTO alembic_version VALUES (%s)", revision)


@pytest.mark.parametrize("stamped", ["r0003", "r0002"])
def test_every_verb_says_whose_schema_it_is_and_adopt_records_it(known, database, run_migrate, stamped):
    assert run_migrate("up", "--target", known[0], database=database).exit_code == 0
    stamp(database, stamped)
    is_at_head = stamped == known[-1]
    for arguments in (("up",), ("plan",), ("status",), ("doctor",), ("verify",)):
        result = run_migrate(*arguments, database=database)
        result.check_clean()
        assert b"exactly the schema of r0001" in result.stdout, arguments
        if arguments != ("status",):
            assert result.exit_code == (0 if is_at_head and arguments != ("verify",) else 17), arguments
    assert run_migrate("verify", database=database).finished["fix"].startswith("migrate adopt")

    adopted = run_migrate("adopt", database=database)
    adopted.check_clean()
    assert (adopted.exit_code, adopted.finished["outcome"], adopted.finished["to_revision"]) == (
        0,
        "adopted",
        ["r0001"],
    )
    released = run_migrate("up", database=database)
    assert (released.exit_code, released.finished["applied"]) == (0, known[1:])
    assert run_migrate("verify", database=database).exit_code == 0


def test_a_stamped_database_with_nothing_in_it_is_adopted_at_the_base(known, database, run_migrate):
    database.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    stamp(database, known[-1])
    assert "exactly the schema of base" in run_migrate("verify", database=database).finished["why"]
    assert run_migrate("adopt", database=database).finished["outcome"] == "adopted"
    assert database.rows("SELECT version_num FROM alembic_version") == []
    assert run_migrate("up", database=database).finished["applied"] == known


def test_rows_that_are_true_and_a_schema_that_is_nobodys_stay(known, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("adopt", database=database).finished["outcome"] == "noop"
    database.execute("ALTER TABLE r0001 ADD COLUMN hotfix integer")
    assert run_migrate("adopt", database=database).finished["outcome"] == "noop"


def test_the_base_is_nearest_where_everything_is_somebody_elses(known, database, run_migrate):
    database.execute("CREATE TABLE theirs (id integer)")
    refused = run_migrate("up", database=database)
    assert (refused.exit_code, refused.finished["problem"]) == (15, "untracked")
    assert "the nearest revision is base, but table theirs is not in the manifest" in refused.finished["why"]
    adopted = run_migrate("up", "--adopt", "exact", database=database)
    assert (adopted.exit_code, adopted.finished["applied"]) == (0, known)
