"""How long a fleet's release takes, against the loop `for t in …; alembic -x tenant=$t upgrade head`, and its memory.

Run with `python -m tests.bench.bench_fleet [TENANTS …]`. The server is a throw-away one. The loop is run for a few of the
tenants and extrapolated to all of them, which the row says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psycopg2

from migrate.shadow.embedded import throwaway_server
from tests.cli.test_fleet import COOKBOOK, SCHEMAS
from tests.support.process import children_of, migrate_command, minimal_environment
from tests.support.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

REVISIONS = 8
SAMPLE = 6  # tenants of the loop that are really run
ROUNDS = 3  # pairs; of thousands of tenants one
SIZES = (200, 2000)

_WARM = """
import sys
from argparse import Namespace
from alembic import command
from alembic.config import Config
lanes, count, lane = map(int, sys.argv[1:])
for tenant in range(lane, count, lanes):
    command.upgrade(Config("alembic.ini", cmd_opts=Namespace(x=[f"tenant=tenant_{tenant}"])), "head")
"""


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


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> float:
    """Seconds."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def most_kib(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> int:
    """The most memory that was seen, in KiB; in a run of its own, as to look takes time from those that are looked at."""
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, tree_kib(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0, command
    return most


def loop_s(project: Project, environ: Mapping[str, str], count: int) -> float:
    """The loop for all of them, extrapolated from a few."""
    alembic = [sys.executable, "-m", "alembic"]
    tenants = range(SAMPLE)
    took = sum(run([*alembic, "-x", f"tenant=tenant_{n}", "upgrade", "head"], project.path, environ) for n in tenants)
    return took / SAMPLE * count


def warm_s(project: Project, environ: Mapping[str, str], count: int) -> float:
    """Alembic in as many processes as we have runners, each of which imports it once: what it costs without a lock and a proof."""
    start = time.perf_counter()
    lanes = min(os.cpu_count() or 1, 4)
    command = [sys.executable, "-c", _WARM, str(lanes), str(count)]
    running = [
        subprocess.Popen([*command, str(lane)], cwd=project.path, env=environ, stderr=subprocess.DEVNULL)
        for lane in range(lanes)
    ]
    assert [process.wait() for process in running] == [0] * lanes
    return time.perf_counter() - start


def set_back(url: str, tenants: Iterable[int]) -> None:
    """Let these tenants lack the last revision again."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for n in tenants:
            cursor.execute(
                f"DROP TABLE IF EXISTS tenant_{n}.r{REVISIONS:04};"
                f"UPDATE tenant_{n}.alembic_version SET version_num = 'r{REVISIONS - 1:04}'"
            )
    connection.close()


def rows(sizes: Sequence[int]) -> Iterator[str]:
    """A row of the page for each size and state: seconds of the loop, of warm processes and of ours, and our memory."""
    yield f"| tenants | state | the loop (extrapolated from {SAMPLE}) | Alembic in warm processes | ours | ratio to the loop | memory |"
    yield "|---|---|---|---|---|---|---|"
    for size in sizes:
        for state in ("at head", "one pending"):
            with (
                throwaway_server(settings={"max_locks_per_transaction": "1024"}) as server,
                TemporaryDirectory() as name,
            ):
                project = Project(Path(name))
                project.linear(REVISIONS)
                project.env.write_text(COOKBOOK)
                (project.path / "pyproject.toml").write_text(SCHEMAS)
                environ = {**minimal_environment(), "DATABASE_URL": server.url()}
                provision(server.url(), size, f"r{REVISIONS:04}")
                yield _row(state, size, project, environ)


def _row(state: str, size: int, project: Project, environ: Mapping[str, str]) -> str:
    url = environ["DATABASE_URL"]

    def begin(count: int) -> None:
        if state == "one pending":
            set_back(url, range(count))

    command = migrate_command("up")
    run(command, project.path, environ)  # to warm up, and to make the ledger
    pairs, warm = [], []
    for _ in range(ROUNDS if size <= SIZES[0] else 1):
        begin(size)
        ours = run(command, project.path, environ)
        begin(SAMPLE)
        pairs.append((loop_s(project, environ, size), ours))
        if size <= SIZES[0]:
            begin(size)
            warm.append(warm_s(project, environ, size))
    begin(size)
    kib = most_kib(command, project.path, environ)
    loop, ours = (median(pair[at] for pair in pairs) for at in (0, 1))
    ratio = median(loop / ours for loop, ours in pairs)
    beside = f"{median(warm):.2f} s" if warm else ""
    return f"| {size:,} | {state} | {loop:.0f} s | {beside} | {ours:.2f} s | {ratio:.0f} x | {kib / 1024:.0f} MiB |"


if __name__ == "__main__":
    for row in rows([int(size) for size in sys.argv[1:]] or SIZES):
        print(row, flush=True)
