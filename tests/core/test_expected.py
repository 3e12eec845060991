"""Which needs can be asked before anything is changed, and which only once an earlier pending revision has run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from migrate.core.decide.expected import expected
from migrate.core.foresee.live import Later
from migrate.core.history.graph import Graph, Revision
from migrate.core.manifest.building import build

if TYPE_CHECKING:
    from migrate.core.manifest.manifest import Manifest

ONE, TWO, THREE = (
    Revision(id_, down, (), (), "", f"{id_}.py", id_) for id_, down in (("1", ()), ("2", ("1",)), ("3", ("2",)))
)
BEFORE = {
    "table t": "table",
    "column t.a": "integer",
    "table p": "table",
    "column p.id": "integer",
    "table part": "table partition of t FOR VALUES IN (1)",
    "table child": "table inherits (t)",
    "table sub": "table partition of part FOR VALUES IN (1)",
    "enum mood": "'sad', 'glad'",
    "column t.b": "smallint",
    "table up": "table",
    "constraint t.fk": "FOREIGN KEY (a) REFERENCES up(id) ON DELETE CASCADE",
    "table loud": "table",
    "trigger loud.x": "AFTER INSERT",
}


def silent(revision: Revision) -> str:
    """The text of a revision that stays in its transaction."""
    return f"op.execute('UPDATE t') # {revision.id}"


def manifest(
    after: dict[str, str | None], needs: tuple[str, ...] | None, effects: tuple[str, ...] | None = ()
) -> Manifest:
    """One whose second revision makes this of BEFORE, with these effects, and whose third one has these needs."""
    now = {identity: text for identity, text in (BEFORE | after).items() if text is not None}
    made = build(17, Graph([ONE, TWO, THREE]), {"1": BEFORE, "2": now, "3": now})
    one, two, three = made.revisions
    return replace(
        made,
        revisions=(one, replace(two, effects=effects, needs=()), replace(three, effects=(), needs=needs)),
    )


@pytest.mark.parametrize(
    ("need", "after", "effects", "later"),
    [
        ("no NULL in t.a", {}, (), False),
        ("no NULL in t.a", {"table new": "table"}, ("writes rows of p",), False),
        ("no NULL in t.a", {"column t.n": "integer", "column p.a": "integer"}, (), False),
        ("no NULL in t.n", {"column t.n": "integer"}, (), True),
        ("no NULL in t.a", {}, ("writes rows of t",), True),
        ("no NULL in t.a", {}, ("writes rows of part",), True),
        ("no NULL in t.a", {}, ("writes rows of sub",), True),
        ("no NULL in t.a", {}, ("writes rows of sub", "writes rows of t"), True),
        ("no NULL in t.a", {}, ("writes rows of child",), True),
        ("no NULL in t.a", {"table child": "table partition of t FOR VALUES IN (2)"}, (), True),
        ("no NULL in t.a", {}, ("blocks reads and writes of t: rewrite",), True),
        ("no NULL in t.a", {"column t.b": "bigint"}, ("blocks reads and writes of t: rewrite",), False),
        ("no NULL in t.a", {}, ("blocks reads and writes of t: brief",), True),
        ("no NULL in t.a", {"column t.b": "integer"}, ("blocks reads and writes of t: brief",), False),
        (
            "no NULL in t.a",
            {"column t.b": None, "column t.c": "integer"},
            ("blocks reads and writes of t: brief",),
            True,
        ),
        ("no NULL in t.a", {"column t.b": None}, ("blocks reads and writes of t: brief",), False),
        ("no NULL in t.a", {"table child": None}, (), True),
        ("no NULL in t.a", {}, ("writes rows of up",), True),
        ("no NULL in t.a", {}, ("writes rows of loud",), True),
        ("no NULL in t.a", {}, None, True),
        ("no NULL in t.a", {"column t.a": "bigint"}, (), True),
        ("no NULL in t.a", {"column t.a": "integer default 1"}, (), False),
        ("no NULL in t.a", {"column t.a": "integer not null"}, (), False),
        ("no NULL in new.a", {"table new": "table", "column new.a": "integer"}, (), True),
        ("no row in t (b is not null and has no default)", {"column t.a": "bigint"}, (), False),
        ("no row in new (b is not null and has no default)", {"table new": "table"}, (), True),
        ("no duplicates of t (lower(b)) where (a > 0)", {"column t.b": "text"}, (), True),
        ("no duplicates of t (a)", {"column t.n": "text"}, (), False),
        ("every row of t fulfils CHECK ((b > 0))", {"column t.b": "integer"}, (), True),
        ("every row of t fulfils CHECK ((a > 0))", {"column t.b": "integer"}, (), False),
        ("every row of t fulfils CHECK ((f(a) > 0))", {"function f(integer)": "returns integer"}, (), True),
        ("every value of t.a fulfils CHECK ((VALUE > 0))", {"column t.a": "bigint"}, (), True),
        ("every t (a) has its parent in p (id)", {}, (), False),
        ("every t (a) has its parent in p (id)", {}, ("writes rows of p",), True),
        ("every t (a) has its parent in new (id)", {"table new": "table", "column new.id": "integer"}, (), True),
        ("no overlap in t for EXCLUDE USING gist (b WITH &&)", {"column t.b": "tsrange"}, (), True),
        ("every value of t.a fits mood", {"enum mood": "'sad'"}, (), True),
        ("no row of t.a uses enum label 'sad'", {"column t.a": "text"}, (), True),
        ("no NULL in t.a", {"trigger t.x": "AFTER INSERT"}, (), False),
    ],
)
def test_what_earlier_revisions_make_or_write_is_asked_later(need, after, effects, later):
    outlook = expected(manifest(after, (need,), effects), (TWO, THREE), silent)
    assert [isinstance(each.answer, Later) for each in outlook.needs] == [later]
    alone = expected(manifest(after, (need,), effects), (THREE,), silent)
    assert [each.answer for each in alone.needs] == [None]


def test_what_goes_is_not_made_and_another_spelling_changes_nothing():
    made = manifest({}, ("no NULL in t.a",))
    one, two, three = made.revisions
    lines = ("- column t.b: integer", '= column t.a: "int"')
    made = replace(made, revisions=(one, replace(two, changes=lines), three))
    assert [each.answer for each in expected(made, (TWO, THREE), silent).needs] == [None]


def test_of_a_file_that_is_not_the_manifests_and_of_an_older_manifest_nothing_is_known():
    made = manifest({}, ("no NULL in t.a",))
    outlook = expected(made, (replace(TWO, sha256="edited"), THREE), silent)
    assert (outlook.unknown_effects, outlook.unknown_needs) == (
        (replace(TWO, sha256="edited"),),
        (replace(TWO, sha256="edited"),),
    )
    older = expected(manifest({}, None, None), (TWO, THREE))
    assert (older.unknown_effects, older.unknown_needs) == ((TWO,), (THREE,))
    assert older.effects == ()


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("with op.get_context().autocommit_block(): fill('t')", True),
        ("with op.get_context().autocommit_block(): fill('p.t')", True),
        ("with op.get_context().autocommit_block(): fill('tt')", False),
        ("fill('t')", False),
    ],
)
def test_what_leaves_its_transaction_may_write_every_table_that_it_names(text, later):
    outlook = expected(manifest({}, ("no NULL in t.a",)), (TWO, THREE), lambda _: text)
    assert [isinstance(each.answer, Later) for each in outlook.needs] == [later]
