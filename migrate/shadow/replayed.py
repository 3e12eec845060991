"""What a replay has read of a history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrate.core.manifest.entries import Baseline
from migrate.core.schema.differences import within

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from migrate.core.foresee.observed import Observed
    from migrate.core.manifest.match import Rows
    from migrate.shadow.spelling import Definition


@dataclass(slots=True)
class Replayed:
    """What the replay read: the schema after revisions, and at version rows where branches have just met."""

    baseline: Baseline | None = None
    base: Mapping[str, str] = field(default_factory=dict)  # the baseline's schema
    schemas: dict[str, Mapping[str, str]] = field(default_factory=dict)
    joined: dict[Rows, Mapping[str, str]] = field(default_factory=dict)
    after: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # siblings that revisions build on without saying so
    spellings: dict[Definition, tuple[str, ...]] = field(default_factory=dict)  # how else definitions are printed
    observed: dict[str, Observed] = field(default_factory=dict)  # what the revisions that were read did
    variables: set[str] = field(default_factory=set)  # of the environment, for which they and env.py have asked

    def within(self, places: Collection[str]) -> Replayed:
        """The same, without what is in other schemas than the default one and these beside it."""
        base, known = within(self.base, places), self.baseline
        return Replayed(
            Baseline.of(known.file, known.sha256, base, self.spellings) if known is not None else None,
            base,
            {id_: within(schema, places) for id_, schema in self.schemas.items()},
            {rows: within(schema, places) for rows, schema in self.joined.items()},
            self.after,
            self.spellings,
            self.observed,
            self.variables,
        )
