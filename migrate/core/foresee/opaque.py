"""What a trial in a database without rows cannot show of a revision: what it does only where there are rows.

No text is read for what it does. These look for the few signs that there is more than was seen: a loop or a branch of the
program, a block or procedure of the server's, another connection, an expression that makes new values. In doubt there is.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

from migrate.core.history.libraries import LIBRARIES

_BLOCK: Final = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:do|call|execute)\b", re.IGNORECASE)
_ANY_BLOCK: Final = re.compile(r"(?:\A|;)\s*(?:do|call)\s+(?:\$|language\b|'|[\w\".]+\s*\()", re.IGNORECASE)
_READS: Final = re.compile(r"\s*(?:select|with|values)\b", re.IGNORECASE)
_CATALOG: Final = re.compile(r"\b(?:pg_catalog|information_schema)\b", re.IGNORECASE)
_CALL: Final = re.compile(r"(?<!\w)([a-z_][\w.]*)\s*\(", re.IGNORECASE)
# What a SELECT may call, or write before a parenthesis, without a row of anything being written.
_WORDS: Final = """
    all and any array as avg by case cast coalesce count current_setting date_trunc distinct else exists extract filter from
    greatest group in join least left length lower max min not now nullif on or over right row_number select sum then trim
    union upper using values when where
"""
_HARMLESS: Final = frozenset(_WORDS.split())
_DEFINES: Final = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:alter|create)\b", re.IGNORECASE)
_WRITES: Final = re.compile(
    r"(?<!\bon )\b(?:insert|update|delete|merge|copy|truncate|do|call|select|execute)\b", re.IGNORECASE
)
_CONVERSION: Final = re.compile(r"\btype\b[^;]*?\busing\b(?P<by>[^;]*)", re.IGNORECASE | re.DOTALL)
_NAME: Final = r'(?:[a-z_][\w$]*|"(?:[^"]|"")+")'
_TYPE: Final = rf"{_NAME}(?:\.{_NAME})?(?:\s+(?:varying|precision))?(?:\s*\([\d,\s]+\))?"
_PLAIN_CAST: Final = re.compile(
    rf"\s*(?:\(*\s*{_NAME}\s*\)*(?:\s*::\s*{_TYPE}\s*\)*)*|cast\s*\(\s*{_NAME}\s+as\s+{_TYPE}\s*\))\s*"
    rf"(?:,.*)?",
    re.IGNORECASE | re.DOTALL,
)
_OWN_CONNECTION: Final = re.compile(r"create_engine|create_async_engine|\.connect\(|sessionmaker|\bSession\(")


def hides_writes(sql: str) -> bool:
    """Whether a statement that was sent may write rows unseen: a block, a procedure, a function, values that are made anew."""
    if _BLOCK.match(sql) or converts(sql):
        return True
    if _READS.match(sql) and not _CATALOG.search(sql):
        return any(call.lower() not in _HARMLESS for call in _CALL.findall(sql))
    return False


def converts(sql: str) -> bool:
    """Whether it gives a column another type by an expression that is more than a cast."""
    return any(_PLAIN_CAST.fullmatch(found["by"]) is None for found in _CONVERSION.finditer(sql))


def only_defines(sql: str) -> bool:
    """Whether a statement that failed is a definition and nothing else, which no row was written in."""
    is_single = ";" not in sql.rstrip().rstrip(";")
    return _DEFINES.match(sql) is not None and (is_single or _WRITES.search(sql) is None) and not converts(sql)


def does_more(source: str) -> bool:
    """Whether a revision's program may do more where there are rows than it did where there were none."""
    if uses_another_connection(source):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(map(_is_open, ast.walk(tree)))


def _is_open(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str() as text):
            return _ANY_BLOCK.search(text) is not None
        case ast.Import(names=names):
            return any(_is_own(each.name) for each in names)
        case ast.ImportFrom(module=module, level=level):
            return level > 0 or _is_own(module or "")
        case ast.For(iter=ast.List() | ast.Tuple() | ast.Constant()) | ast.For(iter=ast.Name()):
            return False  # over what stands in the file
        case ast.For() | ast.While() | ast.If() | ast.AsyncFor():
            return _has_call(node)
        case _:
            return False


def _has_call(node: ast.For | ast.While | ast.If | ast.AsyncFor) -> bool:
    return any(isinstance(each, ast.Call) for statement in (*node.body, *node.orelse) for each in ast.walk(statement))


def _is_own(module: str) -> bool:
    import sys

    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in LIBRARIES


def uses_another_connection(source: str) -> bool:
    """Whether a revision's program may write on a connection that nobody watches."""
    return _OWN_CONNECTION.search(source) is not None
