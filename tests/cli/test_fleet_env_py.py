"""How env.py files of real projects learn their tenant: each kind, from an empty fleet to its head, one proof each."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_fleet import by_tenant, provision

# As a project does that gives each process a batch of schemas: a list by -x, a loop, and one transaction each.
BATCHES = """
import os
from alembic import context
from sqlalchemy import create_engine, pool, text
told = context.get_x_argument(as_dictionary=True)
schemas = [name.strip() for name in told["schemas"].split(",")]
create = told.get("create_schema", "true").lower() == "true"
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
                       poolclass=pool.NullPool)
for schema in schemas:
    with engine.connect() as connection:
        if create:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            connection.commit()
        connection.execute(text(f'SET search_path TO "{schema}"'))
        connection.commit()
        context.configure(
            connection=connection, target_metadata=None, version_table_schema=schema, include_schemas=True
        )
        with context.begin_transaction():
            context.run_migrations()
"""
ASYNC = """
import asyncio, os
from alembic import context
from sqlalchemy import pool, text
from sqlalchemy.ext.asyncio import create_async_engine
schema = context.get_x_argument(as_dictionary=True)["schema"]

def run(connection):
    connection.execute(text(f'SET search_path TO "{{schema}}"'))
    connection.commit()
    connection.dialect.default_schema_name = schema
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(
        os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+{driver}://"), poolclass=pool.NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""
# A database for each: env.py is told which one, and finds its URL itself.
OF_DATABASE = """
import os
from alembic import context
from sqlalchemy import create_engine, pool
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://")
assert context.get_x_argument(as_dictionary=True)["tenant"] == context.config.cmd_opts.x[0].split("=")[1]
engine = create_engine(url, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
# What a revision does beside the tenant's schema would be done for each of them: it names nothing.
TRANSLATED = """
import os
from alembic import context
from sqlalchemy import create_engine, pool
tenant = context.get_x_argument(as_dictionary=True)["tenant"]
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
                       poolclass=pool.NullPool)
with engine.connect() as connection:
    connection = connection.execution_options(schema_translate_map={None: tenant})
    context.configure(connection=connection, target_metadata=None, version_table_schema=tenant)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture
def history(project):
    """Two revisions, as operations."""
    project.write_env()
    project.linear(2)
    return project


@pytest.mark.parametrize(
    ("env_py", "argument"),
    [
        pytest.param(BATCHES, "schemas={schema}", id="-x in batches"),
        pytest.param(ASYNC.format(driver="asyncpg"), "schema={schema}", id="asyncpg"),
        pytest.param(ASYNC.format(driver="psycopg"), "schema={schema}", id="psycopg"),
        pytest.param(TRANSLATED, "tenant={tenant}", id="schema_translate_map"),
    ],
)
def test_a_schema_per_tenant(history, database, run_migrate, env_py, argument):
    history.env.write_text(env_py)
    (history.path / "pyproject.toml").write_text(
        f'[tool.migrate]\nx = ["{argument}"]\n[tool.migrate.tenants]\nschemas = "tenant_%"\n'
    )
    names = provision(database, 4)
    result = run_migrate("up", database=database, cwd=history.path)
    assert result.exit_code == 0, result.stdout.decode()
    assert {name: line["applied"] for name, line in by_tenant(result).items()} == {
        key: ["r0001", "r0002"] for key in names
    }
    made = database.rows(
        "SELECT schemaname, count(*) FROM pg_tables"
        " WHERE tablename IN ('r0001', 'r0002', 'alembic_version') GROUP BY 1 ORDER BY 1"
    )
    assert made == [(name, 3) for name in names]
    assert {line["tenant"] for line in result.named("proof.finished")} == set(names)
    assert run_migrate("up", database=database, cwd=history.path).finished["outcome"] == "noop"


def test_a_database_per_tenant_each_told_by_name(history, make_database, run_migrate):
    history.env.write_text(OF_DATABASE)
    databases = {f"t{n}": make_database() for n in range(3)}
    lines = [json.dumps({"tenant": name, "url": each.url}) for name, each in databases.items()]
    (history.path / "tenants").write_text("\n".join(lines))
    (history.path / "pyproject.toml").write_text(
        '[tool.migrate]\nx = ["tenant={tenant}"]\n[tool.migrate.tenants]\ncommand = ["cat", "tenants"]\n'
    )
    result = run_migrate("up", database=databases["t0"], cwd=history.path)
    assert result.exit_code == 0, result.stdout.decode()
    for each in databases.values():
        assert each.rows("SELECT version_num FROM alembic_version") == [("r0002",)]
        assert each.password not in result.stdout.decode()


def test_arguments_without_tenants_are_alembics_own(history, database, run_migrate):
    history.env.write_text(
        "from alembic import context\n"
        "told = context.get_x_argument(as_dictionary=True)\n"
        "assert (told['a'], told['b']) == ('1', 'two words'), told\n"
        "assert context.config.cmd_opts.x == ['a=1', 'b=two words'], context.config.cmd_opts\n"
        + OF_DATABASE.replace("assert", "# assert")
    )
    result = run_migrate("up", "-x", "a=1", "-x", "b=two words", database=database, cwd=history.path)
    assert result.exit_code == 0, result.stdout.decode()
    (history.path / "pyproject.toml").write_text('[tool.migrate]\nx = ["a=1", "b=two words"]\n')
    history.linear(1, prefix="s", down="r0002")
    assert run_migrate("up", database=database, cwd=history.path).exit_code == 0


LOOP = """
import os
from alembic import context
from sqlalchemy import create_engine, pool, text
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
                       poolclass=pool.NullPool)
with engine.connect() as connection:
    names = [row[0] for row in connection.execute(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant_%'"))]
for name in names:
    with engine.connect() as connection:
        connection.execute(text(f'SET search_path TO "{name}"'))
        connection.commit()
        context.configure(connection=connection, target_metadata=None, version_table_schema=name)
        with context.begin_transaction():
            context.run_migrations()
"""


@pytest.mark.parametrize("has_tenants", [False, True], ids=["alone", "in a fleet"])
def test_an_env_py_that_loops_itself_is_told_what_to_write_instead(history, database, run_migrate, has_tenants):
    history.env.write_text(LOOP)
    provision(database, 3)
    arguments = ["--version-table-schema", "tenant_0"]
    if has_tenants:
        (history.path / "pyproject.toml").write_text('[tool.migrate.tenants]\nschemas = "tenant_%"\n')
        arguments = []
    result = run_migrate("up", *arguments, database=database, cwd=history.path)
    ended = by_tenant(result)["tenant_0"] if has_tenants else result.finished
    assert (ended["exit_code"], ended["problem"]) == (13, "several-targets")
    assert "[tool.migrate.tenants]" in ended["fix"]
    assert "get_x_argument" in ended["fix"]
    assert database.rows("SELECT count(*) FROM pg_tables WHERE tablename = 'r0001'") == [(0,)]
