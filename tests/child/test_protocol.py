"""What may stand on the line between the parent and the child, and that nothing else is taken for a message."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from migrate.child import protocol as p
from migrate.core.foresee.watched import Lock, Relation, Trace
from migrate.postgres.fence import Fence
from migrate.postgres.suspect import Suspect

SETUP = p.Setup("alembic.ini", None, "alembic", ("versions", "more"), "postgresql://h/d", x=("a=1",))
TASK = p.Task(
    kind="downgrade",
    target="base",
    setup=SETUP,
    env_py="env.py",
    flask_app=None,
    environ={"DATABASE_URL": "postgresql://h/d"},
    divides=True,
    goes_on=False,
    keeps=(Suspect("public", "t", frozenset({"b", "a"})), Suspect("public", "u", None)),
    version_table="alembic_version",
    version_table_schema=None,
    guard=Fence("held", "transaction", "session", "may", "unmark"),
    guard_every_s=10.0,
    session={"lock_timeout": "1s"},
    is_pooled=False,
    servers=p.Servers("postgresql://h/d", ("other:5433",)),
    wanted=p.Wanted(crash_after=3),
    search_path="tenant_a",
)
ERROR = p.Error("ProgrammingError", "no \ud800 \n\0 table", ("ProgrammingError",), "42P01", file="/a.py", line=3)
ORDERS = (p.LoadHistory(SETUP), TASK, p.Start("UPDATE", may_commit=True), p.Start(None, may_commit=False), p.Close("UPDATE"), p.Go(), p.Halt())  # fmt: skip
TOLD = (
    p.Ready(),
    p.Logged({"message": "said", "count": 1, "share": 0.5, "list": [1, None]}),
    p.Waiting("answer", 4),
    p.Waiting(None, 0),
    p.Sent("a1", "SELECT 1"),
    p.Watched("a1", (Relation(7, "public", "t", "r", 9),), (Trace(("said",), (Lock(7, "ShareLock", 0, 9),), 5),), 5),
    p.Compared(("table t: in the models, not in the schema",)),
    p.Compared(None),
    p.Connected(12, one_transaction=True, kept="because", is_alone=False, is_anew=True),
    p.Began(7_000_000_000, 12, is_asked=True),
    p.Starting("a1", None, shares=True),
    p.Autocommitting(),
    p.Applied(),
    p.Gathered(),
    p.Unrecorded("permission denied"),
    p.Committed(),
    p.History((p.LoadedRevision("b", ("a",), (), ("main",), "a change", "/b.py"),)),
    p.Done(""),
    p.Declined("data-loss", "why", {"target": "base"}, {"loses": ["table t: 1"]}),
    p.Doubtful("a1", (Suspect("public", "t", frozenset()),)),
    p.Halted(),
    p.Failed("revision", ERROR, left_nothing=True),
)


def test_each_message_has_an_example_here():
    assert {type(each) for each in ORDERS} == set(get_args(p.Asked))
    assert {type(each) for each in TOLD} == set(get_args(p.Told))


@pytest.mark.parametrize("order", ORDERS, ids=lambda each: type(each).__name__)
def test_an_order_arrives_as_it_was_given(order):
    line = p.encode(order)
    assert p.decode_order(line) == order
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("told", TOLD, ids=lambda each: type(each).__name__)
def test_what_the_child_tells_arrives_as_it_was_told(told):
    line = p.encode(told)
    assert p.decode_told(line) == told
    assert line.count(b"\n") == 1


def test_a_value_that_json_does_not_know_arrives_as_its_text():
    told = p.decode_told(p.encode(p.Declined("data-loss", "why", {"error": ValueError("odd")})))
    assert told == p.Declined("data-loss", "why", {"error": "odd"})


@pytest.mark.parametrize(
    "line",
    ["", "\udce4", "nothing", "[", "[" * 100_000, "null", "1", '"Halted"', "{}", '{"Halted": 1}', "[]", "[null]", '[["Halted"]]',
     '["Dance"]', '["Go"]', '["halted"]', '{"say": "stopped"}'],
    ids=lambda line: line[:20].encode("unicode_escape").decode() or "nothing at all",
)  # fmt: skip
def test_a_line_that_is_no_message_is_not_understood(line):
    with pytest.raises(p.Unintelligible, match="it is not a message of this version"):
        p.decode_told(line.encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    "message",
    [
        ["Halted", 1],
        ["Starting", "a1"],
        ["Starting", 1, None],
        ["Starting", "a1", "7"],
        ["Starting", "a1", True],
        ["Began", None, 1, False],
        ["Began", 1.0, 1, False],
        ["Began", 1, 1, 0],
        ["Began", 1, 1, None],
        ["Applied", None],
        ["Waiting", "something", 1],
        ["Waiting", ["answer"], 1],
        ["Logged", ["message"]],
        ["Compared", [["said"]]],
        ["Compared", [1]],
        ["Compared", {"sentence": "printed"}],
        ["Doubtful", "a1", [["public", "t", [1]]]],
        ["Doubtful", "a1", None],
        ["Failed", "nowhere", list(ERROR), False],
        ["Failed", "revision", "an error", False],
        ["Failed", "revision", [*ERROR, "more"], False],
    ],
    ids=json.dumps,
)
def test_a_message_whose_fields_are_others_is_not_understood_and_not_shown(message):
    with pytest.raises(p.Unintelligible) as caught:
        p.decode_told(json.dumps(message).encode())
    assert str(caught.value) == f"its message {message[0]} has not the fields that this version of migrate gives it"
