"""`migrate verify`: is the live schema what its revision says, or what another place has."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from migrate.commands.up import LOOKING_EXITS
from migrate.commands.verb import fleet_report, verb
from migrate.core.problems import shell, stop
from migrate.core.quoting import word
from migrate.core.url import DatabaseUrl, MalformedUrl
from migrate.job.front_door import conduct
from migrate.job.verify import Against, AgainstDatabase, AgainstManifest, AgainstRevision
from migrate.job.verify import verify as compare
from migrate.job.voice import Answer, Report, Speech
from migrate.output import comparison

if TYPE_CHECKING:
    from migrate.job.session import Session
    from migrate.job.verify import Verified

_DATABASE: Final = "env:"


@verb("verify", exits=LOOKING_EXITS)
@click.option(
    "--at", metavar="REVISION", help="Compare with the manifest at this revision instead of the recorded one."
)
@click.option(
    "--against",
    metavar="OTHER",
    help="Compare with a revision, another image's manifest (FILE.json), or another database (env:VARIABLE, which holds"
    " its URL). With --at, that revision's schema takes the place of the live one.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "sql", "json", "markdown"]),
    help="Print the comparison alone, in this form, instead of the log.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(*, as_json: bool, at: str | None, against: str | None, form: str | None, **flags: Any) -> Answer:
    """Compare the live schema with the manifest, or with something else. Reads the catalog and changes nothing.

    Exits 17 and names every difference, with the SQL that repairs each simple one.
    """
    if against is not None and "://" in against:  # the value is not repeated: it may hold a password
        raise click.UsageError("--against takes no URL: other users can read a command line; use env:VARIABLE")

    def body(session: Session) -> Report:
        if session.settings.fleet.sources:
            return fleet_report(session, flags)
        other = other_of(session, against) if against is not None else None
        verified, outcome = compare(session.order(), session.begin(), at, other)
        return Report(outcome, describe(verified), text=rendered(verified, form, is_all=other is not None))

    is_product = form is not None and form != "json"
    return conduct(
        "verify",
        flags,
        body,
        speech=Speech.JSON if as_json or form == "json" else Speech.PRODUCT if is_product else Speech.TEXT,
    )


def other_of(session: Session, against: str) -> Against:
    """What ``--against`` names. Raises Stop."""
    if against.startswith(_DATABASE):
        variable = against.removeprefix(_DATABASE)
        text = os.environ.get(variable, "").strip()
        if not text:
            raise stop("no-database-url", f"the variable {variable}, which --against names, is not set")
        try:
            url = DatabaseUrl.parse(text)
        except MalformedUrl as error:
            why = f"The value of {variable} is not a PostgreSQL URL. {error}"
            raise stop("bad-database-url", why, names={"variable": variable}) from None
        return AgainstDatabase(against, replace(session.target, url=url, url_from=variable, renew=None))
    if against.endswith(".json"):
        from migrate.core.history.graph import Graph
        from migrate.history.manifest_file import load_manifest

        found = load_manifest(Path(against))
        if found is None:
            raise stop(
                "no-manifest", f"there is no {against}", fix=shell(f"ls -l {word(against)}", note="--against names it")
            )
        return AgainstManifest(against, found, Graph(entry.revision for entry in found.revisions))
    return AgainstRevision(against)


def describe(verified: Verified | None) -> dict[str, object]:
    """The machine-readable comparison."""
    if verified is None:
        return {}
    actual, expected, found = verified.actual, verified.expected, verified.differences
    return {
        "compared": actual.name,
        "compared_with": list(expected.rows) if expected.rows is not None else expected.name,
        **found.to_json(),
        "sentences": found.sentences(verified.expected_by, actual.name),
        "accepted": verified.accepted.sentences(verified.expected_by, verified.actual.name),
        "newer": verified.newer.sentences(verified.expected_by, verified.actual.name),
        "sql": comparison.statements(found, expected.schema, actual.schema),
    }


def rendered(verified: Verified | None, form: str | None, *, is_all: bool = True) -> str | None:
    """The comparison in one of its forms; beside the log, whose fix is the SQL, without it unless ``is_all``."""
    if verified is None:
        return None
    of, with_ = verified.actual.name, verified.expected.name
    found, expected, actual = verified.differences, verified.expected.schema, verified.actual.schema
    if form == "sql":
        pairs = comparison.pairs(found, expected, actual, verified.expected_by, of)
        return comparison.as_sql(of, with_, verified.expected_by, found, pairs)
    sql = comparison.statements(found, expected, actual) if is_all or form is not None else []
    render = comparison.as_markdown if form == "markdown" else comparison.as_text
    told = verified.accepted.sentences(verified.expected_by, verified.actual.name)
    newer = verified.newer.sentences(verified.expected_by, verified.actual.name)
    text = render(of, with_, verified.expected_by, found, sql)
    return text + comparison.accepted_text(told) + comparison.newer_text(newer)
