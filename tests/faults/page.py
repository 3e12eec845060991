"""docs/reference/faults.md: made of the faults that the suite declares and has run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
COMMAND = "make faults-page"

_HEAD = f"""\
# What a release survives

Written by `{COMMAND}` from the fault suite (`tests/faults`), which runs each of these against a real PostgreSQL with real
processes; a row is here only if its test passed. `killed` is `kill -9`, after which nobody is left to give a code.

After every one of them the suite checks: at most one run was at work; each revision took effect once; the schema is the
manifest's at the recorded version; the exit code is the one below, and the last line says the same; there is exactly one
`run.finished` (none when killed; where stdout is closed or full, the code alone), nothing on stderr, no part of a password
anywhere; 5 seconds later no advisory lock and no connection of ours is left; and the next `migrate up` without the fault
exits 0 at the head (15 with the repair where a part was committed).

The words of the tables: a run has three connections. The *guard* holds the lock that lets one run at a time work; it is a
*lease*, which the server ends after a minute without a heartbeat. The *worker* is env.py's own, on which the revisions run,
in a child process. The *control* connection watches the worker, cancels it, and writes the ledger. The *fence* is the
question that the worker asks before each revision, each commit and each statement that commits by itself: is this run's guard
still there? Before it asks, it takes the *mark*, a second lock; no other run begins before nobody has that. The *proxy* is a program
of the suite between a run and its server, which cuts, silences and delays connections.
"""
_TABLE = """
## {title}

| fault | how it is injected | exit | proof |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One fault, as its test declares it; `title` is that of the file that has the test."""

    title: str
    name: str
    how: str
    exit_code: int
    proof: str

    @property
    def line(self) -> str:
        """Its line of the table."""
        code = "killed" if self.exit_code < 0 else str(self.exit_code)
        return f"| {self.name} | {self.how} | {code} | {self.proof} |"


def render(rows: Iterable[Row]) -> str:
    """Return the page: a table for each file of tests, in their order."""
    tables = (
        _TABLE.format(title=title) + "".join(f"{row.line}\n" for row in found)
        for title, found in groupby(rows, attrgetter("title"))
    )
    return _HEAD + "".join(tables)
