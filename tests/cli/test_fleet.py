"""Many tenants, one release: a run, a guard and a proof each, and one last line for all."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.support.process import Running, migrate_command, minimal_environment
from tests.support.waiting import until

# Alembic's cookbook, "Rudimental Schema-Level Multi Tenancy": the tenant is an argument.
COOKBOOK = """
import os
from alembic import context
from sqlalchemy import create_engine, pool, text
tenant = context.get_x_argument(as_dictionary=True)["tenant"]
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
                       poolclass=pool.NullPool)
with engine.connect() as connection:
    connection.execute(text(f'SET search_path TO "{tenant}"'))
    connection.commit()
    connection.dialect.default_schema_name = tenant
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
SCHEMAS = """
[tool.migrate]
x = ["tenant={schema}"]
[tool.migrate.tenants]
schemas = "tenant_%"
"""


@pytest.fixture
def cookbook(project):
    """A project whose env.py is told the tenant, with two revisions."""
    project.write_env()
    project.env.write_text(COOKBOOK)
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    project.revision(
        "r2", down="r1", upgrade="op.execute('CREATE TABLE b (id integer)')", downgrade="op.execute('DROP TABLE b')"
    )
    (project.path / "pyproject.toml").write_text(SCHEMAS)
    return project


def provision(database, count, prefix="tenant_"):
    names = [f"{prefix}{n}" for n in range(count)]
    for name in names:
        database.execute(f'CREATE SCHEMA "{name}"')
    return names


def by_tenant(result):
    return {line["tenant"]: line for line in result.named("tenant.finished")}


def test_every_tenant_is_applied_proven_and_passed_over_by_the_next_run(cookbook, database, run_migrate):
    names = provision(database, 5)
    first = run_migrate("up", database=database, cwd=cookbook.path)
    assert first.exit_code == 0, first.stdout.decode()
    assert {name: line["applied"] for name, line in by_tenant(first).items()} == {key: ["r1", "r2"] for key in names}
    assert {line["tenant"] for line in first.named("proof.finished")} == set(names)
    assert (first.finished["outcome"], first.finished["tenants"], first.finished["tenants_by_outcome_applied"]) == (
        "applied", 5, 5,
    )  # fmt: skip
    again = run_migrate("up", database=database, cwd=cookbook.path)
    assert (again.exit_code, again.finished["outcome"]) == (0, "noop")
    assert again.named("revision.started") == again.named("step.started") == []


def test_a_tenant_costs_the_server_no_connection(cookbook, database, run_migrate):
    """The runner's own stay, and env.py's; a backend that begins has to read the catalogs before it answers."""

    def sessions():
        asked = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
        return int(database.as_superuser.rows(asked)[0][0])

    provision(database, 12)
    before = sessions()
    assert run_migrate("up", "--tenants-parallel", "1", database=database, cwd=cookbook.path).exit_code == 0
    assert sessions() - before <= 9  # the listing, the question to all, twice; guard and control; env.py's; these


def test_what_alembic_says_of_the_server_is_said_once_and_not_for_each_tenant(cookbook, database, run_migrate):
    provision(database, 3)
    result = run_migrate("up", "--tenants-parallel", "1", database=database, cwd=cookbook.path)
    said = [line["message"] for line in result.named("log.record")]
    assert said == ["Context impl PostgresqlImpl.", "Will assume transactional DDL."]


def test_a_revision_that_asks_for_the_current_heads_is_told_what_is_there_by_then(cookbook, database, run_migrate):
    """Of Alembic's own question, whether its table is there, only the first one is answered for it."""
    provision(database, 2)
    asks = "assert op.get_context().get_current_heads() == ('r2',), op.get_context().get_current_heads()"
    cookbook.revision("r3", down="r2", upgrade=asks)
    assert run_migrate("up", database=database, cwd=cookbook.path).exit_code == 0


