"""Variables of the environment that env.py and revisions ask for: what they were when the manifest was written.

A line is ``NAME=value`` for a switch and for a value that the operator has fixed, else ``NAME set`` or ``NAME unset``: no
value that may be a secret stands in a manifest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SWITCHES: Final = frozenset({"true", "false", "1", "0", "yes", "no", "on", "off"})
_SECRET: Final = re.compile(r"PASS|SECRET|TOKEN|KEY|CRED|URL|DSN|AUTH", re.IGNORECASE)


def fixed_by(settings: Iterable[str]) -> dict[str, str]:
    """The variables of the setting `environ`, each NAME=TEXT."""
    return {name.strip(): value for name, _, value in (each.partition("=") for each in settings)}


def lines(names: Iterable[str], environ: Mapping[str, str], fixed: Mapping[str, str]) -> tuple[str, ...]:
    """What these variables are, as the manifest keeps it."""
    return tuple(_line(name, fixed.get(name, environ.get(name, "")), name in fixed) for name in sorted(set(names)))


def kept(known: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The names of these lines that are not among ``names``, with their lines."""
    given = set(names)
    return tuple(line for line in known if re.split(r"[= ]", line, maxsplit=1)[0] not in given)


def differing(known: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """What is other here than when the manifest was written, a sentence for each."""
    found = []
    for line in known:
        name, is_value, value = line.partition("=")
        if is_value:
            here = environ.get(name, "")
            if here != value:
                shown = f"is {here}" if here.lower() in _SWITCHES else "is set" if here else "is not set"
                found.append(f"{name} {shown} here, and was {value} when the manifest was written")
            continue
        name, _, said = line.partition(" ")
        was, here = said == "set", environ.get(name, "")
        if was != bool(here):
            shown = ("is set here, and was not set", "is not set here, and was set")[was]
            found.append(f"{name} {shown} when the manifest was written")
    return tuple(found)


def _line(name: str, value: str, is_fixed: bool) -> str:  # noqa: FBT001 - one caller decides it
    if not value:
        return f"{name} unset"
    is_shown = (is_fixed or value.lower() in _SWITCHES) and not _SECRET.search(name)
    return f"{name}={value}" if is_shown else f"{name} set"
