"""What a run with nothing to do costs, against `alembic upgrade head` on the same database at the same moment.

Run with `python -m tests.bench.bench_noop [REVISIONS ...]`. Each pair runs alternately; wall time, CPU time and memory are
medians of five. A report, no pass or fail.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from migrate.shadow.embedded import throwaway_server
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS = 5


def cost(command: Sequence[str], cwd: Path, environ: dict[str, str]) -> tuple[float, float, float]:
    """Wall time in ms, CPU time in ms and peak memory in MiB of one process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = (time.perf_counter() - began) * 1000
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    return wall, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024


def history(folder: Path, revisions: int) -> Project:
    """A linear history whose revisions do next to nothing: learning the graph is what is measured."""
    project = Project(folder)
    parent = None
    for number in range(revisions):
        revision = f"r{number:05}"
        project.revision(revision, down=parent, upgrade="op.execute('SELECT 1')", message=f"change {number}")
        parent = revision
    return project


def main(sizes: Sequence[int]) -> None:
    """Print one line a size."""
    print("nothing to do           migrate up                    alembic upgrade head          migrate / alembic")
    print("revisions        wall ms   cpu ms      MiB      wall ms   cpu ms      MiB      wall    cpu    MiB")
    with throwaway_server() as server, tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            project = history(Path(folder) / str(size), size)
            admin = psycopg2.connect(server.url())
            admin.autocommit = True
            admin.cursor().execute(f"CREATE DATABASE bench_{size}")
            admin.close()
            environ = {**os.environ, "DATABASE_URL": server.url(f"bench_{size}")}
            ours = [sys.executable, "-m", "migrate", "up"]
            theirs = [sys.executable, "-m", "alembic", "upgrade", "head"]
            cost(ours, project.path, environ)
            cost(theirs, project.path, environ)
            pairs = [(cost(ours, project.path, environ), cost(theirs, project.path, environ)) for _ in range(RUNS)]
            mine = [statistics.median(pair[0][n] for pair in pairs) for n in range(3)]
            other = [statistics.median(pair[1][n] for pair in pairs) for n in range(3)]
            numbers = "".join(f"{value:9.0f}" for value in mine) + "    " + "".join(f"{value:9.0f}" for value in other)
            print(f"{size:9}    {numbers}    " + "".join(f"{m / o:7.2f}" for m, o in zip(mine, other, strict=True)))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [8, 1000, 3000])
