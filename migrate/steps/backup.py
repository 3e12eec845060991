"""Keeps the database as it is before the first change: a dump that was read back, or a program of the operator's."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from migrate.core.decide.backup import file_name, restore_command
from migrate.core.events import Event, Name
from migrate.core.interruption import Interrupted
from migrate.core.problems import Fix, Stop, advice, again, shell, stop
from migrate.core.problems.privileges import fix_of_denied
from migrate.core.quoting import word
from migrate.postgres import activity
from migrate.postgres.backend_names import BACKUP_NAME
from migrate.postgres.client_tools import find_client_tools, without_secrets
from migrate.postgres.errors import problem_of
from migrate.steps.control import ANSWER_S, ask, without_ours
from migrate.steps.failure import ended_early

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from migrate.core.decide.observation import Server
    from migrate.core.target import Target
    from migrate.postgres.client_tools import ClientTools
    from migrate.postgres.connection import Connection
    from migrate.steps.order import BackupPlace
    from migrate.steps.run import Run

TICK_S: Final = 0.5
ANSWER_EVERY_S: Final = 20.0  # a control connection that is silent for hours would be ended by a role's timeouts
SILENT_S: Final = 60.0  # as long as the guard's lease: pg_dump asks again and again, or lets itself be sent rows
NOTICED_S: Final = 0.5  # within which the guard's end is noticed, where the server ended pg_dump with it
SHOWN_LINES: Final = 200
LINE_BYTES: Final = 6000
CHUNK: Final = 1 << 20
PARTIAL: Final = ".partial"  # until it is proven
# The end of such a file's name, as `file_name` gives it.
_UNPROVEN: Final = re.compile(rf"-[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{12}}\.dump{re.escape(PARTIAL)}$")


def refuse_impossible(place: BackupPlace, server: Server, target: Target, environ: Mapping[str, str]) -> None:
    """Raises Stop for a backup that cannot succeed, before the guard is taken."""
    if place.command and shutil.which(place.command[0], path=environ.get("PATH")) is None:
        fix = advice(f"put {word(place.command[0])} into the image, or correct MIGRATE_BACKUP_COMMAND")
        raise stop("cannot-back-up", f"the backup command {place.command[0]} is not found", fix=fix)
    if place.folder is None:
        return
    if not place.folder.is_dir():
        # made here it would be in the container, which is gone when the backup is needed
        fix = advice(f"mount a volume at {word(place.folder)} (or: mkdir -p {word(place.folder)})")
        raise stop("cannot-back-up", f"{place.folder} is not a folder", fix=fix)
    if not os.access(place.folder, os.W_OK | os.X_OK):
        fix = advice(f"let user id {os.geteuid()} write to {word(place.folder)}")
        raise stop("cannot-back-up", f"{place.folder} cannot be written to", fix=fix)
    if server.pooled:
        raise stop(
            "pooler-session",
            f"{target.url_from} leads to a transaction pooler, through which pg_dump would leave settings to others",
        )
    find_client_tools(server.major, environ)


class BackingUp:
    """One backup under the guard."""

    def __init__(self, run: Run, place: BackupPlace) -> None:
        self.run = run
        self.place = place
        self._shown = 0
        self._answered_s = time.monotonic()
        self._served_s: float | None = None  # when pg_dump was last seen to be served, while it is at work
        self._ends_s = time.monotonic() + run.context.limits.backup_s if run.context.limits.backup_s else float("inf")

    def carry_out(self) -> None:
        """Take it, prove it and say the way back, which the last line repeats. Raises Stop or Interrupted."""
        run = self.run
        step_id = run.ledger.start("backup")
        try:
            found = self._take()
        except (Stop, Interrupted):
            run.ledger.finish(step_id, "failed")
            raise
        run.backup = found
        run.ledger.finish(step_id, "finished", found)
        said = found.get("backup_file") or f"{found['backup_command']} ended well"
        size = f" ({found['backup_bytes']} bytes)" if "backup_bytes" in found else ""
        run.context.emit(Event(Name.BACKUP_FINISHED, f"backup: {said}{size}", fields=found))

    def _take(self) -> dict[str, object]:
        run, server = self.run, self.run.before.server
        unknown = (None, None, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        lsn, at, stamp = ask(run, _where_in_the_log, within_s=ANSWER_S) or unknown
        found: dict[str, object] = {"backup_lsn": lsn, "backup_at": at}
        name = file_name(server.database, run.before.rows, stamp, run.context.run_id)
        environ = without_ours(run.order.environ) | {"MIGRATE_BACKUP_NAME": name}
        if self.place.folder is not None:
            path = (self.place.folder / name).absolute()
            found |= self._dump(path)
            environ["MIGRATE_BACKUP_FILE"] = str(path)
        if self.place.command:
            self._run(self.place.command, environ, "the backup command")
            found["backup_command"] = self.place.command[0]
        return found

    def _dump(self, path: Path) -> dict[str, object]:
        """Dump into a file beside, and give it its name once it was read back and is on the disk."""
        run = self.run
        tools = find_client_tools(run.before.server.major, run.order.environ)
        unproven = path.with_name(path.name + PARTIAL)
        held: int | None = None
        try:
            _sweep(path.parent)
            held = _reserve(unproven)
            name = f"{BACKUP_NAME}{run.context.run_id}"
            connecting = without_secrets(
                run.order.target,
                without_ours(run.order.environ),
                application_name=name,
                connect_s=run.context.limits.connect_s,
            )
            with connecting as (dsn, environ):
                wait = f"--lock-wait-timeout={run.context.limits.lock_s * 1000:.0f}"
                argv = [str(tools.pg_dump), "-Fc", "--no-password", wait, f"--file={unproven}", f"--dbname={dsn}"]
                self._served_s = time.monotonic()
                self._run(argv, environ, "pg_dump")
                self._served_s = None
            entries = self._prove(tools, unproven)
            digest, size = self._digest(unproven)
            unproven.rename(path)
            _sync(path.parent)
        except OSError as error:
            raise _failed(f"{unproven}: {error.strerror}", advice(f"look at the disk of {path.parent}")) from error
        finally:
            unproven.unlink(missing_ok=True)
            if held is not None:
                os.close(held)
        return {
            "backup_file": str(path),
            "backup_bytes": size,
            "backup_sha256": digest,
            "backup_entries": entries,
            "backup_by": f"pg_dump {tools.version}",
            "restore": restore_command(
                str(path),
                program=_migrate_as_typed(run.order.environ),
                schemas=run.order.target.schemas_beside(run.before.server.schema),
                version_table=(run.before.server.schema or "", run.order.target.version_table),
            ),
        }

    def _prove(self, tools: ClientTools, path: Path) -> int:
        """The number of entries in the dump's table of contents, after every byte of it was read back.

        The table stands at the dump's beginning: listing it alone would not notice that the end is missing.
        """
        with tempfile.TemporaryFile() as listing:
            self._run(
                [str(tools.pg_restore), "--list", str(path)],
                without_ours(self.run.order.environ),
                "pg_restore --list",
                listing,
            )
            listing.seek(0)
            entries = sum(1 for line in listing if line.strip() and not line.startswith(b";"))
        nothing = f"--file={os.devnull}"
        self._run([str(tools.pg_restore), nothing, str(path)], without_ours(self.run.order.environ), "pg_restore")
        return entries

    def _digest(self, path: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                self._go_on()
            os.fsync(file.fileno())
        return digest.hexdigest(), size

    def _run(self, argv: Sequence[str], environ: Mapping[str, str], what: str, output: Any = None) -> None:
        """Run a program to its end; what it prints becomes lines. Raises Stop where it does not exit with 0."""
        leash, line = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "migrate.postgres.leash", str(leash), *argv],
                env=dict(environ),
                cwd=self.run.order.project.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if output is None else output,
                stderr=subprocess.STDOUT if output is None else subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is for us, and we end it
                pass_fds=(leash,),
            )
        except OSError as error:
            os.close(line)
            raise _failed(
                f"{what} could not be started: {error.strerror}", advice(f"look at {sys.executable}")
            ) from error
        finally:
            os.close(leash)
        stream = process.stdout if output is None else process.stderr
        assert stream is not None
        reason = b""  # the first error, of which the lines after it only tell the place; else the last line
        try:
            with stream:
                for said in self._lines(stream.fileno()):
                    reason = reason if b"error:" in reason.lower() else said
                    self._say(said, what)
            while process.poll() is None:
                self._go_on()
                time.sleep(0.05)
        finally:
            os.close(line)  # ends the program and what it started, if it has not ended
            process.wait()
        if process.returncode != 0:
            select.select([self.run.guard.lost_fd], [], [], NOTICED_S)
            self._go_on()
            code = process.returncode
            ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
            words = self.run.context.redact(f": {reason.decode('utf-8', 'replace')}" if reason else "")
            fix = advice("fix what it names, then run ", again(), " again")
            if "row-level security" in words:
                fix = fix_of_denied(words, self.run.before.server.user, note="pg_dump must see every row")
            raise _failed(f"{what} {ended}{words}", fix)

    def _lines(self, fd: int) -> Iterator[bytes]:
        pending = b""
        while True:
            self._go_on()
            readable, _, _ = select.select(
                [fd, self.run.context.interruption.fd, self.run.guard.lost_fd], [], [], TICK_S
            )
            if fd not in readable:
                continue
            chunk = os.read(fd, 65536)
            *lines, pending = (pending + chunk).split(b"\n")
            yield from (line for line in lines if line.strip())
            if not chunk or len(pending) > LINE_BYTES:
                if pending.strip():
                    yield pending
                pending = b""
            if not chunk:
                return

    def _say(self, line: bytes, what: str) -> None:
        self._shown += 1
        if self._shown <= SHOWN_LINES:
            said = line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
            self.run.context.emit(Event(Name.BACKUP_OUTPUT, said, fields={"program": what}))

    def _go_on(self) -> None:
        """Be heard, keep the connection awake, and raise what ends the run."""
        run, now = self.run, time.monotonic()
        run.context.interruption.check()
        if run.guard.lost is not None:
            raise self._lost()
        if run.must_end:
            raise ended_early(run)
        if now > self._ends_s:
            fix = shell("export MIGRATE_BACKUP_TIMEOUT=4h", note="allows more time")
            raise _failed(f"it took longer than {run.context.limits.backup_s:g} s", fix)
        run.context.beat()
        if now - self._answered_s > ANSWER_EVERY_S:
            self._answered_s = now
            name = f"{BACKUP_NAME}{run.context.run_id}"
            is_served = ask(run, lambda connection: activity.is_served(connection, name, ANSWER_EVERY_S), within_s=0.0)
            if self._served_s is None:
                return
            if is_served is not False:
                self._served_s = now
            elif now - self._served_s > SILENT_S:
                ask(run, lambda connection: activity.terminate_all(connection, name), within_s=0.0)  # it holds locks
                why = f"the server has had nothing to do for pg_dump for {SILENT_S:.0f} s: its connection is lost"
                raise stop("connection-lost", f"no change without a backup: {why}")

    def _lost(self) -> Stop:
        """The stop for a guard that is gone: alone, or with all the others, as at the server's end."""
        try:
            self.run.control.row("SELECT 1")
        except psycopg2.Error as error:
            return problem_of(error, doing="the backup, before any change")
        return ended_early(self.run)


