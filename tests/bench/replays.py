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
                "162 revisions with 30 merges, env.py imports an application",
                partial(diamonds, count=30, line_after=41, has_application=True),
                2,
            ),
            ("manifest-line", "a line of 300", partial(line, count=300), 3),
            (
                "manifest-held",
                "100 revisions, env.py holds the transaction",
                partial(line, count=100, engine="begin"),
                2,
            ),
        )
    ),
    Row("test-20", "`test` of 20 revisions, s by revision", partial(tried, count=20), {WALL: 0.4}, 1),
]
