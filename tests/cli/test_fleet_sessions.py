"""env.py's session on the server stays for the next tenant, which finds it as new; or it is not kept."""

from __future__ import annotations

import pytest

from tests.cli.test_fleet import COOKBOOK, SCHEMAS, by_tenant, provision

# What a tenant finds in its session, told before the revision does anything to it.
_TELL = """op.execute('''INSERT INTO public.seen SELECT pg_backend_pid(), current_setting('work_mem'),
    (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objid = 4242),
    (SELECT count(*) FROM pg_listening_channels()), current_user::text, current_setting('app.tenant', true)''')
"""
_TABLE = """CREATE TABLE public.seen (pid integer, work_mem text, temporary integer, locks integer, listens integer,
                                      role text, custom text)"""


@pytest.fixture
def fleet(project, database):
    """A project whose one revision tells what it finds in its session, then does ``leaves``; four tenants."""
    provision(database, 4)
    database.execute(_TABLE)

    def make(leaves="", env=COOKBOOK):
        project.write_env()
        project.env.write_text(env)
        project.revision("r1", upgrade=_TELL + leaves)
        (project.path / "pyproject.toml").write_text(SCHEMAS)
        return project

    return make


def found(database):
    """How many sessions the four had, and what they found in them."""
    (pids,) = database.rows("SELECT count(DISTINCT pid)::text FROM public.seen")
    state = database.rows("SELECT DISTINCT work_mem, temporary, locks, listens, role, custom FROM public.seen")
    return int(pids[0]), [tuple(row) for row in state]


def release(fleet, database, run_migrate, exit_code=0):
    result = run_migrate("up", "--tenants-parallel", "1", database=database, cwd=fleet.path)
    assert result.exit_code == exit_code, result.stdout.decode()
    return result


def test_four_tenants_have_one_session_and_none_finds_what_another_has_left(fleet, database, run_migrate):
    role = database.rows("SELECT current_user::text")[0][0]
    memory = database.rows("SELECT current_setting('work_mem')")[0][0]
    leaves = """
op.execute("SET work_mem = '7MB'; CREATE TEMP TABLE left_behind (id integer)")
op.execute("SELECT pg_advisory_lock(4242)")
op.execute("LISTEN news")
op.get_bind().connection.cursor().execute("SELECT set_config('lock_timeout', '1ms', false)")
"""
    release(fleet(leaves), database, run_migrate)
    assert found(database) == (1, [(memory, 0, 0, 0, role, None)])


@pytest.mark.parametrize(
    "leaves",
    [
        "SET app.tenant = 'mine'",
        "SET LOCAL app . tenant = 'mine'",
        """SET "app.tenant" = 'mine'""",
        "SELECT set_config('app.tenant', 'mine', true)",
        "SELECT set_config('app' || '.tenant', 'mine', false)",
        "DO $$ BEGIN PERFORM set_config('app.tenant', 'mine', false); END $$",
    ],
)
def test_a_setting_of_the_users_own_is_unknown_to_the_next_tenant(leaves, fleet, database, run_migrate):
    """PostgreSQL forgets its value and not its name: it would read as empty, where NULL was."""
    release(fleet(f"op.execute({leaves!r})"), database, run_migrate)
    pids, state = found(database)
    assert (pids, [row[-1] for row in state]) == (4, [None])


@pytest.mark.parametrize(
    "leaves",
    [
        "op.get_bind().exec_driver_sql('SELECT set_config(%s, %s, false)', ('app.tenant', 'mine'))",
        "op.get_bind().connection.cursor().execute(\"SET app.tenant = 'mine'\")",
        """import psycopg2.extensions as e
op.get_bind().connection.cursor(cursor_factory=type('C', (e.cursor,), {})).execute("SET app.tenant = 'mine'")""",
        """import io
copied = "COPY (SELECT set_config('app.tenant', 'mine', false)) TO STDOUT"
op.get_bind().connection.cursor().copy_expert(copied, io.StringIO())""",
    ],
)
def test_a_statement_by_whatever_way_is_seen(leaves, fleet, database, run_migrate):
    release(fleet(leaves), database, run_migrate)
    pids, state = found(database)
    assert (pids, [row[-1] for row in state]) == (4, [None])


