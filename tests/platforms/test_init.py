"""What `migrate init` writes, by the same readers as this repository's own files."""

from __future__ import annotations

import json
import tomllib
from fnmatch import fnmatchcase

import pytest
import yaml

from migrate.core.fleet.shard import Shard
from migrate.core.problems import ExitCode
from migrate.settings import load
from tests.platforms.validators import (
    ROOT,
    check_azure_job,
    check_batch,
    check_ecs,
    check_gitlab,
    check_kubernetes,
    check_railway_json,
    check_railway_py,
    check_railway_ts,
    check_workflow,
    check_yaml,
    run,
)

pytestmark = pytest.mark.deep

# Names and a command with what each of the formats would have to quote.
NAMES = (
    "--project", "shop-2", "--service", "api", "--image", "registry.example.com/team/shop:1",
    "--start", """sh -c 'exec gunicorn "shop.app:make(\\"x\\")" --bind :$PORT'""", "--health", "/healthz",
)  # fmt: skip
START = NAMES[7]


def written(run_migrate, project, platform: str):
    result = run_migrate("init", platform, *NAMES)
    assert result.exit_code == 0, result.stdout
    (path,) = result.finished["written"]
    return project.path / path


def test_railway(run_migrate, project, tmp_path):
    described = check_railway_ts(written(run_migrate, project, "railway"), tmp_path / "workbench")
    assert described["name"] == "shop-2"
    (web,) = (resource for resource in described["resources"] if resource["type"] == "service")
    assert web["name"] == "api"
    assert web["deploy"]["startCommand"] == f"migrate wait -- {START}"
    assert web["deploy"].pop("preDeployCommand") == ["migrate up --strict"]
    of_json = check_railway_json(written(run_migrate, project, "railway-json"))
    assert of_json["deploy"].pop("preDeployCommand") == ["migrate up --strict --deadline 59m"]
    assert (web["build"], web["deploy"]) == (of_json["build"], of_json["deploy"])


def test_railway_in_python_describes_what_the_one_in_typescript_does(run_migrate, project, tmp_path):
    of_typescript = check_railway_ts(written(run_migrate, project, "railway"), tmp_path / "workbench")
    file = written(run_migrate, project, "railway-py")
    run("ruff", "check", "--select", "E,F,I", file)
    described = check_railway_py(file)
    services = [
        next(each for each in found["resources"] if each["type"] == "service") for found in (of_typescript, described)
    ]
    keys = ("name", "build", "deploy", "variables")
    assert [{key: each[key] for key in keys} for each in services[:1]] == [
        {key: each[key] for key in keys} for each in services[1:]
    ]


