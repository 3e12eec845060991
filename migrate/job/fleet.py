"""One release for many tenants: those at head are passed over, the others are taken by runners, a few at once.

Each tenant is a run of its own, under a guard of its own, with its own proof; here is only who comes when, and what they
came to together. A runner that dies costs the tenant that it had, and nobody else.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection as Line
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import migrate
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.events import Event, Level, Name
from migrate.core.fleet.ending import TenantEnd, fields_of, most_serious
from migrate.core.fleet.tenants import Tenant, divided
from migrate.core.history.faults import HistoryFault
from migrate.core.interruption import Interrupted
from migrate.core.problems import ExitCode, Stop, problem
from migrate.core.wording import counted
from migrate.job.look import refuse_image_faults
from migrate.job.tenant_runner import Begin, Said, Took
from migrate.job.tenants import target_of
from migrate.job.voice import Report
from migrate.postgres.backend_names import CONTROL_NAME
from migrate.postgres.connection import connect_with_retry
from migrate.postgres.observe import read_server
from migrate.postgres.version_rows import rows_of_schemas
from migrate.settings.fleet import OnFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from migrate.job.session import Session

_MOST_PARALLEL: Final = 4
_TAKES: Final = 100  # tenants, after which a runner makes room for a new one: what user code keeps does not add up
_LOCK_S: Final = 0.2  # of the question to all at once: who is locked is looked at alone
_TICK_S: Final = 0.5
_RUNNER: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import migrate.job.tenant_runner as runner; sys.path.pop(0);"
    " runner.main(int(sys.argv[2]))"
)


def carry_out(session: Session, flags: Mapping[str, Any]) -> Report:
    """Do for every tenant what the verb does for one database. Raises Stop where there is no list, or no image."""
    refuse_image_faults(session.fleet_order())
    fleet = _Fleet(session, flags)
    session.so_far = fleet.report
    with suppress(Interrupted):  # it is in the report, with those that were not begun
        fleet.release(session.tenants())
        if fleet.goes_on:  # who was provisioned meanwhile is not left behind until the next release
            fleet.release([tenant for tenant in session.tenants() if tenant.name not in fleet.seen])
    return fleet.report()


class _Fleet:
    """The tenants of one run, and how far they have come."""

    def __init__(self, session: Session, flags: Mapping[str, Any]) -> None:
        self.seen: dict[str, Tenant] = {}
        self._session = session
        self._context = session.context
        self._settings = session.settings.fleet
        self._begin = Begin(self._context.verb, dict(flags), self._context.run_id, self._context.started_s)
        self._ends: dict[str, TenantEnd] = {}
        self._goes_on = True  # nobody has said that no other tenant may begin

    @property
    def goes_on(self) -> bool:
        """Whether another tenant may begin."""
        return self._goes_on and self._context.interruption.signum is None and self._context.time_left_s > 0

    def release(self, tenants: Sequence[Tenant]) -> None:
        """Take these tenants: the canaries, then the others, then once more those that may be tried again."""
        self.seen |= {tenant.name: tenant for tenant in tenants}
        self._pass_over_those_at_head(tenants)
        left = [tenant for tenant in tenants if tenant.name not in self._ends]
        canaries, others = divided(left, self._settings.canary)
        if canaries:
            self._take(canaries)
            if any(self._ends[each.name].exit_code is not ExitCode.OK for each in canaries if each.name in self._ends):
                self._goes_on = False
        self._take(others)
        again = [tenant for tenant in left if tenant.name in self._ends and self._ends[tenant.name].exit_code.retryable]
        if again and self.goes_on:
            self._take(again)

    # Who is done already

    def _pass_over_those_at_head(self, tenants: Sequence[Tenant]) -> None:
        if self._settings.verify_all or self._context.verb == "verify":
            return
        by_database: dict[object, list[Tenant]] = {}
        for tenant in tenants:
            by_database.setdefault((tenant.url, tenant.database), []).append(tenant)
        for group in by_database.values():
            for tenant in self._at_head(group):
                self._note(TenantEnd(tenant.name, Result.NOOP, ExitCode.OK), Outcome(Result.NOOP))

    def _at_head(self, tenants: Sequence[Tenant]) -> Iterable[Tenant]:
        """Those of one database whose version rows leave nothing to apply; who cannot be asked is looked at alone."""
        target = target_of(tenants[0], self._session.fleet_target)
        try:
            connection = connect_with_retry(target, self._context, CONTROL_NAME)
        except Stop:
            return
        try:
            where = {tenant.schema or read_server(connection, target).schema or "": tenant for tenant in tenants}
            found = rows_of_schemas(connection, list(where), target.version_table, lock_timeout_s=_LOCK_S)
        except Exception:  # noqa: BLE001 - each of them is asked once more by its own run, which says what is wrong
            return
        finally:
            connection.close()
        graph = self._session.image.graph
        for schema, rows in found.items():
            if rows and all(row in graph for row in rows):
                pending = graph.pending(rows, self._session.settings.policy.target)
                if not isinstance(pending, HistoryFault) and not pending:
                    yield where[schema]

    # The others

    def _take(self, tenants: Sequence[Tenant]) -> None:
        waiting = deque(tenants)
        most = self._settings.parallel or min(os.cpu_count() or 1, _MOST_PARALLEL)
        with ExitStack() as stack:
            runners = [_Runner(self._begin, self._session.cwd) for _ in range(min(most, len(waiting)))]
            for runner in runners:
                stack.enter_context(runner)
            while (waiting and self.goes_on) or any(runner.tenant is not None for runner in runners):
                for runner in runners:
                    if runner.tenant is None and waiting and self.goes_on:
                        runner.take(waiting.popleft())
                self._listen(runners)

    def _listen(self, runners: Sequence[_Runner]) -> None:
        """Hear what the runners say, for a moment; a signal is handed on to them once."""
        self._context.beat()
        signum = self._context.interruption.signum
        by_line = {runner.line: runner for runner in runners if runner.tenant is not None}
        for line in wait(list(by_line), timeout=_TICK_S):
            runner = by_line[line]  # type: ignore[index]
            self._hear(runner)
        if signum is not None:
            for runner in runners:
                runner.interrupt(signum)

    def _hear(self, runner: _Runner) -> None:
        tenant = runner.tenant
        assert tenant is not None
        match runner.hear():
            case Said(name, event):
                self._context.emit(replace(event, fields={**event.fields, "tenant": name}))
            case Took(end, outcome):
                runner.tenant = None
                self._note(end, outcome)
                if end.exit_code is not ExitCode.OK and self._settings.on_failure is OnFailure.STOP:
                    self._goes_on = False
                if runner.taken >= _TAKES:
                    runner.renew()
            case None:
                runner.tenant = None
                died = problem("connection-lost", f"the process that had tenant {tenant.name} ended before it was done")
                end = TenantEnd(tenant.name, Result.UNKNOWN, died.exit_code, died.kind.code)
                self._note(end, Outcome(Result.UNKNOWN, died.exit_code, died))
                runner.renew()

    def _note(self, end: TenantEnd, outcome: Outcome) -> None:
        self._ends[end.tenant] = end
        why = f": {outcome.problem.why}" if outcome.problem is not None else ""
        said = f"tenant {end.tenant}: {end.result}{why}"
        level = Level.INFO if end.exit_code is ExitCode.OK else Level.ERROR
        self._context.emit(Event(Name.TENANT_FINISHED, said, level, {**outcome.fields(), "tenant": end.tenant}))

    # What it came to

    def report(self) -> Report:
        """The fleet's end: the counts, and the code that stands for all."""
        ends = list(self._ends.values())
        not_begun = sorted(self.seen.keys() - self._ends.keys())
        code = most_serious(end.exit_code for end in ends)
        signum = self._context.interruption.signum
        if signum is not None and code is ExitCode.OK:
            code = ExitCode(128 + signum)
        fields = fields_of(ends, not_begun)
        applied = sum(1 for end in ends if end.applied)
        if code is ExitCode.OK and not not_begun:
            said = f"{self._context.verb}: {counted(len(ends), 'tenant')} at head, {applied} of them changed"
            return Report(Outcome(Result.APPLIED if applied else Result.NOOP), fields, message=said)
        failed = [end for end in ends if end.exit_code is not ExitCode.OK]
        named = ", ".join(f"{end.tenant} ({int(end.exit_code)} {end.problem})" for end in failed[:10])
        why = f"{counted(len(failed), 'tenant')} of {len(self.seen)} failed: {named}"
        if not_begun:
            why += f"; {counted(len(not_begun), 'tenant was', 'tenants were')} not begun"
        found = problem("tenants-failed", why, exit_code=code if code is not ExitCode.OK else ExitCode.DEADLINE)
        result = Result.INTERRUPTED if signum is not None else Result.FAILED
        return Report(Outcome(result, found.exit_code, found), fields)


