"""Railway's files: the keys it documents, and TypeScript compiled against its real SDK."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from migrate.core.deployment import MARGIN_S
from migrate.settings.kinds import Duration
from tests.platforms.validators import ROOT, check_railway_json, check_railway_ts

pytestmark = pytest.mark.deep


@pytest.mark.parametrize("name", ["railway.json", "railway.migrate.json", "railway.web-wait.json"])
def test_the_keys_are_those_that_railway_documents(name: str) -> None:
    found = check_railway_json(ROOT / name)
    assert (ROOT / found["build"]["dockerfilePath"]).is_file()


def test_the_check_finds_a_key_that_is_none(tmp_path) -> None:
    file = tmp_path / "railway.json"
    file.write_text(json.dumps({"deploy": {"preDeployComand": ["migrate up --strict"]}}), encoding="utf-8")
    with pytest.raises(AssertionError, match="preDeployComand"):
        check_railway_json(file)


def test_the_web_service_migrates_before_it_is_deployed_and_only_waits_at_its_start() -> None:
    deploy = check_railway_json(ROOT / "railway.json")["deploy"]
    assert deploy["preDeployCommand"] == ["migrate up --strict --deadline 59m"]
    assert deploy["startCommand"].startswith("migrate wait -- sh -c 'exec uvicorn ")
    assert deploy["startCommand"].count("migrate") == 1
    assert deploy["healthcheckPath"] == "/health"


def test_the_job_ends_by_itself_before_railway_gives_it_up(tmp_path) -> None:
    project = check_railway_ts(ROOT / ".railway" / "railway.ts", tmp_path)
    (web,) = (resource for resource in project["resources"] if resource["type"] == "service")
    deadline = Duration().read(web["variables"]["MIGRATE_DEADLINE"]["value"])
    assert MARGIN_S <= web["deploy"]["preDeployTimeoutSeconds"] - deadline <= 2 * MARGIN_S
    of_json = check_railway_json(ROOT / "railway.json")["deploy"]
    assert of_json["preDeployTimeoutSeconds"] == web["deploy"]["preDeployTimeoutSeconds"]
    assert of_json["preDeployCommand"] == [
        f"migrate up --strict --deadline {web['variables']['MIGRATE_DEADLINE']['value']}"
    ]
    waiting = check_railway_json(ROOT / "railway.web-wait.json")["deploy"]
    assert waiting["preDeployTimeoutSeconds"] > 15 * 60


def test_the_migrate_service_runs_its_image_once() -> None:
    found = check_railway_json(ROOT / "railway.migrate.json")
    assert found["build"]["dockerfilePath"] == "Dockerfile"
    assert found["deploy"]["restartPolicyType"] == "NEVER"
    assert "startCommand" not in found["deploy"], "the image's own ENTRYPOINT and CMD"


def test_beside_a_migrate_service_the_web_service_waits_and_is_otherwise_the_same() -> None:
    own, waiting = (check_railway_json(ROOT / name) for name in ("railway.json", "railway.web-wait.json"))
    assert waiting["deploy"].pop("preDeployCommand") == ["migrate wait --timeout 15m"]
    del waiting["deploy"]["preDeployTimeoutSeconds"]
    del own["deploy"]["preDeployCommand"], own["deploy"]["preDeployTimeoutSeconds"]
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
    assert web["deploy"].pop("preDeployCommand") == ["migrate up --strict"]
    del of_json["deploy"]["preDeployCommand"]
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
            [sys.executable, "-m", program, verb, "--help-all"], capture_output=True, text=True, check=True
        )
        assert all(flag in help_text.stdout for flag in flags if flag.startswith("--"))
