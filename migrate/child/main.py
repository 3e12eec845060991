"""The child process that runs the user's env.py and revisions; Alembic is imported in this folder only.

It is started by `migrate.child.parent`, talks to it over one socket (a JSON object a line each way) and never decides anything.
A process of its own, because a revision may do what it likes to its interpreter (docs/decisions/0002-child-process.md).
"""

from __future__ import annotations

import ctypes
import inspect
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.engine import Engine

from migrate.child import driver_fence, scripts
from migrate.child import records as foreign_records
from migrate.child.channel import Channel, Pulse
from migrate.child.config import load_config
from migrate.child.course import Refused, Stopped, Unsure
from migrate.child.errors import is_refused_block, report
from migrate.child.flask_context import NoApplication, application_context
from migrate.child.seam import Seam
from migrate.core.problems.driver_errors import sqlstate_of
from migrate.core.shadow import strangers
from migrate.core.url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_ENDS_TRANSACTION: Final = "2D000"  # a COMMIT in a procedure or a DO block that was called in a transaction


def run(job: Mapping[str, Any], channel: Channel) -> None:
    """Do one job and tell how it ended: `done`, `refused`, `stopped` or `failed`."""
    seam: Seam | None = None
    os.environ.update(job.get("environ", {}))
    try:
        config = load_config(job)
        if job["do"] == "graph":
            channel.tell("graph", revisions=graph_of(ScriptDirectory.from_config(config)))
            return
        try:
            seam = Seam(config, scripts.script_directory(config, job), job, channel)
            _run_env(seam, job)
        except Exception:
            if not config.asked_in_vain or seam is None or seam.has_begun or channel.is_forked:
                raise
            # it looked where nobody wrote a URL, and what it took instead did not lead here: let it find one there
            config = load_config(job, gives_url=True)
            seam = Seam(config, scripts.script_directory(config, job), job, channel)
            _run_env(seam, job)
        channel.tell("done", revision=seam.course.current, opener=seam.opener)
    except Refused as refused:
        _tell_refusal(channel, seam, refused)
    except Unsure as unsure:
        tables = [[s.schema, s.table, None if s.columns is None else sorted(s.columns)] for s in unsure.suspects]
        channel.tell("unsure", revision=seam.course.current if seam else None, tables=tables)
    except Stopped:
        channel.tell("stopped")
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a revision must not end as a success
        if channel.is_forked:
            os._exit(0 if isinstance(error, SystemExit) and not error.code else 1)
        no_application = seam.no_application if seam is not None else None
        if no_application is not None and isinstance(error, RuntimeError) and "application context" in str(error):
            why = f"env.py needs the context of a Flask application, and none was found: {no_application}"
            channel.tell("refused", code="no-flask-app", why=why, names={"env_py": job["env_py"]}, facts={})
            return
        if seam is not None and is_refused_block(error):
            why = f"revision {seam.course.current} enters an autocommit block, which Alembic refuses in a transaction of env.py's own"
            channel.tell("refused", code="env-holds-transaction", why=why, names={"env_py": job["env_py"]}, facts={})
            return
        phase = seam.course.phase if seam is not None else "env"
        if isinstance(error, CommandError) and phase == "env":
            phase = "alembic"
        told = report(error, job)
        if seam is not None and seam.wraps and sqlstate_of(error) == _ENDS_TRANSACTION:
            _tell_refusal(channel, seam, seam.losses.unknown("calls what commits by itself"))
            return
        if seam is not None and not told["disconnect"]:
            told["left_nothing"] = seam.left_nothing(sqlstate_of(error))
        channel.tell("failed", phase=phase, revision=seam.course.current if seam else None, error=told)


def _tell_refusal(channel: Channel, seam: Seam | None, refused: Refused) -> None:
    left_nothing = seam is not None and seam.left_nothing(None)
    about = {"names": refused.names, "facts": refused.facts, "left_nothing": left_nothing}
    channel.tell("refused", code=refused.code, why=str(refused), **about)


@contextmanager
def _context_of(script: ScriptDirectory, job: Mapping[str, Any]) -> Iterator[NoApplication | None]:
    """The context that env.py needs; why there is none, which counts only where env.py has none of its own."""
    try:
        context = application_context(Path(script.dir) / "env.py", job["flask_app"])
    except NoApplication as found:
        yield found
        return
    with context:
        yield None


def _keep_inside(fence: Mapping[str, Any], seam: Seam, env_py: str) -> None:
    """Let no driver connect to another server than a shadow's, whatever env.py and the revisions ask for."""
    url = DatabaseUrl.parse(fence["url"])

    def judge(server: driver_fence.Server) -> None:
        others = strangers(*server, url, fence["allowed"])
        if others:
            who = f"revision {seam.course.current}" if seam.course.current is not None else "env.py"
            why = f"{who} would have connected to {', '.join(others)}, which is not the throw-away server"
            seam.strayed = Refused("other-server", why, env_py=env_py, allow=",".join(others))
            raise seam.strayed

    driver_fence.of_this_process().judge = judge


def _run_env(seam: Seam, job: Mapping[str, Any]) -> None:
    """Run env.py once. Raises what it raised, what the migrations raised, and what it ended without."""
    if job["fence"] is not None:
        _keep_inside(job["fence"], seam, job["env_py"])
    seam.listen_beside()
    try:
        with seam.environment, _context_of(seam.script, job) as seam.no_application:
            seam.script.run_env()
    except BaseException:
        # of a look only its refusals count: env.py may want what no revision has made yet
        if seam.course.channel.is_forked or (seam.raised is None and not job.get("looks")):
            raise
    finally:
        seam.stop_listening()
    seam.refuse_unproven()
    seam.tell_differences()


def graph_of(script: ScriptDirectory) -> list[dict[str, object]]:
    """The revisions as Alembic loads them, for histories whose ids are computed."""
    return [
        {
            "id": revision.revision,
            "down": list(_several(revision.down_revision)),
            "depends_on": list(_several(revision.dependencies)),
            # without those that Alembic hands down
            "labels": sorted(revision._orig_branch_labels),  # noqa: SLF001
            "message": revision.doc or "",
            "file": revision.path,
        }
        for revision in script.walk_revisions()
    ]


def _several(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _say(record: Mapping[str, object], channel: Channel) -> None:
    if channel.is_forked:  # the line to the parent is not its own; what it prints is shown all the same
        sys.stderr.write(f"{record.get('message')}\n")
    else:
        channel.tell("record", record=record)


def main(fd: int) -> None:
    """Serve jobs until the parent closes the line."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    # A terminal's Ctrl-C reaches the whole group; the parent cancels on the server and says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(fd, False)  # noqa: FBT003 - the name of the function says what it is
    for stream in (sys.stdout, sys.stderr):
        # a line that a revision prints belongs between the events around it, whatever the locale can encode
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    channel = Channel(fd)
    foreign_records.capture(lambda record: _say(record, channel))
    Pulse(channel).start()
    channel.tell("ready")
    engines: WeakSet[Engine] = WeakSet()
    event.listen(Engine, "engine_connect", lambda connection, *_: engines.add(connection.engine))
    while True:
        job = channel.receive()
        for engine in list(engines):  # an application's own keeps connections to a database that was replaced since
            _forget_connections(engine)
        run(job, channel)


def _forget_connections(engine: Engine) -> None:
    """Let an engine's pool begin anew, without a word on its old connections: they are another event loop's, or cut."""
    if "close" in inspect.signature(engine.dispose).parameters:  # since SQLAlchemy 1.4.33
        engine.dispose(close=False)
    else:
        engine.dispose()
