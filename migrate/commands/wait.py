"""`migrate wait`: hold a program's start until the database is where this image's models expect it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from migrate.commands.up import LOOKING_EXITS
from migrate.commands.usage import report_usage
from migrate.commands.verb import verb
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.decide.policy import BackupPolicy, BreakingPolicy, Stale
from migrate.core.decide.state import Breaking
from migrate.core.events import Event, Name
from migrate.core.problems import ExitCode, problem
from migrate.core.wording import counted
from migrate.job import signals
from migrate.job import up as release
from migrate.job.front_door import conduct
from migrate.job.progress import is_ready
from migrate.job.voice import Answer, Report, Speech
from migrate.postgres.connection import jitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.context import Context
    from migrate.core.events import Emit
    from migrate.job.progress import Judged
    from migrate.job.session import Session
    from migrate.steps.order import Order

# The image or the settings would have to change; a migrate job that is about to run changes neither.
HOPELESS: Final = frozenset(
    {
        ExitCode.INTERNAL,
        ExitCode.CONFIG,
        ExitCode.HISTORY,
        ExitCode.TARGET,
        ExitCode.ACCESS,
        ExitCode.AHEAD,
        ExitCode.INTERRUPTED,
        ExitCode.TERMINATED,
    },
)

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_HEARTBEAT_S: Final = 30.0
# Python ignores these from its start on, and exec hands that down (the standard library's subprocess undoes it too).
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)


@verb("wait", exits=LOOKING_EXITS)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; without COMMAND only.")
def wait(*, as_json: bool, command: tuple[str, ...], **flags: Any) -> Answer:
    """Wait until the database is ready for this image; then run COMMAND in place of this process.

    The database is ready at this image's head, if it is ahead and compatible, or if only revisions are pending that break
    the previous release (`up --breaking hold`) and the manifest proves that this image runs without them.

    For a service whose migrations run in another container. Only reads, and takes no lock. COMMAND replaces this process:
    it keeps the process id, gets the signals, and its exit code is the container's.
    """
    if command and as_json:
        return _usage("--json is for a wait without COMMAND: what COMMAND prints would follow the object.")
    program = shutil.which(command[0]) if command else None
    if command and program is None:
        return _usage(f"{command[0]} cannot be started here: there is no such program.")

    def body(session: Session) -> Report:
        if session.settings.fleet.sources:
            return Report(_wait(session, command, _Tenants(session)), {})
        order = session.order()
        return Report(_wait(session, command, lambda context: _look(session, order, context)), {})

    ignored = [number for number in signals.SIGNALS if signal.getsignal(number) is signal.SIG_IGN]  # by nohup, for one
    answer = conduct("wait", flags, body, speech=Speech.JSON if as_json else Speech.LINES)
    if program is not None and answer.exit_code == ExitCode.OK:
        for number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        try:
            os.execv(program, command)  # noqa: S606 - the command is the user's own, as it was given
        except OSError as error:
            return _usage(f"{command[0]} cannot be started: {error.strerror}.")
    return answer


def _usage(why: str) -> Answer:
    return Answer(report_usage(click.UsageError(why), ["wait"], {"wait"}))


_Look = Callable[["Context"], "tuple[bool, Outcome]"]  # whether it is ready, and what was found


def _wait(session: Session, command: Sequence[str], look: _Look) -> Outcome:
    """Look until the database is ready, waiting is hopeless, or the time is up."""
    wait_s = session.context.limits.wait_s
    until = time.monotonic() + wait_s
    delay = _FIRST_PAUSE_S
    say = _Once(session.context.emit)
    beat = time.monotonic() + _HEARTBEAT_S
    while True:
        # An unreachable server is waited for as long as the whole wait lasts, not as long as a release would.
        limits = replace(session.context.limits, connect_s=max(until - time.monotonic(), 1.0), deadline_s=0.0)
        context = replace(session.context, limits=limits, emit=say)
        is_there, outcome = look(context)
        if is_there:
            then = f"; starting {command[0]}" if command else ""
            session.context.emit(Event(Name.DECISION_MADE, f"the database is ready for this image{then}"))
            return outcome
        if outcome.exit_code in HOPELESS:
            return outcome
        left = until - time.monotonic()
        if left <= 0:
            return _out_of_time(outcome, wait_s)
        if outcome.problem is None:
            say(Event(Name.HEARTBEAT, f"not ready: {_why(outcome)}"))
        if time.monotonic() >= beat:
            session.context.emit(Event(Name.HEARTBEAT, f"still waiting, {left:.0f} s left: {_why(outcome)}"))
            beat += _HEARTBEAT_S
        # Many replicas start at once; they must not ask at once for ever after.
        replace(context, beat=lambda: None).pause(
            min(left, delay * jitter(0.75, 1.25))
        )  # it says itself what it waits for
        delay = min(delay * 1.5, _LONGEST_PAUSE_S)


def _look(session: Session, order: Order, context: Context) -> tuple[bool, Outcome]:
    # whether what is pending may run is up to the job that runs it, and so is a backup: its volume is not seen from here
    policy = replace(order.policy, stale=Stale.WARN, backup_policy=BackupPolicy.OFF)
    is_held = order.image.manifest is not None and order.policy.breaking is BreakingPolicy.HOLD
    order = replace(order, context=context)
    breaking = BreakingPolicy.HOLD if is_held else BreakingPolicy.ALLOW
    judged, outcome = release.plan(replace(order, policy=replace(policy, breaking=breaking)), session.begin())
    if judged is not None and outcome.pending and not is_held and _has_held(judged):
        holding = replace(policy, breaking=BreakingPolicy.HOLD)
        judged, outcome = release.plan(replace(order, policy=holding), session.begin())
    return judged is not None and outcome.problem is None and is_ready(judged), outcome


def _has_held(judged: Judged) -> bool:
    """Whether the ledger knows of a run that has not come to its target, and what is left breaks the release before."""
    breaks = any(isinstance(finding, Breaking) for finding in judged.state.findings)
    return breaks and bool(judged.observation.released)


class _Tenants:
    """Looks at a fleet: those that were seen ready are not looked at again, the others one by one, to the first that is not."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._order = session.fleet_order()
        self._ready: set[str] = set()

    def __call__(self, context: Context) -> tuple[bool, Outcome]:
        """Look once."""
        from migrate.job.tenants import order_of, see_groups

        fleet, graph = self._session.settings.fleet, self._session.image.graph
        tenants = self._session.tenants()
        for seen in see_groups(tenants, self._order.target, context, graph, self._order.policy.target):
            self._ready |= {tenant.name for tenant in (*seen.at_head, *seen.absent)}
        for tenant in tenants:
            if tenant.name not in self._ready:
                is_there, outcome = _look(self._session, order_of(tenant, self._order, fleet), context)
                if not is_there:
                    return False, outcome
                self._ready.add(tenant.name)
        return True, Outcome(Result.NOOP)


