"""The manifest that was written on one major version of PostgreSQL is true on the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrate.shadow.embedded import installed_binaries, throwaway_server
from tests.cli.test_verify_every_kind import SCHEMA

pytestmark = pytest.mark.versions
EXAMPLE = Path(__file__).parents[2] / "examples" / "newsifier"
SERVERS = {binaries.version[0]: binaries for binaries in reversed(list(installed_binaries()))}


def test_there_is_more_than_one_major_version():
    """Without this, a machine that lacks the servers would pass having compared nothing."""
    assert {15, 17, 18} <= set(SERVERS), sorted(SERVERS)


@pytest.fixture(params=sorted(SERVERS))
def other(request):
    with throwaway_server(binaries=SERVERS[request.param]) as server:
        yield server


def test_the_examples_manifest_is_true(other, run_migrate):
    environ = {"DATABASE_URL": other.url()}
    assert json.loads((EXAMPLE / "alembic/manifest.json").read_text())["postgres"] == 17
    up = run_migrate("up", cwd=EXAMPLE, env=environ)
    assert up.exit_code == 0, up.stdout
    assert up.named("proof.finished")[0]["proof"] == "manifest"
    assert run_migrate("verify", cwd=EXAMPLE, env=environ).exit_code == 0


def test_a_manifest_with_every_kind_of_object_is_true(other, server, project, run_migrate):
    project.revision("one", upgrade=f"op.execute('''{SCHEMA}''')")
    made = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert made.exit_code == 0, made.stdout
    environ = {"DATABASE_URL": other.url()}
    up = run_migrate("up", env=environ)
    assert up.exit_code == 0, up.stdout
    verify = run_migrate("verify", "--json", env=environ)
    assert verify.exit_code == 0, verify.stdout
