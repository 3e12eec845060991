"""Which lines of a revision, and of the project's modules that it calls, have run: what did not may do more with other rows."""

from __future__ import annotations

import dis
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType


class PathWatch:
    """Follows the lines of the project's own files, from `begin` to `end`, in the thread that calls them."""

    def __init__(self) -> None:
        self._root = f"{os.getcwd()}{os.sep}"  # noqa: PTH109 - a text that file names begin with
        self._ran: dict[CodeType, set[int]] = {}
        self._before: Any = None

    def begin(self) -> None:
        """Follow from here on."""
        self._ran = {}
        self._before = sys.gettrace()
        sys.settrace(self._entered)

    def end(self) -> None:
        """Follow no longer."""
        if sys.gettrace() == self._entered:
            sys.settrace(self._before)

    def _entered(self, frame: FrameType, event: str, argument: object) -> Any:
        del event, argument
        code = frame.f_code
        file = code.co_filename
        # env.py calls the revision, and is entered again on the way out where it is asynchronous
        if not file.startswith(self._root) or "site-packages" in file or file.endswith(f"{os.sep}env.py"):
            return None
        ran = self._ran.setdefault(code, set())
        ran.add(frame.f_lineno)

        def line(frame: FrameType, event: str, argument: object) -> Any:
            del argument
            if event == "line":
                ran.add(frame.f_lineno)
            return line

        return line

    def left_out(self, trace: TracebackType | None) -> bool:
        """Whether a line that calls something was passed over, before the one that failed."""
        failed: dict[CodeType, int] = {}
        while trace is not None:
            failed[trace.tb_frame.f_code] = trace.tb_lineno
            trace = trace.tb_next
        return any(
            line not in ran and line < failed.get(code, line + 1)
            for code, ran in self._ran.items()
            for line in _calling(code)
        )


def _calling(code: CodeType) -> set[int]:
    """The lines on which something is called."""
    found, line = set(), code.co_firstlineno
    for instruction in dis.get_instructions(code):
        starts = instruction.positions.lineno if instruction.positions is not None else None
        line = starts or line
        if instruction.opname.startswith("CALL"):
            found.add(line)
    return found
