"""An error of env.py's or a revision's, as the parent needs it."""

from __future__ import annotations

import linecache
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrate.child.protocol import Error, SourceLine
from migrate.core.problems.driver_errors import said_by, sqlstate_of, types_of, was_disconnected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MOST_PLACES: Final = 8
_LONGEST: Final = 2000  # characters of a line
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_SETTINGS_OBJECTS: Final = ("pydantic_settings", "pydantic.env_settings")
_BAD_INTERPOLATION: Final = "invalid interpolation syntax"  # configparser's, of a % that is not doubled


def report(error: BaseException, folders: Iterable[str], *, are_synthetic: bool = False) -> Error:
    """An error as the parent needs it; ``folders`` are where the user's revisions are.

    ``are_synthetic``: the rows are nobody's, as in a throw-away database.
    """
    is_interpolation = isinstance(error, ValueError) and str(error).startswith(_BAD_INTERPOLATION)
    module = error.name if isinstance(error, ModuleNotFoundError) else None
    file, line = _place(error, folders)
    return Error(
        type=type(getattr(error, "orig", None) or error).__name__,
        message=_BAD_INTERPOLATION
        if is_interpolation
        else said_by(error, are_synthetic=are_synthetic),  # the rest of it is the value
        types=tuple(types_of(error)),
        sqlstate=sqlstate_of(error),
        is_disconnect=was_disconnected(error),
        has_exited=isinstance(error, SystemExit),
        is_out_of_memory=isinstance(error, MemoryError),
        is_interpolation=is_interpolation,
        missing_module=str(module) if module else None,
        missing_variables=_missing_variables(error),
        file=file,
        line=line,
        places=tuple(_places(error, folders)),
        traceback="".join(traceback.format_exception(error)) if os.environ.get("MIGRATE_DEBUG") == "1" else None,
    )


def _missing_variables(error: BaseException) -> tuple[str, ...]:
    """The environment variables for lack of which os.environ, or a settings object of pydantic's, has raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, KeyError) and frames and error.args:
        is_of_environ = frames[-1].f_code is type(os.environ).__getitem__.__code__
        return (str(error.args[0]),) if is_of_environ else ()
    settings = next((f for f in frames if str(f.f_globals.get("__name__")).startswith(_SETTINGS_OBJECTS)), None)
    if settings is None or not callable(getattr(error, "errors", None)):
        return ()
    made = settings.f_locals.get("__pydantic_self__", settings.f_locals.get("self"))
    prefix = str(getattr(made, "model_config", {}).get("env_prefix", ""))
    missing = (each for each in error.errors() if each.get("type") in {"missing", "value_error.missing"})  # type: ignore[attr-defined]
    return tuple(f"{prefix}{'__'.join(map(str, each['loc']))}".upper() for each in missing)


def _place(error: BaseException, folders: Iterable[str]) -> tuple[str | None, int | None]:
    """The last line of the user's own files that the error came through."""
    found: tuple[str | None, int | None] = (None, None)
    roots = tuple(str(Path(folder).resolve()) for folder in folders)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(roots):
            found = (frame.filename, frame.lineno)
    return found


def _places(error: BaseException, folders: Iterable[str]) -> Iterator[SourceLine]:
    """The last line of each of the user's files that the error came through, the outermost first."""
    last: dict[str, traceback.FrameSummary] = {}
    is_users = _of_the_user(folders)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.lineno is not None and is_users(frame.filename):
            last.pop(frame.filename, None)
            last[frame.filename] = frame
    for file, frame in list(last.items())[-_MOST_PLACES:]:
        text = linecache.getline(file, frame.lineno or 0).rstrip()
        if not text.strip() or len(text) > _LONGEST:
            continue  # it is gone, or nobody reads it
        start = len(text) - len(text.lstrip())
        end = start + 1
        if frame.colno is not None and frame.end_colno is not None:  # none with -X no_debug_ranges
            start = _characters(text, frame.colno)
            end = _characters(text, frame.end_colno) if frame.end_lineno == frame.lineno else len(text)
        yield SourceLine(file, frame.lineno or 0, text, start, end)


def _characters(text: str, octets: int) -> int:
    return len(text.encode("utf-8", "replace")[:octets].decode("utf-8", "ignore"))


def _of_the_user(folders: Iterable[str]) -> Callable[[str], bool]:
    """Whether a file is the project's: of its folders, or below the working directory and of no installed package."""
    theirs = [Path(folder).resolve() for folder in folders]
    installed = [Path(os.__file__).resolve().parent, Path(__file__).resolve().parents[1]]

    def is_users(file: str) -> bool:
        path = Path(file).resolve()
        if any(map(path.is_relative_to, theirs)):
            return True
        is_below = path.is_relative_to(Path.cwd()) and not any(map(path.is_relative_to, installed))
        return is_below and _INSTALLED.isdisjoint(path.parts)

    return is_users


def is_refused_block(error: BaseException) -> bool:
    """Whether this is Alembic's own check at an autocommit block, of a transaction that it did not begin."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not isinstance(error, AssertionError) or not frames:
        return False
    code = frames[-1][0]
    return code.f_code.co_name == "autocommit_block" and code.f_globals.get("__name__") == "alembic.runtime.migration"
