"""`migrate report` on a real database, after real runs."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.process import assert_absent


@pytest.fixture
def ran(project, database, run_migrate, write_manifest):
    ids = project.linear(3)
    write_manifest()
    assert run_migrate("up", "--target", ids[1], database=database).exit_code == 0
    database.execute("CREATE TABLE audit_log (id integer)")
    return database


def test_both_files(project, ran, run_migrate, tmp_path):
    page, text = tmp_path / "page.html", tmp_path / "page.md"
    result = run_migrate("report", "--html", str(page), "--markdown", str(text), database=ran)
    result.check_clean()
    assert result.exit_code == 0
    assert result.finished["files"] == [str(page), str(text)]
    (run_id,) = {row[0] for row in ran.rows("SELECT run_id FROM migrate.run")}
    for written in (page.read_text(), text.read_text()):
        assert_absent(ran.password, written.encode())
        for said in (run_id, "r0001", "create r0003", "audit_log", "table r0002: table", "would apply 1 revision"):
            assert said in written.replace("\\_", "_"), said


def test_a_downgrade_is_listed_with_what_it_changed(ran, run_migrate, tmp_path):
    assert run_migrate("down", "--to", "r0001", database=ran).exit_code == 0
    page, text = tmp_path / "page.html", tmp_path / "page.md"
    assert run_migrate("report", "--html", str(page), "--markdown", str(text), database=ran).exit_code == 0
    assert "- table r0002: table" in page.read_text().replace("<span>", "").replace("</span>", "")
    (row,) = [line for line in text.read_text().replace("\\_", "_").splitlines() if "down downgraded" in line]
    assert re.search(r"\| r0002: \d+ \|$", row)


def test_json_is_one_object_beside_the_files(ran, run_migrate, tmp_path):
    page = tmp_path / "page.md"
    found = json.loads(run_migrate("report", "--json", "--markdown", str(page), database=ran).stdout)
    assert (found["files"], found["runs"], found["revisions"], found["exit_code"]) == ([str(page)], 1, 3, 0)
    assert page.exists()


def test_it_changes_nothing(project, database, run_migrate, tmp_path):
    project.linear(1)
    result = run_migrate("report", "--markdown", str(tmp_path / "page.md"), database=database)
    assert result.exit_code == 0
    assert database.scalar("SELECT to_regnamespace('migrate')") is None
    assert "The ledger has no runs" in (tmp_path / "page.md").read_text()


def test_a_state_that_up_refuses_is_reported_all_the_same(project, database, run_migrate, tmp_path):
    project.linear(1)
    database.execute("CREATE TABLE orders (id integer)")
    result = run_migrate("report", "--markdown", str(tmp_path / "page.md"), database=database)
    assert result.exit_code == 0
    assert "would refuse: " in (tmp_path / "page.md").read_text()


def test_a_failed_run(project, database, run_migrate, tmp_path):
    project.revision("one", message="one", upgrade="raise RuntimeError('no luck')")
    assert run_migrate("up", database=database).exit_code == 30
    assert run_migrate("report", "--html", str(tmp_path / "page.html"), database=database).exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "✗ failed" in page
    assert "revision-failed, exit code 30" in page


@pytest.mark.parametrize("flags", [[], ["--html", "no/such/folder/page.html"]])
def test_a_file_is_needed_that_can_be_written(project, database, run_migrate, flags):
    project.linear(1)
    result = run_migrate("report", *flags, database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (2, "usage")


def test_no_more_runs_than_asked_for(project, database, run_migrate, tmp_path):
    ids = project.linear(3)
    for target in ids:
        assert run_migrate("up", "--target", target, database=database).exit_code == 0
    assert (
        run_migrate("report", "--markdown", str(tmp_path / "page.md"), "--limit", "2", database=database).exit_code == 0
    )
    assert "| runs recorded | 2 or more |" in (tmp_path / "page.md").read_text()
