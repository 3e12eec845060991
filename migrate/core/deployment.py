"""Which platform runs this release, which deployment of it, and how long the platform lets it run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.fleet.shard import Shard
from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


MARGIN_S: Final = 30.0  # of a platform's limit: to start, and at the end to cancel the statement, roll back and say so

RAILWAY_JSON_ENDS: Final = "2026-12-01"
"""The first day on which Railway reads neither railway.json nor railway.toml of any service."""


class ReleasePhase(Value):
    """The phase in which a platform runs `migrate up`, and ends it after ``limit_s`` seconds.

    It is that phase where ``variable`` begins with ``prefix``.
    """

    variable: str
    prefix: str
    limit_s: float

    @property
    def deadline_s(self) -> float:
        """What a run may use of the limit, in seconds."""
        return self.limit_s - MARGIN_S


class PlatformVariables(Value):
    """The variables by which a platform tells a container where it is; of several, the first that is set counts.

    Only variables that the platform documents for the running container; what it does not tell stays out.
    """

    name: str
    recognised_by: tuple[str, ...]
    environment: tuple[str, ...] = ()
    deployment_id: tuple[str, ...] = ()
    commit_sha: tuple[str, ...] = ()
    release_phase: ReleasePhase | None = None


PLATFORMS: Final = (
    # docs.railway.com, "Variables Reference"
    PlatformVariables(
        "railway",
        ("RAILWAY_DEPLOYMENT_ID", "RAILWAY_ENVIRONMENT_NAME"),
        environment=("RAILWAY_ENVIRONMENT_NAME",),
        deployment_id=("RAILWAY_DEPLOYMENT_ID",),
        commit_sha=("RAILWAY_GIT_COMMIT_SHA",),
    ),
    # devcenter.heroku.com, "Dyno Metadata"; all but DYNO need `heroku labs:enable runtime-dyno-metadata`. The limit:
    # "Release Phase"
    PlatformVariables(
        "heroku",
        ("DYNO",),
        environment=("HEROKU_APP_NAME",),
        deployment_id=("HEROKU_RELEASE_VERSION",),
        commit_sha=("HEROKU_BUILD_COMMIT", "HEROKU_SLUG_COMMIT"),
        release_phase=ReleasePhase("DYNO", "release.", 3600.0),
    ),
    # fly.io/docs, "The Machine Runtime Environment"; the limit: "App configuration", release_command_timeout, which the
    # machine does not see where it is another
    PlatformVariables(
        "fly",
        ("FLY_APP_NAME",),
        environment=("FLY_APP_NAME",),
        deployment_id=("FLY_MACHINE_VERSION",),
        release_phase=ReleasePhase("RELEASE_COMMAND", "1", 300.0),
    ),
    # render.com/docs, "Default Environment Variables"
    PlatformVariables(
        "render",
        ("RENDER",),
        environment=("RENDER_SERVICE_NAME",),
        commit_sha=("RENDER_GIT_COMMIT",),
    ),
    # cloud.google.com/run/docs, "Container runtime contract": the first of each pair in a job, the second in a service
    PlatformVariables(
        "cloud-run",
        ("CLOUD_RUN_JOB", "K_SERVICE"),
        environment=("CLOUD_RUN_JOB", "K_SERVICE"),
        deployment_id=("CLOUD_RUN_EXECUTION", "K_REVISION"),
    ),
    # docs.github.com, "Variables reference"; before Kubernetes, where many runners are pods
    PlatformVariables(
        "github-actions",
        ("GITHUB_ACTIONS",),
        deployment_id=("GITHUB_RUN_ID",),
        commit_sha=("GITHUB_SHA",),
    ),
    # kubernetes.io/docs, "Service": set in every pod; the rest is for the pod's own spec to tell
    PlatformVariables("kubernetes", ("KUBERNETES_SERVICE_HOST",)),
)


def platform_context(environ: Mapping[str, str]) -> dict[str, str]:
    """Name `platform`, `environment`, `deployment_id` and `commit_sha`, as far as the platform tells them."""
    platform = _platform(environ)
    if platform is None:
        return {}
    told = {
        "platform": platform.name,
        "environment": _first(environ, platform.environment),
        "deployment_id": _first(environ, platform.deployment_id),
        "commit_sha": _first(environ, platform.commit_sha),
    }
    return {name: value for name, value in told.items() if value}


def platform_deadline(environ: Mapping[str, str]) -> tuple[float, str] | None:
    """How many seconds the platform leaves this run, and the platform's name; None where no limit of it is known."""
    platform = _platform(environ)
    phase = platform.release_phase if platform is not None else None
    if platform is None or phase is None or not environ.get(phase.variable, "").startswith(phase.prefix):
        return None
    return phase.deadline_s, platform.name


_ARRAYS: Final = (  # variables of the index, from 0, and of the count
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
)
_INDEX: Final = "JOB_COMPLETION_INDEX"  # of Kubernetes' indexed jobs, which do not tell how many there are


def platform_shard(environ: Mapping[str, str], count: int | None) -> Shard | None:
    """The part of all work that the platform gives this machine; ``count`` where it tells only which one it is."""
    for index, size in _ARRAYS:
        told = _shard(environ.get(index, ""), environ.get(size, ""))
        if told is not None:
            return told
    return _shard(environ.get(_INDEX, ""), str(count)) if count is not None else None


def _shard(index: str, count: str) -> Shard | None:
    try:
        return Shard.parse(f"{index}/{count}")
    except ValueError:
        return None


def _platform(environ: Mapping[str, str]) -> PlatformVariables | None:
    return next((platform for platform in PLATFORMS if _first(environ, platform.recognised_by)), None)


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
