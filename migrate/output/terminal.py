"""Renders events for people: with colour and a live line on a terminal, as plain text elsewhere.

Text of strangers never acts here: terminal escapes, line ends, a CI's commands and rich's markup are only shown.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from migrate.core.events import Name
from migrate.core.problems import EXIT_MEANINGS, ExitCode, kinds_of
from migrate.core.problems.fix import Language
from migrate.core.problems.kinds import EXCERPTS, FIX_PARTS
from migrate.core.wording import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.live import Live
    from rich.text import Text

    from migrate.core.problems import Kind
    from migrate.core.problems.examples import Example
    from migrate.output.fleet_line import FleetLine

# Every control character, Unicode's line ends, directional marks and overrides, and what is no text at all.
_ACTING: Final = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# GitHub's runner obeys "::error::" at the start of a line, behind spaces too, and "##[error]" anywhere; Azure's obeys
# "##vso[".
_COMMAND: Final = re.compile(r"\A\s*:(?=:)|#(?=#(?:vso)?\[)")

_FIX_OF_THE_CASE: Final = "depends on the case: the field fix of the log line says it"

# The verbs that end with the first revision that fails; others go on, or go on to another tenant.
_ENDS_WITH_FAILURE: Final = frozenset({"up", "down", "manifest"})

_NOTED: Final = re.compile(r"(.*\S)   (# |-- )(.*)")
_LABEL_COLUMNS: Final = 13
_FELT_BYTES: Final = 10 << 20  # below this nobody notices that a table is read or written anew; `plan` tells it
_NARROWEST: Final = 40  # below this wrapping makes a text worse


def shown(text: object) -> str:
    """Make one line of `text` in which nothing acts on a terminal or a CI; what would is shown as Python escapes it."""
    return _COMMAND.sub(lambda found: f"{found[0]} ", _ACTING.sub(lambda found: ascii(found[0])[1:-1], str(text)))


@dataclass(frozen=True, slots=True)
class Symbols:
    """The marks before a line, of one character each."""

    good: str
    bad: str
    warning: str
    quiet: str
    quoted: str
    frames: str


UNICODE: Final = Symbols("✓", "✗", "!", "·", "│", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
ASCII: Final = Symbols("+", "x", "!", "-", "|", "-\\|/")


def symbols(encoding: str) -> Symbols:
    """Choose the marks that a terminal of this encoding can show."""
    try:
        f"{UNICODE.good}{UNICODE.bad}{UNICODE.quiet}{UNICODE.quoted}{UNICODE.frames}".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


@dataclass(frozen=True, slots=True)
class Line:
    """A line for people; one that is to be copied is never broken, not even where it is wider than the terminal."""

    text: str
    style: str = ""
    copied: bool = False


class Narration:
    """Turns the fields of one event after the other into lines; it remembers what the lines before have said."""

    def __init__(self, marks: Symbols) -> None:
        self._marks = marks
        self._started: dict[object, str] = {}
        self._verb: object = None
        self._checked: set[object] = set()  # problems that a check has told in full
        self._asked: object = None

    def lines(self, fields: Mapping[str, object], width: int | None = None) -> list[Line]:
        """Tell one event, as the log line's fields have it; ``width`` is where long explanations are wrapped."""
        # Once more here, whatever a line was put together from and wherever it was wrapped.
        return [Line(shown(line.text), line.style, line.copied) for line in self._told(fields, width)]

    def _told(self, fields: Mapping[str, object], width: int | None) -> Iterator[Line]:
        event = fields.get("event")
        if event == Name.RUN_STARTED:
            self._verb = fields.get("verb")
        if event == Name.RUN_FINISHED:
            yield from self._finished(fields, width)
        elif event == Name.DATA_ASKED and self._said_before(fields):
            return
        elif event in {Name.REVISION_OUTPUT, Name.LOG_RECORD}:
            yield self._quoted(fields)
        elif event == Name.IMAGE_WARNING and {"file", "line", "old", "new"} <= fields.keys():
            yield Line(f"{self._marks.warning} {fields['file']}:{fields['line']}", "yellow")
            yield from (Line(f"  - {line}", "red", copied=True) for line in _entries(fields["old"]))
            yield from (Line(f"  + {line}", "green", copied=True) for line in _entries(fields["new"]))
        else:
            mark, style = self._mark(fields)
            yield Line(f"{mark} {_whose(fields)}{_counted(fields)}{self._sentence(fields)}", style)
            if event == Name.CHECK_FINISHED:
                self._checked.add(fields.get("problem"))
            if event != Name.REVISION_FAILED:  # the last line says it
                yield from _pasted("fix", fields.get("fix"), width)

    def _said_before(self, fields: Mapping[str, object]) -> bool:
        """Whether the rows, asked once more under the job lock, are as they were."""
        before, self._asked = self._asked, [fields.get(name) for name in ("asked", "against", "unknown", "later")]
        return self._asked == before and "revision" not in fields

    def _mark(self, fields: Mapping[str, object]) -> tuple[str, str]:
        match fields.get("level"):
            case "error":
                return self._marks.bad, "red"
            case "warn":
                return self._marks.warning, "yellow"
        if fields.get("verdict") == "skip":
            return "-", "dim"
        if fields.get("event") in {Name.REVISION_FINISHED, Name.PROOF_FINISHED, Name.CHECK_FINISHED}:
            return self._marks.good, "green"
        return self._marks.quiet, "dim"

    def _sentence(self, fields: Mapping[str, object]) -> str:
        message, revision = str(fields.get("message", "")), fields.get("revision")
        match fields.get("event"):
            case Name.REVISION_STARTED:
                self._started[revision] = message
            case Name.REVISION_FINISHED if revision in self._started:
                # What it is called says more than that it was committed, which the mark says already.
                return f"{duration(fields.get('duration_ms')):>8}  {self._started.pop(revision)}"
            case Name.REVISION_FAILED if self._verb in _ENDS_WITH_FAILURE and "tenant" not in fields:
                return f"{self._started.pop(revision, message)}: failed"  # why stands in the last line
        return message

    def _quoted(self, fields: Mapping[str, object]) -> Line:
        logger = fields.get("logger")
        origin = f"{logger}: " if logger else ""
        style = {"error": "red", "warn": "yellow"}.get(str(fields.get("level")), "dim")
        return Line(f"{self._marks.quoted} {_whose(fields)}{origin}{fields.get('message', '')}", style)

    def _problem(self, fields: Mapping[str, object], width: int | None) -> Iterator[Line]:
        title, code, exit_code = fields.get("title"), fields.get("problem"), fields.get("exit_code")
        yield Line(f"{self._marks.bad} {title} ({code}, exit code {exit_code})", "bold red")
        yield from _labelled("why", fields.get("why"), width)
        yield from _copied("at", "\n".join(map(str, _entries(fields.get(EXCERPTS)))))
        for blocker in _entries(fields.get("blockers")):
            yield from _labelled("blocker", blocker, width)
        yield from _fix(fields, width)

    def _finished(self, fields: Mapping[str, object], width: int | None) -> Iterator[Line]:
        exit_code, problem = fields.get("exit_code"), fields.get("problem")
        if problem is not None and problem not in self._checked:
            yield from self._problem(fields, width)
        message, verb, outcome = (fields.get(key) for key in ("message", "verb", "outcome"))
        if problem is not None and verb and outcome:
            message = f"{verb} {outcome}"  # the rest of the message is the reason, which stands above
        good = exit_code == ExitCode.OK
        mark = self._marks.good if good else self._marks.bad
        yield Line(f"{mark} {message or ''}", "bold green" if good else "bold red")
        if not good or fields.get("applied_count", 0) != 1:  # the message names the one
            yield from _counted_ids("applied", fields, "applied", width)
        yield from _labelled("interrupted" if outcome == "interrupted" else "failed", fields.get("failed"), width)
        yield from _counted_ids("not started", fields, "not_started", width)
        if not good:
            revisions = ", ".join(map(str, _entries(fields.get("to_revision"))))
            yield from _labelled("now at", revisions, width)
            again = "; the same run may succeed later" if fields.get("retryable") else ""
            yield from _labelled("exit code", f"{exit_code} {fields.get('exit_name', '')}{again}", width)
        yield from _labelled("took", duration(fields.get("duration_ms")), width)
        yield from _copied("restore", fields.get("restore"))  # the way back, where a backup was taken
        if problem is not None:
            yield from _copied("more", f"migrate explain {problem}")


