"""The tenants of a fleet, the order in which they are taken, and the one code for all of them."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.decide.outcome import Result
from migrate.core.fleet.ending import TenantEnd, fields_of, is_tried_again, most_serious
from migrate.core.fleet.grid import Row, alike, counts, grid
from migrate.core.fleet.shard import Shard
from migrate.core.fleet.tenants import MalformedTenants, Tenant, chosen, divided, named, read_lines, read_rows
from migrate.core.problems import ExitCode
from migrate.core.url import DatabaseUrl

URL = "postgresql://app:secret@db.example/acme"


@pytest.mark.parametrize(
    ("text", "tenants"),
    [
        ("", []),
        ("# ours\n\n", []),
        (URL, [Tenant("acme", url=DatabaseUrl.parse(URL))]),
        ('{"tenant": "a", "schema": "tenant_a"}', [Tenant("a", "tenant_a")]),
        ('{"schema": "tenant_a"}\n{"database": "b"}', [Tenant("tenant_a", "tenant_a"), Tenant("b", None, "b")]),
        ('{"url": "' + URL + '", "tenant": "A", "schema": null}', [Tenant("A", url=DatabaseUrl.parse(URL))]),
    ],
)
def test_a_list_has_one_tenant_a_line(text, tenants):
    assert read_lines(text) == tenants


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mysql://app:secret@db/x", "line 1 has no PostgreSQL URL. "),
        (
            "\npostgresql://app:secret@db.example",
            "line 2 has a URL without a database, whose name would be the tenant's",
        ),
        ('{"tenant": ', "line 1 begins as a JSON object and is none"),
        ('{"tenant": "a", "host": "secret"}', "line 1 has host: only database, schema, tenant, url have a meaning"),
        ('{"tenant": 5}', "line 1 has a tenant that is not a text"),
        ('{"schema": ""}', "line 1 has a schema that is not a text"),
        ("{}", "line 1 names no tenant"),
    ],
)
def test_a_line_that_names_no_tenant_is_told_with_its_number_and_no_secret(text, why):
    with pytest.raises(MalformedTenants) as caught:
        read_lines(text)
    assert str(caught.value).startswith(why)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "tenants"),
    [
        ([("t1",), ("t2",)], [Tenant("t1", "t1"), Tenant("t2", "t2")]),
        ([(7, "s7")], [Tenant("7", "s7")]),
        ([("a", None, "db_a")], [Tenant("a", None, "db_a")]),
    ],
)
def test_a_query_has_the_tenant_its_schema_and_its_database(rows, tenants):
    assert read_rows(rows) == tenants


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([("a", "b", "c", "d")], "the query has 4 columns: it must have one to three"),
        ([()], "the query has 0 columns: it must have one to three"),
        ([("a",), (None,)], "row 2 of the query has no tenant in its first column"),
    ],
)
def test_a_query_that_is_no_list_of_tenants_is_told(rows, why):
    with pytest.raises(MalformedTenants, match=why):
        read_rows(rows)


FLEET = [Tenant(name, name) for name in ("eu_2", "eu_1", "us_1", "test_1")]


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({}, ["eu_1", "eu_2", "test_1", "us_1"]),
        ({"include": ["eu_*"]}, ["eu_1", "eu_2"]),
        ({"exclude": ["test_*", "*_2"]}, ["eu_1", "us_1"]),
        ({"include": ["eu_*"], "exclude": ["eu_1"]}, ["eu_2"]),
    ],
)
def test_patterns_choose_among_the_tenants_which_come_by_name(how, names):
    assert [tenant.name for tenant in chosen(FLEET, **how)] == names


def test_a_tenant_listed_twice_is_one():
    assert chosen([Tenant("a", "a"), Tenant("a", "a")]) == [Tenant("a", "a")]


def test_one_name_in_two_places_is_refused():
    with pytest.raises(MalformedTenants, match="tenant a is listed twice, in two places"):
        chosen([Tenant("a", "a"), Tenant("a", "b")])


def test_two_names_of_one_place_are_refused_for_both_would_run_at_once():
    with pytest.raises(MalformedTenants, match="tenants a and b are the same schema of the same database"):
        chosen([Tenant("a", "s"), Tenant("b", "s")])


def test_tenants_are_taken_by_name_once():
    assert named(FLEET, ["us_1", "eu_1", "us_1"]) == [Tenant("us_1", "us_1"), Tenant("eu_1", "eu_1")]
    with pytest.raises(MalformedTenants, match="there is no tenant a, b"):
        named(FLEET, ["us_1", "b", "a"])


def test_canaries_come_first_in_their_own_order():
    first, others = divided(FLEET, ["us_*", "eu_1", "eu_*"])
    assert [tenant.name for tenant in first] == ["us_1", "eu_1", "eu_2"]
    assert others == [Tenant("test_1", "test_1")]


def test_an_argument_of_env_py_names_the_tenant():
    assert Tenant("a", "tenant_a").filled("tenant={tenant},{schema}") == "tenant=a,tenant_a"
    assert Tenant("a").filled("s={schema}") == "s="


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "a/4", "1/0", "1/"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="is not I/N"):
        Shard.parse(text)


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 9))
@pytest.mark.hypothesis
def test_each_tenant_is_in_exactly_one_shard(names, count):
    parts = [[name for name in names if Shard(index, count).has(name)] for index in range(count)]
    assert sorted(name for part in parts for name in part) == sorted(names)


def test_the_shards_are_the_same_in_every_process():
    program = "from migrate.core.fleet.shard import Shard; print([Shard.parse('1/3').has(f't{n}') for n in range(99)])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    mine = [Shard(1, 3).has(f"t{n}") for n in range(99)]
    assert told.strip() == str(mine)
    assert 15 < sum(mine) < 51
    assert len(chosen([Tenant(f"t{n}", f"t{n}") for n in range(99)], shard=Shard(1, 3))) == sum(mine)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], ExitCode.OK),
        ([ExitCode.OK], ExitCode.OK),
        ([ExitCode.OK, ExitCode.BLOCKED], ExitCode.BLOCKED),
        ([ExitCode.TERMINATED, ExitCode.DRIFT, ExitCode.OK], ExitCode.DRIFT),
        ([ExitCode.FAILED, ExitCode.DRIFT], ExitCode.FAILED),
        ([ExitCode.PARTIAL, ExitCode.FAILED, ExitCode.BLOCKED], ExitCode.PARTIAL),
        ([ExitCode.PARTIAL, ExitCode.UNKNOWN], ExitCode.UNKNOWN),
    ],
)
def test_a_persons_work_comes_before_a_final_failure_and_that_before_a_retry(codes, expected):
    assert most_serious(codes) is expected


def test_the_last_line_counts_all_and_names_fifty():
    ends = [TenantEnd(f"t{n:03}", Result.FAILED, ExitCode.FAILED, "revision-failed", pending=1) for n in range(60)]
    ends += [
        TenantEnd("ok", Result.APPLIED, ExitCode.OK, applied=1),
        TenantEnd("held", Result.NOOP, ExitCode.OK, pending=2),
    ]
    told = fields_of(ends, ["late"])
    assert told["tenants"] == 63
    assert told["tenants_by_outcome"] == {"applied": 1, "failed": 60, "noop": 1, "not_begun": 1}
    assert (len(told["tenants_failed"]), told["tenants_failed_count"]) == (50, 60)
    assert (told["tenants_pending"], told["tenants_pending_count"]) == (["held", "late"], 2)
    assert "not_begun" not in fields_of(ends, [])["tenants_by_outcome"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ExitCode.BLOCKED, True),
        (ExitCode.UNKNOWN, True),
        (ExitCode.GUARD_LOST, True),
        (ExitCode.PARTIAL, False),
        (ExitCode.FAILED, False),
        (ExitCode.OK, False),
    ],
)
def test_a_fleet_tries_again_what_may_pass_and_what_only_another_look_can_tell(code, expected):
    assert is_tried_again(code) is expected


def test_the_odd_ones_come_first_the_most_serious_before_the_others():
    ends = [
        TenantEnd("at head", Result.NOOP, ExitCode.OK, rows=("r2",)),
        TenantEnd("behind", Result.NOOP, ExitCode.OK, pending=2),
        TenantEnd("to come", Result.NOOP, ExitCode.OK, is_there=False),
        TenantEnd("blocked", Result.FAILED, ExitCode.BLOCKED, "blocked", rows=("r1",)),
        TenantEnd("partial", Result.FAILED, ExitCode.PARTIAL, "partly-committed", rows=("r1", "s1")),
    ]
    table = grid(ends, ["late"])
    assert [(row.tenant, row.at, row.pending, row.said, row.is_odd) for row in table] == [
        ("partial", "r1, s1", 0, "31 partly-committed", True),
        ("blocked", "r1", 0, "22 blocked", True),
        ("behind", "-", 2, "behind", True),
        ("to come", "-", 0, "not provisioned", True),
        ("late", "-", 0, "not begun", True),
        ("at head", "r2", 0, "noop", False),
    ]
    assert counts(table[3:]) == [("-", 2), ("r2", 1)]
    assert fields_of(ends, ["late"])["tenants_not_provisioned"] == ["to come"]


def test_tenants_of_which_there_is_the_same_to_say_stand_together():
    behind = [Row(name, ("a",), 2, "behind", is_odd=True) for name in ("one", "two")]
    other = Row("three", ("b",), 1, "behind", is_odd=True)
    assert alike([behind[0], other, behind[1]]) == [behind, [other]]
