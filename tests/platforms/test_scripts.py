"""The scripts that start a job and wait for it, against stand-ins for the clouds' command lines: no cloud is had here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.support.waiting import until

pytestmark = pytest.mark.deep

# It answers `aws` and `az` from a list of answers, one for each call whose words are all in the command line.
STAND_IN = """\
#!/usr/bin/env python3
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
answers = json.loads((folder / "answers.json").read_text())
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv) + "\\n")
for answer in answers:
    if all(word in " ".join(sys.argv) for word in answer["words"]):
        said = answer["said"].pop(0) if len(answer["said"]) > 1 else answer["said"][0]
        (folder / "answers.json").write_text(json.dumps(answers))
        print(said)
        sys.exit(1 if said == "fails" else 0)
sys.exit(1)
"""


class Cloud:
    def __init__(self, folder, script) -> None:
        self.folder = folder
        self.script = script
        for name in ("aws", "az"):
            (folder / name).write_text(STAND_IN, encoding="utf-8")
            (folder / name).chmod(0o755)

    def start(self, *answers: tuple[tuple[str, ...], list[str]], **env: str) -> subprocess.Popen[str]:
        told = [{"words": list(words), "said": said} for words, said in answers]
        (self.folder / "answers.json").write_text(json.dumps(told), encoding="utf-8")
        named = {"CLUSTER": "shop", "SUBNETS": "subnet-1,subnet-2", "SECURITY_GROUPS": "sg-1", "RESOURCE_GROUP": "shop"}
        named["QUEUE"] = "shop"
        return subprocess.Popen(
            ["sh", self.script],
            env={**os.environ, **named, "PATH": f"{self.folder}:{os.environ['PATH']}", "POLL": "0.01", **env},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *answers: tuple[tuple[str, ...], list[str]], **env: str) -> tuple[int, str]:
        started = self.start(*answers, **env)
        _, said = started.communicate(timeout=60)
        return started.returncode, said

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def ecs(tmp_path, run_migrate, project) -> Cloud:
    result = run_migrate("init", "ecs", "--project", "shop")
    # the pauses between tries are not waited for
    script = project.path / result.finished["written"][1]
    script.write_text(script.read_text(encoding="utf-8").replace("in 15 60 180 0", "in 0 0 0 0"), encoding="utf-8")
    return Cloud(tmp_path, script)


def task(states: list[str], codes: list[str], reason: str = "Essential container exited"):
    return (
        (("register-task-definition",), ["arn:definition"]),
        (("run-task",), ["arn:task"]),
        (("lastStatus",), states),
        (("exitCode",), codes),
        (("stoppedReason",), [reason]),
        (("stop-task",), [""]),
    )


def test_a_task_of_ecs_that_ends_before_it_is_seen_running_is_waited_for(ecs):
    code, _ = ecs.run(*task(["STOPPED"], ["0"]))
    assert code == 0
    (started,) = [call for call in ecs.calls if "run-task" in call]
    assert "awsvpcConfiguration={subnets=[subnet-1,subnet-2],securityGroups=[sg-1],assignPublicIp=DISABLED}" in started


def test_the_exit_code_of_the_task_is_the_scripts_and_a_call_that_fails_is_made_again(ecs):
    code, said = ecs.run(*task(["PROVISIONING", "fails", "RUNNING", "STOPPED"], ["17"]))
    assert code == 17
    assert "exit code 17" in said


def test_what_may_succeed_is_run_again(ecs):
    code, _ = ecs.run(*task(["STOPPED"], ["21", "20", "0"]))
    assert code == 0
    assert len([call for call in ecs.calls if "run-task" in call]) == 3
    code, _ = ecs.run(*task(["STOPPED"], ["22"]))
    assert code == 22


def test_a_task_that_never_started_says_why(ecs):
    code, said = ecs.run(*task(["STOPPED"], ["None"], "CannotPullContainerError"))
    assert code == 1
    assert "CannotPullContainerError" in said


def test_a_release_that_is_cancelled_stops_its_task(ecs):
    started = ecs.start(*task(["RUNNING"], ["None"]))
    until(lambda: (ecs.folder / "calls").exists() and any("lastStatus" in call for call in ecs.calls))
    started.send_signal(signal.SIGTERM)
    started.communicate(timeout=60)
    assert started.returncode == 143
    assert any("stop-task" in call and "arn:task" in call for call in ecs.calls)


def test_another_command_replaces_the_one_of_the_definition(ecs):
    ecs.run(*task(["STOPPED"], ["0"]), COMMAND='["migrate","up","--breaking","allow"]')
    (started,) = [call for call in ecs.calls if "run-task" in call]
    overrides = started.partition("--overrides ")[2].partition(" --query")[0]
    assert json.loads(overrides)["containerOverrides"][0]["command"] == ["migrate", "up", "--breaking", "allow"]


@pytest.mark.parametrize(("status", "expected"), [("Succeeded", 0), ("Failed", 1), ("Stopped", 1)])
def test_an_execution_of_azure_is_waited_for(tmp_path, run_migrate, project, status, expected):
    result = run_migrate("init", "azure-container-apps", "--project", "shop")
    cloud = Cloud(tmp_path, project.path / result.finished["written"][1])
    began = time.monotonic()
    code, said = cloud.run(
        (("job show",), ["fails"]),
        (("job create",), [""]),
        (("job start",), ["shop-migrate-1"]),
        (("execution show",), ["Running", "fails", status]),
    )
    assert code == expected, (said, time.monotonic() - began)
    assert f"shop-migrate-1: {status}" in said


def batch(tmp_path, run_migrate, project, *arguments: str) -> Cloud:
    result = run_migrate("init", "aws-batch", "--project", "shop", *arguments)
    return Cloud(tmp_path, project.path / result.finished["written"][1])


def job(states: list[str]):
    return (
        (("register-job-definition",), ["arn:definition"]),
        (("submit-job",), ["job-1"]),
        (("statusReason",), ["Essential container exited"]),
        (("describe-jobs", "status"), states),
        (("terminate-job",), [""]),
    )


def test_an_array_of_batch_is_submitted_and_waited_for(tmp_path, run_migrate, project):
    cloud = batch(tmp_path, run_migrate, project, "--shards", "4")
    code, _ = cloud.run(*job(["SUBMITTED", "fails", "RUNNING", "SUCCEEDED"]))
    assert code == 0
    (submitted,) = [call for call in cloud.calls if "submit-job" in call]
    assert "--job-queue shop --job-definition arn:definition" in submitted
    assert "--array-properties size=4" in submitted


def test_a_job_of_batch_that_failed_says_why_and_takes_another_command(tmp_path, run_migrate, project):
    cloud = batch(tmp_path, run_migrate, project)
    code, said = cloud.run(*job(["FAILED"]), COMMAND='["migrate","up","--breaking","allow"]')
    assert code == 1
    assert "Essential container exited" in said
    (submitted,) = [call for call in cloud.calls if "submit-job" in call]
    overrides = submitted.partition("--container-overrides ")[2].partition(" --query")[0]
    assert json.loads(overrides) == {"command": ["migrate", "up", "--breaking", "allow"]}
    assert "--array-properties" not in submitted


def test_a_release_that_is_cancelled_ends_its_job_of_batch(tmp_path, run_migrate, project):
    cloud = batch(tmp_path, run_migrate, project)
    started = cloud.start(*job(["RUNNING"]))
    until(lambda: (cloud.folder / "calls").exists() and any("describe-jobs" in call for call in cloud.calls))
    started.send_signal(signal.SIGTERM)
    started.communicate(timeout=60)
    assert started.returncode == 143
    assert any("terminate-job" in call and "job-1" in call for call in cloud.calls)
