"""The revision graph on histories small enough to check by hand; `tests/alembic` compares it with Alembic itself."""

from __future__ import annotations

import pytest

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.history.graph import Graph, Overlap, Revision


def revision(id_: str, *down: str, on: tuple[str, ...] = (), labels: tuple[str, ...] = ()) -> Revision:
    return Revision(id_, down, on, labels, message="", file=f"versions/{id_}.py", sha256="")


def graph(*revisions: Revision) -> Graph:
    built = Graph(revisions)
    assert built.faults == ()
    return built


def ids(answer: tuple[Revision, ...] | HistoryFault) -> list[str]:
    assert isinstance(answer, tuple), answer
    return [each.id for each in answer]


def kinds(*revisions: Revision) -> list[FaultKind]:
    return [fault.kind for fault in Graph(revisions).faults]


def fault(answer: object) -> HistoryFault:
    assert isinstance(answer, HistoryFault), answer
    return answer


LINE = graph(revision("aaaa1"), revision("bbbb2", "aaaa1"), revision("cccc3", "bbbb2"))

# main: m1 - m2 - m3, side (another base): s1 - s2; m3 depends on s1, so that s2 goes on from an implied row.
#   auth: label on s1
SIDES = graph(
    revision("main1", labels=("web",)),
    revision("main2", "main1"),
    revision("main3", "main2", on=("auth",)),
    revision("side1", labels=("auth",)),
    revision("side2", "side1"),
)

# one base, two branches, merged
DIAMOND = graph(
    revision("top", "left", "right"),
    revision("left", "root", labels=("port",)),
    revision("right", "root", labels=("starboard",)),
    revision("root"),
)


def test_an_empty_history_has_nothing_and_nothing_to_do() -> None:
    empty = graph()

    assert (len(empty), empty.heads, list(empty)) == (0, (), [])
    assert empty.resolve("head") == empty.resolve("heads") == empty.resolve("base") == ()
    assert empty.pending((), "head") == ()
    assert empty.rows_at("heads") == frozenset()
    assert not empty.split(())


def test_a_line() -> None:
    assert (LINE.heads, len(LINE)) == (("cccc3",), 3)
    assert [each.id for each in LINE] == ["aaaa1", "bbbb2", "cccc3"]
    assert "bbbb2" in LINE
    assert "bbbb" not in LINE
    assert LINE.get("bbbb2") == revision("bbbb2", "aaaa1")
    assert LINE.get("bbbb") is None
    assert LINE.unknown(["cccc3", "gone", "bbbb"]) == ("gone", "bbbb")
    assert LINE.ancestors(["cccc3"]) == {"aaaa1", "bbbb2", "cccc3"}
    assert LINE.ancestors(["cccc3"], inclusive=False) == {"aaaa1", "bbbb2"}
    assert LINE.is_ancestor("aaaa1", "cccc3")
    assert not LINE.is_ancestor("cccc3", "aaaa1")
    assert not LINE.is_ancestor("cccc3", "cccc3")


def test_ids_that_are_not_in_the_graph_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        LINE.ancestors(["gone"])
    with pytest.raises(KeyError):
        LINE.rows_after((), "gone")


@pytest.mark.parametrize(
    ("rows", "target", "expected"),
    [
        ((), "head", ["aaaa1", "bbbb2", "cccc3"]),
        ((), "base", []),
        ((), "bbbb2", ["aaaa1", "bbbb2"]),
        (("aaaa1",), "heads", ["bbbb2", "cccc3"]),
        (("cccc3",), "head", []),
        (("cccc3",), "aaaa1", []),
    ],
)
def test_pending_on_a_line(rows: tuple[str, ...], target: str, expected: list[str]) -> None:
    assert ids(LINE.pending(rows, target)) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("web", ("main1",)),
        ("auth", ("side1",)),
        ("aut", ("side1",)),
        ("main2", ("main2",)),
        ("side", FaultKind.AMBIGUOUS_TARGET),
        ("head", FaultKind.SEVERAL_HEADS),
        ("@heads", ("main3", "side2")),
        ("web@head", ("main3",)),
        ("auth@heads", ("side2",)),
        ("au@head", ("side2",)),
        ("auth@side", FaultKind.AMBIGUOUS_TARGET),
        ("auth@main", FaultKind.UNKNOWN_TARGET),
        ("auth@main1", FaultKind.UNKNOWN_TARGET),
        ("gone@head", FaultKind.UNKNOWN_TARGET),
        ("gone@base", ()),
        ("gone", FaultKind.UNKNOWN_TARGET),
        ("", FaultKind.UNKNOWN_TARGET),
        ("+1", FaultKind.UNSUPPORTED_TARGET),
        ("main1+1", FaultKind.UNSUPPORTED_TARGET),
        ("web@head-1", FaultKind.UNSUPPORTED_TARGET),
        ("web@ -1", FaultKind.UNSUPPORTED_TARGET),
    ],
)
def test_what_a_target_names(target: str, expected: tuple[str, ...] | FaultKind) -> None:
    answer = SIDES.resolve(target)

    assert (answer.kind if isinstance(answer, HistoryFault) else answer) == expected


