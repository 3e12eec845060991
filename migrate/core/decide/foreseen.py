"""Findings about what comes next: rows against a need, effects that are heavy here, and what of both is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from migrate.core.decide.plan import Refusal
from migrate.core.decide.policy import DataPolicy, HeavyPolicy
from migrate.core.foresee.live import Against, NotKnown
from migrate.core.problems import advice, in_order, problem, sql
from migrate.core.value import Value
from migrate.core.wording import LISTED, clauses, counted, shortened, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrate.core.decide.policy import Policy
    from migrate.core.foresee.live import LiveEffect, LiveNeed, Outlook
    from migrate.core.history.graph import Revision
    from migrate.core.problems import Fix


class Unmet(Value):
    """Needs of pending revisions that rows are against."""

    needs: tuple[LiveNeed, ...]


class Unanswered(Value):
    """Needs of pending revisions of which the database has not said whether its rows are like that."""

    needs: tuple[LiveNeed, ...]


class Unforeseen(Value):
    """Pending revisions of which the manifest does not say what they need, or what they do."""

    needs: tuple[Revision, ...] = ()
    effects: tuple[Revision, ...] = ()


class Heavy(Value):
    """Effects that block others for as long as a table takes that is larger than ``over`` bytes."""

    effects: tuple[LiveEffect, ...]
    over: int


ForeseenFinding = Unmet | Unanswered | Unforeseen | Heavy
FORESEEN = (Unmet, Unanswered, Unforeseen, Heavy)


def found_in(outlook: Outlook, policy: Policy) -> tuple[ForeseenFinding, ...]:
    """The findings, in the order in which they are judged: data, then heavy."""
    return tuple(_found_in(outlook, policy))


def _found_in(outlook: Outlook, policy: Policy) -> Iterator[ForeseenFinding]:
    from migrate.core.foresee.effects import is_heavy

    needs = outlook.unknown_needs if policy.data is not DataPolicy.OFF else ()
    effects = outlook.unknown_effects if policy.heavy is not HeavyPolicy.ALLOW else ()
    if needs:
        yield Unforeseen(needs, effects)
    unmet = tuple(each for each in outlook.needs if isinstance(each.answer, Against))
    if unmet:
        yield Unmet(unmet)
    unanswered = tuple(each for each in outlook.needs if isinstance(each.answer, NotKnown))
    if unanswered:
        yield Unanswered(unanswered)
    if effects and not needs:
        yield Unforeseen((), effects)
    heavy = tuple(
        each
        for each in outlook.effects
        if is_heavy(each.effect) and each.size is not None and each.size.bytes > policy.heavy_over
    )
    if heavy:
        yield Heavy(heavy, policy.heavy_over)


def refuse(finding: ForeseenFinding, policy: Policy) -> Refusal | None:
    """The refusal of one finding, None where policy lets it be."""
    match finding:
        case Unmet(needs=needs):
            proven = tuple(each for each in needs if each.need.proven)
            if not proven or policy.data not in {None, DataPolicy.REFUSE}:
                return None
            selects = [way_out(each) for each in proven]
            return Refusal(
                problem(
                    "data",
                    sentence(Unmet(proven)),
                    fix=in_order(selects),
                    revisions=list(dict.fromkeys(each.revision.id for each in proven)),
                    needs=[each.sentence() for each in proven][: LISTED * 4],
                ),
            )
        case Unanswered():
            return None  # who could not be asked holds nobody up
        case Unforeseen(needs=needs, effects=effects):
            asks = [f"data={policy.data}"] if needs and policy.data is DataPolicy.REFUSE else []
            asks += [f"heavy={policy.heavy}"] if effects and policy.heavy is HeavyPolicy.REFUSE else []
            if not asks:
                return None
            return Refusal(problem("not-foreseen", f"{sentence(finding)}, and policy asks for it ({', '.join(asks)})"))
        case Heavy(effects=effects):
            if policy.heavy is not HeavyPolicy.REFUSE:
                return None
            revisions = list(dict.fromkeys(each.revision.id for each in effects))
            return Refusal(problem("heavy-change", sentence(finding), revisions=revisions))
        case _:
            assert_never(finding)


def way_out(need: LiveNeed) -> Fix:
    """What to do where rows stand against a need."""
    from migrate.core.foresee.needs import NoRow

    condition, answer = need.need.condition, need.answer
    if isinstance(condition, NoRow):
        column, file = condition.column, need.revision.file
        return advice(
            f"in {file}, add {column} with a server_default, or add it nullable, fill it, and then make it not null"
        )
    select = answer.select if isinstance(answer, Against) else ""
    return sql(f"{select};", note="fix what it shows, or have the revision do it and write the manifest again")


def is_said(finding: ForeseenFinding, policy: Policy) -> bool:
    """Whether it is a warning where it refuses nothing; what the manifest does not say is no more than a note."""
    return not isinstance(finding, Unforeseen) and not (
        isinstance(finding, Heavy) and policy.heavy is HeavyPolicy.ALLOW
    )


def sentence(finding: ForeseenFinding) -> str:
    """A finding in one sentence with its names."""
    match finding:
        case Unmet(needs=needs) | Unanswered(needs=needs):
            return clauses(_said(each) for each in needs)
        case Unforeseen(needs=needs, effects=effects):
            what = " and ".join(word for word, revisions in (("effects", effects), ("needs", needs)) if revisions)
            ids = tuple(dict.fromkeys(revision.id for revision in (*effects, *needs)))
            of = counted(len(ids), "pending revision")
            return f"the manifest does not say the {what} of {of} ({shortened(ids)})"
        case Heavy(effects=effects, over=over):
            heavy = [f"{each.sentence()} (revision {each.revision.id}, {each.revision.file})" for each in effects]
            return f"on a table of more than {size(over)}: {clauses(heavy)}"
        case _:
            assert_never(finding)


def _said(need: LiveNeed) -> str:
    """A need in one sentence; of one that refuses nothing, with the SELECT that a refusal would have as its fix."""
    from migrate.core.foresee.needs import said

    select = f" ({need.answer.select})" if isinstance(need.answer, Against) and not need.need.proven else ""
    needs = "needs" if need.need.proven else "may need"
    of = f"revision {need.revision.id} ({need.revision.file})"
    return f"{of} {needs} {said(need.need.condition)}: {need.answered}{select}"


def note_of(outlook: Outlook, policy: Policy) -> str | None:
    """That the manifest does not say everything, once for all revisions; None where it does, or nobody wants to know."""
    for finding in found_in(outlook, policy):
        if isinstance(finding, Unforeseen):
            return sentence(finding)
    return None
