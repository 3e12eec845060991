"""Alembic's entry point for the newsifier history: where the database is and what its tables should be."""

import os
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine, pool

from newsifier.models import Base
from newsifier.settings import with_driver

config = context.config

if config.config_file_name is not None:
    fileConfig(config.config_file_name)

target_metadata = Base.metadata


def database_url() -> str:
    """Return the URL to migrate: DATABASE_URL, which the platform sets, else `sqlalchemy.url` of the configuration."""
    url = os.environ.get("DATABASE_URL") or config.get_main_option("sqlalchemy.url")
    if not url:
        message = "Set DATABASE_URL, or sqlalchemy.url in alembic.ini, to the database to migrate."
        raise RuntimeError(message)
    return with_driver(url)


def run_migrations_offline() -> None:
    """Print the migrations as SQL, without a connection."""
    context.configure(
        url=database_url(),
        target_metadata=target_metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    """Run the migrations on a connection of their own."""
    # A pool would keep the connection open after the migrations.
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            compare_type=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
