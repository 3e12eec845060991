"""The child process that runs the user's env.py and revisions; Alembic is imported in this folder only.

It is started by `migrate.child.parent`, talks to it over one socket (`migrate.child.protocol`) and never decides anything.
A process of its own, because a revision may do what it likes to its interpreter (docs/decisions/0002-child-process.md).
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from migrate.child import driver_fence, records, scripts
from migrate.child.channel import Channel, DriverWatch, Stopped
from migrate.child.config import load_config
from migrate.child.course import Refused, Unsure
from migrate.child.engines import Engines
from migrate.child.errors import is_refused_block, report
from migrate.child.flask_context import NoApplication, application_context
from migrate.child.lifeline import end_with_parent
from migrate.child.protocol import (
    Close,
    Declined,
    Done,
    Doubtful,
    Failed,
    Go,
    Halt,
    Halted,
    History,
    LoadedRevision,
    LoadHistory,
    Logged,
    Ready,
    Start,
    Task,
)
from migrate.child.seam import Seam
from migrate.core.problems.driver_errors import sqlstate_of
from migrate.core.shadow import strangers
from migrate.core.url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from migrate.child.protocol import Servers, Setup

_ENDS_TRANSACTION: Final = "2D000"  # a COMMIT in a procedure or a DO block that was called in a transaction


def run(task: Task, channel: Channel) -> bool:
    """Do one task and tell how it ended; whether that was well."""
    seam: Seam | None = None
    os.environ.update(task.environ)
    command = ("check",) if task.wanted.compares else (task.kind, task.target)
    try:
        config = load_config(task.setup, *command)
        try:
            seam = Seam(config, scripts.script_directory(config, task.setup), task, channel)
            _run_env(seam, task)
        except Exception:
            if not config.asked_in_vain or seam is None or seam.has_begun or channel.is_forked:
                raise
            # it looked where nobody wrote a URL, and what it took instead did not lead here: let it find one there
            config = load_config(task.setup, *command, gives_url=True)
            seam = Seam(config, scripts.script_directory(config, task.setup), task, channel)
            _run_env(seam, task)
        channel.tell(Done(seam.opener))
    except Refused as refused:
        _tell_refusal(channel, seam, refused)
    except Unsure as unsure:
        channel.tell(Doubtful(seam.course.current if seam else None, tuple(unsure.suspects)))
    except Stopped:
        channel.tell(Halted())
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a revision must not end as a success
        _end_fork(channel, error)
        refusal = _refusal_of(error, seam, task)
        if refusal is not None:
            _tell_refusal(channel, seam, refusal)
        else:
            _tell_failure(channel, seam, error, task)
    else:
        return True
    return False


def _refusal_of(error: BaseException, seam: Seam | None, task: Task) -> Refused | None:
    """What an error means that says something else than what is wrong."""
    if seam is None:
        return None
    no_application = seam.no_application
    if no_application is not None and isinstance(error, RuntimeError) and "application context" in str(error):
        why = f"env.py needs the context of a Flask application, and none was found: {no_application}"
        return Refused("no-flask-app", why, env_py=task.env_py)
    if is_refused_block(error):
        why = f"revision {seam.course.current} enters an autocommit block, which Alembic refuses in a transaction of env.py's own"
        return Refused("env-holds-transaction", why, env_py=task.env_py)
    if seam.wraps and sqlstate_of(error) == _ENDS_TRANSACTION:
        return seam.losses.unknown("calls what commits by itself")
    return None


def _tell_failure(channel: Channel, seam: Seam | None, error: BaseException, task: Task) -> None:
    phase = seam.course.phase if seam is not None else "env"
    if isinstance(error, CommandError) and phase == "env":
        phase = "alembic"
    if seam is not None:
        seam.tell_unfinished(error)
    told = report(error, task.setup.folders, are_synthetic=task.servers is not None)
    left_nothing = seam is not None and not told.is_disconnect and seam.left_nothing(told.sqlstate)
    channel.tell(Failed(phase, told, left_nothing))


def _tell_refusal(channel: Channel, seam: Seam | None, refused: Refused) -> None:
    left_nothing = seam is not None and seam.left_nothing(None)
    channel.tell(Declined(refused.code, str(refused), refused.names, refused.facts, left_nothing))


def _end_fork(channel: Channel, error: BaseException) -> None:
    """End a process that a revision has forked: it does not speak for the run."""
    if channel.is_forked:
        os._exit(0 if isinstance(error, SystemExit) and not error.code else 1)


def load_history(setup: Setup, channel: Channel) -> None:
    """Tell the revisions as Alembic loads them."""
    try:
        channel.tell(History(history_of(ScriptDirectory.from_config(load_config(setup, "heads")))))
    except BaseException as error:  # noqa: BLE001 - as above
        _end_fork(channel, error)
        channel.tell(Failed("alembic", report(error, setup.folders)))


@contextmanager
def _context_of(script: ScriptDirectory, task: Task) -> Iterator[NoApplication | None]:
    """The context that env.py needs; why there is none, which counts only where env.py has none of its own."""
    try:
        context = application_context(Path(script.dir) / "env.py", task.flask_app)
    except NoApplication as found:
        yield found
        return
    with context:
        yield None


def _keep_inside(servers: Servers, seam: Seam, env_py: str) -> None:
    """Let no driver connect to another server than a shadow's, whatever env.py and the revisions ask for."""
    url = DatabaseUrl.parse(servers.url)

    def judge(server: driver_fence.Server) -> None:
        others = strangers(*server, url, servers.allowed)
        if others:
            who = f"revision {seam.course.current}" if seam.course.current is not None else "env.py"
            why = f"{who} would have connected to {', '.join(others)}, which is not the throw-away server"
            seam.strayed = Refused("other-server", why, env_py=env_py, allow=",".join(others))
            raise seam.strayed

    driver_fence.of_this_process().judge = judge


