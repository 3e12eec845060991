"""Kinds of env.py times kinds of revision, by the transactions that they make."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.project import Project
    from tests.support.server import Database

HEAD = """\
import os
from alembic import context
from sqlalchemy import MetaData, create_engine, pool, text
from sqlalchemy.orm import Session

config = context.config
url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:", 1)
engine = create_engine(url, poolclass=pool.NullPool)

"""

# What stands below HEAD in env.py.
ENVIRONMENTS = {
    "as the template has it": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "a commit at the end": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        """,
    "transaction_per_migration": """
        with engine.connect() as connection:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "transaction_per_migration and a commit at the end": """
        with engine.connect() as connection:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        """,
    "transactional_ddl=False": """
        with engine.connect() as connection:
            context.configure(connection=connection, transactional_ddl=False)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "SQL before configure, and a commit at the end": """
        with engine.connect() as connection:
            connection.execute(text("SET search_path TO public"))
            connection.execute(text("SET lock_timeout TO '3s'"))
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        """,
    "SQL before configure, transaction_per_migration, and a commit at the end": """
        with engine.connect() as connection:
            connection.execute(text("SET search_path TO public"))
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        """,
    "SQL before configure, committed there": """
        with engine.connect() as connection:
            connection.execute(text("SET search_path TO public"))
            connection.commit()
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "SQL before configure, and no commit at all": """
        with engine.connect() as connection:
            connection.execute(text("SET search_path TO public"))
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "SQL between configure and the transaction": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            connection.execute(text("SET search_path TO public"))
            with context.begin_transaction():
                context.run_migrations()
        """,
    "engine.begin()": """
        with engine.begin() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "connection.begin() by hand": """
        with engine.connect() as connection:
            transaction = connection.begin()
            context.configure(connection=connection)
            context.run_migrations()
            transaction.commit()
        """,
    "connection.begin() after configure": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            with connection.begin():
                with context.begin_transaction():
                    context.run_migrations()
        """,
    "connection.begin() by hand after configure": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            transaction = connection.begin()
            context.run_migrations()
            transaction.commit()
        """,
    "no begin_transaction(), and a commit at the end": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            context.run_migrations()
            connection.commit()
        """,
    "a savepoint around everything": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                with connection.begin_nested():
                    context.run_migrations()
        """,
    "SET LOCAL in the transaction": """
        with engine.connect() as connection:
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS tenant"))
            connection.commit()
            context.configure(connection=connection, version_table_schema="public")
            with context.begin_transaction():
                context.execute("SET LOCAL search_path TO tenant")
                context.run_migrations()
        """,
    "an advisory lock of the transaction": """
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                connection.execute(text("SELECT pg_advisory_xact_lock(4711)"))
                context.run_migrations()
        """,
    "an advisory lock of the session": """
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(4711)"))
            connection.commit()
            context.configure(connection=connection)
            try:
                with context.begin_transaction():
                    context.run_migrations()
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(4711)"))
        """,
    "an engine that commits each statement": """
        autocommitting = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
        with autocommitting.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "a session's connection": """
        with Session(engine) as session:
            context.configure(connection=session.connection())
            with context.begin_transaction():
                context.run_migrations()
            session.commit()
        """,
    "a connection that a caller may pass in": """
        def run_on(connection):
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()

        passed = config.attributes.get("connection", None)
        if passed is not None:
            run_on(passed)
        else:
            with engine.connect() as connection:
                run_on(connection)
        """,
    "the async template": """
        import asyncio
        from sqlalchemy.ext.asyncio import create_async_engine

        def run_on(connection):
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()

        async def run_async():
            asynchronous = create_async_engine(url.replace("psycopg2", "asyncpg"), poolclass=pool.NullPool)
            async with asynchronous.connect() as connection:
                await connection.run_sync(run_on)
            await asynchronous.dispose()

        asyncio.run(run_async())
        """,
    "an async engine's begin()": """
        import asyncio
        from sqlalchemy.ext.asyncio import create_async_engine

        def run_on(connection):
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()

        async def run_async():
            asynchronous = create_async_engine(url.replace("psycopg2", "asyncpg"), poolclass=pool.NullPool)
            async with asynchronous.begin() as connection:
                await connection.run_sync(run_on)
            await asynchronous.dispose()

        asyncio.run(run_async())
        """,
    "psycopg 3": """
        with create_engine(url.replace("psycopg2", "psycopg"), poolclass=pool.NullPool).connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
}

