"""What a live schema is in the history: a position that it equals, several, or the one that it differs least from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrate.core.schema.differences import Differences

Rows = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exact:
    """The live schema equals the manifest at these version rows, and nowhere else."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class Several:
    """The live schema equals the manifest at several revisions, which cannot be told apart by it."""

    candidates: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The live schema equals no revision; this one differs least. ``ties`` are other positions that differ as little."""

    rows: Rows
    differences: Differences
    ties: tuple[Rows, ...] = ()


Match = Exact | Several | Nearest
