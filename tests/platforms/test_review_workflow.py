"""The workflow of the page about reviews: checked by the readers of workflows."""

from __future__ import annotations

import re

import pytest

from tests.platforms.validators import ROOT, check_workflow

pytestmark = pytest.mark.deep

PAGE = ROOT / "docs" / "how-to" / "review-in-pull-requests.md"


def test_the_workflow_of_the_page_is_clean_and_its_actions_are_pinned(tmp_path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    file = tmp_path / "review.yml"
    file.write_text(text, encoding="utf-8")
    check_workflow(file)
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    assert all(
        re.search(r"@[0-9a-f]{40}$", action) and re.fullmatch(r" # v\d+\.\d+\.\d+", rest) for action, rest in uses
    )
