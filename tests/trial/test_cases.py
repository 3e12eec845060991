"""What a trial found: one finding for a revision and check, placed, judged by policy."""

from __future__ import annotations

import pytest

from migrate.core.history.graph import Revision
from migrate.core.trial_checks import DEFAULT_FAIL, OF_HISTORY, OF_REVISIONS, TrialCheck
from migrate.trial.cases import (
    LISTED,
    Case,
    CaseStatus,
    Counted,
    Findings,
    Remarks,
    Trial,
    legible,
    planned,
    rows_left,
    rows_lost,
    rows_of_env_py,
    traces,
    with_effect,
)


def revision(id_: str) -> Revision:
    return Revision(id_, (), (), (), "", f"{id_}.py", "")


@pytest.fixture
def findings() -> Findings:
    return Findings(DEFAULT_FAIL, {"r1": "v/r1.py"}, {"r1": Remarks(upgrade_line=10, downgrade_line=20)})


def test_every_check_is_of_a_revision_or_of_the_history() -> None:
    assert {*OF_REVISIONS, *OF_HISTORY} == set(TrialCheck)
    assert all(check.meaning for check in TrialCheck)


def test_going_back_rows_that_we_cannot_make_and_locks_never_fail_a_run_by_default() -> None:
    assert set(DEFAULT_FAIL) == {str(check) for check in TrialCheck} - {"downgrade", "again", "filled", "locks"}


SOURCES = {
    "nothing": ("", Remarks()),
    "functions": (
        "x = 1\n\ndef upgrade():\n    pass\n\ndef downgrade():\n    pass\ndef other(): pass\n",
        Remarks(3, 6),
    ),
    "a reason": ('irreversible = "gone  for\\n good"', Remarks(irreversible="gone for good")),
    "an annotated reason": ('"""x"""\nirreversible: str = "gone"', Remarks(irreversible="gone")),
    "no reason": ('irreversible = " "', Remarks()),
    "what is accepted": (
        """accepted = {"kept": "meant  so", 'rows': " ", "crash": reason, **more, 1: "x"}\naccepted: dict = {"downgrade": "d"}""",
        Remarks(accepted={"kept": "meant so", "downgrade": "d"}),
    ),
    "only a yes": ("irreversible = True", Remarks()),
    "computed": ('irreversible = "a" + b', Remarks()),
    "no Python": ("def (", Remarks()),
    "a NUL": ("a\0", Remarks()),
}


@pytest.mark.parametrize(("text", "expected"), SOURCES.values(), ids=SOURCES)
def test_a_revisions_text_is_read_without_running_it(text: str, expected: Remarks) -> None:
    assert Remarks.read(text) == expected


TWO_STATEMENTS = """\
def upgrade():
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("total", sa.Numeric))
    op.create_index(
        "ix_orders_total", "orders", ["total"]
    )
"""


@pytest.mark.parametrize(
    ("names", "line"),
    [(("orders", "ix_orders_total"), 4), (("orders",), 4), (("total is new",), 3), (("customers",), 1)],
)
def test_a_statement_is_found_by_what_it_names(names: tuple[str, ...], line: int) -> None:
    assert Remarks.read(TWO_STATEMENTS).line_about(names) == line


def test_a_finding_stands_at_the_function_that_it_is_about(findings: Findings) -> None:
    findings.found(TrialCheck.ROWS, "r1", "no")
    findings.found(TrialCheck.DOWNGRADE, "r1", "no")
    findings.found(TrialCheck.CRASH, "r1", "no", file="v/r1.py", line=12)
    findings.passed(TrialCheck.KEPT, "r1")
    places = {str(case.check): case.place for case in findings.of("r1")}
    assert places == {"rows": "v/r1.py:10", "downgrade": "v/r1.py:20", "crash": "v/r1.py:12", "kept": "v/r1.py:10"}


def test_a_finding_about_the_history_may_have_no_place(findings: Findings) -> None:
    findings.found(TrialCheck.TWICE, None, "no")
    assert [case.place for case in findings.of(None)] == [""]


def test_policy_makes_a_failure_of_a_finding(findings: Findings) -> None:
    findings.found(TrialCheck.ROWS, "r1", "no")
    findings.found(TrialCheck.DOWNGRADE, "r1", "no")
    assert [case.verdict for case in findings.of("r1")] == [CaseStatus.FAILED, CaseStatus.WARNED]


def test_a_second_finding_of_a_check_is_a_detail_of_the_first(findings: Findings) -> None:
    findings.found(TrialCheck.CRASH, "r1", "first", ["more"])
    for number in range(30):
        findings.found(TrialCheck.CRASH, "r1", f"again {number}")
    (case,) = findings.of("r1")
    assert case.why == "first"
    assert case.details[:2] == ("more", "again 0")
    assert len(case.details) == LISTED


