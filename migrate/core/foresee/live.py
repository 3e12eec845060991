"""What comes next, on this database: effects with the sizes of their tables, and needs with their answers.

`Outlook` is a pure value, for whoever renders it: `plan`, `doctor`, a report. Each part has its sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from migrate.core.value import Value
from migrate.core.wording import counted, duration, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.core.foresee.effects import Effect
    from migrate.core.foresee.needs import Need
    from migrate.core.history.graph import Revision

COUNTED: Final = 1000
"""How many rows that are against a need are counted."""


class TableSize(Value):
    """A table as it is now, with its partitions, toast and indexes; None: not known."""

    bytes: int
    rows: int | None = None  # as PostgreSQL estimates
    writes_a_minute: int | None = None  # rows, on average since the statistics were reset
    written: int | None = None  # rows, since then

    def sentence(self) -> str:
        """E.g. ``41 GB (about 120,000,000 rows), 1,200 writes a minute``."""
        rows = f" (about {self.rows:,} rows)" if self.rows is not None else ""
        said = f"{size(self.bytes)}{rows}"
        if self.writes_a_minute is not None:
            return f"{said}, {self.writes_a_minute:,} writes a minute"
        return f"{said}, {self.written:,} rows written since its statistics were reset" if self.written else said


class Earlier(Value):
    """The last revision that did the same to this table here, as the ledger has it."""

    revision: str
    bytes: int  # of the table, before it
    took_ms: int

    def sentence(self) -> str:
        """E.g. ``revision a1b2 took 41.0 s for 12 GB of it``."""
        return f"revision {self.revision} took {duration(self.took_ms)} for {size(self.bytes)} of it"


class LiveEffect(Value):
    """What a pending revision was seen to do to a table, and the table as it is here; None: it is not here yet."""

    revision: Revision
    effect: Effect
    size: TableSize | None = None
    earlier: Earlier | None = None

    def fields(self) -> dict[str, object]:
        """What there is of it, by name."""
        from migrate.core.foresee.effects import line, table_of

        told: dict[str, object] = {"effect": line(self.effect), "sentence": self.sentence()}
        if self.size is not None:
            told |= {
                "table": table_of(self.effect),
                "table_bytes": self.size.bytes,
                "table_rows": self.size.rows,
                "writes_a_minute": self.size.writes_a_minute,
            }
        if self.earlier is not None:
            told |= {
                "earlier_revision": self.earlier.revision,
                "earlier_bytes": self.earlier.bytes,
                "earlier_ms": self.earlier.took_ms,
            }
        return told

    def sentence(self) -> str:
        """The effect's line with the table's facts behind its name."""
        from migrate.core.foresee.effects import Held, Raised, line

        said = line(self.effect)
        if self.size is None or isinstance(self.effect, Held | Raised):
            return said
        start, colon, cause = said.partition(f" of {self.effect.table}: ")
        if colon and start.startswith("blocks "):
            before = f"; {self.earlier.sentence()}" if self.earlier is not None else ""
            return f"{start} of {self.effect.table}, {self.size.sentence()}: {cause}{before}"
        return f"{said}, {self.size.sentence()}"


def kind_of(effect: Effect) -> str:
    """The kind of an effect, as the ledger keeps it, e.g. ``rewrite``, ``indexbuild``."""
    return type(effect).__name__.lower()


class Met(Value):
    """No row is against the need."""


class Against(Value):
    """Rows (of duplicates: keys) are against it: how many, counted up to a bound, and the SELECT that shows them."""

    rows: int
    select: str
    is_counted: bool = True  # False: there was no time to count

    def sentence(self, *, of_keys: bool = False) -> str:
        """How many; never what is in them."""
        at_least = "at least " if self.rows >= COUNTED or not self.is_counted else ""
        if of_keys:
            return f"{at_least}{counted(self.rows, 'key is', 'keys are')} there more than once"
        return f"{at_least}{self.rows:,} {'row breaks' if self.rows == 1 else 'rows break'} it"


class Later(Value):
    """It can be asked only when an earlier revision has made its object or written its rows, and that is committed.

    ``in_one``: all revisions are to be one transaction.
    """

    in_one: bool = False


class NotKnown(Value):
    """It was asked, and there is no answer."""

    why: str


Answer = Met | Against | Later | NotKnown


_ANSWERS: Final = {Met: "met", Against: "against", Later: "later", NotKnown: "unknown", type(None): "not asked"}


class LiveNeed(Value):
    """What the rows must be like for a pending revision to pass, and whether they are; None: nobody has asked."""

    revision: Revision
    need: Need
    answer: Answer | None = None

    def fields(self) -> dict[str, object]:
        """What there is of it, by name."""
        from migrate.core.foresee.needs import said

        told: dict[str, object] = {
            "need": said(self.need.condition),
            "proven": self.need.proven,
            "answer": _ANSWERS[type(self.answer)],
            "sentence": self.sentence(),
        }
        if isinstance(self.answer, Against):
            told |= {"rows": self.answer.rows, "select": self.answer.select}
        return told

    def sentence(self) -> str:
        """The need's line, and its answer."""
        from migrate.core.foresee.needs import line

        return f"{line(self.need)}: {self.answered}"

    @property
    def answered(self) -> str:
        """The answer in words."""
        from migrate.core.foresee.needs import NoDuplicates

        match self.answer:
            case None:
                return "not asked"
            case Met():
                return "met"
            case Against():
                return self.answer.sentence(of_keys=isinstance(self.need.condition, NoDuplicates))
            case Later(in_one):
                unless = ", which cannot be asked where all revisions are one transaction" if in_one else ""
                return f"asked just before its revision{unless}"
            case NotKnown(why):
                return f"not known, {why}"
            case _:
                assert_never(self.answer)


