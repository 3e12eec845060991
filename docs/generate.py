"""Writes every page that is made from the code: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from migrate.core.problems import CATALOGUE

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import catalogue_pages  # noqa: E402 - all are found beside this file, wherever it is started
import decision_table  # noqa: E402
import diagrams  # noqa: E402
import schema_pages  # noqa: E402
import settings_page  # noqa: E402


def pages() -> dict[Path, str]:
    """Every made page, by its path."""
    decisions = DOCS / "explanation" / "decisions.md"
    return {
        **diagrams.diagrams(),
        decisions: decision_table.filled(decisions.read_text("utf-8")),
        DOCS / "reference" / "doctor.md": catalogue_pages.doctor_page(),
        DOCS / "reference" / "events.md": catalogue_pages.events_page(),
        DOCS / "reference" / "trial.md": catalogue_pages.trial_page(),
        DOCS / "reference" / "exit-codes.md": catalogue_pages.exit_codes_page(),
        DOCS / "reference" / "settings.md": settings_page.page(),
        DOCS / "schemas" / "settings.schema.json": schema_pages.settings_schema(),
        DOCS / "schemas" / "log-line.schema.json": schema_pages.log_line_schema(),
        DOCS / "schemas" / "manifest.schema.json": schema_pages.manifest_schema(),
        DOCS / "problems" / "index.md": catalogue_pages.problems_page(),
        **{DOCS / "problems" / f"{kind.code}.md": catalogue_pages.problem_page(kind) for kind in CATALOGUE.values()},
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
