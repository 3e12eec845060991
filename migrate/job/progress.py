"""What a run has seen and decided, and how far it has come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import psycopg2

from migrate.core.decide.outcome import Outcome, Result, result_of
from migrate.core.decide.plan import Adopt, Backup, Downgrade, Plan, Refusal, Repair, Upgrade
from migrate.core.decide.state import AtHead, Behind, Breaking, Empty
from migrate.core.interruption import Interrupted
from migrate.core.problems import ExitCode, Stop, problem
from migrate.core.quoting import Quoted
from migrate.core.value import Value
from migrate.core.wording import clauses, counted
from migrate.postgres.errors import problem_of

if TYPE_CHECKING:
    from migrate.core.decide.observation import Observation
    from migrate.core.decide.plan import Decision, HeldRevision, Step
    from migrate.core.decide.state import State
    from migrate.core.foresee.live import Outlook
    from migrate.core.history.graph import Revision
    from migrate.core.problems import Problem
    from migrate.steps.run import Run


class Judged(Value):
    """What was seen, what it is, and what to do about it."""

    observation: Observation
    state: State
    decision: Decision
    outlook: Outlook | None = None  # what comes next, where revisions would run and the manifest tells


def pending_of(state: State) -> tuple[Revision, ...]:
    """The revisions that are left to apply at a position that knows them."""
    position = state.position
    return position.pending if isinstance(position, (Empty, Behind)) else ()


def stepwise(judged: Judged) -> Plan:
    """The plan that was decided. Raises Stop for a refusal."""
    if isinstance(judged.decision, Refusal):
        raise Stop(judged.decision.problem)
    return judged.decision


def finish_without_steps(judged: Judged) -> Outcome:
    """The end of a run that has nothing to do."""
    decision = stepwise(judged)
    rows = judged.observation.rows
    held = breaks_of(decision)
    return Outcome(decision.result, from_revision=rows, to_revision=rows, pending=tuple(held), held=held)


def breaks_of(decision: Plan) -> dict[str, tuple[str, ...]]:
    """The ids of the revisions that the plan leaves to a later run, with what each would break, as sentences."""
    return {each.revision.id: each.breaks for each in decision.held}


def held_in_words(held: HeldRevision) -> str:
    """Why a pending revision is left to a later run."""
    revision = held.revision
    breaks = f": it breaks the release that is still running: {clauses(held.breaks)}" if held.breaks else ""
    return f"revision {revision.id} ({revision.file}) is held{breaks}"


def is_ready(judged: Judged) -> bool:
    """Whether the image's program runs on what is there.

    It does where nothing is left to do, and where nothing is left but revisions that break the release before, without
    which the manifest proves that the program runs.
    """
    if isinstance(judged.decision, Refusal):
        return False
    serves = any(isinstance(finding, Breaking) and finding.serves_image for finding in judged.state.findings)
    steps = judged.decision.steps
    return all(isinstance(step, Upgrade | Backup) for step in steps) if serves else not (steps or judged.decision.held)


def kind_of(step: Step) -> str:
    """A step's name in log lines and plans, e.g. ``upgrade``."""
    return type(step).__name__.lower()


def plan_in_words(decision: Plan) -> str:
    """The plan in one sentence."""
    said = []
    for step in decision.steps:
        match step:
            case Upgrade(pending=()):
                said.append("run env.py once, to prove that it migrates this target alone")
            case Upgrade(pending=pending):
                said.append(f"upgrade by {counted(len(pending), 'revision')}")
            case Adopt(rows=rows):
                said.append(f"adopt {', '.join(rows) or 'base'}")
            case Repair(items=items):
                said.append(f"repair {', '.join(items)}")
            case Backup(reason=reason):
                said.append(f"take a backup ({reason})")
            case Downgrade(target=target, reverting=reverting):
                said.append(f"revert {counted(len(reverting), 'revision')} down to {target}")
            case _:
                assert_never(step)
    if decision.held:
        said.append(f"hold {counted(len(decision.held), 'revision')} from {decision.held[0].revision.id} on")
    if said:
        return ", then ".join(said)
    return "leave the newer database as it is" if decision.result is Result.AHEAD else "nothing to do"


