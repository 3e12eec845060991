"""What a failed attempt means: the server is asked what became of the transaction, never the exception alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from migrate.child.protocol import Declined
from migrate.core.decide.findings import fix_of_stale_rows
from migrate.core.decide.foreseen import way_out
from migrate.core.events import Event, Level, Name
from migrate.core.foresee.live import Against
from migrate.core.interruption import Interrupted
from migrate.core.problems import ExitCode, Fix, Stop, advice, in_order, stop
from migrate.core.problems.kinds import EXCERPTS
from migrate.core.problems.privileges import fix_of_uncounted
from migrate.postgres import activity
from migrate.postgres.activity import described, fix_of_blocked, who
from migrate.postgres.backend_names import WORKER_NAME
from migrate.postgres.errors import QUERY_CANCELED, RETRIED, code_of
from migrate.steps.control import ask, invalid_now, rows_now
from migrate.steps.env_failure import MORE_MEMORY, READ_S, after_the_last, before_any_revision, grant_of, place_of
from migrate.steps.excerpts import excerpts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.child.protocol import Error, Failed
    from migrate.postgres.connection import Connection
    from migrate.steps.at_work import AtWork
    from migrate.steps.attempt import Attempt
    from migrate.steps.run import Run

SETTLE_S: Final = 2.0  # for the server to notice that a client is gone; then its backend is ended
LISTED: Final = 20
_LOCK_MS: Final = 200
_THERE_ALREADY: Final = frozenset(
    {"42P07", "42701", "42710", "42P06", "42723"}
)  # a table, column, object, schema, function
UNIQUE_VIOLATION: Final = "23505"


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the failed revision; ``in_doubt`` where a COMMIT may have been sent and nobody can be asked."""

    part_committed: bool = False
    in_doubt: bool = False


def judge(attempt: Attempt, failure: Failed, *, blocking: Sequence[Mapping[str, Any]]) -> Stop | None:
    """What a failed attempt means, said and written to the ledger.

    Returns None where everything was applied all the same (the answer to the last COMMIT was lost), a Stop where the
    attempt may be repeated. Raises Stop for every other failure, and Interrupted after a signal.
    """
    run = attempt.run
    error = failure.error
    ending = settle(attempt, is_said_to_leave_nothing=failure.left_nothing)
    failed = attempt.current
    said = run.context.redact(error.message or error.type)
    if failed is None and len(run.applied) == attempt.total:
        if run.servers is None and attempt.cancelled_at is None:
            run.failed_after = after_the_last(run, error, said)
        return None
    if error.type == "MemoryError":
        said = f"out of memory: {said}"
    if attempt.cancelled_at is None and run.guard.ran_out:  # whatever failed, it is because of that, or matters less
        attempt.cancelled_at = time.monotonic()
    if attempt.cancelled_at is not None and not _lost_by_itself(attempt, error):
        raise _cancelled(attempt, ending)
    if failed is None:
        return before_any_revision(run, failure.phase, error, said)
    why = f"revision {failed.id} ({place_of(run, error) or failed.file}): {said}"
    if error.sqlstate == UNIQUE_VIOLATION and said.startswith("could not create unique index"):
        why += ", because a key of it is in the table more than once"  # which one is a value of the user's
    about = facts(failed, error) | {EXCERPTS: excerpts(error, run.order.project.cwd, failed.file)}
    sqlstate = error.sqlstate
    if sqlstate in RETRIED:
        why += f"; {who(blocking)}" if blocking else ""
        about |= {"blockers": [described(b) for b in blocking]}
    if ending.part_committed:
        raise _partial(attempt, failed, why, about)
    if ending.in_doubt:
        raise _failure(attempt, "commit-unknown", why, failed, about)
    attempt.close_steps("failed")
    if sqlstate in RETRIED:
        return stop("blocked", why, fix=fix_of_blocked(blocking, run.order.target.url_in_shell), **about)
    default = "revision-exited" if error.has_exited else "revision-failed"
    if error.is_out_of_memory:
        default = "no-resources"
    if error.is_disconnect and not sqlstate:
        default = "connection-lost"
    code = default if sqlstate == QUERY_CANCELED else code_of(sqlstate, default)
    raise _failure(attempt, code, why, failed, about, said)


