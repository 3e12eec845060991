"""An error of env.py's or a revision's, as the parent needs it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from migrate.core.problems.driver_errors import said_by, sqlstate_of, types_of, was_disconnected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BAD_INTERPOLATION: Final = "invalid interpolation syntax"  # configparser's, of a % that is not doubled


def report(error: BaseException, job: Mapping[str, Any]) -> dict[str, object]:
    """An error as the parent needs it: no traceback (but with MIGRATE_DEBUG), no parameters, no DETAIL."""
    is_interpolation = isinstance(error, ValueError) and str(error).startswith(_BAD_INTERPOLATION)
    found: dict[str, object] = {
        "type": type(getattr(error, "orig", None) or error).__name__,
        "types": types_of(error),
        "message": _BAD_INTERPOLATION if is_interpolation else said_by(error),  # the rest of it is the value
        "sqlstate": sqlstate_of(error),
        "disconnect": was_disconnected(error),
        "exited": isinstance(error, SystemExit),
        "out_of_memory": isinstance(error, MemoryError),
        "interpolation": is_interpolation,
        "missing_module": error.name if isinstance(error, ModuleNotFoundError) else None,
        **_place(error, job.get("folders", ())),
    }
    if os.environ.get("MIGRATE_DEBUG") == "1":
        found["traceback"] = "".join(traceback.format_exception(error))
    return found


def _place(error: BaseException, folders: Iterable[str]) -> dict[str, object]:
    """The last line of the user's own files that the error came through."""
    found: dict[str, object] = {}
    roots = tuple(str(Path(folder).resolve()) for folder in folders)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(roots):
            found = {"file": frame.filename, "line": frame.lineno}
    return found


def is_refused_block(error: BaseException) -> bool:
    """Whether this is Alembic's own check at an autocommit block, of a transaction that it did not begin."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not isinstance(error, AssertionError) or not frames:
        return False
    code = frames[-1][0]
    return code.f_code.co_name == "autocommit_block" and code.f_globals.get("__name__") == "alembic.runtime.migration"
