"""The guides of the platforms: each has one, and says of exit codes what the catalogue says."""

from __future__ import annotations

import re

import pytest

from migrate.core.platform_files import PLATFORMS
from migrate.core.problems import ExitCode
from tests.platforms.validators import ROOT

pytestmark = pytest.mark.deep

PAGES = sorted([*(ROOT / "docs" / "how-to").glob("*.md"), *(ROOT / "docs" / "tutorial").glob("*.md")])


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
