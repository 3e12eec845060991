"""Ids that are longer than the 32 characters for which Alembic makes its version table."""

from __future__ import annotations

import pytest

FIRST, LONG = "20260101_first", "20260202_add_payment_reference_to_invoices"
WIDE = """
with create_engine(url, poolclass=pool.NullPool).begin() as first:
    first.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(128) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    first.exec_driver_sql("ALTER TABLE alembic_version ALTER COLUMN version_num TYPE varchar(128)")
"""
WIDENING = 'op.execute("ALTER TABLE alembic_version ALTER COLUMN version_num TYPE varchar(64)")'


@pytest.fixture
def long_ids(project) -> None:
    project.revision(FIRST, upgrade='op.create_table("invoices", sa.Column("id", sa.Integer, primary_key=True))')
    project.revision(LONG, down=FIRST, upgrade='op.add_column("invoices", sa.Column("payref", sa.Text))')


@pytest.mark.usefixtures("long_ids")
def test_an_env_py_that_makes_the_table_wide_enough_runs(project, database, run_migrate, write_manifest):
    project.write_env(head=WIDE)
    for arguments in (("plan",), ("doctor",), ("up",), ("status",), ("doctor",)):
        result = run_migrate(*arguments, database=database)
        assert result.exit_code == 0, (arguments, result.finished)
    assert database.scalar("SELECT version_num FROM alembic_version") == LONG
    write_manifest()


@pytest.mark.usefixtures("long_ids")
def test_an_env_py_that_widens_an_old_table_runs(project, database, run_migrate):
    project.write_env(head=WIDE)
    database.execute(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); CREATE TABLE invoices (id int)"
    )
    database.execute("INSERT INTO alembic_version VALUES (%s)", FIRST)
    assert run_migrate("up", database=database).exit_code == 0


@pytest.mark.usefixtures("long_ids")
def test_a_revision_that_widens_the_table_runs(project, database, run_migrate):
    project.revision(FIRST, upgrade=f'op.execute("CREATE TABLE invoices (id int)")\n{WIDENING}')
    assert run_migrate("up", database=database).exit_code == 0


@pytest.mark.usefixtures("long_ids")
@pytest.mark.parametrize("is_there", [False, True])
def test_a_table_that_nothing_makes_wide_enough_is_refused_and_the_fix_makes_room(database, run_migrate, is_there):
    if is_there:
        database.execute(
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); CREATE TABLE invoices (id int)"
        )
        database.execute("INSERT INTO alembic_version VALUES (%s)", FIRST)
    for arguments in (("up",), ("plan",), ("status", "--exit-code"), ("doctor",)):
        result = run_migrate(*arguments, database=database)
        assert (result.exit_code, result.finished["problem"]) == (11, "bad-history"), arguments
        assert LONG in result.finished["why"]
    database.execute(result.finished["fix"])
    assert run_migrate("up", database=database).exit_code == 0


@pytest.mark.usefixtures("long_ids")
def test_a_replay_says_what_is_too_long(run_migrate, server):
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")
    assert "42 characters" in result.finished["why"]


@pytest.mark.usefixtures("long_ids")
@pytest.mark.parametrize("has_table", [False, True])
def test_adopting_makes_the_table_wide_enough(project, database, run_migrate, write_manifest, has_table):
    project.write_env(head=WIDE)
    write_manifest()
    database.execute("CREATE TABLE invoices (id serial PRIMARY KEY, payref text)")
    if has_table:
        database.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    adopted = run_migrate("up", "--adopt", "exact", database=database)
    assert (adopted.exit_code, adopted.finished["to_revision"]) == (0, [LONG])
