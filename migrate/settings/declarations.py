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
        "Alembic's configuration, an alembic.ini or a pyproject.toml with [tool.alembic]. Without it, alembic.ini and"
        " pyproject.toml of the working directory are looked for.",
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
        "The schemas whose objects belong to this image. Without it, the version table's schema, and those beside it in"
        " which the manifest's revisions make something.",
        verbs=_IMAGE_VERBS,
        finds_project=True,
    ),
    Setting(
        "manifest",
        File(),
        None,
        "The manifest. Without it, manifest.json beside the versions folder.",
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
        "A program that prints the database's URL, run anew for each connection: for passwords that are tokens, such as"
        " those of IAM. It counts before every variable that has a URL. No shell is used, and its output is never shown.",
    ),
    Setting(
        "shadow_url",
        Secret("URL", "URL of PostgreSQL"),
        None,
        "A server for the throw-away databases, which are made there and dropped: never the target's, as revisions may create"
        " roles. Its role needs CREATEDB. Without it, a server of its own is started (`migrate-job[embedded]`).",
        verbs=_SHADOW_VERBS,
        in_table=False,
    ),
    Setting(
        "shadow_beside_target",
        Switch(),
        default=False,
        help="Make the throw-away databases beside the target, on its server, knowing that roles which revisions create"
        " belong to the whole server.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "shadow_environ",
        Words("NAME=TEXT,...", "variables with {url}, {host}, {port}, {user}, {password} or {database} in their text"),
        (),
        "Variables by which env.py finds a throw-away database, for an application that puts its URL together of parts whose"
        " names do not tell: APP_STORE={host}:{port}. Parts with usual names, and parts that are the target's, are found.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "environ",
        Words("NAME=TEXT,...", "variables"),
        (),
        "Variables for replays, where env.py or a revision asks the environment and makes another schema where the answer is"
        " another. Their values stand in the manifest; a release in which they are others says so.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "shadow_allow",
        Words("HOST[:PORT],...", "servers"),
        (),
        "Servers that env.py and revisions may connect to in a replay, beside the throw-away one; connections to all others"
        " are refused before their first byte.",
        verbs=_SHADOW_VERBS,
    ),
    Setting(
        "test_on",
        Secret("URL", "URL of PostgreSQL"),
        None,
        "A clone of the real database (a branch, a restored backup): the pending revisions are run there, for good, and"
        " measured. The database of the other settings is refused, by whatever name.",
        verbs=("test",),
        in_table=False,
    ),
    Setting(
        "test_fail",
        Selection("CHECK,...", ", ".join(TrialCheck), TrialCheck),
        DEFAULT_FAIL,
        "The checks of `migrate test` whose findings fail the run; those of the others are shown as warnings.",
        verbs=("test",),
    ),
    Setting(
        "target",
        Text("REVISION", "head, heads, a revision or a branch label"),
        _policy.target,
        "Where to go: head refuses several heads, heads takes them all.",
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
        "Whether to adopt a database that has tables but no version: never; where its schema equals the manifest at"
        " exactly one revision; or also where only names of constraints and indexes differ.",
        verbs=(*_DECIDING_VERBS, "adopt"),
    ),
    Setting(
        "ahead",
        Choice(AheadPolicy),
        _policy.ahead,
        "When to accept a database that is newer than the image: where ledger and schema prove that the image can run"
        " on it; where the schema alone does; always; never.",
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
        "How to treat pending revisions whose files were edited after the manifest was written: what they lead to is not"
        " what it says.",
        verbs=(*_DECIDING_VERBS, "status"),
    ),
    Setting(
        "breaking",
        Choice(BreakingPolicy),
        _policy.breaking,
        "How to treat pending changes that break the release that is still running. `hold` applies what comes"
        " before the first such revision and ends with 0; a later run with `allow` does the rest. Without a manifest that is"
        " not compared: `warn` says so, and `refuse` and `hold` refuse whatever is pending.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "data",
        Choice(DataPolicy),
        _policy.data,
        "How to treat rows that would make a pending revision fail: the manifest says what a revision"
        " needs, and the database is asked before anything is changed. `warn` says it, `off` does not ask. Without it:"
        " refuse. A need that was not proven only warns, and so does one that was not answered in time. Set to `refuse`, it"
        " also refuses where the manifest does not say what a pending revision needs.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "data_timeout",
        Duration(minimum_s=0.01),
        _limits.data_s,
        "How long one such question may take; then its answer is not known, and the run goes on.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "heavy",
        Choice(HeavyPolicy),
        _policy.heavy,
        "How to treat pending revisions that block others on a large table: by a rewrite, a scan or an index build."
        " `refuse` also refuses where the manifest does not say what a pending revision does.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "heavy_over",
        Size(),
        _policy.heavy_over,
        "Which table is large: of more bytes, with its indexes, toast and partitions.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "backup_policy",
        Choice(BackupPolicy),
        _policy.backup_policy,
        "When to take a backup before the first change: never, always, or where a pending revision drops a table or a"
        " column (without a manifest that is not known, and a backup is taken). Without it: always, where a folder or a"
        " command for it is named.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "backup",
        File("DIR", "path of a folder that exists"),
        None,
        "The folder for backups, such as a mounted volume: pg_dump's custom format, checked and with its SHA-256.",
        verbs=_RUNNING_VERBS,
    ),
    Setting(
        "backup_command",
        Command(),
        None,
        "A program that takes the backup, such as a provider's snapshot; with a folder it is run after the dump, and"
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
        "Refuse a schema that is not the manifest's (drift) also where nothing is pending, and nothing would be at risk;"
        " and, pending or not, what the manifest does not have and the image's rows would be refused by.",
        verbs=(*_DECIDING_VERBS, "status", "wait"),
    ),
    Setting(
        "heal",
        Switch(),
        _policy.heal,
        "Repair what an earlier run left, where the repair is provable, instead of refusing.",
        verbs=_DECIDING_VERBS,
    ),
    Setting(
        "allow_empty_history",
        Switch(),
        _policy.allow_empty_history,
        "Take an image without any revision for what is meant. Without it, such an image is refused: its revision files are"
        " missing, more likely.",
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
        "How long one statement waits for a lock, and others queue behind it, before the revision is rolled back and"
        " tried again.",
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
        "How often a revision is tried when a lock is not granted.",
        verbs=_RETRYING_VERBS,
    ),
    Setting(
        "lock_budget",
        Duration(zero_means="one try"),
        _limits.lock_budget_s,
        "How long a revision is tried again in all when a lock is not granted, and how long env.py may wait for a lock of its"
        " own.",
        verbs=_RETRYING_VERBS,
    ),
    Setting(
        "deadline",
        Duration(zero_means="none"),
        _limits.deadline_s,
        "The time that the platform gives the whole job: nobody connects, waits or begins a revision after it, and one"
        " that runs is rolled back. Without it, half a minute less than the platform's own limit, where that is known:"
        " 270s in Fly's release_command, 3570s in Heroku's release phase.",
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
        "JSON lines, text for people, or whichever fits standard output.",
        verbs=_IMAGE_VERBS,
    ),
    Setting(
        "log_queries",
        Switch(),
        default=False,
        help="Show the query text of sessions that block a revision or a repair; it may hold data of users.",
        verbs=("up", "repair", "down"),
    ),
    Setting(
        "notify",
        Addresses("URL", "URLs of apprise, with white space in between"),
        (),
        "Whom to tell how the run ended, as URLs of apprise (the extra `notify`). They hold tokens, and other users of a"
        " machine can read the command line of a process: prefer the variable.",
        verbs=CHANGING_VERBS,
    ),
    Setting(
        "notify_on",
        Selection("OCCASION,...", "failure, refusal, success", Occasion),
        (Occasion.FAILURE, Occasion.REFUSAL),
        "When to tell.",
        verbs=CHANGING_VERBS,
    ),
    *FLEET_SETTINGS,
    Setting("service", Text("NAME", "name"), "migrate", "The field `service` of each log line."),
    Setting(
        "debug",
        Switch(),
        default=False,
        help="Add the traceback to an error; for reports of bugs, never for production: it may hold data of users.",
        in_table=False,
    ),
)
