"""Names in what people paste: as one word of a shell, so that pasting a fix never runs what a name says."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTROL: Final = re.compile("[\0-\x1f\x7f\x85\u2028\u2029]+")


class Ready(str):
    """A text that stands in a fix as it is: words of our own, or quoted for where it stands."""

    __slots__ = ()


def word(name: object) -> str:
    """The name as a word of a shell on one line; a plain one is itself."""
    if isinstance(name, Ready):
        return name
    return shlex.quote(_CONTROL.sub(" ", str(name)))


def words(names: Iterable[object]) -> str:
    """Several names as words of a shell."""
    return " ".join(map(word, names))
