"""A revision that asks the environment: the manifest keeps for what, and a release that answers otherwise is told so."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_fleet import COOKBOOK, SCHEMAS, by_tenant, provision

ASKS = """
import os
op.execute('CREATE TABLE a (id integer)')
if os.environ.get("MULTI_TENANT", "false") == "true":
    op.execute('ALTER TABLE a ADD COLUMN tenant text')
if os.getenv("REGION"):
    pass
"""


@pytest.fixture
def asking(project):
    project.write_env()
    project.env.write_text(
        COOKBOOK.replace("tenant =", 'region = os.environ.get("API_TOKEN")\ncopied = dict(os.environ)\ntenant =')
    )
    project.revision("r1", upgrade=ASKS)
    (project.path / "pyproject.toml").write_text(SCHEMAS)
    return project


def manifest(run_migrate, asking, database, *arguments, **variables):
    made = run_migrate(
        "manifest", *arguments, cwd=asking.path, env={"MIGRATE_SHADOW_URL": database.server.admin_url, **variables}
    )
    assert made.exit_code == 0, made.stdout.decode()
    return json.loads(asking.manifest.read_text()).get("environ")


def test_the_manifest_keeps_what_was_asked_for_and_no_secret(asking, database, run_migrate):
    kept = manifest(run_migrate, asking, database, MULTI_TENANT="true", REGION="eu", API_TOKEN="1", OTHER="1")
    assert kept == ["API_TOKEN set", "MULTI_TENANT=true", "REGION set"]
    # elsewhere, with the same schema, it is the same file
    env = {"MIGRATE_SHADOW_URL": database.server.admin_url, "MULTI_TENANT": "true"}
    assert run_migrate("manifest", "--check", cwd=asking.path, env=env).exit_code == 0


def test_where_the_environment_is_another_that_is_said_instead_of_drift(asking, database, run_migrate):
    manifest(run_migrate, asking, database, MULTI_TENANT="true")
    provision(database, 2)
    other = run_migrate("up", database=database, cwd=asking.path)
    assert other.exit_code == 32
    assert (
        "MULTI_TENANT is not set here, and was true when the manifest was written"
        in by_tenant(other)["tenant_0"]["why"]
    )
    database.execute("UPDATE migrate.run SET exit_code = 0, problem = NULL")
    asking.revision("r2", down="r1", upgrade="op.execute('CREATE TABLE b (id integer)')")
    manifest(run_migrate, asking, database, MULTI_TENANT="true")
    drifted = run_migrate("up", database=database, cwd=asking.path)
    assert (drifted.exit_code, by_tenant(drifted)["tenant_1"]["problem"]) == (17, "other-environment")
    assert "environ in [tool.migrate]" in by_tenant(drifted)["tenant_1"]["fix"]
    database.execute("ALTER TABLE tenant_0.a ADD COLUMN tenant text; ALTER TABLE tenant_1.a ADD COLUMN tenant text")
    right = run_migrate("up", database=database, cwd=asking.path, env={"MULTI_TENANT": "true"})
    assert right.exit_code == 0, right.stdout.decode()


def test_environ_fixes_a_replay(asking, database, run_migrate):
    (asking.path / "pyproject.toml").write_text(
        SCHEMAS.replace("[tool.migrate]\n", '[tool.migrate]\nenviron = ["MULTI_TENANT=true", "REGION=eu"]\n', 1)
    )
    kept = manifest(run_migrate, asking, database)
    assert kept == ["API_TOKEN unset", "MULTI_TENANT=true", "REGION=eu"]
    assert any("a.tenant" in line for line in json.loads(asking.manifest.read_text())["revisions"][0]["changes"])


def test_two_histories_have_two_manifests_by_one_command_each(project, database, run_migrate):
    """The shared tables by one section, the tenants' by another."""
    project.write_env()
    shared = project.path / "shared"
    (shared / "versions").mkdir(parents=True)
    (shared / "env.py").write_text(COOKBOOK.replace('context.get_x_argument(as_dictionary=True)["tenant"]', '"public"'))
    project.env.write_text(COOKBOOK)
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    (project.versions / "r1_a_change.py").rename(shared / "versions" / "r1_a_change.py")
    project.revision("t1", upgrade="op.execute('CREATE TABLE own (id integer)')")
    project.ini.write_text(
        "[alembic]\nscript_location = shared\n"
        "[public]\nscript_location = shared\n[tenants]\nscript_location = migrations\n"
    )
    (project.path / "pyproject.toml").write_text('[tool.migrate]\nx = ["tenant={schema}"]\n')
    env = {"MIGRATE_SHADOW_URL": database.server.admin_url}
    tenants = {"MIGRATE_TENANTS_SCHEMAS": "tenant_%"}
    assert run_migrate("manifest", "-n", "public", cwd=project.path, env=env).exit_code == 0
    made = run_migrate("manifest", "-n", "tenants", cwd=project.path, env={**env, **tenants})
    assert made.exit_code == 0, made.stdout.decode()
    assert (shared / "manifest.json").exists()
    assert project.manifest.exists()
    provision(database, 2)
    assert run_migrate("up", "-n", "public", database=database, cwd=project.path).exit_code == 0
    released = run_migrate("up", "-n", "tenants", database=database, cwd=project.path, env=tenants)
    assert released.exit_code == 0, released.stdout.decode()
    assert set(by_tenant(released)) == {"tenant_0", "tenant_1"}
    assert {line["proof"] for line in released.named("proof.finished")} == {"manifest"}
    assert database.rows("SELECT version_num FROM public.alembic_version") == [("r1",)]
