"""What it costs `migrate plan` to ask the rows: 500 tables, and 5 needs with indexes that answer them, against none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import psycopg2

from tests.bench.histories import project_of
from tests.bench.measure import WALL, Job, Pair, Row
from tests.support.needs import set_needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.measure import Place

NEEDS: Final = 5
FILLED: Final = 100_000
MADE: Final = """
for number in range({tables}):
    op.execute(f"CREATE TABLE t{{number}} (id bigint PRIMARY KEY, email text, state varchar(20), made timestamptz DEFAULT now())")
    op.execute(f"CREATE INDEX ix_t{{number}}_email ON t{{number}} (email)")
"""
REQUIRED: Final = f"""
for number in range({NEEDS}):
    op.alter_column(f"t{{number}}", "email", nullable=False)
"""


def with_and_without(place: Place, *, tables: int) -> Pair:
    """The same plan with needs in the manifest, and with none."""
    project = project_of(place.folder / f"needs-{tables}")
    project.revision("made", upgrade=MADE.format(tables=tables))
    project.revision("required", down="made", upgrade=REQUIRED)
    Job(("migrate", "manifest"), project.path, {}).run()
    database = place.database()
    environ = place.url(database)
    Job(("migrate", "up", "--target", "made"), project.path, environ).run()
    with psycopg2.connect(environ["DATABASE_URL"]) as filled, filled.cursor() as cursor:
        for number in range(NEEDS):
            cursor.execute(f"INSERT INTO t{number} SELECT g, 'x', 'y' FROM generate_series(1, {FILLED}) g")
        filled.commit()
    filled.close()

    def plan(needs: Sequence[str]) -> Job:
        set_needs(project.manifest, {"required": needs})
        return Job(("migrate", "plan"), project.path, environ)

    needs = [f"no NULL in t{number}.email" for number in range(NEEDS)]
    return Pair(partial(plan, needs), partial(plan, ()))


ROWS = [
    Row(
        "needs-500",
        "`plan` with 5 needs at 500 tables, against the same without",
        partial(with_and_without, tables=500),
        {WALL: 1.3},
    )
]
