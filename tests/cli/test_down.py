"""`migrate down`: back to a revision, never by accident, never losing what was not allowed to go."""

from __future__ import annotations

import json
import signal

import pytest

pytestmark = pytest.mark.deep


@pytest.fixture
def history(project):
    """A table, a column with a default that it is filled by, a table more."""
    project.linear(1)
    project.revision(
        "two",
        down="r0001",
        message="note",
        upgrade="op.add_column('r0001', sa.Column('note', sa.Text))",
        downgrade="op.drop_column('r0001', 'note')",
    )
    project.linear(1, prefix="t", down="two")
    return ["r0001", "two", "t0001"]


@pytest.fixture
def manifest(history, write_manifest):
    """The manifest of that history."""
    write_manifest()
    return history


def versions(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


@pytest.fixture
def at_head(manifest, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    return manifest


def test_what_is_empty_may_go(at_head, database, run_migrate):
    result = run_migrate("down", "--to", "r0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "downgraded")
    assert result.finished["reverted"] == ["t0001", "two"]
    assert result.finished["applied"] == []
    assert result.finished["to_revision"] == ["r0001"]
    assert result.finished["loses"] == ["column r0001.note: 0", "table t0001: 0"]
    assert versions(database) == ["r0001"]
    assert result.named("proof.finished")[0]["proof"] == "manifest"
    steps = database.rows("SELECT kind, revision, status FROM migrate.step WHERE kind = 'downgrade' ORDER BY step_id")
    assert steps == [("downgrade", "t0001", "finished"), ("downgrade", "two", "finished")]
    again = run_migrate("up", database=database)
    assert (again.exit_code, again.finished["applied"]) == (0, ["two", "t0001"])


def test_rows_that_would_go_are_counted_and_refused(at_head, database, run_migrate):
    database.execute("INSERT INTO r0001 (note) VALUES ('a'), ('b'), (NULL)")
    refused = run_migrate("down", "--to", "r0001", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (12, "data-loss")
    assert refused.finished["loses"] == ["column r0001.note: 2", "table t0001: 0"]
    assert "column r0001.note (2 values)" in refused.finished["why"]
    assert versions(database) == ["t0001"]
    assert database.rows("SELECT 1 FROM migrate.step WHERE kind = 'downgrade'") == []
    allowed = run_migrate("down", "--to", "r0001", "--allow-data-loss", database=database)
    allowed.check_clean()
    assert (allowed.exit_code, versions(database)) == (0, ["r0001"])


def test_base_is_the_clean_start(at_head, database, run_migrate):
    result = run_migrate("down", "--to", "base", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["to_revision"]) == (0, [])
    assert result.finished["reverted"] == ["t0001", "two", "r0001"]
    assert database.scalar("SELECT to_regclass('r0001')") is None
    assert run_migrate("down", "--to", "base", database=database).finished["outcome"] == "noop"
    assert run_migrate("up", database=database).exit_code == 0


def test_nothing_to_revert(at_head, database, run_migrate):
    result = run_migrate("down", "--to", "t0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop")


@pytest.mark.parametrize("target", ["-1", "t0001-1", "+1", "head", "x@base"])
def test_nothing_relative(at_head, database, run_migrate, target):
    result = run_migrate("down", "--to", target, database=database)
    result.check_clean()
    assert (result.exit_code, versions(database)) == (2, ["t0001"])
    assert run_migrate("down", database=database).exit_code == 2


@pytest.mark.parametrize("target", ["r00", "nothing"])
def test_only_a_whole_id_of_this_image(at_head, database, run_migrate, target):
    result = run_migrate("down", "--to", target, database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "unknown-target")


def test_not_upwards(manifest, database, run_migrate):
    assert run_migrate("up", "--target", "r0001", database=database).exit_code == 0
    result = run_migrate("down", "--to", "two", database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "unknown-target")
    assert "not applied here" in result.finished["why"]


def test_without_a_manifest_the_operator_answers_for_it(history, database, run_migrate):
    assert run_migrate("up", database=database).exit_code == 0
    refused = run_migrate("down", "--to", "two", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (12, "data-loss")
    done = run_migrate("down", "--to", "two", "--allow-data-loss", database=database)
    done.check_clean()
    assert (done.exit_code, done.named("proof.finished")[0]["proof"]) == (0, "rows")


def test_a_downgrade_that_leaves_something_is_unproven(project, history, database, run_migrate, write_manifest):
    project.revision("leaves", down="t0001", message="leaves", upgrade="op.execute('CREATE TABLE left_over ()')")
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    result = run_migrate("down", "--to", "t0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "left_over" in result.finished["why"]


def test_a_downgrade_that_raises_is_rolled_back(project, history, database, run_migrate, write_manifest):
    project.revision(
        "bad",
        down="t0001",
        message="bad",
        upgrade="op.execute('CREATE TABLE bad ()')",
        downgrade="op.execute('DROP TABLE bad')\nraise NotImplementedError('no way back')",
    )
    project.revision("top", down="bad", message="top")
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    result = run_migrate("down", "--to", "t0001", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["failed"]) == (30, "bad")
    assert ("reverted" in result.finished, result.finished["to_revision"]) == (False, ["top"])
    assert versions(database) == ["top"]
    each = run_migrate("down", "--to", "t0001", "--allow-data-loss", database=database)
    each.check_clean()
    assert (each.exit_code, each.finished["failed"]) == (30, "bad")
    assert (each.finished["reverted"], each.finished["to_revision"]) == (["top"], ["bad"])
    assert versions(database) == ["bad"]
    assert database.scalar("SELECT to_regclass('bad')") is not None
    assert run_migrate("up", database=database).finished["applied"] == ["top"]


def test_residue_and_drift_come_first(at_head, database, run_migrate):
    database.execute("DROP TABLE t0001")
    assert run_migrate("down", "--to", "r0001", database=database).exit_code == 17
    database.execute("CREATE TABLE t0001 (id serial PRIMARY KEY)")
    database.as_superuser.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't0001_pkey'::regclass")
    assert run_migrate("down", "--to", "r0001", database=database).exit_code == 15


def test_a_newer_database_is_not_reverted_by_an_older_image(project, at_head, database, run_migrate, write_manifest):
    next(project.versions.glob("t0001_*")).unlink()
    write_manifest()
    result = run_migrate("down", "--to", "r0001", database=database, env={"MIGRATE_AHEAD": "accept"})
    assert (result.exit_code, result.finished["problem"]) == (16, "ahead")
    assert result.finished["fix"] == "migrate down --to r0001   # in the image that has t0001"


def test_a_branch_stays_while_the_other_goes(project, history, database, run_migrate, write_manifest):
    project.revision(
        "left", down="two", message="left", upgrade="op.execute('CREATE TABLE l ()')", downgrade="op.drop_table('l')"
    )
    project.revision(
        "last",
        down="left",
        depends_on="t0001",
        message="last",
        upgrade="op.execute('CREATE TABLE m ()')",
        downgrade="op.drop_table('m')",
    )
    write_manifest()
    assert run_migrate("up", "--target", "heads", database=database).exit_code == 0
    result = run_migrate("down", "--to", "left", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["reverted"]) == (0, ["last"]), result.finished
    assert versions(database) == ["left", "t0001"]
    assert database.scalar("SELECT to_regclass('t0001')") is not None


def test_a_signal_rolls_the_downgrade_back(project, history, database, start_migrate, run_migrate, write_manifest):
    project.revision(
        "slow",
        down="t0001",
        message="slow",
        upgrade="op.execute('CREATE TABLE slow ()')",
        downgrade="op.drop_table('slow')\nop.execute('SELECT pg_sleep(60)')",
    )
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    running = start_migrate("down", "--to", "t0001", database=database)
    running.wait_for("revision.started")
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 143
    assert versions(database) == ["slow"]
    assert database.scalar("SELECT to_regclass('slow')") is not None
    assert database.scalar("SELECT status FROM migrate.step WHERE kind = 'downgrade'") == "abandoned"


def test_json_is_one_object(at_head, database, run_migrate):
    found = json.loads(run_migrate("down", "--to", "two", "--json", database=database).stdout)
    assert (found["outcome"], found["reverted"], found["exit_code"]) == ("downgraded", ["t0001"], 0)


# What a downgrade does beside what the manifest shows of it.

KEYS = "CREATE TABLE keys (id int PRIMARY KEY, secret text)"


@pytest.fixture
def keys(project, database, run_migrate, write_manifest):
    """Write a table with 30 rows, and further revisions of which one's downgrade is given; returns the run of `down`."""

    def go_back(downgrade, *flags, to="one", first="pass", upgrade="pass", env=None):
        project.write_env()
        made = f"op.execute('{KEYS}')\n{first}"
        project.revision("one", message="one", upgrade=made, downgrade="op.drop_table('keys')")
        project.revision("two", down="one", message="two", upgrade=upgrade, downgrade=downgrade)
        project.revision(
            "three",
            down="two",
            upgrade="op.execute('CREATE TABLE n ()')",
            downgrade="op.drop_table('n')",
            message="three",
        )
        write_manifest()
        assert run_migrate("up", database=database).exit_code == 0
        database.execute("INSERT INTO keys SELECT g, 'secret ' || g FROM generate_series(1, 30) g")
        result = run_migrate("down", "--to", to, *flags, database=database, env=env or {})
        result.check_clean()
        return result

    return go_back


@pytest.mark.parametrize(
    ("downgrade", "loses"),
    [
        pytest.param(f"op.drop_table('keys')\nop.execute('{KEYS}')", "table keys: 30", id="made again"),
        pytest.param("op.execute('DELETE FROM keys WHERE id > 20')", "table keys: 10", id="deleted"),
        pytest.param("op.execute('TRUNCATE keys')", "table keys: 30", id="truncated"),
        pytest.param(
            "op.execute('ALTER TABLE keys ALTER secret TYPE text USING left(secret, 8)')",
            "column keys.secret: 21",
            id="cut",
        ),
    ],
)
def test_what_a_downgrade_takes_beside_the_schema_is_refused(keys, database, run_migrate, downgrade, loses):
    refused = keys(downgrade)
    assert (refused.exit_code, refused.finished["problem"]) == (12, "data-loss")
    assert (refused.finished["outcome"], refused.finished["loses"]) == ("refused", [loses])
    # nothing at all was changed: the revision before it, which loses nothing, is not reverted either
    assert (versions(database), database.scalar("SELECT count(secret) FROM keys")) == (["three"], 30)
    assert database.scalar("SELECT to_regclass('n')") is not None
    assert database.scalar("SELECT count(*) FROM migrate.step WHERE status = 'finished' AND kind = 'downgrade'") == 0
    allowed = run_migrate("down", "--to", "one", "--allow-data-loss", database=database)
    allowed.check_clean()
    assert (allowed.exit_code, versions(database)) == (0, ["one"])


@pytest.mark.parametrize(
    "downgrade",
    [
        (
            "op.execute('CREATE TABLE k2 AS TABLE keys')\nop.drop_table('keys')\n"
            "op.execute('ALTER TABLE k2 RENAME TO keys')\n"
            "op.execute('ALTER TABLE keys ADD CONSTRAINT keys_pkey PRIMARY KEY (id)')"
        ),
        "op.execute('ALTER TABLE keys ALTER secret TYPE varchar(40)')\nop.execute('ALTER TABLE keys ALTER secret TYPE text')",
        "op.execute(\"UPDATE keys SET secret = 'none' WHERE secret IS NULL\")",
    ],
    ids=["rebuilt with its rows", "another type and back", "only NULLs are filled"],
)
def test_what_loses_nothing_goes_on(keys, database, downgrade):
    result = keys(downgrade)
    assert (result.exit_code, result.finished["reverted"], versions(database)) == (0, ["three", "two"], ["one"])
    assert database.scalar("SELECT count(secret) FROM keys") == 30


def test_what_is_in_a_schema_beside_is_not_dropped(keys, database):
    refused = keys(
        "op.execute('DROP SCHEMA audit CASCADE')",
        first="op.execute('CREATE SCHEMA audit')\nop.execute('CREATE TABLE audit.log AS SELECT 1 AS a')",
    )
    assert (refused.exit_code, refused.finished["loses"]) == (12, ["table audit.log: 1"])
    assert (versions(database), database.scalar("SELECT count(*) FROM audit.log")) == (["three"], 1)


def test_a_table_that_is_there_at_both_ends_is_counted(project, database, run_migrate, write_manifest):
    """The first downgrade on the way drops it; the next one makes another of its name."""
    made, dropped = f"op.execute('{KEYS}')", "op.drop_table('keys')"
    project.write_env()
    project.revision("one", message="one", upgrade=made, downgrade=dropped)
    project.revision("two", down="one", message="two", upgrade=dropped, downgrade=made)
    project.revision("three", down="two", message="three", upgrade=made, downgrade=dropped)
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("INSERT INTO keys VALUES (1), (2)")
    for target in ("two", "one"):
        refused = run_migrate("down", "--to", target, database=database)
        refused.check_clean()
        assert (refused.exit_code, refused.finished["loses"]) == (12, ["table keys: 2"])
    assert database.scalar("SELECT count(*) FROM keys") == 2


def test_what_is_computed_is_no_data_and_is_not_run(project, database, run_migrate, write_manifest):
    project.write_env()
    project.revision("one", message="one", upgrade=f"op.execute('{KEYS}')", downgrade="op.drop_table('keys')")
    project.revision(
        "two",
        down="one",
        message="two",
        upgrade="op.execute('CREATE VIEW v AS SELECT 1 / (id - 1) AS x FROM keys')\n"
        "op.execute('CREATE MATERIALIZED VIEW m AS TABLE keys WITH NO DATA')\n"
        "op.execute('ALTER TABLE keys ADD g int GENERATED ALWAYS AS (id * 2) STORED')",
        downgrade="op.execute('DROP VIEW v')\nop.execute('DROP MATERIALIZED VIEW m')\nop.drop_column('keys', 'g')",
    )
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("INSERT INTO keys VALUES (1), (2)")
    result = run_migrate("down", "--to", "one", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["loses"]) == (0, [])


def test_rows_that_policies_hide_are_not_counted_as_none(project, database, run_migrate, write_manifest):
    project.write_env()
    project.revision("one", message="one")
    project.revision(
        "two", down="one", message="two", upgrade=f"op.execute('{KEYS}')", downgrade="op.drop_table('keys')"
    )
    project.revision(
        "three",
        down="two",
        message="three",
        upgrade="op.execute('ALTER TABLE keys ENABLE ROW LEVEL SECURITY')\n"
        "op.execute('ALTER TABLE keys FORCE ROW LEVEL SECURITY')",
        downgrade="op.execute('ALTER TABLE keys DISABLE ROW LEVEL SECURITY')",
    )
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.as_superuser.execute("INSERT INTO keys SELECT generate_series(1, 5)")
    refused = run_migrate("down", "--to", "one", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (14, "missing-privilege")
    assert refused.finished["fix"].startswith(f"ALTER ROLE {database.user} BYPASSRLS;")
    assert "row-level security" in refused.finished["why"]
    assert database.as_superuser.scalar("SELECT count(*) FROM keys") == 5
    allowed = run_migrate("down", "--to", "one", "--allow-data-loss", "--drift", "warn", database=database)
    allowed.check_clean()
    assert (allowed.exit_code, allowed.finished["loses"]) == (0, ["table keys: not counted"])


BLOCK = "with op.get_context().autocommit_block():\n    "


@pytest.mark.parametrize(
    ("downgrade", "code"),
    [
        pytest.param(f"{BLOCK}op.execute('DELETE FROM keys WHERE id > 20')", 12, id="in an autocommit block"),
        pytest.param("op.execute('DELETE FROM keys')\nop.execute('COMMIT')", 12, id="before a COMMIT"),
        pytest.param("op.execute('DELETE FROM keys; COMMIT; BEGIN')", 12, id="in one text with a COMMIT"),
        pytest.param("op.execute('DELETE FROM keys')\nop.get_bind().commit()", 12, id="before SQLAlchemy's commit"),
        pytest.param(f"op.execute('DELETE FROM keys')\n{BLOCK}pass", 12, id="before an autocommit block"),
        pytest.param(
            f"{BLOCK}op.execute('DO $$ BEGIN DELETE FROM keys; COMMIT; END $$')", 12, id="by what commits inside"
        ),
        pytest.param(
            "with sa.create_engine(op.get_bind().engine.url).begin() as other:\n"
            "    other.execute(sa.text('DELETE FROM keys'))",
            12,
            id="on a connection of its own",
        ),
        pytest.param("op.get_bind().connection.commit()", 12, id="past SQLAlchemy"),
    ],
)
def test_what_would_be_committed_before_its_end_is_looked_at_first(keys, database, downgrade, code):
    refused = keys(downgrade)
    assert (refused.exit_code, database.scalar("SELECT count(*) FROM keys")) == (code, 30), refused.finished
    assert "loses" in refused.finished["why"]


def test_what_an_autocommit_block_has_committed_before_stays_said(keys, database):
    refused = keys(f"{BLOCK}op.execute('CREATE TABLE left_over ()')\n    op.execute('DELETE FROM keys')")
    assert (refused.exit_code, database.scalar("SELECT count(*) FROM keys")) == (31, 30), refused.finished
    assert "left_over" in refused.finished["why"]


def test_an_engine_that_commits_each_statement_is_looked_at(project, database, run_migrate, write_manifest):
    project.write_env()
    env = project.env
    env.write_text(
        env.read_text().replace("poolclass=pool.NullPool", "poolclass=pool.NullPool, isolation_level='AUTOCOMMIT'")
    )
    assert "AUTOCOMMIT" in env.read_text()
    project.revision("one", message="one", upgrade=f"op.execute('{KEYS}')", downgrade="op.drop_table('keys')")
    project.revision(
        "two", down="one", message="two", upgrade="pass", downgrade=f"op.drop_table('keys')\nop.execute('{KEYS}')"
    )
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("INSERT INTO keys SELECT generate_series(1, 30)")
    refused = run_migrate("down", "--to", "one", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (12, "data-loss"), refused.finished
    assert database.scalar("SELECT count(*) FROM keys") == 30
    assert run_migrate("down", "--to", "one", "--allow-data-loss", database=database).exit_code == 0


@pytest.mark.parametrize("column", ["addr", "addr[]", "where_"])
def test_an_attribute_that_goes_takes_the_values_of_columns_of_its_type(keys, database, column):
    value = {"addr": "r", "addr[]": "ARRAY[r]", "where_": "r::where_"}[column]
    refused = keys(
        "op.execute('ALTER TYPE addr DROP ATTRIBUTE zip')",
        first="op.execute('CREATE TYPE addr AS (street text, zip text)')\nop.execute('CREATE DOMAIN where_ AS addr')\n"
        f"op.execute(\"CREATE TABLE homes AS SELECT ({value})::{column} AS a FROM (SELECT ('s', 'z')::addr) AS s(r)\")",
    )
    assert (refused.exit_code, refused.finished["loses"]) == (12, ["column homes.a: 1"]), refused.finished


def test_an_attribute_that_is_added_takes_nothing(keys):
    result = keys(
        "op.execute('ALTER TYPE addr ADD ATTRIBUTE zip text')",
        first="op.execute('CREATE TYPE addr AS (street text)')\n"
        "op.execute(\"CREATE TABLE homes AS SELECT row('s')::addr AS a\")",
    )
    assert result.exit_code in {0, 32}, result.finished


def test_large_objects_that_are_unlinked_are_lost(keys, database):
    refused = keys(
        "op.execute('SELECT lo_unlink(lo) FROM docs')",
        first="op.execute(\"CREATE TABLE docs AS SELECT lo_from_bytea(0, 'x') AS lo FROM generate_series(1, 3)\")",
    )
    assert (refused.exit_code, refused.finished["loses"]) == (12, ["large objects: 3"]), refused.finished
    assert database.scalar("SELECT count(*) FROM pg_largeobject_metadata") >= 3


def test_an_update_is_said_to_change_and_not_to_lose(keys):
    refused = keys("op.execute('UPDATE keys SET secret = upper(secret) WHERE id < 6')")
    assert refused.exit_code == 12
    assert refused.finished["why"] == "the downgrade of two changes 5 of 30 values of column keys.secret"


def test_json_that_jsonb_cannot_hold_is_compared_as_text(keys):
    made = "CREATE TABLE j AS SELECT 1 AS n, '[\"\\u0000\"]'::json AS j"
    result = keys(
        "op.execute('ALTER TABLE j ALTER n TYPE int')",
        first=f'op.execute(r"""{made}""")',
        upgrade="op.execute('ALTER TABLE j ALTER n TYPE bigint')",
    )
    assert result.exit_code == 0, result.finished


def test_a_type_that_is_narrowed_after_an_autocommit_block_is_looked_at_the_first_time(keys):
    result = keys(
        f"{BLOCK}op.execute('DROP INDEX CONCURRENTLY ix')\nop.execute('ALTER TABLE keys ALTER id TYPE int')",
        upgrade=f"op.execute('ALTER TABLE keys ALTER id TYPE bigint')\n"
        f"{BLOCK}op.execute('CREATE INDEX CONCURRENTLY ix ON keys (secret)')",
    )
    assert (result.exit_code, result.finished["reverted"]) == (0, ["three", "two"]), result.finished


def test_what_commits_by_itself_and_loses_nothing_goes_on(keys, database):
    result = keys(
        f"{BLOCK}op.execute('DROP INDEX CONCURRENTLY ix')\n    op.execute(\"UPDATE keys SET secret = '' WHERE secret IS NULL\")\n"
        "op.execute('CREATE INDEX i2 ON keys (id); COMMIT; BEGIN')\nop.execute('DROP INDEX i2')",
        upgrade=f"{BLOCK}op.execute('CREATE INDEX CONCURRENTLY ix ON keys (secret)')",
    )
    assert (result.exit_code, result.finished["reverted"]) == (0, ["three", "two"]), result.finished
    assert database.scalar("SELECT count(secret) FROM keys") == 30
