"""Reads Python that is not ours."""

from __future__ import annotations

import ast
import warnings


def parsed(source: str) -> ast.Module:
    """The tree of a source; what Python would warn of in it is no matter of ours, and would go to stderr.

    Raises SyntaxError, and ValueError (a NUL).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)
