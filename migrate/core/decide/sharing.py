"""Which revisions may share a transaction with others, in a database that nobody else uses.

A transaction for several is rolled back where one of them fails, and they are run again, each by itself. So a revision may
be among them only if it does nothing that a rollback does not undo, as far as its text shows; in doubt it stands alone.
"""

from __future__ import annotations

import re
from typing import Final

from migrate.core.history.libraries import LIBRARIES

# What ends a transaction, goes round it, or shows nobody what it does; in small letters.
_LEAVES: Final = (
    *("commit", "rollback", "begin", "concurrently", "engine", "connect", "cursor", "session(", "sessionmaker"),
    *("exec(", "eval(", "open(", "__import__"),
)
# Modules that do nothing but compute.
_COMPUTING: Final = frozenset(
    {
        *("__future__", "collections", "dataclasses", "datetime", "decimal", "enum", "functools", "itertools", "json"),
        *("logging", "math", "operator", "re", "string", "textwrap", "typing", "typing_extensions", "uuid"),
    }
)
_NAME: Final = r"[\w.]+(?:[ \t]+as[ \t]+\w+)?"
_IMPORT: Final = re.compile(rf"(?:from\s+([\w.]+)\s+)?import\b[ \t]*((?:{_NAME}(?:[ \t]*,[ \t]*{_NAME})*)?)")


def may_share(source: str) -> bool:
    """Whether a revision's program shows nothing that has an effect beside its transaction."""
    small = source.lower()
    if any(word in small for word in _LEAVES):
        return False
    imports = "\n".join(line for line in source.splitlines() if "import" in line)
    return all(map(_is_known, _IMPORT.findall(imports)))


def _is_known(imported: tuple[str, str]) -> bool:
    """Whether one import, as ``from`` which module and what, brings only modules that are known to stay within."""
    modules = [imported[0]] if imported[0] else [name.split()[0] for name in imported[1].split(",") if name.strip()]
    return bool(modules) and all(each.partition(".")[0] in LIBRARIES | _COMPUTING for each in modules)
