"""A search_path as the server shows it: which schemas it names, whether they are there or not."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


def schemas_of(setting: str, user: str) -> tuple[str, ...]:
    """The schemas that the setting names, in its order; ``$user`` is the role's own."""
    names = [
        quoted.replace('""', '"') if quoted or not plain else plain.lower() for quoted, plain in _NAME.findall(setting)
    ]
    return tuple(user if name == "$user" else name for name in names if name)


def first_meant(setting: str, user: str) -> str:
    """The first schema that the setting names on purpose: not the role's own, which nearly every one begins with."""
    named = schemas_of(setting, user)
    return next((name for name in named if name != user), named[0] if named else user)
