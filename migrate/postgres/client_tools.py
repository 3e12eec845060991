"""Finds pg_dump and pg_restore: on PATH, where PG_BIN_DIR says, in Debian's folders, or in a wheel that brings them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrate.core.problems import stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEBIAN: Final = Path("/usr/lib/postgresql")
_ANSWER_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class ClientTools:
    """The two programs and the version that pg_dump says it has, e.g. ``17.10``."""

    pg_dump: Path
    pg_restore: Path
    version: str

    def restore_as_typed(self, environ: Mapping[str, str]) -> str:
        """This pg_restore as a shell with that environment finds it: by its name, or by its path behind another one."""
        first = shutil.which("pg_restore", path=environ.get("PATH"))
        return "pg_restore" if first is not None and Path(first) == self.pg_restore else str(self.pg_restore)

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
        names={
            "fix": f"add postgresql-client-{server_major} to the image"
            "   # or: pip install 'migrate-job[embedded]'; or set PG_BIN_DIR"
        },
    )


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    named = environ.get("PG_BIN_DIR", "").strip()
    if named:
        yield Path(named)
        return
    on_path = shutil.which("pg_dump", path=environ.get("PATH"))
    if on_path is not None:
        yield Path(on_path).parent
    majors = [folder.parent for folder in _DEBIAN.glob("*/bin") if folder.parent.name.isdecimal()]
    for major in sorted(majors, key=lambda folder: -int(folder.name)):
        yield major / "bin"
    from migrate.postgres.embedded import installed_binaries

    for binaries in installed_binaries():
        yield binaries.bin_dir


def _inspect(folder: Path) -> ClientTools | None:
    dump, restore = folder / "pg_dump", folder / "pg_restore"
    if not (dump.is_file() and restore.is_file()):
        return None
    try:
        answer = subprocess.run(
            [dump, "--version"], capture_output=True, check=True, text=True, timeout=_ANSWER_S, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # built for another system
    numbers = re.search(r"\) (\d+(?:\.\d+)?)", answer)  # "pg_dump (PostgreSQL) 17.10 (Debian …)"
    return ClientTools(dump, restore, numbers[1]) if numbers else None
