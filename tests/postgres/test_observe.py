"""Reading the target beside others who change it."""

from __future__ import annotations

from contextlib import closing

import pytest

from migrate.core.decide.policy import Limits
from migrate.core.problems import Stop
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres import observe as reading
from migrate.postgres.connection import connect


def test_a_catalog_in_which_something_is_dropped_at_every_read_is_blocked(database, monkeypatch):
    reads = []

    def dropped(connection, *_args, **_named):
        reads.append(1)
        connection.row("SELECT pg_catalog.pg_get_viewdef(4294967295::oid), 'gone'::regclass")

    monkeypatch.setattr(reading, "_observe", dropped)
    target = Target(DatabaseUrl.parse(database.url), "a test")
    with closing(connect(target, application_name="test", interruption=None)) as connection:
        with pytest.raises(Stop) as stopped:
            reading.observe(connection, target, Limits(), hashes={}, with_schema=True)
        assert connection.row("SELECT 1") == (1,)
    found = stopped.value.problem
    assert (found.kind.code, found.exit_code.retryable, found.facts["sqlstate"]) == ("blocked", True, "42P01")
    assert len(reads) == 3
