"""Objects beside the version table's schema: the manifest knows where a history makes them, and everything looks there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from migrate.core.manifest.manifest import Manifest

if TYPE_CHECKING:
    from tests.conftest import RunMigrate
    from tests.support.project import Project
    from tests.support.server import Server

ID = 'sa.Column("id", sa.Integer, primary_key=True)'


def history(project: Project) -> None:
    """Two revisions that make tables in schemas of their own, and nothing beside the version table."""
    project.revision(
        "s1",
        upgrade=f'op.execute("CREATE SCHEMA billing")\nop.create_table("invoices", {ID}, schema="billing")',
        downgrade='op.drop_table("invoices", schema="billing")\nop.execute("DROP SCHEMA billing")',
    )
    project.revision(
        "s2",
        down="s1",
        upgrade='op.execute("CREATE SCHEMA IF NOT EXISTS audit")\n'
        f'op.create_table("entries", {ID}, schema="audit")\n'
        'op.add_column("invoices", sa.Column("paid", sa.Boolean), schema="billing")',
        downgrade='op.drop_column("invoices", "paid", schema="billing")\n'
        'op.drop_table("entries", schema="audit")\nop.execute("DROP SCHEMA audit")',
    )


def manifest_of(project: Project) -> Manifest:
    return Manifest.parse(project.manifest.read_text(encoding="utf-8"))


def replay(run_migrate: RunMigrate, server: Server, *flags: str) -> None:
    made = run_migrate("manifest", *flags, env={"MIGRATE_SHADOW_URL": server.url()})
    made.check_clean()
    assert made.exit_code == 0, made.finished


def test_the_manifest_records_which_schemas_a_history_uses_and_what_it_makes_there(project, write_manifest):
    history(project)
    write_manifest()
    found = manifest_of(project)
    assert found.schemas == ("audit", "billing")
    assert found.serialise() == project.manifest.read_text(encoding="utf-8")
    assert "+ schema billing: schema" in found.revisions[0].changes
    assert "+ table billing.invoices: table" in found.revisions[0].changes
    assert {"+ table audit.entries: table", "+ column billing.invoices.paid: boolean"} < set(found.revisions[1].changes)


def test_every_verb_looks_at_the_schemas_that_the_history_uses(project, database, write_manifest, run_migrate):
    history(project)
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("INSERT INTO audit.entries SELECT generate_series(1, 100)")
    assert run_migrate("verify", database=database).exit_code == 0

    going_back = run_migrate("down", "--to", "s1", database=database)
    assert (going_back.exit_code, going_back.finished["problem"]) == (12, "data-loss")
    assert "table audit.entries (100 rows)" in going_back.finished["why"]
    assert database.scalar("SELECT count(*) FROM audit.entries") == 100

    database.execute("ALTER TABLE billing.invoices ADD COLUMN hotfix integer")
    drifted = run_migrate("verify", "--json", database=database)
    assert drifted.exit_code == 17
    assert drifted.finished["sentences"] == ["column billing.invoices.hotfix is not in the manifest"]
    database.execute("ALTER TABLE billing.invoices DROP COLUMN hotfix")

    database.execute("DROP TABLE alembic_version")
    for verb in ("up", "plan"):
        lost = run_migrate(verb, database=database)
        assert (lost.exit_code, lost.finished["problem"]) == (15, "untracked")
        assert "table audit.entries, table billing.invoices" in lost.finished["why"]
    assert "untracked" in run_migrate("status", database=database).finished["message"]
    adopted = run_migrate("adopt", database=database)
    assert (adopted.exit_code, adopted.finished["outcome"], adopted.finished["to_revision"]) == (0, "adopted", ["s2"])

    database.execute("DROP SCHEMA audit CASCADE")
    gone = run_migrate("verify", "--json", database=database)
    assert gone.exit_code == 17
    assert gone.finished["sentences"] == [
        "schema audit is missing in the database",
        "table audit.entries is missing in the database",
    ]
    assert "CREATE SCHEMA audit;" in gone.finished["sql"]


def test_the_setting_overrides_what_the_manifest_knows(project, database, write_manifest, run_migrate):
    history(project)
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("ALTER TABLE audit.entries ADD COLUMN hotfix integer")
    named = {"MIGRATE_SCHEMAS": "public,billing"}
    found = run_migrate("verify", "--json", database=database, env=named)
    assert found.finished["sentences"] == [
        "schema audit is missing in the database",
        "table audit.entries is missing in the database",
    ]
    database.execute("ALTER TABLE audit.entries DROP COLUMN hotfix")
    whole = {"MIGRATE_SCHEMAS": "public,billing,audit"}
    assert run_migrate("verify", database=database, env=whole).exit_code == 0


def test_other_peoples_tables_in_a_schema_that_the_history_uses_do_not_hold_up_its_first_release(
    project, database, write_manifest, run_migrate
):
    project.revision("a1", upgrade=f'op.create_table("mine", {ID}, schema="shared")')
    baseline = project.path / "baseline.sql"
    baseline.write_text("CREATE SCHEMA shared;", encoding="utf-8")
    replay(run_migrate, database.server, "--baseline", str(baseline))
    assert manifest_of(project).schemas == ("shared",)
    database.execute("CREATE SCHEMA shared")
    database.execute("CREATE TABLE shared.theirs (id integer)")
    released = run_migrate("up", database=database)
    assert (released.exit_code, released.finished["applied"]) == (0, ["a1"])


def test_what_a_baseline_brings_along_in_schemas_that_no_revision_touches_does_not_count(
    project, database, run_migrate, server
):
    baseline = project.path / "baseline.sql"
    baseline.write_text(
        "CREATE SCHEMA auth; CREATE TABLE auth.users (id integer PRIMARY KEY);"
        " CREATE SCHEMA audit; CREATE TABLE audit.log (id integer); CREATE TABLE old (id integer);",
        encoding="utf-8",
    )
    project.revision("b1", upgrade='op.execute("ALTER TABLE old ADD COLUMN note text")')
    replay(run_migrate, server, "--baseline", str(baseline))
    first = manifest_of(project)
    assert first.schemas == ()
    assert first.baseline is not None
    assert not [line for line in first.baseline.changes if "auth" in line or "audit" in line]

    # the first revision that touches one of them: what the baseline has there belongs to the manifest from then on
    project.revision("b2", down="b1", upgrade='op.add_column("log", sa.Column("at", sa.Date), schema="audit")')
    replay(run_migrate, server)
    second = manifest_of(project)
    assert second.schemas == ("audit",)
    assert second.baseline is not None
    assert "+ table audit.log: table" in second.baseline.changes
    assert not [line for line in second.baseline.changes if "auth" in line]
    assert second.revisions[1].changes == ("+ column audit.log.at: date",)

    database.execute(baseline.read_text(encoding="utf-8"))
    database.execute("ALTER TABLE auth.users ADD COLUMN providers text")
    adopted = run_migrate("up", "--adopt", "exact", database=database)
    assert (adopted.exit_code, adopted.finished["applied"]) == (0, ["b1", "b2"])
    assert run_migrate("verify", database=database).exit_code == 0


def test_the_schemas_of_extensions_do_not_count(project, database, run_migrate, server):
    project.revision(
        "e1",
        upgrade='op.execute("CREATE SCHEMA IF NOT EXISTS extensions; CREATE EXTENSION citext SCHEMA extensions")\n'
        'op.execute("CREATE TABLE people (mail extensions.citext)")',
    )
    replay(run_migrate, server)
    found = manifest_of(project)
    assert found.schemas == ()
    assert found.revisions[0].changes == (
        "+ extension citext: installed",
        "+ table people: table",
        "+ column people.mail: citext",
    )
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("verify", database=database).exit_code == 0


def test_a_version_table_in_a_schema_of_its_own_hides_nothing_that_is_in_public(
    project, database, write_manifest, run_migrate
):
    project.write_env(version_table_schema="bookkeeping")
    project.revision("p1", upgrade=f'op.create_table("people", {ID})')
    project.revision("p2", down="p1", upgrade='op.execute("CREATE VIEW names AS SELECT id FROM people")')
    write_manifest()
    found = manifest_of(project)
    assert found.schemas == ("public",)
    assert found.revisions[0].changes[0] == "+ table public.people: table"
    database.execute("CREATE SCHEMA bookkeeping")
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("verify", database=database).exit_code == 0
    database.execute("ALTER TABLE people ADD COLUMN hotfix integer")
    assert run_migrate("verify", database=database).exit_code == 17


@pytest.fixture
def blind(project, write_manifest) -> str:
    """The text of a manifest as it was written before other schemas were looked at."""
    history(project)
    write_manifest()
    known = manifest_of(project)
    from dataclasses import replace

    from migrate.core.schema.differences import fingerprint

    entries = tuple(replace(entry, changes=(), schema=fingerprint({})) for entry in known.revisions)
    text = replace(known, revisions=entries, schemas=()).serialise()
    project.manifest.write_text(text, encoding="utf-8")
    return text


def test_an_older_manifest_keeps_working_and_the_next_revision_opens_its_eyes(
    project, database, run_migrate, server, blind
):
    nowhere = {"MIGRATE_SHADOW_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert run_migrate("manifest", "--check", env=nowhere).exit_code == 0
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("verify", database=database).exit_code == 0
    assert run_migrate("test", env={"MIGRATE_SHADOW_URL": server.url()}).exit_code == 0
    assert project.manifest.read_text(encoding="utf-8") == blind

    project.revision("s3", down="s2", upgrade=f'op.create_table("orders", {ID})')
    replay(run_migrate, server)
    assert manifest_of(project).schemas == ("audit", "billing")
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("verify", database=database).exit_code == 0


# A tenant's schema, which only env.py knows

TENANT = """
import os

