"""Branches that build on each other without `depends_on`: Alembic's order makes it work, and every verb knows.

Of two heads Alembic applies the branch of the later file first, of a merge the branch that it names last: here z's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from migrate.core.manifest.manifest import Manifest
from tests.support.process import alembic

if TYPE_CHECKING:
    from tests.support.project import Project

After = dict[str, tuple[str, ...]]


def make(project: Project, *revisions: tuple[Any, str, str, str]) -> None:
    """Each as (what it builds on, its id, the SQL up, the SQL down)."""
    for down, id_, up, back in revisions:
        project.revision(id_, down=down, message=id_, upgrade=_execute(up), downgrade=_execute(back))


def _execute(sql: str) -> str:
    return sql if sql.startswith(("if ", "pass")) else f"op.execute({sql!r})"


ROOT = (None, "root", "CREATE TABLE t (id integer PRIMARY KEY, x integer)", "DROP TABLE t")
Z1 = ("root", "z1", "CREATE TABLE z (id integer PRIMARY KEY)", "DROP TABLE z")
A1 = ("root", "a1", "CREATE TABLE a (id integer PRIMARY KEY)", "DROP TABLE a")
MERGE = (("a2", "z1"), "zz", "pass", "pass")


def a_column_of_a_siblings_table(project: Project) -> After:
    make(project, ROOT, Z1, A1, ("a1", "a2", "ALTER TABLE z ADD y text", "ALTER TABLE z DROP y"))
    return {"a2": ("z1",)}


def a_key_to_a_siblings_table(project: Project) -> After:
    key = "CREATE TABLE b (id integer PRIMARY KEY REFERENCES z)"
    make(project, ROOT, Z1, A1, ("a1", "a2", key, "DROP TABLE b"), MERGE)
    return {"a2": ("z1",)}


def a_siblings_table_is_dropped(project: Project) -> After:
    make(project, ROOT, Z1, ("root", "a1", "DROP TABLE z", Z1[2]))
    return {"a1": ("z1",)}


def a_value_of_a_siblings_type(project: Project) -> After:
    make(
        project,
        ROOT,
        ("root", "z1", "CREATE TYPE mood AS ENUM ('sad')", "DROP TYPE mood"),
        ("z1", "z2", "CREATE TABLE z (id integer PRIMARY KEY)", "DROP TABLE z"),
        ("root", "a1", "ALTER TYPE mood ADD VALUE 'ok'", "pass"),
        ("a1", "a2", "CREATE TABLE feelings (m mood)", "DROP TABLE feelings"),
    )
    return {"a1": ("z1",)}


def both_directions(project: Project) -> After:
    """The first merge names a last, and so a comes first; the second names z last."""
    make(
        project,
        ROOT,
        A1,
        ("root", "z1", "ALTER TABLE a ADD z integer", "ALTER TABLE a DROP z"),
        (("z1", "a1"), "middle", "pass", "pass"),
        ("middle", "z2", "CREATE TABLE zz (id integer PRIMARY KEY)", "DROP TABLE zz"),
        ("middle", "a2", "ALTER TABLE zz ADD a integer", "ALTER TABLE zz DROP a"),
        (("a2", "z2"), "zz", "pass", "pass"),
    )
    return {"z1": ("a1",), "a2": ("z2",)}


def three_siblings_merged(project: Project) -> After:
    make(
        project,
        ROOT,
        Z1,
        ("root", "m1", "ALTER TABLE z ADD m integer UNIQUE", "ALTER TABLE z DROP m"),
        ("root", "a1", "CREATE TABLE a (z integer REFERENCES z (m))", "DROP TABLE a"),
        ("a1", "a2", "ALTER TABLE a ADD more integer", "ALTER TABLE a DROP more"),
        (("a2", "m1", "z1"), "zz", "ALTER TABLE t ADD zz integer", "ALTER TABLE t DROP zz"),
    )
    return {"m1": ("z1",), "a1": ("m1",)}


def two_bases(project: Project) -> After:
    make(
        project,
        (None, "z1", "CREATE TABLE z (id integer PRIMARY KEY)", "DROP TABLE z"),
        (None, "a1", "CREATE TABLE a (z integer REFERENCES z)", "DROP TABLE a"),
    )
    return {"a1": ("z1",)}


def a_merge_that_changes_something(project: Project) -> After:
    make(
        project,
        ROOT,
        Z1,
        A1,
        ("a1", "a2", "ALTER TABLE z ADD y text, ADD keep integer", "ALTER TABLE z DROP y, DROP keep"),
        (("a2", "z1"), "zz", "ALTER TABLE z DROP y", "ALTER TABLE z ADD y text"),
    )
    return {"a2": ("z1",)}


def rows_of_a_sibling_are_read(project: Project) -> After:
    make(
        project,
        ROOT,
        ("root", "z1", "INSERT INTO t VALUES (1, 1)", "DELETE FROM t WHERE id = 1"),
        (
            "root",
            "a1",
            "if op.get_bind().execute(sa.text('SELECT x FROM t WHERE id = 1')).scalar() != 1: raise ValueError",
            "pass",
        ),
        ("a1", "a2", "CREATE TABLE a (id integer PRIMARY KEY)", "DROP TABLE a"),
    )
    return {"a1": ("z1",)}


def what_a_sibling_needs_is_dropped(project: Project) -> After:
    """Each can be applied alone; together only in Alembic's order, in which the shorter branch goes first."""
    make(
        project,
        ROOT,
        ("root", "z1", "ALTER TABLE t ALTER x SET NOT NULL", "ALTER TABLE t ALTER x DROP NOT NULL"),
        A1,
        ("a1", "a2", "ALTER TABLE t DROP x", "ALTER TABLE t ADD x integer NOT NULL"),
    )
    return {"a2": ("z1",)}