def test_a_finding_overrules_that_it_passed_and_nothing_overrules_a_finding(findings: Findings) -> None:
    findings.passed(TrialCheck.DOWNGRADE, "r1")
    findings.found(TrialCheck.DOWNGRADE, "r1", "with rows it fails")
    findings.passed(TrialCheck.DOWNGRADE, "r1")
    findings.skip_rest("r1", "because")
    verdicts = {case.check: case.verdict for case in findings.of("r1")}
    assert verdicts.pop(TrialCheck.DOWNGRADE) is CaseStatus.WARNED
    assert verdicts == dict.fromkeys(set(OF_REVISIONS) - {TrialCheck.DOWNGRADE}, CaseStatus.SKIPPED)


def test_what_a_revision_accepts_is_no_failure_and_is_told() -> None:
    findings = Findings(DEFAULT_FAIL, {"r1": "v/r1.py"}, {"r1": Remarks(accepted={"kept": "meant so"})})
    findings.found(TrialCheck.KEPT, "r1", "rows are lost", ["more"])
    findings.found(TrialCheck.KEPT, "r1", "again")
    findings.found(TrialCheck.ROWS, "r1", "no")
    kept, rows = findings.of("r1")
    assert (kept.verdict, kept.why) == (CaseStatus.ACCEPTED, "accepted: meant so")
    assert kept.details == ("rows are lost", "more", "again")
    assert rows.verdict is CaseStatus.FAILED


def test_every_difference_of_the_models_is_kept(findings: Findings) -> None:
    findings.found(TrialCheck.MODELS, None, "first", [str(number) for number in range(100)])
    assert len(findings.of(None)[0].details) == 100


def test_a_finding_is_legible_and_the_same_in_every_run() -> None:
    value = "a" * 255
    assert legible(f'invalid input syntax for type integer: "{value}"') == (
        f'invalid input syntax for type integer: "{"a" * 20}… (255 characters)"'
    )
    assert legible("a" * 64) == "a" * 64
    assert legible("<object object at 0x7F00beef>") == "<object object>"


def test_rows_that_are_put_in_may_change_the_schema() -> None:
    before = {"trigger t.once": "x", "table t": "table", "index t.i": "a"}
    filled = {"table t": "table", "index t.i": "b", "table t_1": "partition"}
    after = {**before, "column t.new": "text", "index t.i": "c"}
    expected = {"table t": "table", "table t_1": "partition", "column t.new": "text", "index t.i": "c"}
    assert with_effect(after, before, filled) == expected


def test_a_trial_is_in_the_order_of_the_history(findings: Findings) -> None:
    findings.passed(TrialCheck.HEADS)
    findings.passed(TrialCheck.KEPT, "r2")
    findings.passed(TrialCheck.UPGRADE, "r2")
    findings.found(TrialCheck.ROWS, "r1", "no")
    trial = findings.trial([revision("r1"), revision("r2")])
    assert [case.name for case in trial.cases] == ["r1-rows", "r2-upgrade", "r2-kept", "history-heads"]
    assert trial.counts == {"passed": 3, "failed": 1, "warned": 0, "accepted": 0, "skipped": 0}
    assert [case.name for case in trial.with_verdict(CaseStatus.FAILED)] == ["r1-rows"]


def verdicts(**numbers: int) -> Trial:
    return Trial(
        tuple(
            Case(TrialCheck.UPGRADE, CaseStatus(name), f"r{n}")
            for name, number in numbers.items()
            for n in range(number)
        )
    )


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (verdicts(passed=14, skipped=5), "14 checks passed, none failed, 5 skipped (not applicable or not reached)"),
        (verdicts(passed=1, skipped=1), "1 check passed, none failed, 1 skipped (not applicable or not reached)"),
        (verdicts(passed=3, failed=2, warned=1), "3 checks passed, 2 failed, 1 warning"),
        (verdicts(passed=3, warned=2), "3 checks passed, none failed, 2 warnings"),
        (verdicts(passed=3, accepted=2), "3 checks passed, none failed, 2 accepted"),
    ],
)
def test_the_counts_in_words(trial: Trial, said: str) -> None:
    assert trial.summary == said


def test_a_case_in_json_and_without_a_place() -> None:
    case = Case(TrialCheck.TWICE, CaseStatus.FAILED, why="said", details=("a",))
    assert case.place == ""
    assert Case(TrialCheck.TWICE, CaseStatus.FAILED, file="env.py").place == "env.py"
    assert case.to_json() == {
        "check": "twice",
        "verdict": "failed",
        "revision": None,
        "file": None,
        "line": None,
        "finding": "said",
        "details": ["a"],
    }


