"""`migrate test` finds nothing in the example: it goes up, down and up again, with rows and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process import Running, migrate_command, minimal_environment

if TYPE_CHECKING:
    from tests.support.server import Server

pytestmark = pytest.mark.deep

EXAMPLE = Path(__file__).parents[2] / "examples" / "newsifier"


@pytest.mark.timeout(600)
def test_all_revisions_of_the_example_are_clean(server: Server) -> None:
    env = {**minimal_environment(), "MIGRATE_SHADOW_URL": server.admin_url}
    done = Running(migrate_command("test", "--json"), cwd=EXAMPLE, env=env).finish(500.0)
    said = json.loads(done.stdout)
    assert done.exit_code == 0, said.get("why")
    found = [case for case in said["cases"] if case["verdict"] in {"failed", "warned"}]
    assert {case["check"] for case in found} == {"locks"}, "it builds indexes and scans as its authors wrote it"
    passed = {(case["revision"], case["check"]) for case in said["cases"] if case["verdict"] == "passed"}
    revisions = {case["revision"] for case in said["cases"]} - {None}
    assert len(revisions) == 8
    for revision in revisions:
        assert {(revision, check) for check in ("upgrade", "schema", "downgrade", "again")} <= passed
    assert (
        sum(check in {"rows", "kept", "filled"} for _, check in passed) == 7 * 3
    )  # before the first there is no table
    assert {(None, "heads"), (None, "twice"), (None, "models")} <= passed