def test_no_session_is_kept_where_a_function_of_the_users_may_have_run_in_it(fleet, database, run_migrate):
    database.execute(
        """CREATE FUNCTION public.noted() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN PERFORM set_config('app.tenant', 'mine', false); RETURN NEW; END $$;
           CREATE TRIGGER t BEFORE INSERT ON public.seen FOR EACH ROW EXECUTE FUNCTION public.noted()"""
    )
    release(fleet(), database, run_migrate)
    pids, state = found(database)
    assert (pids, [row[-1] for row in state]) == (4, [None])


def test_what_a_tenant_sets_for_all_sessions_holds_for_the_next(fleet, database, run_migrate):
    name = database.rows("SELECT current_database()::text")[0][0]
    leaves = f"""op.execute('''ALTER DATABASE "{name}" SET work_mem = '9MB' ''')"""
    release(fleet(leaves), database, run_migrate)
    told = [row[0] for row in database.rows("SELECT work_mem FROM public.seen")]
    assert told.count("9MB") == 3


def test_a_tenant_that_fails_hands_its_session_on_to_nobody(fleet, database, run_migrate):
    project = fleet("op.execute('CREATE TABLE other (id integer)')")
    project.revision("r2", down="r1", upgrade="op.execute('SELECT 1 / (SELECT count(*) FROM other)')")
    database.execute("CREATE TABLE tenant_1.taken (id integer)")
    result = release(project, database, run_migrate, exit_code=30)
    assert {line["exit_code"] for line in by_tenant(result).values()} >= {30}
    pids = database.rows("SELECT count(DISTINCT pid)::text, count(*)::text FROM public.seen")[0]
    assert pids[0] == pids[1]


def test_a_session_that_was_ended_meanwhile_is_made_anew(fleet, database, run_migrate):
    ends = """
import psycopg2
admin = psycopg2.connect(os.environ["DATABASE_URL"])
admin.cursor().execute("SELECT pg_terminate_backend(pid, 5000) FROM public.seen")
admin.close()
"""
    env = COOKBOOK.replace("engine = create_engine", ends + "engine = create_engine", 1)
    release(fleet(env=env), database, run_migrate)
    assert found(database)[0] == 4


_POOLED = """
import asyncio, os
from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

tenant = context.get_x_argument(as_dictionary=True)["tenant"]
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+{driver}://", 1)


def run(connection):
    connection.execute(text(f'SET search_path TO "{{tenant}}"'))
    {locks}
    connection.commit()
    connection.dialect.default_schema_name = tenant
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async():
    async with create_async_engine(url).connect() as connection:
        await connection.run_sync(run)


if "async" in "{driver}":
    asyncio.run(run_async())
else:
    with create_engine(url).connect() as connection:  # a pool that keeps it
        run(connection)
"""
_LOCKS = 'connection.execute(text("SELECT pg_advisory_lock(4711)"))'


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_lock_that_env_py_leaves_in_its_pool_does_not_keep_the_next_tenant_waiting(
    fleet, database, run_migrate, driver
):
    result = release(fleet(env=_POOLED.format(driver=driver, locks=_LOCKS)), database, run_migrate)
    assert not result.named("statement.blocked") + result.named("tenant.retry")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "asyncpg", "psycopg_async"])
def test_a_lock_of_a_tenant_that_failed_does_not_keep_the_next_one_waiting(fleet, database, run_migrate, driver):
    leaves = """
op.execute("SELECT pg_advisory_lock(4711)")
op.execute("SELECT 1 / (current_schema() <> 'tenant_0')::int")
op.execute("SELECT pg_advisory_unlock(4711)")
"""
    result = release(fleet(leaves, _POOLED.format(driver=driver, locks="")), database, run_migrate, exit_code=30)
    assert by_tenant(result)["tenant_0"]["problem"] == "revision-failed"
    assert not result.named("statement.blocked") + result.named("tenant.retry")
