"""Which platform runs this release, and which deployment of it: context for the first and the last line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Platform:
    """The variables by which a platform tells a container where it is; of several, the first that is set counts.

    Only variables that the platform documents for the running container; what it does not tell stays out.
    """

    name: str
    recognised_by: tuple[str, ...]
    environment: tuple[str, ...] = ()
    deployment_id: tuple[str, ...] = ()
    commit_sha: tuple[str, ...] = ()


PLATFORMS: Final = (
    # docs.railway.com, "Variables Reference"
    Platform(
        "railway",
        ("RAILWAY_DEPLOYMENT_ID", "RAILWAY_ENVIRONMENT_NAME"),
        environment=("RAILWAY_ENVIRONMENT_NAME",),
        deployment_id=("RAILWAY_DEPLOYMENT_ID",),
        commit_sha=("RAILWAY_GIT_COMMIT_SHA",),
    ),
    # devcenter.heroku.com, "Dyno Metadata"; all but DYNO need `heroku labs:enable runtime-dyno-metadata`
    Platform(
        "heroku",
        ("DYNO",),
        environment=("HEROKU_APP_NAME",),
        deployment_id=("HEROKU_RELEASE_VERSION",),
        commit_sha=("HEROKU_BUILD_COMMIT", "HEROKU_SLUG_COMMIT"),
    ),
    # fly.io/docs, "The Machine Runtime Environment"
    Platform(
        "fly",
        ("FLY_APP_NAME",),
        environment=("FLY_APP_NAME",),
        deployment_id=("FLY_MACHINE_VERSION",),
    ),
    # render.com/docs, "Default Environment Variables"
    Platform(
        "render",
        ("RENDER",),
        environment=("RENDER_SERVICE_NAME",),
        commit_sha=("RENDER_GIT_COMMIT",),
    ),
    # cloud.google.com/run/docs, "Container runtime contract": the first of each pair in a job, the second in a service
    Platform(
        "cloud-run",
        ("CLOUD_RUN_JOB", "K_SERVICE"),
        environment=("CLOUD_RUN_JOB", "K_SERVICE"),
        deployment_id=("CLOUD_RUN_EXECUTION", "K_REVISION"),
    ),
    # docs.github.com, "Variables reference"; before Kubernetes, where many runners are pods
    Platform(
        "github-actions",
        ("GITHUB_ACTIONS",),
        deployment_id=("GITHUB_RUN_ID",),
        commit_sha=("GITHUB_SHA",),
    ),
    # kubernetes.io/docs, "Service": set in every pod; the rest is for the pod's own spec to tell
    Platform("kubernetes", ("KUBERNETES_SERVICE_HOST",)),
)


def platform_context(environ: Mapping[str, str]) -> dict[str, str]:
    """Name `platform`, `environment`, `deployment_id` and `commit_sha`, as far as the platform tells them."""

    def first(names: tuple[str, ...]) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    for platform in PLATFORMS:
        if first(platform.recognised_by):
            told = {
                "platform": platform.name,
                "environment": first(platform.environment),
                "deployment_id": first(platform.deployment_id),
                "commit_sha": first(platform.commit_sha),
            }
            return {name: value for name, value in told.items() if value}
    return {}
