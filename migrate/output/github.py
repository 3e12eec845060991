"""Renders a run's last line for GitHub Actions: an annotation on the revision's file, and the job's summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from migrate.core.problems.fix import Language
from migrate.core.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LISTED: Final = 20
_BACKTICKS: Final = re.compile("`+")


def annotation(last: Mapping[str, object], path: str | None) -> str | None:
    """Render the workflow command that marks the problem; None for a run without one.

    ``last`` are the fields of ``run.finished``, already redacted; ``path`` is the revision's file relative to the
    repository. The escapes are those of GitHub's own toolkit (actions/toolkit, ``packages/core/src/command.ts``).
    """
    if "problem" not in last:
        return None
    said = f"{last['why']}\n{last['fix']}"
    return workflow_command("error", said, title=str(last["title"]), path=path, line=last.get("line"))


def workflow_command(kind: str, said: object, *, title: str, path: str | None, line: object) -> str:
    """Render an annotation; ``kind`` is error, warning or notice."""
    properties = {"file": path, "line": line if path else None, "title": f"migrate: {title}"}
    shown = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value is not None)
    return f"::{kind} {shown}::{_data(said)}"


def summary(last: Mapping[str, object], fix: Sequence[tuple[Language, str]] = ()) -> str:
    """Render Markdown for ``GITHUB_STEP_SUMMARY`` from the fields of ``run.finished`` and its fix, already redacted."""
    rows = {
        "outcome": f"{last['outcome']}, exit code {last['exit_code']} ({last['exit_name']})",
        "from": _ids(last.get("from_revision")) or "nothing",
        "to": _ids(last.get("to_revision")) or "nothing",
        "applied": _counted(last, "applied"),
        "failed": _ids([last["failed"]] if last.get("failed") else []),
        "pending": _counted(last, "pending"),
        "took": f"{last['duration_ms']} ms",
    }
    lines = [f"### migrate {last['verb']}: {last['outcome']}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows.items() if value]
    if "problem" in last:
        lines += ["", f"**{plain(last['title'])}** ({plain(last['problem'])}): {plain(last['why'])}"]
        for language, text in fix:
            lines += ["", *([plain(text)] if language is Language.ADVICE else fenced(language, text))]
    return "\n".join([*lines, "", ""])


def _data(value: object) -> str:
    return str(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: object) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def plain(value: object) -> str:
    """One line in which nothing is markup, so that an error message cannot forge a summary."""
    one_line = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#&!~])", r"\\\1", one_line)


def _cell(value: object) -> str:
    return str(value).replace("\n", " ")


def _ids(values: object) -> str:
    return shortened((plain(value) for value in values), _LISTED) if isinstance(values, (list, tuple)) else ""


def _counted(last: Mapping[str, object], name: str) -> str:
    count = last.get(f"{name}_count")
    return f"{count}: {_ids(last.get(name))}" if count else ""


def fenced(language: str, *lines: str) -> list[str]:
    """The lines as a block of code, between fences that are longer than any run of backticks in them."""
    fence = "`" * max([3, *(len(run) + 1 for line in lines for run in _BACKTICKS.findall(line))])
    return [f"{fence}{language}", *lines, fence]
