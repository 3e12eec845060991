"""What a live schema is in the history: a position that it equals, several, or the one that it differs least from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.value import Value

if TYPE_CHECKING:
    from migrate.core.schema.differences import Differences

Rows = tuple[str, ...]


class Exact(Value):
    """The live schema equals the manifest at these version rows, and nowhere else."""

    rows: Rows


class Several(Value):
    """The live schema equals the manifest at several revisions, which cannot be told apart by it."""

    candidates: tuple[Rows, ...]


class Nearest(Value):
    """The live schema equals no revision; this one differs least. ``ties`` are other positions that differ as little."""

    rows: Rows
    differences: Differences
    ties: tuple[Rows, ...] = ()


Match = Exact | Several | Nearest
