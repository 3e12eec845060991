"""What a throw-away server lacks is not the revision's fault: a role is made there, and for the rest a server is named."""

from __future__ import annotations

import pytest

GRANT = 'op.execute("GRANT SELECT ON one TO reporting")'
TABLE = 'op.execute("CREATE TABLE one (id integer)")'


@pytest.mark.parametrize("verb", ["manifest", "test"])
def test_a_role_of_the_targets_cluster_is_made_in_a_server_of_our_own(project, run_migrate, verb):
    project.revision("one", upgrade=TABLE, downgrade='op.execute("DROP TABLE one")')
    project.revision(
        "two",
        down="one",
        upgrade=f"""{GRANT}
op.execute('ALTER DEFAULT PRIVILEGES FOR ROLE "App Owner" GRANT SELECT ON TABLES TO reporting')
op.execute('CREATE POLICY p ON one TO "App Owner"')""",
        downgrade='op.execute("DROP POLICY p ON one")',
    )
    result = run_migrate(verb)
    result.check_clean()
    assert result.exit_code == 0, result.stdout
    made = [line["role"] for line in result.named("image.warning") if "role" in line]
    assert made == ["reporting", "App Owner"]


def test_env_py_may_act_as_a_role_of_the_targets_cluster(project, run_migrate):
    project.linear(2)
    head = """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def act_as_owner(connection, _record):
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE shop_owner")
        connection.commit()
    """
    project.write_env(head=head)
    result = run_migrate("manifest")
    assert result.exit_code == 0, result.stdout
    assert any("shop_owner" in line["message"] for line in result.named("image.warning"))


def test_on_a_server_of_somebodys_no_role_is_made(project, run_migrate, server):
    project.revision("one", upgrade=f"{TABLE}\n{GRANT}")
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert (result.exit_code, result.finished["problem"]) == (10, "shadow-lacks"), result.stdout
    assert "MIGRATE_SHADOW_URL" in result.finished["fix"]
    assert "--baseline" in result.finished["fix"]
    assert result.finished["revision"] == "one"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE EXTENSION no_such_extension",
        "CREATE COLLATION german (provider = icu, locale = 'de-x-nothing')",
        "CREATE TABLE t (a text COLLATE no_such_collation)",
        "CREATE TABLE t (a text) TABLESPACE fast",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plno AS 'x'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '$libdir/no_such_library', 'f'",
        "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = ispell, DictFile = no_such, AffFile = no_such)",
    ],
    ids=["extension", "icu", "collation", "tablespace", "language", "library", "dictionary"],
)
def test_for_what_a_server_was_built_without_another_one_is_named(project, run_migrate, server, statement):
    project.revision("one", upgrade=f'op.execute("{statement}")')
    for verb in ("manifest", "test"):
        result = run_migrate(verb, env={"MIGRATE_SHADOW_URL": server.url()})
        assert (result.exit_code, result.finished["problem"]) == (10, "shadow-lacks"), result.stdout
        assert "MIGRATE_SHADOW_URL" in result.finished["fix"]
        assert f"migrate {verb} --baseline" in result.finished["fix"]


def test_a_part_that_was_committed_went_with_the_throwaway_database(project, run_migrate, server):
    project.revision(
        "one",
        upgrade="""
        with op.get_context().autocommit_block():
            op.execute("CREATE TABLE one (id integer)")
            op.execute("SELECT 1 / 0")
        """,
    )
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert result.finished["fix"].startswith("correct migrations/versions/one_a_change.py, then run migrate manifest")
    (failed,) = result.named("revision.failed")
    assert [failed[key] for key in ("problem", "exit_code", "fix")] == ["revision-failed", 30, result.finished["fix"]]


def test_a_failure_is_said_once_with_the_fix_of_the_replay(project, run_migrate, server, database):
    project.revision("one", upgrade='op.execute("ALTER TABLE made_elsewhere ADD a int")')
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.finished["problem"] == "baseline-needed"
    (failed,) = result.named("revision.failed")
    assert [failed[key] for key in ("problem", "exit_code", "fix", "why")] == [
        result.finished[key] for key in ("problem", "exit_code", "fix", "why")
    ]
    project.revision("one", upgrade='op.execute("SELECT 1 / 0")')
    shown = run_migrate("plan", "--sql", database=database)
    assert shown.finished["fix"].endswith("then run migrate plan --sql again"), shown.finished


@pytest.mark.parametrize("verb", ["manifest", "test"])
def test_a_file_that_python_refuses_is_named_before_anything_is_started(project, run_migrate, verb):
    project.linear(1)
    path = project.revision("bad", down="r0001", upgrade="def (")
    result = run_migrate(verb)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history"), result.stdout
    assert result.finished["file"].startswith("migrations/versions/bad"), path
    assert isinstance(result.finished["line"], int)
    assert not result.named("shadow.started")


def test_an_env_py_with_a_password_of_its_own_is_told_so(project, run_migrate, server):
    project.linear(1)
    head = """
    import re
    url = re.sub(r"//[^@]*@", "//postgres:mine@", url)
    """
    project.write_env(head=head)
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert (result.exit_code, result.finished["problem"]) == (14, "authentication"), result.stdout
    assert "of its own" in result.finished["why"]
    assert result.finished["fix"].startswith("export MIGRATE_SHADOW_URL=")


def test_an_engine_that_a_module_of_the_application_makes_is_used_again(project, run_migrate, server):
    """Its pool is made once in the process that tries revision after revision, each in a database made anew."""
    (project.path / "app_db.py").write_text(
        "import os, sqlalchemy\n"
        "url = os.environ['DATABASE_URL'].replace('postgresql:', 'postgresql+psycopg2:')\n"
        "engine = sqlalchemy.create_engine(url, pool_size=3)\n"
    )
    project.env.write_text(
        "from alembic import context\nfrom app_db import engine\n\n"
        "with engine.connect() as connection:\n"
        "    context.configure(connection=connection, target_metadata=None)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    project.linear(3)
    result = run_migrate("test", env={"MIGRATE_SHADOW_URL": server.url()})
    result.check_clean()
    assert result.exit_code == 0, result.stdout
