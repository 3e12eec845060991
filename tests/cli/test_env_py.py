"""What env.py finds: the URL, the arguments and the command line as plain Alembic gives them, and the words where it fails."""

from __future__ import annotations

import json

import pytest

from tests.support.process import alembic

ASKS = """
    config.print_stdout = print
    print("x", config.cmd_opts.x, context.get_x_argument(as_dictionary=True).get("tenant"))
    print("revision", config.cmd_opts.revision, "sql", config.cmd_opts.sql, "name", config.cmd_opts.name)
    import sys
    print("argv", "upgrade" in sys.argv)
    print("url", config.get_main_option("sqlalchemy.url"))
"""


def printed(result):
    return [event["message"] for event in result.named("revision.output")]


def test_env_py_gets_what_alembics_command_line_gives(project, database, run_migrate):
    project.linear(1)
    project.write_env(head=ASKS)
    result = run_migrate("up", "-x", "tenant=a, b", "-x", "bare", database=database)
    result.check_clean()
    assert result.exit_code == 0
    assert printed(result) == [
        "x ['tenant=a, b', 'bare'] a, b",
        "revision head sql False name alembic",
        "argv True",
        "url None",
    ]


@pytest.mark.parametrize("where", ["variable", "table"])
def test_the_arguments_also_stand_in_a_variable_and_in_the_table(project, database, run_migrate, where):
    project.linear(1)
    project.write_env(head=ASKS)
    env = {"MIGRATE_X": "tenant='a, b' bare"} if where == "variable" else {}
    if where == "table":
        (project.path / "pyproject.toml").write_text('[tool.migrate]\nx = ["tenant=a, b", "bare"]\n')
    result = run_migrate("up", database=database, env=env)
    assert printed(result)[0] == "x ['tenant=a, b', 'bare'] a, b"


def test_without_arguments_there_are_none_as_in_alembic(project, database, run_migrate):
    project.linear(1)
    project.write_env(head=ASKS)
    result = run_migrate("up", database=database)
    assert printed(result)[0] == "x None None"


def test_every_verb_that_runs_env_py_gives_it_its_arguments(project, server, database, run_migrate):
    project.linear(1)
    project.write_env(head='assert context.get_x_argument(as_dictionary=True)["tenant"] == "a"\n')
    x, shadow = ("-x", "tenant=a"), {"MIGRATE_SHADOW_URL": server.url()}
    assert run_migrate("up", database=database).exit_code == 11
    for arguments in (("manifest", *x), ("test", *x)):
        result = run_migrate(*arguments, env=shadow)
        assert result.exit_code == 0, result.finished
    assert run_migrate("up", *x, database=database).exit_code == 0
    down = run_migrate("down", "--to", "base", "--allow-data-loss", *x, database=database)
    assert down.exit_code == 0, down.finished


def test_a_printed_command_repeats_the_arguments(project, database, run_migrate):
    project.linear(1)
    database.execute("CREATE TABLE there ()")
    result = run_migrate("up", "-x", "tenant=a b", "-x", "bare", database=database)
    assert result.exit_code == 15
    assert "-x 'tenant=a b' -x bare" in result.finished["fix"]


FALLBACK = """
def own():
    return os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:", 1)
"""


@pytest.mark.parametrize("written", [None, ""])
@pytest.mark.parametrize(
    "asked",
    [
        'config.get_main_option("sqlalchemy.url") or own()',
        'config.get_section(config.config_ini_section, {}).get("sqlalchemy.url") or own()',
        'config.get_main_option("sqlalchemy.url", own()) or own()',
    ],
)
def test_a_url_that_the_ini_does_not_have_is_not_set(project, database, run_migrate, asked, written):
    ids = project.linear(1)
    project.write_env(engine="async", url="environment")
    text = project.env.read_text()
    project.env.write_text(
        text.replace('url = os.environ["DATABASE_URL"]', f"{FALLBACK}\nurl = {asked}").replace("url = re.sub", "re.sub")
    )
    if written is not None:
        project.write_ini(**{"sqlalchemy.url": written})
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids), result.finished


