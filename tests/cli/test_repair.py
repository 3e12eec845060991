"""`migrate repair`: what an earlier run left is shown, put right where that is provable, and named where it is not."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess

import psycopg2
import pytest

CIC = "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY late ON r0001 (id)')"


@pytest.fixture
def history(project, run_migrate, server):
    """Two revisions and a third with an index built concurrently."""
    ids = [*project.linear(2), "cic"]
    project.revision("cic", down=ids[1], message="cic", upgrade=CIC, downgrade="op.drop_index('late')")
    return ids


@pytest.fixture
def manifest(history, write_manifest):
    """The manifest of that history."""
    write_manifest()
    return history


def versions(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def invalid(database, name):
    """Make the index INVALID as an interrupted build leaves it."""
    database.as_superuser.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", name)


def is_valid(database, name):
    return database.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", name)


def leave_invalid(database, run_migrate):
    """A real INVALID index: the build waits for an older transaction, and its backend is ended."""
    blocker = database.connect()
    blocker.cursor().execute("SELECT * FROM r0001")
    blocker.cursor().execute("LOCK TABLE r0001 IN ROW EXCLUSIVE MODE")
    builder = database.connect()
    builder.autocommit = True
    builder.cursor().execute("SET statement_timeout = '500ms'")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        builder.cursor().execute("CREATE INDEX CONCURRENTLY late ON r0001 (id)")
    blocker.rollback()
    assert is_valid(database, "late") is False


def test_nothing_to_repair(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    for flags in ((), ("--yes",)):
        result = run_migrate("repair", *flags, database=database)
        result.check_clean()
        assert (result.exit_code, result.finished["outcome"], result.finished["repairs"]) == (0, "noop", [])


def test_an_invalid_index_of_an_applied_revision_is_rebuilt(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    invalid(database, "late")
    shown = run_migrate("repair", database=database)
    shown.check_clean()
    assert (shown.exit_code, shown.finished["problem"]) == (15, "residue")
    assert 'REINDEX INDEX CONCURRENTLY "public".late' in shown.finished["repairs"][0]
    assert is_valid(database, "late") is False
    done = run_migrate("repair", "--yes", database=database)
    done.check_clean()
    assert (done.exit_code, done.finished["outcome"]) == (0, "repaired")
    assert is_valid(database, "late") is True
    steps = database.rows("SELECT kind, status, details ->> 'index' FROM migrate.step WHERE kind = 'repair'")
    assert steps == [("repair", "finished", "public.late")]
    assert run_migrate("repair", database=database).exit_code == 0


@pytest.mark.parametrize("with_manifest", [True, False])
def test_an_invalid_index_of_a_pending_revision_is_dropped(
    history, database, run_migrate, with_manifest, write_manifest
):
    if with_manifest:
        write_manifest()
    assert run_migrate("up", "--target", "r0002", database=database).exit_code == 0
    leave_invalid(database, run_migrate)
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (15, "residue")
    assert "migrate repair" in refused.finished["fix"]
    done = run_migrate("repair", "--yes", database=database)
    done.check_clean()
    assert done.exit_code == 0, done.stdout
    assert database.scalar("SELECT to_regclass('late')") is None
    assert run_migrate("up", database=database).finished["applied"] == ["cic"]
    assert is_valid(database, "late") is True


def test_heal_repairs_on_the_way_up(manifest, database, run_migrate):
    assert run_migrate("up", "--target", "r0002", database=database).exit_code == 0
    leave_invalid(database, run_migrate)
    result = run_migrate("up", "--heal", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["cic"])
    assert [event["step"] for event in result.named("step.started")] == ["repair", "upgrade"]
    assert is_valid(database, "late") is True


def test_a_transient_index_of_reindex_is_dropped(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("CREATE INDEX late_ccnew ON r0001 (id)")
    invalid(database, "late_ccnew")
    assert run_migrate("repair", "--yes", database=database).exit_code == 0
    assert database.scalar("SELECT to_regclass('late_ccnew')") is None
    assert is_valid(database, "late") is True


def test_duplicates_are_reported_by_their_number_alone(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("CREATE TABLE people (mail text, kind text)")
    database.execute("CREATE UNIQUE INDEX one_mail ON people (lower(mail)) WHERE kind = 'x'")
    invalid(database, "one_mail")
    # as during a build that failed: no longer enforced
    database.as_superuser.execute("UPDATE pg_index SET indisready = false WHERE indexrelid = 'one_mail'::regclass")
    database.execute(
        "INSERT INTO people VALUES ('sekret@x', 'x'), ('SEKRET@x', 'x'), ('a', 'y'), ('a', 'y'), (NULL, 'x')"
    )
    result = run_migrate("repair", "--yes", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "residue")
    assert "1 key occurs more than once" in result.finished["why"]
    assert b"ekret" not in result.stdout.lower()
    database.execute("DELETE FROM people WHERE mail = 'SEKRET@x'")
    assert run_migrate("repair", "--yes", database=database).exit_code == 0
    assert is_valid(database, "one_mail") is True


def test_a_constraints_index_is_rebuilt_in_its_place(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    invalid(database, "r0001_pkey")
    assert run_migrate("repair", "--yes", database=database).exit_code == 0
    assert is_valid(database, "r0001_pkey") is True
    assert database.scalar("SELECT count(*) FROM pg_constraint WHERE conname = 'r0001_pkey'") == 1


def test_an_exclusion_constraints_index_is_left(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("CREATE TABLE rooms (during int4range, CONSTRAINT apart EXCLUDE USING gist (during WITH &&))")
    invalid(database, "apart")
    invalid(database, "late")
    result = run_migrate("repair", "--yes", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "residue")
    assert "exclusion constraint apart" in result.finished["why"]
    assert is_valid(database, "late") is True  # what could be done was done


def test_a_row_that_is_there_twice(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("ALTER TABLE alembic_version DROP CONSTRAINT alembic_version_pkc")
    database.execute("INSERT INTO alembic_version VALUES ('cic')")
    done = run_migrate("repair", "--yes", database=database)
    done.check_clean()
    assert (done.exit_code, versions(database)) == (0, ["cic"])
    details = database.scalar("SELECT details FROM migrate.step WHERE kind = 'repair'")
    assert (details["rows"], details["replaced"]) == (["cic"], ["cic", "cic"])


def test_an_ancestor_beside_its_descendant_needs_proof(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("INSERT INTO alembic_version VALUES ('r0001')")
    result = run_migrate("repair", "--yes", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "residue")
    assert "without a manifest" in result.finished["why"]
    assert versions(database) == ["cic", "r0001"]


@pytest.mark.parametrize("true", ["r0001", "cic"])
def test_the_schema_proves_the_row(manifest, database, run_migrate, true):
    assert run_migrate("up", "--target", true, database=database).exit_code == 0
    database.execute("INSERT INTO alembic_version VALUES (%s)", "cic" if true == "r0001" else "r0001")
    refused = run_migrate("up", database=database)
    assert (refused.exit_code, refused.finished["problem"]) == (15, "split-version")
    healed = run_migrate("up", "--heal", database=database)
    healed.check_clean()
    assert (healed.exit_code, versions(database)) == (0, ["cic"])
    assert healed.finished["outcome"] == ("applied" if true == "r0001" else "repaired")


def test_a_schema_that_is_none_of_the_rows_proves_nothing(manifest, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("INSERT INTO alembic_version VALUES ('r0001')")
    database.execute("DROP TABLE r0002")
    result = run_migrate("repair", "--yes", database=database)
    assert (result.exit_code, result.finished["problem"]) == (15, "residue")
    assert versions(database) == ["cic", "r0001"]


@pytest.fixture
def partial(project, history, database, run_migrate):
    """A run that failed after it had committed a column."""
    project.revision(
        "part",
        down="cic",
        message="part",
        upgrade="op.execute('ALTER TABLE r0001 ADD COLUMN half int')\nop.execute('COMMIT')\nraise RuntimeError('no')",
    )
    return project


def test_a_committed_part_is_closed_when_the_schema_is_as_before(partial, database, run_migrate, write_manifest):
    assert run_migrate("up", "--target", "cic", database=database).exit_code == 0
    text = (partial.versions / "part_part.py").read_text()
    (partial.versions / "part_part.py").write_text(text.replace("raise RuntimeError('no')", "pass"))
    write_manifest()
    (partial.versions / "part_part.py").write_text(text)
    failed = run_migrate("up", "--stale", "warn", database=database)
    assert failed.exit_code == 31
    again = run_migrate("repair", "--yes", database=database)
    again.check_clean()
    assert (again.exit_code, again.finished["problem"]) == (15, "residue")
    assert "--close part" in again.finished["fix"]
    database.execute("ALTER TABLE r0001 DROP COLUMN half")
    done = run_migrate("repair", "--yes", database=database)
    done.check_clean()
    assert done.exit_code == 0
    status = database.rows("SELECT status, details ->> 'closed_by' FROM migrate.step WHERE revision = 'part'")
    assert status == [("abandoned", done.finished["run_id"])]
    assert run_migrate("plan", "--stale", "warn", database=database).exit_code == 0


def follow(fix, database, run_migrate):
    """Do what the fix of a run says: its first command in a shell, its second as ours. Returns the end of the second."""
    first, second = fix.split("   #")[0].split(" && ")
    subprocess.run(["bash", "-c", first], env={**os.environ, "DATABASE_URL": database.url}, check=True)
    words = shlex.split(second)
    assert words[0] == "migrate"
    return run_migrate(*words[1:], database=database)


FAILING = f"{CIC}\nop.execute('SELECT 1/0')"


@pytest.mark.parametrize("with_manifest", [True, False])
def test_what_a_part_left_is_named_with_the_way_out(
    project, history, database, run_migrate, write_manifest, with_manifest
):
    if with_manifest:
        write_manifest()
    whole = (project.versions / "cic_cic.py").read_text()
    project.revision("cic", down=history[1], message="cic", upgrade=FAILING, downgrade="op.drop_index('late')")
    failed = run_migrate("up", "--stale", "warn", database=database)
    failed.check_clean()
    assert failed.exit_code == 31
    refused = run_migrate("up", "--stale", "warn", database=database)
    assert (refused.exit_code, "it left + index r0001.late" in refused.finished["why"]) == (15, True)
    shown = run_migrate("repair", database=database)
    shown.check_clean()
    assert (shown.exit_code, shown.finished["repairs"]) == (15, [])
    assert "it left, and there still is: index r0001.late" in shown.finished["left"][0]
    assert shown.finished["fix"] == shown.finished["left_fixes"][0]
    done = follow(shown.finished["fix"], database, run_migrate)
    done.check_clean()
    assert (done.exit_code, done.finished["outcome"]) == (0, "repaired")
    (project.versions / "cic_cic.py").write_text(whole)
    assert run_migrate("up", database=database).finished["applied"] == ["cic"]


def test_of_a_killed_part_the_manifest_names_what_is_there(manifest, database, run_migrate):
    assert run_migrate("up", "--target", "r0002", database=database).exit_code == 0
    database.execute("CREATE INDEX late ON r0001 (id)")
    database.execute(
        "INSERT INTO migrate.step (run_id, target, kind, revision, details)"
        " SELECT run_id, target, 'upgrade', 'cic', '{\"autocommit\": true}' FROM migrate.run"
    )
    shown = run_migrate("repair", database=database)
    shown.check_clean()
    assert "does not match r0002: index r0001.late is not in the manifest" in shown.finished["left"][0]
    assert follow(shown.finished["fix"], database, run_migrate).exit_code == 0
    assert run_migrate("up", database=database).finished["applied"] == ["cic"]


def test_what_is_shown_is_what_is_done(project, manifest, database, run_migrate):
    """An INVALID index hides from the schema that the rest is as before: what is shown counts with its end."""
    assert run_migrate("up", "--target", "r0002", database=database).exit_code == 0
    database.execute("INSERT INTO r0001 VALUES (1), (2)")
    unique = CIC.replace("CREATE INDEX", "CREATE UNIQUE INDEX").replace("(id)", "((id > 0))")
    whole = (project.versions / "cic_cic.py").read_text()
    project.revision("cic", down="r0002", message="cic", upgrade=unique)
    failed = run_migrate("up", "--stale", "warn", database=database)
    assert failed.exit_code == 31
    assert failed.finished["why"].count("late on") + failed.finished["why"].count(".late:") == 1  # named once
    shown = run_migrate("repair", database=database)
    shown.check_clean()
    assert (shown.exit_code, shown.finished["left"], len(shown.finished["repairs"])) == (15, [], 2)
    assert shown.finished["fix"].split("   #")[0] == "migrate repair --yes"
    done = run_migrate("repair", "--yes", database=database)
    done.check_clean()
    assert [event["message"] for event in done.named("repair.action")] == shown.finished["repairs"]
    assert done.exit_code == 0
    (project.versions / "cic_cic.py").write_text(whole)
    assert run_migrate("up", database=database).finished["applied"] == ["cic"]


def test_the_operators_word_closes_a_part(partial, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 31
    assert run_migrate("repair", "--yes", database=database).exit_code == 15
    wrong = run_migrate("repair", "--yes", "--close", "r0001", "--reason", "x", database=database)
    assert (wrong.exit_code, "part" in wrong.finished["why"]) == (2, True)
    done = run_migrate("repair", "--yes", "--close", "part", "--reason", "runs again", database=database)
    done.check_clean()
    assert done.exit_code == 0
    assert database.scalar("SELECT details ->> 'reason' FROM migrate.step WHERE revision = 'part'") == "runs again"
    assert run_migrate("repair", "--close", "part", database=database).exit_code == 2


AT_PART = ("adopt", "--at", "part", "--reason", "it is there")
ACCEPTING = ("adopt", "--accept-differences", "--at", "part")
ADOPTING = ("up", "--adopt", "exact", "--stale", "warn")


@pytest.mark.parametrize(
    ("loses_rows", "arguments"),
    [
        *((False, arguments) for arguments in (("adopt",), AT_PART, ACCEPTING)),
        *((True, arguments) for arguments in (("adopt",), AT_PART, ADOPTING, (*ADOPTING, "--heal"))),
    ],
)
def test_no_adoption_makes_a_part_of_a_revision_look_whole(
    loses_rows, arguments, partial, database, run_migrate, write_manifest
):
    file = partial.versions / "part_part.py"
    failing = file.read_text()
    file.write_text(failing.replace("raise RuntimeError('no')", "pass"))  # rows that it moves: no schema shows them
    write_manifest()
    file.write_text(failing)
    assert run_migrate("up", "--stale", "warn", database=database).exit_code == 31
    if loses_rows:
        database.execute("DELETE FROM alembic_version")
    result = run_migrate(*arguments, database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "residue")
    assert "a part of revision part is committed" in result.finished["why"]
    assert versions(database) == ([] if loses_rows else ["cic"])
    closed = run_migrate("repair", "--yes", "--close", "part", "--reason", "finished by hand", database=database)
    assert closed.exit_code == 0
    assert run_migrate("adopt", database=database).exit_code == 0
    assert versions(database) == ["part"]


ROBOTS = """
with op.get_context().autocommit_block():
    op.execute("ALTER TYPE kind ADD VALUE IF NOT EXISTS 'ROBOT'")
