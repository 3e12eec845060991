"""Whatever an event holds, its line is one JSON object of at most 8 KiB that no reader can misread."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.problems import problem
from migrate.output.json_lines import MOST_BYTES, WHOLE, flat, render

ALWAYS = {
    "timestamp": "2026-11-22T12:00:00.000Z",
    "level": "info",
    "severity": "INFO",
    "message": "a sentence",
    "event": "run.started",
    "service": "shop",
    "version": "1.2.3",
    "run_id": "0192f0c1",
    "seq": 1,
}

# Everything that splits lines for some reader: str.splitlines, Unicode's own list, terminals.
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
INVISIBLE = "\x00\x1b\x7f\x9b\ufeff\u202e\u2066"

any_text = st.text(st.characters(), max_size=50) | st.text(
    LINE_ENDS + INVISIBLE + "\"\\'/é😀\udc80\ud800a", max_size=50
)
any_scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), any_text, st.binary(max_size=20))
any_value = st.recursive(
    any_scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def parsed(line: str) -> dict[str, Any]:
    """Parse ``line``, which must be a line of JSON as the strictest reader wants it."""
    raw = line.encode("utf-8")  # raises on a lone surrogate
    assert len(raw) <= MOST_BYTES
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert all(character >= " " for character in line[:-1])
    assert "\\u0000" not in line
    found = json.loads(raw, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    json.dumps(found, ensure_ascii=False).encode("utf-8")  # no lone surrogate behind an escape either
    assert isinstance(found, dict)
    for value in found.values():
        assert not isinstance(value, dict), "keys are flat"
        assert not any(isinstance(entry, dict | list) for entry in (value if isinstance(value, list) else []))
    return found


@given(st.dictionaries(any_text, any_value, max_size=8))
def test_any_fields_are_one_valid_line(fields: dict[str, Any]) -> None:
    parsed(render(ALWAYS | fields))


@given(st.dictionaries(st.sampled_from(["message", "why", "fix", "x", "y"]), any_text, max_size=5), st.data())
def test_a_long_line_is_cut_and_says_so(fields: dict[str, str], data: st.DataObject) -> None:
    long = {key: value * data.draw(st.integers(1, 3000)) for key, value in fields.items()}
    uncut = len(json.dumps(flat(ALWAYS | long), ensure_ascii=False, separators=(",", ":")).encode())
    found = parsed(render(ALWAYS | long))
    assert {key: found[key] for key in ALWAYS if key != "message"} == {
        k: v for k, v in ALWAYS.items() if k != "message"
    }
    if uncut > MOST_BYTES:
        assert found["truncated"] is True
    for key, value in flat(long).items():
        assert isinstance(value, str)
        assert found[key] == value or (found[key].endswith("…") and value.startswith(found[key][:-1]))


@given(st.integers(7000, 9000))
def test_a_line_of_exactly_the_limit_is_whole(length: int) -> None:
    empty = len(render({"message": ""}).encode())
    found = parsed(render({"message": "x" * length}))
    assert found.get("truncated", False) is (empty + length > MOST_BYTES)


def test_a_cut_line_uses_the_room_there_is() -> None:
    for text in ("x" * 10_000, "é" * 10_000, "\x1b" * 10_000, "😀" * 10_000):
        size = len(render({**ALWAYS, "message": text}).encode())
        assert MOST_BYTES - 6 <= size <= MOST_BYTES, "at most one escape short of the limit"


def test_the_longest_values_are_cut_first() -> None:
    found = parsed(render({**ALWAYS, "why": "w" * 1000, "fix": "migrate up", "detail": "d" * 1_000_000}))
    assert found["why"] == "w" * 1000
    assert found["fix"] == "migrate up"
    assert found["detail"].endswith("d…")


def test_a_long_list_loses_its_last_entries() -> None:
    found = parsed(render({**ALWAYS, "blockers": [f"pid {number}" for number in range(5000)]}))
    assert found["blockers"] == [f"pid {number}" for number in range(len(found["blockers"]))]
    assert len(found["blockers"]) > 500


def test_a_list_of_one_long_entry_keeps_its_beginning() -> None:
    found = parsed(render({**ALWAYS, "blockers": ["b" * 10_000]}))
    assert found["blockers"][0].startswith("bbbb")


def test_the_last_line_keeps_its_essential_fields_whole() -> None:
    ids = [f"{number:032x}" for number in range(3000)]
    cause = problem("revision-failed", "why " * 5000, names={"file": "f" * 500}, statement="S" * 100_000)
    outcome = Outcome(Result.FAILED, cause.exit_code, cause, [ids[0]], [ids[1]], ids, ids[0], ids)
    fields = outcome.fields()
    found = parsed(render({**ALWAYS, "event": "run.finished", **fields, "duration_ms": 5}))
    for key in WHOLE & set(fields):
        assert found[key] == fields[key], key
    assert found["applied_count"] == 3000
    assert len(found["applied"]) == 50
    assert found["fix"] == str(fields["fix"])


def test_what_is_always_there_survives_even_a_thousand_long_fields() -> None:
    fields = {f"field {number}": "x" * 500 for number in range(1000)}
    found = parsed(render({**ALWAYS, **fields, "k" * 9000: 1}))
    assert found | ALWAYS == found
    assert found["truncated"] is True
    assert "field 0" in found


def test_a_whole_field_beyond_all_bounds_is_cut_too() -> None:
    found = parsed(render({**ALWAYS, "service": "s" * 100_000}))
    assert found["service"].startswith("sss")
    assert found["message"] == "a sentence"


class _Colour(Enum):
    RED = "red"


class _Code(IntEnum):
    BUSY = 21


class _Word(StrEnum):
    HEAD = "head"


class _Broken:
    def __str__(self) -> NoReturn:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (-1.5, -1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**63, "0x8000000000000000"),
        ("é", "é"),
        ("a\x00b", "a\\x00b"),
        ("a\udce9b", "a\\xe9b"),
        ("a\ud800b", "a\\ud800b"),
        (b"a\xffb", "a\\xffb"),
        (_Colour.RED, "red"),
        (_Code.BUSY, 21),
        (_Word.HEAD, "head"),
        (PurePosixPath("/app/alembic.ini"), "/app/alembic.ini"),
        (datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC), "2026-11-22T01:02:03+00:00"),
        (date(2026, 11, 22), "2026-11-22"),
        (Decimal("1.50"), "1.50"),
        (ValueError("no"), "no"),
        (_Broken(), "<_Broken>"),
        ((1, "a"), [1, "a"]),
        ({"only"}, ["only"]),
        ([{"pid": 5, "state": "active"}], ["pid=5, state=active"]),
        ([[1, 2]], ["[1, 2]"]),
    ],
)
def test_what_json_does_not_know_is_text(value: object, expected: object) -> None:
    assert parsed(render({"value": value})) == {"value": expected}


def test_an_integer_that_python_will_not_print_is_no_crash() -> None:
    assert parsed(render({"value": 10**5000}))["value"].startswith("0x")


def test_nested_mappings_become_flat_keys_even_when_they_hold_themselves() -> None:
    endless: dict[str, object] = {}
    endless["a"] = endless
    assert parsed(render({"server": {"address": {"port": 5432}, "up": True}})) == {
        "server_address_port": 5432,
        "server_up": True,
    }
    assert set(parsed(render({"x": endless}))) == {"x_a_a_a"}