def test_an_env_py_that_finds_no_url_elsewhere_is_given_it(project, database, run_migrate):
    ids = project.linear(1)
    project.env.write_text(
        "from alembic import context\nfrom sqlalchemy import engine_from_config\n"
        "config = context.config\n"
        "with engine_from_config(config.get_section(config.config_ini_section)).connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)


def test_a_fallback_that_leads_elsewhere_is_not_followed(project, make_database, run_migrate):
    ids = project.linear(1)
    database, other = make_database(), make_database()
    project.write_env(url="ini")
    text = project.env.read_text()
    project.env.write_text(
        text.replace('get_main_option("sqlalchemy.url")', f'get_main_option("sqlalchemy.url") or {other.url!r}')
    )
    result = run_migrate("up", database=database)
    result.check_clean(other.password)
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    assert other.scalar("SELECT to_regclass('alembic_version')") is None


def test_a_percent_in_the_password_gets_the_way_to_write_it(project, make_database, make_role, run_migrate):
    project.linear(1)
    database = make_database(owner=make_role(password="p%s%/w?rd-9f8e7d6c"))
    head = 'config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])\n'
    project.write_env(head=head)
    result = run_migrate("up", database=database)
    result.check_clean(database.password)
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run")
    assert "double the %" in result.finished["fix"]
    assert "replace('%', '%%')" in result.finished["fix"]
    project.write_env(head=head.replace('"DATABASE_URL"]', '"DATABASE_URL"].replace("%", "%%")'))
    assert run_migrate("up", database=database).exit_code == 0


COMPUTED = "import hashlib\n"


def computed(project, count):
    """A history whose files compute what they declare: ids in order."""
    ids = [f"r{number:04}" for number in range(1, count + 1)]
    for at, id_ in enumerate(ids):
        file = project.revision(id_, down=ids[at - 1] if at else None, labels="line" if not at else None)
        text = file.read_text()
        file.write_text(text.replace("branch_labels = 'line'", "branch_labels = ('li' + 'ne',)"))
    return ids


def test_labels_that_alembic_hands_down_are_not_declared_twice(project, database, run_migrate):
    ids = computed(project, 3)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    assert result.named("image.loaded")[0]["read_by"] == "alembic"
    assert run_migrate("status", "--target", "line@head", database=database).exit_code == 0


@pytest.mark.parametrize("kept", ["manifest", "memory"])
def test_a_computed_history_is_loaded_once_for_the_same_files(project, server, database, run_migrate, kept):
    ids = computed(project, 2)
    loads = project.path / "loads"
    file = next(iter(project.versions.glob("r0001*")))
    file.write_text(file.read_text() + f"\nwith open({str(loads)!r}, 'a') as log:\n    log.write('x')\n")
    if kept == "manifest":
        assert run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()}).exit_code == 0
        (project.versions / "__pycache__" / "migrate-graph.json").unlink()
        assert json.loads(project.manifest.read_text())["revisions"][0]["labels"] == ["line"]
    assert run_migrate("up", database=database).finished["applied"] == ids
    loads.write_text("")
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["outcome"]) == (0, "noop")
    assert loads.read_text() == ""
    assert run_migrate("status", "--target", "line@head", database=database).exit_code == 0
    file.write_text(file.read_text() + "# edited\n")
    run_migrate("status", database=database)
    assert loads.read_text() == "x"


def test_an_empty_depends_on_is_none(project, database, run_migrate):
    ids = project.linear(2)
    file = next(iter(project.versions.glob("r0002*")))  # of a first revision Alembic says that it is in a circle
    file.write_text(file.read_text().replace("depends_on = None", 'depends_on = ""'))
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids)
    assert result.named("image.loaded")[0]["read_by"] == "scan"


def test_a_colon_in_an_id_is_refused_by_all_verbs_where_alembic_refuses_it(project, database, run_migrate):
    project.revision("a:1", filename="a1.py")
    refuses = alembic(project, database, "heads", check=False).returncode != 0
    for verb in ("plan", "up"):
        result = run_migrate(verb, database=database)
        result.check_clean()
        assert result.exit_code == (11 if refuses else 0)
        assert not refuses or "'a:1' cannot be a revision id" in result.finished["why"]


def test_an_embedded_commit_before_concurrently_leaves_no_false_warning(project, database, run_migrate):
    project.revision("r1", upgrade="op.create_table('t', sa.Column('id', sa.Integer))")
    project.revision(
        "r2",
        down="r1",
        upgrade="op.execute('COMMIT')\nop.execute('CREATE INDEX CONCURRENTLY ix ON t (id)')",
    )
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["r1", "r2"])
    assert not result.named("ledger.warning")
    assert dict(database.rows("SELECT revision, status FROM migrate.step")) == {"r1": "finished", "r2": "finished"}


LOCKS = """
lock = create_engine(url, poolclass=pool.NullPool).connect().execution_options(isolation_level="AUTOCOMMIT")
lock.exec_driver_sql("SELECT pg_advisory_lock(4711)")
"""


