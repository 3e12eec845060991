"""The judgements of `migrate doctor` on plain facts; tests/cli/test_doctor.py has them on real databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrate.core.decide.observation import InvalidIndex, Observation, Server, Unfinished
from migrate.core.decide.policy import Ahead as AheadPolicy
from migrate.core.decide.policy import Breaking as BreakingPolicy
from migrate.core.decide.policy import Judgement, Limits, Policy
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Incomparable,
    Residue,
    State,
    Unknown,
)
from migrate.core.decide.widths import too_narrow
from migrate.core.history.graph import Graph, Revision
from migrate.core.history.image import Image
from migrate.core.manifest.manifest import Manifest, build
from migrate.core.problems.catalogue import problem
from migrate.core.schema.compatibility import serves
from migrate.core.schema.differences import compare
from migrate.doctor import checks
from migrate.doctor.checks import Verdict, failed, passed, warned, worst
from migrate.doctor.facts import (
    Diagnosis,
    EventTrigger,
    Extension,
    Prepared,
    Replica,
    Role,
    Slot,
    Table,
    Timeout,
    Tls,
    Transaction,
    Vacuum,
    VersionTable,
)

SERVER = Server(
    version_num=170010,
    version="17.10",
    address="10.0.0.1",
    database="app",
    user="me",
    encoding="UTF8",
    in_recovery=False,
    read_only=False,
    pooled=False,
    schema="public",
    may_create=True,
    may_write_versions=True,
)
VERSIONS = VersionTable("public", "alembic_version", "r", "character varying(32)", 32, has_key=True, others=())
HEALTHY = Diagnosis(
    role=Role("me", is_superuser=False, may_create_schemas=True, ledger_exists=True, may_write_ledger=True),
    tls=Tls(encrypted=True, protocol="TLSv1.3", server_offers=True),
    timeouts=(),
    version_table=VERSIONS,
    tables_count=1,
    tables=(),
    transactions=(),
    prepared=(),
    vacuums=(),
    replicas=(),
    slots=(),
    waits_for="",
    event_triggers=(),
    extensions=(),
    runs=(),
)
ONE = Revision("one", (), (), (), "first", "one.py", "1")
TWO = Revision("two", ("one",), (), (), "second", "two.py", "2")
GRAPH = Graph.build([ONE, TWO])
IMAGE = Image(GRAPH)
OBSERVATION = Observation(server=SERVER, rows=("one",))
INDEX = InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON t (n)")


def about(**facts):
    return replace(HEALTHY, **facts)


def seen(check):
    return check.verdict, int(check.exit_code)


PASS, WARN, FAIL = (Verdict.PASS, 0), (Verdict.WARN, 0), Verdict.FAIL


def test_the_worst_is_the_first_in_the_order_of_a_release():
    late = failed("replicas", problem("blocked", "late"))
    early = failed("rights", problem("missing-privilege", "early"))
    assert worst([late, warned("url", "x", "y"), early, passed("runs", "none")]) is early.problem
    assert worst([passed("runs", "none")]) is None


def test_fields():
    assert failed("rights", problem("missing-privilege", "why", fix="GRANT")).fields() == {
        "check": "rights",
        "verdict": "fail",
        "evidence": "why",
        "exit_code": 14,
        "fix": "GRANT",
        "problem": "missing-privilege",
    }
    assert passed("runs", "none", ["a"]).fields() == {
        "check": "runs",
        "verdict": "pass",
        "evidence": "none",
        "exit_code": 0,
        "details": ["a"],
    }


def test_image_faults_come_in_the_order_of_a_release():
    policy = Policy()
    fault = problem("bad-history", "does not compile")
    assert checks.check_image(IMAGE, [], policy).verdict is Verdict.PASS
    assert checks.check_image(IMAGE, [fault], policy).problem is fault
    empty = Image(Graph.build([]))
    assert seen(checks.check_image(empty, [], policy)) == (FAIL, 11)
    allowed = replace(policy, allow_empty_history=True)
    assert checks.check_image(empty, [], allowed).evidence == "0 revisions, head none, read by scan"
    refused = checks.check_image(IMAGE, [fault], Policy(target="nothing"))
    assert refused.problem is not None
    assert refused.problem.kind.code == "unknown-target"


def test_manifest():
    manifest = Manifest(17, ())
    assert seen(checks.check_manifest(IMAGE)) == WARN
    assert seen(checks.check_manifest(replace(IMAGE, manifest=manifest))) == PASS
    assert seen(checks.check_manifest(replace(IMAGE, manifest=manifest, warnings=("one.py has other bytes",)))) == WARN
    assert seen(checks.check_server(SERVER, replace(IMAGE, manifest=replace(manifest, postgres=15)))) == WARN
    assert seen(checks.check_server(SERVER, IMAGE)) == seen(checks.check_server(SERVER, None)) == PASS


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [("db.internal", 5432, PASS), (None, None, PASS), ("x-pooler.example", None, WARN), ("db", 6543, WARN)],
)
def test_url(host, port, expected):
    assert seen(checks.check_url("DATABASE_URL", "postgresql://…", host, port)) == expected


def test_driver_and_backup():
    assert seen(checks.check_driver(None, "DATABASE_URL")) == PASS
    missing = checks.check_driver("psycopg", "DATABASE_URL")
    assert seen(missing) == WARN
    assert missing.fix.startswith("pip install 'psycopg[binary]' ")
    fault = problem("cannot-back-up", "/nope is no folder", names={"fix": "mkdir"})
    assert seen(checks.check_backup([], None, is_due=False)) == PASS
    assert (
        checks.check_backup(["/b", "cp"], None, is_due=True).evidence == "is due before the first change, to /b and cp"
    )
    assert seen(checks.check_backup(["/b"], fault, is_due=False)) == WARN
    assert seen(checks.check_backup(["/b"], fault, is_due=True)) == (FAIL, 10)


def test_settings_and_pooler():
    assert seen(checks.check_settings(["a = 1"], [], [])) == PASS
    assert checks.check_settings([], [], ["MIGRATE_A is no setting", "MIGRATE_B is no setting"]).fix == (
        "unset MIGRATE_A MIGRATE_B"
    )
    assert seen(checks.check_pooler(SERVER)) == PASS
    assert seen(checks.check_pooler(replace(SERVER, pooled=True))) == WARN
    assert seen(checks.check_connection(SERVER)) == PASS
    assert "local socket" in checks.check_connection(replace(SERVER, address=None)).evidence


@pytest.mark.parametrize(
    ("encrypted", "offers", "address", "sslmode", "expected"),
    [
        (True, True, "10.0.0.1", "require", PASS),
        (False, True, "10.0.0.1", "disable", WARN),
        (False, True, "10.0.0.1", None, WARN),
        (False, True, None, None, PASS),
        (False, False, "10.0.0.1", None, PASS),
    ],
)
def test_tls(encrypted, offers, address, sslmode, expected):
    diagnosis = about(tls=Tls(encrypted, "TLSv1.3" if encrypted else None, offers))
    found = checks.check_tls(diagnosis, replace(SERVER, address=address), sslmode, "DATABASE_URL")
    assert seen(found) == expected
    if expected == WARN:
        assert found.fix.startswith("unset PGSSLMODE" if sslmode is None else 'export DATABASE_URL="$(')


@pytest.mark.parametrize(
    ("exists", "may_write", "may_create", "expected", "fix"),
    [
        (True, True, False, PASS, ""),
        (True, False, True, WARN, "GRANT USAGE"),
        (False, False, True, PASS, ""),
        (False, False, False, WARN, 'CREATE SCHEMA migrate AUTHORIZATION "me";'),
    ],
)
def test_ledger(exists, may_write, may_create, expected, fix):
    found = checks.check_ledger(about(role=Role("me", False, may_create, exists, may_write)))
    assert seen(found) == expected
    assert found.fix.startswith(fix)


def test_timeouts():
    assert seen(checks.check_timeouts(HEALTHY, "app")) == PASS
    found = checks.check_timeouts(about(timeouts=(Timeout("statement_timeout", "3s", "user"),)), 'a"b')
    assert found.fix == 'ALTER ROLE "me" IN DATABASE "a""b" SET statement_timeout = 0;'


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, PASS),
        ({"kind": None}, PASS),
        ({"kind": "v", "has_key": False}, PASS),
        ({"length": None}, PASS),
        ({"has_key": False}, WARN),
        ({"column_type": None}, (FAIL, 13)),
        ({"kind": "m"}, (FAIL, 13)),
    ],
)
def test_version_table(facts, expected):
    diagnosis = about(version_table=replace(VERSIONS, **facts))
    assert seen(checks.check_version_table(diagnosis, ("one",), None)) == expected


def test_a_version_table_without_room_for_what_is_pending():
    narrow = too_narrow(ONE, 2, "public", "alembic_version", is_there=True)
    assert seen(checks.check_version_table(HEALTHY, (), narrow)) == (FAIL, 11)


def test_tables():
    assert checks.check_tables(HEALTHY).evidence == "1 table beside the version table"
    second = replace(VERSIONS, others=("app.alembic_version",))
    assert "is the one that is read" in checks.check_tables(about(version_table=second)).evidence
    assert "is not there" in checks.check_tables(about(version_table=replace(second, kind=None))).evidence


def test_state():
    policy = Policy()
    pending = State(Behind(("one",), (TWO,)))
    found = checks.check_state(IMAGE, OBSERVATION, pending, policy)
    assert (found.evidence, found.details) == ("behind (one), 1 revision pending: two", ("two  second  (two.py)",))
    assert "nothing to do" in checks.check_state(IMAGE, OBSERVATION, State(AtHead(("two",))), policy).evidence
    unknown = State(Unknown(("gone",), ("gone",)))
    assert seen(checks.check_state(IMAGE, OBSERVATION, unknown, policy)) == (FAIL, 15)
    newer = State(Ahead(("new",), ("new",), ()))
    assert "newer" in checks.check_state(IMAGE, OBSERVATION, newer, Policy(ahead=AheadPolicy.ACCEPT)).evidence


def findings(state, policy=None, image=IMAGE, observation=OBSERVATION):
    return {check.name: check for check in checks.check_findings(image, observation, state, policy or Policy())}


BEHIND, AT_HEAD = Behind(("one",), (TWO,)), AtHead(("two",))
STEP = Unfinished("run1", 1, "upgrade", "two", "2026-01-01", committed=True)


def test_no_findings():
    found = findings(State(AT_HEAD))
    assert {name: check.verdict for name, check in found.items()} == dict.fromkeys(
        ["residue", "edited", "drift", "breaking"], Verdict.PASS
    )
    assert "no manifest" in found["drift"].evidence


@pytest.mark.parametrize(
    ("position", "expected"),
    [(BEHIND, (FAIL, 15)), (AT_HEAD, WARN), (Unknown(("gone",), ("gone",)), WARN)],
)
def test_residue(position, expected):
    leftover = replace(INDEX, name="ix_ccnew")
    found = findings(State(position, (Residue((INDEX, leftover), (STEP,)),)))["residue"]
    assert seen(found) == expected
    assert found.fix.split("   #")[0] == "migrate repair --yes"


def test_what_is_residue_is_not_told_as_drift_too():
    well = {"table t": "table", "index t.ix": "btree (a)"}
    image = replace(IMAGE, manifest=build(17, GRAPH, {"one": well, "two": well}))
    invalid = {**well, "index t.ix": "btree (a) invalid"}
    for schema, verdict in ((invalid, PASS), ({**invalid, "index t.hand": "btree (b)"}, WARN)):
        state = State(AT_HEAD, (Residue((INDEX,), ()), Drifted(compare(well, schema, same_major=True))))
        observation = replace(OBSERVATION, schema=schema)
        found = findings(state, image=image, observation=observation)["drift"]
        assert seen(found) == verdict
        assert "REINDEX" not in found.fix
        assert "t.ix is" not in found.evidence


def test_a_step_that_left_nothing():
    begun = replace(OBSERVATION, unfinished=(replace(STEP, committed=False),))
    found = findings(State(BEHIND), observation=begun)["residue"]
    assert (seen(found), "two (run run1)" in found.evidence) == (WARN, True)


def test_edited():
    found = findings(State(BEHIND, (Edited((ONE,)),)))["edited"]
    assert seen(found) == (FAIL, 11)
    assert found.fix, "the catalogue's own"
    assert seen(findings(State(AT_HEAD, (Edited((ONE,)),)))["edited"]) == WARN


def test_drift():
    expected = {"table t": "table", "column t.n": "integer"}
    live = {"table t": "table"}
    image = replace(IMAGE, manifest=build(17, GRAPH, {"one": expected, "two": expected}))
    drifted = Drifted(compare(expected, live, same_major=True))
    observation = replace(OBSERVATION, schema=live)
    found = findings(State(BEHIND, (drifted,)), image=image, observation=observation)["drift"]
    assert (seen(found), found.fix) == ((FAIL, 17), "ALTER TABLE t ADD COLUMN n integer;")
    lenient = Policy(drift=Judgement.IGNORE)
    assert seen(findings(State(BEHIND, (drifted,)), lenient, image, observation)["drift"]) == PASS
    unknown = Unknown(("gone",), ("gone",))
    assert seen(findings(State(unknown, (drifted,)), image=image, observation=observation)["drift"]) == WARN
    assert "is unknown" in findings(State(unknown), image=image)["drift"].evidence
    assert "what the manifest says" in findings(State(AT_HEAD), image=image)["drift"].evidence
    accepted = State(AT_HEAD, (), ("column t.a is bigint, the manifest says integer",))
    assert "but for 1 accepted difference: column t.a is" in findings(accepted, image=image)["drift"].evidence


def test_breaking():
    before = {"table t": "table", "column t.n": "integer"}
    image = replace(IMAGE, manifest=build(17, GRAPH, {"one": before, "two": {"table t": "table"}}))
    broken = Breaking(((serves(before, {"table t": "table"})[0], TWO),))
    state = State(BEHIND, (broken,))
    assert seen(findings(state, image=image)["breaking"]) == WARN
    assert seen(findings(state, Policy(breaking=BreakingPolicy.REFUSE), image)["breaking"]) == (FAIL, 12)
    assert seen(findings(state, Policy(breaking=BreakingPolicy.ALLOW), image)["breaking"]) == PASS


def test_what_is_not_compared_is_not_said_to_break_nothing():
    behind = State(BEHIND)
    for policy in (Policy(), Policy(breaking=BreakingPolicy.ALLOW)):
        found = findings(behind, policy)["breaking"]
        assert (seen(found), found.evidence) == (PASS, "not compared: there is no manifest")
    refusing = Policy(breaking=BreakingPolicy.REFUSE)
    found = findings(behind, refusing)["breaking"]
    assert (seen(found), found.fix.split("   #")[0]) == ((FAIL, 10), "migrate manifest")
    assert seen(checks.check_state(IMAGE, OBSERVATION, behind, refusing)) == PASS
    assert seen(findings(State(AT_HEAD), refusing)["breaking"]) == PASS


def table(**facts):
    return replace(
        Table("t", "them", owner_is_superuser=False, owned=True, size=1024, altered=True, hides_rows=False), **facts
    )


@pytest.mark.parametrize(
    ("facts", "fix"),
    [
        ({"owned": False}, 'GRANT them TO "me";'),
        ({"owned": False, "owner_is_superuser": True}, 'ALTER TABLE t OWNER TO "me";'),
        ({}, ""),
        ({"owned": False, "altered": False}, ""),
    ],
)
def test_ownership(facts, fix):
    found = checks.check_ownership(about(tables=(table(**facts),)))
    assert (seen(found), found.fix) == ((FAIL, 14) if fix else PASS, fix)


def test_row_security():
    assert seen(checks.check_row_security(about(tables=(table(),)))) == PASS
    found = checks.check_row_security(about(tables=(table(hides_rows=True),)))
    assert seen(found) == WARN
    assert found.fix.startswith('ALTER ROLE "me" BYPASSRLS;')


@pytest.mark.parametrize(
    ("installed", "available", "trusted", "superuser", "expected"),
    [
        (True, True, False, False, PASS),
        (False, False, False, True, (FAIL, 13)),
        (False, True, False, False, (FAIL, 14)),
        (False, True, True, False, PASS),
        (False, True, False, True, PASS),
    ],
)
def test_extensions(installed, available, trusted, superuser, expected):
    role = replace(HEALTHY.role, is_superuser=superuser)
    diagnosis = about(role=role, extensions=(Extension("postgis", installed, available, trusted),))
    assert seen(checks.check_extensions(diagnosis)) == expected


@pytest.mark.parametrize(
    ("age_s", "relations", "expected"),
    [(3.0, ("t",), (FAIL, 22)), (None, ("t",), WARN), (61.0, (), WARN), (3.0, (), PASS)],
)
def test_transactions(age_s, relations, expected):
    found = checks.check_transactions(about(transactions=(Transaction(7, "", "active", age_s, relations),)), Limits())
    assert seen(found) == expected


def test_prepared():
    lost = Prepared("it's", "me", 4000.0, ())
    assert seen(checks.check_prepared(HEALTHY)) == PASS
    found = checks.check_prepared(about(prepared=(lost,)))
    assert (seen(found), found.fix) == (WARN, "ROLLBACK PREPARED 'it''s';   -- or COMMIT PREPARED")
    assert seen(checks.check_prepared(about(prepared=(replace(lost, relations=("t",)),)))) == (FAIL, 22)


def test_vacuums():
    other, ours = Vacuum(7, "other", 90.0, touched=False), Vacuum(8, "t", 10.0, touched=True)
    assert seen(checks.check_vacuums(HEALTHY)) == PASS
    assert seen(checks.check_vacuums(about(vacuums=(other,)))) == WARN
    found = checks.check_vacuums(about(vacuums=(other, ours)))
    assert (seen(found), "other" in found.evidence) == ((FAIL, 22), False)


def test_replicas():
    assert seen(checks.check_replicas(HEALTHY)) == PASS
    assert seen(checks.check_replicas(about(waits_for="elsewhere"))) == (FAIL, 22)
    well = Replica("a", None, None, None)
    assert "a (state hidden)" in checks.check_replicas(about(replicas=(well,))).evidence
    found = checks.check_replicas(about(replicas=(Replica("b", "streaming", "async", 1 << 30),)))
    assert (seen(found), "b is 1 GB behind" in found.evidence) == (WARN, True)
    found = checks.check_replicas(about(slots=(Slot("s", 1 << 30), Slot("t", 0), Slot("u", None))))
    assert (seen(found), found.fix) == (WARN, "SELECT pg_drop_replication_slot('s');   -- if its reader is gone")


def test_event_triggers_sizes_and_runs():
    assert seen(checks.check_event_triggers(HEALTHY)) == seen(checks.check_sizes(HEALTHY)) == PASS
    assert seen(checks.check_runs(HEALTHY)) == PASS
    assert seen(checks.check_event_triggers(about(event_triggers=(EventTrigger("e", "ddl_command_end", "f"),)))) == WARN
    assert seen(checks.check_sizes(about(tables=(table(), table(size=2 << 30))))) == WARN
    assert checks.check_runs(about(runs=("migrate:guard:abc",))).evidence == "another run is at work: abc"


@pytest.mark.parametrize(("seconds", "said"), [(None, "0 s"), (59.9, "59 s"), (61, "1 min"), (7260, "2 h 1 min")])
def test_age(seconds, said):
    assert checks.age(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 bytes"), (2048, "2 kB"), (3 << 20, "3 MB"), (1 << 40, "1 TB"), (1 << 51, "2048 TB")]
)
def test_size(number, said):
    assert checks.size(number) == said


def test_long_lists_are_cut():
    assert checks.check_settings([], [f"s{n}" for n in range(20)], []).evidence.endswith("s7 and 12 more")


def test_what_cannot_be_compared_is_told_with_the_right_that_is_missing():
    blind = Incomparable("app", ("extensions",))
    found = findings(State(BEHIND, (blind,)))["drift"]
    assert seen(found) == (FAIL, 14)
    assert found.fix == "GRANT USAGE ON SCHEMA extensions TO app;"


def test_platform_files():
    assert seen(checks.check_platform_files([], [])) == PASS
    assert seen(checks.check_platform_files([], [".railway/railway.ts"])) == PASS
    both = checks.check_platform_files(["railway.json"], [".railway/railway.ts"])
    assert seen(both) == PASS
    assert "does not read railway.json from 2026-12-01 on" in both.evidence
    alone = checks.check_platform_files(["railway.json"], [])
    assert seen(alone)[0] is Verdict.WARN
    assert "deploys with no migration" in alone.evidence
    assert alone.fix.startswith("migrate init railway ")


def test_drift_that_is_another_revisions_schema_is_adopted():
    stale = Drifted(compare({"table t": ""}, {}, same_major=True), exact=())
    assert findings(State(AT_HEAD, (stale,)))["drift"].fix.startswith("migrate adopt   # records base,")


def test_a_partitioned_index_is_told_with_the_statements_for_its_parts():
    parted = replace(INDEX, parts_sql="ALTER INDEX ix ATTACH PARTITION ix_1;")
    assert findings(State(BEHIND, (Residue((parted,), ()),)))["residue"].fix == parted.parts_sql
