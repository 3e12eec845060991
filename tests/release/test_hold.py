"""Expand and contract: a run that holds what breaks the running release, and the later one that does the rest."""

from __future__ import annotations

import pytest

from tests.postgres.test_compatibility import PROGRAM, SCHEMA

EXPAND = 'op.execute("ALTER TABLE orders ADD COLUMN state text")'
CONTRACT = 'op.execute("ALTER TABLE orders DROP COLUMN old_state")'
INDEX = 'op.execute("CREATE INDEX ix_orders_state ON orders (state)")'
BASE = 'op.execute("CREATE TABLE orders (id integer PRIMARY KEY, old_state text)")'
OLD = (
    "INSERT INTO orders (id, old_state) VALUES (1, 'new')",
    "SELECT id, old_state FROM orders",
    "UPDATE orders SET old_state = 'paid'",
    "DELETE FROM orders",
)
NEW = (
    "INSERT INTO orders (id, state) VALUES (2, 'new')",
    "SELECT id, state FROM orders",
    "UPDATE orders SET state = 'paid'",
    "DELETE FROM orders",
)


@pytest.fixture
def released(project, database, run_migrate, write_manifest):
    """A release whose program is OLD, and the image of the next one, of which the second revision breaks it."""
    project.revision("made", upgrade=BASE)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("expand", down="made", upgrade=EXPAND)
    project.revision("contract", down="expand", upgrade=CONTRACT)
    project.revision("index", down="contract", upgrade=INDEX)
    write_manifest()
    return database


def hold(run_migrate, database, *more):
    result = run_migrate("up", "--breaking", "hold", *more, database=database)
    result.check_clean()
    return result


def test_what_comes_before_the_first_that_breaks_is_applied_and_both_programs_run(released, run_migrate):
    result = hold(run_migrate, released)
    assert (result.exit_code, result.finished["outcome"]) == (0, "held")
    assert (result.finished["applied"], result.finished["pending"]) == (["expand"], ["contract", "index"])
    assert result.finished["held"] == ["contract", "index"]
    (broken,) = result.finished["held_breaks"]
    assert broken.startswith("contract: column orders.old_state")
    (proof,) = result.named("proof.finished")
    assert (proof["proof"], proof["rows"]) == ("manifest", ["expand"])
    assert released.runs(OLD)
    assert released.runs(NEW)
    rest = run_migrate("up", "--breaking", "allow", database=released)
    assert (rest.exit_code, rest.finished["outcome"]) == (0, "applied")
    assert rest.finished["applied"] == ["contract", "index"]
    assert not released.runs(OLD)
    assert released.runs(NEW)


def test_the_program_of_the_compatibility_suite_runs_until_the_contract(project, database, run_migrate, write_manifest):
    """Three revisions, of which the second breaks it, and the program of the next release."""

    def runs(program):  # from the start: it counts on the first user's number
        database.execute("TRUNCATE users, articles, clubs, members RESTART IDENTITY CASCADE")
        return database.runs(program)

    told = ("words + 1", "note || 'x'"), ("words", "note"), (", -1, 7)", ", -1, 'n')")
    following = PROGRAM
    for old, new in told:
        following = [statement.replace(old, new) for statement in following]
    project.revision("made", upgrade=f"op.execute({SCHEMA!r})")
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("expand", down="made", upgrade='op.execute("ALTER TABLE articles ADD note text")')
    project.revision("contract", down="expand", upgrade='op.execute("ALTER TABLE articles DROP words")')
    project.revision("index", down="contract", upgrade='op.execute("CREATE INDEX ON articles (note)")')
    write_manifest()
    result = hold(run_migrate, database)
    assert (result.exit_code, result.finished["applied"]) == (0, ["expand"])
    assert runs(PROGRAM)
    assert runs(following)
    rest = run_migrate("up", "--breaking", "allow", database=database)
    assert rest.finished["applied"] == ["contract", "index"]
    assert not runs(PROGRAM)
    assert runs(following)


def test_a_program_starts_while_revisions_are_held_and_not_before(released, run_migrate):
    waits = run_migrate("wait", "--timeout", "1s", database=released)
    assert (waits.exit_code, waits.finished["problem"]) == (25, "not-ready")
    assert run_migrate("status", "--exit-code", database=released).exit_code == 3
    hold(run_migrate, released)
    ready = run_migrate("wait", database=released)
    ready.check_clean()
    assert (ready.exit_code, ready.finished["outcome"]) == (0, "held")
    status = run_migrate("status", "--exit-code", database=released)
    assert (status.exit_code, status.finished["ready"]) == (0, True)
    assert status.finished["pending"] == ["contract", "index"]


def test_a_program_that_needs_what_is_held_does_not_start(project, database, run_migrate, write_manifest):
    project.revision("made", upgrade=BASE)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("contract", down="made", upgrade='op.alter_column("orders", "old_state", new_column_name="state")')
    write_manifest()
    result = hold(run_migrate, database)
    assert (result.exit_code, result.finished["outcome"], result.finished["applied"]) == (0, "held", [])
    assert result.finished["pending"] == ["contract"]
    waits = run_migrate("wait", "--timeout", "1s", database=database)
    assert (waits.exit_code, waits.finished["problem"]) == (25, "not-ready")
    assert "does not run" in waits.finished["why"]


