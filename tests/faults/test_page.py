"""The page says what the suite runs, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import declared_by
from tests.faults.page import COMMAND, PAGE, render


def test_the_page_lists_exactly_these_faults(request):
    collected = {Path(str(item.path)) for item in request.session.items}
    if collected != set(Path(__file__).parent.glob("test_*.py")):
        pytest.skip("only where the whole suite is collected")
    rows = declared_by(request.session.items)
    assert len({row.name for row in rows}) == len(rows) >= 40
    if not request.config.getoption("--write-faults"):
        assert PAGE.read_text(encoding="utf-8") == render(rows), f"run `{COMMAND}`"
