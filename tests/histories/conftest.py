"""The switch that writes the page of histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption("--write-histories", action="store_true", help="write docs/reference/histories.md")
