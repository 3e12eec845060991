"""The example through its releases: two images of it on one database, and a database that nobody migrated."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import minimal_environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "newsifier"
LAST, BEFORE_LAST = "e8f921b5c3d1", "dbc1bc75a79e"
CREATE_ALL = """
import os
import sqlalchemy
from newsifier.models import Base
from newsifier.settings import Settings
engine = sqlalchemy.create_engine(Settings.from_environment().database_url)
Base.metadata.create_all(engine)
"""
DROPS_A_COLUMN = '''"""Drop the source of an article."""

import sqlalchemy as sa
from alembic import op

revision = "f00000000001"
down_revision = "e8f921b5c3d1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("articles", "url")


def downgrade() -> None:
    op.add_column("articles", sa.Column("url", sa.Text()))
'''


@pytest.fixture
def image(tmp_path):
    """Make a copy of the example, which a test may change into another release."""

    def make(name):
        folder = tmp_path / name
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    return make


def without_the_last_revision(folder):
    next(folder.glob(f"alembic/versions/{LAST}_*")).unlink()
    return folder


@pytest.fixture
def write_manifest(run_migrate, server):
    def write(folder):
        made = run_migrate("manifest", cwd=folder, env={"MIGRATE_SHADOW_URL": server.url()})
        assert made.exit_code == 0, made.stdout

    return write


def test_the_committed_manifest_is_up_to_date(run_migrate):
    result = run_migrate("manifest", "--check", cwd=EXAMPLE)
    result.check_clean()
    assert result.exit_code == 0


def test_a_rollback_over_a_relaxed_column_starts(image, database, run_migrate, write_manifest):
    newer = image("newer")
    older = without_the_last_revision(image("older"))
    write_manifest(older)
    assert run_migrate("up", database=database, cwd=older).finished["to_revision"] == [BEFORE_LAST]
    plan = run_migrate("plan", database=database, cwd=newer)
    plan.check_clean()
    assert plan.exit_code == 0
    assert not any("breaks the release" in event["message"] for event in plan.named("state.finding"))
    assert run_migrate("up", database=database, cwd=newer).finished["applied"] == [LAST]
    back = run_migrate("up", database=database, cwd=older)
    back.check_clean()
    assert (back.exit_code, back.finished["outcome"]) == (0, "ahead")


def test_a_rollback_over_a_dropped_column_is_refused_and_was_foretold(image, database, run_migrate, write_manifest):
    older = image("older")
    newer = image("newer")
    (newer / "alembic/versions/f00000000001_drop_url.py").write_text(DROPS_A_COLUMN)
    write_manifest(newer)
    assert run_migrate("up", database=database, cwd=older).exit_code == 0
    plan = run_migrate("plan", database=database, cwd=newer)
    (foretold,) = [event["message"] for event in plan.named("state.finding")]
    assert "articles.url" in foretold
    assert "f00000000001_drop_url.py" in foretold
    refused = run_migrate("up", "--breaking", "refuse", database=database, cwd=newer)
    assert (refused.exit_code, refused.finished["problem"]) == (12, "breaking-change")
    assert run_migrate("up", database=database, cwd=newer).exit_code == 0
    back = run_migrate("up", database=database, cwd=older)
    back.check_clean()
    assert (back.exit_code, back.finished["problem"]) == (16, "ahead")
    assert "articles.url" in back.finished["why"]


def test_a_database_made_by_create_all_is_explained(database, run_migrate):
    environment = {**minimal_environment(), "DATABASE_URL": database.url}
    subprocess.run([sys.executable, "-c", CREATE_ALL], cwd=EXAMPLE, env=environment, check=True)
    same = run_migrate("verify", "--at", LAST, database=database, cwd=EXAMPLE)
    same.check_clean()
    assert same.exit_code == 0, "the models and the history agree, object by object"
    database.execute("ALTER TABLE articles DROP COLUMN url")
    database.execute("DROP TABLE apify_credentials CASCADE")
    differing = run_migrate("up", database=database, cwd=EXAMPLE)
    differing.check_clean()
    assert (differing.exit_code, differing.finished["problem"]) == (15, "untracked")
    explained = json.loads(run_migrate("verify", "--at", LAST, "--json", database=database, cwd=EXAMPLE).stdout)
    assert "column articles.url is missing in the database" in explained["sentences"]
    assert "table apify_credentials is missing in the database" in explained["sentences"]


def test_the_wrong_constraint_is_drift(image, database, run_migrate, write_manifest):
    """The real service's `1a51ab641644` dropped a constraint that never existed: the manifest finds it out."""
    wrong = image("wrong")
    fixture = EXAMPLE.parents[1] / "tests/fixtures/newsifier_wrong_constraint"
    (file,) = fixture.glob("1a51ab641644_*.py")
    shutil.copy(file, wrong / "alembic/versions" / file.name)
    assert run_migrate("up", database=database, cwd=wrong).finished["problem"] == "stale-manifest"
    result = run_migrate("up", "--stale", "warn", database=database, cwd=wrong)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (32, "unproven")
    assert "apify_webhook_raw" in result.finished["why"]
