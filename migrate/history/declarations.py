"""What one revision file declares: by a single pass over its header, else by its syntax tree, never by running it."""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.problems import advice
from migrate.core.quoting import word

NOT_COMPILABLE: Final = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What `compile` raises for a source that it refuses; a null byte is a ValueError before Python 3.11.4."""


class Declaration(NamedTuple):
    """The four names that Alembic takes from a revision file, and what the file says of itself."""

    id: str
    down: tuple[str, ...]
    depends_on: tuple[str, ...]
    labels: tuple[str, ...]
    message: str


def declared_by(data: bytes, file: str, real_name: str) -> Declaration | HistoryFault:
    """Return what a revision file with these bytes declares.

    `file` names it to people; `real_name` is its own name, the id of a revision from before Alembic 0.2 (`1a2b3c.py`).
    A file that computes one of the names when it runs is a fault of kind `DYNAMIC`.
    """
    return scan_header(data) or read_tree(data, file, real_name)


def not_compilable(error: BaseException, data: bytes, file: str) -> HistoryFault:
    """Return the fault of a file that `compile` refused with one of `NOT_COMPILABLE`."""
    why, line = "it is nested too deeply", None
    if b"\0" in data:
        why, line = "there is a null byte", data.count(b"\n", 0, data.index(b"\0")) + 1
    elif isinstance(error, SyntaxError):
        why, line = error.msg, error.lineno or None
    return HistoryFault(
        FaultKind.SYNTAX,
        f"{file}{f', line {line}' if line else ''} is not valid Python: {why}",
        advice(f"correct {word(file)}; python -m py_compile on it shows the place"),
        files=(file,),
        line=line,
    )


# The header of a revision file: from its first byte, as far as only these lines follow each other: blank lines,
# comments, first of all one docstring, imports, assignments of simple values. Anything else ends it. Because it
# starts at the first byte and knows every line that it passes, nothing inside a string or a block can be taken for a
# declaration. The time is linear in the length of the file: no two parts that follow each other can take the same
# character, so giving one back is of no use to the next, and the search ends there. (A possessive loop would say so,
# but CPython 3.11.2 matches some of them wrongly.)
_NAMES: Final = ("revision", "down_revision", "depends_on", "branch_labels")
_LISTS = "down_revision|depends_on|branch_labels"
_ANY = f"revision|{_LISTS}"
_LINE_END = r"(?:#[^\n]*)?(?:\n|\Z)"
_END = rf"[ \t]*{_LINE_END}"
_STRING = r"""(?:"[^"\\\n]+"|'[^'\\\n]+')"""
_GAP = r"[ \t\n]*(?:#[^\n]*\n[ \t\n]*)*"
_ITEMS = rf"{_GAP}(?:{_STRING}{_GAP},{_GAP})*(?:{_STRING}{_GAP})?"
_VALUE = rf"(?:None|{_STRING}|\({_ITEMS}\)|\[{_ITEMS}\])"
_EQUALS = r"[ \t]*(?::[A-Za-z0-9_.,|\[\] \t]+)?=[ \t]*"
_DECLARATION = rf"(?:revision{_EQUALS}{_STRING}|(?:{_LISTS}){_EQUALS}{_VALUE}){_END}"
_OTHER = rf"(?!(?:{_ANY})\b)[A-Za-z_][A-Za-z0-9_]*{_EQUALS}(?:True|False|[0-9]+|{_VALUE}){_END}"
_IMPORT = rf"(?:import|from)\b(?![^\n]*\b(?:{_ANY})\b)[A-Za-z0-9_., \t]+{_LINE_END}"
_LONG_IMPORT = rf"from\b[A-Za-z0-9_. \t]+\((?![^)]*\b(?:{_ANY})\b)[A-Za-z0-9_, \t\n]+\){_END}"
_BLANK = r"[ \t]*(?:#[^\n]*)?\n"
_DOCSTRING = rf'''(?:"""[^"\\]*(?:"(?!"")[^"\\]*)*"""|\'\'\'[^'\\]*(?:'(?!'')[^'\\]*)*\'\'\'|{_STRING})'''
_HEADER = re.compile(
    rf"(?:{_BLANK})*(?:({_DOCSTRING}){_END})?((?:{_BLANK}|{_DECLARATION}|{_IMPORT}|{_LONG_IMPORT}|{_OTHER})*)"
)
_ONE_DECLARATION = re.compile(rf"^({_ANY}){_EQUALS}({_VALUE})", re.MULTILINE)
_COMMENT_OR_STRING = re.compile(rf"#[^\n]*|({_STRING})")
_REBINDING = re.compile(rf"\b(?:{_ANY})\b|import[\s\\]*\*")
_SUSPECT: Final = ("revision", "depends_on", "branch_labels", "import")
# Of a header, what is imported; behind it, a line outside any block that is not the beginning of a function.
_IMPORTED = re.compile(r"^(?:from[ \t]+([A-Za-z0-9_.]+)|import[ \t]+([A-Za-z0-9_., \t]+))", re.MULTILINE)
_ACTS = re.compile(r"^(?!def \w+\([\w, ]*\)(?: *-> *None)? *:|[ \t)\]}#]|$)", re.MULTILINE)
_HARMLESS: Final = frozenset({"alembic", "sqlalchemy", *sys.stdlib_module_names})
_FOREIGN_ENCODING = re.compile(rb"(?:[^\n]*\n)?[^\n]*coding[:=](?![ \t]*(?i:utf-?8)\b)")
_LEGACY_NAME = re.compile(r"([a-f0-9]+)\.py$")
_BOM: Final = b"\xef\xbb\xbf"


