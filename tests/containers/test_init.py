"""The Compose overlay that `migrate init` writes, beside a user's own Compose file."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from migrate.core.problems import ExitCode
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
    try:
        # The database has no health check here: the job waits for the server by itself. `run` starts it. Its URL is the
        # service's own.
        planned = docker(*project, "run", "--build", "--rm", "migrate", "plan")
        assert (planned.exit_code, planned.finished["pending_count"]) == (0, 8), planned
        # What the README shows: the job, then the service.
        (block,) = (block for block in BLOCKS if block.page == "README.md" and "docker compose" in block.text)
        (command,) = block.commands
        run, up = (shlex.split(part.replace(" compose.", f" {tmp_path}/compose."))[2:] for part in command.split("&&"))
        last = must(docker("compose", "-p", project[2], *run)).finished
        assert (last["outcome"], last["applied_count"]) == ("applied", 8)
        must(docker("compose", "-p", project[2], *up))
        assert must(docker(*project, "ps", "--all", "--quiet", "migrate")).stdout == "", "the job did not run again"
        # A rollback to an image that does not know the database's revision: what the fix exports reaches the job.
        sql = "UPDATE alembic_version SET version_num = 'of a later release'"
        must(docker(*project, "exec", "db", "psql", "-U", "postgres", "-c", sql))
        assert docker("compose", "-p", project[2], *run).exit_code == ExitCode.STATE
        accepted = must(docker("compose", "-p", project[2], *run, env={"MIGRATE_AHEAD": "accept"})).finished
        assert accepted["outcome"] == "ahead"
        # `up` with both files runs the job, and starts the service only after it.
        must(docker(*project, "up", "--wait", "api", env={"MIGRATE_AHEAD": "accept"}))
        (job,) = must(docker(*project, "ps", "--all", "--quiet", "migrate")).stdout.split()
        assert docker("logs", job).finished["outcome"] == "ahead"
    finally:
        docker(*project, "down", "--volumes", "--rmi", "local", "--timeout", "1")
