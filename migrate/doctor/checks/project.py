"""The checks that need no server: settings, configuration, history, and the files of platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.decide.decision import refuse_image
from migrate.core.deployment import RAILWAY_JSON_ENDS
from migrate.core.problems import migrate, shell
from migrate.core.problems.packages import fix_of_missing
from migrate.core.wording import counted
from migrate.doctor.check import Passed, Warned, check
from migrate.doctor.wording import listed

if TYPE_CHECKING:
    from migrate.core.image import Image
    from migrate.core.target import Target
    from migrate.doctor.check import Found
    from migrate.doctor.facts import Configuration, Driver, GivenSettings, HistoryFacts, PlatformFiles

_POOLER_PORT: Final = 6543  # Supabase's and others' for transaction mode
_WRITE_MANIFEST: Final = shell(migrate("manifest"), note="then commit the file that it writes")


@check(
    "every setting with the place that it came from",
    warns="a variable looks like a setting and is none",
    fails="one is malformed; the server is not asked then",
    needs_server=False,
)
def settings(seen: GivenSettings) -> Found:
    """Malformed ones are the problem in place of the facts."""
    if seen.warnings:
        unknown = [warning.split()[0] for warning in seen.warnings]
        return Warned("; ".join(seen.warnings), shell(f"unset {' '.join(unknown)}"), seen.described)
    counts = f"{len(seen.given)} of {counted(len(seen.described), 'setting')} set"
    return Passed(f"{counts}{listed(seen.given)}", seen.described)


@check(
    "which variable names the database",
    warns="the host or the port is one that providers give to a pooler",
    fails="none does, or it is malformed",
    needs_server=False,
)
def url(target: Target) -> Found:
    """The URL's own look."""
    evidence = f"{target.url_from} = {target.url.redacted}"
    if target.url.port == _POOLER_PORT or "pooler" in (target.url.host or ""):
        return Warned(
            f"{evidence}: this looks like a connection pooler; migrations should connect to the server directly",
            shell("export MIGRATE_DATABASE_URL='postgresql://USER:PASSWORD@HOST:5432/NAME'", note="the direct address"),
        )
    return Passed(evidence)


@check(
    "Alembic's configuration, env.py and the version table that it names",
    fails="there is none, or it cannot be used",
    needs_server=False,
)
def configuration(seen: Configuration) -> Found:
    """Only that it could be read."""
    table = seen.version_table or "not known without a URL"
    return Passed(f"{seen.file}, env.py {seen.env_py}, version table {table}")


@check(
    "whether the database driver that the URL needs is installed",
    warns="it is not, as far as env.py's text tells what it does with the URL",
    needs_server=False,
)
def driver(seen: Driver) -> Found:
    """The driver that env.py is about to ask for."""
    if seen.missing is None:
        return Passed("installed")
    return Warned(
        f"SQLAlchemy will import {seen.missing} for {seen.variable}, which is not installed, unless env.py names another"
        " driver",
        fix_of_missing(seen.missing),
    )


@check("the revisions of this image", fails="the history has a fault, or the target is not in it", needs_server=False)
def image(seen: HistoryFacts) -> Found:
    """The history and the target."""
    refused = refuse_image(seen.image, seen.policy)
    for found in (*([refused.problem] if refused is not None else []), *seen.faults):
        return found
    graph = seen.image.graph
    heads = ", ".join(graph.heads) or "none"
    return Passed(f"{counted(len(graph), 'revision')}, head {heads}, read by {seen.image.read_by}")


@check(
    "the manifest against the revision files",
    warns="there is none, so that only version rows can be compared, or a file has other bytes",
    fails="it is malformed, or of another history",
    needs_server=False,
)
def manifest(image: Image) -> Found:
    """One that could not be read is the problem in place of the image."""
    if image.manifest is None:
        return Warned("there is none: drift, adoption and rollbacks cannot be proven", _WRITE_MANIFEST)
    if image.warnings:
        return Warned("; ".join(image.warnings), _WRITE_MANIFEST)
    heads = ", ".join(image.manifest.heads) or "none"
    return Passed(f"made with PostgreSQL {image.manifest.postgres}, head {heads}")


@check(
    "the files of this repository that tell a platform to run the job",
    warns="the platform does not read one any more, or soon will not, and there is no other",
    needs_server=False,
)
def platform_files(seen: PlatformFiles) -> Found:
    """Railway's, of which one kind ends."""
    lasting = ", ".join(seen.of_projects)
    if not seen.of_services:
        return Passed(f"{lasting} is what Railway reads" if lasting else "none is deprecated")
    told = f"Railway does not read {', '.join(seen.of_services)} from {RAILWAY_JSON_ENDS} on"
    if lasting:
        return Passed(f"{told}; {lasting} is there")
    return Warned(
        f"{told}: a service without settings of its own then deploys with no migration, and looks well",
        shell(
            migrate("init", "railway"),
            note="then: railway config plan; or set the pre-deploy command in the service's settings",
        ),
    )
