"""A process that takes tenant after tenant, so that env.py and its application are imported once for all of them.

Started by `migrate.job.fleet`, to which it says everything: it prints nothing itself. What it is given and what it tells
are the types below, pickled: both ends are the same files.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection as Line
from typing import TYPE_CHECKING, Any, NamedTuple

from migrate.child.lifeline import end_with_parent
from migrate.core.fleet.ending import TenantEnd
from migrate.core.redaction import Redactor
from migrate.job import signals
from migrate.job import up as release
from migrate.job.session import Session
from migrate.job.tenants import order_of
from migrate.job.voice import working_folder
from migrate.postgres.kept_connections import KeptConnections
from migrate.settings import environment_secrets, load
from migrate.steps.kept_child import KeptChild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.decide.outcome import Outcome
    from migrate.core.events import Event
    from migrate.core.fleet.tenants import Tenant
    from migrate.job.progress import Progress
    from migrate.steps.order import Order


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


class _Relay:
    """Speaks for a session as `Voice` does, over the line."""

    def __init__(self, line: Line, run_id: str) -> None:
        self.run_id = run_id
        self.tenant = ""
        self._line = line

    def emit(self, event: Event) -> None:
        """Hand an event to the fleet."""
        self._line.send(Said(self.tenant, event))

    def bind(self, **_context: object) -> None:
        """The first and the last line are the fleet's."""


def main(fd: int) -> None:
    """Take tenants until the line ends."""
    end_with_parent(fd)
    line = Line(fd)
    begin: Begin = line.recv()
    settings, fault = load(begin.flags, os.environ, working_folder())
    assert fault is None, "the fleet has refused it"
    redactor = Redactor(environment_secrets(os.environ, working_folder(), ()))
    relay = _Relay(line, begin.run_id)
    with signals.interruption(on_overdue=lambda _signum: os._exit(1)) as interruption, suppress(EOFError):
        session = Session(begin.verb, settings, relay, redactor, interruption)
        session.context = replace(session.context, started_s=begin.started_s)
        with closing(KeptChild()) as child, closing(KeptConnections()) as connections:
            order = replace(session.fleet_order(), child=child, connections=connections)
            while True:
                take: Take = line.recv()
                relay.tenant = take.tenant.name
                line.send(_take(session, replace(order, is_behind=take.is_behind), take.tenant, child))


def _take(session: Session, order: Order, tenant: Tenant, child: KeptChild) -> Took:
    if tenant.url is not None:
        session.redactor.learn(tenant.url.secrets)
    # a run of its own, in the ledger and for whoever waits for it; by its name one sees whose part it is
    context = replace(session.context, run_id=f"{session.context.run_id}-{os.urandom(4).hex()}")
    order = order_of(tenant, replace(order, context=context), session.settings.fleet)
    has_seen_another = child.is_there
    outcome, rows = _outcome(order, session.begin())
    if has_seen_another and outcome.problem is not None and outcome.problem.kind.code == "other-database":
        child.close()  # the application keeps the URL that it read when it was imported
        outcome, rows = _outcome(order, session.begin())
    found = outcome.problem.kind.code if outcome.problem is not None else None
    applied, pending = len(outcome.applied), len(outcome.pending)
    return Took(TenantEnd(tenant.name, outcome.result, outcome.exit_code, found, applied, pending, rows), outcome)


def _outcome(order: Order, progress: Progress) -> tuple[Outcome, Sequence[str]]:
    """What the verb comes to for one tenant, and its version rows at the end."""
    match order.context.verb:
        case "up":
            outcome = release.up(order, progress)
        case "adopt":
            from migrate.job.recovery import adopt

            outcome = adopt(order, progress)[1]
        case "verify":
            from migrate.job.verify import verify

            outcome = verify(order, progress, None, None)[1]
        case _:  # those that look
            outcome = release.plan(order, progress)[1]
    seen = progress.before.rows if progress.before is not None else ()
    return outcome, tuple(outcome.to_revision or seen)


if __name__ == "__main__":
    main(int(sys.argv[1]))
