"""What odd env.py files and revisions do to the truth of the last line: found by attacking, held from here on."""

from __future__ import annotations

INDEX = "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ii ON r0001 (id)')"
SWALLOW = """
import traceback
original = context.run_migrations
def quiet(**options):
    try:
        original(**options)
    except Exception as error:
        print("never mind", type(error).__name__)
context.run_migrations = quiet
"""


def rows(database):
    if database.scalar("SELECT to_regclass('alembic_version')") is None:
        return []
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def test_a_part_left_by_an_earlier_revision_of_the_same_transaction(project, database, run_migrate):
    ids = project.linear(1)
    project.revision("two", down=ids[0], message="index", upgrade=INDEX)
    project.revision("three", down="two", message="bad", upgrade="op.execute('SELECT 1/0')")
    result = run_migrate("up", "--transaction", "all", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (31, "partly-committed")
    assert result.finished["applied"] == rows(database) == ids
    assert "revision two" in result.finished["why"]
    statuses = dict(database.rows("SELECT revision, status FROM migrate.step"))
    assert statuses == {ids[0]: "finished", "two": "partial", "three": "failed"}
    again = run_migrate("up", database=database)
    assert (again.exit_code, again.finished["problem"]) == (15, "residue")


def test_an_env_py_that_swallows_the_error(project, database, run_migrate):
    ids = project.linear(1)
    project.revision("bad", down=ids[0], message="bad", upgrade="raise RuntimeError('no luck')")
    project.write_env(head=SWALLOW)
    result = run_migrate("up", database=database)
    result.check_clean()
    # Alembic then commits what the revision had done, without its version row
    assert (result.exit_code, result.finished["failed"]) == (31, "bad")
    assert result.finished["applied"] == rows(database)
    assert "no luck" in result.finished["why"]


def test_an_env_py_that_rolls_everything_back(project, database, run_migrate):
    ids = project.linear(2)
    text = project.env.read_text()
    project.env.write_text(
        text.replace(
            "    with context.begin_transaction():\n        context.run_migrations()\n\n\nif",
            "    outer = connection.begin()\n"
            "    context.configure(connection=connection, target_metadata=target_metadata)\n"
            "    with context.begin_transaction():\n        context.run_migrations()\n"
            "    outer.rollback()\n\n\nif",
        ),
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 32
    assert result.finished["applied"] == []
    assert result.finished["pending"] == ids
    assert rows(database) == []


def test_an_engine_that_is_autocommit(project, database, run_migrate):
    project.revision("r0001", upgrade="op.create_table('r0001', sa.Column('id', sa.Integer, primary_key=True))")
    project.revision(
        "two", down="r0001", message="i", upgrade="op.execute('CREATE INDEX CONCURRENTLY ii ON r0001 (id)')"
    )
    text = project.env.read_text()
    project.env.write_text(text.replace("create_engine(url", "create_engine(url, isolation_level='AUTOCOMMIT'"))
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, rows(database)) == (0, ["two"])
    assert not result.named("ledger.warning")


def test_a_worker_that_dies_while_its_fork_lives_on(project, database, run_migrate):
    project.revision(
        "fork",
        header="import os\nimport time\n",
        upgrade="if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\nos._exit(3)",
    )
    result = run_migrate("up", database=database, timeout_seconds=40)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-exited")


def test_a_secret_at_the_cut_of_a_long_line(project, database, run_migrate):
    project.revision(
        "long", upgrade=f"print('x' * 5985 + {database.password!r})\nprint('y' * 65530 + {database.password!r})"
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 0


def test_an_exception_that_cannot_be_printed(project, database, run_migrate):
    project.revision(
        "odd",
        header="class Odd(Exception):\n    def __str__(self):\n        raise ValueError('no')\n",
        upgrade="raise Odd",
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert b"Traceback" not in result.stdout


def test_a_text_that_the_database_cannot_hold(project, make_database, run_migrate):
    database = make_database(encoding="LATIN1")
    project.revision("arrow", upgrade="op.execute('SELECT 1')  # →", message="from → to")
    result = run_migrate(
        "up", database=database, env={"RAILWAY_ENVIRONMENT_NAME": "p\udcff", "RAILWAY_PROJECT_ID": "x"}
    )
    result.check_clean()
    assert result.exit_code == 0
    assert not result.named("ledger.warning")
    assert database.scalar("SELECT count(*) FROM migrate.step WHERE status = 'finished'") == 1
