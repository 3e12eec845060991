"""What this build carries: the revision graph and, where one is committed, the manifest."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.history.faults import HistoryFault
    from migrate.core.history.graph import Graph
    from migrate.core.manifest.manifest import Manifest
    from migrate.core.target import Target


class Image(Value):
    """The graph, its faults and the manifest; ``read_by`` says how the graph was learned (scan or alembic).

    ``sources`` holds the text of the revision files that the observation asks for: those whose bytes differ from what
    the ledger says was applied. ``missing`` says of a history without revisions where they were looked for.
    """

    graph: Graph
    faults: tuple[HistoryFault, ...] = ()
    manifest: Manifest | None = None
    read_by: str = "scan"
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    missing: str = "the history has no revision"

    def aim(self, target: Target) -> Target:
        """The target, looked at wherever the history makes something, as far as the manifest knows."""
        return target.using(self.manifest.schemas) if self.manifest is not None else target
