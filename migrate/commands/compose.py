"""What `migrate init compose` takes over from the project's own Compose file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.compose_file import (
    COMPOSE_FILES,
    OVERRIDE_FILES,
    database_of,
    env_files,
    has_variable,
    included,
    networks_to_join,
    services,
)
from migrate.core.problems import migrate, shell, stop
from migrate.core.quoting import word
from migrate.core.url import URL_VARIABLES
from migrate.core.value import Value
from migrate.settings.declarations import SETTINGS
from migrate.settings.groups import GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# started, not healthy: a health check is not everybody's, and the job waits for the server by itself
_DATABASE: Final = """\
    depends_on: !override
      {database}:
        condition: service_started
"""
# else the job would start, and replace, whatever the service depends on
_NO_DATABASE: Final = "    depends_on: !reset []\n"
_URL: Final = '      - "DATABASE_URL=${DATABASE_URL:?set it to the database of this project}"\n'
# What a person sets for one release, and what a printed fix exports. --strict stands in the command.
_GROUPS: Final = ("What to allow", "Patience")
_MORE: Final = (
    *("target", "tenant", "version_table", "version_table_schema", "backup_policy", "log_format", "log_queries"),
    "debug",
)
_ELSEWHERE: Final = ("strict", "test_fail")


class Overlay(Value):
    """What the template leaves open, and what the user is told first."""

    values: Mapping[str, str]
    told: tuple[str, ...]


def overlay(folder: Path, names: Mapping[str, str | None]) -> Overlay:
    """Look at the project's Compose file. Raises Stop (`usage`) for a service that it does not have."""
    service = names["service"] or ""
    there = next((name for name in COMPOSE_FILES if (folder / name).exists()), None)
    base = there or COMPOSE_FILES[0]
    of_file = _services(folder, base)
    known = {name: text for found in of_file.values() for name, text in found.items()}
    if service == "migrate":
        raise stop("usage", "--service cannot be migrate: that is the job's own name", names={"verb": "init"})
    _refuse_unknown(base, known, {"--service": service, "--database": names["database"]})
    own = known.get(service, "")
    environment = "\n".join([own, *(_read(folder / path) for path in env_files(own))])
    database, is_known = (names["database"], True) if names["database"] else database_of(environment, known)
    has_url = has_variable(environment, [*URL_VARIABLES, *(f"{each}_FILE" for each in URL_VARIABLES)])
    variables = [each for each in release_variables() if not has_variable(environment, [each])]
    values = {
        "compose-file": next((file for file, found in of_file.items() if service in found), base),
        "compose-image": _image(names["image"], names["dockerfile"]),
        "compose-url": "" if has_url else _URL,
        "compose-variables": "".join(f"      - {each}\n" for each in variables),
        "compose-networks": _networks(networks_to_join(own)),
        "database": _DATABASE.format(database=database) if database else _NO_DATABASE,
    }
    told = []
    if there is None:
        told.append(f"there is no {base} here, and compose.release.yaml only adds to one: write it first")
    elif not known:
        told.append(f"the services of {base} could not be read here: check that it has one that is named {service}")
    if there is not None and not is_known:
        told.append(f"none of the services of {base} looks like the database: if one is, name it (--database)")
    if "migrate" in known:
        told.append(f"{base} has a service migrate of its own: remove it, and the depends_on that names it")
    dockerfile = names["dockerfile"] or "Dockerfile"
    if not (folder / dockerfile).exists() and (names["dockerfile"] or (not own and not names["image"])):
        told.append(f"there is no {dockerfile} here, which builds the image: write it, or name another (--dockerfile)")
    override = next((name for name in OVERRIDE_FILES if (folder / name).exists()), None)
    if override is not None:
        told.append(f"Compose does not read {override} when files are named: if releases need it, add -f {override}")
    if not has_url:
        told.append("export DATABASE_URL=...   # as the containers reach the database: its host is the service's name")
    return Overlay(values | {"compose-base": base}, tuple(told))


def _networks(names: list[str]) -> str:
    return "".join(["    networks: !override\n", *(f"      {name}: {{}}\n" for name in names)]) if names else ""


def release_variables() -> list[str]:
    """The variables that the job is handed from the shell, where they are set there."""
    names = [name for group in GROUPS if group.title in _GROUPS for name in (*group.common, *group.rest)]
    wanted = {*names, *_MORE} - {*_ELSEWHERE}
    return [setting.variable for setting in SETTINGS if setting.name in wanted]


def _services(folder: Path, base: str) -> dict[str, dict[str, str]]:
    """The services of the file and of those that it includes, by the file."""
    text = _read(folder / base)
    files = [base, *(word for word in included(text) if (folder / word).is_file())]
    return {file: services(_read(folder / file)) for file in files}


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _refuse_unknown(base: str, known: Mapping[str, str], given: Mapping[str, str | None]) -> None:
    """A service that the file does not have makes the overlay invalid. What could not be read is not judged."""
    for flag, name in given.items():
        if known and name and name not in known:
            raise stop(
                "usage",
                f"{base} has no service {name}: {flag} has to name one of {', '.join(sorted(known))}",
                fix=shell(migrate("init", f"compose {flag} {word(min(known))}")),
            )


def _image(image: str | None, dockerfile: str | None) -> str:
    """What is other than the service's own: an image that is named is not built, and what is built is not its image."""
    if image is None and dockerfile is None:
        return ""
    named = f'"{image}"' if image else "!reset null"
    built = f'!override {{context: ., dockerfile: "{dockerfile}"}}' if dockerfile else "!reset null"
    return f"    image: {named}\n    build: {built}\n"
