"""Revisions of which a part is committed when they fail."""

from __future__ import annotations

import json
import signal

import pytest

from migrate.core.manifest.manifest import Manifest
from migrate.core.schema.differences import fingerprint
from tests.support.changes import apply

fault = pytest.mark.fault


@fault(
    "a revision fails after an autocommit block",
    "it builds an index concurrently, then raises",
    31,
    "the index is named; the next run refuses with the repair",
)
def test_after_an_autocommit_block(case):
    case.history(concurrently=True)
    result = case.ends(case.up(trouble="raise RuntimeError('no luck')"))
    assert result.finished["problem"] == "partly-committed"
    assert result.finished["applied"] == ["r0001"]
    assert [line for line in result.finished["residue"] if line.startswith("+ index")]
    steps = case.database.rows("SELECT status, details ? 'residue' FROM migrate.step WHERE revision = 'r0002'")
    assert steps == [("partial", True)]


@fault(
    "a revision fails after an embedded COMMIT",
    "op.execute('COMMIT') in its middle, then an error",
    31,
    "the server says that its transaction was committed; the column that it left is named",
)
def test_after_an_embedded_commit(case):
    case.history()
    trouble = "op.execute('COMMIT'); op.execute('SELECT 1/0')"
    path = case.project.versions / "r0002_second.py"
    path.write_text(path.read_text() + "\n# its trouble may COMMIT\n")
    result = case.ends(case.up(trouble=trouble))
    assert result.finished["problem"] == "partly-committed"
    assert any("items.note" in line for line in result.finished["residue"]), result.finished["residue"]


@fault(
    "a revision fails after an embedded ROLLBACK",
    "op.execute('ROLLBACK') in its middle, then CREATE TABLE, then an error",
    31,
    "what follows a ROLLBACK of one's own commits by itself: the table that it left is named",
)
def test_after_an_embedded_rollback(case):
    case.history()
    path = case.project.versions / "r0002_second.py"
    path.write_text(path.read_text() + "\n# its trouble is a ROLLBACK\n")
    trouble = "op.execute('ROLLBACK'); op.execute('CREATE TABLE left_over (id integer)'); op.execute('SELECT 1/0')"
    result = case.ends(case.up(trouble=trouble))
    assert result.finished["problem"] == "partly-committed"
    assert any("left_over" in line for line in result.finished["residue"]), result.finished["residue"]


@fault(
    "the guard is lost after an autocommit block",
    "pg_terminate_backend() of the guard's backend, in the revision that has built an index concurrently",
    31,
    "the index is named: that a part is committed counts for more than why the run may not go on",
)
def test_guard_lost_after_an_autocommit_block(case):
    case.history(concurrently=True)
    trouble = (
        'op.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()'
        " AND application_name LIKE 'migrate:guard:%'\")"
    )
    result = case.ends(case.up(trouble=trouble))
    assert result.finished["problem"] == "partly-committed"
    assert "job lock" in result.finished["why"]
    assert [line for line in result.finished["residue"] if line.startswith("+ index")]


@fault(
    "a revision fails in CREATE UNIQUE INDEX CONCURRENTLY",
    "the table holds the same value twice",
    31,
    "the INVALID index is named, without the value that is there twice",
)
def test_unique_violation_in_cic(case):
    case.history()
    case.at("r0001")
    case.database.execute("INSERT INTO items VALUES (1, 'a value of a user')")
    case.database.execute("INSERT INTO items VALUES (1, 'a value of a user')")
    trouble = (
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE UNIQUE INDEX CONCURRENTLY once ON items (name)')"
    )
    result = case.ends(case.up(trouble=trouble))
    assert "INVALID index public.once on items" in result.finished["residue"]
    assert "because a key of it is in the table more than once" in result.finished["why"]
    assert "+ index items.once" not in result.finished["why"]  # the INVALID index is said once
    assert "+ column items.note" in result.finished["why"]  # what was done before the block is committed too
    assert b"a value of a user" not in result.stdout


@fault(
    "an embedded COMMIT in a revision that succeeds",
    "op.execute('COMMIT') as its last statement",
    0,
    "the version row moved by itself; the ledger's row is written by the control connection",
)
def test_embedded_commit_that_succeeds(case):
    case.history()
    result = case.ends(case.up(trouble="op.execute('COMMIT')"))
    assert result.finished["applied"] == ["r0001", "r0002", "r0003"]
    assert case.database.rows("SELECT DISTINCT status FROM migrate.step") == [("finished",)]


@fault(
    "a revision fails in one transaction for all",
    "--transaction all, the second revision raises",
    30,
    "nothing of any revision is in the database",
)
def test_one_transaction(case):
    case.history()
    result = case.ends(case.up("--transaction", "all", trouble="raise RuntimeError('no luck')"))
    assert result.finished["applied"] == []
    assert case.versions() == ("r0003",)


