"""`migrate test --on URL`: the pending revisions are run on a clone and measured; the real database is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import psycopg2
import pytest

from migrate.shadow.embedded import throwaway_server
from tests.support.needs import set_needs
from tests.support.proxy import Proxy


@pytest.fixture
def image(project):
    project.revision(
        "made",
        upgrade='op.execute("CREATE TABLE orders (id serial PRIMARY KEY, state text)")',
        message="make orders",
    )
    project.revision(
        "filled",
        down="made",
        upgrade="""
        op.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        op.execute("INSERT INTO orders (state) SELECT 'x' FROM generate_series(1, 20000)")
        op.execute("SELECT pg_sleep(0.3)")
        """,
        message="fill orders",
    )
    project.revision(
        "indexed", down="filled", upgrade='op.create_index("ix_state", "orders", ["state"])', message="an index"
    )
    return project


def measured(result):
    """What the lines of a run say of each revision; rows and locks as mappings."""
    found = {}
    for event in result.named("revision.measured"):
        rows = dict(each.rsplit(" ", 1) for each in event["rows"])
        locks = dict(each.removesuffix(" ms").rsplit(": ", 1) for each in event["locks"])
        event |= {"rows": {k: int(v) for k, v in rows.items()}, "locks": {k: int(v) for k, v in locks.items()}}
        found |= dict.fromkeys(event["revisions"], event)
    return found


def test_each_revision_is_measured_and_the_real_database_stays_as_it_is(image, make_database, run_migrate):
    real, clone = make_database(), make_database()
    for each in (real, clone):
        assert run_migrate("up", "--target", "made", database=each).exit_code == 0
    result = run_migrate("test", database=real, env={"MIGRATE_TEST_ON": clone.url})
    result.check_clean(clone.password)
    assert (result.exit_code, result.finished["outcome"]) == (0, "applied"), result.stdout
    found = measured(result)
    assert list(found) == ["filled", "indexed"]
    filled, indexed = found["filled"], found["indexed"]
    assert filled["duration_ms"] >= 300
    assert filled["rows"] == {"orders": 20000}
    assert filled["rows_complete"]
    assert filled["wal_bytes"] > 20000 * 20
    assert filled["written_bytes"] >= 500_000
    assert 250 <= filled["locks"]["reads and writes of orders"] <= filled["duration_ms"]
    assert list(indexed["locks"]) == ["writes of orders"]
    assert indexed["written_bytes"] >= 100_000
    assert indexed["rows"] == {}
    assert clone.rows("SELECT version_num FROM alembic_version") == [("indexed",)]
    assert real.rows("SELECT version_num FROM alembic_version") == [("made",)]
    assert real.rows("SELECT count(*) FROM migrate.run") == [(1,)]


def test_it_is_said_as_text_and_as_markdown(image, make_database, run_migrate):
    clone = make_database()
    text = run_migrate("test", "--on", clone.url, env={"MIGRATE_LOG_FORMAT": "text"}).stdout.decode()
    assert "filled fill orders: " in text
    assert "  reads and writes of orders blocked for " in text
    assert "  rows written: orders 20000" in text
    other = make_database()
    comment = run_migrate("test", "--on", other.url, "--format", "markdown").stdout.decode()
    assert comment.startswith("### Migrations on a clone: 3 commits\n")
    assert "| filled fill orders | " in comment
    again = run_migrate("test", "--on", other.url, "--format", "markdown").stdout.decode()
    assert "Nothing was pending there." in again
    one = run_migrate("test", "--on", make_database().url, "--json")
    assert [each["revisions"] for each in json.loads(one.stdout)["measured"]] == [["made"], ["filled"], ["indexed"]]


def test_a_revision_that_fails_fails_the_run_and_what_came_before_is_measured(image, make_database, run_migrate):
    image.revision("broken", down="indexed", upgrade='op.execute("SELECT 1 / 0")')
    clone = make_database()
    result = run_migrate("test", "--on", clone.url)
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert list(measured(result)) == ["made", "filled", "indexed"]
    comment = run_migrate("test", "--on", clone.url, "--format", "markdown")
    assert comment.exit_code == 30
    assert "**Failed:** revision broken" in comment.stdout.decode()


def test_revisions_of_one_transaction_are_measured_together(image, make_database, run_migrate):
    result = run_migrate("test", "--on", make_database().url, "--transaction", "all")
    [event] = result.named("revision.measured")
    assert event["revisions"] == ["made", "filled", "indexed"]
    assert event["rows"] == ["orders 20000"]


def test_what_commits_by_itself_is_seen_by_its_locks_and_its_rows_are_not_claimed_to_be_counted(
    project, make_database, run_migrate
):
    project.revision("made", upgrade='op.execute("CREATE TABLE orders (id serial PRIMARY KEY, state text)")')
    project.revision(
        "batch",
        down="made",
        upgrade="""
        with op.get_context().autocommit_block():
            op.execute("DO $$ BEGIN LOCK orders IN SHARE MODE; PERFORM pg_sleep(0.3); END $$")
            op.execute("INSERT INTO orders (state) SELECT 'x' FROM generate_series(1, 10)")
        """,
    )
    result = run_migrate("test", "--on", make_database().url)
    assert result.exit_code == 0, result.stdout
    batch = measured(result)["batch"]
    assert not batch["rows_complete"]
    assert batch["locks"]["writes of orders"] >= 250


def spelled(url, **changes):
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    host, _, port = place.rpartition(":")
    found = {"user": user, "host": host, "port": port, "path": parts.path, **changes}
    return f"postgresql://{found['user']}@{found['host']}:{found['port']}{found['path']}"


def refused(result, clone=None):
    result.check_clean(clone)
    assert (result.exit_code, result.finished["problem"]) == (13, "clone-is-target"), result.stdout
    assert not result.named("revision.started")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_the_real_database_is_refused_by_every_name_of_its_host(image, database, run_migrate, host):
    alias = spelled(database.url, host=host)
    try:
        psycopg2.connect(alias).close()
    except psycopg2.OperationalError:
        pytest.skip(f"the server does not listen at {host}")
    refused(run_migrate("test", "--on", alias, database=database))
    assert database.rows("SELECT to_regclass('alembic_version')") == [(None,)]


def test_the_real_database_is_refused_through_another_port_and_another_role(image, database, make_role, run_migrate):
    parts = urlsplit(database.url)
    with Proxy(parts.hostname, parts.port) as proxy:
        refused(run_migrate("test", "--on", spelled(database.url, port=proxy.port), database=database))
    role = make_role()
    refused(
        run_migrate(
            "test",
            "--on",
            spelled(database.url, user=f"{role.name}:{quote(role.password, safe='')}"),
            database=database,
        ),
        role.password,
    )


def test_another_database_of_the_same_server_is_a_clone(image, make_database, run_migrate):
    real, clone = make_database(), make_database()
    assert run_migrate("test", "--on", clone.url, database=real).exit_code == 0


def test_without_a_real_database_there_is_nothing_to_compare_and_one_that_is_not_reached_stops_the_run(
    image, make_database, run_migrate
):
    clone = make_database()
    gone = {"DATABASE_URL": "postgresql://u:pppppppppp@127.0.0.1:1/d", "MIGRATE_CONNECT_TIMEOUT": "1s"}
    stopped = run_migrate("test", "--on", clone.url, env=gone)
    assert (stopped.exit_code, stopped.finished["problem"]) == (20, "unreachable")
    assert clone.rows("SELECT to_regclass('alembic_version')") == [(None,)]
    assert run_migrate("test", "--on", clone.url).exit_code == 0


def test_env_py_does_not_find_the_real_database_by_the_parts_of_its_url(image, make_database, run_migrate):
    real, clone = make_database(), make_database()
    parts = urlsplit(real.url)
    image.write_env(
        head="""
        parts = {name: os.environ[f"APP_DB_{name}"] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")}
        from urllib.parse import quote
        url = "postgresql+psycopg2://{USER}:{0}@{HOST}:{PORT}/{NAME}".format(quote(parts["PASSWORD"], safe=""), **parts)
        """
    )
    env = {
        "APP_DB_USER": real.user, "APP_DB_PASSWORD": real.password, "APP_DB_HOST": parts.hostname,
        "APP_DB_PORT": str(parts.port), "APP_DB_NAME": real.name,
    }  # fmt: skip
    result = run_migrate("test", "--on", clone.url, database=real, env=env)
    assert result.exit_code == 0, result.stdout
    assert real.rows("SELECT to_regclass('orders')") == [(None,)]


def test_flags_of_a_trial_are_not_for_a_clone(image, database, run_migrate):
    for flags in (
        ("--since", "made", "--on", database.url),
        ("--list", "--on", database.url),
        ("--format", "markdown"),
    ):
        result = run_migrate("test", *flags)
        assert (result.exit_code, result.finished["problem"]) == (2, "usage")
    bad = run_migrate("test", env={"MIGRATE_TEST_ON": "mysql://u:pppppppppp@h/d"})
    bad.check_clean("pppppppppp")
    assert bad.finished["problem"] == "bad-database-url"


@contextmanager
def restored(origin, *, is_standby=False):
    """A server that was restored from a physical backup of a stopped one, or made its standby; both run in the block."""
    with throwaway_server() as copy:
        copy.stop()
        origin.stop()
        shutil.rmtree(copy.data_dir)
        subprocess.run(["cp", "-a", str(origin.data_dir), str(copy.data_dir)], check=True)
        if is_standby:
            (copy.data_dir / "standby.signal").touch()
        copy.password = origin.password
        origin.start()
        copy.start()
        yield copy


def test_a_restored_physical_backup_is_a_clone_and_a_standby_of_it_is_not_told_from_the_real_one(image, run_migrate):
    with throwaway_server() as real:
        assert run_migrate("up", "--target", "made", env={"DATABASE_URL": real.url()}).exit_code == 0
        with restored(real) as clone:
            result = run_migrate("test", "--on", clone.url(), env={"DATABASE_URL": real.url()})
            assert result.exit_code == 0, result.stdout
            assert list(measured(result)) == ["filled", "indexed"]
        with restored(real, is_standby=True) as standby:
            refused(run_migrate("test", "--on", real.url(), env={"DATABASE_URL": standby.url()}))


def test_a_run_that_had_nothing_to_compare_with_says_so(image, make_database, run_migrate):
    real, clone, other = make_database(), make_database(), make_database()
    alone = run_migrate("test", "--on", clone.url)
    (said,) = alone.named("state.finding")
    assert (alone.exit_code, said["level"]) == (0, "warn")
    assert "no variable names the real database" in said["message"]
    assert clone.password not in said["message"]
    assert run_migrate("test", "--on", other.url, database=real).named("state.finding") == []


def test_rows_of_the_clone_that_a_revision_would_fail_on_are_found_before_it(
    project, make_database, run_migrate, write_manifest
):
    project.revision("made", upgrade='op.execute("CREATE TABLE t (a int)")')
    project.revision("required", down="made", upgrade='op.alter_column("t", "a", nullable=False)')
    write_manifest()
    set_needs(project.manifest, {"required": ["no NULL in t.a"]})
    real, clone = make_database(), make_database()
    for each in (real, clone):
        assert run_migrate("up", "--target", "made", database=each).exit_code == 0
    clone.execute("INSERT INTO t VALUES (NULL)")
    result = run_migrate("test", "--on", clone.url, database=real)
    assert (result.exit_code, result.finished["problem"]) == (18, "data"), result.stdout
    assert clone.rows("SELECT version_num FROM alembic_version") == [("made",)]
