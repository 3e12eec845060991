"""What GitHub Actions is told: escapes, places, and nothing that a message could forge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.problems import ExitCode, Fix, problem, shell, sql
from migrate.output.github import annotation, summary

if TYPE_CHECKING:
    from migrate.core.problems.fix import Language

MADE = {"verb": "up", "duration_ms": 12}


def failed(why: str, **facts: object) -> dict[str, object]:
    found = problem("revision-failed", why, names={"file": "versions/a.py"}, **facts)
    outcome = Outcome(Result.FAILED, ExitCode.FAILED, found, applied=("one",), pending=("two", "three"), failed="two")
    return {**outcome.fields(), **MADE}


def shown(fix: object) -> tuple[tuple[Language, str], ...]:
    assert isinstance(fix, Fix)
    return fix.shown(str)


def test_sql_is_no_shell() -> None:
    found = problem("missing-privilege", "why", fix=sql("GRANT a TO b;"))
    text = summary({**Outcome(Result.FAILED, found.exit_code, found).fields(), **MADE}, shown(found.fix))
    assert "\n```sql\nGRANT a TO b;\n```\n" in text


def test_the_annotation_stands_on_the_line_of_the_revisions_file() -> None:
    found = annotation(failed("it broke", line=12), "alembic/versions/a.py")
    assert found is not None
    assert found.startswith(
        "::error file=alembic/versions/a.py,line=12,title=migrate%3A A revision failed::it broke%0A"
    )
    assert "\n" not in found


def test_without_a_file_there_is_no_line() -> None:
    found = annotation(failed("it broke", line=12), None)
    assert found is not None
    assert found.startswith("::error title=migrate%3A A revision failed::")


def test_a_message_cannot_end_the_command_and_begin_another() -> None:
    found = annotation(failed("100%\r\n::add-mask::x"), "a,b:c.py")
    assert found is not None
    assert "file=a%2Cb%3Ac.py," in found
    assert "100%25%0D%0A::add-mask::x" in found


def test_a_good_run_has_no_annotation() -> None:
    assert annotation({**Outcome(Result.NOOP).fields(), **MADE}, None) is None


def test_the_summary_names_what_was_applied_failed_and_left() -> None:
    fields = failed("division by zero")
    text = summary(fields, shown(fields["fix"]))
    assert text.startswith("### migrate up: failed\n")
    assert "| outcome | failed, exit code 30 (failed) |" in text
    assert "| applied | 1: one |" in text
    assert "| failed | two |" in text
    assert "| pending | 2: two, three |" in text
    assert "division by zero" in text
    assert "\ncorrect versions/a.py, write the manifest again, build a new image, and run migrate up again\n" in text
    assert "```" not in text, "a sentence is for people, a fence for what is pasted into a shell"
    assert text.endswith("\n\n"), "what the next step appends begins a paragraph of its own"


def test_markup_of_a_message_is_only_shown() -> None:
    text = summary(failed("<img src=x>\n| forged | row |\n# heading [a](b)"))
    assert r"\<img src=x\> \| forged \| row \| \# heading \[a\](b)" in text


def test_a_command_stands_in_a_block_that_can_be_copied() -> None:
    found = problem("deadline", "why", fix=shell("export MIGRATE_DEADLINE=1h", note="then: migrate up"))
    text = summary({**Outcome(Result.FAILED, ExitCode.DEADLINE, found).fields(), **MADE}, shown(found.fix))
    assert "\n```sh\nexport MIGRATE_DEADLINE=1h   # then: migrate up\n```\n" in text


def test_a_fence_in_the_fix_does_not_end_the_block() -> None:
    found = problem("internal", "why", fix=shell("migrate up\n```\nb"))
    fields = {**Outcome(Result.FAILED, ExitCode.INTERNAL, found).fields(), **MADE}
    lines = summary(fields, shown(found.fix)).splitlines()
    assert lines.count("````") == 1
    assert "````sh" in lines


def test_a_long_list_is_cut() -> None:
    ids = [f"r{number}" for number in range(45)]
    text = summary({**Outcome(Result.APPLIED, applied=ids).fields(), **MADE})
    assert "| applied | 45: r0, " in text
    assert "r19 and 25 more |" in text
