"""The help of a verb: its own flags first, the settings in groups, the common ones alone unless all are asked for."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from migrate.command_line import VERBS, cli
from migrate.core.platform_files import PLATFORMS
from migrate.settings import SETTINGS
from migrate.settings.groups import GROUPS, settings_of
from migrate.settings.kinds import Choice, Switch

OF_SETTINGS = [verb for verb in VERBS if settings_of(verb)]
TITLES = re.compile(r"^([A-Z][a-z -]+):$", re.MULTILINE)


def help_of(verb: str, flag: str = "--help", columns: int = 100) -> str:
    shown = CliRunner().invoke(cli, [verb, flag], terminal_width=columns, max_content_width=columns)
    assert shown.exit_code == 0, shown.output
    return shown.output


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w, )?(-x|--[\w-]+)", text, re.MULTILINE))


def own_flags(verb: str) -> set[str]:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    return {each.opts[-1] for each in command.params if isinstance(each, click.Option)} - {
        setting.flag_names[-1].partition("/")[0] for setting in settings_of(verb).values()
    }


def test_every_setting_stands_in_one_group() -> None:
    grouped = [name for group in GROUPS for name in (*group.common, *group.rest)]
    assert sorted(grouped) == sorted(setting.name for setting in SETTINGS if setting.verbs)


@pytest.mark.parametrize("verb", OF_SETTINGS)
def test_the_groups_of_a_verb_come_in_order_after_its_own_flags(verb: str) -> None:
    titles = TITLES.findall(help_of(verb))
    known = ["Options", *(group.title for group in GROUPS), "Exit codes"]
    assert titles == [title for title in known if title in titles]
    assert titles[-2:] == ["Output", "Exit codes"]
    own = own_flags(verb) - {"--json", "--help-all"}
    text = help_of(verb)
    first = text.partition("Options:")[2].partition("What to run:")[0]
    assert flags_in(first) == own
    if not own:
        assert titles[0] == "What to run"


@pytest.mark.parametrize("verb", OF_SETTINGS)
def test_help_has_the_common_flags_and_help_all_has_all_of_them(verb: str) -> None:
    settings = settings_of(verb)
    every = {setting.flag_names[-1].partition("/")[0] for setting in settings.values()} | own_flags(verb) | {"--help"}
    common = {name for group in GROUPS for name in group.common if name in settings}
    short, full = help_of(verb), help_of(verb, "--help-all")
    assert flags_in(full) == every
    rest = {setting.flag_names[-1].partition("/")[0] for name, setting in settings.items() if name not in common}
    assert flags_in(short) == every - rest
    words = " ".join(full.split())
    for setting in settings.values():  # a long flag has its text on the next line
        assert f"[{setting.variable}" in words
    assert (f"{len(rest)} more flag" in " ".join(short.split())) is bool(rest)
    assert "more flag" not in full


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("flag", ["--help", "--help-all"])
@pytest.mark.parametrize("verb", VERBS)
def test_no_line_is_wider_than_the_terminal(verb: str, flag: str, columns: int) -> None:
    if flag == "--help-all" and verb not in OF_SETTINGS:
        return
    text = help_of(verb, flag, columns)
    assert [line for line in text.splitlines() if len(line) > columns and " " in line.strip()] == []


def test_a_flag_is_said_in_one_sentence_and_in_full() -> None:
    short, full = (" ".join(help_of("up", flag).split()) for flag in ("--help", "--help-all"))
    assert "--lock-timeout TIME How long a statement waits for a lock" in short
    assert "is rolled back and tried again. [default: 2s]" in short
    assert "[MIGRATE_LOCK_TIMEOUT; default: 2s]" in full
    assert "[MIGRATE_GUARD_TIMEOUT; default: 15m; 0: do not wait]" in full
    assert "[MIGRATE_STATEMENT_TIMEOUT; default: no limit]" in full
    assert "-n, --name NAME" in full
    assert "--adopt [off|exact|equivalent]" in short


def test_a_variable_that_is_not_spelled_as_its_flag_is_said_in_short_too() -> None:
    assert "[MIGRATE_WAIT_TIMEOUT; default: 10m; 0: look once]" in " ".join(help_of("wait").split())
    assert "MIGRATE_TARGET" not in help_of("wait")


@pytest.mark.parametrize("verb", ["up", "plan"])
def test_every_choice_and_switch_says_what_it_is_when_nobody_sets_it(verb: str) -> None:
    words = " ".join(help_of(verb, "--help-all").split())
    for setting in settings_of(verb).values():
        if isinstance(setting.kind, Choice | Switch):
            assert re.search(rf"\[{setting.variable}; default: [\w -]+[];]", words), setting.name


def test_the_platforms_of_init_stand_there_whole() -> None:
    listed = help_of("init", columns=80).partition("PLATFORM is one of:")[2].partition("Options:")[0]
    assert set(listed.split()) == set(PLATFORMS)


def test_a_verb_that_goes_to_no_target_says_what_zero_means() -> None:
    assert {
        verb for verb in VERBS if "0 ok" in help_of(verb) and "at the target" in help_of(verb).partition("0 ok")[2]
    } == {
        "up",
        "plan",
        "status",
        "wait",
    }
