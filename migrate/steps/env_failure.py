"""What an error of env.py means that is of no revision: before the first one, and after the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.problems import Fix, Stop, advice, again, alembic, shell, stop
from migrate.core.problems.packages import fix_of_missing
from migrate.core.problems.privileges import denied_object, fix_of_denied
from migrate.core.quoting import word
from migrate.core.url import URL_VARIABLES
from migrate.history.relative import shortest
from migrate.postgres.connection import is_exhausted, is_rejected
from migrate.postgres.denied import names_of_denied
from migrate.postgres.errors import RETRIED, code_of
from migrate.steps.control import ask
from migrate.steps.excerpts import excerpts

if TYPE_CHECKING:
    from pathlib import Path

    from migrate.child.protocol import Error, Phase
    from migrate.steps.run import Run

# What would only be told beside the end is left untold where it cannot be read soon: a signal's grace is short.
READ_S: Final = 0.5
MORE_MEMORY: Final = advice("give the job more memory, or let the revision work in smaller parts; then run ", again())
_NO_CONNECTION: Final = frozenset({"OperationalError", "ConnectionRefusedError", "TimeoutError"})
_GOOD_EXITS: Final = frozenset({"SystemExit", "None", "0"})  # what sys.exit() that is no failure says


def names(run: Run) -> dict[str, object]:
    """What the fixes of env.py's problems name."""
    return {"config": run.order.project.config or "alembic.ini", "env_py": run.order.project.env_py}


def out_of_memory(why: str) -> Stop:
    """The stop for a child that was killed, or that Python refused memory, while nothing of a revision was there."""
    return stop("no-resources", why, fix=MORE_MEMORY)


def before_any_revision(run: Run, phase: Phase, error: Error, said: str) -> Stop:
    """The problem of env.py, or of the connection between two revisions; returned where it may be tried again."""
    at = place_of(run, error)
    place = f" ({at})" if at is not None else ""
    if phase == "alembic":
        raise stop("bad-history", f"Alembic: {said}", fix=shell(alembic("heads"), note="shows the same error"))
    sqlstate = error.sqlstate
    fix: Fix | None = None
    default, where = "env-cannot-run", f"env.py{place}"
    if phase == "version-table" and sqlstate:  # the first statement of Alembic's own: env.py has done its part
        server = run.before.server
        table = f"{server.schema}.{run.order.target.version_table}"
        default, where = "revision-failed", f"the version table {table}"
        fix = advice(f"let role {word(server.user)} read and make {word(table)} ({said})")
    if error.type == "InvalidRequestError" and "requires an async driver" in said:
        named = {**names(run), "variable": run.order.target.url_from}
        raise stop("sync-driver", f"{where}: {said}", fix=_fix_of_driver(run), names=named)
    if error.is_interpolation:
        said += ": a % in a value that is given to Alembic's config stands for itself only when it is doubled"
        fix = advice(
            f"in {run.order.project.env_py}: double the % (config.set_main_option('sqlalchemy.url', url.replace('%', '%%'))), or"
            " give the URL to create_engine() itself"
        )
    if error.is_out_of_memory:
        raise out_of_memory(f"{where}: {said}")
    if "sqlalchemy.dialects:postgres" in said:  # the older spelling, which libpq takes and SQLAlchemy does not
        fix = advice(
            f"write postgresql:// in place of postgres:// in {run.order.target.url_from} (env.py reads it too)"
        )
    elif error.missing_variables:
        values = " ".join(f"{name}=VALUE" for name in error.missing_variables)
        fix = shell(
            f"export {values}",
            note="env.py needs it: give the job what the service has (in Compose: environment); in CI, for manifest and test,"
            " any value does",
        )
    elif error.has_exited and error.types:
        fix = advice(f"let {run.order.project.env_py} run to its end: it, or what it imports, calls sys.exit()")
    elif error.missing_module:
        fix = _fix_of_module(run, error.missing_module)
    if fix is None and not run.order.project.x and _reads_arguments(run):
        fix = shell(again("-x KEY=VALUE"), note="env.py reads arguments of the command line; as a setting: MIGRATE_X")
    if error.is_disconnect:
        default = "connection-lost"
    elif not sqlstate and not _NO_CONNECTION.isdisjoint(error.types):
        default = "authentication" if is_rejected(said) else "no-resources" if is_exhausted(said) else "unreachable"
    code = code_of(sqlstate, default)
    if code == "missing-privilege":
        fix = grant_of(run, said)
    elif code not in {"revision-failed", "env-cannot-run"}:
        fix = None
    found = stop(
        code,
        f"{where}: {error.type}: {said}",
        fix=fix,
        names={**names(run), "variable": run.order.target.url_from},
        sqlstate=sqlstate,
        excerpts=excerpts(error, run.order.project.cwd),
    )
    if sqlstate in RETRIED:
        return found
    raise found


def place_of(run: Run, error: Error) -> str | None:
    """The user's file and the line that an error came through last, for people."""
    return f"{shortest(error.file, run.order.project.cwd)}, line {error.line}" if error.file else None


def after_the_last(run: Run, error: Error, said: str) -> Stop | None:
    """The problem of an env.py that fails once all is committed; None where it only left early, or an answer was lost."""
    if error.is_disconnect or (error.has_exited and (not error.types or error.message in _GOOD_EXITS)):
        return None
    where = place_of(run, error) or run.order.project.env_py
    return stop("env-failed-after", f"{where}: {error.type}: {said}", names=names(run))


def _reads_arguments(run: Run) -> bool:
    try:
        text = (run.order.project.cwd / run.order.project.env_py).read_text("utf-8", "replace")
    except OSError:
        return False
    return "get_x_argument" in text or "cmd_opts" in text


def grant_of(run: Run, said: str) -> Fix:
    """What lets the role do what the server refused; the message names no schema, so the server is asked for it."""
    found = ask(run, lambda control: names_of_denied(control, said), within_s=READ_S) if denied_object(said) else None
    return fix_of_denied(said, run.before.server.user, found or ())


def _fix_of_module(run: Run, module: str) -> Fix | None:
    """How a missing module is brought; None for a part of a package that is there."""
    if "." in module:
        return None
    places = [folder for folder in (".", "src") if _has_module(run.order.project.cwd / folder, module)]
    return fix_of_missing(module, *places[:1])


def _has_module(folder: Path, module: str) -> bool:
    return (folder / module).is_dir() or (folder / f"{module}.py").is_file()


def _fix_of_driver(run: Run) -> Fix | None:
    """How the URL's file, or the ini file of a replay, names an async driver; None for a URL in a variable."""
    variable = run.order.target.url_from
    if variable in URL_VARIABLES:
        return None
    if variable.removesuffix("_FILE") in URL_VARIABLES:
        return shell(f"sed -i 's,^[^:]*:,postgresql+asyncpg:,' \"${variable}\"", note="or +psycopg")
    return advice(f"in {names(run)['config']}: sqlalchemy.url = postgresql+asyncpg:// (or +psycopg)")
