"""An env.py is believed for the one target that was observed, and for what it has committed there; nothing else is green."""

from __future__ import annotations

from textwrap import dedent

import pytest

PRELUDE = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool, text

url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://", 1)
engine = create_engine(url, poolclass=pool.NullPool)


def run(tenant, **options):
    with engine.connect() as connection:
        connection.execute(text(f'SET search_path TO "{tenant}"'))
        connection.commit()
        context.configure(connection=connection, version_table_schema=tenant, **options)
        with context.begin_transaction():
            context.run_migrations()


"""
SHAPES = {
    "a loop": """
        for tenant in ("tenant_a", "tenant_b"):
            run(tenant)
        """,
    "map": "list(map(run, ('tenant_a', 'tenant_b')))",
    "one after the other": "run('tenant_a')\nrun('tenant_b')",
    "try around each": """
        for tenant in ("tenant_a", "tenant_b"):
            try:
                run(tenant)
            except Exception as error:
                print("never mind", type(error).__name__)
        """,
    "a bare except and an exit": """
        for tenant in ("tenant_a", "tenant_b"):
            try:
                run(tenant)
            except:
                raise SystemExit(0)
        """,
    "one connection": """
        with engine.connect() as connection:
            for tenant in ("tenant_a", "tenant_b"):
                connection.execute(text(f'SET search_path TO "{tenant}"'))
                connection.commit()
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
        """,
    "translated schemas": """
        for tenant in ("tenant_a", "tenant_b"):
            with engine.connect().execution_options(schema_translate_map={None: tenant}) as connection:
                connection.execute(text(f'SET search_path TO "{tenant}"'))
                connection.commit()
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
        """,
    "contexts that run themselves": """
        for tenant in ("tenant_a", "tenant_b"):
            with engine.connect() as connection:
                connection.execute(text(f'SET search_path TO "{tenant}"'))
                connection.commit()
                context.configure(connection=connection, version_table_schema=tenant)
                with context.begin_transaction():
                    from alembic.operations import Operations
                    with Operations.context(context.get_context()):
                        context.get_context().run_migrations()
        """,
    "tables of its own": """
        for table in ("alembic_version", "other_version"):
            run("tenant_a", version_table=table)
        """,
}
TENANT_A = {"MIGRATE_VERSION_TABLE_SCHEMA": "tenant_a", "MIGRATE_VERSION_TABLE": "alembic_version"}


LOOPS = """\
from alembic import context
from sqlalchemy import text


def go(engine):
    for tenant in ("tenant_a", "tenant_b"):
        try:
            with engine.connect() as connection:
                connection.execute(text(f'SET search_path TO "{tenant}"'))
                connection.commit()
                context.configure(connection=connection, version_table_schema=tenant)
                with context.begin_transaction():
                    context.run_migrations()
        except Exception as error:
            print("never mind", type(error).__name__)
"""


def hide_a_loop(project):
    """Write the loop into a module, where env.py's text does not show it."""
    (project.path / "loops.py").write_text(LOOPS)
    write_env(project, "import loops\n\nloops.go(engine)")


def write_env(project, body):
    project.env.write_text(PRELUDE + dedent(body))


def tenants(database):
    database.execute("CREATE SCHEMA tenant_a; CREATE SCHEMA tenant_b")


def is_there(database, name):
    return database.scalar(f"SELECT to_regclass('{name}') IS NOT NULL")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_env_py_that_goes_on_to_another_target_is_never_green(project, database, run_migrate, shape):
    tenants(database)
    project.linear(1)
    write_env(project, SHAPES[shape])
    first = run_migrate("up", database=database, env=TENANT_A)
    first.check_clean()
    assert (first.exit_code, first.finished["problem"]) == (13, "several-targets")
    assert "tenant_a.alembic_version" in first.finished["why"]
    assert not is_there(database, "tenant_a.r0001")
    planned = run_migrate("plan", database=database, env=TENANT_A)
    assert any("went on to another target" in finding["message"] for finding in planned.named("state.finding"))


