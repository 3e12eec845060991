"""The printed command brings a backup back, whatever the revisions have made and dropped since."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

MADE = """
CREATE SCHEMA billing;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE authors (id integer PRIMARY KEY, name text);
CREATE TABLE articles (id serial PRIMARY KEY, author integer REFERENCES authors, state mood, words positive);
CREATE TABLE billing.invoices (id integer PRIMARY KEY, paid boolean);
CREATE VIEW titles AS SELECT id FROM articles;
CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1';
"""
CHANGED = """
CREATE EXTENSION citext;
CREATE SCHEMA audit;
CREATE TYPE colour AS ENUM ('red');
CREATE TABLE audit.log (at date, c colour);
CREATE TABLE comments (id integer PRIMARY KEY, article integer REFERENCES articles, said citext);
CREATE VIEW by_author AS SELECT author, count(*) AS n FROM articles GROUP BY author;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM by_author;
CREATE FUNCTION two(a articles) RETURNS integer LANGUAGE sql AS 'SELECT 2';
CREATE TRIGGER touched BEFORE UPDATE ON authors FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE authors ADD CONSTRAINT named CHECK (name <> '');
DROP VIEW titles;
DROP FUNCTION one();
ALTER TABLE articles DROP COLUMN words;
DROP DOMAIN positive;
DROP TABLE billing.invoices;
DROP SCHEMA billing;
DELETE FROM articles WHERE id > 2;
"""


def run_in_shell(command, database, cwd):
    """Run the printed command as a person would, in a shell that has DATABASE_URL, away from the project."""
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url}
    return subprocess.run(
        ["/bin/sh", "-c", command], env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def restored(project, database, run_migrate, write_manifest, tmp_path):
    """Apply a revision, a second with a backup; returns the last line of that run."""
    project.write_env()
    project.revision("one", message="one", upgrade=f"op.execute('''{MADE}''')")
    project.revision("two", down="one", message="two", upgrade=f"op.execute('''{CHANGED}''')")
    write_manifest()
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    database.execute(
        "INSERT INTO authors VALUES (1, 'a'); INSERT INTO billing.invoices VALUES (7, true);"
        "INSERT INTO articles (author, state, words) SELECT 1, 'ok', g FROM generate_series(1, 9) g"
    )
    database.execute(
        "CREATE SCHEMA others; CREATE TABLE others.t (id integer, author integer REFERENCES authors); INSERT INTO others.t VALUES (1, 1)"
    )
    (tmp_path / "backups").mkdir()
    done = run_migrate("up", "--backup", str(tmp_path / "backups"), "--breaking", "allow", database=database)
    done.check_clean()
    assert done.exit_code == 0, done.stdout
    database.execute("INSERT INTO others.t VALUES (2, 1)")
    return done


def test_what_revisions_made_and_dropped_is_as_it_was(restored, database, run_migrate, tmp_path):
    command = restored.finished["restore"]
    done = run_in_shell(command, database, tmp_path)
    assert done.returncode == 0, (command, done.stdout)
    assert '"outcome":"restored"' in done.stdout
    assert database.rows("SELECT version_num FROM alembic_version") == [("one",)]
    assert database.scalar("SELECT sum(words) FROM articles") == 45
    assert database.rows("SELECT * FROM billing.invoices") == [(7, True)]
    assert database.scalar("SELECT count(*) FROM titles") == 9
    for gone in ("comments", "by_author", "counted", "audit.log"):
        assert database.scalar(f"SELECT to_regclass('{gone}')") is None
    assert database.scalar("SELECT count(*) FROM pg_extension WHERE extname = 'citext'") == 0
    assert database.scalar("SELECT to_regnamespace('audit')") is None
    # what is not ours is as it is now, with the key that hangs on ours
    assert database.rows("SELECT id FROM others.t ORDER BY 1") == [(1,), (2,)]
    assert (
        database.scalar("SELECT count(*) FROM pg_constraint WHERE conrelid = 'others.t'::regclass AND contype = 'f'")
        == 1
    )
    assert run_migrate("verify", database=database).exit_code == 0
    again = run_migrate("up", "--breaking", "allow", database=database)
    again.check_clean()
    assert (again.exit_code, again.finished["applied"]) == (0, ["two"])
    assert not again.named("run.abandoned")
    verbs = [row[0] for row in database.rows("SELECT verb FROM migrate.run ORDER BY started_at")]
    assert verbs == ["up", "up", "restore", "up"]


def test_what_others_have_on_ours_is_not_dropped(restored, database, tmp_path):
    database.execute("CREATE VIEW others.v AS SELECT id FROM authors")
    done = run_in_shell(restored.finished["restore"], database, tmp_path)
    assert done.returncode == 30, done.stdout
    assert "view others.v" in done.stdout
    assert database.rows("SELECT version_num FROM alembic_version") == [("two",)]
    assert database.scalar("SELECT count(*) FROM others.v") == 1


def test_a_dump_that_is_cut_off_changes_nothing(restored, database, tmp_path):
    file = Path(restored.finished["backup_file"])
    file.write_bytes(file.read_bytes()[:-200])
    done = run_in_shell(restored.finished["restore"], database, tmp_path)
    assert done.returncode == 30, done.stdout
    assert database.rows("SELECT version_num FROM alembic_version") == [("two",)]
    assert database.scalar("SELECT count(*) FROM comments") == 0


def test_no_process_shows_the_password(restored, database, tmp_path):
    seen: list[bytes] = []
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes())
                except OSError:
                    continue
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = run_in_shell(restored.finished["restore"], database, tmp_path)
    ended.set()
    watcher.join()
    assert done.returncode == 0, done.stdout
    assert any(b"psql" in line for line in seen)
    from tests.support.process import assert_absent

    own = database.password[-16:]  # what comes before it other tests' passwords have, too
    assert_absent(own, b"\n".join(set(seen)))


def test_history_after_a_restore_of_everything(restored, database, run_migrate, tmp_path):
    """The ledger is brought back where it is gone; what the dump says to be at work is closed."""
    database.execute("DROP SCHEMA migrate CASCADE")
    done = run_in_shell(restored.finished["restore"], database, tmp_path)
    assert done.returncode == 0, done.stdout
    again = run_migrate("up", "--breaking", "allow", database=database)
    assert (again.exit_code, again.named("run.abandoned")) == (0, [])


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ("CREATE RULE r AS ON INSERT TO others.t DO ALSO INSERT INTO public.authors VALUES (NEW.id + 100)", "rule r"),
        (
            "CREATE TABLE others.p (a positive) PARTITION BY RANGE (a); CREATE INDEX px ON others.p (one_more(a))",
            "index others.px",
        ),
        ("CREATE STATISTICS others.st ON one_more(id), id FROM others.t", "statistics object others.st"),
        ("CREATE TYPE others.pair AS (a mood)", "column a of composite type others.pair"),
    ],
)
def test_nothing_that_others_have_on_ours_goes_without_a_word(restored, database, tmp_path, others, name):
    database.execute(
        "CREATE FUNCTION one_more(a integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT a + 1';"
        + others.replace("positive", "integer")
    )
    done = run_in_shell(restored.finished["restore"], database, tmp_path)
    assert done.returncode == 30, done.stdout
    assert name in done.stdout
    assert database.rows("SELECT version_num FROM alembic_version") == [("two",)]


def test_what_is_in_no_schema_and_needs_ours_is_brought_back(project, database, run_migrate, write_manifest, tmp_path):
    project.write_env()
    project.revision("one", upgrade="op.execute('CREATE TABLE t (id integer)')")
    project.revision("two", down="one", upgrade="op.execute('CREATE TABLE u (id integer)')")
    write_manifest()
    assert run_migrate("up", "--target", "one", database=database).exit_code == 0
    database.as_superuser.execute(
        "CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER et ON ddl_command_end WHEN TAG IN ('COMMENT') EXECUTE FUNCTION ev();"
        "CREATE TYPE money2 AS (v integer);"
        "CREATE FUNCTION m2(integer) RETURNS money2 LANGUAGE sql AS 'SELECT row($1)::money2';"
        "CREATE CAST (integer AS money2) WITH FUNCTION m2(integer); COMMENT ON CAST (integer AS money2) IS 'ours'"
    )
    (tmp_path / "backups").mkdir()
    up = run_migrate("up", "--backup", str(tmp_path / "backups"), database=database.as_superuser)
    assert up.exit_code == 0, up.stdout
    done = run_in_shell(up.finished["restore"], database.as_superuser, tmp_path)
    assert done.returncode == 0, done.stdout
    assert database.scalar("SELECT to_regclass('u')") is None
    assert database.scalar("SELECT count(*) FROM pg_event_trigger WHERE evtfoid = 'ev'::regproc") == 1
    found = "SELECT obj_description(oid, 'pg_cast') FROM pg_cast WHERE castfunc = 'm2'::regproc"
    assert database.rows(found) == [("ours",)]
