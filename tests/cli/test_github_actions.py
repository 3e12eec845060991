"""The process inside a GitHub workflow: an annotation on the revision's file and a summary, never a broken line."""

from __future__ import annotations

from tests.support.process import assert_absent


def in_a_workflow(project, tmp_path, **more):
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(project.path.parent),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        **more,
    }


def test_a_failing_revision_is_marked_in_its_file(project, database, run_migrate, tmp_path):
    project.revision("boom", upgrade="op.execute('SELECT 1 / 0')")
    env = in_a_workflow(project, tmp_path, MIGRATE_LOG_FORMAT="text")
    result = run_migrate("up", database=database, env=env)
    assert result.exit_code == 30
    last = result.stdout.decode().splitlines()[-1]
    assert last.startswith(f"::error file={project.path.name}/migrations/versions/")
    assert "division by zero" in last
    assert "line=" in last
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "### migrate up: failed" in summary
    assert "| failed | boom |" in summary
    assert_absent(database.password, summary.encode() + result.stdout)


def test_json_lines_stay_json_lines(project, database, run_migrate, tmp_path):
    project.revision("boom", upgrade="op.execute('SELECT 1 / 0')")
    result = run_migrate("up", database=database, env=in_a_workflow(project, tmp_path))
    result.check_clean()
    assert result.exit_code == 30
    assert "division by zero" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_each_step_of_a_job_adds_to_the_summary(project, database, run_migrate, tmp_path):
    project.linear(1)
    for _ in range(2):
        run_migrate("up", database=database, env=in_a_workflow(project, tmp_path)).check_clean()
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.index("migrate up: applied") < summary.index("migrate up: noop")


def test_a_summary_that_cannot_be_written_is_no_reason_to_fail(project, database, run_migrate, tmp_path):
    project.linear(1)
    env = in_a_workflow(project, tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "such"))
    result = run_migrate("up", database=database, env=env)
    result.check_clean()
    assert result.exit_code == 0


def test_elsewhere_nothing_is_written(project, database, run_migrate, tmp_path):
    project.linear(1)
    run_migrate("up", database=database, env={"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})
    assert not (tmp_path / "summary.md").exists()
