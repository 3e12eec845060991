"""`migrate plan` and `migrate status`: read-only, with the refusal that `up` would give."""

from __future__ import annotations

import json

from tests.support.process import alembic


def test_plan_lists_what_is_pending_and_changes_nothing(project, database, run_migrate):
    ids = project.linear(2)
    alembic(project, database, "upgrade", ids[0])
    before = database.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    result = run_migrate("plan", database=database)
    result.check_clean()
    assert result.exit_code == 0
    assert result.finished["position"] == "behind"
    assert result.finished["steps"] == ["upgrade"]
    assert result.finished["outcome"] == "noop"
    assert result.finished["pending"] == [ids[1]]
    (listed,) = result.finished["revisions"]
    assert ids[1] in listed
    assert "create r0002" in listed
    assert "migrations/versions/" in listed
    after = database.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    assert before == after
    assert database.scalar("SELECT to_regnamespace('migrate')") is None


def test_exit_code_3_only_when_asked(project, database, run_migrate):
    project.linear(1)
    for verb in ("plan", "status"):
        assert run_migrate(verb, database=database).exit_code == 0
        asked = run_migrate(verb, "--exit-code", database=database)
        asked.check_clean()
        assert (asked.exit_code, asked.finished["exit_name"]) == (3, "pending")
    assert run_migrate("up", database=database).exit_code == 0
    for verb in ("plan", "status"):
        assert run_migrate(verb, "--exit-code", database=database).exit_code == 0


def test_plan_refuses_as_up_would(project, database, run_migrate):
    project.linear(1)
    database.execute("CREATE TABLE orders ()")
    plan = run_migrate("plan", database=database)
    plan.check_clean()
    up = run_migrate("up", database=database)
    assert (plan.exit_code, plan.finished["problem"], plan.finished["why"]) == (
        up.exit_code,
        up.finished["problem"],
        up.finished["why"],
    )


def test_status_reports_what_up_would_refuse(project, database, run_migrate):
    project.linear(1)
    database.execute("CREATE TABLE orders ()")
    status = run_migrate("status", database=database)
    status.check_clean()
    assert (status.exit_code, status.finished["refusal"]) == (0, "untracked")
    assert run_migrate("status", "--exit-code", database=database).exit_code == 15


def test_json_is_one_whole_object(project, database, run_migrate):
    project.linear(120)
    for verb in ("plan", "status"):
        found = json.loads(run_migrate(verb, "--json", database=database).stdout)
        assert len(found["revisions"]) == 120, "a result is not cut like a log line"


def test_people_see_text(project, database, run_migrate):
    ids = project.linear(1)
    shown = run_migrate("status", "--log-format", "text", database=database)
    assert shown.stdout.decode().splitlines()[0] == "state     empty (no version)"
    assert ids[0] in shown.stdout.decode()


def test_one_is_no_plural(project, database, run_migrate):
    (only,) = project.linear(1)
    planned = run_migrate("plan", database=database)
    assert planned.named("decision.made")[0]["message"] == "upgrade by 1 revision"
    assert planned.named("image.loaded")[0]["message"].startswith("1 revision, head ")
    applied = run_migrate("up", database=database)
    assert applied.finished["message"] == f"up: 1 revision applied, now at {only}"
    assert run_migrate("history", database=database).finished["message"] == "1 run is recorded"


def test_plan_says_in_its_last_line_what_up_would_do(project, database, run_migrate):
    project.linear(2)
    result = run_migrate("plan", database=database)
    assert (result.finished["outcome"], result.finished["pending_count"]) == ("noop", 2)
    assert result.finished["message"].endswith("2 pending: migrate up would upgrade by 2 revisions")