@dataclass(slots=True)
class _Runner:
    """One process that takes tenants."""

    begin: Begin
    cwd: Path
    tenant: Tenant | None = None
    taken: int = 0
    _line: Line | None = None
    _process: subprocess.Popen[bytes] | None = None
    _told: bool = False

    def __enter__(self) -> Self:
        """It is started with its first tenant."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it: one that is idle ends with its line."""
        self._end()

    @property
    def line(self) -> Line:
        """Where it speaks."""
        assert self._line is not None
        return self._line

    def take(self, tenant: Tenant) -> None:
        """Give it a tenant."""
        if self._process is None:
            self._start()
        self.tenant, self.taken = tenant, self.taken + 1
        self.line.send(tenant)

    def hear(self) -> Said | Took | None:
        """What it says; None where it is gone."""
        try:
            said: Said | Took = self.line.recv()
        except (EOFError, OSError):
            return None
        return said

    def interrupt(self, signum: int) -> None:
        """Hand a signal on, once."""
        if self._process is not None and not self._told:
            self._told = True
            self._process.send_signal(signum)

    def renew(self) -> None:
        """Let the next tenant have a new process."""
        self._end()
        self.taken = 0

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _RUNNER, str(Path(migrate.__file__).parents[1]), str(theirs.fileno())],
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._line = Line(ours.detach())
        self._line.send(self.begin)

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            until = time.monotonic() + 2.0
            while self._process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            self._process.kill()
            self._process.wait()
        self._line = self._process = None
