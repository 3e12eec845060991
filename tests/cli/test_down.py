"""`migrate down`: back to a revision, never by accident, never losing what was not allowed to go."""

from __future__ import annotations

import json
import signal

import pytest


@pytest.fixture
def history(project):
    """A table, a column with a default that it is filled by, a table more."""
    project.linear(1)
    project.revision(
        "two",
        down="r0001",
        message="note",
        upgrade="op.add_column('r0001', sa.Column('note', sa.Text))",
        downgrade="op.drop_column('r0001', 'note')",
    )
    project.linear(1, prefix="t", down="two")
    return ["r0001", "two", "t0001"]


@pytest.fixture
def manifest(history, write_manifest):
    """The manifest of that history."""
    write_manifest()
    return history


def versions(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


@pytest.fixture
def at_head(manifest, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    return manifest


def test_what_is_empty_may_go(at_head, database, run_migrate):
    result = run_migrate("down", "--to", "r0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "downgraded")
    assert result.finished["reverted"] == ["t0001", "two"]
    assert result.finished["applied"] == []
    assert result.finished["to_revision"] == ["r0001"]
    assert result.finished["loses"] == ["column r0001.note: 0", "table t0001: 0"]
    assert versions(database) == ["r0001"]
    assert result.named("proof.finished")[0]["proof"] == "manifest"
    steps = database.rows("SELECT kind, revision, status FROM migrate.step WHERE kind = 'downgrade' ORDER BY step_id")
    assert steps == [("downgrade", "t0001", "finished"), ("downgrade", "two", "finished")]
    again = run_migrate("up", database=database)
    assert (again.exit_code, again.finished["applied"]) == (0, ["two", "t0001"])


def test_rows_that_would_go_are_counted_and_refused(at_head, database, run_migrate):
    database.execute("INSERT INTO r0001 (note) VALUES ('a'), ('b'), (NULL)")
    refused = run_migrate("down", "--to", "r0001", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (12, "data-loss")
    assert refused.finished["loses"] == ["column r0001.note: 2", "table t0001: 0"]
    assert "column r0001.note (2 values)" in refused.finished["why"]
    assert versions(database) == ["t0001"]
    assert database.rows("SELECT 1 FROM migrate.step WHERE kind = 'downgrade'") == []
    allowed = run_migrate("down", "--to", "r0001", "--allow-data-loss", database=database)
    allowed.check_clean()
    assert (allowed.exit_code, versions(database)) == (0, ["r0001"])


def test_base_is_the_clean_start(at_head, database, run_migrate):
    result = run_migrate("down", "--to", "base", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["to_revision"]) == (0, [])
    assert result.finished["reverted"] == ["t0001", "two", "r0001"]
    assert database.scalar("SELECT to_regclass('r0001')") is None
    assert run_migrate("down", "--to", "base", database=database).finished["outcome"] == "noop"
    assert run_migrate("up", database=database).exit_code == 0


def test_nothing_to_revert(at_head, database, run_migrate):
    result = run_migrate("down", "--to", "t0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop")


@pytest.mark.parametrize("target", ["-1", "t0001-1", "+1", "head", "x@base"])
def test_nothing_relative(at_head, database, run_migrate, target):
    result = run_migrate("down", "--to", target, database=database)
    result.check_clean()
    assert (result.exit_code, versions(database)) == (2, ["t0001"])
    assert run_migrate("down", database=database).exit_code == 2


@pytest.mark.parametrize("target", ["r00", "nothing"])
def test_only_a_whole_id_of_this_image(at_head, database, run_migrate, target):
    result = run_migrate("down", "--to", target, database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "unknown-target")


def test_not_upwards(manifest, database, run_migrate):
    assert run_migrate("up", "--target", "r0001", database=database).exit_code == 0
    result = run_migrate("down", "--to", "two", database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "unknown-target")
    assert "not applied here" in result.finished["why"]


def test_without_a_manifest_the_operator_answers_for_it(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    refused = run_migrate("down", "--to", "two", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (12, "data-loss")
    done = run_migrate("down", "--to", "two", "--allow-data-loss", database=database)
    done.check_clean()
    assert (done.exit_code, done.named("proof.finished")[0]["proof"]) == (0, "rows")


def test_a_downgrade_that_leaves_something_is_unproven(project, history, database, run_migrate, write_manifest):
    project.revision("leaves", down="t0001", message="leaves", upgrade="op.execute('CREATE TABLE left_over ()')")
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    result = run_migrate("down", "--to", "t0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "left_over" in result.finished["why"]


def test_a_downgrade_that_raises_is_rolled_back(project, history, database, run_migrate, write_manifest):
    project.revision(
        "bad",
        down="t0001",
        message="bad",
        upgrade="op.execute('CREATE TABLE bad ()')",
        downgrade="op.execute('DROP TABLE bad')\nraise NotImplementedError('no way back')",
    )
    project.revision("top", down="bad", message="top")
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    result = run_migrate("down", "--to", "t0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["failed"]) == (30, "bad")
    assert (result.finished["reverted"], result.finished["to_revision"]) == (["top"], ["bad"])
    assert versions(database) == ["bad"]
    assert database.scalar("SELECT to_regclass('bad')") is not None
    assert run_migrate("up", database=database).finished["applied"] == ["top"]


def test_residue_and_drift_come_first(at_head, database, run_migrate):
    database.execute("DROP TABLE t0001")
    assert run_migrate("down", "--to", "r0001", database=database).exit_code == 17
    database.execute("CREATE TABLE t0001 (id serial PRIMARY KEY)")
    database.as_superuser.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't0001_pkey'::regclass")
    assert run_migrate("down", "--to", "r0001", database=database).exit_code == 15


def test_a_newer_database_is_not_reverted_by_an_older_image(project, at_head, database, run_migrate, write_manifest):
    next(project.versions.glob("t0001_*")).unlink()
    write_manifest()
    result = run_migrate("down", "--to", "r0001", database=database, env={"MIGRATE_AHEAD": "accept"})
    assert (result.exit_code, result.finished["problem"]) == (16, "ahead")
    assert result.finished["fix"] == "migrate down --to r0001   # in the image that has t0001"


def test_a_branch_stays_while_the_other_goes(project, history, database, run_migrate, write_manifest):
    project.revision(
        "left", down="two", message="left", upgrade="op.execute('CREATE TABLE l ()')", downgrade="op.drop_table('l')"
    )
    project.revision(
        "last",
        down="left",
        depends_on="t0001",
        message="last",
        upgrade="op.execute('CREATE TABLE m ()')",
        downgrade="op.drop_table('m')",
    )
    write_manifest()
    assert run_migrate("up", "--target", "heads", database=database).exit_code == 0
    result = run_migrate("down", "--to", "left", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["reverted"]) == (0, ["last"]), result.finished
    assert versions(database) == ["left", "t0001"]
    assert database.scalar("SELECT to_regclass('t0001')") is not None


def test_a_signal_rolls_the_downgrade_back(project, history, database, start_migrate, run_migrate, write_manifest):
    project.revision(
        "slow",
        down="t0001",
        message="slow",
        upgrade="op.execute('CREATE TABLE slow ()')",
        downgrade="op.drop_table('slow')\nop.execute('SELECT pg_sleep(60)')",
    )
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    running = start_migrate("down", "--to", "t0001", database=database)
    running.wait_for("revision.started")
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 143
    assert versions(database) == ["slow"]
    assert database.scalar("SELECT to_regclass('slow')") is not None
    assert database.scalar("SELECT status FROM migrate.step WHERE kind = 'downgrade'") == "abandoned"


def test_json_is_one_object(at_head, database, run_migrate):
    found = json.loads(run_migrate("down", "--to", "two", "--json", database=database).stdout)
    assert (found["outcome"], found["reverted"], found["exit_code"]) == ("downgraded", ["t0001"], 0)