BLOCK = """
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY ix_two ON one (id)")
"""
COMMIT = "op.get_bind().commit()\n"
TABLE = 'op.create_table("two", sa.Column("id", sa.Integer, primary_key=True))\n'
COLUMN = 'op.add_column("two", sa.Column("more", sa.Integer))\n'
AFTER = 'op.execute("ALTER TABLE one ADD COLUMN more integer")\n'
DROP_TWO = 'op.execute("DROP TABLE IF EXISTS two")\n'

# The body of upgrade() in the second of three revisions, or in the last one.
REVISIONS = {
    "DDL": TABLE,
    "a comment about CONCURRENTLY": f"# not CONCURRENTLY: no autocommit_block() is needed, and no COMMIT\n{TABLE}",
    "an autocommit block": BLOCK,
    "DDL and an autocommit block": TABLE + BLOCK,
    "an autocommit block and DDL": BLOCK + TABLE,
    "two autocommit blocks": BLOCK + TABLE + BLOCK.replace("ix_two", "ix_more"),
    "a commit": TABLE + COMMIT,
    "a commit and an autocommit block": TABLE + COMMIT + BLOCK,
    "a commit and DDL": TABLE + COMMIT + COLUMN,
    "a commit, DDL and an autocommit block": TABLE + COMMIT + COLUMN + BLOCK,
    "a commit, an autocommit block and DDL": TABLE + COMMIT + BLOCK + AFTER,
    "COMMIT as a statement": TABLE + 'op.execute("COMMIT")\n' + AFTER,
    "COMMIT and CREATE INDEX CONCURRENTLY": TABLE
    + 'op.execute("COMMIT")\nop.execute("CREATE INDEX CONCURRENTLY ix_two ON one (id)")\n',
    "a savepoint": f"with op.get_bind().begin_nested():\n{indent(TABLE, '    ')}",
    "a rollback first": f"op.get_bind().rollback()\n{TABLE}",
    "a transaction of the context's own": f"with op.get_context().begin_transaction():\n{indent(TABLE, '    ')}",
    "a session that commits": f"{TABLE}session = Session(bind=op.get_bind())\n"
    'session.execute(sa.text("INSERT INTO two VALUES (1)"))\nsession.commit()\n',
    "a commit, and autocommit on its own connection": f"{TABLE}{COMMIT}"
    'bind = op.get_bind().execution_options(isolation_level="AUTOCOMMIT")\n'
    'bind.execute(sa.text("CREATE INDEX CONCURRENTLY ix_two ON one (id)"))\n',
    "a connection beside that commits each statement": """
engine = op.get_bind().engine
if hasattr(engine, "sync_engine"):
    engine = engine.sync_engine
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as beside:
    beside.execute(sa.text("CREATE TABLE two (id integer)"))
    beside.execute(sa.text("VACUUM two"))
""",
}
# Where such a revision is the last, plain Alembic may exit 0 and stay behind.
LAST = [kind for kind in REVISIONS if "commit" in kind.lower() or kind.startswith("a transaction")]


def write_transactions(project: Project, environment: str, revision: str, *, is_last: bool) -> None:
    """Write env.py and three revisions, the second of that kind; two where it is to be the last."""
    project.env.write_text(HEAD + dedent(ENVIRONMENTS[environment]), encoding="utf-8")
    first = 'op.create_table("one", sa.Column("id", sa.Integer, primary_key=True))'
    header = "from sqlalchemy.orm import Session"
    project.revision("r1", upgrade=first, downgrade='op.execute("DROP TABLE one")')
    project.revision(
        "r2",
        down="r1",
        upgrade=REVISIONS[revision],
        header=header,
        downgrade='op.execute("DROP TABLE IF EXISTS two")\nop.execute("DROP INDEX IF EXISTS ix_two, ix_more")\n'
        'op.execute("ALTER TABLE one DROP COLUMN IF EXISTS more")',
    )
    if not is_last:
        project.revision(
            "r3",
            down="r2",
            upgrade='op.execute("CREATE VIEW three AS SELECT 3")',
            downgrade='op.execute("DROP VIEW three")',
        )


def seen(database: Database) -> tuple[list[str], list[str]]:
    """The version rows, and everything in the database."""
    rows = []
    if database.scalar("SELECT to_regclass('public.alembic_version')") is not None:
        rows = [row[0] for row in database.rows("SELECT version_num FROM public.alembic_version ORDER BY 1")]
    objects = database.rows("""
        SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '') || ' ' || c.relkind::text || coalesce(i.indisvalid::text, '')
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'
          LEFT JOIN pg_index i ON i.indexrelid = c.oid
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'migrate') ORDER BY 1
    """)
    return rows, [row[0] for row in objects]


EVERY_PAIR = [
    *[(environment, revision, False) for environment in ENVIRONMENTS for revision in REVISIONS],
    *[(environment, revision, True) for environment in ENVIRONMENTS for revision in LAST],
]
