"""Several revisions in one transaction: which may share it, and what is done where one of them fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from migrate.core.events import Event, Level, Name
from migrate.core.foresee.live import Later
from migrate.core.wording import counted
from migrate.steps.at_work import AtWork
from migrate.steps.failure import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.child.protocol import Error, Failed
    from migrate.core.history.graph import Revision
    from migrate.steps.attempt import Attempt
    from migrate.steps.run import Run


class Sharing:
    """Of one upgrade. Where a revision among several fails, all of them are run again, each by itself."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._is_over = False

    def ids(self, revisions: Sequence[Revision]) -> tuple[str, ...]:
        """Those that may share a transaction: where the database was empty, nobody waits for what they lock.

        One that has none beside it to share with runs by itself: it would gain nothing, and fail twice.
        """
        run = self._run
        asks = run.outlook is not None and any(isinstance(need.answer, Later) for need in run.outlook.needs)
        if self._is_over or not run.is_empty or run.order.gauge is not None or asks:
            return ()
        from migrate.core.decide.sharing import may_share

        may = [may_share(run.order.source_of(each)) for each in revisions]
        beside = zip([False, *may], [*may[1:], False], strict=False)
        return tuple(each.id for each, own, others in zip(revisions, may, beside, strict=True) if own and any(others))

    def begin(self, attempt: Attempt, revision_id: str, xid: int | None, number: int | None) -> None:
        """A revision runs that shares the transaction ``xid``; its step of the ledger is written before the commit."""
        revision = self._run.order.image.graph.get(revision_id)
        xids = [xid] if xid is not None else []
        attempt.begin(AtWork(revision_id, revision, number, None, time.monotonic(), xids, shares=True))

    def say_together(self, why: str, *, is_alone: bool) -> None:
        """Say why all revisions are committed by one transaction, or each statement by itself, though that was not wished."""
        run = self._run
        if run.on_together is not None:
            run.on_together(why)
            return
        said = f"all revisions run in one transaction, as with transaction=all: it cannot be committed after each, because {why}"
        if is_alone:
            env_py = run.order.project.env_py
            said = f"every statement of the revisions is committed by itself, because {why}; in {env_py}: connection.commit() in its place"
        run.context.emit(Event(Name.IMAGE_WARNING, said, Level.WARN))

    def goes_apart(self, attempt: Attempt, failed: Failed) -> bool:
        """Whether a revision that shares its transaction failed, and nothing stayed, so that there is another try.

        What then fails has failed by itself, and leaves those before it.
        """
        at = attempt.current
        if at is None or not at.shares or failed.error.is_disconnect or self._run.must_end:
            return False
        settle(attempt)
        if not attempt.is_rolled_back:
            return False
        self._is_over = True
        together = {each.id for each in (*attempt.sharing, *attempt.uncommitted, at)}
        self._run.context.emit(
            Event(
                Name.REVISION_RETRY,
                f"revision {at.id} shared a transaction with {counted(len(together) - 1, 'other')}, which was rolled back;"
                f" each is run by itself now ({_reason(failed.error)})",
                Level.WARN,
                fields={"revision": at.id, "attempt": attempt.number, "sqlstate": failed.error.sqlstate},
            )
        )
        attempt.close_steps("abandoned")
        attempt.number += 1
        return True


def _reason(error: Error) -> str:
    """Why, in words of ours or the server's code: what fails by itself then says more, and nothing of a row."""
    return error.message if error.type == "Apart" else error.sqlstate or error.type
