"""One try to apply what is left: which revision is at work, what is applied, what is committed; and says so."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from migrate.core.events import Event, Level, Name
from migrate.postgres.ledger_steps import Beginning, finishing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from migrate.steps.at_work import AtWork
    from migrate.steps.run import Run

SILENT_S: Final = 3.0  # a child that waits says so every second


@dataclass(slots=True)
class Attempt:
    """The state of one run of env.py in the child, as its messages tell it."""

    run: Run
    total: int
    kind: str = "upgrade"  # or downgrade
    number: int = 1  # how often the current revision was tried
    current: AtWork | None = None
    uncommitted: list[AtWork] = field(default_factory=list)  # applied in a transaction that is still open
    # applied in a transaction that they share, and that is committed when it is said so, not before
    sharing: list[AtWork] = field(default_factory=list)
    worker_pid: int | None = None
    one_transaction: bool = False
    waiting_since: float | None = None  # since when the child waits in its driver, and nothing was sent any more
    cancelled_at: float | None = None
    killed: bool = False  # by us, because it did not heed the cancel
    is_rolled_back: bool = False  # all that is not applied, as the server said once the attempt had ended
    _unsent: int = 0
    _heard_s: float = 0.0  # when it last said that it waits
    _warned: bool = False

    def note_waiting(self, unsent: int | None) -> None:
        """The child waits in its driver, with so many bytes of its statement still to be sent; None: it does not wait."""
        now = time.monotonic()
        was_silent, self._heard_s = now - self._heard_s > SILENT_S, now
        if unsent is None:
            self.waiting_since = None
        elif self.waiting_since is None or unsent != self._unsent or was_silent:
            self.waiting_since, self._unsent = now, unsent

    @property
    def known_to_wait_since(self) -> float | None:
        """Since when it waits, as far as it goes on saying so: a child that is stopped has not lost an answer."""
        return self.waiting_since if time.monotonic() - self._heard_s <= SILENT_S else None

    def begin(self, at: AtWork) -> None:
        """A revision is about to run."""
        self.current = at
        if self.run.order.gauge is not None:
            self.run.order.gauge.began(self)
        what = "revision" if self.kind == "upgrade" else "downgrade of revision"
        said = f"{what} {at.id}: {at.revision.message if at.revision else ''}".rstrip(": ")
        self.run.context.emit(Event(Name.REVISION_STARTED, said, fields=self.fields(at)))

    def began_transaction(self, xid: int, pid: int) -> None:
        """A transaction was begun, of the current revision if there is one."""
        self.worker_pid = pid
        if self.current is not None:
            if not self.current.xids:
                self.run.ledger.note_xid(self.current.step_id, xid)
            self.current.xids.append(xid)

    def entered_autocommit(self) -> None:
        """The next statement of the current revision commits by itself, or on another connection of its own."""
        if self.current is not None:
            self.current.autocommitted = True
            self.run.ledger.note_autocommit(self.current.step_id)

    def applied(self) -> bool:
        """The current revision ran and its version row moved; whether the child waits until it may be committed."""
        at = self.current
        if at is None:
            return True
        at.ended_s = time.monotonic()
        (self.sharing if at.shares else self.uncommitted).append(at)
        if self.one_transaction or at.shares:
            self._say_finished(at, committed=False)
        return not at.shares

    def gathered(self) -> str | None:
        """Those that share a transaction are about to be committed: the SQL that closes their steps of the ledger."""
        now = time.monotonic()
        source_of = self.run.order.source_of
        steps = [
            Beginning(
                revision=at.revision,
                source=source_of(at.revision) if at.revision is not None else "",
                xid=at.xids[-1] if at.xids else None,
                began_s=now - at.began_s,
                ended_s=now - at.ended_s if at.ended_s is not None else None,
            )
            for at in self.sharing
        ]
        for at, step_id in zip(self.sharing, self.run.ledger.start_several(self.kind, steps), strict=True):
            at.step_id = step_id
        self.uncommitted, self.sharing = [*self.uncommitted, *self.sharing], []
        return finishing([at.step_id for at in self.uncommitted if at.shares])

    def unrecorded(self, ledger_problem: str | None) -> None:
        """The current revision, and those that share its transaction, have not closed their steps of the ledger in it."""
        for at in self.uncommitted:
            if at is self.current or at.shares:
                at.ledger_problem, at.is_recorded = ledger_problem, False

    def committed(self, ids: Collection[str] | None = None) -> None:
        """All that was applied is in the database (or only those of ``ids``, where a commit's answer was lost)."""
        done = [at for at in self.uncommitted if ids is None or at.id in ids]
        if done and self.run.order.gauge is not None:
            self.run.order.gauge.committed([at.id for at in done])
        for at in done:
            self.run.applied.append(at.id)
            if at.ledger_problem is not None:
                self._warn_of_ledger(at.ledger_problem)
                self.run.ledger.finish(at.step_id, "finished", {"ledger": at.ledger_problem})
            elif not at.is_recorded:
                self.run.ledger.finish(at.step_id, "finished")
            if not at.is_said:
                self._say_finished(at, committed=True)
        self.uncommitted = [at for at in self.uncommitted if at not in done]
        if self.current in done:
            self.current = None
            self.number = 1
        if done and self.run.on_commit is not None:
            self.run.on_commit([at.id for at in done])

    def shown_by(self, rows: Collection[str]) -> set[str]:
        """Those of the uncommitted revisions that these version rows show as done."""
        graph = self.run.order.image.graph
        here = {*rows, *graph.ancestors(row for row in rows if row in graph)}
        return {at.id for at in self.uncommitted if (at.id in here) is (self.kind == "upgrade")}

    def close_steps(self, status: str, details: Mapping[str, object] | None = None) -> None:
        """Close the ledger's rows of what is not committed: ``failed``, ``abandoned``, or ``partial`` with what it left.

        In one transaction for all, an earlier revision than the current one may be the one that left something.
        """
        partial = self.left_in_part() if status == "partial" else None
        for at in {id(at): at for at in (*self.uncommitted, self.current) if at is not None}.values():
            if status == "partial":
                is_partial = at is partial
                self.run.ledger.finish(
                    at.step_id, "partial" if is_partial else "failed", details if is_partial else None
                )
            else:
                self.run.ledger.finish(at.step_id, status, details)

    def left_in_part(self) -> AtWork | None:
        """The first revision that is not done and committed something by itself; else the current one."""
        return next((at for at in self.uncommitted if at.autocommitted), self.current)

    def fields(self, at: AtWork) -> dict[str, object]:
        """The fields of an event about one revision."""
        return {
            "revision": at.id,
            "down_revision": list(at.revision.down) if at.revision else [],
            "file": at.revision.file if at.revision else None,
            "revision_index": at.number,
            "revision_total": self.total,
            "attempt": self.number,
        }

    def _say_finished(self, at: AtWork, *, committed: bool) -> None:
        at.is_said = True
        took = round((time.monotonic() - at.began_s) * 1000)
        state = "committed" if committed else "applied, to be committed with the others"
        self.run.context.emit(
            Event(
                Name.REVISION_FINISHED,
                f"revision {at.id} {state} in {took} ms",
                fields={**self.fields(at), "duration_ms": took, "committed": committed},
            ),
        )

    def _warn_of_ledger(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            message = f"the ledger's row could not be written by the revision's own role: {why}"
            self.run.context.emit(Event(Name.LEDGER_WARNING, message, Level.WARN))
