"""Every command that the pages show and that needs nothing of elsewhere is run, in a shell, as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from migrate.shadow.embedded import find_binaries
from tests.cli.test_flask_migrate import APPLICATION, UPGRADE
from tests.cli.test_fleet import COOKBOOK
from tests.docs.blocks import BLOCKS, ROOT, SHELL_BLOCKS, Block
from tests.docs.test_blocks import MADE
from tests.support.process import minimal_environment
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeDatabase
    from tests.support.server import Database

RUN = [
    block
    for block in SHELL_BLOCKS
    if not block.marker.keys() & {"needs", "run by"} and not block.page.startswith(MADE)
]  # fmt: skip


@dataclass
class Place:
    """Where a reader sits: a folder, a database in DATABASE_URL, and what else the page has set."""

    folder: Path
    database: Database
    make_database: MakeDatabase
    env: dict[str, str] = field(default_factory=dict)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run the shell script here."""
        return subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )

    def must(self, script: str) -> None:
        """Run what is to be there before the page begins."""
        done = self.run(f"set -e; {script}")
        assert done.returncode == 0, done.stdout + done.stderr


def an_example(place: Place) -> None:
    """A copy of the example in a Git repository with a branch `main` at its origin; an empty database."""
    shutil.copytree(
        ROOT / "examples" / "newsifier", place.folder, ignore=shutil.ignore_patterns("__pycache__", ".github")
    )
    place.must(
        "git init -q -b main && git add -A && git commit -q -m 'as it is'"
        " && git update-ref refs/remotes/origin/main HEAD && mkdir backups"
    )
    place.env["BASE_REVISION"] = "dbc1bc75a79e"


def without_version_rows(place: Place) -> None:
    """The example's head, made by somebody else."""
    an_example(place)
    place.must("migrate up")
    place.database.execute("DROP TABLE alembic_version")
    place.database.execute("DROP SCHEMA migrate CASCADE")


def at_head(place: Place) -> None:
    """The example, released."""
    an_example(place)
    place.must("migrate up")


def with_tables_of_others(place: Place) -> None:
    """A history that begins with a table that it did not create, which URL's database has."""
    project = Project(place.folder)
    project.revision("r1", upgrade="op.execute('ALTER TABLE orders ADD COLUMN note text')")
    place.database.execute("CREATE TABLE orders (id integer)")
    place.env["URL"] = place.database.url


def a_flask_project(place: Place) -> None:
    """A Flask-Migrate project as `flask db init` writes it."""
    pytest.importorskip("flask_migrate", reason="Flask-Migrate is not installed")
    place.folder.mkdir()
    (place.folder / "shop.py").write_text(APPLICATION, encoding="utf-8")
    place.must("flask --app shop db init")
    Project.revision(_versions_of(place), "one", upgrade=UPGRADE)