def test_a_tenant_that_was_blocked_is_tried_again_after_the_others_and_ends_once(cookbook, database):
    provision(database, 3)
    cookbook.revision("r3", down="r2", upgrade="op.execute('ALTER TABLE public.shared ADD COLUMN x integer')")
    cookbook.revision("r4", down="r3", upgrade="op.execute('ALTER TABLE public.shared DROP COLUMN x')")
    database.execute("CREATE TABLE public.shared (id integer)")
    blocker = database.connect(application_name="a report")
    blocker.cursor().execute("LOCK TABLE public.shared IN ACCESS SHARE MODE")
    running = Running(
        migrate_command("up", "--lock-timeout", "100ms", "--lock-tries", "1", "--tenants-parallel", "1"),
        cwd=cookbook.path,
        env={**minimal_environment(), "DATABASE_URL": database.url},
        password=database.password,
    )
    until(lambda: len(running.so_far.named("tenant.retry")) == 2, seconds=60)
    blocker.close()
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 0, result.stdout.decode()
    assert {line["exit_code"] for line in result.named("tenant.retry")} == {22}
    assert [line["exit_code"] for line in result.named("tenant.finished")] == [0, 0, 0]
    assert (result.finished["tenants"], result.finished["tenants_failed"]) == (3, [])


def test_a_tenant_that_fails_stops_nobody_and_is_named_with_its_own_code(cookbook, database, run_migrate):
    provision(database, 4)
    database.execute("CREATE TABLE tenant_1.b (id integer); CREATE TABLE tenant_2.other (id integer)")
    result = run_migrate("up", database=database, cwd=cookbook.path)
    codes = {name: line["exit_code"] for name, line in by_tenant(result).items()}
    assert codes == {"tenant_0": 0, "tenant_1": 15, "tenant_2": 15, "tenant_3": 0}
    assert (result.exit_code, result.finished["problem"]) == (15, "tenants-failed")
    assert result.finished["tenants_failed"] == ["tenant_1", "tenant_2"]
    database.execute("DROP TABLE tenant_1.b; DROP TABLE tenant_2.other")
    assert run_migrate("up", database=database, cwd=cookbook.path).exit_code == 0


def test_no_other_begins_where_a_canary_fails(cookbook, database, run_migrate):
    provision(database, 4)
    database.execute("CREATE TABLE tenant_2.other (id integer)")
    result = run_migrate("up", "--tenants-canary", "tenant_2", database=database, cwd=cookbook.path)
    assert result.exit_code == 15
    assert set(by_tenant(result)) == {"tenant_2"}
    assert result.finished["tenants_pending"] == ["tenant_0", "tenant_1", "tenant_3"]
    assert "3 tenants were not begun" in result.finished["why"]


def test_tenants_are_taken_by_name_by_pattern_and_by_shard(cookbook, database, run_migrate):
    names = provision(database, 6)
    one = run_migrate("up", "--tenant", "tenant_3", database=database, cwd=cookbook.path)
    assert set(by_tenant(one)) == {"tenant_3"}
    some = run_migrate("up", "--tenants-exclude", "*_0,*_1,*_2", database=database, cwd=cookbook.path)
    assert set(by_tenant(some)) == {"tenant_3", "tenant_4", "tenant_5"}
    parts = [
        set(by_tenant(run_migrate("up", "--shard", f"{n}/3", database=database, cwd=cookbook.path))) for n in range(3)
    ]
    assert sorted(name for part in parts for name in part) == names
    unknown = run_migrate("up", "--tenant", "nobody", database=database, cwd=cookbook.path)
    assert (unknown.exit_code, unknown.finished["problem"]) == (10, "bad-tenants")


def test_a_database_per_tenant(project, make_database, run_migrate):
    project.write_env()
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    databases = [make_database() for _ in range(3)]
    lines = [json.dumps({"tenant": f"t{n}", "url": each.url}) for n, each in enumerate(databases)]
    (project.path / "tenants.jsonl").write_text("\n".join(lines))
    (project.path / "pyproject.toml").write_text('[tool.migrate.tenants]\nfile = "tenants.jsonl"\n')
    result = run_migrate("up", database=databases[0], cwd=project.path)
    assert result.exit_code == 0, result.stdout.decode()
    for each in databases:
        assert each.rows("SELECT version_num FROM alembic_version") == [("r1",)]
        password = urlsplit(each.url).password
        assert password is None or password not in result.stdout.decode()