@fault(
    "a revision fails with an engine in AUTOCOMMIT",
    "env.py's engine has isolation_level='AUTOCOMMIT', the second revision raises",
    31,
    "nothing can be rolled back: the column that it left is named",
)
def test_autocommit_engine(case):
    case.history()
    case.at("r0001")
    env = case.project.env
    env.write_text(
        env.read_text().replace("poolclass=pool.NullPool", "isolation_level='AUTOCOMMIT', poolclass=pool.NullPool")
    )
    result = case.ends(case.up(trouble="raise RuntimeError('no luck')"))
    assert result.finished["problem"] == "partly-committed"


@fault(
    "the disk is full",
    "the server writes to a device that has no space left (/dev/full)",
    24,
    "rolled back, and worth another try",
)
def test_disk_full(case):
    case.history()
    case.database.as_superuser.execute(f'GRANT pg_write_server_files TO "{case.database.user}"')
    trouble = "op.execute(\"COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000)) TO '/dev/full'\")"
    result = case.ends(case.up(trouble=trouble))
    assert (result.finished["problem"], result.finished["sqlstate"]) == ("no-resources", "53100")


@fault(
    "a privilege is missing in the middle",
    "the second revision reads a table of another role",
    14,
    "42501, rolled back",
)
def test_privilege(case):
    case.history()
    case.database.as_superuser.execute("CREATE SCHEMA secret")
    case.database.as_superuser.execute("CREATE TABLE secret.plans (id integer)")
    result = case.ends(case.up(trouble="op.execute('SELECT * FROM secret.plans')"))
    assert (result.finished["problem"], result.finished["sqlstate"]) == ("missing-privilege", "42501")


BESIDE = (
    "import sqlalchemy\n"
    "beside = sqlalchemy.create_engine(op.get_bind().engine.url)\n"
    "with beside.begin() as other:\n"
    "    other.execute(sqlalchemy.text('CREATE TABLE left_over (id integer)'))\n"
)


def asks_the_engine(case):
    """Let the second revision's text say what its trouble does, as the text of a real one would."""
    path = case.project.versions / "r0002_second.py"
    path.write_text(path.read_text() + "\n# its trouble asks the engine for a connection\n")


@fault(
    "a revision that connects a second time commits there, then fails",
    "engine.begin() with CREATE TABLE in it, then an error",
    31,
    "its own transaction was rolled back, the other was not: what it left is named",
)
def test_committed_over_a_second_connection(case):
    case.history()
    asks_the_engine(case)
    result = case.ends(case.up(trouble=f"{BESIDE}raise RuntimeError('no luck')"))
    assert result.finished["problem"] == "partly-committed"
    assert [line for line in result.finished["residue"] if "left_over" in line]
    assert case.versions() == ("r0001",)


@fault(
    "SIGTERM after a revision has committed over a second connection",
    "engine.begin() with CREATE TABLE in it, then time.sleep(60)",
    31,
    "what is left counts for more than the signal",
)
def test_sigterm_after_a_commit_beside(case):
    case.history()
    asks_the_engine(case)
    running = case.up(trouble=f"{BESIDE}time.sleep(60)")
    running.wait_for("revision.started", revision="r0002")
    case.wait_for_row("SELECT 1 FROM pg_class WHERE relname = 'left_over'")
    running.signal(signal.SIGTERM)
    result = case.ends(running)
    assert [line for line in result.finished["residue"] if "left_over" in line]


@fault(
    "a revision fails on a database that had drifted before",
    "an index of the first revision is gone, which --drift warn tolerates; the second revision raises",
    30,
    "what differed before the run is not taken for something that the revision left",
)
def test_fails_on_a_drifted_database(case):
    case.history()
    case.at("r0001")
    case.database.execute("DROP INDEX items_id")
    case.ends(case.up("--drift", "warn", trouble="raise RuntimeError('no luck')"), fresh=False, then=17)


@fault(
    "an ALTER that waits for a lock after an embedded COMMIT",
    "op.execute('COMMIT'), then ALTER TABLE on a table that another transaction has read; --lock-timeout 500ms",
    31,
    "SET LOCAL ended with the transaction, the lock timeout did not: readers queue no longer than it lasts",
)
def test_lock_after_an_embedded_commit(case):
    case.history()
    case.at("r0001")
    trouble = (
        "op.execute('COMMIT')\nop.execute('SELECT pg_sleep(1)')\nop.execute('ALTER TABLE items ADD COLUMN other text')"
    )
    running = case.up("--lock-timeout", "500ms", trouble=trouble)
    case.wait_for_row("SELECT 1 FROM pg_attribute WHERE attname = 'note'")
    case.hold()
    result = case.ends(running)
    assert (result.finished["problem"], result.finished["sqlstate"]) == ("partly-committed", "55P03")


@fault(
    "kill -9 after an embedded COMMIT",
    "SIGKILL of the parent in pg_sleep(60) that follows op.execute('COMMIT')",
    -9,
    "the server still looks for its client: the statement is ended; the next run names the part",
)
def test_kill_after_an_embedded_commit(case):
    case.history()
    running = case.up(trouble="op.execute('COMMIT')\nop.execute('SELECT pg_sleep(60)')")
    running.wait_for("revision.started", revision="r0002")
    case.wait_for_row("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'")
    running.signal(signal.SIGKILL)
    case.ends(running, then=15, fresh=False)


