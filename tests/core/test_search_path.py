"""What a search_path names."""

import pytest

from migrate.core.search_path import first_meant, schemas_of


@pytest.mark.parametrize(
    ("setting", "named", "first"),
    [
        ('"$user", public', ("me", "public"), "public"),
        ("App, public", ("app", "public"), "app"),
        ('"Acme ""& Co""",globex', ('Acme "& Co"', "globex"), 'Acme "& Co"'),
        ('"$user"', ("me",), "me"),
        ('""', (), "me"),
        ("", (), "me"),
    ],
)
def test_it_names_schemas_whether_they_are_there_or_not(setting, named, first):
    assert schemas_of(setting, "me") == named
    assert first_meant(setting, "me") == first
