"""Every wanted revision is read in a database that has applied exactly its ancestors, and no pass runs for nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrate.core.decide.replay import Pass, applied_in_order, chains, changed, changes, missed, passes, steps
from migrate.core.history.graph import Graph, Revision
from migrate.core.history.siblings import with_siblings


def graph_of(**parents: tuple[str, ...]) -> Graph:
    built = Graph(Revision(id_, down, (), (), "", f"{id_}.py", "") for id_, down in parents.items())
    assert built.faults == ()
    return built


LINEAR = graph_of(a=(), b=("a",), c=("b",))
DIAMOND = graph_of(a=(), b=("a",), c=("a",), d=("b", "c"), e=("d",))


def test_a_line_is_one_pass():
    assert passes(LINEAR, {"a", "b", "c"}) == (Pass(None, "c", ("a", "b", "c")),)


def test_what_is_proven_is_run_and_not_read_but_for_the_last_of_it():
    assert passes(LINEAR, {"c"}) == (Pass(None, "c", ("b", "c")),)


def test_nothing_unproven_needs_no_pass():
    assert passes(LINEAR, set()) == ()
    assert passes(graph_of(), set()) == ()
    assert passes(graph_of(a=(), b=()), set()) == ()


def test_branches_start_from_a_copy_and_a_merge_is_looked_at_before_it():
    assert passes(DIAMOND, set("abcde")) == (
        Pass(None, "a", ("a",)),
        Pass("a", "c", ("c",)),
        Pass("a", "b", ("b",)),
        Pass("b", "e", ("d", "e"), joined=("b", "c")),
    )


def test_only_the_branch_that_changed_is_run():
    forked = graph_of(a=(), b=("a",), c=("a",), d=("c",))
    assert passes(forked, {"d"}) == (
        Pass(None, "a"),
        Pass("a", "d", ("c", "d")),
        Pass("d", "heads", joined=("d", "b")),
    )
    # the merge alone is new: its other branch is run inside its own pass
    assert passes(DIAMOND, {"d", "e"}) == (
        Pass(None, "a"),
        Pass("a", "b", ("b",)),
        Pass("b", "e", ("d", "e"), joined=("b", "c")),
    )
    # the merge is proven: nothing is looked at before it
    assert passes(DIAMOND, {"e"}) == (
        Pass(None, "a"),
        Pass("a", "b"),
        Pass("b", "e", ("d", "e")),
    )


def test_changes_that_are_made_again_give_the_schema_after_them():
    before, after = (
        {"table a": "", "column a.x": "text", "column a.y": "text"},
        {"table a": "", "column a.x": "integer"},
    )
    made = changes(before, after)
    assert made == {"column a.x": "integer", "column a.y": None}
    assert changed(before, made) == after
    assert changed({"table b": ""}, made) == {"table b": "", "column a.x": "integer"}


def test_several_heads_meet_in_a_pass_of_their_own():
    assert passes(graph_of(a=(), b=()), {"a", "b"}) == (
        Pass(None, "b", ("b",)),
        Pass(None, "a", ("a",)),
        Pass("a", "heads", joined=("b", "a")),  # of two that are as large, from the one that is at hand
    )


def test_a_dependency_counts_by_id_and_by_label():
    graph = Graph(
        [
            Revision("a", (), (), ("left",), "", "a.py", ""),
            Revision("b", (), (), (), "", "b.py", ""),
            Revision("c", ("b",), ("left",), (), "", "c.py", ""),
            Revision("d", ("c",), ("a",), (), "", "d.py", ""),
        ]
    )
    assert graph.faults == ()
    assert passes(graph, set("abcd"))[-1] == Pass("b", "d", ("c", "d"), joined=("b", "a"))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Graph, set[str]]:
    count = draw(st.integers(1, 12))
    parents: dict[str, tuple[str, ...]] = {}
    for number in range(count):
        before = list(parents)
        size = draw(st.integers(0, min(3, len(before))))
        chosen = draw(st.permutations(before))[:size]
        # Alembic refuses a revision that builds on another one and on its ancestor.
        graph = graph_of(**parents)
        kept = [one for one in chosen if not any(graph.is_ancestor(one, other) for other in chosen)]
        parents[f"r{number}"] = tuple(kept)
    graph = graph_of(**parents)
    changed = draw(st.sets(st.sampled_from(list(parents))))
    return graph, {id_ for id_ in parents if changed & graph.ancestors([id_])}


@given(histories())
def test_every_read_is_exact(history: tuple[Graph, set[str]]):
    graph, unproven = history
    reached: set[str | None] = {None}
    read: list[str] = []
    met: set[tuple[str, ...]] = set()
    for each in passes(graph, unproven):
        assert each.start in reached, "a pass starts from a database that is there"
        start = () if each.start is None else (each.start,)
        applied = set(graph.ancestors(start))
        rows = frozenset(start)
        pending = graph.pending(start, each.target)
        assert isinstance(pending, tuple)
        for revision in pending:
            applied.add(revision.id)
            rows = graph.rows_after(rows, revision.id)
            if revision.id in each.reads:
                assert applied == graph.ancestors([revision.id])
                read.append(revision.id)
            elif rows == frozenset(each.joined):
                met.add(each.joined)
        assert not each.joined or each.joined in met
        reached.add(each.target)
    assert unproven <= set(read)
    assert len(read) == len(set(read))
    for below in set(read) - unproven:
        assert any(graph.is_ancestor(below, id_) for id_ in unproven)


# The same passes in few databases


def of(legs):
    """What each leg of a chain applies: on its way, then itself."""
    return [("".join(one.id for one in leg.way), "".join(one.id for one in leg.pending)) for leg in legs]


def test_branches_that_meet_again_are_led_on_by_each_other():
    found = chains(DIAMOND, passes(DIAMOND, set("abcde")))
    assert found is not None
    trunk, side = found
    assert of(trunk) == [("", "a"), ("", "c")]
    assert of(side) == [("a", "b"), ("", "cde")]
    assert [leg.meeting for leg in (*trunk, *side)] == [None, None, None, "c"]


def test_what_was_proven_is_one_chain():
    found = chains(DIAMOND, passes(DIAMOND, {"e"}))
    assert found is not None
    assert [of(legs) for legs in found] == [[("", "a"), ("", "b"), ("", "cde")]]


def test_several_heads_meet_at_the_end_of_a_chain():
    two = graph_of(a=(), b=(), c=("b",))
    found = chains(two, passes(two, {"a", "b", "c"}))
    assert found is not None
    assert [of(legs) for legs in found] == [[("", "bc"), ("", "a")], [("", "a")]]
    assert [leg.meeting for legs in found for leg in legs] == [None, "a", None]


def test_a_late_branch_of_a_long_history_is_a_pass_of_its_own():
    line = {f"r{number:02}": (f"r{number - 1:02}",) if number else () for number in range(40)}
    late = graph_of(**line, x=("r38",))
    assert chains(late, passes(late, {*line, "x"})) is None
    assert chains(LINEAR, passes(LINEAR, set("abc"))) is None  # there is nothing to save


@given(histories())
def test_every_read_of_a_chain_is_exact_too(history: tuple[Graph, set[str]]):
    graph, unproven = history
    ways = passes(graph, unproven)
    found = chains(graph, ways)
    if found is None:
        return
    assert sorted(map(repr, ways)) == sorted(repr(leg.each) for legs in found for leg in legs)
    for legs in found:
        applied: set[str] = set()
        for leg in legs:
            applied |= {revision.id for revision in leg.way}
            assert applied == (graph.ancestors([leg.each.start]) if leg.each.start is not None else set())
            for revision in leg.pending:
                assert revision.id not in applied
                applied.add(revision.id)
                if revision.id in leg.each.reads:
                    assert applied == graph.ancestors([revision.id])
                if revision.id == leg.meeting:
                    assert tuple(sorted(graph.tips(applied))) == tuple(sorted(leg.each.joined))


# Siblings that build on each other without `depends_on`

# z's branch is applied before a's, because its file is the last one of the heads
SIBLINGS = graph_of(root=(), a1=("root",), a2=("a1",), z1=("root",), z2=("z1",))


def ids(runs):
    return [(run.target, tuple(revision.id for revision in run.pending)) for run in runs]


def test_alembics_order_takes_one_branch_after_the_other():
    assert [revision.id for revision in applied_in_order(SIBLINGS)] == ["root", "z1", "z2", "a1", "a2"]


def test_without_siblings_that_build_on_each_other_a_pass_is_one_run():
    assert with_siblings(SIBLINGS, {}) is SIBLINGS
    assert ids(steps(SIBLINGS, {}, "root", "a2")) == [("a2", ("a1", "a2"))]


def test_what_a_sibling_needs_is_applied_by_a_run_of_its_own():
    after = {"a2": ("z1",)}
    assert ids(steps(SIBLINGS, after, "a1", "a2")) == [("z1", ("z1",)), ("a2", ("a2",))]
    assert ids(steps(SIBLINGS, after, None, "z2")) == [("z2", ("root", "z1", "z2"))]


def test_a_sibling_counts_as_a_dependency_and_keeps_its_row():
    after = {"a2": ("z1",)}
    assert passes(SIBLINGS, {"a2"}, after) == (
        Pass(None, "root"),
        Pass("root", "a1", ("a1",)),
        Pass("a1", "a2", ("a2",), joined=("z1", "a1")),
        Pass("a2", "heads", joined=("z2", "a2")),
    )
    (*_, last) = passes(SIBLINGS, {"a2"}, {"a2": ("z2",)})
    assert (last.target, last.joined) == ("a2", ("z2", "a1"))
    three = graph_of(root=(), a=("root",), b=("root",), c=("root",))
    (*_, last) = passes(three, set(three.ancestors(three.heads)), {"a": ("c",)})
    assert (last.target, last.joined) == ("heads", ("c", "b", "a"))


def test_the_first_candidate_with_which_it_works_is_found_in_few_tries():
    tried = []

    def works(first):
        tried.append(len(first))
        return "m" in first

    names = [*"abcdefghijklmnopqrst"]
    assert missed(names, works) == "m"
    assert len(tried) < 8
    assert missed(names[:5], works) is None
    assert missed([], works) is None
    assert missed(["m"], works) == "m"
