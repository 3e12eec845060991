"""Hostile input: what revisions, names, encodings, file systems and roles may do to a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.process import Result

fault = pytest.mark.fault

NASTY = "line\nbreak ::error::x \x1b[31mred\x1b[0m \udce9 end"


@fault(
    "a revision's message is hostile",
    "a docstring with newlines, ::error::, ANSI escapes and quotes, and one of 1 MB",
    0,
    "every line is one JSON object of at most 8 KiB",
)
def test_messages(case):
    case.history()
    path = case.project.versions / "r0003_third.py"
    text = path.read_text()
    path.write_text(text.replace('"""third', '"""third ::error::x \\x1b[31m \\u2028 ' + "m" * 1_000_000, 1))
    result = case.ends(case.up())
    assert max(map(len, result.stdout.splitlines())) <= 8192
    assert b"\x1b" not in result.stdout


@fault(
    "a revision raises a hostile message",
    "newlines, ::error::, ANSI escapes, NUL and a lone surrogate in the exception, and 1 MB",
    30,
    "every line is one JSON object of at most 8 KiB",
)
def test_exception(case):
    case.history()
    result = case.ends(case.up(trouble=f"raise RuntimeError({NASTY!r} + chr(0) + 'm' * 1_000_000)"))
    assert max(map(len, result.stdout.splitlines())) <= 8192
    assert b"\x1b" not in result.stdout


@fault(
    "a revision prints a megabyte",
    "to stdout and stderr, with broken bytes, then a line of a million characters",
    0,
    "shown as revision.output up to a bound; nothing blocks, stdout stays JSON lines",
)
def test_output(case):
    case.history()
    trouble = (
        "for n in range(20000): print('line', n, file=[sys.stdout, sys.stderr][n % 2])\n"
        "print('x' * 1_000_000)\nsys.stdout.flush()\nos.write(1, bytes(range(256)))\nos.write(2, b'no newline')"
    )
    result = case.ends(case.up(trouble=trouble))
    assert len(result.named("revision.output")) <= 1001
    assert any("not shown" in event["message"] for event in result.named("revision.output"))


@fault(
    "a revision closes stdout and stderr",
    "sys.stdout.close(), os.close(1), os.close(2)",
    0,
    "our own lines go through the parent",
)
def test_closes_stdout(case):
    case.history()
    case.ends(case.up(trouble="sys.stdout.close(); os.close(1); os.close(2)"))


@fault(
    "a revision closes every descriptor",
    "os.closerange(3, 256): its line to the parent and its database connection",
    30,
    "the child counts as ended; rolled back",
)
def test_closes_all(case):
    case.history()
    assert case.ends(case.up(trouble="os.closerange(3, 256)")).finished["problem"] == "revision-exited"


@fault("a revision exits", "os._exit(0)", 30, "no success; rolled back")
def test_exits(case):
    case.history()
    assert case.ends(case.up(trouble="os._exit(0)")).finished["problem"] == "revision-exited"


@fault("a revision raises SystemExit(0)", "sys.exit(0)", 30, "no success; rolled back")
def test_sys_exit(case):
    case.history()
    assert case.ends(case.up(trouble="sys.exit(0)")).finished["problem"] == "revision-exited"


@fault(
    "env.py ends the process after the last commit",
    "os._exit(0) at its end",
    0,
    "everything was applied: the proof says so",
)
def test_env_exits_at_its_end(case):
    case.history()
    case.project.env.write_text(
        case.project.env.read_text() + "\nif os.environ.get('LEAVE'):\n    os._exit(0)\n",
    )
    assert case.ends(case.up(env={"LEAVE": "1"})).finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "a revision lets go of every advisory lock",
    "pg_advisory_unlock_all()",
    0,
    "the guard is on another connection, and a transaction's",
)
def test_unlock_all(case):
    case.history()
    case.ends(case.up(trouble="op.execute('SELECT pg_advisory_unlock_all()')"))


@fault(
    "a revision changes the session's settings",
    "SET lock_timeout = 0, statement_timeout, application_name, and search_path with a schema of its own",
    0,
    "each transaction of the run sets its own",
)
def test_session_settings(case):
    case.history()
    trouble = (
        "op.execute('SET lock_timeout = 0'); op.execute(\"SET application_name = 'mine'\")\n"
        "op.execute('CREATE SCHEMA IF NOT EXISTS mine'); op.execute('SET search_path = public, mine')\n"
        "op.execute(\"SET statement_timeout = '5s'\")"
    )
    case.project.revision(
        "r0003",
        down="r0002",
        message="third",
        upgrade="op.execute(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS lock,"
        " current_setting('statement_timeout') AS statement, current_setting('application_name') AS name\")\n"
        "op.execute(\"INSERT INTO journal VALUES ('r0003')\")",
    )
    result = case.ends(case.up(trouble=trouble))
    seen = ("2s", "0", f"migrate:worker:{result.finished['run_id']}")
    assert case.database.rows("SELECT lock, statement, name FROM seen") == [seen]


@fault(
    "a revision changes its role",
    "SET ROLE to one that may write the version table and not the ledger",
    0,
    "one warning; the ledger's row is written by the control connection",
)
def test_set_role(case, make_role):
    other = make_role()
    admin = case.database.as_superuser
    admin.execute(f'GRANT "{other.name}" TO "{case.database.user}"')
    case.history()
    case.at("r0001")
    case.database.execute(f'GRANT ALL ON alembic_version TO "{other.name}"')
    result = case.ends(case.up(trouble=f"op.execute('SET LOCAL ROLE \"{other.name}\"')"))
    assert len(result.named("ledger.warning")) == 1
    statuses = case.database.rows("SELECT status FROM migrate.step")
    assert statuses == [("finished",), ("finished",)]
    case.database.execute(f'REVOKE ALL ON alembic_version FROM "{other.name}"')


def forbid_ddl(admin):
    admin.execute("CREATE SCHEMA dba")
    admin.execute(
        "CREATE FUNCTION dba.no_ddl() RETURNS event_trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'no DDL here'; END $$"
    )
    admin.execute("CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION dba.no_ddl()")


@fault(
    "an event trigger raises at every DDL",
    "CREATE EVENT TRIGGER … ON ddl_command_start, made by an administrator",
    30,
    "the ledger is done without, with one warning; the revision is rolled back",
)
def test_event_trigger(case):
    case.history()
    case.at("r0001")
    admin = case.database.as_superuser
    forbid_ddl(admin)
    result = case.up().finish()
    admin.execute("DROP EVENT TRIGGER no_ddl")
    case.ends(result)
    assert result.named("ledger.warning")


@fault(
    "an event trigger keeps Alembic from making its version table",
    "the same trigger on an empty database",
    30,
    "env.py is not blamed; the table, the server's words and who must act are named",
)
def test_event_trigger_at_the_version_table(case):
    case.history()
    admin = case.database.as_superuser
    forbid_ddl(admin)
    result = case.up().finish()
    admin.execute("DROP EVENT TRIGGER no_ddl")
    case.ends(result)
    assert result.finished["problem"] == "revision-failed"
    assert "version table public.alembic_version" in result.finished["message"]
    assert "no DDL here" in result.finished["message"]
    assert case.database.user in result.finished["fix"]


@fault(
    "file names with shell characters",
    "revisions named `r0002_$(touch pwned) ; x.py` and `r0003_-rf *.py`",
    0,
    "no shell is ever asked",
)
def test_file_names(case):
    case.history()
    versions = case.project.versions
    (versions / "r0002_second.py").rename(versions / "r0002_$(touch pwned) ; x.py")
    (versions / "r0003_third.py").rename(versions / "r0003_-rf *.py")
    case.ends(case.up())
    assert not list(case.project.path.rglob("pwned"))


@fault(
    "a password with @ : / ? # % & + ; quotes, backslash and space",
    "the role's password; env.py takes the URL from DATABASE_URL",
    0,
    "the same role connects from parent and child; no part of it is in the output",
)
def test_password(case):
    assert set("@:/?#%&+;'\"\\ ") <= set(case.database.password)
    case.history()
    case.ends(case.up())


@fault(
    "a wrong password",
    "the URL carries another one",
    14,
    "not tried again; neither password is in the output",
)
def test_wrong_password(case):
    case.history()
    wrong = "wrong-secret-4711"
    parts = case.database.url.split("@")
    url = parts[0].rsplit(":", 1)[0] + f":{wrong}@" + parts[-1]
    result = case.ends(case.up(url=url))
    result.check_clean(secret=wrong)
    assert result.finished["problem"] == "authentication"


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param(
            "SQL_ASCII",
            marks=fault(
                "a SQL_ASCII database",
                "ENCODING SQL_ASCII; a comment holds é",
                0,
                "client_encoding is utf8 throughout",
            ),
        ),
        pytest.param(
            "LATIN1",
            marks=fault(
                "a LATIN1 database",
                "ENCODING LATIN1; a comment holds é",
                0,
                "the server converts",
            ),
        ),
    ],
)
def test_encodings(case, make_database, encoding):
    case.database = make_database(encoding=encoding)
    case.history()
    path = case.project.versions / "r0002_second.py"
    path.write_text(path.read_text() + "    op.execute(\"COMMENT ON TABLE items IS 'caf\\u00e9'\")\n")
    case.ends(case.up())


@fault(
    "stdout is closed",
    "the process starts with descriptor 1 closed",
    0,
    "the release goes on; the exit code and the database say what happened",
)
def test_stdout_closed(case):
    case.history()
    quiet(case, f"exec {sys.executable} -m migrate up >&-")


@fault(
    "stdout is on a full disk",
    "/dev/full",
    0,
    "the release goes on; the exit code and the database say what happened",
)
def test_full_disk(case):
    case.history()
    quiet(case, f"exec {sys.executable} -m migrate up >/dev/full")


@fault(
    "the reader of stdout goes away",
    "a pipe to `head -1`",
    0,
    "EPIPE is no reason to end a release",
)
def test_reader_gone(case):
    case.history()
    quiet(case, f"set -o pipefail; {sys.executable} -m migrate up | head -1 >/dev/null")


def quiet(case, script):
    """Run it in a shell; nothing can be read from it but its exit code and the database."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": case.database.url}
    found = subprocess.run(
        ["/bin/bash", "-c", script], cwd=case.project.path, env=environment, capture_output=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, b"")
    case.ends(Result(0, b"", b""), silent=True)