from alembic import context
from sqlalchemy import create_engine, pool, text

tenant = os.environ["TENANT"]
engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"), poolclass=pool.NullPool
)
with engine.connect() as connection:
    with connection.begin():
        connection.execute(text(f'SET search_path TO "{tenant}"'))
    connection.dialect.default_schema_name = tenant
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture
def tenants(project) -> Project:
    """A project whose env.py chooses the schema by a variable of its own."""
    project.env.write_text(TENANT, encoding="utf-8")
    project.revision(
        "t1",
        upgrade=f'op.create_table("orders", {ID})\nop.execute("CREATE VIEW open_orders AS SELECT id FROM orders")',
        downgrade='op.execute("DROP VIEW open_orders")\nop.drop_table("orders")',
    )
    return project


def test_a_shadow_has_the_schema_in_which_env_py_works(tenants, database, run_migrate, server):
    shadow = {"MIGRATE_SHADOW_URL": server.url()}
    texts = []
    for tenant in ("public", "Acme & Co"):
        assert run_migrate("manifest", "--full", env={**shadow, "TENANT": tenant}).exit_code == 0
        texts.append(tenants.manifest.read_text(encoding="utf-8"))
        tried = run_migrate("test", env={**shadow, "TENANT": tenant})
        assert tried.exit_code == 0, tried.finished
    assert texts[0] == texts[1]

    database.execute('CREATE SCHEMA "Acme & Co"')
    found = {"TENANT": "Acme & Co", "MIGRATE_VERSION_TABLE_SCHEMA": "Acme & Co"}
    for verb in ("up", "verify"):
        assert run_migrate(verb, database=database, env=found).exit_code == 0
    assert database.scalar('SELECT count(*) FROM "Acme & Co".open_orders') == 0


def test_a_tenants_schema_that_is_not_there_is_named(tenants, database, run_migrate):
    refused = run_migrate("up", database=database, env={"TENANT": "globex-2"})
    assert (refused.exit_code, refused.finished["problem"]) == (13, "missing-schema")
    assert refused.finished["fix"].startswith('CREATE SCHEMA "globex-2";')
    assert "None" not in refused.finished["fix"] + refused.finished["why"]
