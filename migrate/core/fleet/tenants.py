"""The tenants of a fleet: one line each, which of them a run takes, and in which order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from migrate.core.url import DatabaseUrl, MalformedUrl
from migrate.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.fleet.shard import Shard

_KEYS = frozenset({"tenant", "url", "schema", "database"})


class MalformedTenants(Exception):  # noqa: N818 - a finding
    """What should list tenants does not; the text says why, and never shows a URL."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One target of a fleet: a schema, a database, or both.

    ``schema`` is None where the connection's own search_path decides, ``database`` where it is the URL's, and ``url``
    where it is the fleet's own.
    """

    name: str
    schema: str | None = None
    database: str | None = None
    url: DatabaseUrl | None = None

    def filled(self, text: str) -> str:
        """The text of a ``-x`` argument, with ``{tenant}`` and ``{schema}`` filled in."""
        return text.replace("{tenant}", self.name).replace("{schema}", self.schema or "")


def read_lines(text: str) -> list[Tenant]:
    """The tenants of a file or of a program's output, one a line: a URL, or a JSON object. Raises MalformedTenants.

    Empty lines and those that begin with ``#`` are passed over. A URL's tenant is named by its database.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.append(_of_object(line) if line.lstrip().startswith("{") else _of_url(line.strip()))
        except MalformedTenants as error:
            raise MalformedTenants(f"line {number} {error}") from None
    return found


def read_rows(rows: Iterable[Sequence[object]]) -> list[Tenant]:
    """The tenants of a query's rows: the name, and where there are more columns, its schema and its database.

    Raises MalformedTenants. With one column the tenant is named as its schema.
    """
    found = []
    for number, row in enumerate(rows, 1):
        if not 1 <= len(row) <= 3:  # noqa: PLR2004 - the columns that have a meaning
            raise MalformedTenants(f"the query has {counted(len(row), 'column')}: it must have one to three")
        name, schema, database = (*row, None, None)[:3]
        if name is None or not str(name):
            raise MalformedTenants(f"row {number} of the query has no tenant in its first column")
        where = str(name) if len(row) == 1 else schema
        found.append(
            Tenant(str(name), None if where is None else str(where), None if database is None else str(database))
        )
    return found


def chosen(
    tenants: Iterable[Tenant],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    shard: Shard | None = None,
) -> list[Tenant]:
    """Those that the patterns let through and the shard has, by name. Raises MalformedTenants for one listed twice."""
    by_name: dict[str, Tenant] = {}
    places: dict[tuple[object, ...], str] = {}
    for tenant in tenants:
        if by_name.setdefault(tenant.name, tenant) != tenant:
            raise MalformedTenants(f"tenant {tenant.name} is listed twice, in two places")
        place = (tenant.schema, tenant.database, tenant.url)
        other = places.setdefault(place, tenant.name)
        if other != tenant.name:
            raise MalformedTenants(f"tenants {other} and {tenant.name} are the same schema of the same database")
    return [
        tenant
        for name, tenant in sorted(by_name.items())
        if (not include or _matches(name, include))
        and not _matches(name, exclude)
        and (shard is None or shard.has(name))
    ]


def named(tenants: Iterable[Tenant], names: Sequence[str]) -> list[Tenant]:
    """Those that were asked for. Raises MalformedTenants for names that nobody has."""
    by_name = {tenant.name: tenant for tenant in tenants}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise MalformedTenants(f"there is no tenant {', '.join(sorted(unknown))}")
    return [by_name[name] for name in dict.fromkeys(names)]


def divided(tenants: Sequence[Tenant], canaries: Sequence[str]) -> tuple[list[Tenant], list[Tenant]]:
    """The canaries, in the order in which they are given, and the others."""
    first = [tenant for pattern in canaries for tenant in tenants if fnmatchcase(tenant.name, pattern)]
    first = list(dict.fromkeys(first))
    taken = {tenant.name for tenant in first}
    return first, [tenant for tenant in tenants if tenant.name not in taken]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _of_url(line: str) -> Tenant:
    url = _url(line)
    if not url.database:
        raise MalformedTenants("has a URL without a database, whose name would be the tenant's")
    return Tenant(url.database, url=url)


def _of_object(line: str) -> Tenant:
    try:
        told = json.loads(line)
    except ValueError:
        raise MalformedTenants("begins as a JSON object and is none") from None
    unknown = sorted(told.keys() - _KEYS)
    if unknown:
        raise MalformedTenants(f"has {', '.join(unknown)}: only {', '.join(sorted(_KEYS))} have a meaning")
    for key, value in told.items():
        if value is not None and not (isinstance(value, str) and value):
            raise MalformedTenants(f"has a {key} that is not a text")
    url = _url(told["url"]) if told.get("url") else None
    name = told.get("tenant") or (url.database if url else None) or told.get("schema") or told.get("database")
    if not name:
        raise MalformedTenants("names no tenant")
    return Tenant(name, told.get("schema"), told.get("database"), url)


def _url(text: str) -> DatabaseUrl:
    try:
        return DatabaseUrl.parse(text)
    except MalformedUrl as error:
        raise MalformedTenants(f"has no PostgreSQL URL. {error}") from None
