"""What a fleet and the processes that take its tenants say to each other; pickled, as both ends are the same files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.decide.outcome import Outcome
    from migrate.core.events import Event
    from migrate.core.fleet.ending import TenantEnd
    from migrate.core.fleet.tenants import Tenant


class Begin(NamedTuple):
    """What a runner must know before its first tenant."""

    verb: str
    flags: Mapping[str, Any]
    run_id: str
    started_s: float  # monotonic: the deadline is the fleet's


class Take(NamedTuple):
    """A tenant to be taken."""

    tenant: Tenant
    is_behind: bool  # as one question has told of all


class Said(NamedTuple):
    """An event of one tenant's run."""

    tenant: str
    event: Event


class Took(NamedTuple):
    """A tenant is done with, as well as it can be."""

    end: TenantEnd
    outcome: Outcome
