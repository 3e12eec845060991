"""What `make demo` runs on its throw-away server says what the README promises."""

from __future__ import annotations

import json
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
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    ends = [line for line in lines if line["event"] == "run.finished"]
    first, status, second = ends
    assert (first["outcome"], first["exit_code"], first["applied"]) == ("applied", 0, list(REVISIONS))
    assert status["position"] == "at-head"
    assert (second["outcome"], second["exit_code"], second["applied"]) == ("noop", 0, [])
    assert "(unknown-revision, exit code 15)" in said
    assert "# exit code 15" in done.stderr.decode()
    assert f"adopted at {list(REVISIONS)[-1]}" in said
