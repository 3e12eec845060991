"""What was measured on a clone: bytes, rows and locks from what was seen at moments."""

from __future__ import annotations

from migrate.core.foresee.effects import Blocks
from migrate.core.foresee.watched import Lock, Relation, Trace
from migrate.core.measured import HeldLock, LockTimes, Measured, Stored, blocking, held_locks, rows_written, written

TABLE, INDEX, NEW = 1, 2, 3


def trace(*locks, commits=False):
    return Trace((), locks, 0, commits)


def test_files_that_are_new_count_whole_and_the_others_by_what_they_have_grown():
    before = {
        1: Stored("public", "a", 0, 10, 100),
        2: Stored("public", "b", 0, 20, 100),
        4: Stored("public", "d", 0, 40, 9),
    }
    after = {
        1: Stored("public", "a", 0, 11, 70),  # rewritten, smaller than it was
        2: Stored("public", "b", 0, 20, 130),
        3: Stored("public", "c", 0, 30, 5),
    }
    assert written(before, after) == 70 + 30 + 5
    assert written(after, {2: Stored("public", "b", 0, 20, 10)}) == 0


def test_rows_are_what_a_session_counts_on_and_a_count_that_begins_anew_is_added():
    relations = [Relation(TABLE, "public", "t", "r", 0, written=100)]
    traces = [
        trace(Lock(TABLE, "RowExclusiveLock", 103, 0), Lock(TABLE, "ShareLock", 0, 0)),
        trace(Lock(TABLE, "RowExclusiveLock", 103, 0)),
        trace(Lock(TABLE, "RowExclusiveLock", 2, 0), Lock(NEW, "RowExclusiveLock", 7, 0)),
    ]
    assert rows_written(relations, traces) == {TABLE: 5, NEW: 7}


def test_of_a_table_and_its_indexes_the_strongest_lock_counts_and_nothing_of_what_was_not_there():
    locks = [
        (TABLE, "ShareLock"),
        (INDEX, "AccessExclusiveLock"),
        (NEW, "AccessExclusiveLock"),
        (TABLE, "RowShareLock"),
    ]
    assert blocking(locks, {TABLE: TABLE, INDEX: TABLE}) == {TABLE: Blocks.ALL}
    assert blocking([(TABLE, "RowExclusiveLock")], {TABLE: TABLE}) == {}


def test_times_add_up_between_looks_and_one_look_alone_is_zero():
    times = LockTimes()
    times.see(1.0, {TABLE: Blocks.WRITES}, waits=False)
    times.see(1.5, {TABLE: Blocks.ALL}, waits=True)
    times.see(3.5, {}, waits=False)
    times.see(9.0, {INDEX: Blocks.ALL}, waits=False)
    assert times.held_s == {(TABLE, Blocks.WRITES): 0.5, (TABLE, Blocks.ALL): 2.0, (INDEX, Blocks.ALL): 0.0}
    assert times.waited_s == 2.0
    found = held_locks(times, [(TABLE, Blocks.ALL), (NEW, Blocks.WRITES)], {TABLE: "t", NEW: "n"})
    assert found == (
        HeldLock("n", Blocks.WRITES, 0),
        HeldLock("t", Blocks.ALL, 2000),
        HeldLock("t", Blocks.WRITES, 500),
    )


def test_it_is_one_object_and_flat_fields():
    one = Measured(("a",), 5, 0, None, 8192, (("t", 3),), True, (HeldLock("t", Blocks.ALL, 4),))
    assert one.to_json()["locks"] == [{"table": "t", "blocks": "reads and writes", "held_ms": 4}]
    assert one.to_json()["rows"] == {"t": 3}
    assert one.fields()["locks"] == ["reads and writes of t: 4 ms"]
    assert one.fields()["rows"] == ["t 3"]
