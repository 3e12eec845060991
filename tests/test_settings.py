"""Each setting from each place, every fault, the database's URL, and the page that says all of it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from migrate.core.decide.policy import AdoptPolicy, Judgement, Limits, Policy
from migrate.core.events import LogFormat
from migrate.core.fleet.shard import Shard
from migrate.core.problems import ExitCode, Problem, Stop
from migrate.core.url import URL_VARIABLES
from migrate.settings import SETTINGS, Setting, Settings, Source, environment_secrets, load
from migrate.settings.flags import settings_options
from migrate.settings.kinds import (
    Addresses,
    Arguments,
    Choice,
    Command,
    Duration,
    File,
    Fraction,
    Narrowing,
    Number,
    Secret,
    Selection,
    Size,
    Switch,
    Text,
    Words,
)
from migrate.settings.loading import _VARIABLES

if TYPE_CHECKING:
    from enum import StrEnum

ROOT = Path(__file__).parents[1]
NOWHERE = Path("/nonexistent")
URL = "postgresql://u:topsecret@h/d"


def settings(environ: dict[str, str] | None = None, /, cwd: Path = NOWHERE, **flags: Any) -> Settings:
    found, fault = load(flags, environ or {}, cwd)
    assert fault is None, fault
    return found


def refusal(environ: dict[str, str] | None = None, /, cwd: Path = NOWHERE, **flags: Any) -> Problem:
    _, fault = load(flags, environ or {}, cwd)
    assert fault is not None
    assert (fault.kind.code, fault.exit_code) == ("bad-setting", ExitCode.CONFIG)
    return fault


def project(folder: Path, table: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "x"\n\n[tool.migrate]\n{table}\n', encoding="utf-8")
    return folder


# The declarations


def test_every_field_of_policy_and_limits_is_a_setting_with_its_default() -> None:
    found = settings()
    assert found.policy == Policy()
    assert found.limits == Limits()
    names = {setting.name for setting in SETTINGS}
    assert {field.name for field in dataclasses.fields(Policy)} <= names


def test_nothing_is_declared_twice() -> None:
    for values in (
        [setting.name for setting in SETTINGS],
        [setting.variable for setting in SETTINGS],
        [flag for setting in SETTINGS for name in setting.flag_names for flag in name.split("/")],
    ):
        assert len(values) == len(set(values))


ALEMBICS_OWN = {
    "config": ("-c", "--config"),  # the short one is alembic's
    "section": ("-n", "--name"),  # alembic's; what it names is a section
    "x": ("-x",),  # alembic's; it has no long one
}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_flag_its_variable_and_its_key_have_one_name(setting: Setting) -> None:
    name = setting.variable.removeprefix("MIGRATE_").lower()
    if setting.in_table:
        assert setting.key.replace(".", "_") == name
    if setting.name in ALEMBICS_OWN:
        assert setting.flag_names == ALEMBICS_OWN[setting.name]
    elif setting.verbs:
        (flag,) = setting.flag_names
        typed = flag.partition("/")[0].removeprefix("--").replace("-", "_")
        # The verb is typed before the flag of a setting that is its alone: `migrate wait --timeout`, MIGRATE_WAIT_TIMEOUT.
        assert name == typed or (len(setting.verbs) == 1 and name == f"{setting.verbs[0]}_{typed}")


def test_each_other_variable_that_is_read_has_its_reason() -> None:
    """The target's URL has no flag, because other users can read a command line; the rest is no setting."""
    without_setting = {
        "MIGRATE_DATABASE_URL",  # the platform's own DATABASE_URL may be another program's
        "MIGRATE_DATABASE_URL_FILE",
    }
    assert set(_VARIABLES) - {setting.variable for setting in SETTINGS} == without_setting


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MIGRATE_BACKUP_DIR", "MIGRATE_BACKUP"),
        ("MIGRATE_BACKUPS", "MIGRATE_BACKUP"),
        ("MIGRATE_TIMEOUT", "MIGRATE_WAIT_TIMEOUT"),
        ("MIGRATE_ON", "MIGRATE_TEST_ON"),
        ("MIGRATE_NAME", "MIGRATE_SECTION"),
        ("MIGRATE_FAIL", "MIGRATE_TEST_FAIL"),
        ("MIGRATE_LOCKTIMEOUT", "MIGRATE_LOCK_TIMEOUT"),
    ],
)
def test_a_variable_that_is_nearly_one_is_told_with_the_one_that_was_meant(variable: str, meant: str) -> None:
    (warning,) = settings({variable: "x"}).warnings
    assert warning == f"{variable} is not a setting and was not read; did you mean {meant}?"


