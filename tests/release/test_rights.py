"""A role that may not look is told so, with the right that it lacks; and who only looks refuses where `up` would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg2 import sql

if TYPE_CHECKING:
    from tests.conftest import RunMigrate
    from tests.support.server import Database, Role

LOOKING = (("plan",), ("status", "--exit-code"), ("status",), ("wait", "--timeout", "1s"), ("adopt",), ("up",))


@pytest.fixture
def released(project, database, run_migrate) -> Database:
    """A database with two tables, which its owner has migrated to the first of two revisions."""
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("r0002", down="r0001", upgrade='op.add_column("r0001", sa.Column("n", sa.Integer))')
    return database


def on(database: Database, statement: str, *roles: Role) -> None:
    """Execute a statement as superuser, with the roles' names in it."""
    names = [sql.Identifier(role.name) for role in roles]
    database.as_superuser.execute(sql.SQL(statement).format(*names))  # type: ignore[arg-type]


def said(run_migrate: RunMigrate, database: Database, *arguments: str, **env: str) -> tuple[int, str, str]:
    """The exit code, the problem and its fix; a fix never drops anything."""
    result = run_migrate(*arguments, database=database, env=env)
    result.check_clean()
    assert b"DROP TABLE" not in result.stdout
    assert result.finished is not None
    return result.exit_code, result.finished.get("problem"), result.finished.get("fix")


