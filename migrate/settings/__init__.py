"""Every setting, declared once; where its value came from; and which database is meant.

A value is taken from the first place that gives one: flag, environment, `[tool.migrate]` of pyproject.toml, platform,
default.
"""

from migrate.settings.database_url import environment_secrets
from migrate.settings.declarations import CHANGING_VERBS, SETTINGS
from migrate.settings.fleet_declarations import TENANT_FLAG_VERBS
from migrate.settings.loading import Origin, Settings, Source, load
from migrate.settings.setting import Setting

__all__ = [
    "CHANGING_VERBS",
    "SETTINGS",
    "TENANT_FLAG_VERBS",
    "Origin",
    "Setting",
    "Settings",
    "Source",
    "environment_secrets",
    "load",
]
