"""An image without a revision is refused: nearly always its files are missing, and a release would be green for nothing."""

from __future__ import annotations

import pytest

VERBS = (("up",), ("plan",), ("status",), ("wait", "--timeout", "1s"), ("verify",), ("adopt",), ("repair",), ("doctor",),
         ("manifest",), ("test",))  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_every_verb_refuses_an_image_without_a_revision(project, database, run_migrate, verb):
    result = run_migrate(*verb, database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "empty-history")
    assert "migrations/versions has no revision file" in result.finished["why"]


def test_it_is_said_where_the_revisions_were_looked_for(project, database, run_migrate):
    nested = project.versions / "2026" / "01"
    nested.mkdir(parents=True)
    project.linear(1)
    for file in project.versions.glob("*.py"):
        file.rename(nested / file.name)
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "empty-history")
    assert "r0001_create_r0001.py, and recursive_version_locations is not set" in result.finished["why"]
    project.write_ini(recursive_version_locations="true")
    assert run_migrate("plan", "--exit-code", database=database).exit_code == 3

    project.write_ini(version_locations="%(here)s/elsewhere")
    (project.path / "elsewhere").mkdir()
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "empty-history")
    assert "elsewhere has no revision file" in result.finished["why"]


def test_a_release_whose_files_were_left_out_does_not_take_its_database_for_finished(project, database, run_migrate):
    project.linear(2)
    assert run_migrate("up", database=database).exit_code == 0
    for file in project.versions.glob("*.py"):
        file.unlink()
    for verb in ("up", "plan", "status"):
        assert run_migrate(verb, database=database).exit_code == 11


@pytest.mark.parametrize("verb", ["up", "plan", "status", "wait", "adopt", "doctor"])
def test_it_can_be_meant(project, database, run_migrate, verb):
    allowed = run_migrate(verb, "--allow-empty-history", database=database)
    assert allowed.exit_code == 0, allowed.finished
    assert run_migrate(verb, database=database, env={"MIGRATE_ALLOW_EMPTY_HISTORY": "true"}).exit_code == 0
