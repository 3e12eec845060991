"""The Compose overlay that `migrate init` writes, beside a user's own Compose file."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.containers.conftest import WEB_IMAGE, docker, must
from tests.docs.blocks import BLOCKS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

URL = "postgresql://postgres:for-tests-only@db:5432/postgres"
OWN = {
    "services": {
        "db": {
            "image": "postgres:17",
            "environment": {"POSTGRES_PASSWORD": "for-tests-only"},
            "tmpfs": ["/var/lib/postgresql/data"],
        },
        "api": {
            "build": ".",
            "depends_on": ["db"],
            "environment": {"DATABASE_URL": URL},
            "healthcheck": {
                "test": [
                    "CMD",
                    "python",
                    "-c",
                    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')",
                ],
                "interval": "1s",
                "retries": 30,
            },
        },
    },
}


def test_the_overlay_holds_the_users_service_until_the_job_has_ended(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(json.dumps(OWN, indent=2), encoding="utf-8")
    (tmp_path / "Dockerfile").write_text(f"FROM {WEB_IMAGE}\n", encoding="utf-8")
    init = [sys.executable, "-m", "migrate", "init", "compose", "--service", "api"]
    subprocess.run(init, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    files = [f"--file={tmp_path / name}" for name in ("compose.yaml", "compose.release.yaml")]
    project = ("compose", "-p", f"init-{secrets.token_hex(4)}", *files)
    env = {"DATABASE_URL": URL}
    try:
        # The database has no health check here: the job waits for the server by itself. `run` starts it.
        planned = docker(*project, "run", "--build", "--rm", "migrate", "plan", env=env)
        assert (planned.exit_code, planned.finished["pending_count"]) == (0, 8), planned
        # What the README shows: the job, then the service.
        (block,) = (block for block in BLOCKS if block.page == "README.md" and "docker compose" in block.text)
        run, up = (shlex.split(command.replace(" compose.", f" {tmp_path}/compose."))[2:] for command in block.commands)
        last = must(docker("compose", "-p", project[2], *run, env=env)).finished
        assert (last["outcome"], last["applied_count"]) == ("applied", 8)
        must(docker("compose", "-p", project[2], *up, env=env))
        must(docker(*project, "up", "--wait", "api", env=env))
        (job,) = must(docker(*project, "ps", "--all", "--quiet", "migrate", env=env)).stdout.split()
        assert docker("logs", job).finished["outcome"] == "noop"
    finally:
        docker(*project, "down", "--volumes", "--rmi", "local", "--timeout", "1", env=env)
