"""The overlay that `migrate init compose` writes, read by Compose itself beside the Compose files that people have."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from migrate.commands.compose import release_variables
from migrate.core.problems import CATALOGUE
from tests.docs.blocks import BLOCKS
from tests.platforms.validators import check_compose, read_compose

if TYPE_CHECKING:
    from tests.conftest import RunMigrate
    from tests.support.project import Project

DOCKER = shutil.which("docker")
SHOP = """\
services:
  web:
    build: .
    image: shop:${TAG:-v1}
    pull_policy: missing
    container_name: shop
    ports: ["8000:8000"]
    labels: {traefik.enable: "true"}
    restart: always
    command: gunicorn shop
    deploy: {restart_policy: {condition: any}}
    environment:
      DATABASE_URL: postgresql://shop:shop@maindb/shop
      SECRET_KEY: abc
    depends_on: [maindb, cache]
  maindb:
    image: postgis/postgis:17-3.5
    environment: {POSTGRES_PASSWORD: shop}
  cache:
    image: redis:8
"""


def write(project: Project, text: str, name: str = "docker-compose.yml") -> None:
    (project.path / name).write_text(text, encoding="utf-8")


def init(run_migrate: RunMigrate, project: Project, *arguments: str) -> tuple[dict[str, Any], list[str]]:
    """The services of the overlay, checked, and what there is to do next."""
    result = run_migrate("init", "compose", "--force", *arguments)
    assert result.exit_code == 0, result.stdout
    file = project.path / "compose.release.yaml"
    check_compose(file)
    return read_compose(file), result.finished["next"]


def resolved(project: Project, base: str = "docker-compose.yml", **env: str) -> dict[str, Any]:
    """The services as Compose itself reads both files; it needs no engine for that."""
    if DOCKER is None or subprocess.run([DOCKER, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose")
    command = [
        DOCKER,
        "compose",
        "-f",
        base,
        "-f",
        "compose.release.yaml",
        "--profile",
        "*",
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(
        command, cwd=project.path, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def test_the_job_is_the_service_but_for_what_belongs_to_the_service_alone(run_migrate, project):
    write(project, SHOP)
    init(run_migrate, project)
    found = resolved(project, TAG="v2")
    job, web = found["migrate"], found["web"]
    for same in ("image", "build", "pull_policy"):
        assert job[same] == web[same]
    assert job["image"] == "shop:v2"
    assert {name: value for name, value in job["environment"].items() if value is not None} == web["environment"]
    assert (job["entrypoint"], job["command"], job["restart"]) == (["migrate"], ["up", "--strict"], "no")
    assert not job.keys() & {"container_name", "ports", "labels", "deploy"}
    assert job["healthcheck"]["disable"] is True
    # not the cache, which `run` would start, and put in the place of the old one
    assert list(job["depends_on"]) == ["maindb"]
    assert web["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_a_host_that_only_pulls_builds_nothing(run_migrate, project):
    write(project, SHOP.replace("    build: .\n", ""))
    init(run_migrate, project)
    assert "build" not in resolved(project)["migrate"]


def test_what_is_set_for_one_release_reaches_the_job(run_migrate, project):
    write(project, SHOP)
    init(run_migrate, project)
    given = resolved(project, MIGRATE_AHEAD="accept", MIGRATE_EDITED="warn")["migrate"]["environment"]
    assert (given["MIGRATE_AHEAD"], given["MIGRATE_EDITED"]) == ("accept", "warn")
    # what is not set is unset there, too: no log format, so that a terminal is written to in words
    assert given["MIGRATE_LOG_FORMAT"] is None


def test_every_variable_that_a_fix_of_the_job_exports_is_handed_to_it():
    exported = {
        word.partition("=")[0]
        for kind in CATALOGUE.values()
        for word in str(kind.fix).replace("'", " ").replace('"', " ").split()
        if word.startswith("MIGRATE_") and "=" in word
    }
    assert "MIGRATE_AHEAD" in exported
    # of a throw-away database, which the job has none of
    assert {each for each in exported if "SHADOW" not in each} <= {*release_variables()}


def test_a_setting_that_the_service_has_is_the_jobs_too(run_migrate, project):
    write(project, SHOP.replace("SECRET_KEY: abc", "MIGRATE_LOCK_TIMEOUT: 5s"))
    init(run_migrate, project)
    assert resolved(project)["migrate"]["environment"]["MIGRATE_LOCK_TIMEOUT"] == "5s"


@pytest.mark.parametrize("name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_the_file_that_is_there_is_named(run_migrate, project, name):
    write(project, SHOP, name)
    services, told = init(run_migrate, project, "--contract")
    assert services["migrate"]["extends"] == {"file": name, "service": "web"}
    commands = [line for line in told if line.startswith("docker compose")]
    assert len(commands) == 3
    text = (project.path / "compose.release.yaml").read_text(encoding="utf-8")
    commands += [line for line in text.splitlines() if "docker compose -f" in line]
    assert [line for line in commands if f"-f {name} " not in line] == []
    # a verb answers for the image that this history is in
    assert [line for line in commands if " run " in line and "--build" not in line] == []
    resolved(project, name)


def test_of_several_files_it_is_the_one_that_compose_takes(run_migrate, project):
    write(project, "services: {other: {image: a}}\n", "docker-compose.yaml")
    write(project, SHOP)
    services, _ = init(run_migrate, project)
    assert services["migrate"]["extends"]["file"] == "docker-compose.yml"


def test_the_service_is_not_touched_by_the_second_command_of_a_release(run_migrate, project):
    write(project, SHOP)
    _, told = init(run_migrate, project)
    # without the overlay: with it, `up` would run the job a second time
    assert told[-2].split("   #")[0].endswith(" run --build --rm migrate &&")
    assert told[-1].startswith("docker compose -f docker-compose.yml up --build --detach ")


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        # by the host of the service's URL, its name, its image
        (SHOP, (), "maindb"),
        ("services:\n  web:\n    image: a\n  postgres:\n    image: b\n", (), "postgres"),
        ("services:\n  web:\n    image: a\n  store:\n    image: pgvector/pgvector:pg17\n", (), "store"),
        ("services:\n  web: {image: a}\n  store: {image: 'timescale/timescaledb-ha:pg17'}\n", (), "store"),
        ("services:\n  web:\n    image: a\n  store:\n    image: my/own\n", ("--database", "store"), "store"),
        # a database elsewhere is none of this file's
        ("services:\n  web:\n    image: a\n    environment:\n      - DATABASE_URL=postgresql://pg.example/x\n", (), None),
    ],
)  # fmt: skip
def test_the_database_is_found(run_migrate, project, text, arguments, expected):
    write(project, text)
    services, told = init(run_migrate, project, *arguments)
    assert services["migrate"]["depends_on"] == (
        {expected: {"condition": "service_started"}} if expected is not None else None
    )
    assert not [line for line in told if "looks like the database" in line]
    resolved(project, DATABASE_URL="postgresql://db/x")


@pytest.mark.parametrize(
    "others",
    [
        "  store: {image: my/own}\n",
        "  metrics: {image: prometheuscommunity/postgres-exporter}\n",
        "  one: {image: 'postgres:17'}\n  two: {image: 'postgres:17'}\n",
    ],
)
def test_a_database_that_is_not_found_is_asked_for(run_migrate, project, others):
    write(project, f"services:\n  web:\n    image: a\n{others}")
    services, told = init(run_migrate, project)
    assert services["migrate"]["depends_on"] is None
    assert told[0] == (
        "none of the services of docker-compose.yml looks like the database: if one is, name it (--database)"
    )


@pytest.mark.parametrize("flag", ["--service", "--database"])
def test_a_service_that_is_not_there_is_refused_and_nothing_is_written(run_migrate, project, flag):
    write(project, SHOP)
    result = run_migrate("init", "compose", flag, "api")
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (2, "usage")
    assert result.finished["why"] == (
        f"docker-compose.yml has no service api: {flag} has to name one of cache, maindb, web"
    )
    assert not (project.path / "compose.release.yaml").exists()


@pytest.mark.parametrize(
    "text",
    [
        # as maps, lists and references are written
        "services:\n  web:\n    image: a\n    environment:\n      DATABASE_URL: x\n",
        'services:\n  web:\n    image: a\n    environment: ["DATABASE_URL=x"]\n',
        "services:\n  web: {image: a, environment: {DATABASE_URL: x}}\n",
        "services:\n  web:\n    image: a\n    environment:\n      - DATABASE_URL_FILE=/run/secrets/x\n",
        "x-app: &app\n  environment: {DATABASE_URL: x}\nservices:\n  web:\n    <<: *app\n    image: a\n",
        "services:\n  web:\n    extends:\n      service: base\n  base:\n    image: a\n    environment: {DATABASE_URL: x}\n",
        "services:\n  web:\n    image: a\n    env_file: app.env\n",
        "services:\n  web:\n    image: a\n    env_file:\n      - path: app.env\n        required: false\n",
        json.dumps({"services": {"web": {"image": "a", "env_file": ["app.env"]}}}, indent=2),
        json.dumps({"services": {"web": {"image": "a", "environment": {"DATABASE_URL": "x"}}}}),
    ],
)
def test_a_url_that_the_service_has_is_taken_over(run_migrate, project, text):
    write(project, text)
    (project.path / "app.env").write_text("DATABASE_URL=x\n", encoding="utf-8")
    _, told = init(run_migrate, project)
    assert not [line for line in told if "export DATABASE_URL" in line]
    environment = resolved(project, DATABASE_URL="postgresql://of-the-shell/x")["migrate"]["environment"]
    assert environment.get("DATABASE_URL", environment.get("DATABASE_URL_FILE")) in {"x", "/run/secrets/x"}


@pytest.mark.parametrize(
    "environment",
    ["{SECRET_KEY: abc}", "{URL: '${DATABASE_URL}'}", "{MY_DATABASE_URL: x}", "{}\n    # DATABASE_URL: x"],
)
def test_a_url_that_the_service_has_not_is_asked_for(run_migrate, project, environment):
    write(project, f"services:\n  web:\n    image: a\n    environment: {environment}\n")
    _, told = init(run_migrate, project)
    assert [line for line in told if line.startswith("export DATABASE_URL=")]
    assert resolved(project, DATABASE_URL="x")["migrate"]["environment"]["DATABASE_URL"] == "x"


def test_an_image_that_is_named_is_the_jobs_and_is_not_built(run_migrate, project):
    write(project, SHOP)
    init(run_migrate, project, "--image", "registry.example.com/shop-job:${TAG:-v1}")
    job = resolved(project, TAG="v2")["migrate"]
    assert (job["image"], "build" in job) == ("registry.example.com/shop-job:v2", False)
    # and what is built from a file of its own is not the service's image
    init(run_migrate, project, "--dockerfile", "job.Dockerfile")
    job = resolved(project)["migrate"]
    assert (job.get("image"), job["build"]["dockerfile"]) == (None, "job.Dockerfile")


def test_a_service_of_a_file_that_is_included_is_found_there(run_migrate, project):
    write(project, "include:\n  - web.yaml\n", "compose.yaml")
    write(project, SHOP, "web.yaml")
    services, _ = init(run_migrate, project)
    assert services["migrate"]["extends"] == {"file": "web.yaml", "service": "web"}
    assert list(services["migrate"]["depends_on"]) == ["maindb"]


def test_services_that_cannot_be_read_are_not_judged(run_migrate, project):
    write(project, "{services: {web: {image: a}, db: {image: 'postgres:17'}}}\n")
    _, told = init(run_migrate, project)
    assert told[0] == (
        "the services of docker-compose.yml could not be read here: check that it has one that is named web"
    )
    resolved(project, DATABASE_URL="x")


def test_it_says_what_is_not_there(run_migrate, project):
    _, told = init(run_migrate, project)
    assert [line.split(",")[0] for line in told[:2]] == ["there is no compose.yaml here", "there is no Dockerfile here"]


def test_a_job_of_the_projects_own_by_that_name_is_said(run_migrate, project):
    write(project, SHOP + "  migrate:\n    build: .\n    command: alembic upgrade head\n")
    _, told = init(run_migrate, project)
    assert told[0].startswith("docker-compose.yml has a service migrate of its own: remove it")
    refused = run_migrate("init", "compose", "--force", "--service", "migrate")
    assert (refused.exit_code, refused.finished["problem"]) == (2, "usage")


def test_the_two_jobs(run_migrate, project):
    write(project, SHOP)
    init(run_migrate, project, "--contract")
    found = resolved(project)
    job, contract = found["migrate"], found["contract"]
    assert job["command"] == ["up", "--strict", "--breaking", "hold"]
    assert contract["command"] == ["up", "--strict", "--breaking", "allow"]
    assert contract["profiles"] == ["contract"], "`up` does not start it"
    other = {"command", "profiles"}
    assert {key: job[key] for key in job.keys() - other} == {key: contract[key] for key in contract.keys() - other}


def test_the_job_joins_the_services_networks_without_its_addresses(run_migrate, project):
    networks = "    networks:\n      default:\n        ipv4_address: 10.0.0.3\n        aliases: [api]\n"
    write(project, SHOP.replace("    build: .\n", f"    build: .\n{networks}"))
    init(run_migrate, project)
    found = resolved(project)
    assert found["migrate"]["networks"] in ({"default": None}, {"default": {}})
    assert found["web"]["networks"]["default"]["ipv4_address"] == "10.0.0.3"


def test_a_file_that_compose_would_add_by_itself_is_said(run_migrate, project):
    write(project, SHOP)
    write(project, "services: {}\n", "docker-compose.override.yml")
    _, told = init(run_migrate, project)
    assert "add -f docker-compose.override.yml" in told[0]


def test_a_rollback_builds_nothing_under_the_old_tag():
    blocks = [block for block in BLOCKS if block.page == "docs/how-to/compose.md" and "TAG=" in block.text]
    assert len(blocks) == 2
    assert [block for block in blocks if "--build" in block.text] == []


def test_no_page_runs_the_job_twice_or_starts_the_service_after_a_refusal():
    shown = [block.commands for block in BLOCKS if "compose.release.yaml run" in block.text]
    assert len(shown) > 5
    for commands in shown:
        for command in commands:
            assert not re.search(r"compose\.release\.yaml up .*--detach", command)
            # what comes after the job is a part of its command
            assert command == commands[-1] or not re.search(r"\b(migrate|contract)\s*(#.*)?$", command), command
