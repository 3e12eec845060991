"""`migrate manifest` as a user starts it: what it writes, checks and shows, on real servers."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import sqlalchemy

from migrate.core.manifest.manifest import Manifest
from migrate.shadow.embedded import installed_binaries
from tests.support.process import alembic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.deep

CREATE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'
NOWHERE = {"MIGRATE_SHADOW_URL": "postgresql://nobody@127.0.0.1:1/none"}


@pytest.fixture
def manifest(run_migrate, server) -> Callable[..., Any]:
    """Run `migrate manifest` with the session's server for its shadows."""

    def run(*arguments: str, **given: Any):
        env = {"MIGRATE_SHADOW_URL": server.url(), **given.pop("env", {})}
        result = run_migrate("manifest", *arguments, env=env, **given)
        assert shadows_of(result, server) == [], "a shadow was left behind"
        return result

    return run


def shadows_of(result, server) -> list[str]:
    """The databases that a run left; others may run on the same server."""
    with closing(psycopg2.connect(server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ %s", [result.finished["run_id"]])
        return [row[0] for row in cursor.fetchall()]


def path_of(project) -> Path:
    return project.path / "migrations" / "manifest.json"


def written(project) -> Manifest:
    return Manifest.parse(path_of(project).read_text("utf-8"))


def test_it_is_written_once_and_needs_no_server_while_it_is_true(project, manifest):
    ids = project.linear(3)
    first = manifest()
    first.check_clean()
    assert (first.exit_code, first.finished["outcome"]) == (0, "applied")
    assert [event["revision"] for event in first.named("revision.finished")] == ids
    assert first.named("shadow.started")
    found = written(project)
    assert [entry.revision.id for entry in found.revisions] == ids
    assert sorted(found.schema_at(["r0002"])) == sorted(
        f"{kind} r000{n}{rest}"
        for n in (1, 2)
        for kind, rest in (("table", ""), ("column", ".id"), ("constraint", f".r000{n}_pkey"))
    )
    assert found.revisions[0].revision.file == "migrations/versions/r0001_create_r0001.py"
    before = path_of(project).read_bytes()
    for arguments in ((), ("--check",)):
        again = manifest(*arguments, env=NOWHERE)
        again.check_clean()
        assert (again.exit_code, again.finished["outcome"]) == (0, "noop")
    assert path_of(project).read_bytes() == before
    assert path_of(project).read_text() == written(project).serialise()


@pytest.mark.parametrize(
    "style",
    [
        {"url": "ini"},
        {"url": "settings"},
        {"url": "settings", "engine": "begin"},
        {"engine": "async"},
        {"engine": "async", "driver": "psycopg"},
        {"version_table": "versions_of_app"},
        {"fileconfig": True},
    ],
    ids=str,
)
def test_whatever_env_py_is_like_the_manifest_is_the_same(project, database, manifest, style):
    if "driver" in style and sqlalchemy.__version__.startswith("1."):
        pytest.skip("psycopg needs SQLAlchemy 2")
    project.linear(3)
    project.revision("left", down="r0003", message="left", upgrade=CREATE.format("lefty"))
    project.revision("right", down="r0003", message="right", upgrade=CREATE.format("righty"))
    project.revision("merge", down=("left", "right"), message="merge")
    assert manifest().exit_code == 0
    usual = path_of(project).read_text()
    project.write_env(**style)
    path_of(project).unlink()
    result = manifest("--shadow-beside-target", database=database)
    result.check_clean()
    assert result.exit_code == 0, result.finished
    assert path_of(project).read_text() == usual
    assert database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [], (
        "the target was not touched"
    )


def test_an_async_env_py_without_a_driver_is_told_where_a_replay_finds_one(project, manifest):
    project.linear(1)
    project.write_env(url="ini", engine="async")
    project.env.write_text(project.env.read_text().replace("url = re.sub(", "re.sub("))
    refused = manifest()
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (10, "sync-driver")
    assert refused.finished["fix"] == f"in {project.ini}: sqlalchemy.url = postgresql+asyncpg:// (or +psycopg)"
    project.write_ini(**{"sqlalchemy.url": "postgresql+asyncpg://"})
    assert manifest().exit_code == 0


def test_the_target_in_every_variable_is_replaced_by_the_shadow(project, database, run_migrate, server):
    """Revisions that open connections of their own and create roles reach the shadow, which is a server of its own."""
    project.write_env(url="settings")
    project.revision(
        "roles",
        message="roles",
        header="""
        import os
        import psycopg2
        from app_settings import settings
        """,
        upgrade="""
        for url in (settings.database_url, os.environ["ANALYTICS_URL"], ""):
            connection = psycopg2.connect(url)
            connection.autocommit = True
            connection.cursor().execute("CREATE TABLE IF NOT EXISTS by_another_connection (id integer)")
            connection.close()
        op.execute("CREATE ROLE of_the_replay")
        op.execute("CREATE TABLE mine (id integer)")
        op.execute("GRANT SELECT ON mine TO of_the_replay")
        """,
    )
    result = run_migrate(
        "manifest",
        database=database,
        env={
            "ANALYTICS_URL": database.url,
            "PGHOST": database.connect_info("host"),
            "PGPORT": database.connect_info("port"),
            "PGUSER": database.user,
            "PGPASSWORD": database.password,
            "PGDATABASE": database.name,
        },
    )
    result.check_clean()
    assert result.exit_code == 0, result.finished
    assert {"table mine", "table by_another_connection"} <= written(project).schema_at(["roles"]).keys()
    assert database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
    assert database.rows("SELECT rolname FROM pg_roles WHERE rolname = 'of_the_replay'") == []


def test_an_env_py_that_goes_elsewhere_is_refused_before_its_first_statement(project, database, manifest):
    project.write_env(head=f"url = {database.url!r}.replace('postgresql://', 'postgresql+psycopg2://')")
    project.linear(1)
    result = manifest()
    result.check_clean(database.password)
    assert (result.exit_code, result.finished["problem"]) == (13, "other-database")
    assert database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
    assert not path_of(project).exists()


# Branches


def test_branches_merges_and_dependencies(project, manifest):
    project.linear(1)
    project.revision("left", down="r0001", labels="ours", message="left", upgrade=CREATE.format("lefty"))
    project.revision("right", down="r0001", message="right", upgrade=CREATE.format("righty"))
    project.revision("other", message="other base", depends_on="ours", upgrade=CREATE.format("others"))
    project.revision("merge", down=("left", "right"), message="merge", upgrade="op.drop_table('lefty')")
    result = manifest()
    result.check_clean()
    assert result.exit_code == 0, result.finished
    found = written(project)

    def tables(*rows: str) -> set[str]:
        return {each.removeprefix("table ") for each in found.schema_at(rows) if each.startswith("table ")}

    assert tables("right") == {"r0001", "righty"}
    assert tables("other") == {"r0001", "lefty", "others"}
    assert tables("merge") == {"r0001", "righty"}
    assert tables("merge", "other") == {"r0001", "righty", "others"}
    assert not result.named("image.warning")


def test_each_copy_of_a_branch_finds_its_own_roles(project, run_migrate):
    """A role is the server's, and a revision that makes one runs in more than one database of the replay."""
    project.revision("root", message="root", upgrade="op.execute('CREATE TABLE t (a integer); CREATE ROLE early')")
    project.revision(
        "left", down="root", message="left", upgrade="op.execute('ALTER ROLE early RENAME TO later; CREATE ROLE one')"
    )
    project.revision("left2", down="left", message="left2", upgrade="op.execute('CREATE POLICY p ON t TO later, one')")
    project.revision("right", down="root", message="right", upgrade="op.execute('CREATE ROLE two')")
    project.revision("right2", down="right", message="right2", upgrade="op.execute('CREATE POLICY q ON t TO two')")
    project.revision(
        "right3",
        down="right2",
        message="right3",
        upgrade="op.execute('CREATE ROLE three; CREATE POLICY r ON t TO two, three')",
    )
    project.revision(
        "other", down="right2", message="other", upgrade="op.execute('CREATE ROLE four; CREATE POLICY s ON t TO four')"
    )
    project.revision("merge", down=("right3", "other"), message="merge", upgrade="op.execute('GRANT three TO four')")
    result = run_migrate("manifest")
    result.check_clean()
    assert result.exit_code == 0, result.finished
    found = written(project)
    assert "to later, one" in found.schema_at(["left2"])["policy t.p"].lower()
    assert "to three, two" in found.schema_at(["right3"])["policy t.r"].lower()
    assert {"policy t.q", "policy t.r", "policy t.s"} <= found.schema_at(["merge"]).keys()
    assert not result.named("image.warning")


def test_branches_that_are_at_odds_are_named(project, manifest):
    project.revision("root", message="root", upgrade="op.execute('CREATE TABLE t (a integer)')")
    project.revision("left", down="root", message="left", upgrade="op.execute('ALTER TABLE t ALTER a TYPE bigint')")
    project.revision("right", down="root", message="right", upgrade="op.execute('ALTER TABLE t ALTER a TYPE text')")
    project.revision("merge", down=("left", "right"), message="merge")
    result = manifest()
    result.check_clean()
    assert result.exit_code == 0, (result.finished, result.events)
    (warning,) = result.named("image.warning")
    assert "column t.a depends on the order" in warning["message"]
    assert "revision left makes it bigint" in warning["message"]


# Baselines


LEGACY = "CREATE TABLE legacy (id integer PRIMARY KEY, note text);\n"


@pytest.fixture
def needs_baseline(project):
    """A history that begins with a table that something else created."""
    project.revision("first", message="first", upgrade="op.execute('ALTER TABLE legacy ADD COLUMN more integer')")
    project.revision("second", down="first", message="second", upgrade=CREATE.format("seconds"))
    return project


def test_a_missing_baseline_is_explained(needs_baseline, manifest):
    result = manifest()
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "baseline-needed")
    assert 'relation "legacy" does not exist' in result.finished["why"]
    assert result.finished["file"] == "migrations/versions/first_first.py"
    assert "migrate manifest --baseline baseline.sql" in result.finished["fix"]
    assert not path_of(needs_baseline).exists()


def test_a_baseline_is_used_recorded_and_remembered(needs_baseline, manifest):
    sql = needs_baseline.path / "baseline.sql"
    sql.write_text(f"\\restrict abc\n{LEGACY}\\unrestrict abc\n")
    assert manifest("--baseline", "baseline.sql").exit_code == 0
    found = written(needs_baseline)
    assert found.baseline is not None
    assert found.baseline.file == "baseline.sql"
    assert "column legacy.note" in found.schema_at([])
    assert "column legacy.more" in found.schema_at(["first"])
    # remembered: no flag, no server; and a change of it is noticed
    assert manifest("--check", env=NOWHERE).exit_code == 0
    sql.write_text(LEGACY + "CREATE TABLE more (id integer);\n")
    changed = manifest("--check")
    assert (changed.exit_code, changed.finished["problem"]) == (11, "stale-manifest")
    assert manifest().exit_code == 0
    assert "table more" in written(needs_baseline).schema_at(["second"])
    assert manifest("--check", env=NOWHERE).exit_code == 0


def test_a_dump_is_a_baseline(needs_baseline, manifest, database):
    database.execute(LEGACY)
    major = database.server.version
    programs = [each.bin_dir / "pg_dump" for each in installed_binaries() if each.version[0] >= major]
    if not programs or not programs[0].exists():
        pytest.skip("there is no pg_dump of the server's version")
    arguments = ["--format=custom", "--file", str(needs_baseline.path / "old.dump"), database.url]
    subprocess.run([programs[0], *arguments], check=True)
    result = manifest("--baseline", "old.dump")
    assert result.exit_code == 0, result.finished
    assert {"column legacy.more", "column legacy.note"} <= written(needs_baseline).schema_at(["first"]).keys()
    # PG_BIN_DIR is asked before all others
    named = needs_baseline.path / "named" / "pg_restore"
    named.parent.mkdir()
    named.write_text(f'#!/bin/sh\ntouch {named}.ran\nexec {programs[0].with_name("pg_restore")} "$@"\n')
    named.chmod(0o755)
    path_of(needs_baseline).unlink()
    assert manifest("--baseline", "old.dump", env={"PG_BIN_DIR": str(named.parent)}).exit_code == 0
    assert named.with_name("pg_restore.ran").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CREATE TABLE legacy (id integer);\nCREATE TABEL wrong ();\n", 'line 2: syntax error at or near "TABEL"'),
        ("COPY legacy (id) FROM stdin;\n1\n\\.\n", "holds data"),
        (b"\xff\xfe", "neither UTF-8 text nor a dump"),
        (b"PGDMP nonsense", "pg_restore"),
        (
            "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('first');",
            "has version rows (first)",
        ),
    ],
)
def test_a_bad_baseline_is_named_with_its_line(needs_baseline, manifest, text, why):
    file = needs_baseline.path / "baseline.sql"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    result = manifest("--baseline", "baseline.sql")
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-baseline")
    assert why in result.finished["why"]


