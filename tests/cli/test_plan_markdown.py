"""`migrate plan --format markdown`: a comment for a pull request, with a database and without one."""

from __future__ import annotations

import subprocess

import pytest

from migrate.core.decide.review import Reviewed
from migrate.core.foresee.effects import read as effect
from migrate.core.foresee.live import LiveEffect, LiveNeed
from migrate.core.foresee.needs import read as need
from migrate.core.history.graph import Revision
from migrate.output.review import comment


@pytest.fixture
def image(project, write_manifest):
    project.revision(
        "made", upgrade='op.execute("CREATE TABLE orders (id integer, old_state text)")', message="make orders"
    )
    project.revision(
        "contract", down="made", upgrade='op.drop_column("orders", "old_state")', message="drop the old state"
    )
    write_manifest()
    return project


def test_a_database_has_what_is_pending_there(image, database, run_migrate):
    assert run_migrate("up", "--target", "made", database=database).exit_code == 0
    result = run_migrate("plan", "--format", "markdown", database=database)
    text = result.stdout.decode()
    assert result.exit_code == 0
    assert "### Migrations: 1 revision after made" in text
    assert "#### contract: drop the old state" in text
    assert "**Breaks the release that is still running:**" in text
    assert "- column orders.old_state: text" in text
    assert "#### made" not in text


def test_without_a_database_the_revisions_after_one_are_told(image, run_migrate):
    result = run_migrate("plan", "--format", "markdown", "--from", "made")
    assert result.exit_code == 0, result.stdout
    assert "### Migrations: 1 revision after made" in result.stdout.decode()
    whole = run_migrate("plan", "--format", "markdown", "--from", "base").stdout.decode()
    assert "### Migrations: 2 revisions after base" in whole
    assert "Breaks" not in whole


def test_a_revision_that_is_none_and_a_history_without_a_manifest_are_refused(project, run_migrate):
    project.revision("made")
    unknown = run_migrate("plan", "--format", "markdown", "--from", "nothing")
    assert (unknown.exit_code, unknown.finished["problem"]) == (11, "unknown-target")
    missing = run_migrate("plan", "--format", "markdown", "--from", "base")
    assert (missing.exit_code, missing.finished["problem"]) == (10, "no-manifest")
    alone = run_migrate("plan", "--from", "made")
    assert alone.exit_code == 2


def test_a_manifest_that_lacks_a_revision_is_refused(image, run_migrate):
    image.revision("more", down="contract")
    result = run_migrate("plan", "--format", "markdown", "--from", "made")
    result.check_clean()
    assert result.finished["problem"] == "stale-manifest"


def test_nothing_in_it_is_markup_and_what_is_not_known_is_said():
    revision = Revision("a1", (), (), (), "<b>[x](y)</b>", "a1.py", "a")
    effects = (LiveEffect(revision, effect("blocks writes of t: builds index ix")),)
    known = Reviewed(revision, (), effects, (LiveNeed(revision, need("no NULL in t.a")),), ())
    text = comment([known, Reviewed(revision, (), None, None, ())], ["a0"])
    assert "<b>" not in text
    assert "- blocks writes of t: builds index ix" in text
    assert "- no NULL in t.a" in text
    assert text.count("not known") == 2
    assert "No change of the schema." in text


def git(project, *arguments):
    named = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *named, *arguments], cwd=project.path, check=True, capture_output=True)


def test_without_a_database_what_this_branch_adds_to_another_is_told(image, run_migrate, write_manifest):
    for arguments in (("init",), ("add", "."), ("commit", "-m", "made"), ("checkout", "-b", "feature")):
        git(image, *arguments)
    nothing = run_migrate("plan", "--format", "markdown", "--base", "main")
    assert nothing.exit_code == 0, nothing.stdout
    image.revision("added", down="contract", upgrade='op.execute("CREATE TABLE more (id integer)")', message="add")
    write_manifest()
    for commit in (False, True):
        if commit:
            git(image, "add", ".")
            git(image, "commit", "-m", "added")
        text = run_migrate("plan", "--format", "markdown", "--base", "main").stdout.decode()
        assert "### Migrations: 1 revision after contract" in text
        assert "#### added: add" in text


def test_a_branch_that_git_does_not_know_and_both_ways_at_once_are_refused(image, run_migrate):
    git(image, "init")
    unknown = run_migrate("plan", "--format", "markdown", "--base", "origin/nowhere")
    assert (unknown.exit_code, unknown.finished["problem"]) == (2, "usage")
    assert "origin/nowhere" in unknown.finished["why"]
    both = run_migrate("plan", "--format", "markdown", "--base", "main", "--from", "made")
    assert both.exit_code == 2
    alone = run_migrate("plan", "--base", "main")
    assert alone.exit_code == 2
