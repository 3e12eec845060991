"""Of a long history only the files that will run are loaded, and those that do something when they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from migrate.child import scripts
from migrate.child.protocol import Setup
from tests.support.project import Project

if TYPE_CHECKING:
    from pathlib import Path

MANY = 80


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A line of revisions that only define their two functions."""
    made = Project(tmp_path)
    made.write_env()
    for number in range(MANY):
        made.revision(f"r{number:03}", down=f"r{number - 1:03}" if number else None, message=f"the {number}th")
    return made


def ours(project: Project) -> ScriptDirectory:
    ini = str(project.path / "alembic.ini")
    return scripts.script_directory(Config(ini), Setup(ini, None, "alembic", (str(project.path),), "postgresql://"))


def is_loaded(directory: ScriptDirectory, id_: str) -> bool:
    return "upgrade" in vars(directory.get_revision(id_).module)


def test_a_file_that_only_defines_functions_is_loaded_when_it_is_to_run(project: Project):
    directory = ours(project)
    assert directory.get_heads() == [f"r{MANY - 1:03}"]
    assert [is_loaded(directory, id_) for id_ in ("r000", "r063", "r064", "r079")] == [True, True, False, False]
    steps = directory._upgrade_revs("head", ("r077",))
    assert [step.revision.revision for step in steps] == ["r078", "r079"]
    assert [is_loaded(directory, id_) for id_ in ("r077", "r078", "r079")] == [False, True, True]
    assert steps[0].revision.doc == "the 78th"


def test_the_history_is_the_one_that_alembic_loads(project: Project):
    project.revision("merge", down=("r079",), depends_on="r070", labels="label", message="last")
    alembics = ScriptDirectory.from_config(Config(str(project.path / "alembic.ini")))

    def told(directory: ScriptDirectory) -> list[tuple[object, ...]]:
        return [
            (each.revision, each.down_revision, each.dependencies, each.branch_labels, each.path, each.doc)
            for each in directory.walk_revisions()
        ]

    assert told(ours(project)) == told(alembics)


@pytest.mark.parametrize(
    "text",
    [
        "\nprint('loaded')\n",
        "\n@decorated\ndef helper():\n    pass\n",
        "\ndef helper(now=print('loaded')):\n    pass\n",
        "\nclass Of:\n    pass\n",
        "\nif True:\n    pass\n",
        "\nx = 1; print('loaded')\n",
    ],
)
def test_a_file_that_does_something_is_loaded_as_ever(project: Project, text: str):
    path = next(project.path.rglob("*r070*.py"))
    path.write_text(path.read_text() + text.replace("@decorated", "@str"))
    directory = ours(project)
    assert is_loaded(directory, "r070")
    assert not is_loaded(directory, "r071")


@pytest.mark.parametrize(
    "line", ["import application", "from application import thing", "import os, application as app"]
)
def test_a_file_that_imports_the_application_is_loaded_as_ever(
    project: Project, line: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(project.path))
    (project.path / "application.py").write_text("thing = 1\n")
    path = next(project.path.rglob("*r070*.py"))
    path.write_text(path.read_text().replace("import sqlalchemy as sa", f"import sqlalchemy as sa\n{line}", 1))
    assert line in path.read_text()
    assert is_loaded(ours(project), "r070")


def test_what_a_file_defines_beside_its_functions_is_there_when_asked_for(project: Project):
    path = next(project.path.rglob("*r070*.py"))
    path.write_text(path.read_text() + "\n\ndef helper() -> None:\n    pass\n")
    module = ours(project).get_revision("r070").module
    assert "helper" not in vars(module)
    assert callable(module.helper)
    assert module.__file__ == str(path)
    with pytest.raises(AttributeError):
        _ = module.nothing