def test_a_key_spelled_as_a_flag_is_told_the_key(tmp_path: Path) -> None:
    fault = refusal(cwd=project(tmp_path, 'timeout = "5m"'))
    assert str(fault.fix) == "rename it to wait_timeout"


def test_no_flag_takes_the_targets_url() -> None:
    # Other users of a machine can read the command line of a process. What a shadow's URL leads to is thrown away.
    flags = {flag for setting in SETTINGS for flag in setting.flag_names if "url" in flag}
    assert flags == {"--shadow-url"}


OTHER_VALUES = {
    Text: ("other", "other"),
    File: ("other", Path("other")),
    Switch: ("true", True),
    Number: ("7", 7),
    Duration: ("42s", 42.0),
    Size: ("42MB", 42 << 20),
    Narrowing: ("a, b", ("a", "b")),
    Words: ("a, b", ("a", "b")),
    Addresses: ("json://a/?to=b,c json://d", ("json://a/?to=b,c", "json://d")),
    Arguments: ("tenant=a 'region=eu west'", ("tenant=a", "region=eu west")),
    Command: ("snap --now 'a b'", ("snap", "--now", "a b")),
    Secret: ("postgresql://other", "postgresql://other"),
    Fraction: ("2/7", Shard(2, 7)),
}


def other_value(setting: Setting) -> tuple[str, object]:
    if isinstance(setting.kind, Choice):
        word: StrEnum = next(word for word in setting.kind.of if word != setting.default)
        return str(word), word
    if isinstance(setting.kind, Selection):
        last, first = reversed(list(setting.kind.of)[:2])
        return f"{last}, {first.capitalize()}", (last, first)
    return OTHER_VALUES[type(setting.kind)]


def value_of(found: Settings, name: str) -> object:
    if name in {"shadow_url", "test_on"}:
        url = found.shadow_url() if name == "shadow_url" else found.clone_url()
        return url and url[0].raw
    if name == "tenants_shards":  # it only says what another variable's number is a part of
        return found._values[name]
    limits = {"lock_tries": "lock_tries", "lock_budget": "lock_budget_s", "deadline": "deadline_s"}
    for owner, attribute in (
        (found.policy, name),
        (found.fleet, {"tenant": "names"}.get(name, name.removeprefix("tenants_")) if name != "schemas" else ""),
        (found.limits, limits.get(name, name.replace("_timeout", "_s"))),
        (found, name),
    ):
        if hasattr(owner, attribute):
            return getattr(owner, attribute)
    raise AssertionError(name)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_reaches_its_place_from_the_variable_and_the_key(setting: Setting, tmp_path: Path) -> None:
    text, value = other_value(setting)
    found = settings({setting.variable: text})
    assert value_of(found, setting.name) == value
    assert found.provenance[setting.name].source is Source.ENVIRONMENT
    assert f"{setting.name} = {setting.kind.show(value)} ({setting.variable})" in found.described()
    spelled = text if isinstance(setting.kind, Switch) else f'"{text}"'
    project(tmp_path, f"{setting.key} = {spelled}")
    if setting.in_table:
        found = settings(cwd=tmp_path)
        expected = tmp_path / "other" if isinstance(value, Path) else value
        assert value_of(found, setting.name) == expected
        assert found.provenance[setting.name].source is Source.TABLE
    else:
        assert setting.key in refusal(cwd=tmp_path).why