class Progress:
    """How far a run has come, so that its last line can say applied, failed and not started however it ends."""

    def __init__(self) -> None:
        self.before: Observation | None = None
        self.after: Observation | None = None
        self.pending: tuple[str, ...] = ()
        self.held: dict[str, tuple[str, ...]] = {}  # of these, what is left to a later run, and what each would break
        self.reverting = False
        self.run: Run | None = None
        self.adopted: tuple[str, ...] | None = None  # the version rows that were written before any revision ran
        self.problem: Problem | None = None
        self.signum: int | None = None
        self.result: Result | None = None

    def note(self, judged: Judged) -> None:
        """Remember what was seen last."""
        self.before = judged.observation
        decision = judged.decision
        steps = decision.steps if isinstance(decision, Plan) else ()
        self.held = breaks_of(decision) if isinstance(decision, Plan) else {}
        self.reverting = any(isinstance(step, Downgrade) for step in steps)
        changes = [step.revisions for step in steps if isinstance(step, Upgrade | Downgrade)]
        listed = changes[0] if changes else pending_of(judged.state)
        # what stays the target's where it is not run now, after what is run
        self.pending = tuple(dict.fromkeys((*(revision.id for revision in listed), *self.held)))
        if isinstance(judged.state.position, AtHead) and not self.reverting:
            self.pending = ()

    def outcome(self) -> Outcome:
        """The end as it is known now."""
        applied = tuple(self.run.applied) if self.run is not None else ()
        left = tuple(revision for revision in self.pending if revision not in applied)
        rows_before = self.before.rows if self.before is not None else ()
        rows_after = self.after.rows if self.after is not None else self._rows_after(rows_before, applied)
        found = Outcome(
            Result.FAILED,
            from_revision=rows_before,
            to_revision=rows_after,
            applied=() if self.reverting else applied,
            reverted=applied if self.reverting else (),
            pending=left,
            backup=self.run.backup if self.run is not None else None,
            held=self.held,
        )
        if self.signum is not None:
            code = ExitCode(128 + self.signum)
            why = f"received {'SIGINT' if self.signum == 2 else 'SIGTERM'}"  # noqa: PLR2004 - the signal's number
            attempt = self.run.attempt if self.run is not None else None
            at_work = attempt.current.id if attempt is not None and attempt.current is not None else None
            about: dict[str, Any] = {"revision": at_work} if at_work is not None else {}
            if at_work is not None:
                why += f" while revision {at_work} was at work"
            return replace(
                found,
                result=Result.INTERRUPTED,
                exit_code=code,
                problem=problem("interrupted", why, exit_code=code, **about),
                failed=at_work,
            )
        if self.problem is not None:
            failed = self.problem.facts.get("revision")
            return replace(
                found,
                result=result_of(self.problem.exit_code, has_changed=bool(applied) or self.adopted is not None),
                exit_code=self.problem.exit_code,
                problem=self.problem,
                failed=str(failed) if failed is not None else None,
            )
        return replace(found, result=self.result or Result.NOOP)

    def cut_short(self, signum: int) -> Outcome:
        """The end as it is known where nobody can be asked any more: the signal's grace is over.

        What may be committed counts for more than the signal.
        """
        self.signum = signum
        known = self.outcome()
        late = "when the signal's grace ran out"
        if self.run is not None and self.run.stamping:
            found = problem("commit-unknown", f"it was not known {late} whether the version rows were written")
            return replace(known, result=Result.UNKNOWN, exit_code=found.exit_code, problem=found)
        attempt = self.run.attempt if self.run is not None else None
        if attempt is None:
            return known
        part = attempt.left_in_part()
        if part is not None and part.autocommitted:
            why = f"revision {part.id} had committed a part {late}"
            found = problem("partly-committed", why, names={"file": part.file}, revision=part.id)
        elif not attempt.is_rolled_back and (attempt.uncommitted or (part is not None and part.may_commit)):
            ids = ", ".join(at.id for at in attempt.uncommitted) or (part.id if part is not None else "")
            found = problem("commit-unknown", f"the end of {ids} was not known {late}", revision=ids)
        else:
            return known
        return replace(
            known, result=result_of(found.exit_code, has_changed=True), exit_code=found.exit_code, problem=found
        )

    def _rows_after(self, rows: tuple[str, ...], applied: tuple[str, ...]) -> tuple[str, ...]:
        if self.run is None:
            return rows
        if self.reverting:
            from migrate.core.decide.downgrade import rows_below

            return rows_below(self.run.order.image.graph, rows, applied)
        reached = frozenset(rows if self.adopted is None else self.adopted)
        for revision in applied:
            reached = self.run.order.image.graph.rows_after(reached, revision)
        return tuple(sorted(reached))


class outcomes:  # noqa: N801 - as contextlib's own; not made by `contextmanager`, whose type does not say that it swallows
    """Turn a stop or a signal into the run's outcome."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Swallow what an outcome can say; a bug goes on."""
        if error is None:
            return False
        if isinstance(error, Stop):
            self._progress.problem = error.problem
        elif isinstance(error, Interrupted):
            self._progress.signum = error.signum
        elif isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):  # wherever it is lost
            self._progress.problem = problem_of(error, doing="asking the server").problem
        elif (malformed := malformed_manifest(error)) is not None:
            self._progress.problem = malformed
        else:
            return False
        return True


def malformed_manifest(error: BaseException) -> Problem | None:
    """The problem where it is the manifest's: its lines are read only where they are used."""
    from migrate.core.manifest.entries import MalformedManifest

    if not isinstance(error, MalformedManifest):
        return None
    return problem("bad-manifest", str(error), names={"manifest": Quoted("the manifest")}, line=error.line)