def test_a_name_of_three_characters_is_never_abbreviated() -> None:
    assert fault(DIAMOND.resolve("to")).kind is FaultKind.UNKNOWN_TARGET
    assert DIAMOND.resolve("top") == ("top",)
    assert DIAMOND.resolve("l") == ("left",)
    assert set(fault(DIAMOND.resolve("r")).revisions) == {"right", "root"}


def test_several_heads_say_which_and_how_to_go_on() -> None:
    found = fault(SIDES.pending((), "head"))

    assert found.kind is FaultKind.SEVERAL_HEADS
    assert found.revisions == ("main3", "side2")
    assert found.files == ("versions/main3.py", "versions/side2.py")
    assert "merge" in str(found.fix)


def test_a_head_that_another_one_depends_on_leaves_no_row() -> None:
    implied = graph(revision("api1"), revision("db1"), revision("api2", "api1", on=("db1",)))

    assert implied.heads == ("db1", "api2")
    assert implied.resolve("heads") == ("api2",)
    assert implied.rows_at("heads") == {"api2"}
    assert fault(implied.resolve("head")).kind is FaultKind.SEVERAL_HEADS
    assert ids(implied.pending(("api2",), "heads")) == []
    assert not implied.is_ancestor("api1", "db1")
    assert implied.ancestors(["api2"]) == {"api1", "api2", "db1"}


def test_a_target_that_includes_what_another_part_of_it_implies_is_refused_as_alembic_refuses_it() -> None:
    both = graph(
        revision("root", labels=("all",)),
        revision("api1", "root"),
        revision("db1", "root"),
        revision("api2", "api1", on=("db1",)),
    )

    assert both.resolve("all@heads") == ("db1", "api2")
    found = fault(both.pending((), "all@heads"))
    assert found.kind is FaultKind.OVERLAPPING_TARGET
    assert found.revisions == ("db1", "api2")
    assert both.rows_at("all@heads") == found


def test_branches_are_walked_one_after_the_other_and_merged_last() -> None:
    assert ids(DIAMOND.pending((), "head")) == ["root", "right", "left", "top"]
    assert ids(DIAMOND.pending(("left",), "head")) == ["right", "top"]
    assert ids(DIAMOND.pending(("left", "right"), "head")) == ["top"]
    assert DIAMOND.ancestors(["left", "top"], inclusive=False) == {"left", "right", "root"}


def test_the_rows_as_each_revision_is_applied() -> None:
    rows: frozenset[str] = frozenset()
    seen = []
    pending = SIDES.pending(rows, "heads")
    for each in ids(pending):
        rows = SIDES.rows_after(rows, each)
        seen.append((each, sorted(rows)))

    assert seen == [
        ("side1", ["side1"]),
        ("side2", ["side2"]),
        ("main1", ["main1", "side2"]),
        ("main2", ["main2", "side2"]),
        ("main3", ["main3", "side2"]),
    ]
    assert SIDES.rows_at("heads") == rows


def test_a_dependency_that_the_line_already_has_is_not_built_upon_again() -> None:
    twice = graph(
        revision("db1"),
        revision("db2", "db1"),
        revision("api1", on=("db1",)),
        revision("api2", "api1", on=("db1", "db2")),
        revision("api3", "api2", on=("db1",)),
    )

    # db1 has a row of its own, put there by hand: api3 depends on it, but api1 had that row first.
    assert twice.rows_after(("api2", "db1"), "api3") == {"api3", "db1"}
    assert twice.rows_after(("api1", "db2"), "api2") == {"api2"}


