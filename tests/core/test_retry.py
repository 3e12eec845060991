"""Delays grow, are spread, and end with the tries or the budget."""

import pytest

from migrate.core.retry import Retries


@pytest.mark.parametrize(
    ("tried", "spent", "jitter", "delay"),
    [
        (1, 0.0, 0.0, 0.5),
        (1, 0.0, 1.0, 1.0),
        (2, 0.0, 1.0, 2.0),
        (3, 0.0, 0.0, 2.0),
        (7, 0.0, 1.0, 30.0),
        (8, 0.0, 0.0, None),
        (1, 99.5, 0.0, None),
        (1, 99.4, 0.0, 0.5),
    ],
)
def test_delay(tried, spent, jitter, delay):
    assert Retries(8, 100.0).delay_s(tried, spent, jitter) == delay