def test_what_env_py_does_not_show_is_kept_by_the_ledger(project, database, run_migrate):
    tenants(database)
    project.linear(1)
    hide_a_loop(project)
    first = run_migrate("up", database=database, env=TENANT_A)
    first.check_clean()
    assert (first.exit_code, first.finished["problem"]) == (32, "several-targets")
    assert is_there(database, "tenant_a.r0001")
    assert not is_there(database, "tenant_b.r0001")
    again = run_migrate("up", database=database, env=TENANT_A)
    assert (again.exit_code, again.finished["problem"]) == (13, "several-targets"), again.stdout
    assert run_migrate("wait", "--timeout", "0", database=database, env=TENANT_A).exit_code == 25
    assert run_migrate("plan", "--exit-code", database=database, env=TENANT_A).exit_code == 3
    repair = run_migrate("repair", database=database, env=TENANT_A)
    assert any("went on to another target" in finding["message"] for finding in repair.named("state.finding"))


@pytest.mark.parametrize("is_in_sight", [True, False])
def test_what_made_env_py_go_on_may_be_put_right_anywhere(project, database, run_migrate, is_in_sight):
    tenants(database)
    project.linear(1)
    (project.path / "tenants.py").write_text("ALL = ('tenant_a', 'tenant_b')")
    if is_in_sight:
        write_env(project, "from tenants import ALL\n\nfor tenant in ALL:\n    run(tenant)")
    else:
        (project.path / "loops.py").write_text(
            LOOPS.replace("('tenant_a', 'tenant_b')", "ALL")
            .replace('("tenant_a", "tenant_b")', "tenants.ALL")
            .replace("from alembic", "import tenants\nfrom alembic")
        )
        write_env(project, "import loops\n\nloops.go(engine)")
    first = run_migrate("up", database=database, env=TENANT_A)
    assert (first.exit_code, first.finished["problem"]) == (13 if is_in_sight else 32, "several-targets")
    assert run_migrate("up", database=database, env=TENANT_A).exit_code == 13
    (project.path / "tenants.py").write_text("ALL = ('tenant_a',)")
    mended = run_migrate("up", database=database, env=TENANT_A)
    mended.check_clean()
    assert mended.exit_code == 0, mended.stdout
    assert is_there(database, "tenant_a.r0001")
    for verb in ("up", "plan", "wait"):
        assert not run_migrate(verb, database=database, env=TENANT_A).named("step.started")


def test_another_env_py_is_run_before_anything_counts_as_done(project, database, run_migrate):
    tenants(database)
    project.linear(1)
    hide_a_loop(project)
    assert run_migrate("up", database=database, env=TENANT_A).exit_code == 32
    write_env(project, SHAPES["map"])
    planned = run_migrate("plan", "--exit-code", database=database, env=TENANT_A)
    assert (planned.exit_code, planned.named("decision.made")[0]["steps"]) == (3, ["upgrade"])
    assert run_migrate("status", "--exit-code", database=database, env=TENANT_A).exit_code == 3
    waited = run_migrate("wait", "--timeout", "0", database=database, env=TENANT_A)
    assert waited.exit_code == 25
    still = run_migrate("up", database=database, env=TENANT_A)
    assert (still.exit_code, still.finished["problem"]) == (13, "several-targets")
    write_env(project, 'run("tenant_a")')
    mended = run_migrate("up", "--backup-policy", "required", database=database, env=TENANT_A)
    mended.check_clean()
    assert (mended.exit_code, mended.finished["outcome"]) == (0, "noop")
    for verb in ("up", "plan", "wait"):
        assert run_migrate(verb, database=database, env=TENANT_A).exit_code == 0
    assert not run_migrate("up", database=database, env=TENANT_A).named("step.started")


def test_a_refusal_that_env_py_swallows_ends_the_run(project, database, run_migrate):
    tenants(database)
    project.linear(1)
    write_env(project, SHAPES["try around each"])
    result = run_migrate("up", database=database, env={**TENANT_A, "MIGRATE_VERSION_TABLE_SCHEMA": "tenant_b"})
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (13, "other-version-table")
    assert not is_there(database, "tenant_a.alembic_version")
    assert not is_there(database, "tenant_b.alembic_version")


def test_a_failure_that_env_py_swallows_counts_for_more_than_its_next_target(project, database, run_migrate):
    tenants(database)
    project.revision("bad", message="bad", upgrade="op.execute('SELECT 1/0')")
    hide_a_loop(project)
    result = run_migrate("up", database=database, env=TENANT_A)
    result.check_clean()
    assert (result.exit_code, result.finished["failed"]) == (30, "bad")


