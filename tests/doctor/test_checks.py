"""The checks of `migrate doctor` on plain facts; tests/cli/test_doctor.py has them on real databases.

Every example stands in one table, so that each check is seen to pass, and to warn and to fail if its record says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from migrate.core.decide.foreseen import Heavy, Unanswered, Unforeseen, Unmet
from migrate.core.decide.observation import AppliedRevision, InvalidIndex, Observation, Server, Unfinished
from migrate.core.decide.policy import AheadPolicy, BreakingPolicy, DataPolicy, HeavyPolicy, Judgement, Limits, Policy
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Incomparable,
    Lacking,
    Residue,
    State,
    Unknown,
)
from migrate.core.decide.widths import too_narrow
from migrate.core.foresee.effects import Blocks, Rewrite
from migrate.core.foresee.live import Against, LiveEffect, LiveNeed, NotKnown, TableSize
from migrate.core.foresee.needs import Need, NoNull
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.core.manifest.manifest import Manifest
from migrate.core.problems import advice, problem, sql
from migrate.core.schema.compatibility import serves
from migrate.core.schema.differences import compare
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.doctor.check import Check, Passed, Skipped, Verdict, Warned, check
from migrate.doctor.checks import CHECKS, pending, position, project, server, worst
from migrate.doctor.facts import (
    AgainstImage,
    BackupFacts,
    Configuration,
    Diagnosis,
    Driver,
    EventTrigger,
    Examined,
    Extension,
    GivenSettings,
    HistoryFacts,
    OpenTransaction,
    PlatformFiles,
    Prepared,
    Reached,
    Replica,
    Role,
    Slot,
    Table,
    Timeout,
    Tls,
    Vacuum,
    VersionTable,
)
from migrate.doctor.wording import age

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
GRAPH = Graph([ONE, TWO])
IMAGE = Image(GRAPH)
OBSERVATION = Observation(server=SERVER, rows=("one",))
RECORDED = replace(OBSERVATION, ledger={"one": AppliedRevision("one", (), "one.py", "1")})
INDEX = InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON t (n)")


TARGET = Target(DatabaseUrl.parse("postgresql://me@10.0.0.1/app"), "DATABASE_URL")
MANIFEST = Manifest(17, ())
PASS, SKIP, WARN = ("pass", 0), ("skip", 0), ("warn", 0)


def fail(code):
    return ("fail", code)


def about(*, url="postgresql://me@10.0.0.1/app", address="10.0.0.1", database="app", rows=("one",), **facts):
    there = replace(SERVER, address=address, database=database)
    target = replace(TARGET, url=DatabaseUrl.parse(url))
    return Examined(there, replace(HEALTHY, **facts), target, Limits(), rows)


def role(**facts):
    return replace(HEALTHY.role, **facts)


def versions(**facts):
    return about(version_table=replace(VERSIONS, **facts))


def compared(state, policy=None, image=IMAGE, observation=OBSERVATION):
    return AgainstImage(image, observation, state, policy or Policy())


def table(**facts):
    whole = Table("t", "them", owner_is_superuser=False, owned=True, size=1024, altered=True, hides_rows=False)
    return replace(whole, **facts)


def tables(**facts):
    return about(tables=(table(**facts),))


def extension(*, superuser=False, **facts):
    needed = replace(Extension("postgis", installed=False, available=True, trusted=False), **facts)
    return about(role=role(is_superuser=superuser), extensions=(needed,))


def transaction(age_s, *relations):
    return about(transactions=(OpenTransaction(7, "", "active", age_s, relations),))


def encryption(*, encrypted=False, offers=True, **facts):
    return about(tls=Tls(encrypted, "TLSv1.3" if encrypted else None, offers), **facts)


BEHIND, AT_HEAD = Behind(("one",), (TWO,)), AtHead(("two",))
GONE = Unknown(("gone",), ("gone",))
STEP = Unfinished("run1", 1, "upgrade", "two", committed=True)
BEGUN = replace(OBSERVATION, unfinished=(replace(STEP, committed=False),))
LEFT = Residue((replace(INDEX, name="ix_ccnew"), INDEX), (STEP,))
PARTED = replace(INDEX, parts_sql="ALTER INDEX ix ATTACH PARTITION ix_1;")

WHOLE, LESS = {"table t": "table", "column t.n": "integer"}, {"table t": "table"}
WITH_COLUMN = replace(IMAGE, manifest=build(17, GRAPH, {"one": WHOLE, "two": WHOLE}))
WITHOUT_COLUMN = replace(OBSERVATION, schema=LESS)
DRIFTED = Drifted(compare(WHOLE, LESS, same_major=True))
STALE_ROWS = Drifted(compare({"table t": ""}, {}, same_major=True), exact=())
ACCEPTED = State(AT_HEAD, (), ("column t.a is bigint, the manifest says integer",))

DROPPING = replace(IMAGE, manifest=build(17, GRAPH, {"one": WHOLE, "two": LESS}))
BROKEN = State(BEHIND, (Breaking(((serves(WHOLE, LESS)[0], TWO),)),))
NO_NULL = Need(NoNull("t", "a"), proven=True)
UNMET = Unmet((LiveNeed(TWO, NO_NULL, Against(11, "SELECT 1")),))
UNANSWERED = Unanswered((LiveNeed(TWO, NO_NULL, NotKnown("no answer")),))
UNSAID = Unforeseen((TWO,), (TWO,))
HEAVY = Heavy((LiveEffect(TWO, Rewrite("t", Blocks.ALL), TableSize(2 << 30)),), 1 << 30)
DATA, OVER = Policy(data=DataPolicy.REFUSE), Policy(heavy=HeavyPolicy.REFUSE)

NARROW = too_narrow(ONE, 2, "public", "alembic_version", is_there=True)
FAULT = problem("bad-history", "does not compile")
NO_PLACE = problem("cannot-back-up", "/nope is not a folder", names={"fix": "mkdir"})
MALFORMED = problem("bad-setting", "1 setting is malformed", names={"settings": "unset A"})
SMALL, OTHER, OURS = table(), Vacuum(7, "other", 90.0, touched=False), Vacuum(8, "t", 10.0, touched=True)
LOST = Prepared("it's", "me", 4000.0, ())


@dataclass(frozen=True)
class Example:
    """What a check comes to: the verdict with the exit code, and what evidence and fix say."""

    check: Check
    name: str
    facts: object
    expected: tuple[str, int]
    evidence: str = ""  # a part of it
    fix: str = ""  # its beginning


EXAMPLES = [
    Example(project.settings, "known", GivenSettings(("a = 1",), (), ()), PASS, "0 of 1 setting set"),
    Example(project.settings, "many", GivenSettings((), tuple(f"s{n}" for n in range(20)), ()), PASS, "s7 and 12 more"),
    Example(
        project.settings,
        "looks like one",
        GivenSettings((), (), ("MIGRATE_A is no setting", "MIGRATE_B is no setting")),
        WARN,
        fix="unset MIGRATE_A MIGRATE_B",
    ),
    Example(project.settings, "malformed", MALFORMED, fail(10), "1 setting is malformed"),
    Example(project.url, "of a host", TARGET, PASS, "DATABASE_URL = postgresql://"),
    Example(project.url, "of a socket", replace(TARGET, url=DatabaseUrl.parse("postgresql:///app")), PASS),
    Example(project.url, "pooler's host", replace(TARGET, url=DatabaseUrl.parse("postgresql://x-pooler.a/b")), WARN),
    Example(project.url, "pooler's port", replace(TARGET, url=DatabaseUrl.parse("postgresql://a:6543/b")), WARN),
    Example(project.url, "none", problem("no-database-url", "none"), fail(10)),
    Example(
        project.configuration,
        "read",
        Configuration("alembic.ini", "env.py", "versions"),
        PASS,
        "alembic.ini, env.py env.py, version table versions",
    ),
    Example(project.configuration, "no url", Configuration("a", "b", None), PASS, "not known without a URL"),
    Example(project.configuration, "none", problem("no-alembic-config", "none"), fail(10)),
    Example(project.driver, "installed", Driver(None, "DATABASE_URL"), PASS, "installed"),
    Example(
        project.driver,
        "missing",
        Driver("psycopg", "DATABASE_URL"),
        WARN,
        "SQLAlchemy will import psycopg for DATABASE_URL",
        "pip install 'psycopg[binary]' ",
    ),
    Example(project.image, "well", HistoryFacts(IMAGE, (), Policy()), PASS),
    Example(project.image, "does not compile", HistoryFacts(IMAGE, (FAULT,), Policy()), fail(11), "does not compile"),
    Example(project.image, "empty", HistoryFacts(Image(Graph([])), (), Policy()), fail(11)),
    Example(
        project.image,
        "empty on purpose",
        HistoryFacts(Image(Graph([])), (), Policy(allow_empty_history=True)),
        PASS,
        "0 revisions, head none, read by scan",
    ),
    Example(
        project.image, "target first, as in a release", HistoryFacts(IMAGE, (FAULT,), Policy(target="x")), fail(11), "x"
    ),
    Example(project.manifest, "none", IMAGE, WARN),
    Example(project.manifest, "well", replace(IMAGE, manifest=MANIFEST), PASS),
    Example(project.manifest, "other bytes", replace(IMAGE, manifest=MANIFEST, warnings=("one.py has",)), WARN),
    Example(project.manifest, "malformed", problem("bad-manifest", "line 3", names={"fix": ""}), fail(11)),
    Example(project.platform_files, "none", PlatformFiles((), ()), PASS, "none is deprecated"),
    Example(project.platform_files, "lasting", PlatformFiles((), (".railway/railway.ts",)), PASS, "is what Railway"),
    Example(
        project.platform_files,
        "both",
        PlatformFiles(("railway.json",), (".railway/railway.ts",)),
        PASS,
        "does not read railway.json from 2026-12-01 on",
    ),
    Example(
        project.platform_files,
        "ending alone",
        PlatformFiles(("railway.json",), ()),
        WARN,
        "deploys with no migration",
        "migrate init railway ",
    ),
    Example(server.connection, "by network", SERVER, PASS, "at 10.0.0.1 as role me"),
    Example(server.connection, "by socket", replace(SERVER, address=None), PASS, "local socket"),
    Example(server.connection, "refused", problem("unreachable", "refused"), fail(20), "refused"),
    Example(server.server, "no image", Reached(SERVER, None), PASS),
    Example(server.server, "no manifest", Reached(SERVER, IMAGE), PASS),
    Example(server.server, "the manifest's major version", Reached(SERVER, replace(IMAGE, manifest=MANIFEST)), PASS),
    Example(
        server.server, "another major", Reached(SERVER, replace(IMAGE, manifest=replace(MANIFEST, postgres=15))), WARN
    ),
    Example(server.server, "standby", problem("not-writable", "a standby", names={"fix": ""}), fail(13)),
    Example(server.pooler, "none", SERVER, PASS),
    Example(server.pooler, "one", replace(SERVER, pooled=True), WARN),
    Example(server.rights, "all", SERVER, PASS),
    Example(
        server.rights,
        "none to create",
        replace(SERVER, may_create=False),
        WARN,
        fix="GRANT CREATE ON SCHEMA public TO me;",
    ),
    Example(server.rights, "none to write", problem("missing-privilege", "none", names={"grant": ""}), fail(14)),
    Example(server.tls, "encrypted", encryption(encrypted=True), PASS, "encrypted with TLSv1.3"),
    Example(
        server.tls,
        "turned off in the URL",
        encryption(url="postgresql://me@h/d?sslmode=disable"),
        WARN,
        fix='export DATABASE_URL="$(',
    ),
    Example(server.tls, "turned off elsewhere", encryption(), WARN, fix="unset PGSSLMODE"),
    Example(server.tls, "socket", encryption(address=None), PASS, "over the local socket"),
    Example(server.tls, "not offered", encryption(offers=False), PASS, "the server offers no TLS"),
    Example(server.ledger, "can be written", about(role=role(may_create_schemas=False)), PASS),
    Example(
        server.ledger,
        "cannot be written",
        about(role=role(may_write_ledger=False)),
        WARN,
        fix="GRANT USAGE, CREATE ON SCHEMA migrate TO me;",
    ),
    Example(
        server.ledger, "not there yet", about(role=role(ledger_exists=False, may_write_ledger=False)), PASS, "none yet"
    ),
    Example(
        server.ledger,
        "cannot be made",
        about(role=role(may_create_schemas=False, ledger_exists=False, may_write_ledger=False)),
        WARN,
        fix="CREATE SCHEMA migrate AUTHORIZATION me;",
    ),
    Example(server.timeouts, "none", about(), PASS),
    Example(
        server.timeouts,
        "one",
        about(database='a"b', timeouts=(Timeout("statement_timeout", "3s", "user"),)),
        WARN,
        fix='ALTER ROLE me IN DATABASE "a""b" SET statement_timeout = 0;',
    ),
    Example(position.version_table, "with a key", about(), PASS, "has 1 row: one"),
    Example(position.version_table, "not there", versions(kind=None), PASS),
    Example(position.version_table, "view", versions(kind="v", has_key=False), PASS),
    Example(position.version_table, "text", versions(length=None), PASS),
    Example(position.version_table, "no key", versions(has_key=False), WARN),
    Example(position.version_table, "no column", versions(column_type=None), fail(13)),
    Example(position.version_table, "materialized view", versions(kind="m"), fail(13)),
    Example(position.version_table, "too narrow for what is pending", NARROW, fail(11)),
    Example(position.tables, "one", about(), PASS, "1 table beside the version table"),
    Example(
        position.tables, "second version table", versions(others=("app.alembic_version",)), WARN, "the one that is read"
    ),
    Example(
        position.tables, "only elsewhere", versions(kind=None, others=("app.alembic_version",)), WARN, "is not there"
    ),
    Example(position.state, "behind", compared(State(BEHIND)), PASS, "behind (one), 1 revision pending: two"),
    Example(position.state, "at head", compared(State(AT_HEAD)), PASS, "nothing to do"),
    Example(position.state, "unknown", compared(State(GONE)), fail(15)),
    Example(
        position.state,
        "ahead",
        compared(State(Ahead(("new",), ("new",), ())), Policy(ahead=AheadPolicy.ACCEPT)),
        PASS,
        "newer",
    ),
    Example(position.residue, "none", compared(State(AT_HEAD)), PASS),
    Example(position.residue, "pending", compared(State(BEHIND, (LEFT,))), fail(15), fix="migrate repair --yes "),
    Example(position.residue, "at head", compared(State(AT_HEAD, (LEFT,))), WARN, fix="migrate repair --yes "),
    Example(position.residue, "unknown", compared(State(GONE, (LEFT,))), WARN, fix="migrate repair --yes "),
    Example(
        position.residue,
        "partitioned index: the statements for its parts",
        compared(State(BEHIND, (Residue((PARTED,), ()),))),
        fail(15),
        fix=PARTED.parts_sql,
    ),
    Example(
        position.residue, "step that left nothing", compared(State(BEHIND), observation=BEGUN), WARN, "two (run run1)"
    ),
    Example(position.edited, "none", compared(State(AT_HEAD), observation=RECORDED), PASS),
    Example(position.edited, "no ledger", compared(State(AT_HEAD)), SKIP, "not compared"),
    Example(position.edited, "pending", compared(State(BEHIND, (Edited((ONE,)),))), fail(11), fix="git log "),
    Example(position.edited, "at head", compared(State(AT_HEAD, (Edited((ONE,)),))), WARN),
    Example(position.drift, "no manifest", compared(State(AT_HEAD)), SKIP, "no manifest"),
    Example(
        position.drift,
        "pending",
        compared(State(BEHIND, (DRIFTED,)), None, WITH_COLUMN, WITHOUT_COLUMN),
        fail(17),
        fix="ALTER TABLE t ADD COLUMN n integer;",
    ),
    Example(
        position.drift,
        "ignored",
        compared(State(BEHIND, (DRIFTED,)), Policy(drift=Judgement.IGNORE), WITH_COLUMN, WITHOUT_COLUMN),
        PASS,
        "policy lets it be",
    ),
    Example(position.drift, "unknown", compared(State(GONE, (DRIFTED,)), None, WITH_COLUMN, WITHOUT_COLUMN), WARN),
    Example(position.drift, "no schema is known", compared(State(GONE), image=WITH_COLUMN), SKIP, "is unknown"),
    Example(
        position.drift, "none", compared(State(AT_HEAD), image=WITH_COLUMN), PASS, "the schema matches the manifest"
    ),
    Example(
        position.drift,
        "accepted",
        compared(ACCEPTED, image=WITH_COLUMN),
        PASS,
        "but for 1 accepted difference: column t.a is",
    ),
    Example(
        position.drift,
        "another revision's schema is adopted",
        compared(State(AT_HEAD, (STALE_ROWS,))),
        WARN,
        fix="migrate adopt   # records base,",
    ),
    Example(
        position.drift,
        "not compared for a right that is missing",
        compared(State(BEHIND, (Incomparable("app", ("extensions",)),))),
        fail(14),
        fix="GRANT USAGE ON SCHEMA extensions TO app;",
    ),
    Example(
        position.drift,
        "not compared for a sibling",
        compared(State(BEHIND, (Lacking((("two", "one"),)),))),
        WARN,
        "revision two is applied without revision one",
    ),
    Example(position.data, "asked", compared(State(BEHIND), image=DROPPING), PASS, "the rows are as"),
    Example(
        position.data,
        "against a proven need",
        compared(State(BEHIND, (UNMET,)), image=DROPPING),
        fail(18),
        "a: 11 rows break it",
    ),
    Example(position.data, "warned", compared(State(BEHIND, (UNMET,)), Policy(data=DataPolicy.WARN), DROPPING), WARN),
    Example(position.data, "not answered", compared(State(BEHIND, (UNANSWERED,)), image=DROPPING), WARN, "not known"),
    Example(
        position.data, "not said", compared(State(BEHIND, (UNSAID,)), image=DROPPING), PASS, "does not say the needs"
    ),
    Example(position.data, "asked for", compared(State(BEHIND, (UNSAID,)), DATA, DROPPING), fail(12)),
    Example(position.data, "no manifest", compared(State(BEHIND)), SKIP, "not asked"),
    Example(position.data, "off", compared(State(BEHIND), Policy(data=DataPolicy.OFF), DROPPING), SKIP, "data=off"),
    Example(position.data, "no position", compared(State(GONE), image=DROPPING), SKIP, "the database is unknown"),
    Example(position.heavy, "no position", compared(State(GONE), image=DROPPING), SKIP, "the database is unknown"),
    Example(position.breaking, "no position", compared(State(GONE), image=DROPPING), SKIP, "the database is unknown"),
    Example(pending.ownership, "not placed", replace(about(), unplaced="the image has a fault"), SKIP, "has a fault"),
    Example(pending.row_security, "not placed", replace(about(), unplaced="the image has a fault"), SKIP),
    Example(pending.sizes, "not placed", replace(about(), unplaced="the image has a fault"), SKIP),
    Example(position.data, "no manifest, asked for", compared(State(BEHIND), DATA), fail(10), fix="migrate manifest "),
    Example(position.heavy, "nothing", compared(State(BEHIND), image=DROPPING), PASS, "nothing that is pending"),
    Example(
        position.heavy, "refused before", compared(State(BEHIND, (DRIFTED,)), image=DROPPING), SKIP, "not looked at"
    ),
    Example(position.data, "refused before", compared(State(BEHIND, (DRIFTED,)), image=DROPPING), SKIP, "not asked"),
    Example(position.heavy, "large", compared(State(BEHIND, (HEAVY,)), image=DROPPING), WARN, "of t, 2 GB: rewrite"),
    Example(position.heavy, "refused", compared(State(BEHIND, (HEAVY,)), OVER, DROPPING), fail(12)),
    Example(position.heavy, "not said", compared(State(BEHIND, (UNSAID,)), image=DROPPING), PASS, "the effects"),
    Example(position.heavy, "asked for", compared(State(BEHIND, (UNSAID,)), OVER, DROPPING), fail(12)),
    Example(position.heavy, "no manifest", compared(State(BEHIND)), SKIP, "not known"),
    Example(position.heavy, "no manifest, asked for", compared(State(BEHIND), OVER), fail(10), fix="migrate manifest "),
    Example(position.breaking, "none", compared(State(AT_HEAD)), PASS, "nothing that is pending takes anything"),
    Example(position.breaking, "by default", compared(BROKEN, image=DROPPING), WARN),
    Example(
        position.breaking,
        "refused",
        compared(BROKEN, Policy(breaking=BreakingPolicy.REFUSE), DROPPING),
        fail(12),
    ),
    Example(position.breaking, "allowed", compared(BROKEN, Policy(breaking=BreakingPolicy.ALLOW), DROPPING), PASS),
    Example(position.breaking, "no manifest", compared(State(BEHIND)), SKIP, "not compared: there is no manifest"),
    Example(
        position.breaking,
        "no manifest, refused",
        compared(State(BEHIND), Policy(breaking=BreakingPolicy.REFUSE)),
        fail(10),
        fix="migrate manifest ",
    ),
    Example(
        position.state,
        "what may break is a check of its own",
        compared(State(BEHIND), Policy(breaking=BreakingPolicy.REFUSE)),
        PASS,
    ),
    Example(
        position.breaking,
        "no manifest, refused, nothing pending",
        compared(State(AT_HEAD), Policy(breaking=BreakingPolicy.REFUSE)),
        PASS,
    ),
    Example(position.backup, "no place", BackupFacts((), None, is_due=False), PASS),
    Example(
        position.backup,
        "due",
        BackupFacts(("/b", "cp"), None, is_due=True),
        PASS,
        "is due before the first change, to /b and cp",
    ),
    Example(position.backup, "impossible, not due", BackupFacts(("/b",), NO_PLACE, is_due=False), WARN, fix="mkdir"),
    Example(position.backup, "impossible and due", BackupFacts(("/b",), NO_PLACE, is_due=True), fail(10), fix="mkdir"),
    Example(pending.ownership, "owned", tables(), PASS),
    Example(pending.ownership, "not owned", tables(owned=False), fail(14), fix="GRANT them TO me;"),
    Example(
        pending.ownership,
        "a superuser's",
        tables(owned=False, owner_is_superuser=True),
        fail(14),
        fix="ALTER TABLE t OWNER TO me;",
    ),
    Example(pending.ownership, "not altered", tables(owned=False, altered=False), PASS),
    Example(pending.row_security, "none", tables(), PASS),
    Example(pending.row_security, "bound", tables(hides_rows=True), WARN, fix="ALTER ROLE me BYPASSRLS;"),
    Example(pending.extensions, "there", extension(installed=True), PASS, "1 needed, 1 there, 0 to be installed"),
    Example(pending.extensions, "the server lacks it", extension(available=False, superuser=True), fail(13)),
    Example(pending.extensions, "only for superusers", extension(), fail(14)),
    Example(pending.extensions, "trusted", extension(trusted=True), PASS, "1 to be installed"),
    Example(pending.extensions, "as a superuser", extension(superuser=True), PASS),
    Example(pending.transactions, "none", about(), PASS),
    Example(pending.transactions, "in the way", transaction(3.0, "t"), fail(22)),
    Example(pending.transactions, "hidden", transaction(None, "t"), WARN, fix="GRANT pg_read_all_stats TO me;"),
    Example(pending.transactions, "old", transaction(61.0), WARN),
    Example(pending.transactions, "young", transaction(3.0), PASS),
    Example(pending.prepared_transactions, "none", about(), PASS),
    Example(
        pending.prepared_transactions,
        "elsewhere",
        about(prepared=(LOST,)),
        WARN,
        fix="ROLLBACK PREPARED 'it''s';   -- or COMMIT PREPARED",
    ),
    Example(pending.prepared_transactions, "in the way", about(prepared=(replace(LOST, relations=("t",)),)), fail(22)),
    Example(pending.vacuum, "none", about(), PASS),
    Example(pending.vacuum, "elsewhere", about(vacuums=(OTHER,)), WARN),
    Example(pending.vacuum, "in the way: the others are not told", about(vacuums=(OTHER, OURS)), fail(22), "on t ("),
    Example(pending.replicas, "none", about(), PASS),
    Example(pending.replicas, "synchronous and not there", about(waits_for="elsewhere"), fail(22)),
    Example(pending.replicas, "hidden", about(replicas=(Replica("a", None, None, None),)), PASS, "a (state hidden)"),
    Example(
        pending.replicas,
        "lags",
        about(replicas=(Replica("b", "streaming", "async", 1 << 30),)),
        WARN,
        "b is 1 GB behind",
        "SELECT pg_wal_replay_resume();",
    ),
    Example(
        pending.replicas,
        "slot",
        about(slots=(Slot("s", 1 << 30), Slot("t", 0), Slot("u", None))),
        WARN,
        fix="SELECT pg_drop_replication_slot('s');   -- if its reader is gone",
    ),
    Example(pending.event_triggers, "none", about(), PASS),
    Example(pending.event_triggers, "one", about(event_triggers=(EventTrigger("e", "ddl_command_end", "f"),)), WARN),
    Example(pending.sizes, "none", about(), PASS),
    Example(pending.sizes, "large", about(tables=(SMALL, table(size=2 << 30))), WARN),
    Example(pending.runs, "none", about(), PASS),
    Example(pending.runs, "one", about(runs=("migrate:guard:abc",)), WARN, "another run is at work: abc"),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each.check.name}: {each.name}")
def test_a_check_judges(example):
    found = example.check(example.facts)
    fields = found.fields()
    assert (fields["verdict"], fields["exit_code"]) == example.expected, found
    assert example.evidence in found.evidence
    assert str(found.fix).startswith(example.fix)


@pytest.mark.parametrize("each", CHECKS, ids=lambda check: check.name)
def test_a_check_passes_and_it_warns_and_fails_if_its_record_says_so(each):
    said = {"pass", *(["warn"] if each.warns else []), *(["fail"] if each.fails else [])}
    judged = {example.expected[0] for example in EXAMPLES if example.check is each}
    assert judged - {"skip"} == said


def test_every_check_has_a_name_of_its_own():
    assert len({each.name for each in CHECKS}) == len(CHECKS)


def test_the_worst_is_the_first_in_the_order_of_a_release():
    late, early = problem("blocked", "late"), problem("missing-privilege", "early")
    assert worst([pending.replicas(late), server.pooler(SERVER), server.rights(early), pending.runs(about())]) is early
    assert worst([pending.runs(about())]) is None


@pytest.mark.parametrize(
    ("found", "fields"),
    [
        (
            problem("missing-privilege", "why", fix=sql("GRANT")),
            {
                "verdict": "fail",
                "evidence": "why",
                "exit_code": 14,
                "fix": sql("GRANT"),
                "problem": "missing-privilege",
            },
        ),
        (Warned("why", advice("mend")), {"verdict": "warn", "evidence": "why", "exit_code": 0, "fix": advice("mend")}),
        (Skipped("not looked at"), {"verdict": "skip", "evidence": "not looked at", "exit_code": 0}),
        (Passed("well", ("a",)), {"verdict": "pass", "evidence": "well", "exit_code": 0, "details": ["a"]}),
    ],
    ids=["fails", "warns", "is skipped", "passes"],
)
def test_the_fields_of_a_check(found, fields):
    @check("nothing")
    def of_something(facts):
        return found

    assert of_something(None).fields() == {"check": "of-something", **fields}
    assert of_something(None).verdict is Verdict(fields["verdict"])


def test_the_pending_revisions_are_the_details():
    assert position.state(compared(State(BEHIND))).details == ("two  second  (two.py)",)


@pytest.mark.parametrize(
    ("more", "expected"), [({}, PASS), ({"index t.hand": "btree (b)"}, WARN)], ids=["nothing else", "drift too"]
)
def test_what_is_residue_is_not_told_as_drift_too(more, expected):
    well = {"table t": "table", "index t.ix": "btree (a)"}
    schema = {**well, "index t.ix": "btree (a) invalid", **more}
    state = State(AT_HEAD, (Residue((INDEX,), ()), Drifted(compare(well, schema, same_major=True))))
    image = replace(IMAGE, manifest=build(17, GRAPH, {"one": well, "two": well}))
    found = position.drift(compared(state, image=image, observation=replace(OBSERVATION, schema=schema)))
    assert found.verdict == expected[0]
    assert "REINDEX" not in str(found.fix)
    assert "t.ix is" not in found.evidence


@pytest.mark.parametrize(("seconds", "said"), [(None, "0 s"), (59.9, "59 s"), (61, "1 min"), (7260, "2 h 1 min")])
def test_age(seconds, said):
    assert age(seconds) == said
