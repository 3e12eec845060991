"""The renderings of a trial say the same of it, whatever is in its texts."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from migrate.core.trial_checks import TrialCheck
from migrate.trial.cases import Case, CaseStatus, Trial
from migrate.trial.report import github_annotations, junit, table

HOSTILE = "it's <b>&\"\x1b[31m\x00 ünï]]>"
TRIAL = Trial(
    (
        Case(TrialCheck.UPGRADE, CaseStatus.PASSED, "r1", "v/r1.py", 3),
        Case(TrialCheck.ROWS, CaseStatus.FAILED, "r1", "v/r1.py", 4, HOSTILE, ("a detail", "::error::forged")),
        Case(TrialCheck.DOWNGRADE, CaseStatus.WARNED, "r1", "v/r1.py", 9, "left behind"),
        Case(TrialCheck.CRASH, CaseStatus.SKIPPED, "r1", "v/r1.py", 3, "it commits once"),
        Case(TrialCheck.TWICE, CaseStatus.FAILED, why="no place"),
        Case(TrialCheck.MODELS, CaseStatus.SKIPPED, why="no models"),
    )
)


def test_junit_is_xml_whatever_was_said() -> None:
    root = ET.fromstring(junit(TRIAL, duration_s=1.25))
    suite = root[0]
    assert suite.attrib == {
        "name": "migrate test",
        "tests": "6",
        "failures": "2",
        "errors": "0",
        "skipped": "2",
        "time": "1.250",
    }
    rows = suite[1]
    assert (rows.get("classname"), rows.get("name"), rows.get("file"), rows.get("line")) == (
        "migrate.r1", "rows", "v/r1.py", "4",
    )  # fmt: skip
    failure = rows.find("failure")
    assert failure is not None
    assert failure.get("message") == "it's <b>&\"?[31m? ünï]]>"
    assert (failure.text or "").endswith("a detail\n::error::forged")
    assert suite[2].findtext("system-out") == "v/r1.py:9: left behind"
    assert suite[2].find("failure") is None


def test_annotations_are_one_line_each_and_placed() -> None:
    lines = github_annotations(TRIAL, lambda file: f"app/{file}").splitlines()
    assert [line.partition("::")[0] or line.split(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[0].startswith("::error file=app/v/r1.py,line=4,title=migrate%3A rows of revision r1::")
    assert lines[0].endswith("%0Aa detail%0A::error::forged")
    assert lines[2] == "::error title=migrate%3A twice of the history::no place"


def test_a_file_outside_of_the_repository_is_not_named() -> None:
    assert "file=" not in github_annotations(TRIAL, lambda _file: None)


@pytest.mark.parametrize("colour", [True, False])
def test_the_table_has_every_finding_and_no_line_that_github_acts_on(colour: bool) -> None:
    text = table(TRIAL, colour=colour)
    assert ("\x1b[1;31m" in text) is colour
    assert "\x1b[31m" not in text
    assert "v/r1.py:4" in text
    assert "2 failed" in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_nothing_tried_is_said() -> None:
    assert "0 checks passed, none failed" in table(Trial(()), colour=False)


def test_code_that_is_to_be_pasted_is_whole_and_in_no_list() -> None:
    code = ("def upgrade() -> None:", f"    op.execute({'x' * 200!r})", "", "# revision 2 of 2")
    trial = Trial(
        (Case(TrialCheck.LOCKS, CaseStatus.WARNED, "r1", "v/r1.py", 4, "blocks " + "y" * 200, ("Do.", *code)),)
    )
    lines = table(trial, colour=False).splitlines()
    assert "     - Do." in lines
    at = lines.index("     - Do.") + 1
    assert lines[at : at + 4] == [f"       {line}".rstrip() for line in code]
