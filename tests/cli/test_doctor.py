"""`migrate doctor`: every check is made to find something on a real database, and passes once its own fix was applied."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from migrate.doctor.checks import CHECKS
from migrate.shadow.embedded import find_binaries, throwaway_server
from tests.support.process import assert_absent
from tests.support.server import Database, Role, Server

pytestmark = pytest.mark.deep

# The shadow is of the suite's own major version, whichever that is.
SHADOW = {"PG_BIN_DIR": str(find_binaries().bin_dir)}
ONE_TABLE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))'


@pytest.fixture
def doctor(run_migrate):
    """Run `doctor --json`; the checks by name, with the process's result beside them."""

    def run(*arguments, **options):
        result = run_migrate("doctor", "--json", *arguments, **options)
        assert result.stderr == b"", result.stderr
        (found,) = result.events
        assert found["exit_code"] == result.exit_code
        database = options.get("database")
        if database is not None:
            assert_absent(database.password, result.stdout)
        return Checks(result, found)

    return run


class Checks:
    def __init__(self, result, found):
        self.exit_code = result.exit_code
        self.finished = found
        self.checks = {check["check"]: check for check in found["checks"]}
        assert len(self.checks) == len(found["checks"])

    def __getitem__(self, name):
        return self.checks[name]

    def verdict(self, name):
        return self.checks[name]["verdict"]


def apply_sql(database, fix):
    """Run a fix as a person would paste it into psql, statement by statement, as the superuser."""
    for statement in fix.splitlines():
        database.as_superuser.execute(statement)