def scan_header(data: bytes) -> Declaration | None:
    """Return what the header says, when that is certain; None when it takes a parser to tell.

    What follows the header is searched only for what could bind one of the names again: a syntax error there goes
    unnoticed.
    """
    found = _read_header(data)
    return found[0] if found is not None else None


def declared_without_effect(data: bytes) -> Declaration | None:
    """Return what the header says, when it is certain, too, that running the file does nothing but define functions.

    What it imports is Alembic's, SQLAlchemy's or Python's own; None for any other file.
    """
    found = _read_header(data)
    if found is None:
        return None
    declared, header, rest = found
    imported = [name for names in _IMPORTED.findall(header) for name in "".join(names).split(",")]
    if any(name.split(".")[0].split()[0] not in _HARMLESS for name in imported):
        return None
    return declared if _ACTS.search(rest) is None else None


def _read_header(data: bytes) -> tuple[Declaration, str, str] | None:
    """Return what the header says, the text of it, and the text behind it."""
    if b"\0" in data or _FOREIGN_ENCODING.match(data):
        return None
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    header = cast("re.Match[str]", _HEADER.match(text))  # Every part of the pattern may be empty, so it always matches.
    docstring, body = header.groups()
    declared = {name: _strings(value) for name, value in _ONE_DECLARATION.findall(body)}
    rest = text[header.end() :]
    if "revision" not in declared or "down_revision" not in declared or _may_rebind(rest):
        return None
    quotes = 3 if docstring and docstring.startswith(('"""', "'''")) else 1
    found = Declaration(
        declared["revision"][0],
        declared["down_revision"],
        declared.get("depends_on", ()),
        declared.get("branch_labels", ()),
        _first_line(docstring[quotes:-quotes]) if docstring else "",
    )
    return found, body, rest


def _strings(value: str) -> tuple[str, ...]:
    """Return the strings of a value of the header; most are one, or None."""
    if value == "None":
        return ()
    if value[0] not in "([":
        return (value[1:-1],)
    return tuple(string[1:-1] for string in _COMMENT_OR_STRING.findall(value) if string)


def _may_rebind(text: str) -> bool:
    """Whether the text that follows a header could give one of the names another value."""
    if not text.isascii():
        # Python folds identifiers to NFKC: "revision" in full-width letters is the same name.
        from unicodedata import normalize

        text = normalize("NFKC", text)
    # The plain search answers for nearly all files, in a twentieth of the pattern's time.
    return any(word in text for word in _SUSPECT) and _REBINDING.search(text) is not None


