"""Which database, which schemas and which version table a run is about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from migrate.core.url import DatabaseUrl


class UrlUnavailable(Exception):  # noqa: N818 - a finding
    """The program that prints the URL did not print one; the text says why, without what it printed."""


@dataclass(frozen=True, slots=True)
class Target:
    """One database: where it is, and where its version table and its objects are.

    ``version_table_schema`` is None where the connection's own search_path decides, as in Alembic. ``schemas`` are those
    that the operator named; where there are none, it is the version table's and those that the history ``used`` beside
    it, as its manifest knows. ``url_from`` is the variable's name, never its value. ``renew`` makes a URL that is good
    for a connection now, where the password is a token that expires.
    """

    url: DatabaseUrl
    url_from: str
    version_table: str = "alembic_version"
    version_table_schema: str | None = None
    schemas: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    search_path: str | None = None  # a schema that env.py's connections are told, where env.py does not know of it
    renew: Callable[[], DatabaseUrl] | None = field(default=None, compare=False, repr=False)

    def schemas_beside(self, schema: str | None) -> tuple[str, ...]:
        """The schemas whose objects belong to the image, where the version table is in ``schema``."""
        return self.schemas or tuple(dict.fromkeys((*self.own_schemas(schema), *self.used)))

    def own_schemas(self, schema: str | None) -> tuple[str, ...]:
        """Those of them in which nobody else's objects are expected, where the version table is in ``schema``."""
        return self.schemas or ((schema,) if schema else ())

    def default_schema(self, schema: str | None) -> str:
        """The schema whose names are not qualified, where the version table is in ``schema``."""
        return self.schemas[0] if self.schemas else schema or ""

    def using(self, used: Iterable[str]) -> Target:
        """The target of a history that uses these schemas beside the version table's."""
        return replace(self, used=tuple(used))

    def renewed(self) -> Target:
        """The same, with a URL that is good for a connection now. Raises UrlUnavailable."""
        return self if self.renew is None else replace(self, url=self.renew())

    @property
    def url_in_shell(self) -> str:
        """The word of a shell that gives psql and its like the URL, for commands to be pasted."""
        return self.url.in_shell(self.url_from)
