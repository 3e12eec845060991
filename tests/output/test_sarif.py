"""SARIF 2.1.0: what the specification and code scanning ask of a file, checked by hand."""

from __future__ import annotations

import json
import re

from migrate.core.decide.review import Concern, Mark
from migrate.core.history.graph import Revision
from migrate.output.sarif import sarif

REVISION = Revision("a1", (), (), (), "m", "a1.py", "a")


def check(text):
    """The required properties of each object (SARIF 2.1.0, 3.13 to 3.52), and that nothing stands beside the known ones."""
    log = json.loads(text)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert set(run) == {"tool", "columnKind", "results"}
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    driver = run["tool"]["driver"]
    assert set(driver) == {"name", "version", "rules"}
    for rule in driver["rules"]:
        assert set(rule) == {"id", "shortDescription", "help"}
        assert rule["shortDescription"]["text"].endswith(".")
    for result in run["results"]:
        assert set(result) == {"ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"}
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", place["artifactLocation"]["uri"]), "a relative URI reference"
        assert not place["artifactLocation"]["uri"].startswith("/")
        assert place["region"]["startLine"] >= 1
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    return run["results"]


def test_each_mark_is_a_result_at_its_line():
    marks = [
        (Mark(REVISION, Concern.BLOCKS, "blocks t", "t"), "ver sions/a1_é.py", 7),
        (Mark(REVISION, Concern.AGAINST, "rows", "n"), "a1.py", None),
    ]
    first, second = check(sarif(marks, "1.0"))
    assert (first["level"], second["level"]) == ("warning", "error")
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "ver%20sions/a1_%C3%A9.py"}, "region": {"startLine": 7}}
    assert second["locations"][0]["physicalLocation"]["region"]["startLine"] == 1
    assert first["message"]["text"] == "revision a1 blocks t"


def test_a_finding_is_the_same_one_where_only_the_size_or_the_line_has_changed():
    def fingerprint(text, subject, line):
        (found,) = check(sarif([(Mark(REVISION, Concern.BLOCKS, text, subject), "a.py", line)], "1"))
        return found["partialFingerprints"]

    assert fingerprint("blocks t, 1 GB", "blocks t", 3) == fingerprint("blocks t, 2 GB", "blocks t", 9)
    assert fingerprint("blocks t", "blocks t", 3) != fingerprint("blocks u", "blocks u", 3)


def test_nothing_to_look_at_is_a_run_without_results():
    assert check(sarif([], "1.0")) == []
