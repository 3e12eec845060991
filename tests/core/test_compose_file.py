"""What is read of a Compose file without a parser of YAML."""

from __future__ import annotations

import json

import pytest

from migrate.core.compose_file import database_of, env_files, has_variable, included, networks_to_join, services

BLOCKS = """\
name: shop
x-app: &app
  environment:
    SECRET_KEY: abc   # a secret

services:   # all of them
  # web: not this one
  web:
    <<: *app
    build: .

    depends_on: [db]
  "worker":
    extends:
      service: web
  'cron': {extends: worker, command: x}
  db:
    image: postgres:17
volumes:
  data:
"""


def test_services_have_what_they_are_made_of() -> None:
    found = services(BLOCKS)
    assert list(found) == ["web", "worker", "cron", "db"]
    for name in ("web", "worker", "cron"):
        assert "SECRET_KEY" in found[name]
    assert found["db"] == "  db:\n    image: postgres:17"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "services:\n",
        "services:\nvolumes:\n  data:\n",
        "{services: {web: {image: a}}}",
        "[]",
        '{"services": []}',
        '{"name": "shop"}',
        "services:\n  - web\n",
    ],
)
def test_where_no_service_is_seen_there_is_none(text: str) -> None:
    assert services(text) == {}


def test_json_is_yaml_too() -> None:
    text = json.dumps({"services": {"web": {"env_file": ["a.env", {"path": "b.env"}]}, "db": {}}})
    assert list(services(text)) == ["web", "db"]
    assert {"a.env", "b.env"} <= {*env_files(services(text)["web"])}


def test_a_service_that_is_made_of_itself_ends() -> None:
    assert list(services("services:\n  a:\n    extends: b\n  b:\n    extends: a\n    <<: *gone\n")) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("    env_file: .env.web\n    image: a\n", [".env.web"]),
        ("    env_file:\n      - a.env\n      - 'b.env'\n    image: a\n", ["a.env", "b.env"]),
        ("    env_file: [a.env, b.env]\n", ["a.env", "b.env"]),
        ("    image: a\n", []),
    ],
)
def test_the_env_files_of_a_service(text: str, paths: list[str]) -> None:
    assert [word for word in env_files(text) if word != "-"] == paths


def test_what_a_file_includes() -> None:
    text = "include:\n  - a.yaml\n  - path: b.yaml\nservices:\n  web:\n    image: c.yaml\n"
    assert {"a.yaml", "b.yaml"} <= {*included(text)}
    assert "c.yaml" not in included(text)
    assert included("services:\n") == []


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("URL: x", True),
        ("- URL=x", True),
        ('"URL": "x"', True),
        ("- URL", True),
        ("environment: {URL: x}", True),
        ('environment: ["URL"]', True),
        ("URL=x", True),
        ("MY_URL: x", False),
        ("URL_OF: x", False),
        ("A: ${URL}", False),
        ("A: ${URL:-x}", False),
        ("A: $URL", False),
    ],
)
def test_a_variable_is_given_where_it_is_a_name_and_no_reference(text: str, *, has: bool) -> None:
    assert has_variable(text, ["OTHER", "URL"]) is has


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        ("URL: postgresql://u:p@store:5432/x", {"store": "", "db": ""}, ("store", True)),
        ("URL: postgresql+asyncpg://${USER}:${PASSWORD}@store/x", {"store": ""}, ("store", True)),
        ("URL: postgres://db/x", {"db": ""}, ("db", True)),
        ("URL: postgresql://pg.example.com/x", {"web": "", "db": ""}, (None, True)),
        ("", {"web": "", "database": ""}, ("database", True)),
        ("", {"web": "image: a", "x": "image: ghcr.io/cloudnative-pg/postgresql:17"}, ("x", True)),
        ("", {"x": "image: postgres:17", "y": "image: dpage/pgadmin4", "z": "image: edoburu/pgbouncer"}, ("x", True)),
        ("", {"x": "image: postgrest/postgrest"}, (None, False)),
        ("", {"x": "image: postgres", "y": "image: pgvector/pgvector:pg17"}, (None, False)),
        ("", {"x": "build: ."}, (None, False)),
    ],
)
def test_the_database_is_the_urls_host_or_a_name_or_the_only_image(
    own: str, others: dict[str, str], expected: tuple[str | None, bool]
) -> None:
    assert database_of(own, others) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "  web:\n    networks:\n      front:\n        ipv4_address: 10.0.0.3\n      back:\n    image: a",
            ["front", "back"],
        ),
        ('  "web": {\n    "networks": {\n      "front": {"aliases": ["api"]}\n    }\n  }', ["front"]),
        ("  web:\n    networks:\n      front:\n", []),
        ("  web:\n    networks: [front]\n", []),
        ("  web:\n    image: aliases\n", []),
    ],
)
def test_an_address_is_that_of_one_container(text: str, names: list[str]) -> None:
    assert networks_to_join(text) == names
