"""What `make demo` runs on its throw-away server says what the README promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.example.test_newsifier import REVISIONS
from tests.support.process import minimal_environment

SCRIPT = Path(__file__).parents[2] / "examples" / "demo.sh"


def test_the_demo(database):
    done = subprocess.run(
        ["bash", str(SCRIPT), str(Path(sys.executable).parent / "migrate")],
        env={**minimal_environment(), "DATABASE_URL": database.url},
        capture_output=True,
        check=True,
    )
    said = done.stdout.decode()
    assert [line for line in said.splitlines() if line.startswith("{")] == [], (
        "it is read by people, from its beginning"
    )
    head = list(REVISIONS)[-1]
    first, status, rest = (
        said.partition("# migrate status")[0],
        *said.partition("# migrate status")[2].split("# migrate up, again"),
    )
    second, refused = rest.split("# somebody's rollback")
    refused, adopted = refused.split("# migrate adopt")
    assert f"up: {len(REVISIONS)} revisions applied, now at {head}" in first
    assert f"({head})" in status
    assert f"up: nothing to do at {head}" in second
    assert "(unknown-revision, exit code 15)" in refused
    assert "# exit code 15" in refused
    assert f"adopted at {head}" in adopted
