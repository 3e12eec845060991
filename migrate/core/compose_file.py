"""What a project's Compose file says of a service, read as text.

A YAML parser for that would be a dependency in everybody's image. What is not seen here, Compose itself resolves: the
overlay extends the service.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# In Compose's own order of preference.
COMPOSE_FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_FILES: Final = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_SERVICES: Final = re.compile(r"""["']?services["']?\s*:\s*(#.*)?""")
_KEY: Final = re.compile(r"""\s*["']?([\w.-]+)["']?\s*:""")
_ALIAS: Final = re.compile(r"(?<![\w&])\*([\w.-]+)")
_EXTENDS: Final = re.compile(r"""\bextends["']?\s*:\s*(?:\{?[^{}]*?\bservice["']?\s*:\s*)?["']?([\w.-]+)""")
_ENV_FILE: Final = re.compile(r"""\benv_file["']?\s*:(.*(?:\n\s*(?:-|["'\[\]{}]|path\b|required\b).*)*)""")
_PATH: Final = re.compile(r"""[^\s"'\[\]{},]+""")
_INCLUDE: Final = re.compile(r"""^["']?include["']?\s*:(.*(?:\n(?:\s|-).*)*)""", re.MULTILINE)
_HOST: Final = re.compile(r"""\bpostgres\w*(?:\+\w+)?://(?:[^\s"'/]*@)?([\w.-]+)""")
_IMAGE: Final = re.compile(r"""\bimage["']?\s*:\s*["']?([^\s"',}]+)""")
_OF_ONE_CONTAINER: Final = re.compile(r"\b(?:ipv4_address|ipv6_address|mac_address|aliases)\b")
_NETWORKS: Final = re.compile(r"""\s+["']?networks["']?\s*:\s*(?:\{|#.*)?""")
_NAMES: Final = ("db", "database", "postgres", "postgresql")
_SERVER: Final = re.compile(r"postgres|postgis|timescale|pgvecto|citus|paradedb")
_TOOL: Final = re.compile(r"exporter|backup|admin|postgrest|bouncer|pool|dump")


def services(text: str) -> dict[str, str]:
    """Each service with its text, and that of what it is made of by aliases and `extends`; empty where none is found."""
    found = _of_json(text)
    if found is not None:
        return found
    # a comment gives no value
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    start = next((at for at, line in enumerate(lines) if _SERVICES.fullmatch(line)), None)
    own = {} if start is None else _children(lines, start)
    anchors = {name: _block(lines, at) for at, line in enumerate(lines) for name in re.findall(r"&([\w.-]+)", line)}
    return {name: _whole(block, anchors, own) for name, block in own.items()}


def included(text: str) -> list[str]:
    """The words of the top-level `include`, which are files or are none."""
    return [word for found in _INCLUDE.findall(text) for word in _PATH.findall(found)]


def env_files(service: str) -> list[str]:
    """The words of a service's `env_file`, which are files or are none."""
    return [word for found in _ENV_FILE.findall(service) for word in _PATH.findall(found)]


def has_variable(service: str, names: Iterable[str]) -> bool:
    """Whether a service's text, or that of an env file, has one of the variables: not where a value refers to it."""
    known = "|".join(map(re.escape, names))
    return (
        re.search(rf"""(?<![\w$])(?<!\$\{{)({known})(?=["']?\s*(?:[:=]|["',\]]|$))""", service, re.MULTILINE)
        is not None
    )


def networks_to_join(service: str) -> list[str]:
    """The networks of a service that has an address or an alias there, which no second container can have, too."""
    lines = service.splitlines()
    at = next((at for at, line in enumerate(lines) if _NETWORKS.fullmatch(line)), None)
    if at is None or _OF_ONE_CONTAINER.search(service) is None:
        return []
    return list(_children(lines, at))


def database_of(service: str, others: Mapping[str, str]) -> tuple[str | None, bool]:
    """The service that is the database of ``service``'s text, and whether that is known: None is a database elsewhere."""
    hosts = _HOST.findall(service)
    for host in hosts:
        if host in others:
            return host, True
    if hosts:
        return None, True
    named = [name for name in _NAMES if name in others]
    if named:
        return named[0], True
    servers = [name for name, text in others.items() if any(map(_is_server, _IMAGE.findall(text)))]
    return (servers[0], True) if len(servers) == 1 else (None, False)


def _is_server(image: str) -> bool:
    return _SERVER.search(image) is not None and _TOOL.search(image) is None


def _of_json(text: str) -> dict[str, str] | None:
    """The services of a file that is JSON, which is YAML, too; None where it is not."""
    try:
        found = json.loads(text)["services"].items()
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return {str(name): json.dumps(content, indent=1) for name, content in found}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _block(lines: list[str], at: int) -> str:
    """A line and those that are further in."""
    end = next(
        (n for n in range(at + 1, len(lines)) if _indent(lines[n]) <= _indent(lines[at])),
        len(lines),
    )
    return "\n".join(lines[at:end])


def _children(lines: list[str], start: int) -> dict[str, str]:
    """The keys one level below the line, each with its lines."""
    block = _block(lines, start).splitlines()[1:]
    depth = _indent(block[0]) if block else 0
    keys = [(at, found[1]) for at, line in enumerate(block) if _indent(line) == depth and (found := _KEY.match(line))]
    return {name: _block(block, at) for at, name in keys}


def _whole(block: str, anchors: Mapping[str, str], own: Mapping[str, str]) -> str:
    """A service's lines, and those of its aliases and of the services that it extends, each once."""
    parts, at = [block], 0
    while at < len(parts):
        named = [anchors.get(name) for name in _ALIAS.findall(parts[at])]
        named += [own.get(name) for name in _EXTENDS.findall(parts[at])]
        parts += [part for part in dict.fromkeys(named) if part is not None and part not in parts]
        at += 1
    return "\n".join(parts)