def test_the_multidb_template_is_never_green(project, make_database, run_migrate):
    database, other = make_database(), make_database()
    project.linear(1)
    write_env(
        project,
        """
        def run_on(name):
            with create_engine(name, poolclass=pool.NullPool).connect() as connection:
                context.configure(connection=connection, upgrade_token="a", downgrade_token="b")
                with context.begin_transaction():
                    context.run_migrations()


        for name in (url, os.environ["OTHER"]):
            run_on(name)
        """,
    )
    env = {"OTHER": other.url.replace("postgresql://", "postgresql+psycopg2://", 1)}
    result = run_migrate("up", database=database, env=env)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (13, "several-targets")
    assert not is_there(database, "r0001")
    assert other.name in result.finished["why"]
    assert not is_there(other, "alembic_version")


def test_a_manifest_is_not_written_for_an_env_py_with_several_targets(project, server, run_migrate):
    project.linear(1)
    write_env(
        project,
        """
        with engine.connect() as connection:
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS tenant_a"))
            connection.commit()
        run("public")
        run("tenant_a")
        """,
    )
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert (result.exit_code, result.finished["problem"]) == (13, "several-targets")
    assert not project.manifest.exists()


MULTIDB = """
import os

from alembic import context
from sqlalchemy import create_engine

engines = [create_engine(os.environ[name].replace("sql:", "sql+psycopg2:", 1)) for name in ("DATABASE_URL", "OTHER")]
connections = [engine.connect() for engine in engines]
transactions = [connection.begin() for connection in connections]
try:
    for connection in connections:
        context.configure(connection=connection, upgrade_token="a", downgrade_token="b")
        context.run_migrations()
    for transaction in transactions:
        transaction.commit()
except:
    for transaction in transactions:
        transaction.rollback()
    raise
"""


@pytest.mark.parametrize("verb", ["manifest", "test"])
def test_two_engines_whose_transactions_are_open_are_two_targets_at_once(project, server, run_migrate, verb):
    project.linear(2)
    project.env.write_text(MULTIDB)
    result = run_migrate(verb, env={"MIGRATE_SHADOW_URL": server.url(), "OTHER": "postgresql://db.example/other"})
    assert (result.exit_code, result.finished["problem"]) == (13, "several-targets")
    assert not result.named("revision.retry")


def test_two_engines_with_open_transactions_are_named_with_their_databases(project, make_database, run_migrate):
    database, other = make_database(), make_database()
    project.linear(1)
    project.env.write_text(MULTIDB)
    result = run_migrate("up", database=database, env={"OTHER": other.url})
    assert (result.exit_code, result.finished["problem"]) == (13, "several-targets")
    assert f"in database {database.name}" in result.finished["why"]
    assert f"in database {other.name}" in result.finished["why"]


@pytest.mark.parametrize("verb", ["manifest", "test"])
def test_what_a_throw_away_database_has_committed_is_no_reason_for_32(project, server, run_migrate, verb):
    project.linear(1)
    hide_a_loop(project)
    schemas = (
        "with engine.begin() as c:\n    [c.execute(text(f'CREATE SCHEMA IF NOT EXISTS tenant_{x}')) for x in 'ab']"
    )
    write_env(project, f"import loops\n\n{schemas}\nloops.go(engine)")
    result = run_migrate(verb, env={**TENANT_A, "MIGRATE_SHADOW_URL": server.url()})
    assert (result.exit_code, result.finished["problem"]) == (13, "several-targets")


