"""`migrate adopt`: write the version rows that the schema proves."""

from __future__ import annotations

import shlex
from typing import Any

import click

from migrate import recovery
from migrate.commands.session import Answer, Report, Session, conduct
from migrate.commands.up import EXITS
from migrate.commands.verb import verb
from migrate.core.problems import ExitCode
from migrate.recovery import Override


@verb("adopt", exits=tuple(code for code in EXITS if code not in {ExitCode.FAILED, ExitCode.PARTIAL}))
@click.option("--at", metavar="REVISION", help="The operator's word that the database is at this revision.")
@click.option("--reason", metavar="TEXT", help="Why; needed with --at, and kept in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def adopt(*, as_json: bool, at: str | None, reason: str | None, **flags: Any) -> Answer:
    """Record the revision that the live schema proves, for a database without version rows or with wrong ones.

    Takes the guard, writes the version table and nothing else; the rows that it replaces go to the ledger. Without --at
    only a match is written: nothing missing or changed, and nothing extra that any revision knows (--extra fail: nothing
    extra at all; --adopt equivalent: other names of constraints and indexes are allowed, too).
    """
    if (at is None) != (not reason):
        message = "--at and --reason go together"
        raise click.UsageError(message)

    def body(session: Session) -> Report:
        override = Override(at, reason) if at is not None and reason else None
        return Report(recovery.adopt(session.order(), override), {})

    word = f" --at {shlex.quote(at)} --reason {shlex.quote(reason)}" if at is not None and reason else ""
    return conduct("adopt", flags, body, as_json=as_json, again=f"migrate adopt{word}")
