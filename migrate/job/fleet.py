"""One release for many tenants: those at head are passed over, the others are taken by runners, a few at once.

Each tenant is a run of its own, under a guard of its own, with its own proof; here is only who comes when, and what they
came to together. A runner that dies costs the tenant that it had, and nobody else.
"""

from __future__ import annotations

import os
import select
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from migrate.core.decide.outcome import Outcome, Result, ended_by
from migrate.core.events import Event, Level, Name
from migrate.core.fleet.ending import TenantEnd, fields_of, is_tried_again, most_serious
from migrate.core.fleet.grid import grid
from migrate.core.fleet.tenants import Tenant, divided
from migrate.core.interruption import Interrupted
from migrate.core.problems import ExitCode, Stop, problem, stop
from migrate.core.problems.fix import ProjectFlag, with_completed_fixes
from migrate.core.problems.fix import migrate as run_of
from migrate.core.quoting import word
from migrate.core.wording import counted
from migrate.job.look import refuse_image_faults
from migrate.job.runner_messages import Begin, Said, Take, Took
from migrate.job.tenants import create_schema, see_groups, target_of
from migrate.job.voice import Report
from migrate.settings import TENANT_FLAG_VERBS
from migrate.settings.fleet import OnFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.fleet.grid import Row
    from migrate.core.problems.fix import Fix
    from migrate.job.runner_process import RunnerProcess
    from migrate.job.session import Session

_MOST_PARALLEL: Final = 4
_TAKES: Final = 500  # tenants, after which a runner makes room for a new one: what user code keeps does not add up
_TICK_S: Final = 0.5
_BY_ROWS: Final = frozenset(
    {"up", "plan", "status", "report"}
)  # verbs that have nothing to do where no revision is left


def carry_out(session: Session, flags: Mapping[str, Any]) -> FleetRun:
    """Do for every tenant what the verb does for one database. Raises Stop where there is no list, or no image."""
    refuse_image_faults(session.fleet_order())
    fleet = FleetRun(session, flags)
    session.so_far = fleet.report
    with suppress(Interrupted):  # it is in the report, with those that were not begun
        tenants = session.tenants()
        if not tenants:
            said = f"no tenant is listed ({session.settings.fleet.sources[0]}): nothing was done"
            session.context.emit(Event(Name.TARGET_WARNING, said, Level.WARN))
        fleet.release(tenants)
        if fleet.goes_on:  # who was provisioned meanwhile is not left behind until the next release
            fleet.release([tenant for tenant in session.tenants() if fleet.is_open(tenant)])
        fleet.leave_out_the_absent()
    return fleet


