"""Names of a closed set that carry what they mean, so that no page made from them can miss one."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Explained(StrEnum):
    """The base of such sets; a member is written as ``NAME = "text", "what it means"``."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Keep the meaning beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member