def one_of_many(project: Project) -> After:
    make(
        project,
        ROOT,
        *(
            (f"z{n - 1}" if n > 1 else "root", f"z{n}", f"CREATE TABLE z{n} ()", f"DROP TABLE z{n}")
            for n in range(1, 8)
        ),
        ("root", "a1", "ALTER TABLE z3 ADD a integer", "ALTER TABLE z3 DROP a"),
        ("a1", "a2", "ALTER TABLE z5 ADD a integer", "ALTER TABLE z5 DROP a"),
    )
    return {"a1": ("z3",), "a2": ("z5",)}


KINDS = (
    a_column_of_a_siblings_table,
    a_key_to_a_siblings_table,
    a_siblings_table_is_dropped,
    a_value_of_a_siblings_type,
    both_directions,
    three_siblings_merged,
    two_bases,
    a_merge_that_changes_something,
    rows_of_a_sibling_are_read,
    what_a_sibling_needs_is_dropped,
    one_of_many,
)


def written(project) -> Manifest:
    return Manifest.parse((project.path / "migrations" / "manifest.json").read_text("utf-8"))


def versions(database) -> list[tuple[str]]:
    return sorted(database.rows("SELECT version_num FROM alembic_version"))


@pytest.fixture
def run(run_migrate, server):
    """Run a verb that must end with this code."""

    def run(verb, *arguments, database=None, code=0):
        env = {"MIGRATE_SHADOW_URL": server.url(), "MIGRATE_TARGET": "heads"}
        done = run_migrate(verb, *arguments, database=database, env=env)
        assert done.exit_code == code, (verb, done.finished, done.events, done.stderr)
        return done

    return run


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_alembic_takes_to_its_heads_has_a_manifest_that_is_true(project, make_database, run, kind):
    after = kind(project)
    plain, ours = make_database(), make_database()
    alembic(project, plain, "upgrade", "heads")
    result = run("manifest")
    result.check_clean()
    assert written(project).after == after
    (warning,) = result.named("image.warning")
    for id_, siblings in after.items():
        assert (
            f"revision {id_} follows revision {' and revision '.join(siblings)} of another branch" in warning["message"]
        )
    run("up", database=ours)
    assert versions(ours) == versions(plain)
    run("verify", database=plain)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("has_manifest", [True, False])
def test_it_is_tried_down_and_up_again_with_and_without_a_manifest(project, run, has_manifest):
    a_key_to_a_siblings_table(project)
    if has_manifest:
        run("manifest")
        run("manifest", "--check")
        assert run("manifest", "--full").finished["outcome"] == "noop"
    tested = run("test")
    assert [each["message"] for each in tested.named("trial.finding") if each["level"] == "error"] == []


@pytest.mark.timeout(400)
def test_what_a_revision_follows_is_not_taken_away_below_it(project, database, run):
    a_column_of_a_siblings_table(project)
    run("manifest")
    run("up", database=database)
    run("status", database=database)
    refused = run("down", "--to", "base", "--allow-data-loss", database=database)
    assert refused.finished["outcome"] == "downgraded"
    run("up", database=database)
    run("verify", database=database)
    database.execute("DROP TABLE alembic_version")
    refused = run("adopt", "--at", "a2", "--reason", "it is", database=database, code=15)
    assert refused.finished["fix"].startswith("migrate adopt --at a2,z1 --reason")
    run("adopt", database=database)
    assert versions(database) == [("a2",), ("z1",)]


@pytest.mark.timeout(400)
def test_rows_without_the_sibling_are_no_drift_and_hold_nobody_up(project, database, run):
    a_column_of_a_siblings_table(project)
    project.revision("z2", down="z1", message="z2", upgrade="op.execute('ALTER TABLE z ADD IF NOT EXISTS w integer')")
    text = (project.versions / "a2_a2.py").read_text()
    (project.versions / "a2_a2.py").write_text(
        text.replace("ADD y text", "ADD y text; ALTER TABLE z ALTER w SET NOT NULL")
    )
    run("manifest")
    assert written(project).after == {"a2": ("z2",)}
    run("up", database=database)
    refused = run("down", "--to", "z1", "--allow-data-loss", database=database, code=11)
    assert "revision a2 of another branch follows revision z2, and would stay without it" in refused.finished["why"]
    database.execute("UPDATE alembic_version SET version_num = 'z1' WHERE version_num = 'z2'")
    run("status", database=database)
    done = run("up", database=database)
    assert any("revision a2 is applied without revision z2, which it follows" in e["message"] for e in done.events)
    run("verify", database=database)


def test_what_alembic_applies_too_late_is_named_and_no_baseline_is_asked_for(project, database, run):
    make(project, ROOT, A1, ("root", "z1", "ALTER TABLE a ADD y text", "ALTER TABLE a DROP y"))
    assert alembic(project, database, "upgrade", "heads", check=False).returncode != 0
    failed = run("manifest", code=30)
    assert failed.finished["problem"] == "revision-failed"
    assert "it works after revision a1, which Alembic applies later" in failed.finished["why"]
    assert "depends_on = 'a1'" in failed.finished["fix"]
    text = (project.versions / "z1_z1.py").read_text()
    (project.versions / "z1_z1.py").write_text(text.replace("depends_on = None", "depends_on = 'a1'"))
    run("manifest")


def test_what_no_sibling_makes_is_a_baselines(project, run):
    make(project, ROOT, Z1, ("root", "a1", "ALTER TABLE legacy ADD y text", "pass"))
    assert run("manifest", code=11).finished["problem"] == "baseline-needed"