def taken_back(attempt: Attempt) -> None:
    """An attempt was rolled back, to be made again. Raises Stop where a part of it is committed."""
    ending = settle(attempt)
    at_fault = _at_fault(attempt, ending)
    if at_fault is not None:
        why = (
            f"revision {at_fault.id}: what else it does may lose data, and was rolled back; after the repair, migrate down"
            " with --allow-data-loss runs it without looking"
        )
        raise _left(attempt, ending, at_fault, why)
    attempt.close_steps("abandoned")


def settled(attempt: Attempt, refusal: Stop) -> Stop:
    """The stop for an attempt that came to a halt before a revision; what a part has committed counts for more."""
    ending = settle(attempt)
    at_fault = _at_fault(attempt, ending)
    if at_fault is not None:
        return _left(attempt, ending, at_fault, refusal.problem.why)
    attempt.close_steps("failed")
    return refusal


def refused(attempt: Attempt, refusal: Declined) -> Stop:
    """The stop for an attempt that the child refused to go on with; what a part has committed counts for more."""
    code, why, fix_names, more, left_nothing = refusal
    run = attempt.run
    if (
        code in {"other-database", "several-targets"}
        and ask(run, lambda control: _is_held(run, control), within_s=0.0) is False
    ):
        code, why = "guard-lost", "the job lock was gone when env.py connected"
    ending = settle(attempt, is_said_to_leave_nothing=left_nothing)
    at_fault = _at_fault(attempt, ending)
    if at_fault is not None:
        name = f"revision {at_fault.id}"
        return _left(attempt, ending, at_fault, why if why.startswith(f"{name} ") else f"{name}: {why}")
    attempt.close_steps("failed")
    # what env.py has brought to another target is not seen, and what this run has committed stays
    is_elsewhere = code == "several-targets"
    stays = attempt.run.applied and attempt.run.servers is None  # what a throw-away database has goes with it
    exit_code = ExitCode.UNPROVEN if is_elsewhere and stays else None
    about = {name: fix_names[name] for name in ("missing_schema",) if name in fix_names} | facts(attempt.current)
    if is_elsewhere:  # it is of no one revision
        about = {}
    grant = None
    if "denied" in fix_names:
        server = attempt.run.before.server
        given = {name: str(fix_names[name]) for name in ("table", "target")}
        grant = fix_of_uncounted(str(fix_names["denied"]), role=server.user, database=server.database, **given)
    own = fix_names.get("fix")
    fix = grant or (own if own is None else advice(str(own)))
    return stop(code, why, fix=fix, names=fix_names, exit_code=exit_code, **{**about, **more})


def never_committed(attempt: Attempt, opener: str | None) -> Stop:
    """The stop for an env.py that has ended well without committing what the revisions did.

    ``opener`` as in `Upgrading`: the statement that began the transaction which env.py handed over.
    """
    env_py = attempt.run.order.project.env_py
    ids = ", ".join(at.id for at in attempt.uncommitted[:LISTED])
    by_itself = attempt.left_in_part()
    if by_itself is not None and by_itself.autocommitted:
        why = (
            f"revision {by_itself.id} committed by itself, which ended Alembic's transaction, so that its version row was"
            " not committed"
        )
        return refused(attempt, Declined("unproven", why))
    if opener is None:
        why = "env.py rolled back, or never committed, what they did"
        fix = f"let {env_py} call context.run_migrations() in 'with context.begin_transaction():', and not roll back"
    else:
        began = f"with: {opener}" if opener else "by engine.begin() or connection.begin()"
        why = f"env.py began a transaction before context.begin_transaction() and never committed it; it began {began}"
        fix = (
            f"in {env_py}: call connection.commit() after the statement that is named, or move it inside 'with"
            " context.begin_transaction():'"
        )
    return refused(attempt, Declined("unproven", f"nothing of {ids} is in the database: {why}", {"fix": fix}))


def _is_held(run: Run, control: Connection) -> bool:
    return bool(control.row(f"SELECT {run.guard.fence.is_held}")[0])


def cancelled(attempt: Attempt) -> Stop | Interrupted:
    """The end of an attempt that a signal, a lost guard or the deadline has ended."""
    return _cancelled(attempt, settle(attempt))


def _lost_by_itself(attempt: Attempt, error: Error) -> bool:
    """Whether the worker lost its connection as the guard did, at a restart of the server: what happened is known then."""
    lost = error.is_disconnect or code_of(error.sqlstate, "") == "connection-lost"
    run = attempt.run
    return lost and not attempt.killed and run.context.interruption.signum is None and not run.guard.ran_out


