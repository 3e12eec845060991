"""Where in a revision's file something is: the line of the statement that names it, else of `def upgrade`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from migrate.core.history.python_source import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable


def line_of(source: str, names: Iterable[str] = ()) -> int | None:
    """The line of the one statement of `upgrade` that names the first of these names that one statement alone names.

    Else the line of `def upgrade`; None where there is no such function, or where Python refuses the text.
    """
    try:
        module = parsed(source)
    except (SyntaxError, ValueError):
        return None
    found = [each for each in module.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    upgrade = next((each for each in found if each.name == "upgrade"), None)
    if upgrade is None:
        return None
    words = [(statement.lineno, _words(statement)) for statement in _simple(upgrade.body)]
    for name in names:
        lines = {line for line, of in words if set(_WORD.findall(name)) <= of}
        if len(lines) == 1:
            return lines.pop()
    return upgrade.lineno


_WORD = re.compile(r"\w+")


def _simple(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """The statements without those around them."""
    for statement in body:
        within = [each for field in ("body", "orelse", "finalbody") for each in getattr(statement, field, ())]
        within += [each for handler in getattr(statement, "handlers", ()) for each in handler.body]
        if within:
            yield from _simple(within)
        else:
            yield statement


def _words(statement: ast.stmt) -> set[str]:
    texts = (
        each.value for each in ast.walk(statement) if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )
    return {word for text in texts for word in _WORD.findall(text)}
