"""What each platform's documented variables say about a deployment."""

from __future__ import annotations

import pytest

from migrate.core.deployment import platform_context, platform_deadline, platform_shard
from migrate.core.fleet.shard import Shard

CASES = [
    ({}, {}),
    ({"RENDER": ""}, {}),
    (
        {"RAILWAY_DEPLOYMENT_ID": "d", "RAILWAY_ENVIRONMENT_NAME": "production", "RAILWAY_GIT_COMMIT_SHA": "c0ffee"},
        {"platform": "railway", "environment": "production", "deployment_id": "d", "commit_sha": "c0ffee"},
    ),
    ({"RAILWAY_ENVIRONMENT_NAME": "production"}, {"platform": "railway", "environment": "production"}),
    ({"DYNO": "release.1"}, {"platform": "heroku"}),
    (
        {"DYNO": "release.1", "HEROKU_APP_NAME": "a", "HEROKU_RELEASE_VERSION": "v42", "HEROKU_SLUG_COMMIT": "c0ffee"},
        {"platform": "heroku", "environment": "a", "deployment_id": "v42", "commit_sha": "c0ffee"},
    ),
    (
        {"DYNO": "x", "HEROKU_SLUG_COMMIT": "old", "HEROKU_BUILD_COMMIT": "new"},
        {"platform": "heroku", "commit_sha": "new"},
    ),
    (
        {"FLY_APP_NAME": "a", "FLY_MACHINE_VERSION": "01H"},
        {"platform": "fly", "environment": "a", "deployment_id": "01H"},
    ),
    (
        {"RENDER": "true", "RENDER_SERVICE_NAME": "web", "RENDER_GIT_COMMIT": "c0ffee"},
        {"platform": "render", "environment": "web", "commit_sha": "c0ffee"},
    ),
    (
        {"CLOUD_RUN_JOB": "migrate", "CLOUD_RUN_EXECUTION": "migrate-x1"},
        {"platform": "cloud-run", "environment": "migrate", "deployment_id": "migrate-x1"},
    ),
    (
        {"K_SERVICE": "web", "K_REVISION": "web-00001"},
        {"platform": "cloud-run", "environment": "web", "deployment_id": "web-00001"},
    ),
    (
        {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_SHA": "c0ffee", "KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        {"platform": "github-actions", "deployment_id": "1", "commit_sha": "c0ffee"},
    ),
    ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"platform": "kubernetes"}),
]


@pytest.mark.parametrize(("environ", "expected"), CASES)
def test_the_context_of_a_platform(environ: dict[str, str], expected: dict[str, str]) -> None:
    assert platform_context(environ | {"PATH": "/bin"}) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"RELEASE_COMMAND": "1"}, None),
        ({"FLY_APP_NAME": "a"}, None),
        ({"FLY_APP_NAME": "a", "RELEASE_COMMAND": "1"}, (270.0, "fly")),
        ({"DYNO": "release.1234"}, (3570.0, "heroku")),
        ({"DYNO": "web.1"}, None),
        ({"DYNO": "run.1234"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
    ],
)
def test_the_deadline_of_a_platform(environ: dict[str, str], expected: tuple[float, str] | None) -> None:
    assert platform_deadline(environ) == expected


@pytest.mark.parametrize(
    ("environ", "count", "shard"),
    [
        ({}, None, None),
        ({}, 4, None),
        ({"JOB_COMPLETION_INDEX": "3"}, 4, Shard(3, 4)),
        ({"JOB_COMPLETION_INDEX": "3"}, None, None),
        ({"JOB_COMPLETION_INDEX": "4"}, 4, None),
        ({"CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_TASK_COUNT": "2"}, None, Shard(0, 2)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}, 9, Shard(1, 2)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1"}, None, None),
    ],
)
def test_the_part_of_the_work_that_a_platform_gives_a_machine(environ, count, shard):
    assert platform_shard(environ, count) == shard
