"""What a target is where nobody says more."""

from dataclasses import replace

from migrate.core.target import Target
from migrate.core.url import DatabaseUrl


def test_the_defaults_are_alembics():
    target = Target(DatabaseUrl.parse("postgresql://u@h/d"), "DATABASE_URL")
    assert (target.version_table, target.version_table_schema, target.schemas) == ("alembic_version", None, ())


def test_the_schemas_are_those_named_or_the_version_tables():
    target = Target(DatabaseUrl.parse("postgresql://u@h/d"), "DATABASE_URL")
    assert (target.schemas_beside("app"), target.schemas_beside(None)) == (("app",), ())
    assert replace(target, schemas=("one", "two")).schemas_beside("app") == ("one", "two")
