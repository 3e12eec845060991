"""The command line as click reads it: the verbs, of which each is imported when it is called, and their help."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from migrate import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each verb's module is imported only when it is called: a run with nothing to do must stay light.
VERBS: Final[Mapping[str, str]] = {
    "up": "Bring the database to this image's head, or refuse and say why.",
    "plan": "Show what `migrate up` would do. Changes nothing.",
    "status": "Show where the database is, against this image.",
    "wait": "Hold a program's start until the database is ready for this image.",
    "verify": "Compare the live schema with the manifest. Changes nothing.",
    "adopt": "Record the revision that the live schema proves.",
    "repair": "Show what an earlier run left behind; with --yes, repair it.",
    "down": "Go back to a revision; refuses to lose data unless that is allowed.",
    "restore": "Restore a backup that `migrate up --backup` took.",
    "manifest": "Replay the history in a throw-away database and write down the schema at every revision.",
    "test": "Try the revisions in a throw-away database: up, down and up again, with rows, and cut off.",
    "doctor": "Check what a release here depends on, with the fixes. Changes nothing.",
    "history": "Show the runs that the ledger recorded on this database.",
    "report": "Write what ran here and what it changed as one page, HTML or Markdown.",
    "explain": "Explain a problem code or an exit code.",
    "init": "Write the files with which a platform runs the job before the service.",
}


class _Verbs(click.Group):
    """The verbs, in the order of a release; their modules are loaded on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, None where there is no such verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"migrate.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing any."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="migrate")
def cli() -> None:
    """The release-phase job for Alembic on PostgreSQL.

    Runs once per release, before the service starts: looks at the real database, decides, holds a lock, brings it to
    this image's head or refuses, and proves the result. `migrate VERB --help` lists the exit codes of a verb.
    """