# Incremental


def test_what_is_proven_is_not_read_again(project, manifest):
    """A lie about an object that is gone since survives, until everything is read; one that is still there does not."""
    project.linear(1)
    project.revision("made", down="r0001", message="made", upgrade=CREATE.format("short"))
    project.revision("gone", down="made", message="gone", upgrade="op.drop_table('short')")
    project.revision("kept", down="gone", message="kept", upgrade=CREATE.format("kept"))
    assert manifest().exit_code == 0
    true = path_of(project).read_text()

    lie = rewritten(true, project, "made", "column short.id: integer", "column short.id: bigint")
    project.revision("next", down="kept", message="next", upgrade=CREATE.format("next"))
    path_of(project).write_text(lie)
    appended = manifest()
    appended.check_clean()
    assert (appended.exit_code, appended.named("image.warning")) == (0, [])
    assert "column short.id: bigint" in path_of(project).read_text()
    assert manifest("--full").exit_code == 0
    assert "bigint" not in path_of(project).read_text()
    assert written(project).revisions[:4] == Manifest.parse(true).revisions

    path_of(project).write_text(rewritten(true, project, "kept", "column kept.id: integer", "column kept.id: bigint"))
    noticed = manifest()
    noticed.check_clean()
    assert "revision kept leaves another schema" in noticed.named("image.warning")[0]["message"]
    assert "bigint" not in path_of(project).read_text()


