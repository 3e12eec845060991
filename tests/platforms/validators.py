"""Each platform's own reader, or the closest to it that runs without a network: a finding is a failed assertion."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import typing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import botocore.session
import botocore.validate
import yaml
from azure.mgmt.appcontainers import models
from railway_sdk import create_railway_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def check_railway_py(file: Path) -> dict[str, Any]:
    """Run the file with Railway's SDK as Railway's CLI would; the project that it describes, in the CLI's own form."""
    described: dict[str, Any] = runpy.run_path(str(file))["main"](
        create_railway_context(environment="production")
    ).to_graph()
    return described


def check_gitlab(file: Path) -> dict[str, Any]:
    """Check against GitLab's schema; the file's content."""
    run("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", file)
    check_yaml(file)
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def check_ecs(file: Path) -> dict[str, Any]:
    """A task definition: see `_check_against_api`."""
    return _check_against_api(file, "ecs", "RegisterTaskDefinition")


def check_batch(file: Path) -> dict[str, Any]:
    """A job definition: see `_check_against_api`."""
    return _check_against_api(file, "batch", "RegisterJobDefinition")


def _check_against_api(file: Path, service: str, operation: str) -> dict[str, Any]:
    """Check against the model of the API that AWS's own tools are made from: a key that it does not know is a finding."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(found, shape)
    assert not report.has_errors(), report.generate_report()
    return found


def check_azure_job(file: Path) -> dict[str, Any]:
    """Check the keys against the models of Azure's SDK, which knows no file: one that they do not have is a finding."""
    check_yaml(file)
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert not list(_unknown(models.Job, {key: found[key] for key in found if key != "type"}))
    return found


def _unknown(model: Any, value: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a value that a model of Azure's SDK does not have, at any depth."""
    model({})  # the SDK fills its tables in when a model is made for the first time
    kinds = typing.get_type_hints(model, localns={"_models": models})
    attributes = {field._rest_name: name for name, field in model._attr_to_rest_field.items()}
    for key, content in value.items():
        if key not in attributes:
            yield f"{model.__name__}.{key}"
            continue
        inner = [
            kind for kind in _flat(kinds[attributes[key]]) if getattr(kind, "__module__", "") == models.Job.__module__
        ]
        for each in content if isinstance(content, list) else [content]:
            if inner and isinstance(each, dict):
                yield from _unknown(inner[0], each)


def _flat(kind: Any) -> Iterator[Any]:
    for part in typing.get_args(kind):
        yield from _flat(part)
    yield kind


class ComposeLoader(yaml.SafeLoader):
    """YAML with Compose's own tags: `!reset` takes away what is extended, `!override` stands in its place."""


ComposeLoader.add_constructor("!reset", lambda _loader, _node: None)
ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_mapping(node, deep=True))


def read_compose(file: Path) -> dict[str, Any]:
    """The file's services, without what they extend."""
    services: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), ComposeLoader)["services"]
    return services


def check_compose(file: Path) -> None:
    """Check against the Compose specification, whose schema does not know Compose's tags."""
    there = {
        name: {key: value for key, value in service.items() if value is not None}
        for name, service in read_compose(file).items()
    }
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "compose.json"
        plain.write_text(json.dumps({"services": there}), encoding="utf-8")
        run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", plain)
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