def _run_env(seam: Seam, task: Task) -> None:
    """Run env.py once. Raises what it raised, what the migrations raised, and what it ended without."""
    if task.servers is not None:
        _keep_inside(task.servers, seam, task.env_py)
    seam.listen_beside()
    try:
        with seam.environment, _context_of(seam.script, task) as seam.no_application:
            seam.script.run_env()
    except BaseException:
        # of a look only its refusals count: env.py may want what no revision has made yet
        if seam.course.channel.is_forked or (seam.raised is None and not task.looks):
            raise
    finally:
        seam.stop_listening()
    seam.refuse_unproven()
    seam.tell_differences()


def history_of(script: ScriptDirectory) -> tuple[LoadedRevision, ...]:
    """The revisions as Alembic loads them, for histories whose ids are computed."""
    return tuple(
        LoadedRevision(
            id=revision.revision,
            down=_several(revision.down_revision),
            depends_on=_several(revision.dependencies),
            # without those that Alembic hands down
            labels=tuple(sorted(revision._orig_branch_labels)),  # noqa: SLF001
            message=revision.doc or "",
            file=revision.path,
        )
        for revision in script.walk_revisions()
    )


def _several(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _say(record: dict[str, object], channel: Channel) -> None:
    if channel.is_forked:  # the line to the parent is not its own; what it prints is shown all the same
        sys.stderr.write(f"{record.get('message')}\n")
    else:
        channel.tell(Logged(record))


def main(fd: int) -> None:
    """Serve orders until the parent closes the line."""
    end_with_parent(fd)
    for stream in (sys.stdout, sys.stderr):
        # a line that a revision prints belongs between the events around it, whatever the locale can encode
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    channel = Channel(fd)
    records.capture(lambda record: _say(record, channel))
    DriverWatch(channel).start()
    channel.tell(Ready())
    engines = Engines()
    while True:
        match channel.receive():
            case LoadHistory(setup):
                load_history(setup, channel)
            case Task() as task:
                engines.begin(task.search_path, keeps_session=task.keeps_session)
                is_well = run(task, channel)
                channel.keep_from_forks(None)
                engines.end(is_well=is_well)
            case Start() | Close() | Go() | Halt() as answer:
                channel.refuse(answer)
            case never:
                assert_never(never)
