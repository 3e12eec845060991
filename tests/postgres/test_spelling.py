"""What a throw-away database finds out by executing what it printed is what a real restore makes of it."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from migrate.core.schema.differences import compare, parse
from migrate.core.schema.spelling import Spellings, may_be_respelled
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres import catalog
from migrate.postgres.client_tools import find_client_tools
from migrate.postgres.connection import connect
from migrate.shadow.embedded import installed_binaries, throwaway_server
from migrate.shadow.spelling import SCRATCH, other_spellings, printed_again, spellings_of_dump
from tests.support.expressions import EXPRESSIONS, KINDS, dump_and_restore
from tests.support.server import Server, create_database, create_role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from migrate.postgres.connection import Connection
    from tests.conftest import MakeDatabase
    from tests.support.server import Database

PUBLIC = catalog.Where(("public",), "public", ("public",))
VERSIONS = ("public", "alembic_version")


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    target = Target(DatabaseUrl.parse(database.url), "DATABASE_URL")
    with closing(connect(target, application_name="test", interruption=None)) as connection:
        yield connection


def read(database: Database) -> dict[str, str]:
    with connected(database) as connection:
        return catalog.read_schema(connection, schemas=PUBLIC.schemas, version_table=VERSIONS)


def spelled(database: Database) -> dict[tuple[str, str], tuple[str, ...]]:
    schema = read(database)
    with connected(database) as connection:
        asked = [each for each in schema.items() if may_be_respelled(*each)]
        return other_spellings(connection, asked, schema, PUBLIC)


# PostgreSQL 18 generates columns when they are read, too.
VIRTUAL = """
CREATE TABLE virtual (status varchar(5), n int,
  open boolean GENERATED ALWAYS AS (status IN ('a', 'b') AND n BETWEEN 1 AND 5 AND n > 0) VIRTUAL,
  shut boolean GENERATED ALWAYS AS (status NOT IN ('a', 'b')) VIRTUAL CONSTRAINT shut_there NOT NULL NO INHERIT);
"""


@dataclass(frozen=True)
class Place:
    """A server and its client programs."""

    make_database: Callable[[], Database]
    bin_dir: Path

    def database_with_expressions(self) -> Database:
        database = self.make_database()
        database.execute(EXPRESSIONS + VIRTUAL if database.server.version >= 18 else EXPRESSIONS)
        return database


@pytest.fixture(params=[None, *(pytest.param(major, marks=pytest.mark.versions) for major in (15, 17, 18))])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The suite's server, or one of each major version."""
    if request.param is None:
        server = request.getfixturevalue("server")
        bin_dir = find_client_tools(server.version, dict(os.environ)).pg_dump.parent
        yield Place(request.getfixturevalue("make_database"), bin_dir)
        return
    binaries = next(each for each in installed_binaries() if each.version[0] == request.param)
    with throwaway_server(binaries=binaries) as started:
        other = Server(started.url())

        def make() -> Database:
            owner = create_role(other, name=None, password=None, options="NOSUPERUSER")
            return create_database(other, name=None, owner=owner, encoding="UTF8", template="template0")

        yield Place(make, binaries.bin_dir)


@pytest.mark.parametrize("custom", [False, True], ids=["psql", "pg_restore"])
def test_what_is_found_is_what_a_restore_makes(custom: bool, place: Place) -> None:
    database, make_database, bin_dir = place.database_with_expressions(), place.make_database, place.bin_dir
    first = read(database)
    found = spelled(database)
    assert read(database) == first
    once, twice = make_database(), make_database()
    dump_and_restore(bin_dir, database.url, once.url, custom=custom)
    dump_and_restore(bin_dir, once.url, twice.url, custom=custom)
    restored = read(once)
    assert restored == read(twice)
    assert restored.keys() == first.keys()
    differing = {
        (identity, definition): (restored[identity],)
        for identity, definition in first.items()
        if restored[identity] != definition
    }
    assert found == differing
    assert {parse(identity).kind for identity, _ in differing} == KINDS
    groups = Spellings((identity, (definition, *others)) for (identity, definition), others in found.items())
    assert not compare(first, restored, same_major=True, canonical=groups.canonical)
    assert not compare(restored, first, same_major=True, canonical=groups.canonical)


def test_what_cannot_be_executed_keeps_its_spelling_and_hinders_nothing(database: Database) -> None:
    database.execute("CREATE TABLE t (a varchar(5) CHECK (a IN ('a', 'b')))")
    schema = read(database)
    check = ("constraint t.t_a_check", schema["constraint t.t_a_check"])
    asked = [
        ("constraint t.odd", "CHECK ((nowhere > 0))"),
        check,
        ("view v", "SELECT 1 / 0 FROM nowhere"),
        ("enum e", ""),
    ]
    with connected(database) as connection:
        assert other_spellings(connection, asked, schema, PUBLIC).keys() == {check}
        with connection.transaction():
            pass  # the connection is as it was before
    assert database.rows("SELECT nspname FROM pg_namespace WHERE nspname = %s", SCRATCH) == []


def test_two_texts_for_one_object_are_each_tried(database: Database) -> None:
    database.execute("CREATE TABLE t (a integer DEFAULT 1 + 1)")
    asked = [("column t.a", "integer default (1 + 1)"), ("column t.a", "integer default ((1) + 2)")]
    with connected(database) as connection:
        found = printed_again(connection, asked, read(database), PUBLIC)
    assert found == {asked[0]: "integer default (1 + 1)", asked[1]: "integer default (1 + 2)"}


def test_a_role_that_may_make_no_schema_finds_nothing_out(server: Server, make_database: MakeDatabase) -> None:
    owned = make_database()
    owned.execute("CREATE TABLE t (a varchar(5) CHECK (a IN ('a', 'b')))")
    owned.as_superuser.execute(f'ALTER DATABASE "{owned.name}" OWNER TO postgres')
    assert spelled(owned) == {}


def test_an_event_trigger_of_the_users_does_not_see_it(database: Database) -> None:
    superuser = database.as_superuser
    superuser.execute("CREATE TABLE t (a varchar(5) CHECK (a IN ('a', 'b')))")
    superuser.execute(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    superuser.execute("CREATE EVENT TRIGGER no ON ddl_command_end EXECUTE FUNCTION no()")
    assert spelled(superuser).keys() == {("constraint t.t_a_check", read(superuser)["constraint t.t_a_check"])}


def test_no_sequence_moves_and_no_row_counts(database: Database) -> None:
    database.execute("CREATE TABLE t (id serial, a varchar(5) DEFAULT lower('A') CHECK (a IN ('a', 'b')))")
    database.execute("INSERT INTO t (a) VALUES ('a'), ('b')")
    assert spelled(database)
    database.execute("INSERT INTO t (a) VALUES ('a')")
    assert database.rows("SELECT max(id), count(*) FROM t") == [(3, 3)]


def test_a_dump_tells_the_spelling_of_the_database_that_it_came_from(place: Place) -> None:
    database, bin_dir = place.database_with_expressions(), place.bin_dir
    first = read(database)
    restored = place.make_database()
    dump = subprocess.run(
        [bin_dir / "pg_dump", "--schema-only", "--no-owner", "--no-privileges", database.url],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    dump_and_restore(bin_dir, database.url, restored.url)
    schema = read(restored)
    with connected(restored) as connection:
        found = spellings_of_dump(connection, dump, schema, PUBLIC)
    groups = Spellings((identity, (definition, *others)) for (identity, definition), others in found.items())
    left = compare(schema, first, same_major=True, canonical=groups.canonical)
    assert not left, [each.identity for each in left.changed]
