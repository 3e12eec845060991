"""`adopt --accept-differences`: a database that an ORM made and somebody stamped has a way into releases."""

from __future__ import annotations

import json

import pytest

# As `create_all()` makes it, where the history has grown otherwise: other names, types, defaults, an extra index.
MADE = """
CREATE SEQUENCE users_id_seq;
CREATE TABLE users (id integer NOT NULL DEFAULT nextval('users_id_seq') CONSTRAINT users_pk PRIMARY KEY,
                    mail varchar(200), kind text DEFAULT 'user');
ALTER SEQUENCE users_id_seq OWNED BY users.id;
CREATE INDEX ix_users_kind ON users (kind);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('two');
"""


@pytest.fixture
def stamped(project, database, write_manifest):
    """A database that says `two`, and is not; the history goes on to `two` with another schema."""
    project.revision(
        "one",
        upgrade="""
        op.create_table("people", sa.Column("id", sa.Integer, primary_key=True), sa.Column("mail", sa.String(100)))
        """,
    )
    project.revision(
        "two",
        down="one",
        upgrade="""
        op.rename_table("people", "users")
        op.add_column("users", sa.Column("kind", sa.Text, server_default="person"))
        """,
    )
    write_manifest()
    database.execute(MADE)
    return database


def next_release(project, write_manifest, upgrade='op.add_column("users", sa.Column("more", sa.Text))', id_="three"):
    project.revision(id_, down="two", upgrade=upgrade)
    write_manifest()


def test_without_it_every_later_release_is_refused(project, stamped, run_migrate, write_manifest):
    next_release(project, write_manifest)
    assert run_migrate("up", database=stamped).exit_code == 17


def test_what_is_recorded_counts_no_more_and_anything_new_does(project, stamped, run_migrate, write_manifest):
    accepted = run_migrate("adopt", "--accept-differences", database=stamped)
    accepted.check_clean()
    assert (accepted.exit_code, accepted.finished["outcome"]) == (0, "adopted"), accepted.stdout
    listed = (project.path / "accepted-differences.txt").read_text()
    assert accepted.finished["accepted_count"] >= 4
    assert all(sentence in listed for sentence in accepted.finished["accepted"])
    again = run_migrate("adopt", "--accept-differences", database=stamped)
    assert (again.exit_code, again.finished["outcome"]) == (0, "noop")

    assert run_migrate("up", "--strict", database=stamped).exit_code == 0, "at the head it is no finding either"
    next_release(project, write_manifest)
    up = run_migrate("up", database=stamped)
    up.check_clean()
    assert (up.exit_code, up.finished["applied"]) == (0, ["three"]), up.stdout

    stamped.execute("ALTER TABLE users DROP COLUMN more")
    verified = run_migrate("verify", database=stamped)
    assert verified.exit_code == 17
    assert "users.more" in verified.finished["why"]
    assert "users.mail" not in verified.finished["why"]


def test_verify_doctor_and_report_show_both(project, stamped, run_migrate):
    assert (
        run_migrate("adopt", "--accept-differences", "--reason", "made by create_all", database=stamped).exit_code == 0
    )
    verified = run_migrate("verify", "--json", database=stamped)
    said = json.loads(verified.stdout)
    assert verified.exit_code == 0
    assert said["sentences"] == []
    assert any("users.mail" in sentence for sentence in said["accepted"])
    text = run_migrate("verify", "--format", "text", database=stamped).stdout.decode()
    assert "Accepted earlier" in text
    assert "users.mail" in text
    doctor = run_migrate("doctor", database=stamped, env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"accepted difference" in doctor.stdout
    assert run_migrate("report", "--markdown", "page.md", database=stamped).exit_code == 0
    assert "accepted: " in (project.path / "page.md").read_text()


def test_a_later_revision_that_changes_an_accepted_object_is_judged_anew(project, stamped, run_migrate, write_manifest):
    assert run_migrate("adopt", "--accept-differences", database=stamped).exit_code == 0
    upgrade = 'op.alter_column("users", "mail", type_=sa.String(300), existing_type=sa.String(100))'
    next_release(project, write_manifest, upgrade)
    assert run_migrate("up", database=stamped).exit_code == 0
    stamped.execute("ALTER TABLE users ALTER mail TYPE varchar(200)")
    assert run_migrate("verify", database=stamped).exit_code == 17, (
        "varchar(200) was accepted in place of 100, not of 300"
    )


def test_a_database_without_version_rows_is_recorded_at_the_revision_that_is_named(stamped, run_migrate):
    stamped.execute("DELETE FROM alembic_version")
    result = run_migrate("adopt", "--accept-differences", "--at", "two", database=stamped)
    assert (result.exit_code, result.finished["to_revision"]) == (0, ["two"]), result.stdout
    assert run_migrate("up", "--strict", database=stamped).exit_code == 0


def test_the_list_that_cannot_be_written_is_a_warning(stamped, run_migrate):
    result = run_migrate("adopt", "--accept-differences", "--differences-file", "/no/such/folder/x", database=stamped)
    assert result.exit_code == 0
    assert any("cannot be written" in line["message"] for line in result.named("target.warning"))


def test_without_a_ledger_nothing_is_accepted(stamped, run_migrate):
    stamped.as_superuser.execute("CREATE SCHEMA migrate")
    result = run_migrate("adopt", "--accept-differences", database=stamped)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (14, "missing-privilege"), result.stdout
    assert "SCHEMA migrate" in result.finished["fix"]


def test_verifys_sql_names_what_is_there_and_runs(stamped, run_migrate):
    sql = run_migrate("verify", "--format", "sql", database=stamped).stdout.decode()
    for statement in "\n".join(line for line in sql.splitlines() if not line.startswith("--")).split(";\n"):
        if statement.strip():
            stamped.execute(statement)
    left = json.loads(run_migrate("verify", "--json", database=stamped).stdout)
    assert not [said for said in left["sentences"] if "seq" in said], left["sentences"]
