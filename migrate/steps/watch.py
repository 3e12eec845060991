"""Watches the backend that runs a revision from the control connection, and says what it does and who is in its way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from migrate.core.events import Event, Level, Name
from migrate.postgres import activity
from migrate.postgres.activity import described, who
from migrate.steps.control import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.postgres.activity import RunningStatement
    from migrate.postgres.connection import Connection
    from migrate.steps.run import Run

SAY_S: Final = 5.0  # how often the same is said again
LONG_S: Final = 3.0  # a statement that takes longer is worth a line
LOST_S: Final = 5.0  # the server is done and the client still waits: the answer will not come any more
OLD_S: Final = 1.0  # a transaction of this age may outlive the lock timeout


class Watch:
    """What is known of the running revision's backend; lives as long as the upgrade."""

    def __init__(self, run: Run, work: str = "revision") -> None:
        """``work`` is what the watched backend is busy with, before its name: a revision, or the repair of an index."""
        self._run = run
        self._work = work
        self._said = {"statement": float("-inf"), "blocked": float("-inf")}
        self._relations: set[str] = set()  # that a try was blocked on
        self._gone_since: float | None = None  # when the backend was first missed
        self.blocking: list[dict[str, Any]] = []  # in the current attempt, as they were last seen

    def forget(self) -> None:
        """Begin a new attempt, on another backend."""
        self.blocking = []
        self._gone_since = None

    def look(self, pid: int, revision: str, waiting_since: float | None, xid: int | None = None) -> str | None:
        """Look once, and say what is worth it; the reason to wait no longer, if there is one.

        ``waiting_since``: since when the child waits in its driver, None while it does something else. Where the
        server has nothing to do for it all the same, what one of them sent to the other is lost. So it is, whatever the
        child does (not every driver tells that it waits), where its backend is gone and its transaction ``xid`` with it.
        """
        seen = ask(self._run, lambda control: self._see(control, pid, xid), within_s=0.0)
        if seen is None:
            return None  # the watcher must not end the run that it watches
        found, blockers, is_rolled_back = seen
        if is_rolled_back:
            return "the server has ended the revision's connection and rolled its transaction back"
        if blockers:
            self.blocking = blockers
            self._relations |= {name for b in blockers if b["relation"] for name in b["relation"].split(", ")}
            self._say_blocked(f"{self._work} {revision} waits for {who(blockers)}", revision, blockers)
        elif found is not None and found.state == "active" and found.elapsed_s > LONG_S:
            self._say_progress(found, revision)
        if waiting_since is None or time.monotonic() - waiting_since < LOST_S:
            return None
        if found is not None and (found.state == "active" or found.still_s <= LOST_S):
            return None
        return "the server is done, but its answer did not reach the revision's connection"

    def _see(
        self, control: Connection, pid: int, xid: int | None
    ) -> tuple[RunningStatement | None, list[dict[str, Any]], bool]:
        """What the backend does, who blocks it, and whether it is gone and its transaction was rolled back some time ago."""
        found = activity.statement(control, pid)
        if found is not None:
            waits = found.waits_for_lock
            with_query = self._run.order.log_queries
            return found, activity.blockers(control, pid, with_query=with_query) if waits else [], False
        self._gone_since = self._gone_since or time.monotonic()
        is_long = time.monotonic() - self._gone_since >= LOST_S
        return None, [], is_long and xid is not None and activity.transaction_status(control, xid) == "aborted"

    def say_who_blocks_env(self, pid: int) -> None:
        """Who holds the lock that env.py waits for by itself, before the migrations."""
        with_query = self._run.order.log_queries
        found = ask(self._run, lambda control: activity.blockers(control, pid, with_query=with_query), within_s=0.0)
        if found:
            self.blocking = found
            self._say_blocked(f"env.py waits for {who(found)}", None, found)

    def say_who_would_block(self, revision: str | None) -> None:
        """Before another try: the old transactions that hold the relations which a try was blocked on."""
        if not self._relations:
            return
        with_query = self._run.order.log_queries
        found = ask(
            self._run,
            lambda control: activity.in_the_way(control, self._relations, older_s=OLD_S, with_query=with_query),
            within_s=0.0,
        )
        if found:
            self._said["blocked"] = float("-inf")
            self._say_blocked(f"{self._work} {revision} will have to wait for {who(found)}", revision, found)

    def _say_blocked(self, message: str, revision: str | None, blockers: Sequence[dict[str, Any]]) -> None:
        if self._is_due("blocked"):
            self._run.context.emit(
                Event(
                    Name.STATEMENT_BLOCKED,
                    message,
                    Level.WARN,
                    {"revision": revision, "blockers": [described(blocker) for blocker in blockers]},
                )
            )

    def _say_progress(self, found: RunningStatement, revision: str) -> None:
        if not self._is_due("statement"):
            return
        percent = f", {found.percent:.0f} %" if found.percent is not None else ""
        phase = f" ({found.phase}{percent})" if found.phase else ""
        fields: dict[str, object] = {
            "revision": revision,
            "statement": found.command,
            "elapsed_ms": round(found.elapsed_s * 1000),
        }
        if found.phase is not None:
            fields["phase"] = found.phase
        if found.percent is not None:
            fields["percent"] = round(found.percent, 1)
        message = f"{self._work} {revision}: {found.command} for {found.elapsed_s:.0f} s{phase}"
        self._run.context.emit(Event(Name.STATEMENT_PROGRESS, message, fields=fields))

    def _is_due(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._said[what] < SAY_S:
            return False
        self._said[what] = now
        return True