def rewritten(text: str, project, id_: str, old: str, new: str) -> str:
    """The manifest with a lie in it that its own hashes agree with."""
    from dataclasses import replace

    from migrate.core.schema.differences import fingerprint
    from tests.support.changes import apply

    found = Manifest.parse(text)
    entries = []
    schema: dict[str, str] = {}
    for entry in found.revisions:
        changes = tuple(line.replace(old, new) for line in entry.changes)
        schema = apply(schema, changes)
        entries.append(replace(entry, changes=changes, schema=fingerprint(schema)))
    assert id_ in {entry.revision.id for entry in found.revisions}
    lie = replace(found, revisions=tuple(entries)).serialise()
    assert lie != text
    return lie


def test_only_new_revisions_are_added_lines(project, manifest):
    project.linear(2)
    manifest()
    before = path_of(project).read_text().splitlines()
    project.revision("next", down="r0002", message="next", upgrade=CREATE.format("next"))
    assert manifest().exit_code == 0
    after = path_of(project).read_text().splitlines()
    assert [line for line in before if line not in after] == [' "heads": ["r0002"],']


def test_a_renamed_file_and_a_revision_taken_away_need_no_server(project, manifest):
    project.linear(2)
    manifest()
    next(project.versions.glob("r0001*")).rename(project.versions / "first.py")
    assert manifest(env=NOWHERE).exit_code == 0
    assert written(project).revisions[0].revision.file == "migrations/versions/first.py"
    next(project.versions.glob("r0002*")).unlink()
    assert manifest(env=NOWHERE).exit_code == 0
    assert [entry.revision.id for entry in written(project).revisions] == ["r0001"]