def test_kubernetes_and_helm(run_migrate, project):
    for platform, image in (("kubernetes", NAMES[5]), ("helm", "{{ .Values.migrateImage }}")):
        file = written(run_migrate, project, platform)
        check_kubernetes(file)
        job = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert job["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_shards_are_an_indexed_job_whose_indexes_are_tried_again_one_by_one(run_migrate, project):
    for platform in ("kubernetes", "helm", "argo-cd"):
        result = run_migrate("init", platform, *NAMES, "--shards", "4")
        (file,) = (project.path / path for path in result.finished["written"])
        check_kubernetes(file)
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
        assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
        assert (spec["backoffLimitPerIndex"], spec.get("backoffLimit")) == (4, None)
        (rule,) = spec["podFailurePolicy"]["rules"]
        retryable = {int(code) for code in ExitCode if code.retryable}
        assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailIndex", retryable | {137})
        environment = {each["name"]: each.get("value") for each in spec["template"]["spec"]["containers"][0]["env"]}
        shard = load({}, {**environment, "DATABASE_URL": "", "JOB_COMPLETION_INDEX": "3"}, project.path)[0].fleet.shard
        assert shard == Shard(3, 4)
    refused = run_migrate("init", "fly", "--shards", "4")
    assert (refused.exit_code, refused.finished["problem"]) == (2, "usage")


def test_cloud_run_has_a_task_for_each_shard(run_migrate, project):
    for arguments, count in (((), 1), (("--shards", "4", "--force"), 4)):
        result = run_migrate("init", "cloud-run", *NAMES, *arguments)
        job = yaml.safe_load((project.path / "deploy" / "cloud-run" / "job.yaml").read_text(encoding="utf-8"))
        assert result.exit_code == 0, result.stdout
        execution = job["spec"]["template"]["spec"]
        assert (execution["taskCount"], execution["parallelism"]) == (count, count)
        (container,) = execution["template"]["spec"]["containers"]
        assert (container["image"], container["args"]) == (NAMES[5], ["up", "--strict"])
        assert execution["template"]["spec"]["maxRetries"] == 0
    assert run_migrate("init", "cloud-run", "--contract", "--force", *NAMES).exit_code == 0
    contract = yaml.safe_load((project.path / "deploy" / "cloud-run" / "contract.yaml").read_text(encoding="utf-8"))
    assert contract["metadata"]["name"] == "shop-2-contract"


def test_argo_cd_runs_the_job_within_the_sync_before_what_needs_it(run_migrate, project):
    file = written(run_migrate, project, "argo-cd")
    check_kubernetes(file)
    found = yaml.safe_load(file.read_text(encoding="utf-8"))["metadata"]["annotations"]
    # PreSync comes before the secrets of the chart
    assert found["argocd.argoproj.io/hook"] == "Sync"
    assert int(found["argocd.argoproj.io/sync-wave"]) < 0


def test_ecs(run_migrate, project):
    result = run_migrate("init", "ecs", *NAMES)
    definition, script = (project.path / path for path in result.finished["written"])
    found = check_ecs(definition)
    assert found["containerDefinitions"][0]["command"] == ["migrate", "up", "--strict"]
    assert found["containerDefinitions"][0]["image"] == NAMES[5]
    run("shellcheck", script)


@pytest.mark.parametrize("shards", [None, 4])
def test_aws_batch(run_migrate, project, shards):
    result = run_migrate("init", "aws-batch", *NAMES, *(["--shards", str(shards)] if shards else []))
    definition, script = (project.path / path for path in result.finished["written"])
    found = check_batch(definition)
    assert found["containerProperties"]["command"] == ["migrate", "up", "--strict"]
    assert found["containerProperties"]["image"] == NAMES[5]
    conditions = found["retryStrategy"]["evaluateOnExit"]
    assert len(conditions) <= 5  # as many as Batch takes
    for code in ExitCode:
        first = next(each for each in conditions if fnmatchcase(str(int(code)), each.get("onExitCode", "*")))
        assert first["action"] == ("RETRY" if code.retryable else "EXIT"), code
    run("shellcheck", script)
    assert ("--array-properties size=4" in script.read_text("utf-8")) is bool(shards)


def test_azure_container_apps(run_migrate, project):
    result = run_migrate("init", "azure-container-apps", *NAMES)
    job, script = (project.path / path for path in result.finished["written"])
    container = check_azure_job(job)["properties"]["template"]["containers"][0]
    assert (container["image"], container["args"]) == (NAMES[5], ["up", "--strict"])
    run("shellcheck", script)


def test_render(run_migrate, project):
    file = written(run_migrate, project, "render")
    check_yaml(file)
    (web,) = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    assert web["preDeployCommand"] == "migrate up --strict"
    assert web["dockerCommand"] == f"migrate wait -- {START}"
    assert web["healthCheckPath"] == "/healthz"


def test_gitlab_ci(run_migrate, project):
    file = written(run_migrate, project, "gitlab-ci")
    found = check_gitlab(file)["migrate"]
    assert found["script"] == ["migrate up --strict"]
    assert {*found["retry"]["exit_codes"]} - {137} == {int(code) for code in ExitCode if code.retryable}


def test_a_nightly_look_for_drift(run_migrate, project):
    for platform, check in (
        ("github-actions", check_workflow),
        ("gitlab-ci", check_gitlab),
        ("kubernetes", check_kubernetes),
    ):
        result = run_migrate("init", platform, "--scheduled-verify", *NAMES)
        assert result.exit_code == 0, result.stdout
        file = project.path / result.finished["written"][-1]
        check(file)
        assert "verify" in file.name
        assert "migrate verify" in file.read_text(encoding="utf-8").replace('", "', " ").replace('"$IMAGE"', "migrate")
    refused = run_migrate("init", "render", "--scheduled-verify")
    assert refused.exit_code == ExitCode.USAGE
    assert not (project.path / "render.yaml").exists()


def test_heroku(run_migrate, project):
    text = written(run_migrate, project, "heroku").read_text(encoding="utf-8")
    assert text == f"release: migrate up --strict\nweb: {START}\n"


def test_fly(run_migrate, project):
    found = tomllib.loads(written(run_migrate, project, "fly").read_text(encoding="utf-8"))
    assert found["deploy"]["release_command"] == "migrate up --strict"
    assert found["processes"]["web"] == START
    assert found["http_service"]["checks"][0]["path"] == "/healthz"


def test_github_actions(run_migrate, project):
    file = written(run_migrate, project, "github-actions")
    check_workflow(file)
    ours = yaml.safe_load((ROOT / "examples/newsifier/.github/workflows/release.yml").read_text(encoding="utf-8"))
    users = yaml.safe_load(file.read_text(encoding="utf-8"))
    steps = [jobs["jobs"]["migrate"]["steps"] for jobs in (ours, users)]
    assert steps[0] == steps[1], "the loop that is tested here is the one that users get"


EXPANDS = ["up", "--strict", "--breaking", "hold"]
CONTRACTS = ["up", "--strict", "--breaking", "allow"]


def both(run_migrate, project, platform: str):
    result = run_migrate("init", platform, "--contract", *NAMES)
    assert result.exit_code == 0, result.stdout
    return [project.path / path for path in result.finished["written"]]


def test_the_two_jobs_of_kubernetes_and_helm(run_migrate, project):
    for platform in ("kubernetes", "helm"):
        found = []
        for file in both(run_migrate, project, platform):
            check_kubernetes(file)
            found.append(yaml.safe_load(file.read_text(encoding="utf-8")))
        commands = [each["spec"]["template"]["spec"]["containers"][0]["command"] for each in found]
        assert commands == [["migrate", *EXPANDS], ["migrate", *CONTRACTS]]
        assert [each["metadata"]["name"] for each in found] == ["shop-2-migrate", "shop-2-contract"]
    hooks = [each["metadata"]["annotations"]["helm.sh/hook"] for each in found]
    assert hooks == ["pre-install,pre-upgrade", "post-install,post-upgrade"]


def test_the_two_jobs_of_argo_cd(run_migrate, project):
    files = both(run_migrate, project, "argo-cd")
    found = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    assert [each["spec"]["template"]["spec"]["containers"][0]["command"][1:] for each in found] == [EXPANDS, CONTRACTS]
    assert [each["metadata"]["annotations"]["argocd.argoproj.io/hook"] for each in found] == ["Sync", "PostSync"]


def test_the_two_jobs_of_azure_container_apps(run_migrate, project):
    job, _, contract = both(run_migrate, project, "azure-container-apps")
    found = [check_azure_job(file)["properties"]["template"]["containers"][0]["args"] for file in (job, contract)]
    assert found == [EXPANDS, CONTRACTS]


def test_the_two_jobs_of_gitlab_ci(run_migrate, project):
    files = both(run_migrate, project, "gitlab-ci")
    jobs = [next(iter(check_gitlab(file).values())) for file in files]
    assert [job["script"] for job in jobs] == [
        ["migrate up --strict --breaking hold"],
        [f"migrate {' '.join(CONTRACTS)}"],
    ]
    assert jobs[1]["rules"][0]["when"] == "manual"


def test_the_two_jobs_of_github_actions(run_migrate, project):
    (file,) = both(run_migrate, project, "github-actions")
    check_workflow(file)
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]
    assert '"$IMAGE" up --strict --breaking hold' in jobs["migrate"]["steps"][-1]["run"]
    assert '"$IMAGE" up --strict --breaking allow' in jobs["contract"]["steps"][-1]["run"]
    assert "migrate" in jobs["contract"]["needs"]


def test_the_two_jobs_of_railway(run_migrate, project, tmp_path):
    (file,) = both(run_migrate, project, "railway")
    described = check_railway_ts(file, tmp_path / "workbench")
    (web,) = (resource for resource in described["resources"] if resource["type"] == "service")
    assert web["deploy"]["preDeployCommand"] == ["migrate up --strict --breaking hold"]


def test_this_repositorys_own_files_are_made_by_it(run_migrate, project):
    for platform, ours in (
        ("railway", ".railway/railway.ts"),
        ("railway-json", "railway.json"),
        ("kubernetes", "deploy/kubernetes/job.yaml"),
        ("helm", "deploy/helm/templates/migrate-job.yaml"),
    ):
        start = json.loads((ROOT / "railway.json").read_text(encoding="utf-8"))["deploy"]["startCommand"]
        start = start.removeprefix("migrate wait -- ")
        result = run_migrate(
            "init", platform, "--project", "newsifier", "--image", "registry.example.com/newsifier-migrate:1",
            "--dockerfile", "examples/newsifier/Dockerfile", "--start", start,
        )  # fmt: skip
        (path,) = result.finished["written"]
        assert (project.path / path).read_text(encoding="utf-8") == (ROOT / ours).read_text(encoding="utf-8")
