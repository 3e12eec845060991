"""What the manifest says of a generated history is what plain Alembic makes of it, at every revision."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from migrate.core.manifest.manifest import Manifest
from migrate.core.manifest.match import Exact, Several
from migrate.core.schema.differences import parse
from migrate.postgres.catalog import schema_of
from tests.support.histories import write_branches, write_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import MakeDatabase, RunMigrate
    from tests.support.project import Project
    from tests.support.server import Database, Server

pytestmark = pytest.mark.deep

# What the catalog reader has entries for, and a history of raw SQL can make without a superuser.
KINDS = {
    "table", "view", "materialized view", "domain", "column", "constraint", "index", "trigger", "rule", "policy",
    "options", "row security", "replica identity", "extension", "collation", "enum", "type", "range", "sequence",
    "function", "procedure", "aggregate", "statistics",
}  # fmt: skip


class PlainAlembic:
    """`alembic upgrade`, as its command does it, with the revision files imported once for all calls."""

    def __init__(self, project: Project) -> None:
        self.config = Config(str(project.ini))
        self.script = ScriptDirectory.from_config(self.config)

    def upgrade(self, target: str) -> None:
        """Bring the database of DATABASE_URL to the target."""
        script = self.script
        with EnvironmentContext(self.config, script, fn=lambda heads, _: script._upgrade_revs(target, heads)):
            script.run_env()


def schema_without_versions(database: Database) -> dict[str, str]:
    """The schema as it is when somebody has dropped the version table."""
    with closing(psycopg2.connect(database.url)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE alembic_version")
        # Nothing is known of a version table in a database that has none.
        schema = schema_of(cursor, schemas=["public"], version_table=("public", "none"))
        connection.rollback()
        return schema


def check_identified(found: Manifest, seen: dict[str, dict[str, str]]) -> None:
    """Every revision is identified as itself or as the very set of those that leave the same schema."""
    alone = 0
    for id_, live in seen.items():
        equal = {(other,) for other, schema in seen.items() if schema == live}
        match = found.identify(live, major=found.postgres)
        if isinstance(match, Exact):
            assert {match.rows} == equal, id_
            alone += 1
        else:
            assert isinstance(match, Several), (id_, match)
            # version rows of several heads, and the base, may be equal too
            assert {rows for rows in match.candidates if len(rows) == 1} == equal, id_
        assert found.schema_at([id_]) == live, id_
    assert alone > len(seen) / 2


def written(project: Project, server: Server, run_migrate: RunMigrate, *flags: str) -> Manifest:
    made = run_migrate("manifest", *flags, env={"MIGRATE_SHADOW_URL": server.url()}, timeout_seconds=300)
    made.check_clean()
    assert made.exit_code == 0, made.finished
    assert made.finished is not None
    assert not made.named("image.warning")
    assert leftovers(server, made.finished["run_id"]) == []
    return Manifest.parse((project.path / "migrations" / "manifest.json").read_text("utf-8"))


def leftovers(server: Server, run_id: str) -> list[str]:
    with closing(psycopg2.connect(server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ %s", [run_id])
        return [row[0] for row in cursor.fetchall()]


def kinds(schemas: Iterable[dict[str, str]]) -> set[str]:
    return {parse(identity).kind for schema in schemas for identity in schema}


@pytest.mark.timeout(600)
def test_a_line_of_300_revisions_with_every_kind_of_object(
    project: Project, server: Server, database: Database, run_migrate: RunMigrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write_line(project, 300)
    found = written(project, server, run_migrate)
    monkeypatch.setenv("DATABASE_URL", database.url)
    plain = PlainAlembic(project)
    seen: dict[str, dict[str, str]] = {}
    for id_ in ids:
        plain.upgrade(id_)
        assert database.rows("SELECT version_num FROM alembic_version") == [(id_,)]
        seen[id_] = schema_without_versions(database)
    assert kinds(seen.values()) >= KINDS
    check_identified(found, seen)


@pytest.mark.timeout(600)
def test_branches_and_merges(
    project: Project,
    server: Server,
    make_database: MakeDatabase,
    run_migrate: RunMigrate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = write_branches(project, 50)
    found = written(project, server, run_migrate)
    plain = PlainAlembic(project)
    seen: dict[str, dict[str, str]] = {}
    for id_ in ids:
        fresh = make_database()
        monkeypatch.setenv("DATABASE_URL", fresh.url)
        plain.upgrade(id_)
        seen[id_] = schema_without_versions(fresh)
    check_identified(found, seen)
    merges = [entry.revision for entry in found.revisions if len(entry.revision.down) > 1]
    assert len(merges) > 2
    assert any(entry.revision.depends_on for entry in found.revisions)