def ended_early(run: Run) -> Stop:
    """The stop for a run that may not go on although nothing failed: its guard is gone, or its time is up."""
    if run.guard.lost is not None:
        return stop("guard-lost", f"the job lock was lost: {run.guard.lost}")
    spent = time.monotonic() - run.context.started_s
    return stop("deadline", f"the deadline of {run.context.limits.deadline_s:g} s came after {spent:.0f} s")


def go_on(run: Run) -> None:
    """Raises Interrupted or Stop where the run must end."""
    run.context.interruption.check()
    if run.must_end:
        raise ended_early(run)


def facts(failed: AtWork | None, error: Error | None = None) -> dict[str, Any]:
    """The fields of a problem about a revision."""
    found: dict[str, object] = {}
    if failed is not None:
        found["revision"] = failed.id
        found["file"] = failed.revision.file if failed.revision else None
    if error is not None:
        found["sqlstate"] = error.sqlstate
        found["error_type"] = error.type
        found |= {"traceback": error.traceback} if error.traceback else {}
        # The error may have come through another file of the user's; its line would mislead beside the revision's name.
        if failed is not None and failed.revision and str(error.file).endswith(failed.revision.file):
            found["line"] = error.line
    return found


def settle(attempt: Attempt, *, is_said_to_leave_nothing: bool = False) -> Ending:
    """Wait until the attempt's transactions have ended on the server, and note what they committed."""
    run = attempt.run
    failed = attempt.current
    if failed is None and not attempt.uncommitted:
        return Ending()
    xids = failed.xids if failed is not None else attempt.uncommitted[-1].xids
    found = statuses(run, xids, pid=attempt.worker_pid, name=worker_name(run))
    rows = rows_now(run, within_s=run.context.limits.connect_s) if found is not None else None
    at_work = [*attempt.uncommitted, *([failed] if failed is not None else [])]
    by_itself = any(at.autocommitted for at in at_work)
    if rows is None or found is None:
        attempt.is_rolled_back = set(found or ()) == {"aborted"} and not by_itself
        sent = bool(attempt.uncommitted) or by_itself or (failed is not None and failed.may_commit)
        return Ending(in_doubt=sent and not attempt.is_rolled_back)
    if attempt.uncommitted and (by_itself or set(found) != {"aborted"}):  # else the rows show what another run did
        attempt.committed(attempt.shown_by(rows))
    still = attempt.current
    part_committed = still is not None and (still.autocommitted or "committed" in found)
    if part_committed and is_said_to_leave_nothing and still is not None and _is_as_before(run, still):
        part_committed = False
    part_committed = part_committed or any(at.autocommitted for at in attempt.uncommitted)
    attempt.is_rolled_back = not part_committed
    return Ending(part_committed=part_committed)


def statuses(run: Run, xids: Sequence[int], *, pid: int | None, name: str | None) -> list[str | None] | None:
    """What became of these transactions of backend ``pid``, once the last has ended; None where nobody can be asked.

    A backend that does not notice that its client is gone is ended, if it still has ``name`` (None: whatever its name).
    """

    def look(connection: Connection) -> list[str | None]:
        return [activity.transaction_status(connection, xid) for xid in xids]

    until = time.monotonic() + SETTLE_S
    last_try = until + run.context.limits.connect_s
    while True:
        found = ask(run, look, within_s=run.context.limits.connect_s)
        if found is None or "in progress" not in found:
            return found
        now = time.monotonic()
        if now > last_try:
            return None
        if now > until and pid is not None:
            activity.terminate(run.control, pid, name)
            until = now + SETTLE_S
        time.sleep(0.05)


def worker_name(run: Run) -> str | None:
    """The name that the worker's backend must have to be cancelled: through a pooler it may be another client's by now."""
    return f"{WORKER_NAME}{run.context.run_id}" if run.before.server.pooled else None


def _at_fault(attempt: Attempt, ending: Ending) -> AtWork | None:
    """The revision of which a part is, or may be, committed."""
    return attempt.current or attempt.left_in_part() if ending.part_committed or ending.in_doubt else None


def _left(attempt: Attempt, ending: Ending, at_fault: AtWork, why: str) -> Stop:
    about = facts(at_fault)
    if ending.part_committed:
        return _partial(attempt, at_fault, why, about)
    return _failure(attempt, "commit-unknown", why, at_fault, about)


