"""One child for every pass of a replay: the application is imported once, and what it remembers does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from migrate.core.manifest.manifest import Manifest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deep

CREATE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'
APPLICATION = """\
import pathlib

with open(pathlib.Path(__file__).with_name("imports"), "a") as file:
    file.write("x")
made = set()
"""


@pytest.fixture
def application(project) -> Path:
    """An application that env.py imports; the file has as many letters as it was imported times."""
    (project.path / "application.py").write_text(APPLICATION)
    project.write_env(head="import sys\nsys.path.insert(0, '.')\nimport application\n")
    return project.path / "imports"


def diamonds(project, count: int) -> None:
    """Two branches that meet, several times."""
    below = None
    for number in range(count):
        for side in ("left", "right"):
            name = f"{side}{number}"
            project.revision(
                name, down=below, message=side, upgrade=CREATE.format(name), downgrade=f"op.drop_table({name!r})"
            )
        project.revision(below := f"merge{number}", down=(f"left{number}", f"right{number}"), message="merge")


def test_branches_take_one_import_of_the_application(project, application, run_migrate, server):
    diamonds(project, 3)
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert not result.named("image.warning")
    assert application.read_text() == "x"


def test_an_env_py_that_holds_the_transaction_takes_one_import_of_the_application(
    project, application, run_migrate, server
):
    head = "import sys\nsys.path.insert(0, '.')\nimport application\n"
    project.write_env(head=head, engine="begin")
    project.linear(4)
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert application.read_text() == "xx"  # the first child found out that nothing can be seen in between


def test_a_trial_takes_one_import_of_the_application(project, application, run_migrate, server):
    project.linear(2)
    result = run_migrate("test", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert application.read_text() == "x"


@pytest.mark.parametrize(
    "again",
    ["pass", "op.execute('SELECT 1 / 0')"],
    ids=["does nothing a second time", "fails a second time"],
)
def test_what_the_application_remembers_of_another_pass_does_not_count(
    project, application, run_migrate, server, again
):
    for name, down in (("first", None), ("left", "first"), ("right", "first"), ("upper", "right")):
        body = f"""\
            import application

            if {name!r} in application.made:
                {again}
            else:
                application.made.add({name!r})
                {CREATE.format(name)}
            """
        project.revision(name, down=down, message=name, upgrade=body)
    project.revision("merge", down=("left", "upper"), message="merge")
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert not result.named("image.warning")
    found = Manifest.parse(project.manifest.read_text())
    tables = {each.removeprefix("table ") for each in found.schema_at(["merge"]) if each.startswith("table ")}
    assert tables == {"first", "left", "right", "upper"}
    assert len(application.read_text()) > 1  # the merge was reached by a child that knew nothing
