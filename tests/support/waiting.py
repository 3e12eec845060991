"""Waiting for what is to become true: asked again and again, for as long as a busy machine may need."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def until(condition: Callable[[], _T], *, seconds: float = 10.0, otherwise: object = None) -> _T:
    """Return what ``condition()`` returns as soon as that is true; fails after ``seconds``, saying ``otherwise``.

    ``otherwise``: a text, or what is called for it then.
    """
    ends = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < ends, otherwise() if callable(otherwise) else otherwise
        time.sleep(0.02)
    return met
