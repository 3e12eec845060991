"""From where each setting's value comes: flag, environment, `[tool.migrate]` of pyproject.toml, platform, default.

No fault is reported alone: all of them stop the run together.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from migrate.core.decide.policy import BackupPolicy, Limits, Policy
from migrate.core.deployment import platform_deadline, platform_shard
from migrate.core.problems import advice, in_order, problem, shell, stop
from migrate.core.target import Target, UrlUnavailable
from migrate.core.url import URL_COMMAND, DatabaseUrl, MalformedUrl
from migrate.core.value import Value
from migrate.core.wording import counted
from migrate.regular_files import read
from migrate.settings.database_url import read_database_url
from migrate.settings.declarations import CHANGING_VERBS, SETTINGS
from migrate.settings.fleet import Fleet
from migrate.settings.kinds import SECRET_KINDS, Arguments, Duration, File, Number, Switch, Words
from migrate.settings.setting import TABLE, VARIABLE_PREFIX, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from migrate.core.events import LogFormat
    from migrate.core.problems import Fix, Problem
    from migrate.core.problems.fix import ProjectFlag

_PYPROJECT: Final = "pyproject.toml"
_SHOWN_CHARACTERS: Final = 60
_Known = TypeVar("_Known")
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
_BY_KEY: Final = {setting.key: setting for setting in SETTINGS if setting.in_table}
_VARIABLES: Final = {setting.variable for setting in SETTINGS} | {"MIGRATE_DATABASE_URL", "MIGRATE_DATABASE_URL_FILE"}


class Source(StrEnum):
    """The kinds of places that a value can come from, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    TABLE = "pyproject.toml"
    PLATFORM = "platform"
    DEFAULT = "default"


class Origin(Value):
    """Where a value came from: the kind of place, and its name for people."""

    source: Source
    name: str


class Settings(Value):
    """All settings of one run. `version_table` and `manifest` are None where the image itself says what they are.

    `warnings` are sentences about variables that look like settings and are none.
    """

    policy: Policy
    limits: Limits
    fleet: Fleet
    provenance: Mapping[str, Origin]
    warnings: tuple[str, ...]
    _values: Mapping[str, Any] = field(repr=False)
    _environ: Mapping[str, str] = field(repr=False)
    _cwd: Path = field(repr=False)
    # the settings that are neither policy nor a limit, by their names
    config: Path | None
    section: str
    x: tuple[str, ...]
    version_table: str | None
    version_table_schema: str | None
    schemas: tuple[str, ...]
    manifest: Path | None
    flask_app: str | None
    shadow_beside_target: bool
    shadow_environ: tuple[str, ...]
    environ: tuple[str, ...]
    shadow_allow: tuple[str, ...]
    test_fail: tuple[str, ...]
    backup: Path | None
    backup_command: tuple[str, ...] | None
    url_command: tuple[str, ...] | None
    log_format: LogFormat
    log_queries: bool
    notify: tuple[str, ...]
    notify_on: tuple[str, ...]
    service: str
    debug: bool

    def target(self, learn: Callable[[Iterable[str]], None] = lambda _secrets: None) -> Target:
        """Find the database. Raises Stop with no-database-url, or with bad-database-url, which never shows the value.

        ``learn`` is told the secrets of URLs that a program prints.
        """
        if self.url_command is not None:
            target = self._printed(self.url_command, learn)
        else:
            url, variable = read_database_url(self._environ, self._cwd)
            target = Target(url, variable)
        target = replace(target, version_table_schema=self.version_table_schema, schemas=self.schemas)
        return target if self.version_table is None else replace(target, version_table=self.version_table)

    def _printed(self, words: tuple[str, ...], learn: Callable[[Iterable[str]], None]) -> Target:
        from migrate.settings.url_command import UrlCommand

        renew = UrlCommand(words, self._environ, self._cwd, learn)
        try:
            return Target(renew(), URL_COMMAND, renew=renew)
        except UrlUnavailable as error:
            fix = advice("run the command of url_command by hand: it must print one postgresql:// URL and exit with 0")
            raise stop("bad-database-url", str(error), fix=fix) from None

    def shadow_url(self) -> tuple[DatabaseUrl, str] | None:
        """Where shadow databases are made, and the setting's name. Raises Stop (`bad-database-url`)."""
        return self._url("shadow_url")

    def clone_url(self) -> tuple[DatabaseUrl, str] | None:
        """The clone that is measured, and the setting's name. Raises Stop (`bad-database-url`)."""
        return self._url("test_on")

    def _url(self, setting: str) -> tuple[DatabaseUrl, str] | None:
        text, source = self._values[setting], self.provenance[setting].name
        if text is None:
            return None
        try:
            return DatabaseUrl.parse(text), source
        except MalformedUrl as error:
            why = f"The value of {source} is not a PostgreSQL URL. {error}"
            raise stop("bad-database-url", why, names={"variable": f"MIGRATE_{setting.upper()}"}) from None

    def described(self) -> list[str]:
        """Each setting with its value and where that came from: `lock_timeout = 2s (MIGRATE_LOCK_TIMEOUT)`."""
        return [f"{name} = {self._shown(name)} ({origin.name})" for name, origin in self.provenance.items()]

    def given(self) -> list[str]:
        """Those of `described` that somebody gave a value."""
        at_default = [origin.source is Source.DEFAULT for origin in self.provenance.values()]
        return [text for text, default in zip(self.described(), at_default, strict=True) if not default]

    def notified_by(self, verb: str) -> tuple[str, ...]:
        """The addresses that hear how the verb ends: those who are told are told of changes."""
        return self.notify if verb in CHANGING_VERBS else ()

    def project_flags(self) -> tuple[ProjectFlag, ...]:
        """The flags that lead a pasted command to this project.

        Of pyproject.toml it is not said: it is found again from the same folder, or beside the configuration.
        """
        places = {Source.FLAG, Source.ENVIRONMENT}
        given = [each for each in SETTINGS if each.finds_project and self.provenance[each.name].source in places]
        if not given:
            return ()  # nearly every run: nothing more is imported
        from migrate.core.problems.fix import ProjectFlag

        def flags(setting: Setting) -> list[ProjectFlag]:
            value = self._values[setting.name]
            shown = value if isinstance(setting.kind, Arguments) else [setting.kind.show(value)]
            return [ProjectFlag(setting.flag_names, shlex.quote(each), setting.verbs) for each in shown]

        return tuple(flag for each in given for flag in flags(each))

    def _shown(self, name: str) -> str:
        value = self._values[name]
        return "not set" if value in (None, ()) else _BY_NAME[name].kind.show(value)


