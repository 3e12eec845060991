"""The made pages are what the code would make, every one can be reached, and no link leads nowhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from migrate.core.decide.outcome import Result
from migrate.core.problems import CATALOGUE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")

PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate.py"))


def test_committed_pages_are_what_the_code_says(generator: dict[str, Any]) -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in generator["pages"]().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert stale == [], "run: make docs"


def test_every_problem_has_its_page_and_no_page_is_without_a_problem(generator: dict[str, Any]) -> None:
    assert {path.stem for path in (DOCS / "problems").iterdir()} == {*CATALOGUE, "index"}
    assert generator["orphans"]() == []


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_page_shows_no_placeholder_as_only_the_source_knows_it(code: str) -> None:
    page = (DOCS / "problems" / f"{code}.md").read_text("utf-8")
    assert not re.search(r"\{\w+\}", page.partition("## For example")[0])  # there they may be what a setting fills in


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text("utf-8")) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_the_site_leads_out_of_it(page: Path) -> None:
    if page.is_relative_to(DOCS):
        links = [(page.parent / link).resolve() for link in LINK.findall(page.read_text("utf-8"))]
        assert [link for link in links if not link.is_relative_to(DOCS)] == []


def test_every_problem_page_is_linked_from_the_exit_codes() -> None:
    page = DOCS / "reference" / "exit-codes.md"
    linked = {(page.parent / link).resolve() for link in LINK.findall(page.read_text("utf-8"))}
    assert {(DOCS / "problems" / f"{code}.md").resolve() for code in CATALOGUE} <= linked


def test_the_page_of_log_lines_names_every_outcome() -> None:
    page = (DOCS / "reference" / "log-lines.md").read_text("utf-8")
    (row,) = re.findall(r"^\| `outcome` \| (.+) \|$", page, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [str(result) for result in Result]


def test_every_page_stands_in_the_sites_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"([\w-]+/[\w-]+\.md)$", text, re.MULTILINE))
    folders = ("tutorial", "how-to", "reference", "explanation")
    assert {str(page.relative_to(DOCS)) for name in folders for page in (DOCS / name).glob("*.md")} <= listed
    assert "problems/index.md" in listed, "which leads to the others"


@pytest.mark.parametrize("folder", ["how-to", "explanation", "reference", "decisions", "problems"])
def test_the_index_of_a_folder_links_every_page_of_it(folder: str) -> None:
    index = DOCS / folder / "index.md"
    linked = {link for link in LINK.findall(index.read_text("utf-8")) if "/" not in link}
    assert {page.name for page in (DOCS / folder).glob("*.md")} - {"index.md"} <= linked


def test_every_diagram_is_shown_and_says_in_words_what_it_shows() -> None:
    shown = {
        name: said
        for page in PAGES
        for said, name in re.findall(r"!\[([^]]*)\]\(\.\./diagrams/([\w-]+)\.svg\)", page.read_text("utf-8"))
    }
    assert set(shown) == {path.stem for path in (DOCS / "diagrams").glob("*.txt")}
    assert set(shown) == {path.stem for path in (DOCS / "diagrams").glob("*.svg")}
    assert all(len(said) > 20 for said in shown.values())
