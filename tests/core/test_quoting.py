"""What a name says is never run, wherever in a fix it stands."""

from __future__ import annotations

import string
import subprocess

import pytest

from migrate.core.problems import CATALOGUE, Fix, problem
from migrate.core.problems.fix import Language
from migrate.core.problems.packages import fix_of_missing
from migrate.core.quoting import Quoted, word, words

HOSTILE = (
    "$(touch ran)",
    "`touch ran`",
    "a; touch ran",
    "a\ntouch ran\n#",
    "a\rtouch ran",
    "' ; touch ran ; '",
    '"; touch ran; "',
    "a && touch ran",
    "a | touch ran",
    "a > ran",
    "x\u2028touch ran",
)
# Words of our own, and what is quoted where it is made, for psql or for a shell.
AS_IT_IS = {"fix", "settings", "url", "verb", "variable", "pid"}


def test_a_plain_name_is_itself() -> None:
    assert (word("1a2b"), word("migrations/versions/a-b_c.py"), words(["a", "b c"])) == (
        "1a2b",
        "migrations/versions/a-b_c.py",
        "a 'b c'",
    )
    assert word(Quoted("the manifest")) == "the manifest"


def paste(fix: Fix, folder) -> None:
    text = "\n".join(str(part) for part in fix.parts if part.language is not Language.SQL)
    # The programs of the fixes are not there: nothing but the shell reads the names.
    subprocess.run(
        ["/bin/bash", "-c", text], cwd=folder, env={"PATH": str(folder / "bin")}, capture_output=True, check=False
    )
    assert not (folder / "ran").exists(), text


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "touch").symlink_to("/usr/bin/touch")
    return tmp_path


@pytest.mark.parametrize("name", HOSTILE)
def test_pasting_a_fix_of_the_catalogue_runs_no_name(name: str, folder) -> None:
    for kind in CATALOGUE.values():
        fields = {field for _, field, _, _ in string.Formatter().parse(str(kind.fix)) if field} - AS_IT_IS
        if fields:
            names = {field: [name, "b"] if field in {"heads", "recorded"} else name for field in fields}
            paste(problem(kind.code, "why", names=names).fix, folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_pasting_the_way_to_a_missing_module_runs_no_name(name: str, folder) -> None:
    paste(fix_of_missing(name), folder)
    paste(fix_of_missing("app", name), folder)
