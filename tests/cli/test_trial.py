"""`migrate test`: each kind of fault is found, named and placed, and what is right is left in peace."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import psycopg2
import pytest

from migrate.core.trial_checks import DEFAULT_FAIL, OF_HISTORY, OF_REVISIONS, TrialCheck
from tests.support.planted import HISTORY, expected_line, plant
from tests.support.process import Running, migrate_command, minimal_environment
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.process import Result
    from tests.support.server import Server

pytestmark = [pytest.mark.deep, pytest.mark.timeout(600)]
PATIENCE = 500.0  # only ends a hang


def start(server: Server, folder: Path, *arguments: str, **environ: str) -> Result:
    env = {**minimal_environment(), "MIGRATE_SHADOW_URL": server.admin_url, **environ}
    running = Running(migrate_command("test", *arguments), cwd=folder, env=env)
    try:
        return running.finish(PATIENCE)
    finally:
        running.kill()


@pytest.fixture
def run_trial(server: Server, project: Project) -> Callable[..., Result]:
    def run(*arguments: str, **environ: str) -> Result:
        return start(server, project.path, *arguments, **environ)

    return run


def cases(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["cases"]
    return found


def findings(result: Result) -> dict[tuple[str | None, str], dict[str, Any]]:
    return {(c["revision"], c["check"]): c for c in cases(result) if c["verdict"] in {"failed", "warned"}}


# The planted history: one run, many questions


@pytest.fixture(scope="module")
def planted(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, Path], Path]:
    folder = tmp_path_factory.mktemp("planted") / "project"
    files = plant(Project(folder))
    return start(server, folder, "--json", "--junit", "junit.xml", "--annotations", "notes.txt"), files, folder


def test_every_planted_fault_is_found_and_nothing_else(planted: tuple[Result, dict[str, Path], Path]) -> None:
    result, _, _ = planted
    expected = {(name, str(check)) for name, one in HISTORY.items() for check in one.found}
    assert set(findings(result)) == expected
    assert result.exit_code == 11
    assert json.loads(result.stdout)["problem"] == "failed-trial"


@pytest.mark.parametrize(
    ("revision", "check"), [(name, check) for name, one in HISTORY.items() for check in one.found], ids=str
)
def test_a_finding_is_placed_on_its_file_and_line(
    planted: tuple[Result, dict[str, Path], Path], revision: str, check: TrialCheck
) -> None:
    result, files, folder = planted
    found = findings(result)[revision, str(check)]
    assert found["file"] == str(files[revision].relative_to(folder))
    assert found["line"] == expected_line(check, files[revision])
    assert found["verdict"] == ("failed" if str(check) in DEFAULT_FAIL else "warned")


def test_a_revision_with_a_reason_is_not_asked_to_go_back(planted: tuple[Result, dict[str, Path], Path]) -> None:
    result, _, _ = planted
    skipped = {c["check"]: c["finding"] for c in cases(result) if c["revision"] == "irreversible"}
    assert skipped["downgrade"] == skipped["again"] == "irreversible: the tags are gone"


def test_junit_and_annotations_say_the_same(planted: tuple[Result, dict[str, Path], Path]) -> None:
    result, files, folder = planted
    failed = {(c["revision"], c["check"]) for c in cases(result) if c["verdict"] == "failed"}
    suite = ET.parse(folder / "junit.xml").getroot()[0]
    marked = {
        (case.get("classname", "").removeprefix("migrate."), case.get("name"))
        for case in suite
        if case.find("failure") is not None
    }
    assert marked == failed
    assert int(suite.get("tests", "0")) == len(HISTORY) * len(OF_REVISIONS) + len(OF_HISTORY) == len(suite)
    lines = (folder / "notes.txt").read_text("utf-8").splitlines()
    assert sum(line.startswith("::error ") for line in lines) == len(failed)
    assert len(lines) == len(findings(result))
    file = files["set_not_null"]
    place = f"file={file.relative_to(folder)},line={expected_line(TrialCheck.ROWS, file)},"
    assert any(line.startswith(f"::error {place}") for line in lines)


# What concerns the history, and the choice of revisions

CREATE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'


def test_two_heads_are_one_finding_and_both_branches_are_tried(
    project: Project, run_trial: Callable[..., Result]
) -> None:
    project.linear(1)
    for name in ("left", "right"):
        project.revision(name, down="r0001", upgrade=CREATE.format(name), downgrade=f'op.drop_table("{name}")')
    result = run_trial("--json")
    assert set(findings(result)) == {(None, "heads")}
    assert "left, right" in findings(result)[None, "heads"]["finding"]
    tried = {c["revision"] for c in cases(result) if c["check"] == "downgrade" and c["verdict"] == "passed"}
    assert tried == {"r0001", "left", "right"}
    assert run_trial("--json", "--target", "heads").exit_code == 0


def test_a_merge_goes_up_and_down(project: Project, run_trial: Callable[..., Result]) -> None:
    project.linear(1)
    for name in ("left", "right"):
        project.revision(name, down="r0001", upgrade=CREATE.format(name), downgrade=f'op.drop_table("{name}")')
    project.revision("both", down=("left", "right"), upgrade=CREATE.format("b"), downgrade='op.drop_table("b")')
    project.revision("later", down="both", depends_on=None)
    result = run_trial("--json")
    assert findings(result) == {}
    assert {c["verdict"] for c in cases(result) if c["check"] == "downgrade"} == {"passed"}


def test_an_upgrade_that_fails_is_found_and_what_builds_on_it_is_skipped(
    project: Project, run_trial: Callable[..., Result]
) -> None:
    project.linear(1)
    file = project.revision("broken", down="r0001", upgrade='op.execute("SELECT 1 / 0")')
    project.revision("above", down="broken")
    result = run_trial("--json")
    found = findings(result)
    assert set(found) == {("broken", "upgrade")}
    assert found["broken", "upgrade"]["finding"] == "division by zero"
    line = next(n for n, text in enumerate(file.read_text("utf-8").splitlines(), 1) if "1 / 0" in text)
    assert found["broken", "upgrade"]["line"] == line
    above = [c for c in cases(result) if c["revision"] == "above"]
    assert {c["verdict"] for c in above} == {"skipped"}
    assert len(above) == len(OF_REVISIONS)


def test_a_schema_that_is_not_the_manifests_is_found(project: Project, server: Server) -> None:
    project.linear(2)
    env = {**minimal_environment(), "MIGRATE_SHADOW_URL": server.admin_url}
    made = Running(migrate_command("manifest"), cwd=project.path, env=env).finish(PATIENCE)
    assert made.exit_code == 0
    file = next(project.versions.glob("r0002*"))
    file.write_text(file.read_text("utf-8").replace("sa.Integer", "sa.BigInteger"), "utf-8")
    result = start(server, project.path, "--json")
    assert set(findings(result)) == {("r0002", "schema")}
    assert any("bigint" in line for line in findings(result)["r0002", "schema"]["details"])


def test_an_env_py_that_changes_something_each_time_is_found(
    project: Project, run_trial: Callable[..., Result]
) -> None:
    project.linear(1)
    project.write_env(
        head="""
        import uuid
        from sqlalchemy import event, text
        from sqlalchemy.engine import Engine


        @event.listens_for(Engine, "engine_connect")
        def make(connection, *_):  # SQLAlchemy 1.4 says whether it is a branch, too
            name = "made_" + uuid.uuid4().hex
            cursor = connection.connection.cursor()
            cursor.execute(f"CREATE TABLE {name} (id integer)")
            connection.connection.commit()
        """
    )
    result = run_trial("--json", "--fail", "twice")
    assert (None, "twice") in findings(result)
    assert findings(result)[None, "twice"]["file"] == "migrations/env.py"
    assert result.exit_code == 11


MODELS = """
from sqlalchemy import Column, Integer, Table, Text

