"""How long a fleet's release takes, against the loop `for t in …; alembic -x tenant=$t upgrade head`, and its memory.

Run with `python -m tests.bench.bench_fleet [TENANTS …]`. The server is a throw-away one. The loop is run for a few of the
tenants and extrapolated to all of them, which the row says.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psycopg2

from migrate.shadow.embedded import throwaway_server
from tests.cli.test_fleet import COOKBOOK, SCHEMAS
from tests.support.process import children_of, migrate_command, minimal_environment
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REVISIONS = 8
SAMPLE = 6  # tenants of the loop that are really run
SIZES = (200, 2000)


def provision(url: str, count: int, at: str) -> None:
    """So many schemas at a revision, made by SQL as the history would make them."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    number = int(at.removeprefix("r"))
    for tenant in range(count):
        name = f"tenant_{tenant}"
        tables = "".join(f"CREATE TABLE {name}.r{n:04} (id serial PRIMARY KEY);" for n in range(1, number + 1))
        cursor.execute(
            f"CREATE SCHEMA {name}; {tables}"
            f"CREATE TABLE {name}.alembic_version (version_num varchar(32) PRIMARY KEY);"
            f"INSERT INTO {name}.alembic_version VALUES ('{at}')"
        )
    connection.close()


def tree_kib(pid: int) -> int:
    """The memory of a process and all below it, what they share counted once (PSS)."""
    found = 0
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        children = children_of(pid)
    except (OSError, StopIteration):
        return found
    return found + sum(map(tree_kib, children))


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[float, int]:
    """Seconds, and the most memory that was seen, in KiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, tree_kib(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0, command
    return time.perf_counter() - start, most


def loop_s(project: Project, environ: Mapping[str, str], count: int) -> float:
    """The loop for all of them, extrapolated from a few."""
    alembic = [sys.executable, "-m", "alembic"]
    tenants = range(SAMPLE)
    took = sum(
        run([*alembic, "-x", f"tenant=tenant_{n}", "upgrade", "head"], project.path, environ)[0] for n in tenants
    )
    return took / SAMPLE * count


def rows(sizes: Sequence[int]) -> Iterator[str]:
    """A row of the page for each size and state: seconds of the loop and of ours, their ratio, and our memory."""
    yield f"| tenants | state | the loop (extrapolated from {SAMPLE}) | ours | ratio | memory of all processes |"
    yield "|---|---|---|---|---|---|"
    for size in sizes:
        for state, at in (("at head", f"r{REVISIONS:04}"), ("one pending", f"r{REVISIONS - 1:04}")):
            with (
                throwaway_server(settings={"max_locks_per_transaction": "1024"}) as server,
                TemporaryDirectory() as name,
            ):
                project = Project(Path(name))
                project.linear(REVISIONS)
                project.env.write_text(COOKBOOK)
                (project.path / "pyproject.toml").write_text(SCHEMAS)
                environ = {**minimal_environment(), "DATABASE_URL": server.url()}
                provision(server.url(), size, at)
                took, kib = run(migrate_command("up"), project.path, environ)
                if state == "at head":
                    took, kib = min((took, kib), run(migrate_command("up"), project.path, environ))
                else:  # the loop needs tenants that are not done yet
                    with psycopg2.connect(server.url()) as connection, connection.cursor() as cursor:
                        for n in range(SAMPLE):
                            cursor.execute(f"DROP TABLE tenant_{n}.r{REVISIONS:04}")
                            cursor.execute(f"UPDATE tenant_{n}.alembic_version SET version_num = '{at}'")
                loop = loop_s(project, environ, size)
                yield (
                    f"| {size:,} | {state} | {loop:.0f} s | {took:.2f} s | {loop / took:.0f} x | {kib / 1024:.0f} MiB |"
                )


if __name__ == "__main__":
    for row in rows([int(size) for size in sys.argv[1:]] or SIZES):
        print(row, flush=True)
