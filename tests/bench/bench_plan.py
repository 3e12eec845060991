"""What it costs `migrate plan` to ask the rows: 500 tables, and 5 needs with indexes that answer them, against none.

Run with `python -m tests.bench.bench_plan [TABLES ...]`. Both run alternately; wall time, CPU time and memory are medians of
five. A report, no pass or fail; the bar is 1.3.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from migrate.shadow.embedded import throwaway_server
from tests.bench.bench_noop import RUNS, cost
from tests.support.needs import set_needs
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence

NEEDS = 5
ROWS = 100_000

MADE = """
for number in range({tables}):
    op.execute(f"CREATE TABLE t{{number}} (id bigint PRIMARY KEY, email text, state varchar(20), made timestamptz DEFAULT now())")
    op.execute(f"CREATE INDEX ix_t{{number}}_email ON t{{number}} (email)")
"""
REQUIRED = f"""
for number in range({NEEDS}):
    op.alter_column(f"t{{number}}", "email", nullable=False)
"""


def main(sizes: Sequence[int]) -> None:
    """Print one line a size."""
    print("migrate plan          with 5 needs                  without                      with / without")
    print("tables           wall ms   cpu ms      MiB      wall ms   cpu ms      MiB      wall    cpu    MiB")
    with throwaway_server() as server, tempfile.TemporaryDirectory() as folder:
        for tables in sizes:
            project = Project(Path(folder) / str(tables))
            project.revision("made", upgrade=MADE.format(tables=tables))
            project.revision("required", down="made", upgrade=REQUIRED)
            admin = psycopg2.connect(server.url())
            admin.autocommit = True
            admin.cursor().execute(f"CREATE DATABASE bench_{tables}")
            admin.close()
            environ = {**os.environ, "DATABASE_URL": server.url(f"bench_{tables}")}
            shadow = {**os.environ, "MIGRATE_SHADOW_URL": server.url()}
            migrate = [sys.executable, "-m", "migrate"]
            subprocess.run([*migrate, "manifest"], cwd=project.path, env=shadow, check=True, capture_output=True)
            made = [*migrate, "up", "--target", "made"]
            subprocess.run(made, cwd=project.path, env=environ, check=True, capture_output=True)
            with psycopg2.connect(environ["DATABASE_URL"]) as filled, filled.cursor() as cursor:
                for number in range(NEEDS):
                    cursor.execute(f"INSERT INTO t{number} SELECT g, 'x', 'y' FROM generate_series(1, {ROWS}) g")
            plan = [*migrate, "plan"]
            needs = [f"no NULL in t{number}.email" for number in range(NEEDS)]
            pairs = []
            for _ in range(RUNS + 1):
                set_needs(project.manifest, {"required": needs})
                asked = cost(plan, project.path, environ)
                set_needs(project.manifest, {})
                pairs.append((asked, cost(plan, project.path, environ)))
            ours = [statistics.median(pair[0][n] for pair in pairs[1:]) for n in range(3)]
            without = [statistics.median(pair[1][n] for pair in pairs[1:]) for n in range(3)]
            numbers = (
                "".join(f"{value:9.0f}" for value in ours) + "    " + "".join(f"{value:9.0f}" for value in without)
            )
            print(
                f"{tables:6}       {numbers}    " + "".join(f"{m / o:7.2f}" for m, o in zip(ours, without, strict=True))
            )


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [500])
