"""A run says each thing once, and a release of one revision fits on ten lines."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("with_manifest", [False, True])
def test_a_release_of_one_revision_fits_on_ten_lines(project, database, run_migrate, write_manifest, with_manifest):
    project.linear(2)
    if with_manifest:
        write_manifest()
    assert run_migrate("up", "--target", "r0001", database=database).exit_code == 0
    result = run_migrate("up", "--log-format", "text", database=database)
    lines = result.stdout.decode().splitlines()
    assert result.exit_code == 0
    assert len(lines) <= 10, result.stdout.decode()
    for once in ("the database is behind", "upgrade by 1 revision", "proven at r0002", "now at r0002"):
        assert sum(once in line for line in lines) == 1, once


def test_state_and_decision_are_said_again_under_the_guard_only_where_they_have_changed(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("up", database=database)
    assert (len(result.named("state.observed")), len(result.named("decision.made"))) == (1, 1)


def test_a_state_that_has_changed_while_the_guard_was_waited_for_is_said_again(
    project, database, run_migrate, start_migrate
):
    project.linear(1)
    project.revision(
        "slow", down="r0001", upgrade='op.execute("SELECT pg_sleep(2)")\nop.execute("CREATE TABLE slow ()")'
    )
    first = start_migrate("up", database=database)
    first.wait_for("revision.started", revision="slow")
    second = run_migrate("up", database=database)
    assert first.finish().exit_code == 0
    assert second.exit_code == 0
    positions = [event["position"] for event in second.named("state.observed")]
    assert positions == ["behind", "at_head"] or len(set(positions)) == len(positions) == 2, positions


def test_a_failure_says_why_once(project, database, run_migrate):
    project.linear(1)
    project.revision("bad", down="r0001", message="a bad one", upgrade="op.execute('SELECT * FROM absent')")
    lines = run_migrate("up", "--log-format", "text", database=database).stdout.decode().splitlines()
    assert sum('relation "absent" does not exist' in line for line in lines) == 1
    assert sum("revision bad: a bad one: failed" in line for line in lines) == 1


def test_a_refusal_says_why_once(project, database, run_migrate):
    project.linear(1)
    database.execute("CREATE TABLE stray (id int)")
    lines = run_migrate("up", "--log-format", "text", database=database).stdout.decode().splitlines()
    whys = [line.partition("why ")[2].strip() for line in lines if "  why  " in line]
    assert len(whys) == 1
    assert sum(whys[0] in line for line in lines) == 1


def test_what_alembic_says_of_a_revision_stands_beside_no_line_of_ours(project, database, run_migrate):
    project.linear(1)
    said = run_migrate("up", "--log-format", "text", database=database).stdout.decode()
    assert "Running upgrade" not in said
    assert "Context impl" not in said
