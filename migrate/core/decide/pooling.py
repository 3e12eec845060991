"""What a transaction pooler on the URL cannot carry: a revision that leaves its transaction."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Final

from migrate.core.problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.decide.observation import Server
    from migrate.core.problems import Problem

# What makes a revision leave Alembic's transaction, as its text shows it.
_LEAVES_TRANSACTION: Final = ("autocommit_block", "AUTOCOMMIT", "CONCURRENTLY", "concurrently")


def leaves_transaction(source: str) -> bool:
    """Whether a revision's program shows that it commits before its end; its comments and docstrings do not count."""
    return _has_word(source) and _has_word(_program_of(source))


def _has_word(text: str) -> bool:
    return any(word in text for word in _LEAVES_TRANSACTION)


def _program_of(source: str) -> str:
    """The source without comments and without texts that stand alone; the whole of one that Python cannot read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.unparse(tree)


def refuse_pooled(
    server: Server, url_from: str, sources: Iterable[tuple[str, str]], indexes: Sequence[str] = ()
) -> Problem | None:
    """What is against running revisions on this connection, by their files and texts, which a direct one does not read.

    ``url_from`` is the variable that the URL came from; ``indexes`` are those that are to be repaired.
    """
    if server.pooled and indexes:
        return problem(
            "pooler-session",
            f"{url_from} leads to a transaction pooler, and the repair of {indexes[0]} needs settings of its session",
        )
    outside = [file for file, source in sources if leaves_transaction(source)] if server.pooled else []
    if not outside:
        return None
    return problem(
        "pooler-session",
        f"{url_from} leads to a transaction pooler, and {outside[0]} leaves its transaction: its settings would stay on a"
        " connection that others use",
        files=outside,
    )
