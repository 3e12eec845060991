"""The guides: every command line of ours that they show is one that the parser takes."""

from __future__ import annotations

import re

import click
import pytest

from migrate.cli import VERBS, cli
from migrate.core.platform_files import PLATFORMS
from migrate.core.problems import ExitCode
from tests.platforms.validators import ROOT

pytestmark = pytest.mark.deep

PAGES = sorted([*(ROOT / "docs" / "how-to").glob("*.md"), *(ROOT / "docs" / "tutorial").glob("*.md")])
OURS = re.compile(r"(?:^|[\s`'\"(])(migrate (?:" + "|".join(VERBS) + r")\b[^`\n]*)")


def command_lines(text: str) -> list[list[str]]:
    """Our command lines in code blocks and between backticks: the words before a comment, an operator or `--`.

    What stands in quotes is a value, and is one word here.
    """
    joined = text.replace("\\\n", " ")
    code = re.findall(r"```sh\n(.*?)```", joined, flags=re.DOTALL) + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", joined)
    found = []
    for block in code:
        for line in OURS.findall(block):
            plain = re.split(r"\s#|\s&&|\s--(?:\s|$)|[)|;]", re.sub(r"'[^']*'|\"[^\"]*\"", "VALUE", line))[0]
            found.append([word.strip("'\"],.") for word in plain.split()])
    return found


def test_there_are_command_lines_to_check() -> None:
    assert sum(len(command_lines(page.read_text(encoding="utf-8"))) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_parser_takes_them(page) -> None:
    for line in command_lines(page.read_text(encoding="utf-8")):
        _, verb, *arguments = line
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
        assert flags <= known, line
        if verb == "init" and arguments:
            assert arguments[0] in PLATFORMS, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_codes_that_are_tried_again_are_those_that_may_succeed(page) -> None:
    for first, last, others in re.findall(r"\b(20)(?:-| to )(25), ([\d, and]+)", page.read_text(encoding="utf-8")):
        named = {*range(int(first), int(last) + 1), *map(int, re.findall(r"\d+", others))}
        # 137 is the engine's own: killed, so that nobody was there to say anything else.
        assert named - {137} == {int(code) for code in ExitCode if code.retryable}


def test_every_platform_that_init_knows_has_a_page() -> None:
    pages = {page.stem for page in PAGES}
    family = {"railway-json": "railway", "railway-py": "railway", "helm": "kubernetes"}
    assert {family.get(platform, platform) for platform in PLATFORMS} <= pages
