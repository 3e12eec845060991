"""Alembic's configuration: where the history of this image is, from alembic.ini and pyproject.toml.

Never imports the package that `package:folder` names.
"""

import configparser
import os
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from migrate.core.problems import Fix, advice
from migrate.core.value import Value


class ConfigFaultKind(StrEnum):
    """Every way in which Alembic's configuration can be at fault."""

    MISSING_FILE = "missing_file"
    UNREADABLE_FILE = "unreadable_file"
    MALFORMED_FILE = "malformed_file"
    MISSING_SCRIPT_LOCATION = "missing_script_location"
    INVALID_VALUE = "invalid_value"
    MISSING_PACKAGE = "missing_package"
    MISSING_FOLDER = "missing_folder"
    MISSING_ENV_PY = "missing_env_py"


class ConfigFault(Value):
    """Why Alembic's configuration cannot be used. No value that could hold a secret is in `why`."""

    kind: ConfigFaultKind
    why: str
    fix: Fix


class AlembicConfig(Value):
    """The part of Alembic's configuration that says where the history is. Every path is absolute."""

    root: Path
    """Folder of the configuration file: the project, to people."""
    ini: Path | None
    """The ini file, when there is one."""
    toml: Path | None
    """The pyproject.toml, when there is one; Alembic reads it since 1.16."""
    section: str
    script_location: Path
    env_py: Path
    version_locations: tuple[Path, ...]
    prepend_sys_path: tuple[str, ...]
    """As written; relative entries are relative to the working folder."""
    sourceless: bool
    recursive: bool


def load_config(config_file: Path | None, cwd: Path, section: str = "alembic") -> AlembicConfig | ConfigFault:
    """Read alembic.ini and `[tool.alembic]` of pyproject.toml as Alembic 1.16 and later read them together.

    An option of the ini file comes before that of pyproject.toml. `config_file` is either of the two, told by its
    name as in `alembic -c`; the other one, and both without it, are looked for in `cwd`. `section` is that of the ini
    file.
    """
    try:
        return _Options(config_file, cwd.absolute(), section).config()
    except _ConfigError as error:
        return error.fault


class _ConfigError(Exception):
    def __init__(self, kind: ConfigFaultKind, why: str, fix: Fix) -> None:
        super().__init__(why)
        self.fault = ConfigFault(kind, why, fix)


