"""`migrate up`: bring the database to this image's head, or refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from migrate.commands.release import release
from migrate.commands.verb import verb
from migrate.core.problems import ExitCode

if TYPE_CHECKING:
    from migrate.job.voice import Answer

EXITS = tuple(code for code in ExitCode if code is not ExitCode.PENDING)
# of the verbs that look and decide, take no guard and run nothing
LOOKING_EXITS = (
    *(code for code in EXITS if code < ExitCode.FAILED and code is not ExitCode.BUSY),
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
)


@verb("up", exits=EXITS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, the last line, instead of the log.")
def up(*, as_json: bool, **flags: Any) -> Answer:
    """Bring the database to this image's head, or refuse and say why.

    Runs once per release, before the new version of the service starts. Holds the job lock, runs the project's own
    env.py, and exits 0 only when the database was read again and proven to be at the target.
    """
    return release(as_json=as_json, **flags)