class Outlook(Value):
    """What the pending revisions that a run would run are going to do and need, in their order.

    ``unknown_needs`` and ``unknown_effects`` are the revisions of which the manifest does not say it.
    """

    effects: tuple[LiveEffect, ...] = ()
    needs: tuple[LiveNeed, ...] = ()
    unknown_effects: tuple[Revision, ...] = ()
    unknown_needs: tuple[Revision, ...] = ()

    def effects_of(self, revision: str) -> tuple[LiveEffect, ...]:
        """Those of one revision."""
        return tuple(each for each in self.effects if each.revision.id == revision)

    def needs_of(self, revision: str) -> tuple[LiveNeed, ...]:
        """Those of one revision."""
        return tuple(each for each in self.needs if each.revision.id == revision)

    def heavy_of(self, revision: str) -> dict[str, object]:
        """What a revision does that takes as long as a table, and the table's bytes; empty where it is not just one thing.

        Of several, nobody knows how long each took.
        """
        from migrate.core.foresee.effects import is_heavy, table_of

        match [each for each in self.effects_of(revision) if is_heavy(each.effect)]:
            case [LiveEffect(effect=effect, size=TableSize(bytes=number))]:
                return {"table": table_of(effect), "effect": kind_of(effect), "bytes": number}
            case _:
                return {}

    def fields(self) -> list[dict[str, object]]:
        """By revision, what there is of it; None where the manifest does not say it."""
        revisions = [each.revision for each in self.effects] + [each.revision for each in self.needs]
        revisions += [*self.unknown_effects, *self.unknown_needs]
        return [
            {
                "revision": id_,
                "effects": [each.fields() for each in self.effects_of(id_)]
                if id_ not in {each.id for each in self.unknown_effects}
                else None,
                "needs": [each.fields() for each in self.needs_of(id_)]
                if id_ not in {each.id for each in self.unknown_needs}
                else None,
            }
            for id_ in dict.fromkeys(revision.id for revision in revisions)
        ]


def in_words(needs: Iterable[LiveNeed], took_ms: int) -> tuple[str, dict[str, int]]:
    """That the rows were asked, in a sentence and as fields: how many needs they fulfil, and how many not."""
    numbers = {"asked": 0, "against": 0, "unknown": 0, "later": 0}
    for each in needs:
        match each.answer:
            case None:
                continue
            case Later():
                numbers["later"] += 1
                continue
            case Met():
                pass
            case Against():
                numbers["against"] += 1
            case NotKnown():
                numbers["unknown"] += 1
            case _:
                assert_never(each.answer)
        numbers["asked"] += 1
    parts = [f"{numbers['against']} not met"] if numbers["against"] else []
    parts += [f"{numbers['unknown']} not known"] if numbers["unknown"] else []
    said = f"{counted(numbers['asked'], 'need')} of pending revisions checked in {took_ms} ms: {', '.join(parts) or 'all met'}"
    said += f"; {numbers['later']} to be asked just before their revisions" if numbers["later"] else ""
    return said, {**numbers, "duration_ms": took_ms}