def test_what_is_planned() -> None:
    assert planned([revision("r1")]) == (
        *(("r1", check) for check in OF_REVISIONS),
        *((None, check) for check in OF_HISTORY),
    )


LOST = {
    "nothing": ([Counted(1, "a", 3)], [Counted(1, "a", 3)], []),
    "a row": ([Counted(1, "a", 3)], [Counted(1, "a", 2)], ["table a: 3 rows before, 2 after"]),
    "renamed": ([Counted(1, "a", 3)], [Counted(1, "b", 2)], ["table b: 3 rows before, 2 after"]),
    "made anew": ([Counted(1, "a", 3)], [Counted(2, "a", 0)], ["table a: 3 rows before, 0 after"]),
    "dropped": ([Counted(1, "a", 3)], [], []),
}


@pytest.mark.parametrize(("before", "after", "expected"), LOST.values(), ids=LOST)
def test_rows_lost(before: list[Counted], after: list[Counted], expected: list[str]) -> None:
    assert rows_lost(before, after) == expected


def test_rows_left() -> None:
    before = [Counted(1, "a", 3), Counted(2, "b", 0)]
    after = [Counted(1, "a", 4), Counted(2, "b", 0), Counted(3, "new", 7)]
    assert rows_left(before, after) == ["table a: 3 rows before, 4 after"]


def test_traces() -> None:
    before = {
        "table a": "table",
        "column a.x": "integer",
        "index a.i": "btree (x)",
        "view v": "SELECT\n 1",
        "enum e": "'a'",
    }
    after = {"table b": "table", "column b.y": "text", "view v": "SELECT\n 2", "enum e": "'a', 'b'"}
    assert traces(before, before) == []
    assert traces(before, after) == [
        "table b is left behind",
        "table a is lost",
        "enum e is 'a', 'b', was 'a'",
        "view v has changed",
    ]


def test_traces_of_a_renamed_constraint() -> None:
    before = {"table a": "table", "constraint a.one": "CHECK ((x > 0))"}
    after = {"table a": "table", "constraint a.two": "CHECK ((x > 0))"}
    assert traces(before, after) == ["constraint a.one has become constraint a.two"]


def test_a_finding_that_may_be_the_rows_own_fault_only_warns() -> None:
    findings = Findings({"rows"}, {}, {})
    findings.found(TrialCheck.ROWS, "a", "a text cannot be read", is_sure=False)
    findings.found(TrialCheck.ROWS, "b", "a column has NULL")
    assert [case.verdict for one in "ab" for case in findings.of(one)] == [CaseStatus.WARNED, CaseStatus.FAILED]


def test_a_table_that_grows_on_both_ways_and_is_named_nowhere_is_env_pys() -> None:
    def counts(*numbers: int) -> list[Counted]:
        return [Counted(at, f"app.t{at}", rows) for at, rows in enumerate(numbers)]

    ways = counts(0, 0, 5), counts(1, 1, 5), [*counts(2, 1, 6), Counted(9, "new", 1)]
    assert rows_of_env_py(*ways, "pass") == {0}
    assert rows_of_env_py(*ways, "INSERT INTO t0 VALUES (1)") == set()


_HEAD = "import sqlalchemy as sa\nimport sqlalchemy.dialects.postgresql\nimport os\nfrom alembic import op\nfrom sqlalchemy.dialects import postgresql as pg\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("op.add_column('t', sa.Column('a', sa.Text()))\n    op.add_column('t', sa.Column('b', pg.UUID()))", True),
        ("with op.batch_alter_table('t') as b:\n        b.add_column(sa.Column('a', sqlalchemy.Text()))", True),
        ("op.drop_column('t', op.f('a'))\n    pass", True),
        ("op.add_column('t', sa.Column('a'))\n    op.execute('INSERT INTO n SELECT * FROM t')", False),
        ("op.bulk_insert(t, [])", False),
        ("op.get_bind().execute(sa.text('SELECT 1'))", False),
        ("os.system('x')", False),
        ("fill()", False),
        ("(lambda: 1)()", False),
        ("op('t')", False),
    ],
    ids=["columns", "batch", "drops", "copies", "inserts", "asks", "runs", "calls", "computes", "no-operation"],
)
def test_what_only_defines_is_told_from_what_may_take_long(body, expected):
    assert Remarks.read(f"{_HEAD}\ndef upgrade() -> None:\n    {body}\n").only_defines is expected