Table("r0001", target_metadata, Column("id", Integer, primary_key=True), {0})
"""


@pytest.mark.parametrize("column", ["", 'Column("name", Text)'])
def test_models_are_compared_with_the_head(project: Project, run_trial: Callable[..., Result], column: str) -> None:
    project.linear(1)
    project.write_env(head=MODELS.format(column))
    result = run_trial("--json")
    models = next(c for c in cases(result) if c["check"] == "models")
    assert models["verdict"] == ("failed" if column else "passed")
    assert ("column r0001.name" in models["finding"]) is bool(column)


def test_since_tries_only_what_is_newer(project: Project, run_trial: Callable[..., Result]) -> None:
    project.linear(4)
    result = run_trial("--json", "--since", "r0002")
    assert {c["revision"] for c in cases(result)} == {"r0003", "r0004", None}
    assert result.exit_code == 0


def test_base_tries_what_the_branch_adds(project: Project, run_trial: Callable[..., Result]) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=project.path, check=True, capture_output=True)

    project.linear(2)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "two")
    assert {c["revision"] for c in cases(run_trial("--json", "--base", "main"))} == {None}
    git("checkout", "-q", "-b", "feature")
    project.linear(1, prefix="f", down="r0002")
    git("add", ".")
    git("commit", "-q", "-m", "committed")
    project.linear(1, prefix="g", down="f0001")  # not even added
    assert {c["revision"] for c in cases(run_trial("--json", "--base", "main"))} == {None, "f0001", "g0001"}
    wrong = run_trial("--json", "--base", "no-such-branch")
    assert wrong.exit_code == 2
    assert "no-such-branch" in json.loads(wrong.stdout)["why"]


def test_policy_says_what_fails(project: Project, run_trial: Callable[..., Result]) -> None:
    project.revision("r1", upgrade=CREATE.format("t"), downgrade="pass")
    assert run_trial("--json").exit_code == 0
    assert run_trial("--json", "--fail", "downgrade").exit_code == 11
    assert run_trial("--json", MIGRATE_TEST_FAIL="downgrade,rows").exit_code == 11
    assert run_trial("--json", "--fail", "nonsense").exit_code == 2


def test_the_target_is_refused_as_a_shadow(project: Project, server: Server, run_trial: Callable[..., Result]) -> None:
    project.linear(1)
    result = run_trial(DATABASE_URL=server.admin_url)
    assert result.exit_code == 10
    assert result.finished is not None
    assert result.finished["problem"] == "shadow-is-target"


def test_every_line_is_json_and_the_shadows_are_gone(
    project: Project, server: Server, run_trial: Callable[..., Result]
) -> None:
    project.linear(2)
    result = run_trial()
    result.check_clean()
    assert [event["revision"] for event in result.named("trial.revision")] == ["r0001", "r0002"]
    run_id = result.events[0]["run_id"]
    with closing(psycopg2.connect(server.admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        assert not [name for (name,) in cursor.fetchall() if run_id in name]


def test_people_get_a_table(project: Project, run_trial: Callable[..., Result]) -> None:
    project.revision("r1", upgrade=CREATE.format("t"), downgrade="pass")
    text = run_trial("--log-format", "text").stdout.decode()
    assert "r1" in text
    assert "downgrade  migrations/versions/r1_a_change.py:23" in text
    assert "table t is left behind" in text


# pytest --migrate


def pytest_in(
    project: Project, server: Server, *arguments: str, environ: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    env = {**minimal_environment(), "MIGRATE_SHADOW_URL": server.admin_url, **environ}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project.path, env=env, capture_output=True, text=True, check=False)


def test_pytest_has_a_test_for_each_revision_and_check(project: Project, server: Server) -> None:
    project.linear(1)
    project.revision("r2", down="r0001", upgrade='op.alter_column("r0001", "id", new_column_name="no")')
    (project.path / "test_own.py").write_text("def test_own():\n    assert True\n")
    listed = pytest_in(project, server, "--migrate", "--collect-only", "-q")
    assert "r2-downgrade" in listed.stdout
    assert "test_own" in listed.stdout
    done = pytest_in(project, server, "--migrate", "-v", "-W", "error")
    assert "r0001-upgrade PASSED" in done.stdout
    assert "findings that do not fail the run" in done.stdout
    assert done.returncode == 0, done.stdout
    failing = {**minimal_environment(), "MIGRATE_SHADOW_URL": server.admin_url, "MIGRATE_TEST_FAIL": "downgrade"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--migrate"]
    done = subprocess.run(command, cwd=project.path, env=failing, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "column r0001.no is left behind" in done.stdout


def test_pytest_runs_it_without_xdist_with_strict_markers_and_with_warnings_as_errors(
    project: Project, server: Server
) -> None:
    project.linear(1)
    done = pytest_in(project, server, "--migrate", "-v", "-p", "no:xdist", "--strict-markers", "-W", "error")
    assert "r0001-upgrade PASSED" in done.stdout
    assert done.returncode == 0, done.stdout


def test_a_trial_that_is_refused_is_asked_for_once(project: Project, server: Server) -> None:
    project.linear(2)
    command = ["sh", "-c", f"echo asked >> asked; echo '{server.admin_url}'"]  # where no throw-away database may be
    (project.path / "pyproject.toml").write_text(f"[tool.migrate]\nurl_command = {json.dumps(command)}\n")
    done = pytest_in(project, server, "--migrate")
    assert done.returncode == 1, done.stdout
    assert "lead to one server" in done.stdout
    assert "Traceback" not in done.stdout
    assert "_ask" not in done.stdout, "our own stack says nothing of the revisions"
    # the list of the tests, and the trial
    assert len((project.path / "asked").read_text().split()) <= 2, done.stdout


@pytest.mark.parametrize("own", ["migrate.py", "migrate/__init__.py"])
def test_a_project_may_have_a_module_named_migrate(project: Project, server: Server, own: str) -> None:
    project.linear(1)
    (project.path / own).parent.mkdir(exist_ok=True)
    (project.path / own).write_text("MINE = True\n")
    (project.path / "test_own.py").write_text("import migrate\n\n\ndef test_own():\n    assert migrate.MINE\n")
    # `python -m pytest` puts the project's folder on the path, and PYTHONPATH hands it to what pytest starts
    path = {"PYTHONPATH": str(project.path)}
    done = pytest_in(project, server, "--migrate", "-v", "test_own.py", environ=path)
    assert "test_own PASSED" in done.stdout
    assert "r0001-upgrade PASSED" in done.stdout
    assert done.returncode == 0, done.stdout


def test_without_the_flag_pytest_is_as_ever(project: Project, server: Server) -> None:
    (project.path / "test_own.py").write_text(
        "import sys\n\n\ndef test_own():\n    heavy = {'alembic', 'sqlalchemy', 'psycopg2', 'click', 'migrate.cli'}\n"
        "    assert not heavy & sys.modules.keys()\n"
    )
    done = pytest_in(project, server)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