def test_rows_that_overlap() -> None:
    assert SIDES.split(("main3", "side2")) == Overlap((), ())
    assert not SIDES.split(("main3", "side2"))
    assert SIDES.split(("main2", "main2", "gone", "gone")) == Overlap(("main2", "gone"), ())
    assert SIDES.split(("main1", "main3", "side1")) == Overlap((), (("main1", "main3"), ("side1", "main3")))
    assert SIDES.split(("main1", "main3"))


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([revision("a"), revision("b", "a"), revision("a")], [FaultKind.DUPLICATE_ID]),
        ([revision("a", "gone")], [FaultKind.MISSING_PARENT]),
        ([revision("a", labels=("web",)), revision("b", "web")], [FaultKind.MISSING_PARENT]),
        ([revision("abcdef"), revision("b", "abcdef", on=("abcd",))], [FaultKind.MISSING_DEPENDENCY]),
        ([revision("a", "a")], [FaultKind.SELF_LOOP]),
        ([revision("a", on=("a",))], [FaultKind.SELF_LOOP]),
        ([revision("a", on=("web",), labels=("web",))], [FaultKind.SELF_LOOP]),
        ([revision("a", labels=("web",)), revision("b", "a", labels=("web",))], [FaultKind.LABEL_CLASH]),
        ([revision("a"), revision("b", "a", labels=("a",))], [FaultKind.LABEL_CLASH]),
        ([revision("a" * 32)], []),
        ([revision("a" * 300)], []),
        ([revision("é" * 32)], []),
        ([revision("")], [FaultKind.ILLEGAL_ID]),
        ([revision("a-b")], [FaultKind.ILLEGAL_ID]),
        ([revision("a\nb")], [FaultKind.ILLEGAL_ID]),
        ([revision("\udc80")], [FaultKind.ILLEGAL_ID]),
        *[([revision(symbol)], [FaultKind.ILLEGAL_ID]) for symbol in ("base", "head", "heads")],
        ([revision("basehead")], []),
        ([revision("a", "b"), revision("b", "a")], [FaultKind.CYCLE]),
        ([revision("a"), revision("b", "a", on=("c",)), revision("c", "b")], [FaultKind.CYCLE]),
        (
            [revision("a", "gone"), revision("b", "b"), revision("c", "d"), revision("d", "c"), revision("a-")],
            [FaultKind.ILLEGAL_ID, FaultKind.MISSING_PARENT, FaultKind.SELF_LOOP, FaultKind.CYCLE],
        ),
    ],
)
def test_every_fault_of_a_history_is_found(revisions: list[Revision], expected: list[FaultKind]) -> None:
    assert kinds(*revisions) == expected


def test_an_id_that_is_a_symbol_is_told_from_one_with_wrong_characters() -> None:
    (symbol,) = Graph([revision("heads")]).faults
    assert "'heads' cannot be a revision id: to Alembic it means something else" in symbol.why
    (characters,) = Graph([revision("a+")]).faults
    assert "one of @ - +" in characters.why


def test_a_fault_names_the_revisions_their_files_and_the_fix() -> None:
    (missing,) = Graph([revision("a", "gone")]).faults

    assert missing.revisions == ("a", "gone")
    assert missing.files == ("versions/a.py",)
    assert "'gone'" in missing.why
    assert "versions/a.py" in missing.why
    assert "versions/a.py" in str(missing.fix)
    (duplicate,) = Graph([revision("a"), Revision("a", (), (), (), "", "versions/again.py", "")]).faults
    assert duplicate.files == ("versions/a.py", "versions/again.py")


def test_each_cycle_is_shown_in_order_and_the_rest_still_answers() -> None:
    # Alembic does not notice this one: it can be reached from a base and from a head.
    tangled = Graph(
        [
            revision("base0"),
            revision("a", "base0", "c"),
            revision("b", "a"),
            revision("c", "b"),
            revision("head0", "c"),
            revision("x", "y"),
            revision("y", "x"),
        ]
    )

    assert [found.revisions for found in tangled.faults] == [("a", "c", "b"), ("x", "y")]
    assert "a -> c -> b -> a" in tangled.faults[0].why
    assert tangled.pending((), "head0") == tangled.rows_at("heads") == tangled.faults[0]
    assert tangled.ancestors(["head0"]) == {"head0", "c", "b", "a", "base0"}
    assert tangled.heads == ("head0",)


def test_dependencies_across_a_cycle_are_kept() -> None:
    tangled = Graph([revision("a", "b", on=("d",)), revision("b", "a"), revision("d"), revision("e", "a", on=("d",))])

    assert [found.kind for found in tangled.faults] == [FaultKind.CYCLE]
    assert tangled.ancestors(["e"]) == {"e", "a", "b", "d"}


def test_a_long_history_needs_no_deep_stack() -> None:
    names = [f"{number:05}" for number in range(3000)]
    first, *others = (revision(name, *names[max(0, at - 1) : at], on=("side",)) for at, name in enumerate(names))
    long = graph(revision("side"), first, *others)

    assert ids(long.pending((), "heads")) == ["side", *names]
    assert long.rows_at("heads") == {names[-1]}