def apply_shell(fix, environment):
    """Run a fix as a person would paste it into the shell; the environment that it leaves."""
    done = subprocess.run(
        ["bash", "-c", f"{fix}\nenv -0"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if "=" in line)
    return {name: value for name, value in found.items() if name not in {"PWD", "SHLVL", "_", "PATH"}}


@pytest.fixture
def applied(project, database, run_migrate):
    """A database at `one`, whose table is `t`; `two` alters it and is pending."""
    project.revision("one", upgrade=ONE_TABLE.format("t"), downgrade='op.drop_table("t")', message="one")
    assert run_migrate("up", database=database).exit_code == 0
    project.revision(
        "two",
        down="one",
        message="two",
        upgrade='op.add_column("t", sa.Column("more", sa.Integer))',
        downgrade='op.drop_column("t", "more")',
    )
    return database


def test_a_healthy_database_passes_every_check(project, database, run_migrate, doctor, write_manifest):
    project.linear(2)
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    found = doctor(database=database)
    assert {name: check["verdict"] for name, check in found.checks.items()} == dict.fromkeys(
        (check.name for check in CHECKS), "pass"
    )
    assert found.exit_code == 0
    assert found.finished["checks_failed"] == []


def test_the_log_has_a_line_for_each_check(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("doctor", database=database)
    result.check_clean()
    assert [line["check"] for line in result.named("check.finished")] == [check.name for check in CHECKS]
    assert {line["level"] for line in result.named("check.finished") if line["verdict"] == "warn"} == {"warn"}


def test_it_changes_nothing(project, database, doctor):
    project.linear(2)
    doctor(database=database)
    assert database.scalar("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    assert database.scalar("SELECT to_regnamespace('migrate')") is None


def test_settings(project, database, doctor):
    project.linear(1)
    environment = {"MIGRATE_LOCK_TIMOUT": "1", "DATABASE_URL": database.url}
    found = doctor(env=environment)["settings"]
    assert (found["verdict"], found["fix"]) == ("warn", "unset MIGRATE_LOCK_TIMOUT")
    found = doctor(env=apply_shell(found["fix"], environment))["settings"]
    assert found["verdict"] == "pass"
    found = doctor(env={"MIGRATE_LOCK_TIMEOUT": "3s", "DATABASE_URL": database.url})["settings"]
    assert "lock_timeout = 3s (MIGRATE_LOCK_TIMEOUT)" in found["evidence"]
    assert "connect_timeout = 1m (default)" in found["details"]


def test_malformed_settings_are_a_check_and_what_needs_no_server_is_checked_too(project, database, doctor):
    project.linear(1)
    (project.path / "pyproject.toml").write_text('[tool.migrate]\nlock_tries = "many"\n')
    environment = {"MIGRATE_LOCK_TIMEOUT": "soon", "DATABASE_URL": database.url}
    found = doctor(env=environment)
    assert found.exit_code == 10
    assert (found.verdict("settings"), found["settings"]["problem"]) == ("fail", "bad-setting")
    assert all(name in found["settings"]["evidence"] for name in ("MIGRATE_LOCK_TIMEOUT 'soon'", "lock_tries in"))
    assert {name: found.verdict(name) for name in found.checks if name != "settings"} == {
        "url": "pass",
        "configuration": "pass",
        "driver": "pass",
        "image": "pass",
        "manifest": "warn",
        "platform-files": "pass",
    }
    (project.path / "pyproject.toml").unlink()
    fix = doctor(env=environment)["settings"]["fix"]
    assert doctor(env=apply_shell(fix, environment)).verdict("settings") == "pass"


def test_no_url(project, database, doctor):
    project.linear(1)
    found = doctor()
    assert (found.verdict("url"), found.exit_code) == ("fail", 10)
    assert found.verdict("image") == "pass", "what needs no server is reported"
    fix = re.sub(r"postgresql://\S+'", f"{database.url.replace(chr(39), '%27')}'", found["url"]["fix"])
    assert doctor(env=apply_shell(fix, {})).verdict("url") == "pass"


def test_a_url_that_looks_like_a_poolers(project, database, doctor):
    project.linear(1)
    host = f"@{database.connect_info('host')}:"
    url = f"{database.url.replace(host, '@db-pooler.invalid:')}?hostaddr={database.connect_info('host')}"
    found = doctor(env={"DATABASE_URL": url})
    assert (found.verdict("url"), found.verdict("connection"), found.exit_code) == ("warn", "pass", 0)
    assert "export MIGRATE_DATABASE_URL=" in found["url"]["fix"]
    found = doctor(env={"DATABASE_URL": url, "MIGRATE_DATABASE_URL": database.url})
    assert found.verdict("url") == "pass"


def test_configuration(project, database, doctor, tmp_path):
    project.linear(1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = doctor(database=database, cwd=elsewhere)
    assert (found.verdict("configuration"), found.exit_code) == ("fail", 10)
    assert found.verdict("connection") == "pass"
    found = doctor("-c", str(project.ini), database=database, cwd=elsewhere)
    assert (found.verdict("configuration"), found.exit_code) == ("pass", 0)


def test_image(project, database, doctor):
    ids = project.linear(2)
    broken = next(project.versions.glob(f"{ids[1]}_*"))
    text = broken.read_text()
    broken.write_text(text + "\ndef broken(:\n")
    found = doctor(database=database)
    assert (found.verdict("image"), found.exit_code) == ("fail", 11)
    assert broken.name in found["image"]["evidence"]
    assert found.verdict("connection") == "pass"
    broken.write_text(text)
    assert doctor(database=database).verdict("image") == "pass"


def test_several_heads(project, database, doctor):
    project.linear(1)
    project.revision("left", down="r0001", message="left")
    project.revision("right", down="r0001", message="right")
    found = doctor(database=database)
    assert (found.verdict("image"), found.exit_code, found["image"]["problem"]) == ("fail", 11, "several-heads")
    assert found.verdict("version-table") == "pass", "what can be looked at is"
    project.revision("merged", down=("left", "right"), message="merge")
    assert doctor(database=database).verdict("image") == "pass"


def test_manifest(project, database, doctor, write_manifest):
    project.linear(1)
    found = doctor(database=database)
    assert (found.verdict("manifest"), found.exit_code) == ("warn", 0)
    assert found["manifest"]["fix"].startswith("migrate manifest ")
    write_manifest()
    assert doctor(database=database).verdict("manifest") == "pass"
    project.linear(1, prefix="s", down="r0001")
    found = doctor(database=database)
    assert (found.verdict("manifest"), found.exit_code) == ("fail", 11)
    write_manifest()
    assert doctor(database=database).verdict("manifest") == "pass"


def test_connection(project, database, doctor):
    project.linear(1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = database.url.replace(f":{database.connect_info('port')}/", f":{port}/")
    found = doctor("--connect-timeout", "1", env={"DATABASE_URL": url})
    assert (found.verdict("connection"), found.exit_code) == ("fail", 20)
    assert list(found.checks) == [
        *(check.name for check in CHECKS if not check.needs_server),
        "connection",
    ]
    assert all(check["verdict"] != "fail" for name, check in found.checks.items() if name != "connection")
    assert doctor("--connect-timeout", "1", database=database).verdict("connection") == "pass"


def test_a_wrong_password(project, database, make_role, doctor):
    project.linear(1)
    wrong = Database(database.server, database.name, Role(database.role.name, "Zq9xWv7uKj3"))
    found = doctor(database=wrong)
    assert (found.verdict("connection"), found.exit_code) == ("fail", 14)


def test_a_read_only_role(project, database, doctor):
    project.linear(1)
    database.as_superuser.execute(f'ALTER ROLE "{database.user}" SET default_transaction_read_only = on')
    found = doctor(database=database)
    assert (found.verdict("server"), found.exit_code) == ("fail", 13)
    database.as_superuser.execute(f'ALTER ROLE "{database.user}" RESET default_transaction_read_only')
    assert doctor(database=database).verdict("server") == "pass"


def test_another_major_version_than_the_manifests(project, database, doctor, run_migrate, write_manifest):
    project.linear(1)
    write_manifest()
    manifest = project.versions.parent / "manifest.json"
    manifest.write_text(re.sub(r'"postgres": \d+', '"postgres": 11', manifest.read_text()))
    found = doctor(database=database)
    assert found.verdict("server") == "warn"
    assert "PostgreSQL 11" in found["server"]["evidence"]
    assert run_migrate("manifest", "--full", env=SHADOW).exit_code == 0
    assert doctor(database=database).verdict("server") == "pass"


@contextmanager
def pooler(host, port):
    """What a pooler shows of itself: the client gets another backend pid than the server's own."""

    def pump(source, sink, rewrite):
        try:
            while chunk := source.recv(65536):
                at = chunk.find(b"K" + struct.pack("!i", 12))
                if rewrite and at >= 0:
                    chunk = chunk[: at + 5] + struct.pack("!i", 4242) + chunk[at + 9 :]
                    rewrite = False
                sink.sendall(chunk)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def listen():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, port))
            threading.Thread(target=pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=pump, args=(server, client, True), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_pooler(project, database, doctor):
    project.linear(1)
    with pooler(database.connect_info("host"), database.connect_info("port")) as port:
        url = database.url.replace(f":{database.connect_info('port')}/", f":{port}/")
        found = doctor(env={"DATABASE_URL": url})
        assert found.verdict("pooler") == "warn"
        assert "export MIGRATE_DATABASE_URL=" in found["pooler"]["fix"]
        found = doctor(env={"DATABASE_URL": url, "MIGRATE_DATABASE_URL": database.url})
        assert found.verdict("pooler") == "pass"


def test_rights(project, make_database, make_role, doctor):
    project.linear(1)
    database = make_database()
    guest = database.as_role(make_role())
    database.as_superuser.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    found = doctor(database=guest)
    assert (found.verdict("rights"), found.exit_code) == ("fail", 14)
    apply_sql(database, found["rights"]["fix"])
    assert doctor(database=guest).verdict("rights") == "pass"
    database.as_superuser.execute("REVOKE ALL ON SCHEMA public FROM " + f'"{guest.user}"')


def test_ledger(project, make_database, make_role, doctor):
    project.linear(1)
    database = make_database()
    guest = database.as_role(make_role())
    database.as_superuser.execute(f'GRANT CREATE ON SCHEMA public TO "{guest.user}"')
    found = doctor(database=guest)
    assert (found.verdict("ledger"), found.exit_code) == ("warn", 0)
    apply_sql(database, found["ledger"]["fix"])
    assert doctor(database=guest).verdict("ledger") != "warn"
    database.as_superuser.execute(f'DROP OWNED BY "{guest.user}" CASCADE')


def test_a_ledger_of_another_role(project, database, make_role, run_migrate, doctor):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    guest = database.as_role(make_role())
    database.as_superuser.execute(f'GRANT CREATE ON SCHEMA public TO "{guest.user}"')
    database.as_superuser.execute(f'GRANT ALL ON alembic_version TO "{guest.user}"')
    found = doctor(database=guest)
    assert found.verdict("ledger") == "warn"
    apply_sql(database, found["ledger"]["fix"])
    assert doctor(database=guest).verdict("ledger") == "pass"
    database.as_superuser.execute(f'DROP OWNED BY "{guest.user}" CASCADE')


@pytest.mark.parametrize("scope", ["ROLE", "DATABASE"])
def test_timeouts(project, database, doctor, scope):
    project.linear(1)
    name = {"ROLE": database.user, "DATABASE": database.name}[scope]
    database.as_superuser.execute(f"ALTER {scope} \"{name}\" SET statement_timeout = '3s'")
    database.as_superuser.execute(f"ALTER {scope} \"{name}\" SET idle_in_transaction_session_timeout = '9s'")
    found = doctor(database=database)["timeouts"]
    assert found["verdict"] == "warn"
    assert f"statement_timeout = 3s ({'user' if scope == 'ROLE' else 'database'})" in found["evidence"]
    assert "idle_in_transaction_session_timeout = 9s" in found["evidence"]
    for statement in found["fix"].splitlines():
        database.execute(statement)  # a role may do that for itself
    assert doctor(database=database).verdict("timeouts") == "pass"


def test_a_version_table_without_a_key(applied, doctor):
    applied.execute("ALTER TABLE alembic_version DROP CONSTRAINT alembic_version_pkc")
    found = doctor(database=applied)["version-table"]
    assert found["verdict"] == "warn"
    apply_sql(applied, found["fix"])
    assert doctor(database=applied).verdict("version-table") == "pass"


def test_a_version_table_that_is_too_narrow(project, applied, doctor):
    project.revision("three", down="two", upgrade=ONE_TABLE.format("u"), downgrade='op.drop_table("u")')
    applied.execute("ALTER TABLE alembic_version ALTER version_num TYPE varchar(3)")
    found = doctor(database=applied)
    assert (found.verdict("version-table"), found["version-table"]["exit_code"]) == ("fail", 11)
    apply_sql(applied, found["version-table"]["fix"])
    assert doctor(database=applied).verdict("version-table") == "pass"


def test_a_version_table_that_is_none(project, database, doctor):
    project.linear(1)
    database.execute("CREATE TABLE alembic_version (id integer)")
    found = doctor(database=database)
    assert (found.verdict("version-table"), found.exit_code) == ("fail", 13)
    fix = found["version-table"]["fix"].replace("=NAME", "=versions").replace("=SCHEMA", "=public")
    found = doctor(env=apply_shell(fix, {"DATABASE_URL": database.url}))
    assert found.verdict("version-table") == "pass"


def test_a_second_version_table(project, database, doctor):
    project.linear(1)
    database.execute("CREATE SCHEMA app")
    database.execute("CREATE TABLE app.alembic_version (version_num varchar(32) primary key)")
    found = doctor(database=database)["tables"]
    assert found["verdict"] == "warn"
    environment = apply_shell(found["fix"].partition("   #")[0], {"DATABASE_URL": database.url})
    assert doctor(env=environment).verdict("tables") == "pass"


def test_state(project, database, run_migrate, doctor, write_manifest):
    project.linear(2)
    write_manifest()
    database.execute("CREATE TABLE r0001 (id serial PRIMARY KEY)")
    found = doctor(database=database)
    assert (found.verdict("state"), found.exit_code, found["state"]["problem"]) == ("fail", 15, "untracked")
    assert found["state"]["fix"].startswith("migrate adopt ")
    assert run_migrate("adopt", database=database).exit_code == 0
    found = doctor(database=database)
    assert (found.verdict("state"), found.exit_code) == ("pass", 0)
    assert found["state"]["details"] == ["r0002  create r0002  (migrations/versions/r0002_create_r0002.py)"]


def test_an_invalid_index(applied, run_migrate, doctor):
    applied.execute("INSERT INTO t (id, n) VALUES (1, 1), (2, 1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        applied.execute("CREATE UNIQUE INDEX CONCURRENTLY by_n ON t (n)")
    found = doctor(database=applied)
    assert (found.verdict("residue"), found.exit_code) == ("fail", 15)
    applied.execute("DELETE FROM t WHERE id = 2")
    words = found["residue"]["fix"].split("   #")[0].split()
    assert run_migrate(*words[1:], database=applied).exit_code == 0
    assert doctor(database=applied).verdict("residue") == "pass"
    assert applied.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_n'::regclass") is True


@pytest.mark.parametrize("is_at_head", [True, False])
def test_an_unfinished_step(applied, run_migrate, doctor, is_at_head):
    if is_at_head:
        assert run_migrate("up", database=applied).exit_code == 0
    applied.execute(
        "INSERT INTO migrate.run (run_id, target, verb, version) VALUES ('gone', 'public.alembic_version', 'up', '0')"
    )
    applied.execute(
        "INSERT INTO migrate.step (run_id, target, kind, revision)"
        " VALUES ('gone', 'public.alembic_version', 'backup', NULL)"
    )
    found = doctor(database=applied)["residue"]
    assert (found["verdict"], "backup (run gone)" in found["evidence"]) == ("warn", True)
    words = found["fix"].split("   #")[0].split()
    assert run_migrate(*words[1:], database=applied).exit_code == 0
    assert doctor(database=applied).verdict("residue") == "pass"


def test_edited(project, applied, doctor):
    file = next(project.versions.glob("one_*"))
    text = file.read_text()
    file.write_text(text.replace('"n"', '"m"'))
    found = doctor(database=applied)
    assert (found.verdict("edited"), found.exit_code) == ("fail", 11)
    assert file.name in found["edited"]["evidence"]
    file.write_text(text)
    assert doctor(database=applied).verdict("edited") == "pass"


def test_drift(applied, doctor, write_manifest):
    write_manifest()
    applied.execute("ALTER TABLE t DROP COLUMN n")
    found = doctor(database=applied)
    assert (found.verdict("drift"), found.exit_code) == ("fail", 17)
    assert found["drift"]["fix"] == "ALTER TABLE t ADD COLUMN n integer;"
    apply_sql(applied, found["drift"]["fix"])
    found = doctor(database=applied)
    assert (found.verdict("drift"), found.exit_code) == ("pass", 0)


def test_breaking(project, applied, doctor, write_manifest):
    project.revision("three", down="two", message="three", upgrade='op.drop_column("t", "n")')
    write_manifest()
    environment = {"DATABASE_URL": applied.url}
    found = doctor(env=environment)
    assert (found.verdict("breaking"), found.exit_code) == ("warn", 0)
    assert doctor(env={**environment, "MIGRATE_BREAKING": "refuse"}).exit_code == 12
    fix = found["breaking"]["fix"].partition("or: ")[2]
    assert doctor(env=apply_shell(fix, environment)).verdict("breaking") == "pass"


@pytest.mark.parametrize("owner_is_superuser", [True, False])
def test_ownership(applied, make_role, doctor, owner_is_superuser):
    other = make_role()
    owner = "postgres" if owner_is_superuser else other.name
    applied.as_superuser.execute(f'ALTER TABLE t OWNER TO "{owner}"')
    found = doctor(database=applied)
    assert (found.verdict("ownership"), found.exit_code) == ("fail", 14)
    apply_sql(applied, found["ownership"]["fix"])
    found = doctor(database=applied)
    assert (found.verdict("ownership"), found.exit_code) == ("pass", 0)
    applied.as_superuser.execute(f'ALTER TABLE t OWNER TO "{applied.user}"')


def test_ownership_by_the_manifest_alone(project, applied, doctor, write_manifest):
    # the name of the table is computed, so that the text does not say it
    project.revision("two", down="one", message="two", upgrade='op.add_column("tt"[1:], sa.Column("m", sa.Integer))')
    applied.as_superuser.execute("ALTER TABLE t OWNER TO postgres")
    assert doctor(database=applied).verdict("ownership") == "pass"
    write_manifest()
    assert doctor(database=applied).verdict("ownership") == "fail"


def test_an_extension_that_only_a_superuser_may_install(project, database, doctor):
    project.revision("one", message="one", upgrade='op.execute("CREATE EXTENSION IF NOT EXISTS dblink")')
    found = doctor(database=database)
    assert (found.verdict("extensions"), found.exit_code) == ("fail", 14)
    apply_sql(database, found["extensions"]["fix"])
    assert doctor(database=database).verdict("extensions") == "pass"


def test_an_extension_that_the_server_lacks(project, database, doctor):
    file = project.revision("one", message="one", upgrade='op.execute("CREATE EXTENSION no_such_thing")')
    found = doctor(database=database)
    assert (found.verdict("extensions"), found.exit_code) == ("fail", 13)
    assert "no_such_thing" in found["extensions"]["evidence"]
    file.write_text(file.read_text().replace("no_such_thing", "pg_trgm"))  # trusted: whoever may create may have it
    assert doctor(database=database).verdict("extensions") == "pass"


def test_a_transaction_in_the_way(applied, doctor):
    holder = applied.connect(application_name="forgotten")
    holder.cursor().execute("LOCK TABLE t IN ACCESS SHARE MODE")
    found = doctor("--lock-timeout", "10ms", database=applied)
    assert (found.verdict("transactions"), found.exit_code) == ("fail", 22)
    assert "forgotten, idle in transaction" in found["transactions"]["evidence"]
    apply_sql(applied, found["transactions"]["fix"])
    assert doctor("--lock-timeout", "10ms", database=applied).verdict("transactions") == "pass"


def test_an_old_transaction_elsewhere(applied, doctor):
    applied.connect().cursor().execute("SELECT 1")
    applied.scalar("SELECT pg_sleep(0.5)")
    found = doctor("--lock-timeout", "10ms", database=applied)
    assert (found.verdict("transactions"), found.exit_code) == ("warn", 0)
    apply_sql(applied, found["transactions"]["fix"])
    assert doctor("--lock-timeout", "10ms", database=applied).verdict("transactions") == "pass"


def test_a_transaction_of_a_role_whose_state_is_hidden(applied, make_role, doctor):
    other = make_role()
    applied.as_superuser.execute(f'GRANT SELECT ON t TO "{other.name}"')
    holder = applied.as_role(other).connect()
    holder.cursor().execute("SELECT * FROM t")
    found = doctor("--lock-timeout", "10ms", database=applied)
    assert found.verdict("transactions") == "warn"
    apply_sql(applied, found["transactions"]["fix"])
    found = doctor("--lock-timeout", "10ms", database=applied)
    assert found.verdict("transactions") == "fail", "now it can see how old the transaction is"
    apply_sql(applied, found["transactions"]["fix"])
    assert doctor("--lock-timeout", "10ms", database=applied).verdict("transactions") == "pass"
    applied.as_superuser.execute(f'REVOKE ALL ON t FROM "{other.name}"')


@pytest.mark.parametrize(("table", "verdict", "code"), [("t", "fail", 22), ("other", "warn", 0)])
def test_prepared_transactions(applied, doctor, table, verdict, code):
    applied.execute("CREATE TABLE other (n integer)")
    connection = applied.connect()
    connection.cursor().execute(f"INSERT INTO {table} (n) SELECT 1 WHERE false")
    connection.cursor().execute(f"PREPARE TRANSACTION 'it''s lost in {applied.name}'")
    found = doctor(database=applied)
    assert (found.verdict("prepared-transactions"), found.exit_code) == (verdict, code)
    assert "it's lost" in found["prepared-transactions"]["evidence"]
    apply_sql(applied, found["prepared-transactions"]["fix"])
    assert doctor(database=applied).verdict("prepared-transactions") == "pass"


def test_event_triggers(applied, doctor):
    applied.as_superuser.execute("CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$")
    applied.as_superuser.execute('CREATE EVENT TRIGGER "Watch" ON ddl_command_end EXECUTE FUNCTION watch()')
    found = doctor(database=applied)["event-triggers"]
    assert (found["verdict"], "Watch (ddl_command_end, watch)" in found["evidence"]) == ("warn", True)
    apply_sql(applied, found["fix"])
    assert doctor(database=applied).verdict("event-triggers") == "pass"


def test_another_run(applied, doctor):
    other = applied.connect(application_name="migrate:guard:abcdef123456")
    found = doctor(database=applied)["runs"]
    assert (found["verdict"], "abcdef123456" in found["evidence"]) == ("warn", True)
    other.close()
    assert doctor(database=applied).verdict("runs") == "pass"


# What needs a server of its own


@pytest.fixture
def of(project, run_migrate):
    """A database on a server of its own, at `one`, with `two` pending."""

    def make(running):
        database = Database(Server(running.url()), "postgres", None)
        project.revision("one", upgrade=ONE_TABLE.format("t"), message="one")
        assert run_migrate("up", database=database).exit_code == 0
        project.revision("two", down="one", message="two", upgrade='op.add_column("t", sa.Column("more", sa.Integer))')
        return database

    return make


def test_vacuum(of, doctor):
    settings = {
        "autovacuum_naptime": "1s",
        "autovacuum_freeze_max_age": "100000",  # the least there is
        "autovacuum_vacuum_cost_delay": "100ms",
        "autovacuum_vacuum_cost_limit": "1",
    }
    with throwaway_server(settings=settings) as running:
        database = of(running)
        database.execute("ALTER TABLE t SET (autovacuum_enabled = false)")  # only to prevent wraparound, then
        database.execute("INSERT INTO t (n) SELECT n FROM generate_series(1, 100000) AS n")
        database.execute("DO $$BEGIN FOR n IN 1..110000 LOOP PERFORM txid_current(); COMMIT; END LOOP; END$$")
        for _ in range(60):
            found = doctor(database=database)
            if found.exit_code:
                break
            database.execute("SELECT pg_sleep(0.5)")
        assert (found.verdict("vacuum"), found.exit_code) == ("fail", 22)
        assert "works on t " in found["vacuum"]["evidence"]
        apply_sql(database, found["vacuum"]["fix"])
        found = doctor(database=database)
        assert (found.verdict("vacuum"), found.exit_code) in {("pass", 0), ("warn", 0)}, "catalogs may still be at it"
        database.close()


def test_a_synchronous_standby_that_is_not_there(of, doctor):
    with throwaway_server(settings={"synchronous_commit": "on"}) as running:
        database = of(running)
        database.execute("ALTER SYSTEM SET synchronous_standby_names = 'elsewhere'")
        database.execute("SELECT pg_reload_conf()")
        database.execute("SELECT pg_sleep(0.2)")
        found = doctor(database=database)
        assert (found.verdict("replicas"), found.exit_code) == ("fail", 22)
        apply_sql(database, found["replicas"]["fix"])
        database.execute("SELECT pg_sleep(0.2)")
        assert doctor(database=database).verdict("replicas") == "pass"
        database.close()


def test_a_slot_that_nobody_reads(of, doctor):
    with throwaway_server(settings={"wal_level": "replica"}) as running:
        database = of(running)
        database.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        assert doctor(database=database).verdict("replicas") == "pass"
        database.execute("CREATE TABLE filler AS SELECT repeat(n::text, 100) FROM generate_series(1, 60000) AS n")
        found = doctor(database=database)
        assert (found.verdict("replicas"), found.exit_code) == ("warn", 0)
        apply_sql(database, found["replicas"]["fix"])
        assert doctor(database=database).verdict("replicas") == "pass"
        database.close()


def test_sizes(of, doctor):
    with throwaway_server() as running:
        database = of(running)
        file = running.data_dir / database.scalar("SELECT pg_relation_filepath('t')")
        # Sparse: what the server sees is a table of a gibibyte, of which vacuum finds that nothing is in it.
        with file.open("r+b") as opened:
            opened.truncate(1 << 30)
        assert doctor(database=database).verdict("sizes") == "warn"
        with file.open("r+b") as opened:
            opened.truncate(0)
        assert doctor(database=database).verdict("sizes") == "pass"
        database.close()


@pytest.mark.skipif(not (find_binaries().bin_dir / "pg_basebackup").is_file(), reason="pg_basebackup is not installed")
def test_a_standby_that_lags(of, doctor):
    with throwaway_server(settings={"wal_level": "replica", "max_wal_senders": "4"}) as running:
        database = of(running)
        with standby(running) as replica:
            found = wait_for(doctor, database, "replicas", lambda check: "standby" in check["evidence"])
            assert found["verdict"] == "pass"
            replica.execute("SELECT pg_wal_replay_pause()")
            database.execute("CREATE TABLE filler AS SELECT repeat(n::text, 100) FROM generate_series(1, 60000) AS n")
            found = wait_for(doctor, database, "replicas", lambda check: check["verdict"] != "pass")
            assert (found["verdict"], "standby is " in found["evidence"]) == ("warn", True)
            apply_sql(replica, found["fix"])
            wait_for(doctor, database, "replicas", lambda check: check["verdict"] == "pass")
            refused = doctor(database=replica)
            assert (refused.verdict("server"), refused.exit_code) == ("fail", 13), "a standby is no target"


def wait_for(doctor, database, name, is_so):
    for _ in range(60):
        found = doctor(database=database)[name]
        if is_so(found):
            return found
        database.execute("SELECT pg_sleep(0.3)")
    raise AssertionError(found)


@contextmanager
def standby(running):
    """A second server that follows `running`, from a base backup of it."""
    parent = running.data_dir.parent
    owner = running.data_dir.stat()
    data, bin_dir = parent / "standby", running.binaries.bin_dir
    as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    address = urlsplit(running.url())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": running.password}
    log = (parent / "standby.log").open("wb")
    subprocess.run(
        [bin_dir / "pg_basebackup", "-D", data, "-X", "stream", "-R", "-c", "fast", "-d",
         f"host=127.0.0.1 port={running.port} user=postgres application_name=standby"],
        env=environment, check=True, stdout=log, stderr=log, cwd="/", **as_owner,
    )  # fmt: skip
    process = subprocess.Popen(
        [bin_dir / "postgres", "-D", data, f"--port={port}", "--listen_addresses=127.0.0.1",
         f"--unix_socket_directories={parent}", "--fsync=off"],
        env=environment, stdout=log, stderr=log, cwd="/", start_new_session=True, **as_owner,
    )  # fmt: skip
    url = urlunsplit(address._replace(netloc=f"{address.netloc.rpartition(':')[0]}:{port}"))
    database = Database(Server(url), "postgres", None)
    try:
        for _ in range(100):
            try:
                database.scalar("SELECT 1")
                break
            except psycopg2.OperationalError:
                threading.Event().wait(0.1)
        yield database
    finally:
        database.close()
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        log.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed, which makes the certificate")
def test_tls(of, doctor, tmp_path):
    with throwaway_server() as running:
        certificate, key = running.data_dir / "server.crt", running.data_dir / "server.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
             "-keyout", tmp_path / "key", "-out", tmp_path / "crt"],
            check=True, capture_output=True,
        )  # fmt: skip
        for source, copy in ((tmp_path / "key", key), (tmp_path / "crt", certificate)):
            shutil.copy(source, copy)
            os.chown(copy, running.data_dir.stat().st_uid, running.data_dir.stat().st_gid)
            copy.chmod(0o600)
        database = of(running)
        try:
            database.execute("ALTER SYSTEM SET ssl = on")
        except psycopg2.errors.InvalidParameterValue:
            pytest.skip("this build of PostgreSQL has no TLS")
        database.execute("SELECT pg_reload_conf(), pg_sleep(0.3)")
        environment = {"DATABASE_URL": f"{running.url()}?sslmode=disable"}
        found = doctor(env=environment)["tls"]
        assert (found["verdict"], "sslmode=disable" in found["evidence"]) == ("warn", True)
        environment = apply_shell(found["fix"], environment)
        assert environment["DATABASE_URL"].endswith("?sslmode=require")
        found = doctor(env=environment)["tls"]
        assert (found["verdict"], "encrypted with TLSv1" in found["evidence"]) == ("pass", True)
        database.close()


def test_driver(project, database, run_migrate, doctor):
    project.linear(1)
    project.env.write_text(
        "from alembic import context\nfrom sqlalchemy import create_engine\n"
        "with create_engine(context.config.get_main_option('sqlalchemy.url')).connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    assert doctor(database=database).verdict("driver") == "pass"
    environment = {"DATABASE_URL": database.url.replace("postgresql:", "postgresql+psycopg2cffi:")}
    found = doctor(env=environment)["driver"]
    assert found["verdict"] == "warn"
    assert found["fix"].startswith("pip install psycopg2cffi ")
    planned = run_migrate("plan", env=environment)
    assert [w["fix"] for w in planned.named("image.warning") if "psycopg2cffi" in w["message"]] == [found["fix"]]
    result = run_migrate("up", env=environment)
    assert (result.exit_code, result.finished["fix"]) == (11, found["fix"])


def test_backup(project, database, run_migrate, doctor, tmp_path):
    project.linear(1)
    folder = tmp_path / "backups"
    environment = {"DATABASE_URL": database.url, "MIGRATE_BACKUP": str(folder)}
    found = doctor(env=environment)
    assert (found.exit_code, found["backup"]["problem"]) == (10, "cannot-back-up")
    planned = run_migrate("plan", env=environment)
    assert (planned.exit_code, planned.finished["problem"]) == (10, "cannot-back-up")
    assert run_migrate("up", env=environment).exit_code == 10
    required = {"DATABASE_URL": database.url, "MIGRATE_BACKUP_POLICY": "required"}
    assert doctor(env=required)["backup"]["problem"] == run_migrate("plan", env=required).finished["problem"]
    folder.mkdir()
    assert "is due before the first change" in doctor(env=environment)["backup"]["evidence"]
    assert run_migrate("up", env=environment).exit_code == 0
    assert doctor(env=environment).verdict("backup") == "pass"
    folder.rename(tmp_path / "gone")
    assert doctor(env=environment).verdict("backup") == "warn"


def test_a_railway_json_alone_is_a_warning_and_its_fix_ends_it(project, doctor, run_migrate):
    (project.path / ".git").mkdir()
    assert doctor().verdict("platform-files") == "pass"
    (project.path / "railway.json").write_text('{"deploy": {"preDeployCommand": ["migrate up"]}}', encoding="utf-8")
    found = doctor()["platform-files"]
    assert found["verdict"] == "warn"
    assert "does not read railway.json from 2026-12-01 on" in found["evidence"]
    assert found["fix"].startswith("migrate init railway")
    assert run_migrate("init", "railway").exit_code == 0
    assert doctor().verdict("platform-files") == "pass"


def test_what_stands_above_a_folder_without_a_repository_is_nobodys(project, doctor):
    (project.path.parent / "railway.toml").write_text("", encoding="utf-8")
    assert doctor().verdict("platform-files") == "pass"
    (project.path.parent / ".git").mkdir()
    assert "../railway.toml" in doctor()["platform-files"]["evidence"]


def test_what_was_not_asked_is_not_called_well(project, database, run_migrate, write_manifest):
    project.revision("one", upgrade='op.execute("CREATE TABLE a (id int); CREATE INDEX ix ON a (id)")')
    project.revision("two", down="one", upgrade='op.alter_column("a", "id", nullable=False)')
    write_manifest()
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    database.execute("DROP INDEX ix")
    told = run_migrate("doctor", database=database, env={"MIGRATE_LOG_FORMAT": "json"}).named("check.finished")
    of = {each["check"]: each["evidence"] for each in told}
    assert of["data"] == "not asked: the release is refused before"
    assert of["heavy"] == "not looked at: the release is refused before"
    (project.path / "migrations" / "manifest.json").unlink()
    result = run_migrate("doctor", database=database)
    verdicts = {each["check"]: each["verdict"] for each in result.named("check.finished")}
    skipped = {name for name, verdict in verdicts.items() if verdict == "skip"}
    assert skipped == {"drift", "data", "heavy", "breaking"}
    assert result.finished["checks_skipped"] == len(skipped)
    assert f"{len(CHECKS) - len(skipped) - 1} pass, {len(skipped)} skip, 1 warn" in result.finished["message"]
    shown = run_migrate("doctor", database=database, env={"MIGRATE_LOG_FORMAT": "text"}).stdout.decode()
    assert "- drift: not compared: there is no manifest" in shown


def test_what_depends_on_where_the_database_is_is_skipped_where_nobody_knows(project, database, run_migrate):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("UPDATE alembic_version SET version_num = 'elsewhere'")
    told = run_migrate("doctor", database=database).named("check.finished")
    skipped = {each["check"] for each in told if each["verdict"] == "skip"}
    assert {"drift", "data", "heavy", "breaking", "ownership", "row-security", "sizes"} <= skipped