# Checking


@pytest.fixture
def committed(project, manifest):
    """Three revisions and their manifest."""
    project.linear(3)
    assert manifest().exit_code == 0
    return project


def stale(result):
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "stale-manifest")
    assert result.finished["fix"].startswith("migrate manifest ")
    return result.finished


def test_a_missing_manifest(project, manifest):
    project.linear(1)
    assert "there is no migrations/manifest.json" in stale(manifest("--check"))["why"]


def test_an_edited_file_is_named_with_the_lines_that_would_change(committed, manifest):
    file = next(committed.versions.glob("r0002*"))
    file.write_text(file.read_text().replace('sa.Column("id", sa.Integer', 'sa.Column("id", sa.BigInteger'))
    before = path_of(committed).read_text()
    result = manifest("--check")
    found = stale(result)
    assert found["edited"] == ["migrations/versions/r0002_create_r0002.py"]
    lines = before.splitlines()
    line = next(n for n, each in enumerate(lines, 1) if "column r0002.id" in each)
    assert line in found["lines"]
    shown = [event for event in result.named("image.warning") if event.get("line") == line]
    assert "bigint not null" in shown[0]["new"][0]
    printed = [
        text for event in result.named("image.warning") for text in (*event.get("old", ()), *event.get("new", ()))
    ]
    assert printed
    assert [text for text in printed if '"sha256"' in text or '"schema"' in text] == [], "nobody reads a hash"
    assert path_of(committed).read_text() == before, "a check writes nothing"


