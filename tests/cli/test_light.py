"""A run with nothing to do stays light: what it must not import, seen in `sys.modules` of the real process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("alembic", "sqlalchemy", "structlog", "asyncio", "rich")
PROGRAM = f"""
import sys
from migrate.cli import run
code = run(sys.argv[1:])
loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r}))
import json
print(json.dumps({{"loaded": loaded, "code": code}}))
"""


@pytest.mark.parametrize("with_manifest", [False, True])
@pytest.mark.parametrize("verb", ["up", "plan", "status"])
def test_nothing_to_do_imports_nothing_heavy(project, server, database, run_migrate, verb, with_manifest):
    project.linear(3)
    if with_manifest:
        assert run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()}).exit_code == 0
    assert run_migrate("up", database=database).exit_code == 0
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, verb],
        cwd=project.path,
        env={"DATABASE_URL": database.url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-2]["outcome"] == "noop"
    assert lines[-1] == {"loaded": [], "code": 0}
