"""What `migrate up` does, without how it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate.core.problems import stop
from migrate.job import up
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from migrate.job.session import Session


def release(*, as_json: bool, **flags: Any) -> Answer:
    """Bring the database to this image's head, or refuse and say why."""

    def body(session: Session) -> Report:
        fleet = session.settings.fleet
        if fleet.create and not (fleet.sources and fleet.names):
            raise stop("tenant-needed", "--create makes the schema of a tenant that --tenant names, and none is named")
        if fleet.sources:
            from migrate.commands.verb import fleet_report

            return fleet_report(session, flags)
        return Report(up.up(session.order(), session.begin()), {})

    return conduct("up", flags, body, speech=Speech.JSON if as_json else Speech.LINES)