def test_a_comment_in_a_file_changes_its_hash_alone(committed, manifest):
    file = next(committed.versions.glob("r0003*"))
    file.write_text(file.read_text() + "# a comment\n")
    result = manifest("--check")
    found = stale(result)
    (line,) = found["lines"]
    assert '"sha256"' in path_of(committed).read_text().splitlines()[line - 1]
    assert [event["message"] for event in result.named("image.warning")] == [f"{found['edited'][0]} was edited"]


def test_an_added_file(committed, manifest):
    committed.revision("next", down="r0003", message="next", upgrade=CREATE.format("next"))
    found = stale(manifest("--check"))
    assert found["added"] == ["migrations/versions/next_next.py"]
    assert "next_next.py was added" in found["why"]


def test_a_removed_file(committed, manifest):
    next(committed.versions.glob("r0003*")).unlink()
    found = stale(manifest("--check", env=NOWHERE))
    assert found["removed"] == ["migrations/versions/r0003_create_r0003.py"]
    assert "line" in found["why"]


def test_another_format_of_the_same_content(committed, manifest):
    path_of(committed).write_text(json.dumps(json.loads(path_of(committed).read_text()), indent=2))
    found = stale(manifest("--check", env=NOWHERE))
    assert found["added"] == found["edited"] == found["removed"] == []
    assert "would change" in found["why"]


def test_a_line_edited_by_hand(committed, manifest):
    text = path_of(committed).read_text()
    path_of(committed).write_text(text.replace("column r0002.id: integer", "column r0002.id: bigint"))
    result = manifest("--check", env=NOWHERE)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-manifest")
    assert "r0002 do not lead to this schema" in result.finished["why"]
    assert text.splitlines()[result.finished["line"] - 1].strip().startswith('"schema"')


@pytest.mark.parametrize("verb", [("manifest", "--check"), ("up",), ("manifest", "--at", "r0001")])
def test_a_conflict_marker_is_named_with_its_line(committed, run_migrate, database, verb):
    lines = path_of(committed).read_text().splitlines()
    path_of(committed).write_text("\n".join([*lines[:2], "<<<<<<< HEAD", *lines[2:]]))
    result = run_migrate(*verb, database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-manifest")
    assert "line 3: git left its conflict marker" in result.finished["why"]
    assert result.finished["line"] == 3


def test_a_broken_manifest_is_written_anew(committed, manifest):
    text = path_of(committed).read_text()
    path_of(committed).write_text(f"<<<<<<< HEAD\n{text}")
    result = manifest()
    result.check_clean()
    assert result.exit_code == 0
    assert path_of(committed).read_text() == text


def test_a_check_without_a_shadow_still_names_the_files(committed, run_migrate, tmp_path):
    committed.revision("next", down="r0003", message="next", upgrade=CREATE.format("next"))
    found = stale(run_migrate("manifest", "--check", env={"PG_BIN_DIR": str(tmp_path)}))
    assert found["added"] == ["migrations/versions/next_next.py"]
    assert "not known without a shadow" in found["why"]


# Showing


def test_a_schema_at_a_revision(committed, run_migrate):
    result = run_migrate("manifest", "--at", "r0001")
    assert result.exit_code == 0
    assert result.stdout.decode().splitlines() == [
        "column r0001.id: integer not null default nextval('r0001_id_seq'::regclass)",
        "constraint r0001.r0001_pkey: PRIMARY KEY (id)",
        "table r0001: table",
    ]
    as_json = json.loads(run_migrate("manifest", "--at", "head", "--json").stdout)
    assert as_json["rows"] == ["r0003"]
    assert as_json["schema"]["table r0003"] == "table"
    assert as_json["fingerprint"] == written(committed).revisions[-1].schema
    assert run_migrate("manifest", "--at", "base").stdout == b""
    unknown = run_migrate("manifest", "--at", "nothing")
    unknown.check_clean()
    assert (unknown.exit_code, unknown.finished["problem"]) == (11, "unknown-target")
    both = run_migrate("manifest", "--at", "head", "--check")
    assert both.exit_code == 2


def test_no_manifest_to_show(project, run_migrate):
    project.linear(1)
    result = run_migrate("manifest", "--at", "head")
    assert (result.exit_code, result.finished["problem"]) == (10, "no-manifest")


def test_the_setting_says_where_it_is(project, manifest):
    project.linear(1)
    assert manifest("--manifest", "elsewhere.json").exit_code == 0
    assert (project.path / "elsewhere.json").exists()
    assert not path_of(project).exists()


# Shadows


def test_a_shadow_on_the_targets_server_is_refused_unless_it_is_meant(project, database, run_migrate, server):
    project.linear(1)
    on_it = {"MIGRATE_SHADOW_URL": server.url()}
    refused = run_migrate("manifest", database=database, env=on_it)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (10, "shadow-is-target")
    meant = run_migrate("manifest", "--shadow-beside-target", database=database, env=on_it)
    assert meant.exit_code == 0
    assert database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_beside_the_target_needs_the_right_to_make_databases(project, database, make_database, make_role, run_migrate):
    project.linear(1)
    refused = run_migrate("manifest", "--shadow-beside-target", database=database)
    refused.check_clean()
    assert (refused.exit_code, refused.finished["problem"]) == (14, "missing-privilege")
    assert f"ALTER ROLE {database.user} CREATEDB" in refused.finished["fix"]
    allowed = make_database(owner=make_role(options="CREATEDB"))
    result = run_migrate("manifest", "--shadow-beside-target", database=allowed)
    result.check_clean()
    assert result.exit_code == 0
    assert shadows_of(result, allowed.server) == []
    assert allowed.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_no_shadow_says_what_to_install(project, run_migrate, tmp_path):
    project.linear(1)
    result = run_migrate("manifest", env={"PG_BIN_DIR": str(tmp_path)})
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "no-shadow")
    assert "migrate-job[embedded]" in result.finished["fix"]


