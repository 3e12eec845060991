"""What the dialect of a new engine is told of a session that was kept, in place of asking the server for it."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from migrate.child import kept_session
from migrate.child.driver import driver_of
from tests.support.waiting import until


@pytest.fixture
def keeping():
    """Sessions are kept, as in a child that serves a fleet."""
    event.listen(Engine, "do_connect", kept_session.connect)
    kept_session.keep(is_on=True)
    yield
    kept_session.keep(is_on=False)
    event.remove(Engine, "do_connect", kept_session.connect)


def engine(database, **options):
    url = database.url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return create_engine(url, poolclass=NullPool, **options)


def met(database, **options):
    """A new engine's dialect after its first connection, the session's pid, and what the server was asked last."""
    made = engine(database, **options)
    with made.connect() as connection:
        pid = driver_of(connection).info.backend_pid
        ((query,),) = database.as_superuser.rows(f"SELECT query FROM pg_stat_activity WHERE pid = {pid}")
    return made.dialect, pid, query


def plain(dialect):
    return {name: value for name, value in vars(dialect).items() if isinstance(value, kept_session._PLAIN)}


def was_told(query):
    return "pg_db_role_setting" in query  # it is still the question whether the session is as new


def test_a_dialect_that_is_told_knows_what_one_that_asks_knows(database, keeping):
    asking, first, by_asking = met(database)
    told, second, by_being_told = met(database)
    assert first == second
    assert (was_told(by_asking), was_told(by_being_told)) == (False, True)
    kept_session.keep(is_on=False)
    alone, third, _ = met(database)
    assert third != second
    assert plain(asking) == plain(told) == plain(alone)
    assert told.server_version_info == alone.server_version_info
    assert "initialize" not in {**vars(asking), **vars(told)}


def test_what_env_py_says_of_its_dialect_is_not_told_to_the_next(database, keeping):
    """Alembic's cookbook sets a tenant's schema there."""
    first, *_ = met(database)
    first.default_schema_name = "of_another_tenant"
    second, _, query = met(database)
    assert was_told(query)
    assert second.default_schema_name == "public"


def test_one_that_is_made_otherwise_asks_for_itself(database, keeping):
    met(database)
    other, _, query = met(database, max_identifier_length=40)
    assert not was_told(query)
    assert other.max_identifier_length == 40


def test_the_schema_of_a_tenant_is_its_own(database, keeping):
    met(database)
    kept_session.keep(is_on=True, search_path="mine")
    told, _, query = met(database)
    assert was_told(query)
    assert told.default_schema_name == "mine"


def test_a_second_connection_of_an_engine_has_a_session_that_the_next_engine_is_told_nothing_of(database, keeping):
    made = engine(database)
    with made.connect() as one, made.connect() as other:
        assert driver_of(one) is not driver_of(other)
    assert vars(made.dialect).get("initialize") is None
    dialect, _, _ = met(database)
    assert plain(dialect) == plain(made.dialect)


def test_what_a_listener_of_env_py_does_first_is_each_dialects_own(database, keeping):
    """SQLAlchemy's documentation has this recipe for another search_path."""
    schemas = ["a", "b", "c"]
    for schema in schemas:
        database.execute(f"CREATE SCHEMA {schema}")
    found = []
    for schema in schemas:
        made = engine(database)

        @event.listens_for(made, "connect", insert=True)
        def set_path(connection, _record, schema=schema):
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION search_path TO {schema}")

        with made.connect():
            found.append(made.dialect.default_schema_name)
    assert found == schemas
    assert met(database)[0].default_schema_name == "public"


@pytest.mark.parametrize("by", ["a statement", "psycopg2"])
def test_another_isolation_level_that_a_listener_sets_is_seen(database, keeping, by):
    assert met(database)[0].default_isolation_level == "READ COMMITTED"
    made = engine(database)

    @event.listens_for(made, "connect", insert=True)
    def set_level(connection, _record):
        if by == "psycopg2":
            connection.set_session(isolation_level="SERIALIZABLE")
            return
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        connection.commit()

    with made.connect():
        assert made.dialect.default_isolation_level == "SERIALIZABLE"
    assert met(database)[0].default_isolation_level == "READ COMMITTED"


def test_a_connection_that_fails_before_its_dialect_has_asked_leaves_nothing(database, keeping):
    failures = [RuntimeError("once")]
    made = engine(database)

    @event.listens_for(made, "connect", insert=True)
    def fail(_connection, _record):
        if failures:
            raise failures.pop()

    with pytest.raises(RuntimeError, match="once"):
        made.connect()
    with made.connect():
        assert made.dialect.default_schema_name == "public"
    assert "initialize" not in vars(made.dialect)
    assert plain(met(database)[0]) == plain(made.dialect)


def test_settings_that_the_server_has_read_anew_end_the_session(database, keeping):
    _, first, _ = met(database)
    ((was,),) = database.as_superuser.rows("SELECT pg_conf_load_time()")
    database.as_superuser.rows("SELECT pg_reload_conf()")
    until(lambda: database.as_superuser.rows("SELECT pg_conf_load_time()")[0][0] > was)
    _, second, query = met(database)
    assert second != first
    assert not was_told(query)