@fault(
    "a revision fails where a view is printed otherwise than in the manifest",
    "the manifest is of another major version of PostgreSQL; the third revision raises",
    30,
    "what the manifest tolerates is not taken for something that the revision left",
)
def test_fails_where_a_view_is_printed_otherwise(case):
    case.history()
    case.project.revision(
        "r0002",
        down="r0001",
        message="second",
        upgrade="op.execute('CREATE VIEW names AS SELECT items.name FROM items')\n"
        "op.execute(\"INSERT INTO journal VALUES ('r0002')\")",
    )
    case.project.revision(
        "r0003",
        down="r0002",
        message="third",
        upgrade="import os\nexec(os.environ.get('TROUBLE', ''))\nop.execute(\"INSERT INTO journal VALUES ('r0003')\")",
    )
    assert case.manifest
    path = case.project.versions.parent / "manifest.json"
    document = json.loads(path.read_text())
    document["postgres"] = 15 if case.database.server.version != 15 else 16
    schema = {}
    for entry in document["revisions"]:
        entry["changes"] = [line.replace("SELECT name", "SELECT items.name") for line in entry["changes"]]
        schema = apply(schema, entry["changes"])
        entry["schema"] = fingerprint(schema)
    path.write_text(Manifest.parse(json.dumps(document)).serialise())
    result = case.ends(case.up(trouble="raise RuntimeError('no luck')"))
    assert (result.finished["problem"], result.finished["applied"]) == ("revision-failed", ["r0001", "r0002"])


@fault(
    "a revision that connects a second time commits there, then waits for a lock",
    "engine.begin() with CREATE TABLE in it, then ALTER TABLE on a table that another transaction has read",
    31,
    "never tried again: what it left would be in the way",
)
def test_lock_after_a_commit_beside(case):
    case.history()
    case.at("r0001")
    case.database.execute("CREATE TABLE other (id integer)")
    case.hold("LOCK TABLE other IN ACCESS SHARE MODE")
    trouble = f"{BESIDE}op.execute('ALTER TABLE other ADD COLUMN x integer')"
    result = case.ends(case.up("--lock-timeout", "300ms", trouble=trouble))
    assert result.finished["sqlstate"] == "55P03"
    assert not result.named("revision.retry")
    assert [line for line in result.finished["residue"] if "left_over" in line]


@fault(
    "a revision builds an index on a second connection in AUTOCOMMIT, then fails",
    "engine.connect() with isolation_level='AUTOCOMMIT'",
    31,
    "the statement that commits by itself is told before it is sent",
)
def test_autocommit_beside(case):
    case.history()
    case.at("r0001")
    beside = BESIDE.replace(".begin()", ".connect().execution_options(isolation_level='AUTOCOMMIT')")
    result = case.ends(case.up(trouble=f"{beside}raise RuntimeError('no luck')"))
    assert [line for line in result.finished["residue"] if "left_over" in line]


@fault(
    "a revision that has read on a second connection fails",
    "SELECT in engine.begin() and in AUTOCOMMIT, and CREATE TABLE in another database; then an error",
    30,
    "nothing of it is in this database: it may run again once it is corrected",
)
def test_read_beside(case, make_database):
    other = make_database()
    other.as_superuser.execute(f'GRANT ALL ON SCHEMA public TO "{case.database.user}"')
    case.history()
    read = BESIDE.replace("CREATE TABLE left_over (id integer)", "SELECT 1")
    by_itself = read.replace(".begin()", ".connect().execution_options(isolation_level='AUTOCOMMIT')")
    elsewhere = BESIDE.replace("op.get_bind().engine.url", f"op.get_bind().engine.url.set(database='{other.name}')")
    result = case.ends(case.up(trouble=f"{read}{by_itself}{elsewhere}raise RuntimeError('no luck')"))
    assert result.finished["problem"] == "revision-failed"
    assert other.scalar("SELECT count(*) FROM pg_class WHERE relname = 'left_over'") == 1


@fault(
    "kill -9 after a revision has committed over a second connection",
    "engine.begin() with CREATE TABLE in it, then time.sleep(60)",
    -9,
    "the ledger was told before that commit: the next run refuses with 15 and names the revision",
)
def test_kill_after_a_commit_beside(case):
    case.history()
    running = case.up(trouble=f"{BESIDE}time.sleep(60)")
    running.wait_for("revision.started", revision="r0002")
    case.wait_for_row("SELECT 1 FROM pg_class WHERE relname = 'left_over'")
    running.signal(signal.SIGKILL)
    case.ends(running, then=15, fresh=False)
    assert "r0002" in case.again.finished["why"]


@fault(
    "a revision's own SET after an embedded COMMIT",
    "--statement-timeout 1s; op.execute('COMMIT'), SET statement_timeout = 0, then a statement of 2 s",
    0,
    "ours are set once, when the transaction is left; what the revision sets holds",
)
def test_own_set_after_an_embedded_commit(case):
    case.history()
    trouble = "op.execute('COMMIT'); op.execute('SET statement_timeout = 0'); op.execute('SELECT pg_sleep(2)')"
    case.ends(case.up("--statement-timeout", "1s", trouble=trouble))
