"""What helps where Python does not find a module."""

from __future__ import annotations

import pytest

from migrate.core.problems.packages import fix_of_missing


@pytest.mark.parametrize(
    ("module", "folder", "expected"),
    [
        (
            "psycopg",
            None,
            "pip install 'psycopg[binary]'   # in the image; or name a driver that is there: postgresql+",
        ),
        ("asyncpg", None, "pip install asyncpg   # in the image; or name a driver that is there: postgresql+"),
        ("dotenv", None, "pip install python-dotenv   # in the image"),
        ("sqlmodel", None, "pip install sqlmodel   # in the image"),
        ("app", None, "put app into the image: with the application, where it is a module of your own "),
        ("x; rm -r y", None, "put 'x; rm -r y' into the image: "),
        ("app", ".", "export PYTHONPATH=.   # app lies there"),
        ("app", "a b", "export PYTHONPATH='a b'   # app lies there"),
    ],
)
def test_the_fix_names_the_package(module, folder, expected):
    assert str(fix_of_missing(module, folder)).startswith(expected)


@pytest.mark.parametrize("module", ["app", "models", "core", "settings", "config", "utils"])
def test_a_name_that_may_be_the_users_own_is_never_installed(module):
    assert "pip install" not in str(fix_of_missing(module))