def run_verb(verb: str, arguments: list[str], environ: dict[str, str]) -> tuple[int, str, dict[str, Any]]:
    seen: dict[str, Any] = {}

    @click.command()
    @settings_options(verb)
    def command(**flags: Any) -> None:
        seen.update(flags, settings=settings(environ, **flags))

    result = CliRunner().invoke(command, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output, seen


VERB_AND_SETTING = [(verb, setting) for setting in SETTINGS for verb in setting.verbs]


@pytest.mark.parametrize(
    ("verb", "setting"), VERB_AND_SETTING, ids=[f"{verb}-{setting.name}" for verb, setting in VERB_AND_SETTING]
)
def test_each_setting_reaches_its_place_from_the_flag_of_each_verb(verb: str, setting: Setting) -> None:
    text, value = other_value(setting)
    flag = setting.flag_names[-1].split("/")[0]
    arguments = [flag] if isinstance(setting.kind, Switch) else [flag, text]
    if isinstance(setting.kind, Arguments):  # each flag is one of them, whatever is in it
        value = ("tenant=a b", "region=eu, west")
        arguments = [part for each in value for part in (flag, each)]
    code, output, seen = run_verb(verb, arguments, {})
    assert code == 0, output
    assert value_of(seen["settings"], setting.name) == value
    assert seen["settings"].provenance[setting.name].source is Source.FLAG


def test_a_verb_has_no_flags_of_others() -> None:
    code, output, _ = run_verb("status", ["--heal"], {})
    assert code == 2
    assert "--heal" in output
    with pytest.raises(KeyError):
        settings_options("stats")


@pytest.mark.parametrize(
    "arguments",
    [["--lock-timeout", "soon"], ["--lock-tries", "0"], ["--adopt", "maybe"], ["--version-table", " "]],
)
def test_a_wrong_flag_is_a_usage_error(arguments: list[str]) -> None:
    code, output, _ = run_verb("up", arguments, {})
    assert code == 2
    assert f"Invalid value for '{arguments[0]}'" in output


def test_a_flag_that_no_setting_has_is_a_bug_of_the_command() -> None:
    with pytest.raises(KeyError):
        settings(as_json=True)


# Which place counts


def test_the_flag_comes_before_the_variable_and_that_before_the_key(tmp_path: Path) -> None:
    project(tmp_path, 'lock_timeout = "3s"\nadopt = "exact"\ndrift = "warn"\nignore = ["table a", "function f(a, b)"]')
    found, _ = load(
        {"lock_timeout": 1.0, "guard_timeout": None, "ignore": (), "heal": False},
        {"MIGRATE_LOCK_TIMEOUT": "2s", "MIGRATE_ADOPT": "equivalent", "MIGRATE_HEAL": "yes"},
        tmp_path,
    )
    assert found.limits == dataclasses.replace(Limits(), lock_s=1.0)
    assert (found.policy.adopt, found.policy.drift, found.policy.heal) == (
        AdoptPolicy.EQUIVALENT,
        Judgement.WARN,
        False,
    )
    assert found.policy.ignore == ("table a", "function f(a, b)")
    lines = found.described()
    assert "lock_timeout = 1s (--lock-timeout)" in lines
    assert "guard_timeout = 15m (default)" in lines
    assert "heal = false (--no-heal)" in lines
    assert "adopt = equivalent (MIGRATE_ADOPT)" in lines
    assert "drift = warn (pyproject.toml [tool.migrate])" in lines
    assert "version_table = not set (default)" in lines


def test_a_repeated_flag_and_commas_make_one_list() -> None:
    code, output, seen = run_verb("up", ["--ignore", "a, b", "--ignore", "function f(integer, text)"], {})
    assert code == 0, output
    assert seen["settings"].policy.ignore == ("a", "b", "function f(integer, text)")


def test_a_variable_that_is_set_to_nothing_is_not_set(tmp_path: Path) -> None:
    project(tmp_path, "lock_tries = 3")
    assert settings({"MIGRATE_LOCK_TRIES": " "}, tmp_path).limits.lock_tries == 3


def test_the_table_beside_the_configuration_comes_before_that_of_the_working_directory(tmp_path: Path) -> None:
    project(tmp_path, 'manifest = "here.json"')
    inner = project(tmp_path / "db", 'manifest = "m.json"')
    assert settings(cwd=tmp_path).manifest == tmp_path / "here.json"
    assert settings(cwd=tmp_path, config=Path("db/alembic.ini")).manifest == inner / "m.json"
    assert settings({"MIGRATE_CONFIG": "db/pyproject.toml"}, tmp_path).manifest == inner / "m.json"
    (inner / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    assert settings(cwd=tmp_path, config=Path("db/alembic.ini")).manifest == tmp_path / "here.json"


@pytest.mark.parametrize(
    "text", ["tool.migrate.strict = true", "[tool]\nmigrate = {strict = true}", "tool = {migrate.strict = true}"]
)
def test_every_spelling_of_the_table_is_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert settings(cwd=tmp_path).policy.strict is True


def test_a_file_without_the_table_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nother = 1\n", encoding="utf-8")
    assert settings(cwd=tmp_path).provenance["strict"].source is Source.DEFAULT


def test_numbers_of_the_table_are_seconds(tmp_path: Path) -> None:
    project(tmp_path, "lock_timeout = 0.5\nguard_timeout = 60\nschemas = []")
    found = settings(cwd=tmp_path)
    assert (found.limits.lock_s, found.limits.guard_s, found.schemas) == (0.5, 60.0, ())


# Faults


@pytest.mark.parametrize(
    ("variable", "text", "why"),
    [
        ("LOCK_TIMEOUT", "2 parsecs", "MIGRATE_LOCK_TIMEOUT '2 parsecs' is not a time such as 2, 2s, 500ms, 5m or 1h"),
        ("LOCK_TIMEOUT", "-1", "is not a time"),
        ("LOCK_TIMEOUT", "\u0661s", "is not a time"),
        ("LOCK_TIMEOUT", "0", "is not between 10ms and 500h"),
        ("STATEMENT_TIMEOUT", "0.2ms", "is shorter than 1ms"),
        ("GUARD_TIMEOUT", "501h", "is not between 0 and 500h"),
        ("LOCK_TRIES", "1001", "is not between 1 and 1000"),
        ("LOCK_TRIES", "1.5", "is not a whole number"),
        ("ADOPT", "always", "MIGRATE_ADOPT 'always' is not one of off, exact, equivalent"),
        ("STRICT", "maybe", "is not one of 1, 0, true, false, yes, no, on, off"),
        ("TARGET", "x" * 500 + "://", "never reached"),
    ],
)
def test_a_malformed_variable_is_refused(variable: str, text: str, why: str) -> None:
    if why == "never reached":  # any text is a target; a URL in the wrong place is not a fault by itself
        assert settings({f"MIGRATE_{variable}": text}).policy.target == text
        return
    problem = refusal({f"MIGRATE_{variable}": text})
    assert why in problem.why
    assert f"MIGRATE_{variable}" in problem.why
    assert f"export MIGRATE_{variable}=" in str(problem.fix)


@pytest.mark.parametrize(
    ("table", "why", "fix"),
    [
        ("lock_timeout = true", "lock_timeout in [tool.migrate], 'True', is not a text", 'write lock_timeout = "2s"'),
        ("lock_timeout = -1", "is not a time", "write lock_timeout"),
        ("lock_tries = false", "is not a text", "write lock_tries = 8 in [tool.migrate]"),
        ("strict = 1", "is neither true nor false", "write strict = false in [tool.migrate]"),
        ('strict = "yes"', "is neither true nor false", "write strict"),
        ("ignore = [1]", "is not an array of strings", "take ignore out of [tool.migrate]"),
        ("ignore = 1", "is not an array of strings", "take ignore out"),
        ("manifest = 1", "is not a text", "take manifest out"),
        ('version_table = ""', "version_table in [tool.migrate], '', is empty", "take version_table out"),
        ("adopt = []", "is not a text", 'write adopt = "off"'),
        ("target = 12", "is not a text in quotation marks", 'write target = "head"'),
        ("lock_timout = 1", "[tool.migrate] has 'lock_timout', which is not a setting", "rename it to lock_timeout"),
        ("lock-timeout = 1", "has 'lock-timeout', which is not a setting", "rename it to lock_timeout"),
        ("xyz = 1", "has 'xyz', which is not a setting", "take 'xyz' out of [tool.migrate]"),
        ("debug = true", "has 'debug', which is not a setting", "out of [tool.migrate]"),
        ("lock_timeout = ", "pyproject.toml is not valid TOML", "correct "),
    ],
)
def test_a_malformed_key_is_refused(table: str, why: str, fix: str, tmp_path: Path) -> None:
    problem = refusal(cwd=project(tmp_path, table))
    assert why in problem.why
    assert fix in str(problem.fix)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nmigrate = 1\n", encoding="utf-8")
    assert "is not a table" in refusal(cwd=tmp_path).why


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"[tool.migrate]\ntarget = '\xff'\n")
    assert "pyproject.toml is not valid TOML (it is not UTF-8)" in refusal(cwd=tmp_path).why


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    assert "pyproject.toml cannot be read (Is a directory)" in refusal(cwd=tmp_path).why


def test_all_faults_of_all_places_are_reported_together(tmp_path: Path) -> None:
    project(tmp_path, "lock_tries = 0\nlock_timout = 1")
    problem = refusal({"MIGRATE_ADOPT": "x", "MIGRATE_STRICT": "x"}, tmp_path)
    assert problem.why.startswith("4 settings are malformed: ")
    for name in ("lock_tries", "lock_timout", "MIGRATE_ADOPT", "MIGRATE_STRICT"):
        assert name in problem.why
    assert "export MIGRATE_ADOPT=off\nexport MIGRATE_STRICT=false\nwrite lock_tries = 8" in str(problem.fix)


def test_a_fault_never_shows_a_url_that_was_put_into_the_wrong_place(tmp_path: Path) -> None:
    project(tmp_path, f'drift = "{URL}"\n"{URL}" = 1')
    problem = refusal({"MIGRATE_ADOPT": URL}, tmp_path)
    assert "topsecret" not in f"{problem}"
    assert "MIGRATE_ADOPT (a URL) is not one of" in problem.why


def test_a_long_value_is_shown_by_its_beginning() -> None:
    assert f"'{'x' * 60}...'" in refusal({"MIGRATE_ADOPT": "x" * 500}).why


def test_a_variable_that_is_no_setting_is_a_warning() -> None:
    found = settings({"MIGRATE_LOCK_TIMOUT": "2", "MIGRATE_QQQ": "1", "MIGRATE_DATABASE_URL_FILE": "x", "PATH": "/bin"})
    assert found.warnings == (
        "MIGRATE_LOCK_TIMOUT is not a setting and was not read; did you mean MIGRATE_LOCK_TIMEOUT?",
        "MIGRATE_QQQ is not a setting and was not read.",
    )


# Values


@given(st.integers(0, 500 * 3600 * 1000))
def test_a_time_that_is_shown_reads_as_the_same_time(milliseconds: int) -> None:
    kind = Duration()
    assert round(kind.read(kind.show(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2), ("2s", 2), ("500ms", 0.5), ("5m", 300), ("1h", 3600), (" 1.5 s ", 1.5), ("0", 0), ("0.5h", 1800)],
)
def test_times(text: str, seconds: float) -> None:
    assert Duration().read(text) == seconds


@given(st.integers(0, 1024**5))
def test_a_size_that_is_shown_reads_as_the_same_size(number: int) -> None:
    assert Size().read(Size().show(number)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1GB", 1 << 30),
        ("1.5 gb", 3 << 29),
        ("500MB", 500 << 20),
        ("0", 0),
        ("8192", 8192),
        (" 2 TB ", 2 << 40),
        ("3B", 3),
    ],
)
def test_sizes(text: str, number: int) -> None:
    assert Size().read(text) == number


