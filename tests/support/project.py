"""Alembic projects on disk, of the kinds that real ones are."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Parents: TypeAlias = str | tuple[str, ...] | None

_INI = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
# Both spellings of one option: before Alembic 1.16, and since.
version_path_separator = os
path_separator = os
{options}
"""

# What `alembic init` writes, less the comments: a root logger at WARNING and a handler on stderr.
_LOGGING = """\

[loggers]
keys = root,sqlalchemy,alembic

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = WARNING
handlers = console
qualname =

[logger_sqlalchemy]
level = WARNING
handlers =
qualname = sqlalchemy.engine

[logger_alembic]
level = INFO
handlers =
qualname = alembic

[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic

[formatter_generic]
format = %(levelname)-5.5s [%(name)s] %(message)s
datefmt = %H:%M:%S
"""

_SETTINGS_MODULE = '''\
"""Settings of the application, read once, at import."""

import os


class Settings:
    def __init__(self) -> None:
        self.database_url = os.environ["DATABASE_URL"]


settings = Settings()
'''

_URL_SOURCES = {
    "environment": 'url = os.environ["DATABASE_URL"]',
    "ini": 'url = config.get_main_option("sqlalchemy.url")',
    "settings": "from app_settings import settings\nurl = settings.database_url",
}

_ENGINES = {
    "sync": """\
        engine = create_engine(url, poolclass=pool.NullPool)
        with engine.connect() as connection:
            migrate_on(connection)
        """,
    "begin": """\
        engine = create_engine(url, poolclass=pool.NullPool)
        with engine.begin() as connection:
            migrate_on(connection)
        """,
    "async": """\
        import asyncio

        from sqlalchemy.ext.asyncio import create_async_engine


        async def migrate_async():
            engine = create_async_engine(url, poolclass=pool.NullPool)
            async with engine.connect() as connection:
                await connection.run_sync(migrate_on)
            await engine.dispose()


        asyncio.run(migrate_async())
        """,
}

_ENV = """\
import os
import re
from logging.config import fileConfig

from alembic import context
from sqlalchemy import MetaData, create_engine, pool

config = context.config
target_metadata = MetaData()
{fileconfig}
{url}
# As applications do: platforms give `postgres://` or no driver, SQLAlchemy wants one named.
url = re.sub(r"^postgres(ql)?(\\+\\w+)?://", "postgresql+{driver}://", url)
{head}

def migrate_on(connection):
    context.configure(connection=connection, target_metadata=target_metadata{configure})
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    context.configure(url=url, target_metadata=target_metadata, literal_binds=True{configure})
    with context.begin_transaction():
        context.run_migrations()
else:
{engine}"""

_REVISION = '''\
"""{message}

Revision ID: {id}
Revises: {revises}
Create Date: 2026-01-01 00:00:00.000000

"""
from alembic import op
import sqlalchemy as sa
{header}

# revision identifiers, used by Alembic.
revision = {id!r}
down_revision = {down!r}
branch_labels = {labels!r}
depends_on = {depends_on!r}


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


class Project:
    """An Alembic project: alembic.ini, `migrations/env.py` and `migrations/versions/`."""

    def __init__(self, path: Path) -> None:
        """Write alembic.ini and an ordinary env.py into the folder `path`; there are no revisions yet."""
        self.path = path
        self.ini = path / "alembic.ini"
        self.env = path / "migrations" / "env.py"
        self.versions = path / "migrations" / "versions"
        self.manifest = path / "migrations" / "manifest.json"
        self.versions.mkdir(parents=True)
        self.write_ini()
        self.write_env()

    def write_ini(self, *, logging: bool = False, **options: str) -> None:
        """Write alembic.ini with further options of `[alembic]`, and with the usual logging sections."""
        lines = "\n".join(f"{name} = {value}" for name, value in options.items())
        self.ini.write_text(_INI.format(options=lines) + (_LOGGING if logging else ""), encoding="utf-8")

    def write_env(
        self,
        *,
        url: Literal["environment", "ini", "settings"] = "environment",
        engine: Literal["sync", "async", "begin"] = "sync",
        driver: str | None = None,
        fileconfig: bool = False,
        head: str = "",
        **configure: object,
    ) -> None:
        """Write env.py.

        `url` is where it takes the URL from: DATABASE_URL, `sqlalchemy.url`, or a settings object that reads
        DATABASE_URL at import. `engine`: plain, async (asyncpg unless `driver` says otherwise), or plain with
        `engine.begin()` around everything. `fileconfig` configures logging from alembic.ini, as most do. `head` is
        source that runs before connecting; `configure` are keywords of `context.configure`, such as `version_table`.
        """
        if url == "settings":
            (self.path / "app_settings.py").write_text(_SETTINGS_MODULE, encoding="utf-8")
        if fileconfig:
            self.write_ini(logging=True)
        self.env.write_text(
            _ENV.format(
                fileconfig="fileConfig(config.config_file_name)\n" if fileconfig else "",
                url=_URL_SOURCES[url],
                driver=driver or ("asyncpg" if engine == "async" else "psycopg2"),
                head=dedent(head),
                configure="".join(f", {name}={value!r}" for name, value in configure.items()),
                engine=indent(dedent(_ENGINES[engine]), "    "),
            ),
            encoding="utf-8",
        )

    def revision(
        self,
        revision: str,
        *,
        down: Parents = None,
        upgrade: str = "pass",
        downgrade: str = "pass",
        message: str = "a change",
        depends_on: Parents = None,
        labels: Parents = None,
        filename: str | None = None,
        header: str = "",
    ) -> Path:
        """Write a revision file: `upgrade` and `downgrade` are functions' bodies, `header` goes after the imports."""
        path = self.versions / (filename or f"{revision}_{message.replace(' ', '_')}.py")
        parents = (down,) if isinstance(down, str) else down or ()
        path.write_text(
            _REVISION.format(
                message=message,
                id=revision,
                revises=", ".join(parents),
                down=down,
                labels=labels,
                depends_on=depends_on,
                header=dedent(header),
                upgrade=indent(dedent(upgrade).strip(), "    "),
                downgrade=indent(dedent(downgrade).strip(), "    "),
            ),
            encoding="utf-8",
        )
        return path

    def linear(self, count: int, *, prefix: str = "r", down: str | None = None) -> list[str]:
        """Write `count` revisions in one line on top of `down`, each of which creates a table of its own name.

        Returns their ids in order: "r0001", "r0002" …
        """
        ids = [f"{prefix}{number:04}" for number in range(1, count + 1)]
        for revision, parent in zip(ids, [down, *ids], strict=False):
            self.revision(
                revision,
                down=parent,
                upgrade=f'op.create_table("{revision}", sa.Column("id", sa.Integer, primary_key=True))',
                downgrade=f'op.drop_table("{revision}")',
                message=f"create {revision}",
            )
        return ids
