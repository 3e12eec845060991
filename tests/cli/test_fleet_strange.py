"""What a stranger gives a fleet: names that quote and escape, lists that are empty, slow or wrong."""

from __future__ import annotations

import pytest

from tests.cli.test_fleet import by_tenant

NAMES = (
    "a b",
    'with"quote',
    "with'apostrophe",
    "per%cent",
    "50%s",
    "back\\slash%",
    "UPPER",
    "dot.ted",
    "semi;colon",
    "é$",
)


@pytest.fixture
def plain(project):
    """A project whose env.py knows nothing of tenants."""
    project.write_env()
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    return project


def with_tenants(project, settings):
    (project.path / "pyproject.toml").write_text(f"[tool.migrate.tenants]\nsearch_path = true\n{settings}\n")


def test_a_tenant_may_have_any_name_that_a_schema_may_have(plain, database, run_migrate):
    with_tenants(plain, "query = \"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'is %'\"")
    names = [f"is {name}" for name in NAMES]
    for name in names:
        quoted = name.replace('"', '""')
        database.execute(f'CREATE SCHEMA "{quoted}"')
    result = run_migrate("up", database=database, cwd=plain.path)
    assert result.exit_code == 0, result.stdout.decode()
    assert {name: line["applied"] for name, line in by_tenant(result).items()} == {name: ["r1"] for name in names}
    there = database.rows("SELECT schemaname FROM pg_tables WHERE tablename = 'a'")
    assert sorted(name for (name,) in there) == sorted(names)
    for name in names:
        one = run_migrate("status", "--tenant", name, "--exit-code", database=database, cwd=plain.path)
        assert (one.exit_code, set(by_tenant(one))) == (0, {name})


@pytest.mark.parametrize("flag", ["--tenant", "--tenants-include"])
def test_a_name_that_a_shell_left_empty_does_not_mean_all(plain, database, run_migrate, flag):
    with_tenants(plain, 'schemas = "tenant_%"')
    database.execute("CREATE SCHEMA tenant_0")
    refused = run_migrate("up", flag, "", database=database, cwd=plain.path)
    assert (refused.exit_code, refused.finished["problem"]) == (2, "usage")
    assert "names none" in refused.finished["why"]
    assert run_migrate("status", database=database, cwd=plain.path).finished["tenants_pending"] == ["tenant_0"]


def test_a_list_without_a_tenant_is_said(plain, database, run_migrate):
    with_tenants(plain, 'schemas = "tenat_%"')
    result = run_migrate("up", database=database, cwd=plain.path)
    assert (result.exit_code, result.finished["tenants"]) == (0, 0)
    (warning,) = result.named("target.warning")
    assert warning["message"] == "no tenant is listed (tenants.schemas): nothing was done"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT pg_sleep(600)", "statement timeout"),
        ("SELECT nothing", "nothing"),
        ("CREATE TABLE x ()", "read-only"),
        ("SELECT NULL::text", "no tenant in its first column"),
        ("SELECT 1, 2, 3, 4", "4 columns"),
        ("SELECT n, n FROM (VALUES ('a'), ('a ')) AS v (n) CROSS JOIN generate_series(1, 2)", ""),
    ],
)
def test_a_query_that_lists_no_tenants_is_a_fault_of_the_settings(plain, database, run_migrate, query, why):
    with_tenants(plain, f'query = "{query}"')
    result = run_migrate("up", database=database, cwd=plain.path)
    if why:
        assert (result.exit_code, result.finished["problem"]) == (10, "bad-tenants"), result.stdout.decode()
        assert why in result.finished["why"]
    else:  # who is listed twice in one place is one tenant; none of these is made yet
        assert (result.exit_code, result.finished["tenants"]) == (0, 2)