def test_a_lock_that_env_py_waits_for_by_itself_is_named_and_bounded(project, database, run_migrate):
    project.linear(1)
    project.write_env(head=LOCKS)
    blocker = database.connect(application_name="another pod")
    blocker.cursor().execute("SELECT pg_advisory_lock(4711)")
    result = run_migrate("up", "--lock-budget", "4s", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (22, "blocked")
    pid = str(blocker.info.backend_pid)
    told = result.named("statement.blocked")
    assert told
    for said in (told[0]["message"], result.finished["why"]):
        assert said.startswith("env.py wait")
        assert pid in said
        assert "another pod" in said
    assert f"pg_terminate_backend({pid})" in result.finished["fix"]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    assert database.scalar(waiting) == 0
    blocker.close()
    assert run_migrate("up", "--lock-budget", "4s", database=database).exit_code == 0


def test_an_env_py_that_misses_an_argument_is_told_how_it_is_given(project, database, run_migrate):
    project.linear(1)
    project.write_env(head='tenant = context.get_x_argument(as_dictionary=True)["tenant"]')
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run"), result.stdout
    assert result.finished["fix"].startswith("migrate up -x KEY=VALUE")
    assert run_migrate("up", "-x", "tenant=a", database=database).exit_code == 0


ENDED = """
import asyncio, os
from alembic import context
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:", 1))


def migrate_on(connection):
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS public"))
    connection.execute(text("COMMIT"))
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with engine.connect() as connection:
        await connection.run_sync(migrate_on)
        await connection.commit()


asyncio.run(main())
"""


def test_a_transaction_that_env_py_ended_by_text_is_not_called_one(project, database, run_migrate):
    ids = project.linear(2)
    project.env.write_text(ENDED)
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ids), result.finished
    (told,) = [line["message"] for line in result.named("image.warning") if "COMMIT" in line["message"]]
    assert told.startswith("every statement of the revisions is committed by itself")
    assert "all revisions run in one transaction" not in result.stdout.decode()


def test_what_env_py_asks_of_configure_is_env_pys_fault(project, database, run_migrate):
    project.linear(1)
    text = project.env.read_text()
    assert "context.configure(" in text
    project.env.write_text(text.replace("context.configure(", "context.configure(literal_binds=True, "))
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run"), result.finished
    assert "literal_binds" in result.finished["why"]
    assert "current   # shows the same error" in result.finished["fix"]


MISSING = {
    "os.environ": ("import os\nKEY = os.environ['SECRET_KEY']\n", "export SECRET_KEY=VALUE "),
    "a settings object": ("import app_settings\n", "export APP_SECRET_KEY=VALUE APP_MAIL__HOST=VALUE "),
}
SETTINGS = """
class ValidationError(ValueError):
    def errors(self):
        return [{"type": "missing", "loc": ("secret_key",)}, {"type": "missing", "loc": ("mail", "host")}]


class BaseSettings:
    model_config = {"env_prefix": "app_"}

    def __init__(__pydantic_self__):
        raise ValidationError("2 validation errors for Settings")
"""


@pytest.mark.parametrize("way", MISSING)
@pytest.mark.parametrize("verb", ["up", "manifest"])
def test_a_variable_that_env_py_needs_is_named_by_the_fix(project, database, server, run_migrate, way, verb):
    head, fix = MISSING[way]
    (project.path / "pydantic_settings.py").write_text(SETTINGS)
    (project.path / "app_settings.py").write_text("import pydantic_settings\n\npydantic_settings.BaseSettings()\n")
    project.linear(1)
    project.write_env(head=head)
    environ = {"PYTHONPATH": str(project.path), "MIGRATE_SHADOW_URL": server.url()}
    result = run_migrate(verb, database=database if verb == "up" else None, env=environ)
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run"), result.finished
    assert result.finished["fix"].startswith(fix)
    assert "in CI, for manifest and test, any value does" in result.finished["fix"]
    assert "alembic" not in result.finished["fix"]


@pytest.mark.parametrize("head", ["SETTINGS = {}\nKEY = SETTINGS['SECRET_KEY']\n"])
def test_a_key_that_is_missing_elsewhere_is_no_variable(project, database, run_migrate, head):
    project.linear(1)
    project.write_env(head=head)
    result = run_migrate("up", database=database)
    assert (result.exit_code, result.finished["problem"]) == (11, "env-cannot-run")
    assert "export" not in result.finished["fix"]
