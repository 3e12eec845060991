"""Finds pg_dump and pg_restore: on PATH, where PG_BIN_DIR says, in Debian's folders, or in a wheel that brings them."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg2.extensions import make_dsn

from migrate.core.problems import advice, stop
from migrate.postgres.connection import KEEPALIVE, renewed
from migrate.postgres.programs import folders_of_debian, folders_of_wheels, named_folder, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from migrate.core.target import Target

# Parameters of libpq that must not stand on a command line, which other users of the machine can read.
_SECRET: Final = re.compile(r"password|secret|token|_key\b|apikey", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClientTools:
    """The two programs and the version that pg_dump says it has, e.g. ``17.10``."""

    pg_dump: Path
    pg_restore: Path
    version: str

    @property
    def psql(self) -> Path:
        """The psql beside them, of the same version; it may be missing."""
        return self.pg_dump.parent / "psql"

    @property
    def major(self) -> int:
        """E.g. 17."""
        return int(self.version.partition(".")[0])


def find_client_tools(server_major: int, environ: Mapping[str, str]) -> ClientTools:
    """The first pg_dump that is not older than the server, which it refuses to dump otherwise.

    A folder that PG_BIN_DIR names is used or refused, never passed over. Raises Stop (`cannot-back-up`).
    """
    seen: list[str] = []
    for folder in _folders(environ):
        found = _inspect(folder)
        if found is None:
            continue
        if found.major >= server_major:
            return found
        seen.append(f"{found.pg_dump} is {found.version}")
    there = "; ".join(seen) or "no pg_dump was found"
    raise stop(
        "cannot-back-up",
        f"{there}, and the server is PostgreSQL {server_major}",
        fix=advice(
            f"add postgresql-client-{server_major} to the image"
            " (or: pip install 'migrate-job[embedded]'; or set PG_BIN_DIR)"
        ),
    )


@contextlib.contextmanager
def without_secrets(
    target: Target, environ: Mapping[str, str], *, application_name: str, connect_s: float
) -> Iterator[tuple[str, dict[str, str]]]:
    """How a program of libpq's finds the target: a connection string without secrets, and the environment that has them.

    The password goes by PGPASSWORD; any other secret, for which libpq has no variable, by a service file.
    """
    never_for_good = {**KEEPALIVE, "connect_timeout": round(connect_s)}  # libpq itself waits without limit
    given = {name: str(value) for name, value in never_for_good.items()} | renewed(target).url.libpq
    hidden = {name: value for name, value in given.items() if _SECRET.search(name)}
    environ = dict(environ) | {"PGAPPNAME": application_name}
    if "password" in hidden:
        environ["PGPASSWORD"] = hidden.pop("password")
    shown = {name: value for name, value in given.items() if not _SECRET.search(name)}
    with contextlib.ExitStack() as files:
        if hidden:
            file = files.enter_context(tempfile.NamedTemporaryFile("w", encoding="utf-8"))  # mode 0600
            file.write("[migrate]\n" + "".join(f"{name}={value}\n" for name, value in hidden.items()))
            file.flush()
            environ["PGSERVICEFILE"], shown["service"] = file.name, "migrate"
        yield make_dsn(**shown), environ


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    named = named_folder(environ)
    if named is not None:
        yield named
        return
    on_path = shutil.which("pg_dump", path=environ.get("PATH"))
    if on_path is not None:
        yield Path(on_path).parent
    for found in (folders_of_debian, folders_of_wheels):
        yield from (folder for folder, _ in found())


def _inspect(folder: Path) -> ClientTools | None:
    dump, restore = folder / "pg_dump", folder / "pg_restore"
    version = version_of(dump) if restore.is_file() else None
    return None if version is None else ClientTools(dump, restore, version)
