"""Which database, which schemas and which version table a run is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrate.core.url import DatabaseUrl


@dataclass(frozen=True, slots=True)
class Target:
    """One database: where it is, and where its version table and its objects are.

    ``version_table_schema`` is None where the connection's own search_path decides, as in Alembic; ``schemas`` is empty
    for "the version table's schema". ``url_from`` is the variable's name, never its value.
    """

    url: DatabaseUrl
    url_from: str
    version_table: str = "alembic_version"
    version_table_schema: str | None = None
    schemas: tuple[str, ...] = ()

    def schemas_beside(self, schema: str | None) -> tuple[str, ...]:
        """The schemas whose objects belong to the image, where the version table is in ``schema``."""
        return self.schemas or ((schema,) if schema else ())

    @property
    def url_in_shell(self) -> str:
        """The word of a shell that gives psql and its like the URL, for commands to be pasted."""
        return self.url.in_shell(self.url_from)