class _Fault(Value):
    """One thing wrong with the settings: a sentence, and what to paste."""

    why: str
    fix: Fix


def load(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> tuple[Settings, Problem | None]:
    """Take each setting from the first place that gives it; and the problem (bad-setting) with all that are malformed.

    `flags` are the parameters that `settings_options` made, by the settings' names; None and an empty list are not
    given. A variable that is set to nothing counts as not set, as platforms and Compose files pass such ones on. A
    malformed setting has its default, so that whoever examines a project can look further.
    """
    unknown = flags.keys() - _BY_NAME.keys()
    if unknown:
        raise KeyError(*sorted(unknown))
    faults: list[_Fault] = []
    folder, table = _read_table(flags.get("config"), environ, cwd, faults)
    values: dict[str, Any] = {}
    provenance: dict[str, Origin] = {}
    for setting in SETTINGS:
        value: Any = setting.default
        origin = Origin(Source.DEFAULT, "default")
        flag = flags.get(setting.name)
        text = environ.get(setting.variable, "")
        if flag not in (None, ()):
            # click hands over a list of what each repetition gave.
            value = tuple(word for words in flag for word in words) if isinstance(setting.kind, Words) else flag
            long, _, negative = setting.flag_names[-1].partition("/")
            origin = Origin(Source.FLAG, negative if flag is False else long)
        elif text.strip():
            try:
                value = setting.kind.read(text)
            except ValueError as error:
                faults.append(_fault_of_variable(setting, text, error))
            else:
                origin = Origin(Source.ENVIRONMENT, setting.variable)
        elif setting.in_table and setting.key in table:
            try:
                value = _read_key(setting, table[setting.key])
            except ValueError as error:
                faults.append(_fault_of_key(setting, table[setting.key], error))
            else:
                origin = Origin(Source.TABLE, f"{_PYPROJECT} {TABLE}")
                value = folder / value if isinstance(setting.kind, File) else value
        values[setting.name] = value
        provenance[setting.name] = origin
    faults += [_fault_of_unknown_key(key) for key in table if key not in _BY_KEY]
    fault: Problem | None = None
    if faults:
        fault = problem(
            "bad-setting",
            f"{counted(len(faults), 'setting is', 'settings are')} malformed: {'; '.join(fault.why for fault in faults)}.",
            fix=in_order(fault.fix for fault in faults),
        )
    if provenance["backup_policy"].source is Source.DEFAULT and (values["backup"] or values["backup_command"]):
        values["backup_policy"] = BackupPolicy.REQUIRED  # whoever names a place for it wants one
    limit = platform_deadline(environ)
    if provenance["deadline"].source is Source.DEFAULT and limit is not None:
        values["deadline"], platform = limit
        provenance["deadline"] = Origin(Source.PLATFORM, f"{platform}'s limit")
    settings = Settings(
        fleet=Fleet(**_fields_of(Fleet, _of_fleet(values, environ))),
        policy=Policy(**_fields_of(Policy, values)),
        limits=Limits(**_fields_of(Limits, {_limit(each): values[each.name] for each in SETTINGS})),
        provenance=provenance,
        warnings=tuple(_warning(name) for name in sorted(environ) if _looks_like_a_setting(name)),
        _values=values,
        _environ=environ,
        _cwd=cwd,
        **_fields_of(Settings, values),
    )
    return settings, fault


def _of_fleet(values: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values that `Fleet` has, by its fields' names."""
    own = {name.removeprefix("tenants_"): value for name, value in values.items() if name.startswith("tenants_")}
    shard = values["shard"] or platform_shard(environ, values["tenants_shards"])
    return own | {"names": values["tenant"], "shard": shard} | {name: values[name] for name in ("verify_all", "create")}


def _fields_of(of: type[Policy | Limits | Fleet | Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: values[each.name] for each in fields(of) if each.name in values}


def _limit(setting: Setting) -> str:
    """The name of its field of `Limits`, which tells the unit."""
    return f"{setting.name.removesuffix('_timeout')}_s" if isinstance(setting.kind, Duration) else setting.name


def _read_key(setting: Setting, value: object) -> object:
    if isinstance(setting.kind, Switch) and not isinstance(value, bool):  # words are for variables: TOML has booleans
        raise ValueError("is neither true nor false")  # noqa: TRY004 - the one way in which a kind refuses
    return setting.kind.read(value)


def _read_table(
    flag: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    faults: list[_Fault],
) -> tuple[Path, Mapping[str, Any]]:
    """Find the table beside Alembic's configuration, else in the working directory: its folder, and what it holds."""
    named = flag or environ.get("MIGRATE_CONFIG", "").strip()
    beside = (cwd / named).parent if named else cwd
    for folder in dict.fromkeys((beside, cwd)):
        path = folder / _PYPROJECT
        try:
            data = read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            faults.append(_Fault(f"{path} cannot be read ({error.strerror})", advice(f"make {path} readable")))
            continue
        # Reading TOML costs more than all the rest, and most projects have no such table.
        if not re.search(rb"""tool["'\s]*(\]|=|\.["'\s]*migrate)""", data):
            continue
        import tomllib

        try:
            tool = tomllib.loads(data.decode()).get("tool")
            table = tool.get("migrate") if isinstance(tool, dict) else None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            # A decoding error carries the file's bytes, a TOML error no more than a place.
            said = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
            faults.append(_Fault(f"{path} is not valid TOML ({said})", advice(f"correct {path}")))
            continue
        if isinstance(table, dict):
            return folder, _flat(table)
        if table is not None:
            faults.append(
                _Fault(f"tool.migrate in {path} is not a table", advice(f"write {TABLE} as a table in {path}"))
            )
    return cwd, {}


def _flat(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the keys of the table in it as keys with a dot."""
    tenants = table.get("tenants")
    if not isinstance(tenants, dict):
        return table
    others = {key: value for key, value in table.items() if key != "tenants"}
    return others | {f"tenants.{key}": value for key, value in tenants.items()}


def quoted(value: object) -> str:
    """The value for people, short, and never a URL: somebody may have put one into the wrong variable."""
    text = str(value)
    if "://" in text:
        return "(a URL)"
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")


def _fault_of_variable(setting: Setting, text: str, error: ValueError) -> _Fault:
    way = f"export {setting.variable}={setting.shown_default}" if setting.shown_default else f"unset {setting.variable}"
    shown = "" if isinstance(setting.kind, SECRET_KINDS) else f" {quoted(text)}"
    return _Fault(f"{setting.variable}{shown} {error}", shell(way))


def _fault_of_key(setting: Setting, value: object, error: ValueError) -> _Fault:
    shown = "" if isinstance(setting.kind, SECRET_KINDS) else f" {quoted(value)},"
    why = f"{setting.key} in {TABLE},{shown} {error}"
    if not setting.shown_default:
        return _Fault(why, advice(f"take {setting.key} out of {TABLE}"))
    quote = "" if isinstance(setting.kind, Switch | Number) else '"'
    return _Fault(why, advice(f"write {setting.key} = {quote}{setting.shown_default}{quote} in {TABLE}"))


def _fault_of_unknown_key(key: str) -> _Fault:
    by_flag = {name: setting for name, setting in _by_flag().items() if setting.in_table}
    meant = _meant(key, by_flag | _BY_KEY)
    why = f"{TABLE} has {quoted(key)}, which is not a setting"
    return _Fault(why, advice(f"rename it to {meant.key}" if meant else f"take {quoted(key)} out of {TABLE}"))


def _looks_like_a_setting(variable: str) -> bool:
    return variable.startswith(VARIABLE_PREFIX) and variable not in _VARIABLES


def _warning(variable: str) -> str:
    known = {each.removeprefix(VARIABLE_PREFIX).lower(): each for each in sorted(_VARIABLES)}
    by_flag = {name: setting.variable for name, setting in _by_flag().items()}
    meant = _meant(variable.removeprefix(VARIABLE_PREFIX).lower(), known | by_flag)
    return f"{variable} is not a setting and was not read{f'; did you mean {meant}?' if meant else '.'}"


def _by_flag() -> dict[str, Setting]:
    """The settings by how their flags would be spelled as keys: `--timeout` of `wait` is no name of a setting."""
    return {flag.partition("/")[0].lstrip("-").replace("-", "_"): each for each in SETTINGS for flag in each.flag_names}


def _meant(name: str, known: Mapping[str, _Known]) -> _Known | None:
    """What has the name that is nearest."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return known[near[0]] if near else None
