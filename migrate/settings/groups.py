"""The settings as the help of a verb shows them: in groups, the common ones first. Imported for help alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.value import Value
from migrate.settings.declarations import SETTINGS
from migrate.settings.kinds import Duration, Switch

if TYPE_CHECKING:
    from migrate.settings.setting import Setting


class Group(Value):
    """Settings that belong together, by name: those that `--help` shows, and those that only `--help-all` does."""

    title: str
    common: tuple[str, ...]
    rest: tuple[str, ...]


OUTPUT: Final = "Output"  # --json and --help stand here, too

GROUPS: Final = (
    Group(
        "What to run",
        ("config", "target", "tenant", "test_on"),
        (
            *("section", "x", "version_table", "version_table_schema", "schemas", "manifest", "flask_app"),
            *("transaction", "create"),
        ),
    ),
    Group(
        "What to allow",
        ("adopt", "ahead", "drift", "breaking", "data", "heavy", "heal", "strict", "test_fail"),
        ("extra", "ignore", "edited", "stale", "heavy_over", "allow_empty_history"),
    ),
    Group(
        "Patience",
        ("deadline", "guard_timeout", "lock_timeout", "statement_timeout", "wait_timeout"),
        ("connect_timeout", "lock_tries", "lock_budget", "data_timeout"),
    ),
    Group("Backup", ("backup", "backup_policy"), ("backup_command", "backup_timeout")),
    Group(
        "Throw-away database", ("shadow_url",), ("shadow_beside_target", "shadow_environ", "environ", "shadow_allow")
    ),
    Group(
        "Tenants",
        (),
        (
            *("tenants_include", "tenants_exclude", "tenants_canary", "tenants_parallel", "tenants_on_failure"),
            *("tenants_shards", "shard", "verify_all"),
        ),
    ),
    Group(OUTPUT, ("log_format",), ("log_queries", "notify", "notify_on")),
)

_LONGEST_DEFAULT: Final = 40  # characters, in short


def settings_of(verb: str) -> dict[str, Setting]:
    """Those that the verb takes as flags, by name."""
    return {setting.name: setting for setting in SETTINGS if verb in setting.verbs}


def in_full(setting: Setting) -> str:
    """All that is said of a flag, with its variable and its default."""
    return f"{setting.help} [{'; '.join((setting.variable, *_default(setting)))}]"


def in_short(setting: Setting) -> str:
    """The first sentence, and the default; the variable where it is not the flag's own name."""
    sentence = setting.help.split(". ")[0].split(": ")[0].rstrip(".")
    spelled = setting.flag_names[-1].partition("/")[0].lstrip("-").replace("-", "_")
    default = [each for each in _default(setting) if len(each) < _LONGEST_DEFAULT]
    facts = (*([] if spelled == setting.name else [setting.variable]), *default)
    return f"{sentence}. [{'; '.join(facts)}]" if facts else f"{sentence}."


def _default(setting: Setting) -> list[str]:
    zero = setting.kind.zero_means if isinstance(setting.kind, Duration) else ""
    shown = setting.shown_default or setting.unset
    if isinstance(setting.kind, Switch) and shown == "false":
        return [f"default: {setting.flag_names[-1].rpartition('/--')[2]}"]
    if zero and shown == "0":
        return [f"default: {zero}"]
    return [*([f"default: {shown}"] if shown else []), *([f"0: {zero}"] if zero else [])]
