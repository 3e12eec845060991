"""Events become whole lines on stdout, whatever stdout is and whatever becomes of it."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from migrate.core.events import Event, Level, LogFormat, Name
from migrate.core.problems import problem
from migrate.core.redaction import Redactor
from migrate.output import log as log_module
from migrate.output.log import Log, open_log

if TYPE_CHECKING:
    from collections.abc import Iterator

PIPE_BYTES = 65536


def log_on(fd: int, log_format: LogFormat = LogFormat.AUTO, **context: object) -> Log:
    return open_log(
        log_format=log_format,
        stream_fd=fd,
        context=context,
        redactor=Redactor([]),
        service="shop",
        version="1.2.3",
        run_id="r1",
        clock=lambda: 1_800_000_000.0625,
    )


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def read_all(fd: int) -> bytes:
    chunks = []
    while select.select([fd], [], [], 0)[0] and (chunk := os.read(fd, 1 << 20)):
        chunks.append(chunk)
    return b"".join(chunks)


def parsed(raw: bytes) -> list[dict[str, Any]]:
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.decode().splitlines()]


def test_a_line_has_what_every_line_has(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with closing(log_on(writer)) as log:
        log.emit(Event(Name.REVISION_RETRY, "again", Level.WARN, {"revision": "a1", "attempt": 2}))
    assert parsed(read_all(reader)) == [
        {
            "timestamp": "2027-01-15T08:00:00.062Z",
            "level": "warn",
            "severity": "WARNING",
            "message": "again",
            "event": "revision.retry",
            "service": "shop",
            "version": "1.2.3",
            "run_id": "r1",
            "seq": 1,
            "revision": "a1",
            "attempt": 2,
        },
    ]


@pytest.mark.parametrize(
    ("level", "names"),
    [
        (Level.DEBUG, ("debug", "DEBUG")),
        (Level.INFO, ("info", "INFO")),
        (Level.WARN, ("warn", "WARNING")),
        (Level.ERROR, ("error", "ERROR")),
    ],
)
def test_levels_are_named_for_both_kinds_of_platform(
    pipe: tuple[int, int],
    level: Level,
    names: tuple[str, str],
) -> None:
    reader, writer = pipe
    with closing(log_on(writer)) as log:
        log.emit(Event(Name.HEARTBEAT, "alive", level))
    (line,) = parsed(read_all(reader))
    assert (line["level"], line["severity"]) == names


def test_context_is_on_the_first_and_the_last_line_only(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with closing(log_on(writer, platform="railway", url_from="DATABASE_URL")) as log:
        log.emit(Event(Name.RUN_STARTED, "began"))
        log.bind(db_name="shop")
        log.emit(Event(Name.STATE_OBSERVED, "connected"))
        log.emit(Event(Name.RUN_FINISHED, "done", fields={"outcome": "noop"}))
    first, middle, last = parsed(read_all(reader))
    assert first["platform"] == last["platform"] == "railway"
    assert "db_name" not in first
    assert last["db_name"] == "shop"
    assert not {"platform", "url_from", "db_name"} & set(middle)


def test_nothing_follows_the_last_line(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = log_on(writer)
    log.emit(Event(Name.RUN_FINISHED, "done"))
    log.emit(Event(Name.HEARTBEAT, "a thread that did not notice"))
    log.emit(Event(Name.RUN_FINISHED, "done twice"))
    log.close()
    log.emit(Event(Name.HEARTBEAT, "nor did this one"))
    log.close()
    assert [line["message"] for line in parsed(read_all(reader))] == ["done"]


def test_fields_of_an_event_cannot_pose_as_ours(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with closing(log_on(writer)) as log:
        log.emit(Event(Name.LOG_RECORD, "true", fields={"event": "run.finished", "seq": 99, "message": "false"}))
    (line,) = parsed(read_all(reader))
    assert (line["event"], line["seq"], line["message"]) == ("log.record", 1, "true")


def test_no_secret_in_any_byte_but_our_own_words_stay(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = open_log(
        log_format=LogFormat.JSON,
        stream_fd=writer,
        context={"server_address": "hunter2", "path": ("hunter2", {"a": "hunter2"})},
        redactor=Redactor(["hunter2", "refused", "untracked"]),
        service="shop-hunter2",
        version="1-hunter2",
        run_id="r1",
    )
    found = problem("untracked", "it was hunter2: refused", detail=ValueError("hunter2"), raw=b"hunter2")
    fields = {"outcome": "refused", "exit_name": "state", **found.fields()}
    log.emit(Event(Name.RUN_FINISHED, "refused: hunter2", Level.ERROR, fields))
    log.close()
    raw = read_all(reader)
    assert b"hunter2" not in raw
    (line,) = parsed(raw)
    assert (line["outcome"], line["problem"], line["why"]) == ("refused", "untracked", "it was ***: ***")


def test_many_threads_write_whole_lines_in_the_order_of_their_numbers(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    received = bytearray()

    def drain() -> None:
        while chunk := os.read(reader, 4096):
            received.extend(chunk)

    draining = threading.Thread(target=drain)
    draining.start()
    log = log_on(writer)

    def beat() -> None:
        for _ in range(50):
            log.emit(Event(Name.HEARTBEAT, "x" * 5000))

    threads = [threading.Thread(target=beat) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    os.close(writer)
    draining.join()
    assert [line["seq"] for line in parsed(bytes(received))] == list(range(1, 401))
    assert not log.broken


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_gets_every_line(pipe: tuple[int, int], *, blocking: bool) -> None:
    reader, writer = pipe
    os.set_blocking(writer, blocking)
    log = log_on(writer)
    received = bytearray()

    def read_slowly() -> None:
        while chunk := os.read(reader, 1000):
            received.extend(chunk)

    reading = threading.Timer(0.2, read_slowly)  # the pipe is full by then
    reading.start()
    for _ in range(40):
        log.emit(Event(Name.HEARTBEAT, "x" * 8000))
    log.close()
    os.close(writer)
    reading.join()
    assert len(received) > PIPE_BYTES
    assert len(parsed(bytes(received))) == 40
    assert not log.broken


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_stalls_costs_lines_but_not_the_release(
    pipe: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    blocking: bool,
) -> None:
    monkeypatch.setattr(log_module, "_STALLED_MS", 50)
    reader, writer = pipe
    os.set_blocking(writer, blocking)
    log = log_on(writer)
    log.emit(Event(Name.HEARTBEAT, "short"))  # an odd number of pages: the pipe fills up in the middle of a line
    for _ in range(20):
        log.emit(Event(Name.HEARTBEAT, "x" * 8000))  # comes back although nobody reads
    assert log.broken
    before = read_all(reader)
    log.emit(Event(Name.RUN_FINISHED, "the reader is back"))
    log.close()
    lines = parsed(before + read_all(reader))  # also: the line that was torn is whole
    assert lines[-1]["message"] == "the reader is back"
    assert [line["seq"] for line in lines[:-1]] == list(range(1, len(lines)))
    assert lines[-1]["seq"] == 22, "the gap in the numbers tells of the lost lines"


def test_a_reader_that_is_gone_is_remembered(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    with closing(log_on(writer)) as log:
        log.emit(Event(Name.RUN_FINISHED, "to nobody"))
        assert log.broken


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_full_disk_is_remembered() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    with closing(log_on(fd)) as log:
        log.emit(Event(Name.RUN_FINISHED, "to nobody"))
        assert log.broken
    os.close(fd)


# In a process of its own: what stdout is decides everything.
PROGRAM = """
    import os, sys, time
    from migrate.core.events import Event, Level, LogFormat, Name
    from migrate.core.problems import problem
    from migrate.core.redaction import Redactor
    from migrate.output.log import open_log

    log = open_log(log_format=LogFormat("{log_format}"), stream_fd=1, context={{}}, redactor=Redactor([]), service="s",
                   version="1", run_id="r1")
    {body}
    log.close()
    sys.exit(7)
