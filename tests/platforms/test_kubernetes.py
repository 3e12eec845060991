"""The Job's rules say what the exit codes say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from migrate.core.problems import ExitCode
from tests.platforms.validators import ROOT, check_kubernetes

pytestmark = pytest.mark.deep

FILES = [ROOT / "deploy" / "kubernetes" / "job.yaml", ROOT / "deploy" / "helm" / "templates" / "migrate-job.yaml"]
KILLED = 137


def job(file) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("file", FILES, ids=["job", "hook"])
def test_it_is_a_job_that_kubernetes_takes(file) -> None:
    check_kubernetes(file)


def test_the_check_finds_a_key_that_is_none(tmp_path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(FILES[0].read_text(encoding="utf-8").replace("backoffLimit", "backofLimit"), encoding="utf-8")
    with pytest.raises(AssertionError, match="backofLimit"):
        check_kubernetes(file)


@pytest.mark.parametrize("file", FILES, ids=["job", "hook"])
def test_only_codes_that_may_succeed_later_start_another_pod(file) -> None:
    (rule,) = job(file)["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "NotIn")
    assert set(rule["onExitCodes"]["values"]) == {int(code) for code in ExitCode if code.retryable} | {KILLED}
    assert rule["onExitCodes"]["containerName"] == job(file)["spec"]["template"]["spec"]["containers"][0]["name"]


@pytest.mark.parametrize("file", FILES, ids=["job", "hook"])
def test_the_pod_may_do_nothing_but_migrate(file) -> None:
    spec = job(file)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["command"] == ["migrate", "up", "--strict"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_hook_is_the_job_with_helms_annotations() -> None:
    plain, hook = map(job, FILES)
    annotations = hook["metadata"].pop("annotations")
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    for found in (plain, hook):
        found["spec"]["template"]["spec"]["containers"][0].pop("image")
    assert plain == hook
