"""Verbs that look at a fleet: a table, one answer for all, and what one tenant's name adds."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from tests.cli.test_fleet import by_tenant, cookbook, provision  # noqa: F401 - a fixture
from tests.support.waiting import until


@pytest.fixture
def half(cookbook, database, run_migrate):  # noqa: F811 - as above
    """Of four tenants two are at head, one is not begun, one drifted on its way."""
    provision(database, 4)
    first = run_migrate("up", "--tenant", "tenant_0,tenant_1", database=database, cwd=cookbook.path)
    assert first.exit_code == 0, first.stdout.decode()
    database.execute("CREATE TABLE tenant_3.stranger (id integer)")
    return cookbook


def test_status_is_0_where_it_could_read_and_with_exit_code_the_states_decide(half, database, run_migrate):
    told = run_migrate("status", "--log-format", "text", database=database, cwd=half.path)
    assert told.exit_code == 0
    lines = told.stdout.decode().splitlines()
    table = [line.split() for line in lines[-5:]]
    assert table[0] == ["tenant", "at", "pending", "state"]
    assert [row[0] for row in table[1:]] == ["tenant_3", "tenant_2", "tenant_0", "tenant_1"]
    assert table[1][-2:] == ["15", "untracked"]
    assert table[2] == ["tenant_2", "-", "2", "behind"]
    assert table[3] == ["tenant_0", "r2", "noop"]
    judged = run_migrate("status", "--exit-code", database=database, cwd=half.path)
    assert (judged.exit_code, judged.finished["tenants_failed"]) == (15, ["tenant_3"])
    database.execute("DROP TABLE tenant_3.stranger")
    for verb in ("status", "plan"):
        assert run_migrate(verb, "--exit-code", database=database, cwd=half.path).exit_code == 3
    assert run_migrate("up", database=database, cwd=half.path).exit_code == 0
    assert run_migrate("status", "--exit-code", database=database, cwd=half.path).exit_code == 0


def test_wait_ends_where_all_are_ready(half, database, run_migrate):
    late = run_migrate("wait", "--timeout", "0", database=database, cwd=half.path)
    assert late.exit_code == 15 or late.finished["problem"] == "not-ready", late.stdout.decode()
    database.execute("DROP TABLE tenant_3.stranger")
    assert run_migrate("up", database=database, cwd=half.path).exit_code == 0
    assert run_migrate("wait", "--timeout", "0", database=database, cwd=half.path).exit_code == 0


def test_history_has_the_runs_of_all_and_of_one(half, database, run_migrate):
    every = run_migrate("history", database=database, cwd=half.path)
    assert every.exit_code == 0, every.stdout.decode()
    assert sorted(line["tenant"] for line in every.named("run.recorded")) == ["tenant_0", "tenant_1"]
    one = run_migrate("history", "--tenant", "tenant_1", database=database, cwd=half.path)
    assert [line["tenant"] for line in one.named("run.recorded")] == ["tenant_1"]


def test_doctor_examines_the_first_and_says_so(half, database, run_migrate):
    told = run_migrate("doctor", database=database, cwd=half.path)
    assert any(line["message"] == "4 tenants are listed; examined is tenant_0" for line in told.named("target.warning"))
    assert not [line for line in told.events if line.get("problem") == "tenant-needed"]


def test_report_is_a_grid_of_tenants_by_revision_with_the_odd_ones_first(half, database, run_migrate):
    told = run_migrate("report", "--html", "page.html", "--markdown", "page.md", database=database, cwd=half.path)
    assert told.exit_code == 0, told.stdout.decode()
    html = (half.path / "page.html").read_text()
    places = [html.index(f'<th scope="row">tenant_{n}</th>') for n in (3, 2, 0, 1)]
    assert places == sorted(places)
    assert "4 tenants, 2 to look at" in html
    assert html.count("✓") == 4
    assert "| tenant_3 |" in (half.path / "page.md").read_text().replace("\\_", "_")
    one = run_migrate("report", "--html", "one.html", "--tenant", "tenant_0", database=database, cwd=half.path)
    assert one.exit_code == 0, one.stdout.decode()


def test_every_line_of_a_tenant_says_whose_it_is(half, database, run_migrate):
    told = run_migrate("up", database=database, cwd=half.path)
    of_all = {"run.started", "run.finished", "image.loaded", "heartbeat", "image.warning", "target.warning"}
    assert [line["event"] for line in told.events if "tenant" not in line and line["event"] not in of_all] == []
    assert by_tenant(told)["tenant_3"]["exit_code"] == 15
    assert [line["tenant"] for line in told.named("tenant.started")] == ["tenant_2", "tenant_3"]
    assert told.named("tenant.started")[0]["tenants"] == 4


def test_the_last_line_has_the_fix_of_the_most_serious_tenant(half, database, run_migrate):
    last = run_migrate("up", database=database, cwd=half.path).finished
    assert (last["exit_code"], last["problem"]) == (15, "tenants-failed")
    assert "migrate adopt" in last["fix"], last["fix"]
    assert "--tenant tenant_3" in last["fix"], last["fix"]


def test_a_line_of_text_says_whose_it_is(half, database, run_migrate):
    told = run_migrate("up", "--log-format", "text", database=database, cwd=half.path).stdout.decode()
    lines = [line for line in told.splitlines() if "proven at" in line or "revision r2" in line]
    assert lines, told
    assert all("tenant_2: " in line for line in lines), told


def test_a_line_is_told_while_its_tenant_goes_on(cookbook, database, start_migrate):  # noqa: F811 - a fixture
    """A runner tells several lines at once, and yet does not keep what is not over."""
    provision(database, 1)
    cookbook.revision("r3", down="r2", upgrade="op.execute('SELECT pg_advisory_xact_lock(4711)')")
    with closing(database.connect()) as holder, holder.cursor() as held:
        held.execute("SELECT pg_advisory_xact_lock(4711)")
        running = start_migrate("up", database=database, cwd=cookbook.path)
        until(lambda: [line for line in running.so_far.named("revision.started") if line["revision"] == "r3"])
        assert not running.so_far.named("tenant.finished")
        holder.rollback()
    assert running.finish().exit_code == 0


def test_a_plan_in_markdown_counts_the_tenants_and_has_what_comes_next_at_each_place_once(half, database, run_migrate):
    assert run_migrate("manifest", "-x", "tenant=public", database=database, cwd=half.path).exit_code == 0
    provision(database, 12, prefix="tenant_new_")
    told = run_migrate("plan", "--format", "markdown", database=database, cwd=half.path)
    assert told.exit_code == 15  # of tenant_3, as up would end
    text = told.stdout.decode().partition("### ")[2]
    assert text.startswith("Migrations: 16 tenants\n")
    assert "| 1 | - | 2 | 15 untracked | tenant\\_3 |" in text or "| 1 | - |  | 15 untracked | tenant\\_3 |" in text
    assert "| 13 | - | 2 | behind | tenant\\_2, tenant\\_new\\_0, " in text
    assert "and 8 more |" in text
    assert "| 2 | r2 |  | noop |  |" in text  # who is where it should be is counted
    assert text.count("### Migrations: 2 revisions after base") == 1
    assert text.count("#### r1: ") == text.count("#### r2: ") == 1
    behind = run_migrate("plan", "--format", "sarif", "--tenant", "tenant_2", database=database, cwd=half.path)
    assert behind.exit_code == 0, behind.stdout.decode()
    assert json.loads(behind.stdout)["runs"]


def test_a_plan_in_markdown_is_bounded(half, database, run_migrate):
    for number in range(3, 20):
        half.revision(f"r{number}", down=f"r{number - 1}", upgrade="op.execute('SELECT 1')")
    database.execute("DROP TABLE tenant_3.stranger")
    assert run_migrate("manifest", "-x", "tenant=public", database=database, cwd=half.path).exit_code == 0
    names = provision(database, 13, prefix="tenant_at_")
    for number, name in enumerate(names):
        database.execute(
            f"CREATE TABLE {name}.a (id integer); CREATE TABLE {name}.b (id integer);"
            f"CREATE TABLE {name}.alembic_version (version_num varchar(32) PRIMARY KEY);"
            f"INSERT INTO {name}.alembic_version VALUES ('r{number + 3}')"
        )
    told = run_migrate("plan", "--format", "markdown", database=database, cwd=half.path)
    assert told.exit_code == 0, told.stdout.decode()
    text = told.stdout.decode()
    assert text.count("### Migrations: ") == 11
    assert "what comes next at 5 other places is not shown" in text
