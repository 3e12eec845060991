"""Measure the rows whose names have one of the given words in them, or all, and print the page of them as Markdown."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrate import __version__
from migrate.shadow.embedded import throwaway_server
from tests.bench import bench_fleet
from tests.bench.measure import UNITS, Place, measure
from tests.bench.rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.measure import Cost, Found

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"
_INTRODUCTION: Final = """\
# What it costs

<!-- Written by `make bench WRITE=1`; the figures are of one run on one machine, and no test holds them. -->

Ours against `alembic upgrade head` with the same env.py, on the same server, in turn (A B A B) after one of each to warm
up. Each figure is a median; a ratio is the median of the pairs' ratios. CPU is that of the command with all its
processes: of `manifest` and `test` that is also their throw-away server, of the others the server's does not count.
Memory is the largest process's. "From nothing" makes a table and an index in every second revision, `manifest` in
every one. The application that env.py imports takes a second to import.
"""
_FLOORS: Final = """
## What a run cannot do without

- **Nothing to do.** Of the CPU of such a run with a few revisions a third is psycopg2 and the standard library's modules,
  a third our own, a tenth the interpreter. Each revision file more costs some 22 µs: 5 to open and read it, 10 to find
  the four names at its head, the rest for its name, its hash and its place in the graph. All are read each time: a new head
  may be in any of them, and neither sizes nor times of files are to be trusted in an image. The floor: the interpreter with
  psycopg2, one connection, three questions and the first 4 KiB of each file, with nothing of ours, take 55, 60 and 70 ms at
  8, 1,000 and 3,000 revisions, where Alembic takes 440, 500 and 800: 0.13, 0.12 and 0.09. Under 0.13 at 3,000 all else would
  have 35 ms, of which finding the names and the places takes 50.
- **One pending.** The process that runs it imports Alembic, SQLAlchemy and the driver, as `alembic upgrade head` does. It
  begins with that when the lock is held, beside the second look, and leaves out what an upgrade has no use for. From the 65th
  revision on, a file that does nothing but define functions is not loaded before it is to run; what is left of each is
  Alembic's own work on its path and on the map of revisions. The floor: that process alone takes 0.70 to 0.75 of Alembic's CPU;
  with another one that connects and asks, and imports nothing of ours, 0.82 at 8, 0.88 at 100 and 0.80 at 1,000. So what is to be
  reached at 100 and at 1,000 is below the floor: there one process would have to do all. Of what ours takes above it, some 75 ms, a
  half is imports, and the rest two looks, the ledger and the proof. `up-394` has the start of that process in it, too: what is
  decided of 394 pending revisions is the 0.3 s of CPU.
- **From nothing.** In a database that was empty, up to 50 plain revisions
  [share a transaction](../decisions/0022-revisions-that-share-a-transaction.md). The child then costs 0.83 of
  Alembic at 100 revisions and 1.08 at 1,000, which is most of each revision and the floor of this design. Beside it the parent reads each file, sees whether Python takes it, hears that it begins and that it
  ran, writes two lines of the log, and has its row of the ledger written with those of the others. The look at the
  database, the lock, the proof and the start of a second process come once, whatever the number of revisions.
  A revision that may leave its transaction runs by itself, with 4 ms beside the 2 ms of Alembic's: its row is begun before it, by a
  connection of its own, and the child waits for the parent twice. Without the second wait a parent that was stopped (SIGSTOP)
  would find a revision committed that it had not seen end, which
  `tests/faults/test_dead_runs.py::test_fence_before_the_commit` forbids.
- **`manifest` and `test`.** A replay begins after some 0.9 s, in which a server is made and the child imports Alembic; then a
  revision takes as long as Alembic's own statements with what is watched around them, while the parent reads what the one
  before has left. `test` runs env.py six times for each revision, in two copies of a database: where its time goes, and
  what the floor of both is, stands in [the decision on it](../decisions/0004-replay.md).
