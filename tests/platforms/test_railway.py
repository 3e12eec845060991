"""Railway's files: the keys it documents, and TypeScript compiled against its real SDK."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.platforms.validators import ROOT, check_railway_json, check_railway_ts


@pytest.mark.parametrize("name", ["railway.json", "railway.migrate.json", "railway.web-wait.json"])
def test_the_keys_are_those_that_railway_documents(name: str) -> None:
    found = check_railway_json(ROOT / name)
    assert (ROOT / found["build"]["dockerfilePath"]).is_file()


def test_the_check_finds_a_key_that_is_none(tmp_path) -> None:
    file = tmp_path / "railway.json"
    file.write_text(json.dumps({"deploy": {"preDeployComand": ["migrate up"]}}), encoding="utf-8")
    with pytest.raises(AssertionError, match="preDeployComand"):
        check_railway_json(file)


def test_the_web_service_migrates_before_it_is_deployed_and_never_at_its_start() -> None:
    deploy = check_railway_json(ROOT / "railway.json")["deploy"]
    assert deploy["preDeployCommand"] == ["migrate up"]
    assert "migrate" not in deploy["startCommand"]
    assert deploy["healthcheckPath"] == "/health"


def test_the_migrate_service_runs_its_image_once() -> None:
    found = check_railway_json(ROOT / "railway.migrate.json")
    assert found["build"]["dockerfilePath"] == "Dockerfile"
    assert found["deploy"]["restartPolicyType"] == "NEVER"
    assert "startCommand" not in found["deploy"], "the image's own ENTRYPOINT and CMD"


def test_beside_a_migrate_service_the_web_service_waits_and_is_otherwise_the_same() -> None:
    own, waiting = (check_railway_json(ROOT / name) for name in ("railway.json", "railway.web-wait.json"))
    assert waiting["deploy"].pop("preDeployCommand") == ["migrate wait --timeout 15m"]
    own["deploy"].pop("preDeployCommand")
    assert waiting == own


def test_both_formats_say_the_same(tmp_path) -> None:
    project = check_railway_ts(ROOT / ".railway" / "railway.ts", tmp_path)
    (database,) = (resource for resource in project["resources"] if resource["type"] == "database")
    (web,) = (resource for resource in project["resources"] if resource["type"] == "service")
    assert database["engine"] == "postgres"
    assert web["variables"]["DATABASE_URL"] == {
        "type": "reference",
        "resource": database["address"],
        "output": "DATABASE_URL",
    }
    of_json = check_railway_json(ROOT / "railway.json")
    assert web["build"] == of_json["build"]
    assert web["deploy"] == of_json["deploy"]


def test_the_compiler_finds_an_option_that_is_none(tmp_path) -> None:
    text = (ROOT / ".railway" / "railway.ts").read_text(encoding="utf-8")
    file = tmp_path / "railway.ts"
    file.write_text(text.replace("preDeploy:", "preDeployy:"), encoding="utf-8")
    with pytest.raises(AssertionError, match="preDeployy"):
        check_railway_ts(file, tmp_path / "workbench")


def test_the_commands_are_ones_that_this_tool_has() -> None:
    for name in ("railway.json", "railway.web-wait.json"):
        (command,) = check_railway_json(ROOT / name)["deploy"]["preDeployCommand"]
        assert not set(command) & set("&|;<>$`"), "Railway runs it without a shell"
        program, verb, *flags = command.split()
        help_text = subprocess.run(
            [sys.executable, "-m", program, verb, "--help"], capture_output=True, text=True, check=True
        )
        assert all(flag in help_text.stdout for flag in flags if flag.startswith("--"))
