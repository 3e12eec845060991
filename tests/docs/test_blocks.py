"""What the pages show is what it says it is: every command is run or says why not, every example parses."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import tomllib

import click
import pytest
import yaml
from jsonschema import Draft7Validator

from migrate.command_line import VERBS, cli
from migrate.core.platform_files import PLATFORMS
from tests.docs.blocks import BLOCKS, NEEDS, PAGES, ROOT, SHELL, SHELL_BLOCKS

# `text` is what somebody or something prints; `ts` and `dockerfile` are read where their platforms are tried.
LANGUAGES = SHELL | {"python", "toml", "json", "yaml", "ini", "sql", "ts", "dockerfile", "mermaid", "text"}
MADE = "docs/problems/"  # their commands are the fixes of the catalogue: parsed here, tried where they are made
PLACEHOLDER = re.compile(r"<[a-z_]+>")  # the catalogue's, for a name of the case
OURS = re.compile(r"(?:^|[\s`'\"(])(migrate (?:" + "|".join(VERBS) + r")\b[^`\n]*)")


def by(language: str):
    blocks = [block for block in BLOCKS if block.language == language]
    assert blocks
    return pytest.mark.parametrize("block", blocks, ids=str)


def test_every_block_says_its_language() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []


def test_every_block_that_is_not_run_here_says_why_or_names_its_test() -> None:
    for block in SHELL_BLOCKS:
        if block.page.startswith(MADE):
            continue
        if reason := block.marker.get("needs"):
            assert reason in NEEDS, block
        if named := block.marker.get("run by"):
            file, _, test = named.partition("::")
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), block
        assert len(block.marker.keys() & {"needs", "run by", "run in"}) < 2, block


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=str)
def test_a_shell_reads_it(block) -> None:
    commands = re.sub(PLACEHOLDER, "NAME", "\n".join(block.commands))
    done = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert block.commands


def command_lines(text: str) -> list[list[str]]:
    """Our command lines in shell blocks and between backticks: the words before a comment, an operator or `--`.

    What stands in quotes is a value, and is one word here.
    """
    joined = re.sub(PLACEHOLDER, "NAME", text.replace("\\\n", " "))
    code = re.findall(r"```(?:sh|console)\n(.*?)```", joined, re.DOTALL) + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", joined)
    found = []
    for block in code:
        for line in OURS.findall(block):
            plain = re.split(r"\s#|\s&&|\s--(?:\s|$)|[)|;]", re.sub(r"'[^']*'|\"[^\"]*\"", "VALUE", line))[0]
            found.append([word.strip("'\"],.") for word in plain.split()])
    return found


def test_there_are_command_lines_to_check() -> None:
    assert sum(len(command_lines(page.read_text(encoding="utf-8"))) for page in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_parser_takes_our_commands(page) -> None:
    for line in command_lines(page.read_text(encoding="utf-8")):
        _, verb, *arguments = line
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
        assert flags <= known | {"--help"}, line
        if verb == "init" and arguments and arguments[0].islower():
            assert arguments[0] in PLATFORMS, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_target_of_make_is_there(page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = re.findall(r"(?:`|^\$ )make ([a-z-]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(shown) <= targets


@by("python")
def test_python_compiles(block) -> None:
    ast.parse(block.text)


@by("toml")
def test_toml_parses_and_our_settings_fulfil_their_schema(block) -> None:
    read = tomllib.loads(block.text)
    if ours := read.get("tool", {}).get("migrate"):
        schema = json.loads((ROOT / "docs" / "schemas" / "settings.schema.json").read_text(encoding="utf-8"))
        assert [error.message for error in Draft7Validator(schema).iter_errors(ours)] == []


@by("json")
def test_json_parses(block) -> None:
    json.loads(block.text if block.text.lstrip().startswith(("{", "[")) else f"{{{block.text}}}")


@by("yaml")
def test_yaml_parses(block) -> None:
    assert yaml.safe_load(block.text)


@by("ini")
def test_ini_parses(block) -> None:
    configparser.ConfigParser(interpolation=None).read_string(block.text)
