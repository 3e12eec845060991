"""`migrate restore`: bring a backup back that a run took before its first change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.up import EXITS
from migrate.commands.verb import verb
from migrate.core.problems import Stop, migrate
from migrate.core.quoting import word
from migrate.job.front_door import conduct
from migrate.job.restore import Restore
from migrate.job.restore import restore as bring_back
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from migrate.core.target import Target
    from migrate.job.session import Session


@verb("restore", exits=EXITS)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, the last line, instead of the log.")
def restore(*, file: Path, as_json: bool, **flags: Any) -> Answer:
    """Restore a backup that `migrate up --backup` took: the command that its last line prints.

    Replaces everything in the schemas with what the dump has, in one transaction and under the job lock: whatever was made
    since is lost. Other schemas stay as they are. Needs no project and no Alembic.
    """

    def body(session: Session) -> Report:
        return Report(bring_back(Restore(session.context, session.cwd / file, _target(session), os.environ)), {})

    return conduct(
        "restore", flags, body, again=migrate("restore", word(file)), speech=Speech.JSON if as_json else Speech.LINES
    )


def _target(session: Session) -> Target:
    """The target; where no project is here, with the version table that the flags name. Raises Stop."""
    try:
        return session.target
    except Stop as stopped:
        if stopped.problem.kind.code != "no-alembic-config":
            raise
        return session.settings.target()
