"""Which variable names the database, and what in the environment must never be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.notification import secrets_in
from migrate.core.problems import stop
from migrate.core.quoting import word
from migrate.core.url import SCHEMES, URL_VARIABLES, DatabaseUrl, MalformedUrl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PLACEHOLDER: Final = "postgresql://USER:PASSWORD@HOST:5432/NAME"
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
            why = f"The value of {variable} is no PostgreSQL URL. {error}"
            raise stop("bad-database-url", why, names={"variable": variable}) from None
        why = f"The file that {variable} names holds no PostgreSQL URL. {error}"
        raise stop("bad-database-url", why, fix=f"write {_PLACEHOLDER} into the file that {variable} names") from None


def environment_secrets(environ: Mapping[str, str], cwd: Path) -> tuple[str, ...]:
    """Every secret that the environment tells, in all its spellings: of whichever database it is. Never raises.

    env.py and the revisions see every variable, not only the one that was chosen, and what they print becomes lines of
    ours.
    """
    password = environ.get("PGPASSWORD", "")
    found = ["" if password in SCHEMES else password, *secrets_in(environ.get("MIGRATE_NOTIFY", "").split())]
    texts = list(environ.values())
    for path in filter(None, (environ.get(f"{name}_FILE", "").strip() for name in URL_VARIABLES)):
        try:
            texts.append(_read_file(cwd / path))
        except (OSError, ValueError):
            continue  # `read_database_url` reports it, if it is the one that is needed
    for text in texts:
        if "://" in text and "postgres" in text:
            try:
                found += DatabaseUrl.parse(text).secrets
            except MalformedUrl:
                found.append(text.strip())
    return tuple(dict.fromkeys(filter(None, found)))


def _find(environ: Mapping[str, str], cwd: Path) -> tuple[str, str]:
    """Find the first variable that is set, or whose file is named; an empty one counts as not set."""
    for name in URL_VARIABLES:
        of_file = f"{name}_FILE"
        value, path = environ.get(name, "").strip(), environ.get(of_file, "").strip()
        if value and path:
            why = f"{name} and {of_file} are both set, and each may name another database."
            raise stop("bad-database-url", why, fix=f"unset {of_file}   # or: unset {name}")
        if value:
            return name, value
        if path:
            try:
                return of_file, _read_file(cwd / path)
            except OSError as error:
                why = f"The file that {of_file} names, {path}, cannot be read: {error.strerror}."
            except ValueError:
                why = f"The file that {of_file} names, {path}, is no UTF-8 text."
            raise stop("bad-database-url", why, fix=f"ls -l {word(path)}   # it must be a text that this user can read")
    empty = [name for name in URL_VARIABLES if name in environ]
    why = f"None of {', '.join(URL_VARIABLES)} is set, nor any of them with _FILE at its end."
    why += f" {' and '.join(empty)} is there, but empty." if empty else ""
    other = next((name for name in _OTHER_VARIABLES if environ.get(name, "").strip()), None)
    if other is None:
        raise stop("no-database-url", why)
    raise stop("no-database-url", f"{why} {other} is set, but it is not read.", fix=f'export DATABASE_URL="${other}"')


def _read_file(path: Path) -> str:
    """Read a URL's file. Raises OSError, or ValueError where it is no text or its name holds a NUL."""
    return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
