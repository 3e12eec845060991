"""The platforms that `migrate init` writes files for, and what each user still has to do: a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from migrate.core.deployment import RAILWAY_JSON_ENDS

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTALL: Final = (
    "install migrate in the service's image, if it is not there: pip install migrate-job   # or COPY its wheel"
)


@dataclass(frozen=True, slots=True)
class Platform:
    """The files that one platform needs (path in the repository -> template), and what is left for the user to do."""

    files: Mapping[str, str]
    next: tuple[str, ...]
    contract: Mapping[str, str]  # the same for the second job, where it has a file of its own
    contracting: str  # how the second job is run, once the old release has stopped
    verify: Mapping[str, str] = field(default_factory=dict)  # the same for the job that looks for drift every night
    verifying: str = ""  # what it needs; empty: the platform has no schedule of its own that is known here


PLATFORMS: Final[Mapping[str, Platform]] = {
    "railway": Platform(
        {".railway/railway.ts": "railway.ts"},
        (
            _INSTALL,
            "npm install --save-dev railway   # the SDK that the file is checked against",
            "railway config plan   # then: railway config apply",
        ),
        {},
        "railway ssh -- migrate up --strict --breaking allow   # in the new deployment, once the old one has stopped",
    ),
    "railway-py": Platform(
        {".railway/railway.py": "railway.py.tmpl"},
        (
            _INSTALL,
            "pip install railway-sdk   # what the file imports",
            "railway config plan   # then: railway config apply",
        ),
        {},
        "railway ssh -- migrate up --strict --breaking allow   # in the new deployment, once the old one has stopped",
    ),
    "railway-json": Platform(
        {"railway.json": "railway.json"},
        (
            f"Railway does not read railway.json any more from {RAILWAY_JSON_ENDS} on: migrate init railway",
            _INSTALL,
            "railway up   # or push: a service that used railway.json before 2026-08-28 reads it from the repository",
        ),
        {},
        "railway ssh -- migrate up --strict --breaking allow   # in the new deployment, once the old one has stopped",
    ),
    "compose": Platform(
        {"compose.release.yaml": "compose.release.yaml"},
        (
            _INSTALL,
            "docker compose -f {compose} -f compose.release.yaml run --build --rm migrate &&   # the job; its exit code",
            "docker compose -f {compose} up --build --detach   # only if the job exited 0",
        ),
        {},
        "docker compose -f {compose} -f compose.release.yaml run --build --rm contract   # once the old release has stopped",
    ),
    "kubernetes": Platform(
        {"deploy/kubernetes/job.yaml": "job.yaml"},
        (
            _INSTALL,
            "kubectl create secret generic {project}-database --from-file=url=FILE   # FILE holds the URL alone",
            "kubectl replace --force -f deploy/kubernetes/job.yaml",
            "kubectl wait --for=condition=complete --timeout=35m job/{project}-migrate   # then roll out the service",
        ),
        {"deploy/kubernetes/contract.yaml": "job.yaml"},
        "kubectl replace --force -f deploy/kubernetes/contract.yaml   # once the old pods are gone: kubectl rollout status",
        {"deploy/kubernetes/verify.yaml": "cronjob.yaml"},
        "kubectl apply -f deploy/kubernetes/verify.yaml   # a failed Job of it is the alert: kube_job_status_failed",
    ),
    "helm": Platform(
        {"templates/migrate-job.yaml": "job.yaml"},
        (
            _INSTALL,
            "move templates/migrate-job.yaml into the chart, and set migrateImage in values.yaml",
            "helm upgrade --install {project} CHART --timeout 35m   # the default of 5m would end the hook",
        ),
        {"templates/migrate-contract.yaml": "job.yaml"},
        "helm upgrade --wait ...   # runs templates/migrate-contract.yaml when the new pods are ready; move it into the chart, too",
    ),
    "argo-cd": Platform(
        {"deploy/argo-cd/migrate-job.yaml": "job.yaml"},
        (
            _INSTALL,
            "move deploy/argo-cd/migrate-job.yaml to the manifests that the Application syncs",
            'give the secret {project}-database the annotation argocd.argoproj.io/sync-wave: "-10": before the job',
        ),
        {"deploy/argo-cd/migrate-contract.yaml": "job.yaml"},
        "move deploy/argo-cd/migrate-contract.yaml there, too: a PostSync hook, which runs when the new pods are healthy",
    ),
    "ecs": Platform(
        {"deploy/ecs/task-definition.json": "ecs-task-definition.json", "deploy/ecs/migrate.sh": "ecs.sh"},
        (
            _INSTALL,
            "in deploy/ecs/task-definition.json put your own in the place of ACCOUNT, REGION and the secret's name",
            "CLUSTER=... SUBNETS=subnet-... SECURITY_GROUPS=sg-... sh deploy/ecs/migrate.sh   # then update the service",
        ),
        {},
        """COMMAND='["migrate","up","--strict","--breaking","allow"]' sh deploy/ecs/migrate.sh   # once the old tasks are gone""",
    ),
    "aws-batch": Platform(
        {
            "deploy/aws-batch/job-definition.json": "aws-batch-job-definition.json",
            "deploy/aws-batch/migrate.sh": "aws-batch.sh",
        },
        (
            _INSTALL,
            "in deploy/aws-batch/job-definition.json put your own in the place of ACCOUNT, REGION and the secret's name",
            "QUEUE=... sh deploy/aws-batch/migrate.sh   # then update the service",
        ),
        {},
        """COMMAND='["migrate","up","--strict","--breaking","allow"]' sh deploy/aws-batch/migrate.sh   # once the old tasks are gone""",
    ),
    "azure-container-apps": Platform(
        {"deploy/azure/job.yaml": "azure-job.yaml", "deploy/azure/migrate.sh": "azure.sh"},
        (
            _INSTALL,
            "in deploy/azure/job.yaml put your own in the place of ENVIRONMENT_ID, LOCATION and VAULT",
            "RESOURCE_GROUP=... sh deploy/azure/migrate.sh   # then: az containerapp update",
        ),
        {"deploy/azure/contract.yaml": "azure-job.yaml"},
        "RESOURCE_GROUP=... sh deploy/azure/migrate.sh contract   # once the old revision is deactivated",
    ),
    "cloud-run": Platform(
        {"deploy/cloud-run/job.yaml": "cloud-run.yaml"},
        (
            _INSTALL,
            "gcloud secrets create {project}-database --data-file=FILE   # FILE holds the URL alone",
            "gcloud run jobs replace deploy/cloud-run/job.yaml",
            "gcloud run jobs execute {project}-migrate --wait   # then: gcloud run deploy",
        ),
        {"deploy/cloud-run/contract.yaml": "cloud-run.yaml"},
        "gcloud run jobs replace deploy/cloud-run/contract.yaml, and execute it   # once the old revision gets no traffic",
    ),
    "render": Platform(
        {"render.yaml": "render.yaml"},
        (
            _INSTALL,
            "render blueprints validate   # then push: a Blueprint of the repository applies it",
        ),
        {},
        "render ssh, then: migrate up --strict --breaking allow   # in the new deploy, once the old one has stopped",
    ),
    "heroku": Platform(
        {"Procfile": "Procfile"},
        (
            "add migrate-job to requirements.txt",
            "git push heroku main",
        ),
        {},
        "heroku run migrate up --strict --breaking allow   # once the old dynos have stopped",
    ),
    "fly": Platform(
        {"fly.toml": "fly.toml"},
        (_INSTALL, "fly secrets set DATABASE_URL=...   # the direct URL, not a pooler's", "fly deploy"),
        {},
        "fly ssh console -C 'migrate up --strict --breaking allow'   # once the old machines have stopped",
    ),
    "github-actions": Platform(
        {".github/workflows/release.yml": "release.yml"},
        (
            _INSTALL,
            "gh variable set REGISTRY; gh secret set REGISTRY_USER; gh secret set REGISTRY_TOKEN",
            "gh secret set DATABASE_URL --env production",
            "git tag v1 && git push origin v1",
        ),
        {},
        "the job contract runs in the environment contract: give that the secret DATABASE_URL, and a reviewer",
        {".github/workflows/verify.yml": "verify.yml"},
        "verify.yml runs the image that was tagged latest, in the environment production",
    ),
    "gitlab-ci": Platform(
        {".gitlab/migrate.gitlab-ci.yml": "gitlab-ci.yml"},
        (
            _INSTALL,
            "in .gitlab-ci.yml: include: [{{local: .gitlab/migrate.gitlab-ci.yml}}], and needs: [migrate] for what deploys",
            "glab variable set DATABASE_URL --masked --scope production",
        ),
        {".gitlab/contract.gitlab-ci.yml": "gitlab-contract.yml"},
        "include .gitlab/contract.gitlab-ci.yml, too: its job contract waits for somebody to start it",
        {".gitlab/verify.gitlab-ci.yml": "gitlab-verify.yml"},
        "include .gitlab/verify.gitlab-ci.yml, too, and make a schedule with the variable VERIFY = 1: Build > Pipeline schedules",
    ),
}
