"""Alembic's configuration as its own command line would give it to env.py, with the chosen URL in it."""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from alembic.config import CommandLine, Config

from migrate.core.url import DatabaseUrl

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from migrate.child.protocol import Setup

URL_OPTION: Final = "sqlalchemy.url"


class Asked(Config):
    """Alembic's configuration, which knows whether somebody has asked for a database URL that nobody wrote."""

    asked_in_vain = False

    def get_section(self, name: str, default: Any = None) -> Any:
        """As Alembic's; engines are made of a section."""
        found = super().get_section(name, default)
        self._note(name, (found or {}).get(URL_OPTION))
        return found

    def get_section_option(self, section: str, name: str, default: str | None = None) -> Any:
        """As Alembic's."""
        found: Any = super().get_section_option(section, name, default)
        if name == URL_OPTION:
            self._note(section, found)
        return found

    def _note(self, section: str, url: str | None) -> None:
        self.asked_in_vain = self.asked_in_vain or (section == self.config_ini_section and not url)


def load_config(setup: Setup, *command: str, gives_url: bool = False) -> Asked:
    """Alembic's configuration as its own command line would give it to env.py, with the chosen URL in it.

    The URL takes the place of the one that the file has, in memory; `%` is configparser's, so that it is doubled. Where
    the file has none, it is not set: env.py then finds it elsewhere, and may prefer what stands here in a spelling that
    it cannot use. ``gives_url``: set it all the same. ``command`` is Alembic's own that this is.
    """
    options: dict[str, Any] = {"ini_section": setup.section, "cmd_opts": _command_line(setup, *command)}
    if setup.toml and "toml_file" in inspect.signature(Config).parameters:  # Alembic reads it since 1.16
        options["toml_file"] = setup.toml
    config = Asked(setup.config, **options)
    if config.get_main_option("script_location") is None:  # Flask-Migrate's ini file does not say it
        config.set_main_option("script_location", setup.folders[0].replace("%", "%%"))
    if gives_url or _written_url(config, setup):
        config.set_main_option(URL_OPTION, _url(config, setup).replace("%", "%%"))
    return config


def _written_url(config: Config, setup: Setup) -> str:
    return config.file_config.get(setup.section, URL_OPTION, raw=True, fallback="")


def _url(config: Config, setup: Setup) -> str:
    """The URL with the driver that the file's own `sqlalchemy.url` names, where the user's names none.

    An async env.py needs an async one. One that is not installed is not taken: an example's, or a developer's.
    """
    written = _written_url(config, setup)
    named = re.match(r"postgres(?:ql)?\+(asyncpg|psycopg)(?:_async)?:", written)
    if named is None or setup.driver is not None or find_spec(named[1]) is None:
        return setup.url
    return DatabaseUrl.parse(setup.url).driven_by(named[1]).sqlalchemy


def _command_line(setup: Setup, *command: str) -> Any:
    """What Alembic's own parser makes of the command; env.py may also read it from `sys.argv`."""
    given = ["-c", setup.config] if setup.config else []
    given += ["-n", setup.section, *(part for each in setup.x for part in ("-x", each))]
    sys.argv = ["alembic", *given, *command]
    return _parser().parse_args(sys.argv[1:])


@cache
def _parser() -> ArgumentParser:
    """Alembic's; to make it costs a fleet's child as much as a tenant's revision."""
    return CommandLine().parser
