"""What a server's error on a connection of our own becomes, whatever it carries."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from migrate.postgres.errors import problem_of


def test_an_error_without_a_text_is_named_by_its_type() -> None:
    found = problem_of(psycopg2.OperationalError(), doing="reading the catalog").problem
    assert (found.kind.code, found.why) == ("connection-lost", "reading the catalog: OperationalError")


def test_only_the_first_line_of_what_the_driver_says_is_shown() -> None:
    lost = psycopg2.OperationalError("server closed the connection unexpectedly\n\tThis probably means a crash\n")
    found = problem_of(lost, doing="reading the catalog").problem
    assert found.why == "reading the catalog: server closed the connection unexpectedly"


def test_a_privilege_that_is_lacking_has_a_fix_that_reads_by_itself(make_database, make_role) -> None:
    guest = make_database(owner=make_role())
    with closing(psycopg2.connect(guest.url)) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.Error) as failed:
            cursor.execute("CREATE ROLE other")
        found = problem_of(failed.value, doing="making a role").problem
    assert found.kind.code == "missing-privilege"
    assert "<" not in str(found.fix)
    assert "above" not in str(found.fix)
