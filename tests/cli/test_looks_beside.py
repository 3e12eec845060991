"""What a revision has left is read while the next one runs: and it is read as it was, whatever that one does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from migrate.core.manifest.manifest import Manifest
from migrate.postgres.catalog import Where
from migrate.shadow.ground import Snapshot
from migrate.shadow.meanwhile import Overtaken
from migrate.shadow.replay import Replay

if TYPE_CHECKING:
    from migrate.shadow.ground import Ground
    from tests.conftest import RunMigrate
    from tests.support.project import Project

# What the guess from the programs does not see: names and words that are put together.
_TABLE = 'op.create_table("noted", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)))'
_HIDDEN = "op.execute(f\"ALTER TABLE {'no'}{'ted'} ADD COLUMN more int\")"
# It takes longer to read than the next revision takes to begin; and it holds no lock, as a default would.
_MANY = """
op.execute("; ".join(f"CREATE TABLE noted{n} (name varchar(9)); CREATE INDEX ix{n} ON noted{n} (name)" for n in range(1500)))
"""
_RENAMES_AT_ONCE = """
import importlib, os
driver = importlib.import_module("psyc" + "opg2")
beside = getattr(driver, "conn" + "ect")(os.environ["DATABASE_URL"])
beside.cursor().execute("ALTER TABLE no" + "ted1499 RE" + "NAME name TO called")
getattr(beside, "com" + "mit")()
beside.close()
"""


def schemas(run_migrate: RunMigrate, project: Project, *ids: str) -> list[dict[str, str]]:
    result = run_migrate("manifest")
    assert result.exit_code == 0, result.finished
    manifest = Manifest.parse(project.manifest.read_text())
    return [dict(manifest.schema_at((id_,)) or {}) for id_ in ids]


def test_a_revision_that_locks_what_the_one_before_has_made_is_waited_for(
    project: Project, run_migrate: RunMigrate
) -> None:
    """The default of a serial column is not printed while others hold its table: that look is taken by itself."""
    project.revision("r1", upgrade=_TABLE)
    project.revision("r2", down="r1", upgrade=_HIDDEN)
    first, second = schemas(run_migrate, project, "r1", "r2")
    assert "column noted.more" not in first
    assert second == {**first, "column noted.more": "integer"}


def test_what_is_committed_meanwhile_on_a_connection_of_its_own_is_not_taken_for_what_was_there(
    project: Project, run_migrate: RunMigrate
) -> None:
    """Names are read in a snapshot, but the server prints an index as it is by then."""
    project.revision("r1", upgrade=_MANY)
    project.revision("r2", down="r1", upgrade=_RENAMES_AT_ONCE)
    first, second = schemas(run_migrate, project, "r1", "r2")
    assert (first["index noted1499.ix1499"], second["index noted1499.ix1499"]) == ("btree (name)", "btree (called)")


def test_expressions_are_executed_again_though_the_next_revision_locks_their_table(
    project: Project, run_migrate: RunMigrate
) -> None:
    check = "op.execute(\"ALTER TABLE noted ADD CONSTRAINT few CHE\" + \"CK (name IN ('a', 'b'))\")"
    project.revision("r1", upgrade=_TABLE)
    project.revision("r2", down="r1", upgrade=check)
    project.revision("r3", down="r2", upgrade=_HIDDEN)
    schemas(run_migrate, project)
    assert '"= constraint noted.few: ' in project.manifest.read_text()


def test_no_definition_is_executed_while_a_revision_is_at_work() -> None:
    """What cannot be had for another's lock would count as printed in one way alone."""
    order = SimpleNamespace(policy=SimpleNamespace(transaction=None))
    replay = Replay(cast("Ground", SimpleNamespace(image=None, order=order, is_looking=True)))
    replay._spelled = {}
    seen = Snapshot((), {"constraint t.few": "CHECK (name = ANY (ARRAY['a', 'b']))"}, Where(("public",), "public", ()))
    with pytest.raises(Overtaken):
        replay._execute_again(seen)
    assert replay._spelled == {}