def _reserve(path: Path) -> int:
    """A new file that nobody else may read, since it will hold every row, and a lock on it for as long as we live."""
    while True:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks: then nobody sweeps there either
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # swept between the two


def _sweep(folder: Path) -> None:
    """Remove the dumps that runs left which were killed: those that nobody holds the lock of."""
    for path in folder.iterdir():
        if _UNPROVEN.search(path.name):
            with contextlib.suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _migrate_as_typed(environ: Mapping[str, str]) -> list[str]:
    """How a shell with that environment calls this very installation: by its name, or by its interpreter."""
    first = shutil.which("migrate", path=environ.get("PATH"))
    is_ours = first is not None and Path(first).parent.samefile(Path(sys.executable).parent)
    return ["migrate"] if is_ours else [sys.executable, "-P", "-m", "migrate"]


def _where_in_the_log(connection: Connection) -> tuple[str, str, str]:
    """The position in the write-ahead log and the time, for a recovery to this point; and the time for a file's name."""
    row = connection.row(
        "SELECT pg_catalog.pg_current_wal_lsn()::text,"
        " pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"
        " pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"')"
    )
    return row[0], row[1], row[2]


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failed(why: str, fix: Fix) -> Stop:
    return stop("backup-failed", f"no change without a backup: {why}", fix=fix)
