"""Renders pending revisions as a comment for a pull request, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.wording import counted
from migrate.output.github import fenced, plain, workflow_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrate.core.decide.review import Mark, Reviewed
    from migrate.core.problems import Problem

_NOT_KNOWN = "not known: the manifest was written without them"


def comment(revisions: Sequence[Reviewed], rows: Sequence[str], refusal: Problem | None = None) -> str:
    """Render the comment for revisions that are pending at these version rows; nothing in them is markup.

    ``refusal`` is why a release would not run them.
    """
    where = plain(", ".join(rows) or "base")
    lines = [f"### Migrations: {counted(len(revisions), 'revision')} after {where}", ""]
    if refusal is not None:
        code = f"{refusal.exit_code:d} `{refusal.kind.code}`"
        lines += [f"**A release would be refused ({code}):** {plain(refusal.why)}", ""]
        lines += [*fenced("", *str(refusal.fix).splitlines()), ""] if refusal.fix else []
    for each in revisions:
        revision = each.revision
        lines += [f"#### {plain(revision.id)}: {plain(revision.message)}", "", plain(revision.file), ""]
        if each.breaks:
            lines += ["**Breaks the release that is still running:**", "", *_list(each.breaks)]
        for title, told in (("Effects", each.effects_said), ("Needs of the rows", each.needs_said)):
            if told is None:
                lines += [f"{title}: {_NOT_KNOWN}", ""]
            elif told:
                lines += [f"{title}:", "", *_list(told)]
        for way in each.safer:
            lines += [f"Safer: {plain(way.sentence)}", ""]
            if way.revisions:
                said = f"{counted(len(way.revisions), 'revision')} instead"
                blocks = [line for step in way.revisions for line in (*fenced("python", *step.lines()), "")]
                lines += [f"<details><summary>{said}</summary>", "", *blocks, "</details>", ""]
        lines += [*(fenced("diff", *each.changes) if each.changes else ["No change of the schema."]), ""]
    return "\n".join(lines).rstrip("\n")


def _list(sentences: Sequence[str]) -> list[str]:
    return [*(f"- {plain(sentence)}" for sentence in sentences), ""]


def annotation_lines(marks: Iterable[tuple[Mark, str | None, int | None]]) -> list[str]:
    """Render a workflow command for each mark; with each its file's path in the repository, and its line there."""
    return [
        workflow_command(
            "error" if mark.is_error else "warning",
            f"revision {mark.revision.id} {mark.text}",
            title=mark.rule.replace("-", " "),
            path=path,
            line=line,
        )
        for mark, path, line in marks
    ]
