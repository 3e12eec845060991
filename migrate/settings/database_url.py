"""Which variable names the database, and what in the environment must never be shown."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrate.core.notification import secrets_in
from migrate.core.problems import advice, shell, stop
from migrate.core.quoting import word
from migrate.core.url import SCHEMES, URL_VARIABLES, DatabaseUrl, MalformedUrl
from migrate.regular_files import SMALL, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PLACEHOLDER: Final = "postgresql://USER:PASSWORD@HOST:5432/NAME"
_FIELD: Final = re.compile(r"(?:^|:)((?:[^:\\]|\\.)*)")
_ESCAPED: Final = re.compile(r"\\(.)")
_LARGEST: Final = 1 << 20  # bytes of a password file
# What providers call a URL that may or may not be the one to migrate: named in the fix, never taken by itself.
_OTHER_VARIABLES: Final = (
    "POSTGRES_URL_NON_POOLING",
    "DIRECT_URL",
    "POSTGRES_URL",
    "DATABASE_PRIVATE_URL",
    "DATABASE_PUBLIC_URL",
)


def read_database_url(environ: Mapping[str, str], cwd: Path) -> tuple[DatabaseUrl, str]:
    """Read the URL, and name the variable that gave it.

    Raises Stop with no-database-url, or with bad-database-url, which never shows the value.
    """
    variable, text = _find(environ, cwd)
    try:
        return DatabaseUrl.parse(text), variable
    except MalformedUrl as error:
        if variable in URL_VARIABLES:
            why = f"The value of {variable} is not a PostgreSQL URL. {error}"
            raise stop("bad-database-url", why, names={"variable": variable}) from None
        why = f"The file that {variable} names does not hold a PostgreSQL URL. {error}"
        raise stop(
            "bad-database-url", why, fix=advice(f"write {_PLACEHOLDER} into the file that {variable} names")
        ) from None


def environment_secrets(environ: Mapping[str, str], cwd: Path, given: Sequence[str] = ()) -> tuple[str, ...]:
    """Every secret that the environment tells, in all its spellings: of whichever database it is. Never raises.

    So do libpq's password file and its service files, and the arguments ``given``, where a URL may stand by mistake.

    env.py and the revisions see every variable, not only the one that was chosen, and what they print becomes lines of
    ours.
    """
    password = environ.get("PGPASSWORD", "")
    found = ["" if password in SCHEMES else password, *secrets_in(environ.get("MIGRATE_NOTIFY", "").split())]
    texts = [*environ.values(), *given, *(part.partition("=")[2] for part in given)]
    for path in filter(None, (environ.get(f"{name}_FILE", "").strip() for name in URL_VARIABLES)):
        try:
            texts.append(_read_file(cwd / path))
        except (OSError, ValueError):
            continue  # `read_database_url` reports it, if it is the one that is needed
    places: list[Mapping[str, str]] = [{}]
    for text in texts:
        if "://" in text and "postgres" in text:
            try:
                url = DatabaseUrl.parse(text)
            except MalformedUrl:
                found.append(text.strip())
            else:
                found += url.secrets
                places.append(dict(url.parameters))
    for parameters in places:
        found += _of_password_file(parameters.get("passfile") or environ.get("PGPASSFILE") or _home(environ, ".pgpass"))
        found += _of_services(
            parameters.get("servicefile") or environ.get("PGSERVICEFILE") or _home(environ, ".pg_service.conf")
        )
    if folder := environ.get("PGSYSCONFDIR"):
        found += _of_services(f"{folder}/pg_service.conf")
    return tuple(dict.fromkeys(filter(None, found)))


def _home(environ: Mapping[str, str], name: str) -> str:
    return os.path.join(environ.get("HOME", ""), name)  # noqa: PTH118 - as libpq puts it together


def _of_password_file(path: str) -> Iterator[str]:
    """The passwords of a file of libpq's, HOST:PORT:DATABASE:USER:PASSWORD a line, but for those that are names there."""
    for line in _lines(path):
        fields = _FIELD.findall(line)
        *names, password = [_ESCAPED.sub(r"\1", field) for field in fields[:5]] or [""]
        if not line.startswith("#") and len(fields) >= 5 and password not in {*names, *SCHEMES}:  # noqa: PLR2004 - fields
            yield password


def _of_services(path: str) -> Iterator[str]:
    """The passwords of a file of libpq's services, an INI file."""
    for line in _lines(path):
        name, _, value = line.partition("=")
        if "password" in name.lower() and value.strip() not in SCHEMES:
            yield value.strip()


def _lines(path: str) -> list[str]:
    try:
        if not Path(path).is_file():  # libpq takes no password from anything else
            return []
        return read(Path(path), most=_LARGEST).decode("utf-8", "surrogateescape").splitlines()
    except (OSError, ValueError):
        return []


def _find(environ: Mapping[str, str], cwd: Path) -> tuple[str, str]:
    """Find the first variable that is set, or whose file is named; an empty one counts as not set."""
    for name in URL_VARIABLES:
        of_file = f"{name}_FILE"
        value, path = environ.get(name, "").strip(), environ.get(of_file, "").strip()
        if value and path:
            why = f"{name} and {of_file} are both set, and each may name another database."
            raise stop("bad-database-url", why, fix=shell(f"unset {of_file}", note=f"or: unset {name}"))
        if value:
            return name, value
        if path:
            try:
                return of_file, _read_file(cwd / path)
            except OSError as error:
                why = f"The file that {of_file} names, {path}, cannot be read: {error.strerror}."
            except ValueError:
                why = f"The file that {of_file} names, {path}, is not UTF-8 text."
            raise stop(
                "bad-database-url",
                why,
                fix=shell(f"ls -l {word(path)}", note="it must be a text that this user can read"),
            )
    empty = [name for name in URL_VARIABLES if name in environ]
    why = f"None of {', '.join(URL_VARIABLES)} is set, nor any of them with _FILE at its end."
    why += f" {' and '.join(empty)} is set, but empty." if empty else ""
    other = next((name for name in _OTHER_VARIABLES if environ.get(name, "").strip()), None)
    if other is None:
        raise stop("no-database-url", why)
    raise stop(
        "no-database-url", f"{why} {other} is set, but it is not read.", fix=shell(f'export DATABASE_URL="${other}"')
    )


def _read_file(path: Path) -> str:
    """Read a URL's file. Raises OSError, or ValueError where it is no text or its name holds a NUL."""
    data = read(path, most=SMALL) if path.is_file() else _read_once(path)
    return data.decode("utf-8-sig")  # some editors begin a file with a byte-order mark


@cache
def _read_once(path: Path) -> bytes:
    """What a FIFO or a device gives: it may give it once only, and it is asked for twice."""
    return read(path, most=SMALL)
