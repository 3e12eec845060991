"""Renders a comparison of two schemas: as text, as the SQL that would make them equal, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.schema.differences import Renamed
from migrate.core.schema.repair_sql import repairs
from migrate.output.github import fenced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrate.core.schema.differences import Difference, Differences

_NEVER: Final = "never executed by migrate"


def statements(differences: Differences, expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """The SQL for every difference that a simple statement puts right."""
    return [statement for _, statement in repairs(differences, expected, actual)]


def as_text(of: str, other: str, expected_by: str, differences: Differences, sql: Sequence[str]) -> str:
    """For a terminal: the groups, then the SQL that nobody runs but whoever reads it."""
    if not differences:
        return f"{of} matches {other}"
    lines = [f"{of} compared with {other}"]
    titles = {"missing": f"missing in {of}", "extra": f"not in {expected_by}"}
    for title, group in _groups(differences):
        lines += [f"{titles.get(title, title)}:", *(f"  {_line(each, expected_by, of)}" for each in group)]
    if sql:
        lines += ["", f"-- SQL that repairs the simple ones; {_NEVER}", *sql]
    return "\n".join(lines)


def accepted_text(sentences: Sequence[str]) -> str:
    """What was recorded as meant, under either form; empty where nothing was."""
    if not sentences:
        return ""
    listed = "".join(f"\n- {sentence}" for sentence in sentences)
    return f"\n\nAccepted earlier (migrate adopt --accept-differences), and not counted:\n{listed}"


def newer_text(sentences: Sequence[str]) -> str:
    """What a database that is ahead has more; empty where that is nothing."""
    if not sentences:
        return ""
    listed = "".join(f"\n- {sentence}" for sentence in sentences)
    return f"\n\nThe database is newer than this image; what it has more is not counted:\n{listed}"


def as_sql(of: str, other: str, expected_by: str, differences: Differences, sql: Sequence[tuple[str, str]]) -> str:
    """For psql: each statement under its difference, and as a comment what no simple statement puts right.

    ``sql`` are pairs of a difference's sentence and its statements.
    """
    lines = [_comment(f"leads from {of} to {other}, {_NEVER}")]
    if any(" CONCURRENTLY " in statement for _, statement in sql):
        lines.append(
            _comment("send each statement by itself, as psql -f does: CONCURRENTLY does not run in a transaction")
        )
    done = set()
    for sentence, statement in sql:
        done.add(sentence)
        lines += ["", _comment(sentence), statement]
    left = [said for said in differences.sentences(expected_by, of) if said not in done]
    if left:
        lines += ["", _comment("these need more than a simple statement:"), *map(_comment, left)]
    return "\n".join(lines)


def pairs(
    differences: Differences, expected: Mapping[str, str], actual: Mapping[str, str], expected_by: str, of: str
) -> list[tuple[str, str]]:
    """Each difference that a simple statement puts right, as its sentence and that statement."""
    return [(_said(difference, expected_by, of), sql) for difference, sql in repairs(differences, expected, actual)]


def as_markdown(of: str, other: str, expected_by: str, differences: Differences, sql: Sequence[str]) -> str:
    """For a pull request or a step's summary: a table of differences, and the SQL."""
    if not differences:
        return f"**{_cell(of)}** matches **{_cell(other)}**."
    lines = [f"**{_cell(of)}** compared with **{_cell(other)}**", "", "| | difference |", "|---|---|"]
    for title, group in _groups(differences):
        lines += [f"| {title} | {_cell(_said(difference, expected_by, of))} |" for difference in group]
    if sql:
        lines += ["", f"SQL that repairs the simple ones; {_NEVER}:", "", *fenced("sql", *sql)]
    return "\n".join(lines)


def _groups(differences: Differences) -> list[tuple[str, Sequence[Difference | Renamed]]]:
    groups: list[tuple[str, Sequence[Difference | Renamed]]] = [
        ("missing", differences.missing),
        ("changed", differences.changed),
        ("extra", differences.extra),
        ("same, other name", differences.renamed),
    ]
    return [(title, group) for title, group in groups if group]


def _said(difference: Difference | Renamed, expected_by: str, of: str) -> str:
    return difference.sentence() if isinstance(difference, Renamed) else difference.sentence(expected_by, of)


def _line(difference: Difference | Renamed, expected_by: str, of: str) -> str:
    """As a diff has it, where what the object is has room in a line."""
    if isinstance(difference, Renamed):
        return f"~ {difference.sentence()}"
    identity, expected, actual = difference.identity, difference.expected, difference.actual
    if "\n" in f"{expected}{actual}":
        return f"{'+' if expected is None else '-' if actual is None else '~'} {_said(difference, expected_by, of)}"
    if actual is None or expected is None:
        return f"{'-' if actual is None else '+'} {identity}: {expected or actual}"
    return f"~ {identity}: {expected} -> {actual}"


def _comment(text: str) -> str:
    return "\n".join(f"-- {line}" for line in text.splitlines() or [""])


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return escaped.replace("_", "\\_").replace("\n", " ")
