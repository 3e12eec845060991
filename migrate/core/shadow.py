"""What a shadow must be: no server that a release is about, and the only database that a replay's process can find."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.url import URL_VARIABLES, DatabaseUrl, MalformedUrl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PORT: Final = 5432
_PLACE: Final = re.compile(r"\{(\w+)\}")
_THIS_MACHINE: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})

# How applications that put a URL together end the names of its parts (libpq's keywords), and what such a name begins with.
_ENDS: Final[Mapping[str, frozenset[str]]] = {
    "host": frozenset({"HOST", "HOSTNAME", "SERVER", "ADDR", "ADDRESS", "HOSTADDR"}),
    "port": frozenset({"PORT"}),
    "user": frozenset({"USER", "USERNAME", "LOGIN"}),
    "password": frozenset({"PASSWORD", "PASS", "PASSWD", "PWD", "SECRET"}),
    "dbname": frozenset({"NAME", "DB", "DBNAME", "DATABASE"}),
}
_DATABASE_WORDS: Final = frozenset({"DB", "DATABASE", "PG", "POSTGRES", "POSTGRESQL", "SQLALCHEMY", "SQL", "RDS"})
_NAMED: Final = frozenset({*_DATABASE_WORDS, ""})  # before NAME; empty where two underscores divide: DATABASE__NAME
_OTHER_STORES: Final = frozenset(
    {"REDIS", "MYSQL", "MARIADB", "MONGO", "MONGODB", "CLICKHOUSE", "MSSQL", "ORACLE", "ELASTIC", "CASSANDRA", "NEO4J"}
)
# Set whether or not they were, as the container image of PostgreSQL and its kin have them: an application may read others
# of its parts from a file.
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "host": ("POSTGRES_HOST", "POSTGRES_SERVER", "DB_HOST"),
    "port": ("POSTGRES_PORT", "DB_PORT"),
    "user": ("POSTGRES_USER", "DB_USER"),
    "password": ("POSTGRES_PASSWORD", "DB_PASSWORD"),
    "dbname": ("POSTGRES_DB", "DB_NAME"),
}
_NO_ROLE: Final = frozenset({"42704", "22023"})  # undefined_object; invalid_parameter_value, which SET ROLE gives
SET_ROLE: Final = "22023"
_ROLE: Final = re.compile(r'role "((?:[^"]|"")+)" does not exist')
# feature_not_supported, undefined_file, undefined_object, config_file_error: what a server may be without.
_LACKING: Final = frozenset({"0A000", "58P01", "42704", "F0000"})
_LACKED: Final = re.compile(
    r'extension "[^"]*" is not available|extension control file|could not access file|not supported (?:in|by) this build'
    r'|(?:collation|language|tablespace|access method|role) "[^"]*"(?: for encoding "[^"]*")? does not exist'
    r"|unrecognized configuration parameter|could not open (?:dictionary|stop-word|thesaurus|affix)"
)
_OWN: Final = ("MIGRATE_DATABASE_URL", "MIGRATE_SHADOW_URL", "MIGRATE_URL_COMMAND")


def environment(
    environ: Mapping[str, str],
    url: DatabaseUrl,
    *,
    target: DatabaseUrl | None = None,
    more: Sequence[str] = (),
    written: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The environment in which env.py and the revisions find the shadow, and no other database of PostgreSQL.

    Every variable that holds a PostgreSQL URL gets the shadow's, in its own spelling of the scheme: a second connection
    of a revision follows one of them. Every variable that holds a part of one gets the shadow's part: by its value where
    that is the ``target``'s, by its name where that says so (``APP__DATABASE__SERVER``). DATABASE_URL, libpq's variables
    and the usual names of parts are set whether or not they were. Variables that name a file with a URL are taken out, and
    so are our own. ``more`` are the operator's, NAME=TEXT with places such as ``{host}``. ``written`` are the variables of
    a file that the application reads by itself, as far as they are not in ``environ``.
    """
    parts = url.libpq
    found: dict[str, str] = {}
    for name, value in environ.items():
        of_file = name.endswith("_FILE") and (name.startswith("POSTGRES_") or name[: -len("_FILE")] in URL_VARIABLES)
        of_libpq = name.startswith("PG") and name[2:3].isalpha()
        if not (of_file or of_libpq or name.startswith(_OWN)):
            found[name] = value
    known = {**{name: value for name, value in written.items() if name not in environ}, **found}
    found |= _turned(known, url, target)
    found.setdefault("DATABASE_URL", url.raw)
    for key, names in _USUAL.items():
        if key in parts:
            found |= dict.fromkeys((*names, f"PG{'DATABASE' if key == 'dbname' else key.upper()}"), parts[key])
    places = {"url": url.raw, "database": parts.get("dbname", ""), **{key: parts.get(key, "") for key in _ENDS}}
    for each in more:
        name, _, text = each.partition("=")
        found[name.strip()] = _PLACE.sub(lambda place: places.get(place[1], place[0]), text)
    return found