@pytest.mark.parametrize("path", ["public", '"$user", public', "public, pg_catalog"])
def test_no_database_is_empty_into_whose_schema_the_role_may_not_look(released, make_role, run_migrate, path):
    clerk = make_role()
    on(released, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    on(released, f"ALTER ROLE {{}} SET search_path = {path}", clerk)
    seen = released.as_role(clerk)
    for arguments in (*LOOKING, ("doctor",)):
        code, problem, fix = said(run_migrate, seen, *arguments)
        assert (code, problem) == (14, "missing-privilege"), arguments
        assert fix == f"GRANT USAGE ON SCHEMA public TO {clerk.name};"
    released.as_superuser.execute(fix)
    # one right after the other, each with the statement that gives it
    for _ in range(2):
        code, problem, fix = said(run_migrate, seen, "up")
        if code != 14:
            break
        released.as_superuser.execute(fix)
    assert (code, problem) == (14, "missing-privilege")
    assert fix.startswith("ALTER TABLE public.r0001 OWNER TO")


def test_a_schema_that_the_role_passes_over_hides_what_is_in_it_and_nothing_where_it_is_empty(
    released, make_role, run_migrate
):
    clerk = make_role()
    on(released, "CREATE SCHEMA app")
    on(released, "CREATE SCHEMA other; GRANT ALL ON SCHEMA other TO {}", clerk)
    on(released, "ALTER ROLE {} SET search_path = app, other", clerk)
    on(released, f'GRANT CREATE ON DATABASE "{released.name}" TO {{}}', clerk)
    seen = released.as_role(clerk)
    assert said(run_migrate, seen, "plan")[0] == 0  # there is nothing in app
    on(released, "CREATE TABLE app.orders (id int)")
    for verb in ("plan", "up"):
        assert said(run_migrate, seen, verb) == (14, "missing-privilege", f"GRANT USAGE ON SCHEMA app TO {clerk.name};")
    on(released, "DROP TABLE app.orders")
    # behind the schema in which the tables would be made, only a version table counts
    on(released, "ALTER ROLE {} SET search_path = other, app", clerk)
    on(released, "CREATE TABLE app.orders (id int)")
    assert said(run_migrate, seen, "plan")[0] == 0
    on(released, "CREATE TABLE app.alembic_version (version_num varchar(32) PRIMARY KEY)")
    assert said(run_migrate, seen, "plan")[0] == 14
    on(released, "GRANT USAGE ON SCHEMA app TO {}; GRANT SELECT ON app.alembic_version TO {}", clerk, clerk)
    assert said(run_migrate, seen, "status")[0] == 0


def test_a_named_schema_into_which_the_role_may_not_look(released, make_role, run_migrate):
    clerk = make_role()
    on(released, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for verb in ("plan", "up"):
        found = said(run_migrate, released.as_role(clerk), verb, MIGRATE_VERSION_TABLE_SCHEMA="public")
        assert found == (14, "missing-privilege", f"GRANT USAGE ON SCHEMA public TO {clerk.name};")


@pytest.mark.parametrize("has_usage", [False, True])
def test_a_member_that_does_not_inherit_is_told_to_begin_as_the_owner_as_env_py_does(
    project, released, make_role, run_migrate, has_usage
):
    owner, deploy = released.role, make_role(options="NOINHERIT")
    on(released, "ALTER SCHEMA public OWNER TO {}", owner)
    on(released, "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT {} TO {}", owner, deploy)
    if has_usage:
        on(released, "GRANT USAGE ON SCHEMA public TO {}", deploy)
    seen = released.as_role(deploy)
    right = "SELECT, INSERT, UPDATE, DELETE ON public.alembic_version" if has_usage else "USAGE ON SCHEMA public"
    for arguments in (*LOOKING, ("doctor",)):
        code, _, fix = said(run_migrate, seen, *arguments)
        assert code == 14, arguments
        assert fix.startswith(f"GRANT {right} TO {deploy.name};")
        assert f"-c role={owner.name}" in fix
        assert f"?options=-c%20role%3D{owner.name} to DATABASE_URL" in fix
    url = f"{seen.url}{'&' if '?' in seen.url else '?'}options=-c%20role%3D{owner.name}"
    result = run_migrate("up", env={"DATABASE_URL": url})
    assert (result.exit_code, result.finished["applied"]) == (0, ["r0002"])


def test_a_version_table_that_the_role_may_not_read(released, make_role, run_migrate):
    clerk = make_role()
    for arguments in (*LOOKING, ("doctor",)):
        code, problem, fix = said(run_migrate, released.as_role(clerk), *arguments)
        assert (code, problem) == (14, "missing-privilege"), arguments
        assert fix == f"GRANT SELECT, INSERT, UPDATE, DELETE ON public.alembic_version TO {clerk.name};"


def test_a_search_path_that_names_no_schema_is_told_how_to_make_one(released, run_migrate):
    url = f"{released.url}?options=-c%20search_path%3Dinitech"
    for verb in ("plan", "up"):
        result = run_migrate(verb, env={"DATABASE_URL": url})
        assert result.exit_code == 14
        assert result.finished["fix"] == f"CREATE SCHEMA initech AUTHORIZATION {released.user};"
    released.as_superuser.execute(result.finished["fix"])
    assert run_migrate("up", env={"DATABASE_URL": url}).exit_code == 0


@pytest.mark.parametrize(
    ("setup", "settings"),
    [
        ("GRANT SELECT ON alembic_version TO {0}", {}),  # may not write the version table
        ("", {"MIGRATE_BACKUP_POLICY": "required"}),
        ("", {"MIGRATE_BACKUP_POLICY": "required", "MIGRATE_BACKUP": "/proc/nowhere"}),
        ("", {"MIGRATE_BACKUP_COMMAND": "/nowhere/to/be/found"}),
        ("", {"MIGRATE_BREAKING": "refuse"}),
    ],
)
def test_plan_and_status_refuse_where_up_would(released, make_role, run_migrate, setup, settings):
    seen = released
    if setup:
        clerk = make_role()
        on(released, setup, clerk)
        seen = released.as_role(clerk)
    refused = said(run_migrate, seen, "up", **settings)
    assert refused[0] in {10, 12, 14}
    assert said(run_migrate, seen, "plan", **settings) == refused
    assert said(run_migrate, seen, "status", "--exit-code", **settings) == refused
    told = run_migrate("status", database=seen, env=settings)
    assert (told.exit_code, told.finished["refusal"]) == (0, refused[1])


def test_a_program_that_waits_needs_no_right_to_write(released, make_role, run_migrate):
    clerk = make_role()
    on(released, "GRANT SELECT ON alembic_version TO {}", clerk)
    found = said(run_migrate, released.as_role(clerk), "wait", "--timeout", "1s")
    assert found[:2] == (25, "not-ready")


# Schemas of extensions


@pytest.fixture
def extended(project, database, run_migrate, write_manifest) -> Database:
    """A database whose tables use an extension that has a schema of its own, at the first of two revisions."""
    on(database, "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions")
    on(database, f'GRANT USAGE ON SCHEMA extensions TO {{}}; ALTER DATABASE "{database.name}"'
       ' SET search_path = "$user", public, extensions', database.role)  # fmt: skip
    project.revision(
        "e1",
        upgrade='op.execute("CREATE EXTENSION IF NOT EXISTS citext")\n'
        "op.execute(\"CREATE TABLE people (mail citext, CHECK (mail > 'a'::citext))\")",
    )
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("verify", database=database).exit_code == 0
    return database


def test_a_role_that_may_not_use_the_schema_of_an_extension_is_told_so(project, extended, run_migrate, write_manifest):
    right = f"GRANT USAGE ON SCHEMA extensions TO {extended.user};"
    on(extended, "REVOKE USAGE ON SCHEMA extensions FROM {}", extended.role)
    assert said(run_migrate, extended, "verify") == (14, "missing-privilege", right)
    at_head = run_migrate("up", database=extended)
    assert at_head.exit_code == 0
    (warning,) = at_head.named("state.finding")
    assert "has no USAGE on schema extensions" in warning["message"]
    assert said(run_migrate, extended, "up", "--strict")[0] == 14

    project.revision("e2", down="e1", upgrade='op.execute("CREATE TABLE more (id int)")')
    write_manifest()
    for arguments in (("up",), ("plan",), ("status", "--exit-code"), ("doctor",)):
        assert said(run_migrate, extended, *arguments) == (14, "missing-privilege", right), arguments
    on(extended, "TRUNCATE alembic_version")
    for arguments in (("up", "--adopt", "exact"), ("adopt",)):
        assert said(run_migrate, extended, *arguments) == (14, "missing-privilege", right), arguments
    extended.as_superuser.execute(right)
    assert run_migrate("up", "--adopt", "exact", database=extended).exit_code == 0


def test_a_schema_of_an_extension_that_is_not_used_needs_no_right(project, database, run_migrate, write_manifest):
    on(database, "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions")
    project.linear(2)
    write_manifest()
    for verb in ("up", "verify"):
        assert said(run_migrate, database, verb)[0] == 0


def test_no_right_to_create_is_wanted_where_what_is_pending_is_owned(project, make_database, make_role, run_migrate):
    database = make_database()
    clerk = make_role()
    project.revision("one", upgrade="op.execute('CREATE SCHEMA aud; CREATE TABLE aud.t (id int)')")
    project.revision("two", down="one", upgrade="op.execute('ALTER TABLE aud.t ADD COLUMN x int')")
    project.revision("three", down="two", upgrade="op.execute('CREATE TABLE public.u (id int)')")
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    on(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT ALL ON public.alembic_version TO {}", clerk)
    on(database, "ALTER SCHEMA aud OWNER TO {0}; ALTER TABLE aud.t OWNER TO {0}", clerk)
    seen = database.as_role(clerk)
    assert said(run_migrate, seen, "plan")[0] == 0
    result = run_migrate("up", "--target", "two", database=seen)
    assert (result.exit_code, result.finished["applied"]) == (0, ["two"])
    told = said(run_migrate, seen, "up")
    assert told == (14, "missing-privilege", f"GRANT USAGE, CREATE ON SCHEMA public TO {clerk.name};")
    on(database, told[2])
    assert said(run_migrate, seen, "up")[0] == 0


@pytest.mark.parametrize("statement", ["UPDATE aud.entries SET id = 1", "ALTER TABLE aud.entries ADD x int"])
def test_the_grant_names_the_schema_of_what_was_refused(project, make_database, make_role, run_migrate, statement):
    database = make_database()
    clerk = make_role()
    on(database, "CREATE SCHEMA aud; CREATE TABLE aud.entries (id int); GRANT USAGE ON SCHEMA aud TO {}", clerk)
    on(database, "GRANT ALL ON SCHEMA public TO {}", clerk)
    project.revision("one", upgrade=f"op.execute('{statement}')")
    seen = database.as_role(clerk)
    code, _, fix = said(run_migrate, seen, "up")
    assert (code, " aud.entries " in fix) == (14, True), fix
    on(database, "CREATE SCHEMA zed; CREATE TABLE zed.entries (id int)")
    code, _, comment = said(run_migrate, seen, "up")
    assert (code, comment[:3], "aud.entries or zed.entries" in comment) == (14, "-- ", True)
    on(database, "DROP TABLE zed.entries")
    on(database, fix)
    assert said(run_migrate, seen, "up")[0] == 0
