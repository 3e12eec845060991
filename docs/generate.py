"""Writes every page that is made from the code: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from migrate.core.problems import CATALOGUE
from migrate.report.markdown import doctor_page, events_page, exit_codes_page, problem_page, trial_page

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import settings_page  # noqa: E402 - found beside this file, wherever it is started


def pages() -> dict[Path, str]:
    """Every made page, by its path."""
    return {
        DOCS / "reference" / "doctor.md": doctor_page(),
        DOCS / "reference" / "events.md": events_page(),
        DOCS / "reference" / "trial.md": trial_page(),
        DOCS / "reference" / "exit-codes.md": exit_codes_page(),
        settings_page.PAGE: settings_page.page(),
        **{DOCS / "problems" / f"{kind.code}.md": problem_page(kind) for kind in CATALOGUE.values()},
    }


def orphans() -> list[Path]:
    """The pages of problems that no longer exist."""
    made = pages()
    return [page for page in sorted((DOCS / "problems").glob("*.md")) if page not in made]


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in orphans():
        path.unlink()
