"""Whether a revision's text shows that it destroys no rows and no values: what is not known to be harmless is not.

The manifest shows what goes between two revisions, but not what one of them deletes, or drops and makes again.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from migrate.core.schema.sql_text import plain

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
_TEXTS: Final = frozenset({"text", "literal_column"})
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
    r"|type|using|do|call|execute)\b|,\s*drop\b(?!\s+constraint\b)",
    re.IGNORECASE,
)
# Where a query begins that is run at once, and what stands before a parenthesis in one without being a function.
_QUERY: Final = re.compile(
    r"\s*(?:(?=select\b)|insert\s+into\s+[\w.\"]+(?:\s+as\s+\w+)?\s*(?:\([^()]*\))?"
    r"|create\b[^(]*?\b(?:table|materialized\s+view)\b.*?\bas\b(?=[\s(]*(?:select|table|values|with)\b)"
    r"|alter\s+table\b.*?\bdefault\b)(?P<query>.*)",
    re.IGNORECASE | re.DOTALL,
)
_NO_CALL: Final = re.compile(
    r"(?:\bas\s+|::\s*)[\w\"]+\s*\(|\b(?:check|references|include|key|unique)\b[^(]*\(", re.IGNORECASE
)
_CALL: Final = re.compile(r"((?:(?:[\w$]+|\"\")\s*\.\s*)*(?:[\w$]+|\"\"))\s*\(")
_KEYWORDS: Final = frozenset(
    """
    all and any array as between by case cast conflict default distinct else except exists filter from group having
    ilike in intersect interval is join lateral like limit not numeric offset on or order ordinality over partition
    returning row select set some then union values varchar when where with within
    """.split()  # noqa: SIM905 - a list literal would be a page
)
# Functions that take nothing from a table; of others, of the user's own as of extensions', it is not known.
_FUNCTIONS: Final = frozenset(
    """
    abs age array_agg array_append array_cat array_length array_position array_prepend array_remove array_replace
    array_to_string array_upper ascii avg bit_length bool_and bool_or btrim cardinality ceil ceiling char_length
    character_length chr clock_timestamp coalesce col_description concat concat_ws convert_from convert_to count cume_dist
    current_database current_schema current_schemas current_setting currval date_bin date_part date_trunc decode
    dense_rank digest encode every exp extract first_value floor format format_type gen_random_uuid generate_series
    generate_subscripts greatest has_column_privilege has_database_privilege has_function_privilege has_schema_privilege
    has_sequence_privilege has_table_privilege hashtext hashtextextended initcap json_agg json_array_elements
    json_build_array json_build_object json_each json_object_agg jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_object_agg jsonb_object_keys jsonb_set jsonb_strip_nulls jsonb_typeof justify_interval lag last_value lastval
    lead least left length ln localtimestamp log lower lpad ltrim make_date make_interval make_timestamp make_timestamptz
    max md5 min mod mode nextval now nth_value ntile nullif num_nonnulls num_nulls obj_description octet_length overlay
    percent_rank percentile_cont percentile_disc pg_advisory_lock pg_advisory_unlock pg_advisory_xact_lock
    pg_backend_pid pg_column_size pg_database_size pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef
    pg_get_serial_sequence pg_get_viewdef pg_is_in_recovery pg_notify pg_relation_size pg_size_pretty pg_sleep
    pg_table_is_visible pg_table_size pg_total_relation_size pg_try_advisory_lock pg_try_advisory_xact_lock pg_typeof
    position power quote_ident quote_literal quote_nullable random rank regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table repeat replace reverse right round row_number row_to_json rpad rtrim
    set_config setval setweight sha256 sign similarity split_part sqrt starts_with statement_timestamp stddev string_agg
    string_to_array strpos substr substring sum timezone to_char to_date to_json to_jsonb to_number to_regclass
    to_regnamespace to_regproc to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim trunc
    txid_current unaccent unnest upper uuid_generate_v1 uuid_generate_v4 uuidv4 uuidv7 variance version
    """.split()  # noqa: SIM905
)
_BY_DRIVER: Final = re.compile(
    r"\braw_connection\s*\(|\.(?:connection|dbapi_connection|driver_connection)\b|\bpsycopg2?\b|\basyncpg\b"
)
_COMMIT: Final = re.compile(r"\bcommit\b|\bautocommit\b", re.IGNORECASE)
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
    statements = plain(sql)
    return statements is not None and all(map(_takes_nothing, statements))


def _takes_nothing(statement: str) -> bool:
    """Whether a single statement, as `plain` has it, takes no rows and no values."""
    if _HARMLESS.match(statement) is None or _HARMFUL.search(_OF_TYPE.sub(" ", _INDEX_METHOD.sub(" ", statement))):
        return False
    query = _QUERY.match(statement)
    return query is None or _calls_known(query["query"])


def _calls_known(expression: str) -> bool:
    """Whether each function that an expression or a query calls is known to take nothing."""
    calls = (re.sub(r"\s", "", call[1]).lower() for call in _CALL.finditer(_NO_CALL.sub(" ", expression)))
    return all(name.removeprefix("pg_catalog.") in _FUNCTIONS or name in _KEYWORDS for name in calls)


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
    if name in _TEXTS and not _is_known(call):
        return False
    if isinstance(call.func, ast.Attribute) and _name_of(call.func.value)[0] == "func":
        return name in _FUNCTIONS
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


def _is_known(call: ast.Call) -> bool:
    """Whether a piece of SQL calls nothing unknown, e.g. a default, or a whole statement."""
    given = call.args[0] if call.args else None
    if not (isinstance(given, ast.Constant) and isinstance(given.value, str)):
        return False
    pieces = plain(given.value)
    return pieces is not None and all(
        _takes_nothing(piece) if _HARMLESS.match(piece) else _calls_known(piece) for piece in pieces
    )


def _says_harmless(call: ast.Call) -> bool:
    """Whether what is executed is a text that stands there, or a call that is judged by itself."""
    given = call.args[0] if call.args else None
    if isinstance(given, ast.Call):
        name, _ = _name_of(given.func)
        return _says_harmless(given) if name == "text" else name in {"insert", "select", "values"}
    if not (isinstance(given, ast.Constant) and isinstance(given.value, str)):
        return False
    return says_harmless(given.value)
