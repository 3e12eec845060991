"""What helps where Python does not find a module."""

from __future__ import annotations

import shlex
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Packages whose name is not that of their module, or that do not bring all that the module needs.
_PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "dotenv": "python-dotenv", "yaml": "PyYAML"}
)
_DRIVERS: Final = frozenset({"asyncpg", "pg8000", "psycopg"})


def fix_of_missing(module: str, folder: str | None = None) -> str:
    """What to paste for a module that is not found; ``folder`` is where the project has one of that name itself."""
    if folder is not None:
        return f"export PYTHONPATH={shlex.quote(folder)}   # {module} lies there"
    install = f"pip install {shlex.quote(_PACKAGES.get(module, module))}   # in the image"
    if module in _DRIVERS:
        return f"{install}; or name a driver that is there: postgresql+psycopg2://"
    return f"{install}, unless it is a module of your own: then export PYTHONPATH=FOLDER"