class _Options:
    """Both configuration files, asked option by option."""

    def __init__(self, config_file: Path | None, cwd: Path, section: str) -> None:
        named = cwd / config_file if config_file is not None else None
        is_toml = named is not None and named.name == "pyproject.toml"
        ini = named if named is not None and not is_toml else cwd / "alembic.ini"
        toml = named if named is not None and is_toml else cwd / "pyproject.toml"
        if named is not None and not named.exists():
            raise _ConfigError(
                ConfigFaultKind.MISSING_FILE,
                f"there is no configuration file {named}",
                advice("name Alembic's ini file or pyproject.toml as it is called in this image"),
            )
        self.cwd = cwd
        self.section = section
        self.ini = ini if ini.exists() else None
        self.toml = toml if toml.exists() else None
        self.from_toml = _read_toml(self.toml)
        flask_migrate = cwd / "migrations" / "alembic.ini"  # where `flask db init` puts it
        if named is None and self.ini is None and not self.from_toml and flask_migrate.exists():
            self.ini = flask_migrate
        self.from_ini = _read_ini(self.ini, self.cwd)

    def config(self) -> AlembicConfig:
        script_location = self.text("script_location")
        if not script_location and self.ini is not None and (self.ini.parent / "env.py").exists():
            script_location = str(self.ini.parent)  # as Flask-Migrate, whose ini file does not say it
        if not script_location:
            raise self.no_script_location()
        prepend_sys_path = self.prepend_sys_path()
        search = [str(self.cwd / entry) for entry in prepend_sys_path] + sys.path
        scripts = self.located("script_location", script_location, search)
        _must_be_folder(scripts, f"script_location = {script_location}")
        sourceless = self.flag("sourceless")
        env_py = scripts / "env.py"
        if not (env_py.exists() or (sourceless and env_py.with_suffix(".pyc").exists())):
            raise _ConfigError(
                ConfigFaultKind.MISSING_ENV_PY,
                f"there is no env.py in {scripts}",
                advice("copy Alembic's whole script folder into the image, or correct script_location"),
            )
        named = self.version_locations()
        versions = tuple(self.located("version_locations", entry, search) for entry in named) or (scripts / "versions",)
        for folder in versions:
            _must_be_folder(folder, "the folder of the revisions")
        where = self.ini if self.ini is not None and self.in_ini("script_location") else self.toml
        return AlembicConfig(
            root=where.parent if where is not None else self.cwd,
            ini=self.ini,
            toml=self.toml,
            section=self.section,
            script_location=scripts,
            env_py=env_py,
            version_locations=versions,
            prepend_sys_path=prepend_sys_path,
            sourceless=sourceless,
            recursive=self.flag("recursive_version_locations"),
        )

    def no_script_location(self) -> _ConfigError:
        if self.ini is None and not self.from_toml:
            return _ConfigError(
                ConfigFaultKind.MISSING_FILE,
                f"there is no alembic.ini in {self.cwd}, and no [tool.alembic] in a pyproject.toml there",
                advice("run in the folder that has alembic.ini, copy it into the image, or name it with --config"),
            )
        if self.ini is not None and not self.from_ini.has_section(self.section):
            why = f"{self.ini} has no section [{self.section}]"
        else:
            why = f"{self.ini or self.toml} does not say script_location"
        return _ConfigError(
            ConfigFaultKind.MISSING_SCRIPT_LOCATION,
            why,
            advice("add script_location = FOLDER, the folder that has env.py"),
        )

    def in_ini(self, option: str) -> bool:
        return self.from_ini.has_option(self.section, option)

    def text(self, option: str) -> str | None:
        if self.in_ini(option):
            return self.ini_text(option)
        value = self.from_toml.get(option)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.invalid(option, "a string")
        return self.expanded(option, value)

    def ini_text(self, option: str) -> str:
        try:
            return self.from_ini.get(self.section, option)
        except configparser.InterpolationError as error:
            raise self.invalid(option, "free of unknown %(names)s, with % written as %%") from error

    def flag(self, option: str) -> bool:
        if self.in_ini(option):
            return self.ini_text(option) == "true"  # Alembic takes no other spelling.
        value = self.from_toml.get(option, False)
        if not isinstance(value, bool):
            raise self.invalid(option, "true or false")
        return value

    def version_locations(self) -> tuple[str, ...]:
        text = self.ini_text("version_locations") if self.in_ini("version_locations") else ""
        if not text:
            return self.toml_list("version_locations")
        separator = self.separator("path_separator", "version_path_separator")
        if separator is None:
            return tuple(re.split(r", *|(?: +)", text))
        return tuple(part.strip() for part in text.split(separator) if part)

    def prepend_sys_path(self) -> tuple[str, ...]:
        text = self.ini_text("prepend_sys_path") if self.in_ini("prepend_sys_path") else ""
        if not text:
            return self.toml_list("prepend_sys_path")
        separator = self.separator("path_separator")
        if separator is None:
            return tuple(re.split(r", *|(?: +)|:", text))
        return tuple(part.strip() for part in text.split(separator) if part)

    def separator(self, *options: str) -> str | None:
        """Return the separator that the first option present names; None is Alembic's old rule, spaces and commas."""
        separators = {"space": " ", "newline": "\n", "os": os.pathsep, ":": ":", ";": ";"}
        for option in options:
            if self.in_ini(option):
                name = self.ini_text(option)
                if name not in separators:
                    raise self.invalid(option, "one of space, newline, os, : and ;")
                return separators[name]
        return None

    def toml_list(self, option: str) -> tuple[str, ...]:
        values = self.from_toml.get(option) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.invalid(option, "a list of strings")
        return tuple(self.expanded(option, value) for value in values)

    def expanded(self, option: str, value: str) -> str:
        """Fill in `%(here)s` as Alembic does for pyproject.toml."""
        here = self.toml.parent.as_posix() if self.toml is not None else ""
        try:
            return value % {"here": here}
        except (KeyError, TypeError, ValueError) as error:
            raise self.invalid(option, "free of unknown %(names)s, with % written as %%") from error

    def located(self, option: str, value: str, search: list[str]) -> Path:
        """Return the folder that a path, or `package:folder`, stands for."""
        if ":" not in value or os.path.isabs(value):  # noqa: PTH117 - a test on text
            return self.cwd / value
        package, *inside = value.split(":")
        folders = [Path(folder, *inside) for folder in _package_folders(package, search)]
        if not folders:
            raise _ConfigError(
                ConfigFaultKind.MISSING_PACKAGE,
                f"{option} = {value}: there is no package {package} to be found",
                advice("install the package in this image, or name its parent folder in prepend_sys_path"),
            )
        return next((folder for folder in folders if folder.exists()), folders[0])

    def invalid(self, option: str, wanted: str) -> _ConfigError:
        where = self.ini if self.in_ini(option) else self.toml
        return _ConfigError(
            ConfigFaultKind.INVALID_VALUE,
            f"{option} in {where} must be {wanted}",
            advice(f"correct {option} in {where}"),
        )


