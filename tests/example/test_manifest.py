"""The example's committed manifest is what a replay of its history makes."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "newsifier"


def test_the_examples_manifest_is_true(run_migrate, server):
    """Replayed in full: a check alone trusts the hashes."""
    result = run_migrate("manifest", "--check", "--full", cwd=EXAMPLE, env={"MIGRATE_SHADOW_URL": server.url()})
    result.check_clean()
    assert result.exit_code == 0, result.finished
    assert result.finished["revisions"] == 8
