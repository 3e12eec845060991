"""Policies that hide rows from the job's role: what it would count, read or write is not what is there."""

from __future__ import annotations

import json

import pytest

FORCED = (
    "op.execute('ALTER TABLE notes ENABLE ROW LEVEL SECURITY')\nop.execute('ALTER TABLE notes FORCE ROW LEVEL SECURITY')\n"
    "op.execute(\"CREATE POLICY own ON notes USING (tenant = nullif(current_setting('app.tenant', true), '')::int)\")"
)


@pytest.fixture
def notes(project, database, run_migrate, write_manifest):
    """Apply a table of which a policy shows nothing to its owner; a revision that writes it is pending."""
    project.write_env()
    project.revision(
        "one",
        message="one",
        upgrade=f"op.execute('CREATE TABLE notes (id int PRIMARY KEY, tenant int, body text)')\n{FORCED}",
        downgrade="op.drop_table('notes')",
    )
    project.revision(
        "two",
        down="one",
        message="two",
        upgrade="op.add_column('notes', sa.Column('state', sa.Text))\nop.execute(\"UPDATE notes SET state = 'open'\")",
        downgrade="op.drop_column('notes', 'state')",
    )
    write_manifest()
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    database.as_superuser.execute("INSERT INTO notes SELECT g, 1, 'same' FROM generate_series(1, 5) g")
    return database


def test_what_would_be_dropped_is_not_counted_as_nothing(notes, run_migrate):
    refused = run_migrate("down", "--to", "base", database=notes)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (14, "missing-privilege")
    assert refused.finished["fix"].startswith(f"ALTER ROLE {notes.user} BYPASSRLS;")
    assert notes.as_superuser.scalar("SELECT count(*) FROM notes") == 5
    allowed = run_migrate("down", "--to", "base", "--allow-data-loss", database=notes)
    assert (allowed.exit_code, allowed.finished["loses"]) == (0, ["table notes: not counted"])


def test_doctor_says_that_a_data_migration_would_touch_nothing(notes, run_migrate):
    found = json.loads(run_migrate("doctor", "--json", database=notes).stdout)
    (check,) = [check for check in found["checks"] if check["check"] == "row-security"]
    assert check["verdict"] == "warn"
    assert "notes" in check["evidence"]
    notes.as_superuser.execute("ALTER TABLE notes NO FORCE ROW LEVEL SECURITY")
    found = json.loads(run_migrate("doctor", "--json", database=notes).stdout)
    (check,) = [check for check in found["checks"] if check["check"] == "row-security"]
    assert check["verdict"] == "pass"


def test_a_dump_says_why_it_is_refused(notes, run_migrate, tmp_path):
    refused = run_migrate("up", "--backup", str(tmp_path), database=notes)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (12, "backup-failed")
    assert "row-level security policy for table" in refused.finished["why"]
    assert refused.finished["fix"].startswith(f"ALTER ROLE {notes.user} BYPASSRLS;")


def test_duplicates_that_are_hidden_are_not_none(notes, run_migrate):
    with pytest.raises(Exception, match="could not create unique index"):
        notes.execute("CREATE UNIQUE INDEX CONCURRENTLY uq_body ON notes (body)")
    for verb in (("repair",), ("repair", "--yes")):
        refused = run_migrate(*verb, database=notes)
        refused.check_clean()
        assert (refused.exit_code, refused.finished["problem"]) == (14, "missing-privilege"), refused.finished
        assert refused.finished["fix"] == f"ALTER ROLE {notes.user} BYPASSRLS;"


def test_a_version_table_under_row_security_is_not_empty(notes, run_migrate):
    notes.execute(
        "ALTER TABLE alembic_version ENABLE ROW LEVEL SECURITY; ALTER TABLE alembic_version FORCE ROW LEVEL SECURITY"
    )
    for verb in ("up", "status", "adopt"):
        refused = run_migrate(verb, database=notes)
        assert (refused.exit_code, refused.finished["problem"]) == (14, "missing-privilege"), refused.finished
        assert "version table" in refused.finished["why"]
        assert refused.finished["fix"].startswith('ALTER TABLE "public"."alembic_version" DISABLE ROW LEVEL SECURITY;')
