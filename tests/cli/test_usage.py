"""A word that was misspelt: what was probably meant, as a command that can be pasted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("upp", "migrate up"),
        ("plam --strict", "migrate plan --strict"),
        ("init compos --service web", "migrate init compose --service web"),
        ("plan --format markdwn", "migrate plan --format markdown"),
        ("plan --format=markdwn", "migrate plan --format=markdown"),
        ("verify --fromat sql", "migrate verify --format sql"),
        ("up --strickt", "migrate up --strict"),
    ],
)
def test_a_misspelt_word_is_told_with_the_command_that_was_meant(tmp_path, typed, meant):
    done = subprocess.run(
        [sys.executable, "-m", "migrate", *typed.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, line["problem"], line["fix"]) == (2, "usage", meant)
    assert "did you mean" in line["why"]


def test_a_word_like_no_other_is_told_where_the_words_are(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "migrate", "qqq"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, line["fix"]) == (2, "migrate --help")
    assert "did you mean" not in line["why"]
