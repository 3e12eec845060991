"""What the text of env.py gives away without being run."""

import ast
import re
import warnings
from importlib.util import find_spec

from migrate.core.url import URL_VARIABLES


def guess_version_table(env_py: str) -> tuple[str | None, str | None]:
    """Read `version_table` and `version_table_schema` off env.py's text; None for what is not set or cannot be known.

    Only strings, and names that the module sets once to a string, are understood. Calls of `configure` that hand over a
    connection count before the others, which are for offline mode; where those that count differ, nothing is known.
    """
    if "version_table" not in env_py:
        return None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(env_py)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, None
    calls = [_arguments(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_configure(node.func)]
    calls = [call for call in calls if "connection" in call] or calls
    constants = _string_constants(tree)

    def agreed(option: str) -> str | None:
        values: set[str | None] = set()
        for call in calls:
            value = call.get(option)
            if isinstance(value, ast.Name):
                values.add(constants.get(value.id))
            else:
                values.add(value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None)
        return values.pop() if len(values) == 1 else None

    return agreed("version_table"), agreed("version_table_schema")


def missing_driver(env_py: str, driver: str | None) -> str | None:
    """The module of the driver that SQLAlchemy is about to import for the database URL, where it is not installed.

    ``driver`` is the one that the URL names. Without one, `sqlalchemy.url` names psycopg2; an env.py that reads the URL
    elsewhere leaves the choice to SQLAlchemy, which takes psycopg from 2.1 on. What env.py makes of the URL before is not
    known, so that one which speaks of drivers itself is not judged.
    """
    if "postgresql+" in env_py:
        return None
    if driver is not None:
        module = driver.removesuffix("_async")
        return module if find_spec(module) is None else None
    reads_option = "sqlalchemy.url" in env_py or "engine_from_config" in env_py
    if reads_option and not any(name in env_py for name in URL_VARIABLES):
        return None
    return "psycopg" if find_spec("psycopg") is None and _prefers_psycopg() else None


def _prefers_psycopg() -> bool:
    """Whether the installed SQLAlchemy takes psycopg for ``postgresql://`` (its changelog, 2.1.0b1)."""
    from importlib import metadata

    try:
        numbers = re.match(r"(\d+)\.(\d+)", metadata.version("SQLAlchemy"))
    except metadata.PackageNotFoundError:
        return False
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (2, 1)


def _is_configure(called: ast.expr) -> bool:
    match called:
        case ast.Attribute(attr="configure") | ast.Name(id="configure"):
            return True
        case _:
            return False


def _arguments(call: ast.Call) -> dict[str | None, ast.expr]:
    """Return the arguments by name; the first parameter of `configure` is the connection."""
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    return {"connection": call.args[0], **by_name} if call.args else by_name


def _string_constants(tree: ast.Module) -> dict[str, str]:
    """Return the module's names that are bound once, to a string."""
    values: dict[str, str] = {}
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else ()
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            values.update({target.id: value.value for target in targets if isinstance(target, ast.Name)})
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {name: value for name, value in values.items() if stored.count(name) == 1}
