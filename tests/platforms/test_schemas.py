"""The published JSON Schemas: what migrate takes and writes fulfils them, and what it refuses does not."""

from __future__ import annotations

import copy
import json
import tomllib
from contextlib import suppress

import jsonschema
import pytest

from migrate.core.manifest.manifest import Manifest
from migrate.settings import SETTINGS
from tests.platforms.validators import ROOT
from tests.support.process import alembic

pytestmark = pytest.mark.deep

SCHEMAS = ROOT / "docs" / "schemas"


def validator(name: str) -> jsonschema.Draft7Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


# As the documentation spells a value of each type.
SPELLINGS: dict[str, list[object]] = {
    "Addresses": ["slack://a/b/c", ["mailto://a:b@example.com"]],
    "Arguments": ["a=1 b=2", ["a=1", "b=2"]],
    "Command": ["pg_dump -Fc", ["pg_dump", "-Fc"]],
    "Duration": ["500ms", "2", 2, 1.5, "1h", "5 m"],
    "File": ["alembic.ini"],
    "Narrowing": ["a, b", ["a", "b"]],
    "Number": [3, "3"],
    "Part": ["1/4"],
    "Size": ["500MB", 1024, "1.5 GB"],
    "Switch": [True, False, "yes"],
    "Text": ["name"],
    "Words": ["a, b", ["a", "b"]],
}


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.in_table], ids=lambda each: each.name)
def test_what_a_key_takes_is_what_its_schema_takes(setting):
    table, _, key = setting.key.rpartition(".")
    kind = type(setting.kind).__name__
    chosen = [str(word) for word in getattr(setting.kind, "of", ())]
    for value in chosen or SPELLINGS[kind]:
        document = {table: {key: value}} if table else {key: value}
        with suppress(ValueError):  # a range, which differs from setting to setting
            setting.kind.read(value)
            assert list(validator("settings").iter_errors(document)) == []
    for wrong in ({"a": 1}, None, "" if kind in {"Text", "File"} else {}):
        document = {table: {key: wrong}} if table else {key: wrong}
        assert list(validator("settings").iter_errors(document)) != []
        with pytest.raises(ValueError, match=r"is|has"):
            setting.kind.read(wrong)


def test_a_key_that_is_no_setting_is_none_of_the_schemas():
    assert list(validator("settings").iter_errors({"lock_timout": "2s"})) != []
    assert list(validator("settings").iter_errors({"tenants": {"querry": "SELECT 1"}})) != []
    assert (
        list(validator("settings").iter_errors(tomllib.loads('lock_timeout = "2s"\n[tenants]\nschemas = "t_%"'))) == []
    )


def test_every_line_of_every_kind_of_run_fulfils_the_schema_of_a_line(project, database, run_migrate):
    ids = project.linear(3)
    project.revision("bad", down="r0003", upgrade="op.execute('SELECT 1/0')")
    lines = []
    for verb in (("plan",), ("up",), ("status",), ("history",), ("doctor",), ("up", "--lock-timeout", "x"), ("down",)):
        ended = run_migrate(*verb, database=database)
        assert ended.events
        lines += ended.events
    alembic(project, database, "stamp", "--purge", ids[0])
    lines += run_migrate("up", database=database).events
    assert {"revision.failed", "revision.finished", "run.finished"} <= {line["event"] for line in lines}
    assert {"failed", "refused", "noop"} <= {line.get("outcome") for line in lines}
    checks = validator("log-line")
    assert [(line, error.message) for line in lines for error in checks.iter_errors(line)] == []


def test_a_line_without_its_exit_code_or_of_an_unknown_event_does_not(project, database, run_migrate):
    project.linear(1)
    (*_, last) = run_migrate("up", database=database).events
    checks = validator("log-line")
    assert list(checks.iter_errors(last)) == []
    assert list(checks.iter_errors({key: value for key, value in last.items() if key != "exit_code"})) != []
    assert list(checks.iter_errors({**last, "event": "run.ended"})) != []
    assert list(checks.iter_errors({**last, "exit_code": 255})) != []


MANIFEST = json.loads((ROOT / "examples/newsifier/alembic/manifest.json").read_text(encoding="utf-8"))


def spoilt(path: tuple[str | int, ...], value: object) -> dict[str, object]:
    """The example's manifest with another value at a path; without it, where that is None."""
    found = copy.deepcopy(MANIFEST)
    within = found
    for step in path[:-1]:
        within = within[step]
    if value is None:
        del within[path[-1]]
    else:
        within[path[-1]] = value
    return found


def test_the_examples_manifest_fulfils_the_schema_of_manifests():
    assert list(validator("manifest").iter_errors(MANIFEST)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 2),
        (("format",), None),
        (("postgres",), "17"),
        (("revisions", 0, "changes"), "a line"),
        (("revisions", 0, "sha256"), None),
        (("revisions", 0, "effects"), [1]),
        (("revisions", 0, "other"), "x"),
        (("schemas",), "public"),
        (("baseline",), {"file": "x.sql"}),
    ],
    ids=str,
)
def test_what_no_manifest_may_hold_is_refused_by_both(path, value):
    document = spoilt(path, value)
    assert list(validator("manifest").iter_errors(document)) != []
    with pytest.raises(ValueError, match=r"."):
        Manifest.parse(json.dumps(document))
