"""What grants a role what it lacks."""

from __future__ import annotations

import pytest

from migrate.core.problems.privileges import (
    denied_object,
    fix_of_denied,
    fix_of_ledger,
    fix_of_member,
    fix_of_uncounted,
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("must be owner of table orders", "ALTER TABLE s.found OWNER TO app;   -- or: GRANT its_owner TO app;"),
        (
            "must be owner of materialized view My view",
            "ALTER MATERIALIZED VIEW s.found OWNER TO app;   -- or: GRANT its_owner TO app;",
        ),
        ("permission denied for table orders", "GRANT ALL ON TABLE s.found TO app;"),
        ('query would be affected by row-level security policy for table "t"', "ALTER ROLE app BYPASSRLS;"),
        ("permission denied for view v", "GRANT ALL ON TABLE s.found TO app;"),
        ("permission denied for schema s", "GRANT USAGE, CREATE ON SCHEMA s TO app;"),
        ("permission denied for database shop", "GRANT CREATE ON DATABASE shop TO app;"),
        (
            'permission denied to create extension "x"',
            '-- let role app do this: permission denied to create extension "x"',
        ),
    ],
)
def test_what_is_lacking_is_granted(said, expected):
    assert str(fix_of_denied(said, "app", ["s.found"])) == expected


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], ""),
        (["audit.entries", "public.entries"], " (audit.entries or public.entries)"),
        (['audit."x\nDROP TABLE y; --"'], ' (audit."x DROP TABLE y; --")'),
    ],
)
def test_what_may_hit_another_table_is_a_comment_of_one_line(found, told):
    said = "must be owner of table entries"
    assert str(fix_of_denied(said, "app", found)) == f"-- let role app do this: {said}{told}"


def test_what_a_message_names_is_looked_for_but_where_it_has_no_schema():
    assert denied_object("permission denied for sequence a b") == ("sequence", "a b")
    assert denied_object("permission denied for schema s") is None
    assert denied_object("deadlock detected") is None


def test_the_ledger_is_made_or_opened():
    assert str(fix_of_ledger("my app", is_there=False)) == 'CREATE SCHEMA migrate AUTHORIZATION "my app";'
    assert str(fix_of_ledger("app", is_there=True)).splitlines() == [
        "GRANT USAGE, CREATE ON SCHEMA migrate TO app;",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA migrate TO app;",
    ]


@pytest.mark.parametrize(
    ("said", "grant"),
    [
        ('query would be affected by row-level security policy for table "t"', 'ALTER ROLE "my app" BYPASSRLS;'),
        ('permission denied to create temporary tables in database "d"', 'GRANT TEMPORARY ON DATABASE d TO "my app";'),
        ("permission denied for table t", 'GRANT SELECT ON TABLE s.t TO "my app";'),
    ],
)
def test_what_lets_a_role_count(said, grant):
    fix = fix_of_uncounted(said, role="my app", database="d", table="s.t", target="r1")
    assert str(fix) == f"{grant}   -- or, if the rows may go: migrate down --to r1 --allow-data-loss"


def test_a_member_that_does_not_inherit_begins_as_the_other_role():
    assert fix_of_member("Shop owner", "DATABASE_URL") == (
        "or begin as Shop owner, as by -c role=Shop owner: add ?options=-c%20role%3DShop%5C%20owner to DATABASE_URL"
    )
