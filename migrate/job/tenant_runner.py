"""A process that takes tenant after tenant, so that env.py and its application are imported once for all of them.

Started by `migrate.job.fleet`, to which it says everything: it prints nothing itself. What it is given and what it tells
are the types of `migrate.job.runner_messages`.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection as Line
from typing import TYPE_CHECKING, Final

from migrate.child.lifeline import end_with_parent
from migrate.core.fleet.ending import TenantEnd
from migrate.core.redaction import Redactor
from migrate.job import signals
from migrate.job import up as release
from migrate.job.runner_messages import Begin, Said, Take, Took
from migrate.job.session import Session
from migrate.job.tenants import order_of
from migrate.job.voice import working_folder
from migrate.postgres.kept_connections import KeptConnections
from migrate.settings import environment_secrets, load
from migrate.steps.environment import child_environment
from migrate.steps.kept_child import KeptChild

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.decide.outcome import Outcome
    from migrate.core.events import Event
    from migrate.core.fleet.tenants import Tenant
    from migrate.job.progress import Progress
    from migrate.steps.order import Order


_HELD_S: Final = 0.02  # how late a line may be, by which its time is late as well


class _Relay:
    """Speaks for a session as `Voice` does, over the line: several lines at once, as each message wakes the fleet."""

    def __init__(self, line: Line, run_id: str) -> None:
        self.run_id = run_id
        self.tenant = ""
        self._line = line
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._flush_now_and_then, name="relay", daemon=True).start()

    def emit(self, event: Event) -> None:
        """Hand an event to the fleet, within a moment."""
        self._hold(Said(self.tenant, event))

    def end(self, took: Took) -> None:
        """Say that the tenant is done with."""
        self._hold(took)
        self.flush()

    def _hold(self, what: Said | Took) -> None:
        said = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._held.append(said)

    def _flush_now_and_then(self) -> None:
        with suppress(OSError):  # nobody is there any more
            while True:
                time.sleep(_HELD_S)
                self.flush()

    def flush(self) -> None:
        """Hand on what was said. Raises OSError where nobody is there any more."""
        with self._lock:
            if self._held:
                self._line.send_bytes(pickle.dumps(self._held, pickle.HIGHEST_PROTOCOL))
                self._held = []

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
    try:
        with signals.interruption(on_overdue=lambda _signum: os._exit(1)) as interruption, suppress(EOFError):
            session = Session(begin.verb, settings, relay, redactor, interruption)
            session.context = replace(session.context, started_s=begin.started_s)
            with closing(KeptChild()) as child, closing(KeptConnections()) as connections:
                order = replace(session.fleet_order(), child=child, connections=connections)
                while True:
                    take: Take = line.recv()
                    relay.tenant = take.tenant.name
                    if take.is_behind and begin.verb == "up" and not child.is_begun:  # it imports while this one looks
                        child.begin(child_environment(order), order.project.cwd, order.context.emit)
                    relay.end(_take(session, replace(order, is_behind=take.is_behind), take.tenant, child))
    finally:
        with suppress(OSError):  # why it ends may be in what it has said last
            relay.flush()


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
