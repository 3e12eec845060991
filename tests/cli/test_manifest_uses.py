"""What the manifest is for: drift, adoption, rollback, the forward check and edited files, on real databases."""

from __future__ import annotations

import json

import pytest

from tests.support.process import alembic

CREATE = """
op.create_table(
    "articles",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.String(50), nullable=False),
    sa.Column("body", sa.Text),
)
op.create_index("ix_title", "articles", ["title"])
"""


@pytest.fixture
def history(project, write_manifest):
    """Three revisions: a table, a relaxed column, a new table; and their manifest."""
    project.revision("one", upgrade=CREATE, downgrade="op.drop_table('articles')", message="articles")
    project.revision("two", down="one", upgrade="op.alter_column('articles', 'title', nullable=True)", message="relax")
    project.revision(
        "three",
        down="two",
        upgrade="op.create_table('tags', sa.Column('id', sa.Integer, primary_key=True))",
        message="tags",
    )
    write_manifest()
    return project


def rows(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def test_a_release_is_proven_by_the_manifest(history, database, run_migrate):
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 0
    assert result.named("proof.finished")[0]["proof"] == "manifest"


def test_drift_refuses_an_upgrade_and_is_named(history, database, run_migrate):
    alembic(history, database, "upgrade", "two")
    database.execute("ALTER TABLE articles DROP COLUMN body")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (17, "drift")
    assert "column articles.body is missing in the database" in result.finished["why"]
    assert rows(database) == ["two"]
    tolerated = run_migrate("up", "--drift", "warn", database=database)
    tolerated.check_clean()
    assert (tolerated.exit_code, rows(database)) == (0, ["three"])
    assert any("articles.body" in event["message"] for event in tolerated.named("state.finding"))


def test_at_head_drift_is_a_warning_unless_strict(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("DROP INDEX ix_title")
    lenient = run_migrate("up", database=database)
    lenient.check_clean()
    assert (lenient.exit_code, lenient.finished["outcome"]) == (0, "noop")
    assert any("ix_title" in event["message"] for event in lenient.named("state.finding"))
    assert run_migrate("up", "--strict", database=database).exit_code == 17


def test_extra_objects_only_warn(history, database, run_migrate):
    alembic(history, database, "upgrade", "two")
    database.execute("CREATE TABLE scratch (id integer)")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 0
    assert any("scratch" in event["message"] for event in result.named("state.finding"))


REFUSING = {
    "a required column": ("ALTER TABLE articles ADD must integer NOT NULL", "an INSERT without it fails"),
    "a check": ("ALTER TABLE articles ADD CONSTRAINT short CHECK (length(title) < 5)", "rows that were accepted"),
    "a unique index": ("CREATE UNIQUE INDEX one_title ON articles (title)", "rows that were accepted"),
    "a trigger": (
        (
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER no BEFORE INSERT ON articles FOR EACH ROW EXECUTE FUNCTION no()"
        ),
        "it acts on the program's rows",
    ),
    "row security": ("ALTER TABLE articles ENABLE ROW LEVEL SECURITY", "rows may be hidden or refused"),
}


@pytest.mark.parametrize("at", ["two", "three"])
@pytest.mark.parametrize("extra", REFUSING)
def test_an_extra_object_that_refuses_the_programs_rows_is_drift_where_strict_and_a_plain_warning_where_not(
    history, database, run_migrate, extra, at
):
    statement, why = REFUSING[extra]
    assert run_migrate("up", "--target", at, database=database).exit_code == 0
    database.execute(statement)
    verbs = [["up"], ["plan"], *([["wait", "--timeout", "1s"]] if at == "three" else [])]
    for verb in verbs:
        result = run_migrate(*verb, "--strict", database=database)
        result.check_clean()
        assert (result.exit_code, result.finished["problem"]) == (17, "drift"), verb
        assert "the live schema does not serve this image" in result.finished["why"]
        assert why in result.finished["why"]
        assert "--ignore" in result.finished["fix"]
        assert "--drift warn" not in result.finished["fix"]
    assert run_migrate("status", "--strict", database=database).finished["refusal"] == "drift"
    assert rows(database) == [at]
    ignored = run_migrate("plan", "--strict", "--extra", "ignore", database=database)
    assert ignored.exit_code == 0
    lenient = run_migrate("up", database=database)
    lenient.check_clean()
    assert lenient.exit_code == 0
    (said,) = [
        event["message"] for event in lenient.named("state.finding") if "not in the manifest" in event["message"]
    ]
    assert "the live schema does not serve this image" in said
    assert why in said


def test_an_extra_object_that_serves_the_program_is_no_drift_where_strict_either(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("CREATE TABLE audit (id integer NOT NULL, CHECK (id > 0))")
    database.execute("CREATE INDEX by_hand ON articles (body)")
    database.execute("ALTER TABLE articles ADD note text, ADD state text NOT NULL DEFAULT 'new'")
    result = run_migrate("up", "--strict", database=database)
    assert result.exit_code == 0
    assert not any("does not serve" in event["message"] for event in result.named("state.finding"))


def test_a_database_with_an_extra_object_that_refuses_rows_is_not_adopted_where_strict(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("DROP TABLE alembic_version; DROP SCHEMA migrate CASCADE")
    database.execute("ALTER TABLE articles ADD must integer NOT NULL")
    refused = run_migrate("up", "--strict", "--adopt", "exact", database=database)
    assert (refused.exit_code, refused.finished["problem"]) == (15, "untracked")
    assert "an INSERT without it fails" in refused.finished["why"]
    adopted = run_migrate("up", "--adopt", "exact", database=database)
    assert (adopted.exit_code, adopted.finished["outcome"]) == (0, "adopted")
    assert any("an INSERT without it fails" in event["message"] for event in adopted.named("state.finding"))


def test_strict_without_a_manifest_says_that_it_compares_nothing(history, database, run_migrate):
    history.manifest.unlink()
    for verb in (["plan"], ["status"], ["up"], ["up"], ["wait", "--timeout", "1s"]):
        result = run_migrate(*verb, "--strict", database=database)
        result.check_clean()
        assert result.exit_code == 0, verb
        (warned,) = [each for each in result.named("image.warning") if each["level"] == "warn"]
        assert "--strict compares nothing: this image has no manifest" in warned["message"]
        assert ".dockerignore" in warned["fix"]
        assert result.finished["message"].endswith("; the schema was not compared: there is no manifest"), verb
        assert result.finished["proof"] == "rows"
    told = run_migrate("up", "--strict", "--json", database=database).finished
    assert "the schema was not compared" in told["message"]
    lenient = run_migrate("up", database=database)
    assert lenient.named("image.warning") == []
    assert "proof" not in lenient.finished


def rolled_back(history, database, run_migrate, write_manifest, added):
    """A database that a newer image has brought beyond this one's head."""
    file = history.revision("four", down="three", upgrade=added)
    kept = history.manifest.read_text()
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    history.manifest.write_text(kept)
    next(history.versions.glob("four*")).unlink()
    return file


def test_after_a_rollback_verify_judges_as_up_does(history, database, run_migrate, write_manifest):
    added = """
op.add_column("articles", sa.Column("more", sa.Integer))
op.create_index("ix_more", "articles", ["more"])
op.create_table("fresh", sa.Column("id", sa.Integer, primary_key=True))
"""
    rolled_back(history, database, run_migrate, write_manifest, added)
    assert run_migrate("up", database=database).finished["outcome"] == "ahead"
    result = run_migrate("verify", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "ahead")
    assert any("newer than this image" in each["message"] for each in result.named("state.finding"))
    assert "column articles.more" in " ".join(result.finished["newer"])
    for form in ("sql", "markdown", "text"):
        shown = run_migrate("verify", "--format", form, database=database)
        assert shown.exit_code == 0
        assert b"DROP" not in shown.stdout
    database.execute("DROP INDEX ix_title")
    drifted = run_migrate("verify", database=database)
    assert (drifted.exit_code, drifted.finished["problem"]) == (17, "drift")
    assert "ix_title" in drifted.finished["why"]
    assert "articles.more" not in drifted.finished["why"]


def test_after_a_rollback_by_word_alone_what_breaks_the_image_is_still_drift(
    history, database, run_migrate, write_manifest
):
    rolled_back(history, database, run_migrate, write_manifest, 'op.execute("ALTER TABLE tags ADD n int NOT NULL")')
    assert run_migrate("up", database=database).exit_code == 16
    assert run_migrate("verify", database=database).exit_code == 16
    accepted = run_migrate("verify", "--ahead", "accept", database=database)
    assert accepted.exit_code in {2, 17}


def test_what_drops_somebodys_object_is_a_comment(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("CREATE INDEX by_hand ON articles (body)")
    database.execute("ALTER TABLE articles ADD CONSTRAINT short CHECK (length(title) < 50)")
    for arguments in (["verify", "--format", "sql"], ["verify", "--format", "text"], ["doctor", "--json"]):
        shown = run_migrate(*arguments, database=database).stdout.decode().replace("\\n", "\n")
        dropping = [line for line in shown.splitlines() if "DROP" in line]
        assert dropping, arguments
        assert all(line.startswith("-- ") for line in dropping), dropping


def test_a_failure_of_a_replay_is_said_to_be_in_the_throw_away_database(project, server, run_migrate):
    project.revision("one", upgrade='op.execute("CREATE TABLE t (a int)"); op.execute("INSERT INTO t VALUES (NULL)")')
    project.revision("two", down="one", upgrade='op.alter_column("t", "a", nullable=False)')
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 30
    assert "in the throw-away database, revision two" in result.finished["why"]


def edit_the_last(history):
    file = next(history.versions.glob("three_*"))
    file.write_text(file.read_text().replace("'tags'", "'labels'"))


def test_a_pending_revision_that_was_edited_after_the_manifest_is_refused_before_anything_is_touched(
    history, database, run_migrate
):
    assert run_migrate("up", "--target", "two", database=database).exit_code == 0
    edit_the_last(history)
    for verb in ("up", "plan"):
        result = run_migrate(verb, database=database)
        result.check_clean()
        assert (result.exit_code, result.finished["problem"]) == (11, "stale-manifest")
        assert "three_" in result.finished["why"]
        assert "--stale warn" in result.finished["fix"]
    assert run_migrate("status", database=database).finished["refusal"] == "stale-manifest"
    assert rows(database) == ["two"]
    # whether it may run is up to the job that runs it
    waited = run_migrate("wait", "--timeout", "0", database=database)
    assert (waited.exit_code, waited.finished["problem"]) == (25, "not-ready")
    # what is not pending is not judged by its file
    assert run_migrate("up", "--target", "two", database=database).exit_code == 0


def test_an_edited_revision_is_refused_on_an_empty_database_too(history, database, run_migrate):
    edit_the_last(history)
    assert run_migrate("up", database=database).exit_code == 11
    assert database.scalar("SELECT to_regclass('alembic_version')") is None


def test_a_revision_that_does_something_else_than_the_manifest_says_is_unproven(history, database, run_migrate):
    edit_the_last(history)
    result = run_migrate("up", database=database, env={"MIGRATE_STALE": "warn"})
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "table tags is missing in the database" in result.finished["why"]
    assert any("was edited" in event["message"] for event in result.named("image.warning"))


def test_what_was_found_wrong_stays_wrong_until_it_is_put_right(history, database, run_migrate):
    """The schema after the last revision has a table too many and one too few; one after the other is put right."""
    edit_the_last(history)
    env = {"MIGRATE_STALE": "warn"}
    assert run_migrate("up", database=database, env=env).exit_code == 32

    def judged(why):
        for verb in ("up", "plan"):
            result = run_migrate(verb, database=database, env=env)
            assert (result.exit_code, result.finished["problem"]) == (17, "drift"), result.stdout
            assert why in result.finished["why"]
        waited = run_migrate("wait", "--timeout", "0", database=database)
        assert (waited.exit_code, waited.finished["problem"]) == (17, "drift")
        assert run_migrate("status", database=database).finished["refusal"] == "drift"
        examined = run_migrate("doctor", database=database)
        assert examined.exit_code != 0

    judged("table tags is missing in the database")
    database.execute("CREATE TABLE tags (id serial PRIMARY KEY)")
    judged("table labels is not in the manifest")
    database.execute("CREATE TABLE harmless (id integer)")  # what nobody found wrong is a warning, as ever
    assert run_migrate("up", "--extra", "ignore", database=database, env=env).exit_code == 0
    database.execute("DROP TABLE labels")
    for verb in ("up", "plan", "wait"):
        result = run_migrate(verb, database=database, env=env)
        assert (result.exit_code, result.finished["outcome"]) == (0, "noop"), result.stdout


def test_verify_names_the_difference_and_prints_the_sql(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    assert run_migrate("verify", database=database).exit_code == 0
    database.execute("ALTER TABLE articles ALTER title SET NOT NULL")
    result = run_migrate("verify", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (17, "drift")
    found = json.loads(run_migrate("verify", "--json", database=database).stdout)
    assert [each["identity"] for each in found["changed"]] == ["column articles.title"]
    for statement in found["sql"]:
        database.execute(statement)
    assert run_migrate("verify", database=database).exit_code == 0


def test_verify_at_a_revision(history, database, run_migrate):
    alembic(history, database, "upgrade", "one")
    assert run_migrate("verify", database=database).exit_code == 0
    assert run_migrate("verify", "--at", "two", database=database).exit_code == 17
    unknown = run_migrate("verify", "--at", "nothing", database=database)
    assert (unknown.exit_code, unknown.finished["problem"]) == (11, "unknown-target")


def test_verify_without_a_manifest(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("verify", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "no-manifest")


@pytest.mark.parametrize("revision", ["one", "two", "three"])
def test_an_untracked_database_is_adopted_exactly(history, database, run_migrate, revision):
    alembic(history, database, "upgrade", revision)
    database.execute("DROP TABLE alembic_version")
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (15, "untracked")
    assert refused.finished["matching"] == [revision]
    adopted = run_migrate("adopt", database=database)
    adopted.check_clean()
    assert (adopted.exit_code, adopted.finished["outcome"]) == (0, "adopted")
    assert rows(database) == [revision]
    assert database.scalar("SELECT details ->> 'rows' FROM migrate.step WHERE kind = 'adopt'") == f'["{revision}"]'
    assert run_migrate("adopt", database=database).finished["outcome"] == "noop"


def test_up_adopts_and_goes_on(history, database, run_migrate):
    alembic(history, database, "upgrade", "one")
    database.execute("DROP TABLE alembic_version")
    result = run_migrate("up", "--adopt", "exact", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "applied")
    assert rows(database) == ["three"]


def test_the_nearest_revision_is_named_with_its_differences(history, database, run_migrate):
    alembic(history, database, "upgrade", "two")
    database.execute("DROP TABLE alembic_version")
    database.execute("ALTER TABLE articles DROP COLUMN body")
    result = run_migrate("adopt", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "not-adoptable")
    assert "the nearest revision is two, but column articles.body is missing in the database" in result.finished["why"]
    assert "migrate adopt --at two --reason" in result.finished["fix"]
    assert "migrate verify --at two" in run_migrate("up", database=database).finished["fix"]
    overridden = run_migrate("adopt", "--at", "two", "--reason", "body went by hand", database=database)
    overridden.check_clean()
    assert (overridden.exit_code, rows(database)) == (0, ["two"])
    assert "on the operator's word, not proven" in overridden.named("proof.finished")[0]["message"]
    assert any("articles.body is missing" in event["message"] for event in overridden.named("state.finding"))
    details = database.scalar("SELECT details FROM migrate.step WHERE kind = 'adopt'")
    assert details["reason"] == "body went by hand"
    assert details["evidence"] == ["column articles.body is missing in the database"]


def test_a_damaged_database_is_not_taken_for_an_older_one_with_extras(history, database, run_migrate):
    """At three without the relaxed column's NULL it is one plus a table: but that table is one that revision three makes."""
    alembic(history, database, "upgrade", "three")
    database.execute("DROP TABLE alembic_version")
    database.execute("ALTER TABLE articles ALTER title SET NOT NULL")
    result = run_migrate("adopt", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "not-adoptable")


def test_what_is_extra_and_foreign_is_tolerated_and_said(history, database, run_migrate):
    alembic(history, database, "upgrade", "two")
    database.execute("DROP TABLE alembic_version")
    database.execute("CREATE TABLE scratch (id integer)")
    result = run_migrate("adopt", database=database)
    result.check_clean()
    assert (result.exit_code, rows(database)) == (0, ["two"])
    assert any("scratch" in event["message"] for event in result.named("state.finding"))


def test_an_override_needs_its_reason(history, database, run_migrate):
    assert run_migrate("adopt", "--at", "two", database=database).exit_code == 2
    assert run_migrate("adopt", "--reason", "why", database=database).exit_code == 2


def test_another_name_is_called_so_and_may_be_allowed(history, database, run_migrate):
    alembic(history, database, "upgrade", "two")
    database.execute("DROP TABLE alembic_version")
    database.execute("ALTER INDEX ix_title RENAME TO articles_title_idx")
    refused = run_migrate("adopt", database=database)
    assert refused.exit_code == 15
    assert "ix_title" in refused.finished["why"]
    assert "other name" in refused.finished["why"]
    allowed = run_migrate("adopt", "--adopt", "equivalent", database=database)
    allowed.check_clean()
    assert (allowed.exit_code, rows(database)) == (0, ["two"])


def test_pending_revisions_that_name_what_is_renamed_are_named(history, database, run_migrate, write_manifest):
    history.revision("four", down="three", upgrade="op.drop_index('ix_title')", message="drop the index")
    write_manifest()
    alembic(history, database, "upgrade", "two")
    database.execute("DROP TABLE alembic_version")
    database.execute("ALTER INDEX ix_title RENAME TO articles_title_idx")
    for verb in ("plan", "adopt"):
        result = run_migrate(verb, "--adopt", "equivalent", database=database)
        result.check_clean()
        assert result.exit_code == 0
        (said,) = {e["message"] for e in result.named("state.finding") if "named by pending" in e["message"]}
        assert "ix_title" in said
        assert "four (migrations/versions/four_" in said
        assert "three" not in said


def test_revisions_with_an_equal_schema_are_named_and_refused(project, database, run_migrate, write_manifest):
    project.revision("one", upgrade=CREATE, message="articles")
    project.revision("two", down="one", upgrade="op.execute('UPDATE articles SET body = title')", message="data")
    write_manifest()
    alembic(project, database, "upgrade", "one")
    database.execute("DROP TABLE alembic_version")
    result = run_migrate("adopt", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["match"]) == (15, "several")
    assert result.finished["matching"] == ["one", "two"]


def test_an_unknown_row_is_replaced_when_the_schema_proves_one(history, database, run_migrate):
    alembic(history, database, "upgrade", "two")
    database.execute("UPDATE alembic_version SET version_num = 'corrupt'")
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (15, "unknown-revision")
    assert run_migrate("adopt", database=database).exit_code == 0
    assert rows(database) == ["two"]
    assert database.scalar("SELECT details ->> 'replaced' FROM migrate.step") == '["corrupt"]'


def test_a_rollback_to_an_image_that_the_schema_serves_is_not_blocked(history, database, run_migrate, write_manifest):
    assert run_migrate("up", database=database).exit_code == 0
    next(history.versions.glob("three_*")).unlink()
    write_manifest()
    older = run_migrate("up", database=database)
    older.check_clean()
    assert (older.exit_code, older.finished["outcome"]) == (0, "ahead")
    assert len(older.named("state.finding")) == 1
    assert rows(database) == ["three"]
    database.execute("DROP TABLE migrate.step CASCADE")
    unproven = run_migrate("up", database=database)
    assert (unproven.exit_code, unproven.finished["problem"]) == (15, "unknown-revision")
    assert "newer but compatible" in unproven.finished["why"]
    assert run_migrate("up", "--ahead", "compatible", database=database).finished["outcome"] == "ahead"


def test_a_rollback_that_breaks_is_refused_and_the_forward_check_had_said_so(
    history, database, run_migrate, write_manifest
):
    assert run_migrate("up", database=database).exit_code == 0
    history.revision(
        "four",
        down="three",
        upgrade="op.drop_column('articles', 'body')",
        message="drop body",
    )
    write_manifest()
    plan = run_migrate("plan", database=database)
    plan.check_clean()
    (warning,) = plan.named("state.finding")
    assert "articles.body" in warning["message"]
    assert "four" in warning["message"]
    assert run_migrate("plan", "--breaking", "refuse", database=database).exit_code == 12
    assert run_migrate("up", database=database).exit_code == 0
    next(history.versions.glob("four_*")).unlink()
    write_manifest()
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (16, "ahead")
    assert "articles.body" in refused.finished["why"]
    way_out = refused.finished["fix"].split("   #")[0]
    assert way_out == "export MIGRATE_AHEAD=accept"
    for verb in ("up", "wait"):  # the fix is for each of them
        assert run_migrate(verb, database=database, env={"MIGRATE_AHEAD": "accept"}).exit_code == 0


def test_nothing_may_break_and_nothing_tells_what_would(history, database, run_migrate):
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    history.manifest.unlink()
    for verb in ("plan", "up"):
        refused = run_migrate(verb, "--breaking", "refuse", database=database)
        refused.check_clean()
        assert (refused.exit_code, refused.finished["problem"]) == (10, "no-manifest")
        assert refused.finished["fix"].startswith("migrate manifest")
    warned = run_migrate("up", database=database)
    warned.check_clean()
    assert (warned.exit_code, len(warned.named("state.finding"))) == (0, 1)
    assert "not compared" in warned.named("state.finding")[0]["message"]


def test_an_edited_revision_is_named_and_a_formatter_is_no_edit(history, database, run_migrate):
    alembic(history, database, "upgrade", "one")
    database.execute("DELETE FROM alembic_version")
    database.execute("DROP TABLE articles")
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    file = next(history.versions.glob("one_*"))
    original = file.read_text()
    file.write_text(original + "\n\n# formatted\n")
    formatted = run_migrate("plan", database=database)
    assert formatted.exit_code == 0
    file.write_text(original.replace("sa.String(50)", "sa.String(60)"))
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (11, "edited-revision")
    assert file.name in refused.finished["why"]
    assert run_migrate("plan", "--edited", "warn", database=database).exit_code == 0


def test_a_manifest_of_other_revisions_is_stale(history, database, run_migrate):
    history.revision("four", down="three", message="new")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "stale-manifest")


def test_several_heads_are_refused_before_a_stale_manifest(history, database, run_migrate):
    history.revision("four", down="two", message="another branch")
    for verb in ("up", "plan"):
        result = run_migrate(verb, database=database)
        result.check_clean()
        assert (result.exit_code, result.finished["problem"]) == (11, "several-heads"), "merging makes another manifest"
    assert run_migrate("up", "--target", "heads", database=database).finished["problem"] == "stale-manifest"
    (failed,) = [
        each for each in run_migrate("doctor", database=database).named("check.finished") if each["verdict"] == "fail"
    ]
    assert (failed["check"], failed["problem"]) == ("image", "several-heads")


def test_a_broken_manifest_is_named_with_its_line(history, database, run_migrate):
    path = next(history.path.rglob("manifest.json"))
    path.write_text("{\n")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-manifest")
