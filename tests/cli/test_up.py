"""`migrate up` as a user starts it: every position on a real database, with its exit code."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from datetime import datetime
from pathlib import Path

import alembic as alembic_package
import pytest
import sqlalchemy

from tests.support.process import alembic


def versions(database):
    return [row[0] for row in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def test_from_nothing_to_head_and_again(project, database, run_migrate):
    ids = project.linear(3)
    first = run_migrate("up", database=database)
    first.check_clean()
    assert first.exit_code == 0
    assert first.finished["outcome"] == "applied"
    assert first.finished["applied"] == ids
    assert first.finished["from_revision"] == []
    assert first.finished["to_revision"] == [ids[-1]]
    assert versions(database) == [ids[-1]]
    started = [event["revision"] for event in first.named("revision.started")]
    assert started == ids

    second = run_migrate("up", database=database)
    second.check_clean()
    assert second.exit_code == 0
    assert second.finished["outcome"] == "noop"
    assert second.finished["applied"] == []
    assert not second.named("guard.acquired"), "nothing to do takes no guard"


def test_behind(project, database, run_migrate):
    ids = project.linear(3)
    alembic(project, database, "upgrade", ids[0])
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.finished["from_revision"] == [ids[0]]
    assert result.finished["applied"] == ids[1:]


def test_untracked_is_refused(project, database, run_migrate):
    project.linear(2)
    database.execute("CREATE TABLE orders (id integer)")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 15
    assert result.finished["problem"] == "untracked"
    assert result.finished["outcome"] == "refused"
    assert "table orders" in result.finished["why"]
    assert database.scalar("SELECT to_regclass('alembic_version')") is None


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t (id integer)",
        "CREATE VIEW v AS SELECT 1 AS one",
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE SEQUENCE s",
        "CREATE DOMAIN d AS integer",
    ],
)
def test_every_kind_of_object_makes_a_database_untracked(project, database, run_migrate, ddl):
    project.linear(1)
    database.execute(ddl)
    assert run_migrate("up", database=database).exit_code == 15


def test_the_version_table_and_the_ledger_are_no_objects(project, database, run_migrate):
    ids = project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("DELETE FROM alembic_version")
    database.execute(f'DROP TABLE "{ids[0]}"')
    again = run_migrate("up", database=database)
    again.check_clean()
    assert again.finished["applied"] == ids


def test_objects_of_extensions_are_no_objects(project, database, run_migrate):
    project.linear(1)
    database.as_superuser.execute("CREATE EXTENSION pg_trgm")
    assert run_migrate("up", database=database).exit_code == 0


def test_unknown_is_refused(project, database, run_migrate):
    project.linear(1)
    alembic(project, database, "upgrade", "head")
    database.execute("UPDATE alembic_version SET version_num = 'gone'")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "unknown-revision")
    assert "gone" in result.finished["why"]
    accepted = run_migrate("up", "--ahead", "accept", database=database)
    accepted.check_clean()
    assert (accepted.exit_code, accepted.finished["outcome"]) == (0, "ahead")
    assert versions(database) == ["gone"]


def test_split_is_refused(project, database, run_migrate):
    ids = project.linear(2)
    alembic(project, database, "upgrade", "head")
    database.execute("INSERT INTO alembic_version VALUES (%s)", ids[0])
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (15, "split-version")


def test_duplicate_rows_are_split(project, database, run_migrate):
    ids = project.linear(1)
    alembic(project, database, "upgrade", "head")
    database.execute("ALTER TABLE alembic_version DROP CONSTRAINT alembic_version_pkc")
    database.execute("INSERT INTO alembic_version VALUES (%s)", ids[0])
    assert run_migrate("up", database=database).finished["problem"] == "split-version"


def test_an_older_image_is_ahead_by_the_ledger(project, database, run_migrate):
    ids = project.linear(2)
    assert run_migrate("up", database=database).exit_code == 0
    newest = next(project.versions.glob(f"{ids[1]}_*"))
    newest.unlink()
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (16, "ahead")
    accepted = run_migrate("up", database=database, env={"MIGRATE_AHEAD": "accept"})
    accepted.check_clean()
    assert (accepted.exit_code, accepted.finished["outcome"]) == (0, "ahead")


def test_several_heads(project, database, run_migrate):
    project.linear(1)
    project.revision("left", down="r0001", message="left", upgrade="op.execute('CREATE TABLE lefty ()')")
    project.revision("right", down="r0001", message="right", upgrade="op.execute('CREATE TABLE righty ()')")
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (11, "several-heads")
    assert database.scalar("SELECT to_regclass('alembic_version')") is None
    both = run_migrate("up", "--target", "heads", database=database)
    both.check_clean()
    assert both.finished["to_revision"] == ["left", "right"]
    assert versions(database) == ["left", "right"]


@pytest.mark.parametrize("target", ["r0002", "nothing"])
def test_a_target(project, database, run_migrate, target):
    project.linear(3)
    result = run_migrate("up", "--target", target, database=database)
    result.check_clean()
    if target == "nothing":
        assert (result.exit_code, result.finished["problem"]) == (11, "unknown-target")
    else:
        assert (result.exit_code, versions(database)) == (0, ["r0002"])


def image_faults(project):
    return {
        "missing": lambda: project.revision("two", down="absent"),
        "duplicate": lambda: [project.revision("one", filename=f"{n}.py") for n in "ab"],
        "cycle": lambda: [project.revision("a", down="b"), project.revision("b", down="a")],
        "syntax": lambda: (project.versions / "s.py").write_text("revision = 'one'\ndown_revision = (\n"),
    }


@pytest.mark.parametrize("fault", ["missing", "duplicate", "cycle", "syntax"])
def test_image_faults_stop_before_the_database(project, database, run_migrate, fault):
    image_faults(project)[fault]()
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")
    assert not result.named("state.observed")


def test_an_id_that_the_version_table_has_no_room_for_is_refused_before_anything_runs(project, database, run_migrate):
    project.revision("x" * 33)  # only the database knows how wide its table is, or will be made
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")
    assert database.scalar("SELECT to_regclass('alembic_version')") is None


def test_a_syntax_error_further_down_stops_before_anything_runs(project, database, run_migrate):
    project.linear(1)
    project.revision("bad", down="r0001", message="bad", upgrade="op.execute('SELECT 1'")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")
    assert "bad_bad.py" in result.finished["why"]
    assert result.finished["line"] > 1
    assert database.scalar("SELECT to_regclass('r0001')") is None


def test_a_revision_that_raises(project, database, run_migrate):
    ids = project.linear(1)
    file = project.revision(
        "bad",
        down=ids[0],
        message="bad",
        upgrade="op.execute('CREATE TABLE half ()')\nraise RuntimeError('no luck')",
    )
    project.revision("later", down="bad", message="later")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert result.finished["applied"] == ids
    assert result.finished["failed"] == "bad"
    assert result.finished["not_started"] == ["later"]
    assert "no luck" in result.finished["why"]
    assert f"{file.name}, line " in result.finished["why"]
    assert versions(database) == ids
    assert database.scalar("SELECT to_regclass('half')") is None
    file.write_text(file.read_text().replace("raise RuntimeError('no luck')", ""))
    again = run_migrate("up", database=database)
    assert again.finished["applied"] == ["bad", "later"]


@pytest.mark.parametrize("way", ["sys.exit(0)", "os._exit(0)", "os.kill(os.getpid(), 9)", "raise KeyboardInterrupt"])
def test_a_revision_that_ends_the_process_is_no_success(project, database, run_migrate, way):
    project.revision("bad", header="import os\nimport sys\n", upgrade=f"op.execute('CREATE TABLE half ()')\n{way}")
    result = run_migrate("up", database=database)
    result.check_clean()
    # SIGKILL is what the kernel does when memory runs out
    assert result.exit_code == (24 if "9" in way else 30)
    assert result.finished["failed"] == "bad"
    assert database.scalar("SELECT to_regclass('half')") is None


def test_env_py_that_exits_is_no_success(project, database, run_migrate):
    project.linear(1)
    project.write_env(head="import sys\nsys.exit(0)\n")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run")
    assert "calls sys.exit()" in result.finished["fix"]


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        ("raise RuntimeError('no seed')", "RuntimeError: no seed"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("os.environ['NOT_THERE']", "KeyError: "),
    ],
    ids=["raises", "exits", "lacks"],
)
@pytest.mark.parametrize("engine", ["sync", "async"])
def test_env_py_that_fails_after_the_last_revision_is_no_success(project, database, run_migrate, tail, why, engine):
    ids = project.linear(2)
    project.write_env(engine=engine, head="import os\nimport sys\n")
    project.env.write_text(f"{project.env.read_text()}\n{tail}\n")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (30, "env-failed-after")
    assert why in result.finished["why"]
    assert result.finished["why"].startswith("migrations/env.py, line ")
    assert (result.finished["applied"], result.finished["pending"]) == (ids, [])
    assert versions(database) == ids[-1:]
    assert run_migrate("up", database=database).finished["outcome"] == "noop"


@pytest.mark.parametrize("tail", ["sys.exit()", "sys.exit(0)", "os._exit(0)"])
def test_env_py_may_leave_early_after_the_last_revision(project, database, run_migrate, tail):
    project.linear(2)
    project.write_env(head="import os\nimport sys\n")
    project.env.write_text(f"{project.env.read_text()}\n{tail}\n")
    assert run_migrate("up", database=database).finished["outcome"] == "applied"


@pytest.mark.parametrize(
    ("module", "beside", "expected"),
    [
        ("pgvector_x", None, "put pgvector_x into the image: "),
        ("sqlmodel", None, "pip install sqlmodel   # in the image"),
        ("app", "src/app", "export PYTHONPATH=src   # app lies there"),
        ("app", "app.py", "export PYTHONPATH=.   # app lies there"),
        ("json.nothing", None, "alembic -c "),
    ],
)
def test_a_module_that_env_py_lacks_is_named(project, database, run_migrate, module, beside, expected):
    project.linear(1)
    project.write_env(head=f"import {module}\n")
    if beside is not None and beside.endswith(".py"):
        (project.path / beside).touch()
    elif beside is not None:
        (project.path / beside).mkdir(parents=True)
    ini = project.path / "alembic.ini"
    ini.write_text(ini.read_text().replace("prepend_sys_path", "no_prepend_sys_path"))
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run")
    assert result.finished["fix"].startswith(expected)


def test_env_py_that_runs_nothing_is_no_success(project, database, run_migrate):
    project.linear(1)
    project.env.write_text("")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")


def test_what_a_revision_prints_becomes_lines(project, database, run_migrate):
    project.revision(
        "loud",
        header="import sys, os, warnings, logging\n",
        upgrade="""
            print("to stdout")
            print("to stderr", file=sys.stderr)
            os.system("echo from a child")
            warnings.warn("deprecated thing")
            logging.getLogger("app").error("logged thing")
            print('{"event": "run.finished", "outcome": "applied"}')
        """,
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 0
    printed = {event["message"]: event for event in result.named("revision.output")}
    assert printed["to stdout"]["stream"] == "stdout"
    assert printed["to stderr"]["stream"] == "stderr"
    assert printed["to stdout"]["revision"] == "loud"
    assert "from a child" in printed
    records = " ".join(event["message"] for event in result.named("log.record"))
    assert "deprecated thing" in records
    assert "logged thing" in records
    assert "Will assume transactional DDL." in records
    assert "Running upgrade" not in records  # what revision.started says already


def test_all_in_one_transaction(project, database, run_migrate):
    ids = project.linear(2)
    project.revision("bad", down=ids[-1], message="bad", upgrade="raise RuntimeError('no')")
    result = run_migrate("up", "--transaction", "all", database=database)
    result.check_clean()
    assert result.exit_code == 30
    assert result.finished["applied"] == []
    assert result.finished["pending"] == [*ids, "bad"]
    assert database.scalar("SELECT to_regclass('r0001')") is None


@pytest.mark.parametrize("engine", ["sync", "async", "begin"])
@pytest.mark.parametrize("url", ["environment", "ini", "settings"])
def test_every_kind_of_env_py(project, database, run_migrate, engine, url):
    ids = project.linear(2)
    project.write_env(url=url, engine=engine, fileconfig=True)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    assert versions(database) == [ids[-1]]


@pytest.fixture
def async_template(project):
    """The env.py that `alembic init -t async` writes: it takes its URL from `sqlalchemy.url`."""
    if sqlalchemy.__version__.startswith("1."):
        pytest.skip("the template needs SQLAlchemy 2")
    template = Path(alembic_package.__file__).parent / "templates" / "async" / "env.py"
    project.env.write_text(template.read_text("utf-8"), encoding="utf-8")
    project.write_ini(logging=True)
    return project.linear(2)


@pytest.mark.parametrize("in_file", [False, True])
def test_the_async_template_needs_a_driver_and_the_fix_gives_it(
    async_template, database, run_migrate, tmp_path, in_file
):
    file = tmp_path / "url"
    file.write_text(database.url)
    env = {"DATABASE_URL_FILE": str(file)} if in_file else {"DATABASE_URL": database.url}
    result = run_migrate("up", env=env)
    result.check_clean(database.password)
    assert (result.exit_code, result.finished["problem"]) == (10, "sync-driver")
    assert (result.finished["applied"], result.finished["outcome"]) == ([], "refused")
    done = subprocess.run(
        ["bash", "-c", f"{result.finished['fix']}\nprintenv DATABASE_URL"],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        check=not in_file,
    )
    env |= {} if in_file else {"DATABASE_URL": done.stdout.decode().strip()}
    assert file.read_text() == database.url.replace(
        "postgresql://", "postgresql+asyncpg://" if in_file else "postgresql://"
    )
    again = run_migrate("up", env=env)
    again.check_clean(database.password)
    assert (again.exit_code, again.finished["applied"]) == (0, async_template)


def test_the_driver_of_the_ini_is_kept_where_the_url_names_none(async_template, project, database, run_migrate):
    project.write_ini(logging=True, **{"sqlalchemy.url": "postgresql+asyncpg://%(user)s@localhost/development"})
    without = {"DATABASE_URL": f"{database.url}?sslmode=disable&connect_timeout=7&application_name=web"}
    result = run_migrate("up", env=without)
    result.check_clean(database.password)
    assert (result.exit_code, result.finished["applied"]) == (0, async_template)


def test_the_driver_of_the_url_comes_before_that_of_the_ini(async_template, project, database, run_migrate):
    project.write_ini(logging=True, **{"sqlalchemy.url": "postgresql+asyncpg://localhost/development"})
    named = {"DATABASE_URL": database.url.replace("postgresql://", "postgresql+psycopg2://")}
    assert run_migrate("up", env=named).finished["problem"] == "sync-driver"


@pytest.mark.parametrize("written", ["driver://user:pass@localhost/dbname", "postgresql+nosuchdriver://localhost/x"])
def test_a_driver_of_the_ini_that_is_none_is_not_taken(project, database, run_migrate, written):
    ids = project.linear(1)
    project.write_env(url="ini")
    project.env.write_text(
        project.env.read_text().replace("url = re.sub(", 'assert url.startswith("postgresql+psycopg2:")\nurl = re.sub(')
    )
    project.write_ini(**{"sqlalchemy.url": written})
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["applied"]) == (0, ids)


def test_a_transaction_of_env_py_is_not_divided(project, database, run_migrate):
    project.linear(1)
    project.write_env(engine="begin")
    result = run_migrate("up", database=database)
    assert any("transaction=all" in event["message"] for event in result.named("image.warning"))
    project.revision(
        "cic",
        down="r0001",
        message="cic",
        upgrade="with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ix ON r0001 (id)')",
    )
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (11, "env-holds-transaction")


def test_autocommit_blocks(project, database, run_migrate):
    ids = project.linear(1)
    project.revision(
        "cic",
        down=ids[0],
        message="cic",
        upgrade="with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ix ON r0001 (id)')",
    )
    project.revision("after", down="cic", message="after", upgrade="op.execute('CREATE TABLE after ()')")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, [*ids, "cic", "after"])
    assert database.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass") is True


def test_transaction_per_migration(project, database, run_migrate):
    ids = project.linear(3)
    project.write_env(transaction_per_migration=True)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)


def test_a_version_table_of_its_own_is_read_off_env_py(project, database, run_migrate):
    database.execute("CREATE SCHEMA app")
    ids = project.linear(1)
    project.write_env(version_table="versions", version_table_schema="app")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.exit_code == 0
    assert database.rows("SELECT version_num FROM app.versions") == [(ids[0],)]


def test_another_version_table_is_refused_with_the_fix(project, database, run_migrate):
    project.linear(1)
    project.write_env(head="import os\nTABLE = 'ver' + 'sions'\n", version_table="x")
    text = project.env.read_text().replace("'x'", "TABLE")
    project.env.write_text(text)
    refused = run_migrate("up", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (13, "other-version-table")
    assert "MIGRATE_VERSION_TABLE=versions" in refused.finished["fix"]
    assert database.rows("SELECT 1 FROM pg_class WHERE relname IN ('versions', 'alembic_version')") == []
    setting = {"MIGRATE_VERSION_TABLE": "versions", "MIGRATE_VERSION_TABLE_SCHEMA": "public"}
    assert run_migrate("up", database=database, env=setting).exit_code == 0


def test_env_py_that_points_elsewhere_is_refused(project, database, make_database, run_migrate):
    other = make_database()
    project.linear(1)
    project.write_env(head=f"url = {other.url.replace('postgresql', 'postgresql+psycopg2', 1)!r}\n")
    result = run_migrate("up", database=database)
    result.check_clean(secret=other.password)
    assert (result.exit_code, result.finished["problem"]) == (13, "other-database")
    assert other.rows("SELECT 1 FROM pg_class WHERE relname = 'alembic_version'") == []


def test_no_right_to_make_the_ledger_is_one_warning(project, server, database, run_migrate):
    ids = project.linear(2)
    server.execute(f'ALTER DATABASE "{database.connect_info("dbname")}" OWNER TO CURRENT_USER')
    database.as_superuser.execute(f'GRANT CREATE ON SCHEMA public TO "{database.user}"')
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    (warning,) = result.named("ledger.warning")
    assert warning["fix"] == f"CREATE SCHEMA migrate AUTHORIZATION {database.user};"
    assert database.scalar("SELECT to_regnamespace('migrate')") is None
    assert run_migrate("up", database=database).finished["outcome"] == "noop"


def test_who_is_in_the_way_is_ended_by_the_fix(project, database, run_migrate):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("two", down="r0001", upgrade="op.execute('ALTER TABLE r0001 ADD n int')")
    other = database.connect()
    other.cursor().execute("BEGIN; LOCK TABLE r0001")
    options = {"MIGRATE_LOCK_TIMEOUT": "100ms", "MIGRATE_LOCK_TRIES": "1"}
    result = run_migrate("up", database=database, env=options)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (22, "blocked")
    shell = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url}
    subprocess.run(["/bin/sh", "-c", result.finished["fix"]], env=shell, check=True, capture_output=True)
    assert run_migrate("up", database=database, env=options).exit_code == 0
    other.close()


def test_a_ledger_of_another_role_is_opened_by_the_fix(project, database, run_migrate):
    project.linear(1)
    database.as_superuser.execute("CREATE SCHEMA migrate")
    (warning,) = run_migrate("up", database=database).named("ledger.warning")
    for statement in warning["fix"].splitlines():
        database.as_superuser.execute(statement)
    project.linear(2)
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.named("ledger.warning")) == (0, [])
    assert database.scalar("SELECT count(*) FROM migrate.run") == 1


@pytest.mark.parametrize(
    ("said", "setup"),
    [
        ("may not create it", ""),
        ("may not create objects in", 'CREATE SCHEMA "Sales-1"; GRANT USAGE ON SCHEMA "Sales-1" TO "{role}"'),
        (
            "may not write",
            """CREATE SCHEMA "Sales-1"; GRANT ALL ON SCHEMA "Sales-1" TO "{role}";
               CREATE TABLE "Sales-1"."Versions" (version_num varchar(32) PRIMARY KEY);
               GRANT SELECT ON "Sales-1"."Versions" TO "{role}" """,
        ),
    ],
)
def test_a_right_is_given_by_the_fix_where_every_name_wants_quotes(
    project, server, make_role, make_database, run_migrate, said, setup
):
    role = make_role(f"App-user-{secrets.token_hex(4)}")
    database = make_database(owner=role)
    server.execute(f'ALTER DATABASE "{database.name}" OWNER TO CURRENT_USER')
    if setup:
        database.as_superuser.execute(setup.format(role=role.name))
    project.write_env(version_table="Versions", version_table_schema="Sales-1")
    project.revision("r0001", upgrade="pass")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (14, "missing-privilege")
    assert said in result.finished["why"]
    database.as_superuser.execute(result.finished["fix"])
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["applied"]) == (0, ["r0001"]), result.stdout


def test_a_table_of_another_role_is_given_by_the_fix(project, database, run_migrate):
    database.as_superuser.execute("CREATE TABLE orders (id int)")
    database.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    project.revision("zero", upgrade="pass")
    project.revision("one", down="zero", upgrade="op.add_column('orders', sa.Column('n', sa.Integer))")
    database.execute("INSERT INTO alembic_version VALUES ('zero')")
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (14, "missing-privilege")
    assert result.finished["fix"].startswith(f"ALTER TABLE public.orders OWNER TO {database.user};")
    database.as_superuser.execute(result.finished["fix"])
    assert run_migrate("up", database=database).exit_code == 0


def test_missing_rights_are_named(project, server, database, run_migrate):
    project.linear(1)
    server.execute(f'ALTER DATABASE "{database.connect_info("dbname")}" OWNER TO CURRENT_USER')
    database.as_superuser.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (14, "missing-privilege")
    assert "GRANT" in result.finished["fix"]


def test_a_read_only_role_is_refused(project, server, database, run_migrate):
    project.linear(1)
    server.execute(f'ALTER ROLE "{database.user}" SET default_transaction_read_only = on')
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (13, "not-writable")


def test_a_server_that_turns_read_only_names_the_variable(project, database, run_migrate):
    project.revision(
        "r0001", upgrade="op.execute('SET LOCAL transaction_read_only = on')\nop.execute('CREATE TABLE t (n int)')"
    )
    result = run_migrate("up", env={"DATABASE_UNPOOLED_URL": database.url})
    result.check_clean(secret=database.password)
    assert (result.exit_code, result.finished["problem"]) == (13, "not-writable")
    assert result.finished["fix"].startswith("point DATABASE_UNPOOLED_URL at the primary")


def test_json_is_one_object(project, database, run_migrate):
    ids = project.linear(1)
    result = run_migrate("up", "--json", database=database)
    lines = result.stdout.splitlines()
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert (found["outcome"], found["applied"], found["exit_code"]) == ("applied", ids, 0)


def test_several_version_locations_and_pyproject(project, database, run_migrate):
    ids = project.linear(1)
    more = project.path / "more"
    more.mkdir()
    project.revision("two", down=ids[0], message="two").rename(more / "two.py")
    project.write_ini(version_locations="%(here)s/migrations/versions:%(here)s/more")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.finished["applied"] == [*ids, "two"]


def test_a_configuration_file_elsewhere(project, database, run_migrate, tmp_path):
    ids = project.linear(1)
    renamed = project.ini.rename(project.path / "other.ini")
    result = run_migrate("up", "-c", str(renamed), database=database)
    result.check_clean()
    assert result.finished["applied"] == ids


def test_a_history_that_computes_its_ids(project, database, run_migrate):
    project.revision("one", message="first")
    file = next(project.versions.iterdir())
    file.write_text(file.read_text().replace("'one'", "'o' + 'ne'").replace('"one"', '"o" + "ne"'))
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.finished["applied"] == ["one"]
    assert result.named("image.loaded")[0]["read_by"] == "alembic"


def test_the_ledger_tells_what_ran(project, database, run_migrate):
    ids = project.linear(2)
    done = run_migrate("up", database=database)
    rows = database.rows("SELECT revision, parents, status, sha256, source, run_id FROM migrate.step ORDER BY step_id")
    assert [(row[0], row[1], row[2]) for row in rows] == [(ids[0], [], "finished"), (ids[1], [ids[0]], "finished")]
    assert all("create_table" in row[4] for row in rows)
    run = database.rows("SELECT run_id, outcome, exit_code, to_revision FROM migrate.run")
    assert run == [(done.finished["run_id"], "applied", 0, [ids[1]])]
    listed = json.loads(run_migrate("history", "--json", database=database).stdout)
    assert [step["revision"] for step in listed["runs"][0]["steps"]] == ids


def test_history_in_a_pipe_is_a_line_for_each_run_without_any_repr(project, database, run_migrate):
    ids = project.linear(2)
    database.execute("CREATE TABLE orders ()")
    assert run_migrate("up", database=database).exit_code == 15  # refused before the guard: no row
    database.execute("DROP TABLE orders")
    for target in ids:
        assert run_migrate("up", "--target", target, database=database).exit_code == 0
    shown = run_migrate("history", database=database)
    shown.check_clean()
    newest, oldest = shown.named("run.recorded")
    assert newest["recorded_from_revision"] == [ids[0]]
    assert newest["recorded_to_revision"] == [ids[1]]
    assert (oldest["recorded_outcome"], oldest["recorded_exit_code"], oldest["recorded_problem"]) == (
        "applied",
        0,
        None,
    )
    (step,) = oldest["recorded_steps"]
    assert re.fullmatch(rf"upgrade {ids[0]} finished in \d+ ms  migrations/versions/\S+\.py", step)
    assert datetime.fromisoformat(oldest["recorded_started_at"]).tzinfo is not None
    assert shown.finished["runs_count"] == 2
    assert not re.search(rb"None|datetime|\[\'|\{\'", shown.stdout)
    for_people = run_migrate("history", "--log-format", "text", database=database).stdout.decode().splitlines()
    assert for_people[:2] == [newest["message"], f"    {newest['recorded_steps'][0]}"]


def test_alembic_configured_in_pyproject(project, database, run_migrate):
    pytest.importorskip("alembic", minversion="1.16")
    ids = project.linear(1)
    project.ini.unlink()
    (project.path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    project.write_env(url="environment")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.finished["applied"] == ids


def test_a_pyproject_beside_the_ini_is_no_obstacle(project, database, run_migrate):
    ids = project.linear(1)
    (project.path / "pyproject.toml").write_text("[tool.other]\nx = 1\n[tool.migrate]\nlock_timeout = '1s'\n")
    result = run_migrate("up", database=database)
    result.check_clean()
    assert result.finished["applied"] == ids


def test_where_a_table_is_there_already_because_the_row_is_stale_the_fix_is_to_adopt(
    project, database, run_migrate, write_manifest
):
    project.revision("one", upgrade='op.execute("CREATE TABLE a (id int)")')
    project.revision("two", down="one", upgrade='op.execute("CREATE TABLE b (id int)")')
    write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    database.execute("UPDATE alembic_version SET version_num = 'one'")
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert result.finished["fix"].startswith("migrate adopt   # records two, whose schema is there")
    assert run_migrate("adopt", database=database).exit_code == 0
    assert run_migrate("up", database=database).exit_code == 0


def test_the_older_spelling_of_a_url_is_told_where_env_py_cannot_read_it(project, database, run_migrate):
    project.revision("one")
    project.env.write_text(project.env.read_text().replace("url = re.sub(", "_ = re.sub("))  # env.py reads it as it is
    url = database.url.replace("postgresql://", "postgres://")
    result = run_migrate("up", env={"DATABASE_URL": url})
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run"), result.stdout
    assert result.finished["fix"].startswith("write postgresql:// in place of postgres:// in DATABASE_URL")