def test_again_while_it_is_held_nothing_changes(released, run_migrate):
    hold(run_migrate, released)
    again = hold(run_migrate, released)
    assert (again.exit_code, again.finished["outcome"], again.finished["applied"]) == (0, "held", [])
    assert again.finished["pending"] == ["contract", "index"]


def test_what_breaks_the_release_that_runs_stays_held_though_it_would_break_none_written_since(
    project, database, run_migrate, write_manifest
):
    """A program that was written for a column with NULL can do without the default; the one that is running cannot."""
    table = "CREATE TABLE orders (id integer PRIMARY KEY, state text NOT NULL DEFAULT 'new')"
    project.revision("made", upgrade=f'op.execute("{table}")')
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("expand", down="made", upgrade='op.alter_column("orders", "state", nullable=True)')
    project.revision("contract", down="expand", upgrade='op.alter_column("orders", "state", server_default=None)')
    write_manifest()
    for applied in (["expand"], []):
        result = hold(run_migrate, database)
        assert (result.finished["outcome"], result.finished["applied"]) == ("held", applied)
    assert run_migrate("up", "--breaking", "refuse", database=database).exit_code == 12
    assert run_migrate("up", "--breaking", "allow", database=database).finished["applied"] == ["contract"]


def test_what_a_failed_run_applied_does_not_make_the_release_another(project, database, run_migrate, write_manifest):
    table = "CREATE TABLE orders (id integer PRIMARY KEY, state text NOT NULL DEFAULT 'new')"
    project.revision("made", upgrade=f'op.execute("{table}")')
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("expand", down="made", upgrade='op.alter_column("orders", "state", nullable=True)')
    project.revision("data", down="expand", upgrade='op.execute("SELECT 1 / count(*) FROM orders")')
    project.revision("contract", down="data", upgrade='op.alter_column("orders", "state", server_default=None)')
    broken = next(project.versions.glob("data_*"))
    failing = broken.read_text()
    right = failing.replace("1 / count(*)", "1 / (1 + count(*))")
    broken.write_text(right)
    write_manifest()
    broken.write_text(failing)
    failed = run_migrate("up", "--breaking", "hold", "--stale", "warn", database=database)
    assert (failed.finished["outcome"], failed.finished["applied"]) == ("failed", ["expand"])
    broken.write_text(right)
    result = hold(run_migrate, database)
    assert (result.finished["outcome"], result.finished["applied"]) == ("held", ["data"])
    assert result.finished["pending"] == ["contract"]


def test_in_one_transaction_and_on_the_way_to_a_target_it_holds_as_well(released, run_migrate):
    part = hold(run_migrate, released, "--target", "expand")
    assert (part.finished["outcome"], part.finished["applied"]) == ("applied", ["expand"])
    rest = hold(run_migrate, released, "--target", "contract", "--transaction", "all")
    assert (rest.finished["outcome"], rest.finished["pending"]) == ("held", ["contract"])


def test_all_that_is_held_is_told_before_it_is_done(released, run_migrate):
    plan = run_migrate("plan", "--breaking", "hold", database=released)
    plan.check_clean()
    assert (plan.exit_code, plan.finished["pending"]) == (0, ["expand", "contract", "index"])
    assert plan.finished["held"] == ["contract", "index"]
    assert any(
        "contract" in event["message"] and "old_state" in event["message"] for event in plan.named("state.finding")
    )


def test_on_branches_everything_that_comes_before_is_applied(project, database, run_migrate, write_manifest):
    project.revision("made", upgrade=BASE)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("left", down="made", upgrade=EXPAND)
    project.revision("right", down="made", upgrade='op.execute("CREATE TABLE other (id integer)")')
    project.revision("contract", down="left", depends_on="right", upgrade=CONTRACT)
    project.revision("merge", down=("contract", "right"))
    write_manifest()
    result = hold(run_migrate, database)
    assert (result.exit_code, result.finished["outcome"]) == (0, "held")
    assert sorted(result.finished["applied"]) == ["left", "right"]
    assert sorted(result.finished["to_revision"]) == ["left", "right"]
    assert result.finished["pending"] == ["contract", "merge"]
    rest = run_migrate("up", "--breaking", "allow", database=database)
    assert (rest.exit_code, rest.finished["to_revision"]) == (0, ["merge"])


def test_without_a_manifest_nothing_tells_what_to_hold(project, database, run_migrate):
    project.revision("made", upgrade=BASE)
    assert hold(run_migrate, database).exit_code == 0, "no release runs on an empty database"
    project.revision("expand", down="made", upgrade=EXPAND)
    refused = hold(run_migrate, database)
    assert (refused.exit_code, refused.finished["problem"]) == (10, "no-manifest")
