"""An error of env.py's or a revision's, as the parent needs it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrate.child.protocol import Error
from migrate.core.problems.driver_errors import said_by, sqlstate_of, types_of, was_disconnected

if TYPE_CHECKING:
    from collections.abc import Iterable

_BAD_INTERPOLATION: Final = "invalid interpolation syntax"  # configparser's, of a % that is not doubled


def report(error: BaseException, folders: Iterable[str]) -> Error:
    """An error as the parent needs it; ``folders`` are where the user's revisions are."""
    is_interpolation = isinstance(error, ValueError) and str(error).startswith(_BAD_INTERPOLATION)
    module = error.name if isinstance(error, ModuleNotFoundError) else None
    file, line = _place(error, folders)
    return Error(
        type=type(getattr(error, "orig", None) or error).__name__,
        message=_BAD_INTERPOLATION if is_interpolation else said_by(error),  # the rest of it is the value
        types=tuple(types_of(error)),
        sqlstate=sqlstate_of(error),
        is_disconnect=was_disconnected(error),
        has_exited=isinstance(error, SystemExit),
        is_out_of_memory=isinstance(error, MemoryError),
        is_interpolation=is_interpolation,
        missing_module=str(module) if module else None,
        file=file,
        line=line,
        traceback="".join(traceback.format_exception(error)) if os.environ.get("MIGRATE_DEBUG") == "1" else None,
    )


def _place(error: BaseException, folders: Iterable[str]) -> tuple[str | None, int | None]:
    """The last line of the user's own files that the error came through."""
    found: tuple[str | None, int | None] = (None, None)
    roots = tuple(str(Path(folder).resolve()) for folder in folders)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(roots):
            found = (frame.filename, frame.lineno)
    return found


def is_refused_block(error: BaseException) -> bool:
    """Whether this is Alembic's own check at an autocommit block, of a transaction that it did not begin."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not isinstance(error, AssertionError) or not frames:
        return False
    code = frames[-1][0]
    return code.f_code.co_name == "autocommit_block" and code.f_globals.get("__name__") == "alembic.runtime.migration"
