"""`--notify`: told to a real receiver; one that hangs, fails or is not there changes nothing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.process import assert_absent

TOKEN = "Zk3vQ9tLw7xR2mB8"


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, status):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.told = []
        self.began = threading.Event()
        self.released = threading.Event()

    def url(self, **options):
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"json://me:{TOKEN}@127.0.0.1:{self.server_address[1]}/{TOKEN}x/{'?' if query else ''}{query}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, json.loads(body)))
        self.server.began.set()
        if self.server.status is None:
            self.server.released.wait(60)
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def receiver(status=200):
    server = Receiver(status)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def refused(project, database):
    """A database that `up` refuses: there are tables and no version."""
    project.linear(1)
    database.execute("CREATE TABLE orders (id integer)")
    return database


def check_no_token(result):
    assert_absent(TOKEN, result.stdout)
    assert result.stderr == b""


def test_a_refusal_is_told(refused, run_migrate):
    with receiver() as server:
        result = run_migrate("up", "--notify", server.url(), database=refused, env={"MIGRATE_SERVICE": "shop"})
    result.check_clean()
    check_no_token(result)
    assert result.exit_code == 15
    assert not result.named("notify.warning")
    ((path, told),) = server.told
    assert path == f"/{TOKEN}x/", "the receiver was found by the whole address"
    assert told["type"] == "warning"
    database = result.finished["db_name"]
    assert told["title"] == f"migrate up: {result.finished['title']} (shop, {database})"
    lines = dict(line.split(": ", 1) for line in told["message"].splitlines())
    assert lines["where"] == "shop"
    assert lines["database"] == f"{database} at {result.finished['server_address']}"
    assert lines["state"].startswith("refused, exit code 15 state")
    assert lines["problem"].startswith("untracked: ")
    assert lines["fix"] == result.finished["fix"]
    assert lines["run"] == result.finished["run_id"]
    assert lines["took"] == f"{result.finished['duration_ms']} ms"


def test_a_database_that_is_not_reached_is_named_by_its_url(project, run_migrate):
    project.linear(1)
    with receiver() as server, socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        env = {"DATABASE_URL": f"postgresql://u@{address}/shop_db", "MIGRATE_CONNECT_TIMEOUT": "1"}
        result = run_migrate("up", "--notify", server.url(), env=env)
    assert result.exit_code == 20
    ((_, told),) = server.told
    assert f"database: shop_db at {address}" in told["message"].splitlines()


def test_a_failure_is_told(project, database, run_migrate):
    project.revision("one", message="one", upgrade="raise RuntimeError('postgresql://me:hunter2hunter2@db/app')")
    with receiver() as server:
        result = run_migrate("up", database=database, env={"MIGRATE_NOTIFY": server.url()})
    result.check_clean(secret="hunter2hunter2")
    check_no_token(result)
    assert result.exit_code == 30
    ((_, told),) = server.told
    assert told["type"] == "failure"
    assert "failed: one" in told["message"].splitlines()
    assert "hunter2" not in json.dumps(told), "what is told is as clean as the log"
    assert database.password[:8] not in json.dumps(told)


@pytest.mark.parametrize("place", ["flag", "variable"])
def test_whatever_a_revision_prints_no_address_is_shown(project, database, run_migrate, place):
    leaks = "import os\nprint(os.environ.get('MIGRATE_NOTIFY'), open(f'/proc/{os.getppid()}/cmdline').read())"
    project.revision("one", message="one", upgrade=leaks)
    address = f"json://me:{TOKEN}@127.0.0.1:1/{TOKEN}x/"
    flags, environment = (["--notify", address], {}) if place == "flag" else ([], {"MIGRATE_NOTIFY": address})
    result = run_migrate("up", *flags, database=database, env=environment)
    result.check_clean()
    check_no_token(result)
    # a flag stands in the command line; the variable is not handed to revisions at all
    printed = "".join(line["message"] for line in result.named("revision.output"))
    assert ("***" if place == "flag" else "None") in printed, "it was printed"


def test_success_is_told_only_where_it_is_asked_for(project, database, run_migrate):
    ids = project.linear(2)
    with receiver() as server:
        assert run_migrate("up", "--notify", server.url(), database=database).exit_code == 0
        assert server.told == []
        project.linear(1, prefix="s", down=ids[-1])
        result = run_migrate("up", "--notify", server.url(), "--notify-on", "success", database=database)
    assert result.exit_code == 0
    ((_, told),) = server.told
    assert told["type"] == "success"
    assert told["title"] == f"migrate up: applied (migrate, {result.finished['db_name']})"
    assert "applied: 1: s0001" in told["message"].splitlines()


def test_verbs_that_change_nothing_tell_nobody(refused, run_migrate):
    with receiver() as server:
        for verb in ("plan", "status", "doctor"):
            run_migrate(verb, database=refused, env={"MIGRATE_NOTIFY": server.url()})
    assert server.told == []


def test_every_address_is_told_whatever_becomes_of_the_others(refused, run_migrate):
    with (
        receiver() as well,
        receiver(500) as broken,
        receiver(None) as hanging,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        nobody = f"json://127.0.0.1:{closed.getsockname()[1]}/"
        closed.close()
        addresses = [hanging.url(rto=60, cto=60), broken.url(), nobody, "nonsense://x", well.url()]
        flags = [part for address in addresses for part in ("--notify", address)]
        result = run_migrate("up", *flags, database=refused)
    result.check_clean()
    check_no_token(result)
    assert result.exit_code == 15, "nothing of this changes the exit code"
    assert [len(server.told) for server in (well, broken, hanging)] == [1, 1, 1]
    assert [line["message"] for line in result.named("notify.warning")] == [
        "notification 1 of 5 (json): no answer within 10 s",
        "notification 2 of 5 (json): the service did not take it",
        "notification 3 of 5 (json): the service did not take it",
        "notification 4 of 5 (nonsense): the address is not one that apprise knows",
    ]


def test_a_signal_while_telling_ends_the_run_as_it_was(project, database, start_migrate):
    ids = project.linear(1)
    with receiver(None) as hanging:
        url = hanging.url(rto=60, cto=60)
        running = start_migrate("up", "--notify", url, "--notify-on", "success", database=database)
        assert hanging.began.wait(30)
        running.signal(signal.SIGTERM)
        result = running.finish()
    result.check_clean()
    assert (result.exit_code, result.finished["outcome"], result.finished["applied"]) == (0, "applied", ids)


def test_without_the_extra(refused, run_migrate, tmp_path):
    # as if it were not installed: the name is found nowhere
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n_find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'apprise' else _find(name, *more)\n"
    )
    environment = {"MIGRATE_NOTIFY": f"json://{TOKEN}@127.0.0.1:1", "PYTHONPATH": str(tmp_path)}
    result = run_migrate("up", database=refused, env=environment)
    result.check_clean()
    check_no_token(result)
    assert result.exit_code == 15
    (warning,) = result.named("notify.warning")
    assert "pip install 'migrate-job[notify]'" in warning["message"]


def test_a_malformed_address_is_a_fault_of_the_settings_and_not_shown(refused, run_migrate):
    result = run_migrate("up", database=refused, env={"MIGRATE_NOTIFY": f"{TOKEN}"})
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-setting")
    check_no_token(result)


def test_the_settings_are_shown_without_the_address(project, database, run_migrate):
    project.linear(1)
    result = run_migrate("doctor", database=database, env={"MIGRATE_NOTIFY": f"json://{TOKEN}@127.0.0.1:1"})
    check_no_token(result)
    assert b"notify = *** (MIGRATE_NOTIFY)" in result.stdout


def test_a_run_that_tells_nobody_does_not_import_it(project, database, run_migrate):
    project.linear(1)
    assert run_migrate("up", database=database).exit_code == 0
    program = "import sys; from migrate.cli import run; run(['up']); sys.exit('migrate.output.notify' in sys.modules)"
    environment = {"DATABASE_URL": database.url, "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", program], cwd=project.path, env=environment, check=True, capture_output=True)
