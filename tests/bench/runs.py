"""Runs against a database: nothing to do, from nothing, one revision that is pending, and hundreds of them."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from migrate.core.events import Name
from tests.bench.histories import line
from tests.bench.measure import CPU, MEMORY, WALL, Job, Pair, Row

if TYPE_CHECKING:
    from tests.bench.measure import Place
    from tests.support.project import Project

OURS = ("migrate", "up")
THEIRS = ("alembic", "upgrade", "head")


def _on_copies(place: Place, project: Project, template: str = "template0") -> Pair:
    """Ours and theirs, each time on a new copy of the database."""

    def job(arguments: tuple[str, ...]) -> Job:
        return Job(arguments, project.path, place.url(place.database(template)))

    return Pair(partial(job, OURS), partial(job, THEIRS))


def _at(place: Place, project: Project, revision: str) -> str:
    """The name of a database that is upgraded to a revision, by Alembic."""
    database = place.database()
    Job(("alembic", "upgrade", revision), project.path, place.url(database)).run()
    return database


def nothing_to_do(place: Place, *, count: int) -> Pair:
    project = line(place.folder / f"noop-{count}", count, every=count)
    environ = place.url(_at(place, project, "head"))
    return Pair(lambda: Job(OURS, project.path, environ), lambda: Job(THEIRS, project.path, environ))


def from_nothing(place: Place, *, count: int) -> Pair:
    return _on_copies(place, line(place.folder / f"first-{count}", count, every=2))


def from_nothing_with_application(place: Place, *, count: int) -> Pair:
    return _on_copies(place, line(place.folder / f"application-{count}", count, every=2, has_application=True))


def one_pending(place: Place, *, count: int) -> Pair:
    project = line(place.folder / f"pending-{count}", count, every=2)
    return _on_copies(place, project, _at(place, project, f"r{count - 2:05}"))


def planned(place: Place, *, count: int) -> Pair:
    """With a manifest, which is what the plan is judged by."""
    project = _with_manifest(place, "plan", count)
    environ = place.url(_at(place, project, "r00000"))
    return Pair(lambda: Job(("migrate", "plan"), project.path, environ))


def adopted(place: Place, *, count: int) -> Pair:
    """The schema is that of the first revision, and nothing says so."""
    project = _with_manifest(place, "adopt", count)
    template = _at(place, project, "r00000")
    with closing(psycopg2.connect(place.server.url(template))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE alembic_version")
    return Pair(lambda: Job(("migrate", "adopt"), project.path, place.url(place.database(template))))


def begun(place: Place, *, count: int) -> Pair:
    """What `up` does before its first revision: it looks twice, and knows of each pending one whether the program bears it."""
    project = _with_manifest(place, "begun", count)
    template = _at(place, project, "r00000")
    arguments = ("tests.bench.until", Name.REVISION_STARTED, *OURS)
    here = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return Pair(lambda: Job(arguments, project.path, here | place.url(place.database(template))))


def _with_manifest(place: Place, name: str, count: int) -> Project:
    project = line(place.folder / f"{name}-{count}", count)
    Job(("migrate", "manifest"), project.path, {}).run()
    return project


ROWS = [
    *(
        Row(f"noop-{n}", f"nothing to do, {n:,} revisions", partial(nothing_to_do, count=n), {CPU: reach, MEMORY: 0.45})
        for n, reach in ((8, 0.25), (1000, 0.18), (3000, 0.13))
    ),
    *(
        Row(f"first-{n}", f"from nothing, {n:,} revisions", partial(from_nothing, count=n), {CPU: reach}, runs)
        for n, reach, runs in ((8, 1.0, 9), (100, 1.1, 9), (1000, 1.4, 5))
    ),
    *(
        Row(f"pending-{n}", f"one pending at {n:,}", partial(one_pending, count=n), {CPU: reach}, 9)
        for n, reach in ((8, 0.9), (100, 0.8), (1000, 0.6))
    ),
    *(
        Row(
            f"application-{n}",
            f"from nothing, {n} revisions, env.py imports an application",
            partial(from_nothing_with_application, count=n),
            {WALL: 1.2},
            3,
        )
        for n in (264, 549)
    ),
    Row("plan-536", "`plan` with 536 pending, s", partial(planned, count=537), {WALL: 0.5}, 3),
    Row("adopt-536", "`adopt` with 536 pending, s", partial(adopted, count=537), {WALL: 0.5}, 3),
    Row(
        "up-394", "`up` with 394 pending, until the first of them begins, s", partial(begun, count=395), {WALL: 0.5}, 3
    ),
]
