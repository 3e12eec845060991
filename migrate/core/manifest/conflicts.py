"""Where branches of a history that do not know each other are at odds over an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.history.closures import bits
from migrate.core.schema.differences import OWNERS, dotted, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from migrate.core.manifest.folding import Folding


@dataclass(frozen=True, slots=True)
class ManifestConflict:
    """An object that revisions of branches which do not know each other leave differently: their order decides."""

    identity: str
    definitions: tuple[tuple[str, str | None], ...]  # (revision, what it leaves: None where it drops the object)

    def sentence(self) -> str:
        """The conflict for people, with its names."""
        left = [
            f"revision {revision} {f'makes it {definition}' if definition is not None else 'drops it'}"
            for revision, definition in self.definitions
        ]
        return f"{self.identity} depends on the order in which branches are applied: {', '.join(left)}"


def conflicts(history: Folding, rows: Iterable[str]) -> tuple[ManifestConflict, ...]:
    """The objects whose definition at these rows depends on the order in which their branches were applied.

    At a single row there are none: a merge settles what the branches below it left open.
    """
    positions = {history.position_of[row] for row in rows}
    if len(positions) < 2:  # noqa: PLR2004 - one revision cannot be at odds with itself
        return ()
    union = history.union(positions)
    last = _last_words(history, union)
    found = {identity: said for identity, said in last.items() if len(set(said.values())) > 1}
    for identity, said in last.items():
        if any(left is not None for left in said.values()):
            # What belongs to a table that a branch drops, and another one made or changed.
            dropped = {
                at
                for owner in _owners(identity)
                for at, left in last.get(owner, {}).items()
                if left is None and not any(history.are_related(at, other) for other in said)
            }
            if dropped:
                found[identity] = said | dict.fromkeys(dropped)
    return tuple(
        ManifestConflict(
            identity, tuple((history.revisions[at].revision.id, left) for at, left in sorted(found[identity].items()))
        )
        for identity in sorted(found)
    )


def _last_words(history: Folding, closure: int) -> dict[str, dict[int, str | None]]:
    """For each object the revisions of a closure that no other one overrules, with what each of them leaves of it."""
    last: dict[str, dict[int, str | None]] = {}
    disputed: set[str] = set()
    for at in bits(closure):
        below = history.closures[at]
        if len(history.parents[at]) > 1:
            for identity in disputed:
                said = last[identity]
                settled = [other for other in said if below >> other & 1]
                if len({said[other] for other in settled}) > 1:
                    # The merge's changes start from the fold, where the later one of them decides.
                    left = said[max(settled)]
                    last[identity] = {other: said[other] for other in said if other not in settled} | {at: left}
        for identity, left in history.contested[at]:
            kept = {other: said for other, said in last.get(identity, {}).items() if not below >> other & 1}
            last[identity] = kept | {at: left}
            if kept:
                disputed.add(identity)
    return last


def _owners(identity: str) -> Iterator[str]:
    """What the object belongs to, as each kind of thing that it could be."""
    path = parse(identity).owner
    if path:
        for kind in OWNERS:
            yield f"{kind} {dotted(path)}"