def _cancelled(attempt: Attempt, ending: Ending) -> Stop | Interrupted:
    run = attempt.run
    signum = run.context.interruption.signum
    cause = "a signal" if signum is not None else ended_early(run).problem.why
    at_fault = _at_fault(attempt, ending)
    if at_fault is not None:
        after = " after a part of it was committed" if ending.part_committed else ""
        return _left(attempt, ending, at_fault, f"revision {at_fault.id} was cancelled ({cause}){after}")
    attempt.close_steps("abandoned")
    if signum is not None:
        return Interrupted(signum)
    early = ended_early(run).problem
    failed = attempt.current
    if failed is None:
        return Stop(early)
    return stop(early.kind.code, f"{early.why}; revision {failed.id} was rolled back", **facts(failed))


def _partial(attempt: Attempt, failed: AtWork, why: str, about: Mapping[str, object]) -> Stop:
    partial = attempt.left_in_part() or failed
    invalid = invalid_now(attempt.run, within_s=READ_S) or ()
    left = [f"INVALID index {index.schema}.{index.name} on {index.table}" for index in invalid]
    left = [*left, *_changed(attempt.run, partial)][:LISTED]
    why = why if partial is failed else f"{why}; revision {partial.id} before it had committed a part of its own"
    attempt.close_steps("partial", {"residue": left})
    told = [line for line in left if not (line.startswith("+ index ") and line.endswith(" invalid"))]  # named already
    named = f"; it left: {'; '.join(told[:5])}" if told else ""
    return _failure(attempt, "partly-committed", f"{why}{named}", failed, {**about, "residue": left})


def _is_as_before(run: Run, failed: AtWork) -> bool:
    """Whether the schema is what it was before the revision, and no index has become INVALID; no where nothing tells."""
    now = schema_now(run, within_s=run.context.limits.connect_s) if failed.schema_before is not None else None
    invalid = invalid_now(run, within_s=run.context.limits.connect_s)
    return now is not None and now == failed.schema_before and invalid == run.before.invalid_indexes


def _changed(run: Run, failed: AtWork) -> list[str]:
    """What the schema has become since the revision began, as lines of changes; empty where nothing tells."""
    now = schema_now(run) if failed.schema_before is not None else None
    if now is None or failed.schema_before is None:
        return []
    from migrate.core.schema.differences import changes, ignored_by, read_change

    is_ignored = ignored_by(run.order.policy.ignore)
    return [line for line in changes(failed.schema_before, now) if not is_ignored(read_change(line)[0])]


def _failure(
    attempt: Attempt, code: str, why: str, failed: AtWork, about: Mapping[str, object], said: str = ""
) -> Stop:
    run = attempt.run
    fix: Fix | None = grant_of(run, said or why) if code == "missing-privilege" else None
    if code == "no-resources" and "sqlstate" in about and about["sqlstate"] is None:
        fix = MORE_MEMORY
    if fix is None and code == "revision-failed":
        fix = _rows_to_mend(run, failed, about)
        if fix is None and run.stale is not None and str(about.get("sqlstate")) in _THERE_ALREADY:
            fix = fix_of_stale_rows(run.stale)
    found = stop(code, why, fix=fix, names={"file": failed.file, "variable": run.order.target.url_from}, **about)
    shown = (run.explained(found) if run.explained is not None else found).problem
    run.context.emit(Event(Name.REVISION_FAILED, shown.why, Level.ERROR, {**attempt.fields(failed), **shown.fields()}))
    return found


def _rows_to_mend(run: Run, failed: AtWork, about: Mapping[str, object]) -> Fix | None:
    """The rows that were found to be against a need which the revision failed for, where there are any."""
    needs = run.outlook.needs_of(failed.id) if run.outlook is not None else ()
    if not needs:
        return None
    from migrate.core.foresee.proving import is_refused_by

    sqlstate = str(about.get("sqlstate") or "")
    ways = [
        way_out(each)
        for each in needs
        if isinstance(each.answer, Against) and is_refused_by(each.need.condition, sqlstate)
    ]
    return in_order(ways) if ways else None


def schema_now(run: Run, *, within_s: float = READ_S) -> dict[str, str] | None:
    """The whole schema; None where there is none, and where it cannot be read at once."""
    schema = run.before.server.schema
    if schema is None:
        return None

    from migrate.postgres.catalog import read_schema

    def read(connection: Connection) -> dict[str, str]:
        return read_schema(
            connection,
            schemas=run.order.target.schemas_beside(schema),
            version_table=(schema, run.order.target.version_table),
            default_schema=run.order.target.default_schema(schema),
            qualified=run.order.target.schemas,
            lock_timeout_ms=_LOCK_MS,
        )

    return ask(run, read, within_s=within_s)