def a_fleet(place: Place) -> None:
    """The page's own settings, three tenants, and an env.py as in Alembic's cookbook."""
    project = Project(place.folder)
    project.env.write_text(COOKBOOK, encoding="utf-8")
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    project.revision(
        "r2", down="r1", upgrade="op.execute('CREATE TABLE b (id integer)')", downgrade="op.execute('DROP TABLE b')"
    )
    page = "docs/how-to/many-tenants.md"
    (settings,) = (block.text for block in BLOCKS if block.page == page and "schemas =" in block.text)
    (place.folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    for name in ("acme", "demo", "globex"):
        place.database.execute(f"CREATE SCHEMA tenant_{name}")
    place.must("migrate manifest -x tenant=public")


def two_sections(place: Place) -> None:
    """An alembic.ini with a section for each of two databases."""
    project = Project(place.folder)
    text = project.ini.read_text(encoding="utf-8")
    sections = [
        text.replace("[alembic]", f"[{name}]").replace("/migrations", f"/{name}") for name in ("orders", "billing")
    ]
    project.ini.write_text("\n".join(sections), encoding="utf-8")
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    shutil.copytree(place.folder / "migrations", place.folder / "billing")
    (place.folder / "migrations").rename(place.folder / "orders")
    place.env |= {"ORDERS_URL": place.database.url, "BILLING_URL": place.make_database().url}


def two_schemas(place: Place) -> None:
    """An env.py that is told a schema by `-x schema=`."""
    project = Project(place.folder)
    project.write_env()
    told = 'schema = context.get_x_argument(as_dictionary=True)["schema"]\n'
    env_py = project.env.read_text(encoding="utf-8").replace("\ndef migrate_on", f"\n{told}\n\ndef migrate_on")
    begins = "def migrate_on(connection):\n"
    path = "    connection.exec_driver_sql(f'SET search_path TO \"{schema}\"')\n    connection.commit()\n"
    env_py = env_py.replace(begins, begins + path).replace(
        "target_metadata=target_metadata", "version_table_schema=schema"
    )
    project.env.write_text(env_py, encoding="utf-8")
    project.revision("r1", upgrade="op.execute('CREATE TABLE a (id integer)')")
    for name in ("tenant_a", "tenant_b"):
        place.database.execute(f'CREATE SCHEMA "{name}"')


PLACES: dict[str, Callable[[Place], None]] = {
    "the example": an_example,
    "a database at the head": at_head,
    "a database without version rows": without_version_rows,
    "a database that others made tables in": with_tables_of_others,
    "a Flask project": a_flask_project,
    "a fleet": a_fleet,
    "two sections": two_sections,
    "two schemas": two_schemas,
}


@pytest.fixture
def place(tmp_path: Path, database: Database, make_database: MakeDatabase) -> Place:
    """Return a place with nothing in it yet."""
    programs = [Path(sys.executable).parent, find_binaries().bin_dir]  # pg_dump, as new as the server
    env = minimal_environment()
    return Place(
        tmp_path / "shop",
        database,
        make_database,
        env
        | {
            "PATH": ":".join([*map(str, programs), env["PATH"]]),
            "DATABASE_URL": database.url,
            "PIP_NO_INDEX": "1",  # what the page installs is here already
            "HOME": str(tmp_path),
            **{f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        },
    )


def _versions_of(place: Place) -> Project:
    project = object.__new__(Project)
    project.versions = place.folder / "migrations" / "versions"
    return project


def script_of(block: Block, folder: Path) -> str:
    """Return the block as a script: each command's exit code goes to descriptor 3, and none ends the script."""
    lines = []
    for command in block.commands:
        here = re.sub(r"^export DATABASE_URL=\S+", ":", command)  # the place has it
        here = re.sub(r"\bREVISION\b", "r1", here)
        here = re.sub(r"(?<!\S)/backups\b", str(folder / "backups"), here)
        lines.append(f"{here}\nprintf '%s ' $? >&3")
    return "set -o pipefail\n" + "\n".join(lines)


def parameters() -> list[object]:
    """Every block; those that replay or try whole histories with the long tests."""
    deep = re.compile(r"migrate (test|manifest)\b|pytest --migrate")
    marks = [[pytest.mark.deep] if deep.search(block.text) else [] for block in RUN]
    return [pytest.param(block, marks=each, id=str(block)) for block, each in zip(RUN, marks, strict=True)]


@pytest.mark.parametrize("block", parameters())
def test_the_commands_of_a_block_end_as_the_page_says(block: Block, place: Place) -> None:
    for program in ("jq",):
        if re.search(rf"\b{program}\b", block.text) and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    PLACES[block.marker.get("run in", "the example")](place)
    codes = place.folder / "exit-codes"
    done = place.run(f"exec 3>'{codes}'\n{script_of(block, place.folder)}")
    expected = block.marker.get("exits", " ".join("0" for _ in block.commands))
    said = f"{done.stdout}\n{done.stderr}"
    assert codes.read_text(encoding="utf-8").strip() == expected, said


def test_a_command_that_is_wrong_is_found(place: Place) -> None:
    an_example(place)
    block = Block("x.md", 1, "sh", "migrate up --strickt\nmigrate plan --exit-code\n", {})
    codes = place.folder / "exit-codes"
    place.run(f"exec 3>'{codes}'\n{script_of(block, place.folder)}")
    assert codes.read_text(encoding="utf-8") == "2 3 "
