"""Renders `migrate report` as Markdown."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from migrate.output.github import fenced, plain
from migrate.output.page import CURRENT, PENDING

if TYPE_CHECKING:
    from migrate.output.page import Page, RunRow


def report_page(page: Page) -> str:
    """Render the page for GitHub's step summary and wherever else Markdown is read; nothing in it is markup."""
    lines = [
        f"# {plain(page.database)}: {plain(page.position)}",
        "",
        f"{plain(page.service)}, {plain(page.server)}, read {plain(page.made)} by migrate {plain(page.version)}",
        "",
        "| | |",
        "|---|---|",
        f"| database is at | {plain(page.rows)} |",
        f"| migrate up | {plain(page.decision)} |",
        f"| pending revisions | {page.pending} |",
        f"| runs recorded | {len(page.runs)}{' or more' if page.runs_limited else ''} |",
        "",
        *(f"- **Finding:** {plain(finding)}" for finding in page.findings),
        "",
        *_coming(page),
        "## Drift",
        "",
        *([f"- {plain(entry)}" for entry in page.drift] if page.drift else [plain(page.drift_said)]),
        "",
        "## Runs",
        "",
    ]
    if page.runs:
        lines += ["| started | run | outcome | from | to | took | changed |", "|---|---|---|---|---|---|---|"]
        lines += [_run(run) for run in page.runs]
    else:
        lines.append("The ledger has no runs on this database.")
    lines += ["", "## Revisions", ""]
    lines += ["| state | revision | what it does | applied | took |", "|---|---|---|---|---|"]
    for revision in page.revisions:
        state = f"**{revision.mark}**" if revision.mark in {CURRENT, PENDING} else revision.mark
        head = " (head)" if revision.is_head else ""
        lines.append(
            f"| {state}{head} | {plain(revision.id)} | {plain(revision.message)} | {revision.applied} | {revision.took} |"
        )
    changed = [revision for revision in page.revisions if revision.lines]
    if changed:
        lines += ["", "## What each revision changed", ""]
    for revision in changed:
        lines += [f"<details><summary>{_raw(revision.id)} {_raw(revision.message)}</summary>", ""]
        lines += [*fenced("diff", *revision.lines), "", "</details>", ""]
    return "\n".join([*lines, ""])


def _coming(page: Page) -> list[str]:
    if not page.coming:
        return []
    lines = ["## What comes next", ""]
    for each in page.coming:
        lines += [f"### {plain(each.id)}: {plain(each.message)}", ""]
        for title, sentences in (
            ("**Breaks the release that is still running:**", each.breaks),
            ("Effects:", each.effects),
            ("Needs of the rows:", each.needs),
        ):
            if sentences:
                lines += [title, "", *(f"- {plain(sentence)}" for sentence in sentences), ""]
        if each.unknown:
            lines += [f"The manifest does not say its {' and '.join(each.unknown)}.", ""]
        lines += [*(fenced("diff", *each.lines) if each.lines else ["No change of the schema."]), ""]
    return lines


def _raw(text: str) -> str:
    """One line inside of HTML, where Markdown's own escapes do not count."""
    return escape(" ".join(text.split()))


def _run(run: RunRow) -> str:
    problem = f" ({plain(run.problem)}, exit code {run.exit_code})" if run.problem else ""
    changed = ", ".join(f"{plain(change.revision)}: {len(change.lines)}" for change in run.changes) or "nothing"
    cells = (run.started, plain(run.run_id), f"{plain(run.verb)} {plain(run.outcome)}{problem}")
    return f"| {' | '.join(cells)} | {plain(run.rows_before)} | {plain(run.rows_after)} | {run.took} | {changed} |"
