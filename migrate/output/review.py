"""Renders pending revisions as a comment for a pull request, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.wording import counted
from migrate.output.github import fenced, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.decide.review import Reviewed

_NOT_KNOWN = "not known: the manifest was written without them"


def comment(revisions: Sequence[Reviewed], rows: Sequence[str]) -> str:
    """Render the comment for revisions that are pending at these version rows; nothing in them is markup."""
    where = plain(", ".join(rows) or "base")
    lines = [f"### Migrations: {counted(len(revisions), 'revision')} after {where}", ""]
    for each in revisions:
        revision = each.revision
        lines += [f"#### {plain(revision.id)}: {plain(revision.message)}", "", plain(revision.file), ""]
        if each.breaks:
            lines += ["**Breaks the release that is still running:**", "", *_list(each.breaks)]
        for title, told in (("Effects", each.effects), ("Needs of the rows", each.needs)):
            if told is None:
                lines += [f"{title}: {_NOT_KNOWN}", ""]
            elif told:
                lines += [f"{title}:", "", *_list(told)]
        lines += [*(fenced("diff", *each.changes) if each.changes else ["No change of the schema."]), ""]
    return "\n".join(lines).rstrip("\n")


def _list(sentences: Sequence[str]) -> list[str]:
    return [*(f"- {plain(sentence)}" for sentence in sentences), ""]
