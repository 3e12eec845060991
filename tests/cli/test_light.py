"""A run with nothing to do stays light: what it must not import, seen in `sys.modules` of the real process."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

NEVER = {
    *("alembic", "sqlalchemy", "structlog", "asyncio", "rich"),
    *("_hashlib", "importlib.metadata", "logging", "socket", "ssl", "subprocess", "tempfile", "tomllib", "traceback"),
    *(f"migrate.core.decide.{name}" for name in ("backup", "repair")),
    *("migrate.core.decide.downgrade", "migrate.core.problems.privileges", "migrate.core.schema.compatibility"),
    *("migrate.trial", "migrate.shadow", "migrate.doctor"),
    *(f"migrate.postgres.{name}" for name in ("activity", "guard", "residue")),
    *(f"migrate.steps.{name}" for name in ("adopt", "backup", "repair", "upgrade", "proof")),
    "migrate.child.parent",
    "migrate.settings.groups",  # the help
}
WITHOUT_MANIFEST = {"migrate.core.manifest.manifest", "migrate.core.schema.differences", "migrate.postgres.catalog"}
# What a revision that works has no use for: what a failure means, what its rows must be like.
WITHOUT_TROUBLE = {
    *WITHOUT_MANIFEST,
    *(f"migrate.core.foresee.{name}" for name in ("needs", "opaque", "proving")),
    *("migrate.core.manifest.holding", "migrate.core.schema.expressions"),
}
PROGRAM = """
import json, sys
from migrate.cli import run
code = run(sys.argv[1:])
print(json.dumps({"loaded": list(sys.modules), "code": code}))
"""


def run_here(project, database, verb):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, verb],
        cwd=project.path,
        env={"DATABASE_URL": database.url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("with_manifest", [False, True])
@pytest.mark.parametrize("verb", ["up", "plan", "status"])
def test_nothing_to_do_imports_nothing_heavy(project, database, run_migrate, verb, with_manifest, write_manifest):
    project.linear(3)
    if with_manifest:
        write_manifest()
    assert run_migrate("up", database=database).exit_code == 0
    lines = run_here(project, database, verb)
    assert lines[-2]["outcome"] == "noop"
    assert lines[-1]["code"] == 0
    loaded = set(lines[-1]["loaded"])
    assert loaded & (NEVER if with_manifest else NEVER | WITHOUT_MANIFEST) == set()
    assert ("click" in loaded) is (verb != "up")  # a plain line of the verb that runs in every release needs none
    # The names above exist: a module that was renamed would be missed for ever.
    assert [name for name in NEVER | WITHOUT_TROUBLE if find_spec(name) is None] == []
    assert (loaded >= WITHOUT_MANIFEST) is with_manifest


@pytest.mark.parametrize("is_first", [True, False])
def test_a_pending_revision_imports_nothing_that_only_trouble_needs(project, database, run_migrate, is_first):
    ids = project.linear(3)
    if not is_first:
        assert run_migrate("up", "--target", ids[1], database=database).exit_code == 0
    lines = run_here(project, database, "up")
    assert lines[-2]["applied"] == (ids if is_first else ids[2:])
    assert WITHOUT_TROUBLE & set(lines[-1]["loaded"]) == set()


def test_the_process_that_runs_revisions_imports_what_alembic_needs(project, database, run_migrate):
    project.write_env()
    project.revision("r1", upgrade="import sys; print(sorted({'pygments', 'rich', 'structlog'} & set(sys.modules)))")
    ran = run_migrate("up", database=database)
    assert ran.exit_code == 0
    assert [event["message"] for event in ran.named("revision.output")] == ["[]"]
