"""The JSON Schemas that are made from the code: of ``[tool.migrate]``, of a log line, and of the manifest."""

from __future__ import annotations

import json
from typing import Any, assert_never

from migrate.core.decide.outcome import Result
from migrate.core.events import Level, Name
from migrate.core.manifest import text as manifest_text
from migrate.core.problems import CATALOGUE, ExitCode
from migrate.settings import SETTINGS
from migrate.settings.kinds import (
    Addresses,
    Arguments,
    Choice,
    Command,
    Duration,
    File,
    Fraction,
    Number,
    Secret,
    Selection,
    Size,
    Switch,
    Text,
    ValueKind,
    Words,
)

_DRAFT = "http://json-schema.org/draft-07/schema#"
_TEXT = {"type": "string"}
_LIST = {"type": "array", "items": _TEXT}
_COUNT = {"type": "integer", "minimum": 0}


def settings_schema() -> str:
    """``docs/schemas/settings.schema.json``: the table ``[tool.migrate]`` of a pyproject.toml."""
    root: dict[str, Any] = {
        "$schema": _DRAFT,
        "title": "[tool.migrate] in pyproject.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for setting in SETTINGS:
        if not setting.in_table:
            continue
        table, _, key = setting.key.rpartition(".")
        within = root
        if table:
            within = root["properties"].setdefault(
                table, {"type": "object", "additionalProperties": False, "properties": {}}
            )
        described = {"description": setting.help, **_kind(setting.kind)}
        if setting.shown_default:
            described["default"] = setting.shown_default
        within["properties"][key] = described
    return _json(root)


def _kind(kind: ValueKind) -> dict[str, Any]:
    """What a key of this type takes; what TOML's own types cannot say is left to `migrate`, which checks it again."""
    match kind:
        case Choice():
            return {"enum": [str(word) for word in kind.of]}
        case Duration():
            return {"type": ["string", "number"], "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|)\s*$", "minimum": 0}
        case Size():
            return {
                "type": ["string", "integer"],
                "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([bB]|[kKmMgGtT][bB]|)\s*$",
                "minimum": 0,
            }
        case Number():
            return {
                "type": ["integer", "string"],
                "minimum": kind.minimum,
                "maximum": kind.maximum,
                "pattern": r"^\s*[0-9]{1,9}\s*$",
            }
        case Switch():
            return {"type": ["boolean", "string", "integer"], "enum": [True, False, "true", "false", "yes", "no", 1, 0]}
        case Selection():
            return {"anyOf": [_TEXT, {"type": "array", "items": {"enum": [str(word) for word in kind.of]}}]}
        case Addresses() | Arguments() | Words() | Command():
            return {"anyOf": [_TEXT, _LIST]}
        case Fraction():
            return {"type": "string", "pattern": r"^\s*[0-9]+/[0-9]+\s*$"}
        case Secret() | Text() | File():
            return {"type": "string", "minLength": 1}
        case _:
            assert_never(kind)  # type: ignore[arg-type]


def log_line_schema() -> str:
    """``docs/schemas/log-line.schema.json``: one line of stdout."""
    problem = {
        "problem": {"enum": sorted(CATALOGUE)},
        "title": _TEXT,
        "why": _TEXT,
        "fix": _TEXT,
        "exit_code": {"enum": sorted(int(code) for code in ExitCode)},
        "retryable": {"type": "boolean"},
        "sqlstate": {"type": "string", "pattern": "^[0-9A-Z]{5}$"},
        "blockers": _LIST,
        "file": _TEXT,
        "line": _COUNT,
    }
    last = {
        "outcome": {"enum": [str(result) for result in Result]},
        "exit_name": _TEXT,
        **dict.fromkeys(("from_revision", "to_revision", "applied", "reverted", "pending", "held"), _LIST),
        **{f"{name}_count": _COUNT for name in ("applied", "reverted", "pending", "not_started")},
    }
    always = {
        "timestamp": {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        "level": {"enum": [level.name.lower() for level in Level]},
        "severity": {"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]},
        "message": _TEXT,
        "event": {"enum": [str(name) for name in Name]},
        "service": _TEXT,
        "version": _TEXT,
        "run_id": _TEXT,
        "seq": {"type": "integer", "minimum": 1},
    }
    is_last = {"properties": {"event": {"const": str(Name.RUN_FINISHED)}}}
    return _json(
        {
            "$schema": _DRAFT,
            "title": "One line of migrate's log",
            "description": "Fields are added in later versions, and none changes its meaning: ignore those not known.",
            "type": "object",
            "required": sorted(always),
            "properties": {**always, **problem, **last, "truncated": {"const": True}, "duration_ms": _COUNT},
            "if": is_last,
            "then": {"required": ["outcome", "exit_code", "exit_name", "retryable"]},
        }
    )


def manifest_schema() -> str:
    """``docs/schemas/manifest.schema.json``: the committed manifest."""

    def exactly(required: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "additionalProperties": False,
            "required": sorted(required),
            "properties": {**required, **optional},
        }

    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    revision = exactly(
        {
            "id": _TEXT,
            "file": _TEXT,
            "message": _TEXT,
            "sha256": digest,
            "schema": _TEXT,
            **dict.fromkeys(("changes", "depends_on", "down", "labels"), _LIST),
        },
        dict.fromkeys(("after", "effects", "needs"), _LIST),
    )
    baseline = exactly({"file": _TEXT, "schema": _TEXT, "sha256": digest, "changes": _LIST}, {})
    root = exactly(
        {
            "format": {"const": manifest_text.FORMAT},
            "heads": _LIST,
            "postgres": {"type": "integer", "minimum": 1},
            "revisions": {"type": "array", "items": revision},
        },
        {"baseline": baseline, "environ": _LIST, "schemas": _LIST},
    )
    return _json({"$schema": _DRAFT, "title": "The manifest of migrate", **root})


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