op.execute("ALTER TABLE accounts ADD CONSTRAINT no_robots CHECK (NOT robot)")
"""


@pytest.fixture
def robots(project, database, run_migrate, write_manifest):
    """An enum's new value is committed; then the revision fails on a row, until that is put right."""
    made = "op.execute(\"CREATE TYPE kind AS ENUM ('PERSON')\")\nop.execute('CREATE TABLE accounts (kind kind, robot boolean)')"
    project.revision("n1", upgrade=made)
    project.revision("n2", down="n1", upgrade=ROBOTS)
    write_manifest()
    assert run_migrate("up", "--target", "n1", database=database).exit_code == 0
    database.execute("INSERT INTO accounts VALUES ('PERSON', true)")
    assert run_migrate("up", database=database).exit_code == 31
    database.execute("UPDATE accounts SET robot = false")
    return project


def close(run_migrate, database):
    return run_migrate("repair", "--yes", "--close", "n2", "--reason", "the value may stay", database=database)


def test_nothing_is_proven_that_was_not_compared_and_what_may_stay_is_in_nobodys_way(robots, database, run_migrate):
    closed = close(run_migrate, database)
    closed.check_clean()
    assert (closed.exit_code, closed.finished["outcome"]) == (0, "repaired")
    (proof,) = closed.named("proof.finished")
    assert (proof["proof"], proof["level"]) == ("rows", "warn")
    assert "whose schema is not proven: enum kind is 'PERSON', 'ROBOT'" in proof["message"]
    planned = run_migrate("plan", database=database)
    assert (planned.exit_code, "an operator lets it stay" in planned.stdout.decode()) == (0, True)
    # anything else is drift, as ever
    database.execute("ALTER TABLE accounts ADD COLUMN more integer, DROP COLUMN kind")
    drifted = run_migrate("up", database=database)
    assert (drifted.exit_code, drifted.finished["why"]) == (17, "column accounts.kind is missing in the database")
    database.execute("ALTER TABLE accounts DROP COLUMN more, ADD COLUMN kind kind")
    done = run_migrate("up", database=database)
    done.check_clean()
    assert (done.exit_code, done.finished["applied"]) == (0, ["n2"])
    assert done.named("proof.finished")[0]["proof"] == "manifest"