class PlainText:
    """A reader without a terminal: every event with its time and level, nothing wrapped, nothing coloured."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._narration = Narration(symbols(file.encoding))

    def show(self, fields: Mapping[str, object]) -> None:
        """Write the lines of one event."""
        if _is_noise(fields):
            return
        prefix = f"{fields.get('timestamp', '')} {fields.get('level', ''):<5} "
        lines = [line.text for line in self._narration.lines(fields)]
        if not lines:
            return
        self._file.write(f"{prefix}{lines[0]}\n" + "".join(f"{' ' * len(prefix)}{line}\n" for line in lines[1:]))

    def close(self) -> None:
        """Nothing is held back."""


class Screen:
    """A terminal: colour unless NO_COLOR is set, and a live line for the running revision with its elapsed time."""

    # What the live line says is not repeated above it every ten seconds.
    _LIVE_ONLY: Final = frozenset({Name.REVISION_STARTED, Name.HEARTBEAT, Name.STATEMENT_PROGRESS})
    _ENDS_LIVE: Final = frozenset(
        {Name.REVISION_FINISHED, Name.REVISION_FAILED, Name.REVISION_RETRY, Name.RUN_FINISHED},
    )

    def __init__(self, file: TextIO, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds from any start, and never goes back."""
        from rich.console import Console

        self._console = Console(file=file, force_terminal=True, markup=False, emoji=False, highlight=False)
        self._marks = symbols(file.encoding)
        self._narration = Narration(self._marks)
        self._clock = clock
        self._live: Live | None = None
        self._counted = ""
        self._running = ""
        self._since = 0.0
        self._fleet: FleetLine | None = None

    def show(self, fields: Mapping[str, object]) -> None:
        """Print the lines of one event above the live line, and keep that one up to date."""
        from rich.text import Text

        event = fields.get("event")
        if "tenant" in fields and self._is_told_by_the_bar(fields):
            return
        if event in self._ENDS_LIVE and ("tenant" not in fields or self._fleet is None):
            self.close()
        lines = self._narration.lines(fields, self._console.width)
        if event in {Name.REVISION_STARTED, Name.STATEMENT_PROGRESS}:
            self._running = shown(fields.get("message", ""))
        if event == Name.REVISION_STARTED and self._fleet is None:
            self._counted = _counted(fields)
            self._start_live()
        if _is_noise(fields) or (event in self._LIVE_ONLY and self._live is not None):
            return
        for line in lines:
            self._console.print(Text(line.text, style=line.style), soft_wrap=line.copied)

    def _is_told_by_the_bar(self, fields: Mapping[str, object]) -> bool:
        """A fleet's tenants stand in one live line; what is wrong with one is a line of its own."""
        if fields.get("event") not in {Name.TENANT_STARTED, Name.TENANT_FINISHED} and self._fleet is None:
            return False
        if self._fleet is None:
            from migrate.output.fleet_line import FleetLine

            self._fleet = FleetLine(self._clock())
            self._start_live()
        self._fleet.note(fields)
        return fields.get("level") not in {"warn", "error"}

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _start_live(self) -> None:
        from rich.live import Live

        self.close()
        self._since = self._clock()
        self._live = Live(
            get_renderable=self._live_line,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,  # the standard streams are the caller's
            redirect_stderr=False,
        )
        self._live.start()

    def _live_line(self) -> Text:
        from rich.text import Text

        elapsed = self._clock() - self._since
        if self._fleet is not None:
            return Text(shown(self._fleet.text(self._clock())), style="cyan", no_wrap=True, overflow="ellipsis")
        frame = self._marks.frames[int(elapsed * 8) % len(self._marks.frames)]
        # The time comes first, because the end is cut off where the terminal is too narrow.
        text = f"{frame} {self._counted}{int(elapsed):>6} s  {self._running}"
        return Text(text, style="cyan", no_wrap=True, overflow="ellipsis")


