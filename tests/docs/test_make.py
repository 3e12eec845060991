"""What `make` does for somebody who only wants the package."""

from __future__ import annotations

import subprocess

from tests.docs.blocks import ROOT


def test_a_wheel_is_built_without_the_development_environment() -> None:
    done = subprocess.run(["make", "-n", "-B", "dist"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "requirements/build.txt" in done.stdout
    assert "requirements/dev.txt" not in done.stdout
