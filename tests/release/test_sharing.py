"""Several revisions in one transaction of a database that was empty: what may be, and that nothing else comes out."""

from __future__ import annotations

import pytest

from migrate.child.sharing import MOST

MAKES = "op.execute('CREATE TABLE {} (id integer PRIMARY KEY)')"


def line(project, *upgrades):
    """A line of revisions r1, r2, ..."""
    for number, upgrade in enumerate(upgrades, 1):
        project.revision(f"r{number}", down=f"r{number - 1}" if number > 1 else None, upgrade=upgrade)


def applied(run_migrate, database, *flags, env=None):
    """A run that comes to the head."""
    result = run_migrate("up", *flags, database=database, env=env)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "applied"), result.finished
    return result


def together(database):
    """The revisions that the ledger has, those of one transaction side by side."""
    found = database.rows(
        "SELECT array_agg(revision ORDER BY step_id) FROM migrate.step WHERE status = 'finished' GROUP BY xid ORDER BY min(step_id)"
    )
    return [ids for (ids,) in found]


def retried(result):
    return [event["revision"] for event in result.named("revision.retry")]


def test_plain_revisions_share_a_transaction_and_each_has_its_step_of_the_ledger(project, database, run_migrate):
    line(project, *(MAKES.format(f"t{n}") for n in range(4)))
    result = applied(run_migrate, database)
    assert together(database) == [["r1", "r2", "r3", "r4"]]
    assert [event["committed"] for event in result.named("revision.finished")] == [False] * 4
    wrong = "SELECT revision FROM migrate.step WHERE finished_at < started_at OR source IS NULL OR sha256 IS NULL"
    assert database.rows(wrong) == []
    assert len(database.rows("SELECT DISTINCT started_at FROM migrate.step")) == 4


def test_no_more_than_so_many_do(project, database, run_migrate):
    line(project, *["pass"] * 120)
    applied(run_migrate, database)
    sizes = list(map(len, together(database)))
    assert (sum(sizes), max(sizes)) == (120, MOST)


def test_they_share_none_where_something_was_there_already(project, database, run_migrate):
    line(project, MAKES.format("first"))
    applied(run_migrate, database)
    line(project, MAKES.format("first"), MAKES.format("a"), MAKES.format("b"))
    applied(run_migrate, database)
    assert together(database) == [["r1"], ["r2"], ["r3"]]


@pytest.mark.parametrize(
    "alone",
    [
        "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY i ON a (id)')",
        "op.execute('COMMIT')",
        "import os\nos.getpid()",
        "op.get_bind().connection.cursor().execute('SELECT 1')",
    ],
    ids=["autocommit", "commit", "import", "driver"],
)
def test_a_revision_that_may_leave_its_transaction_runs_by_itself(project, database, run_migrate, alone):
    line(project, MAKES.format("a"), MAKES.format("b"), alone, MAKES.format("c"), MAKES.format("d"))
    result = applied(run_migrate, database)
    assert retried(result) == []
    assert [ids for ids in together(database) if len(ids) > 1] == [["r1", "r2"], ["r4", "r5"]]


# What the text does not show.
@pytest.mark.parametrize(
    "upgrade",
    [
        "op.execute('COM' + 'MIT')\nop.execute('CREATE TABLE c (id integer)')",
        "op.execute('CREATE TABLE c (id integer); EN' + 'D')",
        "getattr(op.get_context(), 'auto' + 'com' + 'mit_block')().__enter__()\nop.execute('CREATE TABLE c (id integer)')",
        "try:\n    op.execute('COM' + 'MIT')\nexcept Exception:\n    pass\nop.execute('CREATE TABLE c (id integer)')",
        "getattr(op.get_bind().get_transaction(), 'com' + 'mit')()\nop.execute('CREATE TABLE c (id integer)')",
    ],
    ids=["text", "end", "block", "swallowed", "transaction"],
)
def test_one_that_is_seen_to_leave_it_ends_the_sharing_before_anything_is_done(project, database, run_migrate, upgrade):
    line(project, MAKES.format("a"), MAKES.format("b"), upgrade)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert retried(result)[:1] == ["r3"]
    assert "commits by itself" in result.named("revision.retry")[0]["message"]
    assert together(database)[:2] == [["r1"], ["r2"]]
    assert result.finished["applied"][:2] == ["r1", "r2"]