def _whose(fields: Mapping[str, object]) -> str:
    """The tenant that a line is about, where its sentence does not begin with it."""
    tenant, named = fields.get("tenant"), {Name.TENANT_STARTED, Name.TENANT_FINISHED, Name.TENANT_RETRY}
    return f"{tenant}: " if tenant and fields.get("event") not in named else ""


def explanation(kind: Kind, example: Example, width: int | None = None) -> str:
    """Tell everything that is known about one problem; the names in the fix are placeholders."""
    again = "yes, the same run may succeed later" if kind.exit_code.retryable else "no, not as it is"
    lines = [
        Line(f"{kind.code}: {kind.title}"),
        *_labelled("when", kind.condition, width),
        *_labelled("effect", kind.effect, width),
        *(
            _labelled("fix", _FIX_OF_THE_CASE, width)
            if kind.fix_is_of_the_case
            else _what_to_do(kind.general_fix.shown(str), width)
        ),
        *_labelled("exit code", f"{int(kind.exit_code)} {kind.exit_code.label}", width),
        *_labelled("retry", again, width),
        *_copied("bad", example.bad.code),
        *_copied("good", example.good.code),
    ]
    return "".join(f"{line.text}\n" for line in lines)


def every_explanation(width: int | None = None, effects: Iterable[str] = ()) -> str:
    """List every exit code, each with the problems that end with it, and the effects to which there is a safe way."""
    lines: list[Line] = []
    for code in ExitCode:
        lines.append(Line(f"{int(code):>3} {code.label}: {EXIT_MEANINGS[code]}"))
        lines += _labelled("", ", ".join(kind.code for kind in kinds_of(code)), width)
    lines.append(Line("effects, and the safe way to each:"))
    lines += _labelled("", ", ".join(effects), width)
    lines.append(Line("more: migrate explain CODE"))
    return "".join(f"{line.text}\n" for line in lines)