- **A tenant of a fleet with one pending.** The floor is beside it: Alembic in as many warm processes as ours has, each of which
  imports it once and takes its part of the tenants, without a lock, a ledger or a proof, takes as long as ours. On two cores that
  is some 32 times the loop at 200 tenants: 40 times would be a fifth faster than Alembic by itself. Of ours 0.7 s are the start
  of five processes, which 2,000 tenants hardly notice: there it is 45 times. Of the 24 to 27 ms of CPU of a tenant the server has 7 to
  9, the process that runs env.py 8 to 10, the one that looks, locks, writes the ledger and proves 4 to 5, the log 1.5, in 33 messages
  to the server. Where env.py's session cannot be kept, add 15. A core more helps ours and not the loop, which waits for itself.
"""

_FLEETS: Final = """
## Fleets

A schema for each tenant, 8 revisions, no manifest, wall time, against the loop
`for t in ...; do alembic -x tenant=$t upgrade head; done`. To reach: 1/300 and 1/40 of it at 200 tenants, 1/1,000 at
2,000 at head. Beside it Alembic in warm processes, one for each core: each imports it once, and upgrades every second tenant. At
200 tenants medians of three, in turn; memory of all processes together, in a run of its own.
"""


def page(found: Sequence[Found], machine: str, took_s: float) -> str:
    """The page of what was found."""
    lines = [
        _INTRODUCTION,
        f"{machine} The run took {took_s / 60:.0f} minutes.\n",
        "| name | work | ours: wall, CPU, memory | theirs | wall | CPU | memory | to reach |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        ratios = [f"{ratio:.2f}" for ratio in each.ratios] if each.ratios is not None else ["", "", ""]
        if each.ratios is None:
            ratios[0] = f"{each.ours.wall / each.units:.2f} s"
        reach = ", ".join(
            f"{measured} {target:g}{'' if each.figure(measured) <= target else ' (not reached)'}"
            for measured, target in each.row.reach.items()
        )
        cells = [f"`{each.row.name}`", each.row.title, _said(each.ours), _said(each.theirs), *ratios, reach]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n{_FLOORS}"


def _said(cost: Cost | None) -> str:
    if cost is None:
        return ""
    return ", ".join(
        f"{value:.{0 if unit == 'MiB' else 2}f} {unit}" for value, unit in zip(cost, UNITS.values(), strict=True)
    )


def _machine(postgres: str) -> str:
    cpu = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    size = f", {int(memory[1]) // 2**20} GiB" if memory else ""
    peers = ", ".join(f"{name} {version(name)}" for name in ("alembic", "sqlalchemy", "psycopg2-binary"))
    peers += f", migrate-job {__version__}"
    load = f"load {os.getloadavg()[0]:.1f} at the beginning"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} x {cpu[1] if cpu else platform.machine()}{size}, {load};"
        f" Python {platform.python_version()}, {peers}, PostgreSQL {postgres}."
    )


def _read(path: str) -> str:
    return Path(path).read_text("utf-8", "replace") if Path(path).exists() else ""


def main(arguments: Sequence[str]) -> None:
    """Measure, tell each row when it is known, then print the page; ``--write`` writes it, too."""
    words = [argument for argument in arguments if argument != "--write"]
    rows = [row for row in ROWS if not words or any(word in row.name for word in words)]
    if not rows:
        raise SystemExit(f"no row has that in its name; there are {', '.join(row.name for row in ROWS)}")
    began = time.perf_counter()
    with throwaway_server() as server, tempfile.TemporaryDirectory() as folder:
        machine = _machine(".".join(map(str, server.binaries.version)))
        place = Place(Path(folder), server)
        found = []
        for row in rows:
            found.append(measure(row, place))
            figures = ", ".join(f"{measured} {found[-1].figure(measured):.2f}" for measured in row.reach)
            print(f"{row.name}: {figures} (to reach: {row.reach})", file=sys.stderr, flush=True)
    text = page(found, machine, time.perf_counter() - began)
    if not words:
        text += "\n".join([_FLEETS, *bench_fleet.rows(bench_fleet.SIZES), ""])
    if "--write" in arguments:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
