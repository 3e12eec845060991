"""What grants a role what it lacks."""

from __future__ import annotations

import pytest

from migrate.core.privileges import fix_of_denied, fix_of_ledger


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("must be owner of table orders", "ALTER TABLE orders OWNER TO app;   -- or: GRANT its_owner TO app;"),
        (
            "must be owner of materialized view My view",
            'ALTER MATERIALIZED VIEW "My view" OWNER TO app;   -- or: GRANT its_owner TO app;',
        ),
        ("permission denied for table orders", "GRANT ALL ON TABLE orders TO app;"),
        ("permission denied for view v", "GRANT ALL ON TABLE v TO app;"),
        ("permission denied for schema s", "GRANT USAGE, CREATE ON SCHEMA s TO app;"),
        ("permission denied for database shop", "GRANT CREATE ON DATABASE shop TO app;"),
        (
            'permission denied to create extension "x"',
            '-- let role app do this: permission denied to create extension "x"',
        ),
    ],
)
def test_what_is_lacking_is_granted(said, expected):
    assert fix_of_denied(said, "app") == expected


def test_the_ledger_is_made_or_opened():
    assert fix_of_ledger("my app", is_there=False) == 'CREATE SCHEMA migrate AUTHORIZATION "my app";'
    assert fix_of_ledger("app", is_there=True).splitlines() == [
        "GRANT USAGE, CREATE ON SCHEMA migrate TO app;",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA migrate TO app;",
    ]
