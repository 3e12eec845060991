"""The pictures of the README show what the program prints now."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from tests.docs.blocks import ROOT

PICTURES = ROOT / "docs" / "pictures"
MAKE = "run: make docs"


@pytest.fixture(scope="module")
def taking() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "pictures.py"))


def test_a_terminal_shows_the_words_of_a_run_of_today(taking: dict[str, Any]) -> None:
    with taking["scene"]() as place:
        for name in ("refused", "released"):  # the second is the first put right
            committed = (PICTURES / f"{name}.svg").read_text("utf-8")
            assert taking["words"](committed) == taking["words"](taking[name](place)), MAKE


def test_what_a_live_line_left_behind_is_not_in_the_picture(taking: dict[str, Any]) -> None:
    live = "one\r\n\x1b[?25l⠋ 0 s\r\x1b[2K⠙ 1 s\r\n\r\x1b[2K\x1b[1A\x1b[2Ktwo\r\n\x1b[?25h"
    assert taking["on_screen"](live) == "one\ntwo"


@pytest.mark.parametrize("picture", sorted(PICTURES.iterdir()), ids=lambda picture: picture.name)
def test_a_picture_is_small_fetches_nothing_and_is_shown(picture) -> None:
    assert picture.stat().st_size < 100_000
    if picture.suffix == ".svg":
        text = picture.read_text("utf-8")
        assert re.findall(r"url\((?!#)|href=|@import|/(?:tmp|work|home|root)/", text) == []
    assert f"docs/pictures/{picture.name}" in (ROOT / "README.md").read_text("utf-8")
