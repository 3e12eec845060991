"""How far a live schema is from an expected one, kept up while the expected one changes line by line and back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from migrate.core.schema.differences import PRINTED_BY_MAJOR, ignored_by, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.schema.differences import Schema

Assignment = tuple[str, str | None]
"""An object and its definition from then on, None where it is dropped."""


class Distance:
    """How much a live schema differs from an expected one that changes line by line and can go back.

    An assignment is `put` with its rank in the manifest's order, and counts only where nothing of a higher rank has been
    said of the object: so a fold can be made in any order.
    """

    def __init__(self, live: Schema, *, same_major: bool, ignore: Sequence[str]) -> None:
        is_ignored = ignored_by(ignore)
        self._is_ignored = is_ignored
        self._live = {identity: definition for identity, definition in live.items() if not is_ignored(identity)}
        self._same_major = same_major
        self._expected: dict[str, tuple[int, str | None]] = {}
        self._marks: list[list[tuple[str, tuple[int, str | None] | None]]] = []
        # What may be the same object under another name: kind, owner and definition -> how many are missing and extra.
        self._missing: Counter[tuple[str, tuple[str, ...], str]] = Counter()
        self._extra: Counter[tuple[str, tuple[str, ...], str]] = Counter()
        self.total = 0
        for identity in self._live:
            self._count(identity, None, 1)

    def mark(self) -> None:
        """Begin what `undo` takes back."""
        self._marks.append([])

    def put_all(self, rank: int, assignments: Iterable[Assignment]) -> None:
        """Say what is expected of some objects."""
        for identity, definition in assignments:
            before = self._expected.get(identity)
            if before is not None and before[0] > rank:
                continue
            if self._marks:
                self._marks[-1].append((identity, before))
            self._replace(identity, before, (rank, definition))
            self._expected[identity] = (rank, definition)

    def undo(self) -> None:
        """Take back all that was put since the last mark that still stands."""
        for identity, before in reversed(self._marks.pop()):
            self._replace(identity, self._expected.pop(identity), before)
            if before is not None:
                self._expected[identity] = before

    def _replace(
        self, identity: str, before: tuple[int, str | None] | None, after: tuple[int, str | None] | None
    ) -> None:
        old = before[1] if before is not None else None
        new = after[1] if after is not None else None
        if old != new and not self._is_ignored(identity):
            self._count(identity, old, -1)
            self._count(identity, new, 1)

    def _count(self, identity: str, expected: str | None, by: int) -> None:
        """Add what one object contributes to the distance, or with `by` -1 take it away."""
        actual = self._live.get(identity)
        if expected == actual:
            return
        parsed = parse(identity)
        if expected is not None and actual is not None:
            if self._same_major or parsed.kind not in PRINTED_BY_MAJOR:
                self.total += by
            return
        self.total += by
        if parsed.kind in {"constraint", "index"}:
            side = self._missing if actual is None else self._extra
            key = parsed.kind, parsed.owner, expected or actual or ""
            pairs = min(self._missing[key], self._extra[key])
            side[key] += by
            self.total -= min(self._missing[key], self._extra[key]) - pairs
