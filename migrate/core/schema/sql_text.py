"""Takes a text of SQL apart into its statements, as far as needed to stand between them."""

from __future__ import annotations

import re
from typing import Final

# What a semicolon may stand in without ending a statement: quotes of four kinds, and comments. A backslash escapes in
# E'…' only; block comments nest in PostgreSQL, which hardly any revision makes use of. A dollar in a word quotes nothing.
_PART: Final = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "[^"]*" | --[^\n\r]* | /\*.*?\*/
      | (\$(?:[^\W\d]\w*)?\$).*?\1 | \w[\w$]* | ; | .""",
    re.DOTALL | re.VERBOSE,
)
_COMMENTS: Final = re.compile(r"\A(?:\s+|--[^\n]*|/\*.*?\*/)+", re.DOTALL)
_COMMITS: Final = re.compile(r"(?:commit|end|prepare\s+transaction)\b", re.IGNORECASE)
# What PostgreSQL refuses inside a transaction block. None of it takes rows from a table.
_OUTSIDE: Final = re.compile(
    r"vacuum\b|cluster\s*$|alter\s+system\b|(?:create|drop|alter)\s+(?:database|tablespace|subscription)\b"
    r"|reindex\b|(?:create|drop)\b[^;]*?\bconcurrently\b|alter\s+table\b[^;]*?\bdetach\b[^;]*?\bconcurrently\b"
    r"|refresh\b|begin\b|start\b|commit\b|end\b|rollback\b|abort\b|set\b|reset\b|show\b|prepare\s+transaction\b",
    re.IGNORECASE,
)


def statements(text: str) -> list[str]:
    """The statements of a text, without the semicolons between them; at least one."""
    found = [""]
    for part in _PART.finditer(text):
        if part[0] == ";":
            found.append("")
        else:
            found[-1] += part[0]
    return [each for each in found if _start(each)] or [text]


def plain(text: str) -> list[str] | None:
    """The statements with their texts and quoted names empty, and without comments; None where it is in doubt what is one."""
    found = [""]
    for part in _PART.finditer(text):
        said = part[0]
        if said in {"'", '"'} or (said.startswith("/*") and "/*" in said[2:]):
            return None  # it has no end, or others within
        if said[0] == "'" and "\\'" in said:
            return None  # a backslash escapes after E'…' in the line before, and by a setting
        if said == ";":
            found.append("")
        elif said.startswith(("--", "/*")):
            found[-1] += " "
        elif said[0] == '"':
            found[-1] += '""'
        elif said.endswith("'") or part[1]:
            found[-1] += "''"
        else:
            found[-1] += said
    return [each.strip() for each in found if each.strip()]


def commits(statement: str) -> bool:
    """Whether a single statement ends its transaction with what it did."""
    return _COMMITS.match(_start(statement)) is not None


def stands_outside(statement: str) -> bool:
    """Whether a single statement cannot run in a transaction block, or is about transactions itself; it takes no rows."""
    return _OUTSIDE.match(_start(statement)) is not None


def _start(statement: str) -> str:
    return _COMMENTS.sub("", statement).strip()
