"""`migrate verify`: is the live schema what its revision says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from migrate import release
from migrate.commands.session import Answer, Report, Session, conduct
from migrate.commands.up import EXITS
from migrate.commands.verb import verb
from migrate.core.problems import ExitCode
from migrate.core.repair_sql import repairs

if TYPE_CHECKING:
    from migrate.release import Verified


@verb("verify", exits=tuple(code for code in EXITS if code <= ExitCode.BLOCKED or code >= ExitCode.INTERRUPTED))
@click.option(
    "--at", metavar="REVISION", help="Compare with the manifest at this revision instead of the recorded one."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(*, as_json: bool, at: str | None, **flags: Any) -> Answer:
    """Compare the live schema with the manifest. Reads the catalog and changes nothing.

    Exits 17 and names every difference, with the SQL that would put each simple one right.
    """

    def body(session: Session) -> Report:
        verified, outcome = release.verify(session.order(), at)
        return Report(outcome, describe(verified), text=as_text(verified))

    return conduct("verify", flags, body, as_json=as_json, reads=True)


def describe(verified: Verified | None) -> dict[str, object]:
    """The machine-readable comparison."""
    if verified is None:
        return {}
    sql = repairs(verified.differences, verified.expected, verified.live)
    return {
        "compared_with": list(verified.rows),
        **verified.differences.to_json(),
        "sentences": verified.differences.sentences(),
        "sql": [statement for _, statement in sql],
    }


def as_text(verified: Verified | None) -> str | None:
    """The comparison for people: the groups, then the SQL that nobody runs but them."""
    if verified is None:
        return None
    where = ", ".join(verified.rows) or "base"
    found = verified.differences
    if not found:
        return f"the live schema is that of {where}"
    lines = [f"compared with {where}"]
    groups = (
        ("missing", found.missing),
        ("changed", found.changed),
        ("extra", found.extra),
        ("same, other name", found.renamed),
    )
    for title, group in groups:
        if group:
            lines += [f"{title}:", *(f"  {difference.sentence()}" for difference in group)]
    sql = repairs(found, verified.expected, verified.live)
    if sql:
        lines += ["", "-- would put right what is simple; never executed by migrate"]
        lines += [statement for _, statement in sql]
    return "\n".join(lines)
