"""The histories that are measured: lines and diamonds of small revisions, with an application that takes its time to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tests.support.project import Project

if TYPE_CHECKING:
    from pathlib import Path

IMPORT_S: Final = 1.0  # of the application, where env.py imports one
# Half of it computing, as importing is; an import that only waited would cost no CPU.
_APPLICATION: Final = f"""\
import time
until = time.perf_counter() + {IMPORT_S}
while time.perf_counter() < until:
    pass
"""


def project_of(folder: Path, *, has_application: bool = False, engine: Literal["sync", "begin"] = "sync") -> Project:
    project = Project(folder)
    if has_application:
        (folder / "application.py").write_text(_APPLICATION)
    project.write_env(engine=engine, head="import application" if has_application else "")
    return project


def _make(project: Project, id_: str, down: str | tuple[str, str] | None, *, makes: bool = True) -> str:
    """A revision that makes a table and an index, or nothing."""
    upgrade = (
        f'op.create_table("t{id_}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50)))'
    )
    upgrade += f'\nop.create_index("ix_{id_}", "t{id_}", ["name"])'
    project.revision(
        id_, down=down, upgrade=upgrade if makes else "pass", downgrade=f'op.drop_table("t{id_}")' if makes else "pass"
    )
    return id_


def line(
    folder: Path,
    count: int,
    *,
    every: int = 1,
    has_application: bool = False,
    engine: Literal["sync", "begin"] = "sync",
) -> Project:
    """A line of revisions of which each ``every``-th makes a table and an index, and the others next to nothing."""
    project = project_of(folder, has_application=has_application, engine=engine)
    tip = None
    for number in range(count):
        tip = _make(project, f"r{number:05}", tip, makes=number % every == 0)
    return project


def diamonds(folder: Path, count: int, *, line_after: int = 0, has_application: bool = False) -> Project:
    """Branches of one and of two revisions that are merged, one such diamond on the other, then a line."""
    project = project_of(folder, has_application=has_application)
    tip = _make(project, "root0", None)
    for number in range(count):
        short = _make(project, f"a{number:03}", tip)
        long = _make(project, f"c{number:03}", _make(project, f"b{number:03}", tip))
        tip = _make(project, f"m{number:03}", (short, long), makes=False)
    for number in range(line_after):
        tip = _make(project, f"r{number:05}", tip)
    return project
