"""Limits as points in time."""

import pytest

from migrate.core.decide.policy import Limits


@pytest.mark.parametrize(("deadline", "comes"), [(0.0, float("inf")), (270.0, 370.0)])
def test_the_deadline_comes(deadline, comes):
    assert Limits(deadline_s=deadline).deadline_at(100.0) == comes
