"""Whether a revision's text shows that it destroys no rows and no values: what is not known to be harmless is not.

The manifest shows what goes between two revisions, but not what one of them deletes, or drops and makes again.
"""

from __future__ import annotations

import ast
import re
from typing import Final

# Alembic's operations that take nothing from a table that is there.
_OPERATIONS: Final = frozenset(
    """
    add_column alter_column batch_alter_table bulk_insert create_check_constraint create_exclude_constraint
    create_foreign_key create_index create_primary_key create_table create_table_comment create_unique_constraint
    drop_constraint drop_index drop_table_comment execute f get_bind get_context rename_table
    """.split()  # noqa: SIM905 - a list literal would be a page
)
# Methods of other things: of a bind, a context, an enum, a text, a list.
_METHODS: Final = frozenset("append autocommit_block bindparams create execute format join scalar values".split())  # noqa: SIM905
_BUILTINS: Final = frozenset("dict enumerate len list print range set sorted str tuple zip".split())  # noqa: SIM905
_EXECUTES: Final = frozenset({"execute", "scalar"})
# Statements that take nothing: they make, or drop what can be made again from its definition.
_HARMLESS: Final = re.compile(
    r"""\s*(?:
        (?:create|comment|grant|revoke|insert|set|reset|select|show|analyze|refresh|reindex|lock)\b
      | drop\s+(?:index|view|materialized\s+view|trigger|function|procedure|routine|policy|rule|aggregate|statistics)\b
      | alter\s+(?:index|view|function|sequence|policy|default\s+privileges|trigger|extension|role)\b
      | alter\s+type\s+\S+\s+(?:add\s+value|rename|owner)\b
      | alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?[\w."]+\s+
        (?:add|rename|validate|enable|disable|force|no\s+force|owner|cluster|replica|attach|drop\s+constraint
          |alter\s+(?:column\s+)?[\w"]+\s+(?:set\s+(?:not\s+null|default|statistics)|drop\s+(?:not\s+null|default|identity)))\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# Words by which a statement, or one that follows another in the same text, may take something after all.
_HARMFUL: Final = re.compile(
    r"\b(?:delete|truncate|update|merge|cascade|drop\s+(?:table|column|schema|owned|type|domain|extension|database)"
    r"|type|using|do|call|execute)\b",
    re.IGNORECASE,
)
_BY_DRIVER: Final = re.compile(
    r"\braw_connection\s*\(|\.(?:connection|dbapi_connection|driver_connection)\b|\bpsycopg2?\b|\basyncpg\b"
)
_COMMIT: Final = re.compile(r"\bcommit\b|\bautocommit\b", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*")
_INDEX_METHOD: Final = re.compile(r"\busing\s+(?:btree|hash|gin|gist|brin|spgist)\b", re.IGNORECASE)
_OF_TYPE: Final = re.compile(r"\b(?:create|alter|comment\s+on|grant\s+usage\s+on)\s+type\b", re.IGNORECASE)


def destroys_nothing(source: str, function: str) -> bool:
    """Whether all that ``function`` (``upgrade`` or ``downgrade``) calls is known to take no rows and no values."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return False
    own = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    schema = {alias.asname or alias.name for node in tree.body for alias in _of_sqlalchemy(node)}
    if function not in own:
        return False
    return all(_is_harmless(node, schema) for node in ast.walk(own[function]) if isinstance(node, ast.Call))


def says_harmless(sql: str) -> bool:
    """Whether all statements of a text are of a kind that takes no rows and no values."""
    said = _OF_TYPE.sub(" ", _INDEX_METHOD.sub(" ", _QUOTED.sub(" ", sql)))
    statements = [part for part in _QUOTED.sub('""', sql).split(";") if part.strip()]
    return not _HARMFUL.search(said) and all(_HARMLESS.match(statement) for statement in statements)


def commits_unseen(source: str) -> bool:
    """Whether a text shows that it commits past SQLAlchemy, by the driver's own connection."""
    return _BY_DRIVER.search(source) is not None and _COMMIT.search(source) is not None


def _of_sqlalchemy(node: ast.stmt) -> list[ast.alias]:
    """The names that an import gives to SQLAlchemy's things."""
    if isinstance(node, ast.Import):
        return [alias for alias in node.names if alias.name.partition(".")[0] == "sqlalchemy"]
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sqlalchemy":
        return node.names
    return []


def _is_harmless(call: ast.Call, schema: set[str]) -> bool:
    name, of = _name_of(call.func)
    if name in _EXECUTES and not _says_harmless(call):
        return False
    if name == "alter_column":
        return not any(keyword.arg in {"type_", None} for keyword in call.keywords)
    if name == "batch_alter_table":
        return not any(keyword.arg == "recreate" for keyword in call.keywords)
    if of is None:
        return name in _BUILTINS or (name in schema and name not in {"update", "delete"})
    if of in schema:
        return name not in {"update", "delete"}
    return name in _OPERATIONS or name in _METHODS


def _name_of(func: ast.expr) -> tuple[str, str | None]:
    """The name that is called, and the name that it is an attribute of (empty for what has none)."""
    if isinstance(func, ast.Name):
        return func.id, None
    if isinstance(func, ast.Attribute):
        inner = func.value
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        return func.attr, inner.id if isinstance(inner, ast.Name) else ""
    return "", ""


def _says_harmless(call: ast.Call) -> bool:
    """Whether what is executed is a text that stands there, or a call that is judged by itself."""
    given = call.args[0] if call.args else None
    if isinstance(given, ast.Call):
        name, _ = _name_of(given.func)
        return _says_harmless(given) if name == "text" else name in {"insert", "select", "values"}
    if not (isinstance(given, ast.Constant) and isinstance(given.value, str)):
        return False
    return says_harmless(given.value)
