"""Tables of data in the core: what they name is there."""

from __future__ import annotations

from importlib.resources import files

import pytest

from migrate.core.platform_files import PLATFORMS
from migrate.core.trial_checks import DEFAULT_FAIL, TrialCheck


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_file_of_a_platform_has_its_template(platform):
    chosen = PLATFORMS[platform]
    for template in {*chosen.files.values(), *chosen.contract.values(), *chosen.verify.values()}:
        assert (files("migrate") / "templates" / template).is_file()
    assert bool(chosen.verify) == bool(chosen.verifying)


def test_what_fails_a_trial_is_one_of_its_checks():
    assert set(DEFAULT_FAIL) <= set(TrialCheck)
