"""What every developer waits for with a new revision: `manifest`, against one upgrade from nothing, and `test`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.bench.histories import diamonds, line
from tests.bench.measure import WALL, Job, Pair, Row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.measure import Place
    from tests.support.project import Project


def _manifest(place: Place, *, folder: str, write: Callable[[Path], Project]) -> Pair:
    project = write(place.folder / folder)

    def ours() -> Job:
        project.manifest.unlink(missing_ok=True)
        return Job(("migrate", "manifest"), project.path, {})

    def theirs() -> Job:
        return Job(("alembic", "upgrade", "head"), project.path, place.url(place.database()))

    return Pair(ours, theirs)


def one_above(place: Place) -> Pair:
    """The manifest has all but the last revision, as in a pull request."""
    project = diamonds(place.folder / "new", 30)
    Job(("migrate", "manifest"), project.path, {}).run()
    project.revision("above", down="m029", upgrade='op.execute("CREATE TABLE above (id int)")')
    known = project.manifest.read_text()

    def ours() -> Job:
        project.manifest.write_text(known)
        return Job(("migrate", "manifest"), project.path, {})

    return Pair(ours, lambda: Job(("alembic", "upgrade", "head"), project.path, place.url(place.database())))


def tried(place: Place, *, count: int) -> Pair:
    """Each of the revisions, up, down, up again, and with rows."""
    project = line(place.folder / "trial", count)
    return Pair(lambda: Job(("migrate", "test"), project.path, {}), units=count)


ROWS = [
    *(
        Row(name, f"`manifest`, {said}", partial(_manifest, folder=name, write=write), {WALL: 3.0}, runs)
        for name, said, write, runs in (
            ("manifest-diamonds", "30 diamonds (121 revisions)", partial(diamonds, count=30), 3),
            (
                "manifest-application",
                "162 revisions with 30 merges (made up, for a real history), env.py imports an application",
                partial(diamonds, count=30, line_after=41, has_application=True),
                2,
            ),
            ("manifest-line", "a line of 300", partial(line, count=300), 3),
            (
                "manifest-held",
                "437 revisions, env.py holds the transaction",
                partial(line, count=437, engine="begin"),
                2,
            ),
        )
    ),
    Row(
        "manifest-new",
        "`manifest`, one new revision above 30 diamonds, against all of it by Alembic",
        one_above,
        {WALL: 3.0},
        3,
    ),
    Row("test-50", "`test` of 50 revisions, s by revision", partial(tried, count=50), {WALL: 0.4}, 1),
]
