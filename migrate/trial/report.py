"""Renders a trial: a table for people, JUnit XML for test reports, annotations for GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from migrate.output.github import workflow_command
from migrate.output.terminal import shown
from migrate.trial.cases import FOUND, CaseStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from migrate.trial.cases import Case, Trial

_TOLD: Final = (CaseStatus.FAILED, CaseStatus.WARNED)
_MARKS: Final = {
    CaseStatus.PASSED: "ok",
    CaseStatus.FAILED: "FAIL",
    CaseStatus.WARNED: "warn",
    CaseStatus.ACCEPTED: "ok*",
    CaseStatus.SKIPPED: "-",
}
_STYLES: Final = {
    CaseStatus.PASSED: "green",
    CaseStatus.FAILED: "bold red",
    CaseStatus.WARNED: "yellow",
    CaseStatus.ACCEPTED: "dim green",
    CaseStatus.SKIPPED: "dim",
}
_WIDTH: Final = 120
_CODE: Final = ("    ", "def ", "# revision ")  # of a safer way; to be pasted, so that no line of it is broken


def junit(trial: Trial, *, duration_s: float) -> str:
    """Render JUnit XML as test reports of CI systems read it: one test case for each revision and check.

    A finding that policy lets pass is a passed case whose output says what was found.
    """
    counts = trial.counts
    totals = {
        "name": "migrate test",
        "tests": str(len(trial.cases)),
        "failures": str(counts["failed"]),
        "errors": "0",
        "skipped": str(counts["skipped"]),
        "time": f"{duration_s:.3f}",
    }
    root = ET.Element("testsuites", totals)
    suite = ET.SubElement(root, "testsuite", totals)
    for case in trial.cases:
        about = {"classname": f"migrate.{case.revision or 'history'}", "name": str(case.check), "time": "0"}
        if case.file is not None:
            about["file"] = _xml(case.file)
        if case.line is not None:
            about["line"] = str(case.line)
        element = ET.SubElement(suite, "testcase", about)
        match case.verdict:
            case CaseStatus.FAILED:
                ET.SubElement(element, "failure", {"message": _xml(case.why)}).text = _xml(in_full(case))
            case CaseStatus.SKIPPED | CaseStatus.ACCEPTED:
                ET.SubElement(element, "skipped", {"message": _xml(case.why)})
            case CaseStatus.WARNED:
                ET.SubElement(element, "system-out").text = _xml(in_full(case))
            case CaseStatus.PASSED:
                pass
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def github_annotations(trial: Trial, relative: Callable[[str], str | None]) -> str:
    """Render a workflow command a line for every finding; ``relative`` gives a file's path in the repository."""
    lines = []
    for case in trial.with_verdict(*_TOLD):
        kind = "error" if case.verdict is CaseStatus.FAILED else "warning"
        path = relative(case.file) if case.file is not None else None
        said = "\n".join((case.why, *case.details))
        about = f"revision {case.revision}" if case.revision else "the history"
        lines.append(workflow_command(kind, said, title=f"{case.check} of {about}", path=path, line=case.line))
    return "".join(f"{line}\n" for line in lines)


def in_full(case: Case) -> str:
    """A finding with its place and its details, a line each."""
    place = f"{case.place}: " if case.place else ""
    return "\n".join((f"{place}{case.why}", *case.details))


def table(trial: Trial, *, colour: bool) -> str:
    """Render a row for each revision, a column for each check, and the findings below."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    checks = list(dict.fromkeys(case.check for case in trial.cases if case.revision is not None))
    parts: list[RenderableType] = []
    if checks:
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        grid.add_column("revision", no_wrap=True)
        for check in checks:
            grid.add_column(str(check), no_wrap=True)
        for revision in dict.fromkeys(case.revision for case in trial.cases if case.revision is not None):
            of = {case.check: case.verdict for case in trial.cases if case.revision == revision}
            marks = [Text(_MARKS[of[check]], _STYLES[of[check]]) if check in of else Text("") for check in checks]
            grid.add_row(Text(shown(revision)), *marks)
        parts.append(grid)
    for case in trial.cases:
        if case.revision is None:
            said = f"  {shown(case.why)}" if case.verdict is CaseStatus.SKIPPED else ""
            parts.append(Text.assemble((_MARKS[case.verdict], _STYLES[case.verdict]), f" {case.check}{said}"))
    for case in trial.with_verdict(*FOUND):
        parts.append(Text(""))
        parts.append(
            Text.assemble((_MARKS[case.verdict], _STYLES[case.verdict]), f" {case.check}  {shown(case.place)}")
        )
        # the mark before it: GitHub acts on a line that begins with two colons, after any white space
        for line in (case.why, *case.details):
            is_code = not line or line.startswith(_CODE)
            said = f"       {shown(line)}".rstrip() if is_code else f"     - {shown(line)}"
            parts.append(Text(said, no_wrap=is_code, overflow="ignore" if is_code else None))
    parts += [Text(""), Text(trial.summary)]
    console = Console(
        width=_WIDTH,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        color_system="standard" if colour else None,
    )
    with console.capture() as captured:
        for part in parts:  # each by itself: joined, and without being told, rich would break all of them alike
            is_whole = isinstance(part, Text) and bool(part.no_wrap)
            console.print(part, no_wrap=is_whole or None, overflow="ignore" if is_whole else None, crop=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return "".join(
        c if c in "\t\n" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff" else "?" for c in text
    )
