"""A database that went through dump and restore is what it was: for every verb, and for real differences, too."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from migrate.postgres.client_tools import find_client_tools
from tests.support.expressions import EXPRESSIONS, dump_and_restore

pytestmark = [pytest.mark.deep, pytest.mark.timeout(240)]

# By hand on the restored database, each as near to what is there as can be, and what it is in.
NEAR_MISSES = [
    ("ALTER TABLE t DROP CONSTRAINT c_in, ADD CONSTRAINT c_in CHECK (status IN ('a', 'c'))", "constraint t.c_in"),
    ("ALTER TABLE t DROP CONSTRAINT c_null, ADD CONSTRAINT c_null CHECK (kind IN ('a', 'b'))", "constraint t.c_null"),
    (
        "ALTER TABLE t DROP CONSTRAINT c_between, ADD CONSTRAINT c_between CHECK (n BETWEEN 1 AND 6 AND m > 0)",
        "constraint t.c_between",
    ),
    (
        "ALTER TABLE t DROP CONSTRAINT c_mixed, ADD CONSTRAINT c_mixed CHECK (n IN (1, 2, m) AND m = 3)",
        "constraint t.c_mixed",
    ),
    ("DROP INDEX i_part; CREATE INDEX i_part ON t (n) WHERE status IN ('b', 'a')", "index t.i_part"),
    ("DROP INDEX i_part; CREATE INDEX i_part ON t (n) WHERE status NOT IN ('a', 'b')", "index t.i_part"),
    ("ALTER TABLE t ALTER is_open SET DEFAULT 'x'::varchar IN ('a', 'c')", "column t.is_open"),
    ("ALTER TABLE t ALTER is_open SET DEFAULT false", "column t.is_open"),
]
# What `verify` prints no SQL for is seen all the same.
OTHER_NEAR_MISSES = [
    ("CREATE OR REPLACE FUNCTION f2(a varchar) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN a IN ('a', 'c')", "f2("),
    ("ALTER POLICY p ON t USING (status IN ('a', 'c'))", "policy t.p"),
    (
        """CREATE OR REPLACE TRIGGER tr BEFORE UPDATE OF status ON t FOR EACH ROW
             WHEN (NEW.status IN ('a', 'c') AND OLD.n BETWEEN 1 AND 5 AND NEW.m > 0) EXECUTE FUNCTION touch()""",
        "trigger t.tr",
    ),
    (
        """CREATE OR REPLACE RULE r2 AS ON DELETE TO log DO INSTEAD
             (UPDATE log SET status = 'x' WHERE id = OLD.id AND status IN ('a', 'c'); DELETE FROM t WHERE false)""",
        "rule log.r2",
    ),
    (
        "ALTER DOMAIN grade DROP CONSTRAINT grade_ok; ALTER DOMAIN grade ADD CONSTRAINT grade_ok CHECK (VALUE IN ('a'))",
        "grade.grade_ok",
    ),
    (
        "DROP STATISTICS st1; CREATE STATISTICS st1 ON (status IN ('a', 'c')) FROM t",
        "statistics st1",
    ),
]


@pytest.fixture
def history(project, write_manifest):
    """A revision with every kind of expression, and one that allows more in one of its checks."""
    project.revision("one", upgrade=f"op.execute({EXPRESSIONS!r})")
    project.revision(
        "two",
        down="one",
        upgrade="""op.execute("ALTER TABLE t DROP CONSTRAINT c_in, ADD CONSTRAINT c_in CHECK (status IN ('a', 'b', 'c'))")""",
        downgrade="""op.execute("ALTER TABLE t DROP CONSTRAINT c_in, ADD CONSTRAINT c_in CHECK (status IN ('a', 'b'))")""",
    )
    write_manifest()
    return project


@pytest.fixture
def bin_dir(server):
    return find_client_tools(server.version, dict(os.environ)).pg_dump.parent


def verify(run_migrate, database):
    done = run_migrate("verify", "--json", database=database)
    return done.exit_code, json.loads(done.stdout)


def test_the_manifest_says_how_else_a_definition_is_printed(history):
    one, two = json.loads((history.path / "migrations" / "manifest.json").read_text())["revisions"]
    few, more = ["'a'", "'b'"], ["'a'", "'b'", "'c'"]
    made = [
        f"CHECK (((status)::text = ANY ((ARRAY[{', '.join(f'{label}::character varying' for label in labels)}])::text[])))"
        for labels in (few, more)
    ]
    restored = ", ".join(f"({label}::character varying)::text" for label in more)
    assert two["changes"] == [
        f"~ constraint t.c_in: {made[0]} -> {made[1]}",
        f"= constraint t.c_in: CHECK (((status)::text = ANY (ARRAY[{restored}])))",
    ]
    spelled = [line for line in one["changes"] if line.startswith("= ")]
    assert len(spelled) == 51
    before = [one["changes"][at - 1] for at, line in enumerate(one["changes"]) if line.startswith("= ")]
    assert [line[2:].partition(": ")[0] for line in spelled] == [line[2:].partition(": ")[0] for line in before]


def test_the_manifest_is_the_same_text_whether_all_of_it_is_read_or_the_end(history, run_migrate, server):
    path = history.path / "migrations" / "manifest.json"
    environ = {"MIGRATE_SHADOW_URL": server.url()}
    history.revision("three", down="two", upgrade="op.execute('ALTER TABLE par RENAME TO parent')")
    assert run_migrate("manifest", env=environ).exit_code == 0
    added = path.read_text()
    assert "\"= constraint parent.par_c: CHECK (((a)::text = ANY (ARRAY[('a'" in added
    assert run_migrate("manifest", "--full", env=environ).exit_code == 0
    assert path.read_text() == added
    assert run_migrate("manifest", "--check", "--full", env=environ).exit_code == 0


def test_a_backup_that_was_restored_goes_on(history, tmp_path, database, run_migrate):
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    up = run_migrate("up", "--backup", str(tmp_path), database=database)
    assert up.exit_code == 0, up.stdout
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url}
    done = subprocess.run(["/bin/sh", "-c", up.finished["restore"]], env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert verify(run_migrate, database)[0] == 0
    up = run_migrate("up", database=database)
    assert (up.exit_code, up.finished["applied"]) == (0, ["two"]), up.stdout
    assert up.named("proof.finished")[0]["proof"] == "manifest"
    assert run_migrate("up", "--strict", database=database).exit_code == 0


@pytest.mark.parametrize("custom", [False, True], ids=["psql", "pg_restore"])
def test_a_restored_database_is_adopted_verified_rolled_back_and_repaired(
    custom, history, bin_dir, database, make_database, run_migrate, write_manifest
):
    assert run_migrate("up", database=database).exit_code == 0
    restored = make_database()
    dump_and_restore(bin_dir, database.url, restored.url, custom=custom)
    assert verify(run_migrate, restored)[0] == 0
    other = {"OTHER_URL": database.url}
    assert run_migrate("verify", "--against", "env:OTHER_URL", database=restored, env=other).exit_code == 0
    assert run_migrate("up", "--strict", database=restored).exit_code == 0
    # the older image, to which one check has values more in the database than it knows of
    (two,) = history.versions.glob("two_*")
    text = two.read_text()
    two.unlink()
    write_manifest()
    assert run_migrate("up", database=restored).finished["outcome"] == "ahead"
    two.write_text(text)
    write_manifest()
    restored.execute("DROP TABLE alembic_version; DROP SCHEMA migrate CASCADE")
    adopted = run_migrate("adopt", database=restored)
    assert (adopted.exit_code, adopted.finished["to_revision"]) == (0, ["two"]), adopted.stdout
    assert run_migrate("down", "--to", "one", database=restored).exit_code == 0
    assert run_migrate("up", "--strict", database=restored).exit_code == 0


def test_a_real_difference_is_seen_in_either_spelling_and_the_sql_mends_it(
    history, bin_dir, database, make_database, run_migrate
):
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    restored = make_database()
    dump_and_restore(bin_dir, database.url, restored.url)
    for live in (database, restored):
        for change, name in NEAR_MISSES:
            live.execute(change)
            code, found = verify(run_migrate, live)
            assert code == 17, change
            assert [each["identity"] for each in found["changed"]] == [name], change
            assert not found["missing"] + found["extra"], change
            assert found["sql"], change
            for statement in ";\n".join(found["sql"]).split(";\n"):
                live.execute(statement)
            assert verify(run_migrate, live)[0] == 0, (change, found["sql"])
    for change, _ in OTHER_NEAR_MISSES:
        restored.execute(
            change.replace("DROP CONSTRAINT grade_ok, ADD", "DROP CONSTRAINT grade_ok; ALTER DOMAIN grade ADD")
        )
    code, found = verify(run_migrate, restored)
    assert code == 17
    seen = [each["identity"] for each in found["changed"]]
    assert len(seen) == len(OTHER_NEAR_MISSES)
    for _, name in OTHER_NEAR_MISSES:
        assert any(name in identity for identity in seen), name


# What changes the text of definitions, whose trees stay as they are: those of the dump's database, and those of a restore.
RENAMES = """
ALTER TABLE t RENAME status TO state;
ALTER TABLE t RENAME n TO number;
ALTER TABLE log RENAME status TO "the state";
ALTER TABLE lp RENAME status TO state;
ALTER TABLE ev RENAME TO events;
ALTER TABLE par RENAME a TO renamed;
ALTER TABLE par RENAME TO parent;
ALTER TABLE typed RENAME TO typed_more;
ALTER VIEW v2 RENAME TO second;
ALTER MATERIALIZED VIEW mv RENAME status TO state;
ALTER INDEX i_part RENAME TO i_parted;
ALTER TABLE t RENAME CONSTRAINT c_notin TO c_none;
ALTER TRIGGER tr ON t RENAME TO tr_touch;
ALTER POLICY p2 ON t RENAME TO second;
ALTER FUNCTION touch() RENAME TO touched;
ALTER FUNCTION f2(varchar) RENAME TO second;
ALTER DOMAIN grade RENAME TO grades;
ALTER STATISTICS st RENAME TO st_first;
"""


def test_a_baseline_from_pg_dump_fits_the_database_that_it_came_from_and_one_restored_from_it(
    project, bin_dir, database, make_database, run_migrate, write_manifest
):
    database.execute(EXPRESSIONS)
    restored = make_database()
    dump_and_restore(bin_dir, database.url, restored.url)
    dump = ["--schema-only", "--no-owner", "--no-privileges", f"--file={project.path / 'baseline.sql'}", database.url]
    subprocess.run([bin_dir / "pg_dump", *dump], check=True)
    project.revision("one", upgrade="op.execute('CREATE TABLE more (id int)')")
    (project.path / "pyproject.toml").write_text("")
    environ = {"MIGRATE_SHADOW_URL": database.server.url()}
    made = run_migrate("manifest", "--baseline", "baseline.sql", env=environ)
    assert made.exit_code == 0, made.stdout
    project.revision("two", down="one", upgrade=f"op.execute({RENAMES!r})")
    assert run_migrate("manifest", env=environ).exit_code == 0
    assert run_migrate("manifest", "--check", "--full", env=environ).exit_code == 0
    for live in (database, restored):
        up = run_migrate("up", "--adopt", "exact", "--target", "one", database=live)
        assert up.exit_code == 0, up.stdout
        assert verify(run_migrate, live)[0] == 0
        up = run_migrate("up", database=live)
        assert (up.exit_code, up.finished["applied"]) == (0, ["two"]), up.stdout
        code, found = verify(run_migrate, live)
        assert code == 0, found["sentences"]
    database.execute("ALTER TABLE t DROP CONSTRAINT c_in, ADD CONSTRAINT c_in CHECK (state IN ('a', 'c'))")
    assert verify(run_migrate, database)[0] == 17
