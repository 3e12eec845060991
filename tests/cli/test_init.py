"""`migrate init`: never over a user's file, all files or none, and names that no format misreads."""

from __future__ import annotations

import json

import pytest

from migrate.core.platform_files import PLATFORMS


@pytest.mark.parametrize("platform", PLATFORMS)
def test_it_writes_what_it_says_and_tells_what_is_next(project, run_migrate, platform):
    result = run_migrate("init", platform, "--project", "shop")
    result.check_clean()
    assert result.exit_code == 0
    assert result.finished["written"] == list(PLATFORMS[platform].files)
    assert result.finished["next"]
    for path in result.finished["written"]:
        text = (project.path / path).read_text(encoding="utf-8")
        assert "@project" not in text, "every place is filled"
        assert "@service" not in text
    again = run_migrate("init", platform, "--project", "shop")
    assert again.exit_code == 0, "the same content is no conflict"
    assert (again.finished["written"], again.finished["unchanged"]) == ([], result.finished["written"])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_users_own_file_stays_unless_forced(project, run_migrate, platform):
    (path, *_) = PLATFORMS[platform].files
    mine = project.path / path
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine\n", encoding="utf-8")
    result = run_migrate("init", platform)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (12, "files-exist")
    assert path in result.finished["why"]
    assert result.finished["fix"].startswith(f"migrate init {platform} --force ")
    assert mine.read_text(encoding="utf-8") == "mine\n"
    assert run_migrate("init", platform, "--force").exit_code == 0
    assert mine.read_text(encoding="utf-8") != "mine\n"


def test_the_project_is_named_after_its_folder(project, run_migrate):
    run_migrate("init", "kubernetes")
    text = (project.path / "deploy/kubernetes/job.yaml").read_text(encoding="utf-8")
    assert "  name: project-migrate\n" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--project", "My Shop"),
        ("--project", "shop\nkind: Pod"),
        ("--service", "web: {}"),
        ("--image", "shop latest"),
        ("--health", "health"),
        ("--start", "a\nb"),
        ("--dockerfile", "a b"),
    ],
)
def test_a_name_that_a_format_would_misread_is_refused(project, run_migrate, arguments):
    before = sorted(project.path.rglob("*"))
    result = run_migrate("init", "kubernetes", *arguments)
    result.check_clean()
    assert result.exit_code == 2
    assert arguments[0] in result.finished["why"]
    assert sorted(project.path.rglob("*")) == before


def test_an_unknown_platform_is_a_usage_error_that_lists_the_known(project, run_migrate):
    result = run_migrate("init", "heruko")
    assert result.exit_code == 2
    assert "heroku" in result.finished["why"]


def test_json(project, run_migrate):
    result = run_migrate("init", "heroku", "--json", "--start", 'gunicorn "a b"')
    said = json.loads(result.stdout)
    assert said["written"] == ["Procfile"]
    assert (project.path / "Procfile").read_text(
        encoding="utf-8"
    ) == 'release: migrate up --strict\nweb: gunicorn "a b"\n'


def test_people_are_told_in_words(project, run_migrate):
    result = run_migrate("init", "fly", env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"wrote fly.toml\n\nnext:\n" in result.stdout
    again = run_migrate("init", "fly", env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"unchanged fly.toml\n" in again.stdout
    result = run_migrate("init", env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"Choose from: railway, railway-py, railway-json, " in result.stdout


@pytest.mark.parametrize(
    ("platform", "path", "line"),
    [
        (
            "railway",
            ".railway/railway.ts",
            """start: "migrate wait -- sh -c 'exec uvicorn app:app --host 0.0.0.0 --port $PORT'",""",
        ),
        (
            "railway-json",
            "railway.json",
            """"startCommand": "migrate wait -- sh -c 'exec uvicorn app:app --host 0.0.0.0 --port $PORT'",""",
        ),
        ("heroku", "Procfile", "web: uvicorn app:app --host 0.0.0.0 --port $PORT"),
        ("fly", "fly.toml", 'web = "uvicorn app:app --host 0.0.0.0 --port 8080"'),
    ],
)
def test_a_start_command_that_nobody_gave_listens_where_the_platform_asks(project, run_migrate, platform, path, line):
    result = run_migrate("init", platform)
    assert line in [each.strip() for each in (project.path / path).read_text(encoding="utf-8").splitlines()]
    assert result.finished["next"][0].startswith("the start command is a guess, uvicorn app:app ")
    given = run_migrate("init", platform, "--force", "--start", "gunicorn app:app")
    assert "guess" not in "".join(given.finished["next"])


@pytest.mark.parametrize(("platform", "path"), [("railway", ".railway/railway.ts"), ("fly", "fly.toml")])
def test_a_start_command_that_needs_a_shell_gets_one_where_the_platform_has_none(project, run_migrate, platform, path):
    run_migrate("init", platform, "--start", "gunicorn app:app --bind :$PORT")
    assert "sh -c 'exec gunicorn app:app --bind :$PORT'" in (project.path / path).read_text(encoding="utf-8")


def test_railway_json_is_written_with_the_day_on_which_it_ends(project, run_migrate):
    result = run_migrate("init", "railway-json")
    said = [step for step in result.finished["next"] if "2026-12-01" in step]
    assert said == ["Railway does not read railway.json any more from 2026-12-01 on: migrate init railway"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_with_two_jobs_the_first_holds_and_the_second_is_a_file_or_the_last_thing_to_do(project, run_migrate, platform):
    result = run_migrate("init", platform, "--contract")
    result.check_clean()
    chosen = PLATFORMS[platform]
    assert result.finished["written"] == [*chosen.files, *chosen.contract]
    assert result.finished["next"][-1] == chosen.contracting.format(compose="compose.yaml")
    first, *_ = ((project.path / path).read_text() for path in result.finished["written"])
    words = " ".join(first.replace('"', " ").replace(",", " ").split())
    assert "up --strict --breaking hold" in words
    assert not chosen.contract or "--breaking" in (project.path / next(iter(chosen.contract))).read_text()