@fault(
    "a uid without a passwd entry and without a home",
    "a user namespace in which we are uid 54321, HOME unset",
    0,
    "no home and no name are needed",
)
def test_no_home(case):
    unshare = shutil.which("unshare")
    prefix = (unshare or "", "--user", "--map-user=54321", "--map-group=54321")
    if unshare is None or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces are not allowed here")
    case.history()
    case.ends(case.up(prefix=prefix))


@fault(
    "a read-only file system",
    "a mount namespace in which / and /tmp are mounted read-only",
    0,
    "nothing is written",
)
def test_read_only(case):
    unshare = shutil.which("unshare")
    script = 'mount --make-rprivate / && mount -o bind,remount,ro / / && exec "$@"'
    if (
        unshare is None
        or subprocess.run(
            [unshare, "-m", "sh", "-c", script, "sh", "true"], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounts are not allowed here")
    case.history()
    script = 'mount --make-rprivate / && mount -o bind,remount,ro / / && ! touch here 2>/dev/null && exec "$@"'
    case.ends(case.up(prefix=(unshare, "-m", "sh", "-c", script, "sh")))


@fault(
    "driver errors that carry data",
    "a unique violation, a failing cast and a NOT NULL violation, whose DETAIL and statement hold a user's data",
    30,
    "only the primary message is shown",
)
def test_details(case):
    case.history()
    trouble = (
        'op.execute("CREATE TABLE people (mail text PRIMARY KEY)")\n'
        "op.execute(\"INSERT INTO people VALUES ('jane.doe@example.org')\")\n"
        "op.get_bind().execute(sa.text('INSERT INTO people VALUES (:m)'), {'m': 'jane.doe@example.org'})"
    )
    result = case.ends(case.up(trouble=trouble))
    assert result.finished["sqlstate"] == "23505"
    assert b"jane.doe" not in result.stdout


@fault(
    "a revision raises the URL",
    "RuntimeError(os.environ['DATABASE_URL']), and it prints and logs it too",
    30,
    "redacted in the exception, the printed line and the log record, in every encoding",
)
def test_url_in_errors(case):
    case.history()
    trouble = (
        "import logging, urllib.parse, json\nurl = os.environ['DATABASE_URL']\nprint(url); print(urllib.parse.unquote(url))\n"
        "print(json.dumps(urllib.parse.unquote(url))); print(repr(urllib.parse.unquote(url)))\n"
        "logging.getLogger('app').error('cannot use %s', url)\nraise RuntimeError(urllib.parse.unquote(url))"
    )
    case.ends(case.up(trouble=trouble))


@fault(
    "a second connection fails with its URL",
    "the revision connects with a wrong port through psycopg2, SQLAlchemy's error carries the DSN",
    30,
    "redacted",
)
def test_url_in_driver_errors(case):
    case.history()
    trouble = (
        "import re\nurl = re.sub(r':[0-9]+/', ':1/', os.environ['DATABASE_URL'])\n"
        "sa.create_engine(re.sub('^postgres(ql)?:', 'postgresql+psycopg2:', url)).connect()"
    )
    case.ends(case.up(trouble=trouble))
