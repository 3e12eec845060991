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


def test_the_schemas_that_the_history_uses_stand_beside_the_version_tables_and_the_operator_overrides_them():
    target = Target(DatabaseUrl.parse("postgresql://u@h/d"), "DATABASE_URL").using(["app", "audit"])
    assert target.schemas_beside("app") == ("app", "audit")
    assert target.own_schemas("app") == ("app",)
    assert (target.schemas_beside(None), target.own_schemas(None)) == (("app", "audit"), ())
    assert (target.default_schema("app"), target.default_schema(None)) == ("app", "")
    named = replace(target, schemas=("one", "two"))
    assert named.schemas_beside("app") == named.own_schemas("app") == ("one", "two")
    assert named.default_schema("app") == "one"


def test_a_url_may_be_made_anew_for_each_connection():
    old, new = (DatabaseUrl.parse(f"postgresql://u:{password}@h/d") for password in ("old", "new"))
    target = Target(old, "MIGRATE_URL_COMMAND", version_table="v")
    assert target.renewed() is target
    renewing = replace(target, renew=lambda: new)
    assert renewing.renewed() == replace(target, url=new)
    assert renewing == target
