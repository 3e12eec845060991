"""Every setting, once: its name, type, default, help and the verbs that take it as a flag."""

from __future__ import annotations

from typing import Final

from migrate.core.decide.policy import (
    AdoptPolicy,
    AheadPolicy,
    BackupPolicy,
    BreakingPolicy,
    DataPolicy,
    EditedPolicy,
    HeavyPolicy,
    Judgement,
    Limits,
    Policy,
    Stale,
    Transaction,
)
from migrate.core.events import LogFormat
from migrate.core.notification import Occasion
from migrate.core.trial_checks import DEFAULT_FAIL, TrialCheck
from migrate.settings.fleet_declarations import FLEET_SETTINGS
from migrate.settings.kinds import (
    Addresses,
    Arguments,
    Choice,
    Command,
    Duration,
    File,
    Number,
    Secret,
    Selection,
    Size,
    Switch,
    Text,
    Words,
)
from migrate.settings.setting import Setting

_TARGET_VERBS: Final = (
    "up", "plan", "status", "wait", "verify", "adopt", "repair", "down", "restore", "doctor", "history", "report",
)  # fmt: skip
_IMAGE_VERBS: Final = (*_TARGET_VERBS, "manifest", "test")
_SHADOW_VERBS: Final = ("manifest", "test", "plan")
_DECIDING_VERBS: Final = ("up", "plan")
CHANGING_VERBS: Final = ("up", "adopt", "repair", "down", "restore")
_RETRYING_VERBS: Final = ("up", "adopt", "repair", "down")
_RUNNING_VERBS: Final = ("up", "down")
_DRIFT_VERBS: Final = ("up", "plan", "status", "wait", "verify", "down", "doctor", "report")
_COMPARING_VERBS: Final = (*_DRIFT_VERBS, "adopt", "repair")

_policy: Final = Policy()
_limits: Final = Limits()