def test_the_password_of_a_shadow_is_never_shown(project, make_role, server, run_migrate):
    role = make_role(options="CREATEDB")
    project.write_env(head="print(url)\nprint(os.environ['PGPASSWORD'])")
    project.linear(1)
    for arguments, env in (
        (("--shadow-url", server.url(role=role)), {}),
        ((), {"MIGRATE_SHADOW_URL": server.url(role=role)}),
    ):
        result = run_migrate("manifest", "--full", *arguments, env=env)
        assert result.exit_code == 0
        assert result.named("revision.output")
        result.check_clean(role.password)
    wrong = run_migrate("manifest", "--full", env={"MIGRATE_SHADOW_URL": f"psql {server.url(role=role)}"})
    assert (wrong.exit_code, wrong.finished["problem"]) == (10, "bad-database-url")
    wrong.check_clean(role.password)


def test_a_failing_revision_is_named_and_nothing_is_left(committed, manifest):
    before = path_of(committed).read_text()
    committed.revision("wrong", down="r0003", message="wrong", upgrade="op.execute('SELECT 1/0')")
    result = manifest()
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (30, "revision-failed")
    assert "division by zero" in result.finished["why"]
    assert result.finished["fix"] == "correct migrations/versions/wrong_wrong.py, then run migrate manifest again"
    assert path_of(committed).read_text() == before


def test_faults_of_the_history_are_reported_without_a_server(committed, run_migrate):
    committed.revision("wrong", down="absent", message="wrong")
    result = run_migrate("manifest", env=NOWHERE)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "bad-history")


def test_a_signal_leaves_no_shadow(project, start_migrate, server):
    project.linear(1)
    project.revision("slow", down="r0001", message="slow", upgrade="op.execute('SELECT pg_sleep(60)')")
    running = start_migrate("manifest", env={"MIGRATE_SHADOW_URL": server.url()})
    running.wait_for("revision.started", revision="slow")
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert result.exit_code == 143
    assert shadows_of(result, server) == []
    assert not path_of(project).exists()


def test_it_is_what_alembic_does(project, database, manifest, run_migrate):
    """A schema that the role's search_path, not `public`, decides is read where the revisions made it."""
    project.linear(2)
    assert manifest().exit_code == 0
    alembic(project, database, "upgrade", "head")
    assert run_migrate("verify", database=database).exit_code == 0
