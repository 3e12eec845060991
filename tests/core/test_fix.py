"""A fix is what a person pastes: for the project of the run that printed it, quoted for where it stands."""

from __future__ import annotations

import pytest

from migrate.core.problems import (
    CATALOGUE,
    NOTHING,
    Fix,
    advice,
    again,
    alembic,
    in_order,
    migrate,
    shell,
    sql,
)
from migrate.core.problems.fix import Language, ProjectFlag, with_completed_fixes

VERBS = ("up", "down", "repair", "status", "history", "manifest", "adopt", "verify")
FLAGS = (ProjectFlag(("-c", "--config"), "'a b/x.ini'", VERBS), ProjectFlag(("-n", "--name"), "tenants", VERBS))
TABLE = ProjectFlag(("--version-table",), "mine", VERBS)
BOTH = "-c 'a b/x.ini' -n tenants"
DOWN = migrate("down", "--to a")


@pytest.mark.parametrize(
    ("fix", "printed"),
    [
        (shell(migrate("repair", "--yes"), note="does it"), f"migrate repair {BOTH} --yes   # does it"),
        (advice("end them, then run ", migrate("up"), " again"), f"end them, then run migrate up {BOTH} again"),
        (
            shell(migrate("status"), " && ", migrate("history"), note="x"),
            f"migrate status {BOTH} && migrate history {BOTH}   # x",
        ),
        (
            shell(migrate("verify", "--at a"), note=("or: ", migrate("adopt", "--at a"))),
            f"migrate verify {BOTH} --at a   # or: migrate adopt {BOTH} --at a",
        ),
        (shell(migrate("up", "-c path/to.ini")), "migrate up -n tenants -c path/to.ini"),
        (shell(migrate("up", "--config=x", "-n y")), "migrate up --config=x -n y"),
        (shell(alembic("merge", "-m 'merge heads'", "a b")), f"alembic {BOTH} merge -m 'merge heads' a b"),
        (shell("migrate explain untracked"), "migrate explain untracked"),
        (sql("SELECT 1;", note=("or: ", migrate("up"))), f"SELECT 1;   -- or: migrate up {BOTH}"),
        (sql(note="ask a superuser"), "-- ask a superuser"),
    ],
    ids=lambda value: value if isinstance(value, str) else "fix",
)
def test_each_command_gets_the_flags_that_it_takes_and_has_not(fix: Fix, printed: str) -> None:
    assert str(fix.completed(FLAGS, migrate("up"))) == printed


def test_alembic_gets_only_the_flags_that_it_has() -> None:
    fix = shell(alembic("heads"), "; ", migrate("up"))
    assert str(fix.completed((TABLE,), migrate("up"))) == "alembic heads; migrate up --version-table mine"


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_a_project_that_is_found_without_flags_changes_no_fix(kind) -> None:
    assert str(kind.general_fix.completed((), migrate("up"))) == str(kind.general_fix)


def test_nothing_is_added_twice() -> None:
    once = shell(migrate("repair")).completed(FLAGS, migrate("up"))
    assert str(once.completed(FLAGS, migrate("up"))) == str(once)


@pytest.mark.parametrize(
    ("fix", "printed"),
    [
        (shell(again(), note="once the server is back"), "migrate down --to a   # once the server is back"),
        (
            shell(migrate("status"), note=("then run ", again(), " again")),
            "migrate status   # then run migrate down --to a again",
        ),
        (shell(again("-x KEY=VALUE")), "migrate down --to a -x KEY=VALUE"),
        (shell(migrate("up", "--drift warn")), "migrate up --drift warn"),
    ],
    ids=["a command", "a note", "with an argument more", "another advice, not the same again"],
)
def test_a_fix_repeats_the_command_that_ran(fix: Fix, printed: str) -> None:
    assert str(fix.completed((), DOWN)) == printed


def test_the_fixes_of_a_line_and_of_listed_checks_are_completed_and_nothing_else() -> None:
    fields = {
        "why": "migrate up",
        "fix": shell(again()),
        "exit_code": 15,
        "left_fixes": [shell(migrate("repair", "--yes")), sql("DROP INDEX late;")],
        "checks": [{"check": "state", "evidence": "migrate up", "fix": shell(migrate("repair"))}],
    }
    found = with_completed_fixes(fields, FLAGS, DOWN)
    assert str(found["fix"]) == f"migrate down {BOTH} --to a"
    assert [str(fix) for fix in found["left_fixes"]] == [f"migrate repair {BOTH} --yes", "DROP INDEX late;"]
    assert str(found["checks"][0]["fix"]) == f"migrate repair {BOTH}"
    assert (found["why"], found["exit_code"], found["checks"][0]["evidence"]) == ("migrate up", 15, "migrate up")


def test_a_name_is_quoted_for_where_it_stands() -> None:
    name = """o'ne "$two" three"""
    names = {"name": name, "several": [name, "b"]}
    assert str(shell("ls {name}").filled(names)) == """ls 'o'"'"'ne "$two" three'"""
    assert (
        str(shell(migrate("up", "--target {name}")).filled(names)) == """migrate up --target 'o'"'"'ne "$two" three'"""
    )
    assert str(shell(alembic("merge", "{several}")).filled(names)).endswith(" b")
    assert str(sql("DROP INDEX {name};").filled(names)) == """DROP INDEX "o'ne ""$two"" three";"""


def test_a_name_that_is_missing_stays_visible() -> None:
    assert str(shell("ls {name}").filled({})) == "ls <name>"


def test_several_fixes_are_one_in_their_order_each_once() -> None:
    found = in_order([sql("SELECT 1;"), sql("SELECT 1;"), advice("then wait")])
    assert str(found) == "SELECT 1;\nthen wait"
    assert found.shown(str.upper) == ((Language.SQL, "SELECT 1;"), (Language.ADVICE, "THEN WAIT"))
    assert not in_order([])
    assert (bool(NOTHING), bool(found)) == (False, True)


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_nothing_of_the_catalogue_that_is_pasted_is_prose(kind) -> None:
    for part in kind.fix.parts:
        first = str(part).split()[0]
        if part.language is Language.SHELL:
            assert first in {
                "alembic",
                "export",
                "git",
                "migrate",
                "pg_dump",
                "pip",
                "psql",
                "unset",
                "MIGRATE_DEBUG=1",
            }
        elif part.language is Language.SQL:
            assert first in {"ALTER", "CREATE"}
