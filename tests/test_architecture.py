"""Names, files and documents agree: what `ls` shows is what there is."""

from __future__ import annotations

import ast
import re
import string
from graphlib import TopologicalSorter
from pathlib import Path

import click
import pytest

from migrate.command_line import VERBS, cli
from migrate.core.problems import CATALOGUE
from migrate.settings import SETTINGS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "migrate"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
# Modules of `commands/` that are no verb: what the verbs share.
SHARED = {"__init__", "compose", "plain", "release", "usage", "verb"}


def called(tree: ast.AST) -> set[str]:
    """Every plain name and `module.name` that is called."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
    return found


def test_every_verb_is_a_file_and_every_file_a_verb():
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")}
    assert files - SHARED == set(VERBS)


def test_every_verb_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"`migrate {verb}" not in readme] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_result_for_machines(verb):
    command = cli.get_command(click.Context(cli), verb)
    assert "--json" in [flag for parameter in command.params for flag in parameter.opts]


@pytest.mark.parametrize("verb", VERBS)
def test_the_exit_codes_of_a_verb_stand_in_their_order(verb):
    shown = cli.get_command(click.Context(cli), verb).get_help(click.Context(cli)).partition("Exit codes:")[2]
    codes = [int(code) for code in re.findall(r"^  (\d+) [a-z-]+  ", shown, re.MULTILINE)]
    assert len(codes) > 1
    assert codes == sorted(codes)


def test_settings_name_verbs_that_exist():
    named = {verb for setting in SETTINGS for verb in setting.verbs}
    assert named <= set(VERBS)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_parser_exits_and_prints(module):
    if module.name == "embedded.py":  # a program of its own, too: `python -m migrate.shadow.embedded`
        return
    found = called(ast.parse(module.read_text())) & {"print", "sys.exit", "exit", "quit"}
    assert module == PACKAGE / "cli.py" or not found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_its_purpose(module):
    docstring = ast.get_docstring(ast.parse(module.read_text()))
    assert docstring, "a module without a purpose"
    assert not re.search(r"\b(utils?|helpers?|common|base|manager)\b", module.stem)


def test_every_fix_has_its_names():
    """A kind's fix whose placeholder a call leaves open would be printed with `<name>` in it."""
    gaps = []
    for path in MODULES:
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or ast.unparse(call.func) not in {"stop", "problem"} or not call.args:
                continue
            code = call.args[0]
            if not isinstance(code, ast.Constant):
                continue
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            wanted = {name for _, name, _, _ in string.Formatter().parse(str(CATALOGUE[code.value].fix)) if name}
            named = given.get("names", ast.Dict([], []))
            if "fix" in given or not isinstance(named, ast.Dict) or None in named.keys:
                continue
            missing = wanted - {ast.literal_eval(key) for key in named.keys}
            gaps += [f"{path.name}:{call.lineno} {code.value}: {name}" for name in sorted(missing)]
    assert gaps == []


def test_no_two_classes_have_the_same_name():
    """Private ones excepted: they are read where they stand."""
    found: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


# What looks like one of them and is no pattern: the characters that may stand in a URL unquoted.
NO_PATTERNS = {"!$&'()*+,;="}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_pattern_is_possessive_or_atomic(module):
    """CPython 3.11.2, Debian 12's, matches a possessive group of alternatives wrongly, and an atomic one is the same."""
    texts = {
        node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    }
    assert [text for text in texts - NO_PATTERNS if re.search(r"[*+?}]\+|\(\?>", text)] == []


# Tables of data, which are longer than what is read from first to last may be.
TABLES = {"core/problems/catalogue.py", "core/problems/examples.py"}
LONGEST = 500


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_go(module):
    lines = module.read_text().count("\n")
    assert lines <= LONGEST or str(module.relative_to(PACKAGE)) in TABLES


def imported(path: Path, modules: set[str]) -> set[str]:
    """The modules of ours that a file imports anywhere in it: in functions, and for the type checker, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                found |= {whole if (whole := f"{module}.{each.name}") in modules else module for each in names}
            case ast.Import(names=names):
                found |= {each.name for each in names}
    return found & modules


def test_no_import_goes_in_a_circle():
    """Those for the type checker included: what is named in both of two modules belongs into a third."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }
    imports = {module: imported(path, set(modules)) - {module} for module, path in modules.items()}
    assert sum(map(len, imports.values())) > 1000, "the imports are not found any more"
    TopologicalSorter(imports).prepare()


def test_the_story_of_a_run_is_told_with_the_names_that_there_are():
    """docs/explanation/one-run.md: six rooms at most, each entered from one before it, and no name that is gone."""
    page = (ROOT / "docs" / "explanation" / "one-run.md").read_text()
    rooms = re.findall(r"^## \d\. `(migrate/[\w/]+\.py)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert 4 <= len(rooms) <= 6
    before: list[str] = []
    for file, told in rooms:
        source = (ROOT / file).read_text()
        elsewhere = re.findall(r"`(\w+)\(\)` \(`([\w/]+\.py)`\)", re.sub(r"\s+", " ", told))
        named = {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)\(\)`", told)} - {
            each for each, _ in elsewhere
        }
        assert named
        for name, module in [*((name, file) for name in named), *elsewhere]:
            assert re.search(rf"^ *def {name}\(", (ROOT / module).read_text(), re.MULTILINE), (name, module)
        assert all(re.search(rf"\b{name}\(", source) for name, _ in elsewhere)
        entered = [name for name in named if any(re.search(rf"(?<!def )\b{name}\b", text) for text in before)]
        assert entered or not before, f"nothing before it enters {file}"
        before.append(source)
