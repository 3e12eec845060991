"""Which revision of a pending change is the first that breaks the release that is still running."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.decide.observation import Observation, Server
from migrate.core.decide.state import Breaking, classify
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.core.schema import compatibility, rules
from migrate.core.schema.compatibility import first_breaking, serves
from migrate.core.schema.spelling import AS_PRINTED, Spellings

TABLES = {f"{kind} {path}": kind for kind in ("table", "view") for path in ("a", "b")}
POOL = {
    **{identity: [definition] for identity, definition in TABLES.items()},
    **{f"column {owner}.{name}": ["integer", "integer not null", "text default 'x'::text"] for owner in "ab" for name in "xy"},
    **{
        f"constraint {owner}.{name}": ["CHECK ((x > 0))", "CHECK ((x > 1))", "UNIQUE (x)", "UNIQUE (x, y)", "FOREIGN KEY (x) REFERENCES b(x)"]
        for owner in "ab"
        for name in "kl"
    },
    "index a.i": ["unique using btree (x)", "using btree (x)"],
    "row security a": ["enabled"],
    "policy a.p": ["as permissive for all to public", "as restrictive for all to public"],
    "domain d": ["integer", "integer not null", "text"],
    "constraint d.positive": ["CHECK ((VALUE > 0))", "CHECK ((VALUE > 1))"],
    "column a.z": ["d", "d not null"],
    "constraint a.z": ["CHECK (((z)::integer > 0))", "CHECK (((z)::integer > 1))"],
    "enum e": ["'a', 'b'", "'a'"],
    "sequence s": ["bigint", "bigint increment by 2"],
}  # fmt: skip
CHANGES = st.dictionaries(st.sampled_from(sorted(POOL)), st.none()).flatmap(
    lambda some: st.fixed_dictionaries({one: st.sampled_from([None, *POOL[one]]) for one in some})
)
EQUAL = Spellings([("constraint a.k", ("CHECK ((x > 0))", "CHECK ((x > 1))"))])


def reached(before, step):
    return {identity: d for identity, d in {**before, **step}.items() if d is not None}


def by_whole_schemas(before, steps, spelled):
    """The same in the plainest way: what does each schema on the way not serve?"""
    found, now = {}, before
    for at, step in enumerate(steps):
        now = reached(now, step)
        for broken in serves(before, now, spelled):
            found.setdefault((broken.identity, broken.rule), at)
    return found, serves(before, now, spelled)


@pytest.mark.parametrize("spelled", [AS_PRINTED, EQUAL], ids=["as printed", "in two ways"])
@given(program=CHANGES, steps=st.lists(CHANGES, min_size=1, max_size=6))
def test_the_first_step_is_that_of_whole_schemas_compared_one_by_one(spelled, program, steps):
    before = reached(TABLES, program)
    first, last = by_whole_schemas(before, steps, spelled)
    found = first_breaking(before, steps, last, spelled)
    assert {broken: found[broken] for broken in last} == {
        broken: first[broken.identity, broken.rule] for broken in last
    }


def test_what_breaks_comes_back_and_breaks_again_is_named_where_it_did_first():
    before = {"table t": "table", "column t.a": "integer", "enum e": "'a', 'b'"}
    steps = [{"column t.a": None}, {"enum e": "'a'"}, {"column t.a": "integer"}, {"column t.a": None}]
    last = serves(before, {"table t": "table", "enum e": "'a'"})
    assert {broken.identity: at for broken, at in first_breaking(before, steps, last).items()} == {
        "column t.a": 0,
        "enum e": 1,
    }


def test_a_domain_says_what_the_checks_of_other_tables_mean():
    before = {
        "domain d": "integer",
        "table t": "table",
        "column t.a": "d",
        "constraint t.c": "CHECK (((a)::integer > 0))",
    }
    steps = [{"constraint t.c": "CHECK (((a)::integer >= 0))"}, {"domain d": "money"}]
    last = serves(before, reached(reached(before, steps[0]), steps[1]))
    assert {broken.identity: at for broken, at in first_breaking(before, steps, last).items()} == {
        "constraint t.c": 1,
        "domain d": 1,
    }


SERVER = Server(170000, "17.0", None, "app", "app", "UTF8", False, False, False, "public", True, True)
TABLE = {
    f"{kind} t{number}{column}": "integer" for number in range(20) for kind, column in (("table", ""), ("column", ".a"))
}


def a_long_history(length):
    """A revision that makes everything, and then those that each drop a column."""
    revisions = [Revision(str(at), (str(at - 1),) if at else (), (), (), "", f"{at}.py", "") for at in range(length)]
    graph = Graph(revisions)
    schemas = {
        str(at): {identity: d for identity, d in TABLE.items() if identity not in {f"column t{n}.a" for n in range(at)}}
        for at in range(length)
    }
    return Image(graph, manifest=build(17, graph, schemas))


def test_a_pending_change_is_judged_once_however_many_revisions_it_has(monkeypatch):
    image = a_long_history(20)
    asked, judged = [], []
    monkeypatch.setattr(compatibility, "serves", lambda *given: asked.append(given) or serves(*given))
    counting = [
        rules.Rule(r.name, r.events, r.kinds, r.why, lambda case, r=r: judged.append(case) or r.breaks(case))
        for r in rules.RULES
    ]
    monkeypatch.setattr(compatibility, "RULES", counting)
    monkeypatch.setattr(type(image.manifest), "schema_at", folds := Folds(type(image.manifest).schema_at))
    found = classify(image, Observation(SERVER, rows=("0",), schema=None), "head").findings
    assert len(asked) == 1
    assert folds.times == 2
    assert len(judged) == 2 * 19  # each column that is dropped, in the whole change and at its own revision
    assert [(broken.identity, by.id) for broken, by in next(iter(found)).breaks] == [
        (f"column t{n}.a", str(n + 1)) for n in sorted(range(19), key=lambda n: f"t{n}")
    ]
    assert isinstance(found[0], Breaking)


class Folds:
    """Counts how often whole schemas are folded; `__get__` makes it a method."""

    def __init__(self, fold):
        self.fold = fold
        self.times = 0

    def __get__(self, manifest, owner):
        self.times += 1
        return lambda rows: self.fold(manifest, rows)


def test_branches_count_in_the_order_of_the_manifest_whichever_is_applied_first():
    base, one, two = (
        Revision("base", (), (), (), "", "", ""),
        *(Revision(id_, ("base",), (), (), "", "", "") for id_ in ("one", "two")),
    )
    graph = Graph([base, one, two])
    schemas = {"base": {"table t": "table"}, "one": {"table t": "one"}, "two": {"table t": "two", "table u": "table"}}
    manifest = build(17, graph, schemas)
    in_order, reversed_ = (list(manifest.steps(["base"], ids)) for ids in (("one", "two"), ("two", "one")))
    assert in_order == [{"table t": "one"}, {"table t": "two", "table u": "table"}]
    assert reversed_ == [{"table t": "two", "table u": "table"}, {}]
    assert manifest.schema_at(["one", "two"]) == {"table t": "two", "table u": "table"}
    assert list(manifest.steps(["one"], ["one"])) == [{}]


def test_only_what_branches_that_do_not_know_each_other_change_can_be_in_conflict():
    revisions = [
        Revision(id_, down, (), (), "", "", "") for id_, down in (("base", ()), ("one", ("base",)), ("two", ("base",)))
    ]
    base = {"table t": "table", "column t.a": "integer", "table u": "table"}
    one, two = (
        {**base, "column t.b": "integer", "enum e": "'a'"},
        {i: d for i, d in base.items() if not i.startswith(("table t", "column t"))},
    )
    manifest = build(
        17, Graph(revisions), {"base": base, "one": one, "two": two | {"column u.a": "integer", "enum e": "'b'"}}
    )
    contested = [dict(each) for each in manifest.contested]
    assert contested == [
        {"table t": "table", "column t.a": "integer"},
        {"column t.b": "integer", "enum e": "'a'"},
        {"table t": None, "column t.a": None, "enum e": "'b'"},
    ]
    assert [conflict.identity for conflict in manifest.conflicts(["one", "two"])] == ["column t.b", "enum e"]
    assert not any(a_long_history(3).manifest.contested)
