"""What a target is where nobody says more."""

from migrate.core.target import Target
from migrate.core.url import DatabaseUrl


def test_the_defaults_are_alembics():
    target = Target(DatabaseUrl.parse("postgresql://u@h/d"), "DATABASE_URL")
    assert (target.version_table, target.version_table_schema, target.schemas) == ("alembic_version", None, ())
