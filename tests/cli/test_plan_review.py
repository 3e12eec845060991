"""What `plan` shows of the pending revisions: a diff on a terminal, annotations, SARIF."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest

from tests.output.test_sarif import check
from tests.support.process import migrate_command, minimal_environment


@pytest.fixture
def image(project, write_manifest):
    project.revision("made", upgrade='op.execute("CREATE TABLE orders (id integer, old_state text, email text)")')
    project.revision(
        "contract",
        down="made",
        upgrade="""
        op.drop_column("orders", "old_state")
        op.create_index("ix_email", "orders", ["email"])
        """,
        message="drop the old state",
    )
    write_manifest()
    return project


@pytest.fixture
def behind(image, database, run_migrate):
    assert run_migrate("up", "--target", "made", database=database).exit_code == 0
    return database


def line_in(image, words):
    (path,) = image.versions.glob("contract_*.py")
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if words in line)


def test_people_see_the_change_of_the_schema_and_what_it_does(image, behind, run_migrate):
    text = run_migrate("plan", "--log-format", "text", database=behind).stdout.decode()
    lines = text[text.index("state     ") :].splitlines()
    assert lines[:4] == [
        "state     behind (made)",
        "decision  upgrade",
        "pending   1",
        "  contract  drop the old state  (migrations/versions/contract_drop_the_old_state.py)",
    ]
    assert "      - column orders.old_state: text" in lines
    assert "      + index orders.ix_email: btree (email)" in lines
    assert any(line.startswith("    breaks  column orders.old_state") for line in lines)
    assert any(line.startswith("    effect  blocks ") and line.endswith("builds index ix_email") for line in lines)
    assert "\x1b" not in text


@pytest.mark.parametrize("no_colour", [False, True])
def test_on_a_terminal_it_is_coloured_unless_no_color_is_set(image, behind, no_colour):
    main, other = pty.openpty()
    env = {
        **minimal_environment(),
        "DATABASE_URL": behind.url,
        "TERM": "xterm",
        **({"NO_COLOR": "1"} if no_colour else {}),
    }
    process = subprocess.Popen(migrate_command("plan"), cwd=image.path, env=env, stdout=other, stderr=other)
    os.close(other)
    found = b""
    while True:
        try:
            more = os.read(main, 65536)
        except OSError:
            break
        if not more:
            break
        found += more
    os.close(main)
    assert process.wait() == 0
    assert b"- column orders.old_state: text" in found
    assert (b"\x1b[31m      - column orders.old_state: text" in found) is not no_colour


def test_a_refusal_is_said_with_the_change(image, behind, run_migrate):
    behind.execute("ALTER TABLE orders DROP COLUMN email")
    refused = run_migrate("plan", "--log-format", "text", database=behind)
    assert refused.exit_code == 17
    text = refused.stdout.decode()
    assert "decision  refuse 17 drift" in text
    assert "      - column orders.old_state: text" in text


def test_annotations_stand_at_the_statement_or_the_function(image, behind, run_migrate, tmp_path):
    env = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(image.path)}
    text = run_migrate("plan", "--log-format", "text", database=behind, env=env).stdout.decode()
    marks = [line for line in text.splitlines() if line.startswith("::warning ")]
    file = "file=migrations/versions/contract_drop_the_old_state.py"
    index = [mark for mark in marks if mark.endswith("builds index ix_email")]
    assert len(index) == 1
    assert f"::warning {file},line={line_in(image, 'ix_email')},title=migrate%3A blocks others::" in index[0]
    breaks = [mark for mark in marks if "breaks the release" in mark]
    assert f"line={line_in(image, 'def upgrade')}," in breaks[0]
    written = tmp_path / "annotations"
    result = run_migrate("plan", "--annotations", str(written), database=behind, env=env)
    result.check_clean()
    assert written.read_text().splitlines() == marks
    refused = run_migrate("plan", "--annotations", str(tmp_path / "no" / "folder"), database=behind)
    assert (refused.exit_code, refused.finished["problem"]) == (2, "usage")


def test_sarif_is_what_code_scanning_takes_with_a_database_and_without(image, behind, run_migrate):
    result = run_migrate("plan", "--format", "sarif", database=behind)
    assert result.exit_code == 0
    found = check(result.stdout)
    assert {each["ruleId"] for each in found} >= {"blocks-others", "breaks-running-release"}
    index = next(each for each in found if "ix_email" in each["message"]["text"])
    place = index["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "migrations/versions/contract_drop_the_old_state.py"
    assert place["region"]["startLine"] == line_in(image, "ix_email")
    alone = check(run_migrate("plan", "--format", "sarif", "--from", "made").stdout)
    assert [each["partialFingerprints"] for each in alone] == [each["partialFingerprints"] for each in found]
    assert check(run_migrate("plan", "--format", "sarif", "--from", "contract").stdout) == []


def test_the_object_has_the_review(image, behind, run_migrate):
    (each,) = json.loads(run_migrate("plan", "--json", database=behind).stdout)["review"]
    assert each["revision"] == "contract"
    assert "- column orders.old_state: text" in each["changes"]


def test_a_history_without_a_manifest_is_planned_as_before_and_has_no_sarif(project, database, run_migrate):
    project.linear(1)
    text = run_migrate("plan", "--log-format", "text", database=database)
    assert text.exit_code == 0
    assert text.stdout.decode().splitlines()[-1].startswith("  r0001  create r0001")
    refused = run_migrate("plan", "--format", "sarif", database=database)
    assert (refused.exit_code, refused.finished["problem"]) == (10, "no-manifest")


def test_a_long_plan_names_every_revision_and_shows_no_more_than_fits(project, database, run_migrate, write_manifest):
    ids = project.linear(120)
    write_manifest()
    lines = run_migrate("plan", "--log-format", "text", database=database).stdout.decode().splitlines()
    assert all(any(line.startswith(f"  {id_}  ") for line in lines) for id_ in ids)
    assert sum("more line" in line for line in lines) > 0
