"""What people read: nothing of a stranger's text acts, nothing of ours is missing."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.events import Level, Name
from migrate.core.problems import CATALOGUE, ExitCode, kinds_of, problem, shell, sql
from migrate.core.problems.examples import EXAMPLES
from migrate.output.terminal import (
    ASCII,
    UNICODE,
    Line,
    Narration,
    PlainText,
    Screen,
    exit_explanation,
    explanation,
    shown,
    symbols,
)

ACTING = "\x00\a\b\x1b\x7f\x9b\r\n\t\x85\u2028\u2029\u202e\u2066\ufeff\ud800\udc80"


def narrate(*events: dict[str, Any], width: int | None = None) -> list[Line]:
    narration = Narration(UNICODE)
    return [line for fields in events for line in narration.lines({"level": "info", **fields}, width)]


def texts(*events: dict[str, Any], width: int | None = None) -> list[str]:
    return [line.text for line in narrate(*events, width=width)]


@given(st.text() | st.text(ACTING + "a:#[]/ "))
def test_nothing_acts_in_what_is_shown(text: str) -> None:
    found = shown(text)
    assert len(found.splitlines()) <= 1
    assert not set(ACTING) & set(found)
    assert not found.lstrip().startswith("::")
    assert "##[" not in found
    assert "##vso[" not in found
    found.encode()  # no lone surrogate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines", "two\\nlines"),
        ("::error::x", ": :error::x"),
        ("  ::set-output name=a::b", "  : :set-output name=a::b"),
        ("a ##[error]b", "a # #[error]b"),
        ("##vso[task.complete]", "# #vso[task.complete]"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("price::text is a cast", "price::text is a cast"),
        ("naïve ✓ 😀", "naïve ✓ 😀"),
    ],
)
def test_what_would_act_is_shown_instead(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize("name", Name)
@pytest.mark.parametrize("level", ["debug", "info", "warn", "error"])
def test_every_event_is_told_and_no_field_of_it_acts(name: Name, level: str) -> None:
    keys = (
        *("message", "title", "why", "fix", "problem", "logger", "revision", "failed", "exit_name", "duration_ms"),
        *("revision_index", "revision_total", "exit_code", "applied_count", "not_started_count"),
    )
    hostile = "\x1b[2J\n::error::x"
    lists = {key: [hostile] for key in ("applied", "not_started", "to_revision", "blockers")}
    for width in (None, 40):
        lines = Narration(UNICODE).lines(
            {"event": str(name), "level": level, **dict.fromkeys(keys, hostile), **lists}, width
        )
        assert lines
        for line in lines:
            assert not set(ACTING) & set(line.text)
            assert not line.text.lstrip().startswith("::")


def test_a_revision_is_told_by_its_name_when_it_is_done() -> None:
    revision = {"revision": "a1", "revision_index": 3, "revision_total": 8}
    assert texts(
        {"event": "revision.started", "message": "revision a1: add_feeds", **revision},
        {"event": "revision.finished", "message": "revision a1 committed", "duration_ms": 120, **revision},
        {"event": "revision.finished", "message": "revision b2 committed", "duration_ms": 120, "revision": "b2"},
    ) == ["· [3/8] revision a1: add_feeds", "✓ [3/8]   120 ms  revision a1: add_feeds", "✓ revision b2 committed"]


def test_a_problem_says_why_and_what_to_do() -> None:
    found = problem("untracked", "12 objects, no version", blockers=["pid=5"])
    assert texts({"event": "run.finished", "level": "error", **found.fields()})[:4] == [
        "✗ The database has tables but no version (untracked, exit code 15)",
        "  why          12 objects, no version",
        "  blocker      pid=5",
        f"  fix          {found.fix}",
    ]


def test_only_the_fix_is_never_wrapped() -> None:
    found = problem("untracked", "a long reason " * 20, fix=shell("migrate adopt " * 20))
    lines = narrate({"event": "run.finished", **found.fields()}, width=60)
    lines = lines[: [line.text.strip() for line in lines].index("✗")]  # the last word comes after the problem
    assert [line.copied for line in lines] == ["fix" in line.text for line in lines]
    assert all(len(line.text) <= 60 for line in lines[1:-1])
    assert lines[-1].text.endswith("migrate adopt " * 20)


def test_a_fix_of_several_lines_keeps_them() -> None:
    found = problem("missing-privilege", "why", fix=sql("GRANT a;\nGRANT b;"))
    assert texts({"event": "run.finished", **found.fields()})[2:4] == [
        "  fix          GRANT a;",
        "               GRANT b;",
    ]


def test_a_note_that_has_no_room_stands_below_what_is_pasted() -> None:
    fix = "migrate verify   # prints the SQL that repairs it, or says that there is none"
    assert texts({"event": "run.finished", "problem": "drift", "fix": fix}, width=60)[1:4] == [
        "  fix          migrate verify",
        "               # prints the SQL that repairs it, or says",
        "               # that there is none",
    ]
    assert f"  fix          {fix}" in texts({"event": "run.finished", "problem": "drift", "fix": fix}, width=120)


def test_advice_is_wrapped_and_a_command_is_not() -> None:
    parts = {
        "fix_parts": ["text free what is named, then run it again " + "and again " * 5, "sh migrate up " + "x " * 40]
    }
    advised, *more = narrate({"event": "run.finished", "problem": "data", "fix": "f", **parts}, width=60)[1:-3]
    assert advised.text.startswith("  fix          free what is named")
    assert all(len(line.text) <= 60 for line in (advised, *more[:-1]))
    assert more[-1].text.endswith("x ")


def test_what_a_check_has_told_is_not_told_again_at_the_end() -> None:
    told = {"message": "drift: it differs", "problem": "drift", "fix": "SELECT 1;"}
    said = texts(
        {"event": "run.started", "verb": "doctor"},
        {"event": "check.finished", "level": "error", **told},
        {"event": "run.finished", "verb": "doctor", "outcome": "refused", "exit_code": 17, "why": "it differs", **told},
    )
    assert [line for line in said if "SELECT 1;" in line or "it differs" in line] == said[1:3]
    assert "✗ doctor refused" in said


def test_rows_that_are_asked_again_under_the_lock_are_told_again_only_where_the_answer_is_another() -> None:
    asked = {"event": "data.asked", "message": "1 need checked", "asked": 1, "against": 0, "unknown": 0, "later": 0}
    assert len(texts(asked, {**asked, "message": "in 7 ms"})) == 1
    assert len(texts(asked, {**asked, "against": 1})) == 2
    assert len(texts(asked, {**asked, "revision": "two"})) == 2


def test_lines_of_the_manifest_are_told_as_a_diff() -> None:
    change = {"file": "manifest.json", "line": 29, "old": ["a"], "new": ["b", "c"]}
    assert texts({"event": "image.warning", "level": "warn", "message": "m", **change}) == [
        "! manifest.json:29",
        "  - a",
        "  + b",
        "  + c",
    ]


def test_a_warning_has_its_fix_below() -> None:
    fields = {"event": "ledger.warning", "level": "warn", "message": "no ledger", "fix": "CREATE SCHEMA migrate;"}
    assert texts(fields) == ["! no ledger", "  fix          CREATE SCHEMA migrate;"]


def test_the_summary_says_applied_failed_and_not_started() -> None:
    found = problem("blocked", "pid 5 holds it")
    outcome = Outcome(Result.FAILED, found.exit_code, found, (), ["a2"], ["a1", "a2"], "a3", ["a3", "a4"])
    finished = {"event": "run.finished", "verb": "up", "message": "why", "duration_ms": 61_000, **outcome.fields()}
    assert texts(finished)[3:] == [
        "✗ up failed",
        "  applied      2: a1, a2",
        "  failed       a3",
        "  not started  1: a4",
        "  now at       a2",
        "  exit code    22 blocked; the same run may succeed later",
        "  took         1 min 01 s",
        "  more         migrate explain blocked",
    ]


def test_the_summary_says_what_a_signal_interrupted() -> None:
    found = problem("interrupted", "received SIGTERM", exit_code=ExitCode.TERMINATED)
    outcome = Outcome(Result.INTERRUPTED, found.exit_code, found, failed="a3", pending=["a3", "a4"])
    told = texts({"event": "run.finished", "verb": "up", **outcome.fields()})
    assert "  interrupted  a3" in told
    assert "  not started  1: a4" in told


def test_a_problem_that_nobody_told_is_in_the_summary() -> None:
    found = problem("blocked", "pid 5 holds it")
    finished = {"event": "run.finished", **Outcome(Result.FAILED, found.exit_code, found).fields()}
    assert "  why          pid 5 holds it" in texts(finished)


def test_a_good_end_is_good() -> None:
    ids = [f"r{number}" for number in range(60)]
    outcome = Outcome(Result.APPLIED, to_revision=["r59"], applied=ids)
    lines = narrate({"event": "run.finished", "message": "up: done", **outcome.fields()})
    assert lines[0] == Line("✓ up: done", "bold green")
    assert lines[1].text.startswith("  applied      60: r0, r1, ")
    assert lines[1].text.endswith("r49, ...")


def test_printed_lines_and_records_are_quoted_with_their_origin() -> None:
    assert texts(
        {"event": "revision.output", "message": "hello"},
        {"event": "log.record", "logger": "alembic.runtime.migration", "message": "Running upgrade"},
    ) == ["│ hello", "│ alembic.runtime.migration: Running upgrade"]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", UNICODE), ("ascii", ASCII), ("iso-8859-1", ASCII), ("no-such-encoding", ASCII)],
)
def test_a_terminal_gets_the_marks_that_it_can_show(encoding: str, expected: object) -> None:
    assert symbols(encoding) is expected


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_every_problem_can_be_explained(kind: Any) -> None:
    example = EXAMPLES[kind.code]
    text = explanation(kind, example)
    for snippet in (example.bad, example.good):
        assert all(f"{line}\n" in text for line in snippet.code.splitlines())
    pasted = f"{kind.general_fix}\n{example.bad.code}\n{example.good.code}"
    assert kind.title in text
    assert kind.effect in text
    assert all(line in text for line in str(kind.general_fix).splitlines()) is not kind.fix_is_of_the_case
    before = text.partition("  bad  ")[0]  # examples may have blanks that a setting fills in
    assert not re.search(r"\{\w+\}", before), "a placeholder as only the source knows it"
    wrapped = [line for line in explanation(kind, example, 60).splitlines()[1:] if line[15:] not in pasted]
    assert all(len(line) <= 60 for line in wrapped)


def test_every_exit_code_can_be_explained() -> None:
    for code in ExitCode:
        text = exit_explanation(code, kinds_of(code))
        assert text.startswith(f"{int(code)} {code.label}: ")
        assert all(f"migrate explain {kind.code} " in text for kind in kinds_of(code))


def output() -> tuple[io.BytesIO, io.TextIOWrapper]:
    raw = io.BytesIO()
    return raw, io.TextIOWrapper(raw, "utf-8", write_through=True)


def test_plain_text_has_the_time_on_the_first_line_only() -> None:
    raw, file = output()
    text = PlainText(file)
    text.show({"timestamp": "T", "level": "warn", "event": "ledger.warning", "message": "no ledger", "fix": "do"})
    text.close()
    assert raw.getvalue().decode() == "T warn  ! no ledger\n          fix          do\n"


def test_the_live_line_shows_progress_and_elapsed_time_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    now = [0.0]
    raw, file = output()
    screen = Screen(file, lambda: now[0])
    revision = {"level": "info", "revision": "a1", "revision_index": 1, "revision_total": 2}
    screen.show({"event": "revision.started", "message": "revision a1: first", **revision})
    now[0] = 75.0
    screen.show({"event": "statement.progress", "message": "CREATE INDEX 40 %", "level": "info"})
    screen.show({"event": "revision.output", "message": "printed", "level": "info"})  # repaints the line below it
    screen.show({"event": "log.record", "message": "not for people", "level": "debug"})
    screen.show({"event": "log.record", "message": "Running upgrade", "level": "info", "logger": "alembic.runtime"})
    screen.show({"event": "revision.finished", "message": "committed", "duration_ms": 75_000, **revision})
    after = raw.tell()
    screen.show({"event": "heartbeat", "message": "alive", "level": "info"})
    screen.close()
    text, last = raw.getvalue().decode(), raw.getvalue()[after:].decode()
    assert "[1/2]     75 s  CREATE INDEX 40 %" in text
    assert "not for people" not in text
    assert "Running upgrade" not in text
    assert "75 s" not in last
    assert "alive" in last, "without a live line every sign of life counts"


def test_what_the_revisions_lines_tell_is_no_line_of_its_own_on_a_terminal_or_without_one() -> None:
    told = [
        {"event": "step.started", "message": "step upgrade", "step": "upgrade"},
        {"event": "step.finished", "message": "step backup done", "step": "backup"},
        {"event": "guard.acquired", "message": "held", "waited_ms": 12},
        {"event": "guard.acquired", "message": "held, after 8 s", "waited_ms": 8000},
        {"event": "log.record", "message": "Context impl", "logger": "alembic.runtime.migration"},
    ]
    for kind in (PlainText, lambda file: Screen(file, float)):
        raw, file = output()
        reader = kind(file)
        for fields in told:
            reader.show({"level": "info", "timestamp": "", **fields})
        file.flush()
        text = raw.getvalue().decode()
        assert [word in text for word in ("step upgrade", "step backup done", "held", "held, after 8 s", "Context")] == [
            False, True, True, True, False
        ]  # fmt: skip
        assert text.count("held") == 1


def test_level_names_are_those_of_the_events() -> None:
    assert {level.name.lower() for level in Level} == {"debug", "info", "warn", "error"}
