"""Renders the marks of a review as SARIF 2.1.0, as code scanning reads it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from migrate.core.decide.review import Concern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from migrate.core.decide.review import Mark

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(marks: Iterable[tuple[Mark, str, int | None]], version: str) -> str:
    """One run with a result for each mark; with each its file's path in the repository, and its line there."""
    rules = list(Concern)
    run = {
        "tool": {
            "driver": {
                "name": "migrate",
                "version": version,
                "rules": [
                    {"id": str(rule), "shortDescription": {"text": rule.meaning}, "help": {"text": rule.meaning}}
                    for rule in rules
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(mark, path, line, rules) for mark, path, line in marks],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False)


def _result(mark: Mark, path: str, line: int | None, rules: list[Concern]) -> Mapping[str, object]:
    # What makes it the same finding in the next run, wherever its line has moved and however large the table is by then.
    same = hashlib.sha256(f"{mark.revision.id}\n{mark.rule}\n{mark.subject}".encode()).hexdigest()
    return {
        "ruleId": str(mark.rule),
        "ruleIndex": rules.index(mark.rule),
        "level": "error" if mark.is_error else "warning",
        "message": {"text": f"revision {mark.revision.id} {mark.text}"},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _uri(path)}, "region": {"startLine": line or 1}}}
        ],
        "partialFingerprints": {"migrate/v1": same},
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.replace("\\", "/"))