@pytest.mark.parametrize("text", ["", "1 GiB", "-1", "1,5GB", "much", "2000TB", "1e9"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    assert "heavy_over" in refusal({"MIGRATE_HEAVY_OVER": text or "x"}).why.lower()


@pytest.mark.parametrize("word", ["1", "true", "YES", " on "])
def test_yes(word: str) -> None:
    assert settings({"MIGRATE_DEBUG": word}).debug is True


@pytest.mark.parametrize("word", ["0", "False", "no", "off"])
def test_no(word: str, tmp_path: Path) -> None:
    project(tmp_path, "strict = true")
    assert settings({"MIGRATE_STRICT": word}, tmp_path).policy.strict is False


def test_a_choice_is_read_in_any_case() -> None:
    assert settings({"MIGRATE_LOG_FORMAT": "JSON"}).log_format is LogFormat.JSON


# The database


def stopped(environ: dict[str, str], cwd: Path = NOWHERE) -> Stop:
    found = settings(environ, cwd)
    with pytest.raises(Stop) as caught:
        found.target()
    assert caught.value.problem.exit_code is ExitCode.CONFIG
    assert "topsecret" not in f"{caught.value} {caught.value.problem}"
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


@pytest.mark.parametrize("place", range(len(URL_VARIABLES)))
def test_the_first_variable_that_is_set_names_the_database(place: int, tmp_path: Path) -> None:
    blank = dict.fromkeys(URL_VARIABLES[:place], "")
    later = dict.fromkeys(URL_VARIABLES[place + 1 :], "postgresql://later/x")
    target = settings({**blank, **later, URL_VARIABLES[place]: f" {URL}\n"}).target()
    assert (target.url.raw, target.url_from) == (URL, URL_VARIABLES[place])
    (tmp_path / "url").write_text(f"\ufeff{URL}\n", encoding="utf-8")
    of_file = f"{URL_VARIABLES[place]}_FILE"
    for path in ("url", str(tmp_path / "url")):
        target = settings({**blank, **later, of_file: path}, tmp_path).target()
        assert (target.url.raw, target.url_from) == (URL, of_file)


def test_the_target_carries_the_version_table_and_the_schemas() -> None:
    target = settings({"DATABASE_URL": URL}).target()
    assert (target.version_table, target.version_table_schema, target.schemas) == ("alembic_version", None, ())
    named = {"MIGRATE_VERSION_TABLE": "v", "MIGRATE_VERSION_TABLE_SCHEMA": "s", "MIGRATE_SCHEMAS": "a,b"}
    target = settings({"DATABASE_URL": URL, **named}).target()
    assert (target.version_table, target.version_table_schema, target.schemas) == ("v", "s", ("a", "b"))


def test_without_a_url_all_variables_are_named_and_nothing_is_tried() -> None:
    problem = stopped({"DATABASE_URL": " ", "PGHOST": "h"}).problem
    assert problem.kind.code == "no-database-url"
    assert all(name in problem.why for name in URL_VARIABLES)
    assert "_FILE" in problem.why
    assert "DATABASE_URL is set, but empty." in problem.why


def test_a_variable_that_looks_like_the_one_is_named_and_not_taken() -> None:
    problem = stopped({"POSTGRES_URL": URL}).problem
    assert problem.kind.code == "no-database-url"
    assert str(problem.fix) == 'export DATABASE_URL="$POSTGRES_URL"'


def test_a_malformed_url_is_refused_by_its_variables_name_alone(tmp_path: Path) -> None:
    problem = stopped({"DATABASE_URL": f"'{URL}'"}).problem
    assert problem.kind.code == "bad-database-url"
    assert problem.why.startswith("The value of DATABASE_URL is not a PostgreSQL URL. It begins with a quotation mark")
    assert "export DATABASE_URL=" in str(problem.fix)
    (tmp_path / "url").write_text(f"'{URL}'", encoding="utf-8")
    problem = stopped({"DATABASE_URL_FILE": "url"}, tmp_path).problem
    assert problem.why.startswith("The file that DATABASE_URL_FILE names does not hold a PostgreSQL URL.")
    assert "into the file that DATABASE_URL_FILE names" in str(problem.fix)


def test_a_variable_and_its_file_at_once_are_refused() -> None:
    problem = stopped({"DATABASE_URL": URL, "DATABASE_URL_FILE": "url"}).problem
    assert problem.why.startswith("DATABASE_URL and DATABASE_URL_FILE are both set")
    assert str(problem.fix).startswith("unset DATABASE_URL_FILE")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"", "does not hold a PostgreSQL URL. It is empty."),
        (URL.encode() + b"\xff", "is not UTF-8 text."),
    ],
)
def test_a_file_that_holds_no_url_is_refused_and_no_other_is_tried(
    content: bytes | None, why: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    problem = stopped({"DIRECT_DATABASE_URL_FILE": "url", "DATABASE_URL": URL}, tmp_path).problem
    assert problem.kind.code == "bad-database-url"
    assert "DIRECT_DATABASE_URL_FILE" in problem.why
    assert problem.why.endswith(why)


def test_the_secrets_of_every_variable_are_told(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgres://u:of-file@h/d", encoding="utf-8")
    environ = {
        "MIGRATE_DATABASE_URL": URL,
        "DATABASE_URL": "postgres://u:pool%65d@h/d",
        "SOME_OTHER": "postgresql+asyncpg://u:of-others@h/d",
        "DIRECT_DATABASE_URL_FILE": "url",
        "DATABASE_UNPOOLED_URL_FILE": "missing",
        "DATABASE_URL_FILE": "a\0b",
        "BROKEN": "'postgres://u:broken@h/d'",
        "PGPASSWORD": "of-libpq",
        "POSTGRES_USER": "postgres",
        "PATH": "/usr/lib/postgresql/bin",
    }
    assert set(environment_secrets(environ, tmp_path)) == {
        "topsecret",
        "pooled",
        "pool%65d",
        "of-others",
        "of-file",
        "'postgres://u:broken@h/d'",
        "of-libpq",
    }


def test_settings_do_not_show_the_environment() -> None:
    assert "topsecret" not in repr(settings({"DATABASE_URL": URL}))


@pytest.mark.parametrize(
    ("environ", "seconds", "said"),
    [
        ({}, 270.0, "deadline = 270s (fly's limit)"),
        ({"MIGRATE_DEADLINE": "14m"}, 840.0, "deadline = 14m (MIGRATE_DEADLINE)"),
        ({"MIGRATE_DEADLINE": "0"}, 0.0, "deadline = 0 (MIGRATE_DEADLINE)"),
    ],
)
def test_the_platforms_limit_is_the_deadline_that_nobody_set(
    environ: dict[str, str], seconds: float, said: str
) -> None:
    found = settings({"FLY_APP_NAME": "a", "RELEASE_COMMAND": "1", **environ})
    assert found.limits.deadline_s == seconds
    assert said in found.given()


# Cost and documentation


@pytest.mark.parametrize(("table", "imported"), [("", "False"), ("[tool.migrate]\nstrict = true\n", "True")])
def test_toml_is_read_only_where_there_is_a_table(table: str, imported: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\ndependencies = ["migrate-job"]\n{table}', encoding="utf-8")
    code = (
        "import sys, pathlib, migrate.settings as s; s.load({}, {}, pathlib.Path.cwd());"
        "print('tomllib' in sys.modules, [m for m in ('difflib', 'alembic', 'sqlalchemy') if m in sys.modules])"
    )
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{imported} []\n"


# What leads a pasted command back to the project


def test_project_flags_are_those_that_were_given_by_flag_or_variable(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", 'version_table = "mine"\nsection = "other"')
    flags = settings({"MIGRATE_SCHEMAS": "a,b c", "MIGRATE_TARGET": "heads"}, folder, config=Path("x y.ini"))
    given = {flag.names[0]: flag.value for flag in flags.project_flags()}
    assert given == {"-c": "'x y.ini'", "--schemas": "'a,b c'"}


def test_no_project_flags_without_any() -> None:
    assert settings({"MIGRATE_TARGET": "heads", "MIGRATE_CONFIG": ""}).project_flags() == ()


def test_a_malformed_setting_has_its_default_and_the_others_what_they_were_given() -> None:
    found, fault = load({}, {"MIGRATE_LOCK_TIMEOUT": "soon", "MIGRATE_GUARD_TIMEOUT": "9s"}, NOWHERE)
    assert fault is not None
    assert found.limits == dataclasses.replace(Limits(), guard_s=9.0)
    assert found.provenance["lock_timeout"].source is Source.DEFAULT
    assert found.given() == ["guard_timeout = 9s (MIGRATE_GUARD_TIMEOUT)"]
