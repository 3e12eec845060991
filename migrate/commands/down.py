"""`migrate down`: go back to a revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from migrate.commands.up import EXITS
from migrate.commands.verb import verb
from migrate.core.decide.downgrade import is_relative
from migrate.core.problems import migrate
from migrate.core.quoting import word
from migrate.job import recovery
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from migrate.job.session import Session


@verb("down", exits=EXITS)
@click.option(
    "--to", "target", metavar="REVISION", required=True, help="The revision to go back to, by its full id, or base."
)
@click.option(
    "--allow-data-loss", is_flag=True, help="Go on although the rows and values that are counted will be lost."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, the last line, instead of the log.")
def down(*, as_json: bool, target: str, allow_data_loss: bool, **flags: Any) -> Answer:
    """Go back to a revision with the project's own downgrades.

    Reads in the manifest which tables and columns are dropped, counts what is in them, and refuses to lose any of it
    without --allow-data-loss (without a manifest: always refuses). Proves the schema afterwards. --to base reverts everything.
    """
    if is_relative(target):
        message = f"--to takes a revision's full id or base: {target} would mean another one the next time"
        raise click.UsageError(message)

    def body(session: Session) -> Report:
        loss, outcome = recovery.down(session.order(), session.begin(), target, allow_data_loss=allow_data_loss)
        found_out = outcome.problem is not None and "loses" in outcome.problem.facts  # more than was foreseen
        return Report(outcome, {"loses": loss.fields()} if loss is not None and not found_out else {})

    again = migrate("down", f"--to {word(target)}", *(["--allow-data-loss"] if allow_data_loss else []))
    return conduct("down", flags, body, again=again, speech=Speech.JSON if as_json else Speech.LINES)
