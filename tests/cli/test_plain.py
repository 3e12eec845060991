"""A plain command line of `up` is read as click reads it; whatever is not plain is left to click."""

from __future__ import annotations

from itertools import product

import click
import pytest

from migrate.command_line import cli
from migrate.commands.plain import flags_of_up
from migrate.settings import SETTINGS
from migrate.settings.kinds import Switch, Words

OF_UP = [setting for setting in SETTINGS if "up" in setting.verbs]
FLAGS = [name for setting in OF_UP for flag in setting.flag_names for name in flag.split("/")]
WORDS = ["1", "2s", "exact", "warn", "allow", "a,b", "0/2", "1MB", "", "no such thing", "-1", "--", "--strict"]


def by_click(arguments: list[str]) -> dict[str, object] | str:
    """What click hands to the verb, or what it says."""
    command = cli.get_command(click.Context(cli), "up")
    assert command is not None
    try:
        return command.make_context("up", list(arguments)).params
    except click.ClickException as error:
        return error.format_message()


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_is_read_as_click_reads_it(flag):
    lines = [[flag], *([flag, word] for word in WORDS), *([f"{flag}={word}"] for word in WORDS)]
    for line in lines:
        found = flags_of_up(["up", *line])
        assert found is None or found == by_click(line), line


def test_several_flags_are_read_as_click_reads_them():
    for first, second in product(
        (["--strict"], ["--no-strict"], ["--json"], ["--target", "head"], ["--config=a"]), repeat=2
    ):
        line = [*first, *second]
        found = flags_of_up(["up", *line])
        assert found is not None
        assert found == by_click(line)


def test_every_flag_of_one_value_is_plain():
    is_plain = {
        setting.name: any(
            flags_of_up(["up", flag, *word]) is not None
            for flag in setting.flag_names[-1].split("/")
            for word in ([], *([word] for word in (*WORDS, *setting.kind.metavar.strip("[]").split("|"))))
        )
        for setting in OF_UP
    }
    assert is_plain == {setting.name: not isinstance(setting.kind, Words) for setting in OF_UP}
    assert any(isinstance(setting.kind, Switch) for setting in OF_UP)


@pytest.mark.parametrize(
    "line",
    [
        *([], ["status"], ["migrate", "up"], ["up", "--help"], ["up", "--help-all"], ["up", "-h"], ["up", "head"]),
        *(["up", "--"], ["up", "--strict=1"], ["up", "--strict", "x"], ["up", "--strickt"], ["up", "--target"]),
        *(["--version"], ["up", "-c", "x", "--no"], ["up", "--lock-timeout", "soon"], ["up", "--target", "--strict"]),
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_click(line):
    assert flags_of_up(line) is None
