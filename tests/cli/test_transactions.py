"""The verbs that replay and go back, under every kind of transaction: they get where `up` gets, and warn once."""

from __future__ import annotations

import pytest

from tests.support.process import alembic
from tests.support.transactions import write_transactions

HELD = "SQL before configure, and a commit at the end"
KINDS = [
    (HELD, "a comment about CONCURRENTLY", 1),
    (HELD, "a commit and an autocommit block", 1),
    ("engine.begin()", "DDL", 1),
    ("SET LOCAL in the transaction", "DDL", 1),
    ("transaction_per_migration", "a commit and an autocommit block", 0),
    ("a commit at the end", "a commit, an autocommit block and DDL", 0),
    ("as the template has it", "two autocommit blocks", 0),
]


def warnings(result):
    return [
        event["message"] for event in result.events if event.get("level") == "warn" and event["event"] != "log.record"
    ]


@pytest.mark.parametrize(("environment", "revision"), [kind[:2] for kind in KINDS])
def test_a_manifest_is_written_and_what_plain_alembic_made_is_what_it_says(
    project, server, database, run_migrate, environment, revision
):
    write_transactions(project, environment, revision, is_last=False)
    made = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    made.check_clean()
    assert made.exit_code == 0, made.finished
    said = [message for message in warnings(made) if "cannot be committed" in message]
    # a throw-away database bears a commit after each, but for what would end with it
    assert len(said) == (environment == "SET LOCAL in the transaction")
    alembic(project, database, "upgrade", "head")
    verified = run_migrate("verify", database=database)
    assert verified.exit_code == 0, verified.finished


@pytest.mark.parametrize("verb", ["manifest", "test"])
def test_all_in_one_transaction_is_a_wish_of_every_verb_that_runs_revisions(project, server, run_migrate, verb):
    project.linear(2)
    result = run_migrate(verb, "--transaction", "all", env={"MIGRATE_SHADOW_URL": server.url()})
    result.check_clean()
    assert (result.exit_code, warnings(result)) == (0, []), result.finished


@pytest.mark.parametrize(("environment", "revision", "told"), KINDS[:2] + KINDS[4:5])
def test_the_way_back_is_open_too(project, database, run_migrate, environment, revision, told):
    write_transactions(project, environment, revision, is_last=False)
    assert run_migrate("up", database=database).exit_code == 0
    result = run_migrate("down", "--to", "base", "--allow-data-loss", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"]) == (0, "downgraded"), result.finished
    assert len([message for message in warnings(result) if "cannot be committed" in message]) == told
    assert database.scalar("SELECT count(*) FROM alembic_version") == 0


def test_a_block_that_alembic_refuses_is_refused_in_its_words_and_nothing_else_is(project, database, run_migrate):
    write_transactions(project, "engine.begin()", "DDL and an autocommit block", is_last=False)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "env-holds-transaction")
    assert result.finished["applied"] == []
    assert "revision r2 enters an autocommit block" in result.finished["why"]
    assert database.scalar("SELECT to_regclass('one')") is None


def test_a_retry_does_not_say_the_same_again(project, database, run_migrate):
    project.revision("r1", upgrade="op.execute('CREATE TABLE one (id integer)')")
    write_env = project.env.read_text().replace("engine.connect()", "engine.begin()")
    project.env.write_text(write_env)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("r2", down="r1", upgrade="op.execute('ALTER TABLE one ADD COLUMN more integer')")
    blocker = database.connect()
    blocker.cursor().execute("LOCK TABLE one")
    result = run_migrate("up", "--lock-timeout", "200ms", "--lock-tries", "3", database=database)
    result.check_clean()
    assert result.exit_code == 22
    assert len(result.named("revision.retry")) == 2
    assert len([message for message in warnings(result) if "cannot be committed" in message]) == 1


def test_a_commit_of_the_revisions_own_that_leaves_its_row_behind_is_said_as_that(project, database, run_migrate):
    write_transactions(project, "transaction_per_migration", "a commit and an autocommit block", is_last=True)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (31, "partly-committed"), result.finished
    assert "committed by itself, which ended Alembic's transaction" in result.finished["why"]
    assert "its version row was not committed" in result.finished["why"]
    assert "nothing of" not in result.finished["why"]
    assert "; it left: " in result.finished["why"]


def test_a_revision_that_enters_a_block_after_another_part_is_named_once(project, database, run_migrate):
    project.env.write_text(
        "import os\nfrom alembic import context\nfrom sqlalchemy import create_engine\n"
        "url = os.environ['DATABASE_URL'].replace('sql:', 'sql+psycopg2:', 1)\n"
        "with create_engine(url).connect() as connection:\n"
        "    transaction = connection.begin()\n    context.configure(connection=connection)\n"
        "    context.run_migrations()\n    transaction.commit()\n"
    )
    project.revision(
        "a4",
        upgrade="""
        op.execute("CREATE TABLE t (id int)")
        op.execute("COMMIT")
        op.execute("CREATE INDEX CONCURRENTLY ix ON t (id)")
        with op.get_context().autocommit_block():
            op.execute("SELECT 1")
        """,
    )
    result = run_migrate("up", database=database)
    assert result.exit_code == 31, result.finished
    assert result.finished["why"].count("revision a4") == 1
