"""Which tables a revision's text or its changes in the manifest touch: what must be owned, unlocked and small enough.

A text can compute a name, so this finds what is written down and never claims to be all.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from migrate.core.history.python_source import parsed
from migrate.core.schema.differences import ChangeError, IdentityError, parse, read_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table as a revision names it; ``schema`` is empty where the search_path decides."""

    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Touched:
    """``altered`` tables need their owner; ``used`` ones are read or written, which takes a weaker lock.

    Of ``written`` ones rows are changed, whatever else is done to them.
    """

    altered: frozenset[TableName] = frozenset()
    used: frozenset[TableName] = frozenset()
    extensions: frozenset[str] = frozenset()
    written: frozenset[TableName] = frozenset()

    def __or__(self, other: Touched) -> Touched:
        """Both together."""
        altered = self.altered | other.altered
        used, extensions = (self.used | other.used) - altered, self.extensions | other.extensions
        return Touched(altered, used, extensions, self.written | other.written)


# Alembic's operations: the position of the table's name, and the keyword that may give it (alembic.op's signatures).
_OPERATIONS: Final = {
    "add_column": (0, "table_name"),
    "alter_column": (0, "table_name"),
    "batch_alter_table": (0, "table_name"),
    "bulk_insert": (0, "table"),
    "create_check_constraint": (1, "table_name"),
    "create_exclude_constraint": (1, "table_name"),
    "create_foreign_key": (1, "source_table"),
    "create_index": (1, "table_name"),
    "create_primary_key": (1, "table_name"),
    "create_table_comment": (0, "table_name"),
    "create_unique_constraint": (1, "table_name"),
    "drop_column": (0, "table_name"),
    "drop_constraint": (1, "table_name"),
    "drop_index": (1, "table_name"),
    "drop_table": (0, "table_name"),
    "drop_table_comment": (0, "table_name"),
    "rename_table": (0, "old_table_name"),
}
_SCHEMA_KEYWORDS: Final = ("schema", "source_schema")

_PART: Final = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_NAME: Final = rf"(?:ONLY\s+)?((?:{_PART}\s*\.\s*)?{_PART})"
_ALTERS: Final = re.compile(
    r"\b(?:(?:ALTER|DROP|TRUNCATE)\s+(?:FOREIGN\s+)?TABLE|COMMENT\s+ON\s+TABLE|LOCK\s+TABLE)"
    rf"\s+(?:IF\s+EXISTS\s+)?{_NAME}"
    r"|\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"(?:{_PART}\s+)?ON\s+{_NAME}"
    rf"|\bCREATE\s+(?:CONSTRAINT\s+)?TRIGGER\b.*?\bON\s+{_NAME}",
    re.IGNORECASE | re.DOTALL,
)
_USES: Final = re.compile(rf"\b(?:UPDATE|INTO|FROM|JOIN)\s+{_NAME}", re.IGNORECASE)
_WRITES: Final = re.compile(rf"\b(?:UPDATE|INSERT\s+INTO|MERGE\s+INTO|DELETE\s+FROM)\s+{_NAME}", re.IGNORECASE)
# SQLAlchemy's tables, which a revision makes to write rows; those of `create_table` are none.
_TABLES: Final = frozenset({"table", "Table"})
_EXTENSION: Final = re.compile(rf"\bCREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?({_PART})", re.IGNORECASE)


def by_source(source: str) -> Touched:
    """What the text of a revision says, less its ``downgrade``; nothing where it does not parse."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return Touched()
    found = Touched()
    for node in _upgrading(tree):
        if isinstance(node, ast.Call):
            found |= _by_call(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= _by_sql(node.value)
    return found


def by_changes(lines: Iterable[str]) -> Touched:
    """What a revision's lines of changes in the manifest name; a line that is none is not this function's to judge."""
    altered: set[TableName] = set()
    extensions: set[str] = set()
    for line in lines:
        try:
            identity, definition = read_change(line)
            parsed = parse(identity)
        except (ChangeError, IdentityError):
            continue
        if parsed.kind == "extension" and definition is not None:
            extensions.add(parsed.path[-1])
        elif parsed.owner:
            altered.add(TableName(".".join(parsed.owner[:-1]), parsed.owner[-1]))
    return Touched(frozenset(altered), extensions=frozenset(extensions))


def _upgrading(tree: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade":
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def _by_call(call: ast.Call) -> Touched:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in _TABLES and call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
        names = frozenset({TableName("", call.args[0].value)})
        return Touched(used=names, written=names)
    if name not in _OPERATIONS or not isinstance(call.func, ast.Attribute):
        return Touched()
    position, keyword = _OPERATIONS[name]
    given = {each.arg: each.value for each in call.keywords}
    table = given.get(keyword, call.args[position] if len(call.args) > position else None)
    if not isinstance(table, ast.Constant) or not isinstance(table.value, str):
        return Touched()
    schemas = (given[each] for each in _SCHEMA_KEYWORDS if each in given)
    schema = next((str(each.value) for each in schemas if isinstance(each, ast.Constant) and each.value), "")
    names = frozenset({TableName(schema, table.value)})
    return Touched(used=names, written=names) if name == "bulk_insert" else Touched(names)


def _by_sql(text: str) -> Touched:
    altered = {_table(name) for found in _ALTERS.findall(text) for name in found if name}
    used = {_table(name) for name in _USES.findall(text)} - altered
    extensions = frozenset(map(_unquoted, _EXTENSION.findall(text)))
    return Touched(frozenset(altered), frozenset(used), extensions, frozenset(map(_table, _WRITES.findall(text))))


def _table(name: str) -> TableName:
    parts = [_unquoted(part) for part in re.findall(_PART, name)]
    return TableName(parts[0] if len(parts) > 1 else "", parts[-1])


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
