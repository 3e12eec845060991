"""What a shadow must be: no server that a release is about, and the only database that a replay's process can find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.url import URL_VARIABLES, DatabaseUrl, MalformedUrl

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORT: Final = 5432
_THIS_MACHINE: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})

# How applications that put a URL together call its parts: those of PostgreSQL's container image and their kin.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "host": ("POSTGRES_HOST", "POSTGRES_SERVER", "DB_HOST"),
    "port": ("POSTGRES_PORT", "DB_PORT"),
    "user": ("POSTGRES_USER", "DB_USER"),
    "password": ("POSTGRES_PASSWORD", "DB_PASSWORD"),
    "dbname": ("POSTGRES_DB", "DB_NAME"),
}


def environment(environ: Mapping[str, str], url: DatabaseUrl) -> dict[str, str]:
    """The environment in which env.py and the revisions find the shadow, and no other database of PostgreSQL.

    Set whether or not they were: the variables of libpq (a connection without a URL follows them), DATABASE_URL, and the
    usual names of a URL's parts, which otherwise may come from a file that the application reads. Every other variable
    that holds a PostgreSQL URL gets the shadow's, in its own spelling of the scheme: a second connection of a revision
    follows one of them. Variables that name a file with a URL are taken out, and so are our own.
    """
    found: dict[str, str] = {}
    for name, value in environ.items():
        of_file = name.endswith("_FILE") and (name.startswith("POSTGRES_") or name[: -len("_FILE")] in URL_VARIABLES)
        of_libpq = name.startswith("PG") and name[2:3].isalpha()
        if of_file or of_libpq or name.startswith(("MIGRATE_DATABASE_URL", "MIGRATE_SHADOW_URL")):
            continue
        other = _postgres_url(value)
        found[name] = value if other is None else url.spelled_as(other).raw
    found.setdefault("DATABASE_URL", url.raw)
    parts = url.libpq
    for key, names in _PARTS.items():
        if key in parts:
            found |= dict.fromkeys((*names, f"PG{'DATABASE' if key == 'dbname' else key.upper()}"), parts[key])
    return found


def same_server(one: DatabaseUrl, other: DatabaseUrl) -> bool:
    """Whether both URLs lead to one server, as far as their text tells; rather once too often than once too little."""
    return bool(_servers(one) & _servers(other))


def _servers(url: DatabaseUrl) -> set[tuple[str, int]]:
    hosts = url.hosts or ((url.host or "", url.port),)
    return {
        ("" if name.lower() in _THIS_MACHINE or name.startswith(("/", "@")) else name.lower(), port or _DEFAULT_PORT)
        for name, port in hosts
    }


def _postgres_url(value: str) -> DatabaseUrl | None:
    if not value.lstrip().startswith("postgres"):
        return None
    try:
        return DatabaseUrl.parse(value)
    except MalformedUrl:
        return None
