"""The page of the settings, made from their declarations."""

from __future__ import annotations

from migrate.core.deployment import PLATFORMS
from migrate.core.url import URL_VARIABLES
from migrate.settings import SETTINGS

_TOP = """\
# Settings

<!-- Made by `make docs` from the declarations in migrate/settings/declarations.py. -->

A setting is taken from the first of these that gives it: the flag, the environment variable, the key in `[tool.migrate]`
of `pyproject.toml`, for `deadline` the platform, the default. The `pyproject.toml` beside Alembic's configuration comes
before the one in the working directory. A variable that is set to nothing counts as not set.

A flag, its variable and its key have one name: `--lock-timeout`, `MIGRATE_LOCK_TIMEOUT`, `lock_timeout`. The name of a
setting that one verb alone has begins with the verb, which is not typed twice: `migrate wait --timeout` is
`MIGRATE_WAIT_TIMEOUT`. Only `-n`/`--name` (`section`), `-c` and `-x` are spelled as Alembic's own.

All faults of variables and keys are reported together, with exit code 10; a wrong flag is exit code 2. A key that is no
setting is a fault; a variable `MIGRATE_...` that is none is a warning, because platforms add variables of their own.

A time is a number with `ms`, `s`, `m` or `h`; without a unit it is in seconds. A list has commas in between, or is an
array in `pyproject.toml`; its flag may be repeated. A path in `pyproject.toml` is relative to that file's folder.

## The database

The URL comes from the environment only: other users of a machine can read the command line of a process.
The first of these that is set counts, and nothing else is ever tried:

"""

_AFTER_VARIABLES = """
Each may also be given with `_FILE` at its end, as the path of a file that holds the URL. Both at once are refused, and so
is a file that cannot be read (exit code 10).

`postgres://`, `postgresql://` and `postgresql+DRIVER://` are understood, with one host, several, IPv6 or a socket's
folder. In user and password write `@ : / ? # %` and spaces as `%40 %3A %2F %3F %23 %25 %20`. A raw `@` or `#` is taken as
part of the password where the URL can be read in one way only, and refused where it can be read in two.

Parameters that only other programs understand (asyncpg's `prepared_statement_cache_size`, Prisma's `pgbouncer` and the
like) are left out of the connections of `migrate` itself; asyncpg's `ssl` becomes `sslmode`. A parameter that is not known
is handed on, so that libpq refuses a misspelt `sslmode`.
"""


def page() -> str:
    """The whole page, from the declarations."""
    lines = [_TOP.rstrip("\n"), ""]
    lines += [f"{place}. `{name}`" for place, name in enumerate(URL_VARIABLES, start=1)]
    lines += [_AFTER_VARIABLES.rstrip("\n"), "", "## All settings", ""]
    lines += ["| setting | default | in one line |", "|---|---|---|"]
    for setting in SETTINGS:
        sentence = setting.help.split(". ")[0].split(": ")[0].rstrip(".")
        lines.append(
            f"| [`{setting.name}`](#{setting.name}) | {_code(setting.shown_default or setting.unset)} | {sentence} |"
        )
    for setting in SETTINGS:
        flags = ", ".join(f"`{name}`" for name in setting.flag_names)
        facts = {
            "flag": flags and f"{flags} of {', '.join(f'`{verb}`' for verb in setting.verbs)}",
            "variable": f"`{setting.variable}`",
            "key": f"`{setting.key}`" if setting.in_table else "",
            "values": setting.kind.values,
            "default": _code(setting.shown_default or setting.unset),
        }
        lines += ["", f"### {setting.name}", "", setting.help, "", "| | |", "|---|---|"]
        lines += [f"| {name} | {fact or 'none'} |" for name, fact in facts.items()]
    lines += ["", "## What the platform tells", ""]
    lines += [
        "Read for the context of the first and the last log line; a known limit is also the default of `deadline`.",
        "",
    ]
    heads = ("platform", "recognised by", "`environment`", "`deployment_id`", "`commit_sha`", "`deadline`")
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for platform in PLATFORMS:
        columns = (platform.recognised_by, platform.environment, platform.deployment_id, platform.commit_sha)
        phase = platform.release_phase
        limit = f"{phase.deadline_s:g}s where `{phase.variable}` begins with `{phase.prefix}`" if phase else ""
        told = (*(", ".join(map(_code, names)) for names in columns), limit)
        lines.append(f"| {platform.name} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else "none"
