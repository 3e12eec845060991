"""The settings of a fleet, `[tool.migrate.tenants]`, and the flags that choose among its tenants."""

from __future__ import annotations

from typing import Final

from migrate.settings.fleet import Fleet, OnFailure
from migrate.settings.kinds import Choice, Command, File, Fraction, Narrowing, Number, Switch, Text, Words
from migrate.settings.setting import Setting

_TENANT_VERBS: Final = ("up", "plan", "status", "wait", "verify", "adopt", "doctor", "history", "report")
TENANT_FLAG_VERBS: Final = (*_TENANT_VERBS, "down", "repair", "restore")

_fleet: Final = Fleet()

FLEET_SETTINGS: Final = (
    Setting(
        "tenants_query",
        Text("SQL", "SQL"),
        None,
        "A query on the target that lists the tenants: the tenant's name, and in a second and a third column its schema"
        " and its database. With one column, a tenant's schema has its name.",
    ),
    Setting(
        "tenants_schemas",
        Text("PATTERN", "pattern as of LIKE, such as tenant_%"),
        None,
        "The schemas of the target's database that are tenants: those that match.",
    ),
    Setting(
        "tenants_file",
        File(),
        None,
        "A file with a tenant a line: a URL, whose database names it, or an object with some of the keys tenant, url,"
        " schema, database.",
    ),
    Setting(
        "tenants_command",
        Command(),
        None,
        "A program that prints such lines. No shell is used, and its output is never shown.",
    ),
    Setting(
        "tenants_include",
        Narrowing("PATTERN,...", "patterns of tenants, such as 'eu_*'"),
        (),
        "The tenants of this release. Default: all.",
        verbs=_TENANT_VERBS,
    ),
    Setting(
        "tenants_exclude",
        Words("PATTERN,...", "patterns of tenants, such as 'test_*'"),
        (),
        "Tenants to leave out.",
        verbs=_TENANT_VERBS,
    ),
    Setting(
        "tenants_canary",
        Words("PATTERN,...", "patterns of tenants"),
        (),
        "Tenants that go first. The others start when all of these are proven, and not at all if one is not.",
        verbs=("up",),
    ),
    Setting(
        "tenants_search_path",
        Switch(),
        default=_fleet.search_path,
        help="Set `search_path` to the tenant's schema in env.py's connections, and look for the version table there, as"
        " Alembic's cookbook does: for an env.py that knows nothing of tenants.",
    ),
    Setting(
        "tenants_parallel",
        Number(1, 64),
        None,
        "How many tenants run at once, each with its own connections. Default: the number of cores, at most four.",
        verbs=("up", "adopt"),
    ),
    Setting(
        "tenants_on_failure",
        Choice(OnFailure),
        _fleet.on_failure,
        "What happens to tenants that have not started when one fails: they continue, or stop.",
        verbs=("up", "adopt"),
    ),
    Setting(
        "tenants_shards",
        Number(1, 10_000),
        None,
        "Into how many parts the tenants are divided, if the platform tells each machine only its own number"
        " (JOB_COMPLETION_INDEX of Kubernetes' indexed jobs).",
        verbs=_TENANT_VERBS,
    ),
    Setting(
        "tenant",
        Narrowing("NAME,...", "names of tenants"),
        (),
        "Only these tenants.",
        verbs=TENANT_FLAG_VERBS,
        in_table=False,
        finds_project=True,
    ),
    Setting(
        "shard",
        Fraction("I/N", "part of all tenants, from 0/N to N-1/N"),
        None,
        "Only this part of the tenants; a tenant's name decides in which part it is. Cloud Run's tasks and AWS"
        " Batch's arrays set it themselves.",
        verbs=_TENANT_VERBS,
        in_table=False,
    ),
    Setting(
        "verify_all",
        Switch(),
        default=_fleet.verify_all,
        help="Also check the schema of tenants at head, which are otherwise skipped, even with --strict.",
        verbs=("up",),
    ),
    Setting(
        "create",
        Switch(),
        default=_fleet.create,
        help="Create the schema of a tenant named with --tenant, if it has none.",
        verbs=("up",),
        in_table=False,
    ),
)