class FleetRun:
    """The tenants of one run, and how far they have come."""

    def __init__(self, session: Session, flags: Mapping[str, Any]) -> None:
        self._session = session
        self._context = session.context
        self._settings = session.settings.fleet
        self._begin = Begin(self._context.verb, dict(flags), self._context.run_id, self._context.started_s)
        self._seen: dict[str, Tenant] = {}
        self._absent: dict[str, Tenant] = {}  # listed, and yet to be made
        self._ends: dict[str, TenantEnd] = {}
        self._behind: set[Tenant] = set()
        self._again: dict[str, tuple[TenantEnd, Outcome]] = {}  # those to be tried again, and how they ended at first
        self._fixes: dict[str, Fix] = {}  # of those that failed
        self._goes_on = True  # nobody has said that no other tenant may begin
        flags_of_all = session.settings.project_flags()
        self._project_flags = [flag for flag in flags_of_all if flag.names != ("--tenant",)]

    @property
    def goes_on(self) -> bool:
        """Whether another tenant may begin."""
        return self._goes_on and self._context.interruption.signum is None and self._context.time_left_s > 0

    def is_open(self, tenant: Tenant) -> bool:
        """Whether nobody has looked after it yet."""
        return tenant.name not in self._seen or tenant.name in self._absent

    def release(self, tenants: Sequence[Tenant]) -> None:
        """Take these tenants: the canaries, then the others, then once more those that may be tried again."""
        self._seen |= {tenant.name: tenant for tenant in tenants}
        for tenant in tenants:
            self._absent.pop(tenant.name, None)
        self._look_at_all(tenants)
        left = [tenant for tenant in tenants if tenant.name not in {*self._ends, *self._absent}]
        canaries, others = divided(left, self._settings.canary)
        if canaries:
            self._take_twice(canaries)
            if any(self._ends[each.name].exit_code is not ExitCode.OK for each in canaries if each.name in self._ends):
                self._goes_on = False
        self._take_twice(others)

    def leave_out_the_absent(self) -> None:
        """Those that are listed and were not made until the end are nobody's fault."""
        for name in list(self._absent):
            del self._absent[name]
            self._note(TenantEnd(name, Result.NOOP, ExitCode.OK, is_there=False), Outcome(Result.NOOP))

    # All at once

    def _look_at_all(self, tenants: Sequence[Tenant]) -> None:
        """Ask each database once about all of its tenants: who is there, and who is done already."""
        by_rows = self._context.verb in _BY_ROWS and not self._settings.verify_all
        goal = self._session.settings.policy.target
        graph = self._session.image.graph
        for seen in see_groups(tenants, self._session.fleet_target, self._context, graph, goal):
            self._behind |= seen.behind
            for tenant in seen.absent:
                self._meet_absent(tenant)
            for tenant, rows in seen.at_head.items() if by_rows else ():
                end = TenantEnd(tenant.name, Result.NOOP, ExitCode.OK, rows=rows)
                self._note(end, Outcome(Result.NOOP, from_revision=rows, to_revision=rows))

    def _meet_absent(self, tenant: Tenant) -> None:
        """One that is asked for by its name is made, or said to be missing; others may be made meanwhile."""
        if tenant.name not in self._settings.names:
            self._absent[tenant.name] = tenant
            return
        try:
            if not self._settings.create or tenant.schema is None:
                what = f"schema {tenant.schema}" if tenant.schema is not None else "database"
                why = f"tenant {tenant.name} has no {what} yet"
                raise stop("missing-tenant", why, names={"tenant": tenant.name})
            create_schema(tenant.schema, target_of(tenant, self._session.fleet_target), self._context)
        except Stop as stopped:
            found = stopped.problem
            outcome = ended_by(found)
            self._note(TenantEnd(tenant.name, outcome.result, found.exit_code, found.kind.code), outcome)

    # The others

    def _take_twice(self, tenants: Sequence[Tenant]) -> None:
        """Take these, and then once more those that may be tried again."""
        try:
            self._take(tenants, tries_again=True)
            if self.goes_on:
                self._take([tenant for tenant in tenants if tenant.name in self._again])
        finally:
            for name, (end, outcome) in self._again.items():
                if name not in self._ends:
                    self._note(end, outcome)
            self._again = {}

    def _take(self, tenants: Sequence[Tenant], *, tries_again: bool = False) -> None:
        """Take these, a few at once; with ``tries_again``, those that may be tried again are put off."""
        from migrate.job.runner_process import RunnerProcess  # a fleet that is at its head needs none

        waiting = deque(tenants)
        most = self._settings.parallel or min(os.cpu_count() or 1, _MOST_PARALLEL)
        with ExitStack() as stack:
            runners = [RunnerProcess(self._begin, self._session.cwd) for _ in range(min(most, len(waiting)))]
            for runner in runners:
                stack.enter_context(runner)
            for runner in runners:  # before the first is waited for: each takes a moment to end
                stack.callback(runner.dismiss)
            while (waiting and self.goes_on) or any(runner.tenant is not None for runner in runners):
                for runner in runners:
                    if runner.tenant is None and waiting and self.goes_on:
                        self._begin_one(runner, waiting.popleft())
                self._listen(runners, tries_again=tries_again)

    def _begin_one(self, runner: RunnerProcess, tenant: Tenant) -> None:
        self._say(tenant.name, Event(Name.TENANT_STARTED, f"tenant {tenant.name}", fields=self._counts()))
        runner.take(Take(tenant, is_behind=tenant in self._behind))

    def _counts(self) -> dict[str, object]:
        return {"tenants_done": len(self._ends), "tenants": len(self._seen)}

    def _listen(self, runners: Sequence[RunnerProcess], *, tries_again: bool) -> None:
        """Hear what the runners say, for a moment; a signal is handed on to them once."""
        self._context.beat()
        signum = self._context.interruption.signum
        by_line = {runner.line: runner for runner in runners if runner.tenant is not None}
        for line in select.select(list(by_line), [], [], _TICK_S)[0]:
            runner = by_line[line]
            self._hear(runner, tries_again=tries_again)
        if signum is not None:
            for runner in runners:
                runner.interrupt(signum)

    def _hear(self, runner: RunnerProcess, *, tries_again: bool) -> None:
        tenant = runner.tenant
        assert tenant is not None
        told = runner.hear()
        if told is None:
            runner.tenant = None
            died = problem("connection-lost", f"the process that had tenant {tenant.name} ended before it was done")
            end = TenantEnd(tenant.name, Result.UNKNOWN, died.exit_code, died.kind.code)
            self._end(end, Outcome(Result.UNKNOWN, died.exit_code, died), tries_again=tries_again)
            runner.renew()
            return
        for each in told:
            match each:
                case Said(name, event):
                    self._say(name, event)
                case Took(end, outcome):
                    runner.tenant = None
                    self._end(end, outcome, tries_again=tries_again)
                    if runner.taken >= _TAKES:
                        runner.renew()

    def _end(self, end: TenantEnd, outcome: Outcome, *, tries_again: bool) -> None:
        """A runner has done with a tenant, or was ended with it."""
        if end.exit_code is not ExitCode.OK and self._settings.on_failure is OnFailure.STOP:
            self._goes_on = False
        if not (tries_again and self.goes_on and is_tried_again(end.exit_code)):
            self._note(end, outcome)
            return
        self._again[end.tenant] = end, outcome
        why = outcome.problem.why if outcome.problem is not None else end.result
        said = f"tenant {end.tenant} is tried again after the others: {why}"
        self._say(end.tenant, Event(Name.TENANT_RETRY, said, Level.WARN, outcome.fields()))

    def _note(self, end: TenantEnd, outcome: Outcome) -> None:
        self._ends[end.tenant] = end
        if outcome.problem is not None:
            self._fixes[end.tenant] = outcome.problem.fix
        why = f": {outcome.problem.why}" if outcome.problem is not None else ""
        said = (
            f"tenant {end.tenant}: {end.result}{why}" if end.is_there else f"tenant {end.tenant} is not provisioned yet"
        )
        level = Level.INFO if end.exit_code is ExitCode.OK else Level.ERROR
        self._say(end.tenant, Event(Name.TENANT_FINISHED, said, level, {**outcome.fields(), **self._counts()}))

    def _say(self, tenant: str, event: Event) -> None:
        """A line of one tenant; what its fixes run is run for it alone."""
        flags = (*self._project_flags, _flag_of(tenant))
        fields = with_completed_fixes(event.fields, flags, run_of(self._context.verb))
        self._context.emit(replace(event, fields={**fields, "tenant": tenant}))

    # What it came to

    def grid(self) -> list[Row]:
        """Every tenant, the odd ones first."""
        return grid(self._ends.values(), self._seen.keys() - self._ends.keys())

    def report(self) -> Report:
        """The fleet's end: the counts, and the code that stands for all."""
        put_off = {name: end for name, (end, _) in self._again.items()}
        ends = list((put_off | self._ends).values())
        not_begun = sorted(self._seen.keys() - self._ends.keys() - put_off.keys())
        code = most_serious(end.exit_code for end in ends)
        signum = self._context.interruption.signum
        if signum is not None and code is ExitCode.OK:
            code = ExitCode(128 + signum)
        fields = fields_of(ends, not_begun)
        applied = sum(1 for end in ends if end.applied or end.result is Result.ADOPTED)
        if code is ExitCode.OK and not not_begun:
            left = sum(1 for end in ends if end.pending)
            verb, count = self._context.verb, counted(len(ends), "tenant")
            said = f"{verb}: {count}, {applied} changed, {left} with something pending"
            return Report(Outcome(Result.APPLIED if applied else Result.NOOP), fields, message=said)
        failed = [end for end in ends if end.exit_code is not ExitCode.OK]
        named = ", ".join(f"{end.tenant} ({int(end.exit_code)} {end.problem})" for end in failed[:10])
        why = f"{counted(len(failed), 'tenant')} of {len(self._seen)} failed: {named}"
        if not_begun:
            why += f"; {counted(len(not_begun), 'tenant was', 'tenants were')} not begun"
        fix = None  # to run it again, which mends what is retryable, and takes who was not begun
        worst = next((end for end in failed if end.exit_code is code and end.tenant in self._fixes), None)
        if worst is not None and not code.retryable:
            fix = self._fixes[worst.tenant].completed([_flag_of(worst.tenant)], run_of(self._context.verb))
        exit_code = code if code is not ExitCode.OK else ExitCode.DEADLINE
        found = problem("tenants-failed", why, exit_code=exit_code, fix=fix)
        result = Result.INTERRUPTED if signum is not None else Result.FAILED
        return Report(Outcome(result, found.exit_code, found), fields)


def _flag_of(tenant: str) -> ProjectFlag:
    """What lets a command be about one tenant."""
    return ProjectFlag(("--tenant",), word(tenant), TENANT_FLAG_VERBS)
