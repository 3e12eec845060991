"""Needs that only earlier revisions of the run make askable: each is asked just before its own revision, under the guard."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.core.decide.foreseen import found_in, is_said, refuse, sentence
from migrate.core.events import Event, Level, Name
from migrate.core.foresee.live import Later, LiveNeed, NotKnown, Outlook, in_words
from migrate.core.problems import Stop
from migrate.steps.control import ANSWER_S, ask
from migrate.steps.failure import settled

if TYPE_CHECKING:
    from migrate.core.foresee.live import Answer
    from migrate.postgres.connection import Connection
    from migrate.steps.attempt import Attempt
    from migrate.steps.run import Run

_UNCOMMITTED = "what is asked about was made in this transaction, which nobody else sees (transaction=all)"


class _NobodyWaits(Exception):  # noqa: N818 - no error: the run must end
    """A question is given up."""


class Questions:
    """Those of one upgrade. A refusal is kept until the child has come to a halt."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._refusal: Stop | None = None

    def refuse(self, revision: str, attempt: Attempt) -> bool:
        """Whether the rows stand against the revision that is about to run; what is found and does not, is said."""
        outlook = self._run.outlook
        later = [
            each
            for each in (outlook.needs if outlook is not None else ())
            if each.revision.id == revision and isinstance(each.answer, Later)
        ]
        if not later:
            return False
        began = time.monotonic()
        try:
            found = tuple(replace(each, answer=self._answer(each, attempt)) for each in later)
        except _NobodyWaits:
            return True
        policy, emit = self._run.order.policy, self._run.context.emit
        said, fields = in_words(found, round((time.monotonic() - began) * 1000))
        emit(Event(Name.DATA_ASKED, said, fields={"revision": revision, **fields}))
        for finding in found_in(Outlook(needs=found), policy):
            refused = refuse(finding, policy)
            if refused is not None:
                self._refusal = Stop(refused.problem)
                return True
            if is_said(finding, policy):
                emit(Event(Name.STATE_FINDING, sentence(finding), Level.WARN))
        return False

    def stopped(self, attempt: Attempt) -> Stop | None:
        """The refusal for which the child has come to a halt; None where it was another reason."""
        return settled(attempt, self._refusal) if self._refusal is not None else None

    def _answer(self, need: LiveNeed, attempt: Attempt) -> Answer:
        from migrate.postgres.questions import Asking, answer

        if attempt.uncommitted:
            return NotKnown(_UNCOMMITTED)
        run = self._run
        asking = Asking.of(run.before.server, run.order.target, run.context.limits, self._go_on)

        def put(control: Connection) -> Answer:
            return answer(control, need.need.condition, asking)

        found = ask(run, put, within_s=ANSWER_S)
        return NotKnown("the connection was lost while it was asked") if found is None else found

    def _go_on(self) -> None:
        self._run.context.beat()
        if self._run.must_end:
            raise _NobodyWaits
