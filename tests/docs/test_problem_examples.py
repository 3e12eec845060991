"""The commands and the settings in the examples of problems are ours."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from migrate.command_line import VERBS, cli
from migrate.core.problems.examples import EXAMPLES, Snippet
from migrate.settings import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {setting.variable: setting for setting in SETTINGS}
SNIPPETS = [(code, side, getattr(example, side)) for code, example in EXAMPLES.items() for side in ("bad", "good")]
IDS = [f"{code}-{side}" for code, side, _ in SNIPPETS]
WRONG_ON_PURPOSE = {("usage", "bad"), ("bad-setting", "bad")}


def commands(snippet: Snippet) -> list[list[str]]:
    """Our commands in a shell block, as words; what stands before them in the line are variables."""
    found = []
    for line in snippet.code.splitlines() if snippet.language == "sh" else ():
        for part in re.split(r"&&|;", line):
            words = shlex.split(part, comments=True)
            if "migrate" in words:
                found.append(words[words.index("migrate") + 1 :])
    return found


@pytest.mark.parametrize(("code", "side", "snippet"), SNIPPETS, ids=IDS)
def test_our_parser_takes_the_commands(
    code: str, side: str, snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baseline.sql").touch()  # where the command before makes it
    for verb, *arguments in commands(snippet):
        assert verb in VERBS
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        if (code, side) in WRONG_ON_PURPOSE:
            with pytest.raises(click.UsageError):
                command.make_context(verb, arguments)
        else:
            command.make_context(verb, arguments)


@pytest.mark.parametrize(("code", "side", "snippet"), SNIPPETS, ids=IDS)
def test_our_variables_and_their_values_are_settings(code: str, side: str, snippet: Snippet) -> None:
    for name, value in re.findall(r"(MIGRATE_\w+)=('[^']*'|\S+)", snippet.code):
        if "$" in value:
            continue
        setting = VARIABLES[name]
        if (code, side) in WRONG_ON_PURPOSE:
            with pytest.raises(ValueError, match=r"."):
                setting.kind.read(value.strip("'"))
        else:
            setting.kind.read(value.strip("'"))


def test_there_are_commands_and_variables_to_check() -> None:
    assert sum(len(commands(snippet)) for _, _, snippet in SNIPPETS) > 40
    assert sum("MIGRATE_" in snippet.code for _, _, snippet in SNIPPETS) > 8
