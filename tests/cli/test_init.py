"""`migrate init`: never over a user's file, all files or none, and names that no format misreads."""

from __future__ import annotations

import json

import pytest

from migrate.commands.init import PLATFORMS


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
    assert (project.path / "Procfile").read_text(encoding="utf-8") == 'release: migrate up\nweb: gunicorn "a b"\n'


def test_people_are_told_in_words(project, run_migrate):
    result = run_migrate("init", "fly", env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"wrote fly.toml\n\nnext:\n" in result.stdout
    again = run_migrate("init", "fly", env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"unchanged fly.toml\n" in again.stdout
    result = run_migrate("init", env={"MIGRATE_LOG_FORMAT": "text"})
    assert b"Choose from: railway, railway-json, " in result.stdout
