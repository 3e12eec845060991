"""The decision as a table: one row per position, finding and policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrate.core.decide.backup import with_backup
from migrate.core.decide.decision import UNCOMPARED, decide, would_run
from migrate.core.decide.findings import refuse_downgrade, sentence
from migrate.core.decide.foreseen import Heavy, Unanswered, Unforeseen, Unmet, found_in, note_of
from migrate.core.decide.observation import InvalidIndex, Unfinished, UnprovenRun
from migrate.core.decide.outcome import Result
from migrate.core.decide.plan import Adopt, Backup, Downgrade, HeldRevision, Plan, Refusal, Repair, Upgrade
from migrate.core.decide.policy import (
    AdoptPolicy,
    AheadPolicy,
    BackupPolicy,
    BreakingPolicy,
    DataPolicy,
    EditedPolicy,
    HeavyPolicy,
    Judgement,
    Policy,
    Stale,
)
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Empty,
    Incomparable,
    Lacking,
    Residue,
    Split,
    State,
    Unknown,
    Unproven,
    Untracked,
)
from migrate.core.foresee.effects import Blocks, Brief, Rewrite
from migrate.core.foresee.live import Against, Later, LiveEffect, LiveNeed, Met, NotKnown, Outlook, TableSize
from migrate.core.foresee.needs import Need, NoNull, NoRow
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.core.manifest.holding import Taken
from migrate.core.manifest.match import Exact, Nearest, Several
from migrate.core.schema.compatibility import Break
from migrate.core.schema.differences import Difference, Differences, Renamed


def revision(id_: str, *down: str, labels: tuple[str, ...] = ()) -> Revision:
    return Revision(id_, down, (), labels, f"message of {id_}", f"versions/{id_}.py", "0" * 64)


ONE, TWO = revision("one"), revision("two", "one")
IMAGE = Image(Graph([ONE, TWO]))
FORKED = Image(Graph([ONE, TWO, revision("three", "one")]))
BROKEN = Image(Graph([TWO]), Graph([TWO]).faults)
MANIFEST = build(17, IMAGE.graph, {"one": {"table t": "table", "column t.a": "integer"}, "two": {"table t": "table"}})
KNOWING = replace(IMAGE, manifest=MANIFEST)

MISSING = Differences(missing=(Difference("column t.a", "integer", None),))
EXTRA = Differences(extra=(Difference("index ix", None, "btree (a)"),))
INVALID = Differences(changed=(Difference("index t.ix", "btree (a)", "btree (a) invalid"),))
OTHER_INVALID = Differences(changed=(Difference("index t.iy", "btree (a)", "btree (a) invalid"),))
RENAMED = Differences(renamed=(Renamed("index ix", "index iy"),))
BOTH = Differences(missing=MISSING.missing, extra=EXTRA.extra)
REFUSING = Drifted(EXTRA, breaks=(Break("index ix", "unique-key-added", "index ix refuses rows"),))
BREAKS = (Break("column t.a", "dropped", "column t.a is missing in the database"),)
BROKEN_BY = ((BREAKS[0], TWO),)
INDEX = Residue((InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON t (a)"),), ())
STEP = Residue((), (Unfinished("run1", 7, "upgrade", "two", committed=True),))

BEHIND = Behind(("one",), (TWO,))
UPGRADE = Upgrade("head", (TWO,))
FULL = Upgrade("head", (ONE, TWO))

PLANS = [
    # position, findings, policy, steps, result
    (Empty((ONE, TWO)), (), {}, (FULL,), Result.APPLIED),
    (Empty((ONE, TWO)), (STEP,), {"heal": True}, (Repair(("the ledger's row of revision two",)), FULL), Result.APPLIED),
    (Empty(()), (), {}, (), Result.NOOP),
    (AtHead(("two",)), (), {}, (), Result.NOOP),
    (AtHead(("two",)), (Drifted(MISSING), INDEX), {}, (), Result.NOOP),
    (AtHead(("two",)), (), {"strict": True}, (), Result.NOOP),
    (AtHead(("two",)), (Drifted(EXTRA),), {"strict": True}, (), Result.NOOP),
    (BEHIND, (), {}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Drifted(EXTRA),), {}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (REFUSING,), {}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (REFUSING,), {"strict": True, "extra": Judgement.IGNORE}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Drifted(MISSING),), {"drift": Judgement.WARN}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Drifted(MISSING),), {"drift": Judgement.IGNORE}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Edited((ONE,)),), {"edited": EditedPolicy.WARN}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Breaking(BROKEN_BY),), {}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Breaking(BROKEN_BY),), {"breaking": BreakingPolicy.ALLOW}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (Drifted(RENAMED),), {"drift": Judgement.WARN}, (UPGRADE,), Result.APPLIED),
    (BEHIND, (INDEX,), {"heal": True}, (Repair(("index ix",)), UPGRADE), Result.APPLIED),
    (BEHIND, (STEP,), {"heal": True}, (Repair(("the ledger's row of revision two",)), UPGRADE), Result.APPLIED),
    (BEHIND, (INDEX, Drifted(INVALID)), {"heal": True}, (Repair(("index ix",)), UPGRADE), Result.APPLIED),
    (
        Split(("one", "two"), ("one",), None, ("one",)),
        (),
        {"heal": True},
        (Repair(("version rows one",)), UPGRADE),
        Result.APPLIED,
    ),
    (
        Split(("two", "two"), ("two",), None, ("two",)),
        (),
        {"heal": True},
        (Repair(("version rows two",)),),
        Result.REPAIRED,
    ),
    (
        Split(("new", "new"), ("new",), None, ("new",)),
        (),
        {"heal": True},
        (Repair(("version rows new",)),),
        Result.REPAIRED,
    ),
    (
        Untracked(("table t",), Exact(("one",))),
        (),
        {"adopt": AdoptPolicy.EXACT},
        (Adopt(("one",)), UPGRADE),
        Result.APPLIED,
    ),
    (Untracked(("table t",), Exact(("two",))), (), {"adopt": AdoptPolicy.EXACT}, (Adopt(("two",)),), Result.ADOPTED),
    (
        Untracked(("table t",), Exact(("two",))),
        (INDEX,),
        {"adopt": AdoptPolicy.EXACT},
        (Adopt(("two",)),),
        Result.ADOPTED,
    ),
    (
        Untracked(("table t",), Nearest(("two",), EXTRA)),
        (),
        {"adopt": AdoptPolicy.EXACT},
        (Adopt(("two",)),),
        Result.ADOPTED,
    ),
    (
        Untracked(("table t",), Nearest(("two",), RENAMED)),
        (),
        {"adopt": AdoptPolicy.EQUIVALENT},
        (Adopt(("two",)),),
        Result.ADOPTED,
    ),
    (Ahead(("new",), ("new",), ()), (), {}, (), Result.AHEAD),
    (Ahead(("new",), ("new",), ()), (), {"ahead": AheadPolicy.COMPATIBLE}, (), Result.AHEAD),
    (Ahead(("new",), ("new",), None), (), {"ahead": AheadPolicy.ACCEPT}, (), Result.AHEAD),
    (Ahead(("new",), ("new",), BREAKS), (), {"ahead": AheadPolicy.ACCEPT}, (), Result.AHEAD),
    (Unknown(("new",), ("new",)), (), {"ahead": AheadPolicy.ACCEPT}, (), Result.AHEAD),
    (Unknown(("new",), ("new",), ()), (), {"ahead": AheadPolicy.COMPATIBLE}, (), Result.AHEAD),
    (
        Unknown(("new",), ("new",), (), Exact(("one",))),
        (),
        {"adopt": AdoptPolicy.EXACT},
        (Adopt(("one",), ("new",)), UPGRADE),
        Result.APPLIED,
    ),
    (
        Split(("one", "two"), ("one",), Exact(("two",))),
        (),
        {"adopt": AdoptPolicy.EXACT},
        (Adopt(("two",), ("one", "two")),),
        Result.ADOPTED,
    ),
]

REFUSALS = [
    # image, position, findings, policy, code, a part of the sentence
    (BROKEN, Empty(()), (), {}, "bad-history", "one"),
    (FORKED, Empty(()), (), {}, "several-heads", "2 heads: two, three"),
    (IMAGE, Empty(()), (), {"target": "nothing"}, "unknown-target", "nothing"),
    (IMAGE, Untracked(("table t",)), (), {}, "untracked", "1 object (table t) but no version"),
    (IMAGE, Untracked(("table t",), Exact(("one",))), (), {}, "untracked", "its schema is that of revision one"),
    (
        IMAGE,
        Untracked(("table t",), Several((("one",), ("two",)))),
        (),
        {"adopt": AdoptPolicy.EXACT},
        "untracked",
        "one, two",
    ),
    (
        IMAGE,
        Untracked(("table t",), Nearest(("two",), MISSING)),
        (),
        {"adopt": AdoptPolicy.EXACT},
        "untracked",
        "the nearest revision is two, but column t.a is missing in the database",
    ),
    (
        IMAGE,
        Untracked(("table t",), Nearest(("two",), EXTRA)),
        (),
        {"adopt": AdoptPolicy.EXACT, "extra": Judgement.FAIL},
        "untracked",
        "nearest",
    ),
    (
        IMAGE,
        Untracked(("table t",), Nearest(("two",), EXTRA, ties=(("one",),))),
        (),
        {"adopt": AdoptPolicy.EXACT},
        "untracked",
        "the nearest revision is two or one, but index ix is not in the manifest",
    ),
    (
        IMAGE,
        Untracked(("table t",), Nearest(("two",), RENAMED)),
        (),
        {"adopt": AdoptPolicy.EXACT},
        "untracked",
        "nearest",
    ),
    (IMAGE, Ahead(("new",), ("new",), None), (), {}, "ahead", "without a manifest"),
    (IMAGE, Ahead(("new",), ("new",), BREAKS), (), {}, "ahead", "column t.a is missing in the database"),
    (IMAGE, Ahead(("new",), ("new",), ()), (), {"ahead": AheadPolicy.REFUSE}, "ahead", "policy refuses"),
    (IMAGE, Unknown(("new",), ("new",)), (), {}, "unknown-revision", "without a manifest"),
    (
        IMAGE,
        Unknown(("new",), ("new",), BREAKS),
        (),
        {"ahead": AheadPolicy.COMPATIBLE},
        "unknown-revision",
        "does not serve",
    ),
    (IMAGE, Unknown(("new",), ("new",), ()), (), {}, "unknown-revision", "--ahead compatible"),
    (IMAGE, Split(("one", "two"), ("one",)), (), {}, "split-version", "one, two; one cannot stand"),
    (
        IMAGE,
        Split(("one", "two"), ("one",), Exact(("two",))),
        (),
        {},
        "split-version",
        "its schema is that of revision two",
    ),
    (IMAGE, BEHIND, (INDEX,), {}, "residue", "index ix on t is INVALID"),
    (IMAGE, Empty((ONE, TWO)), (STEP,), {}, "residue", "a part of revision two is committed (run run1)"),
    (IMAGE, BEHIND, (STEP,), {}, "residue", "a part of revision two is committed (run run1)"),
    (IMAGE, BEHIND, (Edited((ONE,)),), {}, "edited-revision", "versions/one.py (revision one) was edited"),
    (IMAGE, BEHIND, (Drifted(MISSING),), {}, "drift", "column t.a is missing in the database"),
    (IMAGE, BEHIND, (Drifted(EXTRA),), {"extra": Judgement.FAIL}, "drift", "index ix"),
    (IMAGE, AtHead(("two",)), (Drifted(MISSING),), {"strict": True}, "drift", "column t.a"),
    (IMAGE, BEHIND, (Drifted(RENAMED),), {}, "drift", "ix"),
    # what is extra and refuses rows is no drift but where strict
    (IMAGE, AtHead(("two",)), (REFUSING,), {"strict": True}, "drift", "index ix refuses rows"),
    (IMAGE, BEHIND, (REFUSING,), {"strict": True}, "drift", "index ix refuses rows"),
    (
        IMAGE,
        BEHIND,
        (Breaking(BROKEN_BY),),
        {"breaking": BreakingPolicy.REFUSE},
        "breaking-change",
        "column t.a is missing in the database (revision two, versions/two.py)",
    ),
    # what cannot be compared is not let through
    (IMAGE, BEHIND, (), {"breaking": BreakingPolicy.REFUSE}, "no-manifest", "not compared"),
    # adopting goes round nothing that is judged before an upgrade
    (
        IMAGE,
        Untracked(("table t",), Exact(("one",))),
        (Breaking(BROKEN_BY),),
        {"adopt": AdoptPolicy.EXACT, "breaking": BreakingPolicy.REFUSE},
        "breaking-change",
        "column t.a",
    ),
    (IMAGE, Untracked(("table t",), Exact(("one",))), (INDEX,), {"adopt": AdoptPolicy.EXACT}, "residue", "ix"),
    (
        IMAGE,
        Unknown(("new",), ("new",), (), Exact(("one",))),
        (INDEX,),
        {"adopt": AdoptPolicy.EXACT},
        "residue",
        "ix",
    ),
    # what is extra keeps its own policy beside a tolerated drift
    (
        IMAGE,
        BEHIND,
        (Drifted(BOTH),),
        {"drift": Judgement.WARN, "extra": Judgement.FAIL},
        "drift",
        "index ix is not in the manifest",
    ),
    # the order of the findings is the order of judgement: the state lists residue before drift
    (IMAGE, BEHIND, (INDEX, Drifted(MISSING)), {}, "residue", "ix"),
    (IMAGE, BEHIND, (INDEX, Drifted(MISSING)), {"heal": True}, "drift", "t.a"),
    (IMAGE, BEHIND, (INDEX, Drifted(OTHER_INVALID)), {"heal": True}, "drift", "t.iy"),
    (IMAGE, Split(("one", "two"), ("one",)), (), {"heal": True}, "split-version", "one, two; one cannot stand"),
]


@pytest.mark.parametrize(("position", "findings", "policy", "steps", "result"), PLANS)
def test_plan(position, findings, policy, steps, result):
    decision = decide(IMAGE, State(position, findings), replace(Policy(), **policy))
    assert isinstance(decision, Plan), decision
    assert tuple(replace(s, evidence=()) if isinstance(s, Adopt) else s for s in decision.steps) == steps
    assert decision.result is result


@pytest.mark.parametrize(("image", "position", "findings", "policy", "code", "part"), REFUSALS)
def test_refusal(image, position, findings, policy, code, part):
    decision = decide(image, State(position, findings), replace(Policy(), **policy))
    assert isinstance(decision, Refusal), decision
    assert decision.problem.kind.code == code
    assert part in decision.problem.why
    assert "{" not in str(decision.problem.fix)


@pytest.mark.parametrize("breaking", list(BreakingPolicy))
def test_a_database_on_which_no_release_runs_needs_no_comparison(breaking):
    for position in (Empty((ONE, TWO)), AtHead(("two",))):
        decision = decide(IMAGE, State(position), Policy(breaking=breaking))
        assert isinstance(decision, Plan)
        assert decision.warnings == ()


@pytest.mark.parametrize(("breaking", "said"), [(BreakingPolicy.WARN, (UNCOMPARED,)), (BreakingPolicy.ALLOW, ())])
def test_without_a_manifest_it_is_said_once_that_nothing_was_compared(breaking, said):
    decision = decide(IMAGE, State(BEHIND), Policy(breaking=breaking))
    assert isinstance(decision, Plan)
    assert decision.warnings == said


def test_findings_that_policy_lets_be_are_warnings():
    decision = decide(KNOWING, State(BEHIND, (Drifted(EXTRA),)), Policy())
    assert isinstance(decision, Plan)
    assert decision.warnings == (sentence(Drifted(EXTRA)),)


@pytest.mark.parametrize(
    ("finding", "policy"),
    [
        (Drifted(EXTRA), {"extra": Judgement.IGNORE}),
        (Drifted(MISSING), {"drift": Judgement.IGNORE}),
        (Breaking(BROKEN_BY), {"breaking": BreakingPolicy.ALLOW}),
    ],
)
def test_what_policy_ignores_is_not_said(finding, policy):
    decision = decide(KNOWING, State(BEHIND, (finding,)), replace(Policy(), **policy))
    assert isinstance(decision, Plan)
    assert decision.warnings == ()


def test_what_a_revision_makes_is_not_extra_and_foreign():
    grown = build(17, IMAGE.graph, {"one": {"table t": ""}, "two": {"table t": "", "index ix": "btree (a)"}})
    image = Image(IMAGE.graph, manifest=grown)
    position = Untracked(("table t",), Nearest(("one",), EXTRA))
    decision = decide(image, State(position, ()), replace(Policy(), adopt=AdoptPolicy.EXACT))
    assert isinstance(decision, Refusal)
    assert "migrate verify --at one" in str(decision.problem.fix)


def test_an_adoption_keeps_what_it_tolerated():
    position = Untracked(("table t",), Nearest(("two",), EXTRA))
    decision = decide(IMAGE, State(position, ()), replace(Policy(), adopt=AdoptPolicy.EXACT))
    assert isinstance(decision, Plan)
    assert decision.steps == (Adopt(("two",), evidence=tuple(EXTRA.sentences())),)


def test_an_adoption_with_an_extra_object_that_refuses_rows_says_so_and_is_refused_where_strict():
    required = Differences(extra=(Difference("column t.x", None, "integer not null"),))
    state = State(Untracked(("table t",), Nearest(("two",), required)))
    why = "the live schema does not serve this image: column t.x is new"
    decision = decide(KNOWING, state, Policy(adopt=AdoptPolicy.EXACT))
    assert isinstance(decision, Plan)
    assert decision.steps == (Adopt(("two",), evidence=tuple(required.sentences())),)
    assert [why in warning for warning in decision.warnings] == [True]
    decision = decide(KNOWING, state, Policy(adopt=AdoptPolicy.EXACT, strict=True))
    assert isinstance(decision, Refusal)
    assert why in decision.problem.why


def test_the_fix_of_a_revision_that_nobody_knows_says_what_would_accept_it():
    served = decide(IMAGE, State(Unknown(("new",), ("new",), ())), Policy())
    broken = decide(IMAGE, State(Unknown(("new",), ("new",), BREAKS)), Policy())
    assert isinstance(served, Refusal)
    assert isinstance(broken, Refusal)
    assert "deploy an image that has new" in str(served.problem.fix)
    assert "migrate up --ahead compatible" in str(served.problem.fix)
    assert "--ahead" not in str(broken.problem.fix)


def test_several_heads_are_a_target_of_their_own():
    decision = decide(FORKED, State(Empty((ONE, TWO)), ()), replace(Policy(), target="heads"))
    assert isinstance(decision, Plan)


def test_many_names_are_counted_not_listed():
    many = tuple(f"table t{number}" for number in range(9))
    decision = decide(IMAGE, State(Untracked(many), ()), Policy())
    assert isinstance(decision, Refusal)
    assert "and 4 more" in decision.problem.why


def test_many_faults_are_counted_not_listed():
    orphans = [revision(f"r{number}", f"gone{number}") for number in range(9)]
    graph = Graph(orphans)
    decision = decide(Image(graph, graph.faults), State(Empty(()), ()), Policy())
    assert isinstance(decision, Refusal)
    assert "and 4 more" in decision.problem.why
    assert len(decision.problem.facts["faults"]) == len(graph.faults)


def test_many_differences_are_counted_not_listed():
    many = Differences(missing=tuple(Difference(f"column t.c{n}", "integer", None) for n in range(7)))
    decision = decide(IMAGE, State(BEHIND, (Drifted(many),)), Policy())
    assert isinstance(decision, Refusal)
    assert "and 2 more" in decision.problem.why


# What an earlier run left unproven

LOST = Unproven(UnprovenRun("run9", None))
WRONG = Unproven(UnprovenRun("run9", 32, ("index ix is not in the manifest",)))
PARTIAL = Unproven(UnprovenRun("run9", 31, ("+ index ix: btree (a)",)))
ELSEWHERE = UnprovenRun("run9", 32, went_elsewhere=True)
HEAD = AtHead(("two",))
ENV = Upgrade("head", ())


@pytest.mark.parametrize(
    ("image", "position", "findings", "policy", "came_to"),
    [
        (KNOWING, HEAD, (LOST,), {}, ()),
        (KNOWING, HEAD, (LOST, Drifted(MISSING)), {}, "drift"),
        (KNOWING, HEAD, (LOST, Drifted(MISSING)), {"drift": Judgement.WARN}, ()),
        (KNOWING, HEAD, (LOST, INDEX), {}, "residue"),
        # what is extra, but was not found wrong, warns as ever
        (KNOWING, HEAD, (LOST, Drifted(EXTRA)), {}, ()),
        (KNOWING, HEAD, (WRONG, Drifted(EXTRA)), {}, "drift"),
        (KNOWING, HEAD, (PARTIAL, Drifted(EXTRA)), {}, "drift"),
        (KNOWING, HEAD, (WRONG, Drifted(EXTRA)), {"extra": Judgement.IGNORE}, ()),
        # without a manifest only what was found wrong by one is in doubt
        (IMAGE, HEAD, (LOST,), {}, ()),
        (IMAGE, HEAD, (PARTIAL,), {}, ()),
        (IMAGE, HEAD, (WRONG,), {}, "unproven"),
        (IMAGE, HEAD, (WRONG,), {"drift": Judgement.WARN}, ()),
        # the proof after an upgrade is the judge of what was wrong before it
        (KNOWING, BEHIND, (WRONG, Drifted(EXTRA)), {}, (UPGRADE,)),
        # an env.py that went on to other targets
        (IMAGE, HEAD, (Unproven(ELSEWHERE),), {}, (ENV,)),
        (IMAGE, BEHIND, (Unproven(ELSEWHERE),), {}, (UPGRADE,)),
        (IMAGE, Empty((ONE, TWO)), (Unproven(ELSEWHERE),), {}, (FULL,)),
    ],
)
def test_what_was_found_wrong_stays_wrong(image, position, findings, policy, came_to):
    decision = decide(image, State(position, findings), Policy(**policy))
    assert (decision.steps if isinstance(decision, Plan) else decision.problem.kind.code) == came_to


def test_the_refusal_names_the_run_that_was_not_proven():
    found = decide(KNOWING, State(HEAD, (WRONG, Drifted(EXTRA))), Policy())
    assert isinstance(found, Refusal)
    assert found.problem.why.startswith("index ix is not in the manifest; run run9 ended with 32")
    assert sentence(LOST).startswith("run run9 was not heard of again, and")
    assert "went on to another target" in sentence(Unproven(ELSEWHERE))
    told = decide(KNOWING, State(BEHIND, (Unproven(ELSEWHERE),)), Policy())
    assert isinstance(told, Plan)
    assert "first runs env.py once without a revision" in told.warnings[0]


def test_what_an_operator_lets_stay_is_a_warning_and_no_drift():
    said = decide(KNOWING, State(BEHIND, (Drifted(Differences(), EXTRA),)), Policy())
    assert isinstance(said, Plan)
    assert (said.steps, len(said.warnings)) == ((UPGRADE,), 1)
    assert said.warnings[0].endswith("a part of a pending revision left it, and an operator lets it stay")


# Files that are not the manifest's

EDITED = replace(TWO, sha256="1" * 64)


@pytest.mark.parametrize(
    ("image", "position", "policy", "is_refused"),
    [
        (KNOWING, Behind(("one",), (EDITED,)), {}, True),
        (KNOWING, Empty((ONE, EDITED)), {}, True),
        (KNOWING, Empty((ONE, EDITED)), {"stale": Stale.WARN}, False),
        (KNOWING, Empty((ONE, TWO)), {}, False),
        (IMAGE, Empty((ONE, EDITED)), {}, False),
        (KNOWING, HEAD, {}, False),
    ],
)
def test_a_pending_revision_that_is_not_the_manifests_is_refused(image, position, policy, is_refused):
    decision = decide(image, State(position, (Drifted(MISSING),) if is_refused else ()), Policy(**policy))
    assert isinstance(decision, Refusal) is is_refused
    if isinstance(decision, Refusal):
        assert (decision.problem.kind.code, decision.problem.facts["revisions"]) == ("stale-manifest", ["two"])


# Backups and downgrades

DOWN = Downgrade("one", (TWO,), may_lose=False, taken=Taken())


def harmless(_: Revision) -> str:
    return "def upgrade(): pass\n\ndef downgrade(): pass\n"


def test_what_is_unknown_counts_as_destructive():
    plan = Plan((UPGRADE,), Result.APPLIED)
    same = build(17, IMAGE.graph, {"one": {"table t": ""}, "two": {"table t": ""}})
    image, state = Image(IMAGE.graph, manifest=same), State(BEHIND)
    destructive = Policy(backup_policy=BackupPolicy.DESTRUCTIVE)
    known = with_backup(plan, image, state, destructive, has_place=True, source_of=harmless)
    assert known == plan
    deletes = "def upgrade(): op.execute('DELETE FROM t')"
    unknown = with_backup(plan, image, state, destructive, has_place=True, source_of=lambda _: deletes)
    assert isinstance(unknown, Plan)
    assert unknown.steps[0] == Backup(f"{TWO.file} is not known to destroy nothing")


@pytest.mark.parametrize(
    ("image", "position", "step", "policy", "reason"),
    [
        (IMAGE, BEHIND, UPGRADE, BackupPolicy.OFF, None),
        (IMAGE, BEHIND, UPGRADE, BackupPolicy.REQUIRED, "policy requires one"),
        (IMAGE, BEHIND, Adopt(("one",)), BackupPolicy.REQUIRED, None),
        (IMAGE, BEHIND, UPGRADE, BackupPolicy.DESTRUCTIVE, "without a manifest it is not known what is dropped"),
        (KNOWING, BEHIND, UPGRADE, BackupPolicy.DESTRUCTIVE, "column t.a will go"),
        (KNOWING, Empty((ONE, TWO)), FULL, BackupPolicy.DESTRUCTIVE, None),
        (KNOWING, Untracked(("table t",)), FULL, BackupPolicy.DESTRUCTIVE, None),
        (
            KNOWING,
            Split(("one", "two"), ("two",), None, ("one",)),
            UPGRADE,
            BackupPolicy.DESTRUCTIVE,
            "column t.a will go",
        ),
        (KNOWING, Split(("one",), ()), UPGRADE, BackupPolicy.DESTRUCTIVE, "column t.a will go"),
        (KNOWING, AtHead(("two",)), DOWN, BackupPolicy.DESTRUCTIVE, None),
        (
            KNOWING,
            AtHead(("two",)),
            replace(DOWN, taken=Taken(("table t",), ("column u.a",))),
            BackupPolicy.DESTRUCTIVE,
            "table t will go",
        ),
        (
            KNOWING,
            AtHead(("two",)),
            replace(DOWN, taken=Taken((), ("column u.a",))),
            BackupPolicy.DESTRUCTIVE,
            "column u.a will have another type",
        ),
        (KNOWING, AtHead(("two",)), Upgrade("head", ()), BackupPolicy.REQUIRED, None),
    ],
)
def test_a_backup_before_the_first_change(image, position, step, policy, reason):
    plan = Plan((step,), Result.APPLIED)
    decision = with_backup(
        plan, image, State(position), Policy(backup_policy=policy), has_place=True, source_of=harmless
    )
    expected = plan if reason is None else replace(plan, steps=(Backup(reason), step))
    assert decision == expected
    without = with_backup(
        plan, image, State(position), Policy(backup_policy=policy), has_place=False, source_of=harmless
    )
    if reason is None:
        assert without == plan
    else:
        assert isinstance(without, Refusal)
        assert without.problem.kind.code == "not-permitted"


def test_an_adoption_decides_where_the_backup_counts_from():
    plan = Plan((Adopt(("one",)), UPGRADE), Result.APPLIED)
    state = State(Untracked(("table t",)))
    decision = with_backup(
        plan, KNOWING, state, Policy(backup_policy=BackupPolicy.DESTRUCTIVE), has_place=True, source_of=harmless
    )
    assert isinstance(decision, Plan)
    assert decision.steps[0] == Backup("column t.a will go")


@pytest.mark.parametrize(
    ("findings", "policy", "code"),
    [
        ((), {}, None),
        ((Breaking(BROKEN_BY),), {"breaking": BreakingPolicy.REFUSE}, None),
        ((Edited((ONE,)),), {}, None),
        ((Edited((ONE, TWO)),), {}, "edited-revision"),
        ((Edited((TWO,)),), {"edited": EditedPolicy.WARN}, None),
        ((Drifted(EXTRA), Drifted(MISSING)), {}, "drift"),
        ((INDEX,), {"heal": True}, "residue"),
    ],
)
def test_what_a_downgrade_is_refused_for(findings, policy, code):
    found = refuse_downgrade(State(AtHead(("two",)), findings), (TWO,), Policy(**policy))
    assert (found.problem.kind.code if found else None) == code


def test_both_ways_say_which_revisions_run():
    assert (FULL.revisions, DOWN.revisions) == ((ONE, TWO), (TWO,))


BLIND = Incomparable("app", ("extensions", "Other"))


@pytest.mark.parametrize("position", [Behind(("one",), (TWO,)), Untracked(("table t",), Nearest(("one",), BOTH))])
def test_a_schema_that_cannot_be_compared_names_the_right_that_is_missing(position):
    decision = decide(KNOWING, State(position, (BLIND,)), Policy())
    assert isinstance(decision, Refusal)
    assert decision.problem.kind.code == "missing-privilege"
    assert str(decision.problem.fix) == 'GRANT USAGE ON SCHEMA extensions, "Other" TO app;'


def test_a_schema_that_cannot_be_compared_holds_nobody_up_whom_drift_would_not():
    at_head = decide(KNOWING, State(AtHead(("two",)), (BLIND,)), Policy())
    assert isinstance(at_head, Plan)
    assert at_head.warnings == (sentence(BLIND),)
    warned = decide(KNOWING, State(Behind(("one",), (TWO,)), (BLIND,)), Policy(drift=Judgement.WARN))
    assert isinstance(warned, Plan)
    assert sentence(BLIND) in warned.warnings
    residue = Residue((InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON t (n)"),), ())
    untracked = State(Untracked(("table t",), Exact(("two",))), (residue,))
    assert isinstance(decide(KNOWING, untracked, Policy()), Refusal)


def test_an_image_without_revisions_is_refused_unless_it_is_meant():
    nothing = Image(Graph([]), missing="the history has no revision: versions has none")
    refused = decide(nothing, State(Empty(())), Policy())
    assert isinstance(refused, Refusal)
    assert (refused.problem.kind.code, refused.problem.why) == ("empty-history", nothing.missing)
    assert decide(nothing, State(Empty(())), Policy(allow_empty_history=True)) == Plan((), Result.NOOP)


def test_rows_that_name_another_revision_than_the_schema_are_told_apart_from_drift():
    stale = Drifted(MISSING, exact=("one",))
    assert "it is exactly the schema of one" in sentence(stale)
    refused = decide(KNOWING, State(BEHIND, (stale,)), Policy())
    assert isinstance(refused, Refusal)
    assert str(refused.problem.fix).startswith("migrate adopt   # records one,")
    at_head = decide(KNOWING, State(AtHead(("two",)), (stale,)), Policy())
    assert isinstance(at_head, Plan)
    assert at_head.warnings == (sentence(stale),)


def test_what_a_rollback_may_trip_over_is_said_beside_that_the_database_is_newer():
    said = "constraint t.u (UNIQUE (a)) has another name there"
    ahead = Ahead(("new",), ("new",), (), (said,))
    unknown = Unknown(("new",), ("new",), (), words=(said,))
    for position, policy in [(ahead, Policy()), (unknown, Policy(ahead=AheadPolicy.COMPATIBLE))]:
        plan = decide(IMAGE, State(position), policy)
        assert isinstance(plan, Plan)
        assert plan.warnings[1:] == (said,)


def test_what_is_accepted_of_a_newer_database_is_said():
    why = "column post.body is text not null: an INSERT without it fails"
    for breaks, said in (
        ((Break("post", "column", why),), why),
        (None, "without a manifest it is not known"),
        ((), "(ahead=accept)"),
    ):
        for position in (Ahead(("new",), ("new",), breaks), Unknown(("new",), ("new",), breaks)):
            plan = decide(IMAGE, State(position), Policy(ahead=AheadPolicy.ACCEPT))
            assert isinstance(plan, Plan)
            assert plan.warnings[0].endswith(said) or (breaks is None and said in plan.warnings[0])


def test_without_a_sibling_that_a_revision_follows_nothing_is_compared_and_nobody_held_up():
    lacking = Lacking((("a2", "z1"),))
    assert "revision a2 is applied without revision z1, which it follows" in sentence(lacking)
    decision = decide(KNOWING, State(Behind(("one",), (TWO,)), (lacking,)), Policy())
    assert isinstance(decision, Plan)
    assert sentence(lacking) in decision.warnings


@pytest.mark.parametrize("heal", [False, True])
@pytest.mark.parametrize("indexes", [(), INDEX.indexes])
def test_a_revision_of_which_a_part_is_known_is_not_recorded_as_whole(indexes, heal):
    position = Untracked(("table t",), Exact(("two",)))
    state = State(position, (Residue(indexes, STEP.steps),))
    decision = decide(IMAGE, state, Policy(adopt=AdoptPolicy.EXACT, heal=heal))
    assert isinstance(decision, Refusal)
    assert decision.problem.kind.code == "residue"
    assert "recorded as applied it would look whole" in decision.problem.why


HOLD = {"breaking": BreakingPolicy.HOLD}


@pytest.mark.parametrize(
    ("position", "findings", "policy", "steps", "result"),
    [
        (Behind(("zero",), (ONE, TWO)), (Breaking(BROKEN_BY, (ONE,)),), {}, (Upgrade("head", (ONE,), (TWO,)),), Result.HELD),
        (BEHIND, (Breaking(BROKEN_BY),), {}, (), Result.HELD),
        (BEHIND, (Breaking(BROKEN_BY), INDEX), {"heal": True}, (Repair(("index ix",)),), Result.HELD),
        (
            Untracked(("table t",), Exact(("one",))),
            (Breaking(BROKEN_BY),),
            {"adopt": AdoptPolicy.EXACT},
            (Adopt(("one",)),),
            Result.HELD,
        ),
    ],
    ids=["applies what comes before", "applies nothing", "repairs", "adopts"],
)  # fmt: skip
def test_what_breaks_the_running_release_is_held_with_all_that_follows(position, findings, policy, steps, result):
    decision = decide(KNOWING, State(position, findings), Policy(**HOLD, **policy))
    assert isinstance(decision, Plan)
    assert (decision.steps, decision.result) == (steps, result)
    assert decision.held == (HeldRevision(TWO, (BREAKS[0].why,)),)


def test_nothing_is_held_where_nothing_breaks():
    assert decide(KNOWING, State(BEHIND), Policy(**HOLD)) == Plan((UPGRADE,), Result.APPLIED)


def test_without_a_manifest_nothing_tells_what_to_hold():
    decision = decide(IMAGE, State(BEHIND), Policy(**HOLD))
    assert isinstance(decision, Refusal)
    assert "policy holds what does (breaking=hold)" in decision.problem.why


# What comes next: rows against a need, effects that are heavy on this database, and what is not known

GIB = 1 << 30
ELEVEN = Against(11, "SELECT * FROM public.t WHERE a IS NULL")
PROVEN = Unmet((LiveNeed(TWO, Need(NoNull("t", "a"), proven=True), ELEVEN),))
NOT_PROVEN = Unmet((LiveNeed(TWO, Need(NoNull("t", "a"), proven=False), ELEVEN),))
SLOW = Unanswered((LiveNeed(TWO, Need(NoNull("t", "a"), proven=True), NotKnown("no answer within 10 s")),))
UNSAID = Unforeseen((TWO,), (TWO,))
HEAVY = Heavy((LiveEffect(TWO, Rewrite("t", Blocks.ALL), TableSize(2 * GIB, 7_000_000, 1200)),), GIB)
DATA, OVER = {"data": DataPolicy.REFUSE}, {"heavy": HeavyPolicy.REFUSE}
BROKEN_TWO = {"breaking": BreakingPolicy.REFUSE}
RUNS = None

FORESEEN = [
    # findings, policy, the code of the refusal (None: it runs), how many warnings
    ((PROVEN,), {}, "data", 0),
    ((PROVEN,), DATA, "data", 0),
    ((PROVEN,), {"data": DataPolicy.WARN}, RUNS, 1),
    ((NOT_PROVEN,), {}, RUNS, 1),
    ((NOT_PROVEN,), DATA, RUNS, 1),
    ((SLOW,), {}, RUNS, 1),
    ((SLOW,), DATA, RUNS, 1),
    ((UNSAID,), {}, RUNS, 0),
    ((UNSAID,), {"data": DataPolicy.WARN}, RUNS, 0),
    ((UNSAID,), DATA, "not-foreseen", 0),
    ((UNSAID,), OVER, "not-foreseen", 0),
    ((Unforeseen((TWO,), ()),), OVER, RUNS, 0),
    ((Unforeseen((), (TWO,)),), DATA, RUNS, 0),
    ((HEAVY,), {}, RUNS, 1),
    ((HEAVY,), {"heavy": HeavyPolicy.ALLOW}, RUNS, 0),
    ((HEAVY,), OVER, "heavy-change", 0),
    # the order: drift, data, heavy, breaking
    ((Drifted(MISSING), PROVEN), {}, "drift", 0),
    ((PROVEN, HEAVY), OVER, "data", 0),
    ((HEAVY, Breaking(BROKEN_BY)), {**OVER, **BROKEN_TWO}, "heavy-change", 0),
    ((HEAVY, Breaking(BROKEN_BY)), BROKEN_TWO, "breaking-change", 0),
]


@pytest.mark.parametrize("position", [BEHIND, Untracked(("table t",), Exact(("one",))), Empty((TWO,))])
@pytest.mark.parametrize(("findings", "policy", "code", "warnings"), FORESEEN)
def test_what_comes_next_is_judged_by_policy(position, findings, policy, code, warnings):
    decision = decide(KNOWING, State(position, findings), Policy(adopt=AdoptPolicy.EXACT, **policy))
    if isinstance(position, Empty) and code in {"drift", "breaking-change"}:  # there is neither schema nor release
        return
    if code is None:
        assert isinstance(decision, Plan), decision
        assert len(decision.warnings) == warnings
    else:
        assert isinstance(decision, Refusal), decision
        assert decision.problem.kind.code == code


def test_rows_against_a_need_are_counted_and_never_shown():
    decision = decide(KNOWING, State(BEHIND, (PROVEN,)), Policy())
    assert isinstance(decision, Refusal)
    assert decision.problem.why == "revision two (versions/two.py) needs no NULL in t.a: 11 rows break it"
    assert (
        str(decision.problem.fix)
        == "SELECT * FROM public.t WHERE a IS NULL;   -- fix what it shows, or have the revision do it and write the manifest again"
    )
    assert (int(decision.problem.exit_code), decision.problem.exit_code.retryable) == (18, False)
    assert Against(1000, "").sentence() == "at least 1,000 rows break it"
    assert Against(1, "").sentence() == "1 row breaks it"
    assert Against(1, "").sentence(of_keys=True) == "1 key is there more than once"
    assert Against(1000, "").sentence(of_keys=True) == "at least 1000 keys are there more than once"


def test_a_column_that_no_row_can_have_is_mended_in_the_revision_and_not_in_the_rows():
    full = LiveNeed(TWO, Need(NoRow("t", "b"), proven=True), Against(3, "SELECT * FROM public.t"))
    decision = decide(KNOWING, State(BEHIND, (Unmet((full,)),)), Policy())
    assert isinstance(decision, Refusal)
    assert str(decision.problem.fix).startswith(f"in {TWO.file}, add b with a server_default, or ")


def test_a_refusal_for_data_names_only_what_is_proven():
    both = Unmet((*NOT_PROVEN.needs, LiveNeed(TWO, Need(NoNull("t", "b"), proven=True), ELEVEN)))
    decision = decide(KNOWING, State(BEHIND, (both,)), Policy())
    assert isinstance(decision, Refusal)
    assert "t.b" in decision.problem.why
    assert "t.a" not in decision.problem.why


def test_an_effect_is_said_with_what_its_table_is_like_here():
    assert sentence(HEAVY) == (
        "on a table of more than 1 GB: blocks reads and writes of t, 2 GB (about 7,000,000 rows), 1,200 writes a minute:"
        " rewrite (revision two, versions/two.py)"
    )
    assert sentence(UNSAID) == "the manifest does not say the effects and needs of 1 pending revision (two)"


@pytest.mark.parametrize(
    ("policy", "kinds", "note"),
    [
        ({}, [Unforeseen, Unmet, Unanswered, Heavy], True),
        ({"heavy_over": 3 * GIB}, [Unforeseen, Unmet, Unanswered], True),
        ({"data": DataPolicy.OFF}, [Unmet, Unanswered, Unforeseen, Heavy], True),
        ({"data": DataPolicy.OFF, "heavy": HeavyPolicy.ALLOW}, [Unmet, Unanswered, Heavy], False),
    ],
)
def test_what_is_foreseen_is_found_in_the_order_of_judgement(policy, kinds, note):
    need = Need(NoNull("t", "a"), proven=True)
    answers = (ELEVEN, NotKnown("no answer within 10 s"), Met(), Later(), None)
    small = TableSize(1)
    outlook = Outlook(
        (
            *HEAVY.effects,
            LiveEffect(TWO, Rewrite("t", Blocks.ALL), small),
            LiveEffect(TWO, Rewrite("new", Blocks.ALL)),
            LiveEffect(TWO, Brief("t", Blocks.ALL), TableSize(2 * GIB)),
        ),
        tuple(LiveNeed(TWO, need, answer) for answer in answers),
        (TWO,),
        (TWO,),
    )
    assert [type(finding) for finding in found_in(outlook, Policy(**policy))] == kinds
    assert (note_of(outlook, Policy(**policy)) is not None) is note
    assert note_of(Outlook(), Policy()) is None


@pytest.mark.parametrize(
    ("findings", "policy", "runs"),
    [
        ((), {}, (TWO,)),
        ((PROVEN,), {}, (TWO,)),
        ((Breaking(BROKEN_BY),), {"breaking": BreakingPolicy.REFUSE}, (TWO,)),
        ((Breaking(BROKEN_BY),), {"breaking": BreakingPolicy.HOLD}, ()),
        ((Drifted(MISSING),), {}, ()),
    ],
)
def test_only_what_this_run_would_run_is_asked_about(findings, policy, runs):
    assert would_run(KNOWING, State(BEHIND, findings), Policy(**policy)) == runs


@pytest.mark.parametrize(("policy", "said"), [(DATA, "(data=refuse)"), (OVER, "(heavy=refuse)")])
def test_without_a_manifest_nothing_tells_what_comes_next(policy, said):
    decision = decide(IMAGE, State(BEHIND), Policy(**policy))
    assert isinstance(decision, Refusal)
    assert decision.problem.kind.code == "no-manifest"
    assert said in decision.problem.why
