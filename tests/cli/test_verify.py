"""`migrate verify --against`: a schema compared with a revision, another image or another database, in every form."""

from __future__ import annotations

import json
import shutil

import pytest

FORMS = ("text", "sql", "markdown")


@pytest.fixture
def history(project, write_manifest):
    """A table, then a column and an index; and their manifest."""
    project.linear(1)
    project.revision(
        "two",
        down="r0001",
        message="note",
        upgrade="op.add_column('r0001', sa.Column('note', sa.Text))\nop.create_index('by_note', 'r0001', ['note'])",
    )
    write_manifest()
    return project


@pytest.fixture
def at_head(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    return history


def test_against_a_revision(at_head, database, run_migrate):
    same = run_migrate("verify", "--against", "two", database=database)
    same.check_clean()
    assert same.exit_code == 0
    other = run_migrate("verify", "--against", "r0001", database=database)
    other.check_clean()
    assert (other.exit_code, other.finished["problem"]) == (17, "schemas-differ")
    assert "column r0001.note is not in the manifest" in other.finished["why"]
    assert other.finished["fix"].startswith("migrate verify --against r0001 --format sql")
    unknown = run_migrate("verify", "--against", "nothing", database=database)
    assert (unknown.exit_code, unknown.finished["problem"]) == (11, "unknown-target")


def test_two_revisions_need_no_database(history, run_migrate):
    result = run_migrate("verify", "--at", "r0001", "--against", "two", env={"DATABASE_URL": "postgresql://nowhere/x"})
    result.check_clean()
    assert result.exit_code == 17
    assert "column r0001.note is missing" in result.finished["why"]
    assert result.finished["compared"] == "revision r0001"


def test_the_sql_leads_from_one_to_the_other(history, database, run_migrate):
    assert run_migrate("up", "--target", "r0001", database=database).exit_code == 0
    flags = ("verify", "--against", "two")
    made = run_migrate(*flags, "--format", "sql", database=database)
    assert made.exit_code == 17
    assert made.stderr == b""
    for statement in made.stdout.decode().splitlines():
        if statement and not statement.startswith("--"):
            database.execute(statement)
    assert run_migrate(*flags, database=database).exit_code == 0
    equal = run_migrate(*flags, "--format", "sql", database=database).stdout.decode().splitlines()
    assert all(line.startswith("--") for line in equal)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_all_that_is_printed(at_head, database, run_migrate, form):
    result = run_migrate("verify", "--against", "r0001", "--format", form, database=database)
    assert (result.exit_code, result.stderr, result.events) == (17, b"", [])
    text = result.stdout.decode()
    said = (
        "not in the manifest:\n  + column r0001.note: text" if form == "text" else "r0001.note is not in the manifest"
    )
    assert said in text.replace("\\_", "_")
    assert "DROP INDEX CONCURRENTLY by_note;" in text
    broken = run_migrate("verify", "--against", "nothing", "--format", form, database=database)
    broken.check_clean()  # without a comparison, the lines that say why
    assert broken.exit_code == 11


def test_json_is_one_object(at_head, database, run_migrate):
    for flags in (("--json",), ("--format", "json")):
        result = run_migrate("verify", "--against", "r0001", *flags, database=database)
        found = json.loads(result.stdout)
        assert (found["exit_code"], found["compared_with"]) == (17, ["r0001"])
        assert {each["identity"] for each in found["extra"]} == {"column r0001.note", "index r0001.by_note"}


def test_another_images_manifest(at_head, database, run_migrate, tmp_path, write_manifest):
    other = tmp_path / "other.json"
    shutil.copy(at_head.path / "migrations" / "manifest.json", other)
    assert run_migrate("verify", "--against", str(other), database=database).exit_code == 0
    at_head.revision("three", down="two", message="three", upgrade="op.execute('CREATE TABLE three ()')")
    write_manifest()
    newer = at_head.path / "migrations" / "manifest.json"
    result = run_migrate("verify", "--against", str(newer), database=database)
    result.check_clean()
    assert (result.exit_code, "table three is missing" in result.finished["why"]) == (17, True)
    missing = run_migrate("verify", "--against", "absent.json", database=database)
    assert (missing.exit_code, missing.finished["problem"]) == (10, "no-manifest")
    other.write_text("{}")
    assert run_migrate("verify", "--against", str(other), database=database).finished["problem"] == "bad-manifest"


def test_another_database(at_head, database, make_database, run_migrate):
    other = make_database()
    assert run_migrate("up", database=other).exit_code == 0
    environ = {"STAGING_URL": other.url}
    same = run_migrate("verify", "--against", "env:STAGING_URL", database=database, env=environ)
    same.check_clean(secret=other.password)
    assert same.exit_code == 0
    other.execute("ALTER TABLE r0001 ALTER note TYPE varchar(9)")
    result = run_migrate("verify", "--against", "env:STAGING_URL", database=database, env=environ)
    result.check_clean(secret=other.password)
    assert (result.exit_code, result.finished["problem"]) == (17, "schemas-differ")
    assert "r0001.note is text, the database of STAGING_URL says character varying(9)" in result.finished["why"]
    assert result.finished["db_name"] == database.name  # the run is about its own target


def test_another_database_needs_no_manifest(project, database, make_database, run_migrate):
    project.linear(1)
    other = make_database()
    for each in (database, other):
        assert run_migrate("up", database=each).exit_code == 0
    environ = {"STAGING_URL": other.url}
    assert run_migrate("verify", "--against", "env:STAGING_URL", database=database, env=environ).exit_code == 0
    assert run_migrate("verify", database=database).finished["problem"] == "no-manifest"


def test_a_url_is_no_argument(at_head, database, make_database, run_migrate):
    other = make_database()
    result = run_migrate("verify", "--against", other.url, database=database)
    result.check_clean(secret=other.password)
    assert result.exit_code == 2
    for value, problem in (("", "no-database-url"), ("mysql://h/d", "bad-database-url")):
        refused = run_migrate("verify", "--against", "env:OTHER", database=database, env={"OTHER": value})
        assert (refused.exit_code, refused.finished["problem"]) == (10, problem)
