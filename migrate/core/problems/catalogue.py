"""The catalogue: every way to stop, as one record from which the log line, `migrate explain` and its page are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.quoting import word, words

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """What a platform acts on; the decade says what to do (docs/reference/exit-codes.md)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    PENDING = 3
    CONFIG = 10
    HISTORY = 11
    POLICY = 12
    TARGET = 13
    ACCESS = 14
    STATE = 15
    AHEAD = 16
    DRIFT = 17
    UNREACHABLE = 20
    BUSY = 21
    BLOCKED = 22
    LOST = 23
    RESOURCES = 24
    DEADLINE = 25
    FAILED = 30
    PARTIAL = 31
    UNPROVEN = 32
    UNKNOWN = 40
    GUARD_LOST = 41
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def label(self) -> str:
        """The name as log lines and pages spell it, e.g. ``guard-lost``."""
        return self.name.lower().replace("_", "-")

    @property
    def retryable(self) -> bool:
        """True where nothing of the failing revision is in the database and the same run may succeed later."""
        return self in _RETRYABLE


_RETRYABLE: Final = frozenset(
    {
        ExitCode.UNREACHABLE,
        ExitCode.BUSY,
        ExitCode.BLOCKED,
        ExitCode.LOST,
        ExitCode.RESOURCES,
        ExitCode.DEADLINE,
        ExitCode.INTERRUPTED,
        ExitCode.TERMINATED,
    },
)

