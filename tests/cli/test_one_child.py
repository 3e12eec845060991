"""One child for every pass of a replay: the application is imported once, and what it remembers does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy

from migrate.core.manifest.manifest import Manifest
from tests.support.transactions import write_transactions

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
    assert application.read_text() == "x"


RUNS = """\
import pathlib

with open(pathlib.Path(__file__).parents[1] / "runs", "a") as file:
    file.write("x")
"""


def runs_of_env_py(project) -> int:
    """How often env.py was run since the last time."""
    path = project.path / "runs"
    count = len(path.read_text())
    path.unlink()
    return count


def test_a_transaction_that_env_py_holds_is_committed_after_each_revision_of_a_throw_away_database(
    project, run_migrate, server
):
    project.linear(4)
    shadow = {"MIGRATE_SHADOW_URL": server.url()}
    assert run_migrate("manifest", env=shadow).exit_code == 0
    as_it_is = project.manifest.read_text()
    project.manifest.unlink()
    project.write_env(head=RUNS, engine="begin")
    result = run_migrate("manifest", env=shadow)
    assert result.exit_code == 0, result.finished
    assert not result.named("image.warning")
    assert runs_of_env_py(project) == 1
    assert project.manifest.read_text() == as_it_is


@pytest.mark.parametrize("before", ["context.configure(", "with context.begin_transaction()"])
def test_what_env_py_sets_for_its_transaction_alone_takes_a_run_for_each_revision(project, run_migrate, server, before):
    project.write_env(head=RUNS, engine="begin")
    text = project.env.read_text()
    held = text.replace(before, f"connection.execute(sa.text(SET))\n    {before}", 1)
    assert held != text
    project.env.write_text("import sqlalchemy as sa\nSET = \"SET LOCAL my.own = 'here'\"\n" + held)
    for number in range(3):
        below = f"r{number - 1}" if number else None
        body = f"assert op.get_bind().exec_driver_sql('SHOW my.own').scalar() == 'here'\n{CREATE.format(f't{number}')}"
        project.revision(f"r{number}", down=below, upgrade=body)
    result = run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert "run once for each revision" in result.named("image.warning")[0]["message"]
    assert runs_of_env_py(project) == 4


@pytest.mark.skipif(sqlalchemy.__version__.startswith("1."), reason="SQLAlchemy 1.4 commits for who does not")
def test_an_env_py_that_commits_nothing_is_told_so(project, run_migrate, server):
    write_transactions(project, "SQL before configure, and no commit at all", "DDL", is_last=False)
    for verb in ("manifest", "test"):
        result = run_migrate(verb, env={"MIGRATE_SHADOW_URL": server.url()})
        assert "never committed it" in result.finished["why"], result.finished


def test_branches_that_meet_again_take_one_database_each(project, run_migrate, server):
    project.write_env(head=RUNS)
    diamonds(project, 4)
    assert run_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()}).exit_code == 0
    passes, by_passes = runs_of_env_py(project), project.manifest.read_text()
    project.manifest.unlink()
    result = run_migrate("manifest")  # on a server of its own
    assert result.exit_code == 0, result.finished
    assert (passes, runs_of_env_py(project)) == (12, 2)
    assert project.manifest.read_text() == by_passes


def test_one_new_revision_above_merges_takes_one_run_of_env_py(project, run_migrate):
    project.write_env(head=RUNS)
    diamonds(project, 3)
    assert run_migrate("manifest").exit_code == 0
    runs_of_env_py(project)
    project.revision("new", down="merge2", upgrade=CREATE.format("new"))
    assert run_migrate("manifest").exit_code == 0
    assert runs_of_env_py(project) == 1
    text = project.manifest.read_text()
    project.manifest.unlink()
    assert run_migrate("manifest", "--full").exit_code == 0
    assert project.manifest.read_text() == text


def test_branches_whose_order_matters_are_told_by_passes_of_their_own(project, run_migrate, server):
    project.revision("root", upgrade=CREATE.format("root"))
    for name in ("left", "right"):
        rest = "ALTER TABLE twice ADD IF NOT EXISTS kind text" if name == "left" else "SELECT 1"
        body = f"op.execute('CREATE TABLE IF NOT EXISTS twice (id int, first_was_{name} int)')\nop.execute({rest!r})"
        project.revision(name, down="root", upgrade=body)
    project.revision("merge", down=("left", "right"))
    project.revision("up", down="merge", upgrade=CREATE.format("up"))
    found = []
    for environ in ({}, {"MIGRATE_SHADOW_URL": server.url()}):
        result = run_migrate("manifest", env=environ)
        assert result.exit_code == 0, result.finished
        found.append((project.manifest.read_text(), [each["message"] for each in result.named("image.warning")]))
        project.manifest.unlink()
    assert found[0] == found[1]
    assert found[0][1]


def test_a_role_that_a_branch_makes_is_made_in_each_database(project, run_migrate):
    project.revision("root", upgrade=CREATE.format("root"))
    project.revision("left", down="root", upgrade="op.execute('CREATE ROLE of_left')")
    project.revision("right", down="root", upgrade="op.execute('CREATE ROLE of_right')")
    project.revision("merge", down=("left", "right"), upgrade="op.execute('GRANT SELECT ON root TO of_left, of_right')")
    project.revision("next", down="merge", upgrade=CREATE.format("next"))
    result = run_migrate("manifest")
    assert result.exit_code == 0, result.finished
    assert not result.named("image.warning")


def test_a_trial_takes_one_import_of_the_application(project, application, run_migrate, server):
    project.linear(2)
    result = run_migrate("test", env={"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert application.read_text() == "x"


@pytest.mark.parametrize("of_its_own", [False, True], ids=["a server that is named", "a server of its own"])
@pytest.mark.parametrize(
    "again",
    ["pass", "op.execute('SELECT 1 / 0')"],
    ids=["does nothing a second time", "fails a second time"],
)
def test_what_the_application_remembers_of_another_pass_does_not_count(
    project, application, run_migrate, server, again, of_its_own
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
    result = run_migrate("manifest", env={} if of_its_own else {"MIGRATE_SHADOW_URL": server.url()})
    assert result.exit_code == 0, result.finished
    assert not result.named("image.warning")
    found = Manifest.parse(project.manifest.read_text())
    tables = {each.removeprefix("table ") for each in found.schema_at(["merge"]) if each.startswith("table ")}
    assert tables == {"first", "left", "right", "upper"}
    assert len(application.read_text()) > 1  # the merge was reached by a child that knew nothing
