"""`migrate history`: what the ledger does not have is not made up."""

from __future__ import annotations

from contextlib import closing


def died(database):
    """A run as one that was killed in its backup leaves it, before another closes it."""
    database.execute(
        "INSERT INTO migrate.run (run_id, target, verb, version, from_revision, started_at)"
        " SELECT 'gone', target, 'up', version, to_revision, clock_timestamp() + interval '1 s' FROM migrate.run"
    )
    database.execute(
        "INSERT INTO migrate.step (run_id, target, kind) SELECT run_id, target, 'backup' FROM migrate.run"
        " WHERE run_id = 'gone'"
    )


def test_of_a_run_that_was_killed_only_its_start_is_known(project, database, run_migrate):
    first, _ = project.linear(2)
    assert run_migrate("up", "--target", first, database=database).exit_code == 0
    died(database)
    (newest, _) = run_migrate("history", database=database).named("run.recorded")
    assert newest["message"].endswith(f"gone up: did not end  {first} -> not recorded")
    following = run_migrate("up", database=database)
    following.check_clean()
    (closed,) = following.named("run.abandoned")
    assert closed["message"] == "run gone died in step backup; nothing of it is in the database"
    shown = run_migrate("history", database=database)
    gone = next(run for run in shown.named("run.recorded") if " gone " in run["message"])
    assert gone["message"].endswith(f"gone up: abandoned  {first} -> not recorded")
    assert gone["recorded_steps"][0].startswith("backup abandoned")


def test_a_ledger_that_may_not_be_read_is_not_without_runs(project, database, make_role, run_migrate):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    guest = database.as_role(make_role())
    refused = run_migrate("history", database=guest)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (14, "missing-privilege")
    assert f"{guest.user} may not read the ledger" in refused.finished["why"]
    for statement in refused.finished["fix"].splitlines():
        database.execute(statement)
    assert run_migrate("history", database=guest).finished["runs_count"] == 1
    database.as_superuser.execute(f'DROP OWNED BY "{guest.user}" CASCADE')


def test_a_ledger_that_is_locked_is_not_waited_for_longer_than_the_lock_timeout(project, database, run_migrate):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    with closing(database.connect(application_name="somebody")) as other:
        other.cursor().execute("LOCK TABLE migrate.step IN ACCESS EXCLUSIVE MODE")
        refused = run_migrate("history", "--lock-timeout", "200ms", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (22, "blocked")
    assert "somebody" in refused.finished["why"]
