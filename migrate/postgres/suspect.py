"""A table that a downgrade may take something from, by what the manifest, or the server in an earlier try, says."""

from __future__ import annotations

from typing import NamedTuple


class Suspect(NamedTuple):
    """A table that may lose something, by its names at the beginning; ``columns`` is None where any of them may."""

    schema: str
    table: str
    columns: frozenset[str] | None

    def and_(self, other: Suspect) -> Suspect:
        """The same table, with what either says."""
        both = None if self.columns is None or other.columns is None else self.columns | other.columns
        return Suspect(self.schema, self.table, both)

    def covers(self, other: Suspect) -> bool:
        """Whether what this one has written down answers for the other."""
        return self.columns is None or (other.columns is not None and other.columns <= self.columns)
