"""What helps where Python does not find a module."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.problems.fix import advice, shell
from migrate.core.quoting import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.problems.fix import Fix

# Module -> package, of those that env.py files and models usually import. A package of another module's name may be
# anybody's: the module is likelier the project's own, and installing a stranger's code would be the worse advice.
_PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "alembic_postgresql_enum": "alembic-postgresql-enum",
        "alembic_utils": "alembic_utils",
        "asyncpg": "asyncpg",
        "celery": "celery",
        "decouple": "python-decouple",
        "dotenv": "python-dotenv",
        "environs": "environs",
        "fastapi": "fastapi",
        "fastapi_users_db_sqlalchemy": "fastapi-users-db-sqlalchemy",
        "flask": "Flask",
        "flask_migrate": "Flask-Migrate",
        "flask_sqlalchemy": "Flask-SQLAlchemy",
        "geoalchemy2": "GeoAlchemy2",
        "greenlet": "greenlet",
        "loguru": "loguru",
        "pg8000": "pg8000",
        "pgvector": "pgvector",
        "psycopg": "psycopg[binary]",
        "psycopg2": "psycopg2-binary",
        "psycopg2cffi": "psycopg2cffi",
        "pydantic": "pydantic",
        "pydantic_settings": "pydantic-settings",
        "sqlalchemy_utils": "SQLAlchemy-Utils",
        "sqlmodel": "sqlmodel",
        "yaml": "PyYAML",
    }
)
_DRIVERS: Final = frozenset({"asyncpg", "pg8000", "psycopg", "psycopg2cffi"})


def fix_of_missing(module: str, folder: str | None = None) -> Fix:
    """What to paste for a module that is not found; ``folder`` is where the project has one of that name itself."""
    if folder is not None:
        return shell(f"export PYTHONPATH={word(folder)}", note=f"{word(module)} lies there")
    package = _PACKAGES.get(module)
    if package is None:
        return advice(
            f"put {word(module)} into the image: with the application, where it is a module of your own"
            " (then also: export PYTHONPATH=FOLDER), else with the package that has it"
        )
    other = "; or name a driver that is there: postgresql+psycopg2://" if module in _DRIVERS else ""
    return shell(f"pip install {word(package)}", note=f"in the image{other}")
