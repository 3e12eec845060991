"""Which variables of the environment env.py and revisions ask for: what they make may depend on them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_BETWEEN: Final = frozenset({"os", "_collections_abc", "collections.abc", __name__})


class VariableWatch:
    """Notes the names that files of these folders ask `os.environ` or `os.getenv` for, from `start` to `stop`."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.names: set[str] = set()
        self._copies: tuple[FrameType | None, int] = None, 0  # the call that reads all
        self._folders = tuple(os.path.join(os.path.abspath(folder), "") for folder in folders)  # noqa: PTH100, PTH118 - as a frame has it

    def start(self) -> None:
        """From now on."""
        _Watched.watch = self
        os.environ.__class__ = _Watched

    def stop(self) -> None:
        """No longer."""
        self._copies = None, 0
        os.environ.__class__ = _PLAIN
        _Watched.watch = None

    def asked(self, name: object) -> None:
        """Somebody asks for a variable."""
        frame = _asker()
        is_copy = (frame, frame.f_lasti) == self._copies
        if isinstance(name, str) and not is_copy and frame.f_code.co_filename.startswith(self._folders):
            self.names.add(name)

    def listed(self) -> None:
        """Somebody asks for all names, as who copies all of it does before each of them is read."""
        frame = _asker()
        self._copies = frame, frame.f_lasti


def _asker() -> FrameType:
    """Who asks: the first frame that is neither ours nor the standard library's."""
    frame = sys._getframe(2)  # noqa: SLF001 - there is no public way that is not slow
    while frame.f_back is not None and frame.f_globals.get("__name__") in _BETWEEN:
        frame = frame.f_back
    return frame


_PLAIN: Final[Any] = type(os.environ)


class _Watched(_PLAIN):  # type: ignore[misc]
    """`os.environ`, which tells what it is asked for; who copies all of it asks for nothing."""

    watch: VariableWatch | None = None

    def __getitem__(self, key: Any) -> Any:
        if self.watch is not None:
            self.watch.asked(key)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        if self.watch is not None:
            self.watch.listed()
        return iter(super().__iter__())