"""
STORY = """
    revision = {"revision": "a1", "revision_index": 1, "revision_total": 2}
    log.emit(Event(Name.RUN_STARTED, "began \\x1b[31m [red]x[/red]\\n::error::spoof"))
    log.emit(Event(Name.REVISION_STARTED, "revision a1: first", fields=revision))
    time.sleep(1.2)
    log.emit(Event(Name.REVISION_OUTPUT, "printed caf\\xe9"))
    log.emit(Event(Name.HEARTBEAT, "alive"))
    log.emit(Event(Name.REVISION_FINISHED, "revision a1 committed", fields={**revision, "duration_ms": 1200}))
    found = problem("untracked", "a reason " * 20).fields()
    log.emit(Event(Name.RUN_FINISHED, "refused", Level.ERROR, {**found, "exit_code": 15, "exit_name": "state"}))
"""
ONE_LINE = """
    log.emit(Event(Name.RUN_FINISHED, "done"))
"""


def program(body: str, log_format: LogFormat = LogFormat.AUTO) -> list[str]:
    source = dedent(PROGRAM).format(log_format=log_format, body=dedent(body).strip())
    return [sys.executable, "-c", source]


def test_the_light_path_imports_nothing_heavy() -> None:
    body = ONE_LINE + '    print(*{"rich", "structlog", "asyncio", "logging"} & set(sys.modules), file=sys.stderr)\n'
    done = subprocess.run(program(body), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (7, b"\n")


def test_our_own_duplicate_outlives_a_closed_stdout() -> None:
    done = subprocess.run(program("    os.close(1)\n" + ONE_LINE), capture_output=True, check=False)
    assert [line["message"] for line in parsed(done.stdout)] == ["done"]


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "| true", ">&- 2>&- <&-"])
def test_a_broken_stdout_changes_neither_the_exit_code_nor_stderr(redirection: str) -> None:
    # The file that is opened between them would get the number of a closed stdout.
    body = '    time.sleep(0.2); held = open(os.devnull, "w"); assert held.fileno() > 2\n' + ONE_LINE * 3
    command = ["bash", "-c", f'set -o pipefail; "$0" "$@" {redirection}', *program(body)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (7, b"")


def test_text_without_a_terminal_is_plain() -> None:
    done = subprocess.run(program(STORY, LogFormat.TEXT), capture_output=True, check=False, env={"LC_ALL": "C.UTF-8"})
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert re.search(r"^\S+Z info  · began \\x1b\[31m \[red\]x\[/red\]\\n::error::spoof$", text, re.MULTILINE)
    assert re.search(r"^\S+Z info  ✓ \[1/2\]    1\.2 s  revision a1: first$", text, re.MULTILINE)
    assert re.search(r"^ +fix +migrate adopt .*manifest$", text, re.MULTILINE)
    assert re.search(r"^ +why +(a reason ?){20}$", text, re.MULTILINE)
    assert "alive" in text


def on_terminal(log_format: LogFormat = LogFormat.AUTO, **environment: str) -> tuple[int, str]:
    """Run the story on a pseudo-terminal of 80 columns; its exit code and every byte it wrote."""
    ours, theirs = os.openpty()
    command = ["bash", "-c", 'stty cols 80 rows 24; exec "$0" "$@"', *program(STORY, log_format)]
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    raw = b""
    while True:
        try:
            raw += os.read(ours, 4096)
        except OSError:  # EIO: the last writer is gone
            break
    os.close(ours)
    return process.wait(), raw.decode()


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_on_a_terminal_people_see_colour_and_a_live_line() -> None:
    code, text = on_terminal()
    assert code == 7
    assert "\x1b[31m [red]" not in text, "the escape came from the message"
    assert "[red]x[/red]\\n::error::spoof" in visible(text)
    assert re.search(r"\x1b\[3\dm", text), "colour"
    assert re.search(r"\[1/2\] +0 s  revision a1: first", visible(text))
    assert re.search(r"\[1/2\] +1 s  revision a1: first", visible(text)), "the elapsed time moves"
    assert "alive" not in text
    assert "✓ [1/2]    1.2 s  revision a1: first" in visible(text)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is back"


def test_a_long_explanation_is_wrapped_and_the_fix_is_one_line_to_copy_with_its_note_below() -> None:
    _, text = on_terminal()
    lines = visible(text).splitlines()
    (fix,) = [line for line in lines if line.strip().startswith("fix")]
    assert fix == "  fix          migrate adopt"
    below = lines[lines.index(fix) + 1]
    assert below.startswith(f"{' ' * 15}# ")
    assert len(below) <= 80
    why = next(index for index, line in enumerate(lines) if line.strip().startswith("why"))
    assert all(len(line) <= 80 for line in lines[why : why + 3])
    assert lines[why + 1].startswith(" " * 15 + "reason") or lines[why + 1].startswith(" " * 15 + "a reason")


def test_no_color_is_honoured() -> None:
    _, text = on_terminal(NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3\d[;m]", text)


def test_a_terminal_without_utf8_gets_ascii() -> None:
    _, text = on_terminal(LC_ALL="C")
    assert text.isascii()
    assert "| printed caf\\xe9" in visible(text)
    assert "+ [1/2]    1.2 s  revision a1: first" in visible(text)


def test_json_on_a_terminal_where_it_is_asked_for() -> None:
    _, text = on_terminal(LogFormat.JSON)
    assert [json.loads(line)["event"] for line in text.splitlines()][-1] == "run.finished"
