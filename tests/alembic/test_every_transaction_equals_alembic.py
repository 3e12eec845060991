"""All pairs of `test_transactions_equal_alembic.py`."""

from __future__ import annotations

import pytest

from tests.alembic.test_transactions_equal_alembic import compare, named
from tests.support.transactions import EVERY_PAIR

__all__ = ["compare"]


@pytest.mark.parametrize("pair", EVERY_PAIR, ids=named)
def test_every_pair(compare, pair):
    compare(*pair)