LEGITIMATE = {
    "another context before": """
        with engine.connect() as connection:
            context.configure(connection=connection, version_table="other_version")
            context.get_context().get_current_heads()
        run("tenant_a", version_table="alembic_version")
        """,
    "a second try": """
        for number in range(3):
            try:
                if number == 0:
                    raise RuntimeError("not yet")
                run("tenant_a")
                break
            except RuntimeError:
                continue
        """,
    "twice the same": 'run("tenant_a")\nrun("tenant_a")',
    "a dry run that is printed": """
        context.configure(url=url, as_sql=True, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        run("tenant_a", as_sql=False)
        """,
    "a dry run that is rolled back": """
        with engine.connect() as connection:
            connection.execute(text("SET search_path TO tenant_a"))
            context.configure(connection=connection, version_table_schema="tenant_a")
            context.run_migrations()
            connection.rollback()
        run("tenant_a")
        """,
    "a translated schema": """
        with engine.connect().execution_options(schema_translate_map={None: "tenant_a"}) as connection:
            connection.execute(text("SET search_path TO tenant_a"))
            connection.commit()
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
}


@pytest.mark.parametrize("shape", LEGITIMATE)
def test_an_env_py_that_runs_its_one_target_is_proven(project, database, run_migrate, shape):
    tenants(database)
    ids = project.linear(2)
    write_env(project, LEGITIMATE[shape])
    result = run_migrate("up", database=database, env=TENANT_A)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    assert is_there(database, "tenant_a.r0002")
    assert (
        database.scalar("SELECT status FROM migrate.step WHERE revision = 'r0002' ORDER BY step_id DESC LIMIT 1")
        == "finished"
    )


# What is never committed

STATEMENT = "connection.exec_driver_sql(\"SET LOCAL app.tenant = 'hunter22'\")"


@pytest.mark.parametrize("engine", ["sync", "async"])
def test_an_env_py_that_never_commits_is_named_by_every_verb(project, database, server, run_migrate, engine):
    ids = project.linear(2)
    project.write_env(engine=engine)
    text = project.env.read_text()
    project.env.write_text(
        text.replace("def migrate_on(connection):\n", f"def migrate_on(connection):\n    {STATEMENT}\n")
    )
    shadow = {"MIGRATE_SHADOW_URL": server.url()}
    up = run_migrate("up", database=database)
    up.check_clean()
    assert (up.exit_code, up.finished["problem"], up.finished["applied"]) == (32, "unproven", [])
    assert f"nothing of {', '.join(ids)} is in the database" in up.finished["why"]
    assert "SET LOCAL app.tenant = '…'" in up.finished["why"]
    assert "connection.commit()" in up.finished["fix"]
    assert b"hunter22" not in up.stdout
    assert not is_there(database, "alembic_version")
    manifest = run_migrate("manifest", env=shadow)
    assert (manifest.exit_code, manifest.finished["problem"]) == (32, "unproven")
    assert "SET LOCAL" in manifest.finished["why"]
    assert not project.manifest.exists()
    trial = run_migrate("test", env=shadow)
    assert trial.exit_code == 11
    assert "SET LOCAL" in trial.finished["why"]
    # the way out that the fix names
    project.env.write_text(
        text.replace("(connection):\n", f"(connection):\n    {STATEMENT}\n    connection.commit()\n")
    )
    assert run_migrate("up", database=database).finished["applied"] == ids


def test_a_transaction_that_engine_begin_began_and_nobody_committed(project, database, run_migrate):
    project.linear(1)
    write_env(
        project,
        """
        with engine.connect() as connection:
            transaction = connection.begin()
            context.configure(connection=connection)
            context.run_migrations()
            transaction.rollback()
        """,
    )
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "engine.begin() or connection.begin()" in result.finished["why"]


def test_a_history_of_one_revision_outside_begin_transaction_is_not_committed(project, database, run_migrate):
    project.linear(1)
    write_env(
        project,
        """
        with engine.connect() as connection:
            context.configure(connection=connection)
            context.run_migrations()
        """,
    )
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "in 'with context.begin_transaction():'" in result.finished["fix"]


@pytest.mark.parametrize("verb", ["up", "manifest", "test"])
def test_an_env_py_that_runs_nothing_is_no_success(project, database, server, run_migrate, verb):
    project.linear(1)
    write_env(project, "for tenant in ():\n    run(tenant)")
    where = {"database": database} if verb == "up" else {"env": {"MIGRATE_SHADOW_URL": server.url()}}
    result = run_migrate(verb, **where)
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "without calling context.run_migrations()" in result.finished["why"]


@pytest.mark.parametrize("listens", ["before_cursor_execute", "before_execute"])
def test_a_search_path_that_a_listener_sets_at_each_statement_is_the_one(listens, project, database, run_migrate):
    """Our own question goes by the driver, where nobody listens: before it refuses, it is put by SQLAlchemy as well."""
    cursor = "cursor" if "cursor" in listens else "connection.connection.cursor()"
    arguments = "connection, cursor, *_" if "cursor" in listens else "connection, *_"
    project.env.write_text(
        PRELUDE.replace("import create_engine,", "import create_engine, event,")
        + dedent(f"""
        @event.listens_for(engine, "{listens}")
        def aim({arguments}):
            {cursor}.execute("SET search_path TO aimed")

        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """)
    )
    project.revision("r1", upgrade="op.execute('CREATE TABLE made (id int)')")
    database.execute("CREATE SCHEMA aimed")
    result = run_migrate("up", "--version-table-schema", "aimed", database=database)
    assert (result.exit_code, result.finished["applied"]) == (0, ["r1"]), result.stdout.decode()
    assert database.rows("SELECT version_num FROM aimed.alembic_version") == [("r1",)]
