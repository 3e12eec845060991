"""What a row of a bench is, and how it is measured: ours and theirs in turn, medians, ratios of the same pair's moment."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from migrate.shadow.embedded import EmbeddedServer

Measured = str
WALL: Final = "wall"
CPU: Final = "cpu"
MEMORY: Final = "memory"
UNITS: Final = {WALL: "s", CPU: "s", MEMORY: "MiB"}


# A process begins with the memory of the one that started it, as far as the kernel's greatest figure goes: so one that has
# next to nothing starts it.
_LAUNCHER: Final = """
import os, sys, time
log = int(sys.argv[1])
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)])
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - began
print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


class Cost(NamedTuple):
    """Of one command with all its processes: seconds, seconds of CPU, and the MiB of the largest process."""

    wall: float
    cpu: float
    memory: float


def _as_users_have_it() -> dict[str, str]:
    """The environment, with byte code: without it our modules, which lie in a checkout, would be compiled at each start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Job:
    """One command, ready to be run."""

    arguments: Sequence[str]
    cwd: Path
    environ: Mapping[str, str]

    def run(self) -> Cost:
        """Run it. Raises SystemExit with what it printed where it fails."""
        with (self.cwd / "bench.log").open("wb") as log:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(log.fileno()), sys.executable, "-m", *self.arguments],
                cwd=self.cwd,
                env={**_as_users_have_it(), "MIGRATE_NOTIFY": "", **self.environ},
                pass_fds=(log.fileno(),),
                stdout=subprocess.PIPE,
                check=True,
            )
        code, *cost = done.stdout.split()
        if int(code) != 0:
            said = (self.cwd / "bench.log").read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"{' '.join(self.arguments)} in {self.cwd} failed:\n{said}")
        return Cost(*map(float, cost))


@dataclass
class Place:
    """Where rows are measured: a folder, and a server of which the clients' CPU does not count."""

    folder: Path
    server: EmbeddedServer
    _made: int = field(default=0)

    def database(self, template: str = "template0") -> str:
        """The name of a new database."""
        self._made += 1
        name = f"bench_{self._made}"
        with closing(psycopg2.connect(self.server.url())) as admin:
            admin.autocommit = True
            admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def url(self, database: str) -> dict[str, str]:
        """The environment that leads there."""
        return {"DATABASE_URL": self.server.url(database)}


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: each call makes the next command, its database and files as they must be before it.

    Without ``theirs`` there is nobody to compare with, and what counts is the time by each of ``units`` of work.
    """

    ours: Callable[[], Job]
    theirs: Callable[[], Job] | None = None
    units: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ``prepare`` makes the pair, once; ``reach`` is the ratio to be reached, by what is measured."""

    name: str
    title: str
    prepare: Callable[[Place], Pair]
    reach: Mapping[Measured, float]
    runs: int = 5


@dataclass(frozen=True, slots=True)
class Found:
    """The medians of a row, and how many times more ours costs than theirs: the median of the pairs' ratios."""

    row: Row
    ours: Cost
    theirs: Cost | None
    ratios: Cost | None
    units: int

    def figure(self, measured: Measured) -> float:
        """What is to be held against `Row.reach`."""
        return float(getattr(self.ratios or self.ours, measured)) / (1 if self.ratios else self.units)


def measure(row: Row, place: Place) -> Found:
    """Each once to warm up, then in turn. Raises SystemExit where a command fails."""
    pair = row.prepare(place)
    if row.runs > 1:
        pair.ours().run()
        if pair.theirs is not None:
            pair.theirs().run()
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(row.runs):
        ours.append(pair.ours().run())
        if pair.theirs is not None:
            theirs.append(pair.theirs().run())
    ratios = [
        Cost(*(a / max(b, 1e-9) for a, b in zip(mine, other, strict=True)))
        for mine, other in zip(ours, theirs, strict=False)
    ]
    return Found(
        row, _median(ours), _median(theirs) if theirs else None, _median(ratios) if ratios else None, pair.units
    )


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
