"""The reference pages that are made from the code's own catalogues."""

from __future__ import annotations

import re

from migrate.core.events import Name
from migrate.core.problems import EXIT_MEANINGS, ExitCode, Kind, kinds_of
from migrate.core.problems.examples import EXAMPLES, Snippet
from migrate.core.problems.fix import Language
from migrate.core.trial_checks import DEFAULT_FAIL, TrialCheck
from migrate.doctor.checks import CHECKS

_MADE = "<!-- Made by `make docs` from {source}; a test compares it with what would be made. -->"
_BLANK = re.compile(r"<\w+>")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

_OK = """\
## What 0 says

Of a run that applied something: nothing is left to apply, as Alembic counts, and with a manifest the live schema is the one
that it has there, but for what was different and tolerated before.

Of a run with **nothing to apply**: the version rows are at this image's head. Drift, residue and edited files are then
warnings, so that a release without a migration is not held up by what it did not do: 0 does not say that there is no
drift. [`--strict`](settings.md#strict), which every example of a release has, makes them what they are where something is
pending: 17, 15, 11. Only where the last run ended without its proof (32, 31, or lost after it had applied something) are
they judged without it, by `up`, `plan`, `status` and `wait` alike, until the schema has been proven.
"""

_DECADES = (
    ("0-3", "the answer to a question: done, a bug, wrong flags, or revisions are pending"),
    (
        "10-18",
        "of this run's revisions nothing is left half done (15: of an earlier run's it may be); a person must act",
    ),
    ("20-25", "nothing of the failing revision is in the database; the same run may succeed later"),
    ("30-32", "a revision or its proof failed; a person must act"),
    ("40-41", "the end of the run is not known for certain; a person must look"),
    ("130, 143", "stopped by a signal; the same run may succeed later"),
)


