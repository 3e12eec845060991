"""Every problem has an example of what leads to it and of what mends it."""

from __future__ import annotations

import ast

import pytest

from migrate.core.problems import CATALOGUE
from migrate.core.problems.examples import EXAMPLES, Example, Snippet

SNIPPETS = [getattr(example, side) for example in EXAMPLES.values() for side in ("bad", "good")]
IDS = [f"{code}-{side}" for code in EXAMPLES for side in ("bad", "good")]


def test_every_problem_has_an_example() -> None:
    assert set(EXAMPLES) == set(CATALOGUE)
    assert list(EXAMPLES) == list(CATALOGUE)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_what_is_good_is_not_what_is_bad(example: Example) -> None:
    assert example.bad.code.strip()
    assert example.good.code.strip()
    assert example.bad != example.good


@pytest.mark.parametrize("snippet", SNIPPETS, ids=IDS)
def test_it_is_short(snippet: Snippet) -> None:
    lines = snippet.code.splitlines()
    assert len(lines) <= 6
    assert [line for line in lines if len(line) > 125] == []


@pytest.mark.parametrize("snippet", SNIPPETS, ids=IDS)
def test_python_compiles(snippet: Snippet) -> None:
    if snippet.language == "python":
        tree = ast.parse(snippet.code)
        assert tree.body