def test_one_that_rolls_back_what_those_before_it_did_ends_the_sharing(project, database, run_migrate):
    line(
        project,
        MAKES.format("a"),
        MAKES.format("b"),
        "getattr(op.get_bind().get_transaction(), 'roll' + 'back')()\nop.get_bind().execution_options()\n",
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.finished["applied"][:2] == ["r1", "r2"]
    assert database.scalar("SELECT count(*) FROM pg_tables WHERE tablename IN ('a', 'b')") == 2


DEFERRED = "op.execute('CREATE TABLE child (id integer REFERENCES a DEFERRABLE INITIALLY DEFERRED)')"


def test_what_goes_wrong_only_in_one_transaction_goes_right_apart(project, database, run_migrate):
    # 55006: "cannot ALTER TABLE because it has pending trigger events"
    insert = f"{DEFERRED}\nop.execute('INSERT INTO a VALUES (1)')\nop.execute('INSERT INTO child VALUES (1)')"
    line(project, MAKES.format("a"), insert, "op.execute('ALTER TABLE child ADD COLUMN note text')")
    result = applied(run_migrate, database)
    assert retried(result) == ["r3"]
    assert together(database) == [["r1"], ["r2"], ["r3"]]


def test_what_fails_at_the_commit_is_laid_to_the_revision_that_did_it(project, database, run_migrate):
    line(
        project,
        MAKES.format("a"),
        f"{DEFERRED}\nop.execute('INSERT INTO child VALUES (1)')",
        MAKES.format("b"),
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["failed"]) == (30, "r2")
    assert result.finished["applied"] == ["r1"]
    assert database.scalar("SELECT to_regclass('b')") is None


def test_a_revision_that_fails_leaves_those_before_it(project, database, run_migrate):
    line(project, MAKES.format("a"), MAKES.format("b"), "op.execute('SELECT 1 / 0')", MAKES.format("c"))
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"], result.finished["failed"]) == (30, "revision-failed", "r3")
    assert (result.finished["applied"], result.finished["to_revision"]) == (["r1", "r2"], ["r2"])
    steps = database.rows("SELECT revision, status FROM migrate.step ORDER BY step_id")
    assert steps == [("r1", "finished"), ("r2", "finished"), ("r3", "failed")]


@pytest.mark.parametrize(
    "setting",
    ["SET LOCAL migrate_test.x = '1'", "SELECT set_config('migrate_test.x', '1', true)", "SET lock_timeout = '7s'"],
)
def test_what_a_revision_sets_for_its_transaction_holds_for_no_other(project, database, run_migrate, setting):
    asks = "current_setting('{}', true)"
    kept = ", ".join(asks.format(name) for name in ("migrate_test.x", "lock_timeout"))
    line(
        project,
        "op.execute('CREATE TABLE seen (x text, lock_timeout text)')",
        f'op.execute("{setting}")',
        f'op.execute("INSERT INTO seen SELECT {kept}")',
    )
    applied(run_migrate, database)
    assert together(database) == [["r1", "r2"], ["r3"]]
    (x, timeout) = database.rows("SELECT x, lock_timeout FROM seen")[0]
    assert (x or "", timeout) == ("", "2s")


def test_an_env_py_that_commits_each_revision_still_does(project, database, run_migrate):
    project.write_env(transaction_per_migration=True)
    line(project, MAKES.format("a"), MAKES.format("b"))
    applied(run_migrate, database)
    assert together(database) == [["r1"], ["r2"]]


@pytest.mark.parametrize("env", [{"engine": "async"}, {"driver": "psycopg"}, {"engine": "begin"}])
def test_every_env_py_comes_to_the_same(project, database, run_migrate, env):
    project.write_env(**env)
    line(project, MAKES.format("a"), MAKES.format("b"), MAKES.format("c"))
    result = applied(run_migrate, database)
    assert result.finished["applied"] == ["r1", "r2", "r3"]
    assert together(database) == [["r1", "r2", "r3"]]


def test_a_ledger_that_the_revisions_role_cannot_write_is_written_all_the_same(
    project, database, run_migrate, make_role
):
    role = make_role()
    database.as_superuser.execute(f'GRANT "{role.name}" TO "{database.user}"')
    database.as_superuser.execute(f'GRANT ALL ON SCHEMA public TO "{role.name}"')
    becomes = f"op.execute('GRANT ALL ON alembic_version TO \"{role.name}\"')\nop.execute('SET ROLE \"{role.name}\"')"
    line(project, becomes, MAKES.format("b"), MAKES.format("c"))
    result = applied(run_migrate, database)
    assert len(result.named("ledger.warning")) == 1
    assert {status for (status,) in database.rows("SELECT status FROM migrate.step")} == {"finished"}


def test_one_that_has_none_beside_it_fails_once(project, database, run_migrate):
    project.revision("bad", upgrade="op.execute('SELECT 1/0')")
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert result.named("revision.retry") == []