SETTINGS: Final = (
    Setting(
        "config",
        File(),
        None,
        "Alembic's configuration, an alembic.ini or a pyproject.toml with [tool.alembic]. Default: alembic.ini or"
        " pyproject.toml in the working directory.",
        verbs=_IMAGE_VERBS,
        flags=("-c", "--config"),
        finds_project=True,
    ),
    Setting(
        "section",
        Text("NAME"),
        "alembic",
        "The section of the ini file, as alembic's own -n.",
        verbs=_IMAGE_VERBS,
        flags=("-n", "--name"),
        finds_project=True,
    ),
    Setting(
        "x",
        Arguments("KEY=VALUE", "KEY=VALUE, several as a shell would divide them"),
        (),
        "An argument for env.py, as alembic's own -x: context.get_x_argument() has it. May be given several times.",
        verbs=_IMAGE_VERBS,
        flags=("-x",),
        finds_project=True,
    ),
    Setting(
        "version_table",
        Text("NAME", "name of a table"),
        None,
        "The version table that env.py configures. Default: read from env.py, otherwise alembic_version.",
        verbs=_IMAGE_VERBS,
        finds_project=True,
    ),
    Setting(
        "version_table_schema",
        Text("NAME", "name of a schema"),
        None,
        "The version table's schema. Default: read from env.py, otherwise the connection's search_path decides, as in"
        " Alembic.",
        verbs=_IMAGE_VERBS,
        finds_project=True,
    ),
    Setting(
        "schemas",
        Words("NAME,...", "names of schemas"),
        (),
        "The schemas whose objects belong to this image. Default: the version table's schema, and the other"
        " schemas in which the manifest's revisions create objects.",
        verbs=_IMAGE_VERBS,
        finds_project=True,
    ),
    Setting(
        "manifest",
        File(),
        None,
        "The manifest. Default: manifest.json beside the versions folder.",
        verbs=_IMAGE_VERBS,
        finds_project=True,
    ),
    Setting(
        "flask_app",
        Text("MODULE[:FACTORY]", "as FLASK_APP"),
        None,
        "The Flask application whose context env.py needs (Flask-Migrate). Default: FLASK_APP, otherwise wsgi.py or app.py.",
        verbs=(*_RUNNING_VERBS, *_SHADOW_VERBS),
        finds_project=True,
    ),
    Setting(
        "url_command",
        Command(),
        None,
        "A program that prints the database URL, run again for each connection, for passwords that are short-lived"
        " tokens (IAM). It takes precedence over every variable that has a URL. No shell is used, and its output"
        " is never shown.",
    ),
    Setting(
        "shadow_url",
        Secret("URL", "URL of PostgreSQL"),
        None,
        "A server on which the throw-away databases are created and dropped. Never the target's server, because"
        " revisions may create roles. Its role needs CREATEDB. Default: an embedded server"
        " (`migrate-job[embedded]`).",
        verbs=_SHADOW_VERBS,
        in_table=False,
    ),
    Setting(
        "shadow_beside_target",
        Switch(),
        default=False,
        help="Create the throw-away databases on the target's server, although roles that revisions create belong to"
        " the whole server.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "shadow_environ",
        Words("NAME=TEXT,...", "variables with {url}, {host}, {port}, {user}, {password} or {database} in their text"),
        (),
        "Variables by which env.py finds a throw-away database, for an application that builds its URL from parts"
        " with unusual names: APP_STORE={host}:{port}. Parts with usual names, and parts with the target's values,"
        " are found without it.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "environ",
        Words("NAME=TEXT,...", "variables"),
        (),
        "Variables for replays, where env.py or a revision reads the environment and the schema depends on the"
        " answer. Their values are written into the manifest; a release with other values reports it.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "shadow_allow",
        Words("HOST[:PORT],...", "servers"),
        (),
        "Servers that env.py and revisions may connect to in a replay, besides the throw-away one. Connections to"
        " all others are refused before their first byte.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "test_on",
        Secret("URL", "URL of PostgreSQL"),
        None,
        "A clone of the real database (a branch, a restored backup). The pending revisions are run there, for"
        " good, and measured. The database of the other settings is refused, whatever it is called.",
        verbs=("test",),
        in_table=False,
    ),
    Setting(
        "test_fail",
        Selection("CHECK,...", ", ".join(TrialCheck), TrialCheck),
        DEFAULT_FAIL,
        "The checks of `migrate test` that fail the run. Findings of the others are warnings.",
        verbs=("test",),
    ),
    Setting(
        "target",
        Text("REVISION", "head, heads, a revision or a branch label"),
        _policy.target,
        "Where to go: head (refused if there are several), heads (all of them), a revision or a branch label.",
        verbs=("up", "plan", "status", "wait", "test"),
    ),
    Setting(
        "transaction",
        Choice(Transaction),
        _policy.transaction,
        "One transaction for each revision, or one for all of them, as Alembic does by default.",
        verbs=(*_RUNNING_VERBS, *_SHADOW_VERBS),
    ),
    Setting(
        "adopt",
        Choice(AdoptPolicy),
        _policy.adopt,
        "Whether to adopt a database that has tables but no version: never; if its schema equals the manifest at"
        " exactly one revision; or also if only names of constraints and indexes differ.",
        verbs=(*_DECIDING_VERBS, "adopt"),
    ),
    Setting(
        "ahead",
        Choice(AheadPolicy),
        _policy.ahead,
        "When to accept a database that is newer than the image: if ledger and schema prove that the image can run"
        " on it; if the schema alone does; always; never.",
        verbs=(*_DECIDING_VERBS, "status", "wait"),
    ),
    Setting(
        "drift",
        Choice(Judgement),
        _policy.drift,
        "How to treat missing or changed objects when revisions are pending: fail, warn or ignore.",
        verbs=_DRIFT_VERBS,
    ),
    Setting(
        "extra",
        Choice(Judgement),
        _policy.extra,
        "How to treat objects that the manifest does not have: fail, warn or ignore.",
        verbs=(*_DRIFT_VERBS, "adopt"),
    ),
    Setting(
        "ignore",
        Words("PATTERN,...", "patterns of objects, such as 'table audit_*'"),
        _policy.ignore,
        "Objects that are never compared, by kind and name as differences print them, e.g. 'index orders.ix_*'.",
        verbs=_COMPARING_VERBS,
    ),
    Setting(
        "edited",
        Choice(EditedPolicy),
        _policy.edited,
        "How to treat applied revisions whose files were edited when revisions are pending.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "stale",
        Choice(Stale),
        _policy.stale,
        "How to treat pending revisions whose files were edited after the manifest was written, so that it may"
        " describe another schema.",
        verbs=(*_DECIDING_VERBS, "status"),
    ),
    Setting(
        "breaking",
        Choice(BreakingPolicy),
        _policy.breaking,
        "How to treat pending changes that break the release that is still running. `hold` applies what comes"
        " before the first such revision and exits with 0; a later run with `allow` applies the rest. Without a"
        " manifest nothing can be compared: `warn` says so, `refuse` and `hold` refuse every pending revision.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "data",
        Choice(DataPolicy),
        _policy.data,
        "How to treat rows that would make a pending revision fail. The manifest says what a revision needs, and"
        " the database is checked before anything is changed. `warn` only reports, `off` does not check. A need"
        " that was not proven, or was not answered in time, only warns. If it is set to `refuse`, it also refuses"
        " when the manifest does not say what a pending revision needs.",
        verbs=_DECIDING_VERBS,
        unset="refuse",
    ),
    Setting(
        "data_timeout",
        Duration(minimum_s=0.01),
        _limits.data_s,
        "How long one check of rows may take. After that its answer is not known, and the run goes on.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "heavy",
        Choice(HeavyPolicy),
        _policy.heavy,
        "How to treat pending revisions that block others on a large table, by a rewrite, a scan or an index"
        " build. `refuse` also refuses when the manifest does not say what a pending revision does.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "heavy_over",
        Size(),
        _policy.heavy_over,
        "The size from which on a table is large, with its indexes, TOAST and partitions.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "backup_policy",
        Choice(BackupPolicy),
        _policy.backup_policy,
        "When to take a backup before the first change: never, always, or if a pending revision drops a table or a"
        " column (always, if there is no manifest). If a folder or a command for it is set, the default is"
        " required.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "backup",
        File("DIR", "path of a folder that exists"),
        None,
        "The folder for backups, such as a mounted volume. They are in pg_dump's custom format, checked, and have"
        " a SHA-256.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "backup_command",
        Command(),
        None,
        "A program that takes the backup, such as a provider's snapshot. With a folder, it runs after the dump and"
        " finds it in MIGRATE_BACKUP_FILE. No shell is used; the exit code decides.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "backup_timeout",
        Duration(zero_means="no limit"),
        _limits.backup_s,
        "How long a backup may take.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "strict",
        Switch(),
        _policy.strict,
        "Refuse a schema that does not match the manifest (drift) even if nothing is pending, and any object, pending or not,"
        " that no revision made and that would refuse this image's rows.",
        verbs=(*_DECIDING_VERBS, "status", "wait"),
    ),
    Setting(
        "heal",
        Switch(),
        _policy.heal,
        "Repair what an earlier run left behind, if the repair can be proven, instead of refusing.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "allow_empty_history",
        Switch(),
        _policy.allow_empty_history,
        "Accept an image without revisions. By default it is refused, because its revision files are probably missing.",
        verbs=_IMAGE_VERBS,
    ),
    Setting(
        "connect_timeout",
        Duration(minimum_s=1),
        _limits.connect_s,
        "How long to try to reach the server.",
        verbs=tuple(verb for verb in _TARGET_VERBS if verb != "wait"),
    ),
    Setting(
        "guard_timeout",
        Duration(zero_means="do not wait"),
        _limits.guard_s,
        "How long to wait for another run to end.",
        verbs=CHANGING_VERBS,
    ),
    Setting(
        "lock_timeout",
        Duration(minimum_s=0.01),
        _limits.lock_s,
        "How long a statement waits for a lock, with others queueing behind it, before the revision is rolled back"
        " and tried again.",
        verbs=_TARGET_VERBS,
    ),
    Setting(
        "statement_timeout",
        Duration(zero_means="no limit"),
        _limits.statement_s,
        "How long one statement of a revision may take.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "lock_tries",
        Number(1, 1000),
        _limits.lock_tries,
        "How often a revision is tried if a lock is not granted.",
        verbs=_RETRYING_VERBS,
    ),
    Setting(
        "lock_budget",
        Duration(zero_means="one try"),
        _limits.lock_budget_s,
        "How long a revision is retried in total if a lock is not granted, and how long env.py may wait for a lock"
        " itself.",
        verbs=_RETRYING_VERBS,
    ),
    Setting(
        "deadline",
        Duration(zero_means="none"),
        _limits.deadline_s,
        "The time that the platform gives the whole job. After it nothing connects, waits or starts a revision,"
        " and a running one is rolled back. Default: 30 seconds less than the platform's limit, if that is known"
        " (270s in Fly's release_command, 3570s in Heroku's release phase).",
        verbs=CHANGING_VERBS,
    ),
    Setting(
        "wait_timeout",
        Duration(zero_means="look once"),
        _limits.wait_s,
        "How long `migrate wait` waits for the database to be ready for this image.",
        verbs=("wait",),
    ),
    Setting(
        "log_format",
        Choice(LogFormat),
        LogFormat.AUTO,
        "JSON lines, or text for people. auto means text on a terminal, otherwise JSON.",
        verbs=_IMAGE_VERBS,
    ),
    Setting(
        "log_queries",
        Switch(),
        default=False,
        help="Show the query text of sessions that block a revision or a repair. It may contain user data.",
        verbs=("up", "repair", "down"),
    ),
    Setting(
        "notify",
        Addresses("URL", "URLs of apprise, with white space in between"),
        (),
        "Where to report how the run ended, as apprise URLs (the extra `notify`). They contain tokens, and other"
        " users of a machine can read command lines: prefer the variable.",
        verbs=CHANGING_VERBS,
    ),
    Setting(
        "notify_on",
        Selection("OCCASION,...", "failure, refusal, success", Occasion),
        (Occasion.FAILURE, Occasion.REFUSAL),
        "When to report.",
        verbs=CHANGING_VERBS,
    ),
    *FLEET_SETTINGS,
    Setting("service", Text("NAME", "name"), "migrate", "The field `service` of each log line."),
    Setting(
        "debug",
        Switch(),
        default=False,
        help="Add the traceback to an error, for bug reports. Never in production: it may contain user data.",
        in_table=False,
    ),
)
