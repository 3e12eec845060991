"""Every example of a release refuses for what is found, also where nothing is pending."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.deep

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    *(ROOT / "docs" / "how-to").glob("*.md"),
    *(ROOT / "migrate" / "templates").glob("*"),
    *(ROOT / "deploy").rglob("*.yaml"),
    *ROOT.glob("railway*.json"),
    ROOT / "README.md",
    ROOT / "Procfile",
    ROOT / "docker-compose.test.yml",
    ROOT / ".railway" / "railway.ts",
    ROOT / "examples" / "newsifier" / ".github" / "workflows" / "release.yml",
]
# How a release is written down: a command line of its own, a quoted one, or a list.
RELEASE = re.compile(
    r'^(?:\S+=\S+ +|release: |  )*migrate up\b.*|"migrate up\b[^"]*"|\["(?:migrate", ")?up"[^\]]*\]|"\$IMAGE" up.*',
    re.MULTILINE,
)


def releases(text: str) -> list[str]:
    """The releases that a file starts."""
    return RELEASE.findall(text)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_release_is_strict(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    # the sentences of a page begin lines with `migrate up`, too, in backticks
    assert [line for line in releases(text) if "--strict" not in line] == []


def test_the_examples_have_releases() -> None:
    found = [line for file in EXAMPLES for line in releases(file.read_text(encoding="utf-8"))]
    assert len(found) > 15
    assert releases('release: migrate up\n["up"]') == ["release: migrate up", '["up"]']
