"""What comes next: what the manifest expects of the pending revisions, joined with what only the live database knows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from migrate.core.decide.decision import would_run
from migrate.core.decide.foreseen import found_in, note_of
from migrate.core.decide.policy import DataPolicy, Transaction
from migrate.core.decide.state import Breaking
from migrate.core.events import Event, Name
from migrate.core.foresee.live import Later, NotKnown, in_words, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.decide.observation import Observation
    from migrate.core.decide.policy import Policy
    from migrate.core.decide.state import Finding, State
    from migrate.core.foresee.live import Answer, LiveEffect, LiveNeed, Outlook
    from migrate.core.image import Image
    from migrate.postgres.connection import Connection
    from migrate.steps.order import Order


def look_ahead(
    order: Order,
    connection: Connection,
    image: Image,
    observation: Observation,
    state: State,
    seen: Outlook | None = None,
) -> tuple[Outlook | None, State]:
    """What the revisions that this run would run do and need here, and the state with what is found of that.

    None where no revision would run, or where there is no manifest. What was asked and not answered when it was ``seen``
    is not asked again. Raises Stop, Interrupted or psycopg2.Error.
    """
    pending = would_run(image, state, order.policy) if image.manifest is not None else ()
    if image.manifest is None or not pending:
        return None, state
    from migrate.core.decide.expected import expected

    known = expected(image.manifest, pending, order.source_of)
    if order.policy.transaction is Transaction.ALL:
        known = replace(known, needs=tuple(map(_in_one_transaction, known.needs)))
    outlook = with_sizes(known, order, connection, observation)
    if order.policy.data is not DataPolicy.OFF:
        outlook = replace(outlook, needs=_asked(order, connection, observation, outlook.needs, seen))
    if seen is None:
        _say(order, outlook)
    return outlook, replace(state, findings=_joined(state.findings, outlook, order.policy))


def _in_one_transaction(need: LiveNeed) -> LiveNeed:
    """Nobody else sees what earlier revisions have made, unless env.py has each of them committed."""
    return replace(need, answer=Later(in_one=True)) if isinstance(need.answer, Later) else need


def _joined(findings: Sequence[Finding], outlook: Outlook, policy: Policy) -> tuple[Finding, ...]:
    """The findings in the order in which they are judged."""
    before = [finding for finding in findings if not isinstance(finding, Breaking)]
    return (*before, *found_in(outlook, policy), *(finding for finding in findings if isinstance(finding, Breaking)))


def with_sizes(outlook: Outlook, order: Order, connection: Connection, observation: Observation) -> Outlook:
    """The effects with the sizes of their tables, as far as they are there, and what the ledger has of such tables."""
    from migrate.core.foresee.effects import is_heavy, table_of
    from migrate.postgres.ledger import target_key
    from migrate.postgres.sizes import last_over, table_sizes

    tables = {table for each in outlook.effects if (table := table_of(each.effect)) is not None}
    default = order.target.default_schema(observation.server.schema)
    found = table_sizes(connection, tables, default=default, lock_timeout_s=order.context.limits.lock_s)
    heavy = found.keys() & {table_of(each.effect) for each in outlook.effects if is_heavy(each.effect)}
    key = target_key(observation.server.schema, order.target.version_table)
    before = last_over(connection, heavy, key=key, lock_timeout_s=order.context.limits.lock_s) if heavy else {}

    def joined(effect: LiveEffect) -> LiveEffect:
        table = table_of(effect.effect) or ""
        return replace(effect, size=found.get(table), earlier=before.get((table, kind_of(effect.effect))))

    return replace(outlook, effects=tuple(map(joined, outlook.effects)))


def _asked(
    order: Order, connection: Connection, observation: Observation, needs: Sequence[LiveNeed], seen: Outlook | None
) -> tuple[LiveNeed, ...]:
    """The needs with their answers, but for those that can only be asked later."""
    if not any(each.answer is None for each in needs):
        return tuple(needs)
    from migrate.postgres.questions import Asking, answer

    context = order.context
    asking = Asking.of(
        observation.server, order.target, context.limits, lambda: context.go_on("while the rows were asked")
    )
    known = {
        (each.revision.id, each.need): each.answer
        for each in (seen.needs if seen is not None else ())
        if isinstance(each.answer, NotKnown)
    }
    began = time.monotonic()

    def ask(each: LiveNeed) -> Answer:
        return known.get((each.revision.id, each.need)) or answer(connection, each.need.condition, asking)

    found = tuple(each if each.answer is not None else replace(each, answer=ask(each)) for each in needs)
    said, fields = in_words(found, round((time.monotonic() - began) * 1000))
    context.emit(Event(Name.DATA_ASKED, said, fields=fields))
    return found


def _say(order: Order, outlook: Outlook) -> None:
    """Once: what the manifest does not say, and each effect that blocks others for as long as its table takes."""
    from migrate.core.foresee.effects import is_heavy

    note = note_of(outlook, order.policy)
    if note is not None:
        order.context.emit(Event(Name.EFFECT_FORESEEN, note))
    for each in outlook.effects:
        if each.size is None or not is_heavy(each.effect):
            continue
        fields = {"revision": each.revision.id, **each.fields()}
        said = f"revision {each.revision.id} {each.sentence()}"
        order.context.emit(Event(Name.EFFECT_FORESEEN, said, fields=fields))
