"""What the text of env.py gives away without being run."""

import ast
import re
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from migrate.core.url import URL_VARIABLES

_BUT_THE_USERS: Final = sys.stdlib_module_names | {"alembic", "flask", "sqlalchemy"}
_MANY: Final = 2  # as often as one cares to count
_CALLS_ONCE: Final = frozenset({"run", "run_sync", "run_until_complete", "partial"})  # what it is handed, in the end


def guess_version_table(env_py: str) -> tuple[str | None, str | None]:
    """Read `version_table` and `version_table_schema` off env.py's text; None for what is not set or cannot be known.

    Only strings, and names that the module sets once to a string, are understood. Calls of `configure` that hand over a
    connection count before the others, which are for offline mode; where those that count differ, nothing is known.
    """
    if "version_table" not in env_py:
        return None, None
    tree = _parsed(env_py)
    if tree is None:
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


@cache
def may_run_several_times(env_py: str) -> bool:
    """Whether env.py may call `run_migrations()` more than once, by its text: in a loop, in `map`, or one after the other.

    Of branches the one with the most calls counts. What cannot be understood may; a text that Python refuses will not.
    """
    tree = _parsed(env_py)
    return tree is not None and _Calls(tree).of(tree.body) > 1


def _needs_application(env_py: str) -> bool:
    """Whether env.py cannot run outside of a Flask application's context, which it does not push itself.

    So is the one of Flask-Migrate. One that imports anything of the user's is not judged: that may push one.
    """
    if "current_app" not in env_py or "app_context" in env_py:
        return False
    tree = _parsed(env_py)
    if tree is None:
        return False
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return all(name.partition(".")[0] in _BUT_THE_USERS for name in names)


def why_no_application(env_py: str, cwd: Path, named: str | None, environ: Mapping[str, str]) -> str | None:
    """Why Flask will find no application for an env.py that needs one; None where it may find one.

    By the text of env.py and the names of files: nothing is imported.
    """
    if named or environ.get("FLASK_APP") or not _needs_application(env_py) or find_spec("flask") is None:
        return None
    if any((cwd / name).exists() for name in ("wsgi.py", "app.py")):
        return None
    for name in (".env", ".flaskenv"):  # which Flask reads, in a folder above as well
        if any((folder / name).exists() for folder in (cwd, *cwd.parents)):
            return None
    return "FLASK_APP is not set, and there is no wsgi.py or app.py"


class _Calls:
    """Counts the calls of `run_migrations()` that running some part of a module may come to."""

    def __init__(self, tree: ast.Module) -> None:
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        self._functions = {node.name: node for node in functions}
        self._within: set[str] = set()

    def of(self, part: object) -> int:
        """How many calls the part comes to, at most; two stands for any number from there on."""
        match part:
            case list():
                return min(sum(map(self.of, part)), _MANY)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return 0  # it is counted where it is called
            case ast.If() | ast.IfExp():
                return min(self.of(part.test) + max(self.of(part.body), self.of(part.orelse)), _MANY)
            case ast.Match():
                return min(self.of(part.subject) + max(self.of(case.body) for case in part.cases), _MANY)
            case ast.For() | ast.AsyncFor() | ast.While() | ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return _MANY if self._of_children(part) else 0
            case ast.DictComp():
                return _MANY if self._of_children(part) else 0
            case ast.Call():
                return self._of_call(part)
            case ast.Name() | ast.Attribute():
                return _MANY if self._called(part) else self._of_children(part)  # who has it may call it at will
            case ast.AST():
                return self._of_children(part)
            case _:
                return 0

    def _of_children(self, part: ast.AST) -> int:
        return self.of([child for _, child in ast.iter_fields(part)])

    def _of_call(self, call: ast.Call) -> int:
        own = self._called(call.func) or (0 if isinstance(call.func, ast.Name) else self.of(call.func))
        once = getattr(call.func, "attr", getattr(call.func, "id", "")) in _CALLS_ONCE
        handed = [*call.args, *(keyword.value for keyword in call.keywords)]
        return min(
            own + sum(self._called(each) if once and self._called(each) else self.of(each) for each in handed), _MANY
        )

    def _called(self, function: ast.expr) -> int:
        """How many calls it comes to when this is called; 0 for what is not the module's own."""
        match function:
            case ast.Attribute(attr="run_migrations"):
                return 1
            case ast.Name(id="run_migrations"):
                return self._body("run_migrations") or 1  # the module's own, or one that it has imported
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) | ast.Name(id=name):
                return self._body(name)
            case _:
                return 0

    def _body(self, name: str) -> int:
        found = self._functions.get(name)
        if found is None:
            return 0
        if name in self._within:
            return _MANY  # it calls itself
        self._within.add(name)
        count = self.of(found.body)
        self._within.discard(name)
        return count


def _parsed(env_py: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(env_py)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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