def _first_line(docstring: str) -> str:
    """Return what Alembic shows of a revision, the beginning of its docstring: one line, without lone surrogates."""
    line = docstring.strip().partition("\n")[0].rstrip()
    return line.encode("utf-8", "backslashreplace").decode()


def read_tree(data: bytes, file: str, real_name: str) -> Declaration | HistoryFault:
    """Return what the syntax tree says: certain is the value of a plain assignment of literals outside any block."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
    except NOT_COMPILABLE as error:
        return not_compilable(error, data, file)
    values = _values(tree)
    legacy = _LEGACY_NAME.match(real_name)
    if legacy is not None:
        values.setdefault("revision", ast.Constant(legacy[1]))
    for required in ("revision", "down_revision"):
        if required not in values:
            return HistoryFault(
                FaultKind.UNDECLARED,
                f"{file} is in the folder of the revisions but declares no {required}",
                advice(
                    f"declare {required} in {word(file)}, or move it: Alembic takes every .py file there for a revision"
                ),
                files=(file,),
            )
    literals = {name: _literal(value) for name, value in values.items()}
    if not isinstance(values["revision"], ast.Constant) or not literals["revision"]:
        literals["revision"] = None
    on = values.get("depends_on")
    if isinstance(on, ast.Constant) and on.value == "":  # none, to Alembic
        literals["depends_on"] = ()
    computed = [name for name, literal in literals.items() if literal is None]
    if computed:
        return dynamic(file, f"computes {' and '.join(computed)} when it runs")
    settled = {name: literal for name, literal in literals.items() if literal is not None}
    return Declaration(
        id=settled["revision"][0],
        down=settled["down_revision"],
        depends_on=settled.get("depends_on", ()),
        labels=settled.get("branch_labels", ()),
        message=_first_line(ast.get_docstring(tree, clean=False) or ""),
    )


def dynamic(file: str, why: str) -> HistoryFault:
    """Return the fault of a file that has to be run to know what it declares."""
    return HistoryFault(
        FaultKind.DYNAMIC,
        f"{file} {why}; its place in the history cannot be read from its text",
        advice(
            f"write revision, down_revision, depends_on and branch_labels in {word(file)} as plain strings, tuples or None"
        ),
        files=(file,),
    )


def _values(tree: ast.Module) -> dict[str, ast.expr | None]:
    """Return the expression that each of the four names ends up bound to; None where only running the file can tell."""
    values: dict[str, ast.expr | None] = {}
    for statement in tree.body:
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign):
            if statement.value is None:
                continue  # An annotation alone binds nothing.
            targets, value = [statement.target], statement.value
        for name in _bound_by(statement):
            values.update(dict.fromkeys(_NAMES if name == "*" else (name,)))
        values.update({target.id: value for target in targets if isinstance(target, ast.Name)})
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            values.update(dict.fromkeys(node.names))
    return {name: values[name] for name in _NAMES if name in values}


def _bound_by(statement: ast.stmt) -> Iterator[str]:
    """Yield every name that a statement of the module binds or deletes; `*` for an import of everything.

    The bodies of functions and classes are scopes of their own and are left out.
    """
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
                todo.extend((*node.decorator_list, node.args))
                continue
            case ast.ClassDef():
                yield node.name
                todo.extend((*node.decorator_list, *node.bases, *node.keywords))
                continue
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield node.id
            case ast.alias():
                yield node.asname or node.name.partition(".")[0]
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(rest)):
                yield rest
            case _:
                pass
        todo.extend(ast.iter_child_nodes(node))


def _literal(value: ast.expr | None) -> tuple[str, ...] | None:
    """Return the ids or labels of `None`, a string, or a tuple or list of strings; None for anything else."""
    match value:
        case ast.Constant(value=None):
            return ()
        case ast.Constant(value=str(text)) if text:
            return (text,)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            texts = [
                element.value
                for element in elements
                if isinstance(element, ast.Constant) and isinstance(element.value, str) and element.value
            ]
            return tuple(texts) if len(texts) == len(elements) else None
        case _:
            return None
