"""A printed fix leads to the project of the run that printed it."""

from __future__ import annotations

import pytest

from migrate.core.problems.catalogue import CATALOGUE
from migrate.core.problems.pasting import ProjectFlag, is_command, pasteable, with_pasteable_fixes

VERBS = ("up", "repair", "status", "history", "manifest", "adopt", "verify")
FLAGS = (ProjectFlag(("-c", "--config"), "'a b/x.ini'", VERBS), ProjectFlag(("-n", "--name"), "tenants", VERBS))
TABLE = ProjectFlag(("--version-table",), "mine", VERBS)
BOTH = "-c 'a b/x.ini' -n tenants"


@pytest.mark.parametrize(
    ("fix", "printed"),
    [
        ("migrate repair --yes   # does it", f"migrate repair {BOTH} --yes   # does it"),
        ("migrate up", f"migrate up {BOTH}"),
        ("end them, then run migrate up again", f"end them, then run migrate up {BOTH} again"),
        ("migrate status && migrate history   # x", f"migrate status {BOTH} && migrate history {BOTH}   # x"),
        ("pg_dump > b.sql; migrate manifest --baseline b.sql", f"pg_dump > b.sql; migrate manifest {BOTH} --baseline b.sql"),
        ("migrate verify --at a   # or: migrate adopt --at a", f"migrate verify {BOTH} --at a   # or: migrate adopt {BOTH} --at a"),
        ("migrate up -c path/to/alembic.ini", "migrate up -n tenants -c path/to/alembic.ini"),
        ("migrate up --config=x -n y", "migrate up --config=x -n y"),
        ("alembic merge -m 'merge heads' a b", f"alembic {BOTH} merge -m 'merge heads' a b"),
        ("alembic -c x.ini current   # the same", "alembic -n tenants -c x.ini current   # the same"),
        ("migrate up --help", "migrate up --help"),
        ("migrate explain untracked", "migrate explain untracked"),
        ("`migrate up` would refuse it", "`migrate up` would refuse it"),
        ("CREATE SCHEMA migrate AUTHORIZATION me;", "CREATE SCHEMA migrate AUTHORIZATION me;"),
        ("export MIGRATE_VERSION_TABLE=alembic_version", "export MIGRATE_VERSION_TABLE=alembic_version"),
    ],
)  # fmt: skip
def test_each_command_gets_the_flags_that_it_takes_and_has_not(fix: str, printed: str) -> None:
    assert pasteable(fix, FLAGS) == printed


def test_alembic_gets_only_the_flags_that_it_has() -> None:
    assert pasteable("alembic heads; migrate up", (TABLE,)) == "alembic heads; migrate up --version-table mine"


def test_a_project_that_is_found_without_flags_changes_no_fix() -> None:
    for kind in CATALOGUE.values():
        assert pasteable(kind.fix, ()) == kind.fix


def test_nothing_is_added_twice() -> None:
    for kind in CATALOGUE.values():
        once = pasteable(kind.fix, (*FLAGS, TABLE))
        assert pasteable(once, (*FLAGS, TABLE)) == once


def test_the_fixes_of_a_line_and_of_listed_checks_are_completed_and_nothing_else() -> None:
    fields = {
        "why": "migrate up",
        "fix": "migrate up",
        "exit_code": 15,
        "left_fixes": ["migrate repair --yes", "DROP INDEX late;"],
        "checks": [{"check": "state", "evidence": "migrate up", "fix": "migrate repair"}],
    }
    assert with_pasteable_fixes(fields, FLAGS) == {
        "why": "migrate up",
        "fix": f"migrate up {BOTH}",
        "exit_code": 15,
        "left_fixes": [f"migrate repair {BOTH} --yes", "DROP INDEX late;"],
        "checks": [{"check": "state", "evidence": "migrate up", "fix": f"migrate repair {BOTH}"}],
    }


@pytest.mark.parametrize(
    ("fix", "printed"),
    [
        ("migrate up   # once the server is back", "migrate down --to a   # once the server is back"),
        ("migrate status   # then run migrate up again", "migrate status   # then run migrate down --to a again"),
        ("migrate up --drift warn", "migrate up --drift warn"),  # another advice, not the same again
        ("`migrate up` would refuse it", "`migrate up` would refuse it"),
        ("migrate upgrade", "migrate upgrade"),
    ],
)
def test_a_fix_repeats_the_command_that_ran(fix: str, printed: str) -> None:
    assert with_pasteable_fixes({"fix": fix}, (), again="migrate down --to a") == {"fix": printed}
    completed = with_pasteable_fixes({"fix": fix}, FLAGS, again="migrate down --to a")["fix"]
    assert completed == pasteable(printed, FLAGS)


@pytest.mark.parametrize(
    ("fix", "expected"),
    [
        ("migrate up   # again", True),
        ("MIGRATE_DEBUG=1 migrate up", True),
        ("export DATABASE_URL='x'", True),
        ("git log --oneline -- versions/a.py   # put back", True),
        ("correct versions/a.py, then run migrate up again", False),
        ("end or wait for the named transactions", False),
        ("GRANT SELECT ON t TO r;", False),
        ("let env.py take its URL", False),
    ],
)
def test_a_command_is_told_from_a_sentence(fix: str, expected: bool) -> None:
    assert is_command(fix) is expected