def _read_ini(path: Path | None, cwd: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser({"here": (path.parent if path is not None else cwd).as_posix()})
    if path is None:
        return parser
    # str() of these errors quotes lines of the file, and one of them may hold the database's password.
    try:
        with path.open(encoding="locale") as file:
            parser.read_file(file)
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise _malformed(path, f"is not {error.encoding} text") from error
    except configparser.DuplicateOptionError as error:
        raise _malformed(path, f"line {error.lineno}: option {error.option!r} is there twice") from error
    except configparser.DuplicateSectionError as error:
        raise _malformed(path, f"line {error.lineno}: section [{error.section}] is there twice") from error
    except configparser.MissingSectionHeaderError as error:
        raise _malformed(path, f"line {error.lineno}: text before the first [section]") from error
    except configparser.ParsingError as error:
        raise _malformed(path, f"line {error.errors[0][0]}: neither a section nor an option") from error
    return parser


def _read_toml(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise _malformed(path, "is not utf-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise _malformed(path, str(error)) from error
    tool = content.get("tool", {})
    alembic = tool.get("alembic", {}) if isinstance(tool, dict) else None
    if not isinstance(alembic, dict):
        raise _malformed(path, "tool.alembic is not a table")
    return alembic


def _unreadable(path: Path, error: OSError) -> _ConfigError:
    return _ConfigError(
        ConfigFaultKind.UNREADABLE_FILE,
        f"{path} cannot be read: {error.strerror}",
        advice("make it a readable file for the user that this runs as"),
    )


def _malformed(path: Path, why: str) -> _ConfigError:
    return _ConfigError(ConfigFaultKind.MALFORMED_FILE, f"{path} is malformed: {why}", advice(f"correct {path}"))


def _must_be_folder(folder: Path, what: str) -> None:
    if not folder.is_dir():
        raise _ConfigError(
            ConfigFaultKind.MISSING_FOLDER,
            f"there is not a folder {folder} ({what})",
            advice(
                "copy it into the image, run in the project's folder, or correct script_location or version_locations"
            ),
        )


def _package_folders(package: str, search: list[str]) -> list[str]:
    """Return the folders of a package, found without importing it or its parent; none when there is no such package."""
    folders = search
    for depth, part in enumerate(package.split(".")):
        # The last part alone: a dotted name makes the finder look for its parent in sys.modules.
        spec = PathFinder.find_spec(part, folders) if part else None
        if spec is None and part and not depth:
            # Editable installs are known only to a finder of their own; finding a top-level name imports nothing.
            try:
                spec = find_spec(part)
            except ValueError:
                spec = None
        if spec is None or spec.submodule_search_locations is None:
            return []
        folders = list(spec.submodule_search_locations)
    return folders