EXIT_MEANINGS: Final[Mapping[ExitCode, str]] = MappingProxyType(
    {
        ExitCode.OK: "at the target: applied and proven, nothing to do, or ahead and compatible",
        ExitCode.INTERNAL: "a bug in migrate",
        ExitCode.USAGE: "wrong flags or arguments",
        ExitCode.PENDING: "revisions are pending (only from --exit-code)",
        ExitCode.CONFIG: "a setting is missing or malformed",
        ExitCode.HISTORY: "the image is at fault: its revisions, its manifest, or an edited file",
        ExitCode.POLICY: "the plan needs a permission that policy withholds",
        ExitCode.TARGET: "this is the wrong database",
        ExitCode.ACCESS: "authentication or privilege",
        ExitCode.STATE: "the database is in a state that needs a person: untracked, unknown, split, residue",
        ExitCode.AHEAD: "the database is newer than this image and not compatible with it",
        ExitCode.DRIFT: "the live schema is not what its revision says",
        ExitCode.UNREACHABLE: "the server could not be reached",
        ExitCode.BUSY: "another run holds the guard",
        ExitCode.BLOCKED: "a lock was not granted in time",
        ExitCode.LOST: "the connection was lost and the revision rolled back",
        ExitCode.RESOURCES: "the server ran out of disk, memory or connections",
        ExitCode.DEADLINE: "the deadline came before the next revision, or before the database was ready",
        ExitCode.FAILED: "a revision raised and was rolled back",
        ExitCode.PARTIAL: "a revision failed after a part of it was committed",
        ExitCode.UNPROVEN: "it ran without error, but the proof failed",
        ExitCode.UNKNOWN: "whether the last commit took place is not known",
        ExitCode.GUARD_LOST: "the guard was lost in the middle of the run",
        ExitCode.INTERRUPTED: "SIGINT, rollback confirmed",
        ExitCode.TERMINATED: "SIGTERM, rollback confirmed",
    },
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One catalogued way to stop.

    ``fix`` and ``example`` are what a person pastes; ``{name}`` in ``fix`` is filled from the facts of the case, so that
    it carries the user's own names.
    """

    code: str
    exit_code: ExitCode
    title: str
    condition: str
    effect: str
    fix: str

    @property
    def fix_is_of_the_case(self) -> bool:
        """True where ``fix`` is nothing but a placeholder: there is no advice without the case."""
        return self.fix.startswith("{") and self.fix.find("}") == len(self.fix) - 1

    @property
    def general_fix(self) -> str:
        """The fix without a case: each name that a case would fill in as ``<name>``."""
        return self.fix.format_map(_Names())


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem that happened: why, in a sentence with this case's names, and the fix with them filled in."""

    kind: Kind
    why: str
    fix: str
    facts: Mapping[str, object] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.INTERNAL

    def fields(self) -> dict[str, object]:
        """The error fields of a log line (docs/reference/log-lines.md)."""
        return {
            "problem": self.kind.code,
            "title": self.kind.title,
            "why": self.why,
            "fix": self.fix,
            "exit_code": int(self.exit_code),
            "retryable": self.exit_code.retryable,
            **self.facts,
        }


class Stop(Exception):  # noqa: N818 - it ends a run on purpose; "Error" would say that something broke
    """Carries a problem from where it was found to the place that reports it and exits."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.kind.code}: {problem.why}")
        self.problem = problem


class _Names(dict[str, object]):
    """A missing name stays visible as a placeholder: a fix with a gap is better than a crash while reporting."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


# Whole fixes, which quote their names themselves; words for psql or a shell, quoted where they are made; our own words.
_AS_IT_IS: Final = frozenset({"fix", "settings", "grant", "url", "schema", "verb", "variable", "pid"})


def _in_fix(name: str, value: object) -> object:
    if name in _AS_IT_IS:
        return value
    return words(value) if isinstance(value, (tuple, list)) else word(value)


def problem(
    code: str,
    why: str,
    *,
    fix: str | None = None,
    names: Mapping[str, object] = MappingProxyType({}),
    exit_code: ExitCode | None = None,
    **facts: object,
) -> Problem:
    """A problem of the kind ``code``.

    ``names`` fill the placeholders of the kind's fix, each as a word of a shell (of several names, each one); ``facts`` become fields of the log line. ``fix`` replaces the
    kind's own where the place that stopped knows a better one; ``exit_code`` only where a signal or a committed part
    changes it. Raises KeyError for a code that is not in the catalogue.
    """
    kind = CATALOGUE[code]
    return Problem(
        kind,
        why,
        kind.fix.format_map(_Names({name: _in_fix(name, value) for name, value in names.items()}))
        if fix is None
        else fix,
        facts,
        kind.exit_code if exit_code is None else exit_code,
    )


def stop(code: str, why: str, **details: object) -> Stop:
    """The exception for `problem(code, why, ...)`, to be raised."""
    return Stop(problem(code, why, **details))  # type: ignore[arg-type]  # the same keywords, checked there


_KINDS: Final = (
    Kind(
        "internal",
        ExitCode.INTERNAL,
        "migrate has a bug",
        "migrate itself failed in a way that nobody foresaw.",
        "The run ended. A revision that had not been committed was rolled back by the server.",
        "MIGRATE_DEBUG=1 migrate {verb}   # prints the traceback; please report it with the run's lines",
    ),
    Kind(
        "usage",
        ExitCode.USAGE,
        "The command line is wrong",
        "A flag, an argument or a verb is not known, or a value is out of its range.",
        "Nothing was read or changed.",
        "migrate {verb} --help",
    ),
    Kind(
        "no-database-url",
        ExitCode.CONFIG,
        "No database URL is set",
        "None of the variables that may name the target is set.",
        "Nothing was connected to. migrate never falls back to another database.",
        "export DATABASE_URL='postgresql://USER:PASSWORD@HOST:5432/NAME'",
    ),
    Kind(
        "bad-database-url",
        ExitCode.CONFIG,
        "The database URL is malformed",
        "The value of the URL variable is not a PostgreSQL URL.",
        "Nothing was connected to.",
        "export {variable}='postgresql://USER:PASSWORD@HOST:5432/NAME'"
        "   # write @ : / ? # % and spaces of the password as %40 %3A %2F %3F %23 %25 %20",
    ),
    Kind(
        "bad-setting",
        ExitCode.CONFIG,
        "A setting is malformed",
        "A value in the environment or in [tool.migrate] has the wrong type or is out of its range.",
        "Nothing was connected to. All faults of the settings are reported together.",
        "{settings}",
    ),
    Kind(
        "sync-driver",
        ExitCode.CONFIG,
        "No async driver is named",
        "env.py makes an async engine of 'sqlalchemy.url', and neither the database URL nor the 'sqlalchemy.url' of the"
        " ini file names an async driver that is installed.",
        "Nothing was changed.",
        'export {variable}="postgresql+asyncpg://${{{variable}#*://}}"'
        "   # or +psycopg; or in {config}: sqlalchemy.url = postgresql+asyncpg://",
    ),
    Kind(
        "no-alembic-config",
        ExitCode.CONFIG,
        "No Alembic configuration was found",
        "There is neither the named file, nor alembic.ini, nor [tool.alembic] in pyproject.toml.",
        "Nothing was connected to.",
        "migrate {verb} -c path/to/alembic.ini",
    ),
    Kind(
        "bad-alembic-config",
        ExitCode.CONFIG,
        "The Alembic configuration cannot be used",
        "The file cannot be read or parsed, or it names a folder that does not exist.",
        "Nothing was connected to.",
        "{fix}",
    ),
    Kind(
        "no-manifest",
        ExitCode.CONFIG,
        "This image has no manifest",
        "The verb, or the policy breaking=refuse or hold, compares with the manifest, and there is none beside the versions folder.",
        "Nothing was changed.",
        "migrate manifest   # replays the history in a throw-away database; then commit the file that it writes",
    ),
    Kind(
        "no-shadow",
        ExitCode.CONFIG,
        "There is no server for a shadow",
        "A replay needs a throw-away PostgreSQL: none is named, and none that could be started was found.",
        "Nothing was connected to.",
        "pip install 'migrate-job[embedded]'   # or name a server that may be written to: export MIGRATE_SHADOW_URL=…",
    ),
    Kind(
        "shadow-lacks",
        ExitCode.CONFIG,
        "The throw-away server lacks something",
        "A revision needs an extension, a collation, a language or a role that the throw-away server does not have.",
        "The throw-away database was dropped; nothing else was connected to.",
        "export MIGRATE_SHADOW_URL='postgresql://USER:PASSWORD@HOST:5432/postgres'   # a server that has it; a role or a"
        " schema can also stand in a file: migrate {verb} --baseline FILE",
    ),
    Kind(
        "shadow-is-target",
        ExitCode.CONFIG,
        "The shadow is on the target's server",
        "Revisions of a replay may create roles, which belong to the whole server, and open second connections.",
        "Nothing was connected to.",
        "unset MIGRATE_SHADOW_URL   # the embedded server is used; or, knowing that: --shadow-beside-target",
    ),
    Kind(
        "bad-baseline",
        ExitCode.CONFIG,
        "The baseline cannot be used",
        "The file that stands for what is there before the first revision is no SQL that an empty database accepts.",
        "The shadow was dropped; nothing else was connected to.",
        "pg_dump --schema-only --no-owner --no-privileges URL > {baseline}   # of a database without this history",
    ),
    Kind(
        "cannot-back-up",
        ExitCode.CONFIG,
        "A backup could not be taken",
        "A backup is due before the first change, but its folder is missing or not writable, the backup command is not"
        " found, or no pg_dump here is as new as the server.",
        "Nothing was changed; this was found before the job lock was taken.",
        "{fix}",
    ),
    Kind(
        "several-heads",
        ExitCode.HISTORY,
        "The history has several heads",
        "Two branches of the history were never merged, so that 'head' names no single revision.",
        "Nothing was changed.",
        "alembic merge -m 'merge heads' {heads}   # or deploy all of them: migrate up --target heads",
    ),
    Kind(
        "bad-history",
        ExitCode.HISTORY,
        "The image's revisions are at fault",
        "A revision is missing, duplicated, in a cycle, unreadable, or its id does not fit the version table.",
        "Nothing was changed. Every fault that was found is listed.",
        "{fix}",
    ),
    Kind(
        "empty-history",
        ExitCode.HISTORY,
        "The image has no revision",
        "No revision file was found: script_location or version_locations leads elsewhere, the files are in a folder below,"
        " or they did not get into the image (.dockerignore).",
        "Nothing was changed.",
        "export MIGRATE_ALLOW_EMPTY_HISTORY=true   # if that is meant; if not, correct script_location or .dockerignore",
    ),
    Kind(
        "unknown-target",
        ExitCode.HISTORY,
        "The target revision is not known here",
        "The setting 'target' names a revision or label that the versions folders do not have, or `migrate down --to`"
        " one that was never applied to this database.",
        "Nothing was changed.",
        "migrate up --target head   # or one of: {heads}",
    ),
    Kind(
        "bad-manifest",
        ExitCode.HISTORY,
        "The manifest cannot be used",
        "The manifest is malformed, of another format, or describes other revisions than the files.",
        "Nothing was changed.",
        "migrate manifest   # then commit {manifest}",
    ),
    Kind(
        "stale-manifest",
        ExitCode.HISTORY,
        "The manifest is out of date",
        "The revision files say something else than the committed manifest.",
        "Nothing was changed.",
        "migrate manifest   # then commit {manifest}",
    ),
    Kind(
        "failed-trial",
        ExitCode.HISTORY,
        "The trial found faults",
        "`migrate test` tried revisions in a throw-away database, and findings of checks that policy lets fail the run"
        " were among what it found.",
        "The shadow was dropped; nothing else was connected to.",
        "correct {place}, or where a database has it already add a revision; or let the file say accepted ="
        ' {{"{check}": "the reason"}}; then run migrate test again (which checks fail the run: --fail)',
    ),
    Kind(
        "baseline-needed",
        ExitCode.HISTORY,
        "The history does not start from an empty database",
        "In a replay from nothing a revision misses a table or schema, which something else than this history creates.",
        "The shadow was dropped; no manifest was written.",
        "pg_dump --schema-only --no-owner --no-privileges URL > baseline.sql; migrate manifest --baseline baseline.sql"
        "   # URL: a database as it is before the first revision",
    ),
    Kind(
        "edited-revision",
        ExitCode.HISTORY,
        "An applied revision was edited",
        "The file of a revision that was applied here is another program than the one that ran.",
        "Nothing was changed. Databases that ran the old program differ from those that will run the new one.",
        "git log --oneline -- {file}   # put back the version that ran, and write the change as a new revision; to accept"
        " it: --edited warn",
    ),
    Kind(
        "env-cannot-run",
        ExitCode.HISTORY,
        "env.py could not be run",
        "Alembic's env.py raised before the first revision was started.",
        "Nothing was changed.",
        "alembic -c {config} current   # shows the same error; the image may lack a package that env.py imports",
    ),
    Kind(
        "no-flask-app",
        ExitCode.HISTORY,
        "env.py needs a Flask application",
        "env.py uses Flask's current_app, as that of Flask-Migrate does, and no application was found.",
        "Nothing was changed.",
        "export FLASK_APP='MODULE:FACTORY'   # or: flask_app = \"MODULE:FACTORY\" in [tool.migrate]",
    ),
    Kind(
        "env-holds-transaction",
        ExitCode.HISTORY,
        "env.py's transaction cannot be divided",
        "env.py hands Alembic a connection that is already in a transaction, and a revision entered an autocommit block,"
        " which Alembic refuses there.",
        "The transaction was rolled back, and the revisions in it.",
        "in {env_py}: connectable.connect() in place of .begin(), connection.commit() after statements of its own, and then"
        " context.configure()",
    ),
    Kind(
        "not-permitted",
        ExitCode.POLICY,
        "Policy withholds what the plan needs",
        "The plan would do something that the operator has not allowed.",
        "Nothing was changed.",
        "{fix}",
    ),
    Kind(
        "data-loss",
        ExitCode.POLICY,
        "Going back would lose data",
        "A downgrade drops tables or columns that have something in them, deletes or truncates rows, or cuts values, or,"
        " without a manifest, nobody knows what it drops.",
        "What would go is counted. Nothing was changed: what only a run could show was rolled back. Where a revision to be"
        " reverted leaves its transaction, those before it may have been reverted; they lost nothing.",
        "migrate down --to {target} --allow-data-loss   # with a backup first: --backup DIR",
    ),
    Kind(
        "backup-failed",
        ExitCode.POLICY,
        "The backup failed",
        "pg_dump or the backup command failed or took too long, or what it wrote cannot be read back. Policy allows no"
        " change without a backup.",
        "Nothing was changed. A file that was not proven is removed.",
        "{fix}",
    ),
    Kind(
        "restore-failed",
        ExitCode.FAILED,
        "The backup was not brought back",
        "The dump cannot be read, a program that reads it is missing or failed, or something outside of the schemas to be"
        " restored stands in the way.",
        "The database is as it was: a restore is one transaction.",
        "{fix}",
    ),
    Kind(
        "breaking-change",
        ExitCode.POLICY,
        "The pending change breaks the running release",
        "A pending revision removes or narrows something that the release which is still running uses.",
        "Nothing was changed.",
        "migrate up --breaking warn   # after the old release has been stopped",
    ),
    Kind(
        "files-exist",
        ExitCode.POLICY,
        "The files are there already",
        "A file that `migrate init` would write is there, with other content.",
        "No file was written or changed.",
        "migrate init {platform} --force   # replaces them: commit yours first, so that git diff shows what changed",
    ),
    Kind(
        "not-writable",
        ExitCode.TARGET,
        "The server is read-only",
        "The connection reached a standby, or a server or role whose transactions are read-only.",
        "Nothing was changed.",
        "point {variable} at the primary (for several hosts: add ?target_session_attrs=read-write)",
    ),
    Kind(
        "unsupported-server",
        ExitCode.TARGET,
        "The server is not supported",
        "The server is older than PostgreSQL 14, or is not PostgreSQL.",
        "Nothing was changed.",
        "use PostgreSQL 14 or newer with a UTF8 database",
    ),
    Kind(
        "other-database",
        ExitCode.TARGET,
        "env.py connected to another database",
        "The guard that this run holds is not visible from the connection that env.py gave to Alembic.",
        "Nothing was changed.",
        "let {env_py} take its URL from config.get_main_option('sqlalchemy.url') or from DATABASE_URL",
    ),
    Kind(
        "other-server",
        ExitCode.TARGET,
        "env.py leaves the throw-away server",
        "In a replay (`migrate manifest`, `migrate test`), env.py or a revision connects to a server that is not the"
        " throw-away one.",
        "The connection was refused before its first byte; nothing of that server was read or changed.",
        "export MIGRATE_SHADOW_ALLOW={allow}   # if it may; else let {env_py} take its URL from 'sqlalchemy.url' or"
        " DATABASE_URL, or map the variables that it reads (MIGRATE_SHADOW_ENVIRON)",
    ),
    Kind(
        "other-version-table",
        ExitCode.TARGET,
        "env.py uses another version table",
        "The version table that env.py configures is not the one whose rows were observed.",
        "Nothing was changed.",
        "export MIGRATE_VERSION_TABLE={version_table} MIGRATE_VERSION_TABLE_SCHEMA={version_table_schema}",
    ),
    Kind(
        "missing-schema",
        ExitCode.TARGET,
        "The schema that env.py works in does not exist",
        "The search_path that env.py sets names no schema of this database, so that no table can be made or found.",
        "Nothing was changed.",
        "CREATE SCHEMA {schema};   -- or correct the search_path that env.py sets",
    ),
    Kind(
        "several-targets",
        ExitCode.TARGET,
        "env.py migrates more than one target",
        "env.py calls run_migrations() for several version tables or databases, and one run observes and proves one. A run"
        " that had committed revisions when env.py went on to the next target ends with 32.",
        "No revision of another target was run by this run. The ledger keeps it: the next run first runs env.py once without"
        " a revision, and refuses again if env.py still goes on to another target.",
        "let {env_py} migrate one target, such as the schema in MIGRATE_VERSION_TABLE_SCHEMA, and run migrate up once for"
        " each",
    ),
    Kind(
        "pooler-session",
        ExitCode.TARGET,
        "A transaction pooler cannot hold what the plan needs",
        "The URL leads to a transaction pooler, and a pending revision needs state of a session.",
        "Nothing was changed.",
        "export DATABASE_UNPOOLED_URL='postgresql://USER:PASSWORD@SERVER:5432/NAME'   # the server itself",
    ),
    Kind(
        "authentication",
        ExitCode.ACCESS,
        "The server rejected the credentials",
        "The user, the password or the host rule does not admit this connection.",
        "Nothing was changed.",
        "check the user and the password in {variable}",
    ),
    Kind(
        "no-database",
        ExitCode.ACCESS,
        "The database does not exist",
        "The server answers and has no database of the name that the URL gives.",
        "Nothing was changed. migrate never makes a database.",
        "correct the name in {variable}   # or make the database: createdb {database}",
    ),
    Kind(
        "no-tls",
        ExitCode.ACCESS,
        "The server offers no TLS",
        "The URL, or PGSSLMODE, asks for an encrypted connection, and the server has none to give.",
        "Nothing was changed. It is not tried again: waiting does not help.",
        "turn on ssl at the server, or accept a plain connection: sslmode=prefer in {variable}",
    ),
    Kind(
        "missing-privilege",
        ExitCode.ACCESS,
        "The role lacks a privilege",
        "The database role may not do what the pending revisions or the version table need.",
        "Nothing of the failing revision is in the database.",
        "{grant}",
    ),
    Kind(
        "untracked",
        ExitCode.STATE,
        "The database has tables but no version",
        "There are objects in the schema, but the version table is missing or empty.",
        "Nothing was changed. Stamping a revision that is not the true one hides that the schema is another one.",
        "migrate adopt   # stamps the revision that the manifest proves; without a manifest: migrate manifest",
    ),
    Kind(
        "unknown-revision",
        ExitCode.STATE,
        "The recorded revision is not in this image",
        "The version table names a revision that this image does not carry, and nothing proves that it is newer.",
        "Nothing was changed.",
        "deploy an image that has {recorded}, or: migrate adopt   # replaces the row when the schema proves one",
    ),
    Kind(
        "split-version",
        ExitCode.STATE,
        "The version table contradicts itself",
        "It holds a row twice, or a revision together with its own ancestor.",
        "Nothing was changed.",
        "migrate repair   # shows which row the schema proves; --yes keeps it",
    ),
    Kind(
        "residue",
        ExitCode.STATE,
        "An earlier run left residue",
        "An index is INVALID and nobody is building it, or a part of a revision is recorded as committed.",
        "Nothing was changed.",
        "migrate repair   # shows what it would do; --yes does it",
    ),
    Kind(
        "not-adoptable",
        ExitCode.STATE,
        "No revision is proven by the schema",
        "The schema equals the manifest at no revision, or at several that cannot be told apart.",
        "Nothing was changed.",
        "migrate adopt --at {revision} --reason 'WHY'   # the operator's word; recorded with the differences",
    ),
    Kind(
        "ahead",
        ExitCode.AHEAD,
        "The database is newer than this image",
        "The database was migrated past this image's head, and it is not proven that this image can run on it.",
        "Nothing was changed.",
        "export MIGRATE_AHEAD=accept   # the operator's word, to up and to wait; or deploy the image that has {recorded}",
    ),
    Kind(
        "drift",
        ExitCode.DRIFT,
        "The live schema is not what its revision says",
        "Somebody changed the schema outside the revisions.",
        "Nothing was changed.",
        "migrate verify   # prints the SQL that puts it right, or says that there is none; to accept it: --drift warn or"
        " --ignore PATTERN",
    ),
    Kind(
        "schemas-differ",
        ExitCode.DRIFT,
        "The two schemas differ",
        "`migrate verify --against` compared a schema with that of a revision, another database or another image.",
        "Nothing was changed.",
        "migrate verify --against {against} --format sql   # what would lead from one to the other",
    ),
    Kind(
        "unreachable",
        ExitCode.UNREACHABLE,
        "The server could not be reached",
        "No connection was made within the connect timeout.",
        "Nothing was changed.",
        "migrate doctor   # or wait longer: export MIGRATE_CONNECT_TIMEOUT=120",
    ),
    Kind(
        "guard-busy",
        ExitCode.BUSY,
        "Another run holds the guard",
        "Another migrate run on the same target did not end within the guard timeout.",
        "Nothing was changed by this run.",
        "wait for run {holder}, or wait longer: export MIGRATE_GUARD_TIMEOUT=3600",
    ),
    Kind(
        "orphan-worker",
        ExitCode.BUSY,
        "A worker of an earlier run is still at work",
        "A run died or was stopped, and a connection of it is still there: it executes a statement, or may not be ended by us.",
        "Nothing was changed by this run.",
        "psql {url} -c 'SELECT pg_terminate_backend({pid})'   # or wait until it has ended",
    ),
    Kind(
        "blocked",
        ExitCode.BLOCKED,
        "A lock was not granted in time",
        "Other transactions held locks on the same objects through every try, or dropped objects during each reading of them.",
        "The revision was rolled back; those before it stay.",
        "end or wait for the named transactions, then run migrate up again (or raise MIGRATE_LOCK_BUDGET)",
    ),
    Kind(
        "connection-lost",
        ExitCode.LOST,
        "The connection was lost",
        "The server or the network ended a connection in the middle of the run.",
        "The revision was rolled back by the server; those before it stay.",
        "migrate up   # once the server is back",
    ),
    Kind(
        "no-resources",
        ExitCode.RESOURCES,
        "The server ran out of a resource",
        "Disk, memory or connections of the server are used up.",
        "What ran was rolled back; the revisions before it stay.",
        "free what is named, then run migrate up again",
    ),
    Kind(
        "deadline",
        ExitCode.DEADLINE,
        "The deadline came",
        "The time that the platform gives the job was over, or would not have sufficed for the next revision.",
        "The revisions before stay; the next one was not started, or it was rolled back.",
        "run migrate up again, where the platform allows more time (MIGRATE_DEADLINE)",
    ),
    Kind(
        "not-ready",
        ExitCode.DEADLINE,
        "The database did not get ready in time",
        "`migrate wait` waited, and revisions of this image are still pending: the job that applies them has not run, has"
        " not ended, or has failed.",
        "Nothing was changed, and the waiting program was not started.",
        "look at the job that runs migrate up; to wait longer: export MIGRATE_WAIT_TIMEOUT=1800",
    ),
    Kind(
        "revision-failed",
        ExitCode.FAILED,
        "A revision failed",
        "A revision raised an error.",
        "The revision was rolled back; those before it stay.",
        "correct {file}, build a new image, and run migrate up again",
    ),
    Kind(
        "revision-exited",
        ExitCode.FAILED,
        "A revision ended the process",
        "A revision or env.py called sys.exit() or os._exit(), or crashed the interpreter.",
        "The revision was rolled back; those before it stay.",
        "take the exit out of {file}, build a new image, and run migrate up again",
    ),
    Kind(
        "partly-committed",
        ExitCode.PARTIAL,
        "A part of a revision was committed",
        "A revision failed after an autocommit block, an embedded COMMIT or a commit over a second connection of its own.",
        "Its first part is in the database; its version row is not. What is left is named.",
        "migrate repair   # shows what is left; correct {file} so that it can run again",
    ),
    Kind(
        "unproven",
        ExitCode.UNPROVEN,
        "The proof failed",
        "Every revision ran without an error, but the database is not at the target afterwards.",
        "What was applied stays. The difference is named.",
        "migrate status && migrate history   # then correct the revision that is named",
    ),
    Kind(
        "commit-unknown",
        ExitCode.UNKNOWN,
        "Whether the last commit took place is not known",
        "The connection was lost at the commit, and the server could not be asked again.",
        "The last revision is either wholly in the database or not at all.",
        "migrate status   # once the server is back; then migrate up",
    ),
    Kind(
        "guard-lost",
        ExitCode.GUARD_LOST,
        "The guard was lost in the middle of the run",
        "The connection that holds the job lock ended while revisions were running.",
        "No later revision was started. The one at work was rolled back unless it is listed as applied.",
        "migrate status   # then run migrate up again",
    ),
    Kind(
        "interrupted",
        ExitCode.TERMINATED,
        "The run was interrupted",
        "The process received SIGTERM or SIGINT.",
        "The statement was cancelled and rolled back; the revisions before it stay.",
        "migrate up   # again, when it may run to its end",
    ),
)

CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType({kind.code: kind for kind in _KINDS})


def kinds_of(code: ExitCode) -> tuple[Kind, ...]:
    """The kinds of problem that end with this code; a run that a signal stops is `interrupted`, whichever it was."""
    shown = ExitCode.TERMINATED if code is ExitCode.INTERRUPTED else code
    return tuple(kind for kind in _KINDS if kind.exit_code is shown)