def test_the_manifest_of_one_proves_all_and_finds_the_one_that_drifted(cookbook, database, run_migrate, write_manifest):
    cookbook.revision("r3", down="r2", upgrade="op.execute('CREATE TABLE c (id integer)')")
    provision(database, 3)
    made = run_migrate(
        "manifest", "-x", "tenant=public", cwd=cookbook.path, env={"MIGRATE_SHADOW_URL": database.server.admin_url}
    )
    assert made.exit_code == 0, made.stdout.decode()
    held = run_migrate("up", "--target", "r2", database=database, cwd=cookbook.path)
    assert held.exit_code == 0, held.stdout.decode()
    database.execute("ALTER TABLE tenant_1.a ADD COLUMN extra integer; DROP TABLE tenant_1.b")
    result = run_migrate("up", database=database, cwd=cookbook.path)
    codes = {name: line["exit_code"] for name, line in by_tenant(result).items()}
    assert codes == {"tenant_0": 0, "tenant_1": 17, "tenant_2": 0}
    assert {line["proof"] for line in result.named("proof.finished")} == {"manifest"}


PLAIN = """
import os
from alembic import context
from sqlalchemy import create_engine
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+{driver}://"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_an_env_py_that_knows_nothing_of_tenants_is_given_their_search_path(project, database, run_migrate, driver):
    project.write_env()
    project.env.write_text(PLAIN.format(driver=driver))
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    (project.path / "pyproject.toml").write_text('[tool.migrate.tenants]\nschemas = "T %"\nsearch_path = true\n')
    names = provision(database, 3, prefix="T ")
    result = run_migrate("up", database=database, cwd=project.path)
    assert result.exit_code == 0, result.stdout.decode()
    made = database.rows("SELECT schemaname FROM pg_tables WHERE tablename IN ('a', 'alembic_version') ORDER BY 1")
    assert made == [(name,) for name in names for _ in range(2)]


def test_five_kinds_of_trouble_are_five_codes_and_running_it_again_converges(cookbook, database, run_migrate):
    """Drifted, locked, without rights, refused by its rows, gone: the others are applied and proven."""
    ill = 'op.execute("SELECT 1 / n FROM rows")\nop.execute("DROP SCHEMA IF EXISTS tenant_5 CASCADE")'
    cookbook.revision("r3", down="r2", upgrade="op.execute('CREATE TABLE IF NOT EXISTS rows (n integer)')")
    names = provision(database, 8)
    made = run_migrate(
        "manifest", "-x", "tenant=public", cwd=cookbook.path, env={"MIGRATE_SHADOW_URL": database.server.admin_url}
    )
    assert made.exit_code == 0, made.stdout.decode()
    assert run_migrate("up", database=database, cwd=cookbook.path).exit_code == 0
    cookbook.revision("r4", down="r3", upgrade=f"{ill}\nop.execute('ALTER TABLE a ADD COLUMN n integer')")
    made = run_migrate(
        "manifest", "-x", "tenant=public", cwd=cookbook.path, env={"MIGRATE_SHADOW_URL": database.server.admin_url}
    )
    assert made.exit_code == 0, made.stdout.decode()
    database.execute("DROP TABLE tenant_1.b")
    database.execute("INSERT INTO tenant_4.rows VALUES (0)")
    database.as_superuser.execute("ALTER TABLE tenant_3.a OWNER TO CURRENT_USER")
    blocker = database.connect(application_name="a report")
    blocker.cursor().execute("LOCK TABLE tenant_2.a IN ACCESS SHARE MODE")
    try:
        result = run_migrate(
            "up", "--lock-timeout", "100ms", "--lock-tries", "2", "--tenants-canary", "tenant_0",
            database=database, cwd=cookbook.path,
        )  # fmt: skip
    finally:
        blocker.close()
    codes = {name: line["exit_code"] for name, line in by_tenant(result).items()}
    ill_ones = {"tenant_1": 17, "tenant_2": 22, "tenant_3": 14, "tenant_4": 30, "tenant_5": 13}
    assert codes == {**dict.fromkeys(names, 0), **ill_ones}
    assert result.exit_code == 30
    assert result.finished["tenants_failed"] == list(ill_ones)
    proven = {line["tenant"] for line in result.named("proof.finished")}
    assert proven == {"tenant_0", "tenant_6", "tenant_7"}
    database.execute("CREATE TABLE tenant_1.b (id integer); DELETE FROM tenant_4.rows")
    database.as_superuser.execute(f"ALTER TABLE tenant_3.a OWNER TO {database.user}")
    again = run_migrate("up", database=database, cwd=cookbook.path)
    assert again.exit_code == 0, again.stdout.decode()
    assert {line["tenant"] for line in again.named("revision.started")} == {f"tenant_{n}" for n in (1, 2, 3, 4)}


def test_who_looks_understands_tenants_and_who_is_about_one_wants_its_name(cookbook, database, run_migrate):
    names = provision(database, 3)
    made = run_migrate(
        "manifest", "-x", "tenant=public", cwd=cookbook.path, env={"MIGRATE_SHADOW_URL": database.server.admin_url}
    )
    assert made.exit_code == 0, made.stdout.decode()
    pending = {
        name: line["pending"]
        for name, line in by_tenant(run_migrate("plan", database=database, cwd=cookbook.path)).items()
    }
    assert pending == {name: ["r1", "r2"] for name in names}
    assert run_migrate("up", "--tenant", "tenant_1", database=database, cwd=cookbook.path).exit_code == 0
    seen = run_migrate("status", database=database, cwd=cookbook.path)
    assert seen.finished["tenants_pending"] == ["tenant_0", "tenant_2"]
    assert run_migrate("up", database=database, cwd=cookbook.path).exit_code == 0
    database.execute("ALTER TABLE tenant_2.a ADD COLUMN extra integer")
    verified = run_migrate("verify", "--extra", "fail", database=database, cwd=cookbook.path)
    assert {name: line["exit_code"] for name, line in by_tenant(verified).items()} == {
        "tenant_0": 0, "tenant_1": 0, "tenant_2": 17,
    }  # fmt: skip
    nobody = run_migrate("down", "--to", "r1", database=database, cwd=cookbook.path)
    assert (nobody.exit_code, nobody.finished["problem"]) == (10, "tenant-needed")
    down = run_migrate(
        "down", "--to", "r1", "--allow-data-loss", "--tenant", "tenant_0",
        database=database, cwd=cookbook.path,
    )  # fmt: skip
    assert down.exit_code == 0, down.stdout.decode()
    assert database.rows("SELECT version_num FROM tenant_0.alembic_version") == [("r1",)]
    assert database.rows("SELECT version_num FROM tenant_1.alembic_version") == [("r2",)]


def test_tenants_that_nobody_recorded_are_adopted_in_one_run(cookbook, database, run_migrate):
    names = provision(database, 200)
    made = run_migrate(
        "manifest", "-x", "tenant=public", cwd=cookbook.path, env={"MIGRATE_SHADOW_URL": database.server.admin_url}
    )
    assert made.exit_code == 0, made.stdout.decode()
    for number, name in enumerate(names):
        database.execute(f"CREATE TABLE {name}.a (id integer)")
        if number % 2:
            database.execute(f"CREATE TABLE {name}.b (id integer)")
    result = run_migrate("adopt", database=database, cwd=cookbook.path)
    assert result.exit_code == 0, result.stdout.decode()
    found = {name: database.rows(f"SELECT version_num FROM {name}.alembic_version") for name in names}
    assert found == {name: [("r2",) if number % 2 else ("r1",)] for number, name in enumerate(names)}


def test_a_tenant_that_a_run_left_unproven_is_not_passed_over_and_each_has_its_own_rows_in_the_ledger(
    cookbook, database, run_migrate
):
    names = provision(database, 3)
    assert run_migrate("up", database=database, cwd=cookbook.path).exit_code == 0
    runs = database.rows("SELECT target, run_id FROM migrate.run WHERE verb = 'up' ORDER BY 1")
    assert [target for target, _ in runs] == [f"{name}.alembic_version" for name in names]
    assert len({run_id for _, run_id in runs}) == len({run_id.split("-")[0] for _, run_id in runs}) * 3
    database.execute(
        "INSERT INTO migrate.run (run_id, target, verb, version, exit_code, outcome, finished_at, result)"
        " VALUES ('x', 'tenant_1.alembic_version', 'up', '1', 32, 'failed', now(),"
        ' \'{"differences": ["table a is missing"]}\')'
    )
    again = run_migrate("up", database=database, cwd=cookbook.path)
    assert {name: line["exit_code"] for name, line in by_tenant(again).items() if line["exit_code"]} == {"tenant_1": 32}


def test_version_rows_that_contradict_themselves_are_no_head(cookbook, database, run_migrate):
    provision(database, 2)
    assert run_migrate("up", database=database, cwd=cookbook.path).exit_code == 0
    database.execute("INSERT INTO tenant_1.alembic_version VALUES ('r1')")
    again = run_migrate("up", database=database, cwd=cookbook.path)
    assert {name: line["exit_code"] for name, line in by_tenant(again).items()} == {"tenant_0": 0, "tenant_1": 15}
    assert "--tenant tenant_1" in by_tenant(again)["tenant_1"]["fix"]


def test_a_tenant_that_is_named_is_made_where_that_is_allowed_and_missing_where_it_is_not(
    cookbook, database, run_migrate
):
    provision(database, 1)
    refused = run_migrate("up", "--tenant", "tenant_9", database=database, cwd=cookbook.path)
    assert (refused.exit_code, by_tenant(refused)["tenant_9"]["problem"]) == (13, "missing-tenant")
    assert by_tenant(refused)["tenant_9"]["fix"].startswith("migrate up --tenant tenant_9 --create")
    made = run_migrate("up", "--tenant", "tenant_9", "--create", database=database, cwd=cookbook.path)
    assert made.exit_code == 0, made.stdout.decode()
    assert database.rows("SELECT version_num FROM tenant_9.alembic_version") == [("r2",)]
    assert [line["tenant"] for line in made.named("proof.finished")] == ["tenant_9"]
    nobody = run_migrate("up", "--create", database=database, cwd=cookbook.path)
    assert (nobody.exit_code, nobody.finished["problem"]) == (10, "tenant-needed")
    database.as_superuser.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {database.user}")
    denied = run_migrate("up", "--tenant", "tenant_8", "--create", database=database, cwd=cookbook.path)
    assert denied.exit_code in {0, 14}, denied.stdout.decode()


def test_who_is_listed_and_not_provisioned_is_no_fault_and_who_is_made_meanwhile_is_caught(
    cookbook, database, run_migrate
):
    """The last canary makes two tenants: one that was listed before and had no schema, one that was not listed."""
    database.execute("CREATE TABLE public.customers (name text)")
    database.execute("INSERT INTO public.customers VALUES ('tenant_0'), ('tenant_1'), ('never')")
    database.execute("CREATE SCHEMA tenant_0")
    (cookbook.path / "pyproject.toml").write_text(
        SCHEMAS.replace('schemas = "tenant_%"', "query = 'SELECT name FROM public.customers'")
    )
    cookbook.revision(
        "r1",
        upgrade="op.execute('CREATE TABLE a (id integer)')\n"
        "op.execute('CREATE SCHEMA IF NOT EXISTS tenant_1; CREATE SCHEMA IF NOT EXISTS tenant_2')\n"
        "op.execute(\"INSERT INTO public.customers SELECT 'tenant_2' WHERE current_schema() = 'tenant_0'\")",
    )
    result = run_migrate("up", database=database, cwd=cookbook.path)
    assert result.exit_code == 0, result.stdout.decode()
    assert {name: line["applied"] for name, line in by_tenant(result).items()} == {
        "tenant_0": ["r1", "r2"], "tenant_1": ["r1", "r2"], "tenant_2": ["r1", "r2"], "never": [],
    }  # fmt: skip
    assert result.finished["tenants_not_provisioned"] == ["never"]
    assert result.finished["tenants_by_outcome_not_provisioned"] == 1
