"""What stands around a run: the server's configuration, other images, the operating system, and what a revision does to them."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from urllib.parse import urlencode, urlsplit

import psycopg2
import pytest

from tests.support.process import Running, migrate_command, minimal_environment
from tests.support.proxy import Action
from tests.support.server import Database, Server
from tests.support.waiting import until

fault = pytest.mark.fault


@fault(
    "the role may not connect as often as a run needs",
    "ALTER ROLE … CONNECTION LIMIT 2: guard and control connect, env.py does not",
    24,
    "named as what it is, connections; nothing was changed",
)
def test_connection_limit(case):
    case.history()
    limit(case, 2)
    result = case.up().finish()
    limit(case, -1)
    case.ends(result)
    assert result.finished["problem"] == "no-resources"
    assert "too many connections" in result.finished["why"]


@fault(
    "the server's connections are used up for a while",
    "ALTER ROLE … CONNECTION LIMIT 0, for two seconds",
    0,
    "tried again until there is one",
)
def test_connections_used_up(case):
    case.history()
    limit(case, 0)
    running = case.up()
    until(lambda: len(running.so_far.named("connect.retry")) > 1)
    limit(case, -1)
    assert case.ends(running).finished["outcome"] == "applied"


def limit(case, connections):
    case.database.as_superuser.execute(f'ALTER ROLE "{case.database.user}" CONNECTION LIMIT {connections}')


@fault(
    "SIGTERM while a COMMIT waits for a synchronous standby that is gone",
    "synchronous_standby_names names nobody; the second revision's COMMIT waits for it",
    143,
    "the server has committed it: it counts as applied, and no further revision starts",
)
def test_signal_in_a_commit(crashing):
    running = waits_for_a_standby(crashing)
    running.signal(signal.SIGTERM)
    result = running.finish()
    alone(crashing)
    crashing.ends(result)
    assert result.finished["applied"] == ["r0001", "r0002"]


@fault(
    "the deadline comes while a COMMIT waits for a synchronous standby that is gone",
    "the same, with --deadline 5s",
    25,
    "the server has committed it: it counts as applied, and no further revision starts",
)
def test_deadline_in_a_commit(crashing):
    result = waits_for_a_standby(crashing, "--deadline", "5").finish()
    alone(crashing)
    crashing.ends(result)
    assert (result.finished["problem"], result.finished["applied"]) == ("deadline", ["r0001", "r0002"])
    assert any("synchronous standby" in said["message"] for said in result.named("statement.progress"))


def waits_for_a_standby(case, *flags):
    """A run whose second revision's COMMIT waits for good; the ledger's rows do not."""
    case.history()
    admin = case.database.as_superuser
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    admin.execute("SELECT pg_reload_conf()")
    running = case.up(*flags, trouble="op.execute('SET LOCAL synchronous_commit = on')")
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    until(lambda: admin.rows(waiting), seconds=30, otherwise=lambda: running.so_far.stdout)
    return running


def alone(case):
    admin = case.database.as_superuser
    admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
    admin.execute("SELECT pg_reload_conf()")


@fault(
    "the primary dies in a revision and its standby takes over",
    "streaming replication; an immediate stop of the primary in pg_sleep(), then pg_promote(); the URL names both hosts"
    " with target_session_attrs=read-write",
    23,
    "rolled back, judged on the new primary; the next run goes on there",
)
def test_failover(crashing, server_of_its_own, standby):
    case = crashing
    case.history()
    hosts = [("host", f"127.0.0.1:{port}") for port in (server_of_its_own.port, standby.port)]
    parts = urlsplit(case.database.url)
    url = parts._replace(
        scheme="postgresql+psycopg2",
        netloc=f"{parts.netloc.rpartition('@')[0]}@",
        query=urlencode([*hosts, ("target_session_attrs", "read-write")]),
    ).geturl()
    running = case.up(url=url, trouble="op.execute('SELECT pg_sleep(60)')")
    running.wait_for("revision.started", revision="r0002")
    standby.wait_until("SELECT version_num FROM alembic_version", ("r0001",), case.database)
    server_of_its_own.stop("immediate")
    standby.admin(case.database).rows("SELECT pg_promote()")
    result = running.finish()
    case.database = standby.of(case.database)
    case.ends(result)
    assert (result.finished["problem"], result.finished["applied"]) == ("connection-lost", ["r0001"])
    server_of_its_own.start()


@fault(
    "the URL leads to a standby",
    "streaming replication; the URL names the standby alone",
    13,
    "it cannot be written: refused before anything is tried",
)
def test_standby(crashing, server_of_its_own, standby):
    case = crashing
    case.history()
    case.at("r0002")
    standby.wait_until("SELECT version_num FROM alembic_version", ("r0002",), case.database)
    url = case.database.url.replace(f":{server_of_its_own.port}/", f":{standby.port}/")
    result = case.ends(case.up(url=url))
    assert result.finished["problem"] == "not-writable"
    assert not result.named("guard.acquired")


class Standby:
    """A hot standby of a server, made with pg_basebackup; `admin_url` is its superuser's."""

    def __init__(self, primary):
        """Start it."""
        folder = primary.data_dir.with_name(f"standby-{time.monotonic_ns()}")
        spawn = primary._spawn  # in the account and the environment of the primary
        arguments = ["-D", str(folder), "-R", "--checkpoint=fast", "--dbname", primary.url()]
        assert spawn("pg_basebackup", *arguments).wait(60) == 0, primary.log_file.read_text()[-2000:]
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings |= {"max_connections": 50, "max_wal_senders": 4}  # no less than the primary's
        self.admin_url = primary.url().replace(f":{primary.port}/", f":{self.port}/")
        self._process = spawn("postgres", "-D", str(folder), *(f"--{name}={value}" for name, value in settings.items()))

    def of(self, database):
        """The same database here."""
        return Database(Server(self.admin_url), database.name, database.role)

    def admin(self, database):
        """The same, through the superuser."""
        return self.of(database).as_superuser

    def wait_until(self, query, row, database):
        """Return once the query has this one row here."""

        def has_it():
            with suppress(psycopg2.Error):
                return self.admin(database).rows(query) == [row]

        until(has_it, seconds=30, otherwise="the standby does not follow")

    def stop(self):
        """End it."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)


@pytest.fixture
def standby(crashing, server_of_its_own):
    """A hot standby of the server of its own."""
    made = Standby(server_of_its_own)
    yield made
    made.stop()


@fault(
    "an older image and a newer one at once",
    "the newer image is at its last revision, which the older one does not have, when the older one comes",
    0,
    "the older one waits for the guard, then lets the newer database stand, whose ledger proves that it is newer",
)
def test_two_images(case):
    case.history()
    older = case.project.path.parent / "older"
    shutil.copytree(case.project.path, older)
    (older / "migrations" / "versions" / "r0003_third.py").unlink()
    environment = {**minimal_environment(), "MIGRATE_SHADOW_URL": case.database.server.admin_url}
    assert Running(migrate_command("manifest"), cwd=older, env=environment).finish().exit_code == 0
    newer = case.up(trouble="time.sleep(6)")
    newer.wait_for("revision.started", revision="r0002")
    environment = {**minimal_environment(), "DATABASE_URL": case.database.url}
    second = Running(migrate_command("up"), cwd=older, env=environment, password=case.database.password).finish()
    second.check_clean()
    assert (second.exit_code, second.finished["outcome"]) == (0, "ahead")
    assert second.named("guard.waiting")
    assert case.ends(newer).finished["outcome"] == "applied"


@fault(
    "the role's transactions are REPEATABLE READ",
    "ALTER ROLE … SET default_transaction_isolation = 'repeatable read'",
    0,
    "the worker's snapshot does not have the ledger's row: the control connection closes it",
)
def test_repeatable_read(case):
    case.history()
    admin = case.database.as_superuser
    admin.execute(f"ALTER ROLE \"{case.database.user}\" SET default_transaction_isolation = 'repeatable read'")
    result = case.ends(case.up())
    assert not result.named("ledger.warning")
    assert case.database.rows("SELECT DISTINCT status FROM migrate.step") == [("finished",)]


@fault(
    "a revision drops the ledger",
    "DROP SCHEMA migrate CASCADE",
    0,
    "a warning; the release does not depend on it",
)
def test_ledger_dropped(case):
    case.history()
    result = case.ends(case.up(trouble="op.execute('DROP SCHEMA migrate CASCADE')"))
    assert result.named("ledger.warning")


@fault(
    "a view is dropped while the catalog is read",
    "after the snapshot, and before PostgreSQL prints its definition",
    0,
    "read again",
)
def test_dropped_meanwhile(case):
    case.history()
    case.at("r0002")
    case.database.execute("CREATE VIEW other AS SELECT 1 AS n")
    gone = case.proxy.on(
        Action.PASS, b"pg_get_viewdef", role="guard", then=lambda: case.database.execute("DROP VIEW other")
    )
    result = case.up(proxied=True).finish()
    assert gone.hit.is_set()
    assert not result.named("statement.blocked")
    assert case.ends(result).finished["applied"] == ["r0003"]


@fault(
    "a revision drops the version table",
    "DROP TABLE alembic_version",
    30,
    "rolled back with the revision",
)
def test_version_table_dropped(case):
    case.history()
    result = case.ends(case.up(trouble="op.execute('DROP TABLE alembic_version')"))
    assert result.finished["problem"] == "revision-failed"


@fault(
    "a revision forks, and the forked process ends by sys.exit()",
    "os.fork(), sys.exit() in the child, os.waitpid() in the parent",
    0,
    "only the original speaks for the run, and on its connection",
)
def test_fork(case):
    case.history()
    trouble = "pid = os.fork()\nif pid == 0: sys.exit(0)\nos.waitpid(pid, 0)"
    assert case.ends(case.up(trouble=trouble)).finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "a revision forks, and the forked process goes on as if it were the run",
    "os.fork(), and both go on",
    0,
    "the forked process reaches neither the server nor the run, and ends",
)
def test_fork_goes_on(case):
    case.history()
    assert case.ends(case.up(trouble="os.fork()")).finished["applied"] == ["r0001", "r0002", "r0003"]


@fault(
    "a revision computes in a pool of processes, which log",
    "multiprocessing.Pool(2).map() of a function with logging.warning()",
    0,
    "what a forked process logs is shown as what it prints, and ends nothing",
)
def test_pool_that_logs(case):
    case.history()
    (case.project.path / "pooled.py").write_text(
        "import logging\n\n\ndef work(n):\n    logging.getLogger('app').warning('row %s', n)\n    return n\n"
    )
    trouble = (
        "import multiprocessing; sys.path.insert(0, os.getcwd()); import pooled\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: pool.map(pooled.work, [1, 2])"
    )
    result = case.ends(case.up("--deadline", "30s", trouble=trouble))
    assert sorted(e["message"] for e in result.named("revision.output") if e["message"].startswith("row")) == [
        "row 1",
        "row 2",
    ]


@fault(
    "a revision leaves a program behind that prints without end",
    "subprocess.Popen(['yes'])",
    0,
    "its last words are read for a moment only",
)
def test_program_that_prints_without_end(case):
    case.history()
    trouble = "import subprocess; subprocess.Popen(['yes', 'x' * 60], start_new_session=True)"
    result = case.ends(case.up(trouble=trouble))  # the run's end closes its output, which ends the program
    assert "more printed lines are not shown" in result.named("revision.output")[-1]["message"]


@fault(
    "a revision leaves a program behind that holds its output open",
    "subprocess.Popen(['sleep', '600'], start_new_session=True)",
    0,
    "nobody waits for it",
)
def test_daemon_left(case):
    case.history()
    trouble = (
        "import subprocess; left = subprocess.Popen(['sleep', '600'], start_new_session=True); print('pid', left.pid)"
    )
    result = case.ends(case.up(trouble=trouble))
    subprocess.run(["kill", result.named("revision.output")[0]["message"].split()[1]], check=False)


@fault(
    "a revision runs out of memory",
    "RLIMIT_AS, then a gigabyte in Python",
    24,
    "MemoryError is memory that ran out; rolled back",
)
def test_out_of_memory(case):
    case.history()
    trouble = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); everything = bytes(2 << 30)"
    result = case.ends(case.up(trouble=trouble))
    assert result.finished["problem"] == "no-resources"
    assert "memory" in result.finished["message"]


@fault(
    "a revision crashes the interpreter",
    "SIGSEGV in the process that runs the revisions",
    30,
    "the parent says which signal; rolled back",
)
def test_segmentation_fault(case):
    case.history()
    result = case.ends(case.up(trouble="import signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert result.finished["problem"] == "revision-exited"
    assert "SIGSEGV" in result.finished["why"]


@fault(
    "the server's name is not known",
    "a host under .invalid; --connect-timeout 2s",
    20,
    "bounded; nothing was changed",
)
def test_unknown_host(case):
    case.history()
    url = case.database.url.replace("@127.0.0.1", "@database.invalid")
    assert case.ends(case.up("--connect-timeout", "2", url=url)).finished["problem"] == "unreachable"


@fault(
    "SIGTERM while a name server says nothing",
    "network and mount namespaces in which the only name server swallows every question",
    143,
    "at once, although the resolver cannot be interrupted; nothing was changed",
)
def test_silent_name_server(case, tmp_path):
    unshare = shutil.which("unshare")
    namespaces = (unshare or "", "--mount", "--net")
    if unshare is None or subprocess.run([*namespaces, "true"], check=False, capture_output=True).returncode:
        pytest.skip("network namespaces are not allowed here")
    case.history()
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    script = f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec {sys.executable} -c '{_SWALLOWS}' \"$@\""
    url = case.database.url.replace("@127.0.0.1", "@database.example")
    running = case.up(url=url, prefix=(*namespaces, "bash", "-c", script, "bash"))
    running.wait_for("image.loaded")
    time.sleep(0.5)  # into the resolver, of which nothing is to be seen
    running.signal(signal.SIGTERM)
    case.ends(running)


# Brings the loopback interface up (SIOCSIFFLAGS, IFF_UP), takes the name server's port, and becomes what it is given.
_SWALLOWS = """
import fcntl, os, socket, struct, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(server, 0x8914, struct.pack("16sh14x", b"lo", 1))
server.bind(("127.0.0.1", 53))
os.set_inheritable(server.fileno(), True)
os.execv(sys.argv[1], sys.argv[1:])
"""
