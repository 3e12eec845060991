"""The plan of synthetic rows: the order of tables, values, and a search that never repeats what was refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.trial.row_plan import TRIES, RowPlan, Search
from migrate.trial.values import (
    ROWS,
    SEEDS,
    Constraint,
    FilledColumn,
    FilledTable,
    Given,
    Reference,
    Shape,
    Type,
    literals,
    order,
    texts,
)

INTEGER = Type("integer")
TEXT = Type("text")


def table(id_: int, *keys: Reference, nullable: bool = False) -> FilledTable:
    columns = tuple(FilledColumn(name, INTEGER, nullable) for key in keys for name in key.columns)
    return FilledTable(id_, f"t{id_}", (FilledColumn("id", INTEGER, nullable=False), *columns), (), keys)


def key(to: int, *, deferrable: bool = False) -> Reference:
    return Reference(f"to_{to}", (f"t{to}_id",), to, ("id",), deferrable)


# The order


def test_referenced_tables_come_first() -> None:
    found = order([table(1, key(2)), table(2, key(3)), table(3, key(3)), table(4, key(99))])
    assert [one.id for one in found.tables] == [3, 2, 1, 4]
    assert (found.later, found.reserved, found.stuck) == ((), (), ())


def test_a_nullable_key_breaks_a_circle_before_a_deferrable_one() -> None:
    hard, soft = table(1, key(2, deferrable=True)), table(2, key(1), nullable=True)
    found = order([hard, soft])
    assert [one.id for one in found.tables] == [2, 1]
    assert found.later == ((soft, key(1)),)
    assert found.reserved == ()


def test_a_deferrable_key_breaks_a_circle() -> None:
    one, other = table(1, key(2, deferrable=True)), table(2, key(1))
    assert order([one, other]).reserved == ((one, key(2, deferrable=True)),)
    assert order([one, other], may_reserve=False).stuck == (one, other)


def test_a_circle_of_hard_keys_is_stuck_and_the_rest_is_not() -> None:
    found = order([table(1, key(2)), table(2, key(1)), table(3)])
    assert [one.id for one in found.stuck] == [1, 2]
    assert [one.id for one in found.tables] == [3]


# Values


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (Type("character varying", length=5), ("aaaaa", "bbbbb")),
        (Type("character", length=None), ("a", "b")),
        (Type('"char"'), ("a", "b")),
        (Type("name"), ("a" * 60, "b" * 60)),
        (TEXT, ("a" * 300, "b" * 300)),
        (Type("character varying", length=1_000_000), ("a" * 10_000, "b" * 10_000)),
        (Type("numeric"), ("12345678901.25", "12345678902.25")),
        (Type("numeric", length=5, scale=2), ("999.11", "998.11")),
        (Type("numeric", length=3), ("999", "998")),
        (Type("numeric", length=2, scale=-2), ("9900", "9800")),
        (Type("numeric", length=2, scale=3), ("0.099", "0.098")),
        (Type("numeric", length=0), ("0", "0")),
        (Type("bit"), ("0", "1")),
        (Type("bit", length=3), ("000", "001")),
        (Type("bit varying"), ("0" * 64, "0" * 63 + "1")),
        (Type("integer"), ("70000", "70001")),
        (Type("boolean"), ("true", "false")),
        (Type("date"), ("2026-01-01", "2026-01-02")),
        (Type("vector", length=2), ("[1,1]", "[1,1]")),
        (Type("mood", Shape.ENUM, labels=("sad", "ok")), ("ok", "sad")),
        (Type("posint", Shape.DOMAIN, parts=(INTEGER,)), ("70000", "70001")),
        (Type("integer[]", Shape.ARRAY, parts=(INTEGER,)), ('{"70000"}', '{"70001"}')),
        (Type("int4range", Shape.RANGE, parts=(INTEGER,)), ('["70000","70001")', '["70002","70003")')),
        (Type("int4multirange", Shape.MULTIRANGE, parts=(INTEGER,)), ('{["70000","70001")}', '{["70002","70003")}')),
        (
            Type("pair", Shape.COMPOSITE, parts=(INTEGER, Type("mood", Shape.ENUM))),
            ('("70000",)', '("70001",)'),
        ),
    ],
    ids=str,
)
def test_a_value_fills_its_type(type_: Type, expected: tuple[str, str]) -> None:
    assert tuple(texts(type_, seed)[0] for seed in (0, 1)) == expected


def test_an_enum_without_labels_has_no_values() -> None:
    assert texts(Type("nothing", Shape.ENUM), 0) == ()


def test_an_unknown_type_has_several_guesses() -> None:
    assert len(texts(Type("isbn13"), 0)) > 1


def test_quotation_marks_inside_of_an_array_are_escaped() -> None:
    labels = Type("odd", Shape.ENUM, labels=('a"b\\c',))
    assert texts(Type("odd[]", Shape.ARRAY, parts=(labels,)), 0) == ('{"a\\"b\\\\c"}',)


def test_literals() -> None:
    definition = "CHECK (((status = ANY (ARRAY['it''s'::text, 'new'::text])) AND (n2 > '-5'::integer) AND (x < 10.5) AND y = -3))"
    assert literals(definition) == ("it's", "new", "-5", "10.5", "-3")


def test_literals_of_a_domain_are_found_through_arrays() -> None:
    domain = Type("d", Shape.DOMAIN, parts=(INTEGER,), literals=("7",))
    array = Type("d[]", Shape.ARRAY, parts=(domain,))
    assert array.all_literals == ("7",)
    assert array.holds("d")
    assert not array.holds("e")


# The search


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    data=st.data(),
)
def test_a_search_finds_what_is_allowed_wherever_it_is(sizes: list[int], data: st.DataObject) -> None:
    allowed = data.draw(st.sets(st.sampled_from(list(itertools.product(*map(range, sizes)))), max_size=3))
    search = Search(sizes)
    for _ in range(500):
        if search.chosen is None or tuple(search.chosen) in allowed:
            break
        search.forbid(range(len(sizes)))
    assert (search.chosen is None) == (not allowed)


def test_only_what_a_prohibition_is_about_is_moved() -> None:
    search = Search([3, 3, 3])
    search.forbid({0, 2})
    assert search.chosen == [0, 0, 1]
    search.forbid({1})
    assert search.chosen == [0, 1, 1]
    search.forbid({2})
    assert search.chosen == [0, 1, 2]


def test_without_a_dimension_nothing_is_left() -> None:
    search = Search([3])
    search.forbid(())
    assert search.chosen is None
    search.forbid({0})
    assert search.chosen is None
    assert Search([1, 0]).chosen is None


def test_a_search_ends_although_everything_is_related() -> None:
    search = Search([2] * 16)
    search.forbid(range(16))
    search.forbid({15})
    assert search.chosen is not None
    search.forbid({15})
    assert search.chosen is None


# One row


def plan(one: FilledTable, number: int = 0, **more: object) -> RowPlan:
    return RowPlan(one, number, parents=more.pop("parents", {}), **more)  # type: ignore[arg-type]


WIDE = FilledTable(
    1,
    "t",
    (
        FilledColumn("id", INTEGER, nullable=False, has_default=True, drawn=True),
        FilledColumn("name", TEXT, nullable=False),
        FilledColumn("note", TEXT),
    ),
)


def test_the_first_two_rows_are_alike_and_the_last_is_null_where_it_may_be() -> None:
    first, second, last = (plan(WIDE, number).propose() for number in range(ROWS))
    assert first == second == {"id": Given.DEFAULT, "name": "a" * 300, "note": "a" * 300}
    assert last == {"id": Given.DEFAULT, "name": "c" * 300, "note": None}


def test_a_refusal_changes_the_columns_of_its_rule() -> None:
    one = FilledTable(1, "t", WIDE.columns, (Constraint("u", ("name",)),))
    found = plan(one, 1)
    found.propose()
    found.refuse("u")
    assert found.propose() == {"id": Given.DEFAULT, "name": "b" * 300, "note": "a" * 300}


def test_a_refusal_that_names_nothing_ends_the_search() -> None:
    found = plan(WIDE)
    found.propose()
    found.refuse(None)
    assert found.propose() is None


def test_a_rule_about_generated_columns_changes_anything() -> None:
    one = FilledTable(1, "t", (FilledColumn("a", INTEGER, nullable=False),), (Constraint("u", ("twice",)),))
    found = plan(one, 1)
    found.propose()
    found.refuse("u")
    assert found.propose() == {"a": "70001"}


def test_a_search_for_a_row_is_bounded() -> None:
    columns = tuple(FilledColumn(f"c{at}", INTEGER, nullable=False) for at in range(4))
    one = FilledTable(1, "t", columns, (Constraint("c", tuple(column.name for column in columns)),))
    found = plan(one)
    for _ in range(TRIES):
        assert found.propose() is not None
        found.refuse("c")
    assert found.propose() is None


def proposals(column: FilledColumn, *constants: str) -> set[object]:
    one = FilledTable(1, "t", (column,), (Constraint("c", (column.name,), constants),))
    found = plan(one)
    said: set[object] = set()
    while (row := found.propose()) is not None:
        said.add(row[column.name])
        found.refuse("c")
    return said


def test_the_constants_of_a_rule_are_tried() -> None:
    assert {"new", "done"} <= proposals(FilledColumn("c", TEXT), "new", "done")
    assert {"aaa", "AAA", "111"} <= proposals(FilledColumn("c", TEXT), "3", "99999999")
    assert {"AAAA", "1111", "ord-a"} <= proposals(FilledColumn("c", TEXT), "^[0-9]{4}$", "ord-%")
    assert {"9", "10", "11", "2.5"} <= proposals(FilledColumn("c", INTEGER), "10", "2.5", "x")
    assert "0.5" in proposals(FilledColumn("c", Type("numeric")), "1")
    assert {"1990-05-01", "1990-05-02", "1990-04-30"} <= proposals(
        FilledColumn("c", Type("date")), "1990-05-01", "x", "2020-99-99"
    )
    assert "object" in proposals(FilledColumn("c", Type("jsonb")), "object")
    array = Type("text[]", Shape.ARRAY, parts=(TEXT,))
    assert {'{"new"}', "{}"} <= proposals(FilledColumn("c", array), "new")
    domain = Type("d", Shape.DOMAIN, parts=(INTEGER,), literals=("7",))
    assert {"6", "7", "8"} <= proposals(FilledColumn("c", domain))
    assert proposals(FilledColumn("c", Type("m", Shape.ENUM, labels=("x",))), "y") == {"x", None}


def test_default_and_null_are_tried_last() -> None:
    found = proposals(FilledColumn("c", INTEGER, has_default=True))
    assert found == {*(str(70_000 + seed) for seed in range(SEEDS)), Given.DEFAULT, None}


def test_a_rule_of_several_columns_soon_tries_null() -> None:
    one = FilledTable(
        1, "t", (FilledColumn("a", INTEGER), FilledColumn("b", INTEGER)), (Constraint("c", ("a", "b"), ("1",)),)
    )
    found = plan(one)
    found.propose()
    found.refuse("c")
    assert found.propose() == {"a": "70000", "b": None}


def test_types_that_are_guessed_are_named() -> None:
    one = FilledTable(1, "t", (FilledColumn("a", INTEGER), FilledColumn("b", Type("isbn13"))))
    assert plan(one).unsure == ("b",)


# Keys


def test_a_row_refers_to_the_first_parent_and_the_last_row_to_none() -> None:
    one = table(1, key(2), nullable=True)
    parents = {2: [{"id": "5"}, {"id": "6"}]}
    rows = [plan(one, number, parents=parents).propose() for number in range(ROWS)]
    assert [row and row["t2_id"] for row in rows] == ["5", "5", None]


def test_the_last_row_refers_to_the_last_parent_where_it_must() -> None:
    parents = {2: [{"id": "5"}, {"id": "5"}, {"id": None}, {"id": "6"}]}
    found = plan(table(1, key(2)), ROWS - 1, parents=parents)
    assert (found.propose() or {})["t2_id"] == "6"
    found.refuse("to_2")
    assert (found.propose() or {})["t2_id"] == "5"


def test_without_a_parent_a_hard_key_is_missing() -> None:
    found = plan(table(1, key(2)))
    assert found.propose() is None
    assert found.missing == key(2)
    assert plan(table(1)).missing is None


def test_a_row_can_refer_to_itself() -> None:
    assert plan(table(1, key(1))).propose() == {"id": "70000", "t1_id": "70000"}
    drawn = FilledTable(1, "t", (FilledColumn("t1_id", INTEGER, nullable=False),), (), (key(1),))
    assert plan(drawn).propose() == {"t1_id": Given.DEFAULT}


def test_what_is_settled_stands() -> None:
    assert plan(table(1, key(1)), fixed={"id": "9"}).propose() == {"id": "9", "t1_id": "9"}


SHARED = FilledTable(
    1,
    "t",
    tuple(FilledColumn(name, INTEGER, nullable=name == "b") for name in ("tenant", "a", "b")),
    (),
    (
        Reference("to_a", ("tenant", "a"), 2, ("tenant", "id")),
        Reference("to_b", ("tenant", "b"), 3, ("tenant", "id")),
    ),
)


def test_keys_that_share_a_column_agree_about_it() -> None:
    parents = {
        2: [{"tenant": "1", "id": "10"}, {"tenant": "2", "id": "20"}],
        3: [{"tenant": "2", "id": "30"}],
    }
    assert plan(SHARED, parents=parents).propose() == {"tenant": "1", "a": "10", "b": None}
    hard = FilledTable(
        1,
        "t",
        tuple(FilledColumn(one.name, INTEGER, nullable=False) for one in SHARED.columns),
        (),
        SHARED.foreign_keys,
    )
    assert plan(hard, parents=parents).propose() == {"tenant": "2", "a": "20", "b": "30"}


def test_a_key_that_contradicts_what_is_settled_gives_way() -> None:
    parents = {2: [{"tenant": "1", "id": "10"}, {"tenant": "2", "id": "20"}], 3: []}
    assert (plan(SHARED, parents=parents, fixed={"tenant": "2"}).propose() or {})["a"] == "20"


def test_a_half_null_key_leaves_the_other_half_to_be_filled() -> None:
    only_b = FilledTable(1, "t", SHARED.columns[::2], (), SHARED.foreign_keys[1:])
    assert plan(only_b, parents={3: []}).propose() == {"b": None, "tenant": "70000"}


def test_a_check_without_constants_gets_texts_of_many_kinds_and_what_is_read_comes_first() -> None:
    one = FilledTable(
        1,
        "t",
        (FilledColumn("c", TEXT, nullable=False, read_as=("7",)),),
        (Constraint("upper", ("c",), is_check=True),),
    )
    found = plan(one)
    said = []
    while (row := found.propose()) is not None:
        said.append(row["c"])
        found.refuse("upper")
    assert said[0] == "7"
    assert {"A", "AB", "ABC", "a@example.org"} <= set(said)