def missing_role(sqlstate: object, said: str) -> str | None:
    """The role that a statement missed on the shadow's server; None where something else went wrong."""
    found = _ROLE.search(said) if sqlstate in _NO_ROLE else None
    return found[1] if found is not None else None


def is_lacking(sqlstate: object, said: str) -> bool:
    """Whether a statement failed for what the shadow's server does not have, or was built without."""
    return sqlstate in _LACKING and _LACKED.search(said) is not None


def _turned(known: Mapping[str, str], url: DatabaseUrl, target: DatabaseUrl | None) -> dict[str, str]:
    """The variables that lead to a database of PostgreSQL, as they lead to the shadow."""
    parts = url.libpq
    of_target = target.libpq if target is not None else {}
    kinds = {name: kind for name in known if (kind := _part_of(name)) is not None and not _words(name) & _OTHER_STORES}
    same = {name: kind for name, kind in kinds.items() if known[name] and known[name] == of_target.get(kind)}
    # a group is what is named alike but for the end: APP_HOST, APP_PORT, APP_USER
    groups = {_group(name) for name in kinds if set(_group(name).split("_")) & _DATABASE_WORDS}
    groups |= {_group(name) for name in same if _is_the_targets({same[o] for o in same if _group(o) == _group(name)})}
    found = {}
    for name, value in known.items():
        other = _postgres_url(value)
        kind = kinds.get(name)
        if other is not None:
            found[name] = url.spelled_as(other).raw
        elif of_target.get("password") and value == of_target["password"]:
            found[name] = parts.get("password", "")
        elif kind is not None and _group(name) in groups and (name in same or _tells(name, kind)):
            found[name] = parts.get(kind, "")
    return found


def _words(name: str) -> set[str]:
    return set(name.upper().split("_"))


def _group(name: str) -> str:
    return name.upper().rpartition("_")[0]


def _part_of(name: str) -> str | None:
    """Which part of a URL a variable of this name may hold, as libpq calls it."""
    end = name.upper().rpartition("_")[2]
    return next((key for key, ends in _ENDS.items() if end in ends), None)


def _tells(name: str, kind: str) -> bool:
    """Whether a variable of a group holds this part whatever its value is: not the NAME of a schema, nor the shell's USER."""
    group = _group(name)
    return bool(group) and (kind != "dbname" or not name.upper().endswith("NAME") or group.split("_")[-1] in _NAMED)


def _is_the_targets(same: set[str]) -> bool:
    """Whether a group with these parts of the target leads there; its user, or a port, is other programs', too."""
    return bool({"host", "password"} & same) or {"user", "dbname"} <= same


def same_server(one: DatabaseUrl, other: DatabaseUrl) -> bool:
    """Whether both URLs lead to one server, as far as their text tells; rather once too often than once too little."""
    return bool(_servers(one) & _servers(other))


def _servers(url: DatabaseUrl) -> set[tuple[str, int]]:
    return {(_machine(name), port or DEFAULT_PORT) for name, port in url.hosts or ((url.host or "", url.port),)}


def _machine(host: str) -> str:
    """The machine, as far as its name tells; empty for this one, by whatever name or socket."""
    return "" if host.lower() in _THIS_MACHINE or host.startswith(("/", "@")) else host.lower()


def strangers(hosts: str, ports: str, url: DatabaseUrl, allowed: Sequence[str]) -> list[str]:
    """Which of the servers that somebody would connect to are neither ``url``'s nor ``allowed`` (HOST or HOST:PORT).

    ``hosts`` and ``ports`` are libpq's: several with commas, empty for its default.
    """
    names = hosts.split(",")
    numbers = (ports or str(DEFAULT_PORT)).split(",")
    numbers = numbers * len(names) if len(numbers) == 1 else numbers
    fine = _servers(url)
    found = []
    for name, number in zip(names, numbers, strict=False):
        machine, port = _machine(name), int(number) if number.isdecimal() else DEFAULT_PORT
        said = f"{name or 'localhost'}:{port}" if not name.startswith("service ") else name
        if (machine, port) not in fine and not {name, said} & set(allowed):
            found.append(said)
    return found


def _postgres_url(value: str) -> DatabaseUrl | None:
    if not value.lstrip().startswith("postgres"):
        return None
    try:
        return DatabaseUrl.parse(value)
    except MalformedUrl:
        return None