def test_what_may_stay_does_so_though_the_revision_makes_it_no_more(robots, database, run_migrate, write_manifest):
    assert close(run_migrate, database).exit_code == 0
    robots.revision("n2", down="n1", upgrade="op.execute('CREATE TABLE robots (id integer)')")
    write_manifest()
    done = run_migrate("up", database=database)
    done.check_clean()
    assert (done.exit_code, done.finished["applied"]) == (0, ["n2"])
    verified = run_migrate("verify", "--format", "sql", database=database, env={"MIGRATE_LOG_FORMAT": "text"})
    assert verified.exit_code == 17
    assert b"kind has 'ROBOT' too many, and PostgreSQL has no SQL that takes a label out of an enum." in verified.stdout


def test_a_word_about_what_nobody_saw_says_what_the_next_release_will_want(robots, database, run_migrate):
    database.execute("UPDATE migrate.step SET details = '{}' WHERE status = 'partial'")
    closed = close(run_migrate, database)
    assert (closed.exit_code, "migrate up wants --drift warn" in closed.named("proof.finished")[0]["message"]) == (
        0,
        True,
    )
    assert run_migrate("up", database=database).exit_code == 17
    assert run_migrate("up", "--drift", "warn", database=database).finished["applied"] == ["n2"]


def test_without_a_manifest_a_repair_says_that_it_compared_nothing(partial, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 31
    closed = run_migrate("repair", "--yes", "--close", "part", "--reason", "runs again", database=database)
    assert "its schema was not compared" in closed.named("proof.finished")[0]["message"]


def test_a_revision_that_was_applied_since_closes_its_part(partial, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 31
    partial.revision("after", down="part", message="after")
    database.execute("UPDATE alembic_version SET version_num = 'after'")
    done = run_migrate("repair", "--yes", database=database)
    done.check_clean()
    assert done.exit_code == 0
    assert database.scalar("SELECT status FROM migrate.step WHERE revision = 'part'") == "finished"


def test_a_rebuild_can_be_interrupted_and_done_again(history, database, start_migrate, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    invalid(database, "late")
    blocker = database.connect()
    blocker.cursor().execute("LOCK TABLE r0001 IN ROW EXCLUSIVE MODE")
    running = start_migrate("repair", "--yes", database=database)
    running.wait_for("statement.blocked")
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert result.exit_code in {31, 143}  # 31 where the statement left its transient index
    assert (result.exit_code == 31) is (
        database.scalar("SELECT count(*) FROM pg_class WHERE relname LIKE 'late_ccnew%%'") == 1
    )
    blocker.rollback()
    assert run_migrate("repair", "--yes", database=database).exit_code == 0
    assert is_valid(database, "late") is True
    assert database.scalar("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


def test_json_is_one_object(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    invalid(database, "late")
    result = run_migrate("repair", "--json", database=database)
    found = json.loads(result.stdout)
    assert (found["exit_code"], len(found["repairs"]), found["left"]) == (15, 1, [])


@pytest.mark.parametrize("by", ["flags", "variables"])
def test_fixes_lead_back_to_a_project_that_is_found_by_flags(history, project, database, run_migrate, by):
    folder = project.path.parent
    project.ini.write_text(project.ini.read_text().replace("[alembic]", "[tenants]"))
    ini = project.ini.rename(project.path / "our alembic.ini").relative_to(folder)
    given = ["-c", str(ini), "-n", "tenants"]
    flags = given if by == "flags" else []
    env = {"MIGRATE_CONFIG": str(ini), "MIGRATE_SECTION": "tenants"} if by == "variables" else {}
    assert run_migrate("up", *flags, database=database, env=env, cwd=folder).exit_code == 0
    database.execute("INSERT INTO alembic_version VALUES (%s)", history[0])
    refused = run_migrate("plan", *flags, database=database, env=env, cwd=folder)
    refused.check_clean()
    assert refused.finished["problem"] == "split-version"
    words = shlex.split(refused.finished["fix"], comments=True)
    assert words == ["migrate", "repair", *given]
    # As an operator pastes it elsewhere than in the job: no variable of ours is set there.
    pasted = run_migrate(*words[1:], "--yes", database=database, cwd=folder)
    assert pasted.exit_code == 15  # two rows, and no manifest to prove one
    assert "migrate adopt -c " in pasted.finished["left_fixes"][0]
    shown = run_migrate(
        "repair", *flags, "--log-format", "text", database=database, env=env, cwd=folder
    ).stdout.decode()
    assert f"migrate adopt -c '{ini}' -n tenants --at REVISION" in shown
    assert "migrate adopt --at" not in shown


def test_a_part_that_stayed_because_of_a_lock_names_who_held_it(project, database, run_migrate):
    project.revision("one", upgrade='op.execute("CREATE TABLE t (id int)")')
    project.revision(
        "two",
        down="one",
        upgrade="""
with op.get_context().autocommit_block():
    op.execute("CREATE TABLE stays (id int)")
    op.execute("ALTER TABLE t ADD n int")
""",
    )
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    with database.connect(application_name="a-report") as reader:
        reader.autocommit = False
        reader.cursor().execute("SELECT 1 FROM t")
        result = run_migrate("up", "--lock-timeout", "3s", database=database)
        reader.rollback()
    assert (result.exit_code, result.finished["problem"]) == (31, "partly-committed")
    assert "a-report" in result.finished["why"]
    assert any("a-report" in each for each in result.finished["blockers"])
    assert "migrate repair --yes --close REVISION --reason 'WHY'" in result.finished["fix"]
    refused = run_migrate("up", database=database)
    assert (refused.exit_code, refused.finished["problem"]) == (15, "residue")
    assert "migrate repair --yes --close REVISION --reason 'WHY'" in refused.finished["fix"]
