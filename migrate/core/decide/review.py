"""What a reviewer wants to know of pending revisions, as far as the manifest and, where one was asked, a database tell it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migrate.core.decide.expected import expected
from migrate.core.decide.running import taken_from
from migrate.core.foresee.advice import advice
from migrate.core.foresee.effects import Blocks, Brief, Held, Scan, is_heavy
from migrate.core.foresee.effects import line as effect_line
from migrate.core.foresee.live import Against, Met
from migrate.core.foresee.needs import line as need_line
from migrate.core.problems.explained import Explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrate.core.foresee.advice import Advice
    from migrate.core.foresee.effects import Effect
    from migrate.core.foresee.live import LiveEffect, LiveNeed, Outlook
    from migrate.core.history.graph import Graph, Revision
    from migrate.core.manifest.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One pending revision; ``effects`` and ``needs`` are None where the manifest does not have them."""

    revision: Revision
    changes: tuple[str, ...]
    effects: tuple[LiveEffect, ...] | None
    needs: tuple[LiveNeed, ...] | None
    breaks: tuple[str, ...]  # of a release that was written for where the revisions start, as sentences
    safer: tuple[Advice, ...] = ()  # the ways to the same that block nobody for long

    @property
    def effects_said(self) -> tuple[str, ...] | None:
        """The effects as sentences, with the sizes of the tables where they are known."""
        return None if self.effects is None else tuple(each.sentence() for each in self.effects)

    @property
    def needs_said(self) -> tuple[str, ...] | None:
        """The needs as sentences, with their answers where the rows were asked."""
        return None if self.needs is None else tuple(map(_need_said, self.needs))

    def to_json(self) -> dict[str, object]:
        """As one object."""
        return {
            "revision": self.revision.id,
            "changes": list(self.changes),
            "effects": None if self.effects_said is None else list(self.effects_said),
            "needs": None if self.needs_said is None else list(self.needs_said),
            "breaks": list(self.breaks),
            "safer": [each.to_json() for each in self.safer],
        }


class Concern(Explained):
    """Why a line of a review is marked, with what that means."""

    AGAINST = "rows-against-need", "The rows of the database would make the revision fail."
    BREAKS = "breaks-running-release", "The release that is still running needs what the revision takes away."
    BLOCKS = "blocks-others", "The revision keeps others from a table for as long as its rows take."
    NEEDS = "needs-rows", "The revision fails unless the rows are as it needs them."


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing to look at in a revision; ``names`` are those in its text that lead to the statement, best first.

    ``subject`` is what it is about, without what changes from one look at a database to the next.
    """

    revision: Revision
    rule: Concern
    text: str
    subject: str
    names: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether the revision would fail."""
        return self.rule is Concern.AGAINST


def reviewed(
    manifest: Manifest,
    graph: Graph,
    rows: Sequence[str],
    pending: Sequence[Revision],
    outlook: Outlook | None = None,
) -> tuple[Reviewed, ...]:
    """The pending revisions of a database with these version rows, in their order; ``outlook`` is what it was asked."""
    entries = {entry.revision.id: entry for entry in manifest.revisions}
    broken: dict[str, list[str]] = {}
    for found, revision in taken_from(manifest, graph, tuple(rows), tuple(rows), pending)[0] if rows else ():
        broken.setdefault(revision.id, []).append(found.why)
    known = expected(manifest, pending)
    known = replace(known, needs=tuple(replace(each, answer=None) for each in known.needs))
    parts: tuple[LiveEffect | LiveNeed, ...] = (*outlook.effects, *outlook.needs) if outlook is not None else ()
    asked = {each.revision.id for each in parts}
    nothing_of = [{each.id for each in unknown} for unknown in (known.unknown_effects, known.unknown_needs)]
    told = []
    for revision in pending:
        of = outlook if outlook is not None and revision.id in asked else known
        effects = tuple(each for each in of.effects if each.revision.id == revision.id)
        needs = tuple(each for each in of.needs if each.revision.id == revision.id)
        told.append(
            Reviewed(
                revision,
                # another spelling of the same object is for comparing schemas, and no change
                tuple(line for line in entries[revision.id].changes if not line.startswith("= ")),
                None if revision.id in nothing_of[0] else effects,
                None if revision.id in nothing_of[1] else needs,
                tuple(broken.get(revision.id, ())),
                _safer(manifest, revision.id, [each.effect for each in effects]),
            )
        )
    return tuple(told)


def _safer(manifest: Manifest, id_: str, effects: Sequence[Effect]) -> tuple[Advice, ...]:
    """The safe ways to what blocks others for long, each once."""
    if not effects:
        return ()
    after = manifest.schema_at([id_])
    # A key whose columns may be NULL is made of columns that are made not null first: else that is a scan of its own.
    in_order = sorted(effects, key=lambda effect: not isinstance(effect, Scan))
    # a lock that is held while nothing slow is seen has no better way
    is_slow = any(not isinstance(effect, Held | Brief) for effect in effects)
    found = [advice(effect, after) for effect in in_order if is_heavy(effect) or (is_slow and isinstance(effect, Held))]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def marks(revisions: Sequence[Reviewed]) -> Iterator[Mark]:
    """What a review should look at: what breaks, what blocks for long, and what the rows must be like and may not be."""
    for each in revisions:
        for sentence in each.breaks:
            yield Mark(each.revision, Concern.BREAKS, f"breaks the release that is still running: {sentence}", sentence)
        for live in each.effects or ():
            if is_heavy(live.effect) or (isinstance(live.effect, Held) and live.effect.blocks is not Blocks.NOTHING):
                names = [getattr(live.effect, key, "") for key in ("index", "constraint", "table")]
                yield Mark(
                    each.revision, Concern.BLOCKS, live.sentence(), effect_line(live.effect), tuple(filter(None, names))
                )
        for need in each.needs or ():
            condition = need.need.condition
            names = [getattr(condition, key, "") for key in ("column", "table")]
            of_rows, subject = f"needs of the rows: {_need_said(need)}", need_line(need.need)
            if isinstance(need.answer, Against):
                said = f"{of_rows}; they are shown by: {need.answer.select}"
                rule = Concern.AGAINST if need.need.proven else Concern.NEEDS
                yield Mark(each.revision, rule, said, subject, tuple(filter(None, names)))
            elif not isinstance(need.answer, Met):
                yield Mark(each.revision, Concern.NEEDS, of_rows, subject, tuple(filter(None, names)))


def _need_said(need: LiveNeed) -> str:
    return need_line(need.need) if need.answer is None else need.sentence()
