"""One question for the version rows of many schemas."""

from contextlib import closing

import pytest

from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres import version_rows
from migrate.postgres.connection import connect
from migrate.postgres.version_rows import rows_of_schemas

TABLE = "alembic_version"


@pytest.fixture
def connection(database):
    target = Target(DatabaseUrl.parse(database.url), "DATABASE_URL")
    with closing(connect(target, application_name="a test", interruption=None)) as made:
        yield made


@pytest.fixture
def asked(connection, monkeypatch):
    """The questions that are asked from now on."""
    questions = []
    run = connection.__class__.rows

    def rows(self, sql, parameters=None):
        questions.append(sql)
        return run(self, sql, parameters)

    monkeypatch.setattr(connection.__class__, "rows", rows)
    return questions


def tenants(database, count, *, row="r1"):
    names = [f"tenant {n}" for n in range(count)]
    database.execute(
        "; ".join(
            f'CREATE SCHEMA "{name}"; CREATE TABLE "{name}".{TABLE} (version_num varchar(32) PRIMARY KEY);'
            f"INSERT INTO \"{name}\".{TABLE} VALUES ('{row}')"
            for name in names
        )
    )
    return names


def test_many_schemas_cost_two_questions(database, connection, asked):
    names = tenants(database, 60)
    found = rows_of_schemas(connection, names, TABLE, lock_timeout_s=0.1)
    assert found == dict.fromkeys(names, ("r1",))
    assert len(asked) == 2


def test_more_than_a_chunk_is_asked_in_several(database, connection, asked, monkeypatch):
    monkeypatch.setattr(version_rows, "CHUNK", 4)
    names = tenants(database, 10)
    assert rows_of_schemas(connection, names, TABLE, lock_timeout_s=0.1) == dict.fromkeys(names, ("r1",))
    assert len(asked) == 1 + 3


def test_what_is_not_there_has_no_rows_and_a_schema_that_is_not_there_is_left_out(database, connection):
    database.execute(
        "CREATE SCHEMA bare; CREATE SCHEMA several; CREATE TABLE several.alembic_version (version_num text)"
    )
    database.execute("INSERT INTO several.alembic_version VALUES ('b'), ('a')")
    found = rows_of_schemas(connection, ["bare", "several", "nobody"], TABLE, lock_timeout_s=0.1)
    assert found == {"bare": (), "several": ("a", "b")}


@pytest.mark.parametrize("trouble", ["locked", "without rights", "another table", "row security"])
def test_one_that_cannot_be_read_costs_the_others_nothing(database, connection, trouble):
    names = tenants(database, 9)
    ill = f'"{names[4]}".{TABLE}'
    locker = database.as_superuser.connect()
    with closing(locker):
        match trouble:
            case "locked":
                locker.cursor().execute(f"LOCK TABLE {ill} IN ACCESS EXCLUSIVE MODE")
            case "without rights":
                database.as_superuser.execute(f"ALTER TABLE {ill} OWNER TO CURRENT_USER")
            case "another table":
                database.execute(f"ALTER TABLE {ill} RENAME COLUMN version_num TO number")
            case "row security":
                database.execute(f"ALTER TABLE {ill} ENABLE ROW LEVEL SECURITY")
                database.execute(f"ALTER TABLE {ill} FORCE ROW LEVEL SECURITY")
        found = rows_of_schemas(connection, names, TABLE, lock_timeout_s=0.1)
    assert found == {name: None if name == names[4] else ("r1",) for name in names}


def test_a_view_is_left_to_a_look_of_its_own(database, connection):
    database.execute(f"CREATE SCHEMA seen; CREATE VIEW seen.{TABLE} AS SELECT 'r1' AS version_num")
    assert rows_of_schemas(connection, ["seen"], TABLE, lock_timeout_s=0.1) == {"seen": ()}
