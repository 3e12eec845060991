"""What a reviewer wants to know of pending revisions, as far as the manifest alone tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrate.core.decide.running import taken_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.history.graph import Graph, Revision
    from migrate.core.manifest.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One pending revision, with the manifest's lines about it; None where the manifest does not have them."""

    revision: Revision
    changes: tuple[str, ...]
    effects: tuple[str, ...] | None
    needs: tuple[str, ...] | None
    breaks: tuple[str, ...]  # of a release that was written for where the revisions start, as sentences


def reviewed(
    manifest: Manifest, graph: Graph, rows: Sequence[str], pending: Sequence[Revision]
) -> tuple[Reviewed, ...]:
    """The pending revisions of a database with these version rows, in their order."""
    entries = {entry.revision.id: entry for entry in manifest.revisions}
    broken: dict[str, list[str]] = {}
    for found, revision in taken_from(manifest, graph, tuple(rows), tuple(rows), pending)[0] if rows else ():
        broken.setdefault(revision.id, []).append(found.why)
    return tuple(
        Reviewed(revision, at.changes, at.effects, at.needs, tuple(broken.get(revision.id, ())))
        for revision in pending
        for at in (entries[revision.id],)
    )
