"""How a path is shown: from the working directory, as whoever reads it would type it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shortest(path: str | Path, cwd: str | Path = ".") -> str:
    """The path from the working directory, where it is below that."""
    relative = os.path.relpath(path, cwd)
    return str(path) if relative.startswith("..") else relative