def trial_page() -> str:
    """Render ``docs/reference/trial.md``: the checks of `migrate test`."""
    rows = [
        f"| `{check}` | {check.meaning} | {'fails the run' if str(check) in DEFAULT_FAIL else 'warns'} |"
        for check in TrialCheck
    ]
    return "\n".join(
        [
            "# Checks of `migrate test`",
            "",
            _MADE.format(source="migrate/core/trial_checks.py"),
            "",
            "What a check means when it passes, and what a finding does unless [`test_fail`](settings.md#test_fail) differs.",
            "",
            "| check | passes when | by default |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def problem_page(kind: Kind) -> str:
    """Render ``docs/problems/<code>.md``."""
    return "\n".join(
        [
            f"# {kind.title}",
            "",
            _MADE.format(source="migrate/core/problems/catalogue.py"),
            "",
            "| | |",
            "|---|---|",
            f"| [problem](index.md) | `{kind.code}` |",
            f"| exit code | [{_exit(kind.exit_code)}](../reference/exit-codes.md) |",
            f"| the same run may succeed later | {_yes(kind.exit_code)} |",
            "",
            "## When",
            "",
            kind.condition,
            "",
            "## What it did",
            "",
            kind.effect,
            "",
            "## What to do",
            "",
            *_fix(kind),
            "",
            "## For example",
            "",
            "This leads to it:",
            "",
            *_block(EXAMPLES[kind.code].bad),
            "",
            "This fixes it:",
            "",
            *_block(EXAMPLES[kind.code].good),
            "",
        ],
    )


def problems_page() -> str:
    """Render ``docs/problems/index.md``: every problem, by its exit code."""
    return "\n".join(
        [
            "# Problems",
            "",
            _MADE.format(source="migrate/core/problems/catalogue.py"),
            "",
            "Everything that stops a run, by [exit code](../reference/exit-codes.md). `migrate explain PROBLEM` prints the same.",
            "",
            "| exit code | problem | what happened |",
            "|---|---|---|",
            *(
                f"| {int(code)} | [`{kind.code}`]({kind.code}.md) | {kind.title} |"
                for code in ExitCode
                for kind in kinds_of(code)
            ),
            "",
        ]
    )


def exit_codes_page() -> str:
    """Render ``docs/reference/exit-codes.md``."""
    retryable = [code for code in ExitCode if code.retryable]
    lines = [
        "# Exit codes",
        "",
        _MADE.format(source="migrate/core/problems/catalogue.py"),
        "",
        "A platform acts on the code, so its decade says what to do:",
        "",
        "| codes | what to do |",
        "|---|---|",
        *(f"| {codes} | {meaning} |" for codes, meaning in _DECADES),
        "",
        "`migrate explain CODE` prints what is on this page; `migrate VERB --help` lists the codes of one verb.",
        "",
        "| code | name | meaning | may succeed later | problems |",
        "|---|---|---|---|---|",
    ]
    for code in ExitCode:
        problems = ", ".join(f"[`{kind.code}`](../problems/{kind.code}.md)" for kind in kinds_of(code))
        lines.append(f"| {int(code)} | {code.label} | {EXIT_MEANINGS[code]} | {_yes(code)} | {problems} |")
    codes = ", ".join(str(int(code)) for code in retryable)
    return "\n".join(
        [
            *lines,
            "",
            f"A platform may retry on {codes}, and on 137, which a process that was killed leaves behind.",
            "",
            _OK,
        ],
    )


def events_page() -> str:
    """Render ``docs/reference/events.md``."""
    return "\n".join(
        [
            "# Events",
            "",
            _MADE.format(source="migrate/core/events.py"),
            "",
            "The values of the field `event`, a closed set. Every run that is not killed ends with exactly one",
            f"`{Name.RUN_FINISHED}`, and nothing follows it.",
            "",
            "| event | meaning |",
            "|---|---|",
            *(f"| `{name}` | {name.meaning} |" for name in Name),
            "",
        ],
    )


def doctor_page() -> str:
    """Render ``docs/reference/doctor.md``."""
    return "\n".join(
        [
            "# Checks of `migrate doctor`",
            "",
            _MADE.format(source="migrate/doctor/checks/"),
            "",
            "Each check passes, warns or fails, and says its evidence and the fix; one that could not look has the verdict `skip`,",
            "says why, and counts as nothing. The exit code is that of the first check that fails, in this order, which is that",
            "in which a release would stop; warnings alone exit 0. `--json` prints all of them as one object, the log has a",
            "line with the event `check.finished` for each.",
            "",
            "| check | looks at | warns when | fails when | needs the server |",
            "|---|---|---|---|---|",
            *(
                f"| `{check.name}` | {check.looks_at} | {check.warns or 'never'} | {check.fails or 'never'}"
                f" | {'yes' if check.needs_server else 'no'} |"
                for check in CHECKS
            ),
            "",
            "A revision's text can compute the name of a table; which tables are touched is what its text and its lines in",
            "the manifest name. Of other roles' transactions and vacuums a role sees the age only as a member of",
            "`pg_read_all_stats`.",
            "",
        ],
    )


def _exit(code: ExitCode) -> str:
    return f"{int(code)} {code.label}"


def _yes(code: ExitCode) -> str:
    return "yes" if code.retryable else "no"


def _block(snippet: Snippet) -> list[str]:
    return [snippet.code] if snippet.language is None else [f"```{snippet.language}", snippet.code, "```"]


def _sentence(advice: str) -> str:
    """Advice as a page's own words: what stands for a name is marked, and what can be typed is not taken for markup."""
    marked = _BLANK.sub(r"`\g<0>`", advice)
    return f"{marked[0].upper()}{marked[1:]}{'' if marked.endswith('.') else '.'}"


def _fix(kind: Kind) -> list[str]:
    if kind.fix_is_of_the_case:
        return ["It depends on the case: the field `fix` of the log line says it."]
    lines: list[str] = []
    for part in kind.general_fix.parts:
        lines += [
            *([""] if lines else []),
            *(
                [_sentence(str(part))]
                if part.language is Language.ADVICE
                else [f"```{part.language}", str(part), "```"]
            ),
        ]
    names = dict.fromkeys(_PLACEHOLDER.findall(str(kind.fix)))
    if names:
        listed = ", ".join(f"`<{name}>`" for name in names)
        lines += ["", f"The field `fix` of the log line has the names of the case in place of {listed}."]
    return lines