def exit_explanation(code: ExitCode, kinds: Sequence[Kind]) -> str:
    """Tell what one exit code means and which problems end with it."""
    lines = [
        Line(f"{int(code)} {code.label}: {EXIT_MEANINGS[code]}"),
        *(Line(f"  migrate explain {kind.code:<24} # {kind.title}") for kind in kinds),
    ]
    return "".join(f"{line.text}\n" for line in lines)


def _is_noise(fields: Mapping[str, object]) -> bool:
    """Whether people read it in another line: what Alembic says when all is well, and what the revisions' lines show."""
    if fields.get("level") == "debug":
        return True
    match fields.get("event"):
        case Name.LOG_RECORD:
            return str(fields.get("logger", "")).startswith("alembic.") and fields.get("level") == "info"
        case Name.TRIAL_FINDING:
            return True  # the table's
        case Name.EFFECT_FORESEEN:
            size = fields.get("table_bytes")
            return isinstance(size, int) and size < _FELT_BYTES
        case Name.STEP_STARTED | Name.STEP_FINISHED:
            return fields.get("step") in {"upgrade", "downgrade"}
        case Name.GUARD_ACQUIRED:
            waited_ms = fields.get("waited_ms")
            return isinstance(waited_ms, int) and waited_ms < 1000  # noqa: PLR2004 - a second
        case _:
            return False


def _labelled(label: str, text: object, width: int | None) -> Iterator[Line]:
    if text is None or text == "":
        return
    wrapped = [shown(text)]
    if width is not None:
        room = max(width, _NARROWEST) - 2 - _LABEL_COLUMNS
        wrapped = textwrap.wrap(wrapped[0], room, break_long_words=False, break_on_hyphens=False)
    for index, part in enumerate(wrapped):
        yield Line(f"  {label if index == 0 else '':<{_LABEL_COLUMNS}}{part}")


def _fix(fields: Mapping[str, object], width: int | None) -> Iterator[Line]:
    parts = [str(part).partition(" ") for part in _entries(fields.get(FIX_PARTS))]
    if not parts:
        yield from _pasted("fix", fields.get("fix"), width)
    yield from _what_to_do([(Language(language), text) for language, _, text in parts], width)


def _what_to_do(parts: Iterable[tuple[Language, str]], width: int | None) -> Iterator[Line]:
    label = "fix"
    for language, text in parts:
        yield from _labelled(label, text, width) if language is Language.ADVICE else _pasted(label, text, width)
        label = ""


def _pasted(label: str, text: object, width: int | None) -> Iterator[Line]:
    """What is pasted is never broken; a comment behind it that has no room goes below."""
    room = max(width, _NARROWEST) - 2 - _LABEL_COLUMNS if width is not None else None
    lines: list[str] = []
    for line in str(text or "").splitlines():
        noted = _NOTED.fullmatch(line) if room is not None and len(line) > room else None
        if noted is None or room is None:
            lines.append(line)
        else:
            pasted, mark, note = noted.groups()
            below = textwrap.wrap(note, room - len(mark), break_long_words=False, break_on_hyphens=False)
            lines += [pasted, *(f"{mark}{part}" for part in below)]
    yield from _copied(label, "\n".join(lines))


def _copied(label: str, text: object) -> Iterator[Line]:
    for index, part in enumerate(str(text or "").splitlines()):
        yield Line(f"  {label if index == 0 else '':<{_LABEL_COLUMNS}}{part}" if part else "", "bold", copied=True)


def _counted(fields: Mapping[str, object]) -> str:
    index, total = fields.get("revision_index"), fields.get("revision_total")
    return f"[{index}/{total}] " if isinstance(index, int) and isinstance(total, int) else ""


def _counted_ids(label: str, fields: Mapping[str, object], key: str, width: int | None) -> Iterator[Line]:
    ids = _entries(fields.get(key))
    count = fields.get(f"{key}_count", len(ids))
    if ids:
        more = ", ..." if count != len(ids) else ""
        yield from _labelled(label, f"{count}: {', '.join(map(str, ids))}{more}", width)


def _entries(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else []