def _out_of_time(outcome: Outcome, wait_s: float) -> Outcome:
    """The end of the wait: the refusal that was there to the last, else that revisions are still pending."""
    if outcome.problem is not None:
        return outcome
    found = problem("not-ready", f"after {wait_s:g} s {_why(outcome)}", pending_count=len(outcome.pending))
    return replace(outcome, result=Result.REFUSED, exit_code=found.exit_code, problem=found)


def _why(outcome: Outcome) -> str:
    if outcome.problem is not None:
        return outcome.problem.why
    count = len(outcome.pending)
    if outcome.result is Result.HELD:
        return f"this image does not run on a database where {counted(count, 'revision is', 'revisions are')} held"
    if not count:
        return "the database is still to be adopted, or proven, by migrate up"
    behind = f"the database is behind by {counted(count, 'revision')}, the first {outcome.pending[0]}"
    return f"{behind}, and this image does not run there: `migrate up` has not applied {'it' if count == 1 else 'them'} yet"


class _Once:
    """Says each thing once: the tenth look at the same state is no news."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._said: set[tuple[str, str]] = set()

    def __call__(self, event: Event) -> None:
        """Pass the event on, unless it was said before."""
        what = (event.name, event.message)
        if what not in self._said:
            self._said.add(what)
            self._emit(event)
