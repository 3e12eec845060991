"""What can be wrong with a history, or with a name that is to be found in it."""

from enum import StrEnum

from migrate.core.problems import Fix
from migrate.core.value import Value


class FaultKind(StrEnum):
    """Every way in which a history or a target name can be at fault."""

    DUPLICATE_ID = "duplicate_id"
    ILLEGAL_ID = "illegal_id"
    LABEL_CLASH = "label_clash"
    MISSING_PARENT = "missing_parent"
    MISSING_DEPENDENCY = "missing_dependency"
    SELF_LOOP = "self_loop"
    CYCLE = "cycle"
    SEVERAL_HEADS = "several_heads"
    UNKNOWN_TARGET = "unknown_target"
    AMBIGUOUS_TARGET = "ambiguous_target"
    OVERLAPPING_TARGET = "overlapping_target"
    UNSUPPORTED_TARGET = "unsupported_target"
    UNREADABLE = "unreadable"
    SYNTAX = "syntax"
    UNDECLARED = "undeclared"
    DYNAMIC = "dynamic"


class HistoryFault(Value):
    """One fault of the history, with its facts.

    `revisions` are the ids concerned (of a `CYCLE` in order, each revision before the one that it builds on), `files`
    the names of the files, `line` the 1-based line of a syntax error.
    """

    kind: FaultKind
    why: str
    fix: Fix
    revisions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    line: int | None = None
