"""`migrate plan --sql`: what the pending revisions send, as a run in a throw-away database shows it."""

from __future__ import annotations

import json

import pytest

ASKING = """
bind = op.get_bind()
count = bind.execute(sa.text("SELECT count(*) FROM pg_tables WHERE tablename = :name"), {"name": "r0001"}).scalar()
op.execute(f"COMMENT ON TABLE r0001 IS '{count} table, 100%'")
op.bulk_insert(sa.table("r0001", sa.column("id", sa.Integer)), [{"id": 1}, {"id": 2}])
"""


@pytest.fixture
def planned(project, database, run_migrate, server):
    """A database at r0001, whose table has rows; then two revisions, the first of which asks the database."""

    def plan(*arguments, driver="psycopg2"):
        project.write_env(driver=driver)
        project.linear(1)
        assert run_migrate("up", database=database).exit_code == 0
        project.revision("ask", down="r0001", message="asks", upgrade=ASKING)
        project.linear(1, prefix="s", down="ask")
        env = {"MIGRATE_SHADOW_URL": server.url(), "MIGRATE_SHADOW_BESIDE_TARGET": "true"}
        before = database.rows("SELECT version_num FROM alembic_version")
        result = run_migrate("plan", "--sql", *arguments, database=database, env=env)
        assert database.rows("SELECT version_num FROM alembic_version") == before
        assert database.scalar("SELECT count(*) FROM r0001") == 0
        return result

    return plan


def test_each_revisions_statements_stand_under_its_name(planned):
    result = planned()
    text = result.stdout.decode()
    assert result.exit_code == 0, text
    assert result.stderr == b""
    ask = text.index("-- revision ask: asks (migrations/versions/ask_asks.py)\n")
    after = text.index("-- revision s0001: ")
    assert ask < text.index("COMMENT ON TABLE r0001 IS '1 table, 100%';\n") < after
    assert "tablename = 'r0001'" in text
    assert "INSERT INTO r0001 (id) VALUES (1)" in text
    assert after < text.index("CREATE TABLE s0001 (")
    assert "UPDATE alembic_version SET version_num='s0001'" in text
    assert "CREATE TABLE r0001" not in text, "what was applied is not sent again"


def test_drivers_that_do_not_show_what_they_send_show_their_parameters(planned):
    text = planned(driver="psycopg").stdout.decode()
    assert "-- parameters: {'name': 'r0001'}" in text


def test_json_has_the_statements_beside_the_plan(planned):
    said = json.loads(planned("--json").stdout)
    assert said["pending_count"] == 2
    assert {each["revision"] for each in said["sql"]} == {"ask", "s0001"}
    assert any("100%" in each["sql"] for each in said["sql"])


def test_a_refusal_is_said_as_without_it(project, database, run_migrate):
    project.linear(1)
    database.execute("CREATE TABLE orders (id integer)")
    result = run_migrate("plan", "--sql", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "untracked")


def test_with_nothing_to_do_nothing_is_started(project, database, run_migrate):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    env = {"MIGRATE_SHADOW_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert run_migrate("plan", "--sql", database=database, env=env).exit_code == 0
