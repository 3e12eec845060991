"""The catalogue: every way to stop, as one record from which the log line, `migrate explain` and its page are made."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.problems.exit_codes import ExitCode
from migrate.core.problems.fix import advice, again, alembic, in_order, migrate, shell, sql
from migrate.core.problems.kinds import OF_THE_CASE, Kind, Problem, Stop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrate.core.problems.fix import Fix

_KINDS: Final = (
    Kind(
        "internal",
        ExitCode.INTERNAL,
        "migrate has a bug",
        "migrate itself failed unexpectedly.",
        "The run ended. A revision that had not been committed was rolled back by the server.",
        shell(
            "MIGRATE_DEBUG=1 ", migrate("{verb}"), note="prints the traceback; please report it with the run's lines"
        ),
    ),
    Kind(
        "usage",
        ExitCode.USAGE,
        "The command line is wrong",
        "A flag, an argument or a verb is not known, or a value is out of its range.",
        "Nothing was read or changed.",
        shell("migrate {verb} --help"),
    ),
    Kind(
        "no-database-url",
        ExitCode.CONFIG,
        "No database URL is set",
        "None of the variables that may name the target is set.",
        "Nothing was connected to. migrate never falls back to another database.",
        shell("export DATABASE_URL='postgresql://USER:PASSWORD@HOST:5432/NAME'"),
    ),
    Kind(
        "bad-database-url",
        ExitCode.CONFIG,
        "The database URL is malformed",
        "The value of the URL variable is not a PostgreSQL URL.",
        "Nothing was connected to.",
        shell(
            "export {variable}='postgresql://USER:PASSWORD@HOST:5432/NAME'",
            note="write @ : / ? # % and spaces of the password as %40 %3A %2F %3F %23 %25 %20",
        ),
    ),
    Kind(
        "bad-setting",
        ExitCode.CONFIG,
        "A setting is malformed",
        "A value in the environment or in [tool.migrate] has the wrong type or is out of its range.",
        "Nothing was connected to. All faults of the settings are reported together.",
        OF_THE_CASE,
    ),
    Kind(
        "bad-tenants",
        ExitCode.CONFIG,
        "The tenants cannot be listed",
        "The list of tenants that `[tool.migrate.tenants]` names is missing or malformed.",
        "Nothing was changed in any tenant.",
        advice(
            "Run the query or the program of [tool.migrate.tenants] by hand, or look at its file: one tenant a row or a line"
        ),
    ),
    Kind(
        "tenants-failed",
        ExitCode.FAILED,
        "Not every tenant is at head",
        "The run of one or more tenants failed or was refused; the exit code is that of the most serious of them.",
        "The other tenants are applied and proven. Running it again takes those that are left.",
        shell(again()),
    ),
    Kind(
        "tenant-needed",
        ExitCode.CONFIG,
        "The verb is about one tenant",
        "There are several tenants, and what was asked for is done to one database.",
        "Nothing was changed.",
        shell(again("--tenant NAME")),
    ),
    Kind(
        "other-environment",
        ExitCode.DRIFT,
        "The environment differs from the manifest's",
        "env.py or a revision asks for a variable that has another value here than when the manifest was written, and the"
        " schema does not match its revision.",
        "Nothing was changed.",
        advice(
            "give the release the values of the manifest, or name the right ones as environ in [tool.migrate] and run ",
            migrate("manifest", "--full"),
        ),
    ),
    Kind(
        "missing-tenant",
        ExitCode.TARGET,
        "The tenant is not provisioned",
        "A tenant that --tenant names has no schema or no database yet. One that is listed and not named is passed over.",
        "Nothing was changed.",
        shell(migrate("up", "--tenant {tenant}", "--create"), note="makes a schema; a database is made by createdb"),
    ),
    Kind(
        "sync-driver",
        ExitCode.CONFIG,
        "No async driver is named",
        "env.py makes an async engine of 'sqlalchemy.url', and neither the database URL nor the 'sqlalchemy.url' of the"
        " ini file names an async driver that is installed.",
        "Nothing was changed.",
        shell(
            'export {variable}="postgresql+asyncpg://${{{variable}#*://}}"',
            note="or +psycopg; or in {config}: sqlalchemy.url = postgresql+asyncpg://",
        ),
    ),
    Kind(
        "no-alembic-config",
        ExitCode.CONFIG,
        "No Alembic configuration was found",
        "There is neither the named file, nor alembic.ini, nor [tool.alembic] in pyproject.toml.",
        "Nothing was connected to.",
        shell(migrate("{verb}", "-c path/to/alembic.ini")),
    ),
    Kind(
        "bad-alembic-config",
        ExitCode.CONFIG,
        "The Alembic configuration cannot be used",
        "The file cannot be read or parsed, or it names a folder that does not exist.",
        "Nothing was connected to.",
        OF_THE_CASE,
    ),
    Kind(
        "no-manifest",
        ExitCode.CONFIG,
        "This image has no manifest",
        "The verb, or a policy (breaking=refuse or hold, data=refuse, heavy=refuse), asks the manifest, and there is none beside the"
        " versions folder.",
        "Nothing was changed.",
        shell(
            migrate("manifest"),
            note="replays the history in a throw-away database; then commit the file that it writes",
        ),
    ),
    Kind(
        "no-shadow",
        ExitCode.CONFIG,
        "There is no server for a throw-away database",
        "A replay needs a throw-away PostgreSQL: none is named, and none that could be started was found.",
        "Nothing was connected to.",
        shell(
            "pip install 'migrate-job[embedded]'",
            note="or name a server that may be written to: export MIGRATE_SHADOW_URL=…",
        ),
    ),
    Kind(
        "shadow-lacks",
        ExitCode.CONFIG,
        "The throw-away server lacks something",
        "A revision needs an extension, a collation, a language or a role that the throw-away server does not have.",
        "The throw-away database was dropped; nothing else was connected to.",
        shell(
            "export MIGRATE_SHADOW_URL='postgresql://USER:PASSWORD@HOST:5432/postgres'",
            note=(
                "a server that has it; a role or a schema can also stand in a file: ",
                migrate("{verb}", "--baseline FILE"),
            ),
        ),
    ),
    Kind(
        "shadow-is-target",
        ExitCode.CONFIG,
        "The throw-away database would be on the target's server",
        "Revisions of a replay may create roles, which belong to the whole server, and open second connections.",
        "Nothing was connected to.",
        shell("unset MIGRATE_SHADOW_URL", note="the embedded server is used; or, knowing that: --shadow-beside-target"),
    ),
    Kind(
        "clone-is-target",
        ExitCode.TARGET,
        "The clone is the real database",
        "`migrate test --on` runs revisions for good, and its URL leads to the database that the settings name, or may do so.",
        "No revision was run, and nothing was changed.",
        shell(
            'migrate test --on "$CLONE_URL"',
            note="a branch, a restored backup or a copy; on the same server, another database",
        ),
    ),
    Kind(
        "bad-baseline",
        ExitCode.CONFIG,
        "The baseline cannot be used",
        "The baseline file failed when it was run on an empty database.",
        "The throw-away database was dropped; nothing else was connected to.",
        shell(
            "pg_dump --schema-only --no-owner --no-privileges URL > {baseline}",
            note="of a database without this history",
        ),
    ),
    Kind(
        "cannot-back-up",
        ExitCode.CONFIG,
        "A backup could not be taken",
        "A backup is due before the first change, but its folder is missing or not writable, the backup command is not"
        " found, or no pg_dump here is as new as the server.",
        "Nothing was changed; this was found before the job lock was taken.",
        OF_THE_CASE,
    ),
    Kind(
        "several-heads",
        ExitCode.HISTORY,
        "The history has several heads",
        "Two branches of the history were never merged, so that 'head' names no single revision.",
        "Nothing was changed.",
        shell(
            alembic("merge", "-m 'merge heads'", "{heads}"),
            note=("or deploy all of them: ", migrate("up", "--target heads")),
        ),
    ),
    Kind(
        "bad-history",
        ExitCode.HISTORY,
        "The image's revisions are at fault",
        "A revision is missing, duplicated, in a cycle, unreadable, or its id does not fit the version table.",
        "Nothing was changed. Every fault that was found is listed.",
        OF_THE_CASE,
    ),
    Kind(
        "empty-history",
        ExitCode.HISTORY,
        "The image has no revision",
        "No revision file was found: script_location or version_locations leads elsewhere, the files are in a folder below,"
        " or they did not get into the image (.dockerignore).",
        "Nothing was changed.",
        shell(
            "export MIGRATE_ALLOW_EMPTY_HISTORY=true",
            note="if that is meant; if not, correct script_location or .dockerignore",
        ),
    ),
    Kind(
        "unknown-target",
        ExitCode.HISTORY,
        "The target revision is not known here",
        "The setting 'target' names a revision or label that the versions folders do not have, or `migrate down --to`"
        " one that was never applied to this database.",
        "Nothing was changed.",
        shell(migrate("up", "--target head"), note="or one of: {heads}"),
    ),
    Kind(
        "bad-manifest",
        ExitCode.HISTORY,
        "The manifest cannot be used",
        "The manifest is malformed, of another format, or describes other revisions than the files.",
        "Nothing was changed.",
        shell(migrate("manifest"), note="then commit {manifest}"),
    ),
    Kind(
        "stale-manifest",
        ExitCode.HISTORY,
        "The manifest is out of date",
        "The committed manifest does not match the revision files.",
        "Nothing was changed.",
        shell(migrate("manifest"), note="then commit {manifest}"),
    ),
    Kind(
        "failed-trial",
        ExitCode.HISTORY,
        "The test of the revisions found faults",
        "`migrate test` tried revisions in a throw-away database, and findings of checks that policy lets fail the run"
        " were among what it found.",
        "The throw-away database was dropped; nothing else was connected to.",
        in_order(
            [
                advice("correct {place}, or add a revision if a database has this one already"),
                advice('or accept what the check {check} found, in that file: accepted = {{{key}: "the reason"}}'),
                shell(migrate("test"), note="--fail chooses the checks that fail the run"),
            ]
        ),
    ),
    Kind(
        "baseline-needed",
        ExitCode.HISTORY,
        "The history does not start from an empty database",
        "In a replay on an empty database, a revision needs a table or schema that no revision creates.",
        "The throw-away database was dropped; no manifest was written.",
        shell(
            "pg_dump --schema-only --no-owner --no-privileges URL > baseline.sql; ",
            migrate("manifest", "--baseline baseline.sql"),
            note="URL: a database as it is before the first revision",
        ),
    ),
    Kind(
        "edited-revision",
        ExitCode.HISTORY,
        "An applied revision was edited",
        "The file of a revision that was applied here has been changed since it ran here.",
        "Nothing was changed. Databases that ran the old file differ from those that will run the new one.",
        shell(
            "git log --oneline -- {file}",
            note="put back the version that ran, and write the change as a new revision; to accept it: --edited warn",
        ),
    ),
    Kind(
        "env-cannot-run",
        ExitCode.HISTORY,
        "env.py could not be run",
        "Alembic's env.py raised before the first revision was started; often a package or an environment variable is missing.",
        "Nothing was changed.",
        shell(
            alembic("-c {config}", "current"),
            note="shows the same error; the image may lack a package that env.py imports",
        ),
    ),
    Kind(
        "no-flask-app",
        ExitCode.HISTORY,
        "env.py needs a Flask application",
        "env.py uses Flask's current_app, as that of Flask-Migrate does, and no application was found.",
        "Nothing was changed.",
        shell("export FLASK_APP='MODULE:FACTORY'", note='or: flask_app = "MODULE:FACTORY" in [tool.migrate]'),
    ),
    Kind(
        "env-holds-transaction",
        ExitCode.HISTORY,
        "env.py's transaction cannot be divided",
        "env.py hands Alembic a connection that is already in a transaction, and a revision entered an autocommit block,"
        " which Alembic refuses there.",
        "The transaction was rolled back, and the revisions in it.",
        advice(
            "in {env_py}: connectable.connect() in place of .begin(), connection.commit() after statements of its own, and"
            " then context.configure()"
        ),
    ),
    Kind(
        "not-permitted",
        ExitCode.POLICY,
        "Policy does not allow what the plan needs",
        "The plan would do something that the operator has not allowed.",
        "Nothing was changed.",
        OF_THE_CASE,
    ),
    Kind(
        "data-loss",
        ExitCode.POLICY,
        "Going back would lose data",
        "A downgrade drops tables or columns that are not empty, deletes or truncates rows, or cuts values. Without a"
        " manifest it is not known what it drops.",
        "The message counts what would be lost. Nothing was changed; what had to be tried was rolled back. If a revision"
        " commits by itself, those before it may have been reverted, without a loss.",
        shell(migrate("down", "--to {target}", "--allow-data-loss"), note="with a backup first: --backup DIR"),
    ),
    Kind(
        "backup-failed",
        ExitCode.POLICY,
        "The backup failed",
        "pg_dump or the backup command failed or took too long, or what it wrote cannot be read back. Policy allows no"
        " change without a backup.",
        "Nothing was changed. An unverified file is removed.",
        OF_THE_CASE,
    ),
    Kind(
        "restore-failed",
        ExitCode.FAILED,
        "The backup was not restored",
        "The dump cannot be read, a program that reads it is missing or failed, or an object outside the schemas to be"
        " restored is in the way.",
        "The database is as it was: a restore is one transaction.",
        OF_THE_CASE,
    ),
    Kind(
        "breaking-change",
        ExitCode.POLICY,
        "The pending change breaks the running release",
        "A pending revision removes or narrows something that the release which is still running uses.",
        "Nothing was changed.",
        shell(migrate("up", "--breaking warn"), note="after the old release has been stopped"),
    ),
    Kind(
        "heavy-change",
        ExitCode.POLICY,
        "A pending revision blocks others for long",
        "A pending revision rewrites, scans or builds an index on a table that is larger than heavy_over, and blocks reads or"
        " writes of others meanwhile; policy is heavy=refuse.",
        "Nothing was changed.",
        shell(
            migrate("up", "--heavy warn"),
            note="at a quiet time; or change the revision so that it blocks nobody",
        ),
    ),
    Kind(
        "not-foreseen",
        ExitCode.POLICY,
        "It is not known what a pending revision does",
        "Policy (data=refuse, heavy=refuse) asks what pending revisions do to tables and need of their rows, and the manifest"
        " does not say so for one of them: an older version of migrate wrote it, or the revision was edited since.",
        "Nothing was changed.",
        shell(migrate("manifest", "--full"), note="then commit the file that it writes"),
    ),
    Kind(
        "files-exist",
        ExitCode.POLICY,
        "The files exist already",
        "A file that `migrate init` would write exists, with other content.",
        "No file was written or changed.",
        shell(
            migrate("init", "{platform}", "--force"),
            note="replaces them: commit yours first, so that git diff shows what changed",
        ),
    ),
    Kind(
        "not-writable",
        ExitCode.TARGET,
        "The server is read-only",
        "The connection reached a standby, or a server or role whose transactions are read-only.",
        "Nothing was changed.",
        advice("point {variable} at the primary (for several hosts: add ?target_session_attrs=read-write)"),
    ),
    Kind(
        "unsupported-server",
        ExitCode.TARGET,
        "The server is not supported",
        "The server is older than PostgreSQL 14, or is not PostgreSQL.",
        "Nothing was changed.",
        advice("use PostgreSQL 14 or newer"),
    ),
    Kind(
        "missing-extension",
        ExitCode.TARGET,
        "The server lacks an extension",
        "A pending revision, or the manifest, needs an extension whose files are not installed on the server.",
        "Nothing was changed.",
        advice("install the packages of {extensions} on the server, or choose a provider that offers them"),
    ),
    Kind(
        "other-database",
        ExitCode.TARGET,
        "env.py connected to another database",
        "The job lock that this run holds is not visible from the connection that env.py gave to Alembic.",
        "Nothing was changed.",
        advice("let {env_py} take its URL from config.get_main_option('sqlalchemy.url') or from DATABASE_URL"),
    ),
    Kind(
        "other-server",
        ExitCode.TARGET,
        "env.py leaves the throw-away server",
        "In a replay (`migrate manifest`, `migrate test`), env.py or a revision connects to a server that is not the"
        " throw-away one.",
        "The connection was refused before its first byte; nothing of that server was read or changed.",
        shell(
            "export MIGRATE_SHADOW_ALLOW={allow}",
            note="if it may; else let {env_py} take its URL from 'sqlalchemy.url' or DATABASE_URL, or map the variables that"
            " it reads (MIGRATE_SHADOW_ENVIRON)",
        ),
    ),
    Kind(
        "other-version-table",
        ExitCode.TARGET,
        "env.py uses another version table",
        "The version table that env.py configures is not the one whose rows were observed.",
        "Nothing was changed.",
        shell("export MIGRATE_VERSION_TABLE={version_table} MIGRATE_VERSION_TABLE_SCHEMA={version_table_schema}"),
    ),
    Kind(
        "missing-schema",
        ExitCode.TARGET,
        "The schema that env.py works in does not exist",
        "The search_path that env.py sets names no existing schema, so that no table can be created or found.",
        "Nothing was changed.",
        sql("CREATE SCHEMA {schema};", note="or correct the search_path that env.py sets"),
    ),
    Kind(
        "several-targets",
        ExitCode.TARGET,
        "env.py migrates more than one target",
        "env.py calls run_migrations() for several version tables or databases, and one run observes and proves one. A run"
        " that had committed revisions when env.py went on to the next target ends with 32.",
        "No revision of another target was run by this run. The ledger keeps it: the next run first runs env.py once without"
        " a revision, and refuses again if env.py still goes on to another target.",
        in_order(
            [
                advice(
                    'let {env_py} migrate only the target that it is given: context.get_x_argument(as_dictionary=True)["schema"]'
                ),
                advice(
                    'list the targets in [tool.migrate.tenants], such as schemas = "tenant_%" (docs/how-to/many-tenants.md)'
                ),
                shell(again(), note="once for all of them"),
            ]
        ),
    ),
    Kind(
        "pooler-session",
        ExitCode.TARGET,
        "A transaction pooler cannot hold what the plan needs",
        "The URL leads to a transaction pooler, and a pending revision needs session features (such as CREATE INDEX CONCURRENTLY) that it does not give.",
        "Nothing was changed.",
        shell("export DATABASE_UNPOOLED_URL='postgresql://USER:PASSWORD@SERVER:5432/NAME'", note="the server itself"),
    ),
    Kind(
        "authentication",
        ExitCode.ACCESS,
        "The server rejected the credentials",
        "The server does not accept this user, password or host (pg_hba.conf).",
        "Nothing was changed.",
        advice("check the user and the password in {variable}"),
    ),
    Kind(
        "no-database",
        ExitCode.ACCESS,
        "The database does not exist",
        "The server has no database with the name in the URL.",
        "Nothing was changed. migrate never creates a database.",
        advice("correct the name in {variable}, or create the database: createdb {database}"),
    ),
    Kind(
        "no-tls",
        ExitCode.ACCESS,
        "The server does not offer TLS",
        "The URL, or PGSSLMODE, asks for an encrypted connection, and the server does not support it.",
        "Nothing was changed. It is not tried again: waiting does not help.",
        advice("turn on ssl at the server, or accept a plain connection: sslmode=prefer in {variable}"),
    ),
    Kind(
        "missing-privilege",
        ExitCode.ACCESS,
        "The role lacks a privilege",
        "The database role may not do what the pending revisions or the version table need.",
        "Nothing of the failing revision is in the database.",
        advice("let the role of {variable} do what the server refused"),
    ),
    Kind(
        "untracked",
        ExitCode.STATE,
        "The database has tables but no version",
        "There are objects in the schema, but the version table is missing or empty.",
        "Nothing was changed. Do not stamp a guess: a wrong stamp hides the difference.",
        shell(
            migrate("adopt"),
            note=("stamps the revision that the manifest proves; without a manifest: ", migrate("manifest")),
        ),
    ),
    Kind(
        "unknown-revision",
        ExitCode.STATE,
        "The recorded revision is not in this image",
        "The version table names a revision that this image does not carry, and nothing proves that it is newer.",
        "Nothing was changed.",
        advice(
            "deploy an image that has {recorded}, or: ",
            migrate("adopt"),
            " (replaces the row when the schema proves one)",
        ),
    ),
    Kind(
        "split-version",
        ExitCode.STATE,
        "The version table contradicts itself",
        "It holds a row twice, or a revision together with its own ancestor.",
        "Nothing was changed.",
        shell(migrate("repair"), note="shows which row the schema proves; --yes keeps it"),
    ),
    Kind(
        "residue",
        ExitCode.STATE,
        "An earlier run left residue",
        "An index is INVALID and nobody is building it, or a part of a revision is recorded as committed.",
        "Nothing was changed.",
        shell(
            migrate("repair"),
            note=(
                "shows what it would do, and --yes does that; what it leaves to a person ends with: ",
                migrate("repair", "--yes", "--close REVISION", "--reason 'WHY'"),
            ),
        ),
    ),
    Kind(
        "not-adoptable",
        ExitCode.STATE,
        "No revision is proven by the schema",
        "The schema equals the manifest at no revision, or at several that cannot be told apart.",
        "Nothing was changed.",
        shell(
            migrate("adopt", "--at {revision}", "--reason 'WHY'"),
            note="you vouch for it; recorded with the differences",
        ),
    ),
    Kind(
        "ahead",
        ExitCode.AHEAD,
        "The database is newer than this image",
        "The database was migrated past this image's head, and it is not proven that this image can run on it.",
        "Nothing was changed.",
        shell(
            "export MIGRATE_AHEAD=accept",
            note="you vouch for it, to up and to wait; or deploy the image that has {recorded}, or go back with that image:"
            " migrate down --to REVISION",
        ),
    ),
    Kind(
        "drift",
        ExitCode.DRIFT,
        "The schema does not match its revision",
        "Somebody changed the schema outside the revisions.",
        "Nothing was changed.",
        shell(
            migrate("verify"),
            note="prints the SQL that repairs it; to accept it: --drift warn or --ignore PATTERN",
        ),
    ),
    Kind(
        "schemas-differ",
        ExitCode.DRIFT,
        "The two schemas differ",
        "`migrate verify --against` compared a schema with that of a revision, another database or another image.",
        "Nothing was changed.",
        shell(migrate("verify", "--against {against}", "--format sql"), note="SQL that leads from one to the other"),
    ),
    Kind(
        "data",
        ExitCode.DATA,
        "Rows would make a pending revision fail",
        "The manifest says what the rows must be like for a pending revision to pass, and some are not.",
        "Nothing of that revision was changed. The message names the table and what is wrong; no value of a row is shown.",
        OF_THE_CASE,
    ),
    Kind(
        "unreachable",
        ExitCode.UNREACHABLE,
        "The server could not be reached",
        "No connection was made within the connect timeout.",
        "Nothing was changed.",
        shell(migrate("doctor"), note="or wait longer: export MIGRATE_CONNECT_TIMEOUT=120"),
    ),
    Kind(
        "guard-busy",
        ExitCode.BUSY,
        "Another run holds the job lock",
        "Another migrate run on the same target did not end within guard_timeout.",
        "Nothing was changed by this run.",
        advice("wait for run {holder}, or wait longer: export MIGRATE_GUARD_TIMEOUT=3600"),
    ),
    Kind(
        "orphan-worker",
        ExitCode.BUSY,
        "A worker of an earlier run is still at work",
        "A run died or was stopped, but its connection is still open: it executes a statement, or this role may not end it.",
        "Nothing was changed by this run.",
        shell("psql {url} -c 'SELECT pg_terminate_backend({pid})'", note="or wait until it has ended"),
    ),
    Kind(
        "blocked",
        ExitCode.BLOCKED,
        "A lock was not granted in time",
        "Other transactions held locks on the same objects through every try, or dropped objects while they were read.",
        "The revision was rolled back; those before it stay.",
        advice("end or wait for the named transactions, then run ", again(), " again (or raise MIGRATE_LOCK_BUDGET)"),
    ),
    Kind(
        "missing-standby",
        ExitCode.BLOCKED,
        "No synchronous standby is connected",
        "Every commit waits for a synchronous standby (synchronous_standby_names), and none is connected.",
        "Nothing was changed.",
        sql(
            "ALTER SYSTEM SET synchronous_standby_names = '';\nSELECT pg_reload_conf();",
            note="or start the standby",
        ),
    ),
    Kind(
        "connection-lost",
        ExitCode.LOST,
        "The connection was lost",
        "The server or the network ended a connection in the middle of the run.",
        "The revision was rolled back by the server; those before it stay.",
        shell(again(), note="once the server is back"),
    ),
    Kind(
        "no-resources",
        ExitCode.RESOURCES,
        "The server ran out of a resource",
        "Disk, memory or connections of the server are used up.",
        "What ran was rolled back; the revisions before it stay.",
        advice("free what is named, then run ", again(), " again"),
    ),
    Kind(
        "deadline",
        ExitCode.DEADLINE,
        "The job ran out of time",
        "The time that the platform gives the job ended, or was too short for the next revision.",
        "The revisions before stay; the next one was not started, or it was rolled back.",
        advice("run ", again(), " again, where the platform allows more time (MIGRATE_DEADLINE)"),
    ),
    Kind(
        "not-ready",
        ExitCode.DEADLINE,
        "The database was not ready in time",
        "`migrate wait` waited, and revisions of this image are still pending: the job that applies them has not run, has"
        " not ended, or has failed.",
        "Nothing was changed, and the waiting program was not started.",
        advice("look at the job that runs ", migrate("up"), "; to wait longer: export MIGRATE_WAIT_TIMEOUT=1800"),
    ),
    Kind(
        "revision-failed",
        ExitCode.FAILED,
        "A revision failed",
        "A revision raised an error.",
        "The revision was rolled back; those before it stay.",
        advice("correct {file}, write the manifest again, build a new image, and run ", again(), " again"),
    ),
    Kind(
        "env-failed-after",
        ExitCode.FAILED,
        "env.py failed after the last revision",
        "Every revision was applied and committed; then env.py raised an error, or exited with a status other than 0.",
        "The revisions stay. What env.py was to do after them is not done, and the next run finds nothing to apply.",
        advice(
            "do by hand what {env_py} left undone: a run without a pending revision does not run it; then move it into a"
            " revision, or into a command of its own after ",
            again(),
        ),
    ),
    Kind(
        "revision-exited",
        ExitCode.FAILED,
        "A revision ended the process",
        "A revision or env.py called sys.exit() or os._exit(), or crashed the interpreter.",
        "The revision was rolled back; those before it stay.",
        advice("take the exit out of {file}, write the manifest again, build a new image, and run ", again(), " again"),
    ),
    Kind(
        "partly-committed",
        ExitCode.PARTIAL,
        "A part of a revision was committed",
        "A revision failed after an autocommit block, an embedded COMMIT or a commit over a second connection of its own.",
        "Its first part is in the database; its version row is not. The message lists what was left behind.",
        shell(
            migrate("repair"),
            note=(
                (
                    "shows what is left, and --yes takes back what is provable; then correct {file}, unless it can run again as it is"
                    " (if_not_exists=True), and release again. What you put right yourself: "
                ),
                migrate("repair", "--yes", "--close REVISION", "--reason 'WHY'"),
            ),
        ),
    ),
    Kind(
        "unproven",
        ExitCode.UNPROVEN,
        "The proof failed",
        "Every revision ran without an error, but the database is not at the target afterwards.",
        "What was applied stays. The difference is named.",
        shell(migrate("status"), " && ", migrate("history"), note="then correct the revision that is named"),
    ),
    Kind(
        "commit-unknown",
        ExitCode.UNKNOWN,
        "It is not known whether the last commit succeeded",
        "The connection was lost at the commit, and the server could not be asked again.",
        "The last revision is either wholly in the database or not at all.",
        shell(migrate("status"), note=("once the server is back; then ", again())),
    ),
    Kind(
        "guard-lost",
        ExitCode.GUARD_LOST,
        "The job lock was lost in the middle of the run",
        "The connection that holds the job lock ended while revisions were running.",
        "No later revision was started. The one at work was rolled back unless it is listed as applied.",
        shell(migrate("status"), note=("then run ", again(), " again")),
    ),
    Kind(
        "interrupted",
        ExitCode.TERMINATED,
        "The run was interrupted",
        "The process received SIGTERM or SIGINT.",
        "The statement was cancelled and rolled back; the revisions before it stay.",
        shell(again(), note="when it can run to its end"),
    ),
)

CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType({kind.code: kind for kind in _KINDS})


def kinds_of(code: ExitCode) -> tuple[Kind, ...]:
    """The kinds of problem that end with this code; a run that a signal stops is `interrupted`, whichever it was."""
    shown = ExitCode.TERMINATED if code is ExitCode.INTERRUPTED else code
    return tuple(kind for kind in _KINDS if kind.exit_code is shown)


def problem(
    code: str,
    why: str,
    *,
    fix: Fix | None = None,
    names: Mapping[str, object] = MappingProxyType({}),
    exit_code: ExitCode | None = None,
    **facts: object,
) -> Problem:
    """A problem of the kind ``code``.

    ``names`` fill the blanks of the kind's fix, quoted for where they stand (of several names, each one); ``facts``
    become fields of the log line. ``fix`` replaces the kind's own where the place that stopped knows a better one;
    ``exit_code`` only where a signal or a committed part changes it. Raises KeyError for a code that is not in the
    catalogue.
    """
    kind = CATALOGUE[code]
    return Problem(
        kind,
        why,
        kind.fix.filled(names) if fix is None else fix,
        facts,
        kind.exit_code if exit_code is None else exit_code,
    )


def stop(code: str, why: str, *, fix: Fix | None = None, **details: object) -> Stop:
    """The exception for `problem(code, why, ...)`, to be raised."""
    return Stop(problem(code, why, fix=fix, **details))  # type: ignore[arg-type]  # the same keywords, checked there
