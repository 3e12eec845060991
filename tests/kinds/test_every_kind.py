"""Every kind of env.py and of history through every verb, each a real process on a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.kinds.projects import KINDS, STAGES, Kind
from tests.support.process import alembic, minimal_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Result
    from tests.support.project import Project
    from tests.support.server import Database, Server

pytestmark = [pytest.mark.deep, pytest.mark.timeout(600)]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "kinds.md"
WORDS = {"error": "found", "warn": "warned"}
PATIENCE = 300.0  # seconds; only ends a hang

_HEAD = """\
# Kinds of env.py and of history

Written by `make kinds-page` from the suite `tests/kinds`, which makes a project of each kind and takes it, with real
processes on a real PostgreSQL, through `migrate manifest`, `up` from nothing, `up` again, `verify`, `adopt` (the version rows
were deleted), `test`, and `down --to base`. A row is here only if what stands in it came out. Every one of them is also taken to
its head by plain `alembic upgrade`, but where the last column says otherwise.

| kind | manifest | from nothing | again | verified | adopted | tested | rolled back | why |
|---|---|---|---|---|---|---|---|---|
"""


class Course:
    """One project on its way through the verbs; `came_out` keeps a word for each stage."""

    def __init__(self, kind: Kind, project: Project, database: Database, server: Server, run_migrate: Any) -> None:
        self.kind = kind
        self.project = project
        self.database = database
        self.env = {"MIGRATE_SHADOW_URL": server.url(), "MIGRATE_SHADOW_BESIDE_TARGET": "true", **kind.env}
        self._run = run_migrate
        self.came_out: dict[str, str] = {}

    def run(self, verb: str, *arguments: str, flags: bool = True) -> Result:
        given = [*self.kind.flags] if flags else []
        x_flags = [part for at, part in enumerate(given) if part == "-x" or (at and given[at - 1] == "-x")]
        takes = given if verb in {"up", "test"} else x_flags
        return self._run(verb, *arguments, *takes, database=self.database, env=self.env, timeout_seconds=PATIENCE)

    def note(self, stage: str, result: Result, word: str) -> None:
        result.check_clean()
        code = result.exit_code
        last = result.finished
        if code in {0, 11} and stage == "tested" and "cases_failed" in last:
            # how long a lock lasts is a question of the table, not of the kind
            lines = [line for line in result.named("trial.finding") if line["check"] != "locks"]
            told = {level: sorted({line["check"] for line in lines if line["level"] == level}) for level in WORDS}
            said = [f"{name}: {', '.join(told[level])}" for level, name in WORDS.items() if told[level]]
            word = "; ".join(said) or "nothing found"
        elif code:
            named = "several" if last.get("match") == "several" else str(last["outcome"])
            word = f"{named} ({code})"
        self.came_out[stage] = word


def through(course: Course) -> dict[str, str]:
    kind, database = course.kind, course.database
    if kind.baseline is not None:
        (course.project.path / "baseline.sql").write_text(kind.baseline, encoding="utf-8")
        with closing(psycopg2.connect(database.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(kind.baseline)
    result = course.run("manifest", *(["--baseline", "baseline.sql"] if kind.baseline else []))
    course.note("manifest", result, "written")
    result = course.run("up", *(["--adopt", "exact"] if kind.baseline is not None else []))
    course.note("up", result, result.finished["outcome"])
    result = course.run("up")
    course.note("again", result, result.finished["outcome"])
    if course.came_out["again"] != "noop":
        return course.came_out | dict.fromkeys(("verified", "adopted", "back"), "-") | _tested(course)
    course.note("verified", course.run("verify"), "equal")
    rows = _forget_version(course, result.finished["to_revision"])
    result = course.run("adopt")
    course.note("adopted", result, result.finished["outcome"])
    if result.exit_code:
        _remember_version(course, rows)
    _tested(course)
    result = course.run("down", "--to", "base", "--allow-data-loss")
    course.note("back", result, result.finished["outcome"])
    return course.came_out


def _tested(course: Course) -> dict[str, str]:
    course.note("tested", course.run("test"), "nothing found")
    return course.came_out


def _table(course: Course) -> str:
    found = course.database.rows(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
        " WHERE tablename IN ('alembic_version', 'schema_versions')"
    )
    assert len(found) == 1
    return str(found[0][0])


def _forget_version(course: Course, rows: list[str]) -> list[str]:
    course.database.execute(f"DELETE FROM {_table(course)}")  # type: ignore[arg-type]
    return rows


def _remember_version(course: Course, rows: list[str]) -> None:
    for row in rows:
        course.database.execute(f"INSERT INTO {_table(course)} VALUES (%s)", row)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_each_kind_goes_through_every_verb(
    kind: Kind, project: Project, database: Database, server: Server, run_migrate: Callable[..., Result]
) -> None:
    kind.write(project)
    came_out = through(Course(kind, project, database, server, run_migrate))
    assert came_out == kind.expected


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.expected["up"] == "applied" and kind.baseline is None],
    ids=lambda kind: kind.name,
)
def test_plain_alembic_takes_it_to_the_same_head(
    kind: Kind, project: Project, make_database: Any, run_migrate: Callable[..., Result]
) -> None:
    kind.write(project)
    ours, theirs = make_database(), make_database()
    assert run_migrate("up", *kind.flags, database=ours, env=dict(kind.env)).exit_code == 0
    x_arguments = [part for at, part in enumerate(kind.flags) if part == "-x" or (at and kind.flags[at - 1] == "-x")]
    target = kind.flags[kind.flags.index("--target") + 1] if "--target" in kind.flags else "head"
    if project.ini.exists():
        alembic(project, theirs, *x_arguments, "upgrade", target)
    else:
        environ = {**minimal_environment(), "DATABASE_URL": theirs.url}
        command = [sys.executable, "-m", "alembic", "upgrade", target]
        subprocess.run(command, cwd=project.path, env=environ, check=True, capture_output=True)
    versions = (
        "SELECT string_agg(t.xml::text, ',') FROM (SELECT query_to_xml(format('SELECT * FROM %I.%I ORDER BY 1',"
        " schemaname, tablename), false, false, '') AS xml FROM pg_tables"
        " WHERE tablename IN ('alembic_version', 'schema_versions')) t"
    )
    assert ours.scalar(versions) == theirs.scalar(versions)


def test_the_page_lists_exactly_these_kinds(request: Any) -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40
    if request.config.getoption("--write-kinds", default=False):
        PAGE.write_text(render(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make kinds-page`"


def render() -> str:
    lines = []
    for of in ("env.py", "history"):
        for kind in (kind for kind in KINDS if kind.of == of):
            cells = [f"{of}: {kind.name}", *(kind.expected[stage] for stage in STAGES), kind.because]
            lines.append(f"| {' | '.join(cells)} |\n")
    return _HEAD + "".join(lines)
